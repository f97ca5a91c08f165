"""Gain-cell eDRAM arrays that compute: charge instead of resistance, so that weights have to be refreshed."""

from collections.abc import Mapping

from ..components.cells import refresh_power_mw
from .arrays import Number
from .base import NonNegative, Positive
from .reram import DrivenArrays


class Edram(DrivenArrays):
    """Gain cells (DynaPlasia, JSSC 59(1), 2024): fast to write, unlimited endurance, `retention_us` until a refresh.

    Every cell is refreshed in each retention time, whether it computes or stores, so refreshing is static power.
    """

    retention_us: Positive
    cell_leakage_nw: NonNegative
    """Of one cell, its share of the periphery included."""

    @property
    def static_powers_mw(self) -> Mapping[str, Number]:
        cells = self.arrays * self.array_rows * self.array_cols
        refresh_pj = self.cell.write_pulses * self.cell.write_pj
        return {
            "refresh": refresh_power_mw(cells, refresh_pj, self.retention_us),
            "cell leakage": cells * self.cell_leakage_nw * 1e-6,
            **super().static_powers_mw,
        }
