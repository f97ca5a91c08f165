"""A digital region for many executions at once, where that provably makes no difference.

The executions' values are stacked along one axis, executions outermost: a value of shape [.., d, ..] becomes
[.., E * d, ..]. batching_rules.py follows that axis through the region, op by op. An op passes if what it computes
for an execution comes from that execution's slices alone: elementwise work, a softmax or reduction over other axes,
pooling, a transposition (the axis moves), any change of shape in which the axis is outermost. Constant shapes are
rewritten, constants that go along the axis are repeated. What mixes executions (DynamicQuantizeLinear, a reduction over
the axis) or has no rule does not pass, and the region then runs once an execution. The proof is by structure alone: it
needs no word of the model on which dimension is a batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.dialects.builtin import NoneType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ..dialects.constants import Array, tensor_of
from ..dialects.h3 import WeightOp
from ..dialects.onnx import constant, constant_array, is_absent, make_op
from ..dialects.onnx_ops import ConstantOp
from ..dialects.values import producer, shape_of, tensor_type
from .batching_rules import RANDOM, RULES, Mixes
from .weights import WeightStore


class Region:
    """A region under construction: `block` holds its new ops, `results` what it yields, stacked along `result_axes`.

    Rules see old values, and ask here what stands for them.
    """

    def __init__(self, executions: int, opset: int, store: WeightStore):
        self.executions = executions
        self.opset = opset
        self.store = store
        self.block = Block()
        self.results: list[SSAValue] = []
        self.result_axes: list[int | None] = []
        self._values: dict[SSAValue, SSAValue] = {}
        self._axes: dict[SSAValue, int | None] = {}

    def axis(self, old: SSAValue) -> int | None:
        """The axis that `old` is stacked along; None if it is the same in all executions."""
        return self._axes.get(old)

    def value(self, old: SSAValue) -> SSAValue:
        """What stands for `old`."""
        return self._values[old]

    def known(self, old: SSAValue) -> Array | None:
        """The value of `old` where it is a constant of the region."""
        op = producer(self._values[old])
        if isinstance(op, ConstantOp):
            return constant_array(op)
        return self.store.array(op) if isinstance(op, WeightOp) and op.absent is None else None

    def argument(self, old: SSAValue, axis: int | None, source: Operation | None) -> None:
        """Let `old` be an argument that is stacked along `axis`, or the constant that `source` makes."""
        if source is not None:
            new = self.emit(source.clone()).results[0]
        else:
            new = self.block.insert_arg(self.stacked_type(old, axis), len(self.block.args))
        self._values[old], self._axes[old] = new, axis

    def stacked_type(self, value: SSAValue, axis: int | None) -> Attribute:
        """The type of `value` for all executions."""
        if axis is None or is_absent(value):
            return value.type
        shape = list(shape_of(value))
        if not 0 <= axis < len(shape) or shape[axis] < 0:
            raise Mixes
        shape[axis] *= self.executions
        return tensor_of(tuple(shape), tensor_type(value).element_type)

    def emit(self, op: Operation) -> Operation:
        """Append an op."""
        self.block.add_op(op)
        return op

    def numbers(self, values: Sequence[int]) -> SSAValue:
        """Whole numbers as a new constant."""
        return self.emit(constant(np.array(values, np.int64))).results[0]

    def repeated(self, old: SSAValue, axis: int) -> SSAValue:
        """`old`, which is the same in all executions, once for each along `axis`."""
        counts = [self.executions if i == axis else 1 for i in range(len(shape_of(old)))]
        operands = [self.value(old), self.numbers(counts)]
        return self.emit(make_op("Tile", operands, [self.stacked_type(old, axis)])).results[0]

    def stack(self, op: Operation, axis: int, operands: Mapping[int, SSAValue] | None = None) -> None:
        """Append `op` on stacked operands (those in `operands` replaced), all results stacked along `axis`."""
        self.stack_along(op, [axis] * len(op.results), operands)

    def stack_along(self, op: Operation, axes: Sequence[int], operands: Mapping[int, SSAValue] | None = None) -> None:
        """The same with an axis a result."""
        new = type(op).create(
            operands=[(operands or {}).get(i, self.value(value)) for i, value in enumerate(op.operands)],
            result_types=[self.stacked_type(result, axis) for result, axis in zip(op.results, axes, strict=True)],
            properties=dict(op.properties),
        )
        new.location = op.location
        self.replace(op, new, axes)

    def replace(self, op: Operation, new: Operation, axes: Sequence[int]) -> None:
        """Append `new`, whose results stand for those of `op`."""
        self.emit(new)
        for old, result, axis in zip(op.results, new.results, axes, strict=True):
            self._values[old], self._axes[old] = result, None if isinstance(old.type, NoneType) else axis

    def keep(self, op: Operation) -> None:
        """Append `op` as it is: its operands are the same in all executions."""
        self.emit(op.clone(self._values))

    def finish(self, op: Operation) -> None:
        """The operands of `op` are what the region yields."""
        self.results = [self.value(value) for value in op.operands]
        self.result_axes = [self.axis(value) for value in op.operands]


def region_for(
    block: Block,
    axes: Sequence[int | None],
    sources: Sequence[Operation | None],
    executions: int,
    opset: int,
    store: WeightStore,
) -> Region | None:
    """`block` for `executions` executions at once; None if it cannot be shown to compute the same.

    For each argument, `axes` has the axis along which executions are stacked, None if it is the same in all, and
    `sources` the op that makes it where it is a constant. For one execution nothing needs to be shown.
    """
    region = Region(executions, opset, store)
    try:
        for argument, axis, source in zip(block.args, axes, sources, strict=True):
            region.argument(argument, axis, source)
        for op in block.ops:
            if op is block.last_op:
                region.finish(op)
            elif _is_shared(region, op):
                region.keep(op)
            else:
                _stack(region, op)
    except Mixes:
        return None
    return region


def _is_shared(region: Region, op: Operation) -> bool:
    """Whether all that `op` reads, also inside its regions, is the same in all executions."""
    if region.executions > 1 and any(inner.name in RANDOM for inner in op.walk()):
        return False
    return region.executions == 1 or all(region.axis(value) is None for inner in op.walk() for value in inner.operands)


def _stack(region: Region, op: Operation) -> None:
    rule = RULES.get(op.name)
    if rule is None or op.regions:
        raise Mixes
    rule(region, op)
