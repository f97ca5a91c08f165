"""Digital regions run once for all executions where that changes nothing, and only there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plan_texts import digital

from h3c.dialects.constants import numpy_dtype
from h3c.dialects.values import shape_of, tensor_type
from h3c.runtime_sim.batching_rules import RULES
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.walk import main_function

Array = NDArray[Any]


def constant(name: str, values: str, type: str) -> str:
    return f"%{name} = onnx.Constant() <value = dense<{values}> : {type}> : () -> {type}"


def op(text: str, operands: str, results: str, result: str = "%r") -> str:
    """`op("Relu(%a)", types, type)`; attributes follow the parentheses."""
    several = f"({results})" if "," in result else results
    return f"{result} = onnx.{text} : ({operands}) -> {several}"


NONE = "%n = onnx.NoValue"
T = "tensor<2x3x4xf32>"
IMAGE = "tensor<2x3x4x4xf32>"

# name: (type of %a, ops, type of %r); all of them can be stacked
STACKED: dict[str, tuple[str, list[str], str]] = {
    "unary": (T, [op("Tanh(%a)", T, T)], T),
    "two results of the argument": (T, [op("Exp(%a)", T, T, "%b"), op("Mul(%a, %b)", f"{T}, {T}", T)], T),
    "scalar constant": (T, [constant("c", "2.0", "tensor<f32>"), op("Mul(%a, %c)", f"{T}, tensor<f32>", T)], T),
    "constant over other axes": (
        T,
        [constant("c", "[[1.0], [2.0], [3.0]]", "tensor<3x1xf32>"), op("Add(%a, %c)", f"{T}, tensor<3x1xf32>", T)],
        T,
    ),
    "constant along the axis is repeated": (
        T,
        [constant("c", "[[[1.0]], [[2.0]]]", "tensor<2x1x1xf32>"), op("Add(%a, %c)", f"{T}, tensor<2x1x1xf32>", T)],
        T,
    ),
    "result of higher rank": (
        "tensor<2x3xf32>",
        [
            constant("c", "[[[1.0]], [[2.0]]]", "tensor<2x1x1xf32>"),
            op("Add(%a, %c)", "tensor<2x3xf32>, tensor<2x1x1xf32>", "tensor<2x2x3xf32>"),
        ],
        "tensor<2x2x3xf32>",
    ),
    "cast": (T, [op("Cast(%a) <to = 10 : si64>", T, "tensor<2x3x4xf16>")], "tensor<2x3x4xf16>"),
    "clip": (
        T,
        [constant("l", "-0.5", "tensor<f32>"), NONE, op("Clip(%a, %l, %n)", f"{T}, tensor<f32>, none", T)],
        T,
    ),
    "softmax": (T, [op("Softmax(%a) <axis = 1 : si64>", T, T)], T),
    "softmax over samples, so executions go along another axis": (T, [op("Softmax(%a) <axis = 0 : si64>", T, T)], T),
    "normalised": (T, [op("LpNormalization(%a)", T, T)], T),
    "layer norm": (
        T,
        [constant("g", "1.5", "tensor<4xf32>"), op("LayerNormalization(%a, %g)", f"{T}, tensor<4xf32>", T)],
        T,
    ),
    "reduce, attribute": (
        T,
        [op("ReduceMax(%a) <axes = [2 : si64], keepdims = 0 : si64>", T, "tensor<2x3xf32>")],
        "tensor<2x3xf32>",
    ),
    "reduce, operand": (
        T,
        [
            constant("axes", "-1", "tensor<1xi64>"),
            op("ReduceSum(%a, %axes)", f"{T}, tensor<1xi64>", "tensor<2x3x1xf32>"),
        ],
        "tensor<2x3x1xf32>",
    ),
    "argmax": (T, [op("ArgMax(%a) <axis = 1 : si64>", T, "tensor<2x1x4xi64>")], "tensor<2x1x4xi64>"),
    "cumulated sum": (
        T,
        [constant("axes", "2", "tensor<i64>"), op("CumSum(%a, %axes)", f"{T}, tensor<i64>", T)],
        T,
    ),
    "pool": (
        IMAGE,
        [op("MaxPool(%a) <kernel_shape = [2 : si64, 2 : si64]>", IMAGE, "tensor<2x3x3x3xf32>")],
        "tensor<2x3x3x3xf32>",
    ),
    "global pool, flatten": (
        IMAGE,
        [
            op("GlobalAveragePool(%a)", IMAGE, "tensor<2x3x1x1xf32>", "%p"),
            op("Flatten(%p) <axis = 1 : si64>", "tensor<2x3x1x1xf32>", "tensor<2x3xf32>"),
        ],
        "tensor<2x3xf32>",
    ),
    "reshape": (
        T,
        [constant("s", "[2, 12]", "tensor<2xi64>"), op("Reshape(%a, %s)", f"{T}, tensor<2xi64>", "tensor<2x12xf32>")],
        "tensor<2x12xf32>",
    ),
    "rows of all samples": (
        T,
        [constant("s", "[6, 4]", "tensor<2xi64>"), op("Reshape(%a, %s)", f"{T}, tensor<2xi64>", "tensor<6x4xf32>")],
        "tensor<6x4xf32>",
    ),
    "the axis disappears in another": (
        "tensor<1x3x4xf32>",
        [
            constant("axes", "0", "tensor<1xi64>"),
            op("Squeeze(%a, %axes)", "tensor<1x3x4xf32>, tensor<1xi64>", "tensor<3x4xf32>"),
        ],
        "tensor<3x4xf32>",
    ),
    "transpose and back with a softmax": (
        T,
        [
            op("Transpose(%a) <perm = [2 : si64, 0 : si64, 1 : si64]>", T, "tensor<4x2x3xf32>", "%t"),
            op("Softmax(%t) <axis = 0 : si64>", "tensor<4x2x3xf32>", "tensor<4x2x3xf32>", "%q"),
            op("Transpose(%q) <perm = [1 : si64, 2 : si64, 0 : si64]>", "tensor<4x2x3xf32>", T),
        ],
        T,
    ),
    "the result is stacked elsewhere": (
        T,
        [op("Transpose(%a) <perm = [1 : si64, 0 : si64, 2 : si64]>", T, "tensor<3x2x4xf32>")],
        "tensor<3x2x4xf32>",
    ),
    "reshape behind a transposition": (
        T,
        [
            constant("s", "[3, 4, 2]", "tensor<3xi64>"),
            op("Transpose(%a) <perm = [1 : si64, 0 : si64, 2 : si64]>", T, "tensor<3x2x4xf32>", "%t"),
            op("Reshape(%t, %s)", "tensor<3x2x4xf32>, tensor<3xi64>", "tensor<3x4x2xf32>"),
        ],
        "tensor<3x4x2xf32>",
    ),
    "concat with a constant": (
        T,
        [
            constant("c", "7.0", "tensor<2x1x4xf32>"),
            op("Concat(%c, %a) <axis = 1 : si64>", f"tensor<2x1x4xf32>, {T}", "tensor<2x4x4xf32>"),
        ],
        "tensor<2x4x4xf32>",
    ),
    "concat with a constant of one sample": (
        "tensor<1x3xf32>",
        [
            constant("c", "7.0", "tensor<1x1xf32>"),
            op("Concat(%c, %a) <axis = 1 : si64>", "tensor<1x1xf32>, tensor<1x3xf32>", "tensor<1x4xf32>"),
        ],
        "tensor<1x4xf32>",
    ),
    "split": (
        T,
        [op("Split(%a) <axis = 2 : si64>", T, "tensor<2x3x2xf32>, tensor<2x3x2xf32>", "%q, %r")],
        "tensor<2x3x2xf32>",
    ),
    "slice": (
        T,
        [
            constant("b", "1", "tensor<1xi64>"),
            constant("e", "3", "tensor<1xi64>"),
            constant("axes", "2", "tensor<1xi64>"),
            op("Slice(%a, %b, %e, %axes)", f"{T}, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>", "tensor<2x3x2xf32>"),
        ],
        "tensor<2x3x2xf32>",
    ),
    "pad": (
        T,
        [
            constant("p", "[0, 1, 0, 0, 0, 2]", "tensor<6xi64>"),
            op("Pad(%a, %p)", f"{T}, tensor<6xi64>", "tensor<2x4x6xf32>"),
        ],
        "tensor<2x4x6xf32>",
    ),
    "tile": (
        T,
        [constant("s", "[1, 2, 1]", "tensor<3xi64>"), op("Tile(%a, %s)", f"{T}, tensor<3xi64>", "tensor<2x6x4xf32>")],
        "tensor<2x6x4xf32>",
    ),
    "expand": (
        "tensor<2x1x4xf32>",
        [
            constant("s", "[2, 3, 4]", "tensor<3xi64>"),
            op("Expand(%a, %s)", "tensor<2x1x4xf32>, tensor<3xi64>", T),
        ],
        T,
    ),
    "gather of another axis": (
        T,
        [
            constant("i", "[[0, 2], [1, 1]]", "tensor<2x2xi64>"),
            op("Gather(%a, %i) <axis = 1 : si64>", f"{T}, tensor<2x2xi64>", "tensor<2x2x2x4xf32>"),
        ],
        "tensor<2x2x2x4xf32>",
    ),
    "embedding": (
        "tensor<2x3xi64>",
        [
            constant("w", "[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]", "tensor<3x2xf32>"),
            op("Gather(%w, %a)", "tensor<3x2xf32>, tensor<2x3xi64>", "tensor<2x3x2xf32>"),
        ],
        "tensor<2x3x2xf32>",
    ),
    "one hot": (
        "tensor<2x3xi64>",
        [
            constant("d", "3", "tensor<i64>"),
            constant("v", "[0.0, 1.0]", "tensor<2xf32>"),
            op(
                "OneHot(%a, %d, %v) <axis = 0 : si64>",
                "tensor<2x3xi64>, tensor<i64>, tensor<2xf32>",
                "tensor<3x2x3xf32>",
            ),
        ],
        "tensor<3x2x3xf32>",
    ),
    "quantise along channels": (
        "tensor<2x3xf32>",
        [
            constant("s", "[0.1, 0.2, 0.3]", "tensor<3xf32>"),
            constant("z", "[0, 1, 2]", "tensor<3xi8>"),
            op("QuantizeLinear(%a, %s, %z)", "tensor<2x3xf32>, tensor<3xf32>, tensor<3xi8>", "tensor<2x3xi8>"),
        ],
        "tensor<2x3xi8>",
    ),
    "product with a constant": (
        T,
        [
            constant("w", "0.5", "tensor<4x2xf32>"),
            op("MatMul(%a, %w)", f"{T}, tensor<4x2xf32>", "tensor<2x3x2xf32>"),
        ],
        "tensor<2x3x2xf32>",
    ),
    "product of two values": (
        T,
        [
            op("Transpose(%a) <perm = [0 : si64, 2 : si64, 1 : si64]>", T, "tensor<2x4x3xf32>", "%t"),
            op("MatMul(%a, %t)", f"{T}, tensor<2x4x3xf32>", "tensor<2x3x3xf32>"),
        ],
        "tensor<2x3x3xf32>",
    ),
    "gemm": (
        "tensor<2x4xf32>",
        [
            constant("w", "0.5", "tensor<4x2xf32>"),
            constant("c", "[[1.0, 2.0], [3.0, 4.0]]", "tensor<2x2xf32>"),
            op("Gemm(%a, %w, %c)", "tensor<2x4xf32>, tensor<4x2xf32>, tensor<2x2xf32>", "tensor<2x2xf32>"),
        ],
        "tensor<2x2xf32>",
    ),
    "einsum": (
        T,
        [
            constant("w", "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]", "tensor<2x3xf32>"),
            op('Einsum(%a, %w) <equation = "bij,bi->jb">', f"{T}, tensor<2x3xf32>", "tensor<4x2xf32>"),
        ],
        "tensor<4x2xf32>",
    ),
    "upsampling": (
        IMAGE,
        [
            NONE,
            constant("s", "[1.0, 1.0, 2.0, 2.0]", "tensor<4xf32>"),
            op("Resize(%a, %n, %s)", f"{IMAGE}, none, tensor<4xf32>", "tensor<2x3x8x8xf32>"),
        ],
        "tensor<2x3x8x8xf32>",
    ),
    "resizing": (
        IMAGE,
        [
            NONE,
            constant("s", "[2, 3, 6, 5]", "tensor<4xi64>"),
            op("Resize(%a, %n, %n, %s)", f"{IMAGE}, none, none, tensor<4xi64>", "tensor<2x3x6x5xf32>"),
        ],
        "tensor<2x3x6x5xf32>",
    ),
    "recurrent, samples second": (
        T,
        [
            op("Transpose(%a) <perm = [1 : si64, 0 : si64, 2 : si64]>", T, "tensor<3x2x4xf32>", "%t"),
            constant("w", "0.1", "tensor<1x5x4xf32>"),
            constant("q", "0.2", "tensor<1x5x5xf32>"),
            constant("h", "0.3", "tensor<1x2x5xf32>"),
            NONE,
            op(
                "RNN(%t, %w, %q, %n, %n, %h) <hidden_size = 5 : si64>",
                "tensor<3x2x4xf32>, tensor<1x5x4xf32>, tensor<1x5x5xf32>, none, none, tensor<1x2x5xf32>",
                "tensor<3x1x2x5xf32>, tensor<1x2x5xf32>",
                "%y, %r",
            ),
        ],
        "tensor<1x2x5xf32>",
    ),
}

MIXING: dict[str, tuple[str, list[str], str]] = {
    "softmax over both axes": (
        "tensor<2x3xf32>",
        [
            op("Softmax(%a) <axis = 0 : si64>", "tensor<2x3xf32>", "tensor<2x3xf32>", "%s"),
            op("Softmax(%s) <axis = 1 : si64>", "tensor<2x3xf32>", "tensor<2x3xf32>"),
        ],
        "tensor<2x3xf32>",
    ),
    "reduction of all": (T, [op("ReduceMax(%a) <keepdims = 0 : si64>", T, "tensor<f32>")], "tensor<f32>"),
    "difference to the mean": (
        T,
        [
            op("ReduceMean(%a) <axes = [0 : si64, 1 : si64]>", T, "tensor<1x1x4xf32>", "%m"),
            op("Sub(%a, %m)", f"{T}, tensor<1x1x4xf32>", T),
        ],
        T,
    ),
    "difference of two samples": (
        "tensor<2xf32>",
        [
            constant("i", "0", "tensor<1xi64>"),
            op("Gather(%a, %i)", "tensor<2xf32>, tensor<1xi64>", "tensor<1xf32>", "%f"),
            op("Sub(%a, %f)", "tensor<2xf32>, tensor<1xf32>", "tensor<2xf32>"),
        ],
        "tensor<2xf32>",
    ),
    "rows against columns": (
        "tensor<3x3xf32>",
        [
            op("Transpose(%a) <perm = [1 : si64, 0 : si64]>", "tensor<3x3xf32>", "tensor<3x3xf32>", "%t"),
            op("Add(%a, %t)", "tensor<3x3xf32>, tensor<3x3xf32>", "tensor<3x3xf32>"),
        ],
        "tensor<3x3xf32>",
    ),
    "shape": (T, [op("Shape(%a)", T, "tensor<3xi64>")], "tensor<3xi64>"),
    "concat of samples": (
        "tensor<2xf32>",
        [op("Concat(%a, %a) <axis = 0 : si64>", "tensor<2xf32>, tensor<2xf32>", "tensor<4xf32>")],
        "tensor<4xf32>",
    ),
}


def both_ways(types: str, ops: list[str], results: str, opset: int) -> tuple[Array, Array, int]:
    """The result stacked (if it can be) and one by one, and how many regions were stacked."""
    module = digital(types, "\n".join(ops), results, opset)
    argument = main_function(module).body.block.args[0]
    batch, *shape = shape_of(argument)
    values = np.random.default_rng(0).normal(size=(3 * batch, *shape))
    dtype = numpy_dtype(tensor_type(argument).element_type)
    x = (np.abs(values * 10) % 3 if dtype.kind == "i" else values).astype(dtype)
    stacked, report = run_plan(module, {"x": x}, ideal=True)
    single, _ = run_plan(module, {"x": x}, ideal=True, stack=False)
    return stacked["y"], single["y"], report.stacked


@pytest.mark.parametrize("case", STACKED)
def test_stacked_regions_compute_the_same(case: str) -> None:
    stacked, single, count = both_ways(*STACKED[case], opset=13 if "reduce, operand" in case else 17)
    assert count == 1
    assert stacked.dtype == single.dtype
    assert np.array_equal(stacked, single)


@pytest.mark.parametrize("case", MIXING)
def test_regions_that_mix_executions_are_not_stacked(case: str) -> None:
    stacked, single, count = both_ways(*MIXING[case], opset=17)
    assert count == 0
    assert np.array_equal(stacked, single)


def test_up_to_opset_12_a_softmax_goes_over_all_axes_from_its_own_on() -> None:
    """`axis = 0` is all axes then, samples too."""
    for opset, axis, expected in ((12, 1, 1), (12, 0, 0), (13, 0, 1)):
        stacked, single, count = both_ways(T, [op(f"Softmax(%a) <axis = {axis} : si64>", T, T)], T, opset)
        assert count == expected
        assert np.array_equal(stacked, single)


def test_each_rule_has_a_case() -> None:
    """A new rule needs a case above."""
    used = {
        RULES[name] for _, ops, _ in [*STACKED.values(), *MIXING.values()] for name in map(_name, ops) if name in RULES
    }
    assert used == set(RULES.values())


def _name(text: str) -> str:
    return "onnx." + text.partition("onnx.")[2].partition("(")[0]
