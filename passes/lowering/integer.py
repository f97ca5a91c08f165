"""Products of integers: MatMulInteger, ConvInteger, and what com.microsoft makes of them."""

from collections.abc import Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import f32, i16, i32
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import Array, element_type, tensor_of
from ...dialects.onnx import make_op, operand
from ...dialects.values import shape_of, tensor_type
from .constants import (
    array_of,
    computed,
    is_constant,
    is_missing,
    make_constant,
    make_missing,
    reshaped,
    scalar_of,
)
from .conv import conv, geometry
from .family import Family
from .matmul import matmul
from .site import Site


def zero_weight(w: SSAValue, zero: SSAValue | None) -> bool:
    """Whether the zero point of a weight can be folded into it, or is 0 anyway."""
    if zero is None or scalar_of(zero) == 0:
        return True
    return is_constant(w) and is_constant(zero)


def without_zero_point(site: Site, w: SSAValue, zero: SSAValue | None, axis: int) -> SSAValue:
    """`w - zero`, as i8 where all of it fits, else i16. A vector of zero points goes along `axis` of w."""
    if zero is None or scalar_of(zero) == 0 or is_missing(zero):
        return w
    values, zeros = array_of(w), array_of(zero)
    shape = shape_of(w)
    if values is None or zeros is None:
        return make_missing(site, tensor_of(shape, i16), "weight", w.name_hint)
    along = [1] * len(shape)
    if zeros.size > 1:
        along[axis] = zeros.size
    if not zeros.any():
        return w
    shifted = values.astype(np.int16) - zeros.astype(np.int16).reshape(along)
    fits = shifted.size == 0 or (shifted.min() >= -128 and shifted.max() <= 127)
    return make_constant(site, shifted.astype(np.int8) if fits else shifted, f"{w.name_hint}.shifted", w.name_hint)


def fixed_zero(zero: SSAValue | None) -> bool:
    """Whether the zero point of x is one number that is known."""
    return zero is None or scalar_of(zero) is not None


def zero_of(zero: SSAValue | None) -> int:
    """The zero point of x; 0 where there is none."""
    number = scalar_of(zero)
    return 0 if number is None else int(number)


def integer_matmul(site: Site, x: SSAValue, w: SSAValue, x_zero: SSAValue | None, w_zero: SSAValue | None) -> SSAValue:
    """`(x - x_zero) @ (w - w_zero)` as i32.

    A zero point that is only known at run time is taken off afterwards: `x @ w - x_zero * sums of w's columns`.
    """
    w = without_zero_point(site, w, w_zero, -1)
    shape = tuple(tensor_type(site.op.results[0]).get_shape())
    type = tensor_of(shape, i32)
    if fixed_zero(x_zero):
        return matmul(site, x, w, type, zero_point=zero_of(x_zero))
    assert x_zero is not None
    y = matmul(site, x, w, type)
    columns = tensor_of(shape_of(w)[-1:], i32)
    values = array_of(w)
    if values is None:
        sums = make_missing(site, columns, "sums")
    else:
        sums = make_constant(site, values.astype(np.int32).sum(axis=0, dtype=np.int32), f"{w.name_hint}.sums")
    rows = shape_of(x_zero)
    zero = site.onnx("Cast", [x_zero], tensor_of(rows, i32), to=6)
    if len(rows) == 1 and rows[0] > 1:  # one zero point a row
        zero = site.reshape(zero, [rows[0], 1])
    offset_shape = (*shape_of(zero)[:-1], shape[-1])
    offset = site.onnx("Mul", [zero, sums], tensor_of(offset_shape, i32))
    return site.onnx("Sub", [y, offset], type)


def takes_matmul_integer(op: Operation) -> bool:
    """Zero points of the weight are constants; where that of x is not, the weight is a constant matrix."""
    w, x_zero = op.operands[1], operand(op, 2)
    if len(shape_of(w)) < 2 or len(shape_of(op.operands[0])) < 1 or not zero_weight(w, operand(op, 3)):
        return False
    return fixed_zero(x_zero) or (is_constant(w) and len(shape_of(w)) == 2 and x_zero is not None and _known(x_zero))


def _known(zero: SSAValue) -> bool:
    return len(shape_of(zero)) <= 1


def lower_matmul_integer(site: Site) -> None:
    """MatMulInteger: a product of integers, in i32."""
    x, w = site.op.operands[:2]
    site.replace(integer_matmul(site, x, w, operand(site.op, 2), operand(site.op, 3)))


def takes_conv_integer(op: Operation) -> bool:
    """As for MatMulInteger."""
    w = op.operands[1]
    x_zero = operand(op, 2)
    return zero_weight(w, operand(op, 3)) and (fixed_zero(x_zero) or is_constant(w))


def lower_conv_integer(site: Site) -> None:
    """As `integer_matmul`; at the border a window sees fewer weights, so their sum depends on the position."""
    op = site.op
    x, x_zero, type = op.operands[0], operand(op, 2), tensor_type(op.results[0])
    w = without_zero_point(site, op.operands[1], operand(op, 3), 0)
    window = geometry(op, w).window()
    if fixed_zero(x_zero):
        site.replace(conv(site, x, w, window, type, zero_point=zero_of(x_zero)))
        return
    assert x_zero is not None
    y = conv(site, x, w, window, type)
    sums_type = tensor_of((1, *type.get_shape()[1:]), i32)
    values = array_of(w)
    if values is None:
        sums = make_missing(site, sums_type, "sums")
    else:
        sums = make_constant(site, _window_sums(op, values, shape_of(x)), f"{w.name_hint}.sums")
    zero = site.onnx("Cast", [x_zero], tensor_of(shape_of(x_zero), i32), to=6)
    offset = site.onnx("Mul", [zero, sums], sums_type)
    site.replace(site.onnx("Sub", [y, offset], type))


def _window_sums(op: Operation, weight: Array, x_shape: tuple[int, ...]) -> Array:
    """The sum of the weights that each position of the window sees."""
    from ...runtime_sim.windows import Window, columns

    shape = geometry(op, op.operands[1])
    window = Window(shape.kernel, shape.strides, shape.pads, shape.dilations, shape.groups)
    seen = columns(np.ones((1, *x_shape[1:]), np.int32), window)  # 1, groups, K, positions
    blocks = weight.astype(np.int32).reshape(shape.groups, -1, seen.shape[2])
    positions = shape_of(op.results[0])[2:]
    return np.matmul(blocks, seen).astype(np.int32).reshape(1, weight.shape[0], *positions)


def product_scale(site: Site, x_scale: SSAValue, w_scale: SSAValue, factor: float = 1.0) -> SSAValue:
    """`x_scale * w_scale * factor` as the scale of a product: one value, or one an output."""
    size = max(prod(shape_of(x_scale)), prod(shape_of(w_scale)))

    def work(scales: Sequence[Array]) -> Array:
        w, x = scales
        return (x.reshape(-1).astype(np.float64) * w.reshape(-1) * factor).astype(np.float32)

    return computed(site, [w_scale, x_scale], tensor_of((size,), f32), work, "scale")


def constants(*values: SSAValue | None) -> bool:
    """Whether all that are given are constants."""
    return all(value is None or is_constant(value) for value in values)


def one_value(value: SSAValue | None) -> bool:
    """Whether a scale or zero point is one number for the whole tensor."""
    return value is None or prod(shape_of(value)) == 1


def product_macs(op: Operation) -> int:
    """One for each output value and each of x's columns."""
    return prod(shape_of(op.results[0])) * shape_of(op.operands[0])[-1]


def takes_to_float(op: Operation) -> bool:
    """com.microsoft.MatMulIntegerToFloat: as MatMulInteger, its zero points being operands 4 and 5."""
    w, x_zero = op.operands[1], operand(op, 4)
    if len(shape_of(w)) != 2 or not zero_weight(w, operand(op, 5)):
        return False
    return fixed_zero(x_zero) or (is_constant(w) and x_zero is not None and _known(x_zero))


def lower_to_float(site: Site) -> None:
    """`((x - x_zero) @ (w - w_zero)) * (x_scale * w_scale) + bias`"""
    op = site.op
    x, w, x_scale, w_scale = op.operands[:4]
    bias = operand(op, 6)
    if not (fixed_zero(operand(op, 4)) and constants(x_scale, w_scale) and one_value(x_scale)):
        y = integer_matmul(site, x, w, operand(op, 4), operand(op, 5))
        site.replace(_scaled_digitally(site, y, x_scale, w_scale, bias))
        return
    scale = product_scale(site, x_scale, w_scale)
    w = without_zero_point(site, w, operand(op, 5), -1)
    fixed = reshaped(site, bias, [prod(shape_of(bias))]) if bias is not None and is_constant(bias) else None
    type = tensor_type(op.results[0])
    y = matmul(site, x, w, type, bias=fixed, scale=scale, zero_point=zero_of(operand(op, 4)))
    site.replace(y if bias is None or fixed is not None else site.onnx("Add", [y, bias], type))


def _scaled_digitally(site: Site, y: SSAValue, x_scale: SSAValue, w_scale: SSAValue, bias: SSAValue | None) -> SSAValue:
    """`float(y) * (x_scale * w_scale) + bias` at run time."""
    type = tensor_type(site.op.results[0])
    rows = shape_of(x_scale)
    if len(rows) == 1 and rows[0] > 1:
        x_scale = site.reshape(x_scale, [rows[0], 1])
    y = site.onnx("Cast", [y], type, to=1)
    shape = np.broadcast_shapes(shape_of(x_scale), shape_of(w_scale))
    scale = site.onnx("Mul", [x_scale, w_scale], tensor_of(shape, f32))
    y = site.onnx("Mul", [y, scale], type)
    return y if bias is None else site.onnx("Add", [y, bias], type)


def takes_dynamic(op: Operation) -> bool:
    """com.microsoft.DynamicQuantizeMatMul with a constant matrix as its weight."""
    w, zero = op.operands[1], operand(op, 3)
    return is_constant(w) and len(shape_of(w)) == 2 and zero_weight(w, zero)


def lower_dynamic(site: Site) -> None:
    """DynamicQuantizeLinear of x, an integer product, and the scales at run time."""
    op = site.op
    x, w, w_scale = op.operands[:3]
    types = [tensor_of(shape_of(x), element_type(np.uint8)), tensor_of((), f32), tensor_of((), element_type(np.uint8))]
    codes, x_scale, x_zero = site.add(make_op("DynamicQuantizeLinear", [x], types)).results
    y = integer_matmul(site, codes, w, x_zero, operand(op, 3))
    site.replace(_scaled_digitally(site, y, x_scale, w_scale, operand(op, 4)))


FAMILIES = {
    "MatMulInteger": Family(lower_matmul_integer, product_macs, takes=takes_matmul_integer),
    "ConvInteger": Family(
        lower_conv_integer,
        lambda op: prod(shape_of(op.results[0])) * prod(shape_of(op.operands[1])[1:]),
        takes=takes_conv_integer,
    ),
    "com.microsoft.MatMulIntegerToFloat": Family(lower_to_float, product_macs, takes=takes_to_float),
    "com.microsoft.DynamicQuantizeMatMul": Family(lower_dynamic, product_macs, takes=takes_dynamic),
}
