"""Throughput against brute force: the bound over every split, boxes of scratch pools, operators part by part."""

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, toy_problem
from test_placement_constraints import plans, random_problem

from h3c.passes.placement.options import priced
from h3c.passes.placement.parts import Prices
from h3c.passes.placement.periods import Relaxation
from h3c.passes.placement.problem import RESIDENT, REWRITTEN, STREAMED, Family, Ints, PlacementError
from h3c.passes.placement.rules import Rule
from h3c.passes.placement.separate import cheapest, least_cost
from h3c.passes.placement.tables import PartKind
from h3c.passes.placement.throughput import solve_throughput
from h3c.passes.placement.tree import grown

PRICER = ToyPricer((ToyTier(7, 2, 30, 3, 1.0), ToyTier(4, 3, 45, 20, 0.5), ToyTier(0, 1, 25, 0, 4.0)), 2)
Busy = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Busy time by resource, resident arrays, scratch arrays."""


Part = tuple[PartKind, int]
"""A kind of part, and its copies."""


def rounds_of(
    pricer: ToyPricer, toy: ToyProduct, total: int
) -> Iterator[tuple[tuple[Part, ...], tuple[int, ...], Busy]]:
    """What a round of `total` outputs takes, for every split and all copies, with its parts and their outputs."""
    by_tier = [[None, *(k for k in pricer.kinds(toy) if k.tier == t)] for t in range(len(pricer.toys))]
    for kinds in product(*by_tier):
        used = [kind for kind in kinds if kind is not None]
        for split in product(range(1, total + 1), repeat=len(used)):
            if sum(split) != total:
                continue
            for copies in product(*(range(1, toy.vectors + 1) if k.mode != STREAMED else (1,) for k in used)):
                busy, resident, scratch = [0] * (len(pricer.toys) + 1), [0] * len(pricer.toys), [0] * len(pricer.toys)
                for kind, n, c in zip(used, split, copies, strict=True):
                    price = pricer.price(toy, kind, np.array(n), np.array(c))
                    busy[kind.tier] += int(price.latency_ps)
                    busy[-1] += int(price.shared_ps[0])
                    {RESIDENT: resident, REWRITTEN: scratch}.get(kind.mode, [0] * 3)[kind.tier] += int(price.arrays)
                yield tuple(zip(used, copies, strict=True)), split, (tuple(busy), tuple(resident), tuple(scratch))


def ways(pricer: ToyPricer, toy: ToyProduct, family: Family) -> set[Busy]:
    """All ways to run an operator in the rounds of `family`; the last round may be split otherwise."""
    full = {(parts, each) for parts, _, each in rounds_of(pricer, toy, family.outputs)}
    if family.rounds == 1:
        return {each for _, each in full}
    result: set[Busy] = set()
    for parts, _, last in rounds_of(pricer, toy, family.last):
        for others, each in full:
            if parts == others:
                busy, resident = (
                    tuple(a * (family.rounds - 1) + b for a, b in zip(each[i], last[i], strict=True)) for i in (0, 1)
                )
                result.add((busy, resident, each[2]))
    return result


@pytest.mark.parametrize("products", [[ToyProduct(3, 6, 2), ToyProduct(2, 5, 1)], [ToyProduct(2, 9, 1)]])
def test_the_bound_holds_for_every_plan_and_the_plan_is_near(products: list[ToyProduct]) -> None:
    problem = toy_problem(PRICER, products, "throughput", 0.0)
    whole = [
        set[Busy]().union(*(ways(PRICER, p, family) for family in kind.families))
        for kind, p in zip(problem.types, products, strict=True)
    ]
    sums, most = np.zeros((1, 7), np.int64), np.zeros((1, 3), np.int64)
    for figures in whole:
        own = np.array([[*busy, *resident] for busy, resident, _ in sorted(figures)])
        scratch = np.array([each[2] for each in sorted(figures)])
        sums = (sums[:, None] + own).reshape(-1, 7)
        most = np.maximum(most[:, None], scratch).reshape(-1, 3)
    good = np.all(sums[:, 4:] + most <= problem.arrays, axis=1)
    best = sums[good, :4].max(axis=1).min() / 1000
    solution = solve_throughput(problem, None, 60)
    assert solution.bound <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= solution.plan.period_ps / 1000 <= 1.1 * best


def test_the_least_over_boxes_is_below_every_plan() -> None:
    rng, boxes, cut = np.random.default_rng(7), 0, 0
    for _ in range(100):
        problem = random_problem(rng, "throughput")
        best = min((plan.period_ps for plan in plans(problem)), default=None)
        try:
            leaves = Relaxation(problem, np.inf).leaves()
        except PlacementError:
            assert best is None
            continue
        assert best is None or min(leaf.hard(Relaxation(problem, np.inf).pool, np.inf, np.inf) for leaf in leaves) <= (
            best / 1000 * (1 + 1e-9)
        )
        boxes += len(leaves) - 1
        # Cut by rules, the least leaf is no better than the best plan, and often as good; its options are remembered.
        relaxation = Relaxation(problem, np.inf)
        few = relaxation.leaves()
        leaves, used = grown(relaxation, few, best or 1.0, 40)
        assert best is None or leaves[0].value <= best * (1 + 1e-6)
        if best is not None and min(leaf.value for leaf in few) < 0.99 * best <= leaves[0].value:
            cut += len(used) > 0
    assert min(boxes, cut) > 5


def test_an_operator_costs_at_least_the_sum_of_its_cheapest_parts() -> None:
    """The bound is below every split, at any coarseness; the cheapest split costs as much as the best of all."""
    rng, toy = np.random.default_rng(8), ToyProduct(3, 9, 2)
    problem = toy_problem(PRICER, [toy], "throughput", 0.0)
    families = [family for family in problem.types[0].families if family.rounds == 1]
    for _ in range(12):
        resident, rewritten = rng.integers(0, 60, (2, 3)) * [1.0, 1.0, 0.0]
        busy = rng.dirichlet(np.ones(4))
        prices = Prices(0.0, 0.0, resident, rewritten, np.zeros(3), problem.arrays, problem.arrays, busy)
        for family in families:
            costs = [cost_of(each, prices) for each in ways(PRICER, toy, family) if fits(each, problem.arrays)]
            bounds = [least_cost(family, prices, rows) for rows in (1, 2, 4, 1000)]
            assert max(bounds) <= min(costs) * (1 + 1e-9)
            option = priced(family, cheapest(family, prices, 1000), ("",))
            held = option.resident[0] @ resident + option.scratch[0] @ rewritten
            assert option.busy_ps[0] @ busy + held == pytest.approx(min(costs))
            assert bounds[-1] > 0.8 * min(costs)


def test_a_rule_costs_each_operator_that_has_its_property() -> None:
    """Bounds of operators with rules at prices, of either sign, are below all splits, and with all rows near them."""
    rng, toy = np.random.default_rng(9), ToyProduct(3, 9, 2)
    family = next(f for f in toy_problem(PRICER, [toy], "throughput", 0.0).types[0].families if f.rounds == 1)
    every = [each for each in rounds_of(PRICER, toy, 9) if fits(each[2], PRICER.arrays)]
    for _ in range(40):
        busy, free = rng.dirichlet(np.ones(4)), np.zeros(3)
        measure = str(rng.choice(["outputs", "copies", "mode"]))
        tier = int(rng.integers(0, 3 if measure == "outputs" else 2))
        rule = Rule(0, measure, tier, float(rng.choice([0.5, 1.5, 4.0])), True, 0)
        price = float(rng.normal(0, 200))
        prices = Prices(0.0, 0.0, free, free, free, PRICER.arrays, PRICER.arrays, busy, rules=((rule, price),))
        least = min(cost_of(figures, prices) + price * has(rule, parts, split) for parts, split, figures in every)
        bounds = [least_cost(family, prices, rows) for rows in (1, 3, 1000)]
        assert max(bounds) <= least + 1e-9 * abs(least)
        assert bounds[-1] >= least - 0.35 * abs(least) - 1e-6


def has(rule: Rule, parts: tuple[Part, ...], split: tuple[int, ...]) -> bool:
    for (kind, copies), outputs in zip(parts, split, strict=True):
        if kind.tier == rule.tier:
            return {"outputs": outputs, "copies": copies, "mode": kind.mode}[rule.measure] > rule.above
    return False


def cost_of(figures: Busy, prices: Prices) -> float:
    busy, resident, scratch = (np.array(each) for each in figures)
    return float(busy @ prices.busy + resident @ prices.resident + scratch @ prices.rewritten)


def fits(figures: Busy, arrays: Ints) -> bool:
    return bool(np.all(np.array(figures[1]) <= arrays) and np.all(np.array(figures[2]) <= arrays))


def test_a_time_limit_ends_with_a_bound() -> None:
    products = [ToyProduct(40, 300 + i, 2) for i in range(6)]
    pricer = replace(PRICER, toys=(ToyTier(900, 2, 30, 3, 1.0), ToyTier(500, 3, 45, 20, 0.5), PRICER.toys[2]))
    problem = toy_problem(pricer, products, "throughput", 0.0)
    start = time.monotonic()
    hasty = solve_throughput(problem, None, 1.0)
    assert time.monotonic() - start < 4.0
    patient = solve_throughput(problem, None, 60.0)
    assert 0 < hasty.bound <= patient.plan.period_ps / 1000
    assert patient.bound <= hasty.plan.period_ps / 1000
