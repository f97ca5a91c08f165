"""Baselines without memory arrays: segments by capacity, duplication, pipelining, tiling.

`all-compute` is in the manner of CIM-MLC: operators are taken into a segment while their arrays fit, copies make the
slowest operator as fast as possible, and an operator that is larger than the chip is cut greedily: all its inputs, as
many outputs as there are arrays. It overlaps nothing.
`all-compute-overlap` is the same with weights written while others compute: rounds take turns, and arrays that are left
are loaded with weights of the next segment.
`puma-like` has copies in proportion to the vectors of each operator, rounded down.
`occ-like` runs operators one by one (tiles, with the loop over vectors unrolled over copies).

In all of them a tensor that a later segment reads stays in the buffer where it fits beside others, first come first
served; else it goes off chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .problem import Place, SegmentPlan, SegmentProblem
from .resident import Ints, beats
from .segments import Decision, assemble, segment_of, tiled_segment, window_of
from .tiled import TURNS, Tilings
from .window import Window, Windows

Copies = Callable[[Window], Ints]
"""How often the operators of a window are there."""


def all_compute(problem: SegmentProblem) -> SegmentPlan:
    """Segments by capacity, the least beat, greedy cuts, no overlap."""
    windows = Windows(problem)
    return _as_plan(windows, _by_capacity(windows, _least_beat))


def puma_like(problem: SegmentProblem) -> SegmentPlan:
    """Segments by capacity, copies in proportion to vectors."""
    windows = Windows(problem)
    return _as_plan(windows, _by_capacity(windows, _in_proportion))


def occ_like(problem: SegmentProblem) -> SegmentPlan:
    """Operators one by one."""
    windows = Windows(problem)
    return _as_plan(windows, _by_capacity(windows, _least_beat, longest=1))


def all_compute_overlap(problem: SegmentProblem) -> SegmentPlan:
    """As `all_compute`; where the chip can, rounds take turns, and what fits is loaded ahead, if that is faster."""
    windows = Windows(problem)
    decisions = _by_capacity(windows, _least_beat)
    places = buffered(windows, decisions, {})
    if problem.chip.overlap_writes:
        decisions = [_taking_turns(windows, decision, places) for decision in decisions]
        for index in range(len(decisions) - 1):
            decisions[index] = _loading_ahead(windows, decisions, index, places)
    return assemble(windows, decisions, places)


def _as_plan(windows: Windows, decisions: Sequence[Decision]) -> SegmentPlan:
    return assemble(windows, decisions, buffered(windows, decisions, {}))


def _by_capacity(windows: Windows, copies: Copies, longest: int = 1 << 30) -> list[Decision]:
    """Operators in order, each into the segment before it where its arrays (and what crosses a barrier) fit."""
    count, first, decisions = len(windows.problem.operators), 0, list[Decision]()
    while first < count:
        window = resident_window(windows, first, first)
        if window is None:
            cut = greedy_cut(windows.problem, first, windows.problem.chip.arrays)
            decisions.append(Decision(first, (1,), tiling=cut))
            first += 1
            continue
        last = first
        while last + 1 < count and last - first + 1 < longest:
            longer = resident_window(windows, first, last + 1)
            if longer is None:
                break
            window, last = longer, last + 1
        decisions.append(Decision(first, tuple(copies(window).tolist())))
        first = last + 1
    return decisions


def resident_window(windows: Windows, first: int, last: int) -> Window | None:
    """The operators as one segment without memory arrays, if they fit."""
    chip = windows.problem.chip
    if sum(op.arrays(chip) for op in windows.problem.operators[first : last + 1]) > chip.arrays:
        return None
    window = windows.window(first, last, {})
    return None if window is None or window.least_memory else window


def _least_beat(window: Window) -> Ints:
    """The copies for which the slowest operator is as fast as the arrays allow."""
    rows = beats(window, window.chip.arrays)
    slowest = (-(-window.vectors // rows)).max(axis=1)
    return rows[int(slowest.argmin())]


def _in_proportion(window: Window) -> Ints:
    """The largest scale s for which copies of s x vectors, rounded down, at least 1, fit."""
    low, high = 0.0, float(window.chip.arrays)
    for _ in range(40):
        middle = (low + high) / 2
        copies = _scaled(window, middle)
        low, high = (middle, high) if int(copies @ window.unit_arrays) <= window.chip.arrays else (low, middle)
    return _scaled(window, low)


def _scaled(window: Window, scale: float) -> Ints:
    copies = np.floor(scale * window.vectors / window.vectors.min()).astype(np.int64)
    return np.clip(copies, 1, window.vectors)


def greedy_cut(problem: SegmentProblem, index: int, arrays: int, turns: int = 1) -> Tilings:
    """All inputs of an operator and as many outputs (or groups) as each turn's share of `arrays` holds."""
    chip, op = problem.chip, problem.operators[index]
    room = max(1, arrays // turns)
    blocks_k, blocks_n = -(-op.k // chip.array_rows), -(-op.n // chip.array_cols)
    deep, wide, groups = min(blocks_k, room), 1, 0
    packed = op.blocks_an_array(chip)
    if packed or (op.groups > 1 and blocks_k * blocks_n <= room):
        deep, wide = blocks_k, blocks_n
        groups = min(op.groups, room * packed if packed else room // (blocks_k * blocks_n))
    else:
        wide = min(blocks_n, max(1, room // deep))
    return Tilings(*(np.array([value], np.int64) for value in (deep, wide, 0, 1, turns, groups, 1, 0)))


def buffered(windows: Windows, decisions: Sequence[Decision], places: dict[int, Place]) -> dict[int, Place]:
    """`places`, and the buffer for other tensors that later segments read, in order, as long as they fit."""
    problem, found = windows.problem, dict(places)
    segments = [at for at, decision in enumerate(decisions) for _ in decision.copies]
    free = [0] * len(decisions)
    for at, decision in enumerate(decisions):
        window = window_of(windows, decision.first, decision.last, places)
        assert window is not None
        more = (decision.memory_arrays - window.least_memory) * problem.chip.array_bytes
        free[at] = min(problem.chip.buffer_bytes, window.free_bytes + more)
    for producer, last in enumerate(windows.last_reads):
        alive = range(segments[producer], segments[last] + 1)
        size = problem.operators[producer].output_bytes
        if len(alive) > 1 and producer not in found and size <= min(free[at] for at in alive):
            found[producer] = Place.BUFFER
            for at in alive:
                free[at] -= size
    return found


def _taking_turns(windows: Windows, decision: Decision, places: dict[int, Place]) -> Decision:
    """The best number of turns of an operator in rounds, cut greedily for each."""
    if decision.tiling is None:
        return decision
    problem = windows.problem
    window = window_of(windows, decision.first, decision.last, places)
    assert window is not None
    arrays = problem.chip.arrays
    cuts = [greedy_cut(problem, decision.first, arrays, turns) for turns in TURNS if turns <= arrays]
    choices = [replace(decision, tiling=cut) for cut in cuts]
    return min(choices, key=lambda choice: tiled_segment(window, choice, 0).total_ps)


def _loading_ahead(windows: Windows, decisions: list[Decision], index: int, places: dict[int, Place]) -> Decision:
    """Segment `index` with all arrays that it leaves loaded for the next one, if the two are faster so."""
    here, following = decisions[index], decisions[index + 1]
    preloaded = decisions[index - 1].preloads if index else 0
    window = window_of(windows, here.first, here.last, places)
    after = window_of(windows, following.first, following.last, places)
    assert window is not None
    assert after is not None
    plain = segment_of(window, here, preloaded)
    unprepared = segment_of(after, following, 0)
    turns = 1 if unprepared.tiling is None else unprepared.tiling.turns
    left = min(windows.problem.chip.arrays - plain.compute_arrays, unprepared.compute_arrays // turns)
    if left <= 0:
        return here
    ahead = replace(here, preloads=left)
    before = plain.total_ps + unprepared.total_ps
    faster = segment_of(window, ahead, preloaded).total_ps + segment_of(after, following, left).total_ps < before
    return ahead if faster else here
