"""Digital ops that change nothing: adding 0, multiplying by 1, choosing always the same side."""

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from .constants import scalar_of
from .site import Site, erase_dead, opset, top_ops

_NEUTRAL = {"onnx.Add": 0, "onnx.Sub": 0, "onnx.Mul": 1, "onnx.Div": 1}


def drop_neutral(module: ModuleOp) -> None:
    """Drop such ops from @main: expanding a definition leaves many."""
    version = opset(module)
    for op in top_ops(module):
        kept = _kept(op)
        if kept is not None and kept.type == op.results[0].type:
            Site(op, version).replace(kept)
    erase_dead(module)


def _kept(op: Operation) -> SSAValue | None:
    """The operand that the result equals, if it is one."""
    if op.name == "onnx.Where":
        condition = scalar_of(op.operands[0])
        return None if condition is None else op.operands[1 if condition else 2]
    neutral = _NEUTRAL.get(op.name)
    if neutral is None:
        return None
    left, right = op.operands
    if scalar_of(right) == neutral:
        return left
    return right if op.name in ("onnx.Add", "onnx.Mul") and scalar_of(left) == neutral else None
