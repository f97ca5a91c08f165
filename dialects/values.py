"""What passes ask of a value: its shape, its place, whether it is a constant."""

from typing import TypeGuard

from xdsl.dialects.builtin import NoneAttr, SymbolRefAttr, TensorType, i32
from xdsl.ir import Attribute, Operation, OpResult, SSAValue
from xdsl.utils.exceptions import VerifyException


def is_tensor(type: Attribute) -> TypeGuard[TensorType]:
    """Whether a type is a tensor of known rank."""
    return isinstance(type, TensorType)


def tensor_type(value: SSAValue) -> TensorType:
    """The ranked tensor type of `value`; a value of another type is an error of the op that uses it."""
    if not is_tensor(value.type):
        raise VerifyException(f"expected a tensor of known rank, got {value.type}")
    return value.type


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The shape of a tensor; a dimension that is not known is negative."""
    return tuple(tensor_type(value).get_shape())


def place(value: SSAValue) -> Attribute | None:
    """Where a value is: None for off chip, `@chip::@buffer`, or `#tile.arrays<...>`."""
    encoding = tensor_type(value).encoding
    return None if isinstance(encoding, NoneAttr) else encoding


def placed(type: TensorType, at: Attribute | None) -> TensorType:
    """The same tensor at another place."""
    return TensorType(type.element_type, type.get_shape(), NoneAttr() if at is None else at)


def buffer() -> SymbolRefAttr:
    """The place of values in the chip's global buffer."""
    return SymbolRefAttr("chip", ["buffer"])


def producer(value: SSAValue) -> Operation | None:
    """The op that makes `value`; None for a block argument."""
    return value.op if isinstance(value, OpResult) else None


def static_weight(value: SSAValue) -> Operation | None:
    """The h3.weight, onnx.Constant, or tile.reorder of one, that `value` is the result of; None: made at run time."""
    op = producer(value)
    return op if op is not None and op.name in ("h3.weight", "onnx.Constant", "tile.reorder") else None


def check_order(order: SSAValue, outputs: int) -> None:
    """An order has an int32 for each output."""
    if tensor_type(order) != TensorType(i32, [outputs]):
        raise VerifyException(f"order has type {order.type}, expected an int32 for each of {outputs} outputs")
