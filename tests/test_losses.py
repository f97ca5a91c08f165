"""Predicted losses of placements."""

import numpy as np
import pytest

from h3c.passes.placement.losses import Losses
from h3c.passes.placement.problem import PlacementError


def test_loss_of_a_plan_is_the_sum_over_its_outputs() -> None:
    losses = Losses({2: np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]]), 5: np.array([[0.5], [8.0]])})
    assert losses.loss({2: np.array([1, 0, 1]), 5: np.array([1])}) == 13.0
    assert losses.loss({2: np.array([0, 1, 0]), 5: np.array([0])}) == 2.5


def test_scaled_losses_are_those_of_a_plan_with_so_much_less_noise() -> None:
    losses = Losses({0: np.array([[1.0, 3.0], [0.0, 0.0]])})
    assert losses.scaled(0.25).loss({0: np.array([0, 0])}) == 1.0
    assert losses.loss({0: np.array([0, 0])}) == 4.0


def test_an_output_on_a_tier_that_it_cannot_use_is_an_infinite_loss() -> None:
    losses = Losses({0: np.array([[0.0, 0.0], [np.inf, 1.0]])})
    assert losses.loss({0: np.array([1, 1])}) == np.inf


@pytest.mark.parametrize("bad", [np.array([[-1.0]]), np.array([[np.nan]]), np.array([1.0])])
def test_losses_are_numbers_from_0_by_tier_and_output(bad: np.ndarray) -> None:
    with pytest.raises(PlacementError, match="operator 3"):
        Losses({3: bad})
