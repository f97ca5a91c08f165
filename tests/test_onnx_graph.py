"""Onnx ops as a model that onnxruntime runs: the same numbers as the file that they were read from."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import original
from onnx import TensorProto, helper
from reader_models import RNG, body_of, graph, mlp, model, named, node, program, random_weight, save, value, weight
from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntegerAttr, TensorType, f32
from xdsl.ir import Block

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.dialects.onnx import constant_array, make_op
from h3c.dialects.onnx_base import si64
from h3c.dialects.onnx_ops import ConstantOp
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.onnx_graph import Program, build_model, module_opset, node_name, session
from h3c.runtime_sim.weights import STORE

X = RNG.standard_normal((4, 20)).astype(np.float32)


def reference(path: Path, feed: dict[str, Any]) -> list[Any]:
    """What onnxruntime computes of the file itself, optimisations off."""
    return list(original(path).run(None, feed))


def test_a_network_computes_what_its_file_computes(tmp_path: Path) -> None:
    path = save(tmp_path, mlp())
    (y,) = program(read_onnx(path, {"batch": 4}))([X])
    (expected,) = reference(path, {"x": X})
    assert np.allclose(y, expected, rtol=0, atol=1e-5)


def test_many_samples_at_once(tmp_path: Path) -> None:
    path = save(tmp_path, mlp())
    (y,) = program(read_onnx(path, {"batch": 1}), free_batch=True)([X])
    (expected,) = reference(path, {"x": X})
    assert y.shape == (4, 10)
    assert np.allclose(y, expected, rtol=0, atol=1e-5)


def test_some_of_the_ops(tmp_path: Path) -> None:
    """Constants that the ops read come along; other values are inputs."""
    module = read_onnx(save(tmp_path, mlp()), {"batch": 4})
    add, relu = named(module, "onnx.Add")[0], named(module, "onnx.Relu")[0]
    run = Program([add, relu], [add.operands[0]], [relu.results[0], add.results[0]], STORE, module_opset(module))
    product = RNG.standard_normal((4, 30)).astype(np.float32)
    (constant,) = [op for op in named(module, "onnx.Constant") if isinstance(op, ConstantOp)]
    bias = constant_array(constant)
    activated, added = run([product])
    assert np.array_equal(added, product + bias)
    assert np.array_equal(activated, np.maximum(product + bias, 0))
    with pytest.raises(ValueError, match="neither an input nor made by one of the ops"):
        build_model([relu], [], [relu.results[0]], STORE, {})


def test_inputs_and_constants_may_be_outputs(tmp_path: Path) -> None:
    nodes = [node("Identity", "c", "y")]
    made = model(graph(nodes, [value("x", [2])], [value("y", [2]), value("x", [2]), value("c", [2])]))
    made.graph.initializer.append(weight("c", np.array([3, 4], np.float32)))
    x = np.array([1, 2], np.float32)
    assert [array.tolist() for array in program(read_onnx(save(tmp_path, made)))([x])] == [[3, 4], [1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("name", "attribute", "kind"),
    [("Relu", "consumed_inputs", "INTS"), ("Upsample", "scales", "FLOATS"), ("RNN", "activations", "STRINGS")],
)
def test_lists_without_elements_keep_their_kind(name: str, attribute: str, kind: str) -> None:
    block = Block(arg_types=[TensorType(f32, [2])])
    op = make_op(name, [block.args[0]], [TensorType(f32, [2])], {attribute: []})
    made = build_model([op], list(block.args), list(op.results), STORE, {"": 17})
    assert made.graph.node[0].attribute[0].type == onnx.AttributeProto.AttributeType.Value(kind)


def test_a_list_of_mixed_values_is_no_attribute() -> None:
    block = Block(arg_types=[TensorType(f32, [2])])
    op = make_op("Relu", [block.args[0]], [TensorType(f32, [2])])
    op.properties["consumed_inputs"] = ArrayAttr([IntegerAttr(1, si64), FloatAttr(1.0, f32)])
    with pytest.raises(ValueError, match="mixed"):
        build_model([op], list(block.args), list(op.results), STORE, {"": 17})


def test_attributes_arrive_as_they_were(tmp_path: Path) -> None:
    tensor = weight("", np.array([2.5], np.float32))
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "c", value=tensor),
        node("Pad", "x p", "d", mode="reflect"),
        node("LeakyRelu", "d", "e", alpha=0.3),
        node("Transpose", "e", "y", perm=[1, 0]),
    ]
    outputs = [value("c", [4, 20]), value("y", [20, 6])]
    path = save(tmp_path, model(graph(nodes, [value("x", [4, 20])], outputs, [weight("p", [1, 0, 1, 0])])))
    module = read_onnx(path)
    ops, inputs, results = body_of(module)
    made = build_model(ops, inputs, results, STORE, module_opset(module))
    source = {each.op_type: each.attribute for each in onnx.load(path).graph.node}
    again = {each.op_type: each.attribute for each in made.graph.node}
    for name in ("LeakyRelu", "Transpose", "Pad"):
        assert list(again[name]) == list(source[name])
    for got, expected in zip(program(module)([X]), reference(path, {"x": X}), strict=True):
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.UINT8])
def test_types_of_inputs_and_outputs(kind: int, tmp_path: Path) -> None:
    nodes = [node("Cast", "x", "a", to=TensorProto.FLOAT), node("Add", "a w", "b"), node("Cast", "b", "y", to=kind)]
    declared = [value(name, [20], kind) for name in ("x", "y")]
    path = save(tmp_path, model(graph(nodes, declared[:1], declared[1:], [weight("w", np.ones(20, np.float32))])))
    x = np.arange(20).astype(helper.tensor_dtype_to_np_dtype(kind))
    (y,) = program(read_onnx(path))([x])
    assert y.dtype == x.dtype
    assert np.array_equal(y, x + 1)


def test_large_weights_are_not_put_into_the_model(tmp_path: Path) -> None:
    nodes = [node("Gather", "table x", "y")]
    made = graph(
        nodes, [value("x", [3], TensorProto.INT64)], [value("y", [3, 400])], [random_weight("table", 500, 400)]
    )
    path = save(tmp_path, model(made))
    (y,) = program(read_onnx(path))([np.array([7, 0, 499])])
    assert np.array_equal(y, reference(path, {"x": np.array([7, 0, 499])})[0])


def test_what_onnxruntime_cannot_run_is_one_line(tmp_path: Path) -> None:
    nodes = [node("Fancy", "x", "y", "fancy one", domain="com.acme")]
    foreign = read_onnx(save(tmp_path, model(graph(nodes, [value("x", [2])], [value("y", [2])]))))
    with pytest.raises(InputError, match=r"node 'fancy one' \(com\.acme\.Fancy\): onnxruntime has no such operator"):
        program(foreign)
    run = program(read_onnx(save(tmp_path, mlp()), {"batch": 4}))
    with pytest.raises(InputError, match=r"^onnxruntime: .*") as caught:
        run([X[:, :3]])
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match=r"^onnxruntime cannot run the model: "):
        session(b"nonsense")


def test_names_of_nodes_come_back(tmp_path: Path) -> None:
    made = model(graph([node("Relu", "x", "y", "a\nb é")], [value("x", [2])], [value("y", [2])]))
    module = read_onnx(save(tmp_path, made))
    ops, inputs, results = body_of(module)
    assert node_name(ops[0]) == "a\nb é"
    assert build_model(ops, inputs, results, STORE, {"": 17}).graph.node[0].name == "a\nb é"


def further() -> list[Path]:
    folder = os.environ.get("H3C_MODELS")
    kinds = ("trained", "quirks") if folder else ()
    return [path for kind in kinds for path in sorted((Path(folder or "") / kind).glob("*.onnx"))]


@pytest.mark.skipif(not further(), reason="H3C_MODELS does not name a folder of further models")
@pytest.mark.parametrize("path", further(), ids=lambda path: path.stem)
def test_further_models_compute_what_their_files_compute(path: Path) -> None:
    source = onnx.load(path)
    domains = {each.domain for each in source.graph.node}
    if domains & {"onnx.brevitas", "com.microsoft.extensions"}:
        pytest.skip("onnxruntime has no kernels for the file itself")
    initializers = {tensor.name for tensor in source.graph.initializer}
    declared = [each for each in source.graph.input if each.name not in initializers]
    dims = {size.dim_param: 1 for each in declared for size in each.type.tensor_type.shape.dim if size.dim_param}
    feed: dict[str, Any] = {}
    for each in declared:
        shape = [size.dim_value or 1 for size in each.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(each.type.tensor_type.elem_type)
        feed[each.name] = np.asarray(RNG.random(shape) * 4, dtype)
    got = program(read_onnx(path, dims))(list(feed.values()))
    for result, expected in zip(got, reference(path, feed), strict=True):
        assert result.dtype == expected.dtype
        assert np.allclose(result, expected, rtol=0, atol=1e-5 * max(1.0, float(np.abs(expected).max())))
