"""The latency-energy front: plans of which no other is better in both.

**Epsilon constraint.** Least latency and least energy are the ends. Between them, for limits of latency, the plan of
least energy within the limit, and then, at no more than that energy, the plan of least latency: so no point is
dominated by a plan that the solver could find. A point is proven if both steps were: no plan within its latency takes
less energy, and none within its energy less latency, but for the relative `gap` that is stated.

Limits go where the front is least known: between the two neighbouring points whose rectangle is largest, in logarithms
of latency and energy, in its middle; and where nothing is found there, just below the slower point's latency. When no
rectangle holds another plan, all points are found, however few.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from math import log

from .constraints import Constraints, constrained
from .problem import PlacementError, Plan, Problem
from .solve import Solution, solve

PROVEN = 1e-6
"""A relative gap that is none."""


@dataclass(frozen=True)
class FrontPoint:
    """A plan of `problem` (whose options may be more than were asked about), and what is proven of it."""

    problem: Problem
    plan: Plan
    energy_bound_pj: float
    """No plan that is as fast takes less energy than this."""
    gap: float
    """energy / energy_bound_pj - 1."""
    proven: bool
    """No plan is as fast and takes less energy, or takes no more energy and is faster."""


def front(problem: Problem, n: int, time_limit_s: float) -> list[FrontPoint]:
    """At most `n` >= 2 points, from the fastest to the one of least energy. PlacementError if there is no plan."""
    search = _Front(problem, time.monotonic() + time_limit_s, n)
    fast, frugal = search.fastest(), search.frugal()
    points = [fast] if _same(fast, frugal) else [fast, frugal]
    finished: set[tuple[int, int]] = set()
    while len(points) < n and search.left() > 0:
        gaps = [
            (_size(first, second), i)
            for i, (first, second) in enumerate(pairwise(points))
            if _key(first, second) not in finished
        ]
        if not gaps:
            break
        i = max(gaps)[1]
        first, second = points[i], points[i + 1]
        found = search.between(first, second)
        if found is None:
            finished.add(_key(first, second))
        else:
            points = _undominated([*points, found])
    return points


@dataclass
class _Front:
    """What the search for points shares: the problem, with options added on the way."""

    problem: Problem
    deadline: float
    points: int

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def fastest(self) -> FrontPoint:
        """The plan of least latency, and of these of least energy."""
        first = self._least("latency", Constraints())
        return self._finished(first, float(first.plan.latency_ps), first.bound * 1000)

    def frugal(self) -> FrontPoint:
        """The plan of least energy, and of these of least latency."""
        return self._finished(self._least("energy", Constraints()), None, None)

    def between(self, first: FrontPoint, second: FrontPoint) -> FrontPoint | None:
        """A point with a latency between those of two; None if there is none."""
        low, high = first.plan.latency_ps, second.plan.latency_ps
        middle = int((low * high) ** 0.5)
        for limit in dict.fromkeys((middle, high - 1)):
            if not low < limit < high or self.left() <= 0:
                continue
            try:
                least = self._least("energy", Constraints(max_latency_ps=limit))
            except PlacementError:
                continue
            point = self._finished(least, float(limit), None)
            if not (_dominates(first, point) or _dominates(second, point)):
                return point
        return None

    def _finished(self, least: Solution, limit: float | None, bound_ps: float | None) -> FrontPoint:
        """A point from its first step and its second: least energy at the latency, or least latency at the energy."""
        plan, proven = least.plan, least.status == "optimal"
        if bound_ps is not None:
            second = self._least("energy", Constraints(max_latency_ps=plan.latency_ps), plan)
            plan, bound = second.plan, second.bound
            proven = proven and second.status == "optimal"
        else:
            bound = least.bound
            # A little more than the energy, as sums of floats differ in their order.
            second = self._least("latency", Constraints(max_energy_pj=plan.energy_pj * (1 + 1e-9)), plan)
            proven = proven and second.status == "optimal"
            if second.plan.energy_pj <= plan.energy_pj * (1 + 1e-9) and second.plan.latency_ps < plan.latency_ps:
                plan = second.plan
        gap = plan.energy_pj / bound - 1 if bound > 0 else float(plan.energy_pj > 0)
        return FrontPoint(self.problem, plan, min(bound, plan.energy_pj), max(gap, 0.0), proven)

    def _least(self, objective: str, limits: Constraints, start: Plan | None = None) -> Solution:
        """The best plan by one objective within limits; options that it needed stay in the problem."""
        share = max(self.left() / max(self.points, 1), 0.05)
        none = [None] * len(self.problem.tiers)
        problem = constrained(replace(self.problem, objective=objective), limits, none)
        solution = solve(problem, start, share)
        grown = replace(solution.problem, objective=self.problem.objective, budgets=self.problem.budgets)
        self.problem = grown
        return solution


def _size(first: FrontPoint, second: FrontPoint) -> float:
    """The rectangle between two points, in logarithms."""
    wide = log(second.plan.latency_ps / max(first.plan.latency_ps, 1))
    return wide * log(max(first.plan.energy_pj, 1e-12) / max(second.plan.energy_pj, 1e-12))


def _key(first: FrontPoint, second: FrontPoint) -> tuple[int, int]:
    return first.plan.latency_ps, second.plan.latency_ps


def _same(first: FrontPoint, second: FrontPoint) -> bool:
    return _dominates(first, second) or _dominates(second, first)


def _dominates(first: FrontPoint, second: FrontPoint) -> bool:
    """Whether the first is no worse in both."""
    a, b = first.plan, second.plan
    return a.latency_ps <= b.latency_ps and a.energy_pj <= b.energy_pj * (1 + 1e-9)


def _undominated(points: list[FrontPoint]) -> list[FrontPoint]:
    """Those that no other dominates, from the fastest on."""
    points = sorted(points, key=lambda point: (point.plan.latency_ps, point.plan.energy_pj))
    kept: list[FrontPoint] = []
    for point in points:
        if not kept or not _dominates(kept[-1], point):
            kept.append(point)
    return kept
