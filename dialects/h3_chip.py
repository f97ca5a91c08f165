"""The chip as IR: h3.chip holds its memories and tiers."""

from xdsl.dialects.builtin import (
    DictionaryAttr,
    StringAttr,
)
from xdsl.ir import (
    Region,
)
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    region_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import HasParent, IsolatedFromAbove, NoTerminator, SymbolOpInterface, SymbolTable
from xdsl.utils.exceptions import VerifyException

from .h3_attributes import Schedule, ScheduleAttr


@irdl_op_definition
class ChipOp(IRDLOperation):
    """The chip: its memories and tiers, as one symbol table."""

    name = "h3.chip"

    sym_name = prop_def(StringAttr)
    schedule = prop_def(ScheduleAttr)
    fields = prop_def(DictionaryAttr)
    body = region_def("single_block")

    traits = traits_def(NoTerminator(), IsolatedFromAbove(), SymbolTable(), SymbolOpInterface())

    def __init__(self, schedule: Schedule, fields: DictionaryAttr, body: Region, sym_name: str = "chip"):
        properties = {"sym_name": StringAttr(sym_name), "schedule": ScheduleAttr(schedule), "fields": fields}
        super().__init__(properties=properties, regions=[body])

    def verify_(self) -> None:
        if self.sym_name.data != "chip":
            raise VerifyException(f"a chip is called @chip, as places name it so; got @{self.sym_name.data}")

    @classmethod
    def parse(cls, parser: Parser) -> "ChipOp":
        name = parser.parse_symbol_name()
        schedule = parser.parse_str_enum(Schedule)
        parser.parse_keyword("fields")
        fields = _parse_fields(parser)
        return cls(schedule, fields, parser.parse_region(), name.data)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(f" {self.schedule.data} fields ")
        printer.print_attribute(self.fields)
        printer.print_string(" ")
        printer.print_region(self.body, print_empty_block=False)


def _parse_fields(parser: Parser) -> DictionaryAttr:
    fields = parser.parse_attribute()
    if not isinstance(fields, DictionaryAttr):
        parser.raise_error("expected a dictionary of fields")
    return fields


@irdl_op_definition
class TierOp(IRDLOperation):
    """A tier of the chip. What its fields mean is known to the kind's class, not to the dialect."""

    name = "h3.tier"

    sym_name = prop_def(StringAttr)
    kind = prop_def(StringAttr)
    fields = prop_def(DictionaryAttr)

    traits = traits_def(HasParent(ChipOp), SymbolOpInterface())

    def __init__(self, sym_name: str, kind: str, fields: DictionaryAttr):
        super().__init__(properties={"sym_name": StringAttr(sym_name), "kind": StringAttr(kind), "fields": fields})

    @classmethod
    def parse(cls, parser: Parser) -> "TierOp":
        name = parser.parse_symbol_name()
        parser.parse_keyword("kind")
        kind = parser.parse_str_literal()
        return cls(name.data, kind, _parse_fields(parser))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" kind ")
        printer.print_string_literal(self.kind.data)
        printer.print_string(" ")
        printer.print_attribute(self.fields)


@irdl_op_definition
class MemoryOp(IRDLOperation):
    """A memory of the chip: @buffer (on chip) or @dram (off chip)."""

    name = "h3.memory"

    sym_name = prop_def(StringAttr)
    fields = prop_def(DictionaryAttr)

    traits = traits_def(HasParent(ChipOp), SymbolOpInterface())

    def __init__(self, sym_name: str, fields: DictionaryAttr):
        super().__init__(properties={"sym_name": StringAttr(sym_name), "fields": fields})

    @classmethod
    def parse(cls, parser: Parser) -> "MemoryOp":
        name = parser.parse_symbol_name()
        return cls(name.data, _parse_fields(parser))

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        printer.print_string(" ")
        printer.print_attribute(self.fields)
