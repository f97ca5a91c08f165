"""How the stacked axis of executions passes through each class of onnx op (see batching.py).

A rule appends the op for all executions to the region, or raises `Mixes`. `axis` is always that of the first operand
unless the name says otherwise; an op sees at least one stacked operand.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import TYPE_CHECKING

from xdsl.ir import Operation, SSAValue

from ..dialects.constants import Array
from ..dialects.onnx import attr_int, attr_ints, attr_str, attribute, is_absent, make_op, operand
from ..dialects.values import shape_of
from .digital_ops import ELEMENTWISE

if TYPE_CHECKING:
    from .batching import Region


class Mixes(Exception):
    """An op may combine values of several executions, or nothing is known of it."""


Rule = Callable[["Region", Operation], None]


def _only_first(region: "Region", op: Operation) -> int:
    """The stacked axis of the first operand, all others being the same in all executions."""
    axis = region.axis(op.operands[0])
    if axis is None or any(region.axis(value) is not None for value in op.operands[1:]):
        raise Mixes
    return axis


def _rank(value: SSAValue) -> int:
    return len(shape_of(value))


def _known(region: "Region", op: Operation, index: int) -> Array | None:
    """A constant operand; None if it is left out. One that is not known may be anything."""
    value = operand(op, index)
    if value is None:
        return None
    known = region.known(value)
    if known is None:
        raise Mixes
    return known


def _ints(region: "Region", op: Operation, name: str, index: int) -> list[int] | None:
    """Whole numbers that older opsets give as an attribute and newer ones as an operand; None if neither is there."""
    if attribute(op, name) is not None:
        return attr_ints(op, name)
    known = _known(region, op, index)
    return None if known is None else [int(number) for number in known.reshape(-1)]


def _aligned(
    region: "Region", values: Mapping[int, SSAValue], rank: int, limit: int
) -> tuple[int, dict[int, SSAValue]]:
    """The stacked axis of a result of `rank` dimensions whose operands `values` broadcast, and operands to replace.

    All stacked operands must have it in the same place with the same size; others that go along it are repeated.
    """
    found = {
        (axis + rank - _rank(value), shape_of(value)[axis])
        for value in values.values()
        if (axis := region.axis(value)) is not None
    }
    if len(found) != 1:
        raise Mixes
    ((place, size),) = found
    if not place < limit or size < 0:
        raise Mixes
    replaced: dict[int, SSAValue] = {}
    for index, value in values.items():
        own = place - rank + _rank(value)
        if region.axis(value) is None and own >= 0 and shape_of(value)[own] != 1:
            if shape_of(value)[own] != size:
                raise Mixes
            replaced[index] = region.repeated(value, own)
    return place, replaced


def _elementwise(region: "Region", op: Operation) -> None:
    values = {i: value for i, value in enumerate(op.operands) if not is_absent(value)}
    rank = _rank(op.results[0])
    region.stack(op, *_aligned(region, values, rank, rank))


def _over_axis(default: int) -> Rule:
    """Ops that work along one axis and keep all dimensions."""

    def rule(region: "Region", op: Operation) -> None:
        axis, rank = _only_first(region, op), _rank(op.operands[0])
        if attr_int(op, "axis", default) % rank == axis:
            raise Mixes
        region.stack(op, axis)

    return rule


def _softmax(region: "Region", op: Operation) -> None:
    axis, rank = _only_first(region, op), _rank(op.operands[0])
    over = attr_int(op, "axis", -1 if region.opset >= 13 else 1) % rank
    if axis >= over if region.opset < 13 else axis == over:  # up to opset 12 all axes from `axis` on are one
        raise Mixes
    region.stack(op, axis)


def _layer_norm(region: "Region", op: Operation) -> None:
    axis, rank = _only_first(region, op), _rank(op.operands[0])
    over = attr_int(op, "axis", -1) % rank
    if axis >= over or any(_rank(v) > rank - over for v in op.operands[1:] if not is_absent(v)):
        raise Mixes
    region.stack(op, axis)


def _reduce(region: "Region", op: Operation) -> None:
    axis, rank = _only_first(region, op), _rank(op.operands[0])
    axes = _ints(region, op, "axes", 1)
    if not axes:
        if not attr_int(op, "noop_with_empty_axes", 0):
            raise Mixes
        axes = []
    _drop(region, op, axis, {over % rank for over in axes})


def _arg_reduce(region: "Region", op: Operation) -> None:
    axis = _only_first(region, op)
    _drop(region, op, axis, {attr_int(op, "axis", 0) % _rank(op.operands[0])})


def _drop(region: "Region", op: Operation, axis: int, over: set[int]) -> None:
    if axis in over:
        raise Mixes
    gone = 0 if attr_int(op, "keepdims", 1) else sum(reduced < axis for reduced in over)
    region.stack(op, axis - gone)


def _cumulate(region: "Region", op: Operation) -> None:
    axis, over = _only_first(region, op), _known(region, op, 1)
    if over is None or int(over.reshape(-1)[0]) % _rank(op.operands[0]) == axis:
        raise Mixes
    region.stack(op, axis)


def _samples(region: "Region", op: Operation) -> None:
    """Ops that treat each entry along dimension 0 (ONNX's N) alike and alone."""
    if _only_first(region, op) != 0 or sum(not is_absent(result) for result in op.results) != 1:
        raise Mixes
    if attr_int(op, "training_mode", 0):
        raise Mixes
    region.stack(op, 0)


def _resize(region: "Region", op: Operation) -> None:
    if _only_first(region, op) != 0 or attr_str(op, "coordinate_transformation_mode") == "tf_crop_and_resize":
        raise Mixes
    last = len(op.operands) - 1
    axes = attr_ints(op, "axes") or list(range(_rank(op.operands[0])))
    if 0 not in [axis % _rank(op.operands[0]) for axis in axes]:
        region.stack(op, 0)
        return
    values = _known(region, op, last)
    if values is None or attr_str(op, "keep_aspect_ratio_policy", "stretch") != "stretch" or axes[0] != 0:
        raise Mixes
    if values.dtype.kind == "f" and values[0] == 1:
        region.stack(op, 0)
    elif values.dtype.kind == "i" and values[0] == shape_of(op.operands[0])[0]:
        sizes = [int(values[0]) * region.executions, *(int(size) for size in values[1:])]
        region.stack(op, 0, {last: region.numbers(sizes)})
    else:
        raise Mixes


def _view(region: "Region", op: Operation) -> None:
    """Another shape of the same elements: the axis goes to the first place with as many elements before it."""
    axis = _only_first(region, op)
    before, after = shape_of(op.operands[0]), shape_of(op.results[0])
    if min(before, default=1) < 1 or min(after, default=1) < 1:
        raise Mixes
    place = next((i for i in range(len(after)) if prod(after[:i]) == prod(before[:axis])), None)
    if place is None:
        raise Mixes
    shape = [size * region.executions if i == place else size for i, size in enumerate(after)]
    operands = [region.value(op.operands[0]), region.numbers(shape)]
    region.replace(op, make_op("Reshape", operands, [region.stacked_type(op.results[0], place)]), [place])


def _expand(region: "Region", op: Operation) -> None:
    axis = _only_first(region, op)
    before, after = shape_of(op.operands[0]), shape_of(op.results[0])
    place = axis + len(after) - len(before)
    if min(after, default=1) < 1 or after[place] != before[axis]:
        raise Mixes
    shape = [size * region.executions if i == place else size for i, size in enumerate(after)]
    region.stack(op, place, {1: region.numbers(shape)})


def _transpose(region: "Region", op: Operation) -> None:
    rank = _rank(op.operands[0])
    order = attr_ints(op, "perm") or list(range(rank))[::-1]
    region.stack(op, order.index(_only_first(region, op)))


def _concat(region: "Region", op: Operation) -> None:
    rank = _rank(op.results[0])
    along = attr_int(op, "axis", 0) % rank
    place, replaced = _aligned(region, dict(enumerate(op.operands)), rank, rank)
    if place == along or any(shape_of(value)[place] != shape_of(op.results[0])[place] for value in op.operands):
        raise Mixes
    for index, value in enumerate(op.operands):  # unlike in a broadcast, a size of 1 is repeated too
        if region.axis(value) is None and index not in replaced:
            replaced[index] = region.repeated(value, place)
    region.stack(op, place, replaced)


def _slice(region: "Region", op: Operation) -> None:
    axis, rank = _only_first(region, op), _rank(op.operands[0])
    axes = _ints(region, op, "axes", 3)
    if axes is None:
        starts = _ints(region, op, "starts", 1)
        axes = list(range(rank if starts is None else len(starts)))
    if axis in [over % rank for over in axes]:
        raise Mixes
    region.stack(op, axis)


def _pad(region: "Region", op: Operation) -> None:
    axis, rank = _only_first(region, op), _rank(op.operands[0])
    pads = _ints(region, op, "pads", 1)
    axes = _ints(region, op, "axes", 3) or list(range(rank))
    padded = zip([over % rank for over in axes], pads or [], (pads or [])[len(axes) :], strict=False)
    if pads is None or any(over == axis and (begin or end) for over, begin, end in padded):
        raise Mixes
    region.stack(op, axis)


def _tile(region: "Region", op: Operation) -> None:
    axis, repeats = _only_first(region, op), _known(region, op, 1)
    if repeats is None or repeats[axis] != 1:
        raise Mixes
    region.stack(op, axis)


def _gather(region: "Region", op: Operation) -> None:
    data, indices = op.operands
    axis = attr_int(op, "axis", 0) % _rank(data)
    of_data, of_indices = region.axis(data), region.axis(indices)
    if of_data is None and of_indices is not None:
        region.stack(op, axis + of_indices)
    elif of_data is not None and of_indices is None and of_data != axis:
        region.stack(op, of_data if of_data < axis else of_data + _rank(indices) - 1)
    else:
        raise Mixes


def _one_hot(region: "Region", op: Operation) -> None:
    axis = _only_first(region, op)
    along = attr_int(op, "axis", -1) % _rank(op.results[0])
    region.stack(op, axis + (axis >= along))


def _quantise(region: "Region", op: Operation) -> None:
    axis = _only_first(region, op)
    scale = shape_of(op.operands[1])
    if prod(scale) != 1 and (len(scale) != 1 or attr_int(op, "axis", 1) % _rank(op.operands[0]) == axis):
        raise Mixes
    region.stack(op, axis)


def _matmul(region: "Region", op: Operation) -> None:
    x, w = op.operands[:2]
    if any(region.axis(value) is not None for value in op.operands[2:]):
        raise Mixes
    axis, rank = region.axis(x), _rank(x)
    if region.axis(w) is None and _rank(w) <= 2:
        if axis is None or axis > rank - 2:
            raise Mixes
        region.stack(op, axis)
        return
    if min(rank, _rank(w)) < 2:
        raise Mixes
    rank = _rank(op.results[0])
    region.stack(op, *_aligned(region, {0: x, 1: w}, rank, rank - 2))


def _gemm(region: "Region", op: Operation) -> None:
    if _only_first(region, op) != 0 or attr_int(op, "transA", 0):
        raise Mixes
    added = operand(op, 2)
    along = added is not None and _rank(added) == 2 and shape_of(added)[0] != 1
    region.stack(op, 0, {2: region.repeated(added, 0)} if along and added is not None else None)


def _recurrent(region: "Region", op: Operation) -> None:
    """LSTM, GRU, RNN: operand 4 is the lengths, 5 and 6 the first states, then peepholes; outputs Y, Y_h, Y_c."""
    leading = attr_int(op, "layout", 0) == 1
    expected = {0: 0 if leading else 1, 4: 0, 5: 0 if leading else 1, 6: 0 if leading else 1}
    replaced: dict[int, SSAValue] = {}
    for index, value in enumerate(op.operands):
        axis = region.axis(value)
        if axis is not None and axis != expected.get(index):
            raise Mixes
        if axis is None and not is_absent(value) and index in expected:
            replaced[index] = region.repeated(value, expected[index])
    region.stack_along(op, ([0, 0, 0] if leading else [2, 1, 1])[: len(op.results)], replaced)


def _einsum(region: "Region", op: Operation) -> None:
    terms, _, out = attr_str(op, "equation").replace(" ", "").partition("->")
    names = terms.split(",")
    if "." in terms or not out:
        raise Mixes
    labels = {name[axis] for name, v in zip(names, op.operands, strict=True) if (axis := region.axis(v)) is not None}
    if len(labels) != 1 or not labels <= set(out) or any(name.count(min(labels)) > 1 for name in names):
        raise Mixes
    label = labels.pop()
    replaced = {
        i: region.repeated(v, name.index(label))
        for i, (name, v) in enumerate(zip(names, op.operands, strict=True))
        if region.axis(v) is None and label in name
    }
    region.stack(op, out.index(label), replaced)


def _of(rule: Rule, names: str) -> dict[str, Rule]:
    return {f"onnx.{name}": rule for name in names.split()}


RULES: Mapping[str, Rule] = {
    **_of(_elementwise, " ".join(sorted(ELEMENTWISE))),
    **_of(_softmax, "Softmax LogSoftmax Hardmax"),
    **_of(_layer_norm, "LayerNormalization RMSNormalization"),
    **_of(_over_axis(-1), "LpNormalization TopK"),
    **_of(_over_axis(0), "Split"),
    **_of(
        _reduce,
        "ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
        " ReduceSumSquare",
    ),
    **_of(_arg_reduce, "ArgMax ArgMin"),
    **_of(_cumulate, "CumSum CumProd"),
    **_of(
        _samples,
        "AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace GlobalAveragePool GlobalLpPool"
        " GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool QLinearConv SpaceToDepth",
    ),
    **_of(_resize, "Resize Upsample"),
    **_of(_view, "Flatten Reshape Squeeze Unsqueeze"),
    **_of(_expand, "Expand"),
    **_of(_transpose, "Transpose"),
    **_of(_concat, "Concat"),
    **_of(_slice, "Slice"),
    **_of(_pad, "Pad"),
    **_of(_tile, "Tile"),
    **_of(_gather, "Gather"),
    **_of(_one_hot, "OneHot"),
    **_of(_quantise, "QuantizeLinear DequantizeLinear"),
    **_of(_matmul, "MatMul MatMulInteger"),
    **_of(_gemm, "Gemm"),
    **_of(_recurrent, "LSTM GRU RNN"),
    **_of(_einsum, "Einsum"),
}
"""The rule of each op class; an op that is not here runs once an execution."""

RANDOM = frozenset(
    _of(_elementwise, "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike")
)
"""Ops that draw numbers anew in each execution, whatever they read."""
