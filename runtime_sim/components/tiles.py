"""A tile of arrays and the circuits around them: time of an operation, and silicon and power summed by component.

Parts that are published with their power at full rate are charged per operation of an array, power x time, as they
run when the arrays run; parts that move data are charged by the bit (links, buffer), and here only take silicon.
All formulas are pure and broadcast.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray, IntArray, ceil_div
from ..kinds.base import Fields, NonNegative, Positive


class Part(Fields):
    """One kind of circuit beside the arrays: how many, and what one of them takes."""

    count: Positive
    """A tile, or a chip; a fraction is a circuit that several tiles share."""
    area_um2: NonNegative
    power_mw: NonNegative
    """At full rate, without leakage."""
    leakage_mw: NonNegative = 0.0
    moves_data: bool = False
    """Its energy is that of the links and the buffer, by the bit."""


def input_cycles(input_bits: ArrayLike, dac_bits: ArrayLike) -> IntArray:
    """Times that the rows are driven for one vector: `dac_bits` of each input at a time (ISAAC, ISCA'16)."""
    return ceil_div(input_bits, dac_bits)


def cycle_ns(read_ns: ArrayLike, conversion_ns: ArrayLike, columns_per_adc: ArrayLike) -> FloatArray:
    """One input cycle: the array is read while the sums held from the cycle before are converted one after the other
    (ISAAC, ISCA'16; PUMA, ASPLOS'19), so that the slower of the two counts."""
    conversions_ns = np.asarray(columns_per_adc, np.float64) * np.asarray(conversion_ns, np.float64)
    return np.maximum(np.asarray(read_ns, np.float64), conversions_ns)


def operation_ns(cycles: ArrayLike, fill_cycles: ArrayLike, one_cycle_ns: ArrayLike) -> FloatArray:
    """From one vector to the next: its input cycles, and those in which the pipeline of read and convert fills."""
    return (np.asarray(cycles, np.float64) + np.asarray(fill_cycles)) * np.asarray(one_cycle_ns, np.float64)


def pulse_ns(input_bits: ArrayLike, clock_ghz: ArrayLike, overhead_ns: ArrayLike) -> FloatArray:
    """The longest pulse of an input coded in time: 2^(bits - 1) - 1 clock periods of a signed value, and what precharge
    and settling take (HERMES, JSSC'22)."""
    periods = np.exp2(np.asarray(input_bits, np.float64) - 1) - 1
    return periods / np.asarray(clock_ghz, np.float64) + np.asarray(overhead_ns, np.float64)


def parts_area_um2(parts: Mapping[str, Part]) -> dict[str, float]:
    """Silicon by part, of one tile."""
    return {name: part.count * part.area_um2 for name, part in parts.items()}


def parts_leakage_mw(parts: Mapping[str, Part]) -> dict[str, float]:
    """Leakage by part, of one tile."""
    return {name: part.count * part.leakage_mw for name, part in parts.items()}


def parts_full_mw(parts: Mapping[str, Part]) -> dict[str, float]:
    """Power by part at full rate with leakage, of one tile: what published tables of components sum up."""
    return {name: part.count * (part.power_mw + part.leakage_mw) for name, part in parts.items()}


def parts_operation_pj(parts: Mapping[str, Part], time_ns: ArrayLike, arrays: ArrayLike) -> FloatArray:
    """What one operation of one of so many arrays has of the parts that run with them all (mW ns = pJ)."""
    power_mw = sum(part.count * part.power_mw * np.where(part.moves_data, 0, 1) for part in parts.values())
    return power_mw * np.asarray(time_ns, np.float64) / np.asarray(arrays, np.float64)
