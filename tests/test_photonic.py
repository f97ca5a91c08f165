"""Photonic components and the tiers built from them: published splits, hand calculations, what must always hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import Chip, chip_from_tree, chip_tree
from h3c.runtime_sim.components import photonics
from h3c.runtime_sim.components.photonic_devices import Dac, Laser, Modulator, known_device
from h3c.runtime_sim.components.tables import table
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds.photonic_dynamic import PhotonicDynamic

CHIP = load_chip("lightening-transformer")

# Lightening-Transformer hardware_simulator at 7c3d4ad: LT-B (4 tiles) and LT-L (8 tiles)
AREA_MM2 = {
    "laser": (0.72, 1.2),
    "comb": (8.411136, 14.01856),
    "dac": (15.84, 28.512),
    "modulator": (7.594168, 13.690737),
    "adc": (1.6416, 3.2832),
    "amplifier": (0.0288, 0.0576),
    "core": (11.318292, 22.636584),
    "adder": (0.0512, 0.1024),
    "memory": (14.695399 - 14.348352, 29.321877 - 2 * 14.348352),
}
POWER_MW = {  # (4 bits, 8 bits) of LT-B
    "laser": (770.0917, 12321.4679),
    "dac": (3214.2857, 25714.2857),
    "modulator": (4032.0, 4032.0),
    "adc": (2131.2, 4262.4),
    "amplifier": (1728.0, 1728.0),
    "photodetector": (2534.4, 2534.4),
    "adder": (26.24146, 26.24146),
    "memory": (316.392025 - 315.2512, 316.392025 - 315.2512),
    "shifter": (0.0, 0.0),
}


def tier_with(**fields: object) -> PhotonicDynamic:
    """The photonic tier of Lightening-Transformer with fields changed."""
    tree = chip_tree(CHIP)
    tree["tiers"]["photonic"] |= fields
    tier = chip_from_tree(tree, "changed").tiers["photonic"]
    assert isinstance(tier, PhotonicDynamic)
    return tier


def mode(bits: int) -> dict[str, int]:
    return {"input_bits": bits, "weight_bits": bits, "output_bits": bits}


def test_every_device_says_where_it_is_from():
    for family, devices in table("photonics").items():
        for name, figures in devices.items():
            assert figures.get("source"), f"{family}: {name}"


def test_area_of_each_component_is_the_published_one():
    for index, tiles in enumerate((4, 8)):
        areas = tier_with(tiles=tiles).area_by_component_mm2()
        published = {name: areas_mm2[index] for name, areas_mm2 in AREA_MM2.items()}
        assert {name: float(area) for name, area in areas.items()} == pytest.approx(published, rel=0.01)


def test_power_of_each_component_is_the_published_one():
    tier = tier_with()
    for index, precision in enumerate(("4-4-4", "8-8-8")):
        powers = {name: float(power) for name, power in tier.power_by_component_mw(precision).items()}
        assert powers == pytest.approx({name: power[index] for name, power in POWER_MW.items()}, rel=1e-5)


def test_counts_by_hand():
    tier = tier_with()
    assert tier.row_modulators + tier.col_modulators == 4 * 2 * 12 * 12 + 2 * 12 * 12 == 1440
    assert (tier.nodes, tier.converters) == (4 * 2 * 12 * 12, 4 * 12 * 12)
    large = tier_with(tiles=8)
    assert large.row_modulators + large.col_modulators == 2592
    apart = tier_with(rows_shared_by_tiles=False, outputs_shared_by_cores=False)
    assert (apart.row_modulators, apart.converters) == (4 * 2 * 12 * 12, 1152)


def test_formulas_by_hand():
    assert photonics.dac_power_mw(50, 8, 14, 4, 5) == pytest.approx(50 * (16 / 4) / (256 / 8) * 5 / 14)
    assert photonics.adc_power_mw(14.8, 8, 10, 4, 5) == pytest.approx(3.7)
    assert photonics.modulator_power_mw(450, 5) == pytest.approx(2.25)
    assert photonics.splitting_loss_db(144) == pytest.approx(21.58362)
    loss = photonics.coherent_core_loss_db(1.2, 0.93, 0.1, 0.33, 0.33, 12, 12)
    assert loss == pytest.approx(1.2 + 2 * 0.93 + 0.1 * 4 + 0.1 + 0.33 + 0.33)
    one_core = photonics.laser_power_mw(-25, loss + photonics.splitting_loss_db(144), 0.2, 4)
    assert one_core == pytest.approx(770.0917 / 8, rel=1e-6)
    assert photonics.laser_power_mw(0, 0, 1, 1, 10) == pytest.approx(2 / 0.9)
    assert photonics.laser_power_mw(0, 0, 1, 3, integrated_cycles=4) == pytest.approx(2)
    assert photonics.mesh_loss_db(1.2, 0.99, 12, 12) == pytest.approx(1.2 + 25 * 0.99)
    assert photonics.ring_bank_loss_db(0.5, 0.2, 0.95, 0.1, 0.1, 12, 12) == pytest.approx(2.2 + 0.5 + 1.1 + 0.95 + 0.4)
    assert list(photonics.splitter_levels(np.array([1, 2, 3, 4, 5, 8, 9, 12]))) == [0, 1, 2, 2, 3, 3, 4, 4]
    assert photonics.mzi_cells(12, 12) == 132
    assert photonics.mzi_cells(4, 6) == 6 + 15


def test_energy_of_a_mac_by_hand():
    """4 bits at 5 GHz: symbols serve 48 and 12 nodes, a conversion 2 cores of 12 wavelengths for 3 cycles."""
    symbol = 50 * 4 / 32 / 14 + 0.45 + 4 * (0.0575 + 2 * 0.0045625)
    conversion = 14.8 * 4 / 8 / 10 + (3 + 0.2 / 4.39) / 5 + 4 * (0.125 + 2 * 0.0045625)
    expected = symbol * (1 / 48 + 1 / 12) + conversion / 72
    assert float(tier_with().energy_pj_per_mac("4-4-4")) == pytest.approx(expected, rel=1e-12)


def test_static_power_is_light_for_the_mode_that_needs_most_and_bias():
    assert tier_with().static_power_mw == pytest.approx(12321.4679 + 1440 * 0.55 + 2534.4 + 1.140825, rel=1e-6)
    four = tier_with(modes=[mode(4)])
    assert four.static_power_mw == pytest.approx(770.0917 + 1440 * 0.55 + 2534.4 + 1.140825, rel=1e-6)
    assert tier_with(modes=[mode(4), mode(8)]).static_power_mw == tier_with().static_power_mw


def test_units_scale_as_physics_says():
    tier, slow = tier_with(), tier_with(clock_ghz=2.5)
    fast_mw, slow_mw = tier.power_by_component_mw(), slow.power_by_component_mw()
    assert float(fast_mw["dac"]) == pytest.approx(2 * float(slow_mw["dac"]))
    assert float(fast_mw["adc"]) == pytest.approx(2 * float(slow_mw["adc"]))
    assert fast_mw["laser"] == slow_mw["laser"]
    assert tier.area_mm2 == slow.area_mm2
    thirsty = {**chip_tree(CHIP)["tiers"]["photonic"]["devices"]}
    thirsty["photodetector"] = {"like": "lt-photodetector", "sensitivity_dbm": -15.0}
    assert tier_with(devices=thirsty).static_power_by_component_mw()["laser"] == pytest.approx(
        10 * tier.static_power_by_component_mw()["laser"]
    )


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(1, 11), ghz=st.floats(0.1, 50), loss=st.floats(0, 40))
def test_more_bits_never_cost_less(bits: int, ghz: float, loss: float):
    more = np.array([bits, bits + 1])
    for law in (
        photonics.dac_power_mw(50, 8, 14, more, ghz),
        photonics.adc_power_mw(14.8, 8, 10, more, ghz),
        photonics.laser_power_mw(-25, loss, 0.2, more, 6),
    ):
        assert law[1] >= law[0] > 0


def test_formulas_broadcast_as_one_at_a_time():
    bits, ghz = np.arange(2, 9)[:, None], np.array([1.0, 2.5, 5.0])
    many = photonics.dac_power_mw(50, 8, 14, bits, ghz)
    assert many.shape == (7, 3)
    assert all(
        many[b, f] == photonics.dac_power_mw(50, 8, 14, int(bits[b, 0]), float(ghz[f])) for b, f in np.ndindex(7, 3)
    )
    light = photonics.laser_power_mw(np.array([-25.0, -27.0]), 6.0, 0.2, bits, np.inf)
    assert light.shape == (7, 2)
    assert light[3, 1] == photonics.laser_power_mw(-27.0, 6.0, 0.2, 5)


def test_devices_by_name_with_figures_changed_or_in_full():
    assert Laser.model_validate("on-chip-laser").area_um2 == 400 * 300
    changed = Modulator.model_validate({"like": "eo-mzm", "insertion_loss_db": 2.0})
    assert (changed.insertion_loss_db, changed.length_um) == (2.0, 260.0)
    full = known_device("dacs", "cap-dac-14g")
    assert Dac.model_validate(full) == Dac.model_validate("cap-dac-14g")


FOUR_BITS = {"input_bits": 4, "weight_bits": 4, "output_bits": 4}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("devices.dac", "cap-dac", "devices.dac: expected one of the dacs known (cap-dac-14g), got 'cap-dac'"),
        ("devices.modulator", {"like": "mzm"}, "devices.modulator: expected one of the modulators known (eo-mzm, "),
        ("devices.laser.wall_plug_efficiency", 1.5, "devices.laser.wall_plug_efficiency: expected less than or equal"),
        ("devices.tia", "tia", "devices.tia: expected a known field"),
        ("clock_ghz", 12.0, "clock_ghz: expected at most the 10.0 of the converters, got 12.0"),
        ("wavelengths", 0, "wavelengths: expected greater than 0, got 0"),
        ("modes", [], "modes: expected"),
        (
            "modes",
            [{"input_bits": 4, "weight_bits": 4, "output_bits": 4}] * 2,
            "modes: expected each precision once, got",
        ),
        ("devices.splitter.power_mw", 1.0, "devices.splitter.power_mw: expected a known field"),
    ],
)
def test_a_wrong_field_is_one_line(path: str, value: object, expected: str):
    tree: dict[str, Any] = chip_tree(CHIP)
    *parents, last = path.split(".")
    inner = tree["tiers"]["photonic"]
    for key in parents:
        inner = inner[key]
    inner[last] = value
    with pytest.raises(InputError) as caught:
        chip_from_tree(tree, "my.yaml")
    assert f"my.yaml: tiers.photonic.{expected}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_carries_every_figure_of_the_devices():
    """What a plan says does not change with the tables of the h3c that reads it."""
    tree = chip_tree(CHIP)
    modulator = tree["tiers"]["photonic"]["devices"]["modulator"]
    assert modulator["energy_fj_per_symbol"] == 450.0
    assert "area_mm2" not in tree["tiers"]["photonic"]
    again: Chip = chip_from_tree(tree, "again")
    assert again == CHIP
    assert again.area_mm2 == CHIP.area_mm2
