"""How the stacked axis of executions passes through each class of onnx op (see batching.py)."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import IntegerType, NoneType
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.constants import tensor_of
from ..dialects.onnx import attr_int, attr_ints, attr_str, attribute, constant, is_absent, make_op, operand
from ..dialects.values import shape_of, tensor_type
from .batching import Mixes, Region
from .weights import WeightStore


def stacked_region(
    block: Block, axes: Sequence[int | None], constants: Sequence[Operation | None], executions: int, store: WeightStore, opset: int
) -> Region | None:
    """`block` for `executions` executions at once; None if it cannot be shown to compute the same.

    For each argument: `axes` has the axis along which executions are stacked, None if it is the same in all, and
    `constants` the op that makes it where it is a constant. With one execution nothing needs to be shown.
    """
    region = Region(executions, store)
    try:
        for argument, axis, source in zip(block.args, axes, constants, strict=True):
            if source is None:
                region.argument(argument, axis)
            else:
                region.define(argument, region.emit(source.clone()).results[0], None)
        for op in block.ops:
            if op is block.last_op:
                region.finish(op.operands)
            elif executions == 1:
                region.copy(op, [None] * len(op.results))
            else:
                _stack(region, op, opset)
    except Mixes:
        return None
    return region


def _stack(region: Region, op: Operation, opset: int) -> None:
    """Append `op` for all executions, or raise Mixes."""
    kind = op.name.removeprefix("onnx.")
    outer = [value for inner in op.walk() if inner is not op for value in inner.operands]
    if kind in _RANDOM or any(region.axes.get(value) is not None for value in outer):
        raise Mixes
    if all(region.axes[value] is None for value in op.operands):
        region.copy(op, [None] * len(op.results))
        return
    rule = _RULES.get(kind)
    if rule is None or op.regions:
        raise Mixes
    rule(region, op, opset)


def _axis_of(region: Region, op: Operation, index: int = 0) -> int:
    """The stacked axis of an operand that must have one."""
    value = operand(op, index)
    axis = None if value is None else region.axes[value]
    if axis is None:
        raise Mixes
    return axis


def _only_first(region: Region, op: Operation) -> int:
    """The stacked axis of the first operand, all others being the same in all executions."""
    if any(region.axes[value] is not None for value in op.operands[1:]):
        raise Mixes
    return _axis_of(region, op)


def _constant(region: Region, op: Operation, index: int) -> list[int] | None:
    """The whole numbers in a constant operand; None if it is left out. Unknown ones may be anything."""
    value = operand(op, index)
    if value is None:
        return None
    known = region.known(value)
    if known is None:
        raise Mixes
    return [int(number) for number in known.reshape(-1)]


def _whole(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def _results(op: Operation, axis: int) -> list[int | None]:
    return [None if isinstance(result.type, NoneType) else axis for result in op.results]


def _aligned(region: Region, op: Operation, values: Sequence[SSAValue], rank: int, limit: int) -> dict[int, SSAValue]:
    """Make operands that broadcast against each other agree on the stacked axis.

    Returns the operands to replace, by index into `values`. `rank`: of the result; the axis must be below `limit`.
    """
    at: set[tuple[int, int]] = set()
    for value in values:
        axis = region.axes[value]
        if axis is not None:
            at.add((axis + rank - len(shape_of(value)), shape_of(value)[axis]))
    if len(at) != 1:
        raise Mixes
    ((axis, size),) = at
    if axis >= limit or size < 0:
        raise Mixes
    replaced: dict[int, SSAValue] = {}
    for index, value in enumerate(values):
        own = axis - rank + len(shape_of(value)) if not is_absent(value) else -1
        if region.axes[value] is None and own >= 0 and shape_of(value)[own] != 1:
            if shape_of(value)[own] != size:
                raise Mixes
            replaced[index] = region.repeated(value, own)
        elif region.axes[value] is None and own >= 0 and size != 1 and False:
            raise Mixes
    return replaced


def _elementwise(region: Region, op: Operation, opset: int) -> None:
    rank = len(shape_of(op.results[0]))
    replaced = _aligned(region, op, [v for v in op.operands], rank, rank)
    axis = next(a + rank - len(shape_of(v)) for v in op.operands if (a := region.axes[v]) is not None)
    region.copy(op, _results(op, axis), replaced)
