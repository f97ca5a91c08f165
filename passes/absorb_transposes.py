"""The pass `absorb-transposes`: a Transpose before a weight becomes a way of reading it."""

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, UnitAttr
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.h3 import MatmulOp
from ..dialects.values import producer, shape_of
from .lowering.site import Site, erase_dead, is_swap, opset, top_ops


@dataclass(frozen=True)
class AbsorbTransposes(ModulePass):
    """Let h3.matmul read the weight that a Transpose of the last two dimensions makes, as it was before.

    Before:
        %kt = "onnx.Transpose"(%k) <perm = [1, 0]> : (tensor<64x32xf32>) -> tensor<32x64xf32>
        %s = h3.matmul %q, %kt : (tensor<64x32xf32>, tensor<32x64xf32>) -> tensor<64x64xf32>
    After:
        %s = h3.matmul %q, %k transposed : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x64xf32>

    Where the transposed weight is scaled by a number first, as attention scales its keys, the two change places.
    """

    name = "absorb-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        version = opset(op)
        for product in top_ops(op):
            while isinstance(product, MatmulOp) and (source := _untransposed(product, version)) is not None:
                product.operands[1] = source
                if product.transposed is None:
                    product.transposed = UnitAttr()
                else:
                    product.transposed = None
        erase_dead(op)


def _untransposed(product: MatmulOp, version: int) -> SSAValue | None:
    """The weight without the Transpose that made it; None if none did."""
    op = producer(product.w)
    if op is not None and is_swap(op):
        return op.operands[0]
    return None if op is None else _scaled_before(op, version)


def _scaled_before(op: Operation, version: int) -> SSAValue | None:
    """`x * number` for an op that is `transpose(x) * number`, made just for one product."""
    if op.name not in ("onnx.Mul", "onnx.Div") or len(list(op.results[0].uses)) != 1:
        return None
    left, right = op.operands
    transpose, number = producer(left), right
    if op.name == "onnx.Mul" and prod(shape_of(left)) == 1:
        transpose, number = producer(right), left
    if transpose is None or not is_swap(transpose) or prod(shape_of(number)) != 1:
        return None
    if len(shape_of(number)) > len(shape_of(op.results[0])):
        return None
    source = transpose.operands[0]
    scaled = Site(op, version).onnx(op.name.removeprefix("onnx."), [source, number], source.type)
    scaled.name_hint = op.results[0].name_hint
    return scaled
