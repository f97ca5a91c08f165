"""com.microsoft.MatMulNBits: a float product whose weight is packed in 2, 4 or 8 bits, with a scale for each block."""

from math import prod

import numpy as np
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import Array, numpy_dtype, tensor_of
from ...dialects.onnx import attr_int, operand
from ...dialects.values import shape_of, tensor_type
from .constants import array_of, is_constant, make_constant, make_missing
from .family import Family
from .matmul import matmul
from .site import Site


def unpacked(packed: Array, bits: int, row_bytes: int, count: int) -> Array:
    """The first `count` numbers of each row of `row_bytes` bytes; the first number is in a byte's low bits."""
    rows = packed.astype(np.uint8).reshape(-1, row_bytes)
    if bits == 8:
        return rows[:, :count]
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (rows[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
    return numbers.reshape(rows.shape[0], -1)[:, :count]


def dequantised(op: Operation) -> Array | None:
    """The weight as N x K floats of the scales' type; None where values are missing."""
    n, k, bits = attr_int(op, "N", 0), attr_int(op, "K", 0), attr_int(op, "bits", 4)
    size = attr_int(op, "block_size", 32)
    blocks = -(-k // size)
    packed, scales = array_of(op.operands[1]), array_of(op.operands[2])
    zeros_given = operand(op, 3)
    zeros = None if zeros_given is None else array_of(zeros_given)
    if packed is None or scales is None or (zeros_given is not None and zeros is None):
        return None
    codes = unpacked(packed, bits, size * bits // 8, size).reshape(n, blocks, size)
    if zeros is None:
        zero = np.full((n, blocks), 1 << (bits - 1), np.float32)
    elif zeros.dtype == np.uint8:
        zero = unpacked(zeros, bits, -(-blocks * bits // 8), blocks).astype(np.float32)
    else:
        zero = zeros.astype(np.float32).reshape(n, blocks)
    values = (codes.astype(np.float32) - zero[:, :, None]) * scales.astype(np.float32).reshape(n, blocks, 1)
    return values.reshape(n, blocks * size)[:, :k]


def lower_nbits(site: Site) -> None:
    """A product with the unpacked weight, N x K."""
    op = site.op
    n, k = attr_int(op, "N", 0), attr_int(op, "K", 0)
    type = tensor_type(op.results[0])
    values, hint = dequantised(op), op.operands[1].name_hint
    if values is None:
        w = make_missing(site, tensor_of((n, k), type.element_type), f"{hint}.dequantised", hint)
    else:
        w = make_constant(site, values.astype(numpy_dtype(type.element_type)), f"{hint}.dequantised", hint)
    bias = operand(op, 5)
    fixed = bias if bias is not None and is_constant(bias) else None
    y = matmul(site, op.operands[0], w, type, transposed=True, bias=fixed)
    site.replace(y if bias is None or fixed is not None else _plus(site, y, bias))


def _plus(site: Site, y: SSAValue, bias: SSAValue) -> SSAValue:
    return site.onnx("Add", [y, bias], y.type)


def takes_nbits(op: Operation) -> bool:
    """With a constant weight, and without a permutation of its inputs."""
    constants = all(value is None or is_constant(value) for value in (operand(op, i) for i in (1, 2, 3)))
    return constants and operand(op, 4) is None and attr_int(op, "bits", 4) in (2, 4, 8)


def nbits_macs(op: Operation) -> int:
    """One for each output value and each of the K inputs."""
    return prod(shape_of(op.results[0])) * attr_int(op, "K", 0)


FAMILIES = {
    "com.microsoft.MatMulNBits": Family(
        lower_nbits, nbits_macs, takes=takes_nbits, weights=lambda op: attr_int(op, "N", 0) * attr_int(op, "K", 0)
    )
}
