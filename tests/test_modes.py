# ruff: noqa: E501 - lines of IR are as long as they are
"""Arrays that compute or remember: plans that lose data are refused, switches and rounds take their time, and outputs
do not depend on modes."""

from pathlib import Path

import numpy as np
import pytest
from h3_reference import original
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from h3c.compiler.chips.load import load_chip
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run, verify
from h3c.compiler.plan_files import new_context
from h3c.dialects.tile import ArraysAttr, MvmOp, RoundsAttr, SwitchOp
from h3c.passes.assign_arrays import AssignArrays
from h3c.passes.lower_to_tile import LowerToTile
from h3c.passes.place_parts import PlaceParts
from h3c.passes.segment_plan import SEGMENTS, give_segments
from h3c.passes.segment_problem import program_of, segment_problem, segment_tiers
from h3c.passes.segmentation.dynamic import solve_segments
from h3c.passes.segmentation.strategies import run_segments
from h3c.passes.segmentation.tiled import makespan
from h3c.passes.verify_tile import VerifyTile
from h3c.runtime_sim.chip import Chip
from h3c.runtime_sim.chip_ir import chip_to_ir
from h3c.runtime_sim.cost import Work
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.events import simulate as simulate_jobs
from h3c.runtime_sim.flow import pipelined_jobs
from h3c.runtime_sim.kinds.arrays import ArrayTier
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.rounds import Rounds, round_writes
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.work import OpWork

MODELS = Path(__file__).parent.parent / "models"
B, E = "@chip::@buffer", "@chip::@edram"
K = f"tensor<40x64xf32, #tile.memory<{E}, 90 to 91>>"
W = f"tensor<64x40xf32, #tile.arrays<{E}, 0 to 1>>"
PLAN = f"""
builtin.module {{
  func.func @main(%x: tensor<40x64xf32> {{h3.name = "x"}}, %u: tensor<8x64xf32> {{h3.name = "u"}}) -> (tensor<8x40xf32> {{h3.name = "y"}}) {{
    %w = h3.weight "w" absent : tensor<64x40xf32>
    %v = h3.weight "v" absent : tensor<64x64xf32>
    %p = tile.segment 0 -> tensor<64x64xf32, #tile.arrays<{E}, 4 to 6>> {{
      tile.switch #tile.arrays<{E}, 60 to 91> to memory step 0
      %a = tile.program %v step 1 : (tensor<64x64xf32>) -> tensor<64x64xf32, #tile.arrays<{E}, 4 to 6>>
      tile.yield %a : tensor<64x64xf32, #tile.arrays<{E}, 4 to 6>>
    }}
    %k = tile.segment 1 memory #tile.arrays<{E}, 60 to 91> -> {K} {{
      %b = tile.mvm %x, %p step 2 : (tensor<40x64xf32>, tensor<64x64xf32, #tile.arrays<{E}, 4 to 6>>) -> {K}
      tile.yield %b : {K}
    }}
    %q = tile.segment 2 -> tensor<64x40xf32, #tile.arrays<{E}, 90 to 91>> {{
      tile.switch #tile.arrays<{E}, 60 to 90> to compute step 3
      %c = tile.program %k transposed step 4 : ({K}) -> tensor<64x40xf32, #tile.arrays<{E}, 90 to 91>>
      tile.yield %c : tensor<64x40xf32, #tile.arrays<{E}, 90 to 91>>
    }}
    %y = tile.segment 3 -> tensor<8x40xf32> {{
      %d = tile.mvm %u, %q step 5 : (tensor<8x64xf32>, tensor<64x40xf32, #tile.arrays<{E}, 90 to 91>>) -> tensor<8x40xf32>
      tile.yield %d : tensor<8x40xf32>
    }}
    func.return %y : tensor<8x40xf32>
  }}
}}"""

EDITS = {
    "the data's array is switched before it is read": ("60 to 90> to compute", "60 to 91> to compute", "its data was lost: array 90 of edram was switched"),
    "data in an array that computes": ("60 to 91> to memory", "60 to 90> to memory", "expected arrays in memory mode"),
    "a weight in an array that remembers": (f"{E}, 4 to 6>", f"{E}, 70 to 72>", "expected array 70 of edram in compute mode, it is in memory mode"),
    "an array that is memory already": ("60 to 90> to compute", "60 to 90> to memory", "expected array 60 of edram in compute mode"),
    "arrays that stay in memory mode": ("60 to 90> to compute", "61 to 90> to compute", "expected all arrays of edram in compute mode at the end, array 60"),
    "a mode that arrays have not": ("60 to 91> to memory", "60 to 91> to storage", "arrays switch to memory or compute"),
}  # fmt: skip


def parsed(text: str, chip: Chip) -> ModuleOp:
    module = Parser(new_context(), text).parse_module()
    module.body.block.insert_op_before(chip_to_ir(chip), next(iter(module.body.block.ops)))
    return module


def verified(text: str, chip: Chip) -> ModuleOp:
    module = parsed(text, chip)
    verify(module, "test")
    VerifyTile().apply(Context(), module)
    return module


def test_the_plan_passes_and_its_switches_take_their_time() -> None:
    """31 arrays one after another, 4 ns each; back 30, and one in which K stays as the weight of the next product."""
    module = verified(PLAN, load_chip("dynaplasia"))
    timing = simulate(module)
    first, back, in_place = (
        op for op in timing.operations if op.op in ("tile.switch", "tile.program") and op.step != 1
    )
    assert first.end_ns - first.start_ns == 31 * 4
    assert back.end_ns - back.start_ns == 30 * 4
    assert in_place.end_ns - in_place.start_ns == 4
    assert timing.mode_switches == 31 + 30 + 1
    assert timing.tiers["edram"].rows_written == 2 * 64
    text = str(module)
    assert str(Parser(new_context(), text).parse_module()) == text


@pytest.mark.parametrize(("old", "new", "reason"), EDITS.values(), ids=EDITS)
def test_a_plan_edited_so_that_data_is_lost_is_refused(old: str, new: str, reason: str) -> None:
    assert old in PLAN
    with pytest.raises(InputError) as refusal:
        verified(PLAN.replace(old, new), load_chip("dynaplasia"))
    assert reason in str(refusal.value)


def test_a_chip_without_a_memory_mode_switches_nothing() -> None:
    chip = load_chip("dynaplasia")
    tier = chip.tier("edram").model_copy(update={"memory_mode": None})
    with pytest.raises(InputError, match="expected a tier whose arrays have a memory mode, got edram"):
        verified(PLAN, chip.model_copy(update={"tiers": {**chip.tiers, "edram": tier}}))


def test_memory_arrays_add_their_bandwidth_up_to_the_cap() -> None:
    tier = load_chip("dynaplasia").tier("edram")
    assert isinstance(tier, ArrayTier)
    assert tier.widened(8).link_in_bytes_per_ns == 8 + 8 * 1.0
    assert tier.widened(90).link_out_bytes_per_ns == 8 + 32.0
    assert tier.widened(8).weights_bytes_per_ns == tier.widened(8).widened(8).weights_bytes_per_ns == 8


@settings(max_examples=150, deadline=None)
@given(
    count=st.integers(1, 12),
    turns=st.integers(1, 5),
    load=st.integers(1, 1000),
    inputs=st.integers(1, 1000),
    compute=st.integers(1, 1000),
)
def test_rounds_that_take_turns_take_the_closed_form(
    count: int, turns: int, load: int, inputs: int, compute: int
) -> None:
    """n rounds on q sets of arrays, one loader, one link that inputs pass before they are computed with."""
    text = f"""func.func @main(%x: tensor<8x64xf32, {B}>) -> tensor<8x64xf32> {{
      %w = h3.weight "w" absent : tensor<64x64xf32>
      %y = tile.mvm %x, %w on {E} rounds #tile.rounds<count {count}, turns {turns}, passes 1, inputs 1, sums 0, off_chip 1, spilled 0, ahead 0, at #tile.arrays<{E}, 0 to {turns}>> step 0 : (tensor<8x64xf32, {B}>, tensor<64x64xf32>) -> tensor<8x64xf32>
      func.return %y : tensor<8x64xf32>
    }}"""
    module = Parser(new_context(), text).parse_module()
    op = next(op for op in module.walk() if isinstance(op, MvmOp))
    one = np.asarray(1, np.int64)
    stages = (("edram.write", load),), (("edram.in", inputs), ("edram.arrays", compute))
    works = [Work(tuple((name, one * ps) for name, ps in each), one, {}) for each in stages]
    rounds = Rounds(works[0], works[1], count, turns, works[0])
    jobs, owners = pipelined_jobs(load_chip("dynaplasia"), [(op, OpWork(Work((), one, {}), "edram", rounds=rounds))])
    numbers = (np.asarray(number, np.int64) for number in (count, load, inputs + compute, turns, inputs))
    assert simulate_jobs(jobs).end_ps == makespan(*numbers)
    assert set(owners) == {0}


def test_each_array_is_written_as_often_as_its_set_has_rounds() -> None:
    """Rounds 0, 2 and 4 write the first set, 1 and 3 the second; what was written ahead is not written in round 0."""
    counts = {"passes": 1, "inputs": 1, "sums": 0, "off_chip": 1, "spilled": 0}
    rounds = RoundsAttr.of(ArraysAttr.of("edram", [(3, 9)]), count=5, turns=2, ahead=2, **counts)
    assert round_writes(rounds).tolist() == [2, 2, 3, 2, 2, 2]


def small_chip(tmp_path: Path, arrays: int) -> str:
    """The shipped chip with so few arrays that models do not fit."""
    text = (Path(__file__).parent.parent / "compiler/chips/dynaplasia.yaml").read_text()
    path = tmp_path / "small.yaml"
    path.write_text(text.replace("arrays: 96 ", f"arrays: {arrays} ").replace("tiles: 96", f"tiles: {arrays}"))
    return str(path)


@pytest.mark.parametrize("model", ["digits_transformer", "digits_cnn"])
@pytest.mark.parametrize("strategy", ["exact", "all-compute", "all-compute-best", "occ-like", "cmswitch"])
def test_outputs_do_not_depend_on_modes_segments_and_rounds(tmp_path: Path, model: str, strategy: str) -> None:
    target, path = small_chip(tmp_path, 12), MODELS / f"{model}.onnx"
    module = read_onnx(path, {"batch": 1})
    passes = build({"attach-chip": {"target": target}, "place-parts": {"strategy": strategy}})
    run(module, passes, new_context())  # pyright: ignore[reportArgumentType]
    session = original(path)
    images = np.load(MODELS / "digits.npz")["x_test"][:3].astype(np.float32)
    name = session.get_inputs()[0].name
    expected = np.concatenate([np.asarray(session.run(None, {name: images[i : i + 1]})[0]) for i in range(3)])
    outputs, _ = run_plan(module, {"image": images}, ideal=True)
    made = next(iter(outputs.values()))
    assert np.abs(made - expected).max() <= 1e-4 * np.ptp(expected)


def prepared(model: str, target: str) -> ModuleOp:
    """A model as place-parts gets it."""
    module = read_onnx(MODELS / f"{model}.onnx", {"batch": 1})
    names = [name for name, _ in PIPELINE]
    run(module, build({"attach-chip": {"target": target}}, names[: names.index("place-parts")]), new_context())
    return module


@pytest.mark.parametrize("arrays", [6, 12, 96])
@pytest.mark.parametrize("model", ["digits_transformer", "digits_cnn"])
@pytest.mark.parametrize("strategy", ["exact", "all-compute", "all-compute-overlap", "cmswitch"])
def test_a_plan_takes_about_what_was_predicted(tmp_path: Path, arrays: int, model: str, strategy: str) -> None:
    """One segment or several, whole or in rounds: closed forms and simulation within 6 %."""
    module = prepared(model, small_chip(tmp_path, arrays))
    program = program_of(module, segment_tiers(module, 8)[0])
    problem = segment_problem(program)
    plan = run_segments(problem, strategy).plan
    give_segments(module, program, problem, plan)
    LowerToTile().apply(Context(), module)
    assert simulate(module).latency_ns * 1000 == pytest.approx(plan.total_ps, rel=0.06)


def test_a_plan_that_switches_says_so_and_takes_what_was_predicted(tmp_path: Path) -> None:
    """The switches that the simulator sees are those of the solver's plan; slow links make memory arrays worth it."""
    slow = Path(small_chip(tmp_path, 96))
    slow.write_text(slow.read_text().replace("_bytes_per_ns: 8.0\n", "_bytes_per_ns: 2.0\n"))
    module = prepared("digits_transformer", str(slow))
    program = program_of(module, segment_tiers(module, 8)[0])
    problem = segment_problem(program)
    plan = solve_segments(problem)
    give_segments(module, program, problem, plan)
    run(module, [LowerToTile(), VerifyTile()], new_context())
    timing = simulate(module)
    assert 0 < timing.mode_switches == plan.switched_arrays
    assert sum(op.arrays.size for op in module.walk() if isinstance(op, SwitchOp)) == plan.switched_arrays
    assert timing.latency_ns * 1000 == pytest.approx(plan.total_ps, rel=0.02)


def test_a_plan_of_segments_that_is_placed_anew_leaves_nothing(tmp_path: Path) -> None:
    """Here for energy, without segments: as if it had never been placed."""
    names = [name for name, _ in PIPELINE]
    first = names[: names.index("place-parts")]
    texts: list[str] = []
    for before in (True, False):
        module = read_onnx(MODELS / "digits_cnn.onnx", {"batch": 1})
        run(module, build({"attach-chip": {"target": small_chip(tmp_path, 12)}}, first), new_context())
        if before:
            PlaceParts(strategy="all-compute-best").apply(Context(), module)
            assert SEGMENTS in module.attributes
        PlaceParts(strategy="greedy", objective="energy").apply(Context(), module)
        texts.append(str(module))
        run(module, [LowerToTile(), AssignArrays(), VerifyTile()], new_context())
    assert texts[0] == texts[1]
