"""The copy of a model that onnxruntime loads to find shapes: small, runnable on its CPU, every value within reach."""

from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, numpy_helper, shape_inference

from ...dialects.constants import MAX_INLINE_ELEMENTS
from ...runtime_sim.onnx_graph import as_float32, runtime_operators
from ...runtime_sim.onnx_tensors import graphs_in, tensor_array
from .load import opset_of, standard

_MAX_FOLDED = 2**16
"""Integer constants up to this many elements stay in the copy, as shapes may be computed from them."""
_MAX_IR_VERSION = 10
_BFLOAT16, _FLOAT = TensorProto.BFLOAT16, TensorProto.FLOAT
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")
"""Attributes that name an element type."""
_INTEGERS = (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)


class ShapeCopy:
    """A copy of `source` without large constants and without nodes that onnxruntime does not know.

    Both come back as inputs: nothing is copied, absent values do no harm. `kept` are the indices of the other nodes.
    """

    def __init__(self, path: Path, source: ModelProto, initializers: Mapping[str, TensorProto]):
        self.path, self.source = path, source
        self.model = ModelProto(ir_version=max(4, min(source.ir_version, _MAX_IR_VERSION)))
        self.graph = self.model.graph
        self.graph.name = source.graph.name or "graph"
        for domain, version in opset_of(source).items():
            self.model.opset_import.add(domain=domain, version=version)
        self.graph.input.extend(value for value in source.graph.input if value.name not in initializers)
        self.constants: dict[str, TensorProto] = {}
        for name, tensor in initializers.items():
            limit = _MAX_FOLDED if tensor.data_type in _INTEGERS else MAX_INLINE_ELEMENTS
            if prod(tensor.dims) <= limit and tensor.data_location != TensorProto.EXTERNAL:
                self.graph.initializer.append(tensor)
                self.constants[name] = tensor
            else:
                self._add_input(name, tensor.data_type, tensor.dims)
        self.declared = {value.name: value.type for value in (*source.graph.value_info, *source.graph.output)}
        self.kept: list[int] = []
        for index, node in enumerate(source.graph.node):
            if not self._cut(node):
                self.kept.append(index)
                self.graph.node.append(node)

    def _add_input(self, name: str, element: int, shape: Iterable[int]) -> None:
        tensor = self.graph.input.add(name=name).type.tensor_type
        tensor.elem_type = element
        tensor.shape.SetInParent()
        for size in shape:
            tensor.shape.dim.add(dim_value=size)

    def _cut(self, node: NodeProto) -> bool:
        """Make inputs of a node's outputs, if onnxruntime has no such operator or would make a large constant."""
        if node.op_type == "ConstantOfShape" and standard(node) and node.input[0] in self.constants:
            sizes = tensor_array(self.constants[node.input[0]], None, f"{self.path}: initializer {node.input[0]!r}")
            assert sizes is not None  # only external data may be absent
            shape = [int(size) for size in sizes.ravel()]
            if prod(shape) <= MAX_INLINE_ELEMENTS or min(shape) < 0:
                return False
            value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
            self._add_input(node.output[0], _FLOAT if value is None else value.data_type, shape)
            return True
        if standard(node) or (node.domain, node.op_type) in runtime_operators():
            return False
        for output in filter(None, node.output):
            type = self.declared.get(output)
            value = self.graph.input.add(name=output)
            if type is not None and type.tensor_type.elem_type:
                value.type.CopyFrom(type)
            else:
                value.type.tensor_type.elem_type = self._guess(node)
        return True

    def _guess(self, node: NodeProto) -> int:
        """The element type of a foreign operator's output that the file does not declare: its first input's."""
        graph = shape_inference.infer_shapes(self.model).graph
        types = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info)}
        types |= {tensor.name: tensor.data_type for tensor in self.graph.initializer}
        types |= {name: type.tensor_type.elem_type for name, type in self.declared.items()}
        return next((types[name] for name in node.input if types.get(name)), _FLOAT)

    def trust(self, open_names: Iterable[str]) -> None:
        """Let what the file itself states (value_info) count for these values."""
        for name in open_names:
            if name in self.declared:
                self.graph.value_info.add(name=name).type.CopyFrom(self.declared[name])

    def names(self) -> list[str]:
        """The values that nodes of the copy make, outside of bodies."""
        return [name for node in self.graph.node for name in node.output if name]

    def asking(self, names: Iterable[str], *, ranks: bool = False) -> bytes:
        """The copy as a file with these values as outputs; with `ranks` their shapes, which have as many elements."""
        model = ModelProto()
        model.CopyFrom(self.model)
        for name in names:
            if ranks:
                model.graph.node.add(op_type="Shape", input=[name], output=[rank_name(name)])
            model.graph.output.add(name=rank_name(name) if ranks else name)
        for graph in graphs_in(model.graph):
            _without_bfloat16(self.path, graph)
        return model.SerializeToString()

    def has_bfloat16(self) -> bool:
        """Whether any value or attribute of the model is bfloat16."""
        model = ModelProto()
        model.CopyFrom(self.model)
        return any(_without_bfloat16(self.path, graph) for graph in graphs_in(model.graph))


def rank_name(name: str) -> str:
    """The output that tells the rank of a value."""
    return f"{name}__h3c_rank"


def _without_bfloat16(path: Path, graph: GraphProto) -> bool:
    """Make float32 of bfloat16 in a graph (not in its bodies), in place; whether there was any."""
    found = False
    types: list[TypeProto] = [value.type for value in (*graph.input, *graph.output, *graph.value_info)]
    for type in types:
        if type.tensor_type.elem_type == _BFLOAT16:
            type.tensor_type.elem_type, found = _FLOAT, True
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                tensors.append(attribute.t)
            elif attribute.name in _TYPE_ATTRIBUTES and attribute.i == _BFLOAT16:
                attribute.i, found = _FLOAT, True
    for tensor in tensors:
        if tensor.data_type == _BFLOAT16:
            found = True
            array = tensor_array(tensor, None, f"{path}: constant {tensor.name!r}")
            assert array is not None  # only external data may be absent
            tensor.CopyFrom(numpy_helper.from_array(as_float32(array), tensor.name))
    return found
