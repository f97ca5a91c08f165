"""The noise of one part of a plan: its weights programmed once a realisation, and its arithmetic at each age."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arithmetic import AnalogDot, Arithmetic, BitSerial, Weights
from ..arithmetic_noisy import Disturbance, NoisyDot, kept, with_product_noise
from ..errors import InputError
from ..kinds.noise import NoiseModel
from ..noise.compensation import LEAST
from ..noise.device import normals
from ..noise.storage import Programmed, StoredCells, Technology
from ..quantise import code_range, convert_outputs
from .place import FRESH_AGE_S, PartPlace, intended
from .sliced_noise import SlicedNoise
from .streams import GAIN, PROGRAM, READ, age_key

Array = NDArray[Any]


class PartNoise:
    """Realisations of one part, of weights `clean` (codes; None: they are made at run time)."""

    def __init__(self, model: NoiseModel, base: Arithmetic, clean: Weights | None, place: PartPlace):
        if clean is None and _cells_err(model, base):
            raise InputError(
                f"{place.name}: noise of cells whose weights are made at run time is not simulated (its tier would "
                f"have to be programmed anew in each execution)"
            )
        self._part = _of_arithmetic(model, base, clean, place)
        self._place = place

    def program(self, realisation: int) -> None:
        """Write the weights of this realisation."""
        self._part.program(realisation)

    def at(self, age_s: float, purpose: int) -> tuple[Arithmetic, Weights | None]:
        """Arithmetic and weights at an age of the realisation; `purpose` tells the streams of different data apart."""
        age_s = min(age_s, FRESH_AGE_S) if self._place.fresh else age_s
        return self._part.at(age_s, purpose)


def _cells_err(model: NoiseModel, base: Arithmetic) -> bool:
    return isinstance(base, BitSerial) or model.technology() is not None


def _of_arithmetic(
    model: NoiseModel, base: Arithmetic, clean: Weights | None, place: PartPlace
) -> "AnalogNoise | SlicedNoise":
    match base:
        case AnalogDot():
            return AnalogNoise(model, base, clean, place)
        case BitSerial():
            assert clean is not None
            if model.product_noise or model.detector_noise:
                raise InputError(
                    f"{place.name}: noise {model.model!r} is of analog products, its tier works bit by bit"
                )
            return SlicedNoise(model, base, clean, place)
        case _:
            raise InputError(f"{place.name}: noise {model.model!r} is of analog sums, its tier computes exactly")


class AnalogNoise:
    """Analog dot products: weights stored as they are, one scale an output."""

    def __init__(self, model: NoiseModel, base: AnalogDot, clean: Weights | None, place: PartPlace):
        self._model, self._base, self._clean, self._place = model, base, clean, place
        self._technology: Technology | None = model.technology()
        self._programmed: Programmed | None = None
        self._intended = None if clean is None else intended(self._technology, clean.values)
        self._realisation = 0

    def program(self, realisation: int) -> None:
        """Write the weights."""
        self._realisation = realisation
        if self._technology is not None and self._clean is not None:
            rng = self._place.streams.of(realisation, PROGRAM)
            self._programmed = self._technology.program(self._clean.values.astype(np.float32, copy=False), rng)

    def at(self, age_s: float, purpose: int) -> tuple[Arithmetic, Weights | None]:
        """Arithmetic and weights at an age."""
        streams, realisation, age = self._place.streams, self._realisation, age_key(age_s)
        weights, gains = self._clean, ()
        if self._programmed is not None and weights is not None and self._intended is not None:
            read = self._programmed.read(age_s, streams.of(realisation, READ, age))
            weights = self._stored(weights, read)
            if self._place.gain:
                reference = self._stored(self._clean or weights, self._reference())
                gains = self._gains(reference, weights, age)
        if weights is not None:
            weights = with_product_noise(weights, self._model.product_noise)
        noise = Disturbance(
            kept(lambda *place: streams.of(realisation, purpose, age, *place)),
            product=self._model.product_noise,
            detector=self._model.detector_noise,
            output=self._model.output_noise,
            converter_lsb=self._model.converter_noise_lsb,
            gains=gains,
        )
        base = self._base
        bits = (base.input_bits, base.weight_bits, base.output_bits, base.array_rows, base.per_vector)
        return NoisyDot(*bits, stacked=base.stacked, noise=noise), weights

    def _stored(self, clean: Weights, read: Array) -> Weights:
        """Codes with the errors of their cells added. Without errors they are whole, and products exact as ever."""
        assert self._intended is not None
        error, variance = read - self._intended, None
        if self._programmed is not None:
            variance = self._programmed.read_noise(read)
        assert error.dtype == np.float32, "float64 would double the time of products"
        values = clean.values.astype(np.float32, copy=False) + error if error.any() else clean.values
        return replace(clean, values=values, variance=variance, whole=not error.any())

    def _reference(self) -> Array:
        """The weights just after programming, which drift is measured against."""
        assert self._programmed is not None
        if isinstance(self._programmed, StoredCells):
            return self._programmed.as_written()
        return self._programmed.read(FRESH_AGE_S, self._place.streams.of(self._realisation, READ, age_key(FRESH_AGE_S)))

    def _gains(self, reference: Weights, now: Weights, age: int) -> tuple[float, ...]:
        """For each array, how much its one-hot reads fell in the mean, through noise and converters.

        Noise adds to the mean of magnitudes, and so hides some of the drift; with the signs that the weights should
        have it averages to nothing.
        """
        gains: list[float] = []
        for index, rows in enumerate(self._base.blocks(now.values.shape[-2])):
            means = [
                self._one_hot(weights, rows, self._place.streams.of(self._realisation, GAIN, when, index))
                for weights, when in ((reference, 0), (now, age))
            ]
            gains.append(means[0] / means[1])
        return tuple(gains)

    def _one_hot(self, w: Weights, rows: slice, rng: np.random.Generator) -> float:
        """The mean over inputs and outputs of what the array gives for each input alone at full scale."""
        base, model = self._base, self._model
        top = code_range(base.input_bits, signed=False)[1]
        unit = code_range(base.weight_bits, signed=True)[1] * top
        y = w.values[..., rows, :].astype(np.float32) * np.float32(top)
        variance = np.full((), (model.output_noise * unit) ** 2, np.float32)
        if w.variance is not None:
            variance = variance + w.variance[..., rows, :] * np.float32(top**2)
        if variance.any():
            y += normals(rng, y.shape) * np.sqrt(variance)
        if self._place.full is not None and base.output_bits is not None:
            convert_outputs(y, self._place.full, base.output_bits)
        assert self._clean is not None
        sized = np.abs(y) if self._place.gain == "magnitude" else y * np.sign(self._clean.values[..., rows, :])
        return max(float(sized.mean(dtype=np.float64)), LEAST * unit)
