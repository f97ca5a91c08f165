"""The strategies on chips whose arrays compute or remember: what they decide, and how they compare."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from segmentation_toy import random_problem

from h3c.passes.segmentation.bound import lower_bound
from h3c.passes.segmentation.cmswitch import cmswitch
from h3c.passes.segmentation.growth import sum_of_steps
from h3c.passes.segmentation.problem import Place, SegmentProblem
from h3c.passes.segmentation.strategies import BASELINES, STRATEGIES, run_segments

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from dual_mode_shapes import (  # pyright: ignore[reportMissingImports]
    REFERENCE_CHIPS,
    decode,
    dynaplasia_like,
    prime_like,
    problem_of,
    transformer,
)


@pytest.mark.parametrize("mvm_cycles", [8, 32, 126])
def test_cmswitch_cuts_vgg16_as_published(mvm_cycles: int) -> None:
    """Convolutions 1 to 4, 5 and 6, every later one alone: evidence that an array is 40 weights wide."""
    chip = dynaplasia_like(mvm_cycles, 64, 32, 4, line_buffer=False)
    plan = cmswitch(problem_of("VGG16", chip))
    cuts = [[member.operator for member in segment.members] for segment in plan.segments]
    assert cuts == [[0, 1, 2, 3], [4, 5], *([i] for i in range(6, 16))]


def test_cmswitch_with_arrays_as_wide_as_their_columns_cuts_vgg16_otherwise() -> None:
    chip = replace(dynaplasia_like(32, 64, 32, 4, line_buffer=False), array_cols=320)
    assert len(cmswitch(problem_of("VGG16", chip)).segments[0].members) > 4


def test_exact_is_never_worse_than_any_strategy_nor_better_than_the_bound() -> None:
    for seed in range(40):
        rng = np.random.default_rng(5000 + seed)
        problem = random_problem(rng, int(rng.integers(2, 6)), int(rng.integers(2, 9)))
        exact = run_segments(problem, "exact").plan
        assert lower_bound(problem) <= exact.total_ps
        for name in STRATEGIES[1:]:
            plan = run_segments(problem, name).plan
            assert exact.total_ps <= plan.total_ps, (seed, name)
            assert plan.bound_ps is None


def test_every_operator_is_in_one_segment_in_order() -> None:
    problem = problem_of("ResNet-18", REFERENCE_CHIPS["R2"])
    for name in BASELINES:
        plan = run_segments(problem, name).plan
        operators = [member.operator for segment in plan.segments for member in segment.members]
        assert operators == list(range(len(problem.operators))), name


def test_baselines_without_memory_mode_switch_nothing() -> None:
    problem = SegmentProblem(REFERENCE_CHIPS["R1"], tuple(transformer(1, 256, 4, 1024, False, 1, 64)))
    for name in STRATEGIES:
        plan = run_segments(problem, name).plan
        if name not in ("exact", "cmswitch"):
            assert plan.switched_arrays == 0, name
            assert all(kept.place is Place.BUFFER for kept in plan.kept), name


def test_switches_are_those_of_memory_arrays_and_of_tensors_kept_in_arrays() -> None:
    """Each array that goes to memory comes back once: in its segment, or where the tensor in it is read last."""
    plan = run_segments(problem_of("ResNet-18", REFERENCE_CHIPS["R1"]), "exact").plan
    assert plan.switched_arrays > 0
    assert sum(s.to_memory for s in plan.segments) == sum(s.to_compute for s in plan.segments)
    assert all(s.compute_arrays + s.memory_arrays + s.preloads <= 96 or s.tiling for s in plan.segments)


def test_equal_blocks_cost_equally() -> None:
    """A block more of a transformer takes the same time more, but for its ends."""
    chip = REFERENCE_CHIPS["R2"]
    times = [
        run_segments(SegmentProblem(chip, tuple(transformer(n, 1024, 8, 2048, False, 1, 64))), "exact").plan.total_ps
        for n in (1, 2, 3)
    ]
    assert times[2] - times[1] == pytest.approx(times[1] - times[0], rel=0.02)


def test_tensors_that_fill_the_buffer_together_are_no_obstacle() -> None:
    """Five of a quarter of the buffer are alive at once in attention: one goes off chip, with and without memory."""
    chip = prime_like(64, 8.0)
    problem = SegmentProblem(chip, tuple(transformer(1, 4096, 32, 11008, True, 1, 64)))
    assert problem.operators[0].output_bytes * 4 == chip.buffer_bytes
    exact, best = (run_segments(problem, name).plan for name in ("exact", "all-compute-best"))
    assert lower_bound(problem) <= exact.total_ps <= best.total_ps


def test_decode_is_bound_by_loading() -> None:
    """Each weight is used once: the best plan is within 2 % of weights and cache over the off-chip bandwidth."""
    problem = SegmentProblem(REFERENCE_CHIPS["R2"], tuple(decode(1, 4096, 32, 11008, True, 1, 512)))
    plan = run_segments(problem, "exact").plan
    assert plan.total_ps <= 1.02 * lower_bound(problem)


def test_steps_of_generation_are_summed_without_a_plan_for_each() -> None:
    chip = REFERENCE_CHIPS["R2"]

    def step(cached: int) -> int:
        return run_segments(
            SegmentProblem(chip, tuple(decode(1, 256, 4, 512, False, 1, cached))), "all-compute"
        ).plan.total_ps

    growth = sum_of_steps(lambda cached: (step(cached),), 30, 400, 320)
    assert growth.sums[0] == pytest.approx(sum(step(n) for n in range(30, 401)), rel=2e-3)
    assert growth.planned < 200


def test_steps_that_bend_between_sides_of_arrays_are_summed_piece_by_piece() -> None:
    growth = sum_of_steps(lambda n: (1e5 + n * n, 1000.0), 10, 900, 1000)
    assert growth.sums == pytest.approx((sum(1e5 + n * n for n in range(10, 901)), 891 * 1000.0), rel=1e-3)
    assert growth.planned < 150


def test_an_unknown_strategy_is_refused() -> None:
    problem = problem_of("ResNet-18", REFERENCE_CHIPS["R1"])
    with pytest.raises(ValueError, match="strategy: expected one of exact, all-compute-best, all-compute"):
        run_segments(problem, "best")
