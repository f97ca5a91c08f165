"""Prices of lists of designs, written beside them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.constants import Constants, constants
from ...runtime_sim.imc.layers import Layers
from ...runtime_sim.imc.model import Designs, figures, price_network
from .designs import COLUMNS, Block, read_blocks

PRICES = ("energy_j", "latency_s", "area_mm2")
"""Of one execution of the row's network, and of the chip."""

SPACES = {"imc-rram": "rram", "imc-sram": "sram"}
"""The memory of each space of designs."""

Floats = NDArray[np.float64]


def price_file(path: Path, space: str, networks: Mapping[str, Layers], out: TextIO) -> int:
    """Write each design of the list at `path`, its columns as given, with its PRICES to `out`; returns their number.

    `space` is one of SPACES, which the designs must be of; `networks`: the layers of each network that the list names.
    """
    memory, count = SPACES[space], 0
    known = constants(memory)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*COLUMNS, *PRICES))
    for block in read_blocks(path):
        _check(block, space, networks, known)
        prices = _block_prices(block, networks, known)
        writer.writerows(zip(*block.texts, *(column.tolist() for column in prices), strict=True))
        count += len(block.texts[0])
    return count


def _check(block: Block, space: str, networks: Mapping[str, Layers], known: Constants) -> None:
    """The first value that the space, the networks or the model do not know is an error."""
    memories, names = block.texts[:2]
    expected = SPACES[space].upper()
    if set(memories) != {expected}:
        wrong = next(index for index, text in enumerate(memories) if text != expected)
        raise block.fault(wrong, "memory", f"{expected} (space {space})")
    if unknown := set(names) - set(networks):
        wrong = next(index for index, text in enumerate(names) if text in unknown)
        raise block.fault(wrong, "network", f"one of {', '.join(networks)} (--model)")
    most = len(known.memory.cell_pj)
    bits = block.designs.bits_per_cell > most
    if bits.any():
        raise block.fault(int(bits.argmax()), "bits_per_cell", f"at most {most} for {expected}")
    if _refused(block.designs, known) is not None:
        low, high = 0, len(names)  # rows before low are fine, one of those before high is not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _refused(block.designs.at(slice(low, middle)), known) else (middle, high)
        told = _refused(block.designs.at(slice(low, high)), known)
        raise InputError(f"{block.path}: row {block.first_row + low}, column {told}")


def _refused(designs: Designs, known: Constants) -> str | None:
    """What the model has against some of the designs."""
    try:
        figures(designs, known)
    except InputError as error:
        return str(error)
    return None


def _block_prices(block: Block, networks: Mapping[str, Layers], known: Constants) -> list[Floats]:
    """PRICES of each row of a block."""
    names = np.array(block.texts[1])
    area = figures(block.designs, known).area_mm2
    result = [np.empty(len(names)), np.empty(len(names)), np.broadcast_to(area, names.shape)]
    for name in sorted(set(block.texts[1])):
        rows = np.flatnonzero(names == name)
        priced = price_network(networks[name], block.designs.at(rows), known)
        result[0][rows], result[1][rows] = priced.energy_pj * 1e-12, priced.latency_s
    return result
