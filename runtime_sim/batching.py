"""A digital region for many executions at once, where that provably makes no difference.

The executions' values are stacked along one axis, executions outermost: a value of shape [.., d, ..] becomes
[.., E * d, ..]. batching_rules.py follows that axis through the region, op by op. An op passes if what it computes for an execution comes from that execution's slices alone: elementwise work, a softmax or reduction
over other axes, pooling, a transposition (the axis moves), any change of shape in which the axis is outermost. Constant
shapes are rewritten, constants that go along the axis are repeated. What mixes executions (DynamicQuantizeLinear, a
reduction over the axis) or has no rule does not pass, and the region then runs once an execution. The proof is by
structure alone: it needs no word of the model on which dimension is a batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, Block, Operation, SSAValue

from ..dialects.constants import Array, tensor_of
from ..dialects.h3 import WeightOp
from ..dialects.onnx import constant, constant_array, is_absent, make_op
from ..dialects.onnx_ops import ConstantOp
from ..dialects.values import producer, shape_of, tensor_type
from .weights import WeightStore


class Mixes(Exception):
    """An op may combine values of several executions, or nothing is known of it."""


class Region:
    """A digital region under construction: `block` holds its new ops, whose operands are made by `value`.

    `axes`: the stacked axis of each old value, None if it is the same in all executions; `result_axes`: those of
    what the region yields.
    """

    def __init__(self, executions: int, store: WeightStore):
        self.executions = executions
        self.store = store
        self.block = Block()
        self.axes: dict[SSAValue, int | None] = {}
        self.result_axes: list[int | None] = []
        self.results: list[SSAValue] = []
        self._values: dict[SSAValue, SSAValue] = {}
        self._known: dict[SSAValue, Array | None] = {}

    def argument(self, old: SSAValue, axis: int | None) -> None:
        """Let `old` be an argument of the region, stacked along `axis`."""
        new = self.block.insert_arg(self.stacked_type(old, axis), len(self.block.args))
        self.define(old, new, axis)

    def define(self, old: SSAValue, new: SSAValue, axis: int | None) -> None:
        """`new` stands for `old`."""
        self._values[old], self.axes[old] = new, axis

    def value(self, old: SSAValue) -> SSAValue:
        """What stands for `old`."""
        return self._values[old]

    def emit(self, op: Operation) -> Operation:
        """Append an op."""
        self.block.add_op(op)
        return op

    def stacked_type(self, value: SSAValue, axis: int | None) -> Attribute:
        """The type of `value` for all executions."""
        if axis is None or is_absent(value):
            return value.type
        shape = list(shape_of(value))
        if not 0 <= axis < len(shape) or shape[axis] < 0:
            raise Mixes
        shape[axis] *= self.executions
        return tensor_of(tuple(shape), tensor_type(value).element_type)

    def known(self, old: SSAValue) -> Array | None:
        """The value of `old` where it is a constant of the region."""
        new = self._values[old]
        if new not in self._known:
            op = producer(new)
            array = None
            if isinstance(op, ConstantOp):
                array = constant_array(op)
            elif isinstance(op, WeightOp) and op.absent is None:
                array = self.store.array(op)
            self._known[new] = array
        return self._known[new]

    def repeated(self, old: SSAValue, axis: int) -> SSAValue:
        """`old`, which is the same in all executions, once for each along `axis`."""
        repeats = np.ones(len(shape_of(old)), np.int64)
        repeats[axis] = self.executions
        counts = self.emit(constant(repeats)).results[0]
        return self.emit(make_op("Tile", [self.value(old), counts], [self.stacked_type(old, axis)])).results[0]

    def copy(self, op: Operation, axes: Sequence[int | None], operands: Mapping[int, SSAValue] | None = None) -> None:
        """Append `op` with its new operands (but for those in `operands`); its results are stacked along `axes`."""
        new = type(op).create(
            operands=[(operands or {}).get(i, self.value(operand)) for i, operand in enumerate(op.operands)],
            result_types=[self.stacked_type(result, axis) for result, axis in zip(op.results, axes, strict=True)],
            properties=dict(op.properties),
            attributes=dict(op.attributes),
            regions=[region.clone() for region in op.regions],
        )
        new.location = op.location
        self.emit(new)
        for old, result, axis in zip(op.results, new.results, axes, strict=True):
            self.define(old, result, axis)
