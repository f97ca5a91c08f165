"""What searches ask of whatever prices chips, and how they keep count of what they asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .objectives import NS_IN_MS, PJ_IN_MJ, Objective
from .space import Design, DesignList, Space

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What chips cost: `energy_pj` and `latency_ns` are [model, chip], of one execution; `area_mm2` is [chip].

    What could not be priced is infinite, never 0. `loss` and `quality` under noise, [model, chip], are no number where
    they were not measured, and None where nothing was.
    """

    energy_pj: Floats
    latency_ns: Floats
    area_mm2: Floats
    loss: Floats | None = None
    quality: Floats | None = None


class Evaluator(Protocol):
    """Prices chips of `space` for `models`. The same chip has the same price, whatever it is asked with."""

    @property
    def space(self) -> Space:
        """The chips."""
        ...

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        ...

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips, whatever runs on them, by name: [chip]. What constraints speak of; cheap."""
        ...

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        """Prices of chips."""
        ...


@dataclass(frozen=True)
class Judged:
    """Chips with all that they are ranked by; arrays over the chips. Energy and latency are joined over the models."""

    number: NDArray[np.int64]
    """Of each chip in its space."""
    score: Floats
    violation: Floats
    area_mm2: Floats
    energy_mj: Floats
    latency_ms: Floats
    loss: Floats | None = None
    """The greatest of a model, infinite where it could not be priced; None where losses are not measured."""

    def at(self, which: Any) -> "Judged":
        """Some of them."""
        some: Any = [None if values is None else values[which] for values in vars(self).values()]
        return Judged(*some)

    @staticmethod
    def joined(parts: Sequence["Judged"]) -> "Judged":
        """Several lists as one."""
        columns = ([vars(part)[name] for part in parts] for name in Judged.__annotations__)
        whole: Any = [None if column[0] is None else np.concatenate(column) for column in columns]
        return Judged(*whole)

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Which of them keep the constraints and could be priced."""
        return (self.violation == 0) & np.isfinite(self.score)

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class Task:
    """What is searched: the chips of an evaluator's space, for the least objective."""

    evaluator: Evaluator
    objective: Objective

    @property
    def space(self) -> Space:
        """The chips."""
        return self.evaluator.space

    def judged(self, designs: Sequence[Design], ignored: Sequence[str] = (), scores: Scores | None = None) -> Judged:
        """Rank chips by what they cost, `scores` where it is given; `ignored`: constraints that do not count."""
        figures = self.evaluator.figures(designs)
        scores = scores or self.evaluator.evaluate(designs)
        energy = self.objective.joined(list(scores.energy_pj * PJ_IN_MJ))
        latency = self.objective.joined(list(scores.latency_ns * NS_IN_MS))
        score = self.objective.score(energy, latency, scores.area_mm2, figures.get("cost"), joined_quality(scores))
        shape = (len(designs),)
        violation = np.broadcast_to(self.space.violation(figures, ignored), shape)
        failed = ~(np.isfinite(energy) & np.isfinite(latency) & np.isfinite(score))
        return Judged(
            np.array([self.space.number(design) for design in designs], np.int64),
            np.where(failed, np.inf, score),
            violation,
            np.broadcast_to(scores.area_mm2, shape),
            energy,
            latency,
            None if scores.loss is None else np.nan_to_num(np.fmax.reduce(scores.loss, axis=0), nan=np.inf),
        )


def figures_of(judged: Judged) -> list[Floats]:
    """What a front is of, each [chip]: energy, latency, area, and loss where it was measured."""
    return [judged.energy_mj, judged.latency_ms, judged.area_mm2, *([] if judged.loss is None else [judged.loss])]


def joined_quality(scores: Scores) -> Floats | None:
    """The product over the models that were measured, [chip]."""
    return None if scores.quality is None else np.nanprod(scores.quality, axis=0)


class BudgetSpent(Exception):
    """A search has visited as many chips as it may."""


class Visits:
    """The chips that a search visited, each priced once; the budget is their number, whoever priced them before."""

    def __init__(self, task: Task, budget: int) -> None:
        self.task = task
        self.budget = budget
        self._parts: list[Judged] = []
        self._rank: dict[int, tuple[float, float]] = {}
        self._figures: dict[int, tuple[float, ...]] = {}

    def __len__(self) -> int:
        return len(self._rank)

    @property
    def all(self) -> Judged:
        """What was visited, in the order in which it was."""
        return Judged.joined(self._parts)

    def visit(self, designs: Sequence[Design]) -> list[tuple[float, float]]:
        """(violation, score) of each; raises BudgetSpent after the last chip that the budget allows."""
        numbers = [self.task.space.number(design) for design in designs]
        new = dict(zip(numbers, designs, strict=True))
        new = {number: design for number, design in new.items() if number not in self._rank}
        affordable = list(new.values())[: self.budget - len(self)]
        if affordable:
            judged = self.task.judged(affordable)
            self._parts.append(judged)
            ranks = zip(judged.violation.tolist(), judged.score.tolist(), strict=True)
            self._rank.update(zip(judged.number.tolist(), ranks, strict=True))
            figures = [each.tolist() for each in figures_of(judged)]
            self._figures.update(zip(judged.number.tolist(), zip(*figures, strict=True), strict=True))
        if len(affordable) < len(new):
            raise BudgetSpent
        return [self._rank[number] for number in numbers]

    def known(self, design: Design) -> bool:
        """Whether a chip was visited."""
        return self.task.space.number(design) in self._rank

    def figures(self, designs: Sequence[Design]) -> list[tuple[float, ...]]:
        """`figures_of` chips that were visited."""
        return [self._figures[self.task.space.number(design)] for design in designs]

    def best_first(self) -> Iterator[int]:
        """Numbers of the chips visited, best first: what keeps the constraints by score, then by violation."""
        return iter(sorted(self._rank, key=lambda number: (*self._rank[number], number)))
