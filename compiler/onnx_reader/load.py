"""From a file to a checked ONNX graph: what is wrong with a model is found here, before anything is built."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import GraphProto, ModelProto, NodeProto

from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import graph_attributes, graphs_in
from ...runtime_sim.weights import digest_of_bytes
from .names import title

AI_ONNX = ("", "ai.onnx")
"""The two ways to write the standard domain."""


def load(path: Path) -> tuple[ModelProto, str]:
    """The model in a file and the digest of the file; external data is not read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not data:
        raise InputError(f"{path}: the file is empty, expected an ONNX model")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise InputError(f"{path}: no ONNX model, or one that is cut short ({len(data)} bytes)") from error
    if not model.HasField("graph") or not model.opset_import:
        missing = "graph" if not model.HasField("graph") else "opset_import"
        raise InputError(f"{path}: no ONNX model, or one that is cut short: it has no {missing}")
    _check_text(path, model)
    imported = {"" if entry.domain in AI_ONNX else entry.domain for entry in model.opset_import}
    for domain in sorted({node.domain for graph in graphs_in(model.graph) for node in graph.node} - set(AI_ONNX)):
        if domain not in imported:  # some exporters forget to
            model.opset_import.add(domain=domain, version=1)
    if "" not in imported:
        raise InputError(f"{path}: the model imports no version of ai.onnx")
    return model, digest_of_bytes(data)


def _check_text(path: Path, model: ModelProto) -> None:
    """Names are UTF-8: protobuf gives bytes where they are not."""
    names: list[object] = [entry.domain for entry in model.opset_import]
    nodes = [node for function in model.functions for node in function.node]
    for function in model.functions:
        names += [function.name, function.domain, *function.input, *function.output, *function.attribute]
        names += [entry.domain for entry in function.opset_import]
    for graph in graphs_in(model.graph):
        values = (*graph.input, *graph.output, *graph.value_info)
        names += [graph.name, *(tensor.name for tensor in graph.initializer), *(value.name for value in values)]
        names += [size.dim_param for value in values for size in value.type.tensor_type.shape.dim]
        names += [entry.value for tensor in graph.initializer for entry in tensor.external_data]
        nodes.extend(graph.node)
    for node in nodes:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{path}: the name {name!r} is not UTF-8")


def opset_of(model: ModelProto) -> dict[str, int]:
    """The versions of the operator sets that a model uses, by domain."""
    return {"" if entry.domain in AI_ONNX else entry.domain: entry.version for entry in model.opset_import}


def standard(node: NodeProto) -> bool:
    """Whether a node is of the standard domain."""
    return node.domain in AI_ONNX


def check_graph(path: Path, graph: GraphProto, opset: dict[str, int], outer: frozenset[str] = frozenset()) -> None:
    """Names are defined once and before their use, operators exist; in the bodies of nodes too."""
    what = f"{path}: graph {graph.name!r}" if outer else str(path)
    defined = set(outer)
    own: dict[str, str] = {}  # where a name is defined
    initializers = [initializer.name for initializer in graph.initializer]
    initializers += [sparse.values.name for sparse in graph.sparse_initializer]
    _define(what, own, initializers, "an initializer")
    _define(what, own, [value.name for value in graph.input if value.name not in set(initializers)], "an input")
    if duplicate := _duplicate([value.name for value in graph.input]):
        raise InputError(f"{what}: input {duplicate!r} is listed twice")
    defined.update(own)
    for index, node in enumerate(graph.node):
        _check_node(path, node, index, opset)
        for name in node.input:
            if name and name not in defined:
                raise InputError(_undefined(path, graph, index, name))
        for attribute in graph_attributes(node):
            check_graph(path, attribute.g, opset, frozenset(defined))
        _define(what, own, [name for name in node.output if name], title(node, index))
        defined.update(node.output)
    for value in graph.output:
        if value.name not in defined:
            raise InputError(f"{what}: output {value.name!r} is made by no node")
    if not graph.output:
        raise InputError(f"{what}: the graph has no outputs")
    if duplicate := _duplicate([value.name for value in graph.output]):
        raise InputError(f"{what}: output {duplicate!r} is listed twice")


def _duplicate(names: Sequence[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)


def _define(what: str, own: dict[str, str], names: Iterable[str], where: str) -> None:
    for name in names:
        if not name:
            raise InputError(f"{what}: {where} has no name")
        if name in own:
            raise InputError(f"{what}: value {name!r} is defined twice, by {own[name]} and by {where}")
        own[name] = where


def _check_node(path: Path, node: NodeProto, index: int, opset: dict[str, int]) -> None:
    """The operator exists in the version of the operator set that the model uses."""
    if not standard(node):
        return
    if problem := _unknown(node.op_type, opset[""]):
        raise InputError(f"{path}: {title(node, index)}: {problem}")
    known = _attributes(node.op_type, opset[""])
    for attribute in node.attribute:
        if attribute.name not in known:
            raise InputError(f"{path}: {title(node, index)}: it has no attribute {attribute.name!r}")


@cache
def _unknown(op_type: str, version: int) -> str | None:
    """Why the standard domain has no such operator at this version; None if it has."""
    if not onnx.defs.has(op_type):
        return f"ai.onnx has no operator {op_type!r}"
    try:
        schema = onnx.defs.get_schema(op_type, version)
    except onnx.defs.SchemaError:
        since = onnx.defs.get_schema(op_type).since_version
        return f"{op_type} came with opset {since}, the model uses opset {version}"
    return f"{op_type} was removed by opset {schema.since_version}" if schema.deprecated else None


@cache
def _attributes(op_type: str, version: int) -> frozenset[str]:
    return frozenset(onnx.defs.get_schema(op_type, version).attributes)


def _undefined(path: Path, graph: GraphProto, index: int, name: str) -> str:
    """What is wrong with a node that reads a value that is not there yet."""
    what = f"{path}: {title(graph.node[index], index)} reads {name!r}"
    makers = {output: i for i, node in enumerate(graph.node) for output in node.output if output}
    if name not in makers:
        return f"{what}, which is no input, initializer or output of a node"
    if _reads(graph, makers, makers[name], index):
        return f"{what}, which depends on its own output: the graph has a cycle"
    return f"{what}, which is made later, by {title(graph.node[makers[name]], makers[name])}; nodes must be sorted"


def _reads(graph: GraphProto, makers: dict[str, int], start: int, goal: int) -> bool:
    """Whether node `start` depends on node `goal`."""
    seen, stack = {start}, [start]
    while stack:
        at = stack.pop()
        if at == goal:
            return True
        for source in {makers[name] for name in _inputs(graph.node[at]) if name in makers} - seen:
            seen.add(source)
            stack.append(source)
    return False


def _inputs(node: NodeProto) -> Iterable[str]:
    """What a node reads, in its bodies too."""
    yield from node.input
    for attribute in graph_attributes(node):
        for inner in attribute.g.node:
            yield from _inputs(inner)
