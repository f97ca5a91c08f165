"""Photodetectors and rings: closed forms of their noise and of what temperature does.

Currents in ampere, bandwidths in hertz; noise as a standard deviation of the current.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .constants import constants
from .reram import BOLTZMANN_J_PER_K, CHARGE_C

Array = NDArray[Any]


@dataclass(frozen=True)
class Detector:
    """A photodiode with a transimpedance amplifier of `feedback_ohm`; `rin_db_per_hz` is the laser's."""

    responsivity_a_per_w: float
    bandwidth_hz: float
    feedback_ohm: float
    temperature_k: float
    dark_current_a: float
    rin_db_per_hz: float

    @staticmethod
    def named(name: str = "detector") -> "Detector":
        """The detector of data/photonic.yaml."""
        return Detector(**constants("photonic", name))

    def shot_a(self, current_a: Array | float) -> Array:
        """sqrt(2 q (I + I_dark) B)"""
        return np.sqrt(2 * CHARGE_C * (np.abs(current_a) + self.dark_current_a) * self.bandwidth_hz)

    def thermal_a(self) -> float:
        """sqrt(4 k T B / R)"""
        return (4 * BOLTZMANN_J_PER_K * self.temperature_k * self.bandwidth_hz / self.feedback_ohm) ** 0.5

    def rin_a(self, current_a: Array | float) -> Array:
        """I 10^(RIN / 20) sqrt(B): relative intensity noise of the laser"""
        return np.abs(current_a) * (10 ** (self.rin_db_per_hz / 20) * self.bandwidth_hz**0.5)

    def noise_a(self, current_a: Array | float) -> Array:
        """All three in quadrature."""
        return np.sqrt(self.shot_a(current_a) ** 2 + self.thermal_a() ** 2 + self.rin_a(current_a) ** 2)

    def current_a(self, x: Array, w: Array, power_w: float) -> Array:
        """Differential current of a balanced pair, 2 R sum_k |E_x||E_w|: `x` @ `w` (magnitudes in 0 .. 1 or signed)
        with `power_w` of light an operand and wavelength."""
        return (x @ w) * x.dtype.type(2 * self.responsivity_a_per_w * power_w)

    def effective_bits(self, full_scale_a: float) -> float:
        """(SNR in dB - 1.76) / 6.02 of a sine of full scale, SNR = 20 log10(I_FS / (2 sqrt(2) sigma))."""
        sigma = float(self.noise_a(full_scale_a))
        return (20 * float(np.log10(full_scale_a / (2 * 2**0.5 * sigma))) - 1.76) / 6.02


@dataclass(frozen=True)
class Ring:
    """A microring resonator; see data/photonic.yaml."""

    nm_per_k: float
    group_index: float
    wavelength_nm: float
    crosstalk_per_um: float

    @staticmethod
    def named(name: str = "mrr") -> "Ring":
        """The ring of data/photonic.yaml."""
        return Ring(**constants("photonic", name))

    def shift_nm(self, warmer_k: Array | float) -> Array:
        """How far a ring that is `warmer_k` kelvin warmer resonates from where it did (DOCTOR)."""
        return np.asarray(self.nm_per_k * np.asarray(warmer_k))

    def phase_rad(self, warmer_k: Array | float, length_um: float) -> Array:
        """2 pi dn L / lambda with dn = d lambda n_g / lambda: the phase that a round trip of `length_um` gains."""
        index = self.shift_nm(warmer_k) * self.group_index / self.wavelength_nm
        return 2 * np.pi * index * length_um * 1e3 / self.wavelength_nm

    def disturbed_k(self, heat_k: Array, places_um: Array) -> Array:
        """Temperatures (.., rings) of rings at places on a line (rings,), each heated by `heat_k` itself, and by the
        others' exp(-c distance)."""
        distance = np.abs(places_um[:, None] - places_um)
        return heat_k @ np.exp(-self.crosstalk_per_um * distance)
