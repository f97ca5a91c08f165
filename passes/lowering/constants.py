"""Constants as passes handle them: read, made anew, and made from others; absent and splat ones stay so."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from ...dialects.constants import MAX_INLINE_ELEMENTS, Array, element_type, numpy_dtype, tensor_of
from ...dialects.h3 import WeightOp
from ...dialects.onnx import constant, constant_array
from ...dialects.onnx_ops import ConstantOp
from ...dialects.values import producer, shape_of, tensor_type
from ...runtime_sim.weights import STORE
from .site import Site, is_swap


def is_constant(value: SSAValue) -> bool:
    """Whether `value` is an onnx.Constant or an h3.weight."""
    return isinstance(producer(value), ConstantOp | WeightOp)


def is_missing(value: SSAValue) -> bool:
    """Whether `value` is a weight whose values the model came without."""
    op = producer(value)
    return isinstance(op, WeightOp) and op.absent is not None


def array_of(value: SSAValue) -> Array | None:
    """The values of a constant, read-only; None where `value` is made at run time or its values are missing.

    A splat is a view of one number.
    """
    op = producer(value)
    if isinstance(op, ConstantOp):
        return constant_array(op)
    if not isinstance(op, WeightOp) or op.absent is not None:
        return None
    return STORE.array(op)


def scalar_of(value: SSAValue | None) -> float | None:
    """The number in a constant whose elements are all equal; None for anything else."""
    array = None if value is None else array_of(value)
    if array is None or not array.size:
        return None
    return float(array.flat[0]) if _is_splat(array) else None


def _is_splat(array: Array) -> bool:
    """Whether all elements are the same bits; two look-ups settle it for most."""
    if not array.size or array.size == 1 or all(step == 0 for step in array.strides):
        return bool(array.size)
    if array.flat[0] != array.flat[-1]:
        return False
    return bool((array == array.flat[0]).all())


def root_constant(value: SSAValue) -> SSAValue | None:
    """The constant that `value` is, or that it is the transposed or dequantised form of."""
    while not is_constant(value):
        op = producer(value)
        if op is None or not (is_swap(op) or op.name == "onnx.DequantizeLinear"):
            return None
        value = op.operands[0]
    return value


def _name(value: SSAValue | None, suffix: str) -> str:
    op = None if value is None else producer(value)
    key = op.key.data if isinstance(op, WeightOp) else (value.name_hint if value is not None else None)
    return f"{key or 'constant'}.{suffix}"


def make_constant(site: Site, array: Array, key: str, hint: str | None = None) -> SSAValue:
    """`array` as a constant: in the text up to 64 elements, else an h3.weight whose values are in the store."""
    if array.size <= MAX_INLINE_ELEMENTS:
        op = site.add(constant(array))
    else:
        type = tensor_of(array.shape, element_type(array.dtype))
        splat = _as_splat(array)
        op = site.add(WeightOp(key, type, digest=None if splat is not None else STORE.put(array), splat=splat))
    op.results[0].name_hint = hint
    return op.results[0]


def _as_splat(array: Array) -> float | None:
    """The number that all elements of `array` are, if a splat can hold it."""
    if not _is_splat(array):
        return None
    try:
        number = float(array.flat[0])
    except TypeError:  # complex
        return None
    exact = np.isfinite(number) and np.array(number).astype(array.dtype) == array.flat[0]
    return number if exact and not (number == 0 and np.signbit(number)) else None


def make_splat(site: Site, number: float, type: TensorType, key: str, hint: str | None = None) -> SSAValue:
    """A constant of `type` whose elements all are `number`."""
    return make_constant(
        site, np.broadcast_to(np.array(number).astype(numpy_dtype(type.element_type)), type.get_shape()), key, hint
    )


def make_missing(site: Site, type: TensorType, key: str, hint: str | None = None) -> SSAValue:
    """A weight of `type` whose values are missing."""
    op = site.add(WeightOp(key, type, absent=True))
    op.result.name_hint = hint
    return op.result


def rearranged(
    site: Site, value: SSAValue, shape: Sequence[int], move: Callable[[Array], Array], suffix: str
) -> SSAValue:
    """A constant with the elements of `value` at other positions: `move` takes the array to one of shape `shape`.

    A missing weight stays missing, a splat a splat.
    """
    type = tensor_of(tuple(shape), tensor_type(value).element_type)
    key, hint = _name(value, suffix), value.name_hint
    array = array_of(value)
    if array is None:
        return make_missing(site, type, key, hint)
    if array.size and all(step == 0 for step in array.strides) and array.ndim:
        return make_splat(site, array.flat[0], type, key, hint)
    return make_constant(site, np.ascontiguousarray(move(array)).reshape(tuple(shape)), key, hint)


def computed(
    site: Site, sources: Sequence[SSAValue], type: TensorType, work: Callable[[Sequence[Array]], Array], suffix: str
) -> SSAValue:
    """A constant of `type` computed from constants element by element (`work` broadcasts, as numpy does).

    If the values of one source are missing, so are those of the result; from splats comes a splat.
    """
    key, hint = _name(sources[0], suffix), sources[0].name_hint
    arrays = [array_of(source) for source in sources]
    known = [array for array in arrays if array is not None]
    if len(known) < len(arrays):
        return make_missing(site, type, key, hint)
    splat = prod(type.get_shape()) > MAX_INLINE_ELEMENTS and all(_is_splat(array) for array in known)
    if splat:
        known = [np.full((1,) * array.ndim, array.flat[0], array.dtype) for array in known]
    dtype = numpy_dtype(type.element_type)
    result = np.asarray(work(known)).astype(dtype, copy=False)
    return make_constant(site, np.broadcast_to(result, type.get_shape()), key, hint)


def reshaped(site: Site, value: SSAValue, shape: Sequence[int]) -> SSAValue:
    """`value` in another shape: a constant at once, else by a Reshape at run time."""
    if shape_of(value) == tuple(shape):
        return value
    if not is_constant(value):
        return site.reshape(value, shape)
    return rearranged(site, value, shape, lambda array: array.reshape(tuple(shape)), "reshaped")
