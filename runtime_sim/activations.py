"""The activations that tiers apply, on numpy arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialects.h3_attributes import Activation

Array = NDArray[Any]

# Chebyshev fit of erfc (Press et al., Numerical Recipes in C, 2nd ed., section 6.2): relative error below 1.2e-7.
_ERFC = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


def erf(x: Array) -> Array:
    """The error function, to about the precision of float32, in the type of `x`."""
    size = np.abs(x)
    t = 1 / (1 + 0.5 * size)
    exponent = np.full_like(t, _ERFC[-1])
    for coefficient in _ERFC[-2::-1]:
        exponent *= t
        exponent += coefficient
    exponent -= size * size
    return np.copysign(1 - t * np.exp(exponent), x)


def activate(function: Activation, y: Array) -> Array:
    """`function` of `y`, in its type; `y` may be overwritten."""
    match function:
        case Activation.NONE:
            return y
        case Activation.RELU:
            return np.maximum(y, 0, out=y)
        case Activation.RELU6:
            return np.clip(y, 0, 6, out=y)
        case Activation.SIGMOID:
            return 0.5 * np.tanh(0.5 * y) + 0.5
        case Activation.TANH:
            return np.tanh(y, out=y)
        case Activation.GELU:
            return y * 0.5 * (1 + erf(y * 0.7071067811865476))
