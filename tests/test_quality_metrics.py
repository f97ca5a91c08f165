"""Metrics against values found by hand, and confidence intervals against tables."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.quality.metrics import Metric, metric_for
from h3c.runtime_sim.quality.statistics import half_width, mean_and_deviation, t_probability, t_quantile

Array = NDArray[Any]


def value(name: str, labels: Array | None, outputs: Array, digital: Array | None = None) -> float:
    metric = metric_for(name, labels, outputs if digital is None else digital)
    return metric.value(metric.scores(outputs))


def test_top1_of_indices_and_of_one_hot_labels() -> None:
    outputs = np.array([[1, 3, 2], [9, 0, 0], [0, 1, 2], [5, 6, 4]], np.float32)
    labels = np.array([1, 0, 1, 1])
    assert value("top1", labels, outputs) == 0.75
    assert value("top1", np.eye(3)[labels], outputs) == 0.75
    assert value("top1", labels[:, None], outputs) == 0.75
    assert value("top1", labels.astype(np.float64), outputs) == 0.75


def test_auc_counts_pairs_and_ties_half() -> None:
    """Positives .8, .5, negatives .5, .2, .1: of six pairs five are right and one is a tie: 5.5 / 6."""
    labels, scores = np.array([1, 1, 0, 0, 0]), np.array([0.8, 0.5, 0.5, 0.2, 0.1])
    assert value("auc", labels, scores[:, None]) == pytest.approx(5.5 / 6)
    assert value("auc", labels, scores) == pytest.approx(5.5 / 6)
    assert value("auc", labels, np.stack([-scores, scores], axis=1)) == pytest.approx(5.5 / 6)
    assert value("auc", labels, np.zeros((5, 1))) == 0.5


def test_auc_of_several_classes_is_the_mean_of_each_against_the_rest() -> None:
    labels = np.array([0, 1, 2, 2])
    outputs = np.array([[3, 0, 0], [2, 1, 5], [1, 2, 4], [0, 0, 3]], np.float32)
    # class 0: .8 > all: 1; class 1: 1 against 0, 2, 0: 2/3; class 2: 4 and 3 against 0 and 5: 2 of 4.
    assert value("auc", labels, outputs) == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(2, 30))
@settings(max_examples=30, deadline=None)
def test_auc_equals_all_pairs(seed: int, positives: int, negatives: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.array([1] * positives + [0] * negatives)
    scores = rng.integers(0, 6, len(labels)).astype(float)
    pairs = scores[:positives, None] - scores[None, positives:]
    assert value("auc", labels, scores) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


def test_cosine_and_mean_square_error_are_of_the_digital_outputs_or_of_given_ones() -> None:
    digital, outputs = np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[4.0, 3.0], [0.0, 2.0]])
    assert value("cosine", None, outputs, digital) == pytest.approx((24 / 25 + 0) / 2)
    assert value("mse", None, outputs, digital) == pytest.approx((1 + 1 + 1 + 4) / 4)
    assert value("mse", outputs, outputs, digital) == 0
    assert value("cosine", None, digital, digital) == pytest.approx(1)
    assert value("cosine", None, np.zeros((1, 2)), np.zeros((1, 2))) == 1
    assert value("cosine", None, np.ones((1, 2)), np.zeros((1, 2))) == 0


def test_perplexity_of_next_tokens() -> None:
    """Logits ln 3 and 0 are probabilities 3/4 and 1/4: exp of the mean of -ln is 4 / 3^(3/4) for three hits of four."""
    logits = np.tile(np.array([math.log(3), 0.0], np.float32), (2, 2, 1))
    labels = np.array([[0, 0], [0, 1]])
    expected = 4 / 3**0.75
    assert value("perplexity", labels, logits) == pytest.approx(expected)
    assert value("perplexity", labels, logits + 100) == pytest.approx(expected)
    probabilities = np.tile(np.array([0.75, 0.25], np.float32), (2, 2, 1))
    assert value("perplexity", labels, probabilities) == pytest.approx(expected)
    windows = np.concatenate([np.ones((2, 1), int), labels], axis=1)
    assert value("perplexity", windows, logits) == pytest.approx(expected)
    assert value("perplexity", np.zeros((2, 2), int), np.zeros((2, 2, 7))) == pytest.approx(7)


@pytest.mark.parametrize(
    ("name", "labels", "outputs", "told"),
    [
        ("top1", None, np.zeros((3, 2)), "metric top1: expected labels, got none"),
        ("top1", np.zeros(2, int), np.zeros((3, 2)), "labels: expected 3, one a sample, got 2"),
        ("top1", np.array([0, 1, 2]), np.zeros((3, 2)), "metric top1: expected labels from 0 to 1, got 2"),
        ("top1", np.array([0, -1, 1]), np.zeros((3, 2)), "metric top1: expected labels from 0 to 1, got -1"),
        ("top1", np.array([0, 0.5, 1]), np.zeros((3, 2)), "metric top1: expected whole numbers as labels, got float64"),
        ("top1", np.array(["a", "b", "c"]), np.zeros((3, 2)), "metric top1: expected whole numbers as labels, got str"),
        ("top1", np.zeros((3, 2)), np.zeros((3, 2)), "metric top1: expected one-hot labels"),
        ("top1", np.zeros((3, 4)), np.zeros((3, 2)), r"metric top1: expected labels of shape \[3\], got \[3, 4\]"),
        ("top1", np.zeros(3, int), np.zeros((3, 1)), "metric top1: expected outputs of at least two classes"),
        ("auc", np.zeros(3, int), np.zeros((3, 1)), "metric auc: expected samples of class 1 and of others"),
        ("auc", np.zeros((3), int), np.zeros((3, 2, 2)), "metric auc: expected outputs of shape"),
        ("mse", np.zeros((3, 3)), np.zeros((3, 2)), r"metric mse: expected labels as the outputs, \[3, 2\], or none"),
        ("perplexity", np.zeros((3, 7), int), np.zeros((3, 4, 5)), r"expected labels of shape \[3, 4\], got \[3, 7\]"),
        (
            "f1",
            np.zeros(3, int),
            np.zeros((3, 2)),
            "metric: expected one of top1, auc, cosine, mse, perplexity, got 'f1'",
        ),
    ],
)
def test_labels_that_do_not_fit_are_one_line(name: str, labels: Array | None, outputs: Array, told: str) -> None:
    with pytest.raises(InputError, match=told):
        metric_for(name, labels, outputs)


def jackknife(metric_of: Any, n: int) -> float:
    """The standard error of a metric of n samples by leaving out one after the other."""
    left = np.array([metric_of(np.delete(np.arange(n), i)) for i in range(n)])
    return float(np.sqrt((n - 1) / n * np.square(left - left.mean()).sum()))


@pytest.mark.parametrize("name", ["top1", "auc", "perplexity", "mse", "cosine"])
def test_the_error_by_finite_data_is_that_of_the_jackknife(name: str) -> None:
    rng = np.random.default_rng(0)
    n = 300
    labels = rng.integers(0, 3, n)
    outputs = rng.normal(size=(n, 3)) + 1.2 * np.eye(3)[labels]
    digital = outputs + rng.normal(size=(n, 3))
    given = labels if name in ("top1", "auc", "perplexity") else None

    def of(kept: Array) -> float:
        return value(name, None if given is None else given[kept], outputs[kept], digital[kept])

    metric: Metric = metric_for(name, given, digital)
    assert metric.deviation(metric.scores(outputs)) == pytest.approx(jackknife(of, n), rel=0.03)


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [
        (1, 12.7062),
        (2, 4.30265),
        (3, 3.18245),
        (4, 2.77645),
        (9, 2.26216),
        (24, 2.06390),
        (25, 2.05954),
        (1000, 1.96234),
    ],
)
def test_quantiles_of_student_are_those_of_the_tables(freedom: int, expected: float) -> None:
    assert t_quantile(freedom) == pytest.approx(expected, abs=6e-5 if freedom == 1 else 6e-6)
    assert t_probability(t_quantile(freedom, 0.9), freedom) == pytest.approx(0.9)


def test_the_interval_is_t_times_s_over_the_root_of_the_count() -> None:
    mean, deviation = mean_and_deviation([1.0, 2.0, 3.0, 4.0])
    assert (mean, deviation) == (2.5, pytest.approx(math.sqrt(5 / 3)))
    assert half_width(deviation, 4) == pytest.approx(3.18245 * math.sqrt(5 / 3) / 2, rel=1e-5)
    assert mean_and_deviation([2.0]) == (2.0, math.inf)
    assert half_width(math.inf, 1) == math.inf
