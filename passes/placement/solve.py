"""The exact strategy: a plan with a bound that holds for every plan.

Latency, or energy: the relaxation shows where options are missing; with these, a plan and the bound.

**EDP.** L E is quasi-concave for L, E > 0, so over any set it is least at a corner of the convex hull: the best plan
has the least a L + b E for some weights. Each line a L + b E >= least cuts the (L, E) plane; of the region left the
least product is at a corner, and bounds all plans. Lines around the hull of the options come first, always by the chord
between the two points whose lines meet at the least corner; then those lines that matter are moved to where they hold
for all plans. Plans are sought at the tangent of the best so far and at the hull's best point.

Few options are given to the integer program as they are, which solves to the optimum.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .feasible import first_plan, program
from .integer import Limits, choose, undominated
from .problem import Ints, Plan, Problem, evaluate
from .relaxation import relax
from .search import EFFORTS, ENOUGH, FULL, GOOD, LOOK, PEEK, SAFE, WHOLE, Search

LINES = 16
"""Most lines around the hull."""
TURNS = 1
"""How often options and plans are sought at the hull's best point."""
ROUNDS, MOVED = 3, 2e-3
"""How often the bound is taken at most, anew where new options lower the relaxation so much that prices moved."""
LEAVES = 2
"""In so many boxes of scratch pools plans are sought."""
HARD_LINES, SAME = 6, 0.05
"""At most so many lines that hold for all plans; slopes that differ less are the same."""
LOOSE = 3e-3
"""How far below that of the options the bound may stay."""
NEAR = 1e-3
"""The same for a line."""


@dataclass(frozen=True)
class Solution:
    """A plan for `problem`, whose options may be more than were asked about. `bound` is in the objective's unit."""

    problem: Problem
    plan: Plan
    bound: float
    status: str
    """"optimal" (no gap), "feasible", or "time-limit"."""


def solve(problem: Problem, incumbent: Plan | None, time_limit_s: float) -> Solution:
    """The best plan found, no worse than `incumbent`, and a bound for all plans. PlacementError if there is none."""
    if incumbent is None:
        incumbent = first_plan(problem, time_limit_s)
    search = Search(problem, incumbent, time.monotonic() + time_limit_s)
    bound = _edp(search) if problem.objective == "edp" else _single(search)
    value = search.value(search.best)
    bound = min(bound, value)
    status = "optimal" if value <= bound * (1 + WHOLE) else "time-limit" if search.timed_out else "feasible"
    return Solution(search.problem, search.best, bound, status)


@dataclass(frozen=True)
class _Line:
    """a latency + b energy >= least, and a point of the relaxation (or plan) that it was found with."""

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


def _single(search: Search) -> float:
    """Latency or energy alone: the bound, in the objective's unit."""
    a, b = (1.0, 0.0) if search.problem.objective == "latency" else (0.0, 1.0)
    few = search.few()
    if few is not None:
        least = _few_line(search, a, b, few).least
    else:
        unit = 1000 if a else 1
        leaves = search.leaves(a, b)
        if search.refine(leaves[0], search.hard(leaves[:1], a, b, PEEK)[1], a, b):
            leaves = search.leaves(a, b)
        # Before any bound is worked for, so near that there is room for it; the last effort only where there is none.
        for effort, near in zip(EFFORTS, (GOOD / 2, GOOD / 2, GOOD), strict=True):
            if search.value(search.best) * unit > search.soft(leaves, a, b) * (1 + near):
                search.plan(leaves[0], a, b, effort)
        least = 0.0
        for _ in range(ROUNDS):
            before = search.soft(leaves, a, b)
            goal = search.value(search.best) / (1 + GOOD) * unit
            found, bounds = search.hard(leaves, a, b, FULL, goal if goal < before else np.inf)
            least = max(least, found)
            if least >= goal or not search.refine(leaves[0], bounds, a, b):
                break
            leaves = search.leaves(a, b)
            if search.soft(leaves, a, b) >= before * (1 - MOVED):
                break
        # A plan near the options' bound has little to gain, however far below the bound of all plans is.
        room = search.soft(leaves, a, b) * (1 + GOOD / 2)
        for effort in EFFORTS:
            for leaf in leaves[:LEAVES]:
                if search.value(search.best) * unit > max(least * (1 + GOOD), room):
                    search.plan(leaf, a, b, effort)
    return least / 1000 if a else least


def _edp(search: Search) -> float:
    """Energy-delay product: the bound."""
    if search.few() is not None:
        return min(_product(corner) for corner in _corners(_hull(search))) * SAFE
    _improve(search, search.best.energy_pj, float(search.best.latency_ps), PEEK)
    for _ in range(TURNS):
        lines = _hull(search)
        best = min(lines, key=lambda line: _product((line.latency, line.energy)))
        _improve(search, best.a, best.b, LOOK)
    _improve(search, search.best.energy_pj, float(search.best.latency_ps), PEEK)
    lines = _hull(search)
    lines = _hardened(search, lines)
    # Whatever the lines between are worth, no plan is below both ends.
    ends = _product((lines[0].least, lines[-1].least))
    return max(ends, min(_product(corner) for corner in _corners(lines))) * SAFE


def _improve(search: Search, a: float, b: float, depth: int) -> None:
    """Options where they are missing, and plans, by the weights of a line."""
    leaves = search.leaves(a, b)
    enough = search.soft(leaves, a, b) * (1 - NEAR)
    if search.left() > 0 and search.refine(leaves[0], search.hard(leaves[:1], a, b, depth, enough)[1], a, b):
        leaves = search.leaves(a, b)
    for leaf in leaves[:LEAVES]:
        search.plan(leaf, a, b)


def _hull(search: Search) -> list[_Line]:
    """Lines around the lower hull of all options (as shares), dense where the product is least."""
    lines = [_line(search, 1.0, 0.0), _line(search, 0.0, 1.0)]
    finished: set[tuple[float, float]] = set()
    near = WHOLE if search.few() is not None else ENOUGH
    while len(lines) < LINES and search.left() > 0:
        corners = _corners(lines)
        reached = min(_product((line.latency, line.energy)) for line in lines)
        open_ = [i for i, corner in enumerate(corners) if corner not in finished]
        at = min(open_, key=lambda i: _product(corners[i]), default=-1)
        if at < 0 or _product(corners[at]) >= reached * (1 - near):
            break
        first, second = lines[at], lines[at + 1]
        a, b = first.energy - second.energy, second.latency - first.latency
        if a > 0 and b > 0:
            line = _line(search, a, b)
            if line.cuts(corners[at]) > WHOLE:
                lines.insert(at + 1, line)
                continue
        finished.add(corners[at])
    return lines


def _line(search: Search, a: float, b: float) -> _Line:
    """A line under all options."""
    few = search.few()
    if few is not None:
        return _few_line(search, a, b, few)
    leaves = search.leaves(a, b)
    columns, shares = leaves[0].columns, leaves[0].shares
    point = search.with_fixed(float(search.pool.latency[columns] @ shares), float(search.pool.energy[columns] @ shares))
    return _Line(a, b, search.soft(leaves, a, b), *point)


def _few_line(search: Search, a: float, b: float, columns: Ints) -> _Line:
    """A line under the plans of few options, by the best of them."""
    pool, cost = search.pool, search.cost(a, b)
    columns = undominated(pool, cost, columns)
    limits = Limits(0.0, 10**9, max(search.left(), 0.01))
    chosen = choose(pool, cost, columns, limits)
    plan = None if chosen is None else evaluate(search.problem, chosen.counts)
    if chosen is not None and plan is None:
        # The program's tolerance let it slip beyond a budget: its bound holds, its plan does not.
        search.offer(program(search.problem, pool, cost, columns, limits))
        plan = search.best
        return _Line(a, b, search.constant(a, b) + chosen.bound * SAFE, float(plan.latency_ps), plan.energy_pj)
    search.offer(plan)
    if chosen is not None and chosen.proven and plan is not None:
        reached = a * plan.latency_ps + b * plan.energy_pj
        return _Line(a, b, reached, float(plan.latency_ps), plan.energy_pj)
    search.timed_out = True
    relaxed = relax(pool, cost)
    bound = 0.0 if relaxed is None else relaxed.bound * SAFE
    plan = search.best
    return _Line(a, b, search.constant(a, b) + bound, float(plan.latency_ps), plan.energy_pj)


def _hardened(search: Search, soft: list[_Line]) -> list[_Line]:
    """Lines that hold for all plans: at the ends, at the best plan's tangent, then where the product is least."""

    def harden(a: float, b: float, depth: int) -> _Line:
        leaves = search.leaves(a, b)
        enough = search.soft(leaves, a, b) * (1 - NEAR)
        return _Line(a, b, search.hard(leaves, a, b, depth, enough)[0], 0.0, 0.0)

    goal = min(_product(corner) for corner in _corners(soft)) * (1 - LOOSE)
    goal = min(goal, search.value(search.best) / (1 + GOOD))
    depths, at = {0.0: 1, np.inf: 1}, 0
    lines = [harden(1.0, 0.0, 1), harden(0.0, 1.0, 1)]
    a, b = search.best.energy_pj, float(search.best.latency_ps)
    for _ in range(HARD_LINES):
        if a > 0 and b > 0 and all(abs(line.slope * a / b - 1) > SAME for line in lines):
            lines.append(harden(a, b, LOOK))
            depths[lines[-1].slope] = LOOK
        else:
            # No line between is left to try: those that meet at the corner are made as good as they can be.
            rough = [line for line in lines[at : at + 2] if depths.get(line.slope, FULL) < FULL]
            if not rough:
                break
            for line in rough:
                depths[line.slope] = FULL
                better = harden(line.a, line.b, FULL)
                lines[lines.index(line)] = max(line, better, key=lambda each: each.least)
        lines = _bounding(lines)
        corners = _corners(lines)
        at = min(range(len(corners)), key=lambda i: _product(corners[i]))
        if _product(corners[at]) >= goal or search.left() <= 0:
            break
        a, b = corners[at][1], corners[at][0]
    return lines


def _bounding(lines: list[_Line]) -> list[_Line]:
    """The lines by slope, without those below the corner of their neighbours: these bound nothing."""
    kept: list[_Line] = []
    for line in sorted(lines, key=lambda each: each.slope):
        while len(kept) > 1 and kept[-1].cuts(_corner(kept[-2], line)) <= 0:
            kept.pop()
        kept.append(line)
    return kept


def _corners(lines: list[_Line]) -> list[tuple[float, float]]:
    """Where neighbouring lines meet: (latency, energy)."""
    return [_corner(first, second) for first, second in pairwise(lines)]


def _product(corner: tuple[float, float]) -> float:
    """Its product in pJ ns."""
    return max(corner[0], 0.0) * max(corner[1], 0.0) / 1000


def _corner(first: _Line, second: _Line) -> tuple[float, float]:
    det = first.a * second.b - second.a * first.b
    latency = (first.least * second.b - second.least * first.b) / det
    return latency, (first.a * second.least - second.a * first.least) / det
