"""Which operators of a segment run elsewhere: the choices worth a look in each window, and a bound for all others.

A choice S of operators that run elsewhere costs `time of the segment + prices`. Prices are what arrays of other tiers
and losses of quality are worth (module `hosting`), of each operator one where it is here and one for each host. With

    here_i   the price here
    price_i  the least price of its hosts
    cost_i   the least over its hosts of price + time on the digital unit
    own_i    the digital work that belongs to it in any case
    share_i  its part of computing and streams: what all that is here takes at least, split among operators

digital time adds up in a segment, and so do the shares of what is here, so that every choice has

    time + prices >= sum of cost_i over S + sum of here_i over the others + sum of own_i   (1)
    time + prices >= sum of price_i over S + sum of (share_i + here_i) over the others     (2)

and any mixture of the two; and what is here has to fit the arrays together. Choices are enumerated depth first. A
branch is left where (1) or (2) reach what the same operators take when all are here; the least value at which one was
left bounds what it has.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from .problem import DIGITAL, Host, SegmentProblem
from .resident import ps_of
from .window import Hosts

MOST_CHOICES = 1600
"""In all; of each window at least two. More are only bounded."""
LONGEST = 5
"""Operators of a segment with choices, in programs of more than `FEW`; longer ones are only bounded."""
FEW = 16
MOST_NODES = 200
"""Looked at in one window."""
MIXTURES = (0.0625, 0.125, 0.25, 0.5)
"""Weights of (1) beside (2)."""
NEVER = 1 << 60


Chosen = tuple[tuple[int, int], ...]
"""Operators of a choice, each with the number of its way."""


@dataclass(frozen=True)
class Way:
    """Hosts of an operator: the one that a plan takes, and one that is in nothing worse than any, for bounds."""

    host: Host
    price_ps: int
    """Of that host; `ideal_price_ps` and `cost_ps` are `price` and `cost` of the module docstring."""
    ideal: Host
    ideal_price_ps: int
    cost_ps: int


@dataclass(frozen=True)
class Choice:
    """Operators of a window that run elsewhere."""

    hosts: Hosts
    price_ps: int
    """Of all operators of the window."""
    ideal: Hosts
    """The same, for bounds."""
    ideal_price_ps: int


def ways_of(hosts: Sequence[Host], prices_ps: Sequence[int]) -> tuple[Way, ...]:
    """What an operator's hosts come to at these prices, those that differ in copies by less than four times as one."""
    groups: dict[tuple[str, str, int, int], list[tuple[Host, int]]] = {}
    for host, price in zip(hosts, prices_ps, strict=True):
        key = host.tier, host.precision, (host.copies.bit_length() - 1) // 2, host.off_chip_bytes
        groups.setdefault(key, []).append((host, price))
    return tuple(_way(group) for group in groups.values())


def _way(group: Sequence[tuple[Host, int]]) -> Way:
    host, price = min(group, key=lambda each: each[0].alone_ps + each[1])
    hosts = [each for each, _ in group]
    shared = [dict(each.shared_ps) for each in hosts]
    ideal = replace(
        host,
        copies=1,
        arrays=0,
        for_bounds=True,
        alone_ps=min(each.alone_ps for each in hosts),
        own_ps=min(each.own_ps for each in hosts),
        shared_ps=tuple((name, min(each.get(name, 0) for each in shared)) for name, _ in host.shared_ps),
    )
    cost = min(own + dict(each.shared_ps).get(DIGITAL, 0) for each, own in group)
    return Way(host, price, host if len(group) == 1 else ideal, min(own for _, own in group), cost)


def shares_ps(problem: SegmentProblem) -> list[int]:
    """`share` of each operator.

    With x arrays in memory mode T >= work / (A - x) and T >= bytes / (B + x B_mem), so that for every x
    T >= (B_mem work + bytes) / (A B_mem + B); without such arrays the longer of the two counts.
    """
    chip, operators = problem.chip, problem.operators
    work = [op.arrays(chip) * op.m * chip.mvm_ps for op in operators]
    into, out = [op.input_of(chip) for op in operators], [op.streamed_bytes for op in operators]
    if chip.buffer_shared:
        into, out = [there + back for there, back in zip(into, out, strict=True)], [0] * len(out)
    is_in = ps_of(sum(into), chip.buffer_in_bytes_per_ns) >= ps_of(sum(out), chip.buffer_out_bytes_per_ns)
    moved, rate = (into, chip.buffer_in_bytes_per_ns) if is_in else (out, chip.buffer_out_bytes_per_ns)
    if chip.memory_bytes_per_ns:
        whole = chip.arrays * chip.memory_bytes_per_ns + rate
        mixed = zip(work, moved, strict=True)
        return [int((chip.memory_bytes_per_ns * ps + amount * 1000) / whole) for ps, amount in mixed]
    computed = [ps // chip.arrays for ps in work]
    return max(computed, [int(amount * 1000 / rate) for amount in moved], key=sum)


class Choices:
    """The choices of one problem at given prices."""

    def __init__(
        self, problem: SegmentProblem, ways: Sequence[tuple[Way, ...]], here_ps: Sequence[int], until_ps: Sequence[int]
    ):
        """`here_ps` are prices of operators that are here; `until_ps[cut]` the least time up to a cut with all here."""
        self.problem, self.ways, self.here_ps = problem, tuple(ways), tuple(here_ps)
        self.until_ps = [time + price for time, price in zip(until_ps, accumulate(here_ps, initial=0), strict=True)]
        """With prices."""
        self.arrays = [op.arrays(problem.chip) for op in problem.operators]
        self.shares = shares_ps(problem)
        self.own = [op.digital_ps + op.digital_after_ps for op in problem.operators]
        self.mixed = [list(accumulate((self._mixture(i, of) for i in range(len(ways))), initial=0)) for of in MIXTURES]
        count = max(1, len(ways))
        self.longest = count if count <= FEW else LONGEST
        self.most = max(2, MOST_CHOICES // (count * self.longest))
        """Choices of one window."""
        self.found: dict[tuple[int, int], tuple[tuple[Choice, ...], int]] = {}

    def _mixture(self, i: int, of: float) -> int:
        """The least that an operator adds to a mixture of (1) and (2)."""
        here = int((1 - of) * self.shares[i]) + self.here_ps[i]
        there = [int(of * way.cost_ps + (1 - of) * way.ideal_price_ps) for way in self.ways[i]]
        return min([here, *there]) + int(of * self.own[i])

    def cuts(self, first: int) -> list[tuple[int, int]]:
        """(cut, the least that choices which are not looked at take) of the segments from `first` on.

        The last one may stand for all longer segments: up to the end of the program.
        """
        count, reached, room = len(self.ways), list[tuple[int, int]](), _Room(self.problem.chip.arrays)
        most = self.until_ps[count] - self.until_ps[first]
        for cut in range(first + 1, count + 1):
            cost = min((way.cost_ps for way in self.ways[cut - 1]), default=NEVER)
            least = room.with_one(self.arrays[cut - 1], cost, self.here_ps[cut - 1])
            least = min(NEVER, least + sum(self.own[first:cut]))
            if least >= max(most, 1) and cut > first + 1:
                return [*reached, (count, least)] if least < NEVER else reached
            mixed = max(of[cut] - of[first] for of in self.mixed)
            if (first, cut) not in self.found:
                self.found[first, cut] = self._look(first, cut, least, mixed)
            reached.append((cut, self.found[first, cut][1]))
        return reached

    def of(self, first: int, cut: int) -> tuple[Choice, ...]:
        """Choices worth a look, all here first, whether that fits or not."""
        return self.found[first, cut][0] if (first, cut) in self.found else (self._choice(first, cut, ()),)

    def has(self, first: int, cut: int) -> bool:
        """Whether choices of a window are looked at."""
        return (first, cut) in self.found

    def _look(self, first: int, cut: int, least: int, mixed: int) -> tuple[tuple[Choice, ...], int]:
        """The choices of a window, and what bounds the others: `least` and `mixed` bound them all."""
        within = max(0, self.until_ps[cut] - self.until_ps[first])
        here, fits = self._choice(first, cut, ()), sum(self.arrays[first:cut]) <= self.problem.chip.arrays
        if cut - first > self.longest or (max(least, mixed) >= within and not fits):
            return (here,), max(least, mixed)
        search = _Search(self, first, cut, within)
        search.go(0, (), search.start)
        kept, rest = [chosen for _, chosen in search.kept], search.left
        if len(kept) > self.most:
            kept.sort(key=lambda chosen: (self._guess(first, cut, chosen), chosen))
            rest = min([rest, *(bound for bound, chosen in search.kept if chosen in kept[self.most :])])
        return (here, *(self._choice(first, cut, each) for each in kept[: self.most])), max(rest, least, mixed)

    def _guess(self, first: int, cut: int, chosen: Chosen) -> int:
        """About what a choice comes to: nothing is proven by it."""
        there = [self.ways[i][number] for i, number in chosen]
        here = self.until_ps[cut] - self.until_ps[first]
        here -= sum(self.until_ps[i + 1] - self.until_ps[i] for i, _ in chosen)
        slowest = max((way.host.alone_ps for way in there), default=0)
        return max(sum(way.cost_ps - way.ideal_price_ps for way in there), here, slowest) + sum(
            way.price_ps for way in there
        )

    def _choice(self, first: int, cut: int, chosen: Chosen) -> Choice:
        known, moved = [(i, self.ways[i][number]) for i, number in chosen], {i for i, _ in chosen}
        here = sum(self.here_ps[i] for i in range(first, cut) if i not in moved)
        return Choice(
            tuple((i - first, way.host) for i, way in known),
            here + sum(way.price_ps for _, way in known),
            tuple((i - first, way.ideal) for i, way in known),
            here + sum(way.ideal_price_ps for _, way in known),
        )


@dataclass
class _Room:
    """The least that operators cost, by (1), where not all fit the arrays, as they come: parts of one may fit."""

    arrays: int
    dearest: list[tuple[float, int, int, int]] = field(default_factory=list[tuple[float, int, int, int]])
    """(minus what an array saves, cost elsewhere, price here, arrays), the dearest first."""

    def with_one(self, arrays: int, cost: int, here: int) -> int:
        """With one more operator."""
        insort(self.dearest, ((here - cost) / arrays if arrays else float("-inf"), cost, here, arrays))
        room, total = self.arrays, 0.0
        for _, cost, here, own in self.dearest:
            fits = min(own, room) if cost > here else 0
            room -= fits
            share = fits / own if own else float(cost > here)
            total += share * here + (1 - share) * cost
        return int(min(total, NEVER))


@dataclass(frozen=True)
class _Sums:
    """Of what has been decided: the sums in (1) and (2), prices, the longest pace elsewhere, arrays that are here."""

    one: int = 0
    two: int = 0
    price: int = 0
    pace: int = 0
    taken: int = 0

    def elsewhere(self, way: Way) -> _Sums:
        """With one more elsewhere."""
        price = way.ideal_price_ps
        pace = max(self.pace, way.ideal.alone_ps)
        return _Sums(self.one + way.cost_ps, self.two + price, self.price + price, pace, self.taken)

    def here(self, price: int, share: int, arrays: int) -> _Sums:
        """With one more here."""
        return _Sums(self.one + price, self.two + share + price, self.price + price, self.pace, self.taken + arrays)


class _Search:
    """Depth first through the choices of one window."""

    def __init__(self, choices: Choices, first: int, cut: int, within: int):
        self.choices, self.within = choices, within
        self.ways = {i: ways for i in range(first, cut) if (ways := choices.ways[i])}
        self.least = {i: (min(w.cost_ps for w in ws), min(w.ideal_price_ps for w in ws)) for i, ws in self.ways.items()}
        self.order = sorted(self.ways, key=lambda i: (self.least[i][0] - choices.shares[i] - choices.here_ps[i], i))
        self.start = _Sums(one=sum(choices.own[first:cut]))
        for i in range(first, cut):
            if i not in self.ways:
                self.start = self.start.here(choices.here_ps[i], choices.shares[i], choices.arrays[i])
        # What those from a place in the order on bring at least to the sums.
        self.later = [(0, 0, 0)]
        for i in reversed(self.order):
            one, two, price = self.later[-1]
            (cost, least), here = self.least[i], choices.here_ps[i]
            two += min(least, choices.shares[i] + here)
            self.later.append((one + min(cost, here), two, price + min(least, here)))
        self.later.reverse()
        self.kept: list[tuple[int, Chosen]] = []
        """(bound, choice) of those that nothing rules out."""
        self.left = NEVER
        """The least bound of what was left."""
        self.nodes = 0

    def go(self, at: int, chosen: Chosen, sums: _Sums) -> None:
        """The choices that begin with `chosen` of those before `at` in the order."""
        if sums.taken > self.choices.problem.chip.arrays:
            return
        one, two, price = self.later[at]
        bound = max(sums.one + one, sums.two + two, sums.price + sums.pace + price)
        self.nodes += 1
        if chosen and (bound >= self.within or self.nodes > MOST_NODES):
            self.left = min(self.left, bound)
            return
        if at == len(self.order):
            self.kept += [(bound, tuple(sorted(chosen)))] if chosen else []
            return
        i = self.order[at]
        for number, way in enumerate(self.ways[i]):
            self.go(at + 1, (*chosen, (i, number)), sums.elsewhere(way))
        here = self.choices.here_ps[i], self.choices.shares[i], self.choices.arrays[i]
        self.go(at + 1, chosen, sums.here(*here))
