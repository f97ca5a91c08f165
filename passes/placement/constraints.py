"""Constraints of a user as a problem with smaller tiers and budgets.

**Area.** At most a share of each tier's arrays may be used: a tier has so many arrays less.

**Wear.** Over its life the chip executes `lifetime_s / 86400 x executions_per_day` times. A rewritten part writes each
array of its scratch once in each of its rounds; each write of an array is a write of each of its cells. The writes of
all operators are spread evenly over those arrays of the tier that hold no resident weights, so that a cell is written

    executions x sum of (scratch arrays x rounds) / (arrays of the tier - resident arrays)

times, which is at most the endurance of the tier's cells. Multiplied by the divisor that is linear: a budget.
Programming at power-up is not counted, and neither are part-filled arrays spared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .options import fitting
from .problem import Budget, PlacementError, Problem

NO_LOSS = 1e-2
"""Such a share of the least loss counts as none."""
SECONDS_A_DAY = 86400.0


@dataclass(frozen=True)
class Constraints:
    """What a plan has to keep to; None: no limit. Energy is that of an execution, static energy included."""

    max_latency_ps: float | None = None
    max_energy_pj: float | None = None
    max_area_share: float | tuple[float, ...] | None = None
    """Above 0, at most 1; for all tiers alike, or for each."""
    lifetime_s: float | None = None
    executions_per_day: float | None = None
    """Both or none."""
    max_loss: float | None = None
    """Predicted, above 0, in the unit of the problem's losses."""


def constrained(problem: Problem, limits: Constraints, endurance: Sequence[float | None]) -> Problem:
    """The problem with constraints; `endurance` by tier: writes that a cell survives, None: unlimited.

    PlacementError where what is fixed alone is beyond a limit, or an operator has no option left.
    """
    if (limits.lifetime_s is None) != (limits.executions_per_day is None):
        raise ValueError("lifetime_s and executions_per_day: expected both or none")
    if limits.max_area_share is not None:
        problem = _with_area(problem, limits.max_area_share)
    zeros = (0.0,) * len(problem.tiers)
    static = problem.static_pj_per_ps
    budgets: list[Budget] = []
    if limits.max_latency_ps is not None:
        fixed = float(problem.fixed_latency_ps)
        left = limits.max_latency_ps - fixed
        budgets.append(Budget("latency", left, 1.0, 0.0, zeros, zeros, fixed, "ps"))
    if limits.max_energy_pj is not None:
        fixed = problem.fixed_energy_pj + static * problem.fixed_latency_ps
        budgets.append(Budget("energy", limits.max_energy_pj - fixed, static, 1.0, zeros, zeros, fixed, "pJ"))
    for budget in budgets:
        if budget.limit <= 0:
            limit, fixed = told(budget.limit + budget.fixed, budget.unit), told(budget.fixed, budget.unit)
            raise PlacementError(
                f"expected a plan whose {budget.name} is at most {limit}, work that no plan changes takes {fixed}"
            )
    if limits.lifetime_s is not None and limits.executions_per_day is not None:
        executions = limits.lifetime_s / SECONDS_A_DAY * limits.executions_per_day
        budgets += _wear(problem, executions, endurance)
    if limits.max_loss is not None:
        # A limit is above 0: for plans without any loss it is one that no loss of an option is within.
        least = min(
            (float(kind.options.loss[kind.options.loss > 0].min(initial=1.0)) for kind in problem.types), default=1
        )
        limit = limits.max_loss if limits.max_loss > 0 else NO_LOSS * least
        budgets.append(Budget("predicted loss", limit, 0.0, 0.0, zeros, zeros, per_loss=1.0))
    return replace(problem, budgets=problem.budgets + tuple(budgets))


def beyond(budget: Budget, least: float) -> str:
    """The line that says that no plan keeps to a budget, of which at least `least` is needed."""
    limit, reached = told(budget.limit + budget.fixed, budget.unit), told(least + budget.fixed, budget.unit)
    if budget.unit in ("ps", "pJ"):
        return f"expected a plan whose {budget.name} is at most {limit}, the least reachable is {reached}"
    return f"expected a plan with {budget.name} of at most {limit} an execution, the least reachable is {reached}"


def told(value: float, unit: str) -> str:
    """A figure with four digits in a unit for people."""
    if unit not in ("ps", "pJ"):
        return f"{value:.4g} {unit}"
    scaled, prefixes = value, {"ps": ("ps", "ns", "us", "ms", "s"), "pJ": ("pJ", "nJ", "uJ", "mJ", "J")}[unit]
    for prefix in prefixes:
        if abs(scaled) < 999.95 or prefix == prefixes[-1]:
            return f"{scaled:.4g} {prefix}"
        scaled /= 1000
    raise AssertionError("the last prefix takes everything")


def _with_area(problem: Problem, share: float | tuple[float, ...]) -> Problem:
    shares = np.broadcast_to(np.array(share, np.float64), problem.arrays.shape)
    if np.any(shares <= 0) or np.any(shares > 1):
        raise ValueError(f"max_area_share: expected shares above 0, at most 1, got {share}")
    arrays = np.floor(problem.arrays * shares * (1 + 1e-12)).astype(np.int64)
    types = tuple(replace(kind, options=fitting(kind.options, arrays)) for kind in problem.types)
    for kind in types:
        if not len(kind.options):
            raise PlacementError(
                f"{kind.name}: expected a way to run it on the allowed share of the arrays, found none"
            )
    return replace(problem, arrays=arrays, types=types)


def _wear(problem: Problem, executions: float, endurance: Sequence[float | None]) -> list[Budget]:
    """The budget of array writes of each tier whose cells wear."""
    budgets: list[Budget] = []
    for t, (name, writes) in enumerate(zip(problem.tiers, endurance, strict=True)):
        if writes is None or problem.arrays[t] == 0:
            continue
        allowed = writes / executions
        one = tuple(float(i == t) for i in range(len(problem.tiers)))
        held = tuple(allowed * each for each in one)
        budgets.append(
            Budget(f"wear of {name}", allowed * float(problem.arrays[t]), 0.0, 0.0, held, one, 0.0, "writes")
        )
    return budgets
