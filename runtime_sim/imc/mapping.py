"""How a layer lies on a chip of the template, and what it then asks of each component: whole numbers, no technology.

The rules are those that the archive's latencies obey: every layer has the whole chip, layers follow each other, one
vector of 8-bit inputs passes an array in one cycle whatever its size and its converter, no bandwidth limits. Weights
take ceil(8 / bits a cell) cells side by side; what does not fit at once is loaded in turns; spare macros hold copies,
which share the positions of the result. An SRAM chip spreads rows of positions over copies, never columns.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cost import ceil_div
from .layers import IntArray, Layers

FloatArray = NDArray[np.float64]

WEIGHT_BITS = 8


@dataclass(frozen=True)
class Fabric:
    """What of a design decides how layers lie; arrays that broadcast. `macros`: of the whole chip."""

    array_rows: IntArray
    array_cols: IntArray
    cells_a_weight: IntArray
    macros: IntArray
    macros_a_tile: IntArray
    spreads_columns: bool

    @staticmethod
    def of(
        rows: ArrayLike,
        cols: ArrayLike,
        bits_a_cell: ArrayLike,
        groups: ArrayLike,
        tiles_a_group: ArrayLike,
        macros_a_tile: ArrayLike,
        spreads_columns: bool,
    ) -> "Fabric":
        """The fabric of designs given by their variables."""
        r, k, b, g, t, m = (
            np.asarray(x, np.int64) for x in (rows, cols, bits_a_cell, groups, tiles_a_group, macros_a_tile)
        )
        return Fabric(r, k, ceil_div(WEIGHT_BITS, b), m * t * g, m, spreads_columns)


@dataclass(frozen=True)
class Demand:
    """What layers ask of a chip; arrays of the shape to which layers and fabric broadcast."""

    cycles: IntArray
    cells: IntArray
    """Cells that multiply, over all inputs."""
    row_reads: IntArray
    """Rows driven, an array at a time; `col_reads`: columns converted."""
    col_reads: IntArray
    weights: IntArray
    """Cells that hold weights, once; `weight_writes`: with all copies."""
    weight_writes: IntArray
    tile_words: FloatArray
    """Words in and out of the buffers of tiles: rows and columns served together by the macros that share them."""
    buffer_words: FloatArray
    """Words in and out of the global buffer: inputs with the halo of their window, partial sums, outputs."""

    def total(self, layers: Layers) -> "Demand":
        """Of a network: summed over the first axis, which is that of `layers`, in its order."""
        return Demand(*(_sum_in_order(getattr(self, field.name), layers.count) for field in fields(self)))


def demand(layers: Layers, fabric: Fabric) -> Demand:
    """What each of `layers` asks of each chip, once (not times its count)."""
    n, y = fabric.macros, fabric.cells_a_weight
    inputs = layers.channels * layers.kernel_rows * layers.kernel_cols
    positions = layers.rows * layers.cols
    deep = ceil_div(inputs, fabric.array_rows)
    wide = ceil_div(layers.outputs * y, fabric.array_cols)
    needed = deep * wide * layers.groups
    spread = positions if fabric.spreads_columns else layers.rows
    copies = np.minimum(np.maximum(n // needed, 1), spread)
    turns = ceil_div(spread, copies)
    loads = np.maximum(ceil_div(needed, n), 1)
    side_by_side = ceil_div(spread, turns)
    row_reads = inputs * layers.groups * positions * wide
    col_reads = layers.outputs * y * layers.groups * positions * deep
    weights = inputs * layers.outputs * layers.groups * y
    shared = np.minimum(fabric.macros_a_tile, wide), np.minimum(fabric.macros_a_tile, deep)
    tile_words = row_reads / shared[0] * fabric.array_rows + col_reads / shared[1] * fabric.array_cols
    strips = np.minimum(side_by_side, layers.rows)
    halo = layers.channels * layers.groups * layers.cols * (layers.rows / strips) * (strips + layers.kernel_rows - 1)
    results = layers.outputs * layers.groups * positions
    sums = np.minimum(np.maximum(ceil_div(deep, n), 1), deep)
    return Demand(
        cycles=loads * turns if fabric.spreads_columns else loads * turns * layers.cols,
        cells=weights * positions,
        row_reads=row_reads,
        col_reads=col_reads,
        weights=weights,
        weight_writes=weights * side_by_side,
        tile_words=tile_words,
        buffer_words=halo * np.minimum(loads, wide) + results * sums + results,
    )


def network_demand(layers: Layers, fabric: Fabric, block: int = 4096) -> Demand:
    """What a network asks of each of many chips, in arrays of the shape of the designs.

    Fabrics that are equal are mapped once: a space of 10^7 chips has some thousands of them.
    """
    parts = (fabric.array_rows, fabric.array_cols, fabric.cells_a_weight, fabric.macros, fabric.macros_a_tile)
    whole = np.broadcast_shapes(*(part.shape for part in parts))
    distinct, inverse = _distinct(parts, whole)
    totals: list[Demand] = []
    for first in range(0, max(1, distinct.shape[1]), block):  # with no designs one empty block
        rows, cols, cells, macros, in_tile = distinct[:, first : first + block]
        some = Fabric(rows, cols, cells, macros, in_tile, fabric.spreads_columns)
        totals.append(demand(layers, some).total(layers))
    joined = (np.concatenate([getattr(one, field.name) for one in totals]) for field in fields(Demand))
    return Demand(*(column[inverse] for column in joined))


def _distinct(parts: tuple[IntArray, ...], whole: tuple[int, ...]) -> tuple[IntArray, NDArray[np.intp]]:
    """The distinct columns of `parts` as [part, column], and for each element of `whole` which one it is."""
    code = np.zeros((), np.int64)
    size = 1
    for part in parts:
        values, index = np.unique(part, return_inverse=True)
        code = code * len(values) + index.reshape(part.shape)
        size *= len(values)
    codes, first, inverse = np.unique(np.broadcast_to(code, whole), return_index=True, return_inverse=True)
    del codes
    columns = np.stack([np.broadcast_to(part, whole).reshape(-1)[first] for part in parts])
    return columns, inverse.reshape(whole)


def _sum_in_order(values: NDArray[Any], count: IntArray) -> NDArray[Any]:
    """Sum of values x count over the first axis, one after the other, so that no blocking changes the last bit."""
    weighted = values * count
    total = np.zeros(weighted.shape[1:], weighted.dtype)
    for row in weighted:
        total += row
    return total
