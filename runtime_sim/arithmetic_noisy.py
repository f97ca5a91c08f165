"""Arithmetic of tiers that err: what noise adds to the products of arithmetic.py, in one realisation at one age.

Noise that is new in each vector is drawn where it shows, as noise of sums in front of converters: a sum's variance is
x^2 @ variance, a second product, instead of a draw for each weight. Streams of random numbers belong to arrays and are
used in the order of the executions, so that results do not depend on how these are cut.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arithmetic import UNCONVERTED, AnalogDot, BitSerial, Drive, Weights, matmul
from .arithmetic_normals import quick_normals
from .quantise import code_range

Array = NDArray[Any]
Stream = Callable[..., np.random.Generator]
"""The generator of numbers for a place (array, slice, bit, ..); the same place gives the same generator."""


def kept(make: Stream) -> Stream:
    """A stream that makes each generator once, so that a later call goes on where the one before ended."""
    made: dict[tuple[int, ...], np.random.Generator] = {}

    def stream(*place: int) -> np.random.Generator:
        if place not in made:
            made[place] = make(*place)
        return made[place]

    return stream


@dataclass(frozen=True)
class Disturbance:
    """Noise of one part in one realisation at one age, apart from that of its weights.

    `product`: relative standard deviation of each product; `detector`: of each sum; `output`: standard deviation in
    front of each converter, in units of largest input x largest weight; `converter_lsb`: of each conversion, in steps.
    `gains`: the digital factor of each array.
    """

    stream: Stream
    product: float = 0.0
    detector: float = 0.0
    output: float = 0.0
    converter_lsb: float = 0.0
    gains: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NoisyDot(AnalogDot):
    """Analog dot products with noise."""

    noise: Disturbance

    def weights(self, w: Array) -> Weights:
        """Weights made at run time, or streamed: as intended, with noise of their products."""
        return with_product_noise(super().weights(w), self.noise.product)

    def disturbed(self, y: Array, x: Array, w: Weights, rows: slice, index: int, drive: Drive) -> Array:
        """The sums with all noise that is in front of a converter, in one draw."""
        variance = self._variance(y, x, w, rows, drive)
        if variance is None:
            return y
        assert variance.dtype == np.float32, "float64 would double the time"
        sigma = np.sqrt(variance, out=variance)
        if y.dtype != np.float32:
            y = y.astype(np.float32)
        laid, sigma = (y, sigma) if _in_order(y) else (y.swapaxes(-1, -2), sigma.swapaxes(-1, -2))
        drawn = quick_normals(self.noise.stream(index), laid.shape)
        drawn *= sigma
        laid += drawn
        return y

    def corrected(self, y: Array, index: int) -> Array:
        """The sums times the gain of their array."""
        if index < len(self.noise.gains) and self.noise.gains[index] != 1.0:
            y *= y.dtype.type(self.noise.gains[index])
        return y

    def _variance(self, y: Array, x: Array, w: Weights, rows: slice, drive: Drive) -> Array | None:
        """Variance of the sums `y`, a new array that broadcasts against them; None for none."""
        noise, found = self.noise, None
        if w.variance is not None:
            found = matmul(np.square(x, dtype=np.float32), w.variance[..., rows, :])
        if noise.detector:
            relative = np.square(y.astype(np.float32, copy=False) * np.float32(noise.detector))
            found = relative if found is None else np.add(found, relative, out=found)
        flat = self._flat(drive)
        if found is None or flat is None:
            return (
                flat.reshape([1] * (y.ndim - flat.ndim) + list(flat.shape))
                if found is None and flat is not None
                else found
            )
        found += flat
        return found

    def _flat(self, drive: Drive) -> Array | None:
        """Variance that does not depend on the product: of the sums' own noise and the converters'; float32."""
        noise, found = self.noise, None
        if noise.output:
            unit = np.float32(noise.output * code_range(self.weight_bits, signed=True)[1])
            found = np.square(unit * (np.ones((), np.float32) if drive.top is None else drive.top))
        if noise.converter_lsb and drive.full is not None and self.output_bits is not None:
            step = np.float32((noise.converter_lsb * drive.full / code_range(self.output_bits, signed=True)[1]) ** 2)
            found = np.full((), step) if found is None else found + step
        return found


def with_product_noise(w: Weights, relative: float) -> Weights:
    """Weights whose products have a relative standard deviation: the variance of each is (relative w)^2."""
    if not relative:
        return w
    variance = np.square(w.values.astype(np.float32) * np.float32(relative))
    variance = variance if w.variance is None else variance + w.variance
    return Weights(w.values, w.scale, w.sums, w.reach, w.clipping, variance, w.whole)


def _in_order(y: Array) -> bool:
    """Whether `y` lies in memory row by row (a transposed product does not)."""
    return y.strides[-1] <= y.strides[-2]


@dataclass(frozen=True)
class SliceCells:
    """One slice of the weights of a bit-serial array as its cells hold it.

    `held`: the digits with their errors, (.., K, N) in units of a level; `error`: the errors alone; `variance`: from
    vector to vector, or None; `place`: what a unit is worth.
    """

    held: Array
    error: Array
    variance: Array | None
    place: int


@dataclass(frozen=True, kw_only=True)
class NoisyBits(BitSerial):
    """Bit-serial crossbars with noise, statistically: the exact product, `error` times the inputs, and a normal.

    A converter rounds to whole units, so that what errs by less than half of one is removed. For an error e of standard
    deviation tau rounding has a linear gain g, the covariance of e and round(e) over tau^2, and a remainder that is
    uncorrelated with e (Bussgang). `error` is the cells' error times g, all slices together; `sigma` is the standard
    deviation of all remainders together, and of what is new in each vector.
    """

    stream: Stream
    error: Array
    sigma: float
    gain: float = 1.0

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        y, clipped = super().multiply(x, peak, w)
        if self.error.any():
            y = y + matmul(x.astype(np.float32, copy=False), self.error)
        if self.sigma:
            y = y.astype(np.float32)
            laid = y if _in_order(y) else y.swapaxes(-1, -2)
            laid += quick_normals(self.stream(0), laid.shape) * np.float32(self.sigma)
        if self.gain != 1.0:
            y = y * np.float32(self.gain)
        return y, clipped


@dataclass(frozen=True, kw_only=True)
class ConvertedBits(BitSerial):
    """Bit-serial crossbars with noise, conversion by conversion: each input bit on each slice of each array."""

    stream: Stream
    slices: tuple[SliceCells, ...]
    conversion_sigma: float
    """Standard deviation in front of each converter, in steps."""
    gain: float = 1.0

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        y: Array = np.zeros((*np.broadcast_shapes(x.shape[:-2], w.values.shape[:-2]), x.shape[-2], w.values.shape[-1]))
        limit, clipped = 2**self.adc_bits - 1, 0
        for index, start in enumerate(range(0, x.shape[-1], self.array_rows)):
            rows = slice(start, start + self.array_rows)
            whole = x[..., rows].astype(np.int64)
            for bit in range(self.input_bits + 1):
                # Two's complement with the sign once more, as in bit_planes; planes of zeros are driven too.
                driven = ((whole >> bit) & 1).astype(np.float32)
                worth = -(2**bit) if bit == self.input_bits else 2**bit
                for order, cells in enumerate(self.slices):
                    sums = self._sums(driven, cells, rows, (index, bit, order))
                    np.rint(sums, out=sums)
                    clipped += int(np.count_nonzero(np.abs(sums) > limit))
                    y += np.clip(sums, -limit, limit).astype(np.float64) * (worth * cells.place)
        return y * self.gain, clipped

    def _sums(self, driven: Array, cells: SliceCells, rows: slice, place: tuple[int, ...]) -> Array:
        sums = np.matmul(driven, cells.held[..., rows, :])
        variance = np.full([1] * sums.ndim, self.conversion_sigma**2, np.float32)
        if cells.variance is not None:
            variance = variance + np.matmul(driven, cells.variance[..., rows, :])
        if variance.any():
            sums += quick_normals(self.stream(*place), sums.shape) * np.sqrt(variance)
        return sums
