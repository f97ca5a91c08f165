"""Figures of one technology node carried to another: area, energy and delay of the same circuit.

Three laws, all of which broadcast: area goes as F^2, capacitance as F (so that energy goes as F V^2), delay as F times
the alpha-power law of supply and threshold (Sakurai and Newton, JSSC 25(2), 1990). They are rules of thumb: over more
than two nodes expect errors of tens of percent, in analog circuits more.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray
from .tables import constant, curve, real


def scaled_energy_pj(
    energy_pj: ArrayLike, from_nm: ArrayLike, to_nm: ArrayLike, from_v: ArrayLike, to_v: ArrayLike
) -> FloatArray:
    """Energy of a switching circuit: E = C V^2 with C ~ F (Weste and Harris, CMOS VLSI Design, constant-field)."""
    return real(energy_pj) * (real(to_nm) / real(from_nm)) * np.square(real(to_v) / real(from_v))


def scaled_area_um2(area_um2: ArrayLike, from_nm: ArrayLike, to_nm: ArrayLike) -> FloatArray:
    """Area goes as F^2 (Weste and Harris, constant-field scaling)."""
    return real(area_um2) * np.square(real(to_nm) / real(from_nm))


def scaled_delay_ns(
    delay_ns: ArrayLike,
    from_nm: ArrayLike,
    to_nm: ArrayLike,
    from_v: ArrayLike,
    to_v: ArrayLike,
    threshold_v: ArrayLike | None = None,
) -> FloatArray:
    """Delay of a gate: t ~ C V / I with C ~ F and I ~ (V - V_t)^alpha (Sakurai and Newton, eq. 1).

    Supplies have to be above `threshold_v`; where one is not, the circuit never settles and the delay is infinite.
    """
    volts = voltage_delay(to_v, threshold_v) / voltage_delay(from_v, threshold_v)
    return real(delay_ns) * (real(to_nm) / real(from_nm)) * volts


def voltage_delay(supply_v: ArrayLike, threshold_v: ArrayLike | None = None) -> FloatArray:
    """V / (V - V_t)^alpha, which delays are proportional to at a fixed node; infinite at and below the threshold."""
    supply = real(supply_v)
    threshold = real(constant("technology", "threshold_v") if threshold_v is None else threshold_v)
    drive = np.maximum(supply - threshold, 0.0)
    with np.errstate(divide="ignore"):
        return supply / np.power(drive, constant("technology", "alpha_exponent"))


def nominal_supply_v(technology_nm: ArrayLike) -> FloatArray:
    """The usual supply of a node in V, linear between the nodes listed and constant beyond them."""
    nodes, supplies = curve("technology", "nominal_supply_nm_v")
    return real(np.interp(real(technology_nm), nodes, supplies))
