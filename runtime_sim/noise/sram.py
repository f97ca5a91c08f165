"""Analog SRAM that sums in charge: one capacitor a cell, a column's charges shared, one converter a column.

Weights are two's complement codes, a bit a cell. Capacitors differ by a relative sigma_c, fixed at manufacture, so a
cell's bit of worth 2^b weighs 2^b (1 + sigma_c N): a code errs by sigma_c sqrt(sum of 4^b over its ones) N, drawn in
one go. Nothing ages while the supply lasts. Converters add noise to each conversion and a fixed offset a column;
with bit-serial inputs (worth 2^i), columns of worth 2^b and `blocks` of rows these come together as

    variance = noise^2 sum_i 4^i sum_b 4^b blocks,   offset = sum_i 2^i sum_b (+-2^b) sum of the blocks' offsets

in steps of the converter (Jia et al., JSSC'20, for the structure).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..quantise import quantise_weights
from .constants import constants
from .device import normals

Array = NDArray[Any]


@dataclass(frozen=True)
class Charge:
    """Cells with capacitors: `capacitor_mismatch` is a relative standard deviation, the converter's are in steps (LSB,
    rms)."""

    weight_bits: int
    capacitor_mismatch: float
    adc_noise_lsb: float
    adc_offset_lsb: float

    @staticmethod
    def named(weight_bits: int, name: str = "charge") -> "Charge":
        """An array of data/sram.yaml with weights of `weight_bits` bits (2 .. 16)."""
        return Charge(weight_bits, **constants("sram", name))

    def program(self, weights: Array, rng: np.random.Generator) -> "ChargeCells":
        """Weights (.., K, N) as the cells weigh them; rounded to codes with a scale an output on the way."""
        codes = quantise_weights(weights, self.weight_bits, -2)
        error = self._sigma(codes.values)
        error *= normals(rng, error.shape)
        error += codes.values
        return ChargeCells(error * codes.scale.astype(np.float32))

    def weight_moments(self, weights: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of each weight: its code, and the mismatch of the capacitors that it switches."""
        codes = quantise_weights(weights, self.weight_bits, -2)
        return codes.values * codes.scale, np.square(self._sigma(codes.values), dtype=np.float64) * codes.scale**2

    def weight_noise_power(self, weights: Array, age_s: float) -> Array:
        """The variance of each weight."""
        return self.weight_moments(weights, age_s)[1]

    def output_variance(self, input_bits: int, blocks: int, step: float) -> float:
        """Variance that conversions add to an output, in units of codes x codes; `step`: of the converter, in the same.

        `input_bits` serial bits, `blocks` arrays of rows that the sum is spread over.
        """
        return (self.adc_noise_lsb * step) ** 2 * _squares(input_bits) * _squares(self.weight_bits) * blocks

    def output_offsets(
        self, outputs: int, input_bits: int, blocks: int, step: float, rng: np.random.Generator
    ) -> Array:
        """The fixed error (outputs,) of each output by the offsets of its converters, float32, in the same units."""
        # A sum of independent normals over columns and blocks is one normal; serial inputs meet the same offset each.
        sigma = self.adc_offset_lsb * step * (2**input_bits - 1) * (_squares(self.weight_bits) * blocks) ** 0.5
        return normals(rng, (outputs,)) * np.float32(sigma)

    def _sigma(self, codes: Array) -> Array:
        table = np.sqrt(_bit_power(self.weight_bits)).astype(np.float32) * np.float32(self.capacitor_mismatch)
        return table[codes.astype(np.int64) & (2**self.weight_bits - 1)]


@dataclass(frozen=True)
class ChargeCells:
    """Programmed cells; `weights` are what they weigh, at every age."""

    weights: Array

    def read(self, age_s: float, rng: np.random.Generator) -> Array:
        """The weights, float32."""
        return self.weights

    def read_noise(self, weights: Array) -> Array | None:
        """None: cells do not fluctuate, converters do (`Charge.output_variance`)."""
        return None


def _squares(bits: int) -> float:
    """sum of 4^b over b < bits"""
    return (4**bits - 1) / 3


def _bit_power(bits: int) -> Array:
    """For each of the 2^bits codes the sum of 4^b over the bits that are set."""
    codes = np.arange(2**bits)[:, None]
    places = np.arange(bits)
    return ((codes >> places) & 1) @ (4.0**places)
