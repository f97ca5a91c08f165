"""How far outputs are from the digital model's: measures that add up over independent small errors."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def are_probabilities(outputs: Array) -> bool:
    """Whether every vector of `outputs` holds probabilities: none negative, the sum 1 but for coarse steps."""
    if outputs.dtype.kind != "f" or outputs.ndim < 2 or outputs.shape[-1] < 2 or outputs.min(initial=0) < 0:
        return False
    return bool(np.abs(outputs.sum(axis=-1, dtype=np.float64) - 1).max(initial=0) < 0.05)


def as_shares(outputs: Array) -> Array:
    """Integers as shares of their type's range, as quantised softmaxes give them; other values as they are."""
    if outputs.dtype.kind not in "iu":
        return outputs
    limits = np.iinfo(outputs.dtype)
    return (outputs.astype(np.float64) - limits.min) / (float(limits.max) - limits.min + 1)


class Difference:
    """Compares outputs with those of the digital model, `clean`, one row a sample.

    Probabilities count as their logarithms, centred, which are the logits that they came from; what is below half the
    least that the digital model gives counts as that. Integers may be probabilities in 256ths (of their type's range).
    """

    def __init__(self, clean: Array) -> None:
        self._floor: float | None = None
        shares = as_shares(clean)
        if are_probabilities(shares):
            self._floor = float(shares[shares > 0].min()) / 2
        self._clean = self._logits(clean)

    @property
    def clean(self) -> Array:
        """The digital model's outputs as they count."""
        return self._clean

    @cached_property
    def power(self) -> float:
        """Their mean square; 1 where all are 0."""
        return float(np.square(self._clean).mean()) or 1.0

    def _logits(self, outputs: Array) -> Array:
        if self._floor is None:
            return outputs.astype(np.float64)
        values = np.log(np.maximum(as_shares(outputs).astype(np.float64), self._floor))
        return values - values.mean(axis=-1, keepdims=True)

    def relative_mse(self, outputs: Array) -> Array:
        """[copy]: mean squared difference over the mean square of the digital outputs; copies on the leading axis."""
        found = self._copies(outputs)
        return np.square(found - self._clean).mean(axis=tuple(range(1, found.ndim))) / self.power

    def kl(self, outputs: Array) -> Array:
        """[copy]: mean Kullback-Leibler divergence of the classes' probabilities, in nats; classes on the last axis."""
        before, after = (_log_probabilities(values) for values in (self._clean, self._copies(outputs)))
        divergence = (np.exp(before) * (before - after)).sum(axis=-1)
        return divergence.mean(axis=tuple(range(1, divergence.ndim)))

    def _copies(self, outputs: Array) -> Array:
        return self._logits(outputs.reshape(-1, *self._clean.shape))


def _log_probabilities(logits: Array) -> Array:
    peak = logits.max(axis=-1, keepdims=True)
    return logits - peak - np.log(np.exp(logits - peak).sum(axis=-1, keepdims=True))
