"""Pipelined segments: closed forms of small pipelines, what waits for what, and real models on the published chips."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from h3_reference import original
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import FunctionType, ModuleOp, SymbolRefAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Region, SSAValue

from h3c.compiler.chips.load import load_chip
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import build, run
from h3c.compiler.plan_files import new_context
from h3c.dialects.h3 import WeightOp
from h3c.dialects.onnx import make_op
from h3c.dialects.tile import ArraysAttr, DigitalOp, MvmOp, ProgramOp, SegmentOp, StepOp, YieldOp
from h3c.dialects.values import buffer
from h3c.runtime_sim.chip import Chip
from h3c.runtime_sim.chip_ir import chip_to_ir
from h3c.runtime_sim.cost import closed_form_ps
from h3c.runtime_sim.flow import Rows, chunks_read
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.timing import OpTiming, Timing, simulate
from h3c.runtime_sim.work import work_of

MODELS = Path(__file__).parent.parent / "models"
MIXED = load_chip("h3pimap").model_copy(update={"schedule": "pipelined"})
TIERS = ("sram", "reram", "photonic")


def tensor(*shape: int, at: Attribute | None = None) -> TensorType:
    return TensorType(f32, shape) if at is None else TensorType(f32, shape, at)


class Pipe:
    """A plan of one segment under construction, on `m` x `k` in the buffer."""

    def __init__(self, chip: Chip, m: int, k: int):
        self.chip, self.m, self.used = chip, m, dict.fromkeys(chip.tiers, 0)
        self.top, self.ops = Block(arg_types=[tensor(m, k, at=buffer())]), list[StepOp]()
        self.value: SSAValue = self.top.args[0]

    def programmed(self, w: SSAValue, k: int, n: int, tier: str) -> SSAValue:
        kind = self.chip.tier(tier)
        rows, cols = getattr(kind, "array_rows"), getattr(kind, "weight_cols")  # noqa: B009
        first = self.used[tier]
        self.used[tier] = last = first + -(-k // rows) * -(-n // cols)
        program = ProgramOp(w, [0, 0], tensor(k, n, at=ArraysAttr.of(tier, [(first, last)])), step=len(self.ops))
        self.ops.append(program)
        return program.result

    def product(self, n: int, tier: str, *, weight: SSAValue | None = None, stays: bool = True) -> SSAValue:
        """A product with a weight of its own, or one that is programmed in the segment."""
        k = self.value.type.get_shape()[-1]  # pyright: ignore
        if weight is None:
            op = WeightOp(f"w{len(self.ops)}", tensor(k, n), absent=True)
            self.top.add_op(op)
            weight = op.result
        streams = not self.chip.tier(tier).arrays
        if not streams and stays:
            at = ArraysAttr.of(tier, [(self.used[tier], self.used[tier] + 1)])
            self.used[tier] += 1
            program = ProgramOp(weight, [0, 0], tensor(k, n, at=at), step=0)
            once = SegmentOp(None, [program.result.type], Region(Block([program, YieldOp([program.result])])))
            self.top.add_op(once)
            weight = once.outs[0]
        elif not streams:
            weight = self.programmed(weight, k, n, tier)
        on = SymbolRefAttr("chip", [tier]) if streams else None
        mvm = MvmOp(self.value, weight, tensor(self.m, n, at=buffer()), step=len(self.ops), tier=on)
        self.ops.append(mvm)
        self.value = mvm.result
        return self.value

    def digital(self, kind: str) -> None:
        shape = self.value.type.get_shape()  # pyright: ignore
        body = Block(arg_types=[tensor(*shape)])
        inner = make_op(kind, [body.args[0]], [tensor(*shape)])
        body.add_ops([inner, YieldOp([inner.results[0]])])
        op = DigitalOp([self.value], [tensor(*shape, at=buffer())], Region(body), step=len(self.ops))
        self.ops.append(op)
        self.value = op.outs[0]

    def timing(self) -> Timing:
        segment = SegmentOp(0, [self.value.type], Region(Block([*self.ops, YieldOp([self.value])])))
        self.top.add_ops([segment, ReturnOp(segment.outs[0])])
        types = FunctionType.from_lists([self.top.args[0].type], [self.value.type])
        module = ModuleOp([chip_to_ir(self.chip), FuncOp("main", types, Region(self.top))])
        module.verify()
        return simulate(module)

    def closed_form_ps(self) -> int:
        """Chunks pass all stages of all operators: the sum of what one takes in each, and C - 1 times the longest."""
        works = [work_of(self.chip, op).work for op in self.ops]
        chunks = {int(work.chunks) for work in works}
        assert len(chunks) == 1
        taus = [-(-int(ps) // int(work.chunks)) for work in works for _, ps in work.stages if int(ps) > 0]
        return sum(taus) + (chunks.pop() - 1) * max(taus)


@settings(max_examples=60, deadline=None)
@given(
    m=st.integers(1, 300),
    sizes=st.lists(st.integers(1, 100), min_size=2, max_size=4),
    tiers=st.permutations(TIERS),
    relu=st.booleans(),
)
def test_operators_that_share_nothing_take_the_closed_form_of_one_long_row_of_stages(
    m: int, sizes: list[int], tiers: Sequence[str], relu: bool
) -> None:
    pipe = Pipe(MIXED, m, sizes[0])
    for n, tier in zip(sizes[1:], tiers, strict=False):
        pipe.product(n, tier)
    if relu:
        pipe.digital("Relu")
    expected = pipe.closed_form_ps()
    assert round(pipe.timing().latency_ns * 1000) == expected


@settings(max_examples=40, deadline=None)
@given(
    m=st.integers(2, 300), sizes=st.lists(st.integers(1, 100), min_size=3, max_size=4), tier=st.sampled_from(TIERS[:2])
)
def test_operators_of_one_tier_share_its_links_and_overlap_on_their_own_arrays(
    m: int, sizes: list[int], tier: str
) -> None:
    """Between what the busiest shared resource takes and what the operators take one after the other."""
    pipe = Pipe(MIXED, m, sizes[0])
    for n in sizes[1:]:
        pipe.product(n, tier)
    works = [work_of(MIXED, op).work for op in pipe.ops]
    busy: dict[str, int] = {}
    for number, work in enumerate(works):
        for name, ps in work.stages:
            resource = f"{name} {number}" if name.endswith(".arrays") else name
            tau = -(-int(ps) // int(work.chunks))
            busy[resource] = busy.get(resource, 0) + tau * int(work.chunks)
    timing = pipe.timing()
    alone = sum(int(closed_form_ps(work)) for work in works)
    assert max(busy.values()) <= round(timing.latency_ns * 1000) < alone
    assert round(timing.period_ns * 1000) == max(busy.values())


@settings(max_examples=300, deadline=None)
@given(
    images=st.integers(1, 4),
    rows_in=st.integers(1, 40),
    stride=st.integers(1, 4),
    kernel=st.integers(1, 7),
    pad=st.integers(0, 3),
    chunks=st.integers(1, 32),
    there=st.integers(1, 32),
)
def test_a_window_waits_for_the_rows_that_it_covers(
    images: int, rows_in: int, stride: int, kernel: int, pad: int, chunks: int, there: int
) -> None:
    rows_out = (rows_in + 2 * pad - kernel) // stride + 1
    if rows_out < 1 or pad >= kernel:
        return
    needs = chunks_read(frozenset({(Rows(images, rows_in, rows_out, stride, kernel, pad),)}), chunks, there)
    for chunk, needed in enumerate(needs):
        done = Fraction((chunk + 1) * images * rows_out, chunks)
        last = max(row for row in range(images * rows_out) if row < done)
        covered = [r for r in range(rows_in) if 0 <= r + pad - (last % rows_out) * stride < kernel]
        image = last // rows_out
        rows = image * rows_in + max(covered, default=-1) + 1
        if (last + 1) % rows_out == 0 and done >= last + 1:
            rows = (image + 1) * rows_in  # all of an image counts as read when its last row is made
        least = next(n for n in range(1, there + 1) if Fraction(n, there) * images * rows_in >= rows)
        assert needed == least


def op_of(timing: Timing, op: str, index: int = 0) -> OpTiming:
    return [each for each in timing.operations if each.op == op][index]


@pytest.mark.parametrize(("kind", "waits"), [("Relu", False), ("Softmax", True)])
def test_a_softmax_is_a_barrier_and_a_relu_is_none(kind: str, waits: bool) -> None:
    pipe = Pipe(MIXED, 64, 64)
    pipe.product(64, "sram")
    pipe.digital(kind)
    pipe.product(64, "reram")
    timing = pipe.timing()
    first, between, last = timing.operations
    assert (between.start_ns >= first.end_ns) == waits
    assert (last.start_ns >= between.end_ns) == waits


@pytest.mark.parametrize("overlap", [False, True])
def test_a_weight_is_written_while_others_compute_only_where_the_tier_can(overlap: bool) -> None:
    chip = load_chip("dynaplasia")
    tier = chip.tier("edram").model_copy(update={"writes_overlap": overlap})
    chip = chip.model_copy(update={"tiers": {**chip.tiers, "edram": tier}})
    pipe = Pipe(chip, 200, 320)
    pipe.product(40, "edram")
    pipe.value = pipe.top.args[0]
    pipe.product(40, "edram", stays=False)
    timing = pipe.timing()
    first, second = op_of(timing, "tile.mvm"), op_of(timing, "tile.mvm", 1)
    program = op_of(timing, "tile.program")
    assert (program.start_ns < first.end_ns) == overlap
    assert second.start_ns >= program.end_ns
    assert timing.period_ns == timing.latency_ns


def test_a_weight_made_at_run_time_is_complete_before_it_is_written() -> None:
    chip = load_chip("dynaplasia")
    tier = chip.tier("edram").model_copy(update={"dynamic": True})
    pipe = Pipe(chip.model_copy(update={"tiers": {**chip.tiers, "edram": tier}}), 64, 64)
    made = pipe.product(64, "edram")
    pipe.value = pipe.top.args[0]
    pipe.product(64, "edram", weight=made, stays=False)
    timing = pipe.timing()
    assert op_of(timing, "tile.program").start_ns >= op_of(timing, "tile.mvm").end_ns
    assert op_of(timing, "tile.mvm", 1).start_ns >= op_of(timing, "tile.program").end_ns


@pytest.mark.parametrize("target", ["isaac", "puma", "prime", "dynaplasia"])
@pytest.mark.parametrize("model", ["digits_cnn", "digits_transformer"])
def test_models_on_pipelined_chips_compute_what_onnxruntime_does(target: str, model: str) -> None:
    path = MODELS / f"{model}.onnx"
    module = read_onnx(path, {"batch": 2})
    options = {"attach-chip": {"target": target}, "place-parts": {"strategy": "greedy"}}
    run(module, build(options), new_context())  # pyright: ignore[reportArgumentType]
    session = original(path)
    images = np.load(MODELS / "digits.npz")["x_test"][:2].astype(np.float32)
    expected = np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])
    outputs, _ = run_plan(module, {"image": images}, ideal=True)
    made = next(iter(outputs.values()))
    assert np.abs(made - expected).max() <= 1e-4 * np.ptp(expected)
    timing = simulate(module)
    assert 0 < timing.latency_ns < sum(op.end_ns - op.start_ns for op in timing.operations)
