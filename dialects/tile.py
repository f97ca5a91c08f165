"""The tile dialect: meta-operators of a placed program, in tensor SSA form with explicit movement.

A value's place is the encoding of its tensor type (dialects/values.py). Each timed op has a `step`. On a sequential
chip ops of one step run side by side, and a step begins when the one before it has ended; on a pipelined one all ops of
a segment run together, and the step says who goes first. All ops write memory in the eyes of generic passes, so
that none removes, merges or reorders them: a plan is a schedule.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, IntegerAttr, StringAttr, SymbolRefAttr, TensorType, UnitAttr
from xdsl.ir import Attribute, Block, Dialect, Region, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import IsolatedFromAbove
from xdsl.utils.exceptions import VerifyException

from .formats import (
    int_attr,
    parse_optional_int,
    parse_optional_operand,
    parse_signature,
    parse_symbol,
    print_attributes,
    print_optional_operands,
    print_signature,
    set_properties,
)
from .h3_attributes import Activation, ActivationAttr, WindowAttr
from .tile_modes import AheadOp as AheadOp
from .tile_modes import MemoryAttr as MemoryAttr
from .tile_modes import RoundsAttr as RoundsAttr
from .tile_modes import SwitchOp as SwitchOp
from .tile_movement import ArraysAttr as ArraysAttr
from .tile_movement import JoinOp as JoinOp
from .tile_movement import LoadOp as LoadOp
from .tile_movement import MoveOp as MoveOp
from .tile_movement import ProgramOp as ProgramOp
from .tile_movement import ReorderOp as ReorderOp
from .tile_movement import StepOp as StepOp
from .tile_movement import StoreOp as StoreOp
from .tile_movement import parse_step
from .tile_structure import SegmentOp as SegmentOp
from .tile_structure import YieldOp as YieldOp
from .values import place, placed, shape_of, tensor_type


@irdl_op_definition
class MvmOp(StepOp):
    """Matrix-vector products: outputs `first` to `first + n` of the operator's `of`, n being the result's.

    With `w` in arrays, it holds just these outputs. With `on @chip::@tier` (a tier that streams its weights, the
    digital unit, or one whose arrays the weight passes in `rounds`) `w` is the operator's whole weight. `bias` and
    `scale` are the operator's whole constants. An operand or result without a place is streamed from or to off-chip
    memory through the buffer, chunk by chunk.
    """

    name = "tile.mvm"

    x = operand_def(TensorType)
    w = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    scale = opt_operand_def(TensorType)
    tier = opt_prop_def(SymbolRefAttr)
    window = opt_prop_def(WindowAttr)
    first = prop_def(IntegerAttr[I64])
    of = prop_def(IntegerAttr[I64])
    zero_point = opt_prop_def(IntegerAttr[I64])
    transposed = opt_prop_def(UnitAttr)
    activation = opt_prop_def(ActivationAttr)
    precision = opt_prop_def(StringAttr)
    rounds = opt_prop_def(RoundsAttr)
    result = result_def(TensorType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(
        self,
        x: SSAValue,
        w: SSAValue,
        result_type: Attribute,
        *,
        step: int,
        first: int = 0,
        of: int | None = None,
        bias: SSAValue | None = None,
        scale: SSAValue | None = None,
        **properties: Attribute | None,
    ):
        optional = [[] if operand is None else [operand] for operand in (bias, scale)]
        super().__init__(operands=[x, w, *optional], result_types=[result_type])
        set_properties(self, **properties)
        of = first + self.outputs if of is None else of
        set_properties(self, first=int_attr(first), of=int_attr(of), step=int_attr(step))

    @property
    def tier_name(self) -> str:
        """The tier that it runs on."""
        if self.tier is not None:
            return self.tier.nested_references.data[-1].data
        at = place(self.w)
        if not isinstance(at, ArraysAttr):
            raise VerifyException("a weight is in arrays, or the op says `on` which tier it streams to")
        return at.tier_name

    @property
    def copies(self) -> int:
        at = place(self.w) if self.rounds is None else self.rounds.at
        return at.copies.data if isinstance(at, ArraysAttr) else 1

    @property
    def zero(self) -> int:
        return 0 if self.zero_point is None else self.zero_point.value.data

    @property
    def function(self) -> Activation:
        return Activation.NONE if self.activation is None else self.activation.data

    @property
    def first_output(self) -> int:
        return self.first.value.data

    @property
    def all_outputs(self) -> int:
        """How many outputs the whole operator has."""
        return self.of.value.data

    @property
    def outputs(self) -> int:
        """How many outputs it makes."""
        return shape_of(self.result)[-1 if self.window is None else 1]

    @classmethod
    def parse(cls, parser: Parser) -> "MvmOp":
        x = parser.parse_unresolved_operand()
        parser.parse_punctuation(",")
        w = parser.parse_unresolved_operand()
        tier = parse_symbol(parser) if parser.parse_optional_keyword("on") else None
        rounds = parser.parse_attribute() if parser.parse_optional_keyword("rounds") else None
        has_window = parser.parse_optional_keyword("window")
        window = WindowAttr.new(WindowAttr.parse_parameters(parser)) if has_window else None
        first = parse_optional_int(parser, "first")
        of = None if first is None else parse_optional_int(parser, "of")
        bias = parse_optional_operand(parser, "bias")
        scale = parse_optional_operand(parser, "scale")
        zero_point = parse_optional_int(parser, "zero_point")
        transposed = parser.parse_optional_keyword("transposed")
        has_activation = parser.parse_optional_keyword("activation")
        activation = ActivationAttr(parser.parse_str_enum(Activation)) if has_activation else None
        precision = StringAttr(parser.parse_str_literal()) if parser.parse_optional_keyword("precision") else None
        step = parse_step(parser)
        attributes = parser.parse_optional_attr_dict()
        operands, signature = parse_signature(parser, [x, w, bias, scale])
        op = cls(
            operands[0][0],
            operands[1][0],
            signature.outputs.data[0],
            step=step,
            first=first or 0,
            of=of,
            bias=next(iter(operands[2]), None),
            scale=next(iter(operands[3]), None),
            tier=tier,
            window=window,
            zero_point=None if zero_point is None else int_attr(zero_point),
            transposed=UnitAttr() if transposed else None,
            activation=activation,
            precision=precision,
            rounds=rounds,
        )
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.x)
        printer.print_string(", ")
        printer.print_operand(self.w)
        if self.tier is not None:
            printer.print_string(" on ")
            printer.print_attribute(self.tier)
        if self.rounds is not None:
            printer.print_string(" rounds ")
            printer.print_attribute(self.rounds)
        if self.window is not None:
            printer.print_string(" window ")
            self.window.print_parameters(printer)
        if (self.first_output, self.outputs) != (0, self.all_outputs):
            printer.print_string(f" first {self.first_output} of {self.all_outputs}")
        print_optional_operands(printer, bias=self.bias, scale=self.scale)
        if self.zero_point is not None:
            printer.print_string(f" zero_point {self.zero}")
        if self.transposed is not None:
            printer.print_string(" transposed")
        if self.activation is not None:
            printer.print_string(f" activation {self.function}")
        if self.precision is not None:
            printer.print_string(" precision ")
            printer.print_string_literal(self.precision.data)
        printer.print_string(f" step {self.at}")
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_(self) -> None:
        in_arrays = isinstance(place(self.w), ArraysAttr)
        if in_arrays == (self.tier is not None):
            raise VerifyException("exactly one of a weight in arrays and `on @chip::@tier` is needed")
        if self.rounds is not None and (self.tier is None or self.tier != self.rounds.at.tier):
            raise VerifyException("a product in rounds says `on` which tier, and has arrays of that")
        if isinstance(place(self.x), ArraysAttr) or isinstance(place(self.result), ArraysAttr):
            raise VerifyException("inputs and results are in the buffer or off chip, not in compute arrays")
        if in_arrays and self.transposed is not None:
            raise VerifyException("arrays hold K x N already: only a streamed weight can be transposed")
        inputs, outputs = self._weight_shape()
        if in_arrays and outputs != self.outputs:
            raise VerifyException(f"the arrays hold {outputs} outputs, the result has {self.outputs}")
        if not in_arrays and self.all_outputs != outputs:
            raise VerifyException(f"the weight has {outputs} outputs, the op says {self.all_outputs}")
        if self.first_output + self.outputs > self.all_outputs:
            raise VerifyException(
                f"outputs {self.first_output} + {self.outputs} leave the {self.all_outputs} there are"
            )
        if self.window is None and shape_of(self.x)[-1] != inputs:
            raise VerifyException(f"x has {shape_of(self.x)[-1]} columns, the weight {inputs} inputs")
        if self.window is not None:
            self._verify_window(self.window, inputs)

    def _verify_window(self, window: WindowAttr, inputs: int) -> None:
        x, w, y = shape_of(self.x), shape_of(self.w), shape_of(self.result)
        strides, _, _, groups = window.lists()
        if not len(x) == len(w) == len(y) == len(strides) + 2:
            raise VerifyException(f"the window has {len(strides)} dimensions, x, w and y have shapes {x}, {w} and {y}")
        if x[1] != inputs * groups or self.all_outputs % groups or x[0] != y[0]:
            raise VerifyException(f"channels disagree: x {x}, w {w}, {groups} groups, {self.all_outputs} outputs")
        expected = window.positions(x[2:], w[2:])
        if list(y[2:]) != expected:
            raise VerifyException(f"result has positions {list(y[2:])}, expected {expected}")

    def _weight_shape(self) -> tuple[int, int]:
        """(K or I / groups, outputs) of `w`."""
        shape = shape_of(self.w)
        if self.window is not None:
            return shape[1], shape[0]
        return (shape[-1], shape[-2]) if self.transposed is not None else (shape[-2], shape[-1])


@irdl_op_definition
class DigitalOp(StepOp):
    """Work of the digital unit: onnx ops on plain tensors, which are the operands without their places.

    `%y = tile.digital %x step 2 : (tensor<4xf32, @chip::@buffer>) -> tensor<4xf32> { ^bb0(%a: tensor<4xf32>): .. }`
    """

    name = "tile.digital"

    ins = var_operand_def(TensorType)
    outs = var_result_def(TensorType)
    body = region_def("single_block")

    traits = traits_def(IsolatedFromAbove())

    def __init__(self, ins: Sequence[SSAValue], result_types: Sequence[Attribute], body: Region, *, step: int):
        super().__init__(operands=[ins], result_types=[result_types], regions=[body])
        set_properties(self, step=int_attr(step))

    @property
    def block(self) -> Block:
        return self.body.block

    @classmethod
    def parse(cls, parser: Parser) -> "DigitalOp":
        unresolved = parser.parse_optional_undelimited_comma_separated_list(
            parser.parse_optional_unresolved_operand, parser.parse_unresolved_operand
        )
        step = parse_step(parser)
        parser.parse_punctuation(":")
        signature = parser.parse_function_type()
        ins = parser.resolve_operands(unresolved or [], list(signature.inputs), parser.pos)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        op = cls(ins, list(signature.outputs), parser.parse_region(), step=step)
        op.attributes = {} if attributes is None else dict(attributes.data)
        return op

    def print(self, printer: Printer) -> None:
        if self.ins:
            printer.print_string(" ")
            printer.print_list(self.ins, printer.print_operand)
        printer.print_string(f" step {self.at}")
        print_signature(printer, self)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body)

    def verify_(self) -> None:
        arguments = [argument.type for argument in self.block.args]
        if arguments != [placed(tensor_type(value), None) for value in self.ins]:
            raise VerifyException("block arguments are the operands without their places")
        last = self.block.last_op
        if not isinstance(last, YieldOp):
            raise VerifyException("digital work ends with tile.yield")
        if [value.type for value in last.values] != [placed(tensor_type(value), None) for value in self.outs]:
            raise VerifyException("what is yielded are the results without their places")
        for op in self.block.ops:
            if op.name.startswith(("tile.", "h3.")) and not isinstance(op, YieldOp):
                raise VerifyException(f"only onnx ops are digital work, got {op.name}")


Tile = Dialect(
    "tile",
    [SegmentOp, YieldOp, ProgramOp, LoadOp, StoreOp, SwitchOp, AheadOp, MvmOp, DigitalOp, JoinOp, ReorderOp],
    [ArraysAttr, MemoryAttr, RoundsAttr],
)
