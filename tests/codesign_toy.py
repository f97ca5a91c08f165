"""A space whose chips are priced by a formula, for what has to do with searches and not with prices.

`search_in_a_process` is what a process runs: a search that appends each price to a log when it is made.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from h3c.compiler.codesigning.archive import Archive, Context, Price
from h3c.compiler.codesigning.archived import Archived
from h3c.compiler.codesigning.evaluators import Scores, Task
from h3c.compiler.codesigning.evolutionary import four_phases
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.space import Design, DesignList, Space
from h3c.compiler.codesigning.space_files import space_from_tree

TREE = {
    "name": "toy",
    "description": "chips of a formula",
    "base": "imc-rram",
    "variables": {
        "tiers.imc.volt": {"from": 0.5, "to": 0.85, "step": 0.05},
        "tiers.imc.rows": {"from": 32, "to": 512, "factor": 2},
        "tiers.imc.cols": {"from": 32, "to": 512, "factor": 2},
        "tiers.imc.groups": [1, 2, 4, 8],
        "tiers.imc.tiles_per_group": {"from": 4, "to": 64, "factor": 2},
    },
    "constraints": {"area": "area_mm2 <= 800"},
}


def toy_space() -> Space:
    """Its 4,000 chips."""
    return space_from_tree(TREE, "toy", Path())


class Formula:
    """An evaluator (see `evaluators.Evaluator`) of two models whose costs pull apart."""

    models = ("wide", "deep")

    def __init__(self, space: Space) -> None:
        self.space = space

    def figures(self, designs: DesignList) -> dict[str, Any]:
        index = np.array(designs, np.float64).reshape(-1, len(self.space.shape))
        return {"area_mm2": 100.0 + 100 * index[:, 1:].sum(axis=1)}

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        volt, rows, cols, groups, tiles = np.array(designs, np.float64).reshape(-1, 5).T
        energy = np.stack([1 + (volt - 3.3) ** 2 + cols, 2 + (volt - 5.1) ** 2 + rows]) * 1e9
        latency = np.stack([9 - groups - 0.7 * tiles + rows, 9 - groups + 0.3 * (tiles - 3.2) ** 2]) * 1e6
        return Scores(energy, latency, self.figures(designs)["area_mm2"])


@dataclass
class SlowFormula:
    """The pricing (see `archived.Pricing`) of the formula, a chip at a time, each noted in a file when it is safe."""

    evaluator: Formula
    log: Path
    seconds: float = 0.0
    costly: bool = True
    measured: bool = False

    def contexts(self) -> list[Context]:
        return [Context("toy", model, "1", "") for model in self.evaluator.models]

    def prices(self, wanted: Sequence[tuple[int, Design]], done: Callable[[int, Design, Price, bool], None]) -> None:
        for model, design in wanted:
            time.sleep(self.seconds)
            scores = self.evaluator.evaluate([design])
            energy, latency = float(scores.energy_pj[model, 0]), float(scores.latency_ns[model, 0])
            done(model, design, Price(energy, latency, float(scores.area_mm2[0])), True)
            with self.log.open("a") as file:
                file.write(f"{model} {design}\n")


def search(archive: Archive | None, log: Path, budget: int, seed: int, seconds: float = 0.0) -> tuple[str, Archived]:
    """The four-phase search; what it found, to the last bit, and the evaluator that it used."""
    evaluator = Archived(SlowFormula(Formula(toy_space()), log, seconds), archive)
    found = four_phases(Task(evaluator, Objective("edap", "max")), budget, seed)
    top = found.top
    told = [found.evaluated, found.feasible, top.number.tolist(), [score.hex() for score in top.score.tolist()]]
    return repr([*told, found.course]), evaluator


def search_in_a_process(archive: Path, log: Path, budget: int, seed: int, seconds: float, answer: Path) -> None:
    """Search; write two lines to `answer`: the best chip, and how many prices were found and made."""
    with Archive(archive) as shared:
        told, used = search(shared, log, budget, seed, seconds)
    answer.write_text(f"{told}\n{used.found} {used.priced}\n")
