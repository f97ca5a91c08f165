"""What holds the ops of a plan together: segments and yields."""

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, TensorType
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    opt_prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsTerminator, MemoryReadEffect, MemoryWriteEffect, Pure
from xdsl.utils.exceptions import VerifyException

from .formats import int_attr, set_properties
from .tile_movement import ArraysAttr


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a segment or a digital region with the values that leave it."""

    name = "tile.yield"

    values = var_operand_def()

    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, values: Sequence[SSAValue] = ()):
        super().__init__(operands=[values])

    @classmethod
    def parse(cls, parser: Parser) -> "YieldOp":
        unresolved = parser.parse_optional_undelimited_comma_separated_list(
            parser.parse_optional_unresolved_operand, parser.parse_unresolved_operand
        )
        if not unresolved:
            return cls()
        parser.parse_punctuation(":")
        types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls(parser.resolve_operands(unresolved, types, parser.pos))

    def print(self, printer: Printer) -> None:
        if self.values:
            printer.print_string(" ")
            printer.print_list(self.values, printer.print_operand)
            printer.print_string(" : ")
            printer.print_list(self.values, lambda value: printer.print_attribute(value.type))


@irdl_op_definition
class SegmentOp(IRDLOperation):
    """Work whose weights are on the chip together. `tile.segment once` is done at power-up and yields the residents.

    `memory #tile.arrays<..>`: arrays in memory mode that widen the buffer while the segment runs, in bytes and in
    bytes a nanosecond between buffer and tier.
    """

    name = "tile.segment"

    index = opt_prop_def(IntegerAttr[I64])
    memory = opt_prop_def(ArraysAttr)
    outs = var_result_def(TensorType)
    body = region_def("single_block")

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    def __init__(
        self, index: int | None, result_types: Sequence[Attribute], body: Region, memory: Attribute | None = None
    ):
        super().__init__(result_types=[result_types], regions=[body])
        set_properties(self, index=None if index is None else int_attr(index), memory=memory)

    @property
    def once(self) -> bool:
        return self.index is None

    @property
    def last(self) -> YieldOp:
        """The terminator."""
        op = self.body.block.last_op
        if not isinstance(op, YieldOp):
            raise VerifyException("a segment ends with tile.yield")
        return op

    @classmethod
    def parse(cls, parser: Parser) -> "SegmentOp":
        index = None if parser.parse_optional_keyword("once") else parser.parse_integer()
        memory = parser.parse_attribute() if parser.parse_optional_keyword("memory") else None
        types: list[Attribute] = []
        if parser.parse_optional_punctuation("->"):
            types = list(parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type))
        return cls(index, types, parser.parse_region(), memory)

    def print(self, printer: Printer) -> None:
        printer.print_string(" once" if self.index is None else f" {self.index.value.data}")
        if self.memory is not None:
            printer.print_string(" memory ")
            printer.print_attribute(self.memory)
        if self.outs:
            printer.print_string(" -> ")
            printer.print_list(self.outs, lambda value: printer.print_attribute(value.type))
        printer.print_string(" ")
        printer.print_region(self.body)

    def verify_(self) -> None:
        if [value.type for value in self.last.values] != [value.type for value in self.outs]:
            raise VerifyException("a segment's results have the types that it yields")
