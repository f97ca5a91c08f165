"""What all photonic tiers made of components share: their light, converters and memories, and sums over components."""

import numpy as np
from numpy.typing import ArrayLike

from ..components.photonic_devices import (
    Adc,
    Adder,
    Amplifier,
    Comb,
    Dac,
    Laser,
    Layout,
    Memory,
    Modulator,
    Passive,
    Photodetector,
)
from ..cost import FloatArray
from .base import Fields

UM2_TO_MM2 = 1e-6


class Devices(Fields):
    """The devices that every photonic tier has; `local_buffer` and `core_buffer` are counted by each kind."""

    laser: Laser
    dac: Dac
    modulator: Modulator
    splitter: Passive
    photodetector: Photodetector
    amplifier: Amplifier
    adc: Adc
    layout: Layout
    comb: Comb | None = None
    adder: Adder | None = None
    local_buffer: Memory | None = None
    core_buffer: Memory | None = None

    def expect_converters_to_keep_up(self, clock_ghz: float) -> None:
        """ValueError if the clock is faster than a converter."""
        slowest = min(self.dac.rate_ghz, self.adc.rate_ghz)
        if clock_ghz > slowest:
            raise ValueError(f"clock_ghz: expected at most the {slowest} of the converters, got {clock_ghz}")

    def memories_mw(self, local: ArrayLike, core: ArrayLike) -> FloatArray:
        """Leakage of so many local and core buffers."""
        local_mw = self.local_buffer.power_mw if self.local_buffer else 0.0
        return np.multiply(local, local_mw) + np.multiply(core, self.core_buffer.power_mw if self.core_buffer else 0.0)

    def memories_um2(self, local: ArrayLike, core: ArrayLike) -> FloatArray:
        """Silicon of so many local and core buffers."""
        local_um2 = self.local_buffer.area_um2 if self.local_buffer else 0.0
        return np.multiply(local, local_um2) + np.multiply(core, self.core_buffer.area_um2 if self.core_buffer else 0.0)


def total(parts: dict[str, FloatArray]) -> FloatArray:
    """The sum over components."""
    return sum(parts.values(), np.zeros(()))


def figure(parts: dict[str, FloatArray]) -> float:
    """The sum as the figure of a tier: a number for one, an array for many."""
    whole = total(parts)
    return float(whole) if whole.ndim == 0 else whole  # pyright: ignore[reportReturnType]
