"""Closed forms of one operator that runs in rounds, a tile of its weight in each, for many tilings at once.

**Rounds that take turns.** n rounds, each loading for l, then computing for c, on q sets of arrays that take turns; one
loads at a time, and the inputs of one after another pass the links, in s of the c. The last round ends at

    q = 1:  n (l + c)
    else:   floor((n - 1) / q) max(l + c, q max(l, s)) + ((n - 1) mod q) max(l, s) + l + c

exactly (tests simulate it). The usual steady state n max(l, (l + q c) / q) is up to 29 % off for few rounds. Digital
work on the outputs follows the last round.

**What a cut costs.** Blocks of outputs: the inputs pass the buffer again for each. Blocks of inputs: partial sums pass
it twice for each but the first. What is passed again and does not fit on the chip is read (and written) off chip each
time; which of the two it is depends on the loop that is outside. Passing equal shares of the vectors one after another
makes either fit, and loads the weights again. Rounds are taken to be equal.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from .problem import SegmentChip, SegmentOperator, Tiling
from .resident import Ints, dram_ps, preload_roof, ps_of, stream_ps, switch_times, weights_ps, write_ps
from .window import CHUNKS, Window

TURNS = (1, 2, 3, 4, 8)
VECTOR_CHUNKS = (1, 2, 4)
MOST_ROUNDS = 64
"""In a pass, or four times the fewest that fit: finer rounds fill and drain hardly faster, and each costs the simulator
time."""


@dataclass(frozen=True)
class Tilings:
    """Tilings with their allocation, one a row."""

    deep: Ints
    wide: Ints
    inputs_outer: Ints
    vector_chunks: Ints
    turns: Ints
    groups_a_round: Ints
    copies: Ints
    memory_arrays: Ints

    def take(self, index: Ints | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tilings:
        """Those at `index` (positions or a mask)."""
        return Tilings(*(getattr(self, f.name)[index] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.deep)

    def tiling(self, row: int, rounds: int) -> Tiling:
        """One of them, without its allocation."""
        return Tiling(
            int(self.deep[row]),
            int(self.wide[row]),
            bool(self.inputs_outer[row]),
            int(self.vector_chunks[row]),
            int(self.turns[row]),
            rounds,
            int(self.groups_a_round[row]),
        )


@dataclass(frozen=True)
class Rounds:
    """What tilings take, one a row; `total_ps` with switches, nothing preloaded."""

    count: Ints
    round_arrays: Ints
    """Of one round, all copies."""
    load_ps: Ints
    """Of one round; `compute_ps` with its traffic and fill."""
    compute_ps: Ints
    fill_ps: Ints
    after_ps: Ints
    """Digital work behind the last round, with the writing of what it makes."""
    rounds_ps: Ints
    switch_ps: Ints
    dram_in: Ints
    """Bytes read from off chip in all, with weights; `dram_out` written."""
    dram_out: Ints
    rows: Ints
    """Array rows written in all; `weights` the bytes of them."""
    weights: Ints
    copies: Ints

    def take(self, index: Ints) -> Rounds:
        """Those of the tilings at `index`."""
        return Rounds(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def total_ps(self) -> Ints:
        return self.after_ps + self.rounds_ps + self.switch_ps


def candidates(window: Window, memory_levels: Ints) -> Tilings:
    """All tilings of the operator that fit the chip, with one copy of each tile or as many as there is room for.

    Blocks of every size that gives another number of rounds (up to `MOST_ROUNDS`); of more than 24 numbers of rounds of
    whole groups, 24.
    """
    return _candidates(window.chip, window.members[0].operator, tuple(memory_levels.tolist()))


@lru_cache(maxsize=16)
def _candidates(chip: SegmentChip, op: SegmentOperator, memory_levels: tuple[int, ...]) -> Tilings:
    blocks_k, blocks_n = -(-op.k // chip.array_rows), -(-op.n // chip.array_cols)
    turns = TURNS if chip.overlap_writes else (1,)
    if op.groups > 1 and (op.blocks_an_array(chip) or blocks_k * blocks_n <= chip.arrays):
        sizes = _sizes(op.groups)
        sizes = sizes[np.unique(np.round(np.linspace(0, len(sizes) - 1, 24)).astype(int))] if len(sizes) > 24 else sizes
        axes = [blocks_k], [blocks_n], turns, sizes
    else:
        axes = _sizes(blocks_k), _sizes(blocks_n), turns, [0]
    deep, wide, turn, groups = _all_of(*axes)
    used = _round_arrays(chip, op, deep, wide, groups) * turn
    shape, outer, shares, many, memory = _all_of(
        np.flatnonzero(used + memory_levels[0] <= chip.arrays), [0, 1], VECTOR_CHUNKS, [0, 1], memory_levels
    )
    room = (chip.arrays - memory) // used[shape]
    copies = np.where(many == 0, 1, np.minimum(room, -(-op.m // shares)))
    one_block = (deep[shape] >= blocks_k) | (wide[shape] >= blocks_n)
    fits = (room >= 1) & ((many == 0) | (copies > 1)) & (shares <= op.m) & ((outer == 0) | ~one_block)
    of_groups = np.where(groups > 0, -(-op.groups // np.maximum(groups, 1)), op.groups)
    rounds = of_groups * -(-blocks_k // deep) * -(-blocks_n // wide)
    least = int(rounds[shape[fits]].min()) if fits.any() else 0
    fits &= rounds[shape] <= max(MOST_ROUNDS, 4 * least)
    shape = shape[fits]
    return Tilings(
        deep[shape], wide[shape], outer[fits], shares[fits], turn[shape], groups[shape], copies[fits], memory[fits]
    )


def _all_of(*axes: ArrayLike) -> list[Ints]:
    """Every combination, a column for each axis."""
    return [axis.ravel() for axis in np.meshgrid(*(np.asarray(a, np.int64) for a in axes), indexing="ij")]


def _sizes(blocks: int) -> Ints:
    """The least size for each number of rounds in which `blocks` blocks can pass."""
    return np.unique(-(-blocks // np.arange(1, blocks + 1)))


def _round_arrays(chip: SegmentChip, op: SegmentOperator, deep: Ints, wide: Ints, groups_a_round: Ints) -> Ints:
    """Arrays of one copy of a tile."""
    packed, tile = op.blocks_an_array(chip), deep * wide
    if packed:
        return np.where(groups_a_round > 0, -(-groups_a_round // packed), tile)
    return tile * np.maximum(groups_a_round, 1)


def makespan(rounds: Ints, load: Ints, compute: Ints, turns: Ints, inputs: Ints) -> Ints:
    """When the last round ends (module docstring)."""
    last, step = rounds - 1, np.maximum(load, inputs)
    overlapped = last // turns * np.maximum(load + compute, turns * step) + last % turns * step + load + compute
    return np.where(turns == 1, rounds * (load + compute), overlapped)


def price(window: Window, tilings: Tilings) -> Rounds:
    """What the tilings take. The window has one operator, whose weight is not in place."""
    chip, op, phase = window.chip, window.members[0].operator, window.phases[0]
    blocks_k, blocks_n = -(-op.k // chip.array_rows), -(-op.n // chip.array_cols)
    of_k, of_n = -(-blocks_k // tilings.deep), -(-blocks_n // tilings.wide)
    of_groups = np.where(tilings.groups_a_round > 0, -(-op.groups // np.maximum(tilings.groups_a_round, 1)), op.groups)
    chunks = tilings.vector_chunks
    rounds = of_groups * of_k * of_n * chunks
    vectors = -(-op.m // chunks)
    partial = (of_k - 1) * (op.m * op.n * op.groups * chip.partial_bytes)
    space = window.free_bytes + (tilings.memory_arrays - window.least_memory) * chip.array_bytes
    spilled = np.where(op.whole_bytes <= space, 0, op.whole_bytes)
    space = space - (op.whole_bytes - spilled)
    outer = tilings.inputs_outer == 1
    columns = np.where(outer, op.n, np.minimum(tilings.wide * chip.array_cols, op.n))
    held = np.where(partial > 0, vectors * columns * chip.partial_bytes, 0)
    off_partial = np.where(held <= space, 0, partial)
    space = space - np.where(held <= space, held, 0)
    of_input = op.input_bytes / (chunks * of_groups) / np.where(outer, of_k, 1)
    again = np.where((of_n == 1) | (of_input <= space), 1, of_n)
    digital = phase.digital_ps + phase.digital_after_ps
    after = dram_ps(chip, phase.late_in + spilled, phase.dram_out if digital else 0)
    after = np.maximum(digital, after)
    dram_in = (phase.dram_in - phase.late_in) * again + off_partial
    dram_out = (0 if digital else phase.dram_out) + off_partial + spilled

    load = _load(window, tilings, rounds // chunks)
    into = op.input_of(chip) * of_n + partial
    stream = stream_ps(chip, into, op.streamed_bytes + partial, tilings.memory_arrays)
    inputs = np.maximum(stream_ps(chip, into, 0, tilings.memory_arrays), dram_ps(chip, dram_in, 0))
    pieces = (
        -(-vectors // tilings.copies) * chip.mvm_ps,
        -(-stream // rounds),
        dram_ps(chip, -(-dram_in // rounds), -(-dram_out // rounds)),
    )
    busiest = np.maximum(np.maximum(pieces[0], pieces[1]), pieces[2])
    compute = busiest + -((busiest - sum(pieces)) // np.minimum(CHUNKS, vectors))
    weights = chunks * (window.weight_bytes + window.off_chip_weights)
    read = dram_in + weights
    # With two sets, a load and the computing of the other begin together, and the inputs pass the off-chip port first.
    first = dram_ps(chip, -(-dram_in // rounds), 0)
    behind = np.maximum(0, np.minimum(first, dram_ps(chip, -(-weights // rounds), 0)) - abs(load - compute))
    compute = compute + np.where(tilings.turns == 2, behind, 0)
    # Rounds that compute at the same time share all but the arrays.
    shared = np.maximum(load + stream, dram_ps(chip, read, dram_out))
    whole = np.maximum(makespan(rounds, load, compute, tilings.turns, -(-inputs // rounds)), shared)
    fill = compute - busiest
    switch = switch_times(window, tilings.memory_arrays)
    arrays = _round_arrays(chip, op, tilings.deep, tilings.wide, tilings.groups_a_round) * tilings.copies
    rows = int(window.unit_rows[0]) * chunks * (1 if chip.broadcast_copies else tilings.copies)
    copies = tilings.copies
    return Rounds(rounds, arrays, load, compute, fill, after, whole, switch, read, dram_out, rows, weights, copies)


def _load(window: Window, tilings: Tilings, rounds_a_pass: Ints) -> Ints:
    """Loading one round."""
    chip = window.chip
    read = weights_ps(chip, -(-(window.weight_bytes + window.off_chip_weights) // rounds_a_pass))
    on_chip = ps_of(-(-window.on_chip_weights // rounds_a_pass), chip.buffer_in_bytes_per_ns)
    written = int(window.unit_rows[0]) * (1 if chip.broadcast_copies else tilings.copies)
    return np.maximum(np.maximum(read, on_chip), write_ps(chip, -(-written // rounds_a_pass)))


def saved(window: Window, rounds: Rounds, preloaded: Ints) -> Ints:
    """[preloaded, tilings]: time that arrays loaded ahead save, of weights that were there before.

    It is at most the first round's load. Each of them is loaded with all its copies.
    """
    if not window.members[0].operator.static:
        return np.zeros((len(preloaded), len(rounds.count)), np.int64)
    of_round = np.minimum(preloaded[:, None], rounds.round_arrays[None, :])
    share = of_round // rounds.copies * rounds.copies / rounds.round_arrays[None, :]
    return np.floor(rounds.load_ps * share).astype(np.int64)


def totals(window: Window, tilings: Tilings, rounds: Rounds, preloaded: Ints, preloads: int) -> Ints:
    """[preloaded, tilings]: time of the segment where `preloads` arrays of the next are loaded beside it.

    It is -1 where there is no room. Arrays that no round uses can be loaded all the time, those of other turns only
    while the last round computes.
    """
    return beside(window, tilings, rounds, rounds.total_ps[None, :] - saved(window, rounds, preloaded), preloads)


def beside(window: Window, tilings: Tilings, rounds: Rounds, total: Ints, preloads: int) -> Ints:
    """[.., tilings]: what `total`, the segment's own time, becomes where arrays of the next are loaded beside it; -1
    where there is no room."""
    if not preloads:
        return total
    chip = window.chip
    idle = chip.arrays - tilings.memory_arrays - rounds.round_arrays * tilings.turns
    freed = rounds.round_arrays * (tilings.turns - 1)
    amount = np.array(preloads)
    total = np.maximum(total, preload_roof(chip, rounds.dram_in, rounds.dram_out, amount, rounds.rows, rounds.weights))
    late = np.maximum(0, preload_roof(chip, 0, 0, amount) - rounds.compute_ps - rounds.after_ps)
    return np.where(preloads <= idle + freed, total + np.where(preloads <= idle, 0, late), -1)
