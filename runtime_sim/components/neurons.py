"""Voltage-mode neurons that integrate the bits of an input and convert step by step (NeuRRAM, Wan et al., Nature 2022).

An input of b bits has b - 1 magnitude bits, driven one after the other as -1, 0 or 1 (one, of a single bit). A column
settles to a voltage, which is sampled and integrated 2^i times for bit i, so that integrating takes 2^bits - 1 steps;
converting takes one step an output bit. From four magnitude bits on, both halves of an input are integrated and
converted apart, as the steps double with each bit. All formulas are pure and broadcast.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray

ONE_PHASE_BITS = 3
"""Magnitude bits that are integrated in one go (cimloop wan_nature_2022)."""


def magnitude_bits(input_bits: ArrayLike) -> FloatArray:
    """Bits of a signed input without its sign, at least one."""
    return np.maximum(np.asarray(input_bits, np.float64) - 1, 1)


def _halves(input_bits: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Magnitude bits of the first phase and of the second; 0: there is none."""
    bits = magnitude_bits(input_bits)
    split = bits > ONE_PHASE_BITS
    return np.where(split, np.ceil(bits / 2), bits), np.where(split, np.floor(bits / 2), 0)


def phases(input_bits: ArrayLike) -> FloatArray:
    """Times that a column is converted for one input."""
    return 1.0 + (_halves(input_bits)[1] > 0)


def integration_steps(input_bits: ArrayLike) -> FloatArray:
    """Samples integrated for one input, all phases."""
    first, second = _halves(input_bits)
    return np.exp2(first) - 1 + np.exp2(second) - 1


def conversion_steps(input_bits: ArrayLike, output_bits: ArrayLike) -> FloatArray:
    """Steps of the converter for one input: all output bits, then those that are left above the first half."""
    first, second = _halves(input_bits)
    output_bits = np.asarray(output_bits, np.float64)
    return output_bits + np.where(second > 0, np.maximum(output_bits - first, 0), 0)


def word_line_pj(lines: ArrayLike, cell_ff: ArrayLike, driver_ff: ArrayLike, swing_v: ArrayLike) -> FloatArray:
    """Switching one word line of `lines` cells: E = C V^2 (fF V^2 = 10^-3 pJ)."""
    capacitance_ff = np.asarray(lines, np.float64) * np.asarray(cell_ff, np.float64) + np.asarray(driver_ff, np.float64)
    return capacitance_ff * np.asarray(swing_v, np.float64) ** 2 * 1e-3
