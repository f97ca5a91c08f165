"""Small random segmentation problems, and every plan of one by enumeration."""

from itertools import pairwise, product

import numpy as np

from h3c.passes.segmentation.allocation import NEVER
from h3c.passes.segmentation.places import keepable
from h3c.passes.segmentation.problem import Place, SegmentChip, SegmentOperator, SegmentProblem
from h3c.passes.segmentation.resident import load_times, pipelines, preload_roof, run_times, switch_times
from h3c.passes.segmentation.segments import window_of
from h3c.passes.segmentation.tiled import candidates, price, totals
from h3c.passes.segmentation.window import Known, Window, Windows


def random_chip(rng: np.random.Generator, arrays: int) -> SegmentChip:
    """Arrays of 8 x 4 weights. Sometimes ports are shared, writes do not overlap, or nothing can be memory."""
    rates = rng.choice([0.02, 0.1, 0.5, 2.0], 4)
    return SegmentChip(
        arrays=arrays,
        array_rows=8,
        array_cols=4,
        array_bytes=32,
        mvm_ps=int(rng.choice([1000, 5000, 20000])),
        dram_read_bytes_per_ns=float(rates[0]),
        dram_write_bytes_per_ns=float(rates[1]),
        buffer_in_bytes_per_ns=float(rates[2]),
        buffer_out_bytes_per_ns=float(rates[3]),
        buffer_bytes=int(rng.choice([16, 64, 256])),
        memory_bytes_per_ns=float(rng.choice([0.0, 0.1, 1.0])),
        memory_cap_bytes_per_ns=2.0,
        write_row_ps=int(rng.choice([100, 3000])),
        write_ports=2,
        switch_to_memory_ps=int(rng.choice([0, 500])),
        switch_to_compute_ps=700,
        dram_shared=bool(rng.integers(2)),
        buffer_shared=bool(rng.integers(2)),
        overlap_writes=bool(rng.integers(4)),
        broadcast_copies=bool(rng.integers(2)),
    )


def random_problem(rng: np.random.Generator, operators: int, arrays: int) -> SegmentProblem:
    """A graph with residual edges, barriers, and products of two values."""
    ops: list[SegmentOperator] = []
    for i in range(operators):
        m, k, n = (int(rng.integers(1, high)) for high in (12, 13, 9))
        older = list(range(i))
        producers = {i - 1} if i else set[int]()
        if i > 1 and rng.integers(2):
            producers.add(int(rng.integers(i - 1)))
        late = tuple(p for p in sorted(producers) if p != i - 1 and rng.integers(2))
        made = int(rng.choice(older)) if i > 1 and not rng.integers(4) else None
        ops.append(
            SegmentOperator(
                f"o{i}", m, k, n, 1, k * n, m * k, 2 * m * k, m * n, tuple(sorted(producers)), made,
                barrier=not rng.integers(4), lead=float(rng.choice([0.0, 0.3])),
                digital_ps=int(rng.choice([0, 4000])), digital_after_ps=int(rng.choice([0, 0, 3000])),
                is_output=i == operators - 1, late_producers=late,
            )
        )  # fmt: skip
    return SegmentProblem(random_chip(rng, arrays), tuple(ops), fixed_ps=17)


def all_copies(window: Window, most: int) -> np.ndarray:
    """Every number of copies of each operator; one of those that are elsewhere."""
    choices = [range(1, most // int(a) + 1 if a else 2) for a in window.unit_arrays]
    rows = np.array(list(product(*choices)), np.int64).reshape(-1, len(choices))
    return rows[rows @ window.unit_arrays <= most]


def on_a_beat(window: Window, copies: np.ndarray) -> np.ndarray:
    """Those of `copies` that are the fewest for which no operator takes more than some number of vectors."""
    vectors = np.where(window.elsewhere, 1, window.vectors)
    slowest = (-(-vectors // copies)).max(axis=1)
    return copies[(copies == -(-vectors // slowest[:, None])).all(axis=1)]


def window_table(window: Window, beats_only: bool, *, stays: bool = False) -> np.ndarray:
    """[preloaded, preloads]: the least time of a window over every allocation and tiling."""
    chip, arrays = window.chip, window.chip.arrays
    table = np.full((arrays + 1, arrays + 1), NEVER, np.int64)
    copies = all_copies(window, arrays)
    copies = on_a_beat(window, copies) if beats_only else copies
    memory = np.arange(window.least_memory, arrays + 1 if chip.memory_bytes_per_ns else 1)
    levels = np.arange(arrays + 1 if chip.overlap_writes else 1)
    if len(copies) and len(memory):
        time = run_times(window, pipelines(window, copies), memory) + switch_times(window, memory)
        load = load_times(window, copies, levels) * (not stays)
        for ahead in levels.tolist():
            roof = preload_roof(chip, window.dram_in, sum(p.dram_out for p in window.phases), np.array(ahead))
            fits = (copies @ window.unit_arrays)[:, None] + memory[None, :] + ahead <= arrays
            value = np.where(fits, np.maximum(time, roof), NEVER)
            table[levels, ahead] = (value[:, :, None] + load[:, None, :]).min(axis=(0, 1))
    if window.can_be_tiled and not stays:
        tilings = candidates(window, memory)
        rounds = price(window, tilings)
        for ahead in levels.tolist() if len(tilings) else ():
            value = totals(window, tilings, rounds, levels, ahead)
            table[levels, ahead] = np.minimum(table[levels, ahead], np.where(value < 0, NEVER, value).min(axis=1))
    return table


def least_time(
    problem: SegmentProblem,
    *,
    beats_only: bool = True,
    known: Known | None = None,
    tables: dict[object, np.ndarray] | None = None,
) -> int:
    """The time of the best plan: every set of cuts, every place of every tensor, every preload, every allocation.

    `tables` of windows may be shared by problems that share `known`."""
    windows, count = Windows(problem, known), len(problem.operators)
    tensors = keepable(windows)
    tables = {} if tables is None else tables
    best = NEVER
    for places in product(*tensors.values()):
        kept = {p: place for p, place in zip(tensors, places, strict=True) if place is not Place.OFF_CHIP}
        for inner in product([False, True], repeat=count - 1):
            ends = [0, *(i + 1 for i, cut in enumerate(inner) if cut), count]
            reach = np.full(problem.chip.arrays + 1, NEVER, np.int64)
            reach[0] = 0
            for first, end in pairwise(ends):
                window = window_of(windows, first, end - 1, kept)
                if window is None:
                    reach[:] = NEVER
                    break
                stays = len(ends) == 2
                if (window.key, stays) not in tables:
                    table = window_table(window, beats_only)
                    whole = window_table(window, beats_only, stays=True) if stays else table
                    tables[window.key, stays] = np.minimum(whole, table)
                reach = np.minimum(NEVER, (reach[:, None] + tables[window.key, stays]).min(axis=0))
            best = min(best, int(reach[0]))
    return best + problem.fixed_ps
