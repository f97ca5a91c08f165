"""One segment with its allocation, priced: the records of a plan. All strategies are priced here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .problem import Kept, Member, Place, PlacementError, Segment, SegmentPlan
from .resident import fill_times, load_times, pipelines, preload_roof, run_times, switch_times
from .tiled import Tilings, price, totals
from .window import Window, Windows


@dataclass(frozen=True)
class Decision:
    """What a strategy decides of one segment: `copies` of each operator from `first` on, or a tiling of that one."""

    first: int
    copies: tuple[int, ...]
    memory_arrays: int = 0
    preloads: int = 0
    tiling: Tilings | None = field(default=None, compare=False)

    @property
    def last(self) -> int:
        return self.first + len(self.copies) - 1


def resident_segment(window: Window, decision: Decision, preloaded: int, *, weights_stay: bool = False) -> Segment:
    """The segment of operators that are on the chip together; `weights_stay`: they have been there since power-up."""
    chip = window.chip
    copies, memory = np.array([decision.copies], np.int64), np.array([decision.memory_arrays], np.int64)
    arrays = copies[0] * window.unit_arrays
    lines = pipelines(window, copies)
    load = 0 if weights_stay else int(load_times(window, copies, np.array([preloaded]))[0, 0])
    switch, taken = int(switch_times(window, memory)[0]), int(run_times(window, lines, memory)[0, 0])
    dram_out = sum(phase.dram_out for phase in window.phases)
    roof = int(preload_roof(chip, window.dram_in, dram_out, np.array(decision.preloads)))
    room = chip.arrays - int(arrays.sum()) - decision.memory_arrays - decision.preloads
    if room < 0 or decision.memory_arrays < window.least_memory:
        raise PlacementError(
            f"segment of operator {decision.first}: expected arrays for its allocation, {room} are left"
        )
    waits = max(0, roof - switch - taken)
    return Segment(
        tuple(
            Member(decision.first + i, copy, int(a))
            for i, (copy, a) in enumerate(zip(decision.copies, arrays, strict=True))
        ),
        decision.memory_arrays,
        decision.preloads,
        window.to_memory(decision.memory_arrays),
        window.to_compute(decision.memory_arrays),
        load,
        taken + waits,
        int(fill_times(window, lines, memory)[0, 0]),
        switch,
    )


def tiled_segment(window: Window, decision: Decision, preloaded: int) -> Segment:
    """The segment of one operator in rounds. Its run has all its loading but what is loaded ahead."""
    chip, tilings = window.chip, decision.tiling
    assert tilings is not None
    rounds = price(window, tilings)
    ahead = np.array([preloaded])
    total = int(totals(window, tilings, rounds, ahead, decision.preloads)[0, 0])
    arrays = int(rounds.round_arrays[0] * tilings.turns[0])
    if total < 0 or arrays + decision.memory_arrays > chip.arrays or decision.memory_arrays < window.least_memory:
        raise PlacementError(f"segment of operator {decision.first}: expected arrays for its tiling, it takes {arrays}")
    switch = int(rounds.switch_ps[0])
    return Segment(
        (Member(decision.first, int(tilings.copies[0]), arrays),),
        decision.memory_arrays,
        decision.preloads,
        window.to_memory(decision.memory_arrays),
        window.to_compute(decision.memory_arrays),
        0,
        total - switch,
        int(rounds.fill_ps[0]),
        switch,
        tilings.tiling(0, int(rounds.count[0])),
    )


def segment_of(window: Window, decision: Decision, preloaded: int) -> Segment:
    """The segment of a decision, of either kind."""
    kind = resident_segment if decision.tiling is None else tiled_segment
    return kind(window, decision, preloaded)


def assemble(windows: Windows, decisions: Sequence[Decision], places: Mapping[int, Place]) -> SegmentPlan:
    """The plan of `decisions`; `places` are those of tensors that stay on chip over cuts.

    PlacementError if it is none. A program that is one segment without rounds has its weights loaded once, before.
    """
    problem = windows.problem
    segments: list[Segment] = []
    preloaded = 0
    stays = len(decisions) == 1 and decisions[0].tiling is None
    for decision in decisions:
        window = window_of(windows, decision.first, decision.last, places)
        if window is None:
            raise PlacementError(f"segment of operator {decision.first}: expected its tensors to fit, they do not")
        if decision.tiling is not None:
            segments.append(tiled_segment(window, decision, preloaded))
        else:
            segments.append(resident_segment(window, decision, preloaded, weights_stay=stays))
        preloaded = decision.preloads
    kept = tuple(Kept(p, place, windows.arrays_of(p, place)) for p, place in sorted(places.items()))
    total = problem.fixed_ps + sum(segment.total_ps for segment in segments)
    return SegmentPlan(tuple(segments), kept, total)


def window_of(windows: Windows, first: int, last: int, places: Mapping[int, Place]) -> Window | None:
    """The window with those of `places` that are alive in it and over one of its ends."""
    alive = {
        producer: place
        for producer, place in places.items()
        if producer <= last <= windows.last_reads[producer] or producer < first <= windows.last_reads[producer]
        if producer < first or windows.last_reads[producer] > last
    }
    return windows.window(first, last, alive)
