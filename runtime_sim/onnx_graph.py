"""Ops of the onnx dialect as an ONNX model that onnxruntime runs: for folding constants and for digital work."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    ModuleOp,
    NameLoc,
    NoneType,
    StringAttr,
    TensorType,
    UnrankedTensorType,
)
from xdsl.ir import Attribute, Block, Operation, OpResult, Region, SSAValue

from ..dialects.constants import Array, RawElementsAttr, numpy_dtype, to_array
from ..dialects.h3 import WeightOp
from ..dialects.onnx import ConstantOp, CustomOp, NoValueOp, YieldOp, constant_array
from ..dialects.onnx_base import FLOATS, STRINGS, OnnxOp
from ..dialects.text import unescape, unescape_bytes
from .errors import InputError
from .onnx_tensors import CODES
from .weights import WeightStore

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto
    from onnxruntime import InferenceSession

_BFLOAT16, _FLOAT = 16, 1
_PREFIX = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |This is an invalid model\. |Fatal error: ")
_MAX_IR_VERSION = 10
_INLINE_BYTES = 1 << 16
"""Larger weights are handed to onnxruntime as inputs, which copies nothing; a model file holds 2 GB at most."""


def module_opset(module: ModuleOp) -> dict[str, int]:
    """The versions of the operator sets of a module's model, by domain ("" for ai.onnx, 17 where nothing is said)."""
    model = module.attributes.get("h3.model")
    opset = model.data.get("opset") if isinstance(model, DictionaryAttr) else None
    found = {"": 17}
    for domain, version in opset.data.items() if isinstance(opset, DictionaryAttr) else ():
        if isinstance(version, IntegerAttr):
            found["" if domain == "ai.onnx" else unescape(domain)] = version.value.data
    return found


def node_name(op: Operation) -> str:
    """The name of the ONNX node that an op came from; empty if it has none."""
    return unescape(op.location.desc.data) if isinstance(op.location, NameLoc) else ""


def one_line(error: BaseException) -> str:
    """What onnxruntime said, on one line."""
    return " ".join(_PREFIX.sub("", str(error)).split())


def build_model(
    ops: Iterable[Operation],
    inputs: Sequence[SSAValue],
    outputs: Sequence[SSAValue],
    weights: WeightStore,
    opset: Mapping[str, int],
) -> "ModelProto":
    """The ONNX model that computes `outputs` from `inputs` by `ops` (onnx ops and h3.weight, in order).

    Constants that the ops read and that are not among `ops` are added. Inputs and outputs of the model are in the order
    given, with made-up names. bfloat16 becomes float32, as onnxruntime's CPU has no kernels for it: inputs and outputs
    are then float32.
    """
    builder = _Builder(weights, opset)
    graph = builder.model.graph
    for index, value in enumerate(inputs):
        builder.names[value] = f"in{index}"
        graph.input.append(builder.value_info(value))
    for op in ops:
        builder.add(op, graph)
    for index, value in enumerate(outputs):
        name = f"out{index}"
        graph.node.add(op_type="Identity", input=[builder.name(value, graph)], output=[name])
        graph.output.append(builder.value_info(value, name, shape=False))
    return builder.model


class _Builder:
    """A model under construction, and the names of its values."""

    def __init__(self, weights: WeightStore, opset: Mapping[str, int]):
        from onnx import ModelProto

        self.weights = weights
        self.model = ModelProto(ir_version=_MAX_IR_VERSION)
        self.model.graph.name = "h3c"
        self.names: dict[SSAValue, str] = {}
        self.node_names: set[str] = set()
        for domain, version in {"": 17, **opset}.items():
            self.model.opset_import.add(domain=domain, version=version)

    def name(self, value: SSAValue, graph: "GraphProto") -> str:
        """The name of an operand; a constant from outside is added to `graph` first."""
        if isinstance(value.type, NoneType):
            return ""
        if value not in self.names:
            if not isinstance(value, OpResult) or not isinstance(value.op, WeightOp | ConstantOp):
                raise ValueError(f"{value} is neither an input nor made by one of the ops")
            self.add(value.op, self.model.graph)
        return self.names[value]

    def add(self, op: Operation, graph: "GraphProto") -> None:
        """Append an op to `graph`."""
        if isinstance(op, NoValueOp) or (op.results and op.results[0] in self.names):
            return
        for result in op.results:
            self.names[result] = "" if isinstance(result.type, NoneType) else f"v{len(self.names)}"
        if isinstance(op, WeightOp | ConstantOp):
            array = self.weights.array(op) if isinstance(op, WeightOp) else constant_array(op)
            graph.initializer.append(self.tensor(array, self.names[op.results[0]]))
        elif isinstance(op, OnnxOp):
            self._add_node(op, graph)
        else:
            raise ValueError(f"{op.name} is no op of the onnx dialect")

    def _add_node(self, op: OnnxOp, graph: "GraphProto") -> None:
        name = node_name(op)
        if name in self.node_names:  # several ops may come from one node, and onnxruntime wants unique names
            name = f"{name}.{len(self.node_names)}"
        self.node_names.add(name)
        node = graph.node.add(name=name, op_type=op.name.removeprefix("onnx."))
        properties: Mapping[str, Attribute] = op.properties
        names: Sequence[str] = op.GRAPHS
        if isinstance(op, CustomOp):
            node.domain, node.op_type = unescape(op.domain.data), unescape(op.op_type.data)
            properties = op.attrs.data if op.attrs is not None else {}
            names = [name.data for name in op.graph_names.data] if op.graph_names is not None else []
            if (node.domain, node.op_type) not in runtime_operators():
                what = f"{node.name!r} ({node.domain}.{node.op_type})"
                raise InputError(f"node {what}: onnxruntime has no such operator, so its values cannot be computed")
        inputs = [self.name(operand, graph) for operand in op.operands]
        node.input.extend(inputs)
        node.output.extend(self.names[result] for result in op.results)
        for name, value in properties.items():
            attribute = node.attribute.add(name=name)
            self._set(attribute, value, op)
            if name == "to" and attribute.i == _BFLOAT16:
                attribute.i = _FLOAT
        for name, region in zip(names, op.regions, strict=True):
            self._add_graph(node.attribute.add(name=name), region)

    def _set(self, attribute: "AttributeProto", value: Attribute, op: OnnxOp) -> None:
        from onnx import AttributeProto

        match value:
            case IntegerAttr():
                attribute.type, attribute.i = AttributeProto.INT, value.value.data
            case FloatAttr():
                attribute.type, attribute.f = AttributeProto.FLOAT, value.value.data
            case StringAttr():
                attribute.type, attribute.s = AttributeProto.STRING, unescape_bytes(value.data)
            case DenseIntOrFPElementsAttr() | RawElementsAttr():
                attribute.type = AttributeProto.TENSOR
                attribute.t.CopyFrom(self.tensor(to_array(value), ""))
            case ArrayAttr():
                _set_list(attribute, cast(Sequence[Attribute], value.data), op)
            case _:
                raise ValueError(f"{op.name}: {attribute.name} = {value} is no attribute of ONNX")

    def _add_graph(self, attribute: "AttributeProto", region: Region) -> None:
        from onnx import AttributeProto

        attribute.type = AttributeProto.GRAPH
        graph, block = attribute.g, region.block
        graph.name = attribute.name
        for argument in block.args:
            self.names[argument] = f"v{len(self.names)}"
            graph.input.append(self.value_info(argument))
        self._add_body(block, graph)

    def _add_body(self, block: Block, graph: "GraphProto") -> None:
        for op in block.ops:
            if not isinstance(op, YieldOp):
                self.add(op, graph)
                continue
            for index, value in enumerate(op.arguments):
                name = f"{self.name(value, graph)}_yield{index}"  # an output must be made inside its graph, once
                graph.node.add(op_type="Identity", input=[self.name(value, graph)], output=[name])
                graph.output.append(self.value_info(value, name, shape=False))

    def value_info(self, value: SSAValue, name: str = "", *, shape: bool = True) -> "ValueInfoProto":
        """The declaration of a value, with its shape where that is known and asked for."""
        from onnx import ValueInfoProto

        if not isinstance(value.type, TensorType | UnrankedTensorType):
            raise ValueError(f"{value} is no tensor")
        info = ValueInfoProto(name=name or self.names[value])
        tensor = info.type.tensor_type
        tensor.elem_type = CODES[_dtype(value.type.element_type)]
        if not shape or not isinstance(value.type, TensorType):
            return info
        tensor.shape.SetInParent()
        for size in value.type.get_shape():
            dimension = tensor.shape.dim.add()
            if size >= 0:
                dimension.dim_value = size
        return info

    def tensor(self, array: Array, name: str) -> "TensorProto":
        """A constant, in an element type that onnxruntime's CPU has."""
        from onnx import numpy_helper

        return numpy_helper.from_array(np.ascontiguousarray(as_float32(array)).reshape(array.shape), name)


def _set_list(attribute: "AttributeProto", items: Sequence[Attribute], op: OnnxOp) -> None:
    """A list; if it is empty, its type is that of the op's definition."""
    from onnx import AttributeProto

    integers = [item.value.data for item in items if isinstance(item, IntegerAttr)]
    floats = [item.value.data for item in items if isinstance(item, FloatAttr)]
    strings = [unescape_bytes(item.data) for item in items if isinstance(item, StringAttr)]
    declared = type(op).get_irdl_definition().properties.get(attribute.name)
    constraint = declared.constr if declared is not None else None
    if floats or (not items and constraint is FLOATS):
        attribute.type = AttributeProto.FLOATS
    elif strings or (not items and constraint is STRINGS):
        attribute.type = AttributeProto.STRINGS
    else:
        attribute.type = AttributeProto.INTS
    if len(integers) + len(floats) + len(strings) != len(items) or len(items) not in map(
        len, (integers, floats, strings)
    ):
        raise ValueError(f"{op.name}: {attribute.name} is a list of mixed values")
    attribute.ints.extend(integers)
    attribute.floats.extend(floats)
    attribute.strings.extend(strings)


def _dtype(element: Attribute) -> "np.dtype[Any]":
    """The numpy type in which onnxruntime gets elements of this type."""
    return numpy_dtype(Float32Type() if isinstance(element, BFloat16Type) else element)


def as_float32(array: Array) -> Array:
    """bfloat16 as float32, other types as they are."""
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array


@cache
def runtime_operators() -> frozenset[tuple[str, str]]:
    """(domain, operator) of everything that onnxruntime knows."""
    from onnxruntime.capi import _pybind_state as state

    schemas: Any = state.get_all_operator_schema()  # pyright: ignore
    return frozenset((schema.domain, schema.name) for schema in schemas)


def session(model: "ModelProto | bytes", threads: int = 1) -> "InferenceSession":
    """An onnxruntime session on the CPU with graph optimisations off, as all of h3c's numbers are defined by it."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    data = model if isinstance(model, bytes) else model.SerializeToString()
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # onnxruntime has no common base for its errors
        raise InputError(f"onnxruntime cannot run the model: {one_line(error)}") from error


class Program:
    """Onnx ops ready to run many times: `Program(ops, inputs, outputs, weights, opset)([x])`.

    Arrays go in and come out in the numpy types of the IR; large weights are not copied. With `free_batch` the leading
    dimension of every input is open, so that many samples may go in at once.
    """

    def __init__(
        self,
        ops: Sequence[Operation],
        inputs: Sequence[SSAValue],
        outputs: Sequence[SSAValue],
        weights: WeightStore,
        opset: Mapping[str, int],
        *,
        free_batch: bool = False,
        threads: int = 1,
    ):
        large = _large_weights(ops, set(inputs))
        model = build_model(ops, [*inputs, *(op.result for op in large)], outputs, weights, opset)
        if free_batch:
            for info in list(model.graph.input)[: len(inputs)]:
                if info.type.tensor_type.shape.dim:
                    info.type.tensor_type.shape.dim[0].Clear()
        self._names = [info.name for info in model.graph.input]
        self._weights = [as_float32(weights.array(op)) for op in large]
        self._types = [cast("TensorType | UnrankedTensorType", value.type).element_type for value in outputs]
        self._session = session(model, threads)

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The outputs for these inputs; what onnxruntime finds wrong is one line."""
        values = [as_float32(np.asarray(array)) for array in arrays]
        feed = dict(zip(self._names, [*values, *self._weights], strict=True))
        try:
            results = cast("list[Array]", self._session.run(None, feed))
        except Exception as error:  # onnxruntime has no common base for its errors
            raise InputError(f"onnxruntime: {one_line(error)}") from error
        return [
            np.asarray(result).astype(numpy_dtype(type), copy=False)
            for result, type in zip(results, self._types, strict=True)
        ]


def _large_weights(ops: Sequence[Operation], inputs: set[SSAValue]) -> list[WeightOp]:
    """The weights above _INLINE_BYTES that the ops read, in order of first use."""
    found: dict[WeightOp, None] = {}
    for op in (inner for each in ops for inner in each.walk()):
        for value in (*op.operands, *op.results):
            if value in inputs or not isinstance(value, OpResult) or not isinstance(value.op, WeightOp):
                continue
            type = cast(TensorType, value.type)
            if np.prod(type.get_shape()) * numpy_dtype(type.element_type).itemsize > _INLINE_BYTES:
                found[value.op] = None
    return list(found)
