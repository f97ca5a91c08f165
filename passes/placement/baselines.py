"""The baselines that choose among the options of a problem: `homogeneous:TIER` and `greedy`, and what they share."""

from __future__ import annotations

from typing import Any

import numpy as np

from .feasible import plan_of
from .problem import UNUSED, Floats, OptionSet, Plan, Problem, evaluate
from .relaxation import Pool

TIES = 1e-4
"""Weight of latency, and of energy, beside the objective, as a share of it."""


def weights(problem: Problem, plan: Plan | None) -> tuple[float, float]:
    """Weights of latency (ps) and energy (pJ) in the objective; for edp those of its tangent at a plan."""
    if problem.objective == "edp":
        return (1.0, 0.0) if plan is None else (plan.energy_pj, float(plan.latency_ps))
    return (0.0, 1.0) if problem.objective == "energy" else (1.0, 0.0)


def best_of(problem: Problem, pool: Pool, seconds: float) -> Plan | None:
    """A good plan over the options of `pool`, by the relaxation and an integer program; None if nothing fits.

    For throughput, the objective is latency: a plan of few operators at work together is no baseline's idea.
    """
    tangents = [weights(problem, None)]
    best: Plan | None = None
    for _ in range(4 if problem.objective == "edp" else 1):
        cost = tangents[-1][0] * pool.latency + tangents[-1][1] * pool.energy
        plan = plan_of(problem, pool, _with_ties_broken(pool, cost), seconds)
        if plan is None or (best is not None and problem.score(plan) >= problem.score(best)):
            break
        best = plan
        tangents.append(weights(problem, plan))
    return best


def _with_ties_broken(pool: Pool, cost: Floats) -> Floats:
    """The cost and a little of latency and energy: of options that cost the same the modest one."""
    for other in (pool.latency, pool.energy):
        least = float(pool.multiplicity @ pool.least(other))
        if least > 0:
            cost = cost + other * (TIES * float(pool.multiplicity @ pool.least(cost)) / least)
    return cost


def homogeneous(problem: Problem, tier: int, seconds: float) -> Plan | None:
    """Every operator whole on `tier`, or where it costs least if the tier does not take it."""
    pool = pool_on(problem, tier)
    return None if pool is None else best_of(problem, pool, seconds)


def pool_on(problem: Problem, tier: int) -> Pool | None:
    """The options of one part, on `tier` for the types that have such; None if a type has none of one part."""
    allowed: list[Any] = []
    for kind in problem.types:
        one = (kind.options.mode != UNUSED).sum(axis=1) == 1
        here = one & (kind.options.mode[:, tier] != UNUSED)
        allowed.append(here if here.any() else one)
    return Pool(problem, allowed) if all(one.any() for one in allowed) else None


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
    return energy if problem.objective == "energy" else latency * energy if problem.objective == "edp" else latency
