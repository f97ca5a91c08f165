"""Initializers of a graph: found, made dense, checked, and put into the store of weights."""

from pathlib import Path

import numpy as np
from onnx import GraphProto, SparseTensorProto, TensorProto, numpy_helper
from xdsl.ir import Operation

from ...dialects.constants import MAX_INLINE_ELEMENTS, Array, element_type, is_float, tensor_of
from ...dialects.h3 import WeightOp
from ...dialects.onnx import constant
from ...dialects.text import escape
from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import checked_shape, tensor_array, tensor_dtype
from ...runtime_sim.weights import STORE

_MATRIX_OPERATORS = frozenset(
    ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "BatchNormalization", "LayerNormalization")
)
"""Operators whose weights must be finite; elsewhere an infinity may be meant (a mask)."""


def take_initializers(path: Path, graph: GraphProto) -> dict[str, TensorProto]:
    """The initializers of a graph by name, sparse ones made dense; the graph keeps none."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        name = sparse.values.name
        array = dense_array(sparse, path.parent, f"{path}: sparse initializer {name!r}")
        found[name] = numpy_helper.from_array(array, name)
    return found


def dense_array(sparse: SparseTensorProto, folder: Path | None, what: str) -> Array:
    """The values of a sparse tensor with its zeros."""
    shape = checked_shape(TensorProto(dims=sparse.dims), what)
    values = tensor_array(sparse.values, folder, what)
    indices = tensor_array(sparse.indices, folder, what)
    if values is None or indices is None:
        raise InputError(f"{what} has its data in an external file that is not there")
    flat = np.zeros(shape, values.dtype).reshape(-1)
    try:
        flat[np.ravel_multi_index(tuple(indices.T), shape) if indices.ndim == 2 else indices] = values
    except (IndexError, ValueError) as error:
        raise InputError(f"{what} has indices outside its shape {list(shape)}") from error
    return flat.reshape(shape)


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
