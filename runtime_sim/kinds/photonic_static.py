"""Photonic meshes that hold weights: interferometer meshes and banks of micro-rings, from their components.

Weights are set once and stay while vectors pass at the clock; setting a mesh takes its cells' response (2 us for MEMS,
10 us for thermo-optic phase shifters). Light, tuning, held phases and bias are static power, as in photonic_dynamic.py.
"""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..components import photonics
from ..components.photonic_devices import Cell
from ..cost import FloatArray, IntArray, ceil_div
from .arrays import ArrayFigures, ArrayTier
from .base import Count, Positive
from .photonic_parts import UM2_TO_MM2, Devices, figure


class StaticDevices(Devices):
    """What meshes are made of. `local_buffer`: two a laser (inputs and outputs); `core_buffer`: two a laser for
    outputs and two a mesh for inputs."""

    cell: Cell


class PhotonicStatic(ArrayTier):
    """`arrays` meshes of `array_rows` inputs and `array_cols` outputs, of `interferometers` or of `rings`.

    A mesh of interferometers is the SVD of its matrix: (r (r - 1) + c (c - 1)) / 2 cells with two phases each for the
    unitary parts and max(r, c) modulators between them. A bank of rings has a ring for each weight; its inputs are
    intensities, so a signed vector passes in two goes. A cell tells 2^cell_bits levels apart; a weight of more bits
    takes several columns. Every phase and ring has a DAC of its own. Array rows written at once (`write_ports`) are
    those whose DACs are driven together: `arrays` x `array_rows` if all are.
    """

    mesh: Literal["interferometers", "rings"]
    arrays_per_laser: Count
    """Meshes that share a laser, its comb and their buffers."""
    clock_ghz: Positive
    devices: StaticDevices = Field()

    @model_validator(mode="after")
    def _converters_keep_up(self) -> "PhotonicStatic":
        self.devices.expect_converters_to_keep_up(self.clock_ghz)
        return self

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        mode = self.mode(precision)
        return AnalogDot(mode.input_bits, mode.weight_bits, min(mode.output_bits, self.adc_bits))

    @property
    def passes(self) -> int:
        """Goes of one signed vector."""
        return 2 if self.mesh == "rings" else 1

    @property
    def cells_a_mesh(self) -> FloatArray:
        """Interferometers of the unitary parts, or rings."""
        if self.mesh == "rings":
            return np.asarray(self.array_rows * self.array_cols, np.float64)
        return photonics.mzi_cells(self.array_rows, self.array_cols)

    @property
    def scaling_modulators(self) -> IntArray:
        """Modulators of a mesh that hold singular values."""
        return np.maximum(self.array_rows, self.array_cols) * (self.mesh == "interferometers")

    @property
    def weight_dacs_a_mesh(self) -> FloatArray:
        """DACs that set the weights of a mesh."""
        return self.cells_a_mesh * (1 if self.mesh == "rings" else 2) + self.scaling_modulators

    @property
    def figures(self) -> ArrayFigures:
        parts, goes = self.devices, self.passes
        core = 2 * parts.core_buffer.energy_pj_per_bit if parts.core_buffer else 0.0
        local = parts.local_buffer.energy_pj_per_bit if parts.local_buffer else 0.0
        drive = parts.modulator.energy_fj_per_symbol * 1e-3
        moved = np.asarray(self.adc_bits) * (core + (parts.adder.energy_pj_per_bit if parts.adder else 0.0))
        added = (parts.adder.power_mw if parts.adder else 0.0) / self.clock_ghz
        converted = parts.adc.energy_pj(self.adc_bits) + parts.amplifier.power_mw / np.asarray(self.clock_ghz)
        setting = self.weight_dacs_a_mesh * parts.dac.energy_pj(self.cell_bits)
        setting = setting + self.cells_a_mesh * (parts.cell.write_energy_fj * 1e-3) + self.scaling_modulators * drive
        columns = goes * self.cells_a_weight
        return ArrayFigures(
            operation_ns=goes / self.clock_ghz,
            weight_pj=0.0,
            line_pj=goes * (drive + np.asarray(self.input_bits) * (local + core)),
            dac_pj=goes * parts.dac.energy_pj(self.input_bits),
            digital_pj=columns * (moved + added),
            adc_pj=columns * converted,
            write_row_ns=parts.cell.response_ns,
            write_weight_pj=self.cells_a_weight * setting / (self.array_rows * self.array_cols),
        )

    def laser_power_by_mesh_mw(self) -> FloatArray:
        """Electrical power of the light of one mesh, for as many levels as its ADCs tell apart (LT cal_laser_power)."""
        parts = self.devices
        if self.mesh == "rings":
            loss = photonics.ring_bank_loss_db(
                parts.modulator.insertion_loss_db,
                parts.modulator.through_loss_db,
                parts.cell.insertion_loss_db,
                parts.cell.through_loss_db,
                parts.splitter.insertion_loss_db,
                self.array_rows,
                self.array_cols,
            )
            ways = self.array_cols
        else:
            loss = photonics.mesh_loss_db(
                parts.modulator.insertion_loss_db, parts.cell.insertion_loss_db, self.array_rows, self.array_cols
            )
            ways = self.array_rows
        return photonics.laser_power_mw(
            parts.photodetector.sensitivity_dbm,
            loss + photonics.splitting_loss_db(ways),
            parts.laser.wall_plug_efficiency,
            self.adc_bits,
        )

    def _small_memories(self) -> tuple[IntArray, IntArray]:
        lasers = ceil_div(self.arrays, self.arrays_per_laser)
        return 2 * lasers, 2 * lasers + 2 * self.arrays

    def static_power_by_component_mw(self) -> dict[str, FloatArray]:
        """Power that does not depend on work: light, tuned modulators, held weights, biased detectors, leakage."""
        parts = self.devices
        local, core = self._small_memories()
        modulators = self.arrays * (self.array_rows + self.scaling_modulators)
        return {
            "laser": self.arrays * self.laser_power_by_mesh_mw(),
            "modulator": modulators * parts.modulator.power_mw,
            "cell": self.arrays * self.cells_a_mesh * parts.cell.power_mw,
            "photodetector": np.asarray(self.arrays * self.array_cols * 2 * parts.photodetector.power_mw),
            "memory": parts.memories_mw(local, core),
        }

    def area_by_component_mm2(self) -> dict[str, FloatArray]:
        """Silicon: outlines times counts, with the room between rings (LT cal_core_area); an adder an output."""
        parts = self.devices
        outputs = self.arrays * self.array_cols
        lasers = ceil_div(self.arrays, self.arrays_per_laser)
        local, core = self._small_memories()
        areas = {
            "laser": lasers * parts.laser.area_um2,
            "comb": lasers * (parts.comb.area_um2 if parts.comb else 0.0),
            "dac": self.arrays * (self.weight_dacs_a_mesh + self.array_rows) * parts.dac.area_um2,
            "adc": outputs * parts.adc.area_um2,
            "amplifier": outputs * parts.amplifier.area_um2,
            "core": self.arrays * self._mesh_area_um2(),
            "adder": outputs * (parts.adder.area_um2 if parts.adder else 0.0),
            "memory": parts.memories_um2(local, core),
        }
        return {name: np.asarray(um2) * UM2_TO_MM2 for name, um2 in areas.items()}

    def _mesh_area_um2(self) -> FloatArray:
        """One mesh with the modulators of its inputs, its detectors and the splitters in front of it."""
        parts = self.devices
        outline, gap = (parts.splitter.length_um, parts.splitter.width_um), parts.layout.gap_length_um
        if self.mesh == "rings":
            bus = self.array_rows * (parts.cell.length_um + gap) + parts.photodetector.width_um + gap
            bank = bus * np.maximum(parts.cell.width_um, 2 * parts.photodetector.length_um) * self.array_cols
            inputs = self.array_rows * (parts.modulator.length_um + gap) * parts.modulator.width_um
            return bank + inputs + photonics.splitter_tree_area_um2(*outline, self.array_cols)
        modulators = self.array_rows + self.scaling_modulators
        parts_um2 = self.cells_a_mesh * parts.cell.area_um2 + modulators * parts.modulator.area_um2
        detectors = self.array_cols * parts.photodetector.area_um2
        return parts_um2 + detectors + photonics.splitter_tree_area_um2(*outline, self.array_rows)

    @property
    def static_power_mw(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The sum of `static_power_by_component_mw`."""
        return figure(self.static_power_by_component_mw())

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The sum of `area_by_component_mm2`."""
        return figure(self.area_by_component_mm2())
