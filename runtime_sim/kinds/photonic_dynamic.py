"""Photonic tensor cores from their components: two streams of numbers meet as light (TeMPO, Lightening-Transformer).

What is energy of the work and what burns whether the tier is used or not: converters with their amplifiers, the drive
of modulators, adders and accesses to the small buffers work symbol by symbol and are stopped where there is nothing to
do. Lasers, the tuning of rings, the bias of detectors, held phases and leakage settle in microseconds and more, longer
than an operator takes, and are static power; so is the laser at the level of the mode that needs most light.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ..components import photonics
from ..components.photonic_devices import Passive, Router, Shifter
from ..cost import FloatArray, IntArray, Work, ceil_div, ps_for
from ..product import Product
from .base import Count
from .photonic_cores import BitsMode, PhotonicCores
from .photonic_parts import UM2_TO_MM2, Devices, figure, total

if TYPE_CHECKING:
    from ..chip import Chip


class DynamicDevices(Devices):
    """What the cores are made of. `router`: a ring before and one behind each modulator, where wavelengths share a
    waveguide; `local_buffer`: one a tile and one for what tiles share; `core_buffer`: registers at the cores' edges."""

    shifter: Shifter
    coupler: Passive
    router: Router | None = None


class PhotonicDynamic(PhotonicCores):
    """Cores whose nodes interfere two modulated streams on a pair of photodetectors, for each of `wavelengths`.

    In each cycle a DAC and a modulator make each symbol: `core_rows` x `wavelengths` of operand A a core, which all
    tiles share (`rows_shared_by_tiles`), and `core_cols` x `wavelengths` of operand B. The currents of the cores of a
    tile add up (`outputs_shared_by_cores`), over `temporal_accumulation` cycles, before an amplifier and an ADC.
    """

    wavelengths: Count = 1
    temporal_accumulation: Count = 1
    """Cycles that are summed on a capacitor before each conversion."""
    rows_shared_by_tiles: bool = True
    outputs_shared_by_cores: bool = True
    extinction_penalty: bool = False
    """More light where modulators do not go dark (SimPhony); Lightening-Transformer's budget leaves it out."""
    laser_eased_by_accumulation: bool = False
    """The light that a conversion needs is spread over the cycles that it sums."""
    modes: tuple[BitsMode, ...] = Field(min_length=1, strict=False)
    """The first is the default."""
    devices: DynamicDevices

    @model_validator(mode="after")
    def _converters_keep_up(self) -> "PhotonicDynamic":
        self.devices.expect_converters_to_keep_up(self.clock_ghz)
        return self

    @property
    def bits_modes(self) -> Sequence[BitsMode]:
        return self.modes

    @property
    def parallel_k(self) -> int:
        return self.wavelengths

    def _mode(self, precision: str | None) -> BitsMode:
        return self.modes[self.precisions().index(self.mode(precision))]

    @property
    def _row_sources(self) -> IntArray:
        """Cores' worth of operand A that is modulated."""
        return self.cores_per_tile * np.where(self.rows_shared_by_tiles, 1, self.tiles)

    @property
    def row_modulators(self) -> IntArray:
        """Modulators, and DACs, of operand A."""
        return self._row_sources * (self.core_rows * self.wavelengths)

    @property
    def col_modulators(self) -> IntArray:
        """Modulators, and DACs, of operand B."""
        return np.asarray(self.tiles * self.cores_per_tile * self.core_cols * self.wavelengths)

    @property
    def nodes(self) -> IntArray:
        """Dot-product nodes, each with two photodetectors."""
        return np.asarray(self.tiles * self.cores_per_tile * self.core_rows * self.core_cols)

    @property
    def converters(self) -> IntArray:
        """ADCs, and amplifiers."""
        return self.nodes // np.where(self.outputs_shared_by_cores, self.cores_per_tile, 1)

    def _small_memories(self) -> tuple[IntArray, IntArray]:
        """Local buffers (inputs of a tile, and of what tiles share) and core buffers (two a tile for outputs)."""
        cores = self.tiles * self.cores_per_tile
        return np.asarray(self.tiles + 1), 2 * self.tiles + cores + self._row_sources

    def laser_power_by_core_mw(self, output_bits: ArrayLike) -> FloatArray:
        """Electrical power of the light of one core for outputs of so many bits (LT cal_laser_power)."""
        parts = self.devices
        loss = photonics.coherent_core_loss_db(
            parts.modulator.insertion_loss_db,
            parts.router.insertion_loss_db if parts.router else 0.0,
            parts.splitter.insertion_loss_db,
            parts.shifter.insertion_loss_db,
            parts.coupler.insertion_loss_db,
            self.core_rows,
            self.core_cols,
        )
        extinction = np.inf if parts.modulator.extinction_ratio_db is None else parts.modulator.extinction_ratio_db
        return photonics.laser_power_mw(
            parts.photodetector.sensitivity_dbm,
            loss + photonics.splitting_loss_db(self.core_rows * self.core_cols),
            parts.laser.wall_plug_efficiency,
            output_bits,
            np.where(self.extinction_penalty, extinction, np.inf),
            np.where(self.laser_eased_by_accumulation, self.temporal_accumulation, 1),
        )

    def power_by_component_mw(self, precision: str | None = None) -> dict[str, FloatArray]:
        """Power with everything at work in each cycle, lasers at the level of this mode: what LT calls its power.

        It converts in each cycle, also where `temporal_accumulation` lets converters rest.
        """
        parts, mode = self.devices, self._mode(precision)
        dacs = self.row_modulators * parts.dac.energy_pj(mode.input_bits)
        dacs = dacs + self.col_modulators * parts.dac.energy_pj(mode.weight_bits)
        drive = photonics.modulator_power_mw(parts.modulator.energy_fj_per_symbol, self.clock_ghz)
        modulators = self.row_modulators + self.col_modulators
        adder = parts.adder.power_mw if parts.adder else 0.0
        return {
            **self.static_power_by_component_mw(),
            "laser": self.tiles * self.cores_per_tile * self.laser_power_by_core_mw(mode.output_bits),
            "dac": dacs * self.clock_ghz,
            "modulator": modulators * (drive + self._tuning_mw()),
            "adc": self.converters * parts.adc.energy_pj(mode.output_bits) * self.clock_ghz,
            "amplifier": self.converters * parts.amplifier.power_mw,
            "adder": self.converters * adder,
        }

    def _tuning_mw(self) -> float:
        """What keeps one modulator, and its two routers, in tune."""
        router = self.devices.router
        return self.devices.modulator.power_mw + (2 * router.power_mw if router else 0.0)

    def static_power_by_component_mw(self) -> dict[str, FloatArray]:
        """Power that does not depend on work, lasers at the level of the mode that needs most light."""
        parts = self.devices
        local, core = self._small_memories()
        light = [self.laser_power_by_core_mw(mode.output_bits) for mode in self.modes]
        return {
            "laser": self.tiles * self.cores_per_tile * np.max(np.stack(light), axis=0),
            "modulator": (self.row_modulators + self.col_modulators) * self._tuning_mw(),
            "photodetector": self.nodes * (2 * parts.photodetector.power_mw),
            "shifter": self.nodes * parts.shifter.power_mw,
            "memory": parts.memories_mw(local, core),
        }

    @property
    def static_power_mw(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The sum of `static_power_by_component_mw`."""
        return figure(self.static_power_by_component_mw())

    def area_by_component_mm2(self) -> dict[str, FloatArray]:
        """Silicon: outlines times counts; nodes with the room between their devices (LT cal_core_area)."""
        parts = self.devices
        modulators = self.row_modulators + self.col_modulators
        boxes = self.tiles + self._row_sources
        local, core = self._small_memories()
        rings = 2 * parts.router.area_um2 if parts.router else 0.0
        areas = {
            "laser": boxes * parts.laser.area_um2,
            "comb": boxes * (parts.comb.area_um2 if parts.comb else 0.0),
            "dac": modulators * parts.dac.area_um2,
            "modulator": modulators * (parts.modulator.area_um2 + rings),
            "adc": self.converters * parts.adc.area_um2,
            "amplifier": self.converters * parts.amplifier.area_um2,
            "core": self.tiles * self.cores_per_tile * self._core_area_um2(),
            "adder": self.converters * (parts.adder.area_um2 if parts.adder else 0.0),
            "memory": parts.memories_um2(local, core),
        }
        return {name: np.asarray(um2) * UM2_TO_MM2 for name, um2 in areas.items()}

    def _core_area_um2(self) -> FloatArray:
        parts = self.devices
        along = parts.splitter.length_um + parts.shifter.length_um + parts.coupler.length_um
        along = along + parts.photodetector.width_um + parts.layout.gap_length_um
        widest = np.maximum(parts.shifter.width_um, parts.coupler.width_um)
        across = parts.splitter.length_um + np.maximum(widest, 2 * parts.photodetector.length_um)
        node = along * (across + parts.layout.gap_width_um)
        outline = (parts.splitter.length_um, parts.splitter.width_um)
        trees = sum(photonics.splitter_tree_area_um2(*outline, side) for side in (self.core_rows, self.core_cols))
        return self.core_rows * self.core_cols * node + trees + parts.splitter.area_um2

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The sum of `area_by_component_mm2`."""
        return figure(self.area_by_component_mm2())

    def energy_per_symbol_pj(self, bits: ArrayLike) -> dict[str, FloatArray]:
        """From the local buffer to light: an access there, a write and a read at the core, a DAC, a modulator."""
        parts = self.devices
        per_bit = parts.local_buffer.energy_pj_per_bit if parts.local_buffer else 0.0
        per_bit = per_bit + (2 * parts.core_buffer.energy_pj_per_bit if parts.core_buffer else 0.0)
        drive = parts.modulator.energy_fj_per_symbol * 1e-3
        return {"arrays": np.asarray(bits) * per_bit + drive, "converters": parts.dac.energy_pj(bits)}

    def energy_per_conversion_pj(self, bits: ArrayLike) -> dict[str, FloatArray]:
        """From current to a partial sum: an amplifier for a cycle, an ADC, and an adder with what moves to it."""
        parts = self.devices
        per_bit = parts.adder.energy_pj_per_bit if parts.adder else 0.0
        per_bit = per_bit + (2 * parts.core_buffer.energy_pj_per_bit if parts.core_buffer else 0.0)
        bias = parts.amplifier.power_mw + (parts.adder.power_mw if parts.adder else 0.0)
        return {
            "arrays": np.asarray(bits) * per_bit,
            "converters": parts.adc.energy_pj(bits) + bias / np.asarray(self.clock_ghz),
        }

    def energy_pj_per_mac(self, precision: str | None = None) -> FloatArray:
        """Energy of the work, a MAC, with all nodes in use."""
        mode = self._mode(precision)
        shared = np.where(self.rows_shared_by_tiles, self.tiles, 1)
        summed = np.where(self.outputs_shared_by_cores, self.cores_per_tile, 1) * self.wavelengths
        a, b = (total(self.energy_per_symbol_pj(bits)) for bits in (mode.input_bits, mode.weight_bits))
        result = total(self.energy_per_conversion_pj(mode.output_bits))
        per_row, per_col = a / (self.core_cols * shared), b / self.core_rows
        return per_row + per_col + result / (summed * self.temporal_accumulation)

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        """As many symbols as LT counts: A once for each block of columns, over the tiles that share it; B once for each
        block of rows; edges are not padded. Results are converted after each accumulation."""
        outputs, mode = np.asarray(outputs, np.int64), self._mode(precision)
        compute = (f"{name}.arrays", ps_for(self.cycles(product, outputs), self.clock_ghz))
        blocks = product.blocks_a_part
        shared = np.where(self.rows_shared_by_tiles, self.tiles, 1)
        reads_of_a = ceil_div(outputs, self.core_cols) * (product.m * product.k * blocks) / shared
        reads_of_b = outputs * (product.k * blocks * ceil_div(product.m, self.core_rows))
        sums = ceil_div(self.k_steps(product), self.temporal_accumulation)
        sums = sums * np.where(self.outputs_shared_by_cores, 1, self.cores_per_tile)
        a, b = (self.energy_per_symbol_pj(bits) for bits in (mode.input_bits, mode.weight_bits))
        result = self.energy_per_conversion_pj(mode.output_bits)
        results = outputs * (product.m * blocks * sums)
        energy = {part: reads_of_a * a[part] + reads_of_b * b[part] + results * result[part] for part in a}
        weight_bits = min(product.weight_bits, mode.weight_bits)
        return self.streamed(name, chip, product, outputs, compute, energy, weight_bits)
