"""Quantisers keep what they promise, and products of codes are what the hardware would add up."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from h3c.runtime_sim.arithmetic import AnalogDot, Arithmetic, BitSerial, Exact, bit_planes, weight_slices
from h3c.runtime_sim.quantise import convert_outputs, full_scale, quantise_inputs, quantise_weights

Array = NDArray[Any]

FLOATS = st.floats(-1e6, 1e6, width=32)
TENSORS = arrays(np.float32, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=FLOATS)
BITS = st.integers(2, 10)


@given(TENSORS, BITS)
def test_inputs_are_coded_within_half_a_step(x: Array, bits: int) -> None:
    codes = quantise_inputs(x, bits)
    assert np.all(np.abs(codes.values * codes.scale - x) <= codes.scale * 0.500001 + 1e-30)
    assert np.array_equal(codes.values, np.rint(codes.values))
    assert np.all(codes.values[x == 0] == 0)
    for execution, values in zip(x, codes.values, strict=True):
        low, high = (0, 2**bits - 1) if execution.min() >= 0 else (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)
        assert low <= values.min()
        assert values.max() <= high


@given(TENSORS, BITS)
def test_each_execution_has_its_own_scale(x: Array, bits: int) -> None:
    together = quantise_inputs(x, bits)
    for i in range(len(x)):
        alone = quantise_inputs(x[i : i + 1], bits)
        assert np.array_equal(alone.values[0], together.values[i])


@given(TENSORS, BITS)
def test_weights_are_coded_within_half_a_step_and_symmetrically(w: Array, bits: int) -> None:
    codes, mirrored = quantise_weights(w, bits, -2), quantise_weights(-w, bits, -2)
    assert np.all(np.abs(codes.values * codes.scale - w) <= codes.scale * 0.500001 + 1e-30)
    assert np.array_equal(codes.values, -mirrored.values)
    assert np.abs(codes.values).max() <= 2 ** (bits - 1) - 1
    assert codes.scale.shape == (*w.shape[:-2], 1, w.shape[-1])


def test_ties_go_to_even() -> None:
    x = np.array([[0.5, 1.5, 2.5, 255]], np.float32)
    assert quantise_inputs(x, 8).values.tolist() == [[0, 2, 2, 255]]


def test_integers_that_fit_are_their_own_codes() -> None:
    for values, dtype in (([[0, 17, 255]], np.uint8), ([[-128, 3, 100]], np.int8), ([[0, 200, 255]], np.int32)):
        codes = quantise_inputs(np.array(values, dtype), 8)
        assert codes.values.tolist() == values
        assert codes.scale.item() == 1
    wide = quantise_inputs(np.array([[-300, 100]], np.int16), 8)
    assert wide.values.tolist() == [[-127, 42]]
    weights = quantise_weights(np.array([[-128, -300], [5, 100]], np.int16), 8, 0)
    assert weights.values.tolist() == [[-128, -127], [5, 42]]


def test_dead_outputs_and_tensors_code_to_zero() -> None:
    """Folded normalisation leaves outputs of 1e-40: no division by what has no bits."""
    dead = np.array([[1e-40, 1.0], [-1e-41, 0.5]], np.float32)
    assert quantise_weights(dead, 8, 0).values.tolist() == [[0, 127], [0, 64]]
    assert quantise_inputs(np.full((1, 3), 1e-42, np.float32), 8).values.tolist() == [[0, 0, 0]]
    assert quantise_inputs(np.zeros((2, 0), np.float32), 8).values.shape == (2, 0)


def test_what_is_not_a_number_stays_so() -> None:
    x = np.array([[1.0, np.nan], [1.0, 2.0]], np.float32)
    values = quantise_inputs(x, 8).values
    assert np.isnan(values[0]).any()
    assert values[1].tolist() == [128, 255]


def test_the_converters_range_leaves_out_the_rarest_products() -> None:
    products = np.concatenate([np.linspace(-1, 1, 100_001), [1000.0]])
    assert full_scale([products]) == pytest.approx(1.1, rel=1e-3)
    assert full_scale([np.zeros(3), np.array([np.inf])]) == 0


@given(arrays(np.float64, 20, elements=st.floats(-100, 100)), st.integers(2, 12))
def test_converted_outputs_are_within_half_a_step_or_clipped(products: Array, bits: int) -> None:
    converted = products.copy()
    clipped = convert_outputs(converted, 50.0, bits)
    step = 50.0 / (2 ** (bits - 1) - 1)
    beyond = np.abs(products) > 50 + step / 2
    assert clipped == beyond.sum()
    assert np.all(np.abs(converted - products)[~beyond] <= step * 0.500001)
    assert np.allclose(np.abs(converted[beyond]), 50)


def test_a_range_of_nothing_makes_nothing() -> None:
    products = np.array([0.0, 3.0])
    assert convert_outputs(products, 0.0, 8) == 1
    assert products.tolist() == [0, 0]


@given(arrays(np.int64, 10, elements=st.integers(-128, 127)), st.integers(1, 8))
def test_weight_slices_add_up_to_the_weight(values: Array, cell_bits: int) -> None:
    slices = weight_slices(values, 8, cell_bits)
    assert len(slices) == -(-8 // cell_bits)
    assert np.array_equal(sum(digits * place for digits, place in slices), values)
    assert all(digits.min() >= 0 and digits.max() < 2**cell_bits for digits, _ in slices[:-1])


@given(arrays(np.int64, 10, elements=st.integers(-128, 255)))
def test_bit_planes_add_up_to_the_input(values: Array) -> None:
    planes = bit_planes(values.astype(np.float32), 8)
    assert np.array_equal(sum((plane * worth for plane, worth in planes), np.zeros(10)), values)


def crossbar(x: Array, w: Array, unit: BitSerial) -> tuple[Array, int]:
    """The same product as loops over everything: arrays, slices, bits, columns."""
    limit, clipped = 2**unit.adc_bits - 1, 0
    y = np.zeros((x.shape[0], w.shape[1]), np.int64)
    for start in range(0, w.shape[0], unit.array_rows):
        rows = slice(start, start + unit.array_rows)
        for digits, place in weight_slices(w[rows], unit.weight_bits, unit.cell_bits):
            for bit in range(unit.input_bits + 1):
                worth = -(2**bit) if bit == unit.input_bits else 2**bit
                for m in range(x.shape[0]):
                    for n in range(w.shape[1]):
                        bits = (x[m, rows] >> bit) & 1
                        total = int(sum(int(b) * int(d) for b, d in zip(bits, digits[:, n], strict=True)))
                        clipped += abs(total) > limit
                        y[m, n] += max(-limit, min(limit, total)) * place * worth
    return y, clipped


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4), st.integers(1, 6), st.integers(2, 8), st.booleans()
)
def test_bit_serial_crossbars_equal_loops_over_bits(
    seed: int, depth: int, cell_bits: int, rows: int, adc_bits: int, signed: bool
) -> None:
    rng = np.random.default_rng(seed)
    unit = BitSerial(rows, cell_bits, adc_bits, 8, 8)
    x = rng.integers(-128 if signed else 0, 128 if signed else 256, (3, depth))
    w = rng.integers(-128, 128, (depth, 4))
    expected, clipped = crossbar(x, w, unit)
    inputs, weights = unit.inputs(x.astype(np.int16), 0), unit.weights(w.astype(np.int16))
    got, count = unit.multiply(inputs.values, inputs.peak, weights)
    assert np.array_equal(got, expected)
    assert count == clipped


def test_saturation_clips_and_is_counted() -> None:
    """128 rows of cells that all hold 3 make sums of 384, of which an 8-bit converter sees 255."""
    unit = BitSerial(128, 2, 8, 1, 2)
    x, w = np.ones((1, 128), np.uint8), np.full((128, 1), 1, np.int8)
    inputs = unit.inputs(x, 0)
    y, clipped = unit.multiply(inputs.values, inputs.peak, unit.weights(w))
    assert (y.item(), clipped) == (128, 0)
    wide = BitSerial(128, 2, 8, 1, 4)
    y, clipped = wide.multiply(inputs.values, inputs.peak, wide.weights(np.full((128, 1), 3, np.int8)))
    assert (y.item(), clipped) == (255, 1)


def test_enough_converter_bits_watch_no_columns() -> None:
    w = np.random.default_rng(0).integers(-127, 128, (300, 20)).astype(np.int8)
    assert BitSerial(128, 1, 8, 8, 8).weights(w).clipping == ()
    assert BitSerial(128, 2, 9, 8, 8).weights(w).clipping == ()
    assert BitSerial(128, 2, 7, 8, 8).weights(w).clipping != ()


@pytest.mark.parametrize("unit", [Exact(), BitSerial(128, 1, 8, 8, 8), AnalogDot(8, 8, None)])
def test_products_of_integers_are_exact_for_any_depth(unit: Arithmetic) -> None:
    """Sums beyond 2^24 leave float32."""
    x, w = np.full((1, 3000), 255, np.uint8), np.full((3000, 2), 127, np.int8)
    w[0, 0] = 126
    inputs = unit.inputs(x, 0)
    y, _ = unit.multiply(inputs.values, inputs.peak, unit.weights(w))
    assert y.tolist() == [[3000 * 255 * 127 - 255, 3000 * 255 * 127]]


def test_wide_integers_are_multiplied_in_int64() -> None:
    x, w = np.array([[2**30, 1]], np.int32), np.array([[2**30], [1]], np.int32)
    inputs = Exact().inputs(x, 0)
    y, _ = Exact().multiply(inputs.values, inputs.peak, Exact().weights(w))
    assert y.tolist() == [[2**60 + 1]]
