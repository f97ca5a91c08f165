"""Throughput: the least period of a stream of executions.

Executions follow each other; each resource (a tier, a port of off-chip memory) works for one of them at a time, but
different resources for different ones. So the period is at least, and with enough executions under way at once no more
than, the time that the busiest resource is busy in one execution:

    min P  s.t.  fixed_r + sum of busy_ro z_o <= P for each resource r,  and the rows of module `relaxation`

A tier is busy with a part as long as the part takes alone; rewritten weights are written in that time. Resident weights
count where arrays suffice, as in the other objectives.

**Bound.** For any pi >= 0 with sum 1 the period is at least sum_r pi_r (fixed_r + busy_r), by the relaxation's
multipliers of the rows above, under which an operator's cost is a sum over its parts. Its least over all plans is
`_least_cost`. Splits in which tiers finish together are the wrong options here, as another operator may use a tier
meanwhile; `_cheapest` makes those that cost least at the multipliers.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from .blends import blends
from .feasible import plan_of
from .integer import Limits, choose, undominated
from .options import Genes, fitting, priced
from .parts import Prices
from .problem import RESIDENT, STREAMED, Family, Floats, Ints, OptionSet, PlacementError, Plan, Problem, evaluate
from .relaxation import Box, Master, Pool, constant_term
from .solve import SAFE, WHOLE, Solution

ROUNDS, ROWS = 40, 128
"""Most rounds of column generation, and rows of a table that new options are made of."""
NEAR, EACH, FEW = 240, 24, 600
"""Options given to the integer program: of all and of each type; problems of no more are given whole."""
BLENDS = 24
"""So many options between those that the relaxation mixes are added for a type."""
NODES = 1500


def solve_throughput(problem: Problem, incumbent: Plan | None, time_limit_s: float) -> Solution:
    """The plan of least period found, no worse than `incumbent`, and a bound for all plans, in ns.

    PlacementError if there is no plan. Limits of latency and energy are those of one execution.
    """
    deadline = time.monotonic() + time_limit_s
    problem, relaxed = _relaxed(problem, deadline)
    problem = _blended(problem, Pool(problem), relaxed)
    pool = Pool(problem)
    best = incumbent
    if best is None:
        best = plan_of(problem, pool, pool.busy @ relaxed.prices + 1e-9 * pool.latency, time_limit_s)
    columns = np.arange(len(pool)) if len(pool) <= FEW else relaxed.likely(pool)
    columns = undominated(pool, np.zeros(len(pool)), columns, busy=True)
    limits = Limits(1e-3 if len(pool) > FEW else 0.0, NODES, max(deadline - time.monotonic(), 0.5))
    fixed = np.array(problem.fixed_busy_ps or (0,) * pool.busy.shape[1], np.float64)
    bound, exact = relaxed.hard(problem, pool), False
    for tight in (0.0, 2e-6):
        chosen = choose(pool, pool.latency, columns, limits, tight, fixed)
        plan = None if chosen is None else evaluate(problem, chosen.counts)
        if plan is not None:
            best = plan if best is None or plan.period_ps < best.period_ps else best
            exact = chosen is not None and chosen.proven and tight == 0 and len(pool) <= FEW
            break
    if best is None:
        raise PlacementError("found no plan within the chip's arrays and the limits")
    if exact and not any(kind.families for kind in problem.types):
        bound = best.period_ps / 1000
    bound = min(bound, best.period_ps / 1000)
    timed_out = time.monotonic() >= deadline
    gap = best.period_ps / 1000 - bound
    status = "optimal" if gap <= WHOLE * bound else "time-limit" if timed_out else "feasible"
    return Solution(problem, best, bound, status)


def _blended(problem: Problem, pool: Pool, relaxed: _Relaxed) -> Problem:
    """The problem with options between those that the relaxation mixes."""
    types = list(problem.types)
    for k, kind in enumerate(types):
        mine = pool.kind[relaxed.columns] == k
        if mine.sum() < 2 or not kind.families:
            continue
        shares = relaxed.shares[mine] / relaxed.shares[mine].sum()
        found = kind.with_loss(fitting(blends(kind, pool.option[relaxed.columns[mine]], shares), problem.arrays))
        if len(found):
            nearest = np.argsort(relaxed.costs_of(found, pool, k), kind="stable")[:BLENDS]
            types[k] = replace(kind, options=OptionSet.concat([kind.options, found.take(nearest)]))
    return replace(problem, types=tuple(types))


class _Program(Master):
    """The relaxation with the period as its cost."""

    def __init__(self, pool: Pool, fixed: Floats, scale: float) -> None:
        super().__init__(pool, np.zeros(len(pool)), Box.whole(pool))
        self.period: Any = self.solver.NumVar(0.0, self.solver.infinity(), "period")
        self.solver.Objective().SetCoefficient(self.period, 1.0)
        self.busy: list[Any] = []
        self.scale = scale
        for ps in fixed.tolist():
            row = self.solver.Constraint(-self.solver.infinity(), -ps / scale)
            row.SetCoefficient(self.period, -1.0)
            self.busy.append(row)

    def add(self, columns: Ints) -> None:
        first = len(self.shares)
        super().add(columns)
        for share, option in zip(self.shares[first:], columns.tolist(), strict=True):
            for row, ps in zip(self.busy, self.pool.busy[option].tolist(), strict=True):
                row.SetCoefficient(share, ps / self.scale)

    def solve(self) -> tuple[float, Floats, Floats, Floats]:
        result = super().solve()
        weights = np.array([max(0.0, -row.dual_value()) for row in self.busy])
        self.weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
        return result


class _Relaxed:
    """Multipliers, in ps: of resources, arrays, scratch and budgets; and the bound that they give for the options.

    The bound for all plans leaves out what loss costs, which is at least nothing.
    """

    def __init__(self, program: _Program, values: tuple[float, Floats, Floats, Floats], fixed: Floats) -> None:
        self.prices, self.fixed = program.weights, fixed
        self.arrays, self.scratch, self.budgets = (value * program.scale for value in values[1:])
        self.columns, self.shares, _ = program.solution()

    def costs(self, pool: Pool) -> Floats:
        """[option]: what each costs at the multipliers."""
        held = pool.resident @ self.arrays + np.einsum("ot,ot->o", pool.scratch, self.scratch[pool.kind])
        return pool.busy @ self.prices + held + pool.taken @ self.budgets

    def costs_of(self, options: OptionSet, pool: Pool, k: int) -> Floats:
        """The same of options of a type that are not in the pool."""
        held = options.resident[:, pool.tiers] @ (self.arrays / pool.capacity)
        held = held + options.scratch[:, pool.tiers] @ (self.scratch[k] / pool.capacity)
        return options.busy_ps @ self.prices + held + pool.shares_taken(options) @ self.budgets

    def constant(self, pool: Pool) -> float:
        """What is beside the operators' costs."""
        box = Box.whole(pool)
        return constant_term(pool, box, self.arrays, self.scratch, self.budgets) + float(self.prices @ self.fixed)

    def bound(self, pool: Pool) -> float:
        """For plans of the pool, in ps."""
        return float(pool.multiplicity @ pool.least(self.costs(pool))) + self.constant(pool)

    def likely(self, pool: Pool) -> Ints:
        """Options of small reduced cost."""
        costs = self.costs(pool)
        order = np.argsort(costs - pool.least(costs)[pool.kind], kind="stable")
        kinds = range(len(pool.multiplicity))
        return np.unique(np.concatenate([order[:NEAR], *(order[pool.kind[order] == k][:EACH] for k in kinds)]))

    def operator_prices(self, pool: Pool, k: int) -> Prices:
        """The multipliers as prices of one type's operators."""
        problem = pool.problem
        resident, rewritten, written = (np.zeros(len(problem.tiers)) for _ in range(3))
        resident[pool.tiers], rewritten[pool.tiers] = self.arrays / pool.capacity, self.scratch[k] / pool.capacity
        per_ps = per_pj = 0.0
        for budget, price in zip(problem.budgets, (self.budgets / pool.limits).tolist(), strict=True):
            resident, written = (
                resident + price * np.array(budget.per_resident),
                written + price * np.array(budget.per_write),
            )
            per_ps, per_pj = per_ps + price * budget.per_ps, per_pj + price * budget.per_pj
        return Prices(per_ps, per_pj, resident, rewritten, written, problem.arrays, problem.arrays, self.prices)

    def hard(self, problem: Problem, pool: Pool) -> float:
        """For all plans, in ns."""
        least = pool.least(self.costs(pool))
        terms = [
            min(
                float(least[k]), *(_least_cost(f, self.operator_prices(pool, k), problem.arrays) for f in kind.families)
            )
            if kind.families
            else float(least[k])
            for k, kind in enumerate(problem.types)
        ]
        return (float(pool.multiplicity @ np.array(terms)) + self.constant(pool)) * SAFE / 1000


def _relaxed(problem: Problem, deadline: float) -> tuple[Problem, _Relaxed]:
    """Column generation: the problem with the options that it made, and the best multipliers found."""
    best: _Relaxed | None = None
    reached = -np.inf
    pool = Pool(problem)
    fixed = np.array(problem.fixed_busy_ps or (0,) * pool.busy.shape[1], np.float64)
    scale = float(pool.multiplicity @ pool.least(pool.busy.max(axis=1, initial=0.0)) + fixed.max(initial=0.0)) or 1.0
    columns = np.unique(np.concatenate([pool.first_least(each) for each in (*pool.busy.T, pool.latency)]))
    for _ in range(ROUNDS):
        pool = Pool(problem)
        program = _Program(pool, fixed, scale)
        program.add(columns)
        relaxed = _Relaxed(program, program.solve(), fixed)
        for _ in range(ROUNDS):
            new = np.setdiff1d(pool.first_least(relaxed.costs(pool)), program.columns)
            if relaxed.bound(pool) > program.solver.Objective().Value() * scale * (1 - 1e-6) or not len(new):
                break
            program.add(new)
            relaxed = _Relaxed(program, program.solve(), fixed)
        if sum(program.over) > WHOLE:
            break
        best = relaxed
        kinds, options = pool.kind[program.columns], pool.option[program.columns]
        grown = _with_cheapest(problem, pool, relaxed)
        # The bound of the options holds for all plans once no new one lowers it.
        ahead = Pool(grown)
        bound = relaxed.bound(ahead)
        problem, done = grown, len(ahead) == len(pool) or bound >= relaxed.bound(pool) * (1 - 1e-4)
        columns = ahead.start[kinds] + options
        reached = max(reached, bound)
        if done or time.monotonic() >= deadline:
            break
    if best is None:
        raise PlacementError("found no plan within the chip's arrays and the limits")
    return problem, best


def _with_cheapest(problem: Problem, pool: Pool, relaxed: _Relaxed) -> Problem:
    """The problem with, for each type and number of rounds, the option that costs least at the multipliers."""
    types = list(problem.types)
    least = pool.least(relaxed.costs(pool))
    for k, kind in enumerate(types):
        prices = relaxed.operator_prices(pool, k)
        made = [priced(family, _cheapest(family, prices, problem.arrays), kind.precisions) for family in kind.families]
        options = fitting(OptionSet.concat(made), problem.arrays) if made else kind.options.take(np.zeros(0, np.int64))
        if not len(options):
            continue
        options = kind.with_loss(options)
        mine = relaxed.costs_of(options, pool, k)
        better = mine < least[k] - 1e-6 * abs(least[k])
        if better.any():
            types[k] = replace(kind, options=OptionSet.concat([kind.options, options.take(better)]))
    return replace(problem, types=tuple(types))


def _least_cost(family: Family, prices: Prices, arrays: Ints) -> float:
    """A lower bound of what an operator costs in the rounds of `family` when every part counts for itself.

    A part whose outputs lie between two rows of a table counts with the outputs of the greater and the cost of the
    least that is above the smaller: cost never falls as outputs grow.
    """
    full, _ = _added(family, family.outputs, prices, arrays, floor=True)
    last = full if family.last == family.outputs else _added(family, family.last, prices, arrays, floor=True)[0]
    return full * (family.rounds - 1) + last


def _cheapest(family: Family, prices: Prices, arrays: Ints) -> Genes:
    """The split of a round that costs least when every part counts for itself."""
    cost, parts = _added(family, family.outputs, prices, arrays, floor=False)
    genes = Genes(*(np.full((int(np.isfinite(cost)), len(arrays)), -1, np.int64) for _ in range(3)))
    for table, row, column in parts if np.isfinite(cost) else []:
        tier = family.tables[table].tier
        genes.table[0, tier], genes.row[0, tier], genes.column[0, tier] = table, row, column
    return genes


_Choice = tuple[float, int, int, int]
"""Cost of a part, its table, row and column."""


def _added(
    family: Family, total: int, prices: Prices, arrays: Ints, *, floor: bool
) -> tuple[float, list[tuple[int, int, int]]]:
    """The least cost of `total` outputs, tier added to tier, and the parts (table, row, column) that have it.

    With `floor` a bound: more outputs than needed may be had.
    """
    step = min(int(table.floor_outputs[0]) for table in family.tables)
    count = total // step
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    trail: list[tuple[Ints, dict[int, _Choice]]] = []
    for tier in sorted({table.tier for table in family.tables}, key=lambda t: (arrays[t] == 0, t)):
        choices = _choices(family, tier, prices, arrays, floor)
        grown, taken = best.copy(), np.full(count + 1, -1, np.int64)
        for n, choice in choices.items():
            some = min(n // step, count)
            with_it = np.full(count + 1, np.inf)
            with_it[some:] = best[: count + 1 - some] + choice[0]
            if floor:
                # Outputs beyond the total: of any smaller sum before it.
                with_it[count] = best[count - some :].min() + choice[0]
            elif n > total:
                continue
            better = with_it < grown
            grown[better], taken[better] = with_it[better], n
        trail.append((taken, choices))
        best = grown
    parts: list[tuple[int, int, int]] = []
    at = count
    for taken, choices in reversed(trail) if not floor and np.isfinite(best[count]) else []:
        n = int(taken[at])
        if n >= 0:
            parts.append(choices[n][1:])
            at -= n // step
    return float(best[count]), parts


def _choices(family: Family, tier: int, prices: Prices, arrays: Ints, floor: bool) -> dict[int, _Choice]:
    """For numbers of outputs the cheapest part on a tier; with `floor` the least cost beyond the number before."""
    result: dict[int, _Choice] = {}
    for i, table in enumerate(family.tables):
        if table.tier != tier:
            continue
        rows = np.arange(len(table.outputs))
        if len(rows) > ROWS and table.mode != STREAMED:
            rows = np.unique(np.linspace(0, len(rows) - 1, ROWS).astype(np.int64))
        outputs = table.outputs[rows]
        # The cost of the least outputs that are not in the row before.
        at = np.append(0, rows[:-1] + 1) if floor else rows
        names = ("latency_ps", "energy_pj", "arrays", "shared_ps")
        latency, energy, taken, shared = (getattr(table, ("floor_" if floor else "") + name) for name in names)
        held = prices.resident if table.mode == RESIDENT else prices.rewritten / family.rounds + prices.written
        cost = prices.busy[tier] * latency[at] + np.tensordot(prices.busy[len(arrays) :], shared[:, at], 1)
        cost = cost + prices.per_pj * energy[at] + held[tier] * taken[at]
        if table.mode != STREAMED:
            cost = np.where(taken[at] <= arrays[tier], cost, np.inf)
        column = cost.argmin(axis=1)
        least = cost[np.arange(len(rows)), column].tolist()
        for n, value, row, c in zip(outputs.tolist(), least, rows.tolist(), column.tolist(), strict=True):
            if np.isfinite(value) and (n not in result or value < result[n][0]):
                result[n] = (value, i, row, c)
    return result
