"""model-figures: operators, MACs and weights as an independent counter has them."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import model, model_paths, needs_models, read, run_passes
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.model_figures import ModelFigures

RNG = np.random.default_rng(19)
PASSES = (FoldConstants(), ModelFigures())


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def figures(module: ModuleOp) -> dict[str, int]:
    fields = module.attributes["h3.model"]
    assert isinstance(fields, DictionaryAttr)
    return {name: value.value.data for name, value in fields.data.items() if isinstance(value, IntegerAttr)}


def test_a_tied_weight_counts_once_and_biases_do_not(tmp_path: Path):
    source = model(
        "g (float[3,8] x) => (float[3,8] y) {"
        "  a = Gemm(x, w, b)  i = Identity(a)  r = Relu(i)  t = Transpose<perm = [1, 0]>(w)  y = MatMul(r, t)"
        "}",
        w=floats(8, 20),
        b=floats(20),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert figures(module) == {"operators": 3, "matrix_operators": 2, "macs": 2 * 3 * 8 * 20, "weights": 160}


def test_attention_is_one_matrix_operator(tmp_path: Path):
    source = model(
        "g (float[1,4,3,8] q, float[1,4,5,8] k, float[1,4,5,8] v) => (float[N,N,N,N] y) { y = Attention(q, k, v) }", 23
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert figures(module) == {"operators": 1, "matrix_operators": 1, "macs": 2 * 4 * 3 * 5 * 8, "weights": 0}


def test_packed_weights_count_as_what_they_hold(tmp_path: Path):
    source = model(
        "g (float[3,32] x) => (float[3,6] y)"
        "{ y = com.microsoft.MatMulNBits<K = 32, N = 6, bits = 4, block_size = 16>(x, w, s) }",
        w=RNG.integers(0, 256, (6, 2, 8)).astype(np.uint8),
        s=floats(12),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert figures(module)["weights"] == 192
    assert figures(module)["macs"] == 3 * 192


def _counter() -> Any:
    spec = importlib.util.spec_from_file_location("onnx_count", Path(os.environ["H3C_MODELS"]) / "onnx_count.py")
    assert spec is not None
    assert spec.loader is not None
    counter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(counter)
    return counter


def _dims(path: Path) -> dict[str, int]:
    """The symbolic dimensions of a model's inputs: 1, but of a sequence 128."""
    graph = onnx.load(path, load_external_data=False).graph
    shapes = [value.type.tensor_type.shape.dim for value in graph.input]
    return {
        size.dim_param: 128 if size.dim_param in ("seq", "past") else 1
        for shape in shapes
        for size in shape
        if size.dim_param
    }


def _bodies(graph: onnx.GraphProto) -> set[str]:
    """The names of all nodes inside If, Loop and Scan."""
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return {node.name for body in inner for node in body.node}.union(*(_bodies(body) for body in inner))


DIGITAL = ("LSTM", "GRU", "RNN")

UNRESOLVED = {
    "bert_base.seq128.legacy17": (11_174_215_680, 97),
    "gpt2_small.dynamic.dynamo20": (16_416_079_872, 73),
    "gpt2_small.prefill.legacy17": (16_114_089_984, 73),
    "mnist_tfc_1w1a": (59_008, 4),
    "mnist_tfc_1w2a": (59_008, 4),
    "mnist_tfc_2w2a": (59_008, 4),
    "odd_convs.legacy17": (1_746_976, 5),
}
"""MACs and operators where the counter leaves shapes unknown without its symbolic inference: the models' own table."""


@needs_models
@pytest.mark.parametrize("path", model_paths("trained", "topology", "quirks"), ids=lambda path: path.stem)
def test_macs_and_matrix_operators_are_those_of_the_counter(path: Path):
    if path.stem == "superresolution_with_image_codec":
        pytest.skip("its matrix operators have shapes that depend on an encoded image")
    dims = _dims(path)
    found = figures(run_passes(read_onnx(path, dims), PASSES))
    if path.stem in UNRESOLVED:
        assert (found["macs"], found["matrix_operators"]) == UNRESOLVED[path.stem]
        return
    layers = _layers(path, dims)
    assert found["macs"] == sum(macs for _, macs in layers)
    assert found["matrix_operators"] == len(layers)


def _layers(path: Path, dims: dict[str, int]) -> list[tuple[str, int]]:
    """Operator and MACs of each matrix operator that the counter sees, without what is digital work here."""
    counter = _counter()
    seen: list[Any] = []
    count_nodes = counter.walk

    def watched(graph: Any, outer: Any, acc: Any, mult: int = 1) -> None:
        seen.append(acc)
        count_nodes(graph, outer, acc, mult)

    counter.walk = watched
    counted = counter.count(str(path), dims)
    assert not counted["unknown"]
    (layers,) = (acc["layers"] for acc in seen[:1])
    bodies = _bodies(onnx.load(path, load_external_data=False).graph)
    return [
        (op_type, macs)
        for name, op_type, macs, *_ in layers
        if op_type not in DIGITAL and name not in bodies and not (op_type == "Einsum" and macs == THREE_FACTORS)
    ]


THREE_FACTORS = 98_304
"""The MACs that the counter finds in the sample's Einsum of three operands, which stays digital."""
