"""Constants of the template, by memory and technology node, from constants.yaml."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

FloatArray = NDArray[np.float64]

MEMORIES = ("rram", "sram")


@dataclass(frozen=True)
class Memory:
    """Constants of one memory at 32 nm. Areas in mm2, energies in pJ; see model.py for the formulas they stand in."""

    spreads_columns: bool
    """Whether copies of weights share columns of positions too, not only rows."""
    crossing_mm2: float
    """Of a tile, times macros^2 and the sum of rows and columns, of each at most 64."""
    tile_buffer_mm2: float
    """Of a tile, times macros and the sum of rows and columns."""
    column_mm2: float
    cell_mm2: float
    driver_mm2: float
    """Of a macro, times rows / columns and (volt - threshold)^-1.5."""
    cell_pj: tuple[float, ...]
    """A cell that multiplies, by bits a cell (1, 2, ...): as many as the memory can have."""
    row_pj: float
    """A row driven, times volt^2 and columns."""
    driver_pj: float
    """A row driven, times volt^2 (volt - threshold)^-1.5 / columns."""
    column_pj: float
    """A column converted."""
    weight_pj: float
    """A cell's content fetched from off-chip memory, once an execution."""
    write_pj: float
    """A cell written, times volt (volt - write threshold), where that is positive."""
    write_driver_pj: float
    """A cell written, times volt^2 (volt - threshold)^-1.5 rows / columns."""
    tile_word_pj: float
    buffer_word_pj: float
    """A word of the global buffer, times the root of its depth."""


@dataclass(frozen=True)
class Node:
    """A technology node as factors on the areas and energies at 32 nm, and thresholds; arrays when looked up."""

    threshold_v: FloatArray
    write_threshold_v: FloatArray
    router_area: FloatArray
    macro_area: FloatArray
    """Tiles and macros but their drivers; `driver_area`: these."""
    driver_area: FloatArray
    row_energy: FloatArray
    driver_energy: FloatArray
    memory_energy: FloatArray
    """Buffers of tiles, and the global one."""
    write_energy: FloatArray


@dataclass(frozen=True)
class Constants:
    """What the costs of a chip with one kind of memory rest on."""

    memory: Memory
    nodes: Mapping[int, tuple[float, ...]]
    """By nm, in the order of the fields of Node."""
    router_mm2: float
    """Of a group."""
    buffer_mm2: Mapping[int, Mapping[int, float]]
    """Global buffers by nm and depth in words of 2048 bits. Smooth in neither, so nothing is interpolated."""

    def node(self, node_nm: ArrayLike) -> Node:
        """The factors at each of `node_nm`; one that is not in the table is an error, as nothing is interpolated."""
        index, names = _looked_up("node_nm", np.asarray(node_nm), self.nodes)
        table = np.array([self.nodes[name] for name in names])
        return Node(*(column[index] for column in table.T))

    def buffer_area_mm2(self, depth: ArrayLike, node_nm: ArrayLike) -> FloatArray:
        """Area of a global buffer of `depth` words of 2048 bits at a node; other depths than listed are an error."""
        depth, node_nm = np.asarray(depth), np.asarray(node_nm)
        at, nodes = _looked_up("node_nm", node_nm, self.buffer_mm2)
        column, depths = _looked_up("glb_depth_2048bit", depth, {d for each in self.buffer_mm2.values() for d in each})
        table = np.array([[self.buffer_mm2[nm].get(each, np.nan) for each in depths] for nm in nodes])
        area = table[at, column]
        if np.isnan(area).any():
            where = np.argwhere(np.isnan(area))[0]
            nm, got = (np.broadcast_to(values, area.shape)[tuple(where)] for values in (node_nm, depth))
            known = ", ".join(map(str, sorted(self.buffer_mm2[int(nm)])))
            raise InputError(f"glb_depth_2048bit: expected one of {known} at {nm:g} nm, got {got:g}")
        return area


def _looked_up(what: str, values: NDArray[Any], table: Iterable[int]) -> tuple[NDArray[np.intp], list[int]]:
    """Where each of `values` is in the sorted keys of `table`, and these."""
    keys = sorted(table)
    index = np.minimum(np.searchsorted(keys, values), len(keys) - 1)
    wrong = values[np.asarray(keys)[index] != values]
    if wrong.size:
        raise InputError(f"{what}: expected one of {', '.join(map(str, keys))}, got {wrong.flat[0]:g}")
    return index, keys


CONSTANTS_FILE = Path(__file__).with_name("constants.yaml")


@cache
def constants(memory: str) -> Constants:
    """The constants of chips with `memory`, one of MEMORIES."""
    return constants_from_tree(yaml.safe_load(CONSTANTS_FILE.read_text(encoding="utf-8")), memory)


def constants_from_tree(tree: Mapping[str, Any], memory: str) -> Constants:
    """The constants of `memory` in the tree that constants.yaml holds."""
    if memory not in MEMORIES:
        raise InputError(f"memory: expected one of {', '.join(MEMORIES)}, got {memory!r}")
    own = dict(tree[memory])
    nodes = {nm: tuple(float(row[field.name]) for field in fields(Node)) for nm, row in own.pop("nodes").items()}
    own_buffers = own.pop("buffer_mm2")
    own["cell_pj"] = tuple(own["cell_pj"])
    return Constants(Memory(**own), nodes, tree["router_mm2"], own_buffers)
