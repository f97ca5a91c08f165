"""Tiers of ReRAM, PCM and gain cells from components: hand calculations, monotony, and many chips at once."""

from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.arithmetic import AnalogDot, BitSerial
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.components.cells import Cell, cell_area_um2, named_cells, ohmic_read_pj, refresh_power_mw
from h3c.runtime_sim.components.neurons import conversion_steps, integration_steps, magnitude_bits, phases
from h3c.runtime_sim.components.tiles import Part, cycle_ns, operation_ns, parts_operation_pj, pulse_ns
from h3c.runtime_sim.cost import Price, price
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds.tiled import TiledArrays
from h3c.runtime_sim.product import plain_product

TIERS = {"isaac": "reram", "puma": "reram", "prime": "reram", "dynaplasia": "edram", "lionheart": "pcm"}
PRODUCT = plain_product(100, 700, 300)


def tier_of(chip: str) -> TiledArrays:
    return cast(TiledArrays, load_chip(chip).tier(TIERS[chip]))


def priced(chip: str, outputs: int = 300, **fields: Any) -> Price:
    """The product on the chip's tier of arrays, with some of its fields changed."""
    tree = load_chip(chip)
    tier = tree.tier(TIERS[chip]).model_copy(update=fields)
    return price(tree.model_copy(update={"tiers": {**tree.tiers, TIERS[chip]: tier}}), PRODUCT, TIERS[chip], outputs)


def figure(chip: str, name: str, **fields: Any) -> float:
    return float(getattr(tier_of(chip).model_copy(update=fields).figures, name))


def test_a_cell_is_a_resistor():
    """100 uS at 0.2 V for 10 ns: 4 uW x 10 ns = 40 fJ, half of it where half the rows are driven."""
    assert float(ohmic_read_pj(100, 0.2, 10, 1.0)) == pytest.approx(0.040)
    cell = Cell(area_f2=4, on_us=150, off_us=50, read_v=0.2, read_ns=10, write_ns=1, write_pj=1)
    assert float(cell.read_energy_pj()) == pytest.approx(0.020)
    assert float(cell.read_energy_pj(longest_ns=20)) == pytest.approx(0.040)
    assert float(cell_area_um2(4, 32)) == pytest.approx(4 * 0.032**2)


def test_refreshing_is_a_write_of_every_cell_in_each_retention_time():
    """10^6 cells of 0.1 pJ in 200 us: 0.1 uJ / 200 us = 0.5 mW."""
    assert float(refresh_power_mw(1e6, 0.1, 200)) == pytest.approx(0.5)


def test_every_named_cell_is_a_cell():
    assert {"isaac", "prime", "hermes-pcm", "gain-cell", "neurram", "neurosim-rram"} <= set(named_cells())
    for fields in named_cells().values():
        assert Cell.model_validate(fields).write_pj > 0


def test_a_cycle_is_the_slower_of_reading_and_converting():
    assert float(cycle_ns(100, 1 / 1.28, 128)) == pytest.approx(100)
    assert float(cycle_ns(100, 1.0, 128)) == 128
    assert float(cycle_ns(100, 1.0, 8)) == 100
    assert float(operation_ns(16, 2, 128)) == 2304


def test_a_pulse_of_eight_bits_is_127_clocks():
    assert float(pulse_ns(8, 1.0, 3.0)) == 130
    assert float(pulse_ns(8, 0.5, 0.0)) == 254


def test_parts_run_with_the_arrays_unless_they_move_data():
    """2 x 3 mW for 100 ns, shared by 4 arrays: 150 pJ an operation."""
    parts = {
        "registers": Part(count=2, area_um2=1, power_mw=3, leakage_mw=7),
        "bus": Part(count=1, area_um2=1, power_mw=1000, moves_data=True),
    }
    assert float(parts_operation_pj(parts, 100.0, 4)) == pytest.approx(150)


def test_the_tile_of_isaac_by_hand():
    """mm2 and mW of one tile: 96 crossbars, their converters, and the parts of the paper's table."""
    tier = tier_of("isaac").model_copy(update={"adc_energy_scale": 1.0})
    drivers, parts = 96 * 128 * 0.166, 83000 + 90000 + 151000 / 4 + 2 * 300 + 60 + 240 + 3200
    units = 12 * (1024 * 0.039 + 4 * 60 + 2100 + 770)
    cells = 96 * 128 * 128 * 1.5 * 0.032**2
    assert (tier.area_mm2 - 22.88) * 1e6 / 168 == pytest.approx(96 * 1200 + drivers + parts + units + cells)
    cycles_a_ns = 96 / 100
    arrays_mw = cycles_a_ns * 128 * (128 * 0.00183 + 0.417 + 1.667 + 0.021)
    parts_mw = 20.7 + 7 + 42 / 4 + 2 * 0.26 + 0.05 + 0.4 + 1.68 + 12 * (1024 * 9.7e-6 + 1.24 + 0.23)
    watts = sum(float(mw) for mw in tier.full_powers_mw.values()) / 1000
    assert (watts - 10.4) / 168 * 1000 == pytest.approx(arrays_mw + parts_mw)
    assert figure("isaac", "operation_ns") == pytest.approx(16 * 100)


def test_a_vector_on_isaac_by_hand():
    """One vector on one full array: 128 rows, 16 outputs of 8 cells, 16 input bits; the bus is the links'."""
    tier = tier_of("isaac").model_copy(update={"tile_parts": {}, "adc_energy_scale": 1.0})
    one = tier.figures
    total = 128 * float(one.dac_pj) + 16 * float(one.adc_pj + one.digital_pj) + 128 * 16 * float(one.weight_pj)
    assert total == pytest.approx(16 * 128 * (0.417 + 1.667 + 0.021 + 128 * 0.00183))


def test_writing_a_crossbar_of_puma_takes_what_its_simulator_says():
    """128 x 128 cells: 351 / 32 us and 676 / 32 nJ."""
    tier = tier_of("puma")
    assert tier.array_rows * float(tier.figures.write_row_ns) == pytest.approx(351e3 / 32, rel=1e-3)
    a_cell = float(tier.figures.write_weight_pj) / tier.cells_a_weight
    assert 128 * 128 * a_cell == pytest.approx(676e3 / 32, rel=1e-3)


def test_what_a_tier_makes_of_numbers():
    """Bits one at a time meet the converter's limits one by one; levels and pulses are summed whole."""
    assert isinstance(tier_of("isaac").arithmetic(), BitSerial)
    assert isinstance(tier_of("dynaplasia").arithmetic(), BitSerial)
    assert tier_of("prime").arithmetic() == AnalogDot(8, 8, 8, 256)
    assert tier_of("lionheart").arithmetic() == AnalogDot(8, 8, 8, 256, per_vector=True)


def test_a_level_of_pcm_takes_many_pulses_of_every_device():
    """20 pulses of 1 us and 10 pJ; four devices a weight."""
    assert figure("lionheart", "write_row_ns") == pytest.approx(20e3)
    assert figure("lionheart", "write_weight_pj") == pytest.approx(4 * 20 * 10)


def test_four_phases_repeat_converters_but_not_the_current_of_cells():
    for name, ratio in (("operation_ns", 4), ("adc_pj", 4), ("dac_pj", 4), ("weight_pj", 1)):
        assert figure("lionheart", name, input_phases=4) / figure("lionheart", name) == pytest.approx(ratio)


def test_gain_cells_are_refreshed_within_static_power():
    """96 x 320 x 320 cells of 0.045 pJ in 200 us, and 0.1 nW each."""
    cells = 96 * 320 * 320
    assert tier_of("dynaplasia").static_power_mw == pytest.approx(cells * (0.045 / 200 * 1e-3 + 0.1e-6))
    shorter = tier_of("dynaplasia").model_copy(update={"retention_us": 20.0})
    assert shorter.static_power_mw > tier_of("dynaplasia").static_power_mw


def test_neurram_integrates_and_converts_in_two_halves_from_four_bits_on():
    """By hand for 4 and 8 input bits: 7 steps at once; 15 and 7 in halves, converted to 10 and to 6 bits."""
    assert list(magnitude_bits(np.array([1, 2, 4, 8]))) == [1, 1, 3, 7]
    assert list(phases(np.array([1, 4, 5, 8]))) == [1, 1, 2, 2]
    assert list(integration_steps(np.array([1, 4, 5, 8]))) == [1, 7, 6, 22]
    assert list(conversion_steps(np.array([1, 4, 5, 8]), np.array([3, 6, 7, 10]))) == [3, 6, 12, 16]


@settings(deadline=None, max_examples=60)
@given(chip=st.sampled_from(sorted(TIERS)), bits=st.integers(1, 15), sharing=st.integers(1, 64))
def test_more_bits_never_cost_less(chip: str, bits: int, sharing: int):
    adc: dict[str, Any] = {"adc_model": "isaac", "columns_per_adc": sharing}
    for field in ("input_bits", "adc_bits", "weight_bits"):
        less, more = (priced(chip, 300, **{**adc, field: each}) for each in (bits, bits + 1))
        assert more.energy_pj >= less.energy_pj * (1 - 1e-12)
        assert more.latency_ps >= less.latency_ps


@settings(deadline=None, max_examples=60)
@given(chip=st.sampled_from(sorted(TIERS)), sharing=st.integers(1, 200))
def test_sharing_a_converter_is_never_faster_and_never_larger(chip: str, sharing: int):
    few, many = (dict[str, Any](columns_per_adc=each, adc_model="isaac") for each in (sharing, sharing + 1))
    tier = tier_of(chip)
    assert priced(chip, **many).latency_ps >= priced(chip, **few).latency_ps
    assert tier.model_copy(update=many).area_mm2 <= tier.model_copy(update=few).area_mm2
    assert figure(chip, "adc_pj", **many) == figure(chip, "adc_pj", **few)


@settings(deadline=None, max_examples=40)
@given(chip=st.sampled_from(sorted(TIERS)), outputs=st.integers(1, 299))
def test_energy_is_linear_in_outputs_but_for_the_rows_they_share(chip: str, outputs: int):
    """Within one column of arrays, each further output costs the same."""
    outputs = 1 + outputs % max(1, tier_of(chip).weight_cols - 2)
    one, two, three = (float(priced(chip, outputs + i).components["arrays"]) for i in range(3))
    assert three - two == pytest.approx(two - one, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("chip", sorted(TIERS))
def test_a_thousand_chips_at_once_are_as_one_at_a_time(chip: str):
    """Fields that are arrays: every derived figure and price, to the last bit."""
    random, count = np.random.default_rng(0), 1000
    fields: dict[str, Any] = {
        "adc_bits": random.integers(4, 11, count),
        "input_bits": random.integers(1, 17, count),
        "adc_model": "isaac",
        "adc_rate_gs_per_s": random.uniform(0.1, 2, count),
        "columns_per_adc": random.integers(1, 129, count),
        "technology_nm": random.uniform(14, 65, count),
        "supply_v": random.uniform(0.6, 1.1, count),
        "adc_energy_scale": random.uniform(0.5, 2, count),
        "shift_add_pj": random.uniform(0.01, 0.1, count),
        "arrays": random.integers(64, 4096, count),
        "array_rows": 64 * random.integers(1, 9, count),
        "array_cols": 64 * random.integers(2, 9, count),
        "cell_bits": random.integers(1, 5, count),
    }
    own = {"pulse_clock_ghz": random.uniform(0.5, 2, count)} if chip == "lionheart" else {}
    own = own or {"read_ns": random.uniform(10, 200, count)}
    fields |= own
    many = priced(chip, **fields)
    tiers = tier_of(chip).model_copy(update=fields)
    assert many.latency_ps.shape == np.shape(tiers.area_mm2) == (count,)
    static = np.broadcast_to(tiers.static_power_mw, count)
    for index in range(0, count, 37):
        at = {name: each.item(index) if isinstance(each, np.ndarray) else each for name, each in fields.items()}
        one, tier = priced(chip, **at), tier_of(chip).model_copy(update=at)
        assert (one.latency_ps, one.energy_pj) == (many.latency_ps[index], many.energy_pj[index])
        assert (one.setup_latency_ps, one.setup_energy_pj) == (
            many.setup_latency_ps[index],
            many.setup_energy_pj[index],
        )
        assert tier.area_mm2 == cast(Any, tiers.area_mm2)[index]
        assert tier.static_power_mw == static[index]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (
            "cell",
            {"area_f2": 4.0, "read_pj": 0.1, "write_ns": 1.0, "write_pj": 1.0, "read_activity": 1.5},
            "tiers.reram.cell.read_activity: expected less than or equal to 1, got 1.5",
        ),
        ("cell", "isac", "tiers.reram.cell: expected one of "),
        ("cell", {"area_f2": 4.0, "write_ns": 1.0, "write_pj": 1.0}, "read_pj: expected a value, or on_us"),
        ("adc_model", "flash", "tiers.reram.adc_model: expected one of "),
        ("dac_model", "flash", "tiers.reram.dac_model: expected one of "),
        ("adc_energy_scale", 0.0, "tiers.reram.adc_energy_scale: expected greater than 0, got 0.0"),
        ("fill_cycles", -1, "tiers.reram.fill_cycles: expected greater than or equal to 0, got -1"),
        ("tile_parts", {"bus": {"count": 1}}, "tiers.reram.tile_parts.bus.area_um2: expected a value"),
        ("retention_us", 5.0, "tiers.reram.retention_us: expected a known field"),
    ],
)
def test_a_wrong_field_is_one_line(field: str, value: object, expected: str):
    tree = chip_tree(load_chip("isaac"))
    tree["tiers"]["reram"][field] = value
    with pytest.raises(InputError) as caught:
        chip_from_tree(tree, "my.yaml")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cell": "gain-cell"}, "tiers.pcm.cell: expected on_us, off_us and read_v"),
        (
            {"adc_energy_pj": None},
            "tiers.pcm.adc_model: expected 'measured' if and only if adc_energy_pj and adc_area_um2 are given",
        ),
    ],
)
def test_what_a_model_needs_is_told(changes: dict[str, object], expected: str):
    tree = chip_tree(load_chip("lionheart"))
    tree["tiers"]["pcm"] |= changes
    with pytest.raises(InputError) as caught:
        chip_from_tree(tree, "my.yaml")
    assert expected in str(caught.value)


def test_pulses_cost_cells_by_their_length():
    """4 devices of 5.175 uS at 0.2 V for a quarter of 127 clocks of 1 / 1.309 ns."""
    by_hand = 4 * 5.175 * 0.04 * (127 / 1.309) / 4 * 1e-3
    assert figure("lionheart", "weight_pj") == pytest.approx(by_hand)
    assert figure("lionheart", "weight_pj", input_bits=7) == pytest.approx(by_hand * 63 / 127)
