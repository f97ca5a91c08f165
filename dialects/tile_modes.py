"""Arrays that compute or remember: values in memory-mode arrays, switches, and products that pass arrays in rounds."""

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, ArrayAttr, IntAttr, IntegerAttr, StringAttr, SymbolRefAttr, TensorType
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.irdl import irdl_attr_definition, irdl_op_definition, operand_def, param_def, prop_def
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from .formats import int_attr, int_list, parse_symbol, print_attributes, set_properties
from .tile_movement import ArraysAttr, StepOp, parse_step

MODES = ("memory", "compute")
ROUND_COUNTS = ("count", "turns", "passes", "inputs", "sums", "off_chip", "spilled", "ahead")


def parse_spans(parser: AttrParser) -> list[int]:
    """`, 0 to 8, 12 to 14`: the bounds one after another."""
    flat: list[int] = []
    while parser.parse_optional_punctuation(","):
        flat.append(parser.parse_integer())
        parser.parse_keyword("to")
        flat.append(parser.parse_integer())
    return flat


@irdl_attr_definition
class MemoryAttr(ParametrizedAttribute):
    """Arrays in memory mode as a place: `#tile.memory<@chip::@edram, 60 to 64>` holds a value, once."""

    name = "tile.memory"

    tier: SymbolRefAttr = param_def()
    ranges: ArrayAttr[IntAttr] = param_def()

    @staticmethod
    def of(tier: str, ranges: Sequence[tuple[int, int]]) -> "MemoryAttr":
        return MemoryAttr(SymbolRefAttr("chip", [tier]), int_list([index for bounds in ranges for index in bounds]))

    @property
    def arrays(self) -> ArraysAttr:
        """The same arrays as a place of weights."""
        return ArraysAttr(self.tier, self.ranges, IntAttr(1))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            return [parse_symbol(parser), int_list(parse_spans(parser))]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.tier)
            for first, last in self.arrays.spans:
                printer.print_string(f", {first} to {last}")

    def verify(self) -> None:
        self.arrays.verify()


@irdl_attr_definition
class RoundsAttr(ParametrizedAttribute):
    """How a product whose weight is larger than the chip passes its arrays: `count` equal rounds, one tile in each.

    `#tile.rounds<count 76, turns 2, passes 1, inputs 3, sums 0, off_chip 1, spilled 0, ahead 0, at #tile.arrays<..>>`.
    The arrays are cut into `turns` equal sets; round r uses set r mod `turns`, so that one is written while others
    compute. In `passes` passes, each over an equal share of the vectors, all of the weight is written. Inputs pass the
    buffer `inputs` times in all (blocks of outputs one after another), partial sums go out and come back `sums` times
    (blocks of inputs one after another). `off_chip` says how often inputs are read from off chip, `spilled` how many of
    the passages of partial sums go off chip. Of the first set, `ahead` arrays were written before, by `tile.ahead`.
    """

    name = "tile.rounds"

    counts: ArrayAttr[IntAttr] = param_def()
    at: ArraysAttr = param_def()

    @staticmethod
    def of(at: ArraysAttr, **counts: int) -> "RoundsAttr":
        return RoundsAttr(int_list([counts[name] for name in ROUND_COUNTS]), at)

    def numbers(self) -> dict[str, int]:
        """All counts by name."""
        return {name: self.number(name) for name in ROUND_COUNTS}

    def number(self, name: str) -> int:
        """The count called `name`."""
        return self.counts.data[ROUND_COUNTS.index(name)].data

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        counts: list[int] = []
        with parser.in_angle_brackets():
            for name in ROUND_COUNTS:
                parser.parse_keyword(name)
                counts.append(parser.parse_integer())
                parser.parse_punctuation(",")
            parser.parse_keyword("at")
            return [int_list(counts), parser.parse_attribute()]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            for name in ROUND_COUNTS:
                printer.print_string(f"{name} {self.number(name)}, ")
            printer.print_string("at ")
            printer.print_attribute(self.at)

    def verify(self) -> None:
        least = dict(zip(ROUND_COUNTS, (1, 1, 1, 1, 0, 1, 0, 0), strict=True))
        if len(self.counts.data) != len(ROUND_COUNTS) or any(self.number(n) < low for n, low in least.items()):
            raise VerifyException(f"rounds have counts {least} at least, got {self.counts}")
        turns = self.number("turns")
        if not self.at.size or self.at.size % (turns * self.at.copies.data):
            raise VerifyException(f"expected {turns} equal sets of arrays, each with its copies, got {self.at}")
        if self.number("ahead") > self.at.size // turns:
            ahead = self.number("ahead")
            raise VerifyException(f"expected at most {self.at.size // turns} arrays ahead, those of a set, got {ahead}")


@irdl_op_definition
class AheadOp(StepOp):
    """Write the first arrays of a product in rounds, before its segment: a share of what one pass over `w` writes.

    `tile.ahead %w share 24 of 96 to #tile.arrays<@chip::@edram, 0 to 24> step 3 : tensor<320x1280xf32>`
    """

    name = "tile.ahead"

    w = operand_def(TensorType)
    share = prop_def(IntegerAttr[I64])
    of = prop_def(IntegerAttr[I64])
    arrays = prop_def(ArraysAttr)

    def __init__(self, w: SSAValue, share: int, of: int, arrays: ArraysAttr, *, step: int):
        super().__init__(operands=[w])
        set_properties(self, share=int_attr(share), of=int_attr(of), arrays=arrays, step=int_attr(step))

    @classmethod
    def parse(cls, parser: Parser) -> "AheadOp":
        w = parser.parse_unresolved_operand()
        parser.parse_keyword("share")
        share = parser.parse_integer()
        parser.parse_keyword("of")
        of = parser.parse_integer()
        parser.parse_keyword("to")
        arrays = parser.parse_attribute()
        if not isinstance(arrays, ArraysAttr):
            parser.raise_error("expected #tile.arrays<..>")
        step = parse_step(parser)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        op = cls(parser.resolve_operand(w, parser.parse_type()), share, of, arrays, step=step)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.w)
        printer.print_string(f" share {self.share.value.data} of {self.of.value.data} to ")
        printer.print_attribute(self.arrays)
        printer.print_string(f" step {self.at}")
        print_attributes(printer, self)
        printer.print_string(" : ")
        printer.print_attribute(self.w.type)

    def verify_(self) -> None:
        if not 0 < self.share.value.data <= self.of.value.data:
            raise VerifyException(f"a share is above 0 and at most all, got {self.share} of {self.of}")


@irdl_op_definition
class SwitchOp(StepOp):
    """Arrays change their mode, and lose what they held: `tile.switch #tile.arrays<..> to memory step 3`."""

    name = "tile.switch"

    arrays = prop_def(ArraysAttr)
    mode = prop_def(StringAttr)

    def __init__(self, arrays: ArraysAttr, mode: str, *, step: int):
        super().__init__()
        set_properties(self, arrays=arrays, mode=StringAttr(mode), step=int_attr(step))

    @property
    def to_memory(self) -> bool:
        return self.mode.data == "memory"

    @classmethod
    def parse(cls, parser: Parser) -> "SwitchOp":
        arrays = parser.parse_attribute()
        if not isinstance(arrays, ArraysAttr):
            parser.raise_error("expected #tile.arrays<..>")
        parser.parse_keyword("to")
        mode = parser.parse_identifier()
        step = parse_step(parser)
        attributes = parser.parse_optional_attr_dict()
        op = cls(arrays, mode, step=step)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.arrays)
        printer.print_string(f" to {self.mode.data} step {self.at}")
        print_attributes(printer, self)

    def verify_(self) -> None:
        if self.mode.data not in MODES:
            raise VerifyException(f"arrays switch to memory or compute, got {self.mode.data!r}")
