"""The linear relaxation: shares of options instead of whole operators, solved by column generation.

    min  sum_o cost_o z_o
    s.t. sum_{o of type k} z_o = mult_k
         sum_o resident_ot z_o + S_t <= arrays_t                 lambda_t
         sum_{o of type k} scratch_ot z_o <= mult_k S_t          mu_kt
         sum_o amount_ob z_o <= limit_b                          nu_b
         low_t <= S_t <= high_t;  z_o = 0 where scratch_ot > high_t

The third row lets an operator need more scratch than the pool S_t, as long as its type does not on average; the box on
S bounds by how much, and narrower boxes that cover all S tighten the relaxation.

For any lambda, mu, nu >= 0 every plan whose scratch pools lie in the box costs at least

    sum_k mult_k min_o (cost_o + lambda . resident_o + mu_k . scratch_o + nu . amount_o)
    + sum_t min over S_t in the box of (lambda_t - sum_k mult_k mu_kt) S_t  -  lambda . arrays  -  nu . limit

because its operators each meet the min over options in the box, and what was added for its resident arrays and scratch
is at most lambda . (arrays - S) + sum_k mult_k mu_k . S. The same holds when "min over options" is replaced by a lower
bound of it over all plans of an operator, as module `bound` does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .problem import Floats, Ints, OptionSet, Problem

BEYOND = 1e4
"""What takes more of a limit counts as taking so many times the limit."""
COLUMN_ROUNDS = 60
ENOUGH = 1e-7
"""Relative gap at which column generation stops."""


class Pool:
    """All options of a problem in one row each. Tiers are those with arrays, amounts shares of a tier's arrays."""

    def __init__(self, problem: Problem, allowed: list[Any] | None = None) -> None:
        self.problem = problem
        self.tiers = np.flatnonzero(problem.arrays > 0)
        self.capacity = problem.arrays[self.tiers].astype(np.float64)
        kinds = problem.types
        chosen = [
            np.arange(len(k.options)) if allowed is None else np.flatnonzero(allowed[i]) for i, k in enumerate(kinds)
        ]
        self.option: Ints = np.concatenate(chosen)
        self.kind: Ints = np.repeat(np.arange(len(kinds)), [len(c) for c in chosen])
        self.start: Ints = np.concatenate([[0], np.cumsum([len(c) for c in chosen])])[:-1]
        self.multiplicity = np.array([k.multiplicity for k in kinds], np.int64)
        pick = [k.options.take(c) for k, c in zip(kinds, chosen, strict=True)]
        self.latency = np.concatenate([o.latency_ps for o in pick]).astype(np.float64)
        dynamic = np.concatenate([o.energy_pj for o in pick])
        self.energy = dynamic + problem.static_pj_per_ps * self.latency
        self.resident_arrays: Ints = np.concatenate([o.resident for o in pick])[:, self.tiers]
        self.scratch_arrays: Ints = np.concatenate([o.scratch for o in pick])[:, self.tiers]
        self.resident = self.resident_arrays / self.capacity
        self.scratch = self.scratch_arrays / self.capacity
        self.busy: Floats = np.concatenate([o.busy_ps for o in pick]).astype(np.float64)
        self.limits = np.array([budget.limit for budget in problem.budgets])
        self.taken = np.concatenate([self.shares_taken(options) for options in pick])
        """[option, budget]: shares of the limits."""

    def shares_taken(self, options: OptionSet) -> Floats:
        """[option, budget]: which share of each budget's limit options take, of the pool or not.

        No plan has an option that takes more than a limit: by how much more is kept small for the solver.
        """
        columns = [np.minimum(budget.amounts(options) / budget.limit, BEYOND) for budget in self.problem.budgets]
        return np.stack(columns, axis=1) if columns else np.zeros((len(options), 0))

    def __len__(self) -> int:
        return len(self.kind)

    def least(self, values: Floats) -> Floats:
        """The least of `values` in each type."""
        return np.minimum.reduceat(values, self.start)

    def first_least(self, values: Floats) -> Ints:
        """The first option with the least of `values`, for each type."""
        hits = np.flatnonzero(values == self.least(values)[self.kind])
        return hits[np.searchsorted(hits, self.start)]


@dataclass(frozen=True)
class Box:
    """Limits of the scratch pools, in arrays of each array tier."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @staticmethod
    def whole(pool: Pool) -> Box:
        """All pools that a chip can have."""
        return Box((0,) * len(pool.tiers), tuple(int(c) for c in pool.capacity))

    def halves(self, tier: int, at: int) -> tuple[Box, Box]:
        """The pools of `tier` with at most `at` arrays, and with more."""
        high, low = [*self.high], [*self.low]
        high[tier], low[tier] = at, at + 1
        return Box(self.low, tuple(high)), Box(tuple(low), self.high)


@dataclass(frozen=True)
class Relaxed:
    """A solution of the relaxation and its multipliers, per share of a tier."""

    bound: float
    """Least cost of plans of the pool in the box, by the multipliers."""
    prices: Floats
    """lambda."""
    scratch_prices: Floats
    """mu, [type, tier]."""
    budget_prices: Floats
    """nu."""
    excess: float
    """By how much more than all, in shares summed, the solution takes of tiers and budgets: 0 unless none fits."""
    reduced: Floats
    """[option]: cost with prices, less the least of its type; infinite outside the box."""
    least: Floats
    """[type]: the least cost with prices."""
    columns: Ints
    shares: Floats
    scratch: Floats
    """S, in shares of the tiers."""
    box: Box
    pool: Pool
    """What the options above are counted in."""


def constant_term(pool: Pool, box: Box, prices: Floats, scratch_prices: Floats, budget_prices: Floats) -> float:
    """What the bound has beside the operators' terms."""
    slope = prices - pool.multiplicity @ scratch_prices
    low, high = np.array(box.low) / pool.capacity, np.array(box.high) / pool.capacity
    return float(np.minimum(slope * low, slope * high).sum() - prices.sum() - budget_prices.sum())


def relax(pool: Pool, cost: Floats, box: Box | None = None) -> Relaxed | None:
    """Solves the relaxation for `cost`, one an option; None if a type has no option in the box."""
    box = box or Box.whole(pool)
    barred = np.where(np.all(pool.scratch_arrays <= np.array(box.high), axis=1), 0.0, np.inf)
    base = pool.least(cost + barred)
    if not np.all(np.isfinite(base)):
        return None
    scale = float(pool.multiplicity @ base) or 1.0
    cost = cost / scale + barred
    master = Master(pool, cost, box)
    master.add(_first_columns(pool, cost))
    best: Relaxed | None = None
    for _ in range(COLUMN_ROUNDS):
        value, prices, scratch_prices, budget_prices = master.solve()
        total = cost + pool.resident @ prices + pool.taken @ budget_prices
        total += np.einsum("ot,ot->o", pool.scratch, scratch_prices[pool.kind])
        least = pool.least(total)
        bound = float(pool.multiplicity @ least) + constant_term(pool, box, prices, scratch_prices, budget_prices)
        if best is None or bound * scale > best.bound:
            reduced = (total - least[pool.kind]) * scale
            multipliers = prices * scale, scratch_prices * scale, budget_prices * scale
            best = Relaxed(bound * scale, *multipliers, 0.0, reduced, least * scale, *master.solution(), box, pool)
        new = np.setdiff1d(pool.first_least(total), master.columns)
        if value - bound <= ENOUGH * abs(value) or not len(new):
            break
        master.add(new)
    assert best is not None
    solution = dict(zip(("columns", "shares", "scratch"), master.solution(), strict=True))
    return replace(best, excess=sum(master.over), **solution)


def _first_columns(pool: Pool, cost: Floats) -> Ints:
    """For each type the options that are best at a few prices of arrays, from none to prohibitive."""
    taken = (pool.resident + pool.scratch).sum(axis=1)
    return np.unique(np.concatenate([pool.first_least(cost + price * taken) for price in (0.0, 0.01, 0.1, 1.0, 100.0)]))


class Master:
    """The relaxation over some columns, kept in the solver so that a new column starts from the last basis."""

    def __init__(self, pool: Pool, cost: Floats, box: Box) -> None:
        from ortools.linear_solver import pywraplp

        self.pool, self.cost = pool, cost
        self.solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        infinity = self.solver.infinity()
        self.assign = [self.solver.Constraint(int(m), int(m)) for m in pool.multiplicity]
        self.capacity, self.scratch, self.excess = [], [], []
        low, high = np.array(box.low) / pool.capacity, np.array(box.high) / pool.capacity
        for t in range(len(pool.tiers)):
            row = self.solver.Constraint(-infinity, 1.0)
            self.scratch.append(self.solver.NumVar(float(low[t]), float(high[t]), ""))
            row.SetCoefficient(self.scratch[t], 1.0)
            self._excess(row)
            self.capacity.append(row)
        self.budgets = [self.solver.Constraint(-infinity, 1.0) for _ in pool.limits]
        for row in self.budgets:
            self._excess(row)
        self.need: dict[tuple[int, int], Any] = {}
        self.columns: Ints = np.zeros(0, np.int64)
        self.shares: list[Any] = []

    def add(self, columns: Ints) -> None:
        """Adds options."""
        pool, solver = self.pool, self.solver
        for option in columns.tolist():
            kind = int(pool.kind[option])
            share = solver.NumVar(0.0, solver.infinity(), "")
            solver.Objective().SetCoefficient(share, float(self.cost[option]))
            self.assign[kind].SetCoefficient(share, 1.0)
            for t in range(len(pool.tiers)):
                if pool.resident[option, t]:
                    self.capacity[t].SetCoefficient(share, float(pool.resident[option, t]))
                if pool.scratch[option, t]:
                    self._need(kind, t).SetCoefficient(share, float(pool.scratch[option, t]))
            for row, taken in zip(self.budgets, pool.taken[option].tolist(), strict=True):
                row.SetCoefficient(share, taken)
            self.shares.append(share)
        self.columns = np.concatenate([self.columns, columns])

    def _excess(self, row: Any, price: float = 1000.0) -> None:
        """More than the row allows, at a price beyond any that can pay: keeps the program feasible."""
        excess = self.solver.NumVar(0.0, self.solver.infinity(), "")
        row.SetCoefficient(excess, -1.0)
        self.solver.Objective().SetCoefficient(excess, price)
        self.excess.append(excess)

    def _need(self, kind: int, tier: int) -> Any:
        """The row by which a type's scratch is within the pool."""
        if (kind, tier) not in self.need:
            row = self.solver.Constraint(-self.solver.infinity(), 0.0)
            row.SetCoefficient(self.scratch[tier], -float(self.pool.multiplicity[kind]))
            self.need[kind, tier] = row
        return self.need[kind, tier]

    def solve(self) -> tuple[float, Floats, Floats, Floats]:
        """Value, lambda, mu, nu."""
        self.solver.Objective().SetMinimization()
        self.solver.Solve()
        # All results are read before the program changes: the solver forgets them then.
        self.result = [share.solution_value() for share in self.shares]
        self.pools = [pool.solution_value() for pool in self.scratch]
        self.over = [excess.solution_value() for excess in self.excess]
        prices = np.array([max(0.0, -row.dual_value()) for row in self.capacity])
        scratch_prices = np.zeros((len(self.assign), len(self.capacity)))
        for (kind, tier), row in self.need.items():
            scratch_prices[kind, tier] = max(0.0, -row.dual_value())
        budget_prices = np.array([max(0.0, -row.dual_value()) for row in self.budgets])
        return self.solver.Objective().Value(), prices, scratch_prices, budget_prices

    def solution(self) -> tuple[Ints, Floats, Floats]:
        """Columns with a share, their shares, and S."""
        shares = np.array(self.result)
        used = np.flatnonzero(shares > 1e-9)
        return self.columns[: len(shares)][used], shares[used], np.array(self.pools)
