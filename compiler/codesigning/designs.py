"""Lists of designs from CSV files, block by block, so that a file of any length needs little memory."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.model import Designs

BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Range:
    """What a column of numbers may hold: from `low` to `high`, whole numbers only if `whole`."""

    low: float
    high: float
    whole: bool = True

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"


RANGES = {
    "volt": Range(0.3, 1.5, whole=False),
    "bits_per_cell": Range(1, 8),
    "cycle_s": Range(1e-10, 1e-6, whole=False),
    "rows": Range(1, 4096),
    "cols": Range(1, 4096),
    "groups": Range(1, 1024),
    "tiles_per_group": Range(1, 1024),
    "macros_per_tile": Range(1, 1024),
    "glb_depth_2048bit": Range(1, 1 << 24),
    "node_nm": Range(1, 1000),
}
"""The variables of a design in the archive's order. Ranges catch slips of units and place; what a value must be beyond
them (a node or a depth that is known, a supply above the threshold) the model says."""

COLUMNS = ("memory", "network", *RANGES)
"""The columns of a list of designs."""


@dataclass(frozen=True)
class Block:
    """Some rows: the texts of COLUMNS, in that order, and the numbers of the designs."""

    path: Path
    first_row: int
    """Number of the first row of the block; rows count from 1, without the header and blank lines."""
    texts: Sequence[Sequence[str]]
    designs: Designs

    def fault(self, index: int, column: str, expected: str) -> InputError:
        """What is wrong with a value of the block, as the one line that the user sees."""
        got = self.texts[COLUMNS.index(column)][index]
        return InputError(
            f"{self.path}: row {self.first_row + index}, column {column}: expected {expected}, got {got!r}"
        )


class _Numbers(dict[str, float]):
    """Texts of one column as numbers: each text is read and checked once, as a list has few different ones."""

    def __init__(self, allowed: Range) -> None:
        super().__init__()
        self.allowed = allowed

    def __missing__(self, text: str) -> float:
        try:
            number = math.nan if "_" in text else float(text)
        except ValueError:
            number = math.nan
        inside = self.allowed.low <= number <= self.allowed.high
        if not inside or (self.allowed.whole and number != int(number)):
            raise KeyError(text)
        if len(self) > BLOCK_ROWS:
            self.clear()
        self[text] = number
        return number


def read_blocks(path: Path) -> Iterator[Block]:
    """The designs of the list at `path`, whose columns may stand in any order beside others."""
    numbers = {name: _Numbers(allowed) for name, allowed in RANGES.items()}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            places, row = _places(path, header), 1
            while rows := list(islice(filter(None, reader), BLOCK_ROWS)):
                assert header is not None
                yield _block(path, row, rows, len(header), places, numbers)
                row += len(rows)
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a CSV file, got a file that is not text") from None
    except csv.Error as error:
        raise InputError(f"{path}: expected a CSV file, got: {error}") from None


def _places(path: Path, header: list[str] | None) -> list[int]:
    """Where each of COLUMNS stands."""
    names = [name.strip() for name in header or []]
    for name in COLUMNS:
        if names.count(name) != 1:
            found = "none" if name not in names else f"{names.count(name)} of them"
            raise InputError(f"{path}: header: expected a column {name} (of {','.join(COLUMNS)}), got {found}")
    return [names.index(name) for name in COLUMNS]


def _block(
    path: Path, first_row: int, rows: list[list[str]], width: int, places: list[int], numbers: dict[str, _Numbers]
) -> Block:
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InputError(
                f"{path}: row {first_row + index}: expected {width} values, as in the header, got {len(row)}"
            )
    columns = list(zip(*rows, strict=True))
    texts = [columns[place] for place in places]
    values: dict[str, NDArray[np.float64]] = {}
    for name, allowed in RANGES.items():
        own = texts[COLUMNS.index(name)]
        try:
            array = np.fromiter(map(numbers[name].__getitem__, own), np.float64, len(own))
        except KeyError as error:
            index = own.index(error.args[0])
            raise InputError(
                f"{path}: row {first_row + index}, column {name}: expected {allowed}, got {error.args[0]!r}"
            ) from None
        values[name] = array
    return Block(path, first_row, texts, Designs.of(**values))
