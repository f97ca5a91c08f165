"""Converters against published figures and hand calculations, and what must hold for every model."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h3c.runtime_sim.components.converters import ADC_MODELS, DAC_MODELS, adc, dac
from h3c.runtime_sim.errors import InputError

FITTED = [model for model in ADC_MODELS if model != "measured"]


@pytest.mark.parametrize(
    ("bits", "technology_nm", "pj"),
    [(8, 28, 1.33), (6, 28, 0.83), (10, 28, 10.8), (8, 14, 0.36), (8, 32, 1.71)],
)
def test_murmann_at_1_gs_per_s(bits: int, technology_nm: float, pj: float) -> None:
    """The figures of accelergy-adc-plug-in; supplies are nominal."""
    supply = {14: 0.8, 28: 0.9, 32: 0.9}[int(technology_nm)]
    assert float(adc("murmann", bits, 1.0, technology_nm, supply).energy_pj) == pytest.approx(pj, rel=0.01)


def test_the_area_of_murmann() -> None:
    assert float(adc("murmann", 8, 1.0, 32, 0.9).area_um2) == pytest.approx(5969, rel=1e-3)


def test_isaac_by_hand() -> None:
    """2 mW at 1.2 GS/s: 2 / 1.2 = 1.667 pJ a conversion, 0.833 ns; 7.5 bits lie between 7 and 8 in the logarithm."""
    one = adc("isaac", 8, 1.2, 32, 0.9)
    assert float(one.energy_pj) == pytest.approx(2 / 1.2, rel=1e-3)
    assert (float(one.area_um2), float(one.time_ns)) == (1200, pytest.approx(0.8333, rel=1e-3))
    assert float(adc("isaac", 7.5, 1.2, 32, 0.9).energy_pj) == pytest.approx((1.42 * 1.667) ** 0.5)
    assert float(adc("isaac", 3, 1.2, 32, 0.9).energy_pj) == pytest.approx(0.79**2 / 0.99)
    assert float(adc("isaac", 8, 1.2, 16, 0.9).area_um2) == 300


@pytest.mark.parametrize(
    ("bits", "area_um2", "time_ns", "energy_pj"),
    [
        (1, 0, 2.31168, 0.08100324),
        (5, 336.2404655569765, 11.5584, 0.40582944),
        (8, 2084.6827141356666, 18.49344, 0.70108416),
        (10, 7035.580825745736, 23.1168, 1.65934656),
    ],
)
def test_zigzag_with_256_rows(bits: int, area_um2: float, time_ns: float, energy_pj: float) -> None:
    """What ZigZag's ImcArray (3d12a96) prints."""
    one = adc("zigzag", bits, 1.0, 28, 0.9, rows=256)
    found = [float(one.area_um2), float(one.time_ns), float(one.energy_pj)]
    assert found == pytest.approx([area_um2, time_ns, energy_pj], rel=1e-9)


def test_lightening_transformers_converters_by_hand() -> None:
    """3.7 mW for 4 bits at 5 GS/s; its DAC of 8 bits takes 50 mW at 14 GS/s, and 4 bits an eighth of that."""
    assert float(adc("sar-linear", 4, 5.0, 14, 0.8).energy_pj) == pytest.approx(3.7 / 5)
    assert float(dac("lt", 8, 14.0, 16, 0.8).energy_pj) == pytest.approx(50 / 14)
    assert float(dac("lt", 4, 14.0, 16, 0.8).energy_pj) == pytest.approx(50 / 14 * (16 / 4) / (256 / 8))


def test_drivers_of_rows_by_hand() -> None:
    assert float(dac("zigzag", 7, 1.0, 22, 0.8).energy_pj) == pytest.approx(0.05 * 7 * 0.64)
    assert float(dac("zigzag", 1, 1.0, 22, 0.8).energy_pj) == 0
    assert float(dac("isaac", 1, 1.0, 32, 0.9).energy_pj) == pytest.approx(0.417)
    assert float(dac("isaac", 2, 1.0, 32, 0.9).energy_pj) == pytest.approx(3 * 0.417)


def test_a_measured_converter_is_what_was_measured() -> None:
    one = adc("measured", 8, 0.5, 65, 0.85, energy_pj=1.79, area_um2=1941)
    assert (float(one.energy_pj), float(one.area_um2), float(one.time_ns)) == (1.79, 1941, 2)
    with pytest.raises(InputError, match="adc_energy_pj"):
        adc("measured", 8, 0.5, 65, 0.85)


@given(st.sampled_from(FITTED), st.integers(1, 15), st.floats(0.001, 10), st.floats(7, 130), st.floats(0.5, 1.3))
def test_more_bits_never_cost_less(model: str, bits: int, rate: float, nm: float, volts: float) -> None:
    small, large = (adc(model, b, rate, nm, volts, rows=64) for b in (bits, bits + 1))
    assert small.energy_pj <= large.energy_pj
    assert small.time_ns <= large.time_ns


@given(st.sampled_from(DAC_MODELS), st.integers(1, 15), st.floats(7, 130), st.floats(0.5, 1.3))
def test_more_bits_of_a_driver_never_cost_less(model: str, bits: int, nm: float, volts: float) -> None:
    assert dac(model, bits, 1.0, nm, volts).energy_pj <= dac(model, bits + 1, 1.0, nm, volts).energy_pj


@given(st.sampled_from(FITTED), st.integers(1, 12), st.floats(0.4, 1.0))
def test_energy_goes_as_the_square_of_the_supply(model: str, bits: int, volts: float) -> None:
    one, two = (float(adc(model, bits, 1.0, 28, v).energy_pj) for v in (volts, 2 * volts))
    assert two == pytest.approx(4 * one)


@pytest.mark.parametrize("model", FITTED)
def test_many_converters_at_once_are_the_same_one_by_one(model: str) -> None:
    draw = np.random.default_rng(1)
    bits, rate, nm, volts = draw.integers(1, 13, 1000), draw.uniform(0.01, 3, 1000), draw.uniform(10, 90, 1000), 0.9
    many = adc(model, bits, rate, nm, volts, rows=128)
    for index in range(0, 1000, 7):
        one: Any = adc(model, bits[index], rate[index], nm[index], volts, rows=128)
        assert [figure[index] for figure in map(np.atleast_1d, np.broadcast_arrays(*many))] == list(one)


@pytest.mark.parametrize("call", [lambda: adc("x", 8, 1, 28, 0.9), lambda: dac("x", 8, 1, 28, 0.9)])
def test_an_unknown_model_is_one_line(call: Any) -> None:
    with pytest.raises(InputError, match=r"expected one of .*, got 'x'"):
        call()
