"""The strategies: `exact`, `homogeneous:TIER`, `greedy`. They differ in the decision alone, not in options or prices.

`homogeneous:TIER`: every operator whole on TIER, if the tier takes it; else whole on the tier of least cost among those
that take it. Copies, and whether weights stay or are rewritten, are chosen by the same integer program as in `exact`.
`greedy`: operators in program order, each takes the option that alone is best by the objective, of those for which
arrays are left beside what stays and the scratch pool so far.
`exact`: module `solve`, started with the best of the others; it keeps theirs if it finds no better.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .integer import Limits, choose, undominated
from .problem import UNUSED, Floats, OptionSet, PlacementError, Plan, Problem, evaluate
from .relaxation import Pool, relax
from .search import SAFE, WHOLE
from .solve import Solution, solve

BASELINE_COLUMNS = 400
NEAR = 0.2
"""Baselines whose predicted objective is at most this share above the best plan's are worth a simulation."""


@dataclass(frozen=True)
class Outcome:
    """A plan, priced. `bound` and `gap` are None for baselines; `kept` names the strategy whose plan it is."""

    problem: Problem
    plan: Plan
    bound: float | None
    gap: float | None
    status: str
    seconds: float
    kept: str
    near: tuple[tuple[str, Plan], ...] = ()
    """Of `exact`: baselines that are predicted nearly as good, by name; a simulation may see them ahead."""

    @property
    def value(self) -> float:
        """Predicted objective, in its unit."""
        return _value(self.problem, self.plan)

    def keeping(self, name: str, plan: Plan) -> Outcome:
        """The same with another plan, of the strategy `name`."""
        value = _value(self.problem, plan)
        gap = None if self.bound is None else _gap(value, self.bound)
        return replace(self, plan=plan, kept=name, gap=gap)


def run(problem: Problem, strategy: str, time_limit_s: float) -> Outcome:
    """The plan of a strategy. PlacementError if there is none, ValueError if there is no such strategy."""
    start = time.monotonic()
    _check(problem)
    if not problem.types:
        return _nothing_to_place(problem, strategy)
    if strategy != "exact":
        plan = _baseline(problem, strategy, time_limit_s)
        if plan is None:
            raise PlacementError(f"strategy {strategy}: found no plan within the chip's arrays")
        return Outcome(problem, plan, None, None, "feasible", time.monotonic() - start, strategy)
    kept, plan = _first(problem, time_limit_s)
    solution: Solution = solve(problem, plan, time_limit_s - (time.monotonic() - start))
    if solution.plan is not plan:
        kept, plan = "exact", solution.plan
    others = _near(problem, plan, time_limit_s)
    for name, other in others:
        if _value(problem, other) < _value(problem, plan):
            kept, plan = name, other
    value = _value(problem, plan)
    bound = min(solution.bound, value)
    gap = _gap(value, bound)
    status = "optimal" if gap <= WHOLE else solution.status
    near = tuple((name, other) for name, other in others if other is not plan)
    return Outcome(solution.problem, plan, bound, gap, status, time.monotonic() - start, kept, near)


def _nothing_to_place(problem: Problem, strategy: str) -> Outcome:
    """The one plan of a program without matrix operators."""
    plan = evaluate(problem, ())
    assert plan is not None
    bound, gap = (_value(problem, plan), 0.0) if strategy == "exact" else (None, None)
    return Outcome(problem, plan, bound, gap, "optimal" if bound is not None else "feasible", 0.0, strategy)


def _near(problem: Problem, plan: Plan, time_limit_s: float) -> list[tuple[str, Plan]]:
    """The baselines that are predicted to need at most NEAR more than `plan`."""
    most = _value(problem, plan) * (1 + NEAR)
    found: list[tuple[str, Plan]] = []
    for name in strategies(problem):
        tier = name.partition(":")[2]
        if tier and _homogeneous_bound(problem, problem.tiers.index(tier), plan) > most:
            continue
        other = _baseline(problem, name, time_limit_s)
        if other is not None and _value(problem, other) <= most:
            found.append((name, other))
    return found


def _gap(value: float, bound: float) -> float:
    return value / bound - 1 if bound > 0 else float(value > 0)


def strategies(problem: Problem) -> list[str]:
    """Names of the baselines that the problem has: greedy, and one for each tier."""
    return ["greedy", *(f"homogeneous:{tier}" for tier in problem.tiers)]


def _check(problem: Problem) -> None:
    for kind in problem.types:
        if not len(kind.options):
            raise PlacementError(f"no tier can take {kind.name}")


def _first(problem: Problem, time_limit_s: float) -> tuple[str, Plan]:
    """A plan to start from: the first that is found."""
    for strategy in strategies(problem):
        plan = _baseline(problem, strategy, time_limit_s)
        if plan is not None:
            return strategy, plan
    pool = Pool(problem)
    plan = _choose(problem, pool, undominated(pool, pool.latency, np.arange(len(pool))), time_limit_s)
    if plan is None:
        raise PlacementError("the operators need more arrays than the chip has")
    return "exact", plan


def _homogeneous_bound(problem: Problem, tier: int, plan: Plan) -> float:
    """No plan of `homogeneous` on `tier` is better; `plan` is a good plan."""
    pool = _pool_on(problem, tier)
    if pool is None:
        return np.inf
    fixed_energy = problem.fixed_energy_pj + problem.static_pj_per_ps * problem.fixed_latency_ps

    def least(a: float, b: float) -> float:
        constant = a * problem.fixed_latency_ps + b * fixed_energy
        relaxed = relax(pool, a * pool.latency + b * pool.energy)
        return np.inf if relaxed is None else constant + relaxed.bound * SAFE

    if problem.objective != "edp":
        a, b = _weights(problem, None)
        return problem.value(least(1.0, 0.0) if a else 0.0, least(0.0, 1.0) if b else 0.0)
    # Between the least latency and the least energy the tangent at the plan: two corners (see `solve`).
    latency, energy = least(1.0, 0.0), least(0.0, 1.0)
    a, b = plan.energy_pj, float(plan.latency_ps)
    if a == 0 or b == 0:
        return 0.0
    tangent = least(a, b)
    corners = (latency, max(energy, (tangent - a * latency) / b)), (max(latency, (tangent - b * energy) / a), energy)
    return min(problem.value(*corner) for corner in corners)


def _value(problem: Problem, plan: Plan) -> float:
    return problem.value(plan.latency_ps, plan.energy_pj)


def _baseline(problem: Problem, strategy: str, time_limit_s: float) -> Plan | None:
    name, _, tier = strategy.partition(":")
    if strategy == "greedy":
        return greedy(problem)
    if name == "homogeneous" and tier in problem.tiers:
        return homogeneous(problem, problem.tiers.index(tier), time_limit_s)
    known = ", ".join(["exact", *strategies(problem)])
    raise ValueError(f"strategy: expected one of {known}, got {strategy!r}")


def homogeneous(problem: Problem, tier: int, time_limit_s: float) -> Plan | None:
    """Every operator whole on `tier`, or where it costs least if the tier does not take it."""
    pool = _pool_on(problem, tier)
    if pool is None:
        return None
    weights = [_weights(problem, None)]
    best: Plan | None = None
    for _ in range(4 if problem.objective == "edp" else 1):
        cost = weights[-1][0] * pool.latency + weights[-1][1] * pool.energy
        relaxed = relax(pool, cost)
        if relaxed is None:
            return None
        columns = undominated(pool, cost, np.arange(len(pool)))
        columns = np.sort(columns[np.argsort(relaxed.reduced[columns], kind="stable")[:BASELINE_COLUMNS]])
        plan = _choose(problem, pool, columns, time_limit_s, cost)
        if plan is None or (best is not None and _value(problem, plan) >= _value(problem, best)):
            break
        best = plan
        weights.append(_weights(problem, plan))
    return best


def _pool_on(problem: Problem, tier: int) -> Pool | None:
    """The options of one part, on `tier` for the types that have such; None if a type has none of one part."""
    allowed: list[Any] = []
    for kind in problem.types:
        one = (kind.options.mode != UNUSED).sum(axis=1) == 1
        here = one & (kind.options.mode[:, tier] != UNUSED)
        allowed.append(here if here.any() else one)
    return Pool(problem, allowed) if all(one.any() for one in allowed) else None


def _weights(problem: Problem, plan: Plan | None) -> tuple[float, float]:
    """Weights of latency and energy; for edp those of the tangent at a plan."""
    if problem.objective == "edp":
        return (1.0, 0.0) if plan is None else (plan.energy_pj, float(plan.latency_ps))
    return (1.0, 0.0) if problem.objective == "latency" else (0.0, 1.0)


def _choose(problem: Problem, pool: Pool, columns: Any, seconds: float, cost: Floats | None = None) -> Plan | None:
    limits = Limits(1e-3, 200, seconds)
    chosen = choose(pool, pool.latency if cost is None else cost, columns, limits)
    return None if chosen is None else evaluate(problem, chosen.counts)


def greedy(problem: Problem) -> Plan | None:
    """Operators in program order, each with its own best option of those that fit; None if one has none."""
    order = sorted((member, k) for k, kind in enumerate(problem.types) for member in kind.members)
    scores = [_scores(problem, kind.options) for kind in problem.types]
    ranked = [np.argsort(score, kind="stable") for score in scores]
    counts: list[dict[int, int]] = [{} for _ in problem.types]
    resident = np.zeros(len(problem.arrays), np.int64)
    scratch = np.zeros(len(problem.arrays), np.int64)
    for _, k in order:
        options = problem.types[k].options
        needed = resident + options.resident + np.maximum(scratch, options.scratch)
        fits = np.all(needed <= problem.arrays, axis=1)[ranked[k]]
        if not fits.any():
            return None
        option = int(ranked[k][int(np.argmax(fits))])
        resident += options.resident[option]
        scratch = np.maximum(scratch, options.scratch[option])
        counts[k][option] = counts[k].get(option, 0) + 1
    return evaluate(problem, tuple(counts))


def _scores(problem: Problem, options: OptionSet) -> Floats:
    """What an operator alone would score with each option."""
    latency = options.latency_ps.astype(np.float64)
    energy = options.energy_pj + problem.static_pj_per_ps * latency
    return {"latency": latency, "energy": energy, "edp": latency * energy}[problem.objective]
