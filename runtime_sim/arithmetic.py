"""How tiers multiply: exactly, in bit-serial crossbars with limited converters, or as an analog dot product.

An `Arithmetic` turns inputs and weights into codes, multiplies them, and says whether its outputs pass a converter
whose range must be set from data. What follows (scales, zero points, bias, activation) is digital: matrix_product.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from itertools import product as pairs
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .quantise import Codes, convert_outputs, convert_vectors, full_codes, quantise_inputs, quantise_weights

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """Inputs as a tier receives them: x = (values - zero) * scale.

    `values`: executions first; `scale`: one an execution, of shape (executions, 1, ..); `zero`: the code of zero, which
    a convolution pads with; `peak`: the largest magnitude among `values`; `top`: the code of the converter's full
    scale, of the shape of `scale`, where that matters; `raw`: values are still to be converted, vector by vector.
    """

    values: Array
    scale: Array
    zero: int
    peak: float
    top: Array | None = None
    raw: bool = False


@dataclass(frozen=True)
class Drive:
    """How a product is converted: the range of its output converter (None: not at all), and as in `Inputs` the top code
    (broadcastable against results) and whether inputs are raw.
    """

    full: float | None = None
    top: Array | None = None
    raw: bool = False


UNCONVERTED = Drive()


@dataclass(frozen=True)
class Slice:
    """Columns of one weight slice in one block of array rows whose sums may leave the converter's range.

    `digits`: what their cells hold, (.., rows of the block, columns); `place`: what one unit of them is worth.
    """

    rows: slice
    outputs: Array
    digits: Array
    place: int


@dataclass(frozen=True)
class Weights:
    """Weights as a tier holds them: w = values * scale; `values` is (.., K, N), `scale` broadcasts over K.

    `sums`: the sum of each output's values, (.., 1, N), for the digital correction of an input zero point; `reach`: the
    largest sum of magnitudes of an output; `clipping`: the slices that have to be watched; `variance`: of each value
    from one input vector to the next, (.., K, N), where reading them is noisy; `whole`: values are codes, not what
    arrays made of them.
    """

    values: Array
    scale: Array
    sums: Array
    reach: float
    clipping: tuple[Slice, ...] = ()
    variance: Array | None = None
    whole: bool = True


class Arithmetic(Protocol):
    """What a tier's precision makes of a product; each tier kind gives one (`TierKind.arithmetic`)."""

    @property
    def output_bits(self) -> int | None:
        """Bits of the converters that sums pass, their range to be set from data; None: there are none."""
        ...

    def inputs(self, x: Array, zero_point: int) -> Inputs:
        """`x - zero_point` in codes; the leading axis of `x` counts executions."""
        ...

    def weights(self, w: Array) -> Weights:
        """`w` (.., K, N) in codes."""
        ...

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        """Codes (.., M, K) times codes (.., K, N) as numpy's matmul, and how many conversions were clipped on the way.

        `peak`: the largest magnitude among the codes of the whole tensor that `x` is a piece of.
        """
        ...

    def seen(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> Iterator[Array]:
        """The sums that output converters see in this product; only asked where there are some."""
        ...


@dataclass(frozen=True)
class Exact:
    """Exact sums: whole numbers as such, real ones in float64. The digital unit, and every tier under --ideal."""

    @property
    def output_bits(self) -> None:
        return None

    def inputs(self, x: Array, zero_point: int) -> Inputs:
        values = exact(x)
        values -= zero_point
        return Inputs(values, np.ones((len(x), *[1] * (x.ndim - 1))), 0, magnitude(values))

    def weights(self, w: Array) -> Weights:
        return held(Codes(exact(w), np.ones([1] * w.ndim)))

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        return product(x, w, peak), 0

    def seen(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> Iterator[Array]:
        yield product(x, w, peak)


def exact(values: Array) -> Array:
    """A copy in a type that products stay exact in: int8 and int16 as float32, wider integers as int64."""
    if values.dtype.kind in "iub":
        return values.astype(np.float32 if values.dtype.itemsize <= 2 else np.int64)
    return values.astype(np.float64)


@dataclass(frozen=True)
class AnalogDot:
    """Dot products summed in light, charge or current and read by a converter of `output_bits` (Lightening-Transformer,
    arXiv 2305.19533; TeMPO, arXiv 2402.07393): operands carry their converters' bits, products are exact up to theirs.

    `array_rows`: inputs that are summed before a converter (the rows of an array), the rest is added up digitally;
    None: all of them. `per_vector`: the input converter's range is set for each vector and array (noise management of
    AIHWKIT), else for each tensor; integers that fit go in as they are. `stacked`: how often weights are held, below
    each other, the rows of each copy driven by the same inputs.
    """

    input_bits: int
    weight_bits: int
    output_bits: int | None
    array_rows: int | None = None
    per_vector: bool = False
    stacked: int = 1

    def inputs(self, x: Array, zero_point: int) -> Inputs:
        shifted = x.astype(np.int64) - zero_point if x.dtype.kind in "iub" else x
        tops = full_codes(shifted, self.input_bits)
        if self.per_vector and shifted.dtype.kind == "f":
            raw = shifted.astype(np.float32, copy=False)
            return Inputs(raw, np.ones(tops.shape), 0, magnitude(raw), tops, raw=True)
        codes = quantise_inputs(shifted, self.input_bits)
        return Inputs(codes.values, codes.scale, 0, magnitude(codes.values), tops)

    def weights(self, w: Array) -> Weights:
        codes = quantise_weights(w, self.weight_bits, -2)
        if self.stacked == 1:
            return held(codes)
        values = np.concatenate([codes.values] * self.stacked, axis=-2)
        return held(Codes(values, codes.scale / self.stacked))

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        total, clipped = np.zeros(()), 0
        for index, (y, scale) in enumerate(self._arrays(x, peak, w, drive)):
            if self.output_bits is not None and drive.full is not None:
                clipped += convert_outputs(y, drive.full, self.output_bits)
            y = self.corrected(y, index)
            if scale is not None:
                y *= scale
            total = y if index == 0 else np.add(total, y, out=total)
        return total, clipped

    def seen(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> Iterator[Array]:
        return (y for y, _ in self._arrays(x, peak, w, drive))

    def blocks(self, depth: int) -> list[slice]:
        """The inputs, of `depth`, that share arrays."""
        rows = self.array_rows or max(depth, 1)
        return [slice(start, start + rows) for start in range(0, max(depth, 1), rows)]

    def disturbed(self, y: Array, x: Array, w: Weights, rows: slice, index: int, drive: Drive) -> Array:
        """The sums of array `index` of the codes `x` as its converters meet them; nothing disturbs them here."""
        return y

    def corrected(self, y: Array, index: int) -> Array:
        """What digital arithmetic makes of the converted sums of array `index`: here nothing."""
        return y

    def _arrays(self, x: Array, peak: float, w: Weights, drive: Drive) -> Iterator[tuple[Array, Array | None]]:
        """The sums of each array, in codes, and what they are to be multiplied by where inputs were raw."""
        depth, converted, rescaled = x.shape[-1], x, None
        for index, rows in enumerate(self.blocks(depth * self.stacked)):
            held_here, at, drives = w, rows, rows
            if self.stacked > 1:
                held_here, drives = _folded(w, depth, rows)
                at = slice(None)
            if index == 0 or not (isinstance(drives, slice) and drives == slice(None)):
                converted, rescaled = x[..., drives], None
                if drive.raw and drive.top is not None:
                    converted, rescaled = convert_vectors(converted, drive.top, self.input_bits)
            whole = self.array_rows is None and not drive.raw and w.whole
            values = held_here.values[..., at, :]
            y = product(converted, held_here, peak) if whole else matmul(converted, values)
            yield self.disturbed(y, converted, held_here, at, index, drive), rescaled


def _folded(w: Weights, depth: int, rows: slice) -> tuple[Weights, slice | Array]:
    """Weights, and their variances, of rows of an array that are driven by the same input, added up; and which of the
    `depth` inputs drive them: all, or some. Currents of a column add up, so that this is what it gives."""
    stop = min(rows.stop, w.values.shape[-2])
    seen = np.arange(rows.start, min(stop, rows.start + depth)) % depth

    def added(values: Array) -> Array:
        total = values[..., rows.start : rows.start + len(seen), :].astype(np.float32)
        for start in range(rows.start + depth, stop, depth):
            more = values[..., start : min(start + depth, stop), :]
            total[..., : more.shape[-2], :] += more
        return total if len(seen) < depth else np.roll(total, rows.start % depth, axis=-2)

    variance = None if w.variance is None else added(w.variance)
    return replace(w, values=added(w.values), variance=variance), slice(None) if len(seen) == depth else seen


@dataclass(frozen=True)
class BitSerial:
    """Crossbars with bit-serial inputs and sliced weights (ISAAC, PUMA).

    Inputs drive the rows one bit at a time; a weight is two's complement in ceil(weight_bits / cell_bits) cells of
    `cell_bits`, the top one a signed digit; the sum of a column of one array (`array_rows` rows) is converted with a
    step of one unit and saturates at 2^adc_bits - 1 in magnitude; shifts and sums over bits, slices and arrays are
    digital. Where no sum can saturate that is the exact integer product and is computed as such; the columns where
    one could are emulated bit by bit.
    """

    array_rows: int
    cell_bits: int
    adc_bits: int
    input_bits: int
    weight_bits: int

    @property
    def output_bits(self) -> None:
        return None

    def inputs(self, x: Array, zero_point: int) -> Inputs:
        # Integers of the converter's width go in as they are; their zero point is corrected behind the arrays.
        raw = x.dtype.kind in "iub" and x.dtype.itemsize * 8 <= self.input_bits
        if zero_point and not raw:
            x = x.astype(np.int64) - zero_point
        codes = quantise_inputs(x, self.input_bits)
        return Inputs(codes.values, codes.scale, zero_point if raw else 0, magnitude(codes.values))

    def weights(self, w: Array) -> Weights:
        codes = quantise_weights(w, self.weight_bits, -2)
        return held(codes, self._clipping(codes.values))

    def _clipping(self, values: Array) -> tuple[Slice, ...]:
        limit = 2**self.adc_bits - 1
        if min(self.array_rows, values.shape[-2]) * (2**self.cell_bits - 1) <= limit:
            return ()
        if not np.isfinite(values).all():
            return ()
        found: list[Slice] = []
        starts = np.arange(0, values.shape[-2], self.array_rows)
        leading = tuple(range(values.ndim - 2))
        small = values.astype(np.int16 if self.weight_bits <= 15 else np.int64)
        for digits, place in weight_slices(small, self.weight_bits, self.cell_bits):
            # No input drives a column beyond the sum of its digits' magnitudes.
            reach = np.add.reduceat(np.abs(digits), starts, axis=-2, dtype=np.int64)
            risky = reach.max(axis=leading) > limit
            for block in np.flatnonzero(risky.any(axis=-1)):
                rows = slice(int(starts[block]), int(starts[block]) + self.array_rows)
                outputs = np.flatnonzero(risky[block])
                found.append(Slice(rows, outputs, digits[..., rows, outputs].astype(np.float32), place))
        return tuple(sorted(found, key=lambda piece: piece.rows.start))

    def seen(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> Iterator[Array]:
        yield product(x, w, peak)

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        y = product(x, w, peak)
        if not w.clipping or not np.isfinite(peak):
            return y, 0
        y = y.astype(np.float64)
        clipped = 0
        limit = 2**self.adc_bits - 1
        for rows, pieces in groupby(w.clipping, key=lambda piece: piece.rows):
            planes, watched = bit_planes(x[..., rows], self.input_bits), list(pieces)
            for piece, (driven, worth) in pairs(watched, planes):
                sums = np.matmul(driven, piece.digits)
                excess = sums - np.clip(sums, -limit, limit)
                if hit := int(np.count_nonzero(excess)):
                    clipped += hit
                    y[..., piece.outputs] -= excess.astype(np.float64) * (worth * piece.place)
        return y, clipped


def weight_slices(values: Array, weight_bits: int, cell_bits: int) -> list[tuple[Array, int]]:
    """(digits, worth of one unit) of each slice of two's complement `values`; the top slice has signed digits."""
    count = -(-weight_bits // cell_bits)
    slices: list[tuple[Array, int]] = []
    for index in range(count):
        shift = index * cell_bits
        digits = values >> shift
        if index < count - 1:
            digits = digits & (2**cell_bits - 1)
        slices.append((digits, 2**shift))
    return slices


def bit_planes(values: Array, bits: int) -> list[tuple[Array, int]]:
    """(zeros and ones, their worth) of each input bit; planes without a one are left out.

    Two's complement with one bit more than `bits`, so that signed and unsigned codes can share a call: the extra plane
    repeats the sign, and 2^(bits-1) - 2^bits is the sign's own worth.
    """
    whole = values.astype(np.int64)
    planes: list[tuple[Array, int]] = []
    for bit in range(bits + 1):
        plane = (whole >> bit) & 1
        if plane.any():
            planes.append((plane.astype(np.float32), -(2**bit) if bit == bits else 2**bit))
    return planes


def held(codes: Codes, clipping: tuple[Slice, ...] = ()) -> Weights:
    """Weights from their codes."""
    values = codes.values
    with np.errstate(invalid="ignore"):
        sums = values.sum(axis=-2, keepdims=True, dtype=np.float64)
        reach = np.abs(values).sum(axis=-2, dtype=np.float64)
    return Weights(values, codes.scale, sums, float(reach.max(initial=0.0)), clipping)


def magnitude(values: Array) -> float:
    """The largest magnitude."""
    return float(max(-values.min(initial=0), values.max(initial=0)))


def product(x: Array, w: Weights, peak: float) -> Array:
    """`x @ w.values`: whole numbers exactly, in the narrowest type that holds every partial sum; real ones in float64.

    Codes are float32 or int64, real numbers float64. A transposed view of columns gives a transposed result.
    """
    whole = all(values.dtype == np.float32 or values.dtype.kind == "i" for values in (x, w.values))
    bound = peak * w.reach
    if x.dtype == w.values.dtype == np.float32 and bound < 2**24:
        return matmul(x, w.values)
    wide = np.int64 if whole and 2**53 <= bound < np.inf else np.float64
    return matmul(x.astype(wide, copy=False), w.values.astype(wide, copy=False))


def matmul(x: Array, w: Array) -> Array:
    """numpy's matmul; a transposed `x` is multiplied as it lies in memory."""
    with np.errstate(invalid="ignore", over="ignore"):
        if x.strides[-2] == x.itemsize != x.strides[-1]:
            return np.matmul(w.swapaxes(-1, -2), x.swapaxes(-1, -2)).swapaxes(-1, -2)
        return np.matmul(x, w)
