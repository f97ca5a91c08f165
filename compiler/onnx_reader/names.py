"""Names of ONNX nodes and values: in errors, as locations, and as hints for SSA names."""

import re

from onnx import NodeProto
from xdsl.dialects.builtin import LocationAttr, NameLoc, NoneAttr, StringAttr
from xdsl.ir import SSAValue

from ...dialects.text import escape

_FORBIDDEN = re.compile(r"[^A-Za-z0-9_$.-]")
_TRAILING_NUMBER = re.compile(r"_(\d+)$")


def node_name(node: NodeProto, index: int) -> str:
    """The name of a node; of an unnamed one its operator and its place in the graph."""
    return node.name or f"{node.op_type}.{index}"


def title(node: NodeProto, index: int) -> str:
    """A node in an error message."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"node {node_name(node, index)!r} ({escape(operator)})"


def location(node: NodeProto, index: int) -> LocationAttr:
    """The location of the op that a node becomes."""
    return NameLoc(StringAttr(escape(node_name(node, index))), NoneAttr())


def hint(name: str) -> str | None:
    """A legal SSA name like `name`.

    xDSL drops a trailing `_12` and renumbers, so that the dump would show another value's name: it becomes `.12`.
    """
    legal = _TRAILING_NUMBER.sub(r".\1", _FORBIDDEN.sub("_", name))
    if legal[:1].isdigit() or legal[:1] in ("-", "."):
        legal = f"v{legal}"
    return legal or None


def set_hint(value: SSAValue, name: str) -> None:
    """Name a value for reading."""
    value.name_hint = hint(name)
