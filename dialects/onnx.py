"""The onnx dialect: a lossless carrier of ONNX graphs. Ops are named as in onnx-mlir (`onnx.Gemm`).

The ops of ai.onnx are generated (onnx_ops.py); those of other domains are `onnx.Custom`.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntegerAttr, NoneType, StringAttr
from xdsl.ir import Attribute, Dialect, Operation, Region, SSAValue
from xdsl.irdl import (
    BaseAttr,
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsTerminator, Pure
from xdsl.utils.exceptions import VerifyException

from .constants import Array, RawElementsAttr, from_array, to_array, type_of
from .onnx_base import STRINGS, OnnxOp, attribute_of
from .onnx_ops import OPS, ConstantOp
from .text import unescape


@irdl_op_definition
class CustomOp(OnnxOp):
    """An operator of another domain: `onnx.Custom "com.microsoft.QGemm"(%a, %b) <attributes = {...}> : ...`.

    `graph_names` names its regions.
    """

    name = "onnx.Custom"

    domain = prop_def(BaseAttr(StringAttr))
    op_type = prop_def(BaseAttr(StringAttr))
    attrs = opt_prop_def(BaseAttr(DictionaryAttr), prop_name="attributes")
    graph_names = opt_prop_def(STRINGS)
    traits = traits_def(Pure())

    @classmethod
    def parse_head(cls, parser: Parser) -> dict[str, Attribute]:
        domain, _, op_type = parser.parse_str_literal().rpartition(".")
        return {"domain": StringAttr(domain), "op_type": StringAttr(op_type)}

    def print_head(self, printer: Printer) -> set[str]:
        printer.print_string(" ")
        printer.print_string_literal(f"{self.domain.data}.{self.op_type.data}")
        return {"domain", "op_type"}


@irdl_op_definition
class NoValueOp(IRDLOperation):
    """Stands for an optional operand that is left out: `onnx.NoValue`."""

    name = "onnx.NoValue"

    result = result_def(NoneType)
    traits = traits_def(Pure())

    def __init__(self) -> None:
        super().__init__(result_types=[NoneType()])

    @classmethod
    def parse(cls, parser: Parser) -> "NoValueOp":
        attributes = parser.parse_optional_attr_dict()
        op = cls()
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_op_attributes(self.attributes)


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends the body of an If, Loop or Scan with the graph's outputs."""

    name = "onnx.Yield"

    arguments = var_operand_def()
    traits = traits_def(IsTerminator())
    assembly_format = "($arguments^ `:` type($arguments))? attr-dict"

    def __init__(self, arguments: Sequence[SSAValue]):
        super().__init__(operands=[arguments])


Onnx = Dialect("onnx", [*OPS, CustomOp, NoValueOp, YieldOp], [RawElementsAttr])

OP_BY_NAME: Mapping[str, type[OnnxOp]] = {op.name.removeprefix("onnx."): op for op in OPS}
"""The classes of ai.onnx by operator name: `OP_BY_NAME["Gemm"]`."""


def make_op(
    name: str,
    operands: Sequence[SSAValue],
    result_types: Sequence[Attribute],
    attributes: Mapping[str, object] | None = None,
    regions: Sequence[Region] = (),
) -> OnnxOp:
    """An op of ai.onnx, its attributes given as Python values: `make_op("Concat", [a, b], [t], {"axis": 1})`."""
    properties = {key: attribute_of(value) for key, value in (attributes or {}).items()}
    return OP_BY_NAME[name].create(operands=operands, result_types=result_types, properties=properties, regions=regions)


def constant(array: Array) -> ConstantOp:
    """`array` as an onnx.Constant; for up to `constants.MAX_INLINE_ELEMENTS` elements."""
    return ConstantOp.create(result_types=[type_of(array)], properties={"value": from_array(array)})


def constant_array(op: ConstantOp) -> Array:
    """The value of an onnx.Constant; read-only."""
    if op.value is None:
        raise VerifyException("onnx.Constant has no value")
    return to_array(op.value)


def is_absent(value: SSAValue) -> bool:
    """Whether an operand or result stands for one that is left out."""
    return isinstance(value.type, NoneType)


def operand(op: Operation, index: int) -> SSAValue | None:
    """The operand at `index`; None where it is left out."""
    if index >= len(op.operands) or is_absent(op.operands[index]):
        return None
    return op.operands[index]


def attribute(op: Operation, name: str) -> Attribute | None:
    """An ONNX attribute of an op of ai.onnx or of an onnx.Custom; None if it has not got it."""
    if isinstance(op, CustomOp):
        return op.attrs.data.get(name) if op.attrs is not None else None
    return op.properties.get(name)


def _wrong(op: Operation, name: str, kind: str, found: Attribute) -> VerifyException:
    return VerifyException(f"{op.name}: attribute {name} should be {kind}, got {found}")


def attr_int(op: Operation, name: str, default: int) -> int:
    """An INT attribute, or `default` if the op has not got it."""
    found = attribute(op, name)
    if found is None:
        return default
    if not isinstance(found, IntegerAttr):
        raise _wrong(op, name, "an integer", found)
    return found.value.data


def attr_float(op: Operation, name: str, default: float) -> float:
    """A FLOAT attribute, or `default` if the op has not got it."""
    found = attribute(op, name)
    if found is None:
        return default
    if not isinstance(found, FloatAttr):
        raise _wrong(op, name, "a float", found)
    return found.value.data


def attr_ints(op: Operation, name: str, default: Sequence[int] | None = None) -> list[int] | None:
    """An INTS attribute, or `default` if the op has not got it."""
    found = attribute(op, name)
    if found is None:
        return None if default is None else list(default)
    items = cast(Sequence[Attribute], found.data) if isinstance(found, ArrayAttr) else (found,)
    numbers = [item.value.data for item in items if isinstance(item, IntegerAttr)]
    if not isinstance(found, ArrayAttr) or len(numbers) != len(items):
        raise _wrong(op, name, "a list of integers", found)
    return numbers


def attr_str(op: Operation, name: str, default: str = "") -> str:
    """A STRING attribute as text, or `default` if the op has not got it."""
    found = attribute(op, name)
    if found is None:
        return default
    if not isinstance(found, StringAttr):
        raise _wrong(op, name, "a string", found)
    return unescape(found.data)
