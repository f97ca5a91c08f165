"""The devices that photonic tiers are made of: one class a family, with constants from data/photonics.yaml by name.

A field of such a class is written as the name of a device (`modulator: eo-mzm`), as one with some figures changed
(`modulator: {like: eo-mzm, insertion_loss_db: 2.0}`), or with all of its figures; it prints with all of them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ..cost import FloatArray
from ..kinds.base import Bits, Fields, NonNegative, Positive
from .photonics import adc_power_mw, dac_power_mw
from .tables import table

Real = Annotated[float, Field(allow_inf_nan=False)]


def known_device(family: str, name: object) -> dict[str, Any]:
    """The figures of the device `name` of a family of data/photonics.yaml; ValueError lists those there are."""
    devices = cast(Mapping[str, Mapping[str, Any]], table("photonics")[family])
    if not isinstance(name, str) or name not in devices:
        raise ValueError(f"expected one of the {family} known ({', '.join(devices)}), got {name!r}")
    return {key: value for key, value in devices[name].items() if key != "source"}


class Device(Fields):
    """A device of a family; its figures may be those of a known one."""

    family: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: object) -> object:
        if isinstance(value, str):
            return known_device(cls.family, value)
        if isinstance(value, Mapping) and "like" in value:
            own = cast(Mapping[str, Any], value)
            return {**known_device(cls.family, own["like"]), **{key: own[key] for key in own if key != "like"}}
        return value


class Sized(Device):
    """A photonic device with its outline."""

    length_um: NonNegative
    width_um: NonNegative

    @property
    def area_um2(self) -> float:
        """Its outline."""
        return self.length_um * self.width_um


class Laser(Sized):
    """A laser, of the power that its light path asks for."""

    family = "lasers"
    wall_plug_efficiency: Annotated[float, Field(gt=0, le=1)]


class Comb(Sized):
    """A micro-comb, which makes many wavelengths of one laser's light."""

    family = "combs"


class Converter(Device):
    """A converter as measured, at `bits` and `rate_ghz`."""

    power_mw: NonNegative
    bits: Bits
    rate_ghz: Positive
    area_um2: NonNegative


class Dac(Converter):
    """A digital-to-analog converter."""

    family = "dacs"

    def energy_pj(self, bits: ArrayLike) -> FloatArray:
        """Of one conversion to `bits`; it does not depend on the rate."""
        return dac_power_mw(self.power_mw, self.bits, self.rate_ghz, bits, 1.0)


class Adc(Converter):
    """An analog-to-digital converter."""

    family = "adcs"

    def energy_pj(self, bits: ArrayLike) -> FloatArray:
        """Of one conversion to `bits`; it does not depend on the rate."""
        return adc_power_mw(self.power_mw, self.bits, self.rate_ghz, bits, 1.0)


class Modulator(Sized):
    """An electro-optic modulator: `energy_fj_per_symbol` drives it, `power_mw` tunes it all the time."""

    family = "modulators"
    energy_fj_per_symbol: NonNegative
    power_mw: NonNegative
    insertion_loss_db: NonNegative
    extinction_ratio_db: Positive | None = None
    """On over off; None: it goes dark."""
    through_loss_db: NonNegative = 0.0
    """Of a ring, for light that it is not tuned to."""


class Photodetector(Sized):
    """A photodetector: `power_mw` biases it all the time."""

    family = "photodetectors"
    power_mw: NonNegative
    sensitivity_dbm: Real


class Amplifier(Device):
    """What makes a voltage of a photocurrent for a converter: a transimpedance amplifier or an integrator."""

    family = "amplifiers"
    power_mw: NonNegative
    area_um2: NonNegative


class Adder(Device):
    """A digital adder for partial sums; `energy_pj_per_bit` brings a partial sum to it."""

    family = "adders"
    power_mw: NonNegative
    area_um2: NonNegative
    energy_pj_per_bit: NonNegative


class Memory(Device):
    """A small SRAM; `power_mw` is its leakage, `energy_pj_per_bit` one access."""

    family = "memories"
    power_mw: NonNegative
    area_um2: NonNegative
    energy_pj_per_bit: NonNegative


class Passive(Sized):
    """A splitter or a coupler."""

    family = "passives"
    insertion_loss_db: NonNegative


class Router(Sized):
    """A ring that leads one wavelength onto a shared waveguide, or off it; `power_mw` tunes it all the time."""

    family = "routers"
    insertion_loss_db: NonNegative
    power_mw: NonNegative


class Shifter(Sized):
    """A phase shifter: `power_mw` holds it, on average."""

    family = "shifters"
    insertion_loss_db: NonNegative
    power_mw: NonNegative


class Cell(Sized):
    """What holds one weight of a mesh: an interferometer or a ring. `power_mw` holds it, on average;
    `write_energy_fj` sets it, and `response_ns` is how long it takes to settle."""

    family = "cells"
    insertion_loss_db: NonNegative
    power_mw: NonNegative
    response_ns: NonNegative
    write_energy_fj: NonNegative
    through_loss_db: NonNegative = 0.0
    """Of a ring, for light that it is not tuned to."""


class Layout(Device):
    """Room between devices along and across the light's way."""

    family = "layouts"
    gap_length_um: NonNegative
    gap_width_um: NonNegative
