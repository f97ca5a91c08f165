"""Prices of a real chip for the solver: the one cost model, asked for parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime_sim.cost import price
from .problem import RESIDENT, REWRITTEN, STREAMED, Ints
from .tables import PartKind, PartPrices

if TYPE_CHECKING:
    from ...runtime_sim.chip import Chip
    from ...runtime_sim.product import Product

DEFAULT_MIN_BITS = 8


class ChipPricer:
    """The parts that matrix operators can have on `chip`, without precisions below `min_bits` of input or weight.

    `shunned`: tiers take what they shun, too.
    """

    def __init__(self, chip: Chip, min_bits: int = DEFAULT_MIN_BITS, *, shunned: bool = False) -> None:
        self.chip, self.min_bits, self.shunned = chip, min_bits, shunned
        self.tiers: tuple[str, ...] = tuple(chip.tiers)
        self.arrays: Ints = np.array([chip.tiers[name].arrays for name in self.tiers], np.int64)

    def kinds(self, product: Product) -> list[PartKind]:
        """On array tiers resident and rewritten parts (only these of dynamic weights), on others streamed ones."""
        result: list[PartKind] = []
        for t, name in enumerate(self.tiers):
            tier = self.chip.tiers[name]
            if tier.refuses(product) or (tier.shuns(product) and not self.shunned):
                continue
            modes = ((RESIDENT, REWRITTEN) if product.static else (REWRITTEN,)) if tier.arrays else (STREAMED,)
            precisions = tier.precisions()
            for p in precisions:
                if min(p.input_bits, p.weight_bits) >= self.min_bits:
                    result += [PartKind(t, mode, p.name if len(precisions) > 1 else "") for mode in modes]
        return result

    def vectors(self, product: Product) -> int:
        return product.m

    def outputs(self, product: Product) -> int:
        return product.total_outputs

    def granule(self, product: Product) -> int:
        """One output, or those of a group: no part cuts a group of a convolution."""
        return 1 if product.batched or product.groups == 1 else product.n

    def price(self, product: Product, kind: PartKind, outputs: Ints, copies: Ints) -> PartPrices:
        prices = price(
            self.chip,
            product,
            self.tiers[kind.tier],
            outputs,
            copies,
            rewritten=kind.mode == REWRITTEN,
            precision=kind.precision or None,
        )
        shared = np.stack([np.broadcast_to(ps, prices.latency_ps.shape) for ps in prices.ports_ps.values()])
        return PartPrices(prices.latency_ps, prices.energy_pj.astype(np.float64), prices.arrays, shared)
