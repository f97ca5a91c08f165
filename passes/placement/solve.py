"""The exact strategy: options refined where better plans may be, a plan by an integer program, a bound over all plans.

For weights a, b >= 0 the least of a L + b E (latency, energy) is bounded from below and a plan near it is found:

1. the relaxation over all options gives prices of arrays (`relaxation`);
2. at these prices every operator is bounded over all its plans (`bound`); at times where a better plan than any option
   may be, options are added, and 1 is done again;
3. an integer program over the options of least reduced cost gives a plan (`integer`).

Few options are not refined but all given to the integer program, which then solves to the optimum.

**EDP.** L E is quasi-concave for L, E > 0, so over any set it is least at a corner of the convex hull: the best plan has the
least a L + b E for some weights. Each line a L + b E >= least that is found cuts the (L, E) plane; of the region left
the least product is at one of its corners, which bounds all plans. The corner of least product is cut next, by the
chord between the two points that its lines were found with, until it is no lower than the best plan.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from .bound import LEVELS, OperatorBound, Prices, operator_bound
from .integer import Limits, choose, undominated
from .options import options_at
from .problem import Floats, Ints, OptionSet, Plan, Problem, evaluate
from .relaxation import Pool, Relaxed, constant_term, relax

SMALL = 600
"""A problem of no more undominated options is solved to its optimum."""
PEEK = 2
"""Levels of the bound that show where options are missing."""
TANGENTS = 3
ENOUGH = 5e-4
"""Relative gap of an operator's bound at which it is not refined further; gap of the integer program."""
COLUMNS = 200
NODES = 400
LINES = 16
"""Most lines around the hull for EDP."""
OPTIMAL = 1e-6
"""A relative gap that is none."""
SAFE = 1 - 1e-9
"""Sums of floats are taken this much lower when they bound."""


@dataclass(frozen=True)
class Solution:
    """A plan for `problem`, whose options may be more than were asked about. `bound` is in the objective's unit."""

    problem: Problem
    plan: Plan
    bound: float
    status: str
    """"optimal" (no gap), "feasible", or "time-limit"."""
    seconds: float


def solve(problem: Problem, incumbent: Plan, time_limit_s: float) -> Solution:
    """The best plan found, no worse than `incumbent`, and a bound for all plans."""
    start = time.monotonic()
    search = _Search(problem, incumbent, start + time_limit_s)
    bound = search.edp() if problem.objective == "edp" else search.single()
    value = search.value(search.best)
    bound = min(bound, value)
    status = "optimal" if value <= bound * (1 + OPTIMAL) else "time-limit" if search.timed_out else "feasible"
    return Solution(search.problem, search.best, bound, status, time.monotonic() - start)


@dataclass(frozen=True)
class _Line:
    """a latency + b energy >= least, found with a point that lies on it or near."""

    a: float
    b: float
    least: float
    latency: float
    energy: float

    @property
    def slope(self) -> float:
        """From 0, of least latency, to infinity, of least energy."""
        return self.b / self.a if self.a else np.inf

    def cuts(self, corner: tuple[float, float]) -> float:
        """By which share of its own height the line is above a corner."""
        return 1 - (self.a * corner[0] + self.b * corner[1]) / self.least if self.least else 0.0


class _Search:
    """The state of one solve: the problem with the options so far, the best plan."""

    def __init__(self, problem: Problem, incumbent: Plan, deadline: float) -> None:
        self.problem, self.best, self.deadline = problem, incumbent, deadline
        self.pool = Pool(problem)
        self.timed_out = False

    def value(self, plan: Plan) -> float:
        return self.problem.value(plan.latency_ps, plan.energy_pj)

    def left(self) -> float:
        """Seconds until the deadline; notes when it has passed."""
        left = self.deadline - time.monotonic()
        self.timed_out |= left <= 0
        return left

    def single(self) -> float:
        """Latency or energy alone: the bound, in the objective's unit."""
        a, b = (1.0, 0.0) if self.problem.objective == "latency" else (0.0, 1.0)
        line = self.line(a, b)
        return line.least / 1000 if a else line.least

    def edp(self) -> float:
        """Energy-delay product: the bound."""
        if self.few() is None:
            self.at_tangent()
        lines = self.hull()
        if self.few() is None:
            lines = self.hardened(lines)
        corners = [_corner(first, second) for first, second in zip(lines, lines[1:], strict=False)]
        return min(_product(corner) for corner in corners) * SAFE

    def at_tangent(self) -> None:
        """Plans at the weights at which the best plan so far is, and new options there."""
        for turn in range(TANGENTS):
            a, b = self.best.energy_pj, float(self.best.latency_ps)
            relaxed = self.relaxed(a, b)
            if turn == TANGENTS - 1 and self.left() > 0:
                self.refine(relaxed, self.operator_bounds(relaxed, a, b, PEEK), a, b)
                relaxed = self.relaxed(a, b)
            self.plan(relaxed, self.cost(a, b))

    def hull(self) -> list[_Line]:
        """Lines around the lower hull of all options (as shares), dense where the product is least."""
        lines = [self.line(1.0, 0.0), self.line(0.0, 1.0)]
        finished: set[tuple[float, float]] = set()
        while len(lines) < LINES and self.left() > 0:
            corners = [_corner(first, second) for first, second in zip(lines, lines[1:], strict=False)]
            open_ = [i for i in range(len(corners)) if corners[i] not in finished]
            open_ = [i for i in open_ if _product(corners[i]) < self.value(self.best) * (1 - OPTIMAL)]
            if not open_:
                break
            at = min(open_, key=lambda i: _product(corners[i]))
            first, second = lines[at], lines[at + 1]
            a, b = first.energy - second.energy, second.latency - first.latency
            if a > 0 and b > 0:
                line = self.line(a, b)
                if line.cuts(corners[at]) > OPTIMAL:
                    lines.insert(at + 1, line)
                    continue
            finished.add(corners[at])
        return lines

    def hardened(self, soft: list[_Line]) -> list[_Line]:
        """Lines that hold for all plans: first roughly those at the ends, then, where the product is least, others."""
        lines = [self.harden(soft[0], 1), self.harden(soft[-1], 1)]
        while True:
            corners = [_corner(first, second) for first, second in zip(lines, lines[1:], strict=False)]
            at = min(range(len(corners)), key=lambda i: _product(corners[i]))
            if _product(corners[at]) >= self.value(self.best) * (1 - ENOUGH) or self.left() <= 0 or not soft:
                return lines
            best = max(soft, key=lambda line: line.cuts(corners[at]))
            soft.remove(best)
            if best.cuts(corners[at]) <= ENOUGH:
                return lines
            line = self.harden(best, len(LEVELS))
            if line.cuts(corners[at]) > 0:
                lines = sorted([line, *(kept for kept in lines if kept.slope != line.slope)], key=lambda each: each.slope)

    def harden(self, line: _Line, depth: int) -> _Line:
        """The same line moved to where it holds for all plans."""
        relaxed = self.relaxed(line.a, line.b)
        return replace(line, least=self.least(relaxed, self.operator_bounds(relaxed, line.a, line.b, depth), line.a, line.b))

    def single(self) -> float:
        """Latency or energy alone: the bound, in the objective's unit."""
        a, b = (1.0, 0.0) if self.problem.objective == "latency" else (0.0, 1.0)
        if self.few() is not None:
            least = self.line(a, b).least
            return least / 1000 if a else least
        relaxed = self.relaxed(a, b)
        least = -np.inf
        for depth in (PEEK, len(LEVELS)):
            bounds = self.operator_bounds(relaxed, a, b, depth)
            least = max(least, self.least(relaxed, bounds, a, b))
            if self.refine(relaxed, bounds, a, b):
                relaxed = self.relaxed(a, b)
        self.plan(relaxed, self.cost(a, b))
        return least / 1000 if a else least

    def line(self, a: float, b: float) -> _Line:
        """A line under all options; on the way a plan, where one may be better than the best so far."""
        few = self.few()
        if few is not None:
            return self.small_line(a, b, few)
        relaxed = self.relaxed(a, b)
        latency = float(self.pool.latency[relaxed.columns] @ relaxed.shares)
        energy = float(self.pool.energy[relaxed.columns] @ relaxed.shares)
        latency, energy = self.with_fixed(latency, energy)
        if self.problem.value(latency, energy) < self.value(self.best) * (1 - ENOUGH):
            self.plan(relaxed, self.cost(a, b))
        return _Line(a, b, self.constant(a, b) + relaxed.bound * SAFE, latency, energy)

    def few(self) -> Ints | None:
        """All options where there are few, and nothing beyond them; else None."""
        if any(kind.families for kind in self.problem.types) or len(self.pool) > SMALL:
            return None
        return np.arange(len(self.pool))

    def relaxed(self, a: float, b: float) -> Relaxed:
        return relax(self.pool, self.cost(a, b))

    def least(self, relaxed: Relaxed, bounds: list[OperatorBound], a: float, b: float) -> float:
        """The least of a latency + b energy over all plans, by the prices of the relaxation."""
        terms = float(self.pool.multiplicity @ np.array([bound.value for bound in bounds]))
        least = terms + constant_term(self.pool, relaxed.prices, relaxed.scratch_prices)
        return self.constant(a, b) + least * SAFE

    def constant(self, a: float, b: float) -> float:
        """What is in a latency + b energy whatever the plan."""
        latency, energy = self.with_fixed(0.0, 0.0)
        return a * latency + b * energy

    def small_line(self, a: float, b: float, columns: Ints) -> _Line:
        """The same for few options, of which the best plan is found with certainty."""
        cost = self.cost(a, b)
        columns = undominated(self.pool, cost, columns)
        chosen = choose(self.pool, cost, columns, Limits(0.0, 10**9, max(self.left(), 0.01)))
        plan = None if chosen is None else evaluate(self.problem, chosen.counts)
        if plan is None or chosen is None:
            plan, proven, bound = self.best, False, relax(self.pool, cost).bound
        else:
            proven, bound = chosen.proven, chosen.bound
            self.offer(plan)
        self.timed_out |= not proven
        reached = a * plan.latency_ps + b * plan.energy_pj
        return _Line(a, b, reached if proven else bound * SAFE + self.constant(a, b), float(plan.latency_ps), plan.energy_pj)

    def cost(self, a: float, b: float) -> Floats:
        """What each option adds to a latency + b energy."""
        return a * self.pool.latency + b * self.pool.energy

    def with_fixed(self, latency: float, energy: float) -> tuple[float, float]:
        """With what does not depend on the plan; `energy` includes the static energy of `latency`."""
        problem = self.problem
        fixed = problem.fixed_energy_pj + problem.static_pj_per_ps * problem.fixed_latency_ps
        return latency + problem.fixed_latency_ps, energy + fixed

    def offer(self, plan: Plan) -> None:
        """Keeps the plan if it is the best so far."""
        if self.value(plan) < self.value(self.best):
            self.best = plan

    def operator_bounds(self, relaxed: Relaxed, a: float, b: float, depth: int) -> list[OperatorBound]:
        """For each type the least cost of one operator at the relaxation's prices, over all plans that its tables know."""
        problem, pool = self.problem, self.pool
        resident = np.zeros(len(problem.tiers))
        resident[pool.tiers] = relaxed.prices / pool.capacity
        result: list[OperatorBound] = []
        for k, kind in enumerate(problem.types):
            target = float(relaxed.least[k])
            if not kind.families:
                result.append(OperatorBound(target, ()))
                continue
            rewritten = np.zeros(len(problem.tiers))
            rewritten[pool.tiers] = relaxed.scratch_prices[k] / pool.capacity
            prices = Prices(a + b * problem.static_pj_per_ps, b, resident, rewritten, problem.arrays)
            result.append(operator_bound(kind.families, prices, target, ENOUGH * target, depth if self.left() > 0 else 1))
        return result

    def refine(self, relaxed: Relaxed, bounds: list[OperatorBound], a: float, b: float) -> bool:
        """Adds options at the times where a plan may be better than any option; False if none is."""
        grown = False
        types = list(self.problem.types)
        for k, (kind, bound) in enumerate(zip(types, bounds, strict=True)):
            cells = [low for low, _ in bound.open]
            if not any(len(low) for low in cells):
                continue
            found = options_at(kind.families, self.problem.arrays, kind.precisions, bound.open)
            better = self.reduced(found, relaxed, k, a, b) < -1e-3 * ENOUGH * float(relaxed.least[k])
            if better.any():
                types[k] = replace(kind, options=OptionSet.concat([kind.options, found.take(better)]))
                grown = True
        if grown:
            self.problem = replace(self.problem, types=tuple(types))
            self.pool = Pool(self.problem)
        return grown

    def reduced(self, options: OptionSet, relaxed: Relaxed, kind: int, a: float, b: float) -> Floats:
        """Reduced costs of options that are not in the pool."""
        pool = self.pool
        latency = options.latency_ps.astype(np.float64)
        energy = options.energy_pj + self.problem.static_pj_per_ps * latency
        arrays = options.resident[:, pool.tiers] @ (relaxed.prices / pool.capacity)
        arrays += options.scratch[:, pool.tiers] @ (relaxed.scratch_prices[kind] / pool.capacity)
        return a * latency + b * energy + arrays - relaxed.least[kind]

    def plan(self, relaxed: Relaxed, cost: Floats) -> None:
        """A plan from the options of least reduced cost, if one is found."""
        likely = np.argsort(relaxed.reduced, kind="stable")[: 3 * COLUMNS]
        columns = undominated(self.pool, cost, np.sort(likely))
        columns = columns[np.argsort(relaxed.reduced[columns], kind="stable")[:COLUMNS]]
        chosen = choose(
            self.pool, cost, np.union1d(columns, relaxed.columns), Limits(2 * ENOUGH, NODES, max(self.left(), 0.5))
        )
        if chosen is None:
            return
        self.timed_out |= chosen.timed_out
        plan = evaluate(self.problem, chosen.counts)
        if plan is not None:
            self.offer(plan)


def _product(corner: tuple[float, float]) -> float:
    """Its product in pJ ns."""
    return max(corner[0], 0.0) * max(corner[1], 0.0) / 1000


def _corner(first: _Line, second: _Line) -> tuple[float, float]:
    """Where two lines meet: (latency, energy)."""
    det = first.a * second.b - second.a * first.b
    latency = (first.least * second.b - second.least * first.b) / det
    return latency, (first.a * second.least - second.a * first.least) / det
