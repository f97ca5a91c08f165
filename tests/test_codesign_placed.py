"""Prices of chips whose operators are placed: those of h3c itself, in any process, and never 0 for what cannot run."""

import itertools
import json
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from codesign_placed_toy import NAMES, Here, small_chips, small_models, small_space
from conftest import Command

from h3c.compiler.codesigning.archive import Archive
from h3c.compiler.codesigning.archived import Archived
from h3c.compiler.codesigning.placed import ModelFile, PlacedChips, Settings
from h3c.compiler.codesigning.placed_chips import Chips
from h3c.compiler.codesigning.space_files import load_space
from h3c.compiler.codesigning.workers import LocalProcesses
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.peak import holding

EVERY = list(itertools.product(*map(range, small_space().shape)))
MIXED = (2, 1, 1, 0, 1)


def test_figures_of_many_chips_are_those_of_each() -> None:
    chips = Chips(small_space(), 5000)
    figures = chips.figures(EVERY)
    for place, design in enumerate(EVERY):
        chip = chips.chip(design)
        held = [holding(chip, name) for name in chip.tiers]
        assert figures["area_mm2"][place] == pytest.approx(chip.area_mm2, rel=1e-12)
        assert figures["static_power_mw"][place] == pytest.approx(chip.static_power_mw, rel=1e-12)
        assert figures["capacity_weights"][place] == sum(each.weights for each in held if each is not None)
        assert figures["density"][place] == figures["capacity_weights"][place] / figures["area_mm2"][place]
    assert set(figures["model_weights"]) == {5000.0}
    assert len(np.unique(figures["area_mm2"])) > 20


def test_a_tier_of_which_there_are_none_is_not_on_the_chip() -> None:
    chips = Chips(small_space())
    assert list(chips.chip((0, 1, 0, 0, 1)).tiers) == ["reram", "digital"]
    assert list(chips.chip((2, 0, 1, 1, 1)).tiers) == ["sram", "photonic", "edram", "digital"]
    figures = chips.figures([(0, 1, 0, 0, 1), (1, 1, 0, 0, 1)])
    assert figures["sram_area_mm2"][0] == 0.0
    assert figures["sram_area_mm2"][1] > 0.0


def test_what_follows_is_set() -> None:
    chip = Chips(small_space()).chip((1, 2, 0, 1, 0))
    assert chip.tiers["reram"].arrays == 128
    assert chip.tiers["edram"].arrays == 8
    assert chip.dram.read_bytes_per_ns == 25.6


@pytest.mark.parametrize("simulate", [False, True])
def test_a_price_is_what_h3c_says_of_the_chip(command: Command, tmp_path: Path, models: Path, simulate: bool) -> None:
    placed = small_chips(Here(), time_limit_s=60.0, simulate=simulate, strategy="greedy")
    scores = placed.evaluate([MIXED])
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(placed.chips.tree(MIXED), sort_keys=False))
    summary: dict[str, Any] = {}
    for place, name in enumerate(NAMES):
        words = ["--dim", "batch=1", "--target", "./chip.yaml", "--objective", "edp", "--strategy", "greedy"]
        done = command("h3c", models / f"{name}.onnx", *words, "--summary", "out.json")
        assert done.returncode == 0, done.stderr
        summary = json.loads((tmp_path / "out.json").read_text())
        said = summary if simulate else summary["predicted"]
        assert scores.latency_ns[place, 0] == pytest.approx(said["latency_ns"], rel=1e-11)
        assert scores.energy_pj[place, 0] == pytest.approx(said["energy_pj"], rel=1e-11)
    assert scores.area_mm2[0] == pytest.approx(summary["area_mm2"], rel=1e-12)


def test_what_cannot_run_is_infinite_and_says_why() -> None:
    """No tier computes at 16 bits but the digital unit, and that takes 8."""
    archived = Archived(small_chips(Here(), ["digits_mlp"], min_bits=16), None)
    scores = archived.evaluate([MIXED])
    assert scores.energy_pj.tolist() == scores.latency_ns.tolist() == [[inf]]
    assert 0 < scores.area_mm2[0] < inf
    [(asked, reason)] = archived.reasons.items()
    assert asked == ("digits_mlp", MIXED)
    assert "16 bits" in reason


def test_a_chip_that_cannot_be_built_is_infinite_and_says_why() -> None:
    space = small_space(variables={"tiers.sram.rows_at_once": [48, 64]}, follow={}, figures={})
    archived = Archived(small_chips(Here(), ["digits_mlp"], space), None)
    scores = archived.evaluate([(0,), (1,)])
    assert scores.energy_pj[0, 0] == scores.area_mm2[0] == inf
    assert scores.energy_pj[0, 1] < inf
    assert "rows_at_once: expected a divisor" in archived.reasons["digits_mlp", (0,)]
    assert archived.space.violation(archived.figures([(0,), (1,)])).tolist()[0] == inf


def test_prices_are_the_same_in_other_processes_and_from_the_archive(tmp_path: Path) -> None:
    designs = [MIXED, (0, 0, 0, 0, 0), (0, 2, 0, 0, 1)]
    here = small_chips(Here(), strategy="greedy").evaluate(designs)
    with LocalProcesses(2) as engine, Archive(tmp_path / "a.sqlite") as archive:
        there = Archived(small_chips(engine, strategy="greedy"), archive).evaluate(designs)
    unused = Here()
    with Archive(tmp_path / "a.sqlite") as archive:
        later = Archived(small_chips(unused, strategy="greedy"), archive)
        kept = later.evaluate(designs)
        assert (later.found, later.priced, unused.done) == (6, 0, 0)
        # One model alone is known too, whatever it was priced with.
        one = Archived(small_chips(unused, ["digits_cnn"], strategy="greedy"), archive)
        assert one.evaluate(designs).energy_pj.tolist() == here.energy_pj[1:].tolist()
        assert unused.done == 0
        other = small_chips(unused, ["digits_cnn"], strategy="greedy", objective="latency")
        Archived(other, archive).evaluate([MIXED])
        assert unused.done == 1
    for each in (there, kept):
        assert (each.energy_pj == here.energy_pj).all()
        assert (each.latency_ns == here.latency_ns).all()
        assert (each.area_mm2 == here.area_mm2).all()


def test_chips_of_the_template_are_placed_too() -> None:
    space = load_space("imc-rram")
    placed = PlacedChips(space, small_models(["digits_mlp"]), Settings(strategy="greedy"), Here())
    scores = placed.evaluate([(1, 7, 0, 2, 2, 1, 1, 1, 1)])
    assert 0 < scores.energy_pj[0, 0] < inf
    assert 0 < scores.latency_ns[0, 0] < inf


def test_a_model_that_changed_meanwhile_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((small_models()[0].path).read_bytes())
    model = ModelFile.of("model", path, {"batch": 1})
    path.write_bytes((small_models()[1].path).read_bytes())
    with pytest.raises(InputError, match="expected the file that the search began with"):
        PlacedChips(small_space(), [model], Settings(), Here())
    with pytest.raises(InputError, match=r"none\.onnx: expected an ONNX model"):
        ModelFile.of("model", tmp_path / "none.onnx")


def test_a_worker_with_another_h3c_is_an_error() -> None:
    placing = replace(small_chips(Here(), ["digits_mlp"]).placing, version="another")
    with pytest.raises(InputError, match="another version"):
        placing((0, MIXED))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"base": "isaac", "variables": {"tiers.reram.adc_bits": [6, 8]}, "follow": {}, "figures": {}}, "schedule"),
        ({"follow": {"tiers.edram.arrays": "area_mm2"}}, "area_mm2"),
        ({"constraints": {"area": "areas_mm2 <= 3"}}, "did you mean area_mm2"),
    ],
)
def test_a_space_that_cannot_be_placed_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        Chips(small_space(**changes))
    assert "\n" not in str(error.value)
