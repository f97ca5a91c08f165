"""QLinearMatMul, QLinearConv and com.microsoft.QGemm: products of quantised values with quantised results.

The product gives the result in units of its own step (`scale` = x_scale * w_scale / y_scale), as onnxruntime does,
so that the QuantizeLinear that rounds it, at run time, has a scale of 1.
"""

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import TensorType, f32
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import Array, tensor_of
from ...dialects.onnx import attr_float, attr_int, operand
from ...dialects.values import shape_of, tensor_type
from .constants import computed, is_constant, make_splat, reshaped
from .conv import conv, geometry
from .family import Family
from .integer import constants, fixed_zero, one_value, product_macs, without_zero_point, zero_of, zero_weight
from .matmul import matmul
from .site import Site


def _step_scale(
    site: Site, x_scale: SSAValue, w_scale: SSAValue, y_scale: SSAValue | None, alpha: float = 1.0
) -> SSAValue:
    """`alpha * x_scale * w_scale / y_scale`, rounded as onnxruntime does."""

    def work(scales: Sequence[Array]) -> Array:
        w, x, *y = (scale.reshape(-1) for scale in scales)
        product = np.float32(alpha) * x * w
        return product / y[0] if y else product

    sources = [w_scale, x_scale] if y_scale is None else [w_scale, x_scale, y_scale]
    return computed(site, sources, tensor_of((prod(shape_of(w_scale)),), f32), work, "scale")


def _scaled_bias(site: Site, bias: SSAValue, scale: SSAValue) -> SSAValue:
    """An i32 bias, which counts in units of the product, as floats."""
    flat = reshaped(site, bias, [prod(shape_of(bias))])
    size = max(prod(shape_of(bias)), prod(shape_of(scale)))
    return computed(site, [flat, scale], tensor_of((size,), f32), lambda v: v[0].astype(np.float64) * v[1], "bias")


def _rounded(site: Site, y: SSAValue, zero: SSAValue | None) -> SSAValue:
    """`y`, which is in units of steps, as codes."""
    one = make_splat(site, 1.0, tensor_of((), f32), "one")
    return site.onnx("QuantizeLinear", [y, one] if zero is None else [y, one, zero], site.op.results[0].type)


def _float_result(site: Site) -> TensorType:
    return tensor_of(tuple(tensor_type(site.op.results[0]).get_shape()), f32)


def takes_qlinear_matmul(op: Operation) -> bool:
    """Scales and zero points are constants, one number each; the weight may have one an output."""
    _, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = (operand(op, i) for i in range(8))
    if w is None or len(shape_of(w)) != 2 or not constants(x_scale, x_zero, w_scale, w_zero, y_scale):
        return False
    ones = all(one_value(value) for value in (x_scale, x_zero, y_scale, y_zero))
    sizes = {1, shape_of(w)[-1]}
    wide = all(value is None or prod(shape_of(value)) in sizes for value in (w_scale, w_zero))
    return ones and wide and fixed_zero(x_zero) and zero_weight(w, w_zero)


def lower_qlinear_matmul(site: Site) -> None:
    """A product of integers in units of steps, and rounding."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale = site.op.operands[:7]
    scale = _step_scale(site, x_scale, w_scale, y_scale)
    w = without_zero_point(site, w, w_zero, -1)
    y = matmul(site, x, w, _float_result(site), scale=scale, zero_point=zero_of(x_zero))
    site.replace(_rounded(site, y, operand(site.op, 7)))


def takes_qlinear_conv(op: Operation) -> bool:
    """Constants for all but x; one scale and zero point for x and for y."""
    _, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias = (operand(op, i) for i in range(9))
    if w is None or not constants(x_scale, x_zero, w_scale, w_zero, y_scale, bias):
        return False
    ones = all(one_value(value) for value in (x_scale, x_zero, y_scale, y_zero))
    return ones and fixed_zero(x_zero) and zero_weight(w, w_zero)


def lower_qlinear_conv(site: Site) -> None:
    """As QLinearMatMul; the i32 bias counts in units of the product."""
    op = site.op
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale = op.operands[:7]
    scale, bias = _step_scale(site, x_scale, w_scale, y_scale), operand(op, 8)
    window = geometry(op, w).window()
    w = without_zero_point(site, w, w_zero, 0)
    bias = None if bias is None else _scaled_bias(site, bias, scale)
    y = conv(site, x, w, window, _float_result(site), bias=bias, scale=scale, zero_point=zero_of(x_zero))
    site.replace(_rounded(site, y, operand(op, 7)))


def qlinear_conv_macs(op: Operation) -> int:
    """As for Conv; the weight is operand 3."""
    return prod(shape_of(op.results[0])) * prod(shape_of(op.operands[3])[1:])


def takes_qgemm(op: Operation) -> bool:
    """Constants for all but x, and a bias that has one value an output."""
    _, x_scale, x_zero, w, w_scale, w_zero, bias, y_scale, y_zero = (operand(op, i) for i in range(9))
    if w is None or not is_constant(w) or not constants(x_scale, x_zero, w_scale, w_zero, y_scale, bias):
        return False
    n = shape_of(op.results[0])[-1]
    flat = bias is None or (prod(shape_of(bias)) in (1, n) and (shape_of(bias) or (1,))[-1] in (1, n))
    ones = all(one_value(value) for value in (x_scale, x_zero, y_scale, y_zero))
    return ones and flat and fixed_zero(x_zero) and zero_weight(w, w_zero)


def lower_qgemm(site: Site) -> None:
    """com.microsoft.QGemm: `alpha * x_scale * w_scale * ((x - x_zero)' @ (w - w_zero)' + bias)`, quantised if asked."""
    op = site.op
    x, x_scale, x_zero, w, w_scale, w_zero = op.operands[:6]
    bias, y_scale = operand(op, 6), operand(op, 7)
    transposed = attr_int(op, "transB", 0) != 0
    if attr_int(op, "transA", 0):
        x = site.transpose(x, [1, 0])
    scale = _step_scale(site, x_scale, w_scale, y_scale, attr_float(op, "alpha", 1.0))
    w = without_zero_point(site, w, w_zero, 0 if transposed else 1)
    bias = None if bias is None else _scaled_bias(site, bias, scale)
    zero = zero_of(x_zero)
    y = matmul(site, x, w, _float_result(site), transposed=transposed, bias=bias, scale=scale, zero_point=zero)
    site.replace(y if y_scale is None else _rounded(site, y, operand(op, 8)))


def qgemm_macs(op: Operation) -> int:
    """As for Gemm."""
    k = shape_of(op.operands[0])[-2 if attr_int(op, "transA", 0) else -1]
    return prod(shape_of(op.results[0])) * k


FAMILIES = {
    "QLinearMatMul": Family(lower_qlinear_matmul, product_macs, (0, 3), takes_qlinear_matmul),
    "QLinearConv": Family(lower_qlinear_conv, qlinear_conv_macs, (0, 3), takes_qlinear_conv),
    "com.microsoft.QGemm": Family(lower_qgemm, qgemm_macs, (0, 3), takes_qgemm),
}
