"""The best allocation of a segment, for every number of preloaded arrays at its two ends at once.

For each beat the copies are the fewest that hold it (`resident.beats`); for each of these and each number of memory
arrays the time is known in closed form, and the least counts. No integer program is needed. Ties go to the plan that
switches fewest arrays, then to the one with the fewest copies.
"""

from __future__ import annotations

import numpy as np

from .resident import Ints, beats, dram_ps, load_times, pipelines, preload_roof, run_times, switch_times
from .segments import Decision
from .tiled import beside, candidates, price, saved, totals
from .window import Window

NEVER = 1 << 60
"""More than any plan takes, in ps."""
FIRST_LOOK = 64
"""Tilings that are looked at first; most often no other one can be better."""


def memory_levels(window: Window) -> Ints:
    """Numbers of memory arrays to look at: all on chips of up to 32 arrays, 25 on larger ones."""
    chip, least = window.chip, window.least_memory
    if not chip.memory_bytes_per_ns:
        return np.zeros(1, np.int64)
    span = chip.arrays - least
    levels = span + 1 if chip.arrays <= 32 else min(span + 1, 25)
    if ("memory", least) not in window.memo:
        window.memo["memory", least] = least + np.unique(np.round(np.linspace(0, span, levels)).astype(np.int64))
    return window.memo["memory", least]


class Resident:
    """A window whose weights are on the chip together."""

    def __init__(self, window: Window):
        self.window, chip = window, window.chip
        self.memory = memory_levels(window)
        key = ("beats", window.members_key)
        if key not in window.memo:
            copies = beats(window, chip.arrays)
            window.memo[key] = pipelines(window, copies), copies @ window.unit_arrays
        lines, self.arrays = window.memo[key]
        self.copies: Ints = lines.copies
        self.time: Ints = run_times(window, lines, self.memory) + switch_times(window, self.memory)

    def _best_memory(self, preloads: Ints) -> Ints:
        """[beats, preloads]: the least run and switches within the arrays that are left; NEVER where none are."""
        window = self.window
        key = ("room", window.members_key, self.memory.tobytes(), preloads.tobytes())
        if key not in window.memo:
            room = window.chip.arrays - self.arrays[:, None] - preloads[None, :]
            window.memo[key] = np.searchsorted(self.memory, room, side="right"), np.arange(len(room))[:, None]
        level, rows = window.memo[key]
        # The first column is what no room at all looks up.
        least = np.full((len(self.time), len(self.memory) + 1), NEVER, np.int64)
        np.minimum.accumulate(self.time, axis=1, out=least[:, 1:])
        return least[rows, level]

    def _roof(self, preloads: Ints) -> Ints:
        """The least time of the segment beside which so many arrays are loaded."""
        window, chip = self.window, self.window.chip
        key = ("roof", preloads.tobytes())
        if key not in window.memo:
            window.memo[key] = preload_roof(chip, 0, 0, preloads)
        dram_out = sum(phase.dram_out for phase in window.phases)
        beside = dram_ps(chip, window.dram_in + preloads * chip.array_bytes, dram_out)
        return np.where(preloads > 0, np.maximum(window.memo[key], beside), 0)

    def table(self, levels: Ints) -> Ints:
        """[preloaded, preloads]: the least time."""
        if not len(self.copies):
            return np.full((len(levels), len(levels)), NEVER, np.int64)
        run = np.maximum(self._best_memory(levels), self._roof(levels)[None, :])
        weights = self.window.weight_bytes, self.window.off_chip_weights, self.window.on_chip_weights
        key = ("load", self.window.members_key, weights, levels.tobytes())
        if key not in self.window.memo:
            self.window.memo[key] = load_times(self.window, self.copies, levels)
        load: Ints = self.window.memo[key]
        return (load[:, :, None] + run[:, None, :]).min(axis=0)

    def decision(self, first: int, preloaded: int, preloads: int, *, weights_stay: bool = False) -> Decision:
        """The best allocation for given preloads."""
        ahead = np.array([preloads])
        run = np.maximum(self._best_memory(ahead), self._roof(ahead)[None, :])[:, 0]
        load = 0 if weights_stay else load_times(self.window, self.copies, np.array([preloaded]))[:, 0]
        total = load + run
        beat = int(np.lexsort((self.arrays, total))[0])
        room = self.window.chip.arrays - int(self.arrays[beat]) - preloads
        times = np.where(self.memory <= room, np.maximum(self.time[beat], self._roof(ahead)[0]), NEVER)
        memory = int(self.memory[int(times.argmin())])
        return Decision(first, tuple(self.copies[beat].tolist()), memory, preloads)


class Tiled:
    """A window of one operator that runs in rounds."""

    def __init__(self, window: Window):
        self.window = window
        self.tilings = candidates(window, memory_levels(window))
        self.rounds = price(window, self.tilings)

    def table(self, levels: Ints) -> Ints:
        """[preloaded, preloads]: the least time."""
        table = np.full((len(levels), len(levels)), NEVER, np.int64)
        if not len(self.tilings):
            return table
        # The least that a tiling may take: what the best of those take bounds what is worth a look.
        least = self.rounds.total_ps - saved(self.window, self.rounds, levels[-1:])[0]
        for column, preloads in enumerate(levels.tolist()):
            lower = beside(self.window, self.tilings, self.rounds, least, preloads)
            lower = np.where(lower >= 0, lower, NEVER)
            first = (
                np.argpartition(lower, FIRST_LOOK)[:FIRST_LOOK] if len(lower) > FIRST_LOOK else np.arange(len(lower))
            )
            if int(lower[first].min()) == NEVER:
                break
            found = self._of(first, levels, preloads)
            others = np.flatnonzero(lower < found.max())
            table[:, column] = np.minimum(found, self._of(others, levels, preloads)) if len(others) else found
        return table

    def _of(self, rows: Ints, levels: Ints, preloads: int) -> Ints:
        """[preloaded]: the least time of the tilings at `rows`."""
        total = totals(self.window, self.tilings.take(rows), self.rounds.take(rows), levels, preloads)
        return np.where(total >= 0, total, NEVER).min(axis=1)

    def decision(self, first: int, preloaded: int, preloads: int) -> Decision:
        """The best tiling for given preloads."""
        total = totals(self.window, self.tilings, self.rounds, np.array([preloaded]), preloads)[0]
        total = np.where(total >= 0, total, NEVER)
        arrays = self.rounds.round_arrays * self.tilings.turns
        row = np.lexsort((arrays, self.tilings.memory_arrays, total))[:1]
        tilings = self.tilings.take(row)
        memory = int(tilings.memory_arrays[0])
        return Decision(first, (int(tilings.copies[0]),), memory, preloads, tilings)
