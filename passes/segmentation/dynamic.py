"""The exact strategy: the best cuts, places of tensors, preloaded arrays and allocations, by dynamic programming.

**State.** What a segment leaves to the next is which tensors are on chip and where (`Place`), and how many arrays
hold weights of the next one. A tensor has one place for its life, so a state at a cut names the places of all tensors
alive there, and two states fit together where they agree on those alive at both. Nothing else couples segments: arrays
rest in compute mode, and a segment's time with given states at its ends depends on itself alone.

Segments with the same numbers (layers of a transformer) are priced once.

**Grids.** On chips of up to 16 arrays all numbers of preloaded arrays are looked at, on larger ones 9; on those of up
to 32 all numbers of memory arrays, on larger ones 25. At most four tensors alive at a cut may stay on chip.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .allocation import NEVER, Resident, Tiled
from .bound import lower_bound
from .places import State, States
from .problem import Place, PlacementError, SegmentPlan, SegmentProblem
from .resident import Ints
from .segments import Decision, assemble
from .window import Window, Windows

Back = list[tuple[int, State, int]]
"""For each number of preloads: where the segment begins, the state there, the level of what was preloaded."""


def solve_segments(problem: SegmentProblem) -> SegmentPlan:
    """The best plan of the plan space (up to the grids), with a bound that holds without them."""
    return _Solver(problem).plan()


def preload_levels(problem: SegmentProblem) -> Ints:
    """Numbers of preloaded arrays to look at."""
    arrays = problem.chip.arrays
    if not problem.chip.overlap_writes:
        return np.zeros(1, np.int64)
    return np.unique(np.round(np.linspace(0, arrays, arrays + 1 if arrays <= 16 else 9)).astype(np.int64))


class _Solver:
    """Tables of the dynamic program: the least time up to a cut, by state and number of preloaded arrays."""

    def __init__(self, problem: SegmentProblem):
        self.problem = problem
        self.windows = Windows(problem)
        self.states = States(self.windows)
        self.levels = preload_levels(problem)
        self.tables: dict[tuple[object, ...], Ints] = {}
        count = len(problem.operators)
        self.best: list[dict[State, Ints]] = [{} for _ in range(count + 1)]
        self.back: list[dict[State, Back]] = [{} for _ in range(count + 1)]

    def plan(self) -> SegmentPlan:
        """Forward over cuts, then back along the choices."""
        problem, count = self.problem, len(self.problem.operators)
        bound = lower_bound(problem)
        if not count:
            return SegmentPlan((), (), problem.fixed_ps, 0, problem.fixed_ps)
        start = np.full(len(self.levels), NEVER, np.int64)
        start[0] = 0
        self.best[0][()] = start
        for first in range(count):
            for last, before, after, table in self._moves(first):
                self._offer(first, before, last + 1, after, table)
        plans = [plan for plan in (self._whole(bound), self._followed(bound)) if plan is not None]
        return min(plans, key=lambda plan: plan.total_ps)

    def _offer(self, first: int, before: State, cut: int, after: State, table: Ints) -> None:
        """Takes a segment into the tables where it is better."""
        made = self.best[first][before][:, None] + table
        least = made.argmin(axis=0)
        values = made.min(axis=0)
        old = self.best[cut].setdefault(after, np.full(len(values), NEVER, np.int64))
        back = self.back[cut].setdefault(after, [(0, (), 0)] * len(values))
        for level in np.flatnonzero(values < old).tolist():
            back[level] = (first, before, int(least[level]))
            old[level] = values[level]

    def _moves(self, first: int) -> Iterator[tuple[int, State, State, Ints]]:
        """(last operator, state before, state after, table) of the segments from `first` on."""
        chip, operators = self.problem.chip, self.problem.operators
        arrays = 0
        for last in range(first, len(operators)):
            arrays += operators[last].arrays(chip)
            if last > first and arrays > chip.arrays:
                return
            for before in self.best[first]:
                for after in self.states.after(first, before, last + 1):
                    window = self.windows.window(first, last, dict((*before, *after)))
                    if window is not None:
                        yield last, before, after, self._table(window)

    def _table(self, window: Window) -> Ints:
        """[preloaded, preloads]: the least time of a window, from the memo where it has the same numbers."""
        found = self.tables.get(window.key)
        if found is None:
            found = Resident(window).table(self.levels)
            if window.can_be_tiled:
                found = np.minimum(found, Tiled(window).table(self.levels))
            self.tables[window.key] = found
        return found

    def _followed(self, bound: int) -> SegmentPlan | None:
        """The plan of the best way through the tables."""
        cut, state, level = len(self.problem.operators), (), 0
        if () not in self.best[cut] or self.best[cut][()][0] >= NEVER:
            raise PlacementError("expected a chip with an array for a tile of each operator, it has too few")
        decisions: list[Decision] = []
        places: dict[int, Place] = {}
        while cut:
            first, before, preloaded = self.back[cut][state][level]
            window = self.windows.window(first, cut - 1, dict((*before, *state)))
            assert window is not None
            decisions.append(self._decision(window, first, int(self.levels[preloaded]), int(self.levels[level])))
            places.update(before)
            cut, state, level = first, before, preloaded
        if len(decisions) == 1 and decisions[0].tiling is None:
            return None
        return assemble(self.windows, decisions[::-1], places, bound)

    def _decision(self, window: Window, first: int, preloaded: int, preloads: int) -> Decision:
        """The allocation behind a table's entry."""
        at = np.array([preloaded]), np.array([preloads])
        one = np.unique(np.concatenate([[0], *at]))
        row, column = int(np.searchsorted(one, preloaded)), int(np.searchsorted(one, preloads))
        resident = Resident(window)
        if window.can_be_tiled:
            tiled = Tiled(window)
            if tiled.table(one)[row, column] < resident.table(one)[row, column]:
                return tiled.decision(first, preloaded, preloads)
        return resident.decision(first, preloaded, preloads)

    def _whole(self, bound: int) -> SegmentPlan | None:
        """The program as one segment whose weights stay on the chip, where they fit."""
        operators = self.problem.operators
        if sum(op.arrays(self.problem.chip) for op in operators) > self.problem.chip.arrays:
            return None
        window = self.windows.window(0, len(operators) - 1, {})
        if window is None or not len((resident := Resident(window)).copies):
            return None
        return assemble(self.windows, [resident.decision(0, 0, 0, weights_stay=True)], {}, bound)
