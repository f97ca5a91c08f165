"""A first plan of a problem with budgets, or the line that says why there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .constraints import beyond
from .integer import Limits, choose, undominated
from .problem import Budget, Floats, Ints, PlacementError, Plan, Problem, evaluate
from .relaxation import Pool, relax

COLUMNS, EACH, NODES = 400, 24, 2000
"""So many options of least reduced cost, of all and of each type, and nodes, are given to the integer program."""
ROUGH = 0.05
TIGHT = 2e-6
"""By which share budgets are tightened where the program's tolerance let a plan slip beyond them."""
NONE_OVER = 1e-7
"""Shares beyond a limit that are rounding."""


def rough_plan(problem: Problem, time_limit_s: float) -> Plan | None:
    """A plan within about `ROUGH` of the least latency, or None if none is found as quickly."""
    pool = Pool(problem)
    return plan_of(problem, pool, pool.latency, time_limit_s, gap=ROUGH)


def first_plan(problem: Problem, time_limit_s: float) -> Plan:
    """A plan that keeps to capacity and budgets, good by the objective; PlacementError if none is found."""
    pool = Pool(problem)
    cost = pool.energy if problem.objective == "energy" else pool.latency
    plan = plan_of(problem, pool, cost, time_limit_s)
    if plan is not None:
        return plan
    least: list[str] = []
    for b, budget in enumerate(problem.budgets):
        # What can be reached of one limit beside the others; if none is, of each alone.
        others = tuple(each for i, each in enumerate(problem.budgets) if i != b)
        for kept in (others, ()) if others else ((),):
            open_ = replace(problem, budgets=kept)
            amounts = np.concatenate([budget.amounts(kind.options) for kind in problem.types])
            plan = plan_of(open_, Pool(open_), amounts / budget.limit, time_limit_s, gap=0.0)
            if plan is None:
                continue
            whole = evaluate(problem, plan.counts)
            if whole is not None:
                return whole
            taken = _taken(problem, plan, budget)
            if taken > budget.limit:
                least.append(beyond(budget, taken) + (" beside the other limits" if kept else ""))
                break
    if least:
        raise PlacementError(least[0])
    if problem.budgets:
        raise PlacementError("found no plan within the limits")
    raise PlacementError("the operators need more arrays than the chip has")


def _taken(problem: Problem, plan: Plan, budget: Budget) -> float:
    """What a plan takes of a budget."""
    return sum(
        count * float(budget.amounts(kind.options.take(np.array([option])))[0])
        for kind, counts in zip(problem.types, plan.counts, strict=True)
        for option, count in sorted(counts.items())
    )


def plan_of(problem: Problem, pool: Pool, cost: Floats, seconds: float, gap: float = 1e-3) -> Plan | None:
    """The cheapest plan over options of small reduced cost, or one that takes least of the budgets."""
    relaxed = relax(pool, cost)
    if relaxed is None or relaxed.excess > NONE_OVER:
        return None
    likely = [_ranked(pool, relaxed.reduced, COLUMNS, EACH), relaxed.columns]
    # What takes least of a budget, whatever the cost: a plan where limits are tight.
    likely += [_ranked(pool, pool.taken[:, b], 0, EACH) for b in range(pool.taken.shape[1])]
    likely.append(_ranked(pool, (pool.resident + pool.scratch).sum(axis=1), 0, EACH))
    columns = undominated(pool, cost, np.unique(np.concatenate(likely)))
    return program(problem, pool, cost, columns, Limits(gap, NODES, seconds))


def program(problem: Problem, pool: Pool, cost: Floats, columns: Ints, limits: Limits) -> Plan | None:
    """The cheapest plan over `columns`, with budgets kept exactly."""
    for tight in (0.0, TIGHT) if problem.budgets else (0.0,):
        chosen = choose(pool, cost, columns, limits, tight)
        plan = None if chosen is None else evaluate(problem, chosen.counts)
        if plan is not None:
            return plan
    return None


def _ranked(pool: Pool, values: Floats, most: int, each: int) -> Ints:
    """The options of least value: `most` of all, `each` of each type."""
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    kinds = range(len(pool.multiplicity))
    return np.unique(np.concatenate([order[:most], *(order[pool.kind[order] == k][:each] for k in kinds)]))
