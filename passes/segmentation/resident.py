"""Closed forms of a segment whose weights are all on the chip, for many allocations at once.

**Pipeline.** An operator of m vectors and c copies takes t = ceil(m / c) mvm on its arrays, in C = min(m, 32) chunks.
It starts when its producers have made their first chunk and the rows that its window needs beside (`lead`), and ends at
least its own last share after them:

    start = max over producers p of start_p + t_p / C_p + lead (end_p - start_p)
    end   = max(start + t, end_p + t / C + lead t)

What digital work behind an operator reads beside it (a sum: the end of the other branch) is in what that makes: a
consumer waits for the later of both.
Inputs that come from off chip are producers in this: what reads them ends at least its last share after the last of
them, and what follows waits for it.
For operators that follow each other chunk by chunk this is `sum of tau + (C - 1) max tau`, what the event engine finds
(`cost.closed_form_ps`). A phase takes its busiest resource, and of the others the share of one chunk:

    phase = max(roofs) + (sum of roofs - max) / C,  roofs: pipeline, streams, off-chip reads, writes, digital unit

1 / C is the average over what members move, so that a gate of a few vectors counts as little as it moves.

The plan's order is the priority on the links. Inputs that are there when a phase begins pass before those that are made
in it, so that the first operator that waits for another starts behind them.

**Load.** Off-chip reading (once, whatever the copies) and writing (each copy, unless the chip broadcasts) go on at the
same time, so the slower counts: max(W / B_ext, rows x row time), not the published maximum over operators of
arrays x time, in which two operators of 48 arrays load twice as fast as one of 96. What is loaded ahead are operators
with all their copies: one of which a copy is left has to be read again.

**The digital unit** serves operators in the plan's order, too. A product that runs there, and with work
on what comes before it takes longer than its inputs do, leaves nothing of it to later work before it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray

from .problem import SegmentChip
from .window import CHUNKS, Phase, Window

Ints = NDArray[np.int64]


def ps_of(amount: int | Ints, per_ns: float | NDArray[np.float64]) -> int | Ints:
    """Picoseconds, rounded up, for `amount` bytes at `per_ns` bytes a nanosecond."""
    if isinstance(amount, int) and isinstance(per_ns, float):
        return ceil(amount * (1000.0 / per_ns))
    return np.ceil(amount * (1000.0 / per_ns)).astype(np.int64)


def stream_ps(chip: SegmentChip, to_arrays: int | Ints, from_arrays: int | Ints, memory_arrays: Ints) -> Ints:
    """Time on the buffer's ports and `memory_arrays` arrays in memory mode, whose bandwidths add up to the cap."""
    more = np.minimum(memory_arrays * chip.memory_bytes_per_ns, chip.memory_cap_bytes_per_ns)
    if chip.buffer_shared:
        return np.asarray(ps_of(np.asarray(to_arrays) + from_arrays, chip.buffer_in_bytes_per_ns + more))
    there = ps_of(to_arrays, chip.buffer_in_bytes_per_ns + more)
    return np.maximum(there, ps_of(from_arrays, chip.buffer_out_bytes_per_ns + more))


def dram_ps(chip: SegmentChip, read: int | Ints, written: int | Ints) -> int | Ints:
    """Time on the off-chip port, or the busier of the two."""
    if chip.dram_shared:
        return ps_of(read + written, chip.dram_read_bytes_per_ns)
    there, back = ps_of(read, chip.dram_read_bytes_per_ns), ps_of(written, chip.dram_write_bytes_per_ns)
    if isinstance(there, int) and isinstance(back, int):
        return max(there, back)
    return np.maximum(there, back)


def write_ps(chip: SegmentChip, rows: int | Ints) -> Ints:
    """Writing array rows."""
    return -(-np.asarray(rows, np.int64) // chip.write_ports) * chip.write_row_ps


def weights_ps(chip: SegmentChip, read: int | Ints) -> int | Ints:
    """Bringing weights from off chip to the arrays."""
    return ps_of(read, min(chip.dram_read_bytes_per_ns, chip.weight_link_bytes_per_ns))


@dataclass(frozen=True)
class Pipelines:
    """Allocations of one copy count a member (rows of `copies`), and what they take on their arrays, by phase."""

    copies: Ints
    taken: Ints
    """Of each member."""
    busiest: tuple[Ints, ...]
    inside_writes: tuple[Ints, ...]
    first_bytes: tuple[int, ...]
    """Inputs of operators before the first that waits for another: for so long as they fill the links to the arrays, it
    waits."""
    chunk_shares: tuple[float, ...]
    """The share of one chunk in what members move, on the average of the bytes."""
    memo: dict[tuple[object, ...], tuple[Ints, Ints]] = field(
        default_factory=dict[tuple[object, ...], tuple[Ints, Ints]]
    )
    """What `_arrays_and_links` has worked out for each phase."""


def pipelines(window: Window, copies: Ints) -> Pipelines:
    """What does not depend on memory arrays or on where tensors are."""
    taken = -(-window.vectors // copies) * window.chip.mvm_ps
    taken = np.where(window.elsewhere, window.alone_ps, taken)
    return Pipelines(
        copies,
        taken,
        tuple(taken[:, list(phase.members)].max(axis=1) for phase in window.phases),
        tuple(_inside_writes(window, phase, copies) for phase in window.phases),
        tuple(_first_bytes(window, phase) for phase in window.phases),
        tuple(_chunk_share(window, phase) for phase in window.phases),
    )


def run_times(window: Window, lines: Pipelines, memory_arrays: Ints) -> Ints:
    """[allocations, memory arrays]: the phases of `window`, one after another."""
    run: Ints = np.zeros((len(lines.copies), len(memory_arrays)), np.int64)
    for number, phase in enumerate(window.phases):
        longest, total = _arrays_and_links(window, phase, lines, number, memory_arrays)
        rest = _off_chip_and_digital(window, phase, number, memory_arrays)
        most = np.maximum(longest, _most(rest))
        others = np.maximum(0, total + sum(rest) - most - phase.hosted_ps)
        run = run + _alone(window, phase, lines, number, memory_arrays) + most
        run = run + np.ceil(others * lines.chunk_shares[number]).astype(np.int64)
    return run


def fill_times(window: Window, lines: Pipelines, memory_arrays: Ints) -> Ints:
    """[allocations, memory arrays]: the part of `run_times` that is not each phase's busiest resource."""
    busy: Ints = np.zeros((len(lines.copies), len(memory_arrays)), np.int64)
    for number, phase in enumerate(window.phases):
        most = np.maximum(
            lines.busiest[number][:, None], stream_ps(window.chip, phase.stream_in, phase.stream_out, memory_arrays)
        )
        for taken in _off_chip_and_digital(window, phase, number, memory_arrays):
            most = np.maximum(most, taken)
        busy = busy + _alone(window, phase, lines, number, memory_arrays) + most
    return run_times(window, lines, memory_arrays) - busy


def _arrays_and_links(
    window: Window, phase: Phase, lines: Pipelines, number: int, memory_arrays: Ints
) -> tuple[Ints, Ints]:
    """(the longer, the sum) of a phase's pipeline and streams."""
    first = min(lines.first_bytes[number], phase.dram_in)
    key = number, first, memory_arrays.tobytes()
    if key not in lines.memo:
        read = int(dram_ps(window.chip, first, 0))
        if (number, read) not in lines.memo:
            lines.memo[number, read] = _pipeline(window, phase, lines.taken, read)
        end, rest = lines.memo[number, read]
        link = stream_ps(window.chip, lines.first_bytes[number], 0, memory_arrays)
        # Inputs that come from off chip more slowly do not fill the links.
        before = np.where(link >= read, link, 0)
        # A slower operator lets those that wait for it start later, and so nearer to the end.
        pipeline = end[:, None] if window.is_bound else np.maximum(end[:, None], before + rest[:, None])
        stream = stream_ps(window.chip, phase.stream_in, phase.stream_out, memory_arrays)
        lines.memo[key] = np.maximum(pipeline, stream), pipeline + stream
    return lines.memo[key]


def _off_chip_and_digital(
    window: Window, phase: Phase, number: int, memory_arrays: Ints
) -> tuple[int | Ints, int | Ints, *tuple[int, ...]]:
    """A phase's time on the off-chip port (or both of its directions), on the digital unit, and on other tiers."""
    chip, out = window.chip, phase.dram_out + _spilled(window, number, memory_arrays)
    if chip.dram_shared:
        return 0, dram_ps(chip, phase.dram_in, out), phase.digital_ps, *phase.elsewhere_ps
    return dram_ps(chip, phase.dram_in, 0), dram_ps(chip, 0, out), phase.digital_ps, *phase.elsewhere_ps


def _most(amounts: Sequence[int | Ints]) -> int | Ints:
    """The greatest of numbers, or of each column of arrays."""
    whole = max((each for each in amounts if isinstance(each, int)), default=0)
    for each in amounts:
        whole = whole if isinstance(each, int) else np.maximum(each, whole)
    return whole


def _alone(window: Window, phase: Phase, lines: Pipelines, number: int, memory_arrays: Ints) -> Ints:
    """What overlaps nothing else of a phase: writing weights made inside, digital work after all, what comes back."""
    back = dram_ps(window.chip, _spilled(window, number, memory_arrays), 0)
    return _most((phase.digital_after_ps, back)) + lines.inside_writes[number][:, None]


def _chunk_share(window: Window, phase: Phase) -> float:
    """`Pipelines.chunk_shares` of a phase."""
    moved = [window.members[i].operator for i in phase.members]
    amounts = [op.input_of(window.chip) + op.streamed_bytes for op in moved]
    return sum(amount / min(CHUNKS, op.m) for op, amount in zip(moved, amounts, strict=True)) / sum(amounts)


def _spilled(window: Window, number: int, memory_arrays: Ints) -> int | Ints:
    """Bytes of phase `number` that go off chip and back, as what is there as a whole does not fit: first come, first
    served."""
    if not window.wholes:
        return 0
    room = window.free_bytes + (memory_arrays - window.least_memory) * window.chip.array_bytes
    spilled = np.zeros_like(memory_arrays)
    for phase, size in window.wholes:
        fits = size <= room
        room = room - np.where(fits, size, 0)
        spilled = spilled + np.where(fits | (phase != number), 0, size)
    return spilled


def _first_bytes(window: Window, phase: Phase) -> int:
    """`Pipelines.first_bytes` of a phase."""
    members = [window.members[i] for i in phase.members]
    first = next((at for at, member in enumerate(members) if member.sources), 0)
    here = [member.operator for member in members[:first] if member.operator.host is None]
    return sum(operator.input_of(window.chip) for operator in here)


def _inside_writes(window: Window, phase: Phase, copies: Ints) -> Ints:
    """Writing the weights of a phase that an earlier one made; they come through the buffer."""
    chip, total = window.chip, np.zeros(len(copies), np.int64)
    for i in phase.members:
        if window.members[i].writes_inside:
            rows = int(window.unit_rows[i]) * (1 if chip.broadcast_copies else copies[:, i])
            read = ps_of(window.members[i].operator.weight_bytes, chip.buffer_in_bytes_per_ns)
            total = total + np.maximum(write_ps(chip, rows), read)
    return total


def _pipeline(window: Window, phase: Phase, taken: Ints, read: int) -> tuple[Ints, Ints]:
    """(when the last operator of a phase ends, each as soon as it may; how long before that the first one starts that
    waits for another). The inputs of those before that one come from off chip in `read` ps."""
    starts, held = dict[int, Ints | int](), dict[int, Ints]()
    made = dict[int, tuple[Ints | int, Ints, Ints]]()
    """Of what each member makes, with digital work: begin, first chunk, end."""
    hold: Ints | None = None
    before = 0
    members = [window.members[i] for i in phase.members]
    waits = next((at for at, member in enumerate(members) if member.sources), len(members))
    inputs = np.cumsum([0, *(member.operator.input_of(window.chip) for member in members[:waits])])
    there = np.floor(read * (inputs / max(1, inputs[-1]))).astype(np.int64).tolist()
    chunks = np.array([min(member.operator.m, CHUNKS) for member in members])[:, None]
    leads = np.array([member.operator.lead for member in members])[:, None]
    took = np.ascontiguousarray(taken.T[list(phase.members)])
    shares = np.ceil(np.minimum(1.0, 1 / chunks + leads) * took).astype(np.int64)
    paces = -(-took // chunks)
    for at, (i, member) in enumerate(zip(phase.members, members, strict=True)):
        operator = member.operator
        start: Ints | int = there[at] if at < waits else 0
        came: Ints | int = there[at + 1] if at < waits else 0
        for p in member.sources:
            begin, first, last = made[p]
            if operator.lead:
                first = first + np.ceil(operator.lead * (last - begin)).astype(np.int64)
            start, came = np.maximum(start, np.minimum(first, last)), np.maximum(came, last)
            if p in held:
                start, came = np.maximum(start, held[p]), np.maximum(came, held[p])
        on_digital = operator.digital_on_host_ps
        start = start if hold is None or not on_digital else np.maximum(start, hold)
        end = np.maximum(came + shares[at], start + took[at])
        if on_digital and not window.is_bound:  # a slower source would leave more of the digital unit
            paced = np.max([taken[:, p] for p in member.sources], axis=0) if member.sources else 0
            served = on_digital + before
            hold = np.maximum(0 if hold is None else hold, np.where(served >= paced, start + served, 0))
        if hold is not None and operator.digital_ps:
            held[i] = hold
        before += operator.digital_ps
        starts[i] = start
        pace = -(-(end - start) // chunks[at, 0]) if at < waits else paces[at]
        made[i] = start, start + pace, end
        for late in member.late:
            begin, first, last = made[late]
            made[i] = np.maximum(made[i][0], begin), np.maximum(made[i][1], first), np.maximum(made[i][2], last)
    last = np.max([made[i][2] for i in phase.members], axis=0)
    return last, last - starts[phase.members[waits]] if waits < len(members) else np.zeros_like(last)


def load_times(window: Window, copies: Ints, preloaded: Ints) -> Ints:
    """What is left to load, for rows of `copies` and up to `preloaded` arrays loaded ahead (columns)."""
    chip = window.chip
    left = ~loaded_ahead(window, copies, preloaded)
    weights = np.array([m.operator.weight_bytes * m.operator.is_loaded for m in window.members], np.int64)
    read = weights_ps(chip, left @ weights + window.off_chip_weights)
    on_chip = ps_of(window.on_chip_weights, chip.buffer_in_bytes_per_ns)
    written = (left * _rows(window, copies)[:, None, :]).sum(axis=2)
    return np.maximum(np.maximum(read, on_chip), write_ps(chip, written))


def loaded_ahead(window: Window, copies: Ints, preloaded: Ints) -> NDArray[np.bool_]:
    """[copies, preloaded, members]: those that are loaded ahead, the first ones that so many arrays hold as a whole."""
    can_be = [member.operator.static or member.operator.host is not None for member in window.members]
    static = np.logical_and.accumulate(can_be)
    return static & ((copies * window.unit_arrays).cumsum(axis=1)[:, None, :] <= preloaded[None, :, None])


def _rows(window: Window, copies: Ints) -> Ints:
    """Array rows of each member (columns) that are written before the segment runs."""
    before = np.array([not member.writes_inside for member in window.members])
    in_place = np.array([member.in_place for member in window.members], np.int64)
    written = np.ones_like(copies) if window.chip.broadcast_copies else copies
    return (written - in_place) * (window.unit_rows * before)


def switch_times(window: Window, memory_arrays: Ints) -> Ints:
    """Switching at the start and the end of the segment."""
    chip = window.chip
    to_memory = (memory_arrays - window.carried_in) * chip.switch_to_memory_ps
    return to_memory + (memory_arrays - window.carried_out + window.switched_in_place) * chip.switch_to_compute_ps


def preload_roof(
    chip: SegmentChip,
    dram_in: int | Ints,
    dram_out: int | Ints,
    arrays: Ints,
    rows: int | Ints = 0,
    weights: int | Ints = 0,
) -> Ints:
    """The least time in which `arrays` arrays of other weights are loaded beside a segment's own traffic.

    `rows` are those that it writes itself meanwhile, `weights` the bytes of them. The arrays are taken to be full, and
    none a copy of another, so that the time holds whatever the next segment is.
    """
    ahead = arrays * chip.array_bytes
    read = np.maximum(
        dram_ps(chip, np.asarray(dram_in) + ahead, dram_out), weights_ps(chip, np.asarray(weights) + ahead)
    )
    return np.where(arrays > 0, np.maximum(read, write_ps(chip, rows + arrays * chip.array_rows)), 0)


def beats(window: Window, most: int) -> Ints:
    """Copies of each member (columns) for each beat (rows): the fewest with which none takes more than v vectors' time.

    Without fill this holds the best allocation for every number of arrays: the time is that of the slowest operator,
    and no other allocation with that time takes fewer arrays. From one copy each to what `most` arrays hold; of more
    than 96 beats, 96 in a geometric row.
    """
    vectors, unit = np.where(window.elsewhere, 1, window.vectors), window.unit_arrays
    if int(unit.sum()) > most:
        return np.zeros((0, len(unit)), np.int64)
    counts = [np.arange(1, min(int(m), most // max(1, int(a))) + 1) for m, a in zip(vectors, unit, strict=True)]
    candidates = [-(-int(m) // c) for m, c in zip(vectors, counts, strict=True)]
    each = np.unique(np.concatenate(candidates))[::-1]
    copies = -(-vectors[None, :] // each[:, None])
    copies = copies[copies @ unit <= most]
    if len(copies) > 96:
        steps = np.unique(np.round(np.geomspace(1, len(copies), 96)).astype(int)) - 1
        copies = copies[len(copies) - 1 - steps[::-1]]
    # From the longest beat to the shortest no operator has fewer copies, so that equal rows are neighbours.
    return copies[np.append(True, (copies[1:] != copies[:-1]).any(axis=1))] if len(copies) else copies
