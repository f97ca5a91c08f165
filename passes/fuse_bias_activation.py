"""The pass `fuse-bias-activation`: what a product's periphery can do after it becomes part of the product."""

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.h3_attributes import Activation
from ..dialects.onnx import attr_float, attr_str, operand
from ..dialects.values import producer, shape_of, tensor_type
from .lowering.constants import computed, is_constant, reshaped, scalar_of
from .lowering.matmul import per_output
from .lowering.products import remade
from .lowering.site import Site, erase_dead, opset, top_ops

_PLAIN = {"onnx.Relu": Activation.RELU, "onnx.Sigmoid": Activation.SIGMOID, "onnx.Tanh": Activation.TANH}


@dataclass(frozen=True)
class FuseBiasActivation(ModulePass):
    """Take into a product the Add of a constant with one value an output, and then an activation without parameters.

    Before:
        %m = h3.matmul %x, %w : (tensor<1x64xf32>, tensor<64x10xf32>) -> tensor<1x10xf32>
        %a = "onnx.Add"(%m, %b) : (tensor<1x10xf32>, tensor<10xf32>) -> tensor<1x10xf32>
        %y = "onnx.Relu"(%a) : (tensor<1x10xf32>) -> tensor<1x10xf32>
    After:
        %y = h3.matmul %x, %w bias %b activation relu : (...) -> tensor<1x10xf32>

    Only where nothing else uses the value in between. Activations: Relu, Clip to 0..6, Sigmoid, Tanh, exact Gelu.
    """

    name = "fuse-bias-activation"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        version = opset(op)
        for consumer in top_ops(op):
            if consumer.name == "onnx.Add":
                _fuse_bias(Site(consumer, version))
            elif (function := _activation(consumer)) is not None:
                _fuse_activation(Site(consumer, version), function)
        erase_dead(op)


def _product(value: SSAValue, result: SSAValue) -> MatmulOp | ConvOp | None:
    """The product that makes `value` for one user alone, if that gives a result of the same type in floats."""
    op = producer(value)
    if not isinstance(op, MatmulOp | ConvOp) or len(list(value.uses)) != 1 or value.type != result.type:
        return None
    integer = isinstance(tensor_type(value).element_type, IntegerType)
    return None if integer or op.function is not Activation.NONE else op


def _fuse_bias(site: Site) -> None:
    result = site.op.results[0]
    for value, addend in (tuple(site.op.operands), tuple(site.op.operands)[::-1]):
        op = _product(value, result)
        if op is None or not is_constant(addend):
            continue
        axis = len(shape_of(value)) - 1 if isinstance(op, ConvOp) else 1
        if not per_output(addend, op.outputs, axis) or len(shape_of(addend)) > len(shape_of(value)):
            continue
        bias = reshaped(site, addend, [prod(shape_of(addend))])
        if op.bias is not None:
            longer = max(op.bias, bias, key=lambda b: prod(shape_of(b)))
            bias = computed(site, [op.bias, bias], tensor_type(longer), lambda b: b[0] + b[1], "sum")
        site.replace(remade(site, op, op.x, op.w, bias=bias, scale=op.scale))
        return


def _activation(op: Operation) -> Activation | None:
    """The activation that `op` is, among those of h3."""
    if op.name == "onnx.Gelu":
        return Activation.GELU if attr_str(op, "approximate", "none") == "none" else None
    if op.name == "onnx.Clip":
        bounds = [
            attr_float(op, name, inf) if operand(op, i) is None else scalar_of(operand(op, i))
            for i, name, inf in ((1, "min", float("-inf")), (2, "max", float("inf")))
        ]
        return Activation.RELU6 if bounds == [0, 6] else None
    return _PLAIN.get(op.name)


def _fuse_activation(site: Site, function: Activation) -> None:
    op = _product(site.op.operands[0], site.op.results[0])
    if op is not None:
        site.replace(remade(site, op, op.x, op.w, bias=op.bias, scale=op.scale, activation=function))
