"""Small ONNX models that the reader's tests build, and the texts of modules."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.universe import Universe

from h3c.runtime_sim.onnx_graph import Program, module_opset
from h3c.runtime_sim.weights import STORE

FLOAT = TensorProto.FLOAT
RNG = np.random.default_rng(0)


def value(name: str, shape: Sequence[int | str | None] | None, element: int = FLOAT) -> ValueInfoProto:
    """The declaration of a tensor; a dimension is a size, a symbol or open."""
    return helper.make_tensor_value_info(name, element, shape)


def node(op: str, ins: str, outs: str, name: str = "", domain: str = "", **attributes: Any) -> NodeProto:
    """A node; names of values are separated by spaces, `-` is one that is left out."""
    inputs, outputs = ([each.replace("-", "") for each in names.split()] for names in (ins, outs))
    return helper.make_node(op, inputs, outputs, name=name or None, domain=domain, **attributes)


def weight(name: str, array: Any) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def random_weight(name: str, *shape: int) -> TensorProto:
    return weight(name, RNG.standard_normal(shape).astype(np.float32))


def graph(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: Sequence[TensorProto] = (),
) -> GraphProto:
    return helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(weights))


def model(made: GraphProto, opset: int = 17, ir_version: int = 8, **domains: int) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain.replace("__", "."), version) for domain, version in domains.items()]
    return helper.make_model(made, opset_imports=opsets, ir_version=ir_version)


def save(folder: Path, made: onnx.ModelProto, name: str = "m.onnx") -> Path:
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def mlp() -> onnx.ModelProto:
    """Two products with a Relu between, batch symbolic."""
    nodes = [
        node("MatMul", "x fc1.weight", "fc1_1", "/fc1/MatMul"),
        node("Add", "fc1_1 fc1.bias", "/fc1/Add_output_12", "/fc1/Add"),
        node("Relu", "/fc1/Add_output_12", "0"),
        node("MatMul", "0 fc2.weight", "y", "/fc2/MatMul"),
    ]
    weights = [random_weight("fc1.weight", 20, 30), random_weight("fc1.bias", 30), random_weight("fc2.weight", 30, 10)]
    return model(graph(nodes, [value("x", ["batch", 20])], [value("y", ["batch", 10])], weights))


def branches(*, inner: bool) -> onnx.ModelProto:
    """An If that reads values from outside; `inner` puts a constant and an If into a branch."""
    then = helper.make_graph([node("MatMul", "x w", "t")], "then", [], [value("t", None)])
    other_nodes = [node("Add", "x one", "e0"), node("Relu", "e0", "e")]
    weights = [weight("one", np.float32(1))]
    if inner:
        deep = helper.make_graph([node("Neg", "e", "d")], "deep", [], [value("d", None)])
        flat = helper.make_graph([node("Add", "e x", "f")], "flat", [], [value("f", None)])
        other_nodes.append(node("If", "c", "o", "inner", then_branch=deep, else_branch=flat))
    out = value("o" if inner else "e", None)
    other = helper.make_graph(other_nodes, "other", [], [out], weights)
    nodes = [
        node("ReduceSum", "x", "s", keepdims=0),
        node("Greater", "s zero", "c"),
        node("If", "c", "y", "branch", then_branch=then, else_branch=other),
    ]
    weights = [weight("zero", np.float32(0)), random_weight("w", 10, 10)]
    return model(graph(nodes, [value("x", [2, 10])], [value("y", [2, 10])], weights))


def context() -> Context:
    """All dialects that an installation offers."""
    made = Context()
    for name, dialect in Universe.get_multiverse().all_dialects.items():
        made.register_dialect(name, dialect)
    return made


def text(module: Operation, *, generic: bool = False, locations: bool = False) -> str:
    stream = StringIO()
    Printer(stream, print_generic_format=generic, print_debuginfo=locations).print_op(module)
    return stream.getvalue()


def parse(source: str) -> ModuleOp:
    return Parser(context(), source).parse_module()


def survives(module: ModuleOp) -> None:
    """Assert that a module verifies and is what its text, custom and generic, says."""
    module.verify()
    large = sum(1 for _ in module.walk()) > 500  # the parser takes a millisecond an op
    for generic, locations in ((False, True),) if large else ((False, False), (False, True), (True, False)):
        printed = text(module, generic=generic, locations=locations)
        again = parse(printed)
        assert again.is_structurally_equivalent(module)
        assert text(again, generic=generic, locations=locations) == printed


def main_of(module: ModuleOp) -> FuncOp:
    return next(op for op in module.body.block.ops if isinstance(op, FuncOp))


def body_of(module: ModuleOp) -> tuple[list[Operation], list[SSAValue], list[SSAValue]]:
    """The ops of @main, its arguments and what it returns."""
    block = main_of(module).body.block
    ops = [op for op in block.ops if not isinstance(op, ReturnOp)]
    assert isinstance(block.last_op, ReturnOp)
    return ops, list(block.args), list(block.last_op.operands)


def program(module: ModuleOp, *, free_batch: bool = False) -> Program:
    """@main, ready to run."""
    return Program(*body_of(module), STORE, module_opset(module), free_batch=free_batch)


def named(module: ModuleOp, name: str) -> list[Operation]:
    """The ops of a module of this name, bodies included."""
    return [op for op in module.walk() if op.name == name]
