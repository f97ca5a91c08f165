"""Measures of outputs against labels or the digital model's outputs, one value a sample and one of all.

Every metric gives `scores` (one row a sample), of which `value` makes the metric: so scores can be averaged over
realisations, and `deviation` is the standard error of that metric by the finite number of samples alone.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

Array = NDArray[Any]

NAMES = ("top1", "auc", "cosine", "mse", "perplexity")
NEED_LABELS = ("top1", "auc", "perplexity")
LESS_IS_BETTER = ("mse", "perplexity")


class Metric(ABC):
    """One metric with what it compares to."""

    @abstractmethod
    def scores(self, outputs: Array) -> Array:
        """One row a sample, float64."""

    def value(self, scores: Array) -> float:
        """The metric of these samples."""
        return float(scores.mean())

    def influence(self, scores: Array) -> Array:
        """What each sample moves the metric by, n times its influence: their spread is the metric's."""
        return scores - scores.mean()

    def deviation(self, scores: Array) -> float:
        """The standard error of the metric by the choice of samples."""
        moved = self.influence(scores)
        return float(np.sqrt(np.square(moved).sum() / max(len(moved) - 1, 1) / len(moved)))


class Top1(Metric):
    """The share of samples whose largest output is the label's; outputs (n, .., classes)."""

    def __init__(self, labels: Array):
        self._labels = labels

    def scores(self, outputs: Array) -> Array:
        hits = outputs.argmax(axis=-1) == self._labels
        return hits.reshape(len(hits), -1).mean(axis=1)


class Auc(Metric):
    """The area under the ROC curve, ties counting half; of several classes the mean of each against the rest.

    Outputs (n, 1) or (n,) are scores of class 1, (n, 2) those of both. A score of a sample is how often it is ordered
    rightly against the other kind (DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988)), for each class.
    """

    def __init__(self, labels: Array, classes: int):
        kinds = [1] if classes <= 2 else range(classes)
        self._positive = np.stack([labels == kind for kind in kinds], axis=1)
        counts = self._positive.sum(axis=0)
        missing = [kind for kind, n in zip(kinds, counts, strict=True) if not 0 < n < len(labels)]
        if missing:
            raise InputError(f"metric auc: expected samples of class {missing[0]} and of others among the labels")

    def scores(self, outputs: Array) -> Array:
        columns = outputs.reshape(len(outputs), -1).astype(np.float64)
        columns = columns[:, -1:] if self._positive.shape[1] == 1 else columns
        placed = np.empty(self._positive.shape)
        for column, positive in enumerate(self._positive.T):  # one a class
            mine, others = columns[positive, column], columns[~positive, column]
            placed[positive, column] = _share_below(mine, others)
            placed[~positive, column] = 1 - _share_below(others, mine)
        return placed

    def value(self, scores: Array) -> float:
        return float(
            np.mean([column[positive].mean() for column, positive in zip(scores.T, self._positive.T, strict=True)])
        )

    def influence(self, scores: Array) -> Array:
        moved = np.zeros(len(scores))
        for column, positive in zip(scores.T, self._positive.T, strict=True):
            area = column[positive].mean()
            share = np.where(positive, positive.mean(), 1 - positive.mean())
            moved += (column - area) / share
        return moved / scores.shape[1]


def _share_below(values: Array, others: Array) -> Array:
    """For each value the share of others that it is above, ties counting half."""
    ordered = np.sort(others)
    below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + upto) / (2 * len(ordered))


class Cosine(Metric):
    """The mean over samples of the cosine between outputs and a reference; two vectors of zeros agree."""

    def __init__(self, reference: Array):
        self._reference = reference.reshape(len(reference), -1).astype(np.float64)

    def scores(self, outputs: Array) -> Array:
        mine = outputs.reshape(len(outputs), -1).astype(np.float64)
        product = (mine * self._reference).sum(axis=1)
        norms = np.linalg.norm(mine, axis=1) * np.linalg.norm(self._reference, axis=1)
        same = (mine == self._reference).all(axis=1)
        return np.where(same, 1.0, product / np.where(norms > 0, norms, 1.0))


class MeanSquareError(Metric):
    """The mean square difference between outputs and a reference."""

    def __init__(self, reference: Array):
        self._reference = reference.reshape(len(reference), -1).astype(np.float64)

    def scores(self, outputs: Array) -> Array:
        return np.square(outputs.reshape(len(outputs), -1).astype(np.float64) - self._reference).mean(axis=1)


class Perplexity(Metric):
    """exp of the mean negative log-likelihood of the labels; outputs (n, .., vocabulary), labels (n, ..).

    The output at a position is held against the label at that position. Outputs are logits, unless they are
    probabilities already (none negative, each vector's sum 1).
    """

    def __init__(self, labels: Array):
        self._labels = labels.astype(np.int64)[..., None]

    def scores(self, outputs: Array) -> Array:
        x = outputs.astype(np.float64)
        if x.min() >= 0 and np.allclose(x.sum(axis=-1), 1, atol=1e-3):
            x = np.log(np.maximum(x, np.finfo(np.float64).tiny))
        peak = x.max(axis=-1, keepdims=True)
        total = np.log(np.exp(x - peak).sum(axis=-1, keepdims=True)) + peak
        losses = (total - np.take_along_axis(x, self._labels, -1))[..., 0]
        return losses.reshape(len(losses), -1).mean(axis=1)

    def value(self, scores: Array) -> float:
        return float(np.exp(scores.mean()))

    def influence(self, scores: Array) -> Array:
        return self.value(scores) * (scores - scores.mean())


def default_metric(labels: Array | None) -> str:
    """Top-1 with labels, else the cosine."""
    return "cosine" if labels is None else "top1"


def metric_for(name: str, labels: Array | None, digital: Array) -> Metric:
    """The metric `name` for outputs like `digital`, the digital model's; labels that do not fit are an error."""
    if name in NEED_LABELS and labels is None:
        raise InputError(f"metric {name}: expected labels, got none")
    if labels is not None and len(labels) != len(digital):
        raise InputError(f"labels: expected {len(digital)}, one a sample, got {len(labels)}")
    match name:
        case "cosine" | "mse":
            return (Cosine if name == "cosine" else MeanSquareError)(_target(name, labels, digital))
        case "top1":
            return Top1(_classes(name, labels, digital.shape))
        case "auc":
            classes = digital.shape[1] if digital.ndim == 2 else 1
            if digital.ndim > 2:
                raise InputError(f"metric auc: expected outputs of shape (samples, classes), got {list(digital.shape)}")
            return Auc(_classes(name, labels, (len(digital), max(classes, 2))), classes)
        case "perplexity":
            return Perplexity(_classes(name, _next_tokens(labels, digital), digital.shape))
        case _:
            raise InputError(f"metric: expected one of {', '.join(NAMES)}, got {name!r}")


def _target(name: str, labels: Array | None, digital: Array) -> Array:
    if labels is None:
        return digital
    if labels.shape != digital.shape or labels.dtype.kind not in "iuf":
        raise InputError(
            f"metric {name}: expected labels as the outputs, {list(digital.shape)}, or none, got {list(labels.shape)}"
        )
    return labels


def _next_tokens(labels: Array | None, digital: Array) -> Array | None:
    """Windows of T + 1 tokens give the T labels that follow their inputs."""
    if labels is not None and digital.ndim == 3 and labels.shape == (len(digital), digital.shape[1] + 1):
        return labels[:, 1:]
    return labels


def _classes(name: str, labels: Array | None, shape: tuple[int, ...]) -> Array:
    """Class indices of the shape of all but the last axis, from such indices or from one-hot labels."""
    assert labels is not None
    if len(shape) < 2 or shape[-1] < 2:
        raise InputError(f"metric {name}: expected outputs of at least two classes, got shape {list(shape)}")
    if labels.shape == shape and len(shape) > 1:
        ones = labels.astype(np.float64)
        if not np.array_equal(np.sort(ones, axis=-1)[..., -2:], np.broadcast_to([0.0, 1.0], (*shape[:-1], 2))):
            raise InputError(f"metric {name}: expected one-hot labels, a 1 among zeros, or class indices")
        return ones.argmax(axis=-1)
    if labels.shape == (*shape[:-1], 1):
        labels = labels[..., 0]
    if labels.shape != shape[:-1]:
        raise InputError(f"metric {name}: expected labels of shape {list(shape[:-1])}, got {list(labels.shape)}")
    if labels.dtype.kind not in "iub" and not (labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels))):
        raise InputError(f"metric {name}: expected whole numbers as labels, got {labels.dtype.name}")
    if labels.min() < 0 or labels.max() >= shape[-1]:
        wrong = labels.max() if labels.min() >= 0 else labels.min()
        raise InputError(f"metric {name}: expected labels from 0 to {shape[-1] - 1}, got {int(wrong)}")
    return labels.astype(np.int64)
