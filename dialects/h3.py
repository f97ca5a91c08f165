"""The h3 dialect: the tensor program with its matrix work, where each part of it runs, and the chip."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Self, cast

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    DenseArrayBase,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    f64,
    i32,
)
from xdsl.ir import (
    Attribute,
    Dialect,
    SSAValue,
)
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from .formats import (
    int_attr,
    parse_optional_int,
    parse_optional_operand,
    parse_signature,
    print_attributes,
    print_optional_operands,
    print_signature,
    set_properties,
)
from .h3_attributes import Activation, ActivationAttr, PartAttr, ScheduleAttr, WindowAttr
from .h3_chip import ChipOp as ChipOp
from .h3_chip import MemoryOp as MemoryOp
from .h3_chip import TierOp as TierOp
from .values import check_order, shape_of


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A constant tensor whose values live outside the text, found by key and digest in the module's `h3.stores`.

    `h3.weight "fc1" digest "9f2c..."`, `h3.weight "fc1" absent` (the model came without its values), or
    `h3.weight "zeros" splat 0.0` (every element is this number).
    """

    name = "h3.weight"

    key = prop_def(StringAttr)
    digest = opt_prop_def(StringAttr)
    absent = opt_prop_def(UnitAttr)
    splat = opt_prop_def(FloatAttr[Float64Type])
    result = result_def(TensorType)

    traits = traits_def(Pure())

    def __init__(
        self, key: str, type: Attribute, *, digest: str | None = None, absent: bool = False, splat: float | None = None
    ):
        super().__init__(result_types=[type])
        set_properties(
            self,
            key=StringAttr(key),
            digest=None if digest is None else StringAttr(digest),
            absent=UnitAttr() if absent else None,
            splat=None if splat is None else FloatAttr(splat, f64),
        )

    @classmethod
    def parse(cls, parser: Parser) -> "WeightOp":
        key = parser.parse_str_literal()
        digest = parser.parse_str_literal() if parser.parse_optional_keyword("digest") else None
        absent = parser.parse_optional_keyword("absent") is not None
        splat = float(parser.parse_number()) if parser.parse_optional_keyword("splat") else None
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        op = cls(key, parser.parse_type(), digest=digest, absent=absent, splat=splat)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_string_literal(self.key.data)
        if self.digest is not None:
            printer.print_string(" digest ")
            printer.print_string_literal(self.digest.data)
        if self.absent is not None:
            printer.print_string(" absent")
        if self.splat is not None:
            printer.print_string(" splat ")
            printer.print_float(self.splat.value.data, f64)
        print_attributes(printer, self)
        printer.print_string(" : ")
        printer.print_attribute(self.result.type)

    def verify_(self) -> None:
        if (self.digest is not None) + (self.absent is not None) + (self.splat is not None) != 1:
            raise VerifyException(f"weight {self.key.data!r} needs one of digest, absent and splat")


MACS = "h3.macs"
"""Discardable attribute: the multiply-accumulates that count, of a product that also meets zeros put in between."""


class MatrixOp(IRDLOperation):
    """What h3.matmul and h3.conv share: `y = activation(product(x - zero_point, w) * scale + bias)`.

    The sum is exact, the result is cast to the element type of `y`. `scale` and `bias` have one value,
    or one an output. With `order` (int32, an output each) parts are ranges of outputs in that order: the i-th output
    that they cover is output order[i]. The result has the outputs in their own order.
    """

    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    scale = opt_operand_def(TensorType)
    order = opt_operand_def(TensorType)
    result = result_def(TensorType)

    zero_point = opt_prop_def(IntegerAttr[I64])
    activation = opt_prop_def(ActivationAttr)
    parts = opt_prop_def(ArrayAttr[PartAttr])

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    @property
    def zero(self) -> int:
        """The zero point of x."""
        return 0 if self.zero_point is None else self.zero_point.value.data

    @property
    def function(self) -> Activation:
        """The activation."""
        return Activation.NONE if self.activation is None else self.activation.data

    @property
    def placed(self) -> tuple[PartAttr, ...]:
        """The parts in order of their outputs; none before placement."""
        return () if self.parts is None else self.parts.data

    @property
    def outputs(self) -> int:
        """How many outputs (N) parts are ranges of."""
        raise AttributeError("outputs")

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        result_type: Attribute,
        *,
        bias: SSAValue | None = None,
        scale: SSAValue | None = None,
        order: SSAValue | None = None,
        zero_point: int = 0,
        activation: Activation = Activation.NONE,
        parts: Sequence[PartAttr] | None = None,
        **properties: Attribute | None,
    ):
        optional = [[] if operand is None else [operand] for operand in (bias, scale, order)]
        super().__init__(operands=[x, w, *optional], result_types=[result_type])
        set_properties(
            self,
            zero_point=int_attr(zero_point) if zero_point else None,
            activation=None if activation is Activation.NONE else ActivationAttr(activation),
            parts=None if parts is None else ArrayAttr(parts),
            **properties,
        )

    def put_in_order(self, order: SSAValue | None) -> None:
        """Let parts be ranges of outputs in this order; None: in their own."""
        there = [operand for operand in (self.bias, self.scale, order) if operand is not None]
        sizes = [1, 1, *(int(operand is not None) for operand in (self.bias, self.scale, order))]
        self.operands = [self.x, self.w, *there]
        self.properties["operandSegmentSizes"] = DenseArrayBase.from_list(i32, sizes)

    @classmethod
    def parse_shape(cls, parser: Parser) -> Mapping[str, Attribute | None]:
        """The properties that only this op has."""
        return {}

    def print_shape(self, printer: Printer) -> None:
        """The counterpart of `parse_shape`."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        x = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        w = parser.parse_unresolved_operand()
        shape = cls.parse_shape(parser)
        bias = parse_optional_operand(parser, "bias")
        scale = parse_optional_operand(parser, "scale")
        order = parse_optional_operand(parser, "order")
        zero_point = parse_optional_int(parser, "zero_point") or 0
        activation = (
            parser.parse_str_enum(Activation) if parser.parse_optional_keyword("activation") else Activation.NONE
        )
        parts = parse_parts(parser) if parser.parse_optional_keyword("on") else None
        attributes = parser.parse_optional_attr_dict()
        operands, signature = parse_signature(parser, [x, w, bias, scale, order])
        (x_value,), (w_value,), bias_value, scale_value, order_value = operands
        op = cls(
            x_value,
            w_value,
            signature.outputs.data[0],
            bias=next(iter(bias_value), None),
            scale=next(iter(scale_value), None),
            order=next(iter(order_value), None),
            zero_point=zero_point,
            activation=activation,
            parts=parts,
            **shape,
        )
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.x)
        printer.print_string(", ")
        printer.print_operand(self.w)
        self.print_shape(printer)
        print_optional_operands(printer, bias=self.bias, scale=self.scale, order=self.order)
        if self.zero:
            printer.print_string(f" zero_point {self.zero}")
        if self.function is not Activation.NONE:
            printer.print_string(f" activation {self.function}")
        if self.parts is not None:
            printer.print_string(" on ")
            printer.print_attribute(self.parts)
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_common(self) -> None:
        """What holds for both: bias and scale have a value an output, parts cover the outputs in order."""
        for name, operand in (("bias", self.bias), ("scale", self.scale)):
            if operand is not None and shape_of(operand) not in ((1,), (self.outputs,)):
                raise VerifyException(f"{name} has shape {shape_of(operand)}, expected 1 or {self.outputs} values")
        if self.order is not None:
            check_order(self.order, self.outputs)
        if self.parts is None:
            return
        next_output = 0
        for part in self.placed:
            if part.first.data != next_output:
                raise VerifyException(f"parts leave or repeat outputs: expected one from {next_output}, got {part}")
            next_output = part.last.data
        if next_output != self.outputs:
            raise VerifyException(f"parts cover {next_output} of {self.outputs} outputs")


def parse_parts(parser: Parser) -> Sequence[PartAttr]:
    """`[#h3.part<...>, ...]`"""
    parts = parser.parse_attribute()
    if not isinstance(parts, ArrayAttr) or not all(isinstance(part, PartAttr) for part in parts.data):
        parser.raise_error("expected a list of #h3.part")
    return cast(Sequence[PartAttr], parts.data)


@irdl_op_definition
class MatmulOp(MatrixOp):
    """A matrix product: x `[.., M, K]`, w `[.., K, N]` (`transposed`: `[.., N, K]`), leading dimensions as in numpy.

    `%y = h3.matmul %x, %w bias %b : (tensor<1x64xf32>, tensor<64x10xf32>, tensor<10xf32>) -> tensor<1x10xf32>`
    """

    name = "h3.matmul"

    transposed = opt_prop_def(UnitAttr)

    @property
    def outputs(self) -> int:
        return shape_of(self.w)[-2 if self.transposed is not None else -1]

    @property
    def inputs(self) -> int:
        """K."""
        return shape_of(self.w)[-1 if self.transposed is not None else -2]

    @classmethod
    def parse_shape(cls, parser: Parser) -> Mapping[str, Attribute | None]:
        return {"transposed": UnitAttr() if parser.parse_optional_keyword("transposed") else None}

    def print_shape(self, printer: Printer) -> None:
        if self.transposed is not None:
            printer.print_string(" transposed")

    def verify_(self) -> None:
        x, w, y = shape_of(self.x), shape_of(self.w), shape_of(self.result)
        if len(w) < 2 or len(x) < 1:
            raise VerifyException(f"expected x of rank >= 1 and w of rank >= 2, got shapes {x} and {w}")
        if x[-1] != self.inputs:
            raise VerifyException(f"x has {x[-1]} columns, w {self.inputs} inputs")
        if y[-1] != self.outputs or (y[-len(x) : -1] != x[:-1][-len(y) + 1 :] and len(w) == 2):
            raise VerifyException(f"result has shape {y}, expected {(*x[:-1], self.outputs)}")
        self.verify_common()


@irdl_op_definition
class ConvOp(MatrixOp):
    """A convolution of any number of spatial dimensions: x `N, C, ..`, w `O, I / groups, ..`; outputs are channels.

    `%y = h3.conv %x, %w <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1> : (..) -> tensor<1x16x8x8xf32>`
    """

    name = "h3.conv"

    window = prop_def(WindowAttr)

    @property
    def outputs(self) -> int:
        return shape_of(self.w)[0]

    @property
    def inputs(self) -> int:
        """K: the inputs of one output."""
        return prod(shape_of(self.w)[1:])

    @classmethod
    def parse_shape(cls, parser: Parser) -> Mapping[str, Attribute | None]:
        return {"window": WindowAttr.new(WindowAttr.parse_parameters(parser))}

    def print_shape(self, printer: Printer) -> None:
        printer.print_string(" ")
        self.window.print_parameters(printer)

    def verify_(self) -> None:
        x, w, y = shape_of(self.x), shape_of(self.w), shape_of(self.result)
        strides, _, _, groups = self.window.lists()
        rank = len(strides)
        if not len(x) == len(w) == len(y) == rank + 2:
            raise VerifyException(f"the window has {rank} dimensions, x, w and y have shapes {x}, {w} and {y}")
        if x[1] != w[1] * groups or w[0] % groups or y[:2] != (x[0], w[0]):
            raise VerifyException(f"channels disagree: x {x}, w {w}, y {y}, groups {groups}")
        expected = self.window.positions(x[2:], w[2:])
        if list(y[2:]) != expected:
            raise VerifyException(f"result has positions {list(y[2:])}, expected {expected}")
        self.verify_common()


H3 = Dialect(
    "h3",
    [ChipOp, TierOp, MemoryOp, WeightOp, MatmulOp, ConvOp],
    [ScheduleAttr, ActivationAttr, WindowAttr, PartAttr],
)
