"""Measures of how far outputs are from the digital model's."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from h3c.runtime_sim.quality.difference import Difference, are_probabilities, as_shares

Array = NDArray[Any]
LOGITS = np.random.default_rng(0).normal(size=(6, 5)) * 2


def softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def test_relative_mse_is_of_each_copy() -> None:
    clean = np.array([[1.0, -1.0], [2.0, 0.0]])
    copies = np.concatenate([clean, clean + np.array([[0.5, 0.0], [0.0, 0.0]])])
    assert Difference(clean).relative_mse(copies) == pytest.approx([0.0, 0.25 / 4 / 1.5])


def test_probabilities_count_as_the_logits_that_they_came_from() -> None:
    noisy = LOGITS + np.random.default_rng(1).normal(0, 0.01, LOGITS.shape)
    centred = [x - x.mean(axis=-1, keepdims=True) for x in (LOGITS, noisy)]
    expected = np.square(centred[1] - centred[0]).mean() / np.square(centred[0]).mean()
    assert Difference(softmax(LOGITS)).relative_mse(softmax(noisy)) == pytest.approx([expected], rel=1e-6)


def test_divergence_is_the_same_of_logits_and_of_probabilities() -> None:
    noisy = LOGITS + np.random.default_rng(1).normal(0, 0.1, LOGITS.shape)
    p, q = softmax(LOGITS), softmax(noisy)
    expected = (p * np.log(p / q)).sum(axis=-1).mean()
    assert Difference(LOGITS).kl(noisy) == pytest.approx([expected])
    assert Difference(p).kl(q) == pytest.approx([expected])
    # For small errors half the variance of the errors under p (a second-order expansion).
    error = noisy - LOGITS
    second = 0.5 * ((p * error**2).sum(-1) - (p * error).sum(-1) ** 2).mean()
    assert expected == pytest.approx(second, rel=0.1)


def test_quantised_probabilities_are_shares_of_their_range() -> None:
    shares = np.array([[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]])
    codes = (shares * 256 - 128).astype(np.int8)
    assert as_shares(codes) == pytest.approx(shares)
    assert are_probabilities(as_shares(codes))
    assert Difference(codes).kl(codes[::-1]) == pytest.approx(Difference(shares).kl(shares[::-1]))
