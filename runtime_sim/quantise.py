"""Numbers as a tier's converters and cells hold them: integer codes with scales, ties rounded to even.

Weights are symmetric with one scale an output, inputs have one scale a tensor and execution and are unsigned where no
value is negative (Krishnamoorthi, arXiv 1806.08342, sections 2 and 3). Integer values that fit already are their own
codes. Codes are whole numbers in float32, so that products run at the speed of BLAS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SMALLEST = 1e-30
"""Below this largest magnitude a tensor or output is dead (folded BatchNorm leaves such) and codes to zero."""

CALIBRATION_QUANTILE, CALIBRATION_MARGIN = 0.9999, 1.1
"""A converter's full scale: this quantile of the magnitudes seen, times this margin (Rasch et al., AIHWKIT; measured
in this project's study of quality to cost less than clipping or the largest value)."""


@dataclass(frozen=True)
class Codes:
    """Whole numbers that stand for reals: real = values * scale.

    `values`: float32 (float64 from 24 bits on); `scale`: float64, of a shape that broadcasts against `values`.
    """

    values: Array
    scale: Array


def plain(values: Array) -> Array:
    """Values of the types that numpy itself lacks in one that it has: bfloat16 as float32, int4 as int8."""
    if values.dtype.kind != "V":
        return values
    return values.astype(np.int8 if "int" in values.dtype.name else np.float32)


def code_range(bits: int, *, signed: bool, symmetric: bool = False) -> tuple[int, int]:
    """The least and the largest code of `bits` bits; `symmetric` leaves out the most negative one."""
    if not signed:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)) + (1 if symmetric else 0), 2 ** (bits - 1) - 1


def _code_type(bits: int) -> type[np.floating[Any]]:
    return np.float32 if bits < 24 else np.float64


def quantise_inputs(x: Array, bits: int) -> Codes:
    """The codes of inputs; the leading axis of `x` counts executions and each has its own scale.

    An execution without negative values uses all codes 0 .. 2^bits - 1, another one the symmetric signed codes. Integer
    arrays whose values fit into `bits` bits (signed or not) are their own codes with scale 1.
    """
    axes = tuple(range(1, x.ndim))
    column = (-1, *[1] * len(axes))
    low, high = (np.asarray(bound, np.float64).reshape(column) for bound in extremes(x, axes))
    signed = low < 0
    top = np.where(signed, code_range(bits, signed=True)[1], code_range(bits, signed=False)[1])
    peak = np.maximum(-low, high)
    dead = peak < SMALLEST
    scale = np.where(dead, 1.0, peak / top)
    if x.dtype.kind in "iub":
        fits = np.where(signed, (low >= -top - 1) & (high <= top), high <= top)
        scale = np.where(fits, 1.0, scale)
    dtype = _code_type(bits)
    with np.errstate(invalid="ignore", over="ignore"):
        factor = np.where(dead, 0.0, 1.0 / scale).astype(dtype)
        values = np.multiply(x, factor, dtype=dtype)
        np.rint(values, out=values)
    return Codes(values, scale)


def full_codes(x: Array, bits: int) -> Array:
    """The code of each execution's full scale, (executions, 1, ..): unsigned where no value is negative."""
    low, _ = extremes(x, tuple(range(1, x.ndim)))
    signed, unsigned = code_range(bits, signed=True)[1], code_range(bits, signed=False)[1]
    return np.where(low < 0, signed, unsigned).reshape(-1, *[1] * (x.ndim - 1)).astype(np.float32)


def convert_vectors(x: Array, top: Array, bits: int) -> tuple[Array, Array]:
    """Codes (.., M, K) of float32 vectors, each with a range of its own, and the scales (.., M, 1): x = codes * scale.

    `top`: the code of the full scale as `full_codes` gives it, broadcastable against the scales. A vector of nothing
    has the scale 0, so that no noise of the arrays remains of it. Codes lie in memory as `x` does.
    """
    peak = x.max(axis=-1, keepdims=True, initial=0)
    if np.any(top < code_range(bits, signed=False)[1]):
        peak = np.maximum(peak, -x.min(axis=-1, keepdims=True, initial=0))
    dead = peak < SMALLEST
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = np.where(dead, np.float32(0), top / peak)
        codes = np.multiply(x, factor)
        np.rint(codes, out=codes)
    return codes, np.where(dead, np.float32(0), peak / top)


def extremes(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """(least, largest) value along `axes`; 0 and 0 where there are none."""
    if not x.size:
        shape = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
        return np.zeros(shape), np.zeros(shape)
    return x.min(axis=axes), x.max(axis=axes)


def quantise_weights(w: Array, bits: int, axis: int) -> Codes:
    """The codes of weights, symmetric, with one scale for each output, i.e. for each entry along the other axes.

    `axis` is the one of inputs (K), which the scale is shared along. Integer weights of an output that fit into `bits`
    bits are their own codes.
    """
    real = w.astype(np.float64)
    low, high = (np.expand_dims(bound, axis) for bound in extremes(real, (axis % w.ndim,)))
    peak = np.maximum(-low, high)
    dead = peak < SMALLEST
    top = code_range(bits, signed=True)[1]
    scale = np.where(dead, 1.0, peak / top)
    if w.dtype.kind in "iub":
        scale = np.where((low >= -top - 1) & (high <= top), 1.0, scale)
    with np.errstate(invalid="ignore"):
        values = np.where(dead, 0.0, np.rint(real / scale))
    return Codes(values.astype(_code_type(bits)), scale)


def full_scale(products: Sequence[Array]) -> float:
    """The range of an output converter, from products seen: their 99.99 % quantile, with a margin.

    About 2^20 evenly spaced values are looked at, which leaves a hundred above the quantile.
    """
    stride = max(1, sum(values.size for values in products) >> 20)
    seen = np.abs(np.concatenate([values.reshape(-1)[::stride] for values in products]))
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return 0.0
    return float(np.quantile(seen, CALIBRATION_QUANTILE)) * CALIBRATION_MARGIN


def convert_outputs(products: Array, full: float, bits: int) -> int:
    """What an output converter of `bits` bits and range -full .. full makes of analog products, in place.

    Returns how many values it clipped. A range of zero (nothing but zeros was seen) makes every product zero.
    """
    top = code_range(bits, signed=True)[1]
    if full <= 0:
        clipped = int(np.count_nonzero(products))
        products[...] = 0
        return clipped
    step = products.dtype.type(full / top)
    products /= step
    np.rint(products, out=products)
    clipped = 0
    if products.size and not -top <= products.min() <= products.max() <= top:
        clipped = int(np.count_nonzero(np.abs(products) > top))
        np.clip(products, -top, top, out=products)
    products *= step
    return clipped
