"""From ONNX files to the onnx dialect: nothing is lost, names can be read, shapes are known."""

import os
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from reader_models import (
    RNG,
    body_of,
    branches,
    graph,
    main_of,
    mlp,
    model,
    named,
    node,
    program,
    random_weight,
    save,
    survives,
    text,
    value,
    weight,
)
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, NoneType

from h3c.compiler.onnx_reader.importer import absent_note, read_onnx
from h3c.compiler.onnx_reader.names import hint
from h3c.dialects.h3 import WeightOp
from h3c.dialects.onnx import CustomOp, attr_float, attr_ints, attr_str, constant_array
from h3c.dialects.onnx_ops import ConstantOp
from h3c.dialects.text import escape, unescape
from h3c.runtime_sim.onnx_graph import module_opset, node_name
from h3c.runtime_sim.weights import STORE, stores_of


def read(folder: Path, made: onnx.ModelProto, **dims: int) -> ModuleOp:
    module = read_onnx(save(folder, made), dims)
    survives(module)
    return module


def labels(attributes: ArrayAttr[DictionaryAttr] | None) -> list[dict[str, str]]:
    assert attributes is not None
    return [{key: cast(Any, text).data for key, text in entry.data.items()} for entry in attributes.data]


def types_of(module: ModuleOp) -> list[str]:
    return [str(result.type) for op in body_of(module)[0] for result in op.results]


def test_a_small_network(tmp_path: Path) -> None:
    module = read(tmp_path, mlp(), batch=4)
    main = main_of(module)
    assert labels(main.arg_attrs) == [{"h3.dim": "batch", "h3.name": "x"}]
    assert labels(main.res_attrs) == [{"h3.dim": "batch", "h3.name": "y"}]
    ops = body_of(module)[0]
    assert [op.name for op in ops] == [
        "h3.weight",
        "onnx.MatMul",
        "onnx.Constant",
        "onnx.Add",
        "onnx.Relu",
        "h3.weight",
        "onnx.MatMul",
    ]
    assert [node_name(op) for op in ops] == ["", "/fc1/MatMul", "", "/fc1/Add", "Relu.2", "", "/fc2/MatMul"]
    hints = [op.results[0].name_hint for op in ops]
    assert hints == ["fc1.weight", "fc1.1", "fc1.bias", "_fc1_Add_output.12", "v0", "fc2.weight", "y"]
    assert types_of(module)[1] == "tensor<4x30xf32>"
    assert module_opset(module) == {"": 17}
    assert [path for path, _ in stores_of(module)] == [str(tmp_path / "m.onnx")]
    assert absent_note(module) is None


def test_values_are_kept(tmp_path: Path) -> None:
    made = mlp()
    module = read(tmp_path, made, batch=1)
    wanted = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for op in named(module, "h3.weight"):
        assert isinstance(op, WeightOp)
        assert np.array_equal(STORE.array(op), wanted[op.key.data])
    (bias,) = [op for op in named(module, "onnx.Constant") if isinstance(op, ConstantOp)]
    assert np.array_equal(constant_array(bias), wanted["fc1.bias"])


def test_the_same_file_gives_the_same_text(tmp_path: Path) -> None:
    made = mlp()
    assert text(read(tmp_path, made, batch=2)) == text(read(tmp_path, made, batch=2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("val_12", "val.12"), ("a b%c", "a_b_c"), ("12", "v12"), ("-x", "v-x"), ("é", "_"), ("", None), ("_1", "v.1")],
)
def test_hints_show_the_models_own_names(name: str, expected: str | None) -> None:
    assert hint(name) == expected


def test_hostile_names_come_back(tmp_path: Path) -> None:
    names = ['a"b', "new\nline", "%0 = ", "é\u202e", "// x", "a\\", "100%", "a_12", "a_12 ", "}", "loc("]
    nodes = [node("Relu", "x", "y", name=name) for name in names]
    for made, source, target in zip(nodes, ["x", *names], names, strict=False):
        made.input[0], made.output[0] = source, target
    declared = value("x", [2, 3]), value(names[-1], [2, 3])
    module = read(tmp_path, model(graph(nodes, [declared[0]], [declared[1]])))
    assert [node_name(op) for op in body_of(module)[0]] == names
    assert [unescape(entry["h3.name"]) for entry in labels(main_of(module).res_attrs)] == names[-1:]


def test_attributes_of_every_kind(tmp_path: Path) -> None:
    nodes = [
        node("LeakyRelu", "x", "a", alpha=0.01),
        node("Pad", "a pads", "b", mode="reflect"),
        node("Transpose", "b", "c", perm=[1, 0]),
        node("Fancy", "c", "y", domain="com.acme", label="é\n", shares=[0.5, 0.25], names=["a", "b"], empty=1),
    ]
    made = model(graph(nodes, [value("x", [3, 4])], [value("y", [6, 4])], [weight("pads", [0, 1, 0, 1])]), com__acme=2)
    module = read(tmp_path, made)
    leaky, pad, transpose = (named(module, f"onnx.{name}")[0] for name in ("LeakyRelu", "Pad", "Transpose"))
    assert attr_float(leaky, "alpha", 0) == np.float32(0.01)
    assert attr_str(pad, "mode") == "reflect"
    assert attr_ints(transpose, "perm") == [1, 0]
    (custom,) = [op for op in named(module, "onnx.Custom") if isinstance(op, CustomOp)]
    assert (custom.domain.data, custom.op_type.data, attr_str(custom, "label")) == ("com.acme", "Fancy", "é\n")
    assert module_opset(module) == {"": 17, "com.acme": 2}
    assert str(custom.results[0].type) == "tensor<6x4xf32>"


def test_operands_and_results_that_are_left_out(tmp_path: Path) -> None:
    nodes = [
        node("Clip", "x - top", "c"),
        node("LSTM", "c w r - - h", "- state", hidden_size=4),
        node("Dropout", "state", "y mask"),
    ]
    weights = [weight("top", np.float32(6)), random_weight("w", 1, 16, 3), random_weight("r", 1, 16, 4)]
    weights.append(weight("h", np.zeros((1, 2, 4), np.float32)))
    made = model(graph(nodes, [value("x", [5, 2, 3])], [value("y", [1, 2, 4])], weights))
    module = read(tmp_path, made)
    (lstm,) = named(module, "onnx.LSTM")
    assert isinstance(lstm.results[0].type, NoneType)
    assert [isinstance(operand.type, NoneType) for operand in lstm.operands] == [False] * 3 + [True] * 2 + [False]
    assert len(named(module, "onnx.NoValue")) == 3


def test_shapes_that_need_arithmetic(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n"),
        node("Mul", "n two", "m"),
        node("Unsqueeze", "m axis", "u"),
        node("Concat", "u rest", "t", axis=0),
        node("Reshape", "x t", "y"),
    ]
    weights = [weight("zero", 0), weight("two", 2), weight("axis", [0]), weight("rest", [-1])]
    made = model(graph(nodes, [value("x", ["n", 6])], [value("y", ["a", "b"])], weights))
    module = read(tmp_path, made, n=3)
    assert types_of(module)[-1] == "tensor<6x3xf32>"
    assert labels(main_of(module).res_attrs) == [{"h3.name": "y"}]
    assert "tensor<i64>" in types_of(module)


def test_large_fills_are_not_made(tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", "s", "w"), node("MatMul", "x w", "y")]
    made = model(graph(nodes, [value("x", [1, 9000])], [value("y", [1, 9000])], [weight("s", [9000, 9000])]))
    assert types_of(read(tmp_path, made))[1] == "tensor<9000x9000xf32>"


def test_dimensions_without_a_name(tmp_path: Path) -> None:
    made = model(graph([node("Relu", "x", "y")], [value("x", [None, 3])], [value("y", [None, 3])]))
    assert types_of(read(tmp_path, made, **{"x.0": 5})) == ["tensor<5x3xf32>"]


def test_initializers_that_are_also_inputs(tmp_path: Path) -> None:
    made = mlp()
    for tensor in made.graph.initializer:
        made.graph.input.append(value(tensor.name, list(tensor.dims)))
    made.ir_version = 3
    module = read(tmp_path, made, batch=1)
    assert len(main_of(module).body.block.args) == 1


def test_sparse_initializers_become_dense(tmp_path: Path) -> None:
    made = model(graph([node("MatMul", "x w", "y")], [value("x", [2, 20])], [value("y", [2, 10])]))
    made.graph.sparse_initializer.append(
        helper.make_sparse_tensor(weight("w", np.array([1.5, -2], np.float32)), weight("i", [3, 190]), [20, 10])
    )
    module = read(tmp_path, made)
    (op,) = named(module, "h3.weight")
    assert isinstance(op, WeightOp)
    expected = np.zeros(200, np.float32)
    expected[[3, 190]] = 1.5, -2
    assert np.array_equal(STORE.array(op), expected.reshape(20, 10))


@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_branches_that_read_from_outside(tmp_path: Path, inner: bool, sign: int) -> None:
    made = branches(inner=inner)
    module = read(tmp_path, made)
    (outer,) = [op for op in named(module, "onnx.If") if node_name(op) == "branch"]
    assert len(outer.regions) == 2
    assert [op.name for op in outer.regions[0].block.ops] == ["onnx.MatMul", "onnx.Yield"]
    x = np.abs(RNG.standard_normal((2, 10)).astype(np.float32)) * sign
    (y,) = program(module)([x])
    (reference,) = ReferenceEvaluator(made).run(None, {"x": x})
    assert np.allclose(y, reference, atol=1e-5)


def test_a_loop(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("Add", "state x", "next"), node("Identity", "condition", "go_on"), node("Neg", "next", "each")],
        "body",
        [value("i", [], TensorProto.INT64), value("condition", [], TensorProto.BOOL), value("state", [3])],
        [value("go_on", [], TensorProto.BOOL), value("next", [3]), value("each", [3])],
    )
    nodes = [node("Loop", "n yes start", "final all", body=body)]
    weights = [weight("yes", True), weight("start", np.zeros(3, np.float32))]
    inputs = [value("x", [3]), value("n", [], TensorProto.INT64)]
    made = model(graph(nodes, inputs, [value("final", [3]), value("all", [None, 3])], weights))
    module = read(tmp_path, made)
    assert types_of(module)[-1] == "tensor<?x3xf32>"
    final, rows = program(module)([np.ones(3, np.float32), np.array(4)])
    assert final.tolist() == [4, 4, 4]
    assert rows[:, 0].tolist() == [-1, -2, -3, -4]


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    linear = helper.make_function(
        "local",
        "Linear",
        ["a", "b"],
        ["c"],
        [node("MatMul", "a b", "d"), node("LeakyRelu", "d", "c")],
        [helper.make_opsetid("", 17)],
    )
    nodes = [node("Linear", "x w", "h", domain="local"), node("Linear", "h w", "y", domain="local")]
    made = model(graph(nodes, [value("x", [2, 10])], [value("y", [2, 10])], [random_weight("w", 10, 10)]), local=1)
    made.functions.append(linear)
    module = read(tmp_path, made)
    assert [op.name for op in body_of(module)[0]] == ["h3.weight"] + ["onnx.MatMul", "onnx.LeakyRelu"] * 2


def quantised(x: Any, scale: float, zero: float, bits: int, signed: int, narrow: int, rounding: str) -> Any:
    """Quant as QONNX defines it."""
    shifted = x / np.float32(scale) + np.float32(zero)
    if bits == 1 and signed:
        integer = np.where(shifted >= 0, 1, -1)
    else:
        low = -(2 ** (bits - 1)) + narrow if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        functions = {"ROUND": np.round, "CEIL": np.ceil, "FLOOR": np.floor, "ROUND_TO_ZERO": np.trunc}
        integer = functions[rounding](np.clip(shifted, low, high))
    return ((integer - np.float32(zero)) * np.float32(scale)).astype(np.float32)


@pytest.mark.parametrize("domain", ["onnx.brevitas", "qonnx.custom_op.general"])
@pytest.mark.parametrize("opset", [9, 13, 20])
@pytest.mark.parametrize(("bits", "signed", "narrow"), [(8, 1, 1), (4, 1, 0), (2, 0, 0), (3, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize("rounding", ["ROUND", "CEIL", "FLOOR", "ROUND_TO_ZERO"])
def test_published_quantisers(
    tmp_path: Path, domain: str, opset: int, bits: int, signed: int, narrow: int, rounding: str
) -> None:
    nodes = [
        node("Quant", "x s z b", "y", domain=domain, signed=signed, narrow=narrow, rounding_mode=rounding),
        node("BipolarQuant", "x s", "z1", domain=domain),
    ]
    zero = 0.0 if signed else 1.0
    weights = [weight(name, np.float32(number)) for name, number in (("s", 0.25), ("z", zero), ("b", bits))]
    made = model(graph(nodes, [value("x", [64])], [value("y", [64]), value("z1", [64])], weights), opset)
    module = read(tmp_path, made)
    assert not named(module, "onnx.Custom")
    x = np.concatenate([np.arange(-16, 16) / 8, RNG.standard_normal(32) * 3]).astype(np.float32)
    quant, bipolar = program(module)([x])
    assert np.array_equal(quant, quantised(x, 0.25, zero, bits, signed, narrow, rounding))
    assert np.array_equal(bipolar, np.where(x >= 0, 0.25, -0.25).astype(np.float32))


def test_bfloat16(tmp_path: Path) -> None:
    bf16 = TensorProto.BFLOAT16
    w = RNG.standard_normal((20, 30)).astype(ml_dtypes.bfloat16)
    nodes = [
        node("Cast", "x", "a", to=bf16),
        node("MatMul", "a w", "b"),
        node("Add", "b c", "d"),
        node("Shape", "d", "s"),
        node("Relu", "d", "h"),
        node("Cast", "h", "y", to=TensorProto.FLOAT),
    ]
    outputs = [value("h", ["n", 30], bf16), value("y", ["n", 30])]
    made = model(graph(nodes, [value("x", ["n", 20])], outputs, [weight("w", w), weight("c", w[0, :1])]), 20)
    module = read(tmp_path, made, n=4)
    assert types_of(module)[1:3] == ["tensor<20x30xbf16>", "tensor<4x30xbf16>"]
    assert types_of(module)[-1] == "tensor<4x30xf32>"
    (op,) = [op for op in named(module, "h3.weight") if isinstance(op, WeightOp)]
    assert STORE.array(op).dtype == ml_dtypes.bfloat16
    assert STORE.array(op).tobytes() == w.tobytes()
    x = RNG.standard_normal((4, 20)).astype(np.float32)
    half, y = program(module)([x])
    expected = np.maximum(x @ w.astype(np.float32) + w[0, 0].astype(np.float32), 0)
    assert half.dtype == ml_dtypes.bfloat16
    assert np.allclose(half.astype(np.float32), expected, rtol=1e-2, atol=1e-2)
    assert np.allclose(y, expected, rtol=1e-2, atol=1e-2)


def external(folder: Path, made: onnx.ModelProto, **fields: str) -> None:
    """Move the first initializer's bytes to w.bin."""
    tensor = made.graph.initializer[0]
    (folder / "w.bin").write_bytes(b"1234" + tensor.raw_data)
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in ({"location": "w.bin", "offset": "4", "length": str(size)} | fields).items():
        tensor.external_data.add(key=key, value=entry)


def test_external_data(tmp_path: Path) -> None:
    made = mlp()
    wanted = onnx.numpy_helper.to_array(made.graph.initializer[0])
    external(tmp_path, made)
    module = read(tmp_path, made, batch=1)
    op = named(module, "h3.weight")[0]
    assert isinstance(op, WeightOp)
    assert np.array_equal(STORE.array(op), wanted)


def test_external_data_that_is_not_there(tmp_path: Path) -> None:
    made = mlp()
    external(tmp_path, made, location="gone.bin")
    module = read(tmp_path, made, batch=1)
    absent = [op.absent is not None for op in named(module, "h3.weight") if isinstance(op, WeightOp)]
    assert absent == [True, False]
    note = absent_note(module)
    assert note is not None
    assert note.startswith("1 of 2 weights have no values")


def test_a_foreign_operator_of_unknown_shape_is_carried(tmp_path: Path) -> None:
    nodes = [node("Fancy", "x", "a", domain="com.acme"), node("Relu", "a", "y")]
    made = model(graph(nodes, [value("x", [2, 3])], [value("y", None)]))
    assert types_of(read(tmp_path, made)) == ["tensor<*xf32>", "tensor<*xf32>"]


def further() -> list[Path]:
    folder = os.environ.get("H3C_MODELS")
    return sorted(Path(folder).glob("*/*.onnx")) if folder else []


SIZES = {"batch": 1, "seq": 16, "past": 32}


@pytest.mark.skipif(not further(), reason="H3C_MODELS does not name a folder of further models")
@pytest.mark.parametrize("path", further(), ids=lambda path: path.stem)
def test_further_models_are_read_without_loss(path: Path) -> None:
    source = onnx.load(path, load_external_data=False)
    initializers = {tensor.name: tensor for tensor in source.graph.initializer}
    inputs = [each for each in source.graph.input if each.name not in initializers]
    symbols = {size.dim_param for each in inputs for size in each.type.tensor_type.shape.dim if size.dim_param}
    module = read_onnx(path, {symbol: SIZES.get(symbol, 1) for symbol in symbols})
    survives(module)
    main = main_of(module)
    assert [entry["h3.name"] for entry in labels(main.arg_attrs)] == [escape(each.name) for each in inputs]
    assert [entry["h3.name"] for entry in labels(main.res_attrs)] == [escape(e.name) for e in source.graph.output]
    for op in named(module, "h3.weight"):
        assert isinstance(op, WeightOp)
        tensor = initializers.get(unescape(op.key.data))
        if op.absent is None and tensor is not None:
            assert np.array_equal(STORE.array(op), onnx.numpy_helper.to_array(tensor))
    if not source.functions and not any(each.domain.endswith("brevitas") for each in source.graph.node):
        ops = [op.name.removeprefix("onnx.") for op in body_of(module)[0] if node_name(op)]
        nodes = ["Custom" if each.domain else each.op_type for each in source.graph.node]
        constants = ("Constant", "h3.weight")
        assert [name for name in ops if name not in constants] == [name for name in nodes if name not in constants]
