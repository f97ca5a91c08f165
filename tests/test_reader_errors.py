"""What the reader says of models that cannot be right: the file, the node or the name, on one line.

The errors that a user meets on the command line are in test_errors_cli.py; these are the rest.
"""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from reader_models import FLOAT, branches, graph, mlp, model, node, random_weight, save, value, weight

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.runtime_sim.errors import InputError


def refused(path: Path, **dims: int) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_onnx(path, dims)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert len(line.splitlines()) == 1
    return line


def relu(slope: int | None = None) -> onnx.ModelProto:
    """The smallest model: y = relu(x)."""
    return model(graph([node("Relu", "x", "y", "act", slope=slope)], [value("x", [2, 3])], [value("y", [2, 3])]))


def sequence() -> onnx.ModelProto:
    nodes = [node("SequenceConstruct", "x x", "s", "pair"), node("ConcatFromSequence", "s", "y", axis=0)]
    return model(graph(nodes, [value("x", [2, 3])], [value("y", [4, 3])]))


def text_input() -> onnx.ModelProto:
    made = relu()
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    return made


def optional_input() -> onnx.ModelProto:
    made = relu()
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [2]))
    made.graph.input[0].type.CopyFrom(kind)
    return made


def input_without_rank() -> onnx.ModelProto:
    made = relu()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    return made


def without_outputs() -> onnx.ModelProto:
    made = relu()
    del made.graph.output[:]
    return made


def without_opset() -> onnx.ModelProto:
    made = relu()
    made.opset_import[0].domain = "com.acme"
    return made


def circular_functions() -> onnx.ModelProto:
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    made = model(graph([node("A", "x", "y", domain="local")], [value("x", [2])], [value("y", [2])]), local=1)
    for name, other in (("A", "B"), ("B", "A")):
        body = [node(other, "a", "b", domain="local")]
        made.functions.append(helper.make_function("local", name, ["a"], ["b"], body, opset))
    return made


def function_of_another_opset() -> onnx.ModelProto:
    made = model(graph([node("F", "x", "y", domain="local")], [value("x", [2, 3])], [value("y", [3])]), local=1)
    body = [node("ReduceSum", "a", "b", "sum", keepdims=0, axes=[0])]
    made.functions.append(helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 11)]))
    return made


def quantiser(rounding: str) -> onnx.ModelProto:
    nodes = [node("Quant", "x s s s", "y", "q", "onnx.brevitas", signed=1, narrow=0, rounding_mode=rounding)]
    return model(graph(nodes, [value("x", [4])], [value("y", [4])], [weight("s", np.float32(1))]))


def text_constant() -> onnx.ModelProto:
    nodes = [node("Constant", "", "c", "words", value_strings=["a"]), node("Relu", "x", "y", "act")]
    return model(graph(nodes, [value("x", [2])], [value("y", [2])]))


def sparse(indices: list[int]) -> onnx.ModelProto:
    made = model(graph([node("MatMul", "x w", "y")], [value("x", [2, 20])], [value("y", [2, 10])]))
    values = weight("w", np.ones(len(indices), np.float32))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, weight("i", indices), [20, 10]))
    return made


def infinite(operator: str) -> onnx.ModelProto:
    made = model(graph([node(operator, "x w", "y")], [value("x", [8, 8])], [value("y", [8, 8])]))
    made.graph.initializer.append(weight("w", np.full((8, 8), -np.inf, np.float32)))
    return made


def name_that_is_no_text() -> bytes:
    return relu().SerializeToString().replace(b"act", b"\xff\xfe\xfd")


CASES = {
    "an unknown attribute": (relu(slope=1), "node 'act' (Relu)", "slope"),
    "a sequence": (sequence(), "node 'pair' (SequenceConstruct)", "expected a tensor"),
    "text": (text_input(), "'x'", "string"),
    "an optional input": (optional_input(), "input 'x'", "expected a tensor"),
    "an input without rank": (input_without_rank(), "input 'x'", "rank"),
    "no outputs": (without_outputs(), "no outputs", None),
    "no opset": (without_opset(), "no version of ai.onnx", None),
    "circular functions": (circular_functions(), "local::B", None),
    "a function of another opset": (function_of_another_opset(), "function 'F'", "node 'sum' (ReduceSum)"),
    "an unknown rounding mode": (quantiser("STOCHASTIC"), "node 'q'", "STOCHASTIC"),
    "a constant of text": (text_constant(), "value 'c'", "string"),
    "a sparse index outside": (sparse([200]), "'w'", "[20, 10]"),
    "an infinite weight": (infinite("MatMul"), "initializer 'w'", "infinite, at [0, 0]"),
}


@pytest.mark.parametrize(("made", "first", "second"), CASES.values(), ids=CASES)
def test_a_model_with(made: onnx.ModelProto, first: str, second: str | None, tmp_path: Path) -> None:
    line = refused(save(tmp_path, made))
    assert first in line
    assert (second or "") in line


def test_an_infinity_may_be_meant_elsewhere(tmp_path: Path) -> None:
    read_onnx(save(tmp_path, infinite("Add")))


def test_an_operator_that_is_newer_than_the_opset(tmp_path: Path) -> None:
    made = model(graph([node("Gelu", "x", "y", "act")], [value("x", [2])], [value("y", [2])]), 17)
    assert "Gelu came with opset 20, the model uses opset 17" in refused(save(tmp_path, made))


def test_an_operator_that_was_removed(tmp_path: Path) -> None:
    made = model(graph([node("Upsample", "x s", "y", "up")], [value("x", [2])], [value("y", [2])]), 17)
    made.graph.initializer.append(weight("s", np.ones(1, np.float32)))
    assert "node 'up' (Upsample): Upsample was removed by opset 10" in refused(save(tmp_path, made))


def test_names_are_told_as_python_writes_them(tmp_path: Path) -> None:
    made = model(graph([node("No\nsuch", "x", "y", "a\nb")], [value("x", [2])], [value("y", [2])]))
    assert r"node 'a\nb' (No%0Asuch)" in refused(save(tmp_path, made))
    path = tmp_path / "n.onnx"
    path.write_bytes(name_that_is_no_text())
    assert "not UTF-8" in refused(path)


def test_values_defined_twice_in_a_body(tmp_path: Path) -> None:
    made = branches(inner=False)
    body = made.graph.node[-1].attribute[0].g
    body.node.append(body.node[0])
    assert "defined twice" in refused(save(tmp_path, made))


def test_a_body_that_reads_what_is_made_later(tmp_path: Path) -> None:
    made = branches(inner=False)
    for attribute in made.graph.node[-1].attribute:
        attribute.g.node[0].input[0] = "y"
    assert "'y'" in refused(save(tmp_path, made))


def test_dimensions(tmp_path: Path) -> None:
    path = save(tmp_path, mlp())
    assert refused(path).endswith("--dim batch=VALUE")
    assert "no dimension 'seq'; it has 'batch'" in refused(path, seq=1)
    assert "'batch' is bound to -1" in refused(path, batch=-1)
    fixed = save(tmp_path, relu(), "fixed.onnx")
    assert "all its dimensions are fixed" in refused(fixed, batch=1)


def test_a_dimension_of_an_output_may_be_bound(tmp_path: Path) -> None:
    nodes = [node("NonZero", "x", "i"), node("Transpose", "i", "y")]
    declared = value("y", ["count", 2], TensorProto.INT64)
    read_onnx(save(tmp_path, model(graph(nodes, [value("x", [2, 3])], [declared]))), {"count": 4})


def test_an_external_offset_that_is_no_number(tmp_path: Path) -> None:
    made = mlp()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", "w.bin"), ("offset", "many")):
        tensor.external_data.add(key=key, value=entry)
    assert "'fc1.weight'" in refused(save(tmp_path, made), batch=1)


def test_a_matrix_of_no_elements(tmp_path: Path) -> None:
    made = model(graph([node("MatMul", "x w", "y")], [value("x", [2, 3])], [value("y", [2, 0])]))
    made.graph.initializer.append(weight("w", np.zeros((3, 0), np.float32)))
    assert "initializer 'w' has shape [3, 0]" in refused(save(tmp_path, made))


@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Any bytes end in a module or in one line."""
    chance = random.Random(seed)
    made = chance.choice([mlp(), branches(inner=True), sparse([3]), quantiser("ROUND"), circular_functions()])
    made.graph.initializer.append(random_weight("extra", 3))
    data = bytearray(made.SerializeToString())
    for _ in range(chance.randrange(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(data[: len(data) - chance.choice([0, 0, chance.randrange(len(data))])]))
    line = ""
    try:
        read_onnx(path, {"batch": 1}).verify()
    except InputError as error:
        line = str(error)
    assert len(line.splitlines()) <= 1
