"""Networks as lists of layers, from ONNX files."""

from collections.abc import Mapping
from pathlib import Path

from ...dialects.h3 import ConvOp, MatmulOp
from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.layers import Layer, Layers, layer_of
from ...runtime_sim.imc.mapping import WEIGHT_BITS
from ...runtime_sim.product import product_of
from ...runtime_sim.walk import main_function
from ..onnx_reader.dimensions import dimension_name, inputs_of
from ..onnx_reader.importer import read_onnx
from ..onnx_reader.load import load
from ..pipeline import PIPELINE, build, run
from ..plan_files import new_context

_LAST, _NOT_NEEDED = "verify-h3", ("model-figures", "attach-chip")


def layers_of_file(path: Path, dims: Mapping[str, int]) -> list[Layer]:
    """The layer of each matrix operator of the model in `path`, in its order, with `dims` bound.

    They are those that h3c places: after the passes up to verify-h3, none of which asks the chip.
    """
    names = [name for name, _ in PIPELINE]
    module = read_onnx(path, dims)
    first = [name for name in names[: names.index(_LAST) + 1] if name not in _NOT_NEEDED]
    run(module, build({}, first), new_context())
    operators = [op for op in main_function(module).walk() if isinstance(op, MatmulOp | ConvOp)]
    if not operators:
        raise InputError(f"{path}: expected a model with matrix operators, got none")
    return [layer_of(product_of(op, WEIGHT_BITS)) for op in operators]


def read_networks(files: Mapping[str, Path], dims: Mapping[str, int]) -> dict[str, Layers]:
    """The layers of each of several models; `dims` as `dims_of_models` takes them."""
    return {name: Layers.of(layers_of_file(files[name], own)) for name, own in dims_of_models(files, dims).items()}


def dims_of_models(files: Mapping[str, Path], dims: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """The dimensions that bind each of several models: each of `dims` binds all that have a dimension of its name."""
    open_dims = {name: _open_dimensions(path) if dims else set[str]() for name, path in files.items()}
    for dim in dims:
        if not any(dim in found for found in open_dims.values()):
            known = ", ".join(sorted(set().union(*open_dims.values()))) or "none"
            raise InputError(f"--dim {dim}: expected a dimension that a model leaves open ({known}), got {dim!r}")
    return {name: {dim: size for dim, size in dims.items() if dim in open_dims[name]} for name in files}


def _open_dimensions(path: Path) -> set[str]:
    """The names of the dimensions that a model leaves open."""
    graph = load(path)[0].graph
    values = (*inputs_of(graph), *graph.output)
    names = (
        dimension_name(value, index, dimension)
        for value in values
        for index, dimension in enumerate(value.type.tensor_type.shape.dim)
    )
    return {name for name in names if name is not None}
