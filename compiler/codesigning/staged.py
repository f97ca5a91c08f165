"""Search in two stages: rank all chips by what costs little, then place and simulate the best ones anew.

A space of the template is ranked by its closed form. Any other is ranked by bounds that no plan is below (module
`staged_bound`): there a chip whose bound is above the best price found cannot be the best one, so that the second stage
may end early, and then what it found is proven.
"""

from collections.abc import Callable, Iterator, Sequence
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

Told = Callable[[int], None]
"""Takes the number of chips that are placed."""


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


def staged_closed_form(form: ClosedForm, placed: Task, count: int = KEPT, told: Told = lambda done: None) -> Staged:
    """The `count` best chips of the closed form, placed; `placed` is of the same space and has the same objective.

    Nothing is proven: what the two stages cost a chip may differ by any amount.
    """
    best = exhaustive(form, placed.objective).top.at(slice(count))
    judged = placed.judged([placed.space.design(number) for number in best.number.tolist()])
    told(len(judged))
    return Staged(found_of_visited(judged), _ranked(best, judged), "closed form")


def staged_by_bound(
    bound: Task,
    placed: Task,
    count: int = KEPT,
    told: Told = lambda done: None,
    at_once: int = 1,
    simulated: bool = False,
) -> Staged:
    """At most `count` chips in the order of their bounds, placed; ends where no chip that is left can be better.

    `bound` has prices that are never above those of `placed`. Chips are placed `at_once` together. What a simulator
    finds may be below what placement predicts, if not by much, so that with prices of one nothing counts as proven.
    """
    feasible = all_by_bound(bound)
    best = best_first(feasible, count)
    judged = _placed(placed, best, told, at_once)
    visited = found_of_visited(judged)
    # Those placed are the first of the order; of the others none is better whose bound is not below the best price.
    least = visited.top.score[0] if len(visited.top) else np.inf
    others = feasible.at(~np.isin(feasible.number, judged.number))
    decided = int(np.count_nonzero(others.score >= least))
    proven = bool(len(visited.top)) and decided == len(others) and not simulated
    size = bound.space.size if proven else len(judged) + decided
    # How many chips are near the best is known of those placed alone, and is told as such.
    found = replace(visited, proven=proven, evaluated=size, feasible=len(feasible))
    return Staged(found, _ranked(best.at(np.isin(best.number, judged.number)), judged), "bound")


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


def _placed(placed: Task, best: Judged, told: Told, at_once: int) -> Judged:
    """Prices of chips in this order, until the bounds of those left are not below the best price."""
    parts: list[Judged] = []
    least = np.inf
    for first in range(0, len(best), at_once):
        if best.score[first] >= least:
            break
        numbers = best.number[first : first + at_once].tolist()
        parts.append(placed.judged([placed.space.design(number) for number in numbers]))
        feasible = parts[-1].score[parts[-1].feasible]
        least = min(least, float(feasible.min(initial=np.inf)))
        told(first + len(numbers))
    return Judged.joined(parts)


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
