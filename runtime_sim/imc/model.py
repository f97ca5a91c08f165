"""Cycles, energy and area of layers on chips of the template, as closed forms over arrays that broadcast.

A chip is G groups of t tiles of m macros of R x K cells, with a global buffer; see mapping.py for how layers lie on it.
The forms and constants reproduce another group's cost-model archive (CiMLoop on Timeloop and Accelergy; the search
spaces of arXiv 2603.03880); docs/imc.md says what they assume. `figures` is what depends on the chip alone, `price`
joins it with what layers ask (`Demand`), in a fixed order of summation.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InputError
from .constants import Constants
from .layers import IntArray, Layers
from .mapping import Demand, Fabric, FloatArray, demand, network_demand


@dataclass(frozen=True)
class Designs:
    """Chips by their variables; arrays that broadcast."""

    volt: FloatArray
    bits_per_cell: IntArray
    cycle_s: FloatArray
    rows: IntArray
    cols: IntArray
    groups: IntArray
    tiles_per_group: IntArray
    macros_per_tile: IntArray
    glb_depth_2048bit: IntArray
    """Words of 2048 bits of the global buffer."""
    node_nm: IntArray

    @staticmethod
    def of(**variables: ArrayLike) -> "Designs":
        """Chips from all their variables by name, each as an array of its own type."""
        types: dict[str, Any] = {name: np.float64 if name in REALS else np.int64 for name in VARIABLES}
        return Designs(**{name: np.asarray(variables[name], kind) for name, kind in types.items()})

    def at(self, which: Any) -> "Designs":
        """Some of the chips of a list: those that numpy's indexing by `which` gives."""
        return Designs(**{name: getattr(self, name)[which] for name in VARIABLES})

    def fabric(self, constants: Constants) -> Fabric:
        """What of the designs decides how layers lie."""
        return Fabric.of(
            self.rows,
            self.cols,
            self.bits_per_cell,
            self.groups,
            self.tiles_per_group,
            self.macros_per_tile,
            constants.memory.spreads_columns,
        )


VARIABLES = tuple(field.name for field in fields(Designs))
"""The names of a design's variables, in the archive's order."""
REALS = ("volt", "cycle_s")
"""Those that are no whole numbers."""


@dataclass(frozen=True)
class Figures:
    """What chips cost whatever runs on them: area, a cycle, and the energy of each thing that a Demand counts."""

    area_mm2: FloatArray
    cycle_s: FloatArray
    cell_pj: FloatArray
    row_read_pj: FloatArray
    col_read_pj: FloatArray
    weight_pj: FloatArray
    weight_write_pj: FloatArray
    tile_word_pj: FloatArray
    buffer_word_pj: FloatArray


@dataclass(frozen=True)
class Prices:
    """Of one execution of a layer or a network; arrays of the designs' shape."""

    cycles: IntArray
    latency_s: FloatArray
    energy_pj: FloatArray


def figures(designs: Designs, constants: Constants) -> Figures:
    """What each chip costs whatever runs on it."""
    memory, node = constants.memory, constants.node(designs.node_nm)
    _expect_above(designs.volt, node.threshold_v)
    supply = designs.volt * designs.volt
    slowness = (designs.volt - node.threshold_v) ** -1.5
    shape = designs.rows / designs.cols
    per_cell = np.asarray(memory.cell_pj)[designs.bits_per_cell - 1]
    row = memory.row_pj * node.row_energy * supply * designs.cols
    driver = memory.driver_pj * node.driver_energy * supply * slowness / designs.cols
    write = memory.write_pj * designs.volt * np.maximum(designs.volt - node.write_threshold_v, 0)
    write_driver = memory.write_driver_pj * supply * slowness * shape
    return Figures(
        area_mm2=area_mm2(designs, constants),
        cycle_s=designs.cycle_s,
        cell_pj=per_cell,
        row_read_pj=row + driver,
        col_read_pj=np.asarray(memory.column_pj),
        weight_pj=np.asarray(memory.weight_pj),
        weight_write_pj=node.write_energy * (write + write_driver),
        tile_word_pj=node.memory_energy * memory.tile_word_pj,
        buffer_word_pj=node.memory_energy * memory.buffer_word_pj * np.sqrt(designs.glb_depth_2048bit),
    )


def area_mm2(designs: Designs, constants: Constants) -> FloatArray:
    """Silicon: global buffer, a router a group, in a tile crossings and buffers, in a macro columns, cells, drivers."""
    memory, node = constants.memory, constants.node(designs.node_nm)
    rows, cols, macros = designs.rows, designs.cols, designs.macros_per_tile
    tiles = designs.groups * designs.tiles_per_group
    ends = np.minimum(rows, 64) + np.minimum(cols, 64)
    tile = memory.crossing_mm2 * macros**2 * ends + memory.tile_buffer_mm2 * macros * (rows + cols)
    macro = memory.column_mm2 * cols + memory.cell_mm2 * rows * cols
    driver = memory.driver_mm2 * rows / cols * (designs.volt - node.threshold_v) ** -1.5
    buffer = constants.buffer_area_mm2(designs.glb_depth_2048bit, designs.node_nm)
    routers = node.router_area * constants.router_mm2 * designs.groups
    macros_mm2 = node.macro_area * tiles * (tile + macros * macro) + node.driver_area * tiles * macros * driver
    return buffer + routers + macros_mm2


def components_pj(asked: Demand, chips: Figures) -> dict[str, FloatArray]:
    """The energy of `asked` on each chip, by the components of runtime_sim.cost."""
    return {
        "arrays": asked.cells * chips.cell_pj
        + asked.col_reads * chips.col_read_pj
        + asked.row_reads * chips.row_read_pj,
        "write": asked.weight_writes * chips.weight_write_pj,
        "dram": asked.weights * chips.weight_pj,
        "buffer": asked.tile_words * chips.tile_word_pj + asked.buffer_words * chips.buffer_word_pj,
    }


def price(asked: Demand, chips: Figures) -> Prices:
    """What `asked` costs on each chip, be it a layer's or a network's."""
    parts = components_pj(asked, chips)
    energy_pj = parts["arrays"] + parts["write"] + parts["dram"] + parts["buffer"]
    return Prices(asked.cycles, asked.cycles * chips.cycle_s, energy_pj)


def price_layers(layers: Layers, designs: Designs, constants: Constants) -> Prices:
    """Each layer on each design, once; layers and designs broadcast."""
    return price(demand(layers, designs.fabric(constants)), figures(designs, constants))


def price_network(layers: Layers, designs: Designs, constants: Constants) -> Prices:
    """A network, one layer after the other, on each design."""
    return price(network_demand(layers, designs.fabric(constants)), figures(designs, constants))


def _expect_above(volt: FloatArray, threshold_v: FloatArray) -> None:
    """The drivers of a chip need more than their threshold."""
    low = volt <= threshold_v
    if np.any(low):
        got, least = (np.broadcast_to(values, np.shape(low))[low][0] for values in (volt, threshold_v))
        raise InputError(f"volt: expected more than {least:g} V at this node, got {got:g}")
