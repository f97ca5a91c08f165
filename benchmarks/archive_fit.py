"""Fitting the constants of the imc model: least absolute relative error, by reweighted least squares.

The model is linear in its constants, and in the factors of a node, once the thresholds are fixed: a column of the
regression is what the model says with one of them 1 and all others 0. Thresholds are the best of a grid.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from archive_data import SAME_NETWORK, Archive
from numpy.typing import NDArray

from h3c.runtime_sim.imc.constants import Constants, Memory
from h3c.runtime_sim.imc.model import area_mm2, figures, price

Floats = NDArray[np.float64]
Tree = dict[str, Any]

AREAS = ("crossing_mm2", "tile_buffer_mm2", "column_mm2", "cell_mm2", "driver_mm2")
ENERGIES = {
    "rram": ("cell_pj", "row_pj", "column_pj", "buffer_word_pj"),
    "sram": (
        "row_pj",
        "driver_pj",
        "column_pj",
        "weight_pj",
        "write_pj",
        "write_driver_pj",
        "tile_word_pj",
        "buffer_word_pj",
    ),
}
"""Constants that the archive's figures depend on, by memory; all others are 0."""
CELL_BITS = {"rram": 8, "sram": 1}
DRIVERS = {"rram": False, "sram": True}
NODE_AREAS = ("router_area", "macro_area", "driver_area")
NODE_ENERGIES = ("row_energy", "driver_energy", "memory_energy", "write_energy")
NODE_NAMES: tuple[str, ...] = ("threshold_v", "write_threshold_v", *NODE_AREAS, *NODE_ENERGIES)
REFERENCE_NM = 32

Column = tuple[str, int | None]
"""A constant, and which element of it where it is a list."""


def solve(columns: Sequence[Floats], target: Floats, rounds: int = 12) -> tuple[Floats, float]:
    """(factors >= 0 with which `columns` sum to `target` with least mean absolute relative error, that error)."""
    matrix = np.stack(columns, axis=1) / target[:, None]
    scale = np.maximum(np.abs(matrix).mean(axis=0), 1e-300)
    matrix = matrix / scale
    factors = np.zeros(len(columns))
    weights = np.ones(len(target))
    for _ in range(rounds):
        root, kept = np.sqrt(weights), np.ones(len(columns), np.bool_)
        while True:
            factors[:] = 0
            factors[kept] = np.linalg.lstsq(matrix[:, kept] * root[:, None], root, rcond=None)[0]
            if (factors >= 0).all():
                break
            kept &= factors >= 0
        weights = 1 / np.maximum(np.abs(matrix @ factors - 1), 1e-3)
    return factors / scale, float(np.abs(matrix @ factors - 1).mean())


def blank(memory: str) -> Constants:
    """The model with every constant 0, at the reference node, with no thresholds."""
    zeros = dict.fromkeys((*AREAS, *ENERGIES["rram"], *ENERGIES["sram"]), 0.0)
    zeros.pop("cell_pj")
    plain = Memory(spreads_columns=memory == "rram", cell_pj=(0.0,) * CELL_BITS[memory], **zeros)
    return Constants(plain, {}, 0.0, {})


def with_thresholds(constants: Constants, nm: int, thresholds: tuple[float, float]) -> Constants:
    """`constants` with node `nm` at these thresholds and with factors 1."""
    return replace(constants, nodes={nm: (*thresholds, *[1.0] * len((*NODE_AREAS, *NODE_ENERGIES)))})


def unit(constants: Constants, name: str, index: int | None) -> Constants:
    """`constants` with one constant of the memory at 1."""
    value = 1.0 if index is None else tuple(float(i == index) for i in range(len(constants.memory.cell_pj)))
    return replace(constants, memory=replace(constants.memory, **{name: value}))


def energy_pj(rows: Archive, constants: Constants) -> Floats:
    """What the model says of the rows."""
    return np.broadcast_to(
        price(rows.demand, figures(rows.designs, sized(constants, [rows]))).energy_pj, rows.energy_j.shape
    )


def depths_of(rows: Iterable[Archive]) -> list[int]:
    """The depths of the global buffers, sorted."""
    return sorted({depth for each in rows for depth in each.designs.glb_depth_2048bit.tolist()})


def sized(constants: Constants, rows: Iterable[Archive], nm: int = REFERENCE_NM, one: int | None = None) -> Constants:
    """`constants` with global buffers of no area at node `nm` (of 1 mm2 at the depth `one`)."""
    depths = depths_of(rows)
    nodes = {node: dict.fromkeys(depths, 0.0) for each in rows for node in set(each.designs.node_nm.tolist())}
    if one is not None:
        nodes[nm][one] = 1.0
    return replace(constants, buffer_mm2=nodes)


def energy_columns(memory: str) -> list[Column]:
    """The constants of energy of a memory."""
    cells: list[Column] = [("cell_pj", i) for i in range(CELL_BITS[memory])]
    return [column for name in ENERGIES[memory] for column in (cells if name == "cell_pj" else [(name, None)])]


def best_thresholds(
    rows: Archive, grids: Sequence[Floats], fit: Callable[[tuple[float, float]], tuple[Floats, float]]
) -> tuple[tuple[float, float], Floats]:
    """The thresholds (of drivers, of writing) of the grids that fit best, and the factors there."""
    lowest = float(rows.designs.volt.min())
    tried = [(low, write) for low, write in product(*(grid.tolist() for grid in grids)) if low < lowest]
    fits = [(fit(pair), pair) for pair in tried]
    (factors, _), pair = min(fits, key=lambda one: one[0][1])
    return pair, factors


def fit_memory(rows: Archive, memory: str) -> tuple[Constants, tuple[float, float]]:
    """(a memory's constants of energy, its thresholds) from rows at the reference node."""
    target, names = rows.energy_j * 1e12, energy_columns(memory)

    def fit(pair: tuple[float, float]) -> tuple[Floats, float]:
        empty = with_thresholds(blank(memory), REFERENCE_NM, pair)
        return solve([energy_pj(rows, unit(empty, *name)) for name in names], target)

    grids = [np.arange(0.43, 0.481, 0.005), np.arange(0.40, 0.551, 0.05)] if DRIVERS[memory] else [np.zeros(1)] * 2
    pair, factors = best_thresholds(rows, grids, fit)
    values: dict[str, Any] = {name: float(x) for (name, i), x in zip(names, factors, strict=True) if i is None}
    cells = [float(x) for (name, _), x in zip(names, factors, strict=True) if name == "cell_pj"]
    values["cell_pj"] = tuple(cells or [0.0] * CELL_BITS[memory])
    whole = with_thresholds(blank(memory), REFERENCE_NM, pair)
    return replace(whole, memory=replace(whole.memory, **values)), pair


def fit_areas(rows: Mapping[str, Archive], fitted_memories: dict[str, Constants]) -> dict[str, Constants]:
    """The constants of area: global buffers and router are the same for all memories."""
    depths = depths_of(rows.values())
    names: list[tuple[str, Any]] = [*(("buffer", depth) for depth in depths), ("router", None)]
    names += [(memory, name) for memory in rows for name in AREAS if name != "driver_mm2" or DRIVERS[memory]]

    def column(kind: str, name: Any) -> Floats:
        parts: list[Floats] = []
        for memory, each in rows.items():
            one = sized(fitted_memories[memory], rows.values(), one=name if kind == "buffer" else None)
            if kind == "router":
                one = replace(one, router_mm2=1.0)
            elif kind == memory:
                one = unit(one, name, None)
            parts.append(np.broadcast_to(area_mm2(each.designs, one), each.area_mm2.shape))
        return np.concatenate(parts)

    target = np.concatenate([each.area_mm2 for each in rows.values()])
    factors, _ = solve([column(*name) for name in names], target)
    found = dict(zip(names, factors.tolist(), strict=True))
    return {
        memory: replace(
            constants,
            router_mm2=found["router", None],
            buffer_mm2={REFERENCE_NM: {depth: found["buffer", depth] for depth in depths}},
            memory=replace(constants.memory, **{name: found.get((memory, name), 0.0) for name in AREAS}),
        )
        for memory, constants in fitted_memories.items()
    }


def fit_node(rows: Archive, constants: Constants, nm: int) -> tuple[dict[str, float], dict[int, float]]:
    """(thresholds and factors of node `nm`, areas of its buffers) from its rows."""

    def at(pair: tuple[float, float], **ones: float) -> Constants:
        factors = [ones.get(name, 0.0) for name in (*NODE_AREAS, *NODE_ENERGIES)]
        return replace(constants, nodes={nm: (*pair, *factors)})

    target = rows.energy_j * 1e12

    def fit(pair: tuple[float, float]) -> tuple[Floats, float]:
        fixed = energy_pj(rows, at(pair))  # what no factor scales
        columns = [energy_pj(rows, at(pair, **{name: 1.0})) - fixed for name in NODE_ENERGIES]
        factors, _ = solve(columns, target - fixed)
        total = fixed + sum(x * column for x, column in zip(factors, columns, strict=True))
        return factors, float(np.abs(total / target - 1).mean())

    pair, energies = best_thresholds(rows, [np.arange(0.30, 0.63, 0.02), np.arange(0.35, 0.61, 0.05)], fit)
    depths = depths_of([rows])
    plain = [sized(at(pair, **{name: 1.0}), [rows]) for name in NODE_AREAS]
    buffers = [sized(at(pair), [rows], nm, depth) for depth in depths]
    areas = [area_mm2(rows.designs, one) for one in (*plain, *buffers)]
    shares = solve([np.broadcast_to(area, rows.area_mm2.shape) for area in areas], rows.area_mm2)[0].tolist()
    node = dict(zip(NODE_NAMES, (*pair, *shares[: len(plain)], *energies.tolist()), strict=True))
    return node, dict(zip(depths, shares[len(plain) :], strict=True))


def fitted(halves: Mapping[str, Archive]) -> Tree:
    """The tree of constants.yaml, from the rows of each memory that may be used for fitting."""
    usable = {memory: rows.where(np.isin(rows.network, SAME_NETWORK)) for memory, rows in halves.items()}
    at = {memory: rows.where(rows.designs.node_nm == REFERENCE_NM) for memory, rows in usable.items()}
    energies = {memory: fit_memory(rows, memory) for memory, rows in at.items()}
    whole = fit_areas(at, {memory: constants for memory, (constants, _) in energies.items()})
    tree: Tree = {}
    for memory, constants in whole.items():
        factors = (*energies[memory][1], *[1.0] * len((*NODE_AREAS, *NODE_ENERGIES)))
        nodes: dict[int, dict[str, float]] = {REFERENCE_NM: dict(zip(NODE_NAMES, factors, strict=True))}
        rows, buffers = usable[memory], dict(constants.buffer_mm2)
        for nm in sorted(set(rows.designs.node_nm.tolist()) - {REFERENCE_NM}):
            nodes[nm], buffers[nm] = fit_node(rows.where(rows.designs.node_nm == nm), constants, nm)
        values = {**vars(constants.memory), "cell_pj": list(constants.memory.cell_pj)}
        tree[memory] = {**values, "nodes": dict(sorted(nodes.items()))}
        tree["router_mm2"] = constants.router_mm2
        tree[memory]["buffer_mm2"] = dict(sorted(buffers.items()))
    return rounded(tree)


def rounded(tree: Any) -> Any:
    """Every number to four digits, which is more than the fit is good for."""
    if isinstance(tree, dict):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [rounded(value) for value in tree]
    return float(f"{tree:.4g}") if isinstance(tree, float) else tree


HEADER = """\
# Written by benchmarks/archive.py --write. Every value is FITTED, on half of the designs of the cost-model archive of
# the search of arXiv 2603.03880 (CiMLoop on Timeloop and Accelergy; 8-bit inputs and weights, 5-bit ADCs of
# NeuroSim's model, 16 columns an ADC), with five networks: resnet18, vgg16, alexnet, mobilenet_v3, densenet201. So they
# are that stack's figures, and hold the average activity of these networks' inputs. runtime_sim/imc/constants.py says
# what each one means, runtime_sim/imc/model.py in which formula it stands. Areas in mm2, energies in pJ, thresholds in
# V, all at 32 nm; `nodes`: factors on those, by nm. `buffer_mm2`: by nm and depth in words of 2048 bits.
"""


def to_yaml(tree: Tree) -> str:
    """The text of constants.yaml."""
    lines = [HEADER, f"router_mm2: {tree['router_mm2']:g}"]
    for memory in ENERGIES:
        lines += ["", f"{memory}:"]
        for name, value in tree[memory].items():
            if isinstance(value, dict):
                lines += [f"  {name}:", *(f"    {nm}: {_flow(row)}" for nm, row in value.items())]
            else:
                lines.append(f"  {name}: {str(value).lower()}")
    return "\n".join(lines) + "\n"


def _flow(row: Mapping[Any, float]) -> str:
    return "{" + ", ".join(f"{key}: {value:g}" for key, value in row.items()) + "}"
