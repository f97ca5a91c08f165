"""The pass `lower-matrix-ops`: ONNX's matrix operators become h3.matmul and h3.conv."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from .lowering.site import Site, erase_dead, opset


@dataclass(frozen=True)
class LowerMatrixOps(ModulePass):
    """Rewrite every operator of the table in lowering/table.py; all others are digital work and stay as they are.

    Before:
        %t = "onnx.Gemm"(%x, %w, %b) {transB = 1} : (tensor<1x64xf32>, tensor<10x64xf32>, tensor<10xf32>) -> ...
    After:
        %t = h3.matmul %x, %w transposed bias %b : (tensor<1x64xf32>, tensor<10x64xf32>, tensor<10xf32>) -> ...

    A product whose left factor is the constant one is computed transposed, so that the constant is the weight. What h3
    ops cannot say is done by digital ops around them (zero points known at run time, a bias that is no constant).
    Operators inside If, Loop and Scan stay digital.
    """

    name = "lower-matrix-ops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        from .fold_constants import fold
        from .lowering.attention import AttentionExpander
        from .lowering.neutral import drop_neutral
        from .lowering.table import matrix_ops

        version, expander = opset(op), AttentionExpander()
        attentions = [found for found, _ in matrix_ops(op) if found.name == "onnx.Attention"]
        for attention in attentions:
            expander.expand(Site(attention, version))
        if attentions:
            fold(op)
            drop_neutral(op)
        for found, family in matrix_ops(op):
            family.lower(Site(found, version))
        erase_dead(op)
