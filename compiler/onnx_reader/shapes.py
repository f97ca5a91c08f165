"""Types of all values of a model, from one onnxruntime session over a copy in which every value is an output.

onnxruntime folds the arithmetic on shapes while it loads a model, which onnx.shape_inference does not. Bodies of If,
Loop and Scan are typed by onnx.shape_inference, from what was found around them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import GraphProto, ModelProto, TensorProto, TypeProto, shape_inference
from xdsl.dialects.builtin import DYNAMIC_INDEX, UnrankedTensorType
from xdsl.ir import Attribute

from ...dialects.constants import element_type, tensor_of
from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_graph import one_line
from ...runtime_sim.onnx_tensors import DTYPES, graph_attributes, type_name
from .names import title
from .shape_copy import ShapeCopy, rank_name

_BFLOAT16 = TensorProto.BFLOAT16


@dataclass(frozen=True)
class Types:
    """The types of the values of a graph by name, and of the graphs inside its nodes by (node index, attribute)."""

    of: Mapping[str, Attribute]
    inside: Mapping[tuple[int, str], "Types"]


def infer_types(path: Path, model: ModelProto, initializers: Mapping[str, TensorProto]) -> Types:
    """The types of all values of a model whose dimensions are bound; its initializers are given apart.

    A dimension or a rank that depends on data, or on an operator without a known definition, stays open.
    """
    copy = ShapeCopy(path, model, initializers)
    found = _by_runtime(path, copy)
    if open_names := [name for name, type in found.items() if _is_open(type)]:
        copy.trust(open_names)
        found = _by_runtime(path, copy) if copy.graph.value_info else found
    has_bodies = any(True for node in model.graph.node for _ in graph_attributes(node))
    if not has_bodies and not copy.has_bfloat16():
        return Types({name: to_ir(path, name, type) for name, type in found.items()}, {})
    inferred = _by_onnx(copy, found)
    types = _declared(inferred)
    for name, type in found.items():
        if name in types and types[name].tensor_type.elem_type == _BFLOAT16:
            type.tensor_type.elem_type = _BFLOAT16
    bodies = {
        (copy.kept[index], attribute.name): _body_types(path, attribute.g)
        for index, node in enumerate(inferred.node)
        for attribute in graph_attributes(node)
    }
    return Types({name: to_ir(path, name, type) for name, type in found.items()}, bodies)


def to_ir(path: Path, name: str, type: TypeProto) -> Attribute:
    """A tensor type of ONNX as one of the IR."""
    tensor = type.tensor_type
    if tensor.elem_type not in DTYPES:
        raise InputError(f"{path}: value {name!r} has elements of type {type_name(tensor.elem_type)}, expected numbers")
    element = element_type(DTYPES[tensor.elem_type])
    if not tensor.HasField("shape"):
        return UnrankedTensorType(element)
    sizes = (each.dim_value if each.HasField("dim_value") else DYNAMIC_INDEX for each in tensor.shape.dim)
    return tensor_of(tuple(sizes), element)


def _is_open(type: TypeProto) -> bool:
    tensor = type.tensor_type
    return not tensor.HasField("shape") or any(not size.HasField("dim_value") for size in tensor.shape.dim)


def _type(element: int, shape: Sequence[object] | None) -> TypeProto:
    type = TypeProto()
    type.tensor_type.elem_type = element
    if shape is not None:
        type.tensor_type.shape.SetInParent()
        for size in shape:
            dimension = type.tensor_type.shape.dim.add()
            if isinstance(size, int):
                dimension.dim_value = size
    return type


def _by_runtime(path: Path, copy: ShapeCopy) -> dict[str, TypeProto]:
    """The types that onnxruntime finds, outside of bodies; those of onnx.shape_inference if it lacks a kernel."""
    inputs = {value.name: value.type for value in copy.graph.input}
    if not copy.names():  # onnxruntime refuses a graph without nodes
        return inputs
    try:
        outputs = _asked(path, copy.asking(copy.names()))
        elements = {output.name: _element(path, copy, output.name, output.type) for output in outputs}
        scalars = [output.name for output in outputs if not output.shape]
        # onnxruntime shows a scalar and a value of unknown rank alike
        ranks = {each.name: each.shape for each in _asked(path, copy.asking(scalars, ranks=True))} if scalars else {}
    except NotImplementedError:
        return inputs | _declared(_by_onnx(copy, inputs))
    found = dict(inputs)
    for output in outputs:
        shape = output.shape if ranks.get(rank_name(output.name), [0]) == [0] else None
        found[output.name] = _type(elements[output.name], shape)
    return found


def _asked(path: Path, data: bytes) -> Sequence[Any]:
    """The outputs of a model as onnxruntime describes them; NotImplementedError if it lacks a kernel."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0).get_outputs()
    except Exception as error:  # onnxruntime has no common base for its errors
        if type(error).__name__ == "NotImplemented":
            raise NotImplementedError from error
        raise InputError(f"{path}: {one_line(error)}") from error


def _element(path: Path, copy: ShapeCopy, name: str, type: str) -> int:
    """onnxruntime's `tensor(float)` as an element type of ONNX."""
    element = type.removeprefix("tensor(").removesuffix(")").upper()
    if type.startswith("tensor(") and element in dict(TensorProto.DataType.items()):
        return TensorProto.DataType.Value(element)
    index, node = next((i, node) for i, node in enumerate(copy.source.graph.node) if name in node.output)
    raise InputError(f"{path}: {title(node, index)}: output {name!r} is of type {type}, expected a tensor")


def _by_onnx(copy: ShapeCopy, found: Mapping[str, TypeProto]) -> GraphProto:
    """The copy after onnx.shape_inference, which types bodies and knows bfloat16, given types found elsewhere."""
    model = ModelProto()
    model.CopyFrom(copy.model)
    del model.graph.value_info[:]
    if not copy.has_bfloat16():
        for name in copy.names():
            if name in found:
                model.graph.value_info.add(name=name).type.CopyFrom(found[name])
    return shape_inference.infer_shapes(model, data_prop=True).graph


def _declared(graph: GraphProto) -> dict[str, TypeProto]:
    """The types that a graph states."""
    types = {value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)}
    for tensor in graph.initializer:
        types[tensor.name] = _type(tensor.data_type, list(tensor.dims))
    return types


def _body_types(path: Path, graph: GraphProto) -> Types:
    """The types of the values in the body of a node, after inference."""
    bodies = {
        (index, attribute.name): _body_types(path, attribute.g)
        for index, node in enumerate(graph.node)
        for attribute in graph_attributes(node)
    }
    types = _declared(graph)
    return Types({name: to_ir(path, name, type) for name, type in types.items() if _has_type(type)}, bodies)


def _has_type(type: TypeProto) -> bool:
    return type.tensor_type.elem_type != TensorProto.UNDEFINED
