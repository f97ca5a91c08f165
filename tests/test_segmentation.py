"""The segmentation solver: against every plan of small problems, its closed forms against simulations, its bound."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from segmentation_toy import least_time, random_problem

from h3c.passes.placement.problem import PlacementError
from h3c.passes.segmentation import dynamic
from h3c.passes.segmentation.dynamic import solve_segments
from h3c.passes.segmentation.problem import Place, SegmentChip, SegmentOperator, SegmentProblem
from h3c.passes.segmentation.resident import load_times, pipelines, run_times
from h3c.passes.segmentation.segments import Decision, assemble
from h3c.passes.segmentation.tiled import candidates, makespan, price
from h3c.passes.segmentation.window import Windows
from h3c.runtime_sim.events import After, Job, simulate

PROBLEMS = 210


def operator(m: int, k: int = 8, n: int = 4, **more: Any) -> SegmentOperator:
    return SegmentOperator("o", m, k, n, 1, k * n, m * k, m * k, m * n, **more)


def plain_chip(**more: Any) -> SegmentChip:
    fields: dict[str, Any] = {
        "arrays": 8, "array_rows": 8, "array_cols": 4, "array_bytes": 32, "mvm_ps": 10_000,
        "dram_read_bytes_per_ns": 1.0, "dram_write_bytes_per_ns": 1.0, "buffer_in_bytes_per_ns": 1e3,
        "buffer_out_bytes_per_ns": 1e3, "buffer_bytes": 10_000, "memory_bytes_per_ns": 1.0,
        "memory_cap_bytes_per_ns": 100.0, "write_row_ps": 0, "write_ports": 1, "switch_to_memory_ps": 100,
        "switch_to_compute_ps": 100,
    }  # fmt: skip
    return SegmentChip(**(fields | more))


@pytest.mark.parametrize("seed", range(0, PROBLEMS, 30))
def test_the_dynamic_program_finds_the_least_time_of_all_plans(seed: int) -> None:
    """All cuts, places, preloads, tilings and numbers of memory arrays, and all copies that keep to a beat."""
    for each in range(seed, seed + 30):
        rng = np.random.default_rng(each)
        problem = random_problem(rng, int(rng.integers(2, 4)), int(rng.integers(2, 6)))
        plan = solve_segments(problem)
        assert plan.total_ps == least_time(problem), each
        assert plan.bound_ps == plan.total_ps


def test_the_bound_holds_for_numbers_of_preloaded_arrays_between_the_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """With few levels the plan may be worse than the best of all plans, and the bound is not above that."""

    def levels(problem: SegmentProblem) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([0, 2, problem.chip.arrays])

    monkeypatch.setattr(dynamic, "preload_levels", levels)
    missed = 0
    for seed in range(2000, 2060):
        rng = np.random.default_rng(seed)
        problem = random_problem(rng, 3, int(rng.integers(4, 7)))
        if not problem.chip.overlap_writes:
            continue
        plan, least = solve_segments(problem), least_time(problem)
        assert plan.bound_ps is not None
        assert plan.bound_ps <= least <= plan.total_ps
        missed += least < plan.total_ps
    assert missed


def test_copies_off_the_beat_gain_little() -> None:
    """More copies than the beat needs shorten fills only: over all copies the best plan is hardly better."""
    ratios: list[float] = []
    for seed in range(30):
        rng = np.random.default_rng(1000 + seed)
        problem = random_problem(rng, 3, int(rng.integers(3, 6)))
        ratios.append(least_time(problem) / least_time(problem, beats_only=False))
    assert np.mean(np.array(ratios) == 1.0) > 0.8
    assert max(ratios) < 1.1


def simulate_rounds(rounds: int, load: int, inputs: int, compute: int, turns: int) -> int:
    """One loader and one link for inputs; a set of arrays is loaded when its round before has computed."""
    ends: list[int] = []
    loader = link = 0
    for index in range(rounds):
        free = ends[index - turns] if index >= turns else 0
        loader = max(loader, free) + load
        link = max(link, loader) + inputs
        ends.append(link - inputs + compute)
    return max(ends)


def test_rounds_that_take_turns_end_when_a_simulation_says() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        rounds, load, compute = int(rng.integers(1, 40)), int(rng.integers(0, 50)), int(rng.integers(0, 200))
        inputs = int(rng.integers(0, compute + 1))
        turns = int(rng.choice([1, 2, 3, 4, 8]))
        found = int(makespan(*(np.array(v) for v in (rounds, load, compute, turns, inputs))))
        assert found == simulate_rounds(rounds, load, inputs, compute, turns)


def test_a_pipeline_of_chunks_ends_when_the_event_engine_says() -> None:
    """Operators of 32 or more vectors on arrays alone, one after another, chunk by chunk."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        sizes = [32 * int(rng.integers(1, 20)) for _ in range(int(rng.integers(1, 5)))]
        ops = [operator(m, producers=(i - 1,) if i else ()) for i, m in enumerate(sizes)]
        chip = plain_chip(dram_read_bytes_per_ns=1e12, buffer_in_bytes_per_ns=1e12, buffer_out_bytes_per_ns=1e12)
        window = Windows(SegmentProblem(chip, tuple(ops))).window(0, len(ops) - 1, {})
        assert window is not None
        found = int(run_times(window, pipelines(window, np.ones((1, len(ops)), np.int64)), np.zeros(1, np.int64))[0, 0])
        jobs = [
            Job(((f"arrays{i}", m * 10_000),), 32, (After(i - 1, False),) if i else ()) for i, m in enumerate(sizes)
        ]
        # The other roofs are a picosecond or two.
        assert simulate(jobs).end_ps == pytest.approx(found, abs=10 * len(ops))


def test_inputs_that_are_there_pass_the_links_before_those_that_are_made() -> None:
    """Two operators that share the link: what the first one reads is there, so the second starts behind it."""
    rng = np.random.default_rng(2)
    for _ in range(50):
        vectors = 32 * int(rng.integers(2, 20))
        inputs = [vectors * int(rng.integers(1, 100)) for _ in range(2)]
        ops = [
            replace(operator(vectors, producers=(i - 1,) if i else ()), input_bytes=size)
            for i, size in enumerate(inputs)
        ]
        chip = plain_chip(dram_read_bytes_per_ns=1e12, buffer_in_bytes_per_ns=5.0, buffer_out_bytes_per_ns=1e12)
        window = Windows(SegmentProblem(chip, tuple(ops))).window(0, 1, {})
        assert window is not None
        lines = pipelines(window, np.ones((1, 2), np.int64))
        found = int(run_times(window, lines, np.zeros(1, np.int64))[0, 0])
        jobs = [
            Job((("in", size * 200), (f"arrays{i}", vectors * 10_000)), 32, (After(0, False),) if i else ())
            for i, size in enumerate(inputs)
        ]
        assert simulate(jobs).end_ps == pytest.approx(found, rel=0.06)


def test_windows_wait_for_the_last_inputs_where_these_come_slowly() -> None:
    """Off-chip reading sets the pace; behind its end every operator still does the rows that its window waited for."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        sizes = [32 * int(rng.integers(1, 20)) for _ in range(4)]
        rows = [0, *(int(rng.integers(1, 8)) for _ in sizes[1:])]
        ops = [
            replace(operator(m, producers=(i - 1,) if i else ()), lead=more / 32)
            for i, (m, more) in enumerate(zip(sizes, rows, strict=True))
        ]
        ops[0] = replace(ops[0], input_bytes=32 * int(rng.integers(50, 200)))
        chip = plain_chip(buffer_in_bytes_per_ns=1e12, buffer_out_bytes_per_ns=1e12)
        window = Windows(SegmentProblem(chip, tuple(ops))).window(0, 3, {})
        assert window is not None
        lines = pipelines(window, np.ones((1, 4), np.int64))
        found = int(run_times(window, lines, np.zeros(1, np.int64))[0, 0])
        jobs: list[Job] = []
        for i, (m, more) in enumerate(zip(sizes, rows, strict=True)):
            needs = tuple(min(32, chunk + more) for chunk in range(1, 33))
            reads = (("dram", ops[0].input_bytes * 1000),) if not i else ()
            jobs.append(Job((*reads, (f"arrays{i}", m * 10_000)), 32, (After(i - 1, False, needs),) if i else ()))
        assert simulate(jobs).end_ps == pytest.approx(found, rel=0.09)


def residual_blocks(blocks: int, vectors: int, rows: int) -> tuple[list[SegmentOperator], list[Job]]:
    """Operators, and jobs, of blocks of a branch of two operators, whose windows wait for `rows` chunks, and a shortcut
    whose digital work adds the branch. In the list the shortcut comes last, though it is done first."""
    needs = tuple(min(32, chunk + rows) for chunk in range(1, 33))
    ops, jobs, result = [operator(vectors)], [Job((("arrays0", vectors * 10_000),), 32)], 0
    for first in range(1, 3 * blocks, 3):
        reads = (first - 1,), (first,), (first - 1, first + 1)
        # The shortcut and the branch wait for the block before, the branch's second for its first.
        waits = [After(result, False, needs), After(len(jobs), False, needs), After(result, False)]
        for number, (producers, wait) in enumerate(zip(reads, waits, strict=True)):
            late, lead = ((first + 1,), 0.0) if number == 2 else ((), rows / 32)
            ops.append(replace(operator(vectors, producers=producers), late_producers=late, lead=lead))
            jobs.append(Job(((f"arrays{len(jobs)}", vectors * 10_000),), 32, (wait,)))
        jobs.append(Job((("sum", 32),), 32, (After(len(jobs) - 2, False), After(len(jobs) - 1, False))))
        result = len(jobs) - 1
    return ops, jobs


def test_what_reads_a_sum_waits_for_both_branches() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        ops, jobs = residual_blocks(int(rng.integers(1, 5)), 32 * int(rng.integers(1, 9)), int(rng.integers(2, 12)))
        rates = dict.fromkeys(("dram_read_bytes_per_ns", "buffer_in_bytes_per_ns", "buffer_out_bytes_per_ns"), 1e12)
        window = Windows(SegmentProblem(plain_chip(arrays=99, **rates), tuple(ops))).window(0, len(ops) - 1, {})
        assert window is not None
        found = int(run_times(window, pipelines(window, np.ones((1, len(ops)), np.int64)), np.zeros(1, np.int64))[0, 0])
        assert simulate(jobs).end_ps == pytest.approx(found, rel=0.01)


def test_a_barrier_makes_two_phases() -> None:
    """What follows a barrier starts when all before it is done; without it the two overlap but for a chunk."""
    times: dict[bool, int] = {}
    for barrier in (False, True):
        problem = SegmentProblem(plain_chip(), (operator(64), operator(64, producers=(0,), barrier=barrier)))
        window = Windows(problem).window(0, 1, {})
        assert window is not None
        times[barrier] = int(
            run_times(window, pipelines(window, np.ones((1, 2), np.int64)), np.zeros(1, np.int64))[0, 0]
        )
    assert times[True] > 1.9 * times[False] / (33 / 32)


def test_digital_work_overlaps_or_follows() -> None:
    """Beside a pipeline it adds the share of a chunk, behind it, or behind rounds, all of it."""
    took: list[int] = []
    for more in ({}, {"digital_ps": 320_000}, {"digital_after_ps": 320_000}):
        window = Windows(SegmentProblem(plain_chip(), (operator(64, **more),))).window(0, 0, {})
        assert window is not None
        lines = pipelines(window, np.ones((1, 1), np.int64))
        took.append(int(run_times(window, lines, np.zeros(1, np.int64))[0, 0]))
        tilings = candidates(window, np.zeros(1, np.int64))
        took.append(int(price(window, tilings).total_ps[0]))
    plain, in_rounds, beside, behind_rounds, behind, also_behind_rounds = took
    assert beside == plain + 320_000 // 32
    assert behind == plain + 320_000
    assert behind_rounds == also_behind_rounds == pytest.approx(in_rounds + 320_000, rel=0.01)


def test_weights_are_loaded_ahead_with_all_their_copies_or_not_at_all() -> None:
    """Two operators of one array: with 2 and 3 copies, 2 arrays spare the first one's reading, 4 no more, 5 all."""
    problem = SegmentProblem(plain_chip(), (operator(64), operator(64, producers=(0,))))
    window = Windows(problem).window(0, 1, {})
    assert window is not None
    left = load_times(window, np.array([[2, 3]]), np.array([0, 1, 2, 4, 5]))[0]
    assert left.tolist() == [64_000, 64_000, 32_000, 32_000, 0]


def test_a_sum_behind_a_product_does_not_hold_it_up() -> None:
    """The second of two products that wait for the first is added to the other's result: they overlap."""
    took: list[int] = []
    for late in ((), (1,)):
        ops = (
            operator(64),
            operator(64, producers=(0,), barrier=True),
            operator(64, producers=(0, 1), late_producers=late, barrier=True),
        )
        window = Windows(SegmentProblem(plain_chip(), ops)).window(0, 2, {})
        assert window is not None
        took.append(len(window.phases))
    assert took == [3, 2]


def test_memory_arrays_pay_where_the_buffer_is_slow() -> None:
    """64 vectors of 8 in, 4 out: 0.64 us on 1 array; 12 bytes a vector at 0.5 bytes a ns in and out need 1 us."""
    chip = plain_chip(buffer_in_bytes_per_ns=0.5, buffer_out_bytes_per_ns=0.5, arrays=4)
    problem = SegmentProblem(chip, (operator(64),))
    with_memory = solve_segments(problem)
    without = solve_segments(
        SegmentProblem(plain_chip(**{**vars(chip), "memory_bytes_per_ns": 0.0}), problem.operators)
    )
    assert with_memory.segments[0].memory_arrays > 0
    assert without.segments[0].memory_arrays == 0
    assert without.total_ps > 1.5 * with_memory.total_ps


def test_a_tie_is_decided_for_fewest_switched_arrays() -> None:
    """Where switching is free and the off-chip port is all that counts, no array is switched."""
    chip = plain_chip(dram_read_bytes_per_ns=0.01, switch_to_memory_ps=0, switch_to_compute_ps=0, arrays=4)
    ops = (operator(1), operator(1, 8, 40, producers=(0,)))
    assert solve_segments(SegmentProblem(chip, ops)).switched_arrays == 0


def test_a_program_that_fits_loads_once() -> None:
    """Its weights are there from power-up, and their loading is no part of an execution."""
    plan = solve_segments(SegmentProblem(plain_chip(dram_read_bytes_per_ns=0.01), (operator(4), operator(4))))
    assert plan.resident
    assert plan.segments[0].load_ps == 0


def test_a_weight_made_at_run_time_is_switched_in_place() -> None:
    """Kept in memory arrays as it will compute, it is not written again: all that is left is the switch."""
    chip = plain_chip(write_row_ps=10_000, arrays=4)
    ops = (operator(8), operator(8, producers=(0,)), operator(8, 8, 8, producers=(1,), weight_producer=0))
    windows = Windows(SegmentProblem(chip, ops))
    decisions = [Decision(0, (1, 1), 2), Decision(2, (1,), 0)]
    written = assemble(windows, [Decision(0, (1, 1)), Decision(2, (1,))], {0: Place.BUFFER, 1: Place.BUFFER})
    in_place = assemble(windows, decisions, {0: Place.IN_PLACE, 1: Place.BUFFER})
    assert written.segments[1].load_ps == 16 * 10_000
    assert in_place.segments[1].load_ps == 0
    assert (in_place.segments[0].to_memory, in_place.segments[0].to_compute) == (2, 0)
    assert in_place.segments[1].to_compute == 2


def test_tensors_in_memory_arrays_share_none() -> None:
    """40 bytes are two arrays of 32; as two tensors, of 39 and 1, they are three."""
    for parts, arrays in (((), 2), ((39, 1), 3)):
        ops = (replace(operator(10), output_parts=parts), operator(1, producers=(0,)))
        assert Windows(SegmentProblem(plain_chip(), ops)).arrays_of(0, Place.ARRAYS) == arrays


def test_an_order_that_is_none_is_refused() -> None:
    with pytest.raises(PlacementError, match="expected sources before operator 0, got 0"):
        SegmentProblem(plain_chip(), (operator(1, producers=(0,)),))
