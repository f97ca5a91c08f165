"""What one solve knows: the problem with the options so far, the best plan, and how to improve and to bound it.

For weights a, b >= 0 of latency and energy:

- `leaves`: the relaxation (module `relaxation`), in boxes of scratch pools narrow enough that mixing matters little;
- `hard`: a bound for all plans, at the prices of each leaf (module `bound`);
- `refine`: options added at times where a plan may be better than any option;
- `plan`: a plan by an integer program over options of least reduced cost (module `integer`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from .blends import blends
from .bound import DEPTH, OperatorBound
from .feasible import program
from .integer import Limits, undominated
from .options import options_at
from .parts import LossLine, Prices
from .problem import Floats, Ints, OperatorType, OptionSet, Plan, Problem
from .relaxation import Pool, Relaxed, constant_term, relax

SMALL = 600
"""A problem of no more options, and none beyond them, is solved to its optimum."""
ENOUGH = 5e-4
"""Relative gap of the integer program, and of lines that matter."""
CLOSE = 5e-4
"""Relative gap at which an operator's bound is not refined further."""
LITTLE = 0.05
"""Nor are those of the last operators, that together could give no more than such a share of what is missing."""
BRANCHES, SPREAD = 5, 2e-3
"""At most so many boxes are cut, where the mixing of scratch may matter by so much, relatively."""
WIDE, EACH = 4000, 400
"""So many options of least reduced cost, of all and of each type, are looked at for the integer program."""


@dataclass(frozen=True)
class Effort:
    """What the integer program is given: so many options of least reduced cost, undominated, of all and of each type,
    and nodes: a limit that is the same on every machine."""

    columns: int
    each: int
    nodes: int


EFFORTS = (Effort(120, 8, 60), Effort(400, 16, 400), Effort(1200, 60, 2000))
GOOD = 8e-3
"""Where a plan is within so much of the bound, no greater effort is made."""
BLENDS = 24
"""So many options between those that the relaxation mixes are added for a type."""
LINES, NEAR_LINES = 6, 400
"""About so many lines below the loss of an operator are tried for its bound, at some of the best options."""
FULL = DEPTH
"""All levels of the bound."""
PEEK, LOOK = 2, 3
"""Levels of the bound that show where options are missing, roughly and well."""
WHOLE = 1e-6
"""Differences from whole numbers, and relative gaps, that are none."""
SAFE = 1 - 1e-9
"""Sums of floats are taken this much lower when they bound."""


class Search:
    """The state of one solve, until `deadline` (of time.monotonic())."""

    def __init__(self, problem: Problem, incumbent: Plan, deadline: float) -> None:
        self.problem, self.best, self.deadline = problem, incumbent, deadline
        self.pool = Pool(problem)
        self.timed_out = False

    def value(self, plan: Plan) -> float:
        """The objective of a plan."""
        return self.problem.value(plan.latency_ps, plan.energy_pj)

    def left(self) -> float:
        """Seconds until the deadline; notes when it has passed."""
        left = self.deadline - time.monotonic()
        self.timed_out |= left <= 0
        return left

    def few(self) -> Ints | None:
        """All options where there are few, and no plans beyond them; else None."""
        if any(kind.families for kind in self.problem.types) or len(self.pool) > SMALL:
            return None
        return np.arange(len(self.pool))

    def cost(self, a: float, b: float) -> Floats:
        """What each option adds to a latency + b energy."""
        return a * self.pool.latency + b * self.pool.energy

    def with_fixed(self, latency: float, energy: float) -> tuple[float, float]:
        """With what does not depend on the plan; `energy` includes the static energy of `latency`."""
        problem = self.problem
        fixed = problem.fixed_energy_pj + problem.static_pj_per_ps * problem.fixed_latency_ps
        return latency + problem.fixed_latency_ps, energy + fixed

    def constant(self, a: float, b: float) -> float:
        """What is in a latency + b energy whatever the plan."""
        latency, energy = self.with_fixed(0.0, 0.0)
        return a * latency + b * energy

    def leaves(self, a: float, b: float) -> list[Relaxed]:
        """Relaxations in boxes that cover all scratch pools, the least bound first."""
        pool, cost = self.pool, self.cost(a, b)
        root = relax(pool, cost)
        if root is None:
            raise ValueError("expected options for every type, got a type without any")
        leaves = [root]
        for _ in range(BRANCHES if len(pool.tiers) else 0):
            leaf = leaves[0]
            # How much larger the pools would have to be for the options that are mixed, and what that would cost.
            most = (pool.scratch[leaf.columns] * (leaf.shares > WHOLE)[:, None]).max(axis=0, initial=0.0)
            missing = np.maximum(most - leaf.scratch, 0.0) * np.maximum(leaf.prices, 0.0)
            tier = int(missing.argmax())
            if missing[tier] <= SPREAD * leaf.bound or self.left() <= 0:
                break
            at = int((leaf.scratch[tier] + 0.7 * (most[tier] - leaf.scratch[tier])) * pool.capacity[tier])
            halves = (relax(pool, cost, box) for box in leaf.box.halves(tier, at))
            leaves = [*(half for half in halves if half is not None), *leaves[1:]]
            leaves.sort(key=lambda each: each.bound)
        return leaves

    def soft(self, leaves: list[Relaxed], a: float, b: float) -> float:
        """The least of a latency + b energy over plans of the options so far."""
        return self.constant(a, b) + leaves[0].bound * SAFE

    def hard(
        self, leaves: list[Relaxed], a: float, b: float, depth: int, goal: float = np.inf
    ) -> tuple[float, list[OperatorBound]]:
        """The least of a latency + b energy over all plans; and the operators' bounds in the first leaf.

        A bound of `goal` is enough: operators are looked into, the loosest first, until the bound is there, or those
        left have little to give. Without a goal all are, until they are close to what the options allow. Every
        number on the way is a bound by itself, so that where it stops does not matter for its truth.
        """
        constant, many = self.constant(a, b), self.pool.multiplicity
        least, first = (goal - constant) / SAFE * (1 + WHOLE), list[OperatorBound]()
        for leaf in leaves:
            parts = float(many @ leaf.least)
            # A leaf well above what is wanted may be bounded roughly.
            slack = max(CLOSE, (leaf.bound - least) / parts if least < leaf.bound and parts > 0 else 0.0)
            bounds = self.operator_bounds(leaf, a, b)
            peek = self._depth(min(PEEK, depth))
            found = np.array([bound.look(peek, slack * bound.target).value for bound in bounds])
            rest = constant_term(self.pool, leaf.box, leaf.prices, leaf.scratch_prices, leaf.budget_prices)
            # A short look into all operators comes before a long one into few.
            for level in range(PEEK + 1, depth + 1):
                order = np.argsort(-many * (leaf.least - found), kind="stable")
                for i, k in enumerate(order.tolist()):
                    missing = least - (float(many @ found) + rest)
                    left = float(many[order[i:]] @ (leaf.least - found)[order[i:]])
                    if missing <= 0 or left <= LITTLE * (missing if np.isfinite(missing) else 0.0):
                        break
                    needed = found[k] + missing * (1 + WHOLE) / many[k]
                    if found[k] < min(needed, leaf.least[k] * (1 - CLOSE)):
                        rough = max(CLOSE, 1 - float(needed / leaf.least[k]))
                        found[k] = bounds[k].look(self._depth(level), rough * bounds[k].target).value
            value = float(many @ found) + rest
            least = min(least, value) if first else value
            first = first or bounds
        return constant + least * SAFE, first

    def _depth(self, depth: int) -> int:
        """Of a look into a bound: the least where the time is over."""
        return depth if self.left() > 0 else 1

    def operator_bounds(self, leaf: Relaxed, a: float, b: float) -> list[OperatorBound]:
        """By type the least cost of an operator at the leaf's prices, over all plans that its tables know."""
        problem, pool = self.problem, self.pool

        def by_tier(values: Floats | tuple[int, ...]) -> Floats:
            result = np.zeros(len(problem.tiers))
            result[pool.tiers] = values
            return result

        resident = by_tier(leaf.prices / pool.capacity)
        written, per_ps, per_pj = np.zeros(len(problem.tiers)), a + b * problem.static_pj_per_ps, b
        per_loss = 0.0
        for budget, price in zip(problem.budgets, (leaf.budget_prices / pool.limits).tolist(), strict=True):
            resident, written = (
                resident + price * np.array(budget.per_resident),
                written + price * np.array(budget.per_write),
            )
            per_ps, per_pj = per_ps + price * budget.per_ps, per_pj + price * budget.per_pj
            per_loss += price * budget.per_loss
        limits = problem.arrays - by_tier(leaf.box.low).astype(np.int64), by_tier(leaf.box.high).astype(np.int64)
        result: list[OperatorBound] = []
        for k, kind in enumerate(problem.types):
            rewritten = by_tier(leaf.scratch_prices[k] / pool.capacity)
            prices = Prices(per_ps, per_pj, resident, rewritten, written, *limits)
            if kind.curve is not None and per_loss > 0:
                prices = replace(prices, losses=self.loss_lines(leaf, k, per_loss))
            result.append(OperatorBound(kind.families, prices, float(leaf.least[k])))
        return result

    def loss_lines(self, leaf: Relaxed, kind: int, per_loss: float) -> tuple[LossLine, ...]:
        """Lines below what an operator's loss costs, whatever its split (`loss_curve`): those that should bound best.

        They meet it at the mix of splits that the leaf chose, and at the best options of several times.
        """
        pool = leaf.pool
        curve = pool.problem.types[kind].curve
        assert curve is not None
        mine = pool.kind[leaf.columns] == kind
        splits = pool.problem.types[kind].options.all_outputs.astype(np.float64)
        chosen = leaf.shares[mine] @ splits[pool.option[leaf.columns[mine]]] / leaf.shares[mine].sum()
        own = np.flatnonzero(pool.kind == kind)
        own = own[np.argsort(leaf.reduced[own], kind="stable")][:NEAR_LINES]
        times = np.array_split(own[np.argsort(pool.latency[own], kind="stable")], LINES)
        best = [splits[pool.option[each[leaf.reduced[each].argmin()]]] for each in times if len(each)]
        lines = [(np.zeros(splits.shape[1]), 0.0), *(curve.line_at(split) for split in (chosen, *best))]
        distinct = [line for i, line in enumerate(lines) if all(np.any(line[0] != other[0]) for other in lines[:i])]
        return tuple(LossLine(per_loss * slopes, per_loss * offset) for slopes, offset in distinct)

    def refine(self, leaf: Relaxed, bounds: list[OperatorBound], a: float, b: float) -> bool:
        """Adds options at the times where a plan may be better than any option; False if none is."""
        types = list(self.problem.types)
        for k, (kind, bound) in enumerate(zip(types, bounds, strict=True)):
            if any(len(low) for low, _ in bound.open):
                found = options_at(kind.families, self.problem.arrays, kind.precisions, bound.open)
                found = kind.with_loss(found)
                better = self.reduced(found, leaf, k, a, b) < -1e-3 * ENOUGH * float(leaf.least[k])
                if better.any():
                    types[k] = replace(kind, options=OptionSet.concat([kind.options, found.take(better)]))
        grown = any(new is not old for new, old in zip(types, self.problem.types, strict=True))
        if grown:
            self.set_types(types)
        return grown

    def set_types(self, types: list[OperatorType]) -> None:
        """Changes the options."""
        self.problem = replace(self.problem, types=tuple(types))
        self.pool = Pool(self.problem)

    def reduced(self, options: OptionSet, leaf: Relaxed, kind: int, a: float, b: float) -> Floats:
        """Reduced costs of options of a type that are not in the pool."""
        pool = self.pool
        latency = options.latency_ps.astype(np.float64)
        energy = options.energy_pj + self.problem.static_pj_per_ps * latency
        arrays = options.resident[:, pool.tiers] @ (leaf.prices / pool.capacity)
        arrays += options.scratch[:, pool.tiers] @ (leaf.scratch_prices[kind] / pool.capacity)
        budgets = pool.shares_taken(options) @ leaf.budget_prices
        return a * latency + b * energy + arrays + budgets - leaf.least[kind]

    def blend(self, leaf: Relaxed, a: float, b: float) -> list[tuple[int, int]]:
        """Adds options for what the relaxation mixes; for each type which options are new: first, end."""
        pool, types = self.pool, list(self.problem.types)
        new: list[tuple[int, int]] = []
        for k, kind in enumerate(types):
            mine = leaf.columns[pool.kind[leaf.columns] == k]
            part = np.modf(leaf.shares[pool.kind[leaf.columns] == k] + WHOLE)[0]
            mixed = part > 2 * WHOLE
            new.append((len(kind.options), len(kind.options)))
            if mixed.sum() < 2 or not kind.families:
                continue
            part = part[mixed] / part[mixed].sum()
            found = kind.with_loss(blends(kind, pool.option[mine[mixed]], part))
            resident = found.resident[:, pool.tiers] / pool.capacity - part @ pool.resident[mine[mixed]]
            scratch = found.scratch[:, pool.tiers] / pool.capacity - part @ pool.scratch[mine[mixed]]
            apart = np.abs(resident) @ leaf.prices + np.abs(scratch) @ (leaf.prices + leaf.scratch_prices[k])
            nearest = np.argsort(self.reduced(found, leaf, k, a, b) + apart, kind="stable")[:BLENDS]
            types[k] = replace(kind, options=OptionSet.concat([kind.options, found.take(nearest)]))
            new[k] = len(kind.options), len(types[k].options)
        self.set_types(types)
        return new

    def plan(self, leaf: Relaxed, a: float, b: float, effort: Effort = EFFORTS[1]) -> None:
        """A plan with scratch pools in the box of `leaf`, from the options of least reduced cost, if one is found."""
        new = self.blend(leaf, a, b)
        pool, cost = self.pool, self.cost(a, b)
        leaf = relax(pool, cost, leaf.box) or leaf
        ranked = np.argsort(leaf.reduced, kind="stable")
        ranked = ranked[np.isfinite(leaf.reduced[ranked])]
        kinds = range(len(pool.multiplicity))
        likely = np.concatenate([ranked[:WIDE], *(ranked[pool.kind[ranked] == k][:EACH] for k in kinds)])
        columns = undominated(pool, cost, np.unique(likely))
        columns = columns[np.argsort(leaf.reduced[columns], kind="stable")]
        few = [
            columns[: effort.columns],
            *(columns[pool.kind[columns] == k][: effort.each] for k in kinds),
            leaf.columns,
        ]
        blended = [np.arange(first, end) + pool.start[k] for k, (first, end) in enumerate(new)]
        columns = np.unique(np.concatenate([*few, *blended]))
        limits = Limits(2 * ENOUGH, effort.nodes, max(self.left(), 0.5))
        self.offer(program(self.problem, pool, cost, columns, limits))
        self.left()

    def offer(self, plan: Plan | None) -> None:
        """Keeps the plan if it is the best so far."""
        if plan is not None and self.value(plan) < self.value(self.best):
            self.best = plan
