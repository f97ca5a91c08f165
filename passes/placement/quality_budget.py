"""Splits under a budget of predicted loss: the least time of operators whose prices are linear in the share of outputs.

Operators run one after another, each as long as its slowest part. An output of sensitivity s on a tier of noise v adds
v s to the loss. Given how many outputs of an operator each tier takes, the least sensitive ones belong on the noisiest
tier (rearrangement inequality). With tiers ranked from clean to noisy, v_1 <= v_2 <= .., and F(n) the sensitivity of
the n least sensitive outputs together, an operator's loss is

    v_1 F(N) + sum over ranks r >= 2 of (v_r - v_{r-1}) F(n_r + n_{r+1} + ..)

F is convex, so the problem over shares is a linear program: F is the maximum of its tangents, which are added where the
last solution is above them. Its value bounds every split into whole outputs. The plan is the best combination of whole
splits near that solution, by an integer program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product as combinations
from typing import Any

import numpy as np

from .problem import Floats, Ints, PlacementError

ROUNDS = 60
ENOUGH = 1e-9
"""Relative excess of loss at which no more tangents are added."""
NEAR = 2
"""By how many outputs a split of the plan may be away from the linear program's, on each tier."""


@dataclass(frozen=True)
class SharedOperator:
    """One operator: what it takes whole on each tier, infinite where a tier may not have it.

    `sensitivity`: of each output, in any order; all 0 if the operator does not count.
    """

    latency_ps: Floats
    energy_pj: Floats
    sensitivity: Floats

    def costs(self, outputs: Ints) -> tuple[Floats, Floats]:
        """Time and energy of splits [.., tier]."""
        share = outputs / len(self.sensitivity)
        used = outputs > 0
        latency = np.where(used, share * np.where(used, self.latency_ps, 0.0), 0.0)
        energy = np.where(used, share * np.where(used, self.energy_pj, 0.0), 0.0)
        return latency.max(axis=-1), energy.sum(axis=-1)


@dataclass(frozen=True)
class BudgetedPlan:
    """Outputs [operator, tier], what they cost in ps and pJ, their loss, and the bound on the time of all plans."""

    outputs: Ints
    latency_ps: float
    energy_pj: float
    loss: float
    bound_ps: float


def least_latency(
    operators: Sequence[SharedOperator], noise: Floats, max_loss: float, max_energy_pj: float = np.inf
) -> BudgetedPlan:
    """The plan of least time with at most `max_loss` predicted loss and `max_energy_pj` energy."""
    ranked = np.argsort(noise, kind="stable")
    curves = [_Curve(op.sensitivity, noise[ranked]) for op in operators]
    program = _Program(operators, curves, ranked, max_loss, max_energy_pj)
    outputs = program.solve()
    for _ in range(ROUNDS):
        if outputs is None or not program.tighten(outputs):
            break
        outputs = program.solve()
    if outputs is None:
        raise PlacementError(
            f"expected a plan of at most {max_loss:.4g} predicted loss and {max_energy_pj:.4g} pJ, there is none"
        )
    bound = program.value
    chosen = _whole_splits(operators, curves, ranked, outputs, (max_loss, max_energy_pj))
    costs = [op.costs(split) for op, split in zip(operators, chosen, strict=True)]
    losses = [float(curve.loss(split[ranked])) for curve, split in zip(curves, chosen, strict=True)]
    latency = sum(float(time) for time, _ in costs)
    return BudgetedPlan(chosen, latency, sum(float(energy) for _, energy in costs), sum(losses), min(bound, latency))


class _Curve:
    """F of one operator, and its loss; tiers by rank."""

    def __init__(self, sensitivity: Floats, noise: Floats) -> None:
        self.ascending = np.sort(sensitivity)
        self.sums = np.append(0.0, np.cumsum(self.ascending))
        self.steps = np.diff(noise, prepend=0.0)

    def at(self, outputs: Floats) -> Floats:
        """F, linear between whole outputs."""
        return np.interp(outputs, np.arange(len(self.sums)), self.sums)

    def tangent(self, outputs: float) -> tuple[float, float]:
        """(slope, value at 0) of a line under F that meets it at `outputs`."""
        left = int(np.clip(np.floor(outputs), 0, len(self.ascending) - 1))
        return float(self.ascending[left]), float(self.sums[left] - self.ascending[left] * left)

    def loss(self, outputs: Floats | Ints) -> Floats:
        """The loss of splits [.., rank]."""
        noisier = np.cumsum(outputs[..., ::-1], axis=-1)[..., ::-1]
        return self.at(noisier.astype(np.float64)) @ self.steps


class _Program:
    """The linear program over outputs by operator and tier (as real numbers), with tangents of F."""

    def __init__(
        self,
        operators: Sequence[SharedOperator],
        curves: list[_Curve],
        ranked: Ints,
        max_loss: float,
        max_energy_pj: float,
    ) -> None:
        from ortools.linear_solver import pywraplp

        self.solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        self.optimal: int = pywraplp.Solver.OPTIMAL
        self.curves, self.ranked, self.value = curves, ranked, 0.0
        infinity = self.solver.infinity()
        # In units of the whole: numbers near one.
        self.scale = sum(float(op.latency_ps[np.isfinite(op.latency_ps)].max()) for op in operators) / len(operators)
        energy_scale = max(float(op.energy_pj[np.isfinite(op.energy_pj)].max()) for op in operators) or 1.0
        self.loss_scale = max(float(curve.sums[-1]) for curve in curves) or 1.0
        capped = np.isfinite(max_energy_pj)
        energy = self.solver.Constraint(-infinity, max_energy_pj / energy_scale if capped else infinity)
        self.budget = self.solver.Constraint(-infinity, max_loss / self.loss_scale)
        self.shares: list[list[Any]] = []
        self.losses: list[list[Any]] = []
        for op, curve in zip(operators, curves, strict=True):
            time = self.solver.NumVar(0.0, infinity, "")
            self.solver.Objective().SetCoefficient(time, 1.0)
            whole = self.solver.Constraint(1.0, 1.0)
            shares: list[Any] = []
            for tier in ranked:
                able = bool(np.isfinite(op.latency_ps[tier]))
                share = self.solver.NumVar(0.0, 1.0 if able else 0.0, "")
                whole.SetCoefficient(share, 1.0)
                if able:
                    slowest = self.solver.Constraint(-infinity, 0.0)
                    slowest.SetCoefficient(share, float(op.latency_ps[tier] / self.scale))
                    slowest.SetCoefficient(time, -1.0)
                    energy.SetCoefficient(share, float(op.energy_pj[tier] / energy_scale))
                shares.append(share)
            self.shares.append(shares)
            self.losses.append([self._loss(float(step)) for step in curve.steps])
        self.solver.Objective().SetMinimization()
        start = np.array([[len(curve.ascending) * share for share in (0.0, 0.25, 0.5, 0.75, 1.0)] for curve in curves])
        for operator, points in enumerate(start):
            for rank in range(len(ranked)):
                for point in points:
                    self._cut(operator, rank, float(point))

    def _loss(self, step: float) -> Any:
        """F at the outputs of one rank and those noisier, which counts `step` times."""
        variable = self.solver.NumVar(0.0, self.solver.infinity(), "")
        self.budget.SetCoefficient(variable, step)
        return variable

    def _cut(self, operator: int, rank: int, outputs: float) -> None:
        """Adds: F >= slope n + offset."""
        curve = self.curves[operator]
        slope, offset = curve.tangent(outputs)
        row = self.solver.Constraint(offset / self.loss_scale, self.solver.infinity())
        row.SetCoefficient(self.losses[operator][rank], 1.0)
        for share in self.shares[operator][rank:]:
            row.SetCoefficient(share, -slope * len(curve.ascending) / self.loss_scale)

    def solve(self) -> Floats | None:
        """Outputs [operator, rank]; None if there is no plan."""
        if self.solver.Solve() != self.optimal:
            return None
        self.value = float(self.solver.Objective().Value()) * self.scale * (1 - 1e-9)
        self.reached = np.array([[loss.solution_value() for loss in losses] for losses in self.losses])
        shares = np.array([[share.solution_value() for share in shares] for shares in self.shares])
        return shares * np.array([[len(curve.ascending)] for curve in self.curves])

    def tighten(self, outputs: Floats) -> bool:
        """Adds the tangents that `outputs` is below; whether there were any."""
        noisier = np.cumsum(outputs[:, ::-1], axis=1)[:, ::-1]
        added = False
        for operator, curve in enumerate(self.curves):
            for rank in range(len(self.ranked)):
                true = float(curve.at(noisier[operator, rank : rank + 1])[0]) / self.loss_scale
                if curve.steps[rank] > 0 and true > self.reached[operator, rank] + ENOUGH:
                    self._cut(operator, rank, float(noisier[operator, rank]))
                    added = True
        return added


def _whole_splits(
    operators: Sequence[SharedOperator],
    curves: list[_Curve],
    ranked: Ints,
    outputs: Floats,
    limits: tuple[float, float],
) -> Ints:
    """Of the whole splits [operator, tier] near `outputs` [operator, rank] the best within loss and energy."""
    from ortools.linear_solver import pywraplp

    solver: Any = pywraplp.Solver.CreateSolver("SCIP")
    candidates = [_near(op, ranked, wanted) for op, wanted in zip(operators, outputs, strict=True)]
    scale = max(float(op.costs(splits)[0].max()) for op, splits in zip(operators, candidates, strict=True)) or 1.0
    infinity = solver.infinity()
    rows = [solver.Constraint(-infinity, 1.0 if np.isfinite(limit) else infinity) for limit in limits]
    chosen: list[list[Any]] = []
    for op, curve, splits in zip(operators, curves, candidates, strict=True):
        latency, energy = op.costs(splits)
        losses = curve.loss(splits[:, ranked])
        one = solver.Constraint(1.0, 1.0)
        chosen.append([solver.BoolVar("") for _ in splits])
        for i, variable in enumerate(chosen[-1]):
            one.SetCoefficient(variable, 1.0)
            solver.Objective().SetCoefficient(variable, float(latency[i] / scale))
            for row, amount, limit in zip(rows, (losses[i], energy[i]), limits, strict=True):
                row.SetCoefficient(variable, float(amount / limit) if np.isfinite(limit) and limit else float(amount))
    solver.Objective().SetMinimization()
    solver.SetSolverSpecificParametersAsString("limits/gap = 1e-4\nlimits/nodes = 2000\n")
    if solver.Solve() not in (pywraplp.Solver.OPTIMAL, pywraplp.Solver.FEASIBLE):
        raise PlacementError("expected whole outputs near the best shares that meet the limits, there are none")
    picked = [int(np.argmax([variable.solution_value() for variable in of_op])) for of_op in chosen]
    return np.stack([splits[i] for splits, i in zip(candidates, picked, strict=True)])


def _near(op: SharedOperator, ranked: Ints, outputs: Floats) -> Ints:
    """Whole splits [.., tier] that differ from `outputs` [rank] by at most NEAR on all tiers but one."""
    total = len(op.sensitivity)
    usable = [rank for rank in range(len(ranked)) if np.isfinite(op.latency_ps[ranked[rank]])]
    rest = max(usable, key=lambda rank: outputs[rank])
    ranges: list[list[int]] = []
    for rank in usable:
        base = int(np.floor(outputs[rank] + 1e-6))
        wanted = {0} | {n for n in range(base - NEAR + 1, base + NEAR + 1) if 0 <= n <= total}
        ranges.append([0] if rank == rest else sorted(wanted))
    splits: list[Ints] = []
    for counts in combinations(*ranges):
        split = np.zeros(len(ranked), np.int64)
        split[ranked[usable]] = counts
        split[ranked[rest]] = total - split.sum()
        if split[ranked[rest]] >= 0:
            splits.append(split)
    return np.stack(splits)
