"""The places of tile, and the ops that move data to them: program, load, store, join."""

from collections.abc import Sequence
from typing import Self

from xdsl.dialects.builtin import I64, ArrayAttr, IntAttr, IntegerAttr, SymbolRefAttr, TensorType, UnitAttr
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    param_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import AttrParser, Parser
from xdsl.printer import Printer
from xdsl.traits import MemoryReadEffect, MemoryWriteEffect, Pure
from xdsl.utils.exceptions import VerifyException

from .formats import (
    int_attr,
    int_list,
    parse_ints,
    parse_optional_int,
    parse_optional_operand,
    parse_signature,
    parse_symbol,
    print_attributes,
    print_optional_operands,
    print_signature,
    set_properties,
)
from .values import check_order, place, shape_of, tensor_type


@irdl_attr_definition
class ArraysAttr(ParametrizedAttribute):
    """Arrays of a tier as a place: `#tile.arrays<@chip::@sram, 0 to 8, copies 2>`; several ranges are allowed.

    `copies c`: the ranges hold c copies of the value, one after the other. No range at all means that
    assign-arrays has not run yet.
    """

    name = "tile.arrays"

    tier: SymbolRefAttr = param_def()
    ranges: ArrayAttr[IntAttr] = param_def()
    copies: IntAttr = param_def()

    @staticmethod
    def of(tier: str, ranges: Sequence[tuple[int, int]] = (), copies: int = 1) -> "ArraysAttr":
        flat = [index for bounds in ranges for index in bounds]
        return ArraysAttr(SymbolRefAttr("chip", [tier]), int_list(flat), IntAttr(copies))

    @property
    def tier_name(self) -> str:
        return self.tier.nested_references.data[-1].data

    @property
    def spans(self) -> list[tuple[int, int]]:
        """The ranges as (first, last) pairs, last exclusive."""
        flat = [index.data for index in self.ranges.data]
        return list(zip(flat[::2], flat[1::2], strict=True))

    @property
    def size(self) -> int:
        """Arrays in all ranges."""
        return sum(last - first for first, last in self.spans)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            tier, flat, copies = parse_symbol(parser), list[int](), 1
            while parser.parse_optional_punctuation(","):
                if parser.parse_optional_keyword("copies"):
                    copies = parser.parse_integer()
                    break
                flat.append(parser.parse_integer())
                parser.parse_keyword("to")
                flat.append(parser.parse_integer())
        return [tier, int_list(flat), IntAttr(copies)]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_attribute(self.tier)
            for first, last in self.spans:
                printer.print_string(f", {first} to {last}")
            if self.copies.data != 1:
                printer.print_string(f", copies {self.copies.data}")

    def verify(self) -> None:
        if len(self.tier.nested_references.data) != 1:
            raise VerifyException(f"arrays name their tier as @chip::@tier, got {self.tier}")
        if any(not 0 <= first < last for first, last in self.spans) or self.copies.data < 1:
            raise VerifyException(f"array ranges rise from 0 and copies are at least 1, got {self.spans}")


class StepOp(IRDLOperation):
    """An op with a place in the schedule."""

    step = prop_def(IntegerAttr[I64])

    traits = traits_def(MemoryReadEffect(), MemoryWriteEffect())

    @property
    def at(self) -> int:
        """The step."""
        return self.step.value.data


def parse_step(parser: Parser) -> int:
    """`step 3`"""
    parser.parse_keyword("step")
    return parser.parse_integer()


@irdl_op_definition
class ProgramOp(StepOp):
    """Write a weight, or a slice of it, into arrays.

    `%p = tile.program %w from [0, 512] step 3 : (tensor<512x2048xf32>) -> tensor<512x512xf32, #tile.arrays<..>>` writes
    the slice that begins at those offsets and has the result's shape; `transposed` swaps the last two dimensions after
    slicing, so that arrays always hold K x N. `groups g`: the slice holds g independent groups of a convolution.
    """

    name = "tile.program"

    w = operand_def(TensorType)
    offsets = prop_def(ArrayAttr[IntegerAttr[I64]])
    transposed = opt_prop_def(UnitAttr)
    groups = opt_prop_def(IntegerAttr[I64])
    result = result_def(TensorType)

    def __init__(
        self,
        w: SSAValue,
        offsets: Sequence[int],
        result_type: Attribute,
        *,
        step: int,
        transposed: bool = False,
        groups: int = 1,
    ):
        super().__init__(operands=[w], result_types=[result_type])
        set_properties(
            self,
            offsets=ArrayAttr([int_attr(offset) for offset in offsets]),
            step=int_attr(step),
            transposed=UnitAttr() if transposed else None,
            groups=int_attr(groups) if groups != 1 else None,
        )

    @property
    def group_count(self) -> int:
        return 1 if self.groups is None else self.groups.value.data

    @property
    def slices(self) -> tuple[slice, ...]:
        """What of `w` is written, before any transposition."""
        shape = list(shape_of(self.result))
        if self.transposed is not None:
            shape[-2:] = shape[:-3:-1]
        return tuple(slice(o.value.data, o.value.data + n) for o, n in zip(self.offsets.data, shape, strict=True))

    @classmethod
    def parse(cls, parser: Parser) -> "ProgramOp":
        w = parser.parse_unresolved_operand()
        offsets = parse_ints(parser) if parser.parse_optional_keyword("from") else None
        transposed = parser.parse_optional_keyword("transposed") is not None
        groups = parse_optional_int(parser, "groups") or 1
        step = parse_step(parser)
        attributes = parser.parse_optional_attr_dict()
        ((value,),), signature = parse_signature(parser, [w])
        offsets = [0] * len(shape_of(value)) if offsets is None else offsets
        op = cls(value, offsets, signature.outputs.data[0], step=step, transposed=transposed, groups=groups)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.w)
        offsets = [offset.value.data for offset in self.offsets.data]
        if any(offsets):
            printer.print_string(f" from {offsets}")
        if self.transposed is not None:
            printer.print_string(" transposed")
        if self.group_count != 1:
            printer.print_string(f" groups {self.group_count}")
        printer.print_string(f" step {self.at}")
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_(self) -> None:
        source, result = tensor_type(self.w), tensor_type(self.result)
        if not isinstance(place(self.result), ArraysAttr):
            raise VerifyException(f"programs arrays, but its result is at {place(self.result)}")
        if len(self.offsets.data) != len(shape_of(self.w)) or len(shape_of(self.result)) != len(shape_of(self.w)):
            raise VerifyException(f"a slice of {source} has as many offsets and dimensions as it")
        if source.element_type != result.element_type:
            raise VerifyException(f"programming keeps the element type, got {source} and {result}")
        if any(s.start < 0 or s.stop > size for s, size in zip(self.slices, shape_of(self.w), strict=True)):
            raise VerifyException(f"the slice {self.slices} leaves a weight of shape {shape_of(self.w)}")


class MoveOp(StepOp):
    """A whole value moves between off-chip memory and the buffer."""

    x = operand_def(TensorType)
    result = result_def(TensorType)

    def __init__(self, x: SSAValue, result_type: Attribute, *, step: int):
        super().__init__(operands=[x], result_types=[result_type])
        set_properties(self, step=int_attr(step))

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        x = parser.parse_unresolved_operand()
        step = parse_step(parser)
        attributes = parser.parse_optional_attr_dict()
        ((value,),), signature = parse_signature(parser, [x])
        op = cls(value, signature.outputs.data[0], step=step)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.x)
        printer.print_string(f" step {self.at}")
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_places(self, source: bool, target: bool) -> None:
        """`source`, `target`: whether operand and result are on the chip."""
        if (place(self.x) is not None, place(self.result) is not None) != (source, target):
            raise VerifyException(f"moves from {place(self.x)} to {place(self.result)}")
        x, y = tensor_type(self.x), tensor_type(self.result)
        if (x.element_type, x.get_shape()) != (y.element_type, y.get_shape()):
            raise VerifyException(f"moving keeps type and shape, got {x} and {y}")


@irdl_op_definition
class LoadOp(MoveOp):
    """Read a whole value from off-chip memory into the buffer."""

    name = "tile.load"

    def verify_(self) -> None:
        self.verify_places(False, True)


@irdl_op_definition
class StoreOp(MoveOp):
    """Write a whole value from the buffer to off-chip memory."""

    name = "tile.store"

    def verify_(self) -> None:
        self.verify_places(True, False)


@irdl_op_definition
class ReorderOp(IRDLOperation):
    """A constant whose i-th slice along `axis` is slice order[i] of `w`. Free: each is read from its own address.

    `%v = tile.reorder %w by %order axis 1 : (tensor<64x96xf32>, tensor<96xi32>) -> tensor<64x96xf32>`
    """

    name = "tile.reorder"

    w = operand_def(TensorType)
    order = operand_def(TensorType)
    axis = prop_def(IntegerAttr[I64])
    result = result_def(TensorType)

    traits = traits_def(Pure())

    def __init__(self, w: SSAValue, order: SSAValue, axis: int):
        super().__init__(operands=[w, order], result_types=[w.type])
        set_properties(self, axis=int_attr(axis))

    @classmethod
    def parse(cls, parser: Parser) -> "ReorderOp":
        w = parser.parse_unresolved_operand()
        parser.parse_keyword("by")
        order = parser.parse_unresolved_operand()
        parser.parse_keyword("axis")
        axis = parser.parse_integer()
        attributes = parser.parse_optional_attr_dict()
        ((w_value,), (order_value,)), signature = parse_signature(parser, [w, order])
        if list(signature.outputs) != [w_value.type]:
            parser.raise_error("a reordered constant keeps its type")
        op = cls(w_value, order_value, axis)
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_operand(self.w)
        printer.print_string(" by ")
        printer.print_operand(self.order)
        printer.print_string(f" axis {self.axis.value.data}")
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_(self) -> None:
        axis, shape = self.axis.value.data, shape_of(self.w)
        if not 0 <= axis < len(shape):
            raise VerifyException(f"axis {axis} is not a dimension of {shape}")
        check_order(self.order, shape[axis])


@irdl_op_definition
class JoinOp(IRDLOperation):
    """The parts of one operator as one value, along `axis`. Free: each part wrote to its own address.

    With `order`, slice i of the parts, one after the other, is slice order[i] of the whole.
    """

    name = "tile.join"

    pieces = var_operand_def(TensorType)
    order = opt_operand_def(TensorType)
    axis = prop_def(IntegerAttr[I64])
    result = result_def(TensorType)

    traits = traits_def(Pure())

    irdl_options = (AttrSizedOperandSegments(as_property=True),)

    def __init__(self, pieces: Sequence[SSAValue], axis: int, result_type: Attribute, order: SSAValue | None = None):
        super().__init__(operands=[pieces, [] if order is None else [order]], result_types=[result_type])
        set_properties(self, axis=int_attr(axis))

    @classmethod
    def parse(cls, parser: Parser) -> "JoinOp":
        unresolved = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_unresolved_operand)
        parser.parse_keyword("axis")
        axis = parser.parse_integer()
        order = parse_optional_operand(parser, "order")
        attributes = parser.parse_optional_attr_dict()
        operands, signature = parse_signature(parser, [*unresolved, order])
        pieces = [value for (value,) in operands[:-1]]
        op = cls(pieces, axis, signature.outputs.data[0], next(iter(operands[-1]), None))
        op.attributes = attributes
        return op

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_list(self.pieces, printer.print_operand)
        printer.print_string(f" axis {self.axis.value.data}")
        print_optional_operands(printer, order=self.order)
        print_attributes(printer, self)
        print_signature(printer, self)

    def verify_(self) -> None:
        axis, whole = self.axis.value.data, shape_of(self.result)
        if not 0 <= axis < len(whole):
            raise VerifyException(f"axis {axis} is not a dimension of {whole}")
        if sum(shape_of(piece)[axis] for piece in self.pieces) != whole[axis]:
            raise VerifyException(f"pieces add up to {sum(shape_of(p)[axis] for p in self.pieces)} of {whole[axis]}")
        if any(place(piece) != place(self.result) for piece in self.pieces):
            raise VerifyException("pieces are where the whole is")
        if self.order is not None:
            check_order(self.order, whole[axis])
