"""Times of whole plans: one operator alone is its price, energy adds up, and what a plan says is what it gets."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, StringAttr, SymbolRefAttr, TensorType, f32
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from h3c.compiler.chips.load import load_chip
from h3c.dialects.h3 import WeightOp
from h3c.dialects.h3_attributes import WindowAttr
from h3c.dialects.onnx import make_op
from h3c.dialects.tile import (
    ArraysAttr,
    DigitalOp,
    JoinOp,
    LoadOp,
    MvmOp,
    ProgramOp,
    ReorderOp,
    SegmentOp,
    StoreOp,
    Tile,
    YieldOp,
)
from h3c.dialects.values import buffer
from h3c.runtime_sim.chip_ir import chip_to_ir
from h3c.runtime_sim.cost import closed_form_ps, price
from h3c.runtime_sim.digital_cost import digital_work
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.product import Product
from h3c.runtime_sim.timing import Timing, simulate, simulate_below
from h3c.runtime_sim.trace import trace_events, trace_json
from h3c.runtime_sim.walk import RULES
from h3c.runtime_sim.work import WORK_RULES, arrays_of_program

CHIP = load_chip("h3pimap")


def tensor(shape: Sequence[int], at: Attribute | None = None) -> TensorType:
    return TensorType(f32, shape) if at is None else TensorType(f32, shape, at)


@dataclass
class Plan:
    """A plan under construction: ops of the `once` segment, then those of segment 0."""

    x: TensorType
    block: Block = field(init=False)
    weights: list[Operation] = field(default_factory=list[Operation])
    once: list[ProgramOp] = field(default_factory=list[ProgramOp])
    ops: list[Operation] = field(default_factory=list[Operation])
    free: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CHIP.tiers, 0))

    def __post_init__(self):
        self.block = Block(arg_types=[self.x])

    @property
    def argument(self) -> SSAValue:
        return self.block.args[0]

    def weight(self, shape: Sequence[int]) -> SSAValue:
        op = WeightOp(f"w{len(self.weights)}", tensor(shape), absent=True)
        self.weights.append(op)
        return op.result

    def program(self, w: SSAValue, shape: Sequence[int], tier: str, copies: int, arrays: int, **rest: int) -> ProgramOp:
        """`rest`: step, groups. Takes the next free arrays."""
        first = self.free[tier]
        self.free[tier] = first + arrays * copies
        at = ArraysAttr.of(tier, [(first, self.free[tier])], copies)
        return ProgramOp(w, [0] * len(shape), tensor(shape, at), **rest)  # pyright: ignore[reportArgumentType]

    def module(self, result: SSAValue) -> ModuleOp:
        """The module that returns `result`, a value of segment 0, from off chip."""
        self.block.add_ops(self.weights)
        if self.once:
            readers = [list(op.result.uses) for op in self.once]
            inner = [op.result for op in self.once]
            segment = SegmentOp(None, [v.type for v in inner], Region(Block([*self.once, YieldOp(inner)])))
            for uses, outer in zip(readers, segment.outs, strict=True):
                for use in uses:
                    use.operation.operands[use.index] = outer
            self.block.add_op(segment)
        segment = SegmentOp(0, [result.type], Region(Block([*self.ops, YieldOp([result])])))
        self.block.add_ops([segment, ReturnOp(segment.outs[0])])
        function = FuncOp("main", ([self.x], [result.type]), Region(self.block))
        module = ModuleOp([chip_to_ir(CHIP), function])
        module.verify()
        return module


def one_part(
    product: Product, tier: str, copies: int, rewritten: bool, precision: str | None, spatial: int = 1
) -> Timing:
    """The simulated plan of a whole product on one tier."""
    grouped, kind = product.groups > 1 and not product.batched, CHIP.tiers[tier]
    x_at, y_at = (None if off else buffer() for off in (product.x_off_chip, product.y_off_chip))
    if grouped:
        channels, kernel = 1, product.k
        x_shape = (product.m // spatial, channels * product.groups, spatial)
        w_shape, y_shape = (
            (product.total_outputs, channels, kernel),
            (product.m // spatial, product.total_outputs, spatial),
        )
    else:
        lead = (product.groups,) if product.batched else ()
        x_shape, w_shape = (*lead, product.m, product.k), (*lead, product.k, product.n)
        y_shape = (*lead, product.m, product.n)
    plan = Plan(tensor(x_shape, x_at))
    w = plan.weight(w_shape)
    if kind.arrays:
        arrays = int(kind.arrays_needed(product, product.total_outputs))
        program = plan.program(w, w_shape, tier, copies, arrays, step=0, groups=product.groups if grouped else 1)
        (plan.ops if rewritten else plan.once).append(program)
        w = program.result
    mvm = MvmOp(
        plan.argument,
        w,
        tensor(y_shape, y_at),
        step=0,
        tier=None if kind.arrays else SymbolRefAttr("chip", [tier]),
        window=WindowAttr.of([1], [0, product.k - 1], [1], product.groups) if grouped else None,
        precision=None if precision is None else StringAttr(precision),
    )
    plan.ops.append(mvm)
    module = plan.module(mvm.result)
    if kind.arrays:
        program = next(op for op in module.walk() if isinstance(op, ProgramOp))
        assert arrays_of_program(program, CHIP) == kind.arrays_needed(product, product.total_outputs)
    return simulate(module, record=True)


def assert_adds_up(timing: Timing):
    assert timing.energy_pj == pytest.approx(fsum(timing.components.values()), rel=1e-12)
    of_ops = fsum(pj for op in timing.operations for pj in op.energy_pj.values())
    assert timing.energy_pj == pytest.approx(of_ops + timing.components["static"], rel=1e-9)
    for part, energy in timing.components.items():
        if part != "static":
            assert energy == pytest.approx(fsum(op.energy_pj.get(part, 0) for op in timing.operations), rel=1e-9)
    assert timing.components["static"] == pytest.approx(CHIP.static_power_mw * timing.latency_ns)
    assert sum(tier.mac_share for tier in timing.tiers.values()) == pytest.approx(1)
    assert all(0 <= tier.utilisation <= 1 for tier in timing.tiers.values())


def assert_nothing_busy_twice(timing: Timing):
    spans: dict[str, list[tuple[int, int]]] = {}
    for interval in timing.intervals:
        assert 0 < interval.busy_ps <= interval.end_ps - interval.start_ps
        spans.setdefault(interval.resource, []).append((interval.start_ps, interval.end_ps))
    for own in spans.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(own)))


@st.composite
def products(draw: st.DrawFn) -> Product:
    m, k, n = draw(st.integers(1, 200)), draw(st.integers(1, 700)), draw(st.integers(1, 700))
    x_off, y_off = draw(st.booleans()), draw(st.booleans())
    groups = draw(st.sampled_from([1, 1, 1, 2, 5, 40]))
    if groups == 1:
        return Product(m, k, n, 1, True, m * k, m * n, 8, 8, 8, x_off, y_off)
    if draw(st.booleans()):
        m, k, n = m % 50 + 1, k % 50 + 1, n % 50 + 1
        return Product(m, k, n, groups, True, m * k * groups, m * n * groups, 8, 8, 8, x_off, y_off, batched=True)
    k, n = k % 9 + 1, n % 40 + 1
    return Product(m, k, n, groups, True, m * groups, m * n * groups, 8, 8, 8, x_off, y_off)


@settings(max_examples=120, deadline=None)
@given(
    product=products(),
    tier=st.sampled_from(list(CHIP.tiers)),
    copies=st.integers(1, 5),
    rewritten=st.booleans(),
)
def test_one_operator_alone_takes_its_price(product: Product, tier: str, copies: int, rewritten: bool):
    kind = CHIP.tiers[tier]
    if kind.refuses(product):
        return
    copies = copies if kind.arrays else 1
    for precision in [mode.name for mode in kind.precisions()]:
        expected = price(CHIP, product, tier, product.total_outputs, copies, rewritten=rewritten, precision=precision)
        timing = one_part(product, tier, copies, rewritten, precision, spatial=product.m)
        assert round(timing.latency_ns * 1000) == expected.latency_ps
        dynamic = timing.energy_pj - timing.components["static"]
        assert dynamic == pytest.approx(float(expected.energy_pj), rel=1e-9)
        for part, energy in expected.components.items():
            assert timing.components[part] == pytest.approx(float(energy), rel=1e-9)
        assert timing.tiers[tier].arrays == expected.arrays
        assert timing.tiers[tier].rows_written == expected.rows_written
        assert timing.tiers[tier].mac_share == 1
        assert round(timing.setup.latency_ns * 1000) == (0 if rewritten else expected.setup_latency_ps)
        assert_adds_up(timing)
        assert_nothing_busy_twice(timing)


def split_plan(rewritten: bool) -> ModuleOp:
    """A product of 60 vectors, 300 inputs and 100 outputs in three parts, then a softmax; x streams from off chip."""
    plan = Plan(tensor((60, 300)))
    w, pieces, first = plan.weight((300, 100)), list[SSAValue](), 0
    for tier, outputs in (("sram", 40), ("reram", 20), ("photonic", 40)):
        weight = w
        if CHIP.tiers[tier].arrays:
            at = int(CHIP.tiers[tier].arrays_needed(Product(60, 300, 100, 1, True, 1, 1, 8, 8, 8), outputs))
            program = plan.program(w, (300, outputs), tier, 2, at, step=0)
            (plan.ops if rewritten else plan.once).append(program)
            weight = program.result
        mvm = MvmOp(
            plan.argument,
            weight,
            tensor((60, outputs), buffer()),
            step=0,
            first=first,
            of=100,
            tier=None if CHIP.tiers[tier].arrays else SymbolRefAttr("chip", [tier]),
        )
        plan.ops.append(mvm)
        pieces.append(mvm.result)
        first += outputs
    join = JoinOp(pieces, 1, tensor((60, 100), buffer()))
    body = Block(arg_types=[tensor((60, 100))])
    softmax = make_op("Softmax", [body.args[0]], [tensor((60, 100))], {"axis": 1})
    body.add_ops([softmax, YieldOp([softmax.results[0]])])
    digital = DigitalOp([join.result], [tensor((60, 100), buffer())], Region(body), step=1)
    store = StoreOp(digital.outs[0], tensor((60, 100)), step=2)
    plan.ops += [join, digital, store]
    return plan.module(store.result)


@pytest.mark.parametrize("rewritten", [False, True])
def test_parts_run_side_by_side_and_share_memory(rewritten: bool):
    timing = simulate(split_plan(rewritten), record=True)
    assert_adds_up(timing)
    assert_nothing_busy_twice(timing)
    product = Product(60, 300, 100, 1, True, 60 * 300, 6000, 8, 8, 8, x_off_chip=True)
    parts = [
        price(CHIP, product, "sram", 40, 2, rewritten=rewritten),
        price(CHIP, product, "reram", 20, 2, rewritten=rewritten),
        price(CHIP, product, "photonic", 40),
    ]
    ends = [op.end_ns * 1000 for op in timing.operations if op.op == "tile.mvm"]
    slowest = max(int(part.latency_ps) for part in parts)
    assert max(ends) >= slowest
    assert max(ends) <= slowest + sum(int(part.ports_ps["dram.read"]) for part in parts)
    assert max(ends) >= sum(int(part.ports_ps["dram.read"]) for part in parts)
    digital = next(op for op in timing.operations if op.op == "tile.digital")
    assert digital.start_ns * 1000 == pytest.approx(max(ends))
    store = timing.operations[-1]
    assert (store.op, store.end_ns) == ("tile.store", timing.latency_ns)
    dynamic = fsum(float(part.energy_pj) for part in parts)
    assert fsum(pj for op in timing.operations if op.tier not in (None, "digital") for pj in op.energy_pj.values()) == (
        pytest.approx(dynamic)
    )
    assert {name: tier.mac_share for name, tier in timing.tiers.items()} == (
        pytest.approx({"sram": 0.4, "reram": 0.2, "photonic": 0.4, "digital": 0})
    )
    assert timing.tiers["sram"].rows_written == (2 * 300 * 3 if rewritten else 0)
    assert timing.tiers["reram"].executions_to_endurance == (1e8 if rewritten else None)
    assert (timing.setup.latency_ns > 0) == (not rewritten)
    assert (timing.segments, timing.mode_switches) == (1, 0)


def test_digital_work_alone_takes_what_its_op_is_priced_at():
    plan = Plan(tensor((60, 100), buffer()))
    body = Block(arg_types=[tensor((60, 100))])
    softmax = make_op("Softmax", [body.args[0]], [tensor((60, 100))], {"axis": 1})
    body.add_ops([softmax, YieldOp([softmax.results[0]])])
    digital = DigitalOp([plan.argument], [tensor((60, 100), buffer())], Region(body), step=0)
    plan.ops.append(digital)
    timing = simulate(plan.module(digital.outs[0]))
    work = digital_work(CHIP, softmax)
    assert timing.latency_ns * 1000 == closed_form_ps(work)
    assert timing.components["digital"] == pytest.approx(60 * 100 * 15 * 1.71)
    assert timing.tiers["digital"].mac_share == 1
    assert timing.tiers["digital"].utilisation == 1


def test_views_of_off_chip_values_move_only_what_must_move():
    plan = Plan(tensor((60, 100)))
    body = Block(arg_types=[tensor((60, 100))])
    flat = make_op("Flatten", [body.args[0]], [tensor((60, 100))], {"axis": 1})
    body.add_ops([flat, YieldOp([flat.results[0], flat.results[0]])])
    digital = DigitalOp([plan.argument], [tensor((60, 100)), tensor((60, 100), buffer())], Region(body), step=0)
    plan.ops.append(digital)
    timing = simulate(plan.module(digital.outs[0]))
    assert timing.components["dram"] == pytest.approx(6000 * 8 * 3.9)
    assert timing.latency_ns == pytest.approx(6.0, abs=0.1)


def test_loads_and_stores_move_at_the_speed_of_off_chip_memory():
    plan = Plan(tensor((1000, 1000)))
    load = LoadOp(plan.argument, tensor((1000, 1000), buffer()), step=0)
    store = StoreOp(load.result, tensor((1000, 1000)), step=0)
    plan.ops += [load, store]
    timing = simulate(plan.module(store.result), record=True)
    assert timing.latency_ns == pytest.approx(1000 * 33 / 32, rel=1e-6)  # the store follows a chunk behind
    assert timing.components["dram"] == pytest.approx(2 * 8e6 * 3.9)
    assert_adds_up(timing)
    assert_nothing_busy_twice(timing)


def test_a_plan_without_array_ranges_is_refused():
    plan = Plan(tensor((4, 16), buffer()))
    program = ProgramOp(plan.weight((16, 16)), [0, 0], tensor((16, 16), ArraysAttr.of("sram")), step=0)
    mvm = MvmOp(plan.argument, program.result, tensor((4, 16), buffer()), step=0)
    plan.ops += [program, mvm]
    with pytest.raises(InputError, match="expected ranges of the 25600 arrays of tier sram"):
        simulate(plan.module(mvm.result))


def test_the_same_plan_gives_the_same_trace():
    timing = simulate(split_plan(True), record=True)
    text = trace_json(timing)
    assert text == trace_json(simulate(split_plan(True), record=True))
    events = json.loads(text)["traceEvents"]
    assert events == trace_events(timing)
    spans = [event for event in events if event["ph"] == "X"]
    threads = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert {threads[event["tid"]] for event in spans} >= {
        "dram.read",
        "sram.arrays",
        "reram.write",
        "photonic.out",
        "digital",
    }
    assert max(event["ts"] + event["dur"] for event in spans) == pytest.approx(timing.latency_ns / 1000)
    for tid in threads:
        own = sorted((event["ts"], event["dur"]) for event in spans if event["tid"] == tid)
        assert all(a + duration <= b + 1e-9 for (a, duration), (b, _) in pairwise(own))


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_plan_is_simulated_below_a_time_only_if_it_takes_less(rewritten: bool):
    plan = split_plan(rewritten)
    timing = simulate(plan)
    assert simulate_below(plan, timing.latency_ns + 0.001) == timing
    assert simulate_below(plan, timing.latency_ns) is None


def test_every_op_of_the_dialect_has_its_rules():
    ops = set(Tile.operations)
    assert ops <= set(RULES)
    assert set(WORK_RULES) == ops - {SegmentOp, YieldOp, ReorderOp}
