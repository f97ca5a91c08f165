"""Initializers of a graph: found, made dense, checked, and put into the store of weights."""

from pathlib import Path

import numpy as np
from onnx import GraphProto, TensorProto, numpy_helper
from xdsl.ir import Operation

from ...dialects.constants import MAX_INLINE_ELEMENTS, Array, element_type, is_float, tensor_of
from ...dialects.h3 import WeightOp
from ...dialects.onnx import constant
from ...dialects.text import escape
from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import checked_shape, dense_array, tensor_array, tensor_dtype
from ...runtime_sim.weights import STORE

_MATRIX_OPERATORS = frozenset(
    ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "BatchNormalization", "LayerNormalization")
)
"""Operators whose weights must be finite; elsewhere an infinity may be meant (a mask)."""


def take_initializers(path: Path, graph: GraphProto) -> dict[str, TensorProto]:
    """The initializers of a graph by name, sparse ones made dense; the graph keeps none."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in found.items():
        tensor_dtype(tensor, f"{path}: initializer {name!r}")
        checked_shape(tensor, f"{path}: initializer {name!r}")
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        array = dense_array(sparse, path.parent, f"{path}: sparse initializer {name!r}")
        found[name] = numpy_helper.from_array(array, name)
    return found


def matrix_weights(graph: GraphProto) -> frozenset[str]:
    """The names that matrix operators of a graph read."""
    return frozenset(name for node in graph.node if node.op_type in _MATRIX_OPERATORS for name in node.input)


def initializer_op(path: Path, tensor: TensorProto, weights: frozenset[str]) -> Operation:
    """An initializer as onnx.Constant (small) or h3.weight, its values in the store; `weights` must be finite."""
    what = f"{path}: initializer {tensor.name!r}"
    array = tensor_array(tensor, path.parent, what)
    if array is None:
        type = tensor_of(checked_shape(tensor, what), element_type(tensor_dtype(tensor, what)))
        return WeightOp(escape(tensor.name), type, absent=True)
    if not array.size and tensor.name in weights:
        raise InputError(f"{what} has shape {list(array.shape)}: a matrix operator needs at least one element")
    _check_finite(what, array, tensor.name in weights)
    return array_op(path, tensor.name, array)


def array_op(path: Path, name: str, array: Array) -> Operation:
    """A constant that the file `path` holds, as onnx.Constant (small) or h3.weight."""
    if array.size <= MAX_INLINE_ELEMENTS:
        return constant(array)
    type = tensor_of(array.shape, element_type(array.dtype))
    return WeightOp(escape(name), type, digest=STORE.put_from_file(array, path))


def _check_finite(what: str, array: Array, weight: bool) -> None:
    """A NaN is never meant, an infinity not in a weight."""
    if not is_float(element_type(array.dtype)) or np.isfinite(array).all():
        return
    bad = np.isnan(array) if np.isnan(array).any() else np.isinf(array)
    kind = "NaN" if np.isnan(array).any() else "infinite"
    if kind == "NaN" or weight:
        place = [int(index) for index in np.argwhere(bad)[0]]
        raise InputError(f"{what} has a value that is {kind}, at {place}; expected finite numbers")
