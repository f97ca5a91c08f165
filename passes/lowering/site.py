"""What every rewrite needs: to put ops where another stands, with its location and its names."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp, NoneType, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.traits import is_side_effect_free

from ...dialects.constants import tensor_of
from ...dialects.onnx import attr_ints, constant, make_op
from ...dialects.values import producer, shape_of, tensor_type
from ...runtime_sim.walk import main_function

OpT = TypeVar("OpT", bound=Operation)


class Site:
    """The place of `op`, which is being rewritten: what is made here stands just before it and has its location."""

    def __init__(self, op: Operation, opset: int):
        self.op = op
        self.opset = opset
        self._made: set[Operation] = set()

    def add(self, op: OpT) -> OpT:
        """Put `op` here."""
        op.location = self.op.location
        block = self.op.parent
        assert block is not None
        block.insert_op_before(op, self.op)
        self._made.add(op)
        return op

    def onnx(self, name: str, operands: Sequence[SSAValue], type: Attribute, **attributes: object) -> SSAValue:
        """The result of a new digital op with one result."""
        return self.add(make_op(name, operands, [type], attributes)).results[0]

    def ints(self, values: Sequence[int]) -> SSAValue:
        """An int64 list, as Reshape and Pad take it."""
        return self.add(constant(np.array(values, np.int64))).results[0]

    def reshape(self, value: SSAValue, shape: Sequence[int]) -> SSAValue:
        """`value` in another shape of as many elements; itself where the shape is the same."""
        if shape_of(value) == tuple(shape):
            return value
        type = tensor_of(tuple(shape), tensor_type(value).element_type)
        if self.opset < 5:
            return self.onnx("Reshape", [value], type, shape=list(shape))
        return self.onnx("Reshape", [value, self.ints(shape)], type)

    def transpose(self, value: SSAValue, perm: Sequence[int]) -> SSAValue:
        """`value` with its dimensions in the order `perm`; itself where that is no change."""
        if list(perm) == list(range(len(perm))):
            return value
        shape = shape_of(value)
        type = tensor_of(tuple(shape[axis] for axis in perm), tensor_type(value).element_type)
        return self.onnx("Transpose", [value], type, perm=list(perm))

    def replace(self, *values: SSAValue) -> None:
        """End the rewrite: the results of the op become `values` and take over their names; the op is erased."""
        for old, new in zip(self.op.results, values, strict=True):
            if producer(new) in self._made:
                new.name_hint = old.name_hint
            old.replace_all_uses_with(new)
        self.op.detach()
        self.op.erase()


def swap_last(rank: int) -> list[int]:
    """The permutation that transposes the matrices of a tensor of `rank` dimensions."""
    return [*range(rank - 2), rank - 1, rank - 2]


def is_swap(op: Operation | None) -> bool:
    """Whether `op` is an onnx.Transpose of the last two dimensions alone."""
    if op is None or op.name != "onnx.Transpose":
        return False
    rank = len(shape_of(op.operands[0]))
    return rank >= 2 and attr_ints(op, "perm", range(rank)[::-1]) == swap_last(rank)


def top_ops(module: ModuleOp) -> list[Operation]:
    """The ops of @main in order, without those in bodies of If, Loop and Scan; safe to rewrite while walking."""
    return list(main_function(module).body.block.ops)


def opset(module: ModuleOp) -> int:
    """The version of ai.onnx that the model uses."""
    from ...runtime_sim.onnx_graph import module_opset

    return module_opset(module)[""]


def erase_dead(module: ModuleOp) -> None:
    """Erase the ops of @main that nothing uses, and in turn those that only they used."""
    for op in reversed(main_function(module).body.block.ops):
        if op.results and not any(result.uses for result in op.results) and _removable(op):
            op.detach()
            op.erase()


def _removable(op: Operation) -> bool:
    # Random ops and loops have effects only so that nobody merges or reorders them.
    return op.name.startswith("onnx.") or is_side_effect_free(op)


def known_tensors(values: Iterable[SSAValue]) -> bool:
    """Whether all `values` are tensors of known shape (an operand that is left out counts as known)."""
    for value in values:
        if isinstance(value.type, NoneType):
            continue
        if not isinstance(value.type, TensorType) or any(size < 0 for size in value.type.get_shape()):
            return False
    return True
