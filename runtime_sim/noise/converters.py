"""Converters between digital and analog, and how inputs and outputs are fitted to their ranges.

A converter of b bits on -B .. B has the step 2 B / (2^b - 2): symmetric, with zero exact (AIHWKIT; CrossSim's sign and
magnitude gives the same codes). Ties go to even.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..quantise import SMALLEST
from .constants import constants

Array = NDArray[Any]


@dataclass(frozen=True)
class Converter:
    """A converter of `bits` on -bound .. bound; `bits` None only clips."""

    bits: int | None
    bound: float

    @property
    def step(self) -> float:
        """The size of a step, in the units of the bound."""
        return 0.0 if self.bits is None else 2 * self.bound / (2**self.bits - 2)

    def convert(self, values: Array) -> Array:
        """Rounds to steps and clips, in place."""
        if self.bits is not None:
            step = values.dtype.type(self.step)
            values /= step
            np.rint(values, out=values)
            values *= step
        return np.clip(values, -self.bound, self.bound, out=values)

    def clips(self, values: Array) -> Array:
        """Which vectors (all axes but the last) have a value out of range."""
        return np.abs(values).max(axis=-1, initial=0) > self.bound


def asymmetric(values: Array, low: float, high: float, bits: int) -> Array:
    """Rounds to 2^bits levels from `low` to `high`, both exact: step (high - low) / (2^bits - 1). A new array."""
    step = values.dtype.type((high - low) / (2**bits - 1))
    codes = np.rint((values - values.dtype.type(low)) / step)
    return np.clip(codes, 0, 2**bits - 1) * step + values.dtype.type(low)


@dataclass(frozen=True)
class Periphery:
    """What stands around an array; inputs and weights are in -1 .. 1, outputs in their products.

    `input_bits`, `input_bound`: the converter of inputs; `input_noise`: rms noise behind it, new for each value.
    `output_bits`, `output_bound`: the converter of outputs, None for none; `output_noise`: rms noise before it.
    `ir_drop`: strength of the closed form of ir_drop.py, 0 for none, 1 as published.
    `scale_inputs`: each vector is divided by its largest magnitude and its outputs are multiplied by it (noise
    management). `halve_clipped`: vectors whose outputs clip are computed again at half the input, up to `halvings`
    times (bound management); without it they stay clipped.
    """

    input_bits: int | None = None
    input_bound: float = 1.0
    input_noise: float = 0.0
    output_bits: int | None = None
    output_bound: float | None = None
    output_noise: float = 0.0
    ir_drop: float = 0.0
    scale_inputs: bool = False
    halve_clipped: bool = False
    halvings: int = 10

    def __post_init__(self) -> None:
        if self.output_bits is not None and self.output_bound is None:
            raise ValueError("an output converter needs a bound")

    @staticmethod
    def named(name: str, **changes: Any) -> "Periphery":
        """One of data/converters.yaml (`default` or `standard` of AIHWKIT), with fields changed."""
        return Periphery(**{**constants("converters", name), **changes})

    @property
    def dac(self) -> Converter | None:
        """The converter of inputs, if there is one."""
        return None if self.input_bits is None else Converter(self.input_bits, self.input_bound)

    @property
    def adc(self) -> Converter | None:
        """The converter of outputs, if there is one."""
        return None if self.output_bound is None else Converter(self.output_bits, self.output_bound)


def input_scale(x: Array) -> Array:
    """The largest magnitude of each vector (.., M, 1), 1 for vectors of nothing."""
    peak = np.maximum(x.max(axis=-1, keepdims=True, initial=0), -x.min(axis=-1, keepdims=True, initial=0))
    return np.where(peak < SMALLEST, x.dtype.type(1), peak)
