"""What all lowerings to tile share: constants, digital regions, the shapes in which arrays hold weights."""

from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import StringAttr, SymbolRefAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue, Use

from ..dialects.h3 import ConvOp, MatmulOp, MatrixOp, PartAttr, WeightOp
from ..dialects.tile import DigitalOp, YieldOp
from ..dialects.values import buffer, placed, producer, shape_of, tensor_type
from .units import INLINE_CONSTANTS, Unit, operands_from_outside
from .value_places import ValuePlaces


def output_axis(op: MatrixOp) -> int:
    """The dimension of the result that parts are ranges of."""
    return 1 if isinstance(op, ConvOp) else len(shape_of(op.result)) - 1


def held_shape(op: MatrixOp, outputs: int) -> tuple[int, ...]:
    """The shape in which arrays hold the weights of `outputs` outputs: `[.., K, n]`, or that of a convolution."""
    shape = list(shape_of(op.w))
    if isinstance(op, ConvOp):
        return (outputs, *shape[1:])
    if isinstance(op, MatmulOp) and op.transposed is not None:
        shape[-2:] = shape[:-3:-1]
    return (*shape[:-1], outputs)


def groups_held(op: MatrixOp, part: PartAttr) -> int:
    """How many groups of a grouped convolution a part holds."""
    if not isinstance(op, ConvOp):
        return 1
    groups = op.window.groups.data
    return max(part.outputs * groups // op.outputs, 1)


def mvm_properties(op: MatrixOp, part: PartAttr, *, streams: bool) -> dict[str, Attribute | None]:
    """What a part's product says of itself; `streams`: its weight is not in arrays before."""
    return {
        "tier": SymbolRefAttr("chip", [part.tier_name]) if streams else None,
        "window": op.window if isinstance(op, ConvOp) else None,
        "zero_point": op.zero_point,
        "transposed": op.transposed if streams and isinstance(op, MatmulOp) else None,
        "activation": op.activation,
        "precision": StringAttr(part.precision.data) if part.precision.data else None,
    }


def top_constants(old: Block, top: Block, values: dict[SSAValue, SSAValue]) -> None:
    """Weights, and constants that matrix operators use or the model returns; digital work gets its own copies."""
    for op in old.ops:
        needed = isinstance(op, WeightOp) or any(isinstance(use.operation, MatrixOp | ReturnOp) for use in _uses(op))
        if needed and (isinstance(op, WeightOp) or op.name in INLINE_CONSTANTS):
            copy = op.clone()
            copy.location = op.location
            top.add_op(copy)
            for before, after in zip(op.results, copy.results, strict=True):
                after.name_hint = before.name_hint
                values[before] = after


def digital_op(unit: Unit, ins: Sequence[SSAValue], places: ValuePlaces, step: int) -> DigitalOp:
    """The digital work of `unit` on `ins`, which stand for its inputs and say by their types where those are."""
    body = Block(arg_types=[placed(tensor_type(value), None) for value in ins])
    mapping: dict[SSAValue, SSAValue] = {}
    for value, argument in zip(unit.ins, body.args, strict=True):
        argument.name_hint = value.name_hint
        mapping[value] = argument
    for op in (*_inline_constants(unit), *unit.ops):
        body.add_op(_clone(op, mapping))
    body.add_op(YieldOp([mapping[value] for value in unit.outs]))
    types = [placed(tensor_type(value), buffer() if value in places.on_chip else None) for value in unit.outs]
    digital = DigitalOp(ins, types, Region(body), step=step)
    digital.location = unit.ops[-1].location
    return digital


def _uses(op: Operation) -> Iterator[Use]:
    return (use for result in op.results for use in result.uses)


def _clone(op: Operation, mapping: dict[SSAValue, SSAValue]) -> Operation:
    copy = op.clone(mapping)
    copy.location = op.location
    return copy


def _inline_constants(unit: Unit) -> list[Operation]:
    """The small constants that a run of digital work uses, each once."""
    makers = (producer(operand) for op in unit.ops for operand in operands_from_outside(op))
    found = {maker: None for maker in makers if maker is not None and maker.name in INLINE_CONSTANTS}
    own = set(unit.ops)
    return [maker for maker in found if maker not in own]


def replace_body(function: FuncOp, block: Block) -> None:
    """Put `block` in the place of the function's body."""
    old = function.body.block
    function.body.insert_block(block, 0)
    for op in reversed(list(old.ops)):
        op.detach()
        op.drop_all_references()
    function.body.detach_block(old)
