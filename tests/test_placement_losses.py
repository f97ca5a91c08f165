"""`exact` under a budget of predicted loss, on problems small enough to enumerate."""

from dataclasses import replace
from itertools import combinations_with_replacement, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from placement_toy import Figures, ToyPricer, ToyProduct, ToyTier, every_split, toy_problem

from h3c.passes.placement.constraints import Constraints, constrained
from h3c.passes.placement.loss_curve import LossCurve
from h3c.passes.placement.loss_options import with_borders
from h3c.passes.placement.problem import (
    OBJECTIVES,
    OperatorType,
    PlacementError,
    Problem,
    evaluate,
    load,
    save,
)
from h3c.passes.placement.strategies import run

EXAMPLES = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    derandomize=True,
)
Lossy = tuple[Figures, float]


def with_losses(pricer: ToyPricer, products: list[ToyProduct], losses: list[np.ndarray], objective: str) -> Problem:
    """A toy problem whose types lose `losses` [tier, output]; the products differ."""
    problem = toy_problem(pricer, products, objective, 20.0)
    types: list[OperatorType] = []
    for kind, by_output in zip(problem.types, losses, strict=True):
        curve = LossCurve.of(by_output, ordered=False)
        options = with_borders(kind.options, kind.families, curve, pricer.arrays, kind.precisions)
        kind = replace(kind, curve=curve)
        types.append(replace(kind, options=kind.with_loss(options)))
    return replace(problem, types=tuple(types))


def undominated(figures: set[Lossy]) -> list[Lossy]:
    """Those that no other matches in everything."""
    rows = sorted(figures)
    amounts = np.array([[f[0], f[1], *f[2], *f[3], loss] for f, loss in rows])
    keep: list[int] = []
    for i in range(len(rows)):
        if not keep or not np.any(np.all(amounts[keep] <= amounts[i] + 1e-12, axis=1)):
            keep.append(i)
    return [rows[i] for i in keep]


def least(problem: Problem, choices: list[list[Lossy]], max_loss: float) -> float:
    """The least objective over all ways to give each operator one of its figures within the loss; inf if none fits."""
    best = np.inf
    ways = [combinations_with_replacement(c, k.multiplicity) for k, c in zip(problem.types, choices, strict=True)]
    for combination in product(*ways):
        chosen = [each for group in combination for each in group]
        resident = np.sum([f[2] for f, _ in chosen], axis=0)
        scratch = np.max([f[3] for f, _ in chosen], axis=0)
        if np.all(resident + scratch <= problem.arrays) and sum(loss for _, loss in chosen) <= max_loss * (1 + 1e-12):
            latency = problem.fixed_latency_ps + sum(f[0] for f, _ in chosen)
            energy = problem.fixed_energy_pj + sum(f[1] for f, _ in chosen)
            best = min(best, problem.value(latency, energy + problem.static_pj_per_ps * latency))
    return best


def options_of(kind: OperatorType) -> list[Lossy]:
    o = kind.options
    return [
        (
            (int(o.latency_ps[i]), float(o.energy_pj[i]), tuple(o.resident[i].tolist()), tuple(o.scratch[i].tolist())),
            float(o.loss[i]),
        )
        for i in range(len(o))
    ]


@st.composite
def toys(draw: st.DrawFn) -> tuple[ToyPricer, list[ToyProduct], list[np.ndarray], float]:
    """One or two array tiers that err and one that streams and does not, one or two products, a share of all loss."""
    tiers = [
        ToyTier(
            draw(st.integers(2, 9)), draw(st.integers(1, 3)), draw(st.integers(5, 40)), draw(st.integers(0, 9)), 0.5
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    pricer = ToyPricer((*tiers, ToyTier(0, 1, draw(st.integers(5, 60)), 0, 2.0)), draw(st.sampled_from([0, 1])))
    products = [
        ToyProduct(draw(st.integers(1, 3)), draw(st.integers(1, 5)), depth)
        for depth in range(1, draw(st.integers(2, 3)))
    ]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    noise = np.array([*rng.integers(1, 5, len(tiers)), 0.0])
    losses = [noise[:, None] * rng.integers(0, 6, (len(noise), toy.outputs)) for toy in products]
    return pricer, products, losses, draw(st.sampled_from([0.02, 0.1, 0.3, 0.6]))


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(toy=toys())
@settings(EXAMPLES, max_examples=10)
def test_bound_holds_for_every_split_within_the_loss(
    objective: str, toy: tuple[ToyPricer, list[ToyProduct], list[np.ndarray], float]
) -> None:
    pricer, products, losses, share = toy
    problem = with_losses(pricer, products, losses, objective)
    max_loss = share * max(sum(float(own.max(axis=0).sum()) for own in losses), 1.0)
    problem = constrained(problem, Constraints(max_loss=max_loss), [None] * len(problem.tiers))
    plans = [
        undominated(
            {
                (figures, float(kind.curve.least(np.array(split))))
                for family in kind.families
                for figures, split in every_split(pricer, p, family)
                if kind.curve is not None
            }
        )
        for kind, p in zip(problem.types, products, strict=True)
    ]
    assume(np.prod([float(len(p)) for p in plans]) < 40000)
    optimum = least(problem, plans, max_loss)
    outcome = run(problem, "exact", 60)
    assert outcome.bound is not None
    assert outcome.bound <= optimum * (1 + 1e-9)
    assert outcome.value >= optimum * (1 - 1e-9)
    assert outcome.plan.loss <= max_loss * (1 + 1e-9)


@pytest.mark.parametrize("objective", OBJECTIVES)
@given(toy=toys())
@settings(EXAMPLES, max_examples=15)
def test_exact_over_given_options_is_the_enumerated_optimum(
    objective: str, toy: tuple[ToyPricer, list[ToyProduct], list[np.ndarray], float]
) -> None:
    pricer, products, losses, share = toy
    problem = with_losses(pricer, products, losses, objective)
    types = tuple(
        replace(k, families=(), options=k.options.take(np.arange(len(k.options))[::3])) for k in problem.types
    )
    max_loss = share * max(sum(float(own.max(axis=0).sum()) for own in losses), 1.0)
    problem = constrained(replace(problem, types=types), Constraints(max_loss=max_loss), [None] * len(problem.tiers))
    assume(sum(len(kind.options) for kind in types) <= 600)
    optimum = least(problem, [undominated(set(options_of(kind))) for kind in types], max_loss)
    if optimum == np.inf:
        with pytest.raises(PlacementError):
            run(problem, "exact", 60)
        return
    outcome = run(problem, "exact", 60)
    assert outcome.value == pytest.approx(optimum, rel=1e-9)
    assert outcome.bound == pytest.approx(optimum, rel=1e-6)


def larger() -> Problem:
    """Three operators of 24 to 40 outputs on two tiers that err, and one that does not."""
    pricer = ToyPricer((ToyTier(40, 4, 30, 3, 1.0), ToyTier(16, 8, 45, 40, 0.5), ToyTier(0, 1, 40, 0, 4.0)), 2)
    products = [ToyProduct(20, 24, 3), ToyProduct(9, 30, 2), ToyProduct(5, 40, 4)]
    rng = np.random.default_rng(1)
    noise = np.array([1.0, 0.2, 0.0])[:, None]
    losses = [noise * rng.exponential(size=toy.outputs)[None] for toy in products]
    return with_losses(pricer, products, losses, "latency")


def test_less_loss_allowed_is_never_faster_and_gaps_are_small(tmp_path: Path) -> None:
    problem = larger()
    free = run(problem, "exact", 60)
    values: list[float] = []
    for share in (0.9, 0.2):
        limited = constrained(problem, Constraints(max_loss=share * free.plan.loss), [None] * 3)
        outcome = run(limited, "exact", 60)
        assert outcome.plan.loss <= share * free.plan.loss * (1 + 1e-9)
        assert outcome.gap is not None
        assert outcome.gap < 0.12
        assert evaluate(outcome.problem, outcome.plan.counts) == outcome.plan
        values.append(outcome.value)
    assert values == sorted(values)
    save(limited, str(tmp_path / "problem.npz"))
    assert run(load(str(tmp_path / "problem.npz")), "exact", 60).plan == outcome.plan


def test_where_no_loss_can_be_had_the_error_says_what_is_reachable() -> None:
    problem = larger()
    kinds = tuple(replace(k, options=k.options.take(k.options.loss > 0), families=()) for k in problem.types)
    limited = constrained(replace(problem, types=kinds), Constraints(max_loss=1e-6), [None] * 3)
    with pytest.raises(PlacementError, match="expected a plan with predicted loss of at most 1e-06"):
        run(limited, "exact", 10)


def test_no_loss_allowed_leaves_the_plans_without_any() -> None:
    problem = larger()
    outcome = run(constrained(problem, Constraints(max_loss=0.0), [None] * 3), "exact", 60)
    kinds = tuple(replace(kind, options=kind.options.take(kind.options.loss == 0)) for kind in problem.types)
    best = run(replace(problem, types=tuple(replace(kind, families=()) for kind in kinds)), "exact", 60)
    assert outcome.plan.loss == 0
    assert outcome.value <= best.value * 1.01
