"""SRAM tiers against ZigZag's model and published macros, and what one operation on them costs by hand."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.arithmetic import AnalogDot, BitSerial
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.coarse_bit_serial import CoarseBitSerial
from h3c.runtime_sim.cost import price
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds.analog_sram import AnalogSram
from h3c.runtime_sim.kinds.digital_sram import DigitalSram
from h3c.runtime_sim.peak import holding, peak
from h3c.runtime_sim.product import plain_product

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

import validate_sram  # pyright: ignore[reportMissingImports]

ZIGZAG: list[dict[str, Any]] = validate_sram.zigzag_cases()
THEIRS = {
    "cells": "cells",
    "dacs": "dacs",
    "adcs": "adcs",
    "multipliers": "mults",
    "bit_lines": "analog_bl_addition",
    "adder_trees": "adders_regular",
    "place_values": "adders_pv",
    "accumulators": "accumulators",
}
ROWS = validate_sram.rows()


@pytest.mark.parametrize("case", ZIGZAG, ids=[str(index) for index in range(len(ZIGZAG))])
def test_every_part_is_that_of_zigzag(case: dict[str, Any]) -> None:
    tier = validate_sram.zigzag_tier(case)
    for mine, theirs in (
        (tier.area_by_part_mm2, case["area_by_part_mm2"]),
        (tier.cycle_by_part_ns, case["clock_by_part_ns"]),
        (tier.slice_energy_by_part_pj, case["energy_by_part_pj"]),
    ):
        found = {THEIRS[name]: float(figure) for name, figure in mine.items() if float(figure)}
        assert found == pytest.approx(theirs, rel=1e-9)
    assert float(tier.area_mm2) == pytest.approx(case["area_mm2"], rel=1e-9)
    assert float(tier.cycle_ns) == pytest.approx(case["clock_ns"], rel=1e-9)


@pytest.mark.parametrize("case", ZIGZAG, ids=[str(index) for index in range(len(ZIGZAG))])
def test_what_a_chip_could_do_at_best_is_zigzags_peak(case: dict[str, Any]) -> None:
    """The whole way: prices of a product that fills the arrays; time is in whole picoseconds."""
    tree = chip_tree(load_chip("digital"))
    chip = chip_from_tree(tree, "zigzag")
    chip = chip.model_copy(update={"tiers": {**chip.tiers, "sram": validate_sram.zigzag_tier(case)}})
    best = peak(chip, "sram")
    assert best is not None
    assert best.tops == pytest.approx(case["tops"], rel=1e-4)
    assert 2 / best.pj_per_mac == pytest.approx(case["tops_per_w"], rel=1e-9)


BARS = {
    ("AIMC1", "clock"): 0.15,
    ("AIMC1", "energy"): 0.15,
    ("AIMC2", "area"): 0.1,
    ("AIMC2", "clock"): 0.1,
    ("AIMC3", "area"): 0.1,
    ("AIMC3", "clock"): 0.1,
    ("AIMC3", "energy"): 0.1,
    ("DIMC1", "area"): 0.1,
    ("DIMC1", "clock"): 0.2,
    ("DIMC1", "energy"): 0.1,
    ("DIMC1", "energy as a tier"): 0.1,
    ("DIMC2", "area"): 0.25,
    ("DIMC2", "clock"): 0.35,
    ("DIMC3", "area"): 0.05,
    ("DIMC3", "clock"): 0.05,
    ("DIMC3", "energy"): 0.05,
    ("Jia'20 0.85 V", "peak, 1 bit"): 0.15,
    ("Jia'20 1.2 V", "peak, 1 bit"): 0.15,
    ("Jia'20 0.85 V", "peak efficiency, 1 bit"): 0.15,
    ("Jia'20 1.2 V", "peak efficiency, 1 bit"): 0.15,
    ("Jia'20", "area of cells"): 0.15,
}
"""The errors that published figures may have, as tools of the trade reach them."""


@pytest.mark.parametrize(("chip", "figure"), BARS)
def test_published_macros_are_within_their_bars(chip: str, figure: str) -> None:
    """With and without the one calibrated constant."""
    found = [row for row in ROWS if (row.chip, row.figure) == (chip, figure)]
    assert found
    assert max(abs(row.error) for row in found) <= BARS[chip, figure]


def test_the_sweep_of_supplies_of_wang_is_within_20_percent() -> None:
    """Calibrated at 1.0 V alone; the median of TOPS/W over the sweep, and the density at every supply."""
    sweep = [row for row in ROWS if row.chip.startswith("Wang'22 ")]
    calibrated = [abs(row.error) for row in sweep if row.calibrated]
    assert len(calibrated) == 5
    assert np.median(calibrated) <= 0.2
    assert max(abs(row.error) for row in sweep if row.figure == "density") <= 0.2


def test_what_is_not_reproduced_says_so() -> None:
    told = [row for row in ROWS if abs(row.error) > 0.25]
    assert told
    assert all(row.note.startswith("not reproduced") or row.figure.startswith("column") for row in told)


def analog(**fields: Any) -> AnalogSram:
    """A small tier with round figures: 4 arrays of 32 x 16, 8 rows on, weights of 4 bits, a measured ADC."""
    given: dict[str, Any] = {
        **validate_sram.LINKS,
        "arrays": 4,
        "array_rows": 32,
        "array_cols": 16,
        "rows_at_once": 8,
        "cell_bits": 1,
        "weight_bits": 4,
        "input_bits": 6,
        "output_bits": 8,
        "dac_bits": 2,
        "adc_bits": 6,
        "adc_model": "measured",
        "adc_energy_pj": 2.0,
        "adc_area_um2": 500.0,
        "adc_rate_gs_per_s": 0.5,
        "columns_per_adc": 8,
        "technology_nm": 28.0,
        "supply_v": 0.9,
        "pipelined": True,
        "array_ns": 5.0,
        "write_ports": 4,
    }
    return AnalogSram(**given | fields)


def on_chip(tier: Any) -> Any:
    chip = load_chip("digital")
    return chip.model_copy(update={"tiers": {**chip.tiers, "sram": tier}})


def test_an_analog_operation_by_hand() -> None:
    """Three slices of 2 bits, each 8 columns after the other at 2 ns a conversion; four conversions an output."""
    tier = analog()
    figures = tier.figures
    assert float(figures.operation_ns) == 3 * 8 * 2
    assert float(figures.adc_pj) == 3 * 4 * 2
    assert float(figures.dac_pj) == pytest.approx(3 * 0.05 * 2 * 0.81)
    assert float(figures.weight_pj) == pytest.approx(3 * 4 * 0.35e-3 * 0.81)
    assert float(tier.area_by_part_mm2["adcs"]) == pytest.approx(4 * 2 * 500e-6)
    assert float(analog(pipelined=False, rows_at_once=32).figures.operation_ns) > 3 * (5 + 16)
    assert float(analog(adc_energy_scale=0.5).figures.adc_pj) == 12


def test_rows_that_are_not_on_at_once_take_passes() -> None:
    """K of 20 rows in passes of 8: three of them, in time and in conversions; K of 40 fills one array and begins a
    second one, whose single pass hides behind the four of the first."""
    tier, figures = analog(), analog().figures
    chip = on_chip(tier)
    for k, passes, conversions in ((8, 1, 1), (20, 3, 3), (32, 4, 4), (40, 4, 5)):
        work = tier.mvm("sram", chip, plain_product(1, k, 4), 4, 1)
        assert int(dict(work.stages)["sram.arrays"]) == passes * 48_000
        assert float(work.energy_pj["converters"]) == pytest.approx(
            k * float(figures.dac_pj) + 4 * conversions * float(figures.adc_pj)
        )


def test_a_digital_operation_by_hand() -> None:
    """8 bits of inputs, 2 a cycle: 4 cycles; two trees of 32 inputs, of 32 x 9 - 14 adders, at half the activity."""
    case = {"analog": False, "bits_per_cycle": 2, "rows": 32, "outputs": 2, "banks": 1}
    tier = validate_sram.zigzag_tier(case).model_copy(update={"input_toggle_rate": 0.5})
    adder_pj, gate_pj = 4.2e-3 * 0.81, 0.35e-3 * 0.81
    expected = 4 * 0.5 * (2 * (32 * 9 - 14) * adder_pj / 32 + 8 * 2 * gate_pj)
    assert float(tier.figures.weight_pj) == pytest.approx(expected)
    slow = tier.model_copy(update={"clock_mhz": 100.0})
    assert float(slow.figures.operation_ns) == 40
    assert float(tier.figures.operation_ns) == pytest.approx(4 * 3.22172)


def test_booth_halves_the_trees() -> None:
    case = {"analog": False, "bits_per_cycle": 2, "rows": 32, "outputs": 2, "banks": 1}
    plain = validate_sram.zigzag_tier(case)
    booth = plain.model_copy(update={"booth": True})
    ratio = booth.slice_energy_by_part_pj["adder_trees"] / plain.slice_energy_by_part_pj["adder_trees"]
    assert float(ratio) == pytest.approx((32 * 10 - 15) / (2 * (32 * 9 - 14)))
    assert float(booth.slice_energy_by_part_pj["place_values"]) == 0


def test_writing_leakage_and_endurance() -> None:
    tier = analog()
    chip = on_chip(tier)
    assert tier.endurance() == 1e16
    assert float(tier.figures.write_weight_pj) == pytest.approx(4 * 0.011875)
    assert float(tier.figures.write_row_ns) == pytest.approx(0.00653 * 32 + 0.640)
    assert float(tier.static_power_mw) == pytest.approx(4 * 32 * 16 * 0.105 / 2**20 * 0.9 / 0.8)
    held = holding(chip, "sram")
    assert held is not None
    assert held.weights == 4 * 32 * 4


def test_arithmetic_is_that_of_the_circuit() -> None:
    case = {"analog": False, "bits_per_cycle": 2, "rows": 32, "outputs": 2, "banks": 1}
    digital = validate_sram.zigzag_tier(case).arithmetic()
    assert isinstance(digital, BitSerial)
    weights = digital.weights(np.random.default_rng(3).normal(size=(5000, 4)))
    assert weights.clipping == ()
    assert analog(dac_bits=1).arithmetic() == BitSerial(8, 1, 6, 6, 4)
    assert analog(dac_bits=1, full_range=True).arithmetic() == CoarseBitSerial(8, 1, 6, 6, 4)
    assert isinstance(analog().arithmetic(), AnalogDot)


def test_coarse_converters_round_every_column_of_every_bit() -> None:
    """Against a loop over bits of inputs and weights; 40 rows and 3 bits make steps of 40 / 7 units."""
    unit = CoarseBitSerial(array_rows=40, cell_bits=1, adc_bits=3, input_bits=4, weight_bits=4)
    draw = np.random.default_rng(5)
    x = draw.integers(0, 16, (6, 60)).astype(np.float32)
    w = draw.integers(-8, 8, (60, 5)).astype(np.float32)
    expected = np.zeros((6, 5))
    for rows in (slice(0, 40), slice(40, 60)):
        full = rows.stop - rows.start
        for bit in range(4):
            for place in range(4):
                worth = (-8 if place == 3 else 2**place) * 2**bit
                driven, cells = (x[:, rows].astype(int) >> bit) & 1, (w[rows].astype(int) >> place) & 1
                expected += np.rint(driven @ cells * 7 / full) * full / 7 * worth
    held = unit.weights(w.astype(np.int8))
    assert np.array_equal(held.values, w)
    y, clipped = unit.multiply(x, 15.0, held)
    assert clipped == 0
    assert y == pytest.approx(expected, rel=1e-5, abs=1e-2)
    assert np.abs(y - x @ w).max() > 10
    exact = CoarseBitSerial(array_rows=40, cell_bits=1, adc_bits=6, input_bits=4, weight_bits=4)
    assert np.array_equal(exact.multiply(x, 15.0, exact.weights(w.astype(np.int8)))[0], x @ w)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"rows_at_once": 5}, "rows_at_once: expected a divisor of array_rows 32, got 5"),
        ({"weight_sparsity": 1.5}, "weight_sparsity: expected a share from 0 to 1, got 1.5"),
        (
            {"adc_model": "flash"},
            "adc_model: expected one of murmann, isaac, zigzag, sar-linear, measured, got 'flash'",
        ),
        ({"adc_model": "isaac"}, "adc_model: expected 'measured' if and only if adc_energy_pj and adc_area_um2 are"),
        ({"dac_model": "r2r"}, "dac_model: expected one of isaac, zigzag, lt, got 'r2r'"),
        ({"array_cols": 3}, "array_cols: expected at least 4 columns for a weight of 4 bits"),
    ],
)
def test_a_mistake_in_a_tier_is_one_line(fields: dict[str, Any], line: str) -> None:
    tree = chip_tree(on_chip(analog()))
    tree["tiers"]["sram"] |= fields
    with pytest.raises(InputError) as caught:
        chip_from_tree(tree, "c.yaml")
    assert str(caught.value).startswith(f"c.yaml: tiers.sram.{line}")


def test_an_accumulator_holds_the_sum_of_the_rows_at_once() -> None:
    """32 rows of 4-bit inputs and 8-bit weights make sums of 4 + 8 + 5 bits."""
    tier = validate_sram.zigzag_tier(ZIGZAG[-1])
    tree = tier.model_dump() | {"array_rows": 64, "rows_at_once": 32, "input_bits": 4, "weight_bits": 8}
    assert DigitalSram.model_validate(tree | {"accumulator_bits": 17}).accumulator_bits == 17
    with pytest.raises(ValueError, match="expected at least 17 for 32 products of 4 and 8 bits, got 16"):
        DigitalSram.model_validate(tree | {"accumulator_bits": 16})


def test_a_tier_goes_to_yaml_and_back() -> None:
    for tier in (analog(), validate_sram.zigzag_tier(ZIGZAG[-1])):
        assert chip_from_tree(chip_tree(on_chip(tier)), "c.yaml").tiers["sram"] == tier


def test_an_operation_of_h3pimaps_crossbars_comes_out_of_components() -> None:
    """8 input bits x 128 conversions at 1 GS/s: 1.024 us a vector, and 0.131 ms for 512 x 512 with 128 tokens."""
    one: dict[str, Any] = {"adc_energy_pj": None, "adc_area_um2": None, "adc_model": "isaac", "adc_rate_gs_per_s": 1.0}
    one |= {"array_rows": 128, "array_cols": 128, "rows_at_once": 128, "weight_bits": 8, "input_bits": 8, "dac_bits": 1}
    tier = analog(**one, arrays=25600, adc_bits=7, columns_per_adc=128, array_ns=10.0, technology_nm=22.0, supply_v=0.8)
    assert float(tier.figures.operation_ns) == pytest.approx(1024)
    assert int(price(on_chip(tier), plain_product(128, 512, 512), "sram", 512).latency_ps) / 1e9 == pytest.approx(
        0.131, rel=0.01
    )


@pytest.mark.parametrize(("name", "tops", "weights"), [("jia21", 2.949, 589_824), ("jain21", 0.02823, 16_384)])
def test_a_published_chip_loads_with_its_derived_figures(name: str, tops: float, weights: int) -> None:
    """By hand: 2 x 16 x 1152 x 32 MACs in 8 x 50 ns, and 2 x 8 x 256 x 8 MACs in 8 passes of 8 x 18.1 ns."""
    chip = load_chip(name)
    held = holding(chip, "sram")
    assert held is not None
    assert held.weights == weights
    best = peak(chip, "sram")
    assert best is not None
    assert best.tops == pytest.approx(tops, rel=2e-3)
    assert chip.schedule == "sequential"


@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn", "digits_transformer"])
@pytest.mark.parametrize("name", ["jia21", "jain21"])
def test_the_digits_models_compile_for_a_published_chip(
    command: Command, models: Path, tmp_path: Path, name: str, model: str
) -> None:
    """All products with static weights on its arrays."""
    plan = ("--dim", "batch=8", "--target", name, "--strategy", "homogeneous:sram", "--summary", "plan.json")
    done = command("h3c", models / f"{model}.onnx", *plan, "-o", "plan.mlir")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "plan.json").read_text())
    assert summary["tiers"]["sram"]["mac_share"] > 0.9


@pytest.mark.parametrize("name", ["jia21", "jain21"])
def test_the_digits_are_still_told_apart_on_a_published_chip(
    command: Command, models: Path, tmp_path: Path, name: str
) -> None:
    """At the precision of its converters, steps of several units on jia21; the model itself is right on 99 %."""
    plan = ("--dim", "batch=8", "--target", name, "--strategy", "homogeneous:sram", "-o", "plan.mlir")
    assert command("h3c", models / "digits_cnn.onnx", *plan).returncode == 0
    done = command("h3c-sim", "plan.mlir", "--inputs", f"image={models / 'digits.npz'}:x_test", "-o", "y.npz")
    assert done.returncode == 0, done.stderr
    results, data = np.load(tmp_path / "y.npz"), np.load(models / "digits.npz")
    assert (results[results.files[0]].argmax(axis=1) == data["y_test"]).mean() >= 0.97
