"""The closing integer program: whole operators over a few options, with scratch pools that every operator fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .problem import Floats, Ints
from .relaxation import Box, Pool


@dataclass(frozen=True)
class Limits:
    """When the program stops: relative gap, nodes (repeatable), seconds (not repeatable)."""

    gap: float
    nodes: int
    seconds: float


@dataclass(frozen=True)
class Chosen:
    """A choice of options: `counts[k]` maps options (of the type) to operators. `bound` holds for the options given."""

    counts: tuple[dict[int, int], ...]
    bound: float
    proven: bool
    """Optimal within the gap."""
    timed_out: bool


def undominated(pool: Pool, cost: Floats, columns: Ints, busy: bool = False) -> Ints:
    """Those of `columns` that no other of their type matches in cost, arrays and budgets; ascending."""
    keep: list[Ints] = []
    for kind in np.unique(pool.kind[columns]):
        mine = columns[pool.kind[columns] == kind]
        ties = np.stack([pool.energy[mine], pool.latency[mine]])
        held = [pool.resident_arrays[mine], pool.scratch_arrays[mine], pool.taken[mine]]
        held += [pool.busy[mine]] if busy else []
        amounts = np.concatenate([cost[mine][:, None], *held], axis=1)
        # From the cheapest on, so that only earlier ones can match; of equals the first is kept.
        order = np.lexsort(np.concatenate([ties, amounts.T[::-1]]))
        amounts, mine = amounts[order], mine[order]
        left = np.ones(len(mine), np.bool_)
        for i in range(len(mine)):
            if left[i]:
                left[i + 1 :] &= ~np.all(amounts[i] <= amounts[i + 1 :], axis=1)
        keep.append(mine[left])
    return np.sort(np.concatenate(keep))


def choose(
    pool: Pool,
    cost: Floats,
    columns: Ints,
    limits: Limits,
    tight: float = 0.0,
    fixed_ps: Floats | None = None,
    box: Box | None = None,
) -> Chosen | None:
    """The cheapest plan over `columns`; None if there is none or none was found.

    Budgets are taken as smaller by the share `tight`: the program has tolerances. With `fixed_ps`, the work of each
    resource that no plan changes, the plan is that of least period, and `cost` serves only to break ties. With `box`
    it is the cheapest with scratch pools in the box.
    """
    from ortools.linear_solver import pywraplp

    if len(np.unique(pool.kind[columns])) < len(pool.multiplicity):
        return None
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    scale = float(pool.multiplicity @ _least(pool, cost, columns)) or 1.0
    tie = 1.0
    if fixed_ps is not None:
        scale, tie = float(fixed_ps.sum() + pool.busy.mean() * pool.multiplicity.sum()) or 1.0, 0.0
    named = [f"{kind.name}: option" for kind in pool.problem.types]
    counts = [
        solver.IntVar(0, int(pool.multiplicity[pool.kind[c]]), f"{named[pool.kind[c]]} {pool.option[c]}")
        for c in columns.tolist()
    ]
    for variable, column in zip(counts, columns.tolist(), strict=True):
        solver.Objective().SetCoefficient(variable, tie * float(cost[column] / scale))
    for kind, multiplicity in enumerate(pool.multiplicity.tolist()):
        row = solver.Constraint(multiplicity, multiplicity, pool.problem.types[kind].name)
        for i in np.flatnonzero(pool.kind[columns] == kind).tolist():
            row.SetCoefficient(counts[i], 1)
    _add_capacity(solver, pool, columns, counts, box or Box.whole(pool))
    for b, budget in enumerate(pool.problem.budgets):
        row = solver.Constraint(-solver.infinity(), 1.0 - tight, budget.name)
        for variable, column in zip(counts, columns.tolist(), strict=True):
            row.SetCoefficient(variable, float(pool.taken[column, b]))
    if fixed_ps is not None:
        _add_period(solver, pool, columns, counts, fixed_ps, scale)
    solver.Objective().SetMinimization()
    solver.SetTimeLimit(max(1, int(limits.seconds * 1000)))
    solver.SetSolverSpecificParametersAsString(f"limits/nodes = {limits.nodes}\nlimits/gap = {limits.gap}\n")
    status = solver.Solve()
    if status not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        return None
    values = [round(variable.solution_value()) for variable in counts]
    bound = float(solver.Objective().BestBound()) * scale
    timed_out = solver.wall_time() >= limits.seconds * 1000
    result: list[dict[int, int]] = [{} for _ in pool.multiplicity]
    for value, column in zip(values, columns.tolist(), strict=True):
        if value:
            result[int(pool.kind[column])][int(pool.option[column])] = value
    return Chosen(tuple(result), bound, status == pywraplp.Solver.OPTIMAL, timed_out)


def _least(pool: Pool, cost: Floats, columns: Ints) -> Floats:
    least = np.full(len(pool.multiplicity), np.inf)
    np.minimum.at(least, pool.kind[columns], cost[columns])
    return least


def _add_period(solver: Any, pool: Pool, columns: Ints, counts: list[Any], fixed_ps: Floats, scale: float) -> None:
    """A variable for the period, which is the cost: no less than the busy time of each resource."""
    period = solver.NumVar(0.0, solver.infinity(), "period")
    solver.Objective().SetCoefficient(period, 1.0)
    for resource, fixed in enumerate(fixed_ps.tolist()):
        row = solver.Constraint(-solver.infinity(), -fixed / scale, f"busy {resource}")
        row.SetCoefficient(period, -1.0)
        for variable, column in zip(counts, columns.tolist(), strict=True):
            if pool.busy[column, resource]:
                row.SetCoefficient(variable, float(pool.busy[column, resource] / scale))


def _add_capacity(solver: Any, pool: Pool, columns: Ints, counts: list[Any], box: Box) -> None:
    """Rows: resident arrays and pool within each tier; the pool no less than any chosen option's scratch."""
    pools: list[Any] = []
    for t in range(len(pool.tiers)):
        low, high = box.low[t] / float(pool.capacity[t]), box.high[t] / float(pool.capacity[t])
        pools.append(solver.NumVar(low, high, ""))
        row = solver.Constraint(-solver.infinity(), 1.0)
        row.SetCoefficient(pools[t], 1.0)
        for i, column in enumerate(columns.tolist()):
            if pool.resident_arrays[column, t]:
                row.SetCoefficient(counts[i], float(pool.resident[column, t]))
    for kind, multiplicity in enumerate(pool.multiplicity.tolist()):
        mine = [i for i in range(len(columns)) if pool.kind[columns[i]] == kind]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in mine:
            groups.setdefault(tuple(pool.scratch_arrays[columns[i]].tolist()), []).append(i)
        for t in range(len(pools)):
            # On average over the operators of the type: exact for one operator, and tightens the others.
            needy = [i for i in mine if pool.scratch_arrays[columns[i], t]]
            if needy:
                row = solver.Constraint(-solver.infinity(), 0.0)
                row.SetCoefficient(pools[t], -float(multiplicity))
                for i in needy:
                    row.SetCoefficient(counts[i], float(pool.scratch[columns[i], t]))
        if multiplicity == 1:
            continue
        for scratch, members in groups.items():
            if any(scratch):
                used = solver.BoolVar("")
                row = solver.Constraint(-solver.infinity(), 0.0)
                row.SetCoefficient(used, -float(multiplicity))
                for i in members:
                    row.SetCoefficient(counts[i], 1.0)
                for t, amount in enumerate(scratch):
                    if amount:
                        row = solver.Constraint(-solver.infinity(), 0.0)
                        row.SetCoefficient(pools[t], -1.0)
                        row.SetCoefficient(used, amount / float(pool.capacity[t]))
