"""Plans written by hand compute what onnxruntime (or numpy) does."""

from typing import Any

import numpy as np
import onnx.helper as oh
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from plan_texts import digital, plan, weight
from xdsl.dialects.builtin import ModuleOp

from h3c.runtime_sim import numbers
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.numbers import run_plan

Array = NDArray[Any]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def conv(x: Array, w: Array, b: Array, **attributes: Any) -> Array:
    """onnxruntime's Conv."""
    values = {"x": x, "w": w, "b": b}
    infos = [oh.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in values.items()]
    node = oh.make_node("Conv", list(values), ["y"], **attributes)
    graph = oh.make_graph([node], "g", infos, [oh.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    model = oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8)
    return np.asarray(ort.InferenceSession(model.SerializeToString()).run(None, values)[0])


HELD = "tensor<5x4xf32, #tile.arrays<@chip::@sram, 0 to 1>>"
X = '%x: tensor<2x5xf32> {h3.name = "x"}'


def split_over_three_tiers() -> tuple[ModuleOp, Array, Array]:
    """One matrix product whose outputs run on arrays, on the photonic tier and on the digital unit."""
    w = rng(1).normal(size=(5, 9)).astype(np.float32)
    b = rng(2).normal(size=9).astype(np.float32)
    body = f"""
      {weight("w", w)}
      {weight("b", b)}
      %r = tile.segment once -> {HELD} {{
        %p = tile.program %w from [0, 0] step 0 : (tensor<5x9xf32>) -> {HELD}
        tile.yield %p : {HELD}
      }}
      %y = tile.segment 0 -> tensor<2x9xf32> {{
        %xb = tile.load %x step 0 : (tensor<2x5xf32>) -> tensor<2x5xf32, @chip::@buffer>
        %a = tile.mvm %xb, %r first 0 of 9 bias %b activation relu step 1
          : (tensor<2x5xf32, @chip::@buffer>, {HELD}, tensor<9xf32>)
          -> tensor<2x4xf32, @chip::@buffer>
        %c = tile.mvm %xb, %w on @chip::@photonic first 4 of 9 bias %b activation relu step 1
          : (tensor<2x5xf32, @chip::@buffer>, tensor<5x9xf32>, tensor<9xf32>)
          -> tensor<2x3xf32, @chip::@buffer>
        %d = tile.mvm %xb, %w on @chip::@digital first 7 of 9 bias %b activation relu step 1
          : (tensor<2x5xf32, @chip::@buffer>, tensor<5x9xf32>, tensor<9xf32>)
          -> tensor<2x2xf32, @chip::@buffer>
        %j = tile.join %a, %c, %d axis 1
          : (tensor<2x4xf32, @chip::@buffer>, tensor<2x3xf32, @chip::@buffer>, tensor<2x2xf32, @chip::@buffer>)
          -> tensor<2x9xf32, @chip::@buffer>
        %s = tile.store %j step 2 : (tensor<2x9xf32, @chip::@buffer>) -> tensor<2x9xf32>
        tile.yield %s : tensor<2x9xf32>
      }}
      func.return %y : tensor<2x9xf32>"""
    return plan(X, 'tensor<2x9xf32> {h3.name = "y"}', body), w, b


def test_the_parts_of_a_product_add_up_to_it() -> None:
    module, w, b = split_over_three_tiers()
    x = rng().normal(size=(8, 5)).astype(np.float32)
    outputs, report = run_plan(module, {"x": x}, ideal=True)
    assert np.abs(outputs["y"] - np.maximum(x @ w + b, 0)).max() < 1e-6
    assert outputs["y"].dtype == np.float32
    assert (report.executions, report.calibrated) == (4, 0)
    outputs, report = run_plan(module, {"x": x}, ideal=False)
    assert 0 < np.abs(outputs["y"] - np.maximum(x @ w + b, 0)).max() < 0.05
    assert (report.calibrated, report.calibrated_on) == (1, 4)
    assert any("first 4 executions" in line for line in report.lines())


def test_the_digital_unit_is_exact_at_any_precision() -> None:
    module, w, b = split_over_three_tiers()
    x = rng().normal(size=(2, 5)).astype(np.float32)
    outputs, _ = run_plan(module, {"x": x}, ideal=False)
    assert np.abs(outputs["y"] - np.maximum(x @ w + b, 0))[:, 7:].max() < 1e-6


def test_executions_are_cut_where_values_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and ranges do not depend on how many executions go through the plan together."""
    module, *_ = split_over_three_tiers()
    x = rng().normal(size=(64, 5)).astype(np.float32)
    whole, _ = run_plan(module, {"x": x}, ideal=True)
    monkeypatch.setattr(numbers, "VALUE_BYTES", 1000)
    cut, report = run_plan(module, {"x": x}, ideal=True)
    assert report.executions == 32
    assert np.array_equal(whole["y"], cut["y"])


def test_a_grouped_convolution_in_parts_equals_onnxruntime() -> None:
    """Parts hold whole groups, read their own channels, and may be streamed."""
    w = rng(1).normal(size=(6, 2, 3, 3)).astype(np.float32)
    b = rng(2).normal(size=6).astype(np.float32)
    window = "window <strides [2, 1], pads [1, 0, 1, 2], dilations [1, 2], groups 3>"
    x_type, at = "tensor<1x6x7x8xf32>", "#tile.arrays<@chip::@sram, 0 to 2>"
    body = f"""
      {weight("w", w)}
      {weight("b", b)}
      %y = tile.segment 0 -> tensor<1x6x4x6xf32> {{
        %p = tile.program %w from [2, 0, 0, 0] groups 2 step 0 : (tensor<6x2x3x3xf32>) -> tensor<4x2x3x3xf32, {at}>
        %a = tile.mvm %x, %w on @chip::@digital {window} first 0 of 6 bias %b step 0
          : ({x_type}, tensor<6x2x3x3xf32>, tensor<6xf32>)
          -> tensor<1x2x4x6xf32>
        %c = tile.mvm %x, %p {window} first 2 of 6 bias %b step 0
          : ({x_type}, tensor<4x2x3x3xf32, {at}>, tensor<6xf32>)
          -> tensor<1x4x4x6xf32>
        %j = tile.join %a, %c axis 1 : (tensor<1x2x4x6xf32>, tensor<1x4x4x6xf32>) -> tensor<1x6x4x6xf32>
        tile.yield %j : tensor<1x6x4x6xf32>
      }}
      func.return %y : tensor<1x6x4x6xf32>"""
    module = plan(f'%x: {x_type} {{h3.name = "x"}}', 'tensor<1x6x4x6xf32> {h3.name = "y"}', body)
    x = rng().normal(size=(3, 6, 7, 8)).astype(np.float32)
    expected = conv(x, w, b, strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2], group=3)
    outputs, _ = run_plan(module, {"x": x}, ideal=True)
    assert np.abs(outputs["y"] - expected).max() < 1e-5
    outputs, _ = run_plan(module, {"x": x}, ideal=False)
    assert np.abs(outputs["y"] - expected).max() < 0.05 * np.ptp(expected)


DYNAMIC = """
      %y = tile.segment 0 -> tensor<2x3x3xf32> {
        %k = tile.digital %x step 0 : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32, @chip::@buffer> {
        ^bb0(%a: tensor<2x3x4xf32>):
          %t = onnx.Tanh(%a) : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
          tile.yield %t : tensor<2x3x4xf32>
        }
        PRODUCT
        %q = tile.digital %s step 3 : (tensor<2x3x3xf32, @chip::@buffer>) -> tensor<2x3x3xf32> {
        ^bb0(%b: tensor<2x3x3xf32>):
          %m = onnx.Softmax(%b) <axis = -1 : si64> : (tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
          tile.yield %m : tensor<2x3x3xf32>
        }
        tile.yield %q : tensor<2x3x3xf32>
      }
      func.return %y : tensor<2x3x3xf32>"""
STREAMED = """%s = tile.mvm %k, %k on @chip::@photonic transposed step 1
          : (tensor<2x3x4xf32, @chip::@buffer>, tensor<2x3x4xf32, @chip::@buffer>)
          -> tensor<2x3x3xf32, @chip::@buffer>"""
PROGRAMMED = """%p = tile.program %k transposed step 1
          : (tensor<2x3x4xf32, @chip::@buffer>)
          -> tensor<2x4x3xf32, #tile.arrays<@chip::@sram, 0 to 2>>
        %s = tile.mvm %k, %p step 1
          : (tensor<2x3x4xf32, @chip::@buffer>, tensor<2x4x3xf32, #tile.arrays<@chip::@sram, 0 to 2>>)
          -> tensor<2x3x3xf32, @chip::@buffer>"""


@pytest.mark.parametrize("product", [STREAMED, PROGRAMMED], ids=["streamed", "programmed"])
@pytest.mark.parametrize("ideal", [True, False])
def test_a_product_of_two_values_made_at_run_time(product: str, ideal: bool) -> None:
    body = DYNAMIC.replace("PRODUCT", product)
    module = plan('%x: tensor<2x3x4xf32> {h3.name = "x"}', 'tensor<2x3x3xf32> {h3.name = "y"}', body)
    x = rng().normal(size=(10, 3, 4)).astype(np.float32)
    k = np.tanh(x)
    e = np.exp(k @ k.swapaxes(-1, -2))
    outputs, report = run_plan(module, {"x": x}, ideal=ideal)
    assert np.abs(outputs["y"] - e / e.sum(-1, keepdims=True)).max() < (1e-6 if ideal else 0.02)
    assert (report.stacked, report.single) == (2, 0)


def test_integer_codes_with_scale_and_zero_point() -> None:
    """A u8 x i8 product is exact on crossbars: their zero point is corrected digitally; pads have the code of zero."""
    w = rng(1).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    scale = rng(2).uniform(1e-4, 2e-4, 4).astype(np.float32)
    window, at = (
        "window <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1>",
        "#tile.arrays<@chip::@sram, 0 to 1>",
    )
    body = f"""
      {weight("w", w)}
      {weight("s", scale)}
      %y = tile.segment 0 -> tensor<1x4x5x5xf32> {{
        %p = tile.program %w step 0 : (tensor<4x3x3x3xi8>) -> tensor<4x3x3x3xi8, {at}>
        %a = tile.mvm %x, %p {window} scale %s zero_point 77 step 0
          : (tensor<1x3x5x5xui8>, tensor<4x3x3x3xi8, {at}>, tensor<4xf32>)
          -> tensor<1x4x5x5xf32>
        tile.yield %a : tensor<1x4x5x5xf32>
      }}
      func.return %y : tensor<1x4x5x5xf32>"""
    module = plan('%x: tensor<1x3x5x5xui8> {h3.name = "x"}', 'tensor<1x4x5x5xf32> {h3.name = "y"}', body)
    x = rng().integers(0, 256, (6, 3, 5, 5)).astype(np.uint8)
    exact = conv((x.astype(np.float32) - 77), w.astype(np.float32), np.zeros(4, np.float32), pads=[1, 1, 1, 1])
    for ideal in (True, False):
        outputs, _ = run_plan(module, {"x": x}, ideal=ideal)
        assert np.allclose(outputs["y"], exact * scale.reshape(1, 4, 1, 1), rtol=1e-6, atol=1e-6)


def test_work_that_mixes_samples_runs_once_an_execution() -> None:
    types = "(tensor<1x4xf32>) -> (tensor<1x4xui8>, tensor<f32>, tensor<ui8>)"
    ops = f"%r, %s, %z = onnx.DynamicQuantizeLinear(%a) : {types}"
    module = digital("tensor<1x4xf32>", ops, "tensor<1x4xui8>")
    x = np.array([[0, 1, 2, 3], [0, 10, 20, 30]], np.float32)
    outputs, report = run_plan(module, {"x": x}, ideal=True)
    assert outputs["y"].tolist() == [[0, 85, 170, 255]] * 2
    assert (report.stacked, report.single) == (0, 1)


def test_results_whose_shape_depends_on_the_data_follow_each_other() -> None:
    ops = "%r = onnx.NonZero(%a) : (tensor<3xf32>) -> tensor<1x?xi64>"
    module = digital("tensor<3xf32>", ops, "tensor<1x?xi64>")
    with pytest.raises(InputError, match="output 'y' has different shapes"):
        run_plan(module, {"x": np.array([1, 0, 0, 1, 1, 0], np.float32)}, ideal=True)
    outputs, _ = run_plan(module, {"x": np.array([1, 0, 1], np.float32)}, ideal=True)
    assert outputs["y"].tolist() == [[0, 2]]


def test_an_op_without_a_kernel_is_named() -> None:
    ops = '%r = onnx.Custom "com.acme.Fancy"(%a) : (tensor<3xf32>) -> tensor<3xf32> loc("/attention/Fancy")'
    module = digital("tensor<3xf32>", ops, "tensor<3xf32>")
    with pytest.raises(InputError, match="/attention/Fancy"):
        run_plan(module, {"x": np.zeros(3, np.float32)}, ideal=True)


def test_weights_without_values_are_named() -> None:
    body = """
      %w = h3.weight "fc.weight" absent : tensor<5x3xf32>
      %y = tile.segment 0 -> tensor<2x3xf32> {
        %a = tile.mvm %x, %w on @chip::@photonic step 0 : (tensor<2x5xf32>, tensor<5x3xf32>) -> tensor<2x3xf32>
        tile.yield %a : tensor<2x3xf32>
      }
      func.return %y : tensor<2x3xf32>"""
    module = plan(X, 'tensor<2x3xf32> {h3.name = "y"}', body)
    with pytest.raises(InputError, match=r"weight 'fc\.weight' has no values"):
        run_plan(module, {"x": np.zeros((2, 5), np.float32)}, ideal=True)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "input 'x' is missing: expected 'x', got none"),
        ({"x": np.zeros((2, 5)), "z": np.zeros(1)}, "no input is called 'z': expected 'x'"),
        ({"x": np.zeros((2, 6))}, r"input 'x': expected shape \['n x 2', 5\], got \[2, 6\]"),
        ({"x": np.zeros(5)}, r"input 'x': expected shape \['n x 2', 5\], got \[5\]"),
        ({"x": np.zeros((3, 5))}, "input 'x': expected a multiple of 2 on the leading axis, got 3"),
        ({"x": np.zeros((0, 5))}, "input 'x': expected a multiple of 2 on the leading axis, got 0"),
        ({"x": np.full((2, 5), 0.1)}, "input 'x': expected values of type float32, got float64 that are not"),
        ({"x": np.full((2, 5), "a")}, "input 'x': expected values of type float32"),
    ],
)
def test_inputs_that_do_not_fit_are_one_line(inputs: dict[str, Array], told: str) -> None:
    module, *_ = split_over_three_tiers()
    with pytest.raises(InputError, match=told) as error:
        run_plan(module, inputs, ideal=True)
    assert "\n" not in str(error.value)


def test_inputs_are_cast_where_that_is_exact() -> None:
    module, *_ = split_over_three_tiers()
    x = rng().integers(0, 256, (4, 5))
    expected, _ = run_plan(module, {"x": x.astype(np.float32)}, ideal=True)
    for dtype in (np.uint8, np.int64, np.float64):
        assert np.array_equal(run_plan(module, {"x": x.astype(dtype)}, ideal=True)[0]["y"], expected["y"])
