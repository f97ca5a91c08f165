"""Segments and hosts in one problem: which operators run on the arrays that are rewritten, which elsewhere.

**Plan space.** That of module `problem`, and every operator may instead run on one of its hosts: whole, for good.
Arrays of other tiers are limited over the whole program, and so is the loss of quality, which is a sum over operators
of what each loses where it is. The dynamic program chooses cuts, modes, places and hosts at once (module `choices`).

**Budgets** couple all operators. They enter by multipliers: a price for each array of another tier and for loss. For
every price the dynamic program's bound, less what the budgets are worth, bounds all plans that keep to them. Prices are
sought between those at which a budget is exceeded and those at which it is not. What the program chooses at a price is
made to keep the budgets, by fewer copies or by taking back what saves least, and is solved again with these hosts; in
the end so is the best plan with other hosts for one or two operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor, inf

from .choices import FEW, Choices, Way, ways_of
from .dynamic import Solved, solve_with, with_hosts
from .problem import Host, PlacementError, SegmentPlan, SegmentProblem
from .window import Known, known_of

ROUNDS = 12
"""Of prices."""
MOST_ASKED = 60_000
"""Prices of windows that are asked for, after which the prices of budgets are not changed any more: half a minute."""
FORBIDDEN_PS = 10**15
"""The price of an operator that must not be here, and the most of any: a quarter of an hour. Sums are of 64 bits."""
CLOSE = 1e-3
"""Relative gap at which prices are good enough; `GOOD`: at which no more plans are tried."""
GOOD = 1e-2
MOST_MOVES = 120
"""Solved for at the end, times operators: other hosts of one or two operators of the best plan."""
LITTLE = 1e-9
"""Slack of sums of losses."""


@dataclass(frozen=True)
class HostedProblem:
    """A problem with all operators on the arrays that segments are cut for, and where else each may run."""

    problem: SegmentProblem
    menu: tuple[tuple[Host, ...], ...]
    arrays: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of other tiers."""
    here_loss: tuple[float, ...] = ()
    """Of each operator where it is not elsewhere; inf: it must not be here. Without losses: none."""
    host_loss: tuple[tuple[float, ...], ...] = ()
    """As `menu`."""
    max_loss: float | None = None

    def loss(self, hosts: Sequence[Host | None]) -> float:
        """The sum for a choice of hosts."""
        if not self.here_loss:
            return 0.0
        return sum(self.lost(i, host) for i, host in enumerate(hosts))

    def lost(self, i: int, host: Host | None) -> float:
        """By one operator."""
        if not self.here_loss:
            return 0.0
        return self.here_loss[i] if host is None else self.host_loss[i][self.menu[i].index(host)]

    def held(self, hosts: Sequence[Host | None]) -> dict[str, int]:
        """Arrays of other tiers that a choice takes."""
        found = dict.fromkeys(self.arrays, 0)
        for host in hosts:
            if host is not None and host.arrays:
                found[host.tier] += host.arrays
        return found

    def keeps(self, hosts: Sequence[Host | None]) -> bool:
        """Whether a choice is within the budgets."""
        fits = all(taken <= self.arrays[tier] for tier, taken in self.held(hosts).items())
        return fits and self.may_lose(hosts)

    def may_lose(self, hosts: Sequence[Host | None]) -> bool:
        """Whether a choice keeps to the loss allowed."""
        loss = self.loss(hosts)
        return loss < inf and (self.max_loss is None or loss <= self.max_loss * (1 + LITTLE))


@dataclass(frozen=True)
class Hosted:
    """A plan, and the problem whose operators have their hosts."""

    problem: SegmentProblem
    plan: SegmentPlan
    """Its `bound_ps` is one of all plans with all hosts."""
    plain: SegmentPlan
    """The best one with all operators here, whatever it loses."""


def solve_hosted(hosted: HostedProblem, known: Known | None = None) -> Hosted:
    """The best plan found, with a bound. PlacementError if none keeps to the budgets."""
    return _Search(hosted, known or known_of(hosted.problem.chip)).run()


@dataclass(frozen=True)
class _Prices:
    """In ps: of an array of each other tier, and of loss."""

    arrays: Mapping[str, float]
    loss: float


class _Search:
    def __init__(self, hosted: HostedProblem, known: Known):
        self.hosted, self.known = hosted, known
        self.plain = solve_with(hosted.problem, None, known)
        self.saves = [later - until for until, later in zip(self.plain.until_ps, self.plain.until_ps[1:], strict=False)]
        self.best: Hosted | None = None
        self.bound = 0
        self.tried: set[tuple[Host | None, ...]] = set()
        """Solved for alone."""
        self.between: dict[str, tuple[float, float]] = {}
        """Of each budget the dearest price at which it was exceeded, and the cheapest at which it was not."""

    def run(self) -> Hosted:
        """Prices, and plans for each."""
        hosted, prices = self.hosted, _Prices({tier: self._start(tier) for tier in self.hosted.arrays}, 0.0)
        none: tuple[Host | None, ...] = (None,) * len(hosted.menu)
        if hosted.keeps(none):
            self.tried.add(none)
            self._take(none, self.plain.plan)
        if not any(hosted.menu):
            return self._result(self.plain.plan.bound_ps or 0)
        most = self.known.asked + MOST_ASKED
        for _ in range(ROUNDS):
            solved = solve_with(hosted.problem, self._choices(prices), self.known)
            worth = sum(price * hosted.arrays[tier] for tier, price in prices.arrays.items())
            worth += prices.loss * (hosted.max_loss or 0.0) * (1 + LITTLE)
            bound = solved.least_ps - ceil(worth)
            self.bound = max(self.bound, bound)
            if hosted.keeps(solved.hosts):
                self._take(solved.hosts, solved.plan)
            if hosted.arrays or hosted.max_loss is not None:
                slowest = max((host.alone_ps for host in solved.hosts if host is not None), default=0)
                for pace in sorted({slowest, 0}):
                    self._try(self._kept_to(solved.hosts, pace))
            best = inf if self.best is None else self.best.plan.total_ps
            if best <= self.bound * (1 + CLOSE):
                break
            prices = self._next(prices, solved)
            if self.known.asked > most or (not any(prices.arrays.values()) and not prices.loss):
                break
        if self.best is None:
            self._try(self._kept_to(self._cautious(), 0))
        self._improve(most)
        return self._result(self.bound)

    def _start(self, tier: str) -> float:
        """What the last array of a tier saves, where those that save most take them; 0 where all have room."""
        room = self.hosted.arrays[tier]
        for rate, own in self._rates(tier):
            room -= own
            if room < 0:
                return max(0.0, rate)
        return 0.0

    def _rates(self, tier: str) -> list[tuple[float, int]]:
        """What each operator saves an array, and the arrays, of one copy on a tier; the most first."""
        least = [min((h.arrays for h in hosts if h.tier == tier), default=0) for hosts in self.hosted.menu]
        return sorted(((saved / own, own) for saved, own in zip(self.saves, least, strict=True) if own), reverse=True)

    def _first(self, budget: str) -> float:
        """A price where none was too low yet: of arrays, if one copy of each has room, what one saves at least; of loss
        (""), what all time saves."""
        total = self.plain.plan.total_ps
        if not budget:
            return total / max(self.hosted.max_loss or 0.0, 1e-12)
        least = [rate for rate, _ in self._rates(budget) if rate > 0]
        return self._start(budget) or min(least, default=total / max(1, self.hosted.arrays[budget]))

    def _result(self, bound: int) -> Hosted:
        if self.best is None:
            most = "so little" if self.hosted.max_loss is None else f"at most {self.hosted.max_loss:.4g}"
            raise PlacementError(f"expected a plan of segments that loses {most}, found none")
        plan = self.best.plan
        return replace(self.best, plan=replace(plan, bound_ps=min(bound, plan.total_ps)))

    def _choices(self, prices: _Prices) -> Choices:
        hosted, count = self.hosted, len(self.hosted.menu)
        here = [0] * count
        ways: list[tuple[Way, ...]] = []
        for i, hosts in enumerate(hosted.menu):
            costs = [floor(prices.arrays.get(host.tier, 0.0) * host.arrays) for host in hosts]
            if hosted.here_loss:
                losses = hosted.host_loss[i]
                losing = zip(costs, losses, strict=True)
                costs = [c + floor(min(prices.loss * lost, FORBIDDEN_PS)) for c, lost in losing if lost < inf]
                hosts = tuple(host for host, lost in zip(hosts, losses, strict=True) if lost < inf)
                lost = hosted.here_loss[i]
                here[i] = floor(min(prices.loss * lost, FORBIDDEN_PS)) if lost < inf else FORBIDDEN_PS
            ways.append(ways_of(hosts, costs))
        return Choices(hosted.problem, ways, here, self.plain.until_ps)

    def _next(self, prices: _Prices, solved: Solved) -> _Prices:
        """Between the dearest prices at which a budget was exceeded and the cheapest at which it was not."""
        hosted, held = self.hosted, self.hosted.held(solved.hosts)
        arrays = {tier: self._price(tier, now, held[tier] > hosted.arrays[tier]) for tier, now in prices.arrays.items()}
        loss = 0.0
        if hosted.max_loss is not None:
            loss = self._price("", prices.loss, not hosted.may_lose(solved.hosts))
        return _Prices(arrays, loss)

    def _price(self, budget: str, now: float, is_over: bool) -> float:
        low, high = self.between.get(budget, (0.0, inf))
        low, high = (max(low, now), high) if is_over else (low, min(high, now))
        self.between[budget] = low, high
        if high == inf:
            return max(now * 4, self._first(budget))
        return (low * high) ** 0.5 if low else (high / 4 if high > 1e-300 else 0.0)

    def _try(self, hosts: tuple[Host | None, ...] | None) -> None:
        """Solve for hosts that keep the budgets."""
        if hosts is None or hosts in self.tried or not self.hosted.keeps(hosts):
            return
        problem = with_hosts(self.hosted.problem, hosts)
        self.tried.add(hosts)
        self._take(hosts, solve_with(problem, None, self.known).plan)

    def _cautious(self) -> tuple[Host | None, ...]:
        """Operators where they lose least, those first that lose most more on the arrays of the segments."""
        hosted, chosen = self.hosted, list[Host | None]([None] * len(self.hosted.menu))
        least = [min(hosted.lost(i, host) for host in (None, *hosts)) for i, hosts in enumerate(hosted.menu)]
        spared = [hosted.lost(i, None) - lost if lost < inf else 0.0 for i, lost in enumerate(least)]
        for i in sorted(range(len(chosen)), key=lambda i: -spared[i]):
            held = hosted.held(chosen)
            fits = [h for h in hosted.menu[i] if not h.arrays or held[h.tier] + h.arrays <= hosted.arrays[h.tier]]
            costs = [(hosted.lost(i, host), 0 if host is None else host.arrays) for host in (None, *fits)]
            chosen[i] = (None, *fits)[costs.index(min(costs))]
        return tuple(chosen)

    def _improve(self, most: int) -> None:
        """The best plan for its hosts alone, then with others for one or two operators, those first that should take
        least, as long as one is better and fewer than `most` prices of windows are asked for. Without budgets the
        program has chosen hosts itself, so that only programs of a few operators are looked at again."""
        count, has_budgets = len(self.hosted.menu), bool(self.hosted.arrays) or self.hosted.max_loss is not None
        left, is_better = MOST_MOVES // count if has_budgets or count <= FEW else 0, True
        while is_better and self.best is not None:
            best, is_better = self.best, False
            own = tuple(operator.host for operator in best.problem.operators)
            for hosts in (own, *self._near(own)):
                is_close = best.plan.total_ps <= self.bound * (1 + GOOD)
                if left <= 0 or is_close or self.known.asked > most:
                    return
                self._try(hosts)
                left -= 1
                is_better = self.best is not best
                if is_better:
                    break

    def _near(self, hosts: tuple[Host | None, ...]) -> list[tuple[Host | None, ...]]:
        """Choices that keep the budgets and differ from `hosts` in one or two operators, none tried yet."""
        found: dict[tuple[Host | None, ...], int] = {}
        ways = [(i, way) for i, menu in enumerate(self.hosted.menu) for way in (None, *menu) if way != hosts[i]]
        takes = {(i, way): self._takes(i, way, 0) - self._takes(i, hosts[i], 0) for i, way in ways}
        for i, way in ways:
            one = (*hosts[:i], way, *hosts[i + 1 :])
            found.setdefault(one, takes[i, way])
            for j, other in ways if len(hosts) <= FEW else ():
                if j > i:
                    found[(*one[:j], other, *one[j + 1 :])] = takes[i, way] + takes[j, other]
        kept = [each for each in found if each not in self.tried and self.hosted.keeps(each)]
        return sorted(kept, key=lambda each: found[each])

    def _take(self, hosts: tuple[Host | None, ...], plan: SegmentPlan) -> None:
        if self.best is None or plan.total_ps < self.best.plan.total_ps:
            problem = with_hosts(self.hosted.problem, hosts) if any(hosts) else self.hosted.problem
            self.best = Hosted(problem, plan, self.plain.plan)

    def _kept_to(self, hosts: tuple[Host | None, ...], pace_ps: int) -> tuple[Host | None, ...] | None:
        """A choice that keeps the budgets, from one that does not; None where none was found. Time elsewhere is
        taken to overlap that here up to `pace_ps`, and to be added to it beyond."""
        chosen, hosted = list(hosts), self.hosted
        while full := {tier for tier, taken in hosted.held(chosen).items() if taken > hosted.arrays[tier]}:
            out = [i for i, host in enumerate(chosen) if host is not None and host.tier in full]
            if not self._move(chosen, out, lambda i, old, new: _arrays(old, full) - _arrays(new, full), pace_ps):
                return None
        while not hosted.may_lose(chosen):
            if not self._move(
                chosen, range(len(chosen)), lambda i, old, new: hosted.lost(i, old) - hosted.lost(i, new), pace_ps
            ):
                return None
        while self._move(chosen, range(len(chosen)), None):
            pass
        return tuple(chosen)

    def _move(
        self,
        chosen: list[Host | None],
        operators: Sequence[int],
        gain: Callable[[int, Host | None, Host | None], float] | None,
        pace_ps: int = 0,
    ) -> bool:
        """Move the operator that costs least time for what it gains; without `gain` one that saves time, and keeps the
        budgets, the most of it an array. Returns whether there was one."""
        hosted, held = self.hosted, self.hosted.held(chosen)
        left = inf if hosted.max_loss is None else hosted.max_loss - hosted.loss(chosen)
        best: tuple[float, int, Host | None] | None = None
        for i in operators:
            old = chosen[i]
            for new in (None, *hosted.menu[i]):
                more = (
                    0 if new is None else new.arrays - (old.arrays if old is not None and old.tier == new.tier else 0)
                )
                if new == old or (new is not None and more > 0 and held[new.tier] + more > hosted.arrays[new.tier]):
                    continue
                if hosted.lost(i, new) == inf:
                    continue
                slower = self._takes(i, new, pace_ps) - self._takes(i, old, pace_ps)
                gained = max(1, more) if gain is None else gain(i, old, new)
                if gain is None and (slower >= 0 or hosted.lost(i, new) - hosted.lost(i, old) > left):
                    continue
                if gained > 0 and (best is None or slower / gained < best[0]):
                    best = slower / gained, i, new
        if best is not None:
            chosen[best[1]] = best[2]
        return best is not None

    def _takes(self, i: int, host: Host | None, pace_ps: int) -> int:
        """About what an operator takes."""
        if host is None:
            return self.saves[i]
        return host.alone_ps if host.alone_ps > pace_ps else 0


def _arrays(host: Host | None, tiers: set[str]) -> int:
    return host.arrays if host is not None and host.tier in tiers else 0
