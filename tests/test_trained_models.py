"""Real models with real data: `--ideal` against onnxruntime, the default precision against labels.

The reference is onnxruntime with graph optimisations off, one execution at a time (onnx.reference where it lacks the
operators). The models that ship with the project are always tested, those of H3C_MODELS/trained where there are any;
benchmarks/accuracy.py takes their whole data sets.
"""

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import original
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Command = Callable[..., subprocess.CompletedProcess[str]]
Array = np.ndarray[Any, np.dtype[Any]]

SHIPPED = Path(__file__).parent.parent / "models"
TRAINED = Path(os.environ["H3C_MODELS"]) / "trained" if os.environ.get("H3C_MODELS") else None
MODELS = [*sorted(SHIPPED.glob("*.onnx")), *(sorted(TRAINED.glob("*.onnx")) if TRAINED else [])]
COMPARED, LABELLED = 128, 400
"""Samples for the comparison number by number, and for that with labels."""
DATA = {"digits": "digits", "ic": "cifar10", "kws": "kws01", "mnist": "mnist", "sww": "sww", "tinygpt": "tinygpt_text"}
QUANTISED = ("int8", "qoperator", "int4", "1w1a", "1w2a", "2w2a")


def sized(dim: Any) -> int:
    return dim.dim_value or 1


class BipolarQuant(OpRun):
    """The operator of the mnist_tfc models, as QONNX defines it."""

    op_domain = "onnx.brevitas"

    def _run(self, x: Array, scale: Array) -> tuple[Array]:
        return (np.where(x >= 0, scale, -scale),)


class Quant(OpRun):
    """The other one."""

    op_domain = "onnx.brevitas"

    def _run(self, x: Array, scale: Array, zero: Array, bits: Array, **attributes: Any) -> tuple[Array]:
        signed, narrow = attributes["signed"], attributes["narrow"]
        low = -(2 ** (bits - 1)) + narrow if signed else 0.0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        assert attributes["rounding_mode"] in ("ROUND", b"ROUND")
        return ((np.clip(np.round(x / scale + zero), low, high) - zero) * scale,)


@cache
def samples(path: Path) -> tuple[Array, Array | None]:
    """(inputs, labels) for a model: inputs of its type, prepared as it was trained; made up where there are no data."""
    tensor = onnx.load(path, load_external_data=False).graph.input[0].type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    family = path.stem.split("_")[0].split(".")[0]
    if family not in DATA:
        shape = [sized(dim) for dim in tensor.shape.dim][1:]
        values = np.random.default_rng(0).integers(-128, 128, (COMPARED, *shape))
        return (values if dtype == np.int8 else values / 128).astype(dtype), None
    data = np.load(path.parent / f"{DATA[family]}.npz")
    if family == "tinygpt":
        return data["test_tokens"][:, :-1].astype(dtype), data["test_tokens"][:, 1:]
    x = data["x_test_int8"] if "x_test_int8" in data else data["x_test"]
    if family == "kws" and dtype == np.float32:
        x = (x.astype(np.float32) - np.float32(data["zero_point"])) * data["scale"]
    elif family == "ic" and dtype == np.int8:
        x = x.astype(np.int16) - 128
    elif "tfc" in path.stem:
        x = x / np.float32(255)
    return x[:LABELLED].astype(dtype), data["y_test"][:LABELLED]


@cache
def reference(path: Path) -> Array:
    """The first output for all samples, one execution at a time."""
    x = samples(path)[0]
    if "tfc" in path.stem:
        model = onnx.load(path)
        model.opset_import.add(domain="onnx.brevitas", version=1)  # the files use the domain without declaring it
        # onnx.reference takes BatchNormalization of opset 9 for training, which at this momentum changes nothing.
        for attribute in (a for node in model.graph.node for a in node.attribute if a.name == "momentum"):
            attribute.f = 1.0
        evaluator = ReferenceEvaluator(model, new_ops=[BipolarQuant, Quant])
        feeds = [{model.graph.input[0].name: x[i : i + 1]} for i in range(len(x))]
        return np.concatenate([np.asarray(next(iter(evaluator.run(None, feed)))) for feed in feeds])
    session = original(path)
    name = session.get_inputs()[0].name
    return np.concatenate([np.asarray(session.run(None, {name: x[i : i + 1]})[0]) for i in range(len(x))])


def compiled(path: Path, command: Command) -> Callable[..., Array]:
    """Compile a model; the result runs samples through the plan and returns its first output."""
    graph = onnx.load(path, load_external_data=False).graph
    symbols = {dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim if dim.dim_param}
    done = command("h3c", path, *(word for symbol in symbols for word in ("--dim", f"{symbol}=1")), "-o", "plan.mlir")
    assert done.returncode == 0, done.stderr

    def simulate(folder: Path, x: Array, *arguments: str) -> Array:
        np.savez(folder / "x.npz", x=x)
        done = command("h3c-sim", "plan.mlir", "--inputs", f"{graph.input[0].name}=x.npz:x", "-o", "y.npz", *arguments)
        assert done.returncode == 0, done.stderr
        return np.load(folder / "y.npz")[graph.output[0].name]

    return simulate


def check_ideal(got: Array, expected: Array, quantised: bool) -> None:
    """Float models: 1e-4 of the range (float16: 2e-3). Quantised: more than one output step on at most 0.5 % of the
    outputs, as onnxruntime rounds its float sums and so may end on the other side of a tie. The same classes."""
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    error = np.abs(got.astype(np.float64) - expected)
    span = float(expected.max()) - float(expected.min())
    if not quantised:
        assert error.max() <= (2e-3 if got.dtype == np.float16 else 1e-4) * span
    else:
        step = 1 if got.dtype == np.int8 else 1e-4 * span
        assert (error > step).mean() <= 0.005
    assert (got.argmax(-1) == expected.argmax(-1)).mean() >= 0.995


@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_trained_model_computes_what_it_should(path: Path, command: Command, tmp_path: Path) -> None:
    """Ideal devices give onnxruntime's numbers; the default precision is within a point of its accuracy."""
    (x, labels), expected = samples(path), reference(path)
    simulate = compiled(path, command)
    ideal = simulate(tmp_path, x[:COMPARED], "--ideal")
    check_ideal(ideal, expected[:COMPARED], any(word in path.stem for word in QUANTISED))
    if labels is not None:
        accuracy, kept = (float((logits.argmax(-1) == labels).mean()) for logits in (simulate(tmp_path, x), expected))
        assert accuracy >= kept - 0.01
