"""Sums over generation: what each step takes, whose cached keys and values grow, without a plan for every step.

What a step takes is linear in the number of cached tokens n as long as the arrays that they take stay the same, and
steps at multiples of an array's sides. So a range of n is cut at multiples of the longest side; each piece is halved
until its middle is within a tolerance of the line between its ends, and a linear piece is summed in closed form:
(b - a + 1) (f(a) + f(b)) / 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Growth:
    """The sum of each figure over all steps, and how many of them were planned."""

    sums: tuple[float, ...]
    planned: int


def sum_of_steps(
    step: Callable[[int], Sequence[float]], first: int, last: int, side: int, tolerance: float = 1e-3
) -> Growth:
    """The sums of the figures `step(n)` for n = `first` to `last`; `side` is the longest of an array.

    A piece counts as linear where all figures of its middle are within `tolerance` of themselves from the line.
    """
    known: dict[int, NDArray[np.float64]] = {}

    def at(n: int) -> NDArray[np.float64]:
        if n not in known:
            known[n] = np.asarray(step(n), float)
        return known[n]

    def piece(a: int, b: int) -> NDArray[np.float64]:
        if a == b:
            return at(a)
        middle = (a + b) // 2
        line = at(a) + (at(b) - at(a)) * (middle - a) / (b - a)
        if b - a < 2 or (abs(at(middle) - line) <= tolerance * abs(at(middle))).all():
            return (b - a + 1) * (at(a) + at(b)) / 2
        return piece(a, middle) + piece(middle + 1, b)

    starts = [first, *(n + 1 for n in range(first // side * side, last, side) if n >= first)]
    sums = sum(piece(a, b) for a, b in zip(starts, [*(s - 1 for s in starts[1:]), last], strict=True))
    return Growth(tuple(np.atleast_1d(sums).tolist()), len(known))
