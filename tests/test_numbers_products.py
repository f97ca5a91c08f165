"""Matrix products of many executions: convolutions of every geometry, parts, ranges, pieces."""

import math
from typing import Any

import ml_dtypes
import numpy as np
import onnx.helper as oh
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from h3c.dialects.h3_attributes import Activation
from h3c.runtime_sim import matrix_product
from h3c.runtime_sim.activations import activate, erf
from h3c.runtime_sim.arithmetic import AnalogDot, Arithmetic, BitSerial, Exact
from h3c.runtime_sim.matrix_product import MatrixPart, MatrixProduct
from h3c.runtime_sim.windows import Window, columns

Array = NDArray[Any]
F32 = np.dtype(np.float32)


def conv(x: Array, w: Array, b: Array, window: Window) -> Array:
    """onnxruntime's Conv."""
    values = {"x": x, "w": w, "b": b}
    infos = [oh.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in values.items()]
    node = oh.make_node(
        "Conv",
        list(values),
        ["y"],
        strides=list(window.strides),
        pads=list(window.pads),
        dilations=list(window.dilations),
        group=window.groups,
    )
    graph = oh.make_graph([node], "g", infos, [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)
    return np.asarray(ort.InferenceSession(model.SerializeToString()).run(None, values)[0])


def random_window(rng: np.random.Generator) -> tuple[Window, int, int]:
    """A window with its inputs and outputs a group."""
    rank = int(rng.integers(1, 4))

    def sizes(low: int, high: int, count: int = rank) -> tuple[int, ...]:
        return tuple(int(size) for size in rng.integers(low, high, count))

    groups = int(rng.choice([1, 1, 2, 3]))
    window = Window(sizes(1, 4), sizes(1, 3), sizes(0, 3, 2 * rank), sizes(1, 3), groups)
    return window, int(rng.integers(1, 4)), int(rng.integers(1, 4))


@pytest.mark.parametrize("seed", range(40))
def test_convolutions_equal_onnxruntime(seed: int) -> None:
    """Random dimensions, strides, pads, dilations and groups; weights held or made at run time."""
    rng = np.random.default_rng(seed)
    window, depth, outputs = random_window(rng)
    executions, batch, groups = 3, 2, window.groups
    spatial = rng.integers(6, 9, len(window.kernel))
    x = rng.normal(size=(executions, batch, groups * depth, *spatial)).astype(np.float32)
    w = rng.normal(size=(groups * outputs, depth, *window.kernel)).astype(np.float32)
    b = rng.normal(size=groups * outputs).astype(np.float32)
    expected = conv(x.reshape(-1, *x.shape[2:]), w, b, window)
    part = MatrixPart((batch, *expected.shape[1:]), F32, window=window, bias=b)
    held = MatrixProduct(part, Exact())
    held.hold(w)
    y = held.run(x)
    assert np.abs(y.reshape(expected.shape) - expected).max() < 1e-5
    made = MatrixProduct(part, Exact()).run(x, np.broadcast_to(w, (executions, *w.shape)))
    assert np.array_equal(made, y)
    units: tuple[Arithmetic, ...] = (BitSerial(128, 1, 8, 8, 8), BitSerial(128, 2, 8, 8, 8), AnalogDot(8, 8, 8))
    for unit in units:
        product = MatrixProduct(part, unit)
        product.hold(w)
        error = np.abs(product.run(x).reshape(expected.shape) - expected)
        assert np.quantile(error, 0.999) < 0.03 * np.ptp(expected)  # a converter clips the rarest outputs


def test_columns_pad_with_the_given_code_and_crop_where_pads_are_negative() -> None:
    x = np.arange(1, 5, dtype=np.int64).reshape(1, 1, 4)
    assert columns(x, Window((2,), [1], [1, 0], [1]), pad_value=9).tolist() == [[[[9, 1, 2, 3], [1, 2, 3, 4]]]]
    assert columns(x, Window((2,), [1], [-1, 0], [1])).tolist() == [[[[2, 3], [3, 4]]]]


@pytest.mark.parametrize(
    ("x_shape", "w_shape"),
    [
        ((5,), (5, 3)),
        ((4, 5), (5, 3)),
        ((2, 4, 5), (5, 3)),
        ((2, 4, 5), (2, 5, 3)),
        ((4, 5), (2, 5, 3)),
        ((2, 1, 4, 5), (3, 5, 3)),
        ((3, 4, 5), (2, 1, 5, 3)),
        ((5,), (2, 5, 3)),
    ],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_matrix_products_broadcast_as_in_numpy(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], dynamic: bool
) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, *x_shape)).astype(np.float32)
    w = rng.normal(size=(6, *w_shape)).astype(np.float32) if dynamic else rng.normal(size=w_shape).astype(np.float32)
    expected = np.stack([np.matmul(x[i], w[i] if dynamic else w) for i in range(6)])
    for unit, bar in ((Exact(), 1e-6), (AnalogDot(10, 10, None), 0.02)):
        product = MatrixProduct(MatrixPart(expected.shape[1:], F32), unit)
        if not dynamic:
            product.hold(w)
        assert np.abs(product.run(x, w if dynamic else None) - expected).max() < bar * np.ptp(expected)


def test_ranges_are_set_by_the_first_executions_and_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 32 executions, whatever the pieces; what comes later may be clipped."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(50, 4, 20)).astype(np.float32), rng.normal(size=(20, 30)).astype(np.float32)

    def run(*pieces: Array) -> tuple[MatrixProduct, Array]:
        product = MatrixProduct(MatrixPart((4, 30), F32), AnalogDot(8, 8, 8))
        product.hold(w)
        return product, np.concatenate([product.run(piece) for piece in pieces])

    whole, y = run(x)
    assert whole.calibrated_on == 32
    first, z = run(x[:32], x[32:])
    assert first.full == whole.full
    assert np.array_equal(y, z)
    tiny, _ = run(x[:2], x[2:])
    assert tiny.calibrated_on == 2
    assert tiny.clipped > whole.clipped
    monkeypatch.setattr(matrix_product, "PIECE_BYTES", 2000)
    small, z = run(x)
    assert small.full == whole.full
    assert np.array_equal(y, z)


def test_bias_and_scale_of_a_part_then_activation_then_cast() -> None:
    x, w = np.array([[[1, 2]]], np.int8), np.array([[3, -4], [5, 6]], np.int8)
    part = MatrixPart(
        (1, 2),
        np.dtype(np.float16),
        scale=np.array([0.5, 2], np.float32),
        bias=np.array([1, -20], np.float32),
        function=Activation.RELU,
        zero_point=1,
    )
    product = MatrixProduct(part, Exact())
    product.hold(w)
    assert product.run(x).tolist() == [[[0.5 * 5 + 1, 0.0]]]
    sums = MatrixProduct(MatrixPart((1, 2), np.dtype(np.int32), zero_point=1, bias=np.array([2**30])), Exact())
    sums.hold(w)
    assert sums.run(x).tolist() == [[[2**30 + 5, 2**30 + 6]]]


@pytest.mark.parametrize("unit", [Exact(), BitSerial(128, 1, 8, 8, 8), AnalogDot(8, 8, 12)])
def test_types_that_numpy_lacks(unit: Arithmetic) -> None:
    """bfloat16 values and results, weights of 4 bits."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5)).astype(ml_dtypes.bfloat16)
    for w in (rng.normal(size=(5, 4)).astype(ml_dtypes.bfloat16), rng.integers(-8, 8, (5, 4)).astype(ml_dtypes.int4)):
        product = MatrixProduct(MatrixPart((3, 4), np.dtype(ml_dtypes.bfloat16)), unit)
        product.hold(w)
        y, expected = product.run(x), x.astype(np.float32) @ w.astype(np.float32)
        assert y.dtype == ml_dtypes.bfloat16
        assert np.abs(y.astype(np.float32) - expected).max() < 0.02 * np.ptp(expected)


def test_activations() -> None:
    x = np.linspace(-8, 8, 1001)
    assert np.abs(erf(x) - np.vectorize(math.erf)(x)).max() < 2e-7
    expected = {
        Activation.NONE: x,
        Activation.RELU: np.maximum(x, 0),
        Activation.RELU6: np.clip(x, 0, 6),
        Activation.SIGMOID: 1 / (1 + np.exp(-x)),
        Activation.TANH: np.tanh(x),
        Activation.GELU: x * 0.5 * (1 + erf(x / np.sqrt(2))),
    }
    assert set(expected) == set(Activation)
    for function, values in expected.items():
        assert np.allclose(activate(function, x.copy()), values, atol=1e-12)
