"""Converters between numbers and voltages: energy, area and time of one, by model, bits, rate, node and supply.

Every model is a pure function whose arguments broadcast. Fits of published converters are good to a factor of about
three in energy (cimloop needs 0.275, 3.15 and 3.5 on three chips), so each tier has an `adc_energy_scale`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray
from ..errors import InputError
from .photonic_devices import Adc, Dac
from .tables import chosen, constant, curve, real
from .technology import nominal_supply_v, scaled_area_um2, scaled_energy_pj, voltage_delay

_T = "converters"


class Converter(NamedTuple):
    """One converter: pJ of a conversion, silicon, and nanoseconds from one conversion to the next."""

    energy_pj: FloatArray
    area_um2: FloatArray
    time_ns: FloatArray


def adc(
    model: str,
    bits: ArrayLike,
    rate_gs_per_s: ArrayLike,
    technology_nm: ArrayLike,
    supply_v: ArrayLike,
    *,
    rows: ArrayLike = 1,
    energy_pj: ArrayLike | None = None,
    area_um2: ArrayLike | None = None,
) -> Converter:
    """An analog-to-digital converter by the model called `model`.

    `rate_gs_per_s`: conversions a nanosecond; `rows`: cells on the bit line that settles within the conversion, which
    only "zigzag" knows (and which sets its time, whatever the rate). "measured" has the energy and area that it is
    given. Energies of the others are at the node's nominal supply, or their own, and scale as V^2.
    """
    law: _Law | None = chosen("adc_model", model, _ADC)
    if law is None:
        if energy_pj is None or area_um2 is None:
            raise InputError("adc_model: 'measured' expects adc_energy_pj and adc_area_um2, got none")
        return Converter(real(energy_pj), real(area_um2), 1.0 / real(rate_gs_per_s))
    return law(real(bits), real(rate_gs_per_s), real(technology_nm), real(supply_v), real(rows))


def _murmann(
    bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray, rows: FloatArray
) -> Converter:
    """The best designs of Murmann's survey as fitted by accelergy-adc-plug-in (Andrulis et al.).

    The figure of merit (Schreier's, in dB) is limited by speed or by noise, whichever is less; energy is
    10^((SNDR - FOM) / 10) / 2, corrected for node and bits. Area follows from node, rate and energy.
    """
    bits = np.maximum(bits, constant(_T, "murmann_least_bits"))
    ln_hz = np.log(rate * 1e9)
    speed = constant(_T, "murmann_fom_speed_db") + constant(_T, "murmann_fom_per_ln_hz_db") * ln_hz
    noise = constant(_T, "murmann_fom_noise_db") + constant(_T, "murmann_fom_per_bit_db") * np.ceil(bits)
    sndr_db = 6.02 * bits + 1.76
    correction = np.exp(
        constant(_T, "murmann_energy_ln_intercept")
        + constant(_T, "murmann_energy_per_ln_nm") * np.log(technology_nm)
        + constant(_T, "murmann_energy_per_ln_bit") * np.log(bits)
    )
    nominal_pj = np.power(10.0, (sndr_db - np.minimum(speed, noise)) / 10) / 2 * correction
    area_um2 = np.exp(
        constant(_T, "murmann_area_ln_intercept")
        + constant(_T, "murmann_area_per_ln_nm") * np.log(technology_nm)
        + constant(_T, "murmann_area_per_ln_hz") * ln_hz
        + constant(_T, "murmann_area_per_ln_pj") * np.log(nominal_pj)
    )
    energy = nominal_pj * np.square(supply_v / nominal_supply_v(technology_nm))
    return Converter(energy, area_um2, 1.0 / rate)


def _isaac(
    bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray, rows: FloatArray
) -> Converter:
    """The SAR of ISAAC (ISCA'16) at 4 to 10 bits, interpolated in the logarithm and carried on beyond the ends.

    Its energy a conversion does not depend on the rate: power is proportional to it.
    """
    known, pj, um2 = curve(_T, "isaac_adc_bits_pj_um2")
    energy = scaled_energy_pj(
        _log_line(bits, known, pj),
        constant(_T, "isaac_technology_nm"),
        technology_nm,
        constant(_T, "isaac_supply_v"),
        supply_v,
    )
    area = scaled_area_um2(_log_line(bits, known, um2), constant(_T, "isaac_technology_nm"), technology_nm)
    return Converter(energy, area, 1.0 / rate)


def _log_line(at: FloatArray, known: FloatArray, values: FloatArray) -> FloatArray:
    """Straight lines between (known, ln values), the first and last carried on."""
    index = np.clip(np.searchsorted(known, at, side="right") - 1, 0, len(known) - 2)
    share = (at - known[index]) / (known[index + 1] - known[index])
    logs = np.log(values)
    return np.exp(logs[index] + share * (logs[index + 1] - logs[index]))


def _zigzag(
    bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray, rows: FloatArray
) -> Converter:
    """The converter of ZigZag's in-SRAM computing model (imc_array, fitted to three macros of 22 and 28 nm).

    E = (100 fF b + 0.001 fF 4^b) V^2; t = b (0.00653 R + 0.640) ns, R rows on the bit line; area =
    10^(1.206 - 0.0369 b) 2^b um2 at 28 nm, none at 1 bit (a sense amplifier). As there, energy and time at the nominal
    supply do not depend on the node (capacitors are sized by noise), and area goes as F.
    """
    capacitance_ff = constant(_T, "zigzag_adc_linear_ff") * bits + constant(_T, "zigzag_adc_quartic_ff") * np.power(
        4.0, bits
    )
    energy = capacitance_ff * 1e-3 * np.square(supply_v)
    power = constant(_T, "zigzag_adc_area_log_per_bit") * bits + constant(_T, "zigzag_adc_area_log")
    shrink = technology_nm / constant(_T, "zigzag_technology_nm")
    area = np.where(bits > 1, np.power(10.0, power) * np.exp2(bits), 0.0) * shrink
    time = bits * (constant(_T, "zigzag_adc_row_ns") * rows + constant(_T, "zigzag_adc_bit_ns"))
    slower = voltage_delay(supply_v) / voltage_delay(nominal_supply_v(technology_nm))
    return Converter(energy, area, time * slower)


def _sar_linear(
    bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray, rows: FloatArray
) -> Converter:
    """Lightening-Transformer's SAR (HPCA'24): `sar-adc-10g` of data/photonics.yaml by its law, area as it is."""
    own, own_nm = Adc.model_validate("sar-adc-10g"), constant(_T, "lt_adc_technology_nm")
    energy = scaled_energy_pj(own.energy_pj(bits), own_nm, technology_nm, nominal_supply_v(own_nm), supply_v)
    area = scaled_area_um2(own.area_um2 * np.ones_like(bits), own_nm, technology_nm)
    return Converter(energy, area, 1.0 / rate)


_Law = Callable[[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray], Converter]

_ADC: dict[str, _Law | None] = {
    "murmann": _murmann,
    "isaac": _isaac,
    "zigzag": _zigzag,
    "sar-linear": _sar_linear,
    "measured": None,
}
ADC_MODELS = tuple(_ADC)
"""The names that `adc` knows."""


def dac(
    model: str, bits: ArrayLike, rate_gs_per_s: ArrayLike, technology_nm: ArrayLike, supply_v: ArrayLike
) -> Converter:
    """A digital-to-analog converter by the model called `model`: one conversion of `bits` bits."""
    law: _DacLaw = chosen("dac_model", model, _DAC)
    return law(real(bits), real(rate_gs_per_s), real(technology_nm), real(supply_v))


def _isaac_dac(bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray) -> Converter:
    """ISAAC's one-bit driver; more bits as so many binary-weighted drivers, 2^b - 1 of them (thermometer code)."""
    own_nm, drivers = constant(_T, "isaac_technology_nm"), np.exp2(bits) - 1
    energy = constant(_T, "isaac_dac_pj") * drivers
    area = scaled_area_um2(constant(_T, "isaac_dac_um2") * drivers, own_nm, technology_nm)
    return Converter(
        scaled_energy_pj(energy, own_nm, technology_nm, constant(_T, "isaac_supply_v"), supply_v), area, 1.0 / rate
    )


def _zigzag_dac(bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray) -> Converter:
    """ZigZag imc_array: 50 fF b V^2, none at 1 bit (the word line's driver); area and delay are neglected there."""
    energy = np.where(bits > 1, constant(_T, "zigzag_dac_ff") * 1e-3 * bits * np.square(supply_v), 0.0)
    return Converter(energy, np.zeros_like(energy), np.zeros_like(energy))


def _lt_dac(bits: FloatArray, rate: FloatArray, technology_nm: FloatArray, supply_v: FloatArray) -> Converter:
    """Lightening-Transformer's DAC (HPCA'24): `cap-dac-14g` of data/photonics.yaml by its law, area as it is."""
    own, own_nm = Dac.model_validate("cap-dac-14g"), constant(_T, "lt_dac_technology_nm")
    energy = scaled_energy_pj(own.energy_pj(bits), own_nm, technology_nm, nominal_supply_v(own_nm), supply_v)
    area = scaled_area_um2(own.area_um2 * np.ones_like(bits), own_nm, technology_nm)
    return Converter(energy, area, 1.0 / rate)


_DacLaw = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], Converter]

_DAC: dict[str, _DacLaw] = {"isaac": _isaac_dac, "zigzag": _zigzag_dac, "lt": _lt_dac}
DAC_MODELS = tuple(_DAC)
"""The names that `dac` knows."""
