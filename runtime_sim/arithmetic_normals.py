"""Normals for noise of reads, which is drawn for every sum of every vector: four times as fast as numpy's own.

16 random bits choose one of 65,536 equally likely values, the medians of as many slices of the normal distribution,
scaled to unit variance. Moments are right to three digits (kurtosis 2.999); nothing is beyond 4.4 standard deviations,
where one draw in 90,000 would be. Cells, which are drawn once, keep exact normals.
"""

from functools import cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import erf

Array = NDArray[Any]

VALUES = 2**16


@cache
def table() -> Array:
    """The values, ascending, float32."""
    z = np.linspace(-6, 6, 240_001)
    probability = 0.5 * (1 + erf(z / np.sqrt(2)))
    values = np.interp((np.arange(VALUES) + 0.5) / VALUES, probability, z)
    return (values / values.std()).astype(np.float32)


def quick_normals(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard normals, float32. Drawing (a, ..) and then (b, ..) is the same as drawing (a + b, ..)."""
    leading, each = shape[0], prod(shape[1:])
    words = -(-each // 4)
    bits = rng.bit_generator.random_raw(leading * words).view(np.uint16)
    if each % 4:
        bits = np.ascontiguousarray(bits.reshape(leading, words * 4)[:, :each]).reshape(-1)
    drawn = np.empty(leading * each, np.float32)
    np.take(table(), bits, out=drawn, mode="clip")  # "clip" spares numpy a copy; no index is out of range
    return drawn.reshape(shape)
