"""The least loss of a split, against enumeration of all assignments of outputs to tiers."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.passes.placement.loss_curve import LossCurve

losses = st.integers(1, 4).flatmap(
    lambda tiers: st.integers(1, 6).flatmap(
        lambda outputs: st.lists(
            st.lists(st.integers(0, 9), min_size=outputs, max_size=outputs), min_size=tiers, max_size=tiers
        )
    )
)


def enumerated(by_output: np.ndarray) -> dict[tuple[int, ...], float]:
    """The least loss of every split, over all assignments."""
    tiers, outputs = by_output.shape
    least: dict[tuple[int, ...], float] = {}
    for places in product(range(tiers), repeat=outputs):
        split = tuple(np.bincount(places, minlength=tiers).tolist())
        loss = float(by_output[list(places), range(outputs)].sum())
        least[split] = min(loss, least.get(split, np.inf))
    return least


@given(losses)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_least_loss_of_every_split_is_that_over_all_assignments(rows: list[list[int]]) -> None:
    by_output = np.array(rows, np.float64) / 7
    curve = LossCurve.of(by_output, ordered=False)
    for split, loss in enumerated(by_output).items():
        assert np.isclose(curve.least(np.array(split)), loss, rtol=1e-9, atol=1e-12)
        taken = curve.assign(np.array(split))
        assert taken.sum(axis=1).tolist() == list(split)
        assert taken.sum(axis=0).tolist() == curve.sizes.tolist()
        assert np.isclose((taken * curve.by_group).sum(), loss, rtol=1e-9, atol=1e-12)


@given(losses, st.data())
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_line_is_below_the_loss_of_every_split_and_meets_one(rows: list[list[int]], data: st.DataObject) -> None:
    by_output = np.array(rows, np.float64)
    curve = LossCurve.of(by_output, ordered=False)
    every = enumerated(by_output)
    split = data.draw(st.sampled_from(sorted(every)))
    slopes, offset = curve.line_at(np.array(split, np.float64))
    assert (slopes >= 0).all()
    assert np.isclose(slopes @ split + offset, every[split])
    for other, loss in every.items():
        assert slopes @ other + offset <= loss + 1e-9


def test_a_tier_that_may_not() -> None:
    by_output = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 3.0, 8.0, 8.0], [np.inf] * 4])
    curve = LossCurve.of(by_output, ordered=False)
    splits = np.array([[4, 0, 0], [2, 2, 0], [0, 4, 0], [2, 0, 2]])
    assert curve.least(splits).tolist() == [0.0, 4.0, 20.0, np.inf]
    assert curve.able.tolist() == [0, 1]


def test_outputs_in_order_count_with_their_mean() -> None:
    curve = LossCurve.of(np.array([[0.0, 0.0], [1.0, 3.0]]), ordered=True)
    assert curve.least(np.array([[1, 1], [0, 2]])).tolist() == [2.0, 4.0]


def test_more_groups_than_can_be_told_apart_keep_the_loss_of_the_whole() -> None:
    rng = np.random.default_rng(3)
    by_output = np.concatenate([np.zeros((1, 300)), rng.exponential(size=(3, 300))])
    curve = LossCurve.of(by_output, ordered=False)
    for tier in range(4):
        whole = np.where(np.arange(4) == tier, 300, 0)
        assert np.isclose(curve.least(whole), by_output[tier].sum())
    split = np.array([60, 80, 80, 80])
    assert curve.least(split) < by_output[1:].mean(axis=1).sum() * 80
