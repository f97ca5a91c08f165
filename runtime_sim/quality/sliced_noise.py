"""Noise of bit-serial arrays: each digit of a weight in a cell, each bit of an input converted by itself.

Conversions round to whole units and so remove what errs by less than half of one. The statistical mode reckons with
that: see `NoisyBits`. With an error of variance m that belongs to the cells and one of variance r that is new in each
conversion, tau^2 = m + r, and with the error times g taken out, rounding leaves V(tau) - 2 g g(tau) m + g^2 m, with

    g(tau) = 1/tau sum_j phi((j - 1/2) / tau),   V(tau) = 2 sum_(j >= 1) (2 j - 1) Q((j - 1/2) / tau)

phi and Q the density and the upper tail of the standard normal. What this leaves out is that the bits of an input share
the errors of the cells also beyond the linear part: where only the tails of errors reach half a unit (tau about 0.2)
the power comes out up to a quarter too low, elsewhere within some per cent.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..activations import erf
from ..arithmetic import Arithmetic, BitSerial, Weights, weight_slices
from ..arithmetic_noisy import ConvertedBits, NoisyBits, SliceCells, kept
from ..kinds.noise import NoiseModel
from ..noise.storage import Programmed, StoredCells
from .place import PartPlace, intended
from .streams import PROGRAM, READ, age_key

Array = NDArray[Any]

COARSE = 16.0
"""From this tau on rounding is noise of variance 1/12 and g is 1, to nine digits."""


@dataclass
class _Slice:
    """One slice: its digits, their worth, what error-free cells give back, and the cells."""

    digits: Array
    place: int
    intended: Array
    cells: Programmed | None = None


class SlicedNoise:
    """Realisations of a part in bit-serial arrays."""

    def __init__(self, model: NoiseModel, base: BitSerial, clean: Weights, place: PartPlace):
        self._model, self._base, self._clean, self._place = model, base, clean, place
        self._top = 2**base.cell_bits - 1
        self._technology = model.levels(self._top)
        small = clean.values.astype(np.int16 if base.weight_bits <= 15 else np.int64)
        self._slices = [
            _Slice(digits.astype(np.float32), worth, intended(self._technology, digits.astype(np.float32)))
            for digits, worth in weight_slices(small, base.weight_bits, base.cell_bits)
        ]
        self._realisation = 0

    def program(self, realisation: int) -> None:
        """Write the digits."""
        self._realisation = realisation
        for index, piece in enumerate(self._slices):
            if self._technology is not None:
                rng = self._place.streams.of(realisation, PROGRAM, index)
                piece.cells = self._technology.program(piece.digits, rng)

    def at(self, age_s: float, purpose: int) -> tuple[Arithmetic, Weights | None]:
        """Arithmetic and weights at an age; the weights are the codes, errors are the arithmetic's."""
        streams, realisation, age = self._place.streams, self._realisation, age_key(age_s)
        cells = tuple(self._read(index, piece, age_s, age) for index, piece in enumerate(self._slices))
        sigma = float(np.hypot(self._model.output_noise * self._top, self._model.converter_noise_lsb))
        gain = self._gain(cells) if self._place.gain else 1.0
        base = self._base
        bits = (base.array_rows, base.cell_bits, base.adc_bits, base.input_bits, base.weight_bits)
        stream = kept(lambda *place: streams.of(realisation, purpose, age, *place))
        if self._place.exact_adc:
            exact = ConvertedBits(*bits, stream=stream, slices=cells, conversion_sigma=sigma, gain=gain)
            return exact, self._clean
        error, remainder = self._statistics(cells, sigma)
        return NoisyBits(*bits, stream=stream, error=error, sigma=remainder, gain=gain), self._clean

    def _read(self, index: int, piece: _Slice, age_s: float, age: int) -> SliceCells:
        if piece.cells is None:
            return SliceCells(piece.digits, np.zeros_like(piece.digits), None, piece.place)
        read = piece.cells.read(age_s, self._place.streams.of(self._realisation, READ, age, index))
        error = read - piece.intended
        return SliceCells(piece.digits + error, error, piece.cells.read_noise(read), piece.place)

    def _gain(self, now: tuple[SliceCells, ...]) -> float:
        """How much the mean magnitude of the weights fell, read one input at a time through the converters."""
        written = np.zeros(self._clean.values.shape, np.float32)
        for piece in self._slices:
            levels = piece.digits
            if isinstance(piece.cells, StoredCells):
                levels = piece.digits + (piece.cells.as_written() - piece.intended)
            written += np.rint(levels) * np.float32(piece.place)
        aged = np.sum([np.rint(cells.held) * np.float32(cells.place) for cells in now], axis=0)
        return float(np.abs(written).mean(dtype=np.float64)) / max(float(np.abs(aged).mean(dtype=np.float64)), 1e-4)

    def _statistics(self, slices: tuple[SliceCells, ...], sigma: float) -> tuple[Array, float]:
        """(the error that follows the inputs, the standard deviation of all that does not), in units of codes."""
        activity = self._place.activity
        assert activity is not None, "how often input bits are set is measured before"
        worths = 4.0 ** np.arange(len(activity))
        error, remainder = np.zeros(self._clean.values.shape, np.float32), 0.0
        for cells in slices:
            stored, new, spread = self._conversion_variances(cells, activity, sigma)  # (arrays, bits)
            linear, rounded = rounding_of_mixture(stored + new, spread)
            weight = worths * stored
            g = float((weight * linear).sum() / weight.sum()) if weight.any() else 0.0
            left = np.maximum(rounded - 2 * g * linear * stored + g * g * stored, 0)
            error += cells.error * np.float32(g * cells.place)
            remainder += float((worths * left).sum()) * cells.place**2
        return error, remainder**0.5

    def _conversion_variances(self, cells: SliceCells, activity: Array, sigma: float) -> tuple[Array, Array, Array]:
        """Of one conversion, (arrays, bits): variance by the cells' errors, and by what is new each time, in steps^2;
        and how much the sum of both varies, as a squared coefficient of variation.

        Bits of inputs are taken to be set independently, each with its activity a: a sum of errors d over an array's
        rows has the second moment a (1 - a) sum d^2 + a^2 (sum d)^2, here the mean over outputs. Its tails are those of
        a normal whose variance varies, as few rows may be set and errors differ. Its fourth cumulant is about
        sum (a d^4 - 3 a^2 (mean d^2)^2), and a normal with a variance of mean v and variance u has 3 u.
        """
        axes = tuple(range(cells.error.ndim - 2))
        starts = np.arange(0, cells.error.shape[-2], self._base.array_rows)

        def mean(values: Array) -> Array:
            """Over outputs, of sums over each array's rows."""
            return values.mean(axis=(*axes, values.ndim - 1), dtype=np.float64)[:, None]

        power = np.square(cells.error)
        squares = mean(np.add.reduceat(power, starts, axis=-2))
        sums = mean(np.square(np.add.reduceat(cells.error, starts, axis=-2)))
        stored = activity * (1 - activity) * squares + activity**2 * sums
        fourth = mean(np.add.reduceat(np.square(power), starts, axis=-2))
        of_rows = np.square(power.mean(axis=(*axes, power.ndim - 1), dtype=np.float64))
        excess = activity * fourth - 3 * activity**2 * np.add.reduceat(of_rows, starts)[:, None]
        new = np.full_like(stored, sigma**2)
        if cells.variance is not None:
            new = new + activity * mean(np.add.reduceat(cells.variance, starts, axis=-2))
        total = np.where(stored + new > 0, stored + new, 1.0)
        return stored, new, np.maximum(excess, 0) / 3 / np.square(total)


def rounding_of_mixture(variance: Array, spread: Array) -> tuple[Array, Array]:
    """`rounding` of normals whose own variance has this mean and this squared coefficient of variation: the mean over
    three variances with the same two moments (the linear gain weighted by the variance)."""
    shares = ((1 / 6, -1.0), (2 / 3, 0.0), (1 / 6, 1.0))
    reach = np.minimum(np.sqrt(3 * spread), 0.999)
    linear, second = np.zeros(variance.shape), np.zeros(variance.shape)
    for share, side in shares:
        factor = 1 + side * reach
        g, v = rounding(np.sqrt(variance * factor))
        linear += share * factor * g
        second += share * v
    return linear, second


def rounding(tau: Array) -> tuple[Array, Array]:
    """(g, V) of the module's text: linear gain and second moment of round(e), e normal with deviation `tau`."""
    safe = np.clip(tau, 1e-3, COARSE)[..., None]
    halves = np.arange(1, int(8 * COARSE)) - 0.5
    at = halves / safe
    density = np.exp(-0.5 * at * at) / np.sqrt(2 * np.pi)
    tail = 0.5 * (1 - erf(at / np.sqrt(2)))
    linear = 2 * density.sum(axis=-1) / safe[..., 0]
    second = 2 * ((2 * halves) * tail).sum(axis=-1)
    coarse = tau > COARSE
    return np.where(coarse, 1.0, linear), np.where(coarse, tau * tau + 1 / 12, second)
