"""Attention (opset 23): expanded into ONNX's own definition of it, whose two products are matrix work."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from xdsl.dialects.builtin import NoneType, TensorType
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import element_type, tensor_of
from ...dialects.onnx import NoValueOp, attr_int, make_op, operand
from ...dialects.values import producer, shape_of
from ...runtime_sim.errors import InputError, where
from ...runtime_sim.onnx_graph import build_model
from ...runtime_sim.onnx_tensors import DTYPES, tensor_array
from ...runtime_sim.weights import STORE
from .constants import make_constant
from .family import Family, float_operands
from .site import Site

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Definition = tuple[Sequence["NodeProto"], Mapping[str, TensorType]]
"""Nodes in order, and the types of all their results."""

_VIEWS = ("Identity", "Cast", "CastLike", "Expand", "Reshape")
"""Operators of the definition that often change nothing, once shapes are known."""


class AttentionExpander:
    """Expands Attention ops; equal ones are looked up once."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Definition] = {}

    def expand(self, site: Site) -> None:
        """Put the definition in the place of the op."""
        op = site.op
        given = [value for value in op.operands if not isinstance(value.type, NoneType)]
        wanted = [value for value in op.results if not isinstance(value.type, NoneType)]
        types = (*(value.type for value in op.operands), None, *(value.type for value in op.results))
        key = (site.opset, tuple(op.properties.items()), *types)
        if key not in self._known:
            model = build_model([op], given, wanted, STORE, {"": site.opset})
            self._known[key] = _definition(model, op)
        nodes, node_types = self._known[key]
        values = {f"in{i}": value for i, value in enumerate(given)}
        for node in nodes:
            _add_node(site, node, values, node_types)
        made = iter(range(len(wanted)))
        absent = [value for value in op.results if isinstance(value.type, NoneType)]
        none = site.add(NoValueOp()).result if absent else None
        results = [none if value in absent else values[f"out{next(made)}"] for value in op.results]
        site.replace(*(value for value in results if value is not None))


def _definition(model: "ModelProto", op: Operation) -> Definition:
    """The inlined body of a model of one op. onnxruntime gives the types: a session in which all values are outputs."""
    import onnxruntime as ort
    from onnx import ValueInfoProto, inliner

    name = model.graph.node[0].op_type
    model.graph.value_info.add(name="").type.tensor_type.elem_type = 1  # the inliner asks for the type of absent inputs
    inlined = inliner.inline_selected_functions(model, [("", name)], inline_schema_functions=True)
    names = [output for node in inlined.graph.node for output in node.output if output]
    del inlined.graph.value_info[:], inlined.graph.output[:]
    inlined.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    outputs = ort.InferenceSession(
        inlined.SerializeToString(), options, providers=["CPUExecutionProvider"]
    ).get_outputs()
    types: dict[str, TensorType] = {}
    for output in outputs:
        if not all(isinstance(size, int) for size in output.shape):
            raise InputError(f"{where(op)}: the shape of {output.name} in its definition is not known: {output.shape}")
        types[output.name] = tensor_of(tuple(output.shape), _element(output.type))
    return list(inlined.graph.node), types


_ELEMENTS = {"float": 1, "float16": 10, "double": 11, "bool": 9, "int64": 7, "int32": 6}


def _element(type: str) -> Any:
    """The element type that onnxruntime calls `tensor(float)`."""
    return element_type(DTYPES[_ELEMENTS[type.removeprefix("tensor(").removesuffix(")")]])


def _add_node(site: Site, node: "NodeProto", values: dict[str, SSAValue], types: Mapping[str, TensorType]) -> None:
    """One node of the definition as an op, unless it changes nothing."""
    from onnx import helper

    name = node.output[0]
    if node.op_type == "Constant":
        array = tensor_array(helper.get_node_attr_value(node, "value"), None, name)
        assert array is not None
        values[name] = make_constant(site, array, name)
        return
    inputs = [values[input] if input else site.add(NoValueOp()).result for input in node.input]
    if node.op_type in _VIEWS and (same := _unchanged(inputs[0], types[name])) is not None:
        values[name] = same
        return
    attributes = {attribute.name: _plain(helper.get_attribute_value(attribute)) for attribute in node.attribute}
    outputs = [types[output] if output else NoneType() for output in node.output]
    op = site.add(make_op(node.op_type, inputs, outputs, attributes))
    for output, result in zip(node.output, op.results, strict=True):
        result.name_hint = output.split("__")[0] or None
        values[output] = result


def _unchanged(value: SSAValue, type: TensorType) -> SSAValue | None:
    """A value that a view of `value` with this type equals: itself, or what an Unsqueeze made it from."""
    if value.type == type:
        return value
    op = producer(value)
    if op is not None and op.name == "onnx.Unsqueeze" and op.operands[0].type == type:
        return op.operands[0]
    return None


def _plain(value: Any) -> Any:
    """An attribute as `make_op` takes it."""
    return value.decode() if isinstance(value, bytes) else value


def attention_macs(op: Operation) -> int:
    """Those of Q K^T and of its product with V, for all queries and keys."""
    q, k, v = (shape_of(op.operands[i]) for i in range(3))
    past = operand(op, 4)
    if len(q) == 4:
        batch, heads, queries, depth = q
        keys, v_depth = k[2], v[3]
    else:
        batch, queries, width = q
        heads = attr_int(op, "q_num_heads", 1)
        depth, keys, v_depth = width // heads, k[1], v[2] // attr_int(op, "kv_num_heads", 1)
    keys += 0 if past is None else shape_of(past)[2]
    return prod((batch, heads, queries, keys)) * (depth + v_depth)


def _lower(site: Site) -> None:
    """The pass expands all Attention ops before it lowers any product."""
    AttentionExpander().expand(site)


FAMILIES = {"Attention": Family(_lower, attention_macs, (), takes=float_operands)}
