"""Symbolic dimensions: `--dim batch=1` binds them in inputs and outputs."""

from collections.abc import Mapping
from pathlib import Path

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
        if size < 1:
            raise InputError(f"{path}: dimension {name!r} is bound to {size}, expected at least 1")
    for value in (*inputs, *graph.output, *graph.value_info):
        for index, dimension in enumerate(value.type.tensor_type.shape.dim):
            name = dimension_name(value, index, dimension)
            if name is None:
                continue
            known.add(name)
            if name in dims:
                dimension.dim_value = dims[name]
            elif any(value is each for each in inputs):
                unbound[name] = None
    if unknown := [name for name in dims if name not in known]:
        offer = f"it has {', '.join(map(repr, sorted(unbound)))}" if unbound else "all its dimensions are fixed"
        raise InputError(f"{path}: the model has no dimension {', '.join(map(repr, unknown))}; {offer}")
    if unbound:
        listing = " ".join(f"--dim {name}=VALUE" for name in unbound)
        raise InputError(f"{path}: symbolic dimensions are not bound: {listing}")


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
