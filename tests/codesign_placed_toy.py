"""A small space of chips that have to be placed, and an engine that works in this process."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from h3c.compiler.codesigning.placed import ModelFile, PlacedChips, Settings
from h3c.compiler.codesigning.space import Space
from h3c.compiler.codesigning.space_files import space_from_tree

_I = TypeVar("_I")
_R = TypeVar("_R")

TREE: dict[str, Any] = {
    "name": "small",
    "description": "few tiles of each kind",
    "base": "heterogeneous",
    "variables": {
        "tiers.sram.arrays": [0, 8, 16],
        "tiers.reram.tiles": [0, 1, 2],
        "tiers.photonic.tiles": [0, 1],
        "tiers.edram.tiles": [0, 8],
        "dram.read_bytes_per_ns": [25.6, 1000.0],
    },
    "figures": {"double": "2 * tiers_reram_tiles", "density": "capacity_weights / area_mm2"},
    "constraints": {"area": "area_mm2 <= 26"},
    "follow": {
        "tiers.sram.other_area_mm2": "arrays / 16 * 0.0375",
        "tiers.sram.write_ports": "ceil(arrays / 16)",
        "tiers.reram.arrays": "double * 32",
        "tiers.reram.write_ports": "tiers_reram_tiles",
        "tiers.edram.arrays": "tiers_edram_tiles",
    },
}
MODELS = Path(__file__).parent.parent / "models"
NAMES = ("digits_mlp", "digits_cnn")


class Here:
    """An engine (see `workers.Engine`) of no process but this one; counts what it does."""

    def __init__(self) -> None:
        self.done = 0

    def results(self, function: Callable[[_I], _R], items: Sequence[_I]) -> Iterator[tuple[_I, _R]]:
        for item in items:
            self.done += 1
            yield item, function(item)

    def close(self) -> None:
        pass


def small_space(**changes: Any) -> Space:
    """Its 72 chips."""
    return space_from_tree({**TREE, **changes}, "small", Path())


def small_models(names: Sequence[str] = NAMES) -> list[ModelFile]:
    """Shipped models, an execution of one image."""
    return [ModelFile.of(name, MODELS / f"{name}.onnx", {"batch": 1}) for name in names]


def small_chips(engine: Any, names: Sequence[str] = NAMES, space: Space | None = None, **settings: Any) -> PlacedChips:
    """Prices of these models on these chips."""
    return PlacedChips(space or small_space(), small_models(names), Settings(**settings), engine)
