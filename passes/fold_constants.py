"""The pass `fold-constants`: what does not depend on the model's inputs is computed once, by onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, NoneType, TensorType
from xdsl.ir import Operation, SSAValue, Use
from xdsl.passes import ModulePass

from ..dialects.constants import MAX_INLINE_ELEMENTS, Array, numpy_dtype, to_array
from ..dialects.onnx import CustomOp, attr_int, attribute, operand
from ..dialects.onnx_base import OnnxOp
from ..dialects.onnx_ops import ConstantOfShapeOp
from ..dialects.values import shape_of, tensor_type
from ..runtime_sim.errors import InputError
from .lowering.constants import is_constant, is_missing, make_constant, make_missing, make_splat, scalar_of
from .lowering.site import Site, erase_dead, is_swap, known_tensors, opset, top_ops

MAX_GROWTH_ELEMENTS = 1 << 16
"""A result above this size, and larger than its operands, stays to be computed at run time."""

_NEVER = {
    "onnx.Constant",
    "onnx.Bernoulli",
    "onnx.Multinomial",
    "onnx.RandomNormal",
    "onnx.RandomNormalLike",
    "onnx.RandomUniform",
    "onnx.RandomUniformLike",
}
_PRODUCTS = ("onnx.MatMul", "onnx.Gemm", "onnx.Conv")


@dataclass(frozen=True)
class FoldConstants(ModulePass):
    """Compute what is constant; results of up to 64 elements become onnx.Constant, larger ones h3.weight.

    Before:
        %s = "onnx.Shape"(%x) : (tensor<2x8xf32>) -> tensor<2xi64>
        %p = "onnx.ReduceProd"(%s) <keepdims = 1> : (tensor<2xi64>) -> tensor<1xi64>
        %y = "onnx.Reshape"(%x, %p) : (tensor<2x8xf32>, tensor<1xi64>) -> tensor<16xf32>
    After:
        %p = "onnx.Constant"() <value = dense<16> : tensor<1xi64>> : () -> tensor<1xi64>
        %y = "onnx.Reshape"(%x, %p) : (tensor<2x8xf32>, tensor<1xi64>) -> tensor<16xf32>

    What comes from a weight without values is a weight without values; fills stay fills. Identity and Dropout go, and
    so does what nothing uses. Left as they are: random ops, bodies of If, Loop and Scan, DequantizeLinear and Transpose
    of a weight for a product (absorb-quantisation and absorb-transposes take them), and results much larger than what
    they are made from.
    """

    name = "fold-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        fold(op)


def fold(module: ModuleOp) -> None:
    """Fold constants in @main, until nothing more can be."""
    version = opset(module)
    while True:
        changed = False
        for op in top_ops(module):
            changed |= _simplified(Site(op, version))
        erase_dead(module)
        marked = _foldable(top_ops(module))
        if not _replace(module, marked) and not changed:
            return
        erase_dead(module)


def fold_ops(module: ModuleOp, ops: Sequence[Operation]) -> None:
    """Compute these ops, whose operands are constants or results of others of them."""
    _replace(module, dict.fromkeys(ops))


def _simplified(site: Site) -> bool:
    """Settle an op by the types of its operands alone, if that can be done."""
    import numpy as np

    op = site.op
    result = op.results[0] if op.results else None
    type = None if result is None else result.type
    if result is None or not isinstance(type, TensorType):
        return False
    match op.name:
        case "onnx.Identity" | "onnx.Dropout" if op.operands[0].type != type:
            return False  # one of the two types says more than the other
        case "onnx.Identity":
            site.replace(op.operands[0])
        case "onnx.Dropout" if _is_inference(op):
            masks = [make_splat(site, 1, tensor_type(value), "mask") for value in op.results[1:] if _is_tensor(value)]
            if len(masks) + 1 < len(op.results):
                return False
            site.replace(op.operands[0], *masks)
        case "onnx.Shape" | "onnx.Size" if known_tensors(op.operands):
            shape = shape_of(op.operands[0])
            start, end = attr_int(op, "start", 0), attr_int(op, "end", len(shape))
            value = shape[start:end] if op.name == "onnx.Shape" else prod(shape)
            site.replace(make_constant(site, np.array(value, np.int64), "shape"))
        case "onnx.ConstantOfShape" | "onnx.Expand" if known_tensors(op.results):
            number = _fill(op)
            if number is None:
                return False
            site.replace(make_splat(site, number, type, _key(result)))
        case _:
            return False
    return True


def _is_tensor(value: SSAValue) -> bool:
    return isinstance(value.type, TensorType)


def _is_inference(op: Operation) -> bool:
    """Whether a Dropout lets its input through."""
    training = operand(op, 2)
    return training is None or scalar_of(training) == 0


def _fill(op: Operation) -> float | None:
    """The number that a ConstantOfShape or an Expand spreads, if it is known."""
    if isinstance(op, ConstantOfShapeOp):
        value = attribute(op, "value")
        return 0.0 if value is None else to_array(value).flat[0]
    source = op.operands[0]
    return scalar_of(source) if is_constant(source) and prod(shape_of(source)) == 1 else None


def _key(value: SSAValue) -> str:
    return value.name_hint or "constant"


def _foldable(ops: Sequence[Operation]) -> dict[Operation, None]:
    """The ops that depend on constants alone, in order."""
    marked: dict[Operation, None] = {}
    for op in ops:
        known = all(
            isinstance(value.type, NoneType) or is_constant(value) or value.owner in marked for value in op.operands
        )
        if known and op.operands and _can_run(op) and not _kept_for_product(op):
            marked[op] = None
    return marked


def _can_run(op: Operation) -> bool:
    if not isinstance(op, OnnxOp) or op.regions or op.name in _NEVER:
        return False
    if isinstance(op, CustomOp) and op.domain.data != "com.microsoft":
        return False
    if not known_tensors(op.results) or not known_tensors(op.operands):
        return False
    if op.name == "onnx.Dropout" and not _is_inference(op):
        return False
    try:
        for value in op.results:
            if isinstance(value.type, TensorType):
                numpy_dtype(value.type.element_type)
    except ValueError:  # strings
        return False
    made = max(_elements(value) for value in op.results)
    return made <= max(MAX_GROWTH_ELEMENTS, sum(_elements(value) for value in op.operands))


def _elements(value: SSAValue) -> int:
    return prod(value.type.get_shape()) if isinstance(value.type, TensorType) else 0


def _kept_for_product(op: Operation) -> bool:
    """Whether a later pass takes this op into the product that uses it."""
    source = op.operands[0]
    if op.name == "onnx.DequantizeLinear":
        return all(_into_product(use) or _swapped_into_product(use.operation) for use in op.results[0].uses)
    # A transposed weight is not stored again: the product reads it the other way.
    return _elements(source) > MAX_INLINE_ELEMENTS and is_constant(source) and _swapped_into_product(op)


def _into_product(use: Use) -> bool:
    return use.operation.name in _PRODUCTS and use.index < 2


def _swapped_into_product(op: Operation) -> bool:
    uses = op.results[0].uses if is_swap(op) else ()
    return bool(uses) and all(_into_product(use) and use.operation.name != "onnx.Conv" for use in uses)


def _replace(module: ModuleOp, marked: dict[Operation, None]) -> bool:
    """Put constants in the place of the marked ops; returns whether there were any."""
    missing = _without_values(marked)
    arrays, failed = _evaluate(module, [op for op in marked if op not in missing], marked)
    done = False
    for value in _frontier([op for op in marked if op not in failed]):
        site, type = Site(_owner(value), 0), value.type
        if value in arrays:
            made = make_constant(site, arrays[value], _key(value))
        else:
            assert isinstance(type, TensorType)
            made = make_missing(site, type, _key(value))
        made.name_hint = value.name_hint
        value.replace_all_uses_with(made)
        done = True
    return done


def _frontier(ops: Sequence[Operation]) -> list[SSAValue]:
    """The results of these ops that others use."""
    inside = set(ops)
    results = (value for op in ops for value in op.results if isinstance(value.type, TensorType))
    return [value for value in results if any(use.operation not in inside for use in value.uses)]


def _owner(value: SSAValue) -> Operation:
    assert isinstance(value.owner, Operation)
    return value.owner


def _without_values(marked: dict[Operation, None]) -> set[Operation]:
    """The marked ops that depend on a weight whose values are missing."""
    missing: set[Operation] = set()
    for op in marked:
        if any(is_missing(value) or value.owner in missing for value in op.operands):
            missing.add(op)
    return missing


def _evaluate(
    module: ModuleOp, ops: Sequence[Operation], marked: dict[Operation, None]
) -> tuple[dict[SSAValue, Array], set[Operation]]:
    """Values of what others than the marked ops want of `ops`, and the ops that onnxruntime can't run.

    One run computes all; if that fails, each op runs alone.
    """
    from ..runtime_sim.onnx_graph import Program, module_opset
    from ..runtime_sim.weights import STORE

    wanted = [value for value in _frontier(list(marked)) if value.owner in set(ops)]
    if not wanted:
        return {}, set()
    versions = module_opset(module)
    try:
        return dict(zip(wanted, Program(ops, [], wanted, STORE, versions)([]), strict=True)), set()
    except InputError:  # one op has no kernel, or is wrong
        values: dict[SSAValue, Array] = {}
        failed: set[Operation] = set()
    for op in ops:
        given = [value for value in dict.fromkeys(op.operands) if value.owner in marked]
        results = [value for value in op.results if isinstance(value.type, TensorType)]
        try:
            if any(value not in values for value in given):
                raise InputError("an op before it failed")
            made = Program([op], given, results, STORE, versions)([values[value] for value in given])
        except InputError:
            failed.add(op)
        else:
            values.update(zip(results, made, strict=True))
    # What needs a missing weight and one of these is left too.
    failed.update(op for op in marked if op not in ops and any(value.owner in failed for value in op.operands))
    return values, failed
