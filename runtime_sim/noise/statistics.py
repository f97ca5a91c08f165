"""Moments of normal values that something cuts off: conductances never fall below their least, nor rise above the most.

With a = (low - mean) / std, b = (high - mean) / std and the normal distribution's phi and Phi, a value cut to
low .. high has closed-form moments (Johnson, Kotz, Balakrishnan, Continuous Univariate
Distributions 1).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import erf

Array = NDArray[Any]


def cut_moments(mean: Array, std: Array, low: float = 0.0, high: float = np.inf) -> tuple[Array, Array]:
    """(mean, variance) of min(max(mean + std N, low), high), N a standard normal; shapes broadcast, float64."""
    mean, std = np.broadcast_arrays(np.asarray(mean, np.float64), np.asarray(std, np.float64))
    safe = np.maximum(std, 1e-300)
    # Moments of z = (value - mean) / std, whose cuts are a and b; beyond 40 they cut nothing, or all.
    a, b = ((bound - mean) / safe for bound in (low, high))
    spread = (std > 0) & (a < 40) & (b > -40)
    a, b = np.clip(a, -40.0, 40.0), np.clip(b, -40.0, 40.0)
    below, above = _cdf(a), _cdf(-b)
    inside = 1 - below - above
    first = _pdf(a) - _pdf(b) + a * below + b * above
    second = inside + a * _pdf(a) - b * _pdf(b) + a * a * below + b * b * above
    exact = np.clip(mean, low, high)
    moved = np.where(spread, mean + std * first, exact)
    return moved, np.where(spread, std * std * np.maximum(second - first * first, 0), 0.0)


def normal_grid(points: int = 241, reach: float = 6.0) -> tuple[Array, Array]:
    """(z, weights) to average a function of a standard normal with: evenly spaced, exact far beyond float32."""
    z = np.linspace(-reach, reach, points)
    weights = _pdf(z)
    return z, weights / weights.sum()


def _pdf(x: Array) -> Array:
    return np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


def _cdf(x: Array) -> Array:
    return 0.5 * (1 + erf(x / np.sqrt(2)))
