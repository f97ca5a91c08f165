"""Search in two stages: rank all chips by what costs little, then place and simulate the best ones anew.

A space of the template is ranked by its closed form, any other by bounds that no plan is below (`staged_bound`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime_sim.errors import InputError
from .closed_form import ClosedForm
from .evaluators import Judged, Task
from .exhaustive import exhaustive
from .ranking import KEPT, Found, best_first, found_of_visited
from .space import Design

MOST_CHIPS = 2_000_000
"""Of a space that is ranked by bounds."""
_BLOCK = 4096


@dataclass(frozen=True)
class Restaged:
    """A chip in both stages: ranks from 1, scores in the objective's unit; where it could not run, infinite."""

    number: int
    first_rank: int
    first_score: float
    rank: int
    score: float


@dataclass(frozen=True)
class Staged:
    """What was found, with the chips of the second stage in its order."""

    found: Found
    chips: tuple[Restaged, ...]
    first: str
    """How the first stage ranked: "closed form" or "bound"."""


def staged_closed_form(form: ClosedForm, placed: Task, count: int = KEPT) -> Staged:
    """The `count` best chips of the closed form, placed; `placed` is of the same space and has the same objective."""
    return _staged(exhaustive(form, placed.objective).top.at(slice(count)), placed, "closed form")


def staged_by_bound(bound: Task, placed: Task, count: int = KEPT) -> Staged:
    """The `count` chips of least bound, placed; `feasible` of what is found is of the whole space."""
    feasible = all_by_bound(bound)
    staged = _staged(best_first(feasible, count), placed, "bound")
    return replace(staged, found=replace(staged.found, feasible=len(feasible)))


def _staged(best: Judged, placed: Task, first: str) -> Staged:
    """Chips of the first stage, placed. Nothing is proven: what the two stages cost a chip may differ by any amount."""
    judged = placed.judged([placed.space.design(number) for number in best.number.tolist()])
    return Staged(found_of_visited(judged), _ranked(best, judged), first)


def all_by_bound(bound: Task) -> Judged:
    """All chips that keep the constraints, with their bounds."""
    space = bound.space
    if space.size > MOST_CHIPS:
        raise InputError(f"space {space.name}: expected at most {MOST_CHIPS} chips to rank by bounds, got {space.size}")
    kept: list[Design] = []
    for designs in _blocks(space.shape):
        violation = np.broadcast_to(space.violation(bound.evaluator.figures(designs)), (len(designs),))
        kept += [design for design, amount in zip(designs, violation.tolist(), strict=True) if amount == 0]
    if not kept:
        on = ", ".join(each.require.text for each in space.constraints if each.on)
        raise InputError(f"space {space.name}: expected a chip that keeps {on}, got 0 of {space.size}")
    parts = [bound.judged(kept[first : first + _BLOCK]) for first in range(0, len(kept), _BLOCK)]
    judged = Judged.joined(parts)
    return judged.at(judged.feasible)


def _ranked(best: Judged, judged: Judged) -> tuple[Restaged, ...]:
    """The chips of both stages, in the order of the second."""
    order = best_first(judged, len(judged)).number.tolist()
    rank = {number: place + 1 for place, number in enumerate(order)}
    score = dict(zip(judged.number.tolist(), np.where(judged.feasible, judged.score, np.inf).tolist(), strict=True))
    numbers, scores = best.number.tolist(), best.score.tolist()
    chips = [
        Restaged(number, place + 1, first, rank[number], score[number])
        for place, (number, first) in enumerate(zip(numbers, scores, strict=True))
    ]
    return tuple(sorted(chips, key=lambda chip: chip.rank))


def _blocks(shape: Sequence[int]) -> Iterator[list[Design]]:
    """All chips of a space."""
    for first in range(0, int(np.prod(shape)), _BLOCK):
        numbers = np.arange(first, min(first + _BLOCK, int(np.prod(shape))))
        yield list(map(tuple, np.stack(np.unravel_index(numbers, shape), axis=1).tolist()))
