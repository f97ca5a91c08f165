"""Which of several chips is the best: by score, where scores are equal by area, energy, latency, loss where it is
measured, values of variables.

Sums of the same numbers in another order differ in the last bit, so figures within 1e-9 of the least count as equal.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .evaluators import Judged

Floats = NDArray[np.float64]

TOLERANCE = 1e-9
SHARES = (0.02, 0.05, 0.10)
"""Distances from the best score within which chips are counted."""
KEPT = 50
"""How many of the best chips a search tells of."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    top: Judged
    """The best chips, best first, at most KEPT; the first one is the answer."""
    within: dict[float, int]
    """How many chips are within each of SHARES of the best score: of the space if `proven`, else of those visited."""
    proven: bool
    """Whether no chip of the space is better, in the model."""
    evaluated: int
    """Chips decided: all of the space where `proven`, else those visited."""
    feasible: int
    """How many of these keep the constraints."""
    course: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """(chips visited, best score so far) where that improved; empty for a search that has no order."""
    visited: Judged | None = None
    """All that was visited, in order; None where the whole space was decided."""


def near_least(values: Floats) -> NDArray[np.bool_]:
    """Which values are the least, within TOLERANCE."""
    least = values.min()
    return values <= least + TOLERANCE * abs(least)


def best_of(judged: Judged) -> int:
    """The position of the best chip: least violation, then score, area, energy, latency, loss, number."""
    places = np.arange(len(judged))
    for key in _keys(judged):
        values = key[places]
        if not np.isfinite(values).any():
            continue
        places = places[near_least(values)]
    return int(places[np.argmin(judged.number[places])])


def _keys(judged: Judged) -> list[Floats]:
    """What chips are ranked by, before their numbers."""
    loss = [] if judged.loss is None else [judged.loss]
    return [judged.violation, judged.score, judged.area_mm2, judged.energy_mj, judged.latency_ms, *loss]


def best_first(judged: Judged, count: int) -> Judged:
    """The `count` best chips, which keep the constraints, best first; the first is that of `best_of`."""
    if not len(judged):
        return judged
    order = np.lexsort((judged.number, *map(rounded, reversed(_keys(judged)))))
    best = best_of(judged)
    order = np.concatenate([[best], order[order != best]])[:count]
    return judged.at(order)


def found_of_visited(judged: Judged) -> Found:
    """What a search found that visited these chips in this order."""
    feasible = judged.at(judged.feasible)
    top = best_first(feasible, KEPT)
    best = top.score[0] if len(top) else np.inf
    within = {share: int(np.count_nonzero(feasible.score <= best * (1 + share + TOLERANCE))) for share in SHARES}
    scores = np.where(judged.feasible, judged.score, np.inf)
    least = np.minimum.accumulate(scores)
    improved = np.flatnonzero(least < np.concatenate([[np.inf], least[:-1]]))
    course = [(int(index) + 1, float(least[index])) for index in improved]
    return Found(top, within, False, len(judged), len(feasible), course, judged)


def rounded(values: Floats) -> Floats:
    """Values to about 10 digits, so that the last bits do not tell equal ones apart."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2**33), exponent)
