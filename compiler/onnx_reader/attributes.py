"""Attributes of ONNX nodes as properties of ops, without loss."""

from pathlib import Path

from onnx import AttributeProto, NodeProto
from xdsl.dialects.builtin import ArrayAttr, FloatAttr, IntegerAttr, StringAttr, f32
from xdsl.ir import Attribute

from ...dialects.constants import from_array
from ...dialects.onnx_base import si64
from ...dialects.text import escape
from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import tensor_array
from .names import title


def to_property(path: Path, node: NodeProto, index: int, attribute: AttributeProto) -> Attribute:
    """An attribute that is not a graph."""
    kind = attribute.type
    if kind == AttributeProto.INT:
        return IntegerAttr(attribute.i, si64)
    if kind == AttributeProto.FLOAT:
        return FloatAttr(attribute.f, f32)
    if kind == AttributeProto.STRING:
        return StringAttr(escape(attribute.s))
    if kind == AttributeProto.INTS:
        return ArrayAttr([IntegerAttr(value, si64) for value in attribute.ints])
    if kind == AttributeProto.FLOATS:
        return ArrayAttr([FloatAttr(value, f32) for value in attribute.floats])
    if kind == AttributeProto.STRINGS:
        return ArrayAttr([StringAttr(escape(value)) for value in attribute.strings])
    what = f"{path}: {title(node, index)}: attribute {attribute.name!r}"
    if kind == AttributeProto.TENSOR:
        array = tensor_array(attribute.t, None, what)
        assert array is not None  # only external data may be absent
        return from_array(array)
    kinds = AttributeProto.AttributeType
    name = kinds.Name(kind) if kind in kinds.values() else f"number {kind}"
    raise InputError(f"{what} is of kind {name}, which h3c cannot hold")
