"""fold-constants: what needs no input is computed once; absent weights, fills and random ops are respected."""

from pathlib import Path
from time import process_time

import numpy as np
import onnx
import pytest
from h3_reference import Reference, assert_same, model, model_paths, names, needs_models, read, run_passes
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.dialects.h3 import WeightOp
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lowering.site import top_ops

RNG = np.random.default_rng(3)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def folded(source: onnx.ModelProto, folder: Path) -> ModuleOp:
    return run_passes(read(source, folder), [FoldConstants()])


def weights(module: ModuleOp) -> list[WeightOp]:
    return [op for op in top_ops(module) if isinstance(op, WeightOp)]


def without_values(source: onnx.ModelProto, folder: Path, *absent: str) -> ModuleOp:
    """A model whose named weights point to a file that isn't there."""
    path = folder / "model.onnx"
    for tensor in source.graph.initializer:
        if tensor.name in absent:
            length = len(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", "nowhere"), ("offset", "0"), ("length", str(length))):
                tensor.external_data.add(key=key, value=value)
    path.write_bytes(source.SerializeToString())
    return read_onnx(path)


def test_arithmetic_on_shapes_resolves(tmp_path: Path):
    source = model(
        "g (float[2,3,4] x) => (float[M,N] y) {"
        "  s = Shape(x)  a = Gather(s, zero)  b = Gather(s, one)  c = Mul(a, b)  d = Concat<axis = 0>(c, minus)"
        "  y = Reshape(x, d)"
        "}",
        zero=np.array([0]),
        one=np.array([1]),
        minus=np.array([-1]),
    )
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.Reshape"]
    assert_same(source, module)


def test_large_results_become_weights_and_small_ones_stay_in_the_text(tmp_path: Path):
    source = model(
        "g (float[8,32] x) => (float[8,32] y, float[8,32] z) {  a = Exp(w)  y = Add(x, a)  b = Exp(v)  z = Add(x, b)}",
        w=floats(8, 32),
        v=floats(32),
    )
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.Add", "onnx.Add"]
    (weight,) = weights(module)
    assert weight.digest is not None
    assert_same(source, module)


def test_what_comes_from_an_absent_weight_is_absent(tmp_path: Path):
    source = model(
        "g (float[8,32] x) => (float[8,32] y, float[N] s) { a = Exp(w)  b = Add(a, c)  y = Add(x, b) t = Shape(b)"
        " s = Cast<to = 1>(t) }",
        w=floats(8, 32),
        c=floats(32),
    )
    module = run_passes(without_values(source, tmp_path, "w"), [FoldConstants()])
    (weight,) = weights(module)
    assert weight.absent is not None
    assert names(module) == ["onnx.Add"]


def test_fills_are_never_materialised(tmp_path: Path):
    source = model(
        "g (float[1,4096] x) => (float[N,M] y, float[N,M] z) {"
        "  f = ConstantOfShape<value = float[1] {0.25}>(big)  y = MatMul(x, f)"
        "  e = Expand(one, big)  z = MatMul(x, e)"
        "}",
        big=np.array([4096, 65536]),
        one=np.array([[2.0]], np.float32),
    )
    module = folded(source, tmp_path)
    splats = [op.splat.value.data for op in weights(module) if op.splat is not None]
    assert splats == [0.25, 2.0]
    assert names(module) == ["onnx.MatMul", "onnx.MatMul"]


def test_a_result_much_larger_than_its_operands_is_left(tmp_path: Path):
    source = model(
        "g (float[300,300] x) => (float[300,300] y) { t = Mul(column, row)  y = Add(x, t) }",
        column=floats(300, 1),
        row=floats(1, 300),
    )
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.Mul", "onnx.Add"]


def test_random_ops_stay(tmp_path: Path):
    source = model("g (float[8] x) => (float[8] y) { r = RandomNormalLike(c)  y = Add(x, r) }", c=floats(8))
    assert names(folded(source, tmp_path)) == ["onnx.RandomNormalLike", "onnx.Add"]


def test_identity_and_dropout_go(tmp_path: Path):
    source = model(
        "g (float[8] x) => (float[8] y, bool[8] m) { a = Identity(x)  b, m = Dropout(a)  c = Identity(b)  y = Exp(c) }"
    )
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.Exp"]
    assert_same(source, module)


def test_dropout_in_training_stays(tmp_path: Path):
    source = model(
        "g (float[8] x) => (float[8] y) { y = Dropout(x, ratio, training) }",
        ratio=np.float32(0.5),
        training=np.bool_(True),
    )
    assert names(folded(source, tmp_path)) == ["onnx.Dropout"]


def test_an_output_that_is_constant_is_a_constant(tmp_path: Path):
    source = model("g (float[8] x) => (float[8] y, float[N] z) { y = Exp(x)  z = Exp(c) }", c=floats(100))
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.Exp"]
    assert_same(source, module)


def test_a_transposed_weight_of_a_product_is_not_stored_again(tmp_path: Path):
    source = model(
        "g (int64[3] i) => (float[3,100] y) { e = Gather(w, i)  t = Transpose<perm = [1, 0]>(w)  y = MatMul(e, t) }",
        w=floats(100, 16),
    )
    module = folded(source, tmp_path)
    assert len(weights(module)) == 1
    assert_same(source, module)


def test_an_op_without_a_kernel_does_not_stop_the_others(tmp_path: Path):
    source = model(
        "g (float[8] x) => (float[8] y) {"
        '  a = Exp(c)  b = BitShift<direction = "LEFT">(i, j)  d = Cast<to = 1>(b)  e = Add(a, d)  y = Add(x, e)'
        "}",
        c=floats(8),
        i=np.arange(8, dtype=np.uint16),  # onnxruntime shifts no 16-bit integers
        j=np.ones(8, np.uint16),
    )
    module = read(source, tmp_path)
    run_passes(module, [FoldConstants()])
    assert names(module) == ["onnx.BitShift", "onnx.Cast", "onnx.Add", "onnx.Add"]


def test_names_are_handed_on(tmp_path: Path):
    source = model("g (float[8] x) => (float[8] y) { twice = Add(c, c)  y = Add(x, twice) }", c=floats(8))
    module = folded(source, tmp_path)
    assert [value.name_hint for op in top_ops(module) for value in op.results] == ["twice", "y"]


def test_bodies_are_left_and_see_folded_values(tmp_path: Path):
    source = model(
        "g (float[8] x, bool c) => (float[8] y) {"
        "  t = Exp(w)"
        "  y = If(c) <then_branch = a () => (float[8] p) { p = Add(x, t) },"
        "             else_branch = b () => (float[8] q) { u = Exp(w)  q = Add(x, u) }>"
        "}",
        w=floats(8),
    )
    module = folded(source, tmp_path)
    assert names(module) == ["onnx.If"]
    assert_same(source, module)


@needs_models
@pytest.mark.parametrize("name", ["llama2_7b.prefill.dynamo20", "gpt2_small.prefill.legacy17"])
def test_large_models_fold_in_about_a_second(name: str):
    (path,) = (path for path in model_paths("topology") if path.stem == name)
    module = read_onnx(path)
    started = process_time()
    FoldConstants().apply(None, module)  # pyright: ignore[reportArgumentType]
    assert process_time() - started < 2


def test_the_evaluator_itself_agrees_with_onnxruntime(tmp_path: Path):
    source = model("g (float[3,8] x) => (float[3,8] y) { a = Exp(x)  y = Softmax(a) }")
    module = read(source, tmp_path)
    assert Reference(module).outputs == ["y"]
    assert_same(source, module, bar=0)
