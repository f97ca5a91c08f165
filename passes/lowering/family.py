"""What is known of one of ONNX's matrix operators: what it takes, how much work it is, how it is lowered."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import AnyFloat
from xdsl.ir import Operation, SSAValue

from ...dialects.onnx import CustomOp
from ...dialects.values import shape_of, tensor_type
from .constants import root_constant
from .site import Site


def always(op: Operation) -> bool:
    """For operators of which every form is matrix work."""
    return True


def float_operands(op: Operation) -> bool:
    """Whether the first operand holds floats: of integers, only codes of quantised values are matrix work."""
    return isinstance(tensor_type(op.operands[0]).element_type, AnyFloat)


@dataclass(frozen=True)
class Family:
    """One operator: `lower` rewrites it in place; the others only look."""

    lower: Callable[[Site], None]
    macs: Callable[[Operation], int]
    """Multiply-accumulates of the ONNX operator."""
    factors: tuple[int, ...] = (0, 1)
    """The indices of the operands of which one may be a static weight; the last, if several are constant."""
    takes: Callable[[Operation], bool] = always
    """Whether this form of the operator is matrix work; the others stay digital."""
    weights: Callable[[Operation], int] | None = None
    """Elements of the static weight, where it is not simply those of the operand (packed weights)."""

    def weight(self, op: Operation) -> SSAValue | None:
        """The constant that is the static weight; None for a product of two computed values."""
        for index in reversed(self.factors):
            if index < len(op.operands) and (root := root_constant(op.operands[index])) is not None:
                return root
        return None

    def weight_elements(self, op: Operation, weight: SSAValue) -> int:
        """How many weights `weight` holds."""
        return self.weights(op) if self.weights is not None else prod(shape_of(weight))


def op_key(op: Operation) -> str:
    """The operator's name with its domain, if that is not ai.onnx: `Gemm`, `com.microsoft.QGemm`."""
    if isinstance(op, CustomOp):
        return f"{op.domain.data}.{op.op_type.data}"
    return op.name.removeprefix("onnx.") if op.name.startswith("onnx.") else ""
