"""The exact strategy: the best cuts, places of tensors, preloaded arrays and allocations, by dynamic programming.

**State.** What a segment leaves to the next is which tensors are on chip and where (`Place`), and how many arrays
hold weights of the next one. A tensor has one place for its life, so a state at a cut names the places of all tensors
alive there, and two states fit together where they agree on those alive at both. Nothing else couples segments: arrays
rest in compute mode, and a segment's time with given states at its ends depends on itself alone.

Segments with the same numbers (layers of a transformer) are priced once.

**Grids.** On chips of up to 16 arrays all numbers of preloaded arrays are looked at, on larger ones 9; on those of up
to 32 all numbers of memory arrays, on larger ones 25. At most four tensors alive at a cut may stay on chip; those of at
most a fifth of the buffer are in it.

**Bound.** The same program over the same tables bounds all numbers of preloaded arrays: one between two levels costs
the segment before it no less than the lower level, and saves the next one no more than the upper. So nothing in the
plan space and on the other grids takes less; module `bound` has what holds without them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .allocation import NEVER, Resident, Tiled
from .bound import lower_bound
from .choices import Choice, Choices
from .places import State, States
from .problem import Host, Place, PlacementError, SegmentPlan, SegmentProblem
from .resident import Ints
from .segments import Decision, assemble
from .window import Hosts, Known, Window, Windows

Back = list[tuple[int, State, int, Hosts]]
"""For each number of preloads: where the segment begins, the state there, the level of what was preloaded, and which of
its operators run elsewhere."""


@dataclass(frozen=True)
class _Moves:
    """Segments of `length` operators that end in one state; operators in states are counted from the segment's first.

    `table[b, p, q]`: the least time with state `before[b]`, p preloaded and q preloads (levels), with hosts number
    `taken[b, p, q]` of `hosts`; `lower` bounds it for all hosts that these stand for.
    """

    length: int
    after: State
    before: tuple[State, ...]
    table: Ints
    lower: Ints
    taken: Ints
    hosts: tuple[Hosts, ...]


@dataclass(frozen=True)
class Solved:
    """The best plan, and what others may start from."""

    plan: SegmentPlan
    """With prices, if hosts have any, in neither its time nor its bound."""
    hosts: tuple[Host | None, ...]
    """Of each operator, where it does not run on the arrays."""
    until_ps: tuple[int, ...]
    """The least time up to each cut."""
    least_ps: int
    """No plan takes less, prices included."""


def solve_segments(problem: SegmentProblem, known: Known | None = None) -> SegmentPlan:
    """The best plan of the plan space (up to the grids), with a bound on all that space (module docstring).

    `known`: of problems with the same chip that were solved before.
    """
    return solve_with(problem, None, known).plan


def solve_with(problem: SegmentProblem, choices: Choices | None, known: Known | None = None) -> Solved:
    """The same where operators have `choices` to run elsewhere, which are of the same problem."""
    return _Solver(problem, choices, known).solved()


def with_hosts(problem: SegmentProblem, hosts: Sequence[Host | None]) -> SegmentProblem:
    """The problem with operators elsewhere, where they have a host."""
    pairs = zip(problem.operators, hosts, strict=True)
    return replace(problem, operators=tuple(op if host is None else replace(op, host=host) for op, host in pairs))


def preload_levels(problem: SegmentProblem) -> Ints:
    """Numbers of preloaded arrays to look at."""
    arrays = problem.chip.arrays
    if not problem.chip.overlap_writes:
        return np.zeros(1, np.int64)
    return np.unique(np.round(np.linspace(0, arrays, arrays + 1 if arrays <= 16 else 9)).astype(np.int64))


@dataclass(frozen=True)
class _Found:
    """A plan with its hosts; its time with their prices, and what bounds that for the hosts that these stand for."""

    plan: SegmentPlan
    hosts: tuple[Host | None, ...]
    priced_ps: int
    lower_ps: int


class _Solver:
    """Tables of the dynamic program: the least time up to a cut, by state and number of preloaded arrays, as it is and
    as it bounds all numbers up to the next level."""

    def __init__(self, problem: SegmentProblem, choices: Choices | None = None, known: Known | None = None):
        self.problem, self.choices = problem, choices
        self.windows = Windows(problem, known)
        self.states = States(self.windows)
        self.levels = preload_levels(problem)
        self.tables = self.windows.known.tables
        self.moves: dict[tuple[object, ...], list[_Moves]] = {}
        self.decisions: dict[tuple[object, ...], Decision] = {}
        count = len(problem.operators)
        # A level takes from the tables what it saves itself, or to bound all up to the next what that saves.
        last = len(self.levels) - 1
        near = [min(i + (self.levels[min(i + 1, last)] > self.levels[i] + 1), last) for i in range(last + 1)]
        self.saving = np.array([range(last + 1), near])
        self.best: list[dict[State, Ints]] = [{} for _ in range(count + 1)]
        self.back: list[dict[State, Back]] = [{} for _ in range(count + 1)]
        self.unseen: list[int] = [NEVER] * (count + 1)
        """The least up to a cut, behind a segment with choices that are not looked at."""

    def solved(self) -> Solved:
        """Forward over cuts, then back along the choices."""
        problem, count = self.problem, len(self.problem.operators)
        wholes = self._wholes()
        if wholes and self.choices is None and wholes[0].plan.total_ps <= lower_bound(problem, loads=True):
            # Any other plan loads what stays in this one.
            whole = replace(wholes[0].plan, bound_ps=wholes[0].plan.total_ps)
            until = tuple(whole.total_ps * cut // count for cut in range(count + 1))
            return Solved(whole, (None,) * count, until, whole.total_ps)
        start = np.full((2, len(self.levels)), NEVER, np.int64)
        start[:, 0] = 0
        self.best[0][()] = start
        for first in range(count):
            self._see(first)
            for moves in self._moves(first):
                self._offer(first, moves)
        self._see(count)
        found = [*wholes, *self._followed()]
        best = min(found, key=lambda each: each.priced_ps)
        least = int(self.best[count][()][1, 0]) if () in self.best[count] else NEVER
        stays = min((each.lower_ps for each in found if each.plan.resident), default=NEVER)
        least = min(problem.fixed_ps + least, stays)
        if self.choices is None:
            least = max(lower_bound(problem), least)
        until = tuple(min((int(table[0].min()) for table in at.values()), default=NEVER) for at in self.best)
        plan = replace(best.plan, bound_ps=min(least, best.plan.total_ps) if self.choices is None else None)
        return Solved(plan, best.hosts, until, min(least, best.lower_ps))

    def _see(self, cut: int) -> None:
        """Bound what comes behind `cut` by choices that nobody looks at, if they are cheaper; pass it on."""
        if self.choices is None:
            return
        if self.unseen[cut] < NEVER:
            for state in self.states.at[cut]:
                never = np.full((2, len(self.levels)), NEVER, np.int64)
                table = self.best[cut].setdefault(state, never)
                self.back[cut].setdefault(state, [(0, (), 0, ())] * len(self.levels))
                np.minimum(table[1], self.unseen[cut], out=table[1])
        least = min((int(table[1].min()) for table in self.best[cut].values()), default=NEVER)
        for later, rest in self.choices.cuts(cut) if cut < len(self.problem.operators) else ():
            self.unseen[later] = min(self.unseen[later], least + rest)

    def _offer(self, first: int, moves: _Moves) -> None:
        """Takes segments into the tables where they are better."""
        cut, after, count = first + moves.length, _shifted(moves.after, first), len(self.levels)
        before = [_shifted(state, first) for state in moves.before]
        never = np.full((2, count), NEVER, np.int64)
        reached = np.stack([self.best[first].get(state, never) for state in before], axis=1)
        own = np.stack([moves.table[:, self.saving[0]], moves.lower[:, self.saving[1]]])
        made = (reached[:, :, :, None] + own).reshape(2, -1, count)
        least, values = made[0].argmin(axis=0), made.min(axis=1)
        old = self.best[cut].setdefault(after, never)
        back = self.back[cut].setdefault(after, [(0, (), 0, ())] * count)
        for level in np.flatnonzero(values[0] < old[0]).tolist():
            state, preloaded = divmod(int(least[level]), count)
            back[level] = (first, before[state], preloaded, moves.hosts[int(moves.taken[state, preloaded, level])])
        np.minimum(old, values, out=old)

    def _moves(self, first: int) -> list[_Moves]:
        """The segments from `first` on, from the memo where an earlier operator has the same numbers around it."""
        end = self._furthest(first)
        key = self._surroundings(first, end)
        if key not in self.moves:
            self.moves[key] = [moves for cut in range(first + 1, end + 1) for moves in self._segments(first, cut)]
        return self.moves[key]

    def _furthest(self, first: int) -> int:
        """The cut behind the longest segment from `first` on."""
        operators, chip = self.problem.operators, self.problem.chip
        if self.choices is not None:
            return max(cut for cut in range(first + 1, len(operators) + 1) if self.choices.has(first, cut))
        arrays, end = operators[first].arrays(chip), first + 1
        while end < len(operators) and arrays + operators[end].arrays(chip) <= chip.arrays:
            arrays += operators[end].arrays(chip)
            end += 1
        return end

    def _surroundings(self, first: int, end: int) -> tuple[object, ...]:
        """All that the segments from `first` to cuts up to `end` depend on."""
        windows, operators = self.windows, self.problem.operators
        ids = [id(op) for op in windows.anonymous]
        inside = tuple(
            (
                ids[i],
                windows.last_reads[i] - first,
                tuple((s - first, ids[s]) for s in operators[i].producers),
                tuple(s - first for s in operators[i].sources),
                tuple(s - first for s in operators[i].late_producers),
                tuple(s - first for s in operators[i].whole_producers),
            )
            for i in range(first, end)
        )
        kept = sorted({p for cut in range(first, end + 1) for state in self.states.at[cut] for p, _ in state})
        reads = tuple((p - first, ids[p], windows.last_reads[p] - first) for p in kept if p < first)
        readers = tuple(ids[windows.last_reads[p]] for p in kept)
        states = tuple(tuple(_shifted(s, -first) for s in self.states.at[cut]) for cut in range(first, end + 1))
        elsewhere = tuple(self._choices(first, cut) for cut in range(first + 1, end + 1))
        return inside, reads, readers, states, elsewhere

    def _choices(self, first: int, cut: int) -> tuple[Choice, ...]:
        return (Choice((), 0, (), 0),) if self.choices is None else self.choices.of(first, cut)

    def _segments(self, first: int, cut: int) -> Iterator[_Moves]:
        """The segments from `first` to `cut`, by the state that they end in."""
        choices = self._choices(first, cut)
        found: dict[State, list[tuple[State, Ints, Ints]]] = {}
        for before in self.states.at[first]:
            for after in self.states.after(first, before, cut):
                places = dict((*before, *after))
                tables = np.stack([self._priced(first, cut, places, each.hosts, each.price_ps) for each in choices])
                lower = tables
                if any(each.ideal != each.hosts for each in choices):
                    ideal = [self._priced(first, cut, places, each.ideal, each.ideal_price_ps) for each in choices]
                    lower = np.stack(ideal)
                if int(lower.min()) < NEVER:
                    found.setdefault(after, []).append((before, tables, lower))
        hosts = tuple(each.hosts for each in choices)
        for after, ways in found.items():
            before = tuple(_shifted(state, -first) for state, *_ in ways)
            tables, lower = np.stack([tables for _, tables, _ in ways]), np.stack([lower for *_, lower in ways])
            least = tables.min(axis=1), lower.min(axis=1), tables.argmin(axis=1)
            yield _Moves(cut - first, _shifted(after, -first), before, *least, hosts)

    def _priced(self, first: int, cut: int, places: Mapping[int, Place], hosts: Hosts, price_ps: int) -> Ints:
        """[preloaded, preloads]: the least time and prices of a segment; NEVER where it does not fit."""
        window = self.windows.window(first, cut - 1, places, hosts)
        if window is None:
            return np.full((len(self.levels), len(self.levels)), NEVER, np.int64)
        table = self._table(window)
        return np.where(table < NEVER, table + price_ps, NEVER) if price_ps else table

    def _table(self, window: Window) -> Ints:
        """[preloaded, preloads]: the least time of a window, from the memo where it has the same numbers."""
        found = self.tables.get(window.key)
        self.windows.known.asked += 1
        if found is None:
            found = Resident(window).table(self.levels)
            if window.can_be_tiled:
                found = np.minimum(found, Tiled(window).table(self.levels))
            self.tables[window.key] = found
        return found

    def _followed(self) -> list[_Found]:
        """The plan of the best way through the tables, if it is no whole one."""
        cut, state, level = len(self.problem.operators), (), 0
        if () not in self.best[cut] or self.best[cut][()][0, 0] >= NEVER:
            raise PlacementError("expected a chip with an array for a tile of each operator, it has too few")
        decisions: list[Decision] = []
        places: dict[int, Place] = {}
        hosts: list[Host | None] = [None] * cut
        while cut:
            first, before, preloaded, elsewhere = self.back[cut][state][level]
            window = self.windows.window(first, cut - 1, dict((*before, *state)), elsewhere)
            assert window is not None
            decisions.append(self._decision(window, first, int(self.levels[preloaded]), int(self.levels[level])))
            places.update(before)
            for offset, host in elsewhere:
                hosts[first + offset] = host
            cut, state, level = first, before, preloaded
        if len(decisions) == 1 and decisions[0].tiling is None:
            return []
        plan = assemble(self._windows_with(hosts), decisions[::-1], places)
        priced = self.problem.fixed_ps + int(self.best[-1][()][0, 0])
        return [_Found(plan, tuple(hosts), priced, priced)]

    def _windows_with(self, hosts: Sequence[Host | None]) -> Windows:
        """The windows of the problem with operators elsewhere."""
        return self.windows if self.choices is None else Windows(with_hosts(self.problem, hosts), self.windows.known)

    def _decision(self, window: Window, first: int, preloaded: int, preloads: int) -> Decision:
        """The allocation behind a table's entry."""
        key = window.key, preloaded, preloads
        if key not in self.decisions:
            self.decisions[key] = self._decide(window, first, preloaded, preloads)
        return replace(self.decisions[key], first=first)

    def _decide(self, window: Window, first: int, preloaded: int, preloads: int) -> Decision:
        at = np.array([preloaded]), np.array([preloads])
        one = np.unique(np.concatenate([[0], *at]))
        row, column = int(np.searchsorted(one, preloaded)), int(np.searchsorted(one, preloads))
        resident = Resident(window)
        if window.can_be_tiled:
            tiled = Tiled(window)
            if tiled.table(one)[row, column] < resident.table(one)[row, column]:
                return tiled.decision(first, preloaded, preloads)
        return resident.decision(first, preloaded, preloads)

    def _wholes(self) -> list[_Found]:
        """The program as one segment whose weights stay on the chip, where they fit, for each choice of hosts."""
        count = len(self.problem.operators)
        if self.choices is not None:
            self.choices.cuts(0)
        return [each for choice in self._choices(0, count) if (each := self._whole(choice)) is not None]

    def _whole(self, choice: Choice) -> _Found | None:
        count, totals = len(self.problem.operators), list[int]()
        hosts: list[Host | None] = [None] * count
        plan: SegmentPlan | None = None
        for elsewhere in dict.fromkeys((choice.ideal, choice.hosts)):
            for offset, host in elsewhere:
                hosts[offset] = host
            windows = self._windows_with(hosts)
            window = windows.window(0, count - 1, {})
            if window is None or int(window.unit_arrays.sum()) + window.least_memory > self.problem.chip.arrays:
                return None
            plan = assemble(windows, [Resident(window).decision(0, 0, 0, weights_stay=True)], {})
            totals.append(plan.total_ps)
        assert plan is not None
        return _Found(plan, tuple(hosts), totals[-1] + choice.price_ps, totals[0] + choice.ideal_price_ps)


def _shifted(state: State, by: int) -> State:
    return tuple((producer + by, place) for producer, place in state)
