"""The bound of an operator against all of its plans on toy chips, at each depth, as it is made better step by step."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, every_split

from h3c.passes.placement.bound import DEPTH, OperatorBound
from h3c.passes.placement.loss_curve import LossCurve
from h3c.passes.placement.parts import LossLine, Prices
from h3c.passes.placement.problem import Family
from h3c.passes.placement.tables import families

TARGETS = (0.6, 1.0, 1.7, 20.0)
"""Of the least cost: what is bounded may be below all plans, or far above the best."""
LOOKS = ((2, 0.5), (3, 0.2), (1, 0.05), (4, 0.05), (4, 0.0))
"""Depths, and shares of the target that are enough to gain."""


@dataclass
class Case:
    """An operator at prices, and what its cheapest plan costs."""

    families: tuple[Family, ...]
    prices: Prices
    least: float


def random_case(seed: int) -> Case | None:
    """A random operator on up to three tiers with arrays, half of them with losses; None if it has no plan."""
    rng = np.random.default_rng(seed)
    count = int(rng.choice([1, 2, 2, 2, 3]))
    toys = [
        ToyTier(
            int(rng.integers(2, 10)), int(rng.integers(1, 4)), int(rng.integers(5, 60)), int(rng.integers(0, 30)), e
        )
        for e in rng.integers(0, 5, count) / 2
    ]
    toys.append(ToyTier(0, 1, int(rng.integers(5, 60)), 0, float(rng.integers(0, 13)) / 2))
    pricer = ToyPricer(tuple(toys), int(rng.choice([0, 1, 5, 10])))
    outputs = int(rng.integers(2, 5 if count == 3 else 9))
    product = ToyProduct(int(rng.integers(1, 3)), outputs, int(rng.integers(1, 7)))
    arrays = pricer.arrays
    resident, rewritten, written = ((arrays > 0) * rng.random((3, len(toys))) * rng.choice([1, 30, 300])).tolist()
    per_ps, per_pj = float(rng.choice([0.1, 1.0])), float(rng.choice([0.0, 1.0, 20.0]))
    prices = Prices(per_ps, per_pj, np.array(resident), np.array(rewritten), np.array(written), arrays, arrays)
    losses = rng.integers(0, 6, (len(toys), outputs)) * rng.integers(0, 5, len(toys))[:, None]
    curve = LossCurve.of(losses.astype(np.float64), ordered=False)
    per_loss = float(rng.choice([0.0, 20.0, 200.0]))
    if per_loss:
        slopes, offsets = curve.lines
        lines = [
            LossLine(per_loss * slopes[i], per_loss * float(offsets[i])) for i in rng.permutation(len(offsets))[:3]
        ]
        prices = replace(prices, losses=(LossLine(np.zeros(len(toys)), 0.0), *lines))
    least, found = np.inf, families(pricer, product)
    for family in found:
        for (latency, energy, held, scratch), split in every_split(pricer, product, family):
            if np.all(np.array(held) <= arrays) and np.all(np.array(scratch) <= arrays):
                cost = per_ps * latency + per_pj * energy + prices.resident @ held + prices.rewritten @ scratch
                cost += family.rounds * (prices.written @ scratch) + per_loss * float(curve.least(np.array(split)))
                least = min(least, float(cost))
    return Case(found, prices, least) if np.isfinite(least) else None


@cache
def cases() -> list[Case]:
    return [case for case in map(random_case, range(36)) if case is not None]


@pytest.mark.parametrize("share", TARGETS)
def test_no_look_lifts_the_bound_above_the_cheapest_plan_or_lowers_it(share: float) -> None:
    for case in cases():
        bound, before = OperatorBound(case.families, case.prices, share * case.least), -np.inf
        for depth, enough in LOOKS:
            value = bound.look(depth, enough * share * case.least).value
            assert before - 1e-9 * case.least <= value <= min(share, 1.0) * case.least * (1 + 1e-9)
            before = value


def test_cases_have_several_rounds_and_need_boxes_and_the_deepest_look_comes_near() -> None:
    rounds = sum(len(case.families) > 1 for case in cases())
    shallow, deep = (
        [OperatorBound(case.families, case.prices, case.least).look(depth, 0.0).value / case.least for case in cases()]
        for depth in (2, DEPTH)
    )
    assert rounds > 12
    assert sum(a < b for a, b in zip(shallow, deep, strict=True)) > 12
    assert np.median(deep) > 0.97
