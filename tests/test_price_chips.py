"""Prices of SRAM tiers as properties: many chips in one call, and how prices follow bits, copies, M, K and N."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import Chip
from h3c.runtime_sim.cost import Price, price
from h3c.runtime_sim.kinds.analog_sram import AnalogSram
from h3c.runtime_sim.kinds.base import TierKind
from h3c.runtime_sim.kinds.digital_sram import DigitalSram
from h3c.runtime_sim.product import plain_product

CHIP = load_chip("digital")
CHIPS = 1000
SHARED: dict[str, Any] = {
    "arrays": 64,
    "array_rows": 128,
    "array_cols": 128,
    "rows_at_once": 32,
    "cell_bits": 1,
    "weight_bits": 8,
    "input_bits": 8,
    "output_bits": 8,
    "write_ports": 4,
    "technology_nm": 28.0,
    "supply_v": 0.9,
    "link_in_bytes_per_ns": 64.0,
    "link_out_bytes_per_ns": 64.0,
    "link_energy_pj_per_bit": 0.1,
}
DIGITAL = DigitalSram(**SHARED, bits_per_cycle=2)
ANALOG = AnalogSram(
    **SHARED,
    dac_bits=1,
    adc_bits=6,
    adc_model="murmann",
    adc_rate_gs_per_s=0.5,
    columns_per_adc=8,
    pipelined=True,
    array_ns=4.0,
    cell_capacitor_ff=1.0,
    row_line_ff=0.3,
)
TIERS = st.sampled_from([DIGITAL, ANALOG, ANALOG.model_copy(update={"adc_model": "zigzag"})])
SIZES = st.integers(1, 700)


def chip_with(tier: TierKind) -> Chip:
    return CHIP.model_copy(update={"tiers": {**CHIP.tiers, "sram": tier}})


def priced(tier: TierKind, m: int, k: int, n: int, outputs: Any, copies: Any = 1, rewritten: bool = False) -> Price:
    return price(chip_with(tier), plain_product(m, k, n), "sram", outputs, copies, rewritten=rewritten)


def random_fields(tier: TierKind) -> dict[str, np.ndarray[Any, Any]]:
    """Values of a thousand tiers for each numeric field that a search would turn."""
    draw = np.random.default_rng(7)
    rows = 2 ** draw.integers(5, 10, CHIPS)
    fields: dict[str, np.ndarray[Any, Any]] = {
        "arrays": draw.integers(1, 4096, CHIPS),
        "array_rows": rows,
        "rows_at_once": rows // 2 ** draw.integers(0, 4, CHIPS),
        "array_cols": 8 * draw.integers(2, 65, CHIPS),
        "weight_bits": draw.integers(2, 9, CHIPS),
        "input_bits": draw.integers(1, 9, CHIPS),
        "technology_nm": draw.uniform(14, 65, CHIPS),
        "supply_v": draw.uniform(0.6, 1.2, CHIPS),
        "input_toggle_rate": draw.uniform(0, 1, CHIPS),
        "weight_sparsity": draw.uniform(0, 1, CHIPS),
        "write_ports": draw.integers(1, 65, CHIPS),
        "link_in_bytes_per_ns": draw.uniform(1, 1000, CHIPS),
    }
    if isinstance(tier, DigitalSram):
        return fields | {"bits_per_cycle": draw.integers(1, 9, CHIPS), "booth": draw.integers(0, 2, CHIPS) > 0}
    return fields | {
        "dac_bits": draw.integers(1, 9, CHIPS),
        "adc_bits": draw.integers(1, 13, CHIPS),
        "adc_rate_gs_per_s": draw.uniform(0.01, 2, CHIPS),
        "adc_energy_scale": draw.uniform(0.2, 4, CHIPS),
        "columns_per_adc": 2 ** draw.integers(0, 8, CHIPS),
        "columns_summed": 2 ** draw.integers(0, 4, CHIPS),
        "cell_capacitor_ff": draw.uniform(0, 5, CHIPS),
        "gates_per_cell": draw.uniform(0, 2, CHIPS),
        "array_ns": draw.uniform(0.5, 20, CHIPS),
        "pipelined": draw.integers(0, 2, CHIPS) > 0,
    }


@pytest.mark.parametrize(
    ("tier", "rewritten", "stride"),
    [
        (DIGITAL, True, 1),
        (ANALOG, False, 1),
        *[(ANALOG.model_copy(update={"adc_model": model}), True, 20) for model in ("isaac", "zigzag", "sar-linear")],
    ],
    ids=["digital", "murmann", "isaac", "zigzag", "sar-linear"],
)
def test_a_thousand_chips_in_one_call_are_those_one_by_one(tier: TierKind, rewritten: bool, stride: int) -> None:
    """To the last bit, in every figure of the price, and in area and leakage."""
    fields = random_fields(tier)
    many_tiers = tier.model_copy(update=fields)
    many = priced(many_tiers, 10, 300, 200, 130, 3, rewritten)
    assert many.latency_ps.shape == many.energy_pj.shape == (CHIPS,)
    areas, leakages = np.asarray(many_tiers.area_mm2), np.asarray(many_tiers.static_power_mw)
    for index in range(0, CHIPS, stride):
        one_tier = tier.model_copy(update={name: values[index].item() for name, values in fields.items()})
        one = priced(one_tier, 10, 300, 200, 130, 3, rewritten)
        assert int(one.latency_ps) == int(many.latency_ps[index])
        assert float(one.energy_pj) == float(many.energy_pj[index])
        assert {name: float(pj) for name, pj in one.components.items()} == {
            name: float(pj[index]) for name, pj in many.components.items()
        }
        assert int(one.setup_latency_ps) == int(many.setup_latency_ps[index])
        assert float(one_tier.area_mm2) == float(areas[index])
        assert float(one_tier.static_power_mw) == float(leakages[index])


@settings(max_examples=40, deadline=None)
@given(TIERS, SIZES, SIZES, SIZES, st.integers(1, 8), st.sampled_from(["input_bits", "weight_bits"]))
def test_more_bits_never_cost_less_energy(tier: TierKind, m: int, k: int, n: int, bits: int, field: str) -> None:
    fewer, more = (priced(tier.model_copy(update={field: b}), m, k, n, n) for b in (bits, bits + 1))
    assert float(fewer.energy_pj) <= float(more.energy_pj) * (1 + 1e-12)
    assert int(fewer.latency_ps) <= int(more.latency_ps)


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES, st.integers(1, 12), st.sampled_from(["murmann", "isaac", "zigzag", "sar-linear"]))
def test_more_bits_of_the_converter_never_cost_less(m: int, k: int, n: int, bits: int, model: str) -> None:
    tiers = (ANALOG.model_copy(update={"adc_model": model, "adc_bits": b}) for b in (bits, bits + 1))
    fewer, more = (priced(tier, m, k, n, n) for tier in tiers)
    assert float(fewer.energy_pj) <= float(more.energy_pj) * (1 + 1e-12)


@settings(max_examples=40, deadline=None)
@given(TIERS, SIZES, SIZES, SIZES)
def test_more_copies_are_never_slower_and_take_no_other_energy(tier: TierKind, m: int, k: int, n: int) -> None:
    found = priced(tier, m, k, n, n, np.arange(1, 9))
    assert (np.diff(found.latency_ps) <= 0).all()
    assert float(np.ptp(found.energy_pj)) == 0


@settings(max_examples=40, deadline=None)
@given(TIERS, SIZES, SIZES, SIZES)
def test_wider_arrays_are_never_slower(tier: TierKind, m: int, k: int, n: int) -> None:
    """A column more can only save a pass; the longer row line may cost energy."""
    cols = np.array([64, 128, 256, 512])
    found = priced(tier.model_copy(update={"array_cols": cols, "columns_per_adc": 8}), m, k, n, n)
    assert (np.diff(found.latency_ps) <= 0).all()
    assert (np.diff(found.arrays) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(TIERS, SIZES, SIZES, SIZES, st.integers(2, 9))
def test_energy_is_linear_in_m(tier: TierKind, m: int, k: int, n: int, times: int) -> None:
    one, several = priced(tier, m, k, n, n), priced(tier, times * m, k, n, n)
    for name in ("arrays", "converters"):
        assert float(several.components[name]) == pytest.approx(times * float(one.components[name]))


@settings(max_examples=40, deadline=None)
@given(TIERS, st.integers(1, 50), SIZES, SIZES)
def test_energy_in_k_and_n_is_as_stated(tier: TierKind, m: int, k: int, n: int) -> None:
    """m (K (N weight + W line) + N P digital), W arrays side by side and P passes of 32 rows; converters alike."""
    assert isinstance(tier, DigitalSram | AnalogSram)
    one, found = tier.figures, priced(tier, m, k, n, n).components
    wide, passes = -(-n // tier.weight_cols), -(-k // 32)
    arrays = k * (n * float(one.weight_pj) + wide * float(one.line_pj)) + n * passes * float(one.digital_pj)
    converters = k * wide * float(one.dac_pj) + n * passes * float(one.adc_pj)
    assert float(found["arrays"]) == pytest.approx(m * arrays)
    assert float(found["converters"]) == pytest.approx(m * converters)


@settings(max_examples=40, deadline=None)
@given(TIERS, SIZES, SIZES, st.floats(1.01, 1.4))
def test_a_higher_supply_takes_its_square_in_energy_and_is_no_slower(
    tier: TierKind, k: int, n: int, factor: float
) -> None:
    low, high = (priced(tier.model_copy(update={"supply_v": v}), 8, k, n, n) for v in (0.7, 0.7 * factor))
    for name in ("arrays", "converters"):
        assert float(high.components[name]) == pytest.approx(factor**2 * float(low.components[name]))
    assert int(high.latency_ps) <= int(low.latency_ps)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_still_inputs_and_zero_weights_save_what_the_kind_says(toggle: float, sparsity: float, more: float) -> None:
    fields = {"input_toggle_rate": toggle, "weight_sparsity": sparsity}
    active = DIGITAL.model_copy(update=fields).figures
    assert float(active.weight_pj) == pytest.approx(toggle * (1 - sparsity) * float(DIGITAL.figures.weight_pj))
    assert float(active.digital_pj) == float(DIGITAL.figures.digital_pj)
    less = ANALOG.model_copy(update={**fields, "weight_sparsity": max(sparsity, more)})
    assert float(less.figures.digital_pj) <= float(ANALOG.model_copy(update=fields).figures.digital_pj)
    assert float(less.figures.adc_pj) == float(ANALOG.figures.adc_pj)
