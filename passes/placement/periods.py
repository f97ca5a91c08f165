"""The relaxation of throughput: shares of options, with the period as the cost, in boxes of scratch pools.

    min P  s.t.  fixed_r + sum of busy_ro z_o <= P for each resource r,  and the rows of module `relaxation`

For any pi >= 0 with sum 1 the period is at least sum_r pi_r (fixed_r + busy_r); with the multipliers of the other rows,
as `relaxation` has them, it is at least a sum over operators of the least that one costs, plus a constant. This holds
at any multipliers, for every plan whose scratch pools lie in the box; the least over boxes that cover all pools bounds
all plans.

Splits in which tiers finish together are the wrong options here, as another operator may use a tier meanwhile: those
that cost least at the multipliers (module `separate`) are added until they lower the relaxation no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .options import realised
from .parts import Prices
from .problem import Floats, Ints, OptionSet, PlacementError, Problem
from .relaxation import Box, Master, Pool, constant_term
from .rules import Rule, next_rule
from .separate import cheapest, least_cost

SAFE = 1 - 1e-9
"""Sums of floats are taken this much lower when they bound."""
WHOLE = 1e-6
"""Shares of arrays beyond all that are rounding."""
ROUNDS, ROWS = 40, 128
"""Most rounds of column generation, and rows of a table that new options are made of."""
NEAR, FACTORS = 0.02, (0.8, 1.25)
"""How much an option may cost beyond the least, relatively, that is made at one price changed by such a factor."""
BRANCHES, SPREAD = 24, 2e-3
"""At most so many boxes are cut, where the mixing of scratch may matter by so much, relatively."""
RULED = 0.1
"""The most that a rule may cost, as a share of what operators take one by one."""
LEVELS = (32, 128, 1024)
"""Rows of tables that the bound of an operator looks at, finer where it is loose."""
CLOSE = 5e-4
"""Relative distance from the best option at which an operator's bound is not refined."""


class Program(Master):
    """The relaxation over some columns with the period as its cost, as a share of `scale`."""

    def __init__(self, pool: Pool, fixed: Floats, scale: float, box: Box, rules: tuple[Rule, ...] = ()) -> None:
        super().__init__(pool, np.zeros(len(pool)), box)
        self.period: Any = self.solver.NumVar(0.0, self.solver.infinity(), "period")
        self.solver.Objective().SetCoefficient(self.period, 1.0)
        self.busy: list[Any] = []
        self.scale = scale
        for ps in fixed.tolist():
            row = self.solver.Constraint(-self.solver.infinity(), -ps / scale)
            row.SetCoefficient(self.period, -1.0)
            self.busy.append(row)
        self.rules: list[tuple[Rule, Any, Any]] = []
        for rule in rules:
            row = self.solver.Constraint(-self.solver.infinity(), rule.sign * rule.count)
            # A price so high that no plan is worth it, and no higher: bounds of operators have to bear it.
            self._excess(row, RULED)
            has = rule.of_options(pool.problem.types[rule.kind].options)
            self.rules.append((rule, has, row))

    def add(self, columns: Ints) -> None:
        first = len(self.shares)
        super().add(columns)
        for share, option in zip(self.shares[first:], columns.tolist(), strict=True):
            for row, ps in zip(self.busy, self.pool.busy[option].tolist(), strict=True):
                row.SetCoefficient(share, ps / self.scale)
            kind = int(self.pool.kind[option])
            for rule, has, row in self.rules:
                if rule.kind == kind and has[option - self.pool.start[kind]]:
                    row.SetCoefficient(share, rule.sign)

    def solve(self) -> tuple[float, Floats, Floats, Floats]:
        result = super().solve()
        self.value = result[0] * self.scale
        weights = np.array([max(0.0, -row.dual_value()) for row in self.busy])
        self.rule_prices = tuple(max(0.0, -row.dual_value()) * self.scale for _, _, row in self.rules)
        self.weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
        return result


@dataclass(frozen=True)
class Leaf:
    """A box of scratch pools, and rules, with multipliers in ps: of resources (sum 1), arrays, scratch, budgets, rules.

    `kinds` and `options` are the solution's options, which stay where they are when others are added; none where the
    options at hand have no solution in the box. `pools` are shares of the tiers. `value` bounds plans of the options,
    in ps. The bound for all plans leaves out what loss costs, which is at least nothing.
    """

    box: Box
    fixed: Floats
    prices: Floats
    arrays: Floats
    scratch: Floats
    budgets: Floats
    kinds: Ints
    options: Ints
    shares: Floats
    pools: Floats
    value: float = 0.0
    rules: tuple[Rule, ...] = ()
    rule_prices: tuple[float, ...] = ()

    def priced_rules(self, k: int) -> tuple[tuple[Rule, float], ...]:
        """The rules of a type, with what an operator costs that has their property."""
        pairs = zip(self.rules, self.rule_prices, strict=True)
        return tuple((rule, rule.sign * price) for rule, price in pairs if rule.kind == k and price > 0)

    def columns(self, pool: Pool) -> Ints:
        """The solution's options in `pool`."""
        return pool.start[self.kinds] + self.options

    def barred(self, pool: Pool, scratch: Ints, resident: Ints) -> Floats:
        """[option]: infinite where one of such arrays is in no plan of the box, else 0."""
        low, high = np.array(self.box.low), np.array(self.box.high)
        return np.where(np.all((scratch <= high) & (resident + low <= pool.capacity), axis=1), 0.0, np.inf)

    def costs(self, pool: Pool) -> Floats:
        """[option]: what each costs at the multipliers; infinite outside the box."""
        held = pool.resident @ self.arrays + np.einsum("ot,ot->o", pool.scratch, self.scratch[pool.kind])
        barred = self.barred(pool, pool.scratch_arrays, pool.resident_arrays)
        costs = pool.busy @ self.prices + held + pool.taken @ self.budgets + barred
        for k in {rule.kind for rule in self.rules}:
            options = pool.problem.types[k].options
            costs[pool.start[k] : pool.start[k] + len(options)] += self._ruled(options, k)
        return costs

    def costs_of(self, options: OptionSet, pool: Pool, k: int) -> Floats:
        """The same of options of a type that are not in the pool."""
        held = options.resident[:, pool.tiers] @ (self.arrays / pool.capacity)
        held = held + options.scratch[:, pool.tiers] @ (self.scratch[k] / pool.capacity)
        held = held + self.barred(pool, options.scratch[:, pool.tiers], options.resident[:, pool.tiers])
        held = held + self._ruled(options, k)
        return options.busy_ps @ self.prices + held + pool.shares_taken(options) @ self.budgets

    def _ruled(self, options: OptionSet, k: int) -> Floats:
        """[option]: what rules add to the costs of options of a type."""
        costs = np.zeros(len(options))
        for rule, price in self.priced_rules(k):
            costs += price * rule.of_options(options)
        return costs

    def constant(self, pool: Pool) -> float:
        """What is beside the operators' costs."""
        terms = self.arrays, self.scratch, self.budgets
        counted = sum(rule.sign * rule.count * price for rule, price in zip(self.rules, self.rule_prices, strict=True))
        return constant_term(pool, self.box, *terms) + float(self.prices @ self.fixed) - counted

    def bound(self, pool: Pool) -> float:
        """For plans of the pool, in ps."""
        return float(pool.multiplicity @ pool.least(self.costs(pool))) + self.constant(pool)

    def operator_prices(self, pool: Pool, k: int) -> Prices:
        """The multipliers as prices of one type's operators."""
        problem = pool.problem

        def by_tier(values: Floats) -> Floats:
            result = np.zeros(len(problem.tiers))
            result[pool.tiers] = values
            return result

        resident, rewritten = by_tier(self.arrays / pool.capacity), by_tier(self.scratch[k] / pool.capacity)
        written, per_ps, per_pj = np.zeros(len(problem.tiers)), 0.0, 0.0
        for budget, price in zip(problem.budgets, (self.budgets / pool.limits).tolist(), strict=True):
            resident, written = (
                resident + price * np.array(budget.per_resident),
                written + price * np.array(budget.per_write),
            )
            per_ps, per_pj = per_ps + price * budget.per_ps, per_pj + price * budget.per_pj
        low, high = (by_tier(np.array(end, np.float64)).astype(np.int64) for end in (self.box.low, self.box.high))
        limits, rules = (problem.arrays - low, high), self.priced_rules(k)
        return Prices(per_ps, per_pj, resident, rewritten, written, *limits, self.prices, rules=rules)

    def hard(self, pool: Pool, enough: float, deadline: float) -> float:
        """For all plans in the box, in ns. A bound of `enough` ns is enough: tables are then looked at roughly."""
        least, constant, many = pool.least(self.costs(pool)), self.constant(pool), pool.multiplicity
        kinds = pool.problem.types
        found = [np.full(len(kind.families), -np.inf) for kind in kinds]
        value = -np.inf
        for rows in LEVELS:
            for k, kind in enumerate(kinds):
                loose = np.flatnonzero(found[k] < least[k] * (1 - np.copysign(CLOSE, least[k])))
                prices = self.operator_prices(pool, k)
                for i in loose.tolist():
                    found[k][i] = max(found[k][i], least_cost(kind.families[i], prices, rows))
            terms = [min(float(least[k]), *each) if len(each) else float(least[k]) for k, each in enumerate(found)]
            value = (float(many @ np.array(terms)) + constant) * SAFE / 1000
            if value >= enough or time.monotonic() >= deadline:
                break
        return value

    def halves(self, pool: Pool) -> tuple[Leaf, Leaf] | None:
        """Halves of the leaf: of its box, or by a rule; None where nothing is mixed."""
        rules: list[tuple[float, Rule]] = []
        columns = self.columns(pool)
        for k in np.unique(self.kinds).tolist():
            mine = self.kinds == k
            at = columns[mine]
            weighed = [pool.busy[at] * self.prices, pool.resident[at] * self.arrays, pool.scratch[at] * self.scratch[k]]
            options = pool.problem.types[k].options.take(self.options[mine])
            rule = next_rule(k, options, self.shares[mine], np.concatenate(weighed, axis=1))
            rules += [rule] if rule is not None else []
        apart, best = max(rules, key=lambda each: each[0], default=(0.0, None))
        boxes = self.cut(pool, apart / max(self.value, 1.0))
        if boxes is not None:
            return replace(self, box=boxes[0]), replace(self, box=boxes[1])
        if best is None:
            return None
        less, more = (
            replace(self, rules=(*self.rules, half), rule_prices=(*self.rule_prices, 0.0)) for half in best.halves()
        )
        return less, more

    def cut(self, pool: Pool, spread: float = SPREAD) -> tuple[Box, Box] | None:
        """Halves of the box, between which the options that the solution mixes part; None where that matters little."""
        if not len(self.kinds) or not len(pool.tiers):
            return None
        # How much larger the pools would have to be for the options that are mixed, and what that would cost.
        most = pool.scratch[self.columns(pool)].max(axis=0)
        missing = np.maximum(most - self.pools, 0.0) * self.arrays
        tier = int(missing.argmax())
        if missing[tier] <= spread * self.value:
            return None
        at = int((self.pools[tier] + 0.7 * (most[tier] - self.pools[tier])) * pool.capacity[tier])
        return self.box.halves(tier, at) if self.box.low[tier] <= at < self.box.high[tier] else None


class Relaxation:
    """A problem with the options made so far, until `deadline` (of time.monotonic())."""

    def __init__(self, problem: Problem, deadline: float) -> None:
        self.deadline = deadline
        self.set(problem)
        pool = self.pool
        self.fixed = np.array(problem.fixed_busy_ps or (0,) * pool.busy.shape[1], np.float64)
        most = pool.busy.max(axis=1, initial=0.0)
        self.scale = float(pool.multiplicity @ pool.least(most) + self.fixed.max(initial=0.0)) or 1.0

    def set(self, problem: Problem) -> None:
        """Changes the options."""
        self.problem, self.pool = problem, Pool(problem)

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self.deadline

    def leaves(self) -> list[Leaf]:
        """Boxes that cover all scratch pools of plans, the least value first; PlacementError if nothing fits."""
        pool, none = self.pool, np.zeros(0, np.int64)
        multipliers = np.full(len(self.fixed), 1 / max(len(self.fixed), 1)), np.zeros(len(pool.tiers))
        rest = np.zeros((len(pool.multiplicity), len(pool.tiers))), np.zeros(len(pool.limits))
        solution = none, none, np.zeros(0), np.zeros(len(pool.tiers))
        root = self.solved(Leaf(Box.whole(pool), self.fixed, *multipliers, *rest, *solution))
        if root is None or not len(root.kinds):
            raise PlacementError("found no plan within the chip's arrays and the limits")
        leaves = [root]
        for _ in range(BRANCHES):
            halves = leaves[0].cut(self.pool)
            if halves is None or self.late():
                break
            found = [self.solved(replace(leaves[0], box=half)) for half in halves]
            leaves = [*(each for each in found if each is not None), *leaves[1:]]
            leaves.sort(key=lambda each: each.value)
        return leaves

    def solved(self, leaf: Leaf) -> Leaf | None:
        """The leaf with its own multipliers and solution; None where its box has no plan of all that tables know."""
        if not np.all(np.isfinite(self.pool.least(leaf.costs(self.pool)))):
            self.make(leaf)
            if not np.all(np.isfinite(self.pool.least(leaf.costs(self.pool)))):
                return self._without_options(leaf)
        pool = self.pool
        barred = leaf.barred(pool, pool.scratch_arrays, pool.resident_arrays)
        firsts = [pool.first_least(each + barred) for each in (*pool.busy.T, pool.latency, leaf.costs(pool))]
        mine = leaf.columns(pool)
        columns = np.unique(np.concatenate([*firsts, mine[np.isfinite(barred[mine])]]))
        for _ in range(ROUNDS):
            pool = self.pool
            program = Program(pool, self.fixed, self.scale, leaf.box, leaf.rules)
            program.add(columns)
            leaf = self._leaf(program, leaf)
            for _ in range(ROUNDS):
                new = np.setdiff1d(pool.first_least(leaf.costs(pool)), program.columns)
                if leaf.value > program.value * (1 - 1e-6) or not len(new):
                    break
                program.add(new)
                leaf = self._leaf(program, leaf)
            kinds = pool.kind[program.columns]
            options = program.columns - pool.start[kinds]
            # The bound of the options holds for all plans once no new one lowers it.
            before, grew = leaf.value, self.make(leaf)
            leaf = replace(leaf, value=leaf.bound(self.pool))
            columns = self.pool.start[kinds] + options
            if not grew or leaf.value >= before - 1e-4 * abs(before) or self.late():
                break
        return leaf

    def _leaf(self, program: Program, leaf: Leaf) -> Leaf:
        """The leaf with the program's multipliers and solution."""
        arrays, scratch, budgets = (each * program.scale for each in program.solve()[1:])
        columns, shares, pools = program.solution()
        if sum(program.over) > WHOLE:
            columns, shares = columns[:0], shares[:0]
        kinds = program.pool.kind[columns]
        solution = kinds, columns - program.pool.start[kinds], shares, pools
        leaf = replace(
            Leaf(leaf.box, self.fixed, program.weights, arrays, scratch, budgets, *solution),
            rules=leaf.rules,
            rule_prices=program.rule_prices,
        )
        return replace(leaf, value=leaf.bound(program.pool))

    def _without_options(self, leaf: Leaf) -> Leaf | None:
        """A leaf in whose box some type has no option, with the multipliers it has; None where it has no plan."""
        none = np.zeros(0, np.int64)
        leaf = replace(leaf, kinds=none, options=none, shares=np.zeros(0))
        value = leaf.hard(self.pool, 0.0, self.deadline) * 1000
        return replace(leaf, value=value) if np.isfinite(value) else None

    def make(self, leaf: Leaf) -> bool:
        """Adds, for each type and number of rounds, the option that costs least, where it is better than all."""
        least = self.pool.least(leaf.costs(self.pool)) * (1 - 1e-6)
        return self._add(leaf, least, lambda prices: [prices])

    def vary(self, leaf: Leaf) -> None:
        """Adds options that cost least at multipliers near the leaf's, by which a plan can trade what it lacks."""
        least = self.pool.least(leaf.costs(self.pool)) * (1 + NEAR)
        self._add(leaf, least, _varied)

    def _add(self, leaf: Leaf, most: Floats, varied: Callable[[Prices], list[Prices]]) -> bool:
        """Adds options that are the cheapest in their rounds at some prices, and cost less than `most` at the leaf's.

        Rounds whose cheapest option costs more are left out. False if none is added.
        """
        types, pool = list(self.problem.types), self.pool
        for k, kind in enumerate(types):
            prices = leaf.operator_prices(pool, k)
            made: list[OptionSet] = []
            for family in kind.families:
                for each in varied(prices):
                    genes = cheapest(family, each, ROWS)
                    options = kind.with_loss(realised(family, genes, kind.precisions, self.problem.arrays))
                    if not len(options) or leaf.costs_of(options, pool, k)[0] >= most[k]:
                        if each is prices:
                            break
                        continue
                    made.append(options)
            if made:
                types[k] = replace(kind, options=OptionSet.concat([kind.options, *made]))
        grown = any(new is not old for new, old in zip(types, self.problem.types, strict=True))
        if grown:
            self.set(replace(self.problem, types=tuple(types)))
        return grown


def _varied(prices: Prices) -> list[Prices]:
    """The prices, and with one of them changed."""
    result = [prices]
    for name in ("busy", "resident", "rewritten"):
        values: Floats = getattr(prices, name)
        for i in np.flatnonzero(values).tolist():
            for factor in FACTORS:
                changed = values.copy()
                changed[i] *= factor
                result.append(replace(prices, **{name: changed}))
    return result
