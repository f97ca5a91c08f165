"""What both kinds of SRAM tier share: cells, their writing and leakage, and figures from the parts of a macro."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from pydantic import model_validator

from ..components.logic import Gates, Part, gates
from ..components.memories import Cell, sram_cell, sram_endurance_writes, sram_write_row_ns
from ..components.technology import voltage_delay
from ..cost import FloatArray, IntArray, ceil_div
from .arrays import ArrayTier
from .base import Count, NonNegative, Positive

Parts = Mapping[str, Part]


class SramMacro(ArrayTier):
    """SRAM arrays built from components. Energies are at `supply_v`; leakage is that of the cells alone."""

    endurance_writes: Positive | None = sram_endurance_writes()
    technology_nm: Positive
    supply_v: Positive
    rows_at_once: Count
    """Rows that compute at once; a divisor of `array_rows`."""
    input_toggle_rate: NonNegative = 1.0
    """Share of the input bits that change; what it saves is said in each kind."""
    weight_sparsity: NonNegative = 0.0
    """Share of the weight bits that are zero."""
    cell_area_um2: NonNegative | None = None
    """Of one cell with its share of drivers; None: a 6T cell of MNSIM 2.0, scaled to the node."""
    other_area_mm2: NonNegative = 0.0
    """Routers, control, decoupling capacitors, all arrays together."""

    @model_validator(mode="after")
    def _rows_divide(self) -> "SramMacro":
        if self.array_rows % self.rows_at_once:
            raise ValueError(
                f"rows_at_once: expected a divisor of array_rows {self.array_rows}, got {self.rows_at_once}"
            )
        if not np.isfinite(voltage_delay(self.supply_v)):
            raise ValueError(f"supply_v: expected more than the threshold of transistors, got {self.supply_v}")
        if self.cell_bits != 1:
            raise ValueError(f"cell_bits: expected 1 (a cell of SRAM holds a bit), got {self.cell_bits}")
        for name in ("input_toggle_rate", "weight_sparsity"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
        return self

    @property
    @abstractmethod
    def row_parts(self) -> Parts:
        """Circuits of one row: their use for one input slice, their area."""

    @property
    @abstractmethod
    def cell_parts(self) -> Parts:
        """Circuits that the rows on at once and one output have: their use for one input slice, their area."""

    @property
    @abstractmethod
    def output_parts(self) -> Parts:
        """Circuits behind the columns of one output: their use for one input slice and pass, their area."""

    @property
    def rows_on(self) -> int:
        return self.rows_at_once

    @property
    def slices(self) -> IntArray:
        """Slices that the bits of an input are driven in, one after the other."""
        return ceil_div(self.input_bits, self.slice_bits)

    @property
    @abstractmethod
    def slice_bits(self) -> int:
        """Input bits that are driven at once."""

    @property
    def gates(self) -> Gates:
        """Its logic gates."""
        return gates(self.technology_nm, self.supply_v)

    @property
    def cell(self) -> Cell:
        """Its cells."""
        return sram_cell(self.technology_nm, self.supply_v)

    @property
    def area_by_part_mm2(self) -> dict[str, FloatArray]:
        """Silicon of all arrays by part."""
        cell_um2 = self.cell.area_um2 if self.cell_area_um2 is None else np.asarray(self.cell_area_um2)
        outputs = self.arrays * self.weight_cols
        parts = {"cells": self.arrays * self.array_rows * self.array_cols * cell_um2}
        parts |= {name: self.arrays * self.array_rows * part.area_um2 for name, part in self.row_parts.items()}
        parts |= {name: outputs * part.area_um2 for name, part in self.cell_parts.items()}
        parts |= {name: outputs * part.area_um2 for name, part in self.output_parts.items()}
        return {name: area * 1e-6 for name, area in parts.items()} | {"other": np.asarray(self.other_area_mm2)}

    @property
    def slice_energy_by_part_pj(self) -> dict[str, FloatArray]:
        """Of one input slice in one pass of all arrays, in full use."""
        outputs, rows = self.arrays * self.weight_cols, self.arrays * self.rows_at_once
        return {
            **{name: rows * part.energy_pj for name, part in self.row_parts.items()},
            **{name: outputs * part.energy_pj for name, part in self.cell_parts.items()},
            **{name: outputs * part.energy_pj for name, part in self.output_parts.items()},
        }

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sum(self.area_by_part_mm2.values())  # pyright: ignore[reportReturnType]

    @property
    def static_power_mw(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.arrays * self.array_rows * self.array_cols * self.cell.leakage_mw  # pyright: ignore[reportReturnType]

    @property
    def write_row_ns(self) -> FloatArray:
        """Writing one row of one array."""
        return sram_write_row_ns(self.array_rows, self.technology_nm, self.supply_v)

    @property
    def write_weight_pj(self) -> FloatArray:
        """Writing the cells of one weight."""
        return self.cells_a_weight * self.cell.write_pj
