"""A bound on every plan of a chip whose operators overlap, with segments or without, operators split or whole.

Each output of an operator is made in one way: on a tier, with weights that stay there or are rewritten at each
execution, or streamed. Whatever a plan is, its time is no less than what any resource is busy; of what it does with an
output a resource has at least the least that it takes an output of any part that has it. So the linear program over
shares of outputs

    least T:  sum over ways of share = 1 for each operator;  busy of each resource <= T;  what stays on a tier fits it

bounds T. It knows nothing of order, so that a plan which loads, waits and computes in turn may be far above it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Share:
    """All outputs of an operator made in one way."""

    tier: str
    stays: float
    """Weights that stay, in shares of the tier's arrays."""
    busy_ps: tuple[tuple[str, float], ...]
    """By resource."""


def least_time_ps(operators: Sequence[tuple[Share, ...]], fixed_ps: Mapping[str, float]) -> int:
    """The least T, rounded down; `fixed_ps` is what resources do in any case. 0 where some operator has no way."""
    from ortools.linear_solver import pywraplp

    if not all(operators):
        return 0
    solver: Any = pywraplp.Solver.CreateSolver("GLOP")
    names = sorted({name for ways in operators for way in ways for name, _ in way.busy_ps} | set(fixed_ps))
    # Times are in shares of what there is to do in all, so that tolerances of the solver mean the same in every model.
    unit = max(1.0, sum(min(max(ps for _, ps in way.busy_ps) for way in ways) for ways in operators))
    time = solver.NumVar(0.0, solver.infinity(), "time")
    busy = {name: solver.Constraint(-solver.infinity(), -fixed_ps.get(name, 0.0) / unit, name) for name in names}
    for row in busy.values():
        row.SetCoefficient(time, -1.0)
    rooms: dict[str, Any] = {}
    for number, (ways, count) in enumerate(Counter(operators).items()):
        whole = solver.Constraint(count, count, f"operator {number}")
        for way in ways:
            share = solver.NumVar(0.0, count, "")
            whole.SetCoefficient(share, 1.0)
            for name, ps in way.busy_ps:
                busy[name].SetCoefficient(share, ps / unit)
            if way.stays:
                room = rooms.setdefault(way.tier, solver.Constraint(0.0, 1.0, way.tier))
                room.SetCoefficient(share, way.stays)
    solver.Minimize(time)
    if solver.Solve() != pywraplp.Solver.OPTIMAL:
        return 0
    return int(solver.Objective().Value() * (1 - TOLERANCE) * unit)


TOLERANCE = 1e-6
"""Of the linear program."""
