"""What all ops of the onnx dialect share: their shape, the constraints of their attributes, their text."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self, cast

from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    Float32Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    Signedness,
    StringAttr,
    f32,
)
from xdsl.ir import Attribute, Operation
from xdsl.irdl import (
    AnyOf,
    BaseAttr,
    EqAttrConstraint,
    IRDLOperation,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import EffectInstance, MemoryEffect, MemoryEffectKind

from .constants import RawElementsAttr

si64 = IntegerType(64, Signedness.SIGNED)

# The kinds of ONNX attributes, as constraints of properties.
INT = IntegerAttr.constr(type=EqAttrConstraint(si64))
FLOAT = FloatAttr.constr(EqAttrConstraint(f32))
STRING = BaseAttr(StringAttr)
INTS = ArrayAttr.constr(INT)
FLOATS = ArrayAttr.constr(FLOAT)
STRINGS = ArrayAttr.constr(STRING)
TENSOR = AnyOf((BaseAttr(DenseIntOrFPElementsAttr), BaseAttr(RawElementsAttr)))
INT_OR_FLOAT = AnyOf((INT, FLOAT))
INT_OR_STRING = AnyOf((INT, STRING))


class RandomUnlessInference(MemoryEffect):
    """Dropout: it draws random numbers only if its third input asks for training."""

    @classmethod
    def get_effects(cls, op: Operation) -> set[EffectInstance] | None:
        training = len(op.operands) > 2 and getattr(op.operands[2].owner, "name", "") != "onnx.NoValue"
        return {EffectInstance(MemoryEffectKind.WRITE)} if training else set()


class OnnxOp(IRDLOperation):
    """An operator of ONNX: operands, results, and a region for each graph attribute, in the order of `GRAPHS`.

    An optional operand that is left out before others is an onnx.NoValue, such a result has type `none`.
    """

    GRAPHS: ClassVar[tuple[str, ...]] = ()

    ins = var_operand_def()
    outs = var_result_def()
    bodies = var_region_def()

    @classmethod
    def parse_head(cls, parser: Parser) -> dict[str, Attribute]:
        """The properties that stand before the operands."""
        return {}

    def print_head(self, printer: Printer) -> set[str]:
        """Print those properties, and name them."""
        return set()

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        properties = cls.parse_head(parser)
        operands = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_unresolved_operand)
        properties.update(_parse_properties(parser))
        regions = parser.parse_region_list()
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        position = parser.pos
        signature = parser.parse_function_type()
        return cls.create(
            operands=parser.resolve_operands(operands, signature.inputs.data, position),
            result_types=signature.outputs.data,
            properties=properties,
            attributes=attributes,
            regions=regions,
        )

    def print(self, printer: Printer) -> None:
        done = self.print_head(printer)
        printer.print_operands(self.operands)
        _print_properties(printer, {name: value for name, value in self.properties.items() if name not in done})
        printer.print_regions(self.regions)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_function_type(self.operand_types, self.result_types)


def _parse_properties(parser: AttrParser) -> dict[str, Attribute]:
    """`<axis = 1, alpha = 0.5, mode = "linear", pads = [0, 1], value = dense<...> : ...>`"""

    def parse_property() -> tuple[str, Attribute]:
        name = parser.parse_identifier_or_str_literal()
        parser.parse_punctuation("=")
        return name, parse_value(parser)

    if not parser.parse_optional_punctuation("<"):
        return {}
    properties = parser.parse_comma_separated_list(parser.Delimiter.NONE, parse_property)
    parser.parse_punctuation(">")
    return dict(properties)


def _print_properties(printer: Printer, properties: Mapping[str, Attribute]) -> None:
    def print_property(item: tuple[str, Attribute]) -> None:
        printer.print_identifier_or_string_literal(item[0])
        printer.print_string(" = ")
        print_value(printer, item[1])

    if properties:
        printer.print_string(" ")
        with printer.in_angle_brackets():
            printer.print_list(sorted(properties.items()), print_property)


def parse_value(parser: AttrParser) -> Attribute:
    """An attribute of ONNX; `1` is an INT, `1.0` a FLOAT, and other types are written out."""
    if parser.parse_optional_punctuation("["):
        if parser.parse_optional_punctuation("]"):
            return ArrayAttr([])
        items = parser.parse_comma_separated_list(parser.Delimiter.NONE, lambda: parse_value(parser))
        parser.parse_punctuation("]")
        return ArrayAttr(items)
    number = parser.parse_optional_number()
    if number is None:
        return parser.parse_attribute()
    if not parser.parse_optional_punctuation(":"):
        return FloatAttr(number, f32) if isinstance(number, float) else IntegerAttr(number, si64)
    type = parser.parse_type()
    if isinstance(type, AnyFloat):
        bits = isinstance(number, int)
        return FloatAttr(type.unpack(number.to_bytes(type.compile_time_size, "little"), 1)[0] if bits else number, type)
    if not isinstance(type, IntegerType) or not isinstance(number, int):
        parser.raise_error(f"{number} is no value of type {type}")
    return IntegerAttr(number, type)


def print_value(printer: Printer, value: Attribute) -> None:
    """The counterpart of `parse_value`."""
    if isinstance(value, ArrayAttr):
        items = cast(Sequence[Attribute], value.data)
        with printer.in_square_brackets():
            printer.print_list(items, lambda item: print_value(printer, item))
    elif isinstance(value, IntegerAttr) and value.type == si64:
        printer.print_int(value.value.data)
    elif isinstance(value, FloatAttr) and isinstance(value.type, Float32Type) and _is_decimal(value.value.data):
        printer.print_float(value.value.data, value.type)
    else:
        printer.print_attribute(value)


def _is_decimal(value: float) -> bool:
    """Whether a float32 is printed with a point, not as its bits."""
    short = f32.unpack(f32.pack([float(f"{value:.5e}")]), 1)[0] if abs(value) < 3e38 else None
    return short == value or (abs(value) < float("inf") and "." in f"{value:.9g}")


def attribute_of(value: object) -> Attribute:
    """A Python value as the attribute of an ONNX op: int, float, str (must be ASCII), or a list of one of them."""
    if isinstance(value, Attribute):
        return value
    if isinstance(value, int):
        return IntegerAttr(value, si64)
    if isinstance(value, float):
        return FloatAttr(value, f32)
    if isinstance(value, str):
        return StringAttr(value)
    if isinstance(value, list | tuple):
        return ArrayAttr([attribute_of(item) for item in cast(Sequence[object], value)])
    raise TypeError(f"no attribute of an ONNX op for {value!r}")


def dictionary_of(attributes: Mapping[str, Attribute]) -> DictionaryAttr:
    """A dictionary with sorted keys, as mlir-opt writes them."""
    return DictionaryAttr(dict(sorted(attributes.items())))
