"""Arrays of analog memory cells with converters, in tiles of components: what ReRAM, PCM and gain-cell tiers share.

A vector is driven onto the rows in input cycles; in each, every column's sum is held and converted. What one array
does follows from its cells, drivers, converters and adders; silicon and power from those and the parts of the tile.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from ..components.cells import NamedCell, cell_area_um2
from ..components.converters import Converter
from ..components.tiles import (
    Part,
    cycle_ns,
    operation_ns,
    parts_area_um2,
    parts_full_mw,
    parts_leakage_mw,
    parts_operation_pj,
)
from ..cost import ceil_div
from .arrays import ArrayFigures, Number
from .base import Count, NonNegative
from .converted import ConvertedArrays


class TiledArrays(ConvertedArrays):
    """`tiles` tiles that share `arrays` arrays evenly; a kind says how inputs are driven onto the rows."""

    tiles: Count
    cell: NamedCell
    devices_a_cell: Count = 1
    """Devices that hold the value of one cell, e.g. of both signs: each conducts, and each is written."""
    line_pj: NonNegative = 0.0
    """Driving one row across an array for one input cycle, without its converter."""
    shift_add_pj: NonNegative
    """Adding one conversion to the sum of its output, at its place."""
    fill_cycles: Annotated[int, Field(ge=0)] = 0
    """Input cycles until the pipeline of an array gives its first sum, where vectors do not follow without a gap."""
    tile_parts: dict[str, Part] = Field(default_factory=dict)
    """Circuits of one tile, by name."""
    chip_parts: dict[str, Part] = Field(default_factory=dict)
    """Circuits of the whole tier, by name."""

    @model_validator(mode="after")
    def _tiles_have_arrays(self) -> "TiledArrays":
        if self.tiles > self.arrays:
            raise ValueError(f"tiles: expected at most one for each of {self.arrays} arrays, got {self.tiles}")
        return self

    @property
    @abstractmethod
    def cycles(self) -> Number:
        """Input cycles of one vector."""

    @property
    @abstractmethod
    def array_read_ns(self) -> Number:
        """How long an input cycle holds the rows, settling included."""

    @property
    @abstractmethod
    def cell_pj(self) -> Number:
        """One device under a driven row for one vector."""

    @property
    @abstractmethod
    def drive(self) -> Converter:
        """The converter of one row: pJ of an input cycle, silicon."""

    @property
    def operation_ns(self) -> Number:
        """From one vector to the next."""
        one = cycle_ns(self.array_read_ns, self.converter.time_ns, self.columns_per_adc)
        return operation_ns(self.cycles, self.fill_cycles, one)

    @property
    def figures(self) -> ArrayFigures:
        time_ns, cycles = self.operation_ns, np.asarray(self.cycles)
        parts_pj = parts_operation_pj(self.tile_parts, time_ns, self.arrays_a_tile)
        parts_pj = parts_pj + parts_operation_pj(self.chip_parts, time_ns, self.arrays)
        conversions, devices = cycles * self.cells_a_weight, self.cells_a_weight * self.devices_a_cell
        return ArrayFigures(
            operation_ns=time_ns,
            weight_pj=devices * np.asarray(self.cell_pj),
            line_pj=cycles * self.line_pj,
            dac_pj=cycles * self.drive.energy_pj,
            digital_pj=conversions * self.shift_add_pj + parts_pj / self.weight_cols,
            adc_pj=conversions * self.converter.energy_pj * self.adc_energy_scale,
            write_row_ns=self.cell.write_pulses * self.cell.write_ns,
            write_weight_pj=devices * self.cell.write_pulses * self.cell.write_pj,
        )

    @property
    def arrays_a_tile(self) -> Number:
        """Arrays that share the parts of one tile."""
        return self.arrays / self.tiles

    @property
    def areas_mm2(self) -> Mapping[str, Number]:
        """Silicon by component, all tiles."""
        cells_um2 = self.array_rows * self.array_cols * cell_area_um2(self.cell.area_f2, self.technology_nm)
        converters_um2 = ceil_div(self.array_cols, self.columns_per_adc) * self.converter.area_um2
        return {
            "cells": self.arrays * cells_um2 * 1e-6,
            "dac": self.arrays * self.array_rows * self.drive.area_um2 * 1e-6,
            "adc": self.arrays * converters_um2 * 1e-6,
            **{name: self.tiles * um2 * 1e-6 for name, um2 in parts_area_um2(self.tile_parts).items()},
            **{name: um2 * 1e-6 for name, um2 in parts_area_um2(self.chip_parts).items()},
        }

    @property
    def static_powers_mw(self) -> Mapping[str, Number]:
        """Power that does not depend on work, by component; a kind adds that of its cells."""
        return {
            **{name: self.tiles * mw for name, mw in parts_leakage_mw(self.tile_parts).items()},
            **parts_leakage_mw(self.chip_parts),
        }

    @property
    def full_powers_mw(self) -> Mapping[str, Number]:
        """Power by component with all arrays and all parts at full rate: what tables of published chips sum up."""
        one, time_ns = self.figures, self.operation_ns
        operations_a_ns = self.arrays / time_ns
        outputs = self.weight_cols
        adders_pj = np.asarray(self.cycles) * self.cells_a_weight * self.shift_add_pj
        return {
            "cells": operations_a_ns * self.array_rows * outputs * one.weight_pj,
            "lines": operations_a_ns * self.array_rows * one.line_pj,
            "dac": operations_a_ns * self.array_rows * one.dac_pj,
            "adc": operations_a_ns * outputs * one.adc_pj,
            "shift-add": operations_a_ns * outputs * adders_pj,
            **{name: self.tiles * mw for name, mw in parts_full_mw(self.tile_parts).items()},
            **parts_full_mw(self.chip_parts),
        }

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Silicon of the tier."""
        return sum(self.areas_mm2.values(), 0.0)  # pyright: ignore[reportReturnType]

    @property
    def static_power_mw(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Power that does not depend on work."""
        return sum(self.static_powers_mw.values(), 0.0)  # pyright: ignore[reportReturnType]
