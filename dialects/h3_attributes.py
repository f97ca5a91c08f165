"""The attributes of h3: schedules, activations, windows of convolutions, and parts (where outputs run)."""

from collections.abc import Sequence

from xdsl.dialects.builtin import ArrayAttr, IntAttr, IntegerAttr, StringAttr, SymbolRefAttr
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, ParametrizedAttribute, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .formats import int_list, parse_ints, parse_symbol


class Schedule(StrEnum):
    """How operators follow each other in time."""

    SEQUENTIAL = "sequential"
    PIPELINED = "pipelined"


class Activation(StrEnum):
    """The activations that need no parameter, so that an array's periphery can apply them."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    GELU = "gelu"


@irdl_attr_definition
class ScheduleAttr(EnumAttribute[Schedule], SpacedOpaqueSyntaxAttribute):
    """`#h3<schedule sequential>`"""

    name = "h3.schedule"


@irdl_attr_definition
class ActivationAttr(EnumAttribute[Activation], SpacedOpaqueSyntaxAttribute):
    """`#h3<activation relu>`"""

    name = "h3.activation"


@irdl_attr_definition
class WindowAttr(ParametrizedAttribute):
    """The window of a convolution: `#h3.window<strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1>`.

    `pads` are ONNX's: all begins, then all ends.
    """

    name = "h3.window"

    strides: ArrayAttr[IntAttr] = param_def()
    pads: ArrayAttr[IntAttr] = param_def()
    dilations: ArrayAttr[IntAttr] = param_def()
    groups: IntAttr = param_def()

    @staticmethod
    def of(strides: Sequence[int], pads: Sequence[int], dilations: Sequence[int], groups: int) -> "WindowAttr":
        return WindowAttr(int_list(strides), int_list(pads), int_list(dilations), IntAttr(groups))

    def lists(self) -> tuple[list[int], list[int], list[int], int]:
        """(strides, pads, dilations, groups) as plain numbers."""
        strides, pads, dilations = ([n.data for n in field.data] for field in (self.strides, self.pads, self.dilations))
        return strides, pads, dilations, self.groups.data

    def positions(self, sizes: Sequence[int], kernel: Sequence[int]) -> list[int]:
        """How many positions the window has along each dimension of an input of these sizes."""
        strides, pads, dilations, _ = self.lists()
        rank = len(strides)
        return [
            (sizes[i] + pads[i] + pads[rank + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
            for i in range(rank)
        ]

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            lists: list[Attribute] = []
            for keyword in ("strides", "pads", "dilations"):
                parser.parse_keyword(keyword)
                lists.append(int_list(parse_ints(parser)))
                parser.parse_punctuation(",")
            parser.parse_keyword("groups")
            return [*lists, IntAttr(parser.parse_integer())]

    def print_parameters(self, printer: Printer) -> None:
        strides, pads, dilations, groups = self.lists()
        printer.print_string(f"<strides {strides}, pads {pads}, dilations {dilations}, groups {groups}>")

    def verify(self) -> None:
        strides, pads, dilations, groups = self.lists()
        numbers = [*strides, *dilations, groups]
        if not len(strides) == len(dilations) == len(pads) / 2 or min(numbers, default=0) < 1:
            raise VerifyException(f"expected positive strides, dilations, groups, two pads a dimension, got {self}")
        if max(abs(number) for number in [*numbers, *pads]) >= 2**31:
            raise VerifyException(f"expected numbers below 2**31, got {self}")


@irdl_attr_definition
class PartAttr(ParametrizedAttribute):
    """One part of an operator: a range of its outputs, on one tier.

    `#h3.part<@chip::@sram, outputs 0 to 512, copies 2, segment 0>`; `rewritten` says that its weights are programmed
    at each execution, just before use (else once, at power-up); `precision "6-6-8"` names a mode of the tier that is
    not its first one.
    """

    name = "h3.part"

    tier: SymbolRefAttr = param_def()
    first: IntAttr = param_def()
    last: IntAttr = param_def()
    copies: IntAttr = param_def()
    segment: IntAttr = param_def()
    rewritten: IntegerAttr = param_def()
    precision: StringAttr = param_def()

    @staticmethod
    def of(
        tier: str,
        first: int,
        last: int,
        *,
        copies: int = 1,
        segment: int = 0,
        rewritten: bool = False,
        precision: str = "",
    ) -> "PartAttr":
        """Outputs `first` to `last` (exclusive) on `tier` of @chip; an empty precision is the tier's first mode."""
        return PartAttr(
            SymbolRefAttr("chip", [tier]),
            IntAttr(first),
            IntAttr(last),
            IntAttr(copies),
            IntAttr(segment),
            IntegerAttr.from_bool(rewritten),
            StringAttr(precision),
        )

    @property
    def tier_name(self) -> str:
        return self.tier.nested_references.data[-1].data

    @property
    def outputs(self) -> int:
        return self.last.data - self.first.data

    @property
    def is_rewritten(self) -> bool:
        return bool(self.rewritten.value.data)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            tier = parse_symbol(parser)
            numbers: list[int] = []
            for keyword in ("outputs", "copies", "segment"):
                parser.parse_punctuation(",")
                parser.parse_keyword(keyword)
                numbers.append(parser.parse_integer())
                if keyword == "outputs":
                    parser.parse_keyword("to")
                    numbers.append(parser.parse_integer())
            rewritten, precision = False, ""
            while parser.parse_optional_punctuation(","):
                if parser.parse_keyword_in(("rewritten", "precision")) == "rewritten":
                    rewritten = True
                else:
                    precision = parser.parse_str_literal()
        return [tier, *map(IntAttr, numbers), IntegerAttr.from_bool(rewritten), StringAttr(precision)]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.tier)
            first, last, copies, segment = (n.data for n in (self.first, self.last, self.copies, self.segment))
            printer.print_string(f", outputs {first} to {last}, copies {copies}, segment {segment}")
            if self.is_rewritten:
                printer.print_string(", rewritten")
            if self.precision.data:
                printer.print_string(", precision ")
                printer.print_string_literal(self.precision.data)

    def verify(self) -> None:
        if len(self.tier.nested_references.data) != 1:
            raise VerifyException(f"a part names its tier as @chip::@tier, got {self.tier}")
        if not 0 <= self.first.data < self.last.data:
            raise VerifyException(f"a part covers at least one output, got {self.first.data} to {self.last.data}")
        if self.copies.data < 1 or self.segment.data < 0:
            raise VerifyException(
                f"a part has copies >= 1 and segment >= 0, got {self.copies.data}, {self.segment.data}"
            )
