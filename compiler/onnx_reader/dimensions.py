"""Symbolic dimensions: `--dim batch=1` binds them in inputs and outputs.

One whose symbol is a sum of others, as in `past + seq`, follows from them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, TensorShapeProto, ValueInfoProto

from ...runtime_sim.errors import InputError
from ...runtime_sim.onnx_tensors import DTYPES, type_name


def dimension_name(value: ValueInfoProto, index: int, dimension: TensorShapeProto.Dimension) -> str | None:
    """The symbol of a dimension; `x.0` for one of input `x` that is open but has no name; None if it is bound."""
    if dimension.HasField("dim_value"):
        return None
    return dimension.dim_param or f"{value.name}.{index}"


def inputs_of(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs that are not initializers (older files list those among the inputs)."""
    initializers = {initializer.name for initializer in graph.initializer}
    initializers |= {sparse.values.name for sparse in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in initializers]


def batch_names(model: ModelProto, dims: Mapping[str, int]) -> dict[str, str]:
    """The symbol of the leading dimension of each input and output where `dims` binds it."""
    found: dict[str, str] = {}
    for value in (*inputs_of(model.graph), *model.graph.output):
        shape = value.type.tensor_type.shape.dim
        if shape and shape[0].dim_param in dims:
            found[value.name] = shape[0].dim_param
    return found


def bind(path: Path, model: ModelProto, dims: Mapping[str, int]) -> None:
    """Replace symbolic dimensions by their values, in place; one that stays open in an input is an error."""
    graph = model.graph
    unbound: dict[str, None] = {}
    known: set[str] = set()
    inputs = inputs_of(graph)
    for value in inputs:
        _check_input(path, value)
    for name, size in dims.items():
        if size < 0:
            raise InputError(f"{path}: dimension {name!r} is bound to {size}, expected at least 0")
    for value in (*inputs, *graph.output, *graph.value_info):
        for index, dimension in enumerate(value.type.tensor_type.shape.dim):
            name = dimension_name(value, index, dimension)
            if name is None:
                continue
            known.update([name, *_terms(name)])
            size = _size_of(name, dims)
            if size is not None:
                dimension.dim_value = size
            elif any(value is each for each in inputs):
                unbound[name] = None
    if unknown := [name for name in dims if name not in known]:
        offer = f"it has {', '.join(map(repr, sorted(unbound)))}" if unbound else "all its dimensions are fixed"
        raise InputError(f"{path}: the model has no dimension {', '.join(map(repr, unknown))}; {offer}")
    if unbound:
        listing = " ".join(f"--dim {name}=VALUE" for name in unbound)
        raise InputError(f"{path}: symbolic dimensions are not bound: {listing}")


def _terms(name: str) -> list[str]:
    """The symbols and numbers that a symbol is the sum of."""
    return [term.strip() for term in name.split("+")]


def _size_of(name: str, dims: Mapping[str, int]) -> int | None:
    """What `dims` says of a symbol, or of each term of a sum."""
    terms = _terms(name)
    sizes = [dims.get(term, int(term) if term.isdecimal() else None) for term in terms]
    known = [size for size in sizes if size is not None]
    return dims.get(name, sum(known) if len(known) == len(terms) else None)


def token_dimensions(path: Path, model: ModelProto, dims: Mapping[str, int]) -> tuple[str, str]:
    """The symbols of the dimensions of tokens and of cached tokens that `dims` leaves open.

    Ids of tokens are whole numbers, cached keys and values are not; sums of symbols (of masks) follow from others.
    """
    whole, other = dict[str, None](), dict[str, None]()
    for value in inputs_of(model.graph):
        is_whole = np.issubdtype(DTYPES.get(value.type.tensor_type.elem_type, np.float32), np.integer)
        for index, dimension in enumerate(value.type.tensor_type.shape.dim):
            name = dimension_name(value, index, dimension)
            if name is not None and name not in dims and "+" not in name:
                (whole if is_whole else other)[name] = None
    if both := [name for name in whole if name in other]:
        listing = " ".join(f"--dim {name}=VALUE" for name in both)
        raise InputError(f"{path}: symbolic dimensions are not bound: {listing}")
    if len(whole) != 1 or len(other) != 1:
        raise InputError(
            f"{path}: --generate: expected one symbolic dimension of tokens (of inputs of whole numbers), got "
            f"{', '.join(map(repr, whole)) or 'none'}, and one of cached tokens (of other inputs), got "
            f"{', '.join(map(repr, other)) or 'none'}"
        )
    return next(iter(whole)), next(iter(other))


def _check_input(path: Path, value: ValueInfoProto) -> None:
    """An input is a tensor of known rank and positive size."""
    kind = value.type.WhichOneof("value") or "untyped"
    if kind != "tensor_type":
        raise InputError(f"{path}: input {value.name!r} is of {kind.replace('_', ' ')}, expected a tensor")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise InputError(f"{path}: input {value.name!r} has no shape; h3c needs its rank")
    if tensor.elem_type not in DTYPES:
        element = type_name(tensor.elem_type)
        raise InputError(f"{path}: input {value.name!r} has elements of type {element}, expected numbers")
    for index, dimension in enumerate(tensor.shape.dim):
        if dimension.HasField("dim_value") and dimension.dim_value < 1:
            size = dimension.dim_value
            raise InputError(f"{path}: input {value.name!r}: dimension {index} is {size}, expected at least 1")
