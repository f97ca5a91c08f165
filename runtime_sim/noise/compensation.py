"""What is done about drift in digital arithmetic: one gain for an array, one an output, or an offset an output.

Global drift compensation reads the array with one input at a time, through the same converters and noise as the real
work, just after programming and again at an age; outputs are multiplied by how much the mean magnitude fell (Joshi et
al., Nature Communications 11 (2020); AIHWKIT GlobalDriftCompensation). A gain computed from true weights would not be
the same: with an 8-bit converter most of a one-hot read is below a step.

Offset trim runs some unlabelled inputs through a layer and adds to each output what restores its clean mean.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LEAST = 1e-4
"""The floor of a mean magnitude (AIHWKIT): a dead array gets a finite gain."""


def magnitude(multiply: Callable[[Array], Array], inputs: int, *, per_output: bool = False) -> Array:
    """Mean magnitude that `multiply` ((inputs, K) to (.., inputs, N)) gives for the `inputs` one-hot vectors.

    One number a leading entry, (.., 1, 1); with `per_output` one an output, (.., 1, N).
    """
    return _mean_magnitude(multiply(np.eye(inputs, dtype=np.float32)), per_output)


def ideal_magnitude(weights: Array, *, per_output: bool = False) -> Array:
    """The same of weights (.., K, N) that nothing disturbs: a reference that needs no read after programming."""
    return _mean_magnitude(weights, per_output)


def _mean_magnitude(answers: Array, per_output: bool) -> Array:
    axes = (-2,) if per_output else (-2, -1)
    return np.maximum(np.abs(answers).mean(axis=axes, keepdims=True), answers.dtype.type(LEAST))


def drift_gain(reference: Array, now: Array) -> Array:
    """The factor for outputs (`gain` of noisy_mvm): reference / now, float32."""
    return (reference / now).astype(np.float32)


def offset_trim(clean: Array, noisy: Array, axis: int = -1) -> Array:
    """What to add to each output so that its mean over samples (and places of a convolution) is the clean one.

    `clean`, `noisy`: a layer's outputs for the same inputs, of one shape; `axis` counts outputs (1 for convolutions).
    Returns float32 that broadcasts against them. Valid at the age at which `noisy` was measured only.
    """
    axes = tuple(i for i in range(clean.ndim) if i != axis % clean.ndim)
    difference = clean.mean(axis=axes, keepdims=True, dtype=np.float64)
    difference -= noisy.mean(axis=axes, keepdims=True, dtype=np.float64)
    return difference.astype(np.float32)
