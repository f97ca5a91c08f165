"""The blocks of Pythia-70M as an ONNX file without weights: enough for time and energy, some kB.

    python models/make_pythia70m.py pythia70m.onnx

6 blocks of width 512 with 8 heads and a feed-forward layer of 2048 (EleutherAI's configuration), attention and
feed-forward side by side, over 128 tokens: 24 linear layers and 12 products of attention, called as in the figures of
H3PIMAP (arXiv 2503.07778v2): `0.qkv`, `0.qk`, `0.av`, `0.proj`, `0.lin1`, `0.lin2`. Embedding, normalisation and output
layer are left out, as they are there.
"""

import sys
from pathlib import Path
from typing import Any

import onnx
from onnx import NodeProto, TensorProto, helper

BLOCKS, WIDTH, HEADS, INNER, TOKENS = 6, 512, 8, 2048, 128
LINEAR = {"qkv": (WIDTH, 3 * WIDTH), "proj": (WIDTH, WIDTH), "lin1": (WIDTH, INNER), "lin2": (INNER, WIDTH)}
"""Inputs and outputs of the linear layers of a block."""


def absent(name: str, shape: tuple[int, ...]) -> TensorProto:
    """A weight whose values are in a file that does not exist."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="pythia70m.weights")
    return tensor


def block(index: int, x: str) -> list[NodeProto]:
    """One block, from `x` to `{index}.y`, both [tokens, width]."""

    def name(value: str) -> str:
        return f"{index}.{value}"

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> NodeProto:
        return helper.make_node(kind, inputs, [name(output)], name=name(output), **attributes)

    def linear(x: str, layer: str) -> NodeProto:
        return node("MatMul", [x, name(f"{layer}.w")], layer)

    return [
        linear(x, "qkv"),
        helper.make_node("Split", [name("qkv")], [name(part) for part in "qkv"], name("split"), axis=1, num_outputs=3),
        *(node("Reshape", [name(part), "heads"], f"{part}.heads") for part in "qkv"),
        node("Transpose", [name("q.heads")], "q.first", perm=[1, 0, 2]),
        node("Transpose", [name("k.heads")], "k.first", perm=[1, 2, 0]),
        node("Transpose", [name("v.heads")], "v.first", perm=[1, 0, 2]),
        node("MatMul", [name("q.first"), name("k.first")], "qk"),
        node("Softmax", [name("qk")], "softmax", axis=-1),
        node("MatMul", [name("softmax"), name("v.first")], "av"),
        node("Transpose", [name("av")], "av.last", perm=[1, 0, 2]),
        node("Reshape", [name("av.last"), "tokens"], "attention"),
        linear(name("attention"), "proj"),
        linear(x, "lin1"),
        node("Gelu", [name("lin1")], "gelu"),
        linear(name("gelu"), "lin2"),
        helper.make_node("Sum", [x, name("proj"), name("lin2")], [name("y")], name("sum")),
    ]


def model() -> onnx.ModelProto:
    """The whole model: `x` [tokens, width] to `y`."""
    ends = ["x", *(f"{index}.y" for index in range(BLOCKS - 1))]
    nodes = [node for index, end in enumerate(ends) for node in block(index, end)]
    nodes[-1].output[0] = "y"
    weights = [absent(f"{i}.{layer}.w", shape) for i in range(BLOCKS) for layer, shape in LINEAR.items()]
    shapes = [
        helper.make_tensor("heads", TensorProto.INT64, [3], [TOKENS, HEADS, WIDTH // HEADS]),
        helper.make_tensor("tokens", TensorProto.INT64, [2], [TOKENS, WIDTH]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [TOKENS, WIDTH]) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "pythia70m", [x], [y], [*weights, *shapes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(model().SerializeToString())
