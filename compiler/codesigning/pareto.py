"""The front of chips in energy, latency and area: no other chip is as good in all three and better in one.

Points are sorted by energy, so that what could beat a point stands before it; a staircase of (latency, area) of those,
kept sorted, tells by one bisection whether one does. Many chips at a time are first held against the front so far.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .evaluators import Judged, figures_of
from .ranking import rounded

Floats = NDArray[np.float64]
_PIVOTS = 32


@dataclass(frozen=True)
class Front:
    """The front in energy, latency, area, and loss where it was measured: a chip for each of its points, and how many
    chips share it.

    `exact`: of all chips of the space; else of those that a search visited.
    """

    chips: Judged
    count: NDArray[np.int64]
    exact: bool


def front(parts: Iterable[Judged]) -> tuple[Judged, NDArray[np.int64]]:
    """The front of chips that come in parts, by ascending energy, and how many chips share each of its points.

    Figures that agree to about 10 digits are equal; of equal chips the one with the least number stands for all. Memory
    is that of the front and of one part.
    """
    kept: Judged | None = None
    count = np.zeros(0, np.int64)
    for part in parts:
        if not len(part):
            continue
        part, weight = _distinct(part, np.ones(len(part), np.int64))
        if kept is not None:
            left = _not_beaten(part, kept)
            part, weight = part.at(left), weight[left]
            part, weight = _distinct(Judged.joined([kept, part]), np.concatenate([count, weight]))
        chosen = staircase(_points(part))
        kept, count = part.at(chosen), weight[chosen]
    if kept is None:
        raise ValueError("a front of no chips")
    return kept, count


def front_with_loss(chips: Judged) -> tuple[Judged, NDArray[np.int64]]:
    """The same of chips in energy, latency, area and loss, by holding each against all: of chips that had to be placed
    there are never many."""
    points = np.stack(list(map(rounded, figures_of(chips))), axis=1)
    order = np.lexsort((chips.number, *points.T[::-1]))
    points = points[order]
    first = np.flatnonzero(np.concatenate([[True], (points[1:] != points[:-1]).any(axis=1)]))
    count = np.diff(np.append(first, len(points)))
    points = points[first]
    kept = np.array([not ((points <= one).all(axis=1) & (points < one).any(axis=1)).any() for one in points])
    return chips.at(order[first[kept]]), count[kept]


def staircase(points: Floats) -> list[int]:
    """Which of `points` [point, (first, second, third)] no other one dominates; they are distinct and sorted."""
    seconds: list[float] = []
    thirds: list[float] = []  # falls as `seconds` rises
    result: list[int] = []
    for index, (_, second, third) in enumerate(points.tolist()):
        place = bisect_right(seconds, second)
        if place and thirds[place - 1] <= third:
            continue
        result.append(index)
        start = bisect_left(seconds, second)
        end = start
        while end < len(thirds) and thirds[end] >= third:
            end += 1
        seconds[start:end], thirds[start:end] = [second], [third]
    return result


def _points(judged: Judged) -> Floats:
    """[chip, (energy, latency, area)], to about 10 digits, as the same sum in another order differs in the last bit."""
    return np.stack([rounded(judged.energy_mj), rounded(judged.latency_ms), rounded(judged.area_mm2)], axis=1)


def _distinct(judged: Judged, weight: NDArray[np.int64]) -> tuple[Judged, NDArray[np.int64]]:
    """One chip for each distinct point, sorted by energy, latency, area; and the sums of their weights."""
    points = _points(judged)
    order = np.lexsort((judged.number, points[:, 2], points[:, 1], points[:, 0]))
    points = points[order]
    first = np.flatnonzero(np.concatenate([[True], (points[1:] != points[:-1]).any(axis=1)]))
    return judged.at(order[first]), np.add.reduceat(weight[order], first)


def _not_beaten(part: Judged, kept: Judged) -> NDArray[np.bool_]:
    """Which chips none of some chips of the front beats; equal ones stay."""
    points, others = _points(part), _points(kept)
    best = np.argsort(others.prod(axis=1), kind="stable")[: _PIVOTS // 2]
    spread = np.linspace(0, len(others) - 1, _PIVOTS // 2).astype(np.int64)
    left = np.ones(len(points), np.bool_)
    for pivot in others[np.unique(np.concatenate([best, spread]))]:
        left &= ~((pivot <= points).all(axis=1) & (pivot < points).any(axis=1))
    return left
