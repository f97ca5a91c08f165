"""The pass `absorb-quantisation`: a product of dequantised values becomes a product of integers with a scale."""

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.constants import tensor_of
from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.onnx import attr_int, make_op, operand
from ..dialects.values import producer, shape_of, tensor_type
from .fold_constants import fold_ops
from .lowering.constants import computed, is_constant, scalar_of
from .lowering.integer import product_scale, without_zero_point, zero_of, zero_weight
from .lowering.products import remade
from .lowering.site import Site, erase_dead, opset, top_ops

_VIEWS = ("onnx.Reshape", "onnx.Flatten", "onnx.Squeeze", "onnx.Unsqueeze", "onnx.Transpose")


@dataclass(frozen=True)
class AbsorbQuantisation(ModulePass):
    """Take the DequantizeLinear of both factors into the product; that of a weight alone is computed now.

    Before:
        %xf = "onnx.DequantizeLinear"(%x, %sx, %zx) : (tensor<1x64xi8>, tensor<f32>, tensor<i8>) -> tensor<1x64xf32>
        %wf = "onnx.DequantizeLinear"(%w, %sw) <axis = 1> : (tensor<64x10xi8>, tensor<10xf32>) -> tensor<64x10xf32>
        %y = h3.matmul %xf, %wf bias %b : (tensor<1x64xf32>, tensor<64x10xf32>, tensor<10xf32>) -> tensor<1x10xf32>
    After:
        %y = h3.matmul %x, %w bias %b scale %s zero_point -3 : (tensor<1x64xi8>, tensor<64x10xi8>, ...) -> ...

    `scale` is that of x times that of w. The zero point of a weight is folded into its values (i8 where they fit, else
    i16). What comes after, QuantizeLinear included, stays digital. A weight with one scale an input or a block, or
    against an input of floats, becomes floats.
    """

    name = "absorb-quantisation"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        version = opset(op)
        views: dict[SSAValue, SSAValue] = {}
        for product in top_ops(op):
            if isinstance(product, MatmulOp | ConvOp):
                _absorb(Site(product, version), product, views)
        erase_dead(op)
        # What is left of dequantised weights meets inputs of floats.
        fold_ops(op, [found for found in top_ops(op) if _weight_alone(found)])
        erase_dead(op)


@dataclass(frozen=True)
class _Dequantised:
    """`(codes - zero) * scale`"""

    codes: SSAValue
    scale: SSAValue
    zero: SSAValue | None
    views: tuple[Operation, ...] = ()
    """What reshapes the dequantised value before the product reads it, last first."""


def _dequantised(value: SSAValue) -> _Dequantised | None:
    """Where `value` comes from, if that is a DequantizeLinear with one scale, through views."""
    views: list[Operation] = []
    op = producer(value)
    while op is not None and op.name in _VIEWS and _only_for_products(op.results[0]):
        views.append(op)
        op = producer(op.operands[0])
    if op is None or op.name != "onnx.DequantizeLinear" or attr_int(op, "block_size", 0):
        return None
    codes, scale = op.operands[:2]
    if not isinstance(tensor_type(codes).element_type, IntegerType) or not is_constant(scale):
        return None
    return _Dequantised(codes, scale, operand(op, 2), tuple(views))


def _only_for_products(value: SSAValue) -> bool:
    """Whether nothing but products and other views reads `value`, so that nobody wants it in floats."""
    users = [use.operation for use in value.uses]
    return len(users) == 1 or all(isinstance(user, MatmulOp | ConvOp) for user in users)


def _absorb(site: Site, product: MatmulOp | ConvOp, views: dict[SSAValue, SSAValue]) -> None:
    """`views`: the codes behind a view that another product read before."""
    x, w = _dequantised(product.x), _dequantised(product.w)
    if x is None or w is None or w.views or prod(shape_of(x.scale)) != 1:
        return
    if x.zero is not None and scalar_of(x.zero) is None:
        return
    axis = _outputs_axis(product)
    if not _along_outputs(product, w, axis) or not zero_weight(w.codes, w.zero):
        return
    codes = without_zero_point(site, w.codes, w.zero, axis)
    scale = product_scale(site, x.scale, w.scale)
    if product.scale is not None:
        longer = max(scale, product.scale, key=lambda value: prod(shape_of(value)))
        scale = computed(site, [scale, product.scale], tensor_type(longer), lambda s: s[0] * s[1], "scale")
    y = remade(
        site,
        product,
        _through_views(site, x, views),
        codes,
        bias=product.bias,
        scale=scale,
        zero_point=zero_of(x.zero),
    )
    site.replace(y)


def _outputs_axis(product: MatmulOp | ConvOp) -> int:
    rank = len(shape_of(product.w))
    if isinstance(product, ConvOp):
        return 0
    return rank - 2 if product.transposed is not None else rank - 1


def _along_outputs(product: MatmulOp | ConvOp, w: _Dequantised, axis: int) -> bool:
    """Whether the weight has one scale and zero point in all, or one an output."""
    sizes = {prod(shape_of(value)) for value in (w.scale, w.zero) if value is not None}
    if sizes == {1}:
        return True
    op = producer(product.w)
    assert op is not None
    rank = len(shape_of(w.codes))
    given = attr_int(op, "axis", 1) % rank
    return given == axis and sizes <= {1, product.outputs} and is_constant(w.codes)


def _through_views(site: Site, x: _Dequantised, known: dict[SSAValue, SSAValue]) -> SSAValue:
    """The codes of x, reshaped as x was."""
    value = x.codes
    for view in reversed(x.views):
        if view.results[0] in known:
            value = known[view.results[0]]
            continue
        type = tensor_of(shape_of(view.results[0]), tensor_type(value).element_type)
        op = make_op(view.name.removeprefix("onnx."), [value, *view.operands[1:]], [type], dict(view.properties))
        value = site.add(op).results[0]
        value.name_hint = view.results[0].name_hint
        known[view.results[0]] = value
    return value


def _weight_alone(op: Operation) -> bool:
    """Whether `op` dequantises a constant that a product reads."""
    if op.name != "onnx.DequantizeLinear" or not all(is_constant(v) for v in op.operands):
        return False
    return all(isinstance(use.operation, MatmulOp | ConvOp) for use in op.results[0].uses)
