"""Products of h3 with other operands: what the passes after lowering change."""

from typing import Any

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from ...dialects.h3 import ConvOp, MatmulOp
from ...dialects.h3_attributes import Activation
from ...dialects.values import tensor_type
from .site import Site


def remade(
    site: Site,
    op: MatmulOp | ConvOp,
    x: SSAValue,
    w: SSAValue,
    *,
    bias: SSAValue | None,
    scale: SSAValue | None,
    zero_point: int | None = None,
    activation: Activation | None = None,
    type: TensorType | None = None,
) -> SSAValue:
    """`op` with these operands, made at `site`; what is not given is as it was. It keeps its location and parts."""
    given: dict[str, Any] = {
        "bias": bias,
        "scale": scale,
        "zero_point": op.zero if zero_point is None else zero_point,
        "activation": op.function if activation is None else activation,
        "parts": None if op.parts is None else op.placed,
    }
    result = type or tensor_type(op.result)
    if isinstance(op, ConvOp):
        new = ConvOp(x, w, result, window=op.window, **given)
    else:
        new = MatmulOp(x, w, result, transposed=op.transposed, **given)
    site.add(new)
    new.attributes = dict(op.attributes)
    new.location = op.location
    new.result.name_hint = op.result.name_hint
    return new.result
