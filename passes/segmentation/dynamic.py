"""The exact strategy: the best cuts, places of tensors, preloaded arrays and allocations, by dynamic programming.

**State.** What a segment leaves to the next is which tensors are on chip and where (`Place`), and how many arrays
hold weights of the next one. A tensor has one place for its life, so a state at a cut names the places of all tensors
alive there, and two states fit together where they agree on those alive at both. Nothing else couples segments: arrays
rest in compute mode, and a segment's time with given states at its ends depends on itself alone.

Segments with the same numbers (layers of a transformer) are priced once.

**Grids.** On chips of up to 16 arrays all numbers of preloaded arrays are looked at, on larger ones 9; on those of up
to 32 all numbers of memory arrays, on larger ones 25. At most four tensors alive at a cut may stay on chip; those of at
most a fifth of the buffer are in it.

**Bound.** The same program over the same tables bounds all numbers of preloaded arrays: one between two levels costs
the segment before it no less than the lower level, and saves the next one no more than the upper. So nothing in the
plan space and on the other grids takes less; module `bound` has what holds without them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

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


@dataclass(frozen=True)
class _Moves:
    """Segments of `length` operators that end in one state; operators in states are counted from the segment's first.

    `table[b, p, q]`: the least time with state `before[b]`, p preloaded and q preloads (levels).
    """

    length: int
    after: State
    before: tuple[State, ...]
    table: Ints


def solve_segments(problem: SegmentProblem) -> SegmentPlan:
    """The best plan of the plan space (up to the grids), with a bound on all that space (module docstring)."""
    return _Solver(problem).plan()


def preload_levels(problem: SegmentProblem) -> Ints:
    """Numbers of preloaded arrays to look at."""
    arrays = problem.chip.arrays
    if not problem.chip.overlap_writes:
        return np.zeros(1, np.int64)
    return np.unique(np.round(np.linspace(0, arrays, arrays + 1 if arrays <= 16 else 9)).astype(np.int64))


class _Solver:
    """Tables of the dynamic program: the least time up to a cut, by state and number of preloaded arrays, as it is and
    as it bounds all numbers up to the next level."""

    def __init__(self, problem: SegmentProblem):
        self.problem = problem
        self.windows = Windows(problem)
        self.states = States(self.windows)
        self.levels = preload_levels(problem)
        self.tables: dict[tuple[object, ...], Ints] = {}
        self.moves: dict[tuple[object, ...], list[_Moves]] = {}
        self.decisions: dict[tuple[object, ...], Decision] = {}
        count = len(problem.operators)
        # A level takes from the tables what it saves itself, or to bound all up to the next what that saves.
        last = len(self.levels) - 1
        near = [min(i + (self.levels[min(i + 1, last)] > self.levels[i] + 1), last) for i in range(last + 1)]
        self.saving = np.array([range(last + 1), near])
        self.best: list[dict[State, Ints]] = [{} for _ in range(count + 1)]
        self.back: list[dict[State, Back]] = [{} for _ in range(count + 1)]

    def plan(self) -> SegmentPlan:
        """Forward over cuts, then back along the choices."""
        problem, count, whole = self.problem, len(self.problem.operators), self._whole()
        if whole is not None and whole.total_ps <= lower_bound(problem, loads=True):
            return replace(whole, bound_ps=whole.total_ps)  # any other plan loads what stays in this one
        start = np.full((2, len(self.levels)), NEVER, np.int64)
        start[:, 0] = 0
        self.best[0][()] = start
        for first in range(count):
            for moves in self._moves(first):
                self._offer(first, moves)
        found = [plan for plan in (whole, self._followed()) if plan is not None]
        best = min(found, key=lambda plan: plan.total_ps)
        least = int(self.best[count][()][1, 0]) if () in self.best[count] else NEVER
        stays = min((plan.total_ps for plan in found if plan.resident), default=NEVER)
        bound = max(lower_bound(problem), min(problem.fixed_ps + least, stays))
        return replace(best, bound_ps=min(bound, best.total_ps))

    def _offer(self, first: int, moves: _Moves) -> None:
        """Takes segments into the tables where they are better."""
        cut, after, count = first + moves.length, _shifted(moves.after, first), len(self.levels)
        before = [_shifted(state, first) for state in moves.before]
        never = np.full((2, count), NEVER, np.int64)
        reached = np.stack([self.best[first].get(state, never) for state in before], axis=1)
        made = (reached[:, :, :, None] + moves.table[:, self.saving].swapaxes(0, 1)).reshape(2, -1, count)
        least, values = made[0].argmin(axis=0), made.min(axis=1)
        old = self.best[cut].setdefault(after, never)
        back = self.back[cut].setdefault(after, [(0, (), 0)] * count)
        for level in np.flatnonzero(values[0] < old[0]).tolist():
            state, preloaded = divmod(int(least[level]), count)
            back[level] = (first, before[state], preloaded)
        np.minimum(old, values, out=old)

    def _moves(self, first: int) -> list[_Moves]:
        """The segments from `first` on, from the memo where an earlier operator has the same numbers around it."""
        end = self._furthest(first)
        key = self._surroundings(first, end)
        if key not in self.moves:
            self.moves[key] = [moves for cut in range(first + 1, end + 1) for moves in self._segments(first, cut)]
        return self.moves[key]

    def _furthest(self, first: int) -> int:
        """The cut behind the longest segment from `first` on."""
        operators, chip = self.problem.operators, self.problem.chip
        arrays, end = operators[first].arrays(chip), first + 1
        while end < len(operators) and arrays + operators[end].arrays(chip) <= chip.arrays:
            arrays += operators[end].arrays(chip)
            end += 1
        return end

    def _surroundings(self, first: int, end: int) -> tuple[object, ...]:
        """All that the segments from `first` to cuts up to `end` depend on."""
        windows, operators = self.windows, self.problem.operators
        ids = [id(op) for op in windows.anonymous]
        inside = tuple(
            (
                ids[i],
                windows.last_reads[i] - first,
                tuple((s - first, ids[s]) for s in operators[i].producers),
                tuple(s - first for s in operators[i].sources),
                tuple(s - first for s in operators[i].late_producers),
            )
            for i in range(first, end)
        )
        older = {p for cut in range(first, end + 1) for state in self.states.at[cut] for p, _ in state if p < first}
        reads = tuple((p - first, ids[p], windows.last_reads[p] - first) for p in sorted(older))
        readers = tuple(ids[windows.last_reads[p]] for p in sorted(older))
        states = tuple(tuple(_shifted(s, -first) for s in self.states.at[cut]) for cut in range(first, end + 1))
        return inside, reads, readers, states

    def _segments(self, first: int, cut: int) -> Iterator[_Moves]:
        """The segments from `first` to `cut`, by the state that they end in."""
        found: dict[State, list[tuple[State, Ints]]] = {}
        for before in self.states.at[first]:
            for after in self.states.after(first, before, cut):
                window = self.windows.window(first, cut - 1, dict((*before, *after)))
                if window is not None:
                    found.setdefault(after, []).append((before, self._table(window)))
        for after, ways in found.items():
            before = tuple(_shifted(state, -first) for state, _ in ways)
            yield _Moves(cut - first, _shifted(after, -first), before, np.stack([table for _, table in ways]))

    def _table(self, window: Window) -> Ints:
        """[preloaded, preloads]: the least time of a window, from the memo where it has the same numbers."""
        found = self.tables.get(window.key)
        if found is None:
            found = Resident(window).table(self.levels)
            if window.can_be_tiled:
                found = np.minimum(found, Tiled(window).table(self.levels))
            self.tables[window.key] = found
        return found

    def _followed(self) -> SegmentPlan | None:
        """The plan of the best way through the tables."""
        cut, state, level = len(self.problem.operators), (), 0
        if () not in self.best[cut] or self.best[cut][()][0, 0] >= NEVER:
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
        return assemble(self.windows, decisions[::-1], places)

    def _decision(self, window: Window, first: int, preloaded: int, preloads: int) -> Decision:
        """The allocation behind a table's entry."""
        key = window.key, preloaded, preloads
        if key not in self.decisions:
            self.decisions[key] = self._decide(window, first, preloaded, preloads)
        return replace(self.decisions[key], first=first)

    def _decide(self, window: Window, first: int, preloaded: int, preloads: int) -> Decision:
        at = np.array([preloaded]), np.array([preloads])
        one = np.unique(np.concatenate([[0], *at]))
        row, column = int(np.searchsorted(one, preloaded)), int(np.searchsorted(one, preloads))
        resident = Resident(window)
        if window.can_be_tiled:
            tiled = Tiled(window)
            if tiled.table(one)[row, column] < resident.table(one)[row, column]:
                return tiled.decision(first, preloaded, preloads)
        return resident.decision(first, preloaded, preloads)

    def _whole(self) -> SegmentPlan | None:
        """The program as one segment whose weights stay on the chip, where they fit."""
        operators = self.problem.operators
        window = self.windows.window(0, len(operators) - 1, {})
        if window is None or int(window.unit_arrays.sum()) + window.least_memory > self.problem.chip.arrays:
            return None
        return assemble(self.windows, [Resident(window).decision(0, 0, 0, weights_stay=True)], {})


def _shifted(state: State, by: int) -> State:
    return tuple((producer + by, place) for producer, place in state)
