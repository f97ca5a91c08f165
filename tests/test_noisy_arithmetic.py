"""Noise of products has the power that its models say, and none where they say none."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from noisy_chips import QUIET_PCM
from numpy.typing import NDArray

from h3c.runtime_sim import matrix_product
from h3c.runtime_sim.arithmetic import AnalogDot, Arithmetic, BitSerial, Drive, Exact
from h3c.runtime_sim.arithmetic_noisy import NoisyDot
from h3c.runtime_sim.arithmetic_normals import quick_normals
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds.noise import NoiseModel
from h3c.runtime_sim.matrix_product import MatrixPart, MatrixProduct
from h3c.runtime_sim.quality.part_noise import PartNoise
from h3c.runtime_sim.quality.place import Gain, PartPlace
from h3c.runtime_sim.quality.sliced_noise import rounding
from h3c.runtime_sim.quality.streams import VECTORS, Streams
from h3c.runtime_sim.windows import Window

Array = NDArray[Any]
F32 = np.dtype(np.float32)
RNG = np.random.default_rng
DAY_S = 86400.0


def noise(**fields: Any) -> NoiseModel:
    return NoiseModel.model_validate(fields)


def quiet() -> NoiseModel:
    return noise(**QUIET_PCM)


class Part:
    """A product x @ w whose tier errs, with its realisations."""

    def __init__(
        self, model: NoiseModel, unit: Arithmetic, x: Array, w: Array, window: Window | None = None, **known: Any
    ):
        shape = (
            (*x.shape[1:-1], w.shape[-1]) if window is None else (x.shape[1], len(w), *window.positions(x.shape[3:]))
        )
        self.x, self.unit = x, unit
        self.product = MatrixProduct(MatrixPart(shape, F32, window=window), unit)
        self.product.hold(w)
        self.clean = self.product.run(x)
        self.weights = self.product.static
        place = PartPlace("part", Streams(7, 0), full=self.product.full, **known)
        self.noise = PartNoise(model, unit, self.weights, place)

    def run(self, realisation: int = 0, age_s: float = 1.0) -> Array:
        self.noise.program(realisation)
        self.product.arithmetic, self.product.static = self.noise.at(age_s, VECTORS)
        return self.product.run(self.x)


UNITS: dict[str, Arithmetic] = {
    "converter": AnalogDot(8, 8, 8),
    "arrays": AnalogDot(8, 8, 8, array_rows=16),
    "vectors": AnalogDot(8, 8, 8, array_rows=16, per_vector=True),
    "bits": BitSerial(16, 2, 5, 8, 8),
}


def known(unit: Arithmetic) -> dict[str, Any]:
    return {"activity": np.full(9, 0.5)} if isinstance(unit, BitSerial) else {}


@pytest.mark.parametrize("exact_adc", [False, True])
@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("compensated", [False, True])
def test_no_noise_is_the_default_precision_to_the_bit(unit: Arithmetic, exact_adc: bool, compensated: bool) -> None:
    """Cells without spread, drift or noise of reads give back the codes, also for convolutions."""
    x, w = RNG(0).normal(size=(5, 3, 40)).astype(np.float32), RNG(1).normal(size=(40, 6)).astype(np.float32)
    part = Part(quiet(), unit, x, w, exact_adc=exact_adc, gain="magnitude" if compensated else None, **known(unit))
    assert np.array_equal(part.run(0, DAY_S), part.clean)
    images, kernel = RNG(2).normal(size=(4, 1, 6, 7, 7)), RNG(3).normal(size=(8, 3, 3, 3))
    window = Window((3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 2)
    part = Part(
        quiet(), unit, images.astype(np.float32), kernel.astype(np.float32), window, exact_adc=exact_adc, **known(unit)
    )
    assert np.array_equal(part.run(0, DAY_S), part.clean)


@pytest.mark.parametrize("per_vector", [False, True])
def test_errors_of_outputs_have_the_power_of_the_errors_of_weights(per_vector: bool) -> None:
    """sum_k x_k^2 var(w_kn) over realisations, by the closed form of the cells."""
    model = noise(model="pcm", read_noise=False)
    x, w = RNG(0).normal(size=(1, 64, 200)).astype(np.float32), RNG(1).normal(size=(200, 20)).astype(np.float32)
    part = Part(model, AnalogDot(8, 8, None, array_rows=64, per_vector=per_vector), x, w)
    y = np.stack([part.run(realisation, DAY_S) for realisation in range(150)])
    technology, weights = model.technology(), part.weights
    assert technology is not None
    assert weights is not None
    variance = technology.weight_noise_power(weights.values, DAY_S) * weights.scale**2
    expected = np.square(x[0]) @ variance
    measured = y.var(axis=0, ddof=1)
    assert measured.sum() == pytest.approx(expected.sum(), rel=0.03)
    assert np.corrcoef(measured.ravel(), expected.ravel())[0, 1] > 0.75


def test_noise_of_reads_is_drawn_as_noise_of_sums() -> None:
    """A vector repeated 4000 times meets the same weights; what varies has the variance x^2 @ read_noise."""
    model = noise(**{**QUIET_PCM, "read_noise": True})
    x, w = RNG(0).normal(size=(1, 1, 50)).astype(np.float32), RNG(1).normal(size=(50, 6)).astype(np.float32)
    part = Part(model, AnalogDot(8, 8, None, array_rows=20), np.repeat(x, 4000, axis=1), w)
    y = part.run()[0]
    # 0.0175^2 |w| max|w| of each weight (AIHWKIT, PCM_READ)
    expected = np.square(x[0, 0]) @ (0.0175**2 * np.abs(w) * np.abs(w).max(axis=0))
    assert y.var(axis=0, ddof=1) == pytest.approx(expected, rel=0.09)
    assert np.abs(y.mean(axis=0) - part.clean[0, 0]).max() < 5 * np.sqrt(expected.max() / 4000)


@pytest.mark.parametrize("per_vector", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_noise_of_outputs_is_in_units_of_the_largest_input_times_the_largest_weight(
    per_vector: bool, signed: bool
) -> None:
    """0.06 for each of 3 arrays: the sum has 0.06 sqrt(3) of the product of both."""
    x = RNG(0).uniform(-2 if signed else 0, 2, (1, 3000, 60)).astype(np.float32)
    x[0, :, ::20] = 2.0  # each vector's largest in each of its arrays
    w = RNG(1).uniform(-1, 1, (60, 4)).astype(np.float32)
    w[7] = [0.5, 1.0, 2.0, 4.0]
    part = Part(noise(**QUIET_PCM, output_noise=0.06), AnalogDot(8, 8, None, 20, per_vector), x, w)
    error = part.run()[0] - part.clean[0]
    largest = np.maximum(np.abs(w).max(axis=0), 0)
    assert error.std(axis=0) == pytest.approx(0.06 * np.sqrt(3) * 2 * largest, rel=0.05)


def test_relative_noise_of_operands_and_of_detectors() -> None:
    x, w = RNG(0).normal(size=(1, 1, 30)).astype(np.float32), RNG(1).normal(size=(30, 5)).astype(np.float32)
    many = np.repeat(x, 6000, axis=1)
    operands = Part(noise(model="photonic", input_sigma=0.03, weight_sigma=0.04), AnalogDot(12, 12, None), many, w)
    expected = 0.05**2 * (np.square(x[0, 0]) @ np.square(w))
    assert operands.run()[0].var(axis=0) == pytest.approx(expected, rel=0.08)
    detectors = Part(noise(model="photonic", detector_sigma=0.1), AnalogDot(12, 12, None), many, w)
    assert detectors.run()[0].std(axis=0) == pytest.approx(0.1 * np.abs(x[0, 0] @ w), rel=0.05)


def test_weights_made_at_run_time_have_noise_of_products_only() -> None:
    x, w = RNG(0).normal(size=(500, 4, 30)).astype(np.float32), RNG(1).normal(size=(500, 30, 5)).astype(np.float32)
    unit = AnalogDot(12, 12, None)
    model = noise(model="photonic", input_sigma=0.03)
    unset = MatrixProduct(MatrixPart((4, 5), F32), unit)
    clean = unset.run(x, w)
    arithmetic, held = PartNoise(model, unit, None, PartPlace("p", Streams(0, 0))).at(1.0, VECTORS)
    assert held is None
    noisy = MatrixProduct(MatrixPart((4, 5), F32), arithmetic).run(x, w)
    expected = 0.03**2 * np.matmul(np.square(x), np.square(w)).mean()
    assert np.square(noisy - clean).mean() == pytest.approx(expected, rel=0.05)
    with pytest.raises(InputError, match="p: noise of cells whose weights are made at run time"):
        PartNoise(quiet(), unit, None, PartPlace("p", Streams(0, 0)))


def test_noise_of_conversions_is_in_steps() -> None:
    x, w = RNG(0).normal(size=(1, 4000, 30)).astype(np.float32), RNG(1).normal(size=(30, 3)).astype(np.float32)
    part = Part(noise(model="sram", capacitor_mismatch=0.0, adc_noise_lsb=2.0), AnalogDot(8, 8, 8), x, w)
    full, weights = part.product.full, part.weights
    assert full is not None
    assert weights is not None
    step = full / 127 * weights.scale[0] * np.abs(x).max() / 127
    error = (part.run() - part.clean)[0]
    assert error.std(axis=0) == pytest.approx(2.0 * step, rel=0.05)


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("per_read", [False, True])
def test_statistics_of_conversions_agree_with_conversion_by_conversion(sigma: float, per_read: bool) -> None:
    """Errors of cells below half a step vanish (0.02), some get through (0.1), most do (0.3). In between, where only
    tails get through, the statistical power is up to a quarter too low, as bits share the errors of their cells."""
    x = RNG(0).integers(0, 256, (1, 300, 64)).astype(np.float32)
    w = RNG(1).integers(-127, 128, (64, 24)).astype(np.float32)
    w[0], x[0, :, 0] = 127, 255
    unit = BitSerial(32, 2, 10, 8, 8)
    fields: dict[str, Any] = (
        {"capacitor_mismatch": 0.0, "adc_noise_lsb": sigma}
        if per_read
        else {"capacitor_mismatch": sigma / 4, "adc_noise_lsb": 0.0}
    )
    activity = np.append([(x.astype(int) >> bit & 1).mean() for bit in range(8)], 0.0)
    errors: list[Array] = []
    for exact_adc in (False, True):
        part = Part(noise(model="sram", **fields), unit, x, w, activity=activity, exact_adc=exact_adc)
        errors.append(np.concatenate([part.run(realisation) - part.clean for realisation in range(6)]))
    statistical, exact = (float(np.square(each).mean()) for each in errors)
    unseen = float(1e-6 * np.square(part.clean).mean())
    assert statistical == pytest.approx(exact, rel=0.25, abs=unseen)
    assert abs(errors[0].mean() - errors[1].mean()) < 0.1 * max(exact, unseen) ** 0.5


def test_errors_of_cells_below_half_a_step_are_rounded_away() -> None:
    x, w = (
        RNG(0).integers(0, 256, (1, 5, 64)).astype(np.float32),
        RNG(1).integers(-128, 128, (64, 4)).astype(np.float32),
    )
    model = noise(model="sram", capacitor_mismatch=0.002, adc_noise_lsb=0.0)
    for exact_adc in (False, True):
        part = Part(model, BitSerial(64, 2, 10, 8, 8), x, w, activity=np.full(9, 0.5), exact_adc=exact_adc)
        assert np.abs(part.run() - part.clean).max() < 1e-3 * np.abs(part.clean).max()


def test_rounding_of_a_normal_error_in_closed_form() -> None:
    tau = np.array([0.2, 0.3, 0.5, 1.0, 20.0])
    linear, second = rounding(tau)
    e = RNG(0).normal(size=(400_000, 1)) * tau
    assert second == pytest.approx(np.square(np.rint(e)).mean(axis=0), rel=0.02)
    assert linear * tau**2 == pytest.approx((e * np.rint(e)).mean(axis=0), rel=0.02)
    assert second[-1] == pytest.approx(400 + 1 / 12)


@pytest.mark.parametrize("unit", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("window", [None, Window((3, 3), [1, 1], [1, 1, 1, 1], [1, 1], 1)])
def test_noise_does_not_depend_on_how_executions_are_cut(
    unit: Arithmetic, window: Window | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, kernel = ((9, 3, 21), (21, 5)) if window is None else ((9, 2, 3, 5, 5), (5, 3, 3, 3))
    x, w = RNG(0).normal(size=shape).astype(np.float32), RNG(1).normal(size=kernel).astype(np.float32)
    model = noise(model="reram", device="plain", g_min_us=0.0, g_max_us=100.0, spread=0.1, output_noise=0.05)
    part = Part(model, unit, x, w, window, **known(unit))
    whole = part.run(3)
    monkeypatch.setattr(matrix_product, "PIECE_BYTES", 1500)
    assert np.array_equal(part.run(3), whole)
    part.noise.program(3)
    part.product.arithmetic, part.product.static = part.noise.at(1.0, VECTORS)
    assert np.array_equal(np.concatenate([part.product.run(x[:2]), part.product.run(x[2:])]), whole)
    assert not np.array_equal(part.run(4), whole)


@pytest.mark.parametrize("exact_adc", [False, True])
def test_conversion_by_conversion_does_not_depend_on_the_cut_either(exact_adc: bool) -> None:
    x, w = RNG(0).normal(size=(6, 3, 21)).astype(np.float32), RNG(1).normal(size=(21, 5)).astype(np.float32)
    part = Part(noise(model="sram"), BitSerial(16, 2, 8, 8, 8), x, w, activity=np.full(9, 0.4), exact_adc=exact_adc)
    whole = part.run(1)
    part.product.arithmetic, part.product.static = part.noise.at(1.0, VECTORS)
    cut = [part.product.run(x[i : i + 1]) for i in range(6)]
    assert np.array_equal(np.concatenate(cut), whole)


def test_a_realisation_is_the_same_at_every_age_but_for_its_drift() -> None:
    """The errors of writing stay: a year's weights are those of a day, less what drifted."""
    model = noise(**{**QUIET_PCM, "programming_scale": 1.0})
    x, w = RNG(0).normal(size=(1, 40, 50)).astype(np.float32), RNG(1).normal(size=(50, 8)).astype(np.float32)
    part = Part(model, AnalogDot(8, 8, None), x, w)
    day, year = (part.run(5, age) for age in (DAY_S, 365 * DAY_S))
    assert np.array_equal(day, part.run(5, DAY_S))
    # Without drift's spread (drift_scale 0) nothing ages at all.
    assert np.array_equal(day, year)


def test_gains_restore_what_drift_takes() -> None:
    """The mean regression of aged on clean outputs: 0.5 or so without compensation, 1 with it."""
    x, w = RNG(0).normal(size=(1, 400, 256)).astype(np.float32), RNG(1).normal(size=(256, 64)).astype(np.float32)
    unit = AnalogDot(8, 8, 8, array_rows=128, per_vector=True)

    def slope(gain: Gain | None) -> float:
        part = Part(noise(model="pcm"), unit, x, w, gain=gain)
        y = part.run(0, 365 * DAY_S)
        return float((y * part.clean).sum() / np.square(part.clean).sum())

    assert slope(None) == pytest.approx(0.49, abs=0.03)  # 1 / 2.0365, AIHWKIT's alpha at one year
    assert slope("signed") == pytest.approx(1.0, abs=0.02)
    # Converters and noise hide some of the drift from mean magnitudes.
    assert 0.9 < slope("magnitude") < 1.0


def test_offsets_restore_the_mean_of_every_output() -> None:
    x, w = RNG(0).normal(0.5, 1, (64, 3, 40)).astype(np.float32), RNG(1).normal(size=(40, 10)).astype(np.float32)
    digital = MatrixProduct(MatrixPart((3, 10), F32), Exact())
    digital.hold(w)
    intended = digital.intended(x)
    clean = intended.mean
    assert clean == pytest.approx((x.reshape(-1, 40) @ w).mean(axis=0), rel=1e-5)
    part = Part(noise(model="pcm"), AnalogDot(8, 8, 8, array_rows=20, per_vector=True), x, w)
    untrimmed = part.run(0, DAY_S)
    assert np.abs(untrimmed.mean(axis=(0, 1)) - clean).max() > 0.1
    trimmed = part.product.trim(x, intended)
    assert trimmed.mean(axis=(0, 1)) == pytest.approx(clean, abs=1e-4)
    again = part.product.run(x)  # other noise of reads, the same offsets
    assert again.mean(axis=(0, 1)) == pytest.approx(clean, abs=0.05)


@pytest.mark.parametrize("window", [None, Window((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 2)])
def test_a_trim_restores_the_size_of_outputs(window: Window | None) -> None:
    """Weights that lost a fifth, and inputs with a tenth of noise: outputs get their own slope and means back."""
    shape, w_shape = ((3, 40), (40, 10)) if window is None else ((2, 6, 4, 5), (8, 3, 1, 1))
    x, w = RNG(0).normal(0.5, 1, (64, *shape)).astype(np.float32), RNG(1).normal(size=w_shape).astype(np.float32)
    bias = RNG(2).normal(size=10 if window is None else 8).astype(np.float32)
    result = (3, 10) if window is None else (2, 8, 4, 5)

    def product_with(weights: Array) -> MatrixProduct:
        product = MatrixProduct(MatrixPart(result, F32, window, bias=bias), Exact())
        product.hold(weights)
        return product

    digital, lossy = product_with(w), product_with(np.float32(0.8) * w)
    noisy = x + RNG(3).normal(0, 0.1, x.shape).astype(np.float32)
    y = lossy.trim(noisy, digital.intended(x))
    assert lossy.gain == pytest.approx(1.25, rel=0.01)
    assert lossy.run(noisy) == pytest.approx(y, abs=1e-4)
    clean = digital.run(x)
    rest = tuple(axis for axis in range(y.ndim) if axis != 2)
    assert y.mean(axis=rest) == pytest.approx(clean.mean(axis=rest), abs=1e-4)
    assert y.std() == pytest.approx(clean.std(), rel=0.02)


def test_noise_of_the_wrong_kind_is_an_error() -> None:
    x, w = np.ones((1, 1, 4), np.float32), np.ones((4, 2), np.float32)
    with pytest.raises(InputError, match="part: noise 'photonic' is of analog products"):
        Part(noise(model="photonic", input_sigma=0.1), BitSerial(4, 1, 8, 8, 8), x, w)
    with pytest.raises(InputError, match="part: noise 'pcm' is of analog sums, its tier computes exactly"):
        Part(quiet(), Exact(), x, w)


def test_noisy_products_stay_in_float32() -> None:
    x, w = RNG(0).normal(size=(2, 8, 700)).astype(np.float32), RNG(1).normal(size=(700, 9)).astype(np.float32)
    unit = AnalogDot(8, 8, 8, array_rows=256, per_vector=True)
    part = Part(noise(model="pcm", output_noise=0.06), unit, x, w)
    part.noise.program(0)
    arithmetic, weights = part.noise.at(DAY_S, VECTORS)
    assert isinstance(arithmetic, NoisyDot)
    assert weights is not None
    assert weights.values.dtype == np.float32
    assert weights.variance is not None
    assert weights.variance.dtype == np.float32
    inputs = arithmetic.inputs(x, 0)
    drive = Drive(part.product.full, None if inputs.top is None else inputs.top.reshape(-1, 1, 1), inputs.raw)
    y, _ = arithmetic.multiply(inputs.values, inputs.peak, weights, drive)
    assert y.dtype == np.float32


def test_quick_normals_have_the_moments_and_may_be_cut() -> None:
    def draw(*shapes: tuple[int, ...]) -> Array:
        rng = np.random.Generator(np.random.SFC64(3))
        return np.concatenate([quick_normals(rng, shape) for shape in shapes])

    z = draw((1000, 1001)).astype(np.float64)
    assert z.dtype == np.float64
    assert z.mean() == pytest.approx(0, abs=0.004)
    assert z.var() == pytest.approx(1, abs=0.005)
    assert (z**4).mean() == pytest.approx(3, abs=0.03)
    assert np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1] == pytest.approx(0, abs=0.004)
    assert np.array_equal(draw((7, 5, 3)), draw((2, 5, 3), (4, 5, 3), (1, 5, 3)))


def test_inputs_scaled_vector_by_vector_keep_small_vectors() -> None:
    """A vector a thousand times smaller than another of its tensor keeps its bits; one range for both loses them."""
    x = RNG(0).normal(size=(1, 2, 40)).astype(np.float32) * np.array([[[1.0], [1e-3]]], np.float32)
    w = RNG(1).normal(size=(40, 8)).astype(np.float32)
    errors: dict[bool, float] = {}
    for per_vector in (False, True):
        product = MatrixProduct(MatrixPart((2, 8), F32), AnalogDot(8, 8, None, 16, per_vector))
        product.hold(w)
        small, exact = product.run(x)[0, 1], x[0, 1] @ w
        errors[per_vector] = float(np.abs(small - exact).max() / np.abs(exact).max())
    assert errors[True] < 0.02 < 0.3 < errors[False]


def test_integers_pass_vector_converters_as_they_are() -> None:
    x, w = RNG(0).integers(-50, 50, (2, 3, 40)).astype(np.int8), RNG(1).integers(-127, 128, (40, 4)).astype(np.int8)
    product = MatrixProduct(MatrixPart((3, 4), np.dtype(np.int32)), AnalogDot(8, 8, None, 16, True))
    product.hold(w)
    assert np.array_equal(product.run(x), x.astype(np.int32) @ w.astype(np.int32))


def test_arrays_convert_their_sums_one_by_one() -> None:
    """Two arrays of two rows, a converter of -127 .. 127 codes: each sum saturates by itself."""
    unit = AnalogDot(8, 8, 8, array_rows=2)
    inputs, weights = unit.inputs(np.array([[[1, 1, 1, 1]]], np.int8), 0), unit.weights(np.full((4, 1), 100, np.int8))
    y, clipped = unit.multiply(inputs.values, inputs.peak, weights, replace(Drive(), full=127.0))
    assert (y.item(), clipped) == (254, 2)
