"""MatMul, Gemm and their fused forms: products of matrices of floats."""

from math import prod

import numpy as np
from xdsl.dialects.builtin import BFloat16Type, Float16Type, TensorType, UnitAttr, f32
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import tensor_of
from ...dialects.h3 import MatmulOp
from ...dialects.onnx import attr_float, attr_int, attr_str, operand
from ...dialects.values import producer, shape_of, tensor_type
from .constants import computed, is_constant, make_splat, reshaped, root_constant
from .family import Family, float_operands
from .site import Site, is_swap, swap_last


def matmul(
    site: Site,
    x: SSAValue,
    w: SSAValue,
    type: TensorType,
    *,
    transposed: bool = False,
    bias: SSAValue | None = None,
    scale: SSAValue | None = None,
    zero_point: int = 0,
) -> SSAValue:
    """A new h3.matmul here."""
    flag = UnitAttr() if transposed else None
    op = MatmulOp(x, w, type, bias=bias, scale=scale, zero_point=zero_point, transposed=flag)
    return site.add(op).result


def transposed_matrix(site: Site, value: SSAValue) -> SSAValue:
    """`value` with its matrices transposed; what a Transpose already made of its operand is undone."""
    op = producer(value)
    if op is not None and is_swap(op):
        return op.operands[0]
    return site.transpose(value, swap_last(len(shape_of(value))))


def weight_is_left(a: SSAValue, b: SSAValue) -> bool:
    """Whether only the first factor is a constant, so that the product is computed transposed."""
    return root_constant(a) is not None and root_constant(b) is None


def lower_matmul(site: Site) -> None:
    """MatMul: an h3.matmul."""
    a, b = site.op.operands[:2]
    site.replace(product(site, a, b, tensor_type(site.op.results[0])))


def product(site: Site, a: SSAValue, b: SSAValue, type: TensorType, scale: SSAValue | None = None) -> SSAValue:
    """numpy's `a @ b`, with the constant of the two as the weight."""
    rank_a, rank_b = len(shape_of(a)), len(shape_of(b))
    element, shape = type.element_type, tuple(type.get_shape())
    if weight_is_left(a, b) and rank_a >= 2:
        if rank_b == 1 and rank_a == 2:
            return matmul(site, b, a, type, transposed=True, scale=scale)
        if rank_b >= 2:
            swapped = tensor_of((*shape[:-2], shape[-1], shape[-2]), element)
            y = matmul(site, transposed_matrix(site, b), a, swapped, transposed=True, scale=scale)
            return site.transpose(y, swap_last(len(shape)))
    if rank_b > 1:
        return matmul(site, a, b, type, scale=scale)
    column = reshaped(site, b, [shape_of(b)[0], 1])
    return site.reshape(matmul(site, a, column, tensor_of((*shape, 1), element), scale=scale), shape)


def constant_scale(site: Site, number: float, type: TensorType) -> SSAValue | None:
    """`number` as the scale of a product with a result of `type`; None for 1."""
    if number == 1:
        return None
    narrow = isinstance(type.element_type, Float16Type | BFloat16Type)
    return make_splat(site, number, tensor_of((1,), f32 if narrow else type.element_type), "scale")


def per_output(value: SSAValue, outputs: int, axis_from_end: int = 1) -> bool:
    """Whether `value` is a number, or broadcasts along the dimension of the outputs (counted from the end) alone."""
    shape = shape_of(value)
    if prod(shape) == 1:
        return True
    return prod(shape) == outputs and len(shape) >= axis_from_end and shape[-axis_from_end] == outputs


def lower_gemm(site: Site) -> None:
    """Gemm: an h3.matmul, its bias if C is one, and digital ops for what else there is."""
    site.replace(gemm(site))


def gemm(site: Site) -> SSAValue:
    """`alpha * A' @ B' + beta * C`."""
    op = site.op
    a, b = op.operands[:2]
    c = operand(op, 2)
    transpose_a, transpose_b = attr_int(op, "transA", 0) != 0, attr_int(op, "transB", 0) != 0
    beta = attr_float(op, "beta", 1.0)
    type = tensor_type(op.results[0])
    scale = constant_scale(site, attr_float(op, "alpha", 1.0), type)
    if c is not None and beta == 0:
        c = None
    m, n = type.get_shape()
    left = weight_is_left(a, b)
    outputs, axis = (m, 2) if left else (n, 1)
    bias = None
    if c is not None and is_constant(c) and per_output(c, outputs, axis):
        bias, c = _bias(site, c, beta), None
    if left:
        x = b if transpose_b else transposed_matrix(site, b)
        swapped = tensor_of((n, m), type.element_type)
        y = matmul(site, x, a, swapped, transposed=not transpose_a, bias=bias, scale=scale)
        y = site.transpose(y, [1, 0])
    else:
        x = transposed_matrix(site, a) if transpose_a else a
        y = matmul(site, x, b, type, transposed=transpose_b, bias=bias, scale=scale)
    return y if c is None else site.onnx("Add", [y, _scaled(site, c, beta)], type)


def _bias(site: Site, c: SSAValue, beta: float) -> SSAValue:
    """`beta * c` as the bias of a product."""
    flat = reshaped(site, c, [prod(shape_of(c))])
    if beta == 1:
        return flat
    return computed(site, [flat], tensor_type(flat), lambda values: values[0] * np.float32(beta), "beta")


def _scaled(site: Site, c: SSAValue, beta: float) -> SSAValue:
    """`beta * c` at run time."""
    if beta == 1:
        return c
    type = tensor_type(c)
    factor = make_splat(site, beta, tensor_of((), type.element_type), "beta")
    return site.onnx("Mul", [c, factor], type)


def lower_fused_matmul(site: Site) -> None:
    """com.microsoft.FusedMatMul: `alpha * A' @ B'`."""
    op = site.op
    a, b = op.operands[:2]
    if attr_int(op, "transA", 0):
        a = transposed_matrix(site, a)
    if attr_int(op, "transB", 0):
        b = site.transpose(b, swap_last(len(shape_of(b))))
    type = tensor_type(op.results[0])
    site.replace(product(site, a, b, type, constant_scale(site, attr_float(op, "alpha", 1.0), type)))


def plain_fused_matmul(op: Operation) -> bool:
    """Without permuted batch dimensions, and with matrices wherever it transposes."""
    batches = attr_int(op, "transBatchA", 0) or attr_int(op, "transBatchB", 0)
    vectors = any(
        attr_int(op, flag, 0) and len(shape_of(op.operands[i])) < 2 for i, flag in enumerate(("transA", "transB"))
    )
    return float_operands(op) and not batches and not vectors


FUSED_ACTIVATIONS = ("", "Relu", "Sigmoid", "Tanh")
"""The activations of com.microsoft's fused operators that have no parameter."""


def lower_fused_gemm(site: Site) -> None:
    """com.microsoft.FusedGemm: Gemm and an activation."""
    site.replace(activated(site, gemm(site)))


def activated(site: Site, value: SSAValue) -> SSAValue:
    """`value` after the activation that the op names, at run time (fuse-bias-activation takes it in)."""
    name = attr_str(site.op, "activation")
    return site.onnx(name, [value], value.type) if name else value


def plain_activation(op: Operation) -> bool:
    """Floats, and an activation without parameters."""
    return float_operands(op) and attr_str(op, "activation") in FUSED_ACTIVATIONS


def matmul_macs(op: Operation) -> int:
    """One for each output value and each of a's columns."""
    return prod(shape_of(op.results[0])) * shape_of(op.operands[0])[-1]


def gemm_macs(op: Operation) -> int:
    """As for MatMul, transA considered."""
    k = shape_of(op.operands[0])[-2 if attr_int(op, "transA", 0) else -1]
    return prod(shape_of(op.results[0])) * k


FAMILIES = {
    "MatMul": Family(lower_matmul, matmul_macs, takes=float_operands),
    "Gemm": Family(lower_gemm, gemm_macs, takes=float_operands),
    "com.microsoft.FusedMatMul": Family(lower_fused_matmul, gemm_macs, takes=plain_fused_matmul),
    "com.microsoft.FusedGemm": Family(lower_fused_gemm, gemm_macs, takes=plain_activation),
}
