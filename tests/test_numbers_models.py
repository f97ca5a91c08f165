"""Whole models: running digital regions for all executions at once gives what running them one by one does."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import build, run
from h3c.compiler.plan_files import new_context
from h3c.dialects.constants import numpy_dtype
from h3c.dialects.values import shape_of, tensor_type
from h3c.runtime_sim.interface import argument_names
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.walk import main_function

Array = NDArray[Any]

FURTHER = Path(os.environ["H3C_MODELS"]) if os.environ.get("H3C_MODELS") else None
SHIPPED = sorted((Path(__file__).parent.parent / "models").glob("*.onnx"))
TRAINED = sorted((FURTHER / "trained").glob("*.onnx")) if FURTHER else []
EXECUTIONS = 5
SINGLE = {"digits_mlp.dynamic_int8": 4}
"""Regions that can't be stacked, by model: their quantisers look at a whole tensor."""


def planned(path: Path) -> ModuleOp:
    """The model on h3pimap, placed in the quickest way, every open dimension bound to 1."""
    graph = onnx.load(path, load_external_data=False).graph
    open_dims = {dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    module = read_onnx(path, dict.fromkeys(open_dims, 1))
    run(module, build({"place-parts": {"strategy": "homogeneous", "tier": "reram"}}), new_context())
    return module


def made_up_inputs(module: ModuleOp) -> dict[str, Array]:
    """Random inputs for some executions."""
    rng, inputs, function = np.random.default_rng(0), dict[str, Array](), main_function(module)
    for name, argument in zip(argument_names(function), function.body.block.args, strict=True):
        dtype = numpy_dtype(tensor_type(argument).element_type)
        shape = (EXECUTIONS * shape_of(argument)[0], *shape_of(argument)[1:])
        inputs[name] = (rng.integers(0, 50, shape) if dtype.kind in "iu" else rng.normal(size=shape)).astype(dtype)
    return inputs


@pytest.mark.parametrize("path", [*SHIPPED, *TRAINED], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_stacked_executions_compute_what_single_ones_do(path: Path) -> None:
    module = planned(path)
    inputs = made_up_inputs(module)
    stacked, report = run_plan(module, inputs, ideal=False)
    single, _ = run_plan(module, inputs, ideal=False, stack=False)
    assert report.executions == EXECUTIONS
    assert report.single == SINGLE.get(path.stem, 0)
    for name, values in single.items():
        span = float(values.max()) - float(values.min())
        assert (
            np.abs(stacked[name].astype(np.float64) - values).max() <= 1e-6 * span
        )  # a kernel may add in another order


@pytest.mark.skipif(FURTHER is None, reason="H3C_MODELS does not name a folder of further models")
def test_all_executions_go_at_once_in_models_of_a_static_batch() -> None:
    """That a model's source fixes the batch at 1 does not matter."""
    assert FURTHER is not None
    module = planned(FURTHER / "trained" / "tinygpt.legacy17.onnx")
    _, report = run_plan(module, made_up_inputs(module), ideal=True)
    assert report.single == 0
    assert report.stacked > 20
