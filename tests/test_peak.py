"""Derived figures of chips, against hand calculations, and how `h3c --show-target` prints them."""

from pathlib import Path

import pytest

from h3c.compiler.chips.load import built_in, chip_text, load_chip
from h3c.compiler.cli import main
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.peak import holding, peak

CROSSBAR = {
    "kind": "crossbar",
    "arrays": 10,
    "array_rows": 100,
    "array_cols": 160,
    "cell_bits": 2,
    "weight_bits": 8,
    "input_bits": 8,
    "output_bits": 8,
    "adc_bits": 8,
    "operation_ns": 50.0,
    "energy_pj_per_mac": 0.5,
    "write_row_ns": 20.0,
    "write_ports": 5,
    "write_energy_pj_per_cell": 2.0,
    "endurance_writes": 1e6,
    "area_mm2": 1.0,
    "static_power_mw": 100.0,
    "link_in_bytes_per_ns": 1e6,
    "link_out_bytes_per_ns": 1e6,
    "link_energy_pj_per_bit": 0.0,
}


def small_chip():
    tree = chip_tree(load_chip("digital"))
    tree["tiers"]["xbar"] = CROSSBAR
    return chip_from_tree(tree, "small")


def test_the_peak_of_a_crossbar_is_that_of_all_its_arrays():
    # 10 arrays x 100 rows x 40 weights in 50 ns are 800 MACs a ns: 1.6 TOPS, 400 mW and 100 mW that stand by.
    best = peak(small_chip(), "xbar")
    assert best is not None
    assert best.tops == pytest.approx(1.6)
    assert best.pj_per_mac == pytest.approx(0.5)
    assert best.tops_per_w == pytest.approx(1.6 / 0.5)


def test_what_a_crossbar_holds_and_what_writing_it_takes():
    held = holding(small_chip(), "xbar")
    assert held is not None
    assert held.weights == 10 * 100 * 40
    assert held.endurance_writes == 1e6
    # 1,000 rows, 5 at a time, 20 ns each; the rest of the pipeline is one chunk of reading 40 kB at 1 TB/s.
    assert held.write_ns == pytest.approx(1000 / 5 * 20 + 40.0 / 32, rel=0.01)
    assert held.write_energy_pj > 40_000 * 4 * 2.0


def test_the_peak_of_the_digital_unit_is_its_multipliers():
    chip = small_chip()
    best = peak(chip, "digital")
    assert best is not None
    assert best.tops == pytest.approx(2 * chip.digital.macs_per_cycle * chip.digital.clock_ghz / 1000)
    assert holding(chip, "digital") is None


def test_photonic_cores_at_their_peak_leave_no_node_idle():
    best = peak(load_chip("h3pimap"), "photonic")
    assert best is not None
    assert best.tops == pytest.approx(2 * 2 * 2 * 14 * 14 * 3.0 / 1000, rel=1e-3)


def test_weights_of_16_bits_take_twice_the_reads_of_8():
    """isaac holds 33 M weights of 16 bits: 66 MB at its memory's rate, and no less."""
    chip = load_chip("isaac")
    (name,) = [name for name, tier in chip.tiers.items() if tier.arrays]
    held = holding(chip, name)
    assert held is not None
    assert held.write_ns >= held.weights * 2 / chip.dram.read_bytes_per_ns


def test_a_table_of_layers_has_no_peak(capsys: pytest.CaptureFixture[str]):
    assert peak(load_chip("h3pimap-paper"), "photonic") is None
    assert main(["--show-target", "h3pimap-paper"]) == 0
    assert "tabulated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("chip", "old", "new", "told"),
    [
        ("h3pimap", "supply_v: 0.8 ", "supply_v: 0.2 ", "tiers.sram.supply_v: expected more than the threshold"),
        ("h3pimap", "cell_bits: 1 ", "cell_bits: 2 ", "tiers.sram.cell_bits: expected 1"),
        ("h3pimap", "columns_per_adc: 128    # paper", "columns_per_adc: 256", "tiers.reram.columns_per_adc: expected"),
        ("h3pimap", "tiles: 100   ", "tiles: 7000  ", "tiers.reram.tiles: expected at most"),
        ("imc-sram", "cycle_ns: 1.0", "cycle_ns: 1.0e-9", "a picosecond or more, got 1e-09 ns"),
        ("digital", "clock_ghz: 1.0", "clock_ghz: 1.0e-30", "days"),
    ],
)
def test_a_figure_out_of_this_world_is_one_line(
    chip: str, old: str, new: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    text = chip_text(chip)
    assert old in text
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace(old, new, 1))
    assert main(["--show-target", str(file)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.parametrize("name", sorted(built_in()))
def test_every_chip_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]):
    assert main(["--show-target", name]) == 0
    out = capsys.readouterr().out
    chip = load_chip(name)
    assert out.startswith(f"{name}: {chip.description}")
    for tier in chip.tiers:
        assert f"\n  {tier} " in out
    assert out.rstrip().endswith(chip_text(name).rstrip())


def test_a_chip_of_the_template_says_its_conventions(capsys: pytest.CaptureFixture[str]):
    """256 macros of 256 x 128 cells, eight a weight."""
    assert main(["--show-target", "imc-sram"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"the whole chip, {256 * 256 * 128 / 8 / 1e6:.4g} M weights at a time" in said
    assert "writing takes no time" in said
    assert "priced as a stationary weight with its heads as positions" in said


def test_a_chip_file_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "mine.yaml"
    file.write_text(chip_text("digital").replace("lanes: 1024", "lanes: 512"))
    assert main(["--show-target", str(file)]) == 0
    assert "lanes: 512" in capsys.readouterr().out


def test_showing_an_unknown_chip_is_one_line(capsys: pytest.CaptureFixture[str]):
    assert main(["--show-target", "nope"]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "'nope'" in err
