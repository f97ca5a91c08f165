"""The pass `fold-batch-norm`: BatchNormalization after a product with a static weight goes into that weight."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from ..dialects.constants import Array, tensor_of
from ..dialects.onnx import attr_float, attr_int, make_op, operand
from ..dialects.values import producer, shape_of, tensor_type
from .lowering.constants import computed, is_constant
from .lowering.site import Site, erase_dead, opset, top_ops


@dataclass(frozen=True)
class FoldBatchNorm(ModulePass):
    """Scale the weight of Conv, ConvTranspose, Gemm or MatMul by the normalisation that follows it.

    Before:
        %c = "onnx.Conv"(%x, %w) : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
        %n = "onnx.BatchNormalization"(%c, %gamma, %beta, %mean, %var) : (...) -> tensor<1x4x8x8xf32>
    After:
        %n = "onnx.Conv"(%x, %w.normalised, %bias) : (...) -> tensor<1x4x8x8xf32>

    A weight without values stays one. A normalisation before a product, or alone, is digital work.
    """

    name = "fold-batch-norm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        version = opset(op)
        for norm in top_ops(op):
            product = producer(norm.operands[0]) if norm.name == "onnx.BatchNormalization" else None
            if product is not None and _fits(norm, product):
                _fold(Site(norm, version), product)
        erase_dead(op)


def _fits(norm: Operation, product: Operation) -> bool:
    """Whether `norm` scales the outputs of `product` by constants, and nobody else wants them unscaled."""
    if attr_int(norm, "training_mode", 0) or len(norm.results) > 1 or attr_int(norm, "spatial", 1) != 1:
        return False
    if not all(is_constant(value) for value in norm.operands[1:5]) or len(list(product.results[0].uses)) != 1:
        return False
    if product.name not in ("onnx.Conv", "onnx.ConvTranspose", "onnx.Gemm", "onnx.MatMul"):
        return False
    bias = operand(product, 2)
    if not is_constant(product.operands[1]) or (bias is not None and not is_constant(bias)):
        return False
    if product.name == "onnx.MatMul":  # the normalised dimension is the second one
        return len(shape_of(product.results[0])) == 2 and len(shape_of(product.operands[1])) == 2
    # Gemm adds beta * C to alpha * A B: fold only where the outputs are all of C's dimensions.
    return product.name != "onnx.Gemm" or (
        attr_float(product, "beta", 1.0) == 1
        and (bias is None or shape_of(bias) in ((1,), (shape_of(product.results[0])[1],)))
    )


def _outputs_axis(product: Operation) -> int:
    """Which dimension of the weight counts the outputs (within a group, for ConvTranspose)."""
    if product.name == "onnx.Gemm":
        return 0 if attr_int(product, "transB", 0) else 1
    return 0 if product.name == "onnx.Conv" else 1


def _fold(site: Site, product: Operation) -> None:
    gamma, beta, mean, variance = site.op.operands[1:5]
    epsilon = attr_float(site.op, "epsilon", 1e-5)
    w, bias = product.operands[1], operand(product, 2)
    outputs = shape_of(gamma)[0]
    shape = shape_of(w)
    axis, groups = _outputs_axis(product), attr_int(product, "group", 1)

    def factor(gamma: Array, variance: Array) -> Array:
        return gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)

    def weight(values: Sequence[Array]) -> Array:
        w, gamma, variance = values
        factors = factor(gamma, variance)
        if product.name != "onnx.ConvTranspose" or groups == 1 or factors.size == 1:
            return w * factors.reshape([-1 if i == axis else 1 for i in range(w.ndim)])
        blocks = w.reshape(groups, shape[0] // groups, *shape[1:])  # C x O / groups: outputs count on over groups
        return (blocks * factors.reshape(groups, 1, -1, *(1 for _ in shape[2:]))).reshape(shape)

    def rest(values: Sequence[Array]) -> Array:
        beta, mean, gamma, variance, *before = values
        return beta + (sum(before) - mean) * factor(gamma, variance)

    new_w = computed(site, [w, gamma, variance], tensor_type(w), weight, "normalised")
    type = tensor_of((outputs,), tensor_type(w).element_type)
    sources = [beta, mean, gamma, variance] if bias is None else [beta, mean, gamma, variance, bias]
    new_bias = computed(site, sources, type, rest, "normalised")
    y_type = site.op.results[0].type
    if product.name == "onnx.MatMul":
        y = site.onnx("MatMul", [product.operands[0], new_w], y_type)
        site.replace(site.onnx("Add", [y, new_bias], y_type))
        return
    name = product.name.removeprefix("onnx.")
    new = site.add(make_op(name, [product.operands[0], new_w, new_bias], [y_type], dict(product.properties)))
    new.location = product.location  # the product is the work that stays
    site.replace(new.results[0])
