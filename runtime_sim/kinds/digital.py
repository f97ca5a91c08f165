"""The digital unit: a vector unit that takes every operation, and a small array of multipliers."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ..cost import Work, ceil_div, ps_for
from ..product import Product
from .base import Count, NonNegative, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip


class Digital(TierKind):
    """`lanes` for elementwise work and `macs_per_cycle` 8-bit multipliers for products, with exact sums.

    Its resource is called as the tier itself; its weights are streamed.
    """

    area_mm2: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    static_power_mw: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    lanes: Count
    clock_ghz: Positive
    macs_per_cycle: Count
    energy_pj_per_mac: NonNegative
    energy_pj_per_operation: NonNegative
    """One lane operation."""

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(8, 8, 32),)

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        self.mode(precision)
        outputs = np.asarray(outputs, np.int64)
        macs = outputs * (product.m * product.k * product.blocks_a_part)
        compute = (name, ps_for(ceil_div(macs, self.macs_per_cycle), self.clock_ghz))
        energy = {"digital": macs * self.energy_pj_per_mac}
        return self.streamed(name, chip, product, outputs, compute, energy, min(product.weight_bits, 8))
