"""fuse-bias-activation: constants an output and activations without parameters join the product before them."""

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from h3_reference import Reference, assert_same, error_of_range, model, names, products, read, run_passes

from h3c.dialects.h3_attributes import Activation
from h3c.runtime_sim.errors import where

RNG = np.random.default_rng(17)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("add", ["Add(m, b)", "Add(b, m)"])
@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5), (), (1,)])
def test_a_bias_after_a_matmul_joins_it(add: str, shape: tuple[int, ...], tmp_path: Path):
    source = model(
        f"g (float[2,3,8] x) => (float[2,3,5] y) {{ m = MatMul(x, w)  y = {add} }}", w=floats(8, 5), b=floats(*shape)
    )
    module = run_passes(read(source, tmp_path))
    assert names(module) == ["h3.matmul"]
    assert_same(source, module)


@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), (1,)])
def test_a_bias_after_a_conv_joins_it(shape: tuple[int, ...], tmp_path: Path):
    source = model(
        "g (float[2,4,5,5] x) => (float[N,C,H,W] y) { m = Conv(x, w, a)  n = Add(m, b)  y = Relu(n) }",
        w=floats(6, 4, 3, 3),
        a=floats(6),
        b=floats(*shape),
    )
    module = run_passes(read(source, tmp_path))
    (op,) = products(module)
    assert op.function is Activation.RELU
    assert names(module) == ["h3.conv"]
    assert_same(source, module)


ACTIVATIONS = {
    "Relu(m)": (Activation.RELU, 17),
    "Sigmoid(m)": (Activation.SIGMOID, 17),
    "Tanh(m)": (Activation.TANH, 17),
    "Clip(m, zero, six)": (Activation.RELU6, 17),
    "Clip<min = 0.0, max = 6.0>(m)": (Activation.RELU6, 10),
    "Gelu(m)": (Activation.GELU, 20),
}


@pytest.mark.parametrize("text", ACTIVATIONS)
def test_an_activation_joins_the_product(text: str, tmp_path: Path):
    function, opset = ACTIVATIONS[text]
    source = model(
        f"g (float[3,8] x) => (float[3,5] y) {{ m = MatMul(x, w)  y = {text} }}",
        opset,
        w=floats(8, 5),
        zero=np.float32(0),
        six=np.float32(6),
    )
    module = run_passes(read(source, tmp_path))
    (op,) = products(module)
    assert op.function is function
    assert op.result.name_hint == "y"
    assert names(module) == ["h3.matmul"]
    assert_same(source, module)


APART = {
    "used twice": "m = MatMul(x, w)  r = Relu(m)  y = Add(r, m)",
    "a bias along the rows": "m = MatMul(x, w)  y = Add(m, rows)",
    "a bias of another result": "m = MatMul(x, w)  y = Add(m, wide)",
    "a computed addend": "m = MatMul(x, w)  t = ReduceSum<keepdims = 1>(x)  y = Add(m, t)",
    "other bounds": "m = MatMul(x, w)  y = Clip(m, zero, five)",
    "no lower bound": "m = MatMul(x, w)  y = Clip(m, , six)",
    "after an activation": "m = MatMul(x, w)  r = Relu(m)  y = Tanh(r)",
    "a bias after an activation": "m = MatMul(x, w)  r = Relu(m)  y = Add(r, b)",
    "approximate": 'm = MatMul(x, w)  y = Gelu<approximate = "tanh">(m)',
}


@pytest.mark.parametrize("case", APART)
def test_everything_else_stays_apart(case: str, tmp_path: Path):
    dims = "N,M,K" if "another" in case else "N,M"
    source = model(
        f"g (float[3,8] x) => (float[{dims}] y) {{ {APART[case]} }}",
        20,
        w=floats(8, 5),
        b=floats(5),
        rows=floats(3, 1),
        wide=floats(2, 1, 5),
        zero=np.float32(0),
        five=np.float32(5),
        six=np.float32(6),
    )
    module = run_passes(read(source, tmp_path))
    assert len(names(module)) > 1
    assert_same(source, module)


def test_an_output_of_the_model_keeps_its_value(tmp_path: Path):
    source = model("g (float[3,8] x) => (float[3,5] m, float[3,5] y) { m = MatMul(x, w)  y = Relu(m) }", w=floats(8, 5))
    module = run_passes(read(source, tmp_path))
    assert names(module) == ["h3.matmul", "onnx.Relu"]
    assert_same(source, module)


def test_a_product_keeps_its_location(tmp_path: Path):
    source = model("g (float[3,8] x) => (float[3,5] y) { m = MatMul(x, w)  y = Relu(m) }", w=floats(8, 5))
    source.graph.node[0].name = "the_product"
    (op,) = products(run_passes(read(source, tmp_path)))
    assert where(op).endswith("node the_product")


def test_bfloat16_goes_through_all_passes(tmp_path: Path):
    source = model(
        "g (bfloat16[2,4,6,6] x) => (bfloat16[N,C,H,W] y) {"
        "  c = Conv(x, w)  n = BatchNormalization(c, g, g, g, g)  y = Relu(n)"
        "}",
        w=floats(6, 4, 3, 3).astype(ml_dtypes.bfloat16),
        g=np.abs(floats(6)).astype(ml_dtypes.bfloat16),
    )
    module = run_passes(read(source, tmp_path))
    (op,) = products(module)
    assert str(op.result.type) == "tensor<2x6x4x4xbf16>"
    assert names(module) == ["h3.conv"]
    plain = Reference(run_passes(read(source, tmp_path), []))
    x = floats(2, 4, 6, 6).astype(ml_dtypes.bfloat16)
    (expected,), (got,) = plain({"x": x}).values(), Reference(module)({"x": x}).values()
    assert error_of_range(expected, got) <= 0.01  # the folded weight is rounded to 8 bits once more
