"""Row remap, losses, and the least latency under a budget of loss: by hand, and against enumeration."""

from itertools import product

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, toy_problem

from h3c.passes.placement.problem import Ints, PlacementError
from h3c.passes.placement.quality_budget import SharedOperator, least_latency
from h3c.passes.placement.row_remap import LossModel, Sensitivities, as_plans, remap
from h3c.passes.placement.shares import random_split, whole_split
from h3c.passes.placement.splits import PriceSource, Splitter
from h3c.passes.placement.strategies import Evolution, Extras, run

NOISE = np.array([0.0, 0.1, 1.0])


def a_splitter(products: list[ToyProduct], arrays: int = 400) -> Splitter:
    """Two tiers with arrays and one that streams."""
    pricer = ToyPricer((ToyTier(arrays, 4, 30, 3, 1.0), ToyTier(400, 8, 45, 40, 0.5), ToyTier(0, 1, 1, 0, 4.0)), 0)
    problem = toy_problem(pricer, products, "latency", 10.0)
    return Splitter(problem, PriceSource(pricer, tuple(dict.fromkeys(products)), (True,) * 3), 60)


def sensitivities(outputs: list[int], budget: float, seed: int = 0) -> Sensitivities:
    draw = np.random.default_rng(seed)
    return Sensitivities(NOISE, {i: draw.exponential(1.0, n) for i, n in enumerate(outputs)}, budget)


def test_the_loss_of_a_split_by_hand() -> None:
    """Outputs of sensitivity 5, 3, 2, 1: the first on tier 0, the next two on tier 1, the last on tier 2."""
    splitter = a_splitter([ToyProduct(2, 4, 1)])
    given = Sensitivities(NOISE, {0: np.array([2.0, 5.0, 1.0, 3.0])}, 0.0)
    splits = splitter.by_site(np.array([[1, 2, 1]]))
    assert LossModel(splitter, given.limit.losses).loss(as_plans(splits))[0] == pytest.approx(0.1 * (3 + 2) + 1.0)


def test_remap_moves_outputs_from_the_noisiest_tier_to_the_cleanest_step_by_step() -> None:
    products = [ToyProduct(2, 40, 1), ToyProduct(3, 60, 1)]
    splitter = a_splitter(products)
    start = whole_split(splitter, 2)
    losses: list[float] = []
    held: list[Ints] = []
    whole = sensitivities([40, 60], 0.0)
    total = sum(float(own.sum()) for own in whole.outputs.values())
    for share in (0.9, 0.6, 0.3, 0.1):
        done = remap(splitter, sensitivities([40, 60], share * total).limit, start, step=0.01)
        assert np.all(np.diff(done.losses) <= 1e-9)
        assert done.losses[-1] <= share * total < done.losses[-2]
        # One of 100 outputs a step, after the step that makes the distribution global.
        outputs = splitter.by_operator(done.splits)
        assert outputs[:, 0].sum() == len(done.losses) - 2
        assert outputs[:, 1].sum() == 0
        losses.append(done.losses[-1])
        held.append(outputs)
    assert np.all(np.diff(losses) < 0)
    assert np.all(np.diff([outputs[:, 0] for outputs in held], axis=0) >= 0)


def test_remap_puts_the_most_sensitive_outputs_of_the_model_on_the_cleanest_tier() -> None:
    products = [ToyProduct(2, 40, 1), ToyProduct(3, 60, 1)]
    splitter = a_splitter(products)
    given = sensitivities([40, 60], 10.0)
    done = remap(splitter, given.limit, random_split(splitter, 5), step=0.01)
    outputs = splitter.by_operator(done.splits)
    everything = np.sort(np.concatenate([given.outputs[0], given.outputs[1]]))[::-1]
    threshold = everything[outputs[:, 0].sum() - 1]
    assert [(own >= threshold).sum() for own in given.outputs.values()] == outputs[:, 0].tolist()


def test_remap_leaves_plans_that_are_good_enough() -> None:
    splitter = a_splitter([ToyProduct(2, 40, 1)])
    start = random_split(splitter, 1)
    done = remap(splitter, sensitivities([40], 1e6).limit, start)
    assert np.array_equal(done.splits[0], start[0])
    assert len(done.losses) == 1


def test_a_full_tier_takes_no_more() -> None:
    """Tier 0 holds 3 x 4 outputs of each operator at most (its homogeneous plan rewrites); the rest goes to tier 1."""
    products = [ToyProduct(1, 40, 1), ToyProduct(1, 60, 1)]
    splitter = a_splitter(products, arrays=15)
    given = sensitivities([40, 60], 9.0)
    done = remap(splitter, given.limit, whole_split(splitter, 2), step=0.01)
    assert splitter.total(as_plans(done.splits)).excess[0] == 0
    assert done.losses[-1] <= 9.0


def test_a_budget_out_of_reach_is_said() -> None:
    splitter = a_splitter([ToyProduct(2, 40, 1)])
    noisy = Sensitivities(np.array([0.5, 0.6, 1.0]), {0: np.ones(40)}, 10.0)
    with pytest.raises(PlacementError, match=r"at most 10, moving outputs to cleaner tiers reaches 20$"):
        remap(splitter, noisy.limit, whole_split(splitter, 2))


@pytest.mark.parametrize("strategy", ["row-remap", "h3pimap"])
def test_strategies_meet_the_budget(strategy: str) -> None:
    products = [ToyProduct(2, 40, 1), ToyProduct(3, 60, 1), ToyProduct(2, 40, 1)]
    splitter = a_splitter(products)
    given = sensitivities([40, 60, 40], 20.0)
    outcome = run(splitter.problem, strategy, 60, Extras(splitter.source, given.limit, Evolution(20, 20)))
    outputs = np.zeros((3, 3), np.int64)
    for kind, counts in zip(outcome.problem.types, outcome.plan.counts, strict=True):
        outputs[list(kind.members)] = kind.options.outputs[next(iter(counts))]
    assert LossModel(splitter, given.limit.losses).loss(as_plans(splitter.by_site(outputs)))[0] <= 20.0
    with pytest.raises(PlacementError, match="expected sensitivities"):
        run(splitter.problem, strategy, 60, Extras(splitter.source))


def an_operator(draw: np.random.Generator, outputs: int) -> SharedOperator:
    latency, energy = draw.uniform(1, 100, 3), draw.uniform(1, 10, 3)
    latency[2] /= 20
    return SharedOperator(latency * 1000, energy, draw.exponential(1.0, outputs))


def loss_of(op: SharedOperator, noise: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Sorted assignment, output by output."""
    falling = np.sort(op.sensitivity)[::-1]
    result: list[float] = []
    for split in splits:
        tiers = np.repeat(np.argsort(noise, kind="stable"), split[np.argsort(noise, kind="stable")])
        result.append(float((falling * noise[tiers]).sum()))
    return np.array(result)


@pytest.mark.parametrize("seed", range(8))
def test_least_latency_against_every_split(seed: int) -> None:
    draw = np.random.default_rng(seed)
    sizes = (18, 24)
    operators = [an_operator(draw, n) for n in sizes]
    noise = draw.permutation(np.array([0.0, 0.05, 1.0]))
    every = [np.array([(a, b, n - a - b) for a, b in product(range(n + 1), repeat=2) if a + b <= n]) for n in sizes]
    costs = [op.costs(splits) for op, splits in zip(operators, every, strict=True)]
    losses = [loss_of(op, noise, splits) for op, splits in zip(operators, every, strict=True)]
    latency = costs[0][0][:, None] + costs[1][0][None]
    energy = costs[0][1][:, None] + costs[1][1][None]
    loss = losses[0][:, None] + losses[1][None]
    for share in (0.1, 0.4, 0.8):
        max_loss = loss.min() + share * (loss.max() - loss.min())
        max_energy = float(np.quantile(energy[loss <= max_loss], 0.4))
        fits = (loss <= max_loss) & (energy <= max_energy)
        optimum = float(latency[fits].min())
        plan = least_latency(operators, noise, max_loss, max_energy)
        assert plan.loss <= max_loss * (1 + 1e-6)
        assert plan.energy_pj <= max_energy * (1 + 1e-6)
        assert plan.bound_ps <= optimum * (1 + 1e-9)
        assert optimum * (1 - 1e-6) <= plan.latency_ps <= optimum * 1.02
        assert plan.outputs.sum(axis=1).tolist() == list(sizes)
        assert plan.loss == pytest.approx(
            sum(loss_of(op, noise, plan.outputs[i][None])[0] for i, op in enumerate(operators))
        )


def test_limits_that_no_split_meets_are_said() -> None:
    op = an_operator(np.random.default_rng(0), 10)
    with pytest.raises(PlacementError, match="there is none"):
        least_latency([op], np.array([0.5, 0.6, 1.0]), 0.1 * float(op.sensitivity.sum()))
