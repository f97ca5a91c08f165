"""Tensors of ONNX files as numpy arrays, wherever their bytes are."""

import mmap
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from ..dialects.constants import Array
from .errors import InputError

if TYPE_CHECKING:
    from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto

MAX_ELEMENTS = 2**40
"""A tensor that declares this many elements or more is refused: no model has one, and its size would overflow."""

# onnx.TensorProto.DataType -> numpy; written out, so that importing this module does not import onnx.
DTYPES: dict[int, np.dtype[Any]] = {
    code: np.dtype(scalar)
    for code, scalar in (
        (1, np.float32),
        (2, np.uint8),
        (3, np.int8),
        (4, np.uint16),
        (5, np.int16),
        (6, np.int32),
        (7, np.int64),
        (9, np.bool_),
        (10, np.float16),
        (11, np.float64),
        (12, np.uint32),
        (13, np.uint64),
        (14, np.complex64),
        (15, np.complex128),
        (16, ml_dtypes.bfloat16),
        (17, ml_dtypes.float8_e4m3fn),
        (18, ml_dtypes.float8_e4m3fnuz),
        (19, ml_dtypes.float8_e5m2),
        (20, ml_dtypes.float8_e5m2fnuz),
        (21, ml_dtypes.uint4),
        (22, ml_dtypes.int4),
        (23, ml_dtypes.float4_e2m1fn),
        (24, ml_dtypes.float8_e8m0fnu),
        (25, ml_dtypes.uint2),
        (26, ml_dtypes.int2),
    )
}
CODES = {dtype: code for code, dtype in DTYPES.items()}
_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
_EXTERNAL = 1

# A Constant may state its value in one of these instead of a tensor.
_CONSTANT_FORMS: dict[str, tuple[Any, str]] = {
    "value_int": (np.int64, "i"),
    "value_ints": (np.int64, "ints"),
    "value_float": (np.float32, "f"),
    "value_floats": (np.float32, "floats"),
}


def type_name(code: int) -> str:
    """The name of an ONNX element type: 1 is `float`."""
    from onnx import TensorProto

    return TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else f"number {code}"


def tensor_dtype(tensor: "TensorProto", what: str) -> np.dtype[Any]:
    """The numpy type of a tensor; `what` names it in errors."""
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None:
        raise InputError(f"{what} has elements of type {type_name(tensor.data_type)}, which h3c cannot hold")
    return dtype


def checked_shape(tensor: "TensorProto", what: str) -> tuple[int, ...]:
    """The shape of a tensor, after checking that it is one."""
    shape = tuple(tensor.dims)
    if min(shape, default=0) < 0:
        raise InputError(f"{what} has shape {list(shape)}: a dimension is negative")
    if prod(shape) >= MAX_ELEMENTS:
        raise InputError(f"{what} has shape {list(shape)}: {prod(shape)} elements, the limit is {MAX_ELEMENTS}")
    return shape


def tensor_array(tensor: "TensorProto", folder: Path | None, what: str) -> Array | None:
    """The values of a tensor, read-only; None if they are in an external file that is not there.

    `folder` is the model's (None: external data is an error); `what` names the tensor in errors.
    """
    dtype, shape = tensor_dtype(tensor, what), checked_shape(tensor, what)
    bits = _BITS.get(tensor.data_type, dtype.itemsize * 8)
    expected = (prod(shape) * bits + 7) // 8
    if tensor.data_location == _EXTERNAL:
        if folder is None:
            raise InputError(f"{what} is kept in an external file, which only an initializer may be")
        raw: Any = _external(tensor, folder, expected, what)
        if raw is None:
            return None
    elif tensor.HasField("raw_data"):
        raw = tensor.raw_data
    else:
        return _typed_fields(tensor, dtype, shape, what)
    if len(raw) != expected:
        raise InputError(f"{what} has shape {list(shape)} of {dtype.name}: expected {expected} bytes, got {len(raw)}")
    if bits < 8:
        return _unpacked(np.frombuffer(raw, np.uint8), bits, prod(shape), dtype).reshape(shape)
    return np.frombuffer(raw, dtype.newbyteorder("<")).reshape(shape)


def _typed_fields(tensor: "TensorProto", dtype: np.dtype[Any], shape: tuple[int, ...], what: str) -> Array:
    """The values of a tensor in float_data, int32_data and so on."""
    from onnx import numpy_helper

    fields = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    held = sum(len(getattr(tensor, field)) for field in fields)
    if prod(shape) and not held:
        raise InputError(f"{what} has shape {list(shape)} of {dtype.name} but holds no data")
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"{what} has shape {list(shape)} of {dtype.name}, which its {held} values do not fill"
        ) from error
    array.setflags(write=False)
    return array.astype(dtype, copy=False)


def _unpacked(packed: Array, bits: int, count: int, dtype: np.dtype[Any]) -> Array:
    """Elements of 2 or 4 bits, the first in the low bits of a byte (onnx.proto), one a byte."""
    pieces = np.stack([packed >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)], axis=-1).reshape(-1)[:count]
    if dtype.name.startswith("int"):
        signed = pieces.astype(np.int8)
        return np.where(signed >= 1 << (bits - 1), signed - (1 << bits), signed).astype(dtype)
    return pieces.astype(dtype) if dtype.name.startswith("uint") else pieces.view(dtype)


def _external(tensor: "TensorProto", folder: Path, expected: int, what: str) -> memoryview | None:
    """The bytes of a tensor in another file, mapped; None if that file is absent."""
    fields = {entry.key: entry.value for entry in tensor.external_data}
    location = fields.get("location", "")
    path = _inside(folder, location, what)
    try:
        offset, length = int(fields.get("offset", 0)), int(fields.get("length", expected))
    except ValueError as error:
        raise InputError(f"{what}: external data has offset or length that is no number: {fields}") from error
    if offset < 0 or length != expected:
        raise InputError(
            f"{what}: external data in {location!r} has offset {offset} and length {length}, "
            f"expected an offset from 0 and a length of {expected} bytes"
        )
    if not path.is_file():
        return None
    if offset + length > path.stat().st_size:
        raise InputError(
            f"{what}: external data ends at byte {offset + length} of {location!r}, "
            f"which has {path.stat().st_size} bytes"
        )
    return _mapped(path, path.stat().st_mtime_ns)[offset : offset + length] if length else memoryview(b"")


def _inside(folder: Path, location: str, what: str) -> Path:
    """The file that `location` names; an error if that is not a plain file inside `folder`."""
    path = folder / location
    if not location or "\0" in location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise InputError(f"{what}: external data in {location!r}, expected a file inside the model's folder")
    for piece in (path, *path.parents):
        if piece == folder:
            break
        if piece.is_symlink():
            raise InputError(f"{what}: external data in {location!r}, which is a link; expected a plain file")
    if path.exists() and not path.is_file():
        raise InputError(f"{what}: external data in {location!r}, which is no file")
    return path


@lru_cache(maxsize=64)
def _mapped(path: Path, mtime_ns: int) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def graph_attributes(node: "NodeProto") -> Iterator["AttributeProto"]:
    """The attributes of a node that are graphs."""
    return (attribute for attribute in node.attribute if attribute.HasField("g"))


def graphs_in(graph: "GraphProto") -> Iterator["GraphProto"]:
    """A graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in graph_attributes(node):
            yield from graphs_in(attribute.g)


def dense_array(sparse: "SparseTensorProto", folder: Path | None, what: str) -> Array:
    """The values of a sparse tensor with its zeros."""
    from onnx import TensorProto

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


def constant_node_array(node: "NodeProto", what: str) -> Array:
    """The value of a Constant node, in whichever attribute it is; `what` names the node in errors."""
    for attribute in node.attribute:
        if attribute.name == "value":
            array = tensor_array(attribute.t, None, what)
            assert array is not None  # only external data may be absent
            return array
        if attribute.name == "sparse_value":
            return dense_array(attribute.sparse_tensor, None, what)
        if attribute.name in _CONSTANT_FORMS:
            dtype, field = _CONSTANT_FORMS[attribute.name]
            value: Any = getattr(attribute, field)
            return np.array(value if field in ("i", "f") else list(value), dtype)
    raise InputError(f"{what}: expected a number or a tensor of numbers as its value")


Loader = Callable[[], "Array | None"]


def constants_in(model: "ModelProto", path: Path) -> dict[str, Loader]:
    """All constants of a model read from `path`, by name, as functions that load them: initializers, Constant nodes."""
    found: dict[str, Loader] = {}
    nodes: list[NodeProto] = [node for function in model.functions for node in function.node]
    for graph in graphs_in(model.graph):
        nodes.extend(graph.node)
        for tensor in graph.initializer:
            found[tensor.name] = partial(tensor_array, tensor, path.parent, f"{path}: initializer {tensor.name!r}")
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            found[name] = partial(dense_array, sparse, path.parent, f"{path}: sparse initializer {name!r}")
    for node in nodes:
        if node.op_type == "Constant" and node.output:
            found[node.output[0]] = partial(constant_node_array, node, f"{path}: node {node.name!r}")
    return found
