"""Memory devices against recorded statistics of AIHWKIT 1.2.0 and against their own closed forms."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.noise.ages import parse_age
from h3c.runtime_sim.noise.constants import constants, names, sources
from h3c.runtime_sim.noise.device import Device, generator
from h3c.runtime_sim.noise.faults import StuckAt
from h3c.runtime_sim.noise.pcm import Pcm
from h3c.runtime_sim.noise.reram import Cmo, Plain, Readout, Wan
from h3c.runtime_sim.noise.statistics import cut_moments

Array = NDArray[Any]

DAY, YEAR = 86400.0, 365 * 86400.0
DEVICES: dict[str, Device] = {
    "pcm": Pcm.named("generic"),
    "hermes-1": Pcm.named("hermes-1"),
    "hermes-2": Pcm.named("hermes-2"),
    "wan": Wan.named(),
    "cmo-0.2pct": Cmo.named("cmo-0.2pct"),
    "cmo-2pct": Cmo.named("cmo-2pct"),
}
# AIHWKIT 1.2.0, 100,000 devices at 0.4 of the range: target, then (mean, deviation) in uS as written and by age in s.
RECORDED: dict[str, tuple[float, tuple[float, float], dict[float, tuple[float, float]]]] = {
    "pcm": (10.0, (10.0027, 0.8625), {1.0: (9.9782, 1.0873), DAY: (6.6496, 0.9046), YEAR: (5.0024, 0.8485)}),
    "hermes-1": (4.14, (4.139, 0.7859), {1.0: (4.1371, 0.8823), DAY: (2.8558, 0.6664), YEAR: (2.0034, 0.5484)}),
    "hermes-2": (8.28, (8.282, 0.9964), {1.0: (8.2792, 1.1711), DAY: (5.8521, 0.9121), YEAR: (4.0869, 0.7622)}),
    "wan": (16.0, (16.0057, 2.2183), {1.0: (16.0093, 2.2274), DAY: (15.9855, 3.9914)}),
    "cmo-0.2pct": (40.676, (40.676, 0.0444), {1.0: (40.675, 0.4425), DAY: (39.6689, 0.9171), YEAR: (39.1368, 1.1623)}),
    "cmo-2pct": (40.676, (40.677, 0.4711), {1.0: (40.6745, 0.6469), DAY: (39.6608, 1.0317), YEAR: (39.1446, 1.2527)}),
}


@pytest.mark.parametrize("name", RECORDED)
def test_devices_have_the_recorded_statistics(name: str) -> None:
    device, (target, as_written, by_age) = DEVICES[name], RECORDED[name]
    rng, targets = generator(1), np.full(100_000, target, np.float32)
    written, memory = device.written(targets, rng), device.memory(targets, rng)
    for expected, values in [(as_written, written)] + [
        (expected, device.aged(written, memory, age, rng)) for age, expected in by_age.items()
    ]:
        assert values.dtype == np.float32
        assert (values.mean(dtype=np.float64), values.std(dtype=np.float64)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", RECORDED)
def test_closed_moments_are_the_recorded_statistics(name: str) -> None:
    device, (target, _, by_age) = DEVICES[name], RECORDED[name]
    for age, (mean, deviation) in by_age.items():
        found = device.moments(np.array(target), age)
        assert (float(found[0]), float(found[1]) ** 0.5) == pytest.approx((mean, deviation), rel=0.01)


def test_an_idle_device_is_written_as_the_half_of_a_normal_that_is_positive() -> None:
    """sigma = 0.26348 uS at a target of 0: mean sigma / sqrt(2 pi), second moment sigma^2 / 2."""
    written = Pcm.named("generic").written(np.zeros(200_000, np.float32), generator(2)).astype(np.float64)
    assert written.mean() == pytest.approx(0.26348 / np.sqrt(2 * np.pi), rel=0.01)
    assert np.mean(written**2) == pytest.approx(0.26348**2 / 2, rel=0.02)


def test_drift_alone_is_a_power_of_time() -> None:
    """At g_max the exponent is 0.049 on average: after t = 9 t_0 a tenth of the rate, 10^-0.049 of the conductance."""
    device = Pcm.named("generic", programming_scale=0.0, read_scale=0.0)
    targets = np.full(50_000, 25.0, np.float32)
    rng = generator(3)
    written, memory = device.written(targets, rng), device.memory(targets, rng)
    assert np.array_equal(written, targets)
    aged = device.aged(written, memory, 9 * 20.0, rng)
    assert np.log10(aged / 25.0).mean() == pytest.approx(-0.049, rel=0.002)
    assert np.array_equal(aged, device.aged(written, memory, 9 * 20.0, rng))


# AIHWKIT 1.2.0: (mean, deviation) of the exponents of devices with the least and the half of the range as target.
@pytest.mark.parametrize(("target", "recorded"), [(0.0, (0.10057, 0.04406)), (12.5, (0.04902, 0.00803))])
def test_exponents_are_the_recorded_ones_and_never_negative(target: float, recorded: tuple[float, float]) -> None:
    nu = Pcm.named("generic").memory(np.full(200_000, target, np.float32), generator(10)).astype(np.float64)
    assert nu.min() >= 0
    assert (nu.mean(), nu.std()) == pytest.approx(recorded, rel=0.01)


def test_read_noise_is_drawn_by_each_read_and_drift_is_not() -> None:
    device = Pcm.named("generic")
    targets, rng = np.full(100_000, 10.0, np.float32), generator(4)
    written, memory = device.written(targets, rng), device.memory(targets, rng)
    one, two = (device.aged(written, memory, DAY, rng).astype(np.float64) for _ in range(2))
    quiet = Pcm.named("generic", read_scale=0.0).aged(written, memory, DAY, rng)
    # What two reads share is what was written and how it drifts.
    assert np.cov(one, two)[0, 1] == pytest.approx(quiet.var(dtype=np.float64), rel=0.03)


def test_the_same_seed_gives_the_same_devices() -> None:
    device, targets = Pcm.named("generic"), np.linspace(0, 25, 1000, dtype=np.float32)
    assert np.array_equal(device.written(targets, generator(7)), device.written(targets, generator(7)))
    assert not np.array_equal(device.written(targets, generator(7)), device.written(targets, generator(8)))


def test_wan_knows_three_ages_only() -> None:
    device, targets = Wan.named(), np.full(3, 16.0, np.float32)
    with pytest.raises(InputError, match=r"1 s, 86400 s, 172800 s only: 3600 s"):
        device.aged(targets, targets, 3600.0, generator(1))
    with pytest.raises(InputError):
        device.moments(targets, 3600.0)


def test_milo_has_the_published_spread() -> None:
    """4.782321 - 0.009107 x 100 = 3.8716 uS at 100 uS."""
    written = Plain.named().written(np.full(100_000, 100.0, np.float32), generator(5))
    assert written.std(dtype=np.float64) == pytest.approx(3.8716, rel=0.01)


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize(("spread", "inverse"), [((0.02,), 0.0), ((0.0, 0.1), 0.0), ((0.0,), 0.01)])
def test_plain_moments_are_those_of_what_is_written(spread: tuple[float, ...], inverse: float, uniform: bool) -> None:
    device = Plain(0.0, 1.0, spread, inverse, uniform)
    for target in (0.01, 0.3, 1.0):
        written = device.written(np.full(200_000, target, np.float32), generator(6)).astype(np.float64)
        mean, variance = device.moments(np.array(target), 1.0)
        assert (written.mean(), written.std()) == pytest.approx((float(mean), float(variance) ** 0.5), rel=0.015)


def test_reading_noise_is_thermal_and_shot_noise() -> None:
    """100 uS, 0.2 V, 100 MHz, 300 K: sqrt(4 G f k T) / V = 0.0643 uS and sqrt(2 G f q / V) = 0.1266 uS."""
    variance = 100 * Readout(0.2, 1e8, 300.0).variance_per_us()
    assert variance == pytest.approx(0.06435**2 + 0.12659**2, rel=1e-3)
    device = Wan.named(readout=Readout(0.2, 1e8, 300.0))
    assert device.read_variance(np.array([100.0], np.float32), 40.0) == pytest.approx(variance, rel=1e-5)
    assert Wan.named().read_variance(np.ones(1, np.float32), 40.0) is None


def test_shares_of_cells_are_stuck() -> None:
    low, high = StuckAt(0.02, 0.05).draw((400_000,), generator(9))
    assert (low.mean(), high.mean()) == pytest.approx((0.02, 0.05), rel=0.05)
    assert not (low & high).any()


@settings(max_examples=50)
@given(st.floats(-3, 3), st.floats(0.01, 3), st.floats(-2, 0), st.floats(0.1, 2))
def test_moments_of_a_cut_normal_are_its_integrals(mean: float, deviation: float, low: float, span: float) -> None:
    z = np.linspace(-8, 8, 20_001)
    weights = np.exp(-z * z / 2)
    values = np.clip(mean + deviation * z, low, low + span)
    first = np.average(values, weights=weights)
    second = np.average((values - first) ** 2, weights=weights)
    found = cut_moments(np.array(mean), np.array(deviation), low, low + span)
    assert float(found[0]) == pytest.approx(first, abs=1e-6)
    assert float(found[1]) == pytest.approx(second, abs=2e-6)


@pytest.mark.parametrize("technology", ["pcm", "reram", "sram", "photonic", "converters"])
def test_every_constant_is_a_number_with_a_source(technology: str) -> None:
    """YAML reads 1e8 as text."""

    def numbers(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(numbers, value.values()))
        return all(map(numbers, value)) if isinstance(value, list) else isinstance(value, int | float)

    for part in names(technology):
        assert all(map(numbers, constants(technology, part).values())), part
        assert all(len(source) > 5 for source in sources(technology, part).values())


def test_an_unknown_device_is_one_line() -> None:
    with pytest.raises(InputError, match=r"pcm: expected one of generic, hermes-1, hermes-2: 'hermes'"):
        Pcm.named("hermes")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("90 s", 90), ("10min", 600), ("1.5h", 5400), ("1d", 86400), ("30d", 2_592_000), ("1y", 31_536_000)],
)
def test_ages_are_seconds(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "d", "1mo", "1w", "-1d", "0s", "1e999y", "nan s", "1D", "1d 2h", "١d"])
def test_other_ages_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_age(text)
    assert repr(text) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_minutes_and_months_are_not_guessed() -> None:
    with pytest.raises(InputError, match="minutes or months"):
        parse_age("1m")
