"""The closing integer program: whole operators over a few options, with scratch pools that every operator fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .problem import Floats, Ints
from .relaxation import Pool


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


def undominated(pool: Pool, cost: Floats, columns: Ints) -> Ints:
    """Those of `columns` that no other of their type matches in cost, resident arrays and scratch; ascending."""
    keep: list[Ints] = []
    for kind in np.unique(pool.kind[columns]):
        mine = columns[pool.kind[columns] == kind]
        ties = np.stack([pool.energy[mine], pool.latency[mine]])
        amounts = np.concatenate([cost[mine][:, None], pool.resident_arrays[mine], pool.scratch_arrays[mine]], axis=1)
        # From the cheapest on, so that only earlier ones can match; of equals the first is kept.
        order = np.lexsort(np.concatenate([ties, amounts.T[::-1]]))
        amounts, mine = amounts[order], mine[order]
        left = np.ones(len(mine), np.bool_)
        for i in range(len(mine)):
            if left[i]:
                left[i + 1 :] &= ~np.all(amounts[i] <= amounts[i + 1 :], axis=1)
        keep.append(mine[left])
    return np.sort(np.concatenate(keep))


def choose(pool: Pool, cost: Floats, columns: Ints, limits: Limits) -> Chosen | None:
    """The cheapest plan over `columns`; None if there is none or none was found."""
    from ortools.linear_solver import pywraplp

    if len(np.unique(pool.kind[columns])) < len(pool.multiplicity):
        return None
    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    scale = float(pool.multiplicity @ _least(pool, cost, columns)) or 1.0
    counts = [solver.IntVar(0, int(pool.multiplicity[pool.kind[c]]), "") for c in columns.tolist()]
    for variable, column in zip(counts, columns.tolist(), strict=True):
        solver.Objective().SetCoefficient(variable, float(cost[column] / scale))
    for kind, multiplicity in enumerate(pool.multiplicity.tolist()):
        row = solver.Constraint(multiplicity, multiplicity)
        for i in np.flatnonzero(pool.kind[columns] == kind).tolist():
            row.SetCoefficient(counts[i], 1)
    _add_capacity(solver, pool, columns, counts)
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


def _add_capacity(solver: Any, pool: Pool, columns: Ints, counts: list[Any]) -> None:
    """Rows: resident arrays and pool within each tier; the pool no less than any chosen option's scratch."""
    pools: list[Any] = []
    for t in range(len(pool.tiers)):
        pools.append(solver.NumVar(0.0, 1.0, ""))
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
