"""Sums over generation: the time of each step, whose cached keys and values grow, without a plan for every step.

What a step takes is linear in the number of cached tokens n as long as the arrays that they take stay the same, and
steps at multiples of an array's sides. So a range of n is cut at multiples of the longer side; each piece is halved
until its middle is within a tolerance of the line between its ends, and a linear piece is summed in closed form:
(b - a + 1) (f(a) + f(b)) / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .problem import SegmentChip


@dataclass(frozen=True)
class Growth:
    """The time of all steps, and how many of them were planned."""

    total_ps: int
    planned: int


def sum_of_steps(
    step_ps: Callable[[int], int], first: int, last: int, chip: SegmentChip, tolerance: float = 1e-3
) -> Growth:
    """The sum of `step_ps(n)` for n = `first` to `last`; a piece counts as linear within `tolerance` of a step."""
    known: dict[int, int] = {}

    def at(n: int) -> int:
        if n not in known:
            known[n] = step_ps(n)
        return known[n]

    def piece(a: int, b: int) -> float:
        ends = at(a) + at(b)
        middle = (a + b) // 2
        if b - a < 2 or abs(at(middle) - (at(a) + (at(b) - at(a)) * (middle - a) / (b - a))) <= tolerance * at(middle):
            return (b - a + 1) * ends / 2 if b > a else at(a)
        return piece(a, middle) + piece(middle + 1, b)

    side = max(chip.array_rows, chip.array_cols)
    starts = [first, *(n + 1 for n in range(first // side * side, last, side) if n >= first)]
    total = sum(piece(a, b) for a, b in zip(starts, [*(s - 1 for s in starts[1:]), last], strict=True))
    return Growth(round(total), len(known))
