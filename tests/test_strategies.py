"""The published strategies: splits that are whole, priced as plans are, and never better than what is proven."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_toy import ToyPricer, ToyProduct, ToyTier, round_figures, toy_problem

from h3c.passes.placement.evolutionary import Evolution, Genome, evolve
from h3c.passes.placement.problem import Ints, PlacementError, Problem, evaluate
from h3c.passes.placement.shares import equal_split, random_split, whole_split
from h3c.passes.placement.splits import PriceSource, Site, Splits, Splitter, plan_values, whole_outputs
from h3c.passes.placement.strategies import Extras, run
from h3c.passes.placement.tables import PartKind

SMALL = Evolution(population=12, generations=8)
Toy = tuple[ToyPricer, list[ToyProduct]]


def a_toy(seed: int) -> Toy:
    """One or two array tiers (some smaller than an operator) and one that streams; one to three operators."""
    draw = np.random.default_rng(seed)
    tiers = [
        ToyTier(
            int(draw.integers(3, 30)),
            int(draw.integers(1, 4)),
            int(draw.integers(5, 60)),
            int(draw.integers(0, 30)),
            draw.integers(0, 4) / 2,
        )
        for _ in range(draw.integers(1, 3))
    ]
    tiers.append(ToyTier(0, 1, int(draw.integers(5, 60)), 0, draw.integers(0, 12) / 2))
    products: list[ToyProduct] = []
    for _ in range(draw.integers(1, 4)):
        granule = int(draw.choice([1, 1, 2]))
        outputs = granule * int(draw.integers(2, 20 // granule))
        products.append(ToyProduct(int(draw.integers(1, 9)), outputs, int(draw.integers(1, 6)), granule))
    if draw.random() < 0.4:
        products = [*products, products[0]]
    return ToyPricer(tuple(tiers), int(draw.choice([0, 1, 10]))), products


def source_of(pricer: ToyPricer, products: list[ToyProduct]) -> PriceSource:
    return PriceSource(pricer, tuple(dict.fromkeys(products)), (True,) * len(pricer.toys))


def a_splitter(toy: Toy, objective: str = "latency") -> Splitter:
    problem = toy_problem(*toy, objective, 10.0)
    return Splitter(problem, source_of(*toy), 60)


def as_plans(*plans: Splits) -> Splits:
    return tuple(np.stack(site) for site in zip(*plans, strict=True))


@pytest.mark.parametrize(("objective", "seeds"), [("latency", 8), ("energy", 8), ("edp", 3)])
def test_strategies_give_whole_plans_that_are_not_better_than_the_bound(objective: str, seeds: int) -> None:
    found = 0
    for seed, strategy in product(range(seeds), ("equal", "random:3", "nsga2")):
        pricer, products = a_toy(seed)
        problem = toy_problem(pricer, products, objective, 10.0)
        try:
            outcome = run(problem, strategy, 60, Extras(source_of(pricer, products), evolution=SMALL))
        except PlacementError:
            continue
        found += 1
        assert evaluate(outcome.problem, outcome.plan.counts) == outcome.plan
        assert outcome.value >= proven(seed, objective) * (1 - 1e-9)
        assert (outcome.bound, outcome.gap) == (None, None)
        for kind, counts in zip(outcome.problem.types, outcome.plan.counts, strict=True):
            for option in counts:
                rounds, options = int(kind.options.rounds[option]), kind.options
                outputs = options.outputs[option].sum() * (rounds - 1) + options.last[option].sum()
                assert {products[member].outputs for member in kind.members} == {int(outputs)}
    assert found >= 2 * seeds


@cache
def proven(seed: int, objective: str) -> float:
    """The bound of `exact`."""
    bound = run(toy_problem(*a_toy(seed), objective, 10.0), "exact", 60).bound
    assert bound is not None
    return bound


@pytest.mark.parametrize("seed", range(30))
def test_a_split_costs_what_its_parts_cost(seed: int) -> None:
    """A population priced by lookups, against parts priced one by one with the rule written anew in the toy."""
    pricer, products = a_toy(seed)
    splitter = a_splitter((pricer, products))
    assert splitter.usable
    plans = [equal_split(splitter), *(random_split(splitter, s) for s in range(3))]
    totals = splitter.total(as_plans(*plans))
    for p, plan in enumerate(plans):
        latency, energy = splitter.problem.fixed_latency_ps, splitter.problem.fixed_energy_pj
        resident, scratch = np.zeros(len(pricer.toys), np.int64), np.zeros(len(pricer.toys), np.int64)
        able = True
        for site, outputs in zip(splitter.sites, plan, strict=True):
            toy = list(dict.fromkeys(products))[site.type]
            for split in outputs:
                short = site.family.outputs - site.family.last
                able &= bool(split.max() > short)
                if not able:
                    break
                full = round_figures(pricer, toy, parts(site, split))
                last = split.copy()
                # The toy's tiers stream last: a part that streams bears the smaller round, else the first that can.
                bearers = [t for t in (len(split) - 1, *range(len(split))) if split[t] > short]
                last[bearers[0]] -= short
                end = round_figures(pricer, toy, parts(site, last))
                rounds = site.family.rounds - 1
                latency += rounds * full[0] + end[0]
                energy += rounds * full[1] + end[1]
                resident += rounds * np.array(full[2]) + np.array(end[2])
                scratch = np.maximum(scratch, full[3])
        excess = int(np.maximum(resident + scratch - pricer.arrays, 0).sum())
        assert (totals.excess[p] > 0) == (excess > 0 or not able)
        if able:
            assert totals.latency_ps[p] == latency
            assert totals.energy_pj[p] == pytest.approx(energy + splitter.problem.static_pj_per_ps * latency)
            assert totals.excess[p] == excess


def parts(site: Site, split: Ints) -> list[tuple[PartKind, int, int]]:
    """The parts of a split as the site stands."""
    by_tier = {table.tier: table for table in site.family.tables}
    used = np.flatnonzero(split).tolist()
    return [(PartKind(t, by_tier[t].mode, ""), int(split[t]), int(by_tier[t].copies[0])) for t in used]


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 5000))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_shares_round_to_all_outputs_within_one(shares: list[list[float]], granules: int) -> None:
    wanted = np.array(shares)
    whole = whole_outputs(wanted, granules)
    assert np.all(whole.sum(axis=1) == granules)
    assert whole.min() >= 0
    total = wanted.sum(axis=1, keepdims=True)
    fair = np.where(total > 0, wanted / np.where(total > 0, total, 1), 1 / 3) * granules
    assert np.abs(whole - fair).max() <= 1


@pytest.mark.parametrize("seed", range(10))
def test_equal_shares_differ_by_a_granule_at_most(seed: int) -> None:
    splitter = a_splitter(a_toy(seed))
    for site, outputs in zip(splitter.sites, equal_split(splitter), strict=True):
        assert len(site.tiers) == 0 or np.ptp(outputs[:, site.tiers], axis=1).max() <= site.granule


def test_random_shares_are_those_of_their_seed_and_even_on_average() -> None:
    pricer = ToyPricer((ToyTier(400, 4, 30, 3, 1.0), ToyTier(400, 8, 45, 40, 0.5), ToyTier(0, 1, 25, 0, 4.0)), 2)
    splitter = a_splitter((pricer, [ToyProduct(5, 300, 2)]))
    draws = np.stack([random_split(splitter, seed)[0][0] for seed in range(400)])
    assert np.array_equal(draws[7], random_split(splitter, 7)[0][0])
    assert len(np.unique(draws, axis=0)) > 390
    # Uniform on the triangle: mean 1/3, variance 1/18, so the mean of 400 is within 3.5 sigma of 100 +- 12.4.
    assert np.all(np.abs(draws.mean(axis=0) - 100) < 12.4)
    assert draws.var() == pytest.approx(300**2 / 18, rel=0.15)


def test_a_homogeneous_plan_fits_whatever_the_split() -> None:
    """Stands are those of homogeneous plans; several rounds and rounds of different size are put right."""
    rounds: list[int] = []
    for seed in range(60):
        splitter = a_splitter(a_toy(seed))
        if splitter.usable:
            plans = as_plans(*(splitter.bearable(random_split(splitter, s)) for s in range(20)))
            assert splitter.total(plans).excess.max() == 0
            rounds += [site.family.rounds for site in splitter.sites]
    assert max(rounds) > 2


def test_finishing_keeps_the_split_and_never_costs_more() -> None:
    for seed in range(12):
        splitter = a_splitter(a_toy(seed))
        if not splitter.usable:
            continue
        splits = random_split(splitter, seed)
        before = plan_values(splitter.problem, splitter.total(as_plans(splits)))[0]
        found = splitter.finish(splits, 60)
        if found is None:
            assert before == np.inf
            continue
        problem, plan = found
        assert problem.value(plan.latency_ps, plan.energy_pj) <= before * (1 + 2e-3)  # gap of its integer program
        outputs = splitter.by_operator(splits)
        for kind, counts in zip(problem.types, plan.counts, strict=True):
            for option, member in product(counts, kind.members):
                assert np.array_equal(kind.options.outputs[option], outputs[member])
        assert all(np.array_equal(a, b) for a, b in zip(splitter.by_site(outputs), splits, strict=True))


def two_streams() -> Splitter:
    """Two operators of 5 and 7 outputs on two tiers that stream: 48 splits, one fast and dear, one slow and cheap."""
    pricer = ToyPricer((ToyTier(0, 1, 10, 0, 5.0), ToyTier(0, 1, 25, 0, 1.0)), 0)
    return a_splitter((pricer, [ToyProduct(3, 5, 1), ToyProduct(2, 7, 1)]))


def test_nsga2_finds_the_whole_front_of_a_small_problem() -> None:
    splitter = two_streams()
    every = as_plans(
        *((np.array([[a, 5 - a]]), np.array([[b, 7 - b]])) for a, b in product(range(6), range(8))),
    )
    totals = splitter.total(every)
    points = set(zip(totals.latency_ps.tolist(), np.round(totals.energy_pj, 6).tolist(), strict=True))
    expected = sorted(p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points))
    front = evolve(splitter, Evolution(30, 25))
    assert front is not None
    assert list(zip(front.latency_ps.tolist(), np.round(front.energy_pj, 6).tolist(), strict=True)) == expected


def test_nsga2_is_that_of_its_seed() -> None:
    splitter = a_splitter(a_toy(4))
    first, again, other = (evolve(splitter, Evolution(16, 10, seed)) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert all(np.array_equal(a, b) for a, b in zip(first.splits, again.splits, strict=True))
    assert len(first) != len(other) or not np.array_equal(first.energy_pj, other.energy_pj)


def test_nsga2_stops_when_its_time_is_up() -> None:
    front = evolve(a_splitter(a_toy(4)), Evolution(16, 10_000, seconds=0.0))
    assert front is not None
    assert (front.generations, front.timed_out) == (1, True)


@pytest.mark.parametrize("seed", range(5))
def test_offspring_have_all_outputs(seed: int) -> None:
    splitter = a_splitter(a_toy(seed))
    genome, draw = Genome(splitter), np.random.default_rng(seed)
    rows = genome.random(40, draw)
    children = genome.crossed(np.stack([rows[:20], rows[20:]]), draw)
    for offspring in (rows, *children, genome.mutated(rows, draw)):
        for site, outputs in zip(splitter.sites, genome.splits(offspring), strict=True):
            assert outputs.min() >= 0
            assert np.all(outputs.sum(axis=2) == site.family.outputs)
    # Of each operator a child has one parent's split, whole, and its sibling the other's.
    for site, parents, sons in zip(splitter.sites, genome.splits(rows[:1]), genome.splits(children[:, 0]), strict=True):
        other = genome.splits(rows[20:21])[splitter.sites.index(site)]
        for member in range(len(site.members)):
            pair = {tuple(parents[0, member]), tuple(other[0, member])}
            assert {tuple(sons[0, member]), tuple(sons[1, member])} == pair


def test_a_whole_split_is_the_homogeneous_plan() -> None:
    pricer, products = a_toy(3)
    problem = toy_problem(pricer, products, "latency", 10.0)
    splitter = Splitter(problem, source_of(pricer, products), 60)
    for tier, name in enumerate(problem.tiers):
        outcome = run(problem, f"homogeneous:{name}", 60)
        totals = splitter.total(as_plans(whole_split(splitter, tier)))
        if all(tier in site.tiers for site in splitter.sites):
            assert totals.latency_ps[0] == outcome.plan.latency_ps


def test_strategies_that_there_are_not() -> None:
    problem: Problem = toy_problem(*a_toy(1), "latency", 0.0)
    for name in ("pareto", "random", "random:x", "equal:1", "nsga2:1"):
        with pytest.raises(
            ValueError, match=r"expected one of exact, greedy, .*, h3pimap, .*, first-last-digital, got"
        ):
            run(problem, name, 60, Extras(source_of(*a_toy(1))))
