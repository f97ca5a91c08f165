"""Photonic tensor cores given by figures of the whole: products of two streams, both modulated onto light each time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ..cost import Work, ps_for
from ..product import Product
from .base import NonNegative
from .photonic_cores import BitsMode, PhotonicCores

if TYPE_CHECKING:
    from ..chip import Chip


class PhotonicMode(BitsMode):
    """One precision of the cores, with its energy (modulators, converters, laser)."""

    energy_pj_per_mac: NonNegative


class Photonic(PhotonicCores):
    """Cores of one wavelength whose area, static power and energy of a MAC were published, or measured, as a whole."""

    area_mm2: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    static_power_mw: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    modes: tuple[PhotonicMode, ...] = Field(min_length=1, strict=False)
    """The first is the default."""

    @property
    def bits_modes(self) -> Sequence[BitsMode]:
        return self.modes

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        outputs = np.asarray(outputs, np.int64)
        mode = self.modes[self.precisions().index(self.mode(precision))]
        compute = (f"{name}.arrays", ps_for(self.cycles(product, outputs), self.clock_ghz))
        macs = outputs * (product.m * product.k * product.blocks_a_part)
        energy = {"arrays": macs * mode.energy_pj_per_mac}
        weight_bits = min(product.weight_bits, mode.weight_bits)
        return self.streamed(name, chip, product, outputs, compute, energy, weight_bits)
