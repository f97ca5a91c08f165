"""Chips drawn at random from a space, those only that keep the constraints."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError
from .evaluators import Task
from .space import Design, Space

Indices = NDArray[np.int64]

_SMALL = 1 << 18
"""Spaces up to this size are gone through in random order, so that the last chip is found too."""
_BATCHES = (256, 8192)
"""How many chips are drawn at once: at first, as few may be enough, and at most."""
_MOST_DRAWS = 4_000_000


def feasible_designs(task: Task, rng: np.random.Generator) -> Iterator[Design]:
    """Different chips that keep the constraints, drawn uniformly; ends with the space.

    In a space that is not small it also ends where 4 million draws bring no new chip. What constraints speak of are a
    chip's figures, which cost little; so nothing is priced here.
    """
    seen: set[Design] = set()
    barren = 0
    for drawn in _drawn(task.space, rng):
        kept = np.broadcast_to(task.space.violation(task.evaluator.figures(drawn)) == 0, (len(drawn),))
        barren += len(drawn)
        for design in map(tuple, drawn[kept].tolist()):
            if design not in seen:
                seen.add(design)
                barren = 0
                yield design
        if barren >= _MOST_DRAWS:
            return


def _drawn(space: Space, rng: np.random.Generator) -> Iterator[Indices]:
    """Chips in random order [chip, variable]: of a small space each once, else drawn again and again."""
    batch, most = _BATCHES
    if space.size <= _SMALL:
        order, first = rng.permutation(space.size), 0
        while first < len(order):
            yield np.stack(np.unravel_index(order[first : first + batch], space.shape), axis=1)
            first, batch = first + batch, min(2 * batch, most)
    else:
        while True:
            yield rng.integers(space.shape, size=(batch, len(space.shape)))
            batch = min(2 * batch, most)


def some_feasible(
    task: Task, rng: np.random.Generator, count: int, known: Callable[[Design], bool] = lambda design: False
) -> list[Design]:
    """At most `count` chips that keep the constraints and are not `known`; that no chip keeps them is an error."""
    result: list[Design] = []
    found = False
    for design in feasible_designs(task, rng):
        found = True
        if not known(design):
            result.append(design)
        if len(result) == count:
            break
    if not found:
        on = ", ".join(each.require.text for each in task.space.constraints if each.on)
        drawn = task.space.size if task.space.size <= _SMALL else _MOST_DRAWS
        raise InputError(f"space {task.space.name}: expected a chip that keeps {on}, got none in {drawn} drawn")
    return result


def farthest(designs: list[Design], count: int) -> list[Design]:
    """`count` of the designs, far from each other: the first, then always the one whose nearest chosen one is farthest.

    Distance is Hamming's, the number of variables that differ; of equal ones the first is taken.
    """
    if len(designs) <= count:
        return designs
    table: Indices = np.array(designs, np.int64)
    chosen = [0]
    nearest = (table != table[0]).sum(axis=1)
    while len(chosen) < count:
        nearest[chosen[-1]] = -1
        following = int(nearest.argmax())
        chosen.append(following)
        nearest = np.minimum(nearest, (table != table[following]).sum(axis=1))
    return [designs[index] for index in chosen]
