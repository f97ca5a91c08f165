"""What onnx ops cost on the digital unit."""

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects.builtin import TensorType, f32, i1, i64
from xdsl.dialects.test import TestOp as SourceOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue

from h3c.compiler.chips.load import load_chip
from h3c.dialects.h3 import WeightOp
from h3c.dialects.onnx import OP_BY_NAME, CustomOp, NoValueOp, YieldOp, constant, make_op
from h3c.runtime_sim.cost import closed_form_ps
from h3c.runtime_sim.digital_cost import bytes_read, digital_work, root, tally_op
from h3c.runtime_sim.digital_ops import FREE, MOVES, VIEWS, lane_operations, macs

CHIP = load_chip("digital")
UNIT = CHIP.digital


def value(*shape: int, type: Attribute = f32) -> SSAValue:
    return SourceOp(result_types=[TensorType(type, shape)]).results[0]


def onnx(name: str, operands: Sequence[SSAValue], shape: Sequence[int], **attributes: object) -> Operation:
    return make_op(name, operands, [TensorType(f32, shape)], attributes)


def test_every_op_of_onnx_has_a_cost():
    for name in OP_BY_NAME:
        if name in ("If", "Loop", "Scan"):
            continue
        for operands in ([], [value(2, 3, 4)], [value(2, 3, 4), value(2, 4, 3), value(3)]):
            op = onnx(name, operands, (2, 3, 4))
            work = digital_work(CHIP, op)
            assert all(ps >= 0 for _, ps in work.stages), name
            assert sum(float(pj) for pj in work.energy_pj.values()) >= 0
            assert (not work.stages) == (name in FREE), name


def test_names_of_the_tables_are_operators():
    assert (FREE | MOVES | VIEWS) - {"NoValue", "Yield"} <= set(OP_BY_NAME)


@pytest.mark.parametrize(
    ("op", "operations"),
    [
        (onnx("Relu", [value(8, 16)], (8, 16)), 128),
        (onnx("Add", [value(8, 16), value(16)], (8, 16)), 128),
        (onnx("Sum", [value(8), value(8), value(8)], (8,)), 16),
        (onnx("Softmax", [value(8, 16)], (8, 16)), 128 * 15),
        (onnx("LayerNormalization", [value(8, 16), value(16)], (8, 16)), 128 * 7),
        (onnx("ReduceMean", [value(8, 16)], (8, 1)), 128),
        (onnx("MaxPool", [value(1, 4, 8, 8)], (1, 4, 4, 4), kernel_shape=[2, 2]), 64 * 4),
        (onnx("Transpose", [value(8, 16)], (16, 8)), 0),
        (onnx("Reshape", [value(8, 16)], (128,)), 0),
        (onnx("Gelu", [value(8)], (8,)), 8 * 22),
        (onnx("TopK", [value(4, 16), value(1)], (4, 2)), 64 * 4),
        (onnx("Relu", [value(-1, 16)], (-1, 16)), 16),
    ],
)
def test_lane_operations(op: Operation, operations: int):
    assert lane_operations(op) == operations


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (onnx("MatMul", [value(4, 8), value(8, 3)], (4, 3)), 96),
        (onnx("Gemm", [value(8, 4), value(8, 3)], (4, 3), transA=1), 96),
        (onnx("Conv", [value(1, 3, 8, 8), value(5, 3, 3, 3)], (1, 5, 6, 6)), 5 * 36 * 27),
        (onnx("ConvTranspose", [value(1, 3, 4, 4), value(3, 5, 2, 2)], (1, 5, 8, 8)), 48 * 20),
        (onnx("LSTM", [value(7, 2, 3), value(1, 20, 3), value(1, 20, 5)], (7, 1, 2, 5)), 14 * (60 + 100)),
        (onnx("GRU", [value(7, 2, 3), value(2, 15, 3), value(2, 15, 5)], (7, 2, 2, 5)), 14 * (90 + 150)),
        (onnx("Einsum", [value(2, 3, 4), value(2, 4, 5)], (2, 3, 5), equation="bij,bjk->bik"), 120),
        (onnx("Einsum", [value(6, 2, 3, 4), value(4, 5)], (6, 2, 3, 5), equation="...ij,jk->...ik"), 720),
        (onnx("Attention", [value(1, 2, 5, 8), value(1, 2, 7, 8), value(1, 2, 7, 8)], (1, 2, 5, 8)), 2 * 35 * 16),
        (
            onnx(
                "Attention",
                [value(1, 5, 16), value(1, 7, 16), value(1, 7, 16)],
                (1, 5, 16),
                q_num_heads=2,
                kv_num_heads=2,
            ),
            2 * 35 * 16,
        ),
        (onnx("Relu", [value(8)], (8,)), 0),
    ],
)
def test_macs(op: Operation, expected: int):
    assert macs(op) == expected


def test_an_op_takes_as_long_as_its_slowest_part():
    big = onnx("Softmax", [value(64, 4096)], (64, 4096))
    work = digital_work(CHIP, big)
    assert work.stages[0] == ("digital", 64 * 4096 * 15 * 1000 // UNIT.lanes)
    assert float(work.energy_pj["digital"]) == pytest.approx(64 * 4096 * 15 * UNIT.energy_pj_per_operation)
    copy = digital_work(CHIP, onnx("Transpose", [value(64, 4096)], (4096, 64)))
    assert copy.stages[0] == ("digital", 64 * 4096 * 1000 // 1024)
    assert float(copy.energy_pj["buffer"]) == pytest.approx(2 * 64 * 4096 * 8 * 0.103)


def test_a_gather_reads_only_its_rows():
    table = WeightOp("table", TensorType(f32, (50000, 768)), absent=True).result
    op = onnx("Gather", [table, value(16, type=i64)], (16, 768))
    assert bytes_read(op, 8) == [16 * 768, 16 * 8]
    work = digital_work(CHIP, op)
    assert dict(work.stages)["dram.read"] == pytest.approx(16 * 768, abs=1)
    assert float(work.energy_pj["dram"]) == pytest.approx(16 * 768 * 8 * 3.9)


def test_views_are_seen_through():
    weight = WeightOp("w", TensorType(f32, (4, 4)), absent=True).result
    flat = onnx("Flatten", [onnx("Identity", [weight], (4, 4)).results[0]], (16, 1))
    assert root(flat.results[0]) is weight
    add = onnx("Add", [value(16, 1), flat.results[0]], (16, 1))
    assert float(digital_work(CHIP, add).energy_pj["dram"]) == pytest.approx(16 * 8 * 3.9)
    shape = onnx("Shape", [weight], (2,))
    assert root(shape.results[0]) is shape.results[0]


def body(ops: Sequence[Operation], results: Sequence[SSAValue], arguments: Sequence[Attribute] = ()) -> Region:
    block = Block(arg_types=arguments)
    block.add_ops([*ops, YieldOp(results)])
    return Region(block)


def test_an_if_is_its_dearer_branch():
    cheap, dear = onnx("Relu", [value(8, 64)], (8, 64)), onnx("MatMul", [value(8, 64), value(64, 64)], (8, 64))
    branches = [body([op], list(op.results)) for op in (cheap, dear)]
    op = OP_BY_NAME["If"].create(operands=[value(type=i1)], result_types=[TensorType(f32, (8, 64))], regions=branches)
    assert tally_op(CHIP, op, lambda _: False).macs == 8 * 64 * 64


def loop(trips: SSAValue, keep_on: bool) -> Operation:
    """A Loop with one 4 x 4 x 4 product a trip; its condition is handed on, or computed."""
    region = body([], [], [TensorType(i64, ()), TensorType(i1, ()), TensorType(f32, (4, 4))])
    block = region.block
    product = onnx("MatMul", [block.args[2], block.args[2]], (4, 4))
    condition = block.args[1] if keep_on else make_op("Not", [block.args[1]], [TensorType(i1, ())]).results[0]
    last = block.last_op
    assert last is not None
    last.detach()
    ops = [product] if keep_on else [product, condition.owner]
    block.add_ops([*ops, YieldOp([condition, product.results[0]])])  # pyright: ignore[reportArgumentType]
    return OP_BY_NAME["Loop"].create(
        operands=[trips, value(type=i1), value(4, 4)], result_types=[TensorType(f32, (4, 4))], regions=[region]
    )


def test_a_loop_counts_its_trips_where_they_are_known():
    five = constant(np.array(5, np.int64)).results[0]
    cases = [(five, True, 5), (value(type=i64), True, 1), (five, False, 1), (NoValueOp().result, True, 1)]
    for trips, keep_on, expected in cases:
        assert tally_op(CHIP, loop(trips, keep_on), lambda _: False).macs == expected * 64


def test_a_foreign_op_is_one_operation_an_element():
    op = CustomOp.create(operands=[value(4, 4)], result_types=[TensorType(f32, (4, 8))], properties={})
    assert lane_operations(op) == 32
    assert closed_form_ps(digital_work(CHIP, op)) > 0
