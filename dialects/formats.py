"""Pieces of text format that the ops of h3 and tile share."""

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, FunctionType, IntAttr, IntegerAttr, SymbolRefAttr, i64
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.parser import AttrParser, Parser, UnresolvedOperand
from xdsl.printer import Printer


def int_attr(value: int) -> IntegerAttr:
    """`value : i64`, the form in which h3 and tile keep every integer property."""
    return IntegerAttr(value, i64)


def int_list(values: Sequence[int]) -> ArrayAttr[IntAttr]:
    """A list of integers as an attribute's parameter."""
    return ArrayAttr([IntAttr(value) for value in values])


def parse_ints(parser: AttrParser) -> list[int]:
    """`[1, 2]`"""
    return parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)


def parse_optional_int(parser: AttrParser, keyword: str) -> int | None:
    """`keyword 3`, or None where the keyword is absent."""
    return parser.parse_integer() if parser.parse_optional_keyword(keyword) else None


def parse_optional_operand(parser: Parser, keyword: str) -> UnresolvedOperand | None:
    """`keyword %value`, or None where the keyword is absent."""
    return parser.parse_unresolved_operand() if parser.parse_optional_keyword(keyword) else None


def print_optional_operands(printer: Printer, **operands: SSAValue | None) -> None:
    """` keyword %value` for each that is there."""
    for keyword, operand in operands.items():
        if operand is not None:
            printer.print_string(f" {keyword} ")
            printer.print_operand(operand)


def parse_symbol(parser: AttrParser) -> SymbolRefAttr:
    """`@chip::@tier`"""
    attribute = parser.parse_attribute()
    if not isinstance(attribute, SymbolRefAttr):
        parser.raise_error("expected a symbol such as @chip::@sram")
    return attribute


def resolve(
    parser: Parser, operands: Sequence[UnresolvedOperand | None], signature: FunctionType
) -> list[list[SSAValue]]:
    """Each operand that is present with its type from `signature`; one list (of 0 or 1 values) an operand."""
    present = [operand for operand in operands if operand is not None]
    resolved = iter(parser.resolve_operands(present, list(signature.inputs), parser.pos))
    return [[] if operand is None else [next(resolved)] for operand in operands]


def parse_signature(
    parser: Parser, operands: Sequence[UnresolvedOperand | None]
) -> tuple[list[list[SSAValue]], FunctionType]:
    """`: (operand types) -> result types`"""
    parser.parse_punctuation(":")
    signature = parser.parse_function_type()
    return resolve(parser, operands, signature), signature


def print_signature(printer: Printer, op: Operation) -> None:
    """` : (operand types) -> result types`"""
    printer.print_string(" : ")
    printer.print_function_type([operand.type for operand in op.operands], [result.type for result in op.results])


def print_attributes(printer: Printer, op: Operation) -> None:
    """The discardable attributes, where there are any."""
    printer.print_op_attributes(op.attributes)


def set_properties(op: Operation, **properties: Attribute | None) -> None:
    """Set those properties that are not None."""
    op.properties.update({name: value for name, value in properties.items() if value is not None})
