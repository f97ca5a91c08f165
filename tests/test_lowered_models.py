"""Real models compute after lowering what onnxruntime computes on them as they were."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import (
    Array,
    Reference,
    error_of_range,
    model_paths,
    needs_models,
    original,
    random_inputs,
    run_passes,
)

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.runtime_sim.errors import InputError

QUANTISED = ("int8", "qoperator")
FOREIGN = ("mnist_tfc_1w1a", "mnist_tfc_1w2a", "mnist_tfc_2w2a")
"""Models with operators that onnxruntime lacks; their accuracy is known."""


def _data(name: str) -> Any:
    return np.load(Path(os.environ["H3C_MODELS"]) / "trained" / f"{name}.npz")


def _samples(path: Path) -> Array | None:
    """What the model was made for, as models/README.md says it is prepared; None where there is no data."""
    name = path.stem
    if name.startswith("digits"):
        return _data("digits")["x_test"].astype(np.float32)
    if name.startswith("mnist"):
        return _data("mnist")["x_test"].astype(np.float32) / (255 if "tfc" in name else 1)
    if name.startswith("ic_"):
        images = _data("cifar10")["x_test"]
        return images.astype(np.int16) - 128 if "int8" in name else images
    if name.startswith("kws"):
        data = _data("kws01")
        codes = data["x_test_int8"]
        return codes if "int8_qdq" in name else (codes.astype(np.float32) - data["zero_point"]) * data["scale"]
    if name.startswith("sww"):
        return _data("sww")["x_test_int8"]
    if name.startswith("tinygpt"):
        return _data("tinygpt_text")["test_tokens"][:, :-1]
    return None


def _inputs(path: Path, session: Any, count: int) -> Iterator[dict[str, Array]]:
    samples = _samples(path)
    for index in range(count if samples is None else min(count, len(samples))):
        inputs = random_inputs(session, index)
        if samples is not None:
            ((name, like),) = inputs.items()
            inputs = {name: samples[index].astype(like.dtype).reshape(like.shape)}
        yield inputs


def _read(path: Path) -> Any:
    graph = onnx.load(path, load_external_data=False).graph
    shapes = [value.type.tensor_type.shape.dim for value in graph.input]
    return read_onnx(path, {size.dim_param: 1 for shape in shapes for size in shape if size.dim_param})


PATHS = [path for path in model_paths("trained", "quirks") if path.stem not in FOREIGN]


@needs_models
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lowered_model_computes_the_same(path: Path):
    if path.stem == "superresolution_with_image_codec":
        with pytest.raises(InputError, match="a matrix operator needs known shapes"):
            run_passes(_read(path))
        return
    session, reference = original(path), Reference(run_passes(_read(path)))
    quantised = any(mark in path.stem for mark in QUANTISED)
    expected: list[list[Array]] = []
    got: list[list[Array]] = []
    for inputs in _inputs(path, session, 100 if path.stem.startswith("digits") else 2):
        values = reference(inputs)
        expected.append([np.asarray(value) for value in session.run(None, inputs)])
        got.append([values[output.name] for output in session.get_outputs()])
    for before, after in zip(zip(*expected, strict=True), zip(*got, strict=True), strict=True):
        assert [value.dtype for value in before] == [value.dtype for value in after]
        stacked = np.stack(before), np.stack(after)
        if quantised:
            _assert_one_step(*stacked)
        else:
            assert error_of_range(*stacked) <= (2e-3 if "fp16" in path.stem else 1e-4)


def _assert_one_step(expected: Array, got: Array) -> None:
    """At most one output step on at most 0.5 % of outputs; a step is the least difference between two values."""
    values = np.unique(expected.astype(np.float64))
    step = np.diff(values).min(initial=np.inf)
    difference = np.abs(expected.astype(np.float64) - got.astype(np.float64))
    assert np.mean(difference > 1e-5 * np.ptp(values)) <= 0.005
    assert difference.max() <= max(step * 1.001, 1e-5 * np.ptp(values))


ACCURACIES = {"mnist_tfc_1w1a": 1807, "mnist_tfc_1w2a": 1853, "mnist_tfc_2w2a": 1908}
"""How many of the first 2000 MNIST test images each gets right, by onnx.reference."""


@needs_models
@pytest.mark.parametrize("name", FOREIGN)
def test_a_model_of_foreign_quantisers_is_as_accurate_as_published(name: str):
    (path,) = (path for path in model_paths("trained") if path.stem == name)
    before, reference = Reference(run_passes(_read(path), [])), Reference(run_passes(_read(path)))
    images, labels = _samples(path), _data("mnist")["y_test"]
    assert images is not None
    (input_name,) = reference.inputs
    right = 0
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (logits,) = reference({input_name: image[None]}).values()
        right += int(np.argmax(logits) == label)
        if index < 20:
            (expected,) = before({input_name: image[None]}).values()
            assert error_of_range(expected, logits) <= 1e-4
    assert abs(right - ACCURACIES[name]) <= len(labels) / 100
