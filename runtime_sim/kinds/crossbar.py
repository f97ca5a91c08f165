"""Crossbars of memory cells given by the figures of a whole macro: SRAM, ReRAM, PCM."""

from ..cost import IntArray, ceil_div
from ..product import Product
from .arrays import ArrayFigures, ArrayTier
from .base import NonNegative, Positive


class Crossbar(ArrayTier):
    """Arrays whose time and energy were measured, or are published, as a whole.

    `energy_pj_per_mac` is an average over a full array, so a row counts as driven whether it holds weights or not
    (energy counts ceil(k / array_rows) x array_rows of them).
    """

    area_mm2: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    static_power_mw: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    operation_ns: Positive
    """One vector through an array, with all its input bits and conversions."""
    energy_pj_per_mac: NonNegative
    write_row_ns: Positive
    write_energy_pj_per_cell: NonNegative

    @property
    def figures(self) -> ArrayFigures:
        return ArrayFigures(
            operation_ns=self.operation_ns,
            weight_pj=self.energy_pj_per_mac,
            write_row_ns=self.write_row_ns,
            write_weight_pj=self.cells_a_weight * self.write_energy_pj_per_cell,
        )

    def driven_rows(self, product: Product) -> IntArray:
        return ceil_div(product.k, self.array_rows) * self.array_rows
