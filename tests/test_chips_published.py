"""Chips of ReRAM, PCM and gain cells: they load, stand in IR, hold what is published, and meet published figures."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from h3c.compiler.chips.load import load_chip
from h3c.compiler.cli import main
from h3c.runtime_sim.peak import holding, peak

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
import validate_nvm  # pyright: ignore[reportMissingImports]
from validating import Row  # pyright: ignore[reportMissingImports]

MODELS = Path(__file__).parent.parent / "models"
ROWS = validate_nvm.rows()
ARRAYS = {"isaac": "reram", "puma": "reram", "prime": "reram", "dynaplasia": "edram", "lionheart": "pcm"}

WITHIN = {
    ("isaac", ""): 0.05,
    ("isaac", "adc_energy_scale 0.9375"): 0.015,
    ("neurram", ""): 0.15,
    ("dynaplasia", "as peak efficiency"): 0.20,
}
"""Largest relative error of every row of a chip, by what was calibrated."""

POINTS = {
    ("puma", "peak rate", ""): 0.15,
    ("puma", "area", ""): 0.01,
    ("puma", "rate by area", ""): 0.15,
    ("puma", "power at full rate", ""): 0.10,
    ("puma", "power at full rate", "adc_energy_scale 0.9375"): 0.03,
    ("puma", "power of a matrix unit", "adc_energy_scale 0.9375"): 0.03,
    ("puma", "writing a crossbar", "the cell's write"): 0.01,
    ("puma", "128 x 128 product, 16 bits", "fill_cycles 2"): 0.01,
    ("hermes", "product of a core, 1 phase", "phase_overhead_ns 3, to both"): 0.03,
    ("hermes", "product of a core, 4 phase", "phase_overhead_ns 3, to both"): 0.01,
    ("hermes", "efficiency, 4 phase", "adc_energy_pj 44.7, to one phase"): 0.10,
    ("neurosim-vgg8", "rank correlation of layers", ""): 0.05,
    ("neurosim-vgg8", "dynamic energy", ""): 0.25,
}
"""Largest relative error of single figures; what misses its bar is in the validation table with the reason."""


def rows_of(chip: str, figure: str = "", calibrated: str | None = None) -> list[Row]:
    return [
        row for row in ROWS if row.chip == chip and figure in ("", row.figure) and calibrated in (None, row.calibrated)
    ]


@pytest.mark.parametrize(("chip", "calibrated"), sorted(WITHIN))
def test_all_figures_of_a_chip_are_within_its_bar(chip: str, calibrated: str):
    rows = rows_of(chip, calibrated=calibrated)
    assert rows
    assert max(abs(row.error) for row in rows) <= WITHIN[chip, calibrated]


@pytest.mark.parametrize(("chip", "figure", "calibrated"), sorted(POINTS))
def test_a_figure_is_within_its_bar(chip: str, figure: str, calibrated: str):
    rows = rows_of(chip, figure, calibrated)
    assert rows
    assert max(abs(row.error) for row in rows) <= POINTS[chip, figure, calibrated]


def test_neurram_without_calibration_at_eight_pairs_of_bits():
    errors = sorted(abs(row.error) for row in rows_of("neurram"))
    assert len(errors) == 16
    assert errors[len(errors) // 2] <= 0.15
    assert errors[-1] <= 0.30


def test_a_row_says_where_its_figure_is_from_and_a_miss_says_why():
    assert all(row.source for row in ROWS)
    assert not [row for row in ROWS if abs(row.error) > 0.15 and not row.note and not row.calibrated]


@pytest.mark.parametrize(
    ("chip", "arrays", "weights"),
    [
        ("isaac", 16128, 16128 * 128 * 16),
        ("puma", 2208, 36_175_872),
        ("prime", 8192, 2**28),
        ("dynaplasia", 96, 1_228_800),
        ("lionheart", 512, 512 * 256 * 255),
    ],
)
def test_arrays_hold_the_published_number_of_weights(chip: str, arrays: int, weights: int):
    """PRIME's 2.7e8 synapses; DynaPlasia's 9.6 Mb as weights of 8 bits; PUMA's 69 MB of 16 bits are 36 M."""
    held = holding(load_chip(chip), ARRAYS[chip])
    assert held is not None
    assert load_chip(chip).tier(ARRAYS[chip]).arrays == arrays
    assert held.weights == weights


@pytest.mark.parametrize("chip", sorted(ARRAYS))
def test_a_chip_shows_its_peak(chip: str, capsys: pytest.CaptureFixture[str]):
    best = peak(load_chip(chip), ARRAYS[chip])
    assert best is not None
    assert main(["--show-target", chip]) == 0
    assert f"{best.tops:.4g}" in capsys.readouterr().out


def test_schedules_are_the_published_ones():
    schedules = {chip: load_chip(chip).schedule for chip in ARRAYS}
    assert schedules == {**dict.fromkeys(ARRAYS, "pipelined"), "lionheart": "sequential"}


@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn", "digits_cnn.int8", "digits_transformer"])
def test_lionheart_takes_the_digits_models(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """All products with static weights fit the tiles, and pass them faster than the core."""
    said: dict[str, Any] = {}
    for strategy in ("exact", "homogeneous:digital"):
        plan, summary = tmp_path / f"{strategy[:5]}.mlir", tmp_path / f"{strategy[:5]}.json"
        arguments = [str(MODELS / f"{model}.onnx"), "--target", "lionheart", "--dim", "batch=1", "-o", str(plan)]
        assert main([*arguments, "--strategy", strategy, "--summary", str(summary)]) == 0, capsys.readouterr().err
        said[strategy] = json.loads(summary.read_text())
    assert said["exact"]["latency_ns"] < said["homogeneous:digital"]["latency_ns"]
    assert said["exact"]["tiers"]["pcm"]["mac_share"] > 0.5
