"""`exact` on problems small enough to enumerate: the optimum of given options, the bound over every plan."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from placement_toy import (
    ToyPricer,
    ToyProduct,
    ToyTier,
    every_plan,
    figures_of,
    given_options,
    least,
    toy_problem,
    types_of,
    undominated,
)

from h3c.passes.placement.feasible import first_plan
from h3c.passes.placement.problem import (
    OBJECTIVES,
    OptionSet,
    PlacementError,
    Problem,
    evaluate,
    load,
    save,
)
from h3c.passes.placement.search import FULL, PEEK, Search
from h3c.passes.placement.strategies import run, strategies

EXAMPLES = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    derandomize=True,
)
Row = tuple[int, int, list[int], list[int]]


def option_set(rows: list[Row]) -> OptionSet:
    """Options of given latency, energy, resident and scratch arrays on two tiers; the third streams."""
    latency, energy, resident, scratch = zip(*rows, strict=True)
    held = (np.array([[*row, 0] for row in arrays], np.int64) for arrays in (resident, scratch))
    return given_options(np.array(latency, np.int64), np.array(energy, np.float64), *held)


arrays = st.lists(st.sampled_from([0, 0, 1, 2, 3, 5]), min_size=2, max_size=2)
options = st.tuples(st.integers(1, 60), st.integers(0, 60), arrays, arrays)


@st.composite
def problems(draw: st.DrawFn, objective: str) -> Problem:
    """Up to three types of up to two operators, each with up to six options."""
    rows = st.lists(options, min_size=1, max_size=6).map(option_set)
    types = types_of(draw(st.lists(st.tuples(st.integers(1, 2), rows), min_size=1, max_size=3)))
    capacity = np.array([draw(st.integers(1, 12)), draw(st.integers(1, 12)), 0], np.int64)
    fixed = draw(st.integers(0, 20)), float(draw(st.integers(0, 20)))
    static = draw(st.sampled_from([0.0, 100.0, 2000.0]))
    return Problem(("a", "b", "c"), capacity, types, objective, *fixed, static)


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(data=st.data())
@settings(EXAMPLES, max_examples=80)
def test_exact_is_the_enumerated_optimum(objective: str, data: st.DataObject) -> None:
    problem = data.draw(problems(objective))
    expected = least(problem, [figures_of(kind) for kind in problem.types])
    if expected == np.inf:
        with pytest.raises(PlacementError):
            run(problem, "exact", 60)
        return
    outcome = run(problem, "exact", 60)
    assert outcome.value == pytest.approx(expected, rel=1e-9)
    assert outcome.bound == pytest.approx(expected, rel=1e-6)
    assert outcome.status == "optimal"
    assert evaluate(outcome.problem, outcome.plan.counts) == outcome.plan


@st.composite
def toys(draw: st.DrawFn) -> tuple[ToyPricer, list[ToyProduct]]:
    """Two array tiers and one that streams, one or two products."""
    tiers = [
        ToyTier(
            draw(st.integers(2, 9)),
            draw(st.integers(1, 3)),
            draw(st.integers(5, 60)),
            draw(st.integers(0, 30)),
            draw(st.integers(0, 4)) / 2,
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    tiers.append(ToyTier(0, 1, draw(st.integers(5, 60)), 0, draw(st.integers(0, 12)) / 2))
    products: list[ToyProduct] = []
    for _ in range(draw(st.integers(1, 2))):
        granule = draw(st.sampled_from([1, 1, 2]))
        outputs = granule * draw(st.integers(1, 6 // granule))
        products += [ToyProduct(draw(st.integers(1, 4)), outputs, draw(st.integers(1, 6)), granule)]
    if draw(st.booleans()):
        products = products[:1] * 2
    return ToyPricer(tuple(tiers), draw(st.sampled_from([0, 1, 10]))), products


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(toy=toys(), static_mw=st.sampled_from([0.0, 50.0]))
@settings(EXAMPLES, max_examples=20)
def test_bound_holds_for_every_plan(objective: str, toy: tuple[ToyPricer, list[ToyProduct]], static_mw: float) -> None:
    pricer, products = toy
    problem = toy_problem(pricer, products, objective, static_mw)
    plans = [
        undominated({figures for family in kind.families for figures in every_plan(pricer, p, family)})
        for kind, p in zip(problem.types, dict.fromkeys(products), strict=True)
    ]
    assume(np.prod([float(len(p)) ** k.multiplicity for p, k in zip(plans, problem.types, strict=True)]) < 40000)
    optimum = least(problem, plans)
    outcome = run(problem, "exact", 60)
    assert outcome.bound is not None
    assert outcome.bound <= optimum * (1 + 1e-9)
    assert outcome.value >= optimum * (1 - 1e-9)
    for strategy in strategies(problem):
        assert outcome.value <= run(problem, strategy, 60).value * (1 + 1e-12)


def toy_chip() -> tuple[ToyPricer, list[ToyProduct]]:
    pricer = ToyPricer((ToyTier(40, 4, 30, 3, 1.0), ToyTier(16, 8, 45, 40, 0.5), ToyTier(0, 1, 25, 0, 4.0)), 2)
    products = [ToyProduct(20, 24, 3), ToyProduct(9, 30, 2), ToyProduct(20, 24, 3), ToyProduct(1, 30, 4)]
    return pricer, products


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_runs_and_a_saved_problem_give_the_same_plan(objective: str, tmp_path: Path) -> None:
    problem = toy_problem(*toy_chip(), objective, 10.0)
    first = run(problem, "exact", 60)
    second = run(toy_problem(*toy_chip(), objective, 10.0), "exact", 60)
    save(problem, str(tmp_path / "problem.npz"))
    third = run(load(str(tmp_path / "problem.npz")), "exact", 60)
    for other in (second, third):
        assert (other.plan, other.bound, other.kept) == (first.plan, first.bound, first.kept)


def test_a_struck_time_limit_is_said_and_leaves_a_valid_bound() -> None:
    problem = toy_problem(*toy_chip(), "edp", 10.0)
    hurried, patient = run(problem, "exact", 1e-9), run(problem, "exact", 60)
    assert hurried.status == "time-limit"
    assert hurried.bound is not None
    assert patient.bound is not None
    assert hurried.bound <= patient.value <= hurried.value
    assert patient.bound <= patient.value
    assert evaluate(hurried.problem, hurried.plan.counts) == hurried.plan


def test_a_bound_without_a_goal_is_looked_for_as_deep_as_one_with_a_goal_out_of_reach() -> None:
    problem = toy_problem(*toy_chip(), "latency", 10.0)
    search = Search(problem, first_plan(problem, 10), time.monotonic() + 60)
    leaves = search.leaves(1.0, 0.0)
    without, _ = search.hard(leaves, 1.0, 0.0, FULL)
    within, _ = search.hard(leaves, 1.0, 0.0, FULL, search.soft(leaves, 1.0, 0.0))
    assert search.hard(leaves, 1.0, 0.0, PEEK)[0] < without == within
