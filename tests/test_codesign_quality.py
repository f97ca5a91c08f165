"""Accuracy under noise in co-design: a limit that chips keep, an axis of the front, a factor of the objective."""

import csv
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from codesign_placed_toy import Here
from codesign_small import tree
from conftest import Command
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.codesigning.archive import Archive, Context
from h3c.compiler.codesigning.archived import Archived
from h3c.compiler.codesigning.evaluators import Judged, Scores
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.pareto import front_with_loss
from h3c.compiler.codesigning.placed import ModelFile, PlacedChips, Settings
from h3c.compiler.codesigning.quality import Data, Measuring
from h3c.compiler.codesigning.space import Design
from h3c.compiler.codesigning.space_files import space_from_tree
from h3c.runtime_sim.errors import InputError

MODEL = Path(__file__).parent.parent / "models" / "digits_mlp.onnx"
NOISY: dict[str, Any] = {
    "name": "noisy",
    "description": "phase-change memory with little or much noise, or none of it",
    "base": "lionheart",
    "variables": {"tiers.pcm.noise.output_noise": [0.12, 0.4], "tiers.pcm.arrays": [0, 512]},
}
DIGITAL, CALM, WILD = (0, 0), (0, 1), (1, 1)
FEW = 100
"""Images that chips are measured with."""


@pytest.fixture
def data(models: Path, tmp_path: Path) -> Path:
    """Some images with their labels."""
    with np.load(models / "digits.npz") as file:
        np.savez(tmp_path / "few.npz", x=file["x_calib"][:FEW], y=file["y_calib"][:FEW])
    return tmp_path / "few.npz"


def measured(data: Path, designs: Sequence[Design], **measuring: Any) -> tuple[Archived, Scores]:
    """The evaluator of digits_mlp on chips of NOISY, and what it says of these."""
    own = Data.of([f"image={data}:x"], f"{data}:y")
    model = ModelFile.of("mlp", MODEL, {"batch": 1}, own)
    how = Measuring(("1d",), repeats=3, **measuring)
    space = space_from_tree(NOISY, "noisy", Path())
    evaluator = Archived(PlacedChips(space, [model], Settings(measuring=how), Here()), None)
    return evaluator, evaluator.evaluate(designs)


def losses(scores: Scores) -> list[float]:
    """Of the one model."""
    assert scores.loss is not None
    return scores.loss[0].tolist()


def test_what_errs_more_loses_more_and_a_chip_that_does_not_err_nothing(data: Path) -> None:
    _, scores = measured(data, [DIGITAL, CALM, WILD])
    digital, calm, wild = losses(scores)
    assert digital < 0.001 < calm < wild
    assert wild > 0.05
    assert scores.quality is not None
    assert scores.quality[0, 1] > scores.quality[0, 2]


def test_a_price_within_a_limit_is_what_h3c_promises_of_the_chip(command: Command, data: Path, tmp_path: Path) -> None:
    """The free plan loses more than two points, so that keeping them costs energy or time."""
    evaluator, scores = measured(data, [CALM], max_loss=0.02)
    _, free = measured(data, [CALM])
    assert losses(scores)[0] <= 0.02 < losses(free)[0]
    chips = evaluator.pricing.evaluator
    assert isinstance(chips, PlacedChips)
    (tmp_path / "chip.yaml").write_text(yaml.safe_dump(chips.chips.tree(CALM), sort_keys=False))
    words = ["--dim", "batch=1", "--target", "./chip.yaml", "--objective", "edp", "--max-loss", "2pp", "--age", "1d"]
    words += ["--calibration", "image=few.npz:x", "--labels", "few.npz:y", "--repeats", "3", "--summary", "s.json"]
    words += ["--redundancy", "1"]  # the chip is what co-design searches
    done = command("h3c", MODEL, *words)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert losses(scores) == [summary["quality"]["promise"]]
    assert scores.quality is not None
    assert scores.quality[0, 0] == summary["quality"]["ages"]["1d"]["mean"]
    for found, name in ((scores.energy_pj, "energy_pj"), (scores.latency_ns, "latency_ns")):
        assert found[0, 0] == pytest.approx(summary["predicted"][name], rel=1e-11)
    assert scores.energy_pj[0, 0] * scores.latency_ns[0, 0] > free.energy_pj[0, 0] * free.latency_ns[0, 0]


def test_loss_is_an_axis_of_the_front_and_kept_in_the_archive(command: Command, data: Path, tmp_path: Path) -> None:
    """The chip without noise is slow and loses nothing, the one with little is fast: that with much is beaten."""
    (tmp_path / "noisy.yaml").write_text(yaml.safe_dump(NOISY, sort_keys=False))
    words = [f"mlp={MODEL}", "--space", "noisy.yaml", "--objective", "edp", "--dim", "batch=1", "--age", "1d"]
    words += ["--calibration", "mlp:image=few.npz:x", "--labels", "mlp:few.npz:y", "--repeats", "3"]
    words += ["--search", "nsga2", "--budget", "4", "--archive", "a.sqlite", "--summary", "s.json"]
    summaries: list[dict[str, Any]] = []
    for _ in range(2):
        done = command("h3c-codesign", *words, "--front", "front.csv", "--report", "r.html")
        assert done.returncode == 0, done.stderr
        assert "energy, latency, area and loss" in done.stdout
        summaries.append(json.loads((tmp_path / "s.json").read_text()))
    assert [each["prices"]["made"] for each in summaries] == [4, 0]
    assert summaries[0]["per_model"] == summaries[1]["per_model"]
    rows = list(csv.DictReader((tmp_path / "front.csv").open()))
    points = {(row["output_noise"], row["arrays"]): float(row["loss"]) for row in rows}
    assert ("0.12", "512") in points
    assert ("0.4", "512") not in points
    assert min(points.values()) < 0.001  # of the chip without the tier
    assert summaries[0]["best"]["variables"]["arrays"] == 512
    assert summaries[0]["per_model"]["mlp"]["loss"] in points.values()
    assert "loss promised" in (tmp_path / "r.html").read_text()


def test_accuracy_divides_the_score() -> None:
    score = Objective("edap-accuracy", "product").score
    assert score(2.0, 3.0, 5.0, None, 0.5) == 60
    assert score(2.0, 3.0, 5.0, None) == 30  # of bounds, where nothing is measured: no accuracy is above 1
    assert score(2.0, 3.0, 5.0, None, np.array([0.0, -0.5])).tolist() == [np.inf, np.inf]


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(2, 4))
@settings(max_examples=100, deadline=None)
def test_the_front_with_loss_is_what_no_point_beats(seed: int, count: int, values: int) -> None:
    points = np.random.default_rng(seed).integers(1, values, size=(count, 4)).astype(np.float64)
    energy, latency, area, loss = points.T
    judged = Judged(np.arange(count), energy, energy * 0, area, energy, latency, loss)
    chips, shared = front_with_loss(judged)
    assert chips.loss is not None
    beaten = [any((o <= p).all() and (o < p).any() for o in points) for p in points]
    found = np.stack([chips.energy_mj, chips.latency_ms, chips.area_mm2, chips.loss], axis=1)
    assert sorted(map(tuple, found.tolist())) == sorted({tuple(p) for p in points[~np.array(beaten)].tolist()})
    assert shared.tolist() == [int((points == point).all(axis=1).sum()) for point in found]


def test_other_data_than_the_search_began_with_are_an_error(data: Path) -> None:
    own = Data.of([f"image={data}:x"], f"{data}:y")
    with pytest.raises(InputError, match="expected the data that the search began with"):
        replace(own, digest="another").arrays()


def test_an_archive_without_losses_is_read_and_gets_them(tmp_path: Path) -> None:
    """Files of the format before."""
    path, here = tmp_path / "a.sqlite", Context("space", "model", "version", "settings")
    with Archive(path) as archive:
        archive.get(here, [(1,)])
    with sqlite3.connect(path) as file:
        for column in ("loss", "quality"):
            file.execute(f"alter table prices drop column {column}")
        file.execute("insert into prices values (1, '1', 2.0, 3.0, 4.0, null)")
        file.execute("pragma user_version = 1")
    file.close()
    with Archive(path) as archive:
        price = archive.get(here, [(1,)])[1,]
        assert (price.energy_pj, price.loss) == (2.0, None)
        archive.put([(here, (2,), replace(price, loss=0.25, quality=0.5))])
    with Archive(path) as archive:
        assert archive.get(here, [(2,)])[2,].loss == 0.25


CALIBRATED = ["--calibration", "mlp:image=few.npz:x", "--labels", "mlp:few.npz:y"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-loss", "1pp"], "--max-loss is about quality and needs --calibration"),
        (["--objective", "edap-accuracy"], "--objective edap-accuracy: expected --calibration of the models"),
        ([*CALIBRATED, "--calibration", "cnn:few.npz"], "--calibration: expected one of the models mlp, got 'cnn'"),
        (["--calibration", "few.npz"], "expected MODEL:X.npz, or with an array's name, got 'few.npz'"),
        ([*CALIBRATED, "--max-loss", "0.01"], "--max-loss: expected percentage points, as 1pp for metric top1"),
        ([*CALIBRATED, "--age", "1d,1x"], "'1x'"),
        ([*CALIBRATED, "--objective", "edp-accuracy", "--metric", "mse"], "expected --metric top1, auc or cosine"),
        ([*CALIBRATED, "--calibration", "mlp:none.npz"], "h3c-codesign: none.npz: No such file or directory"),
        ([*CALIBRATED, "--space", "template.yaml"], "--calibration: expected --search staged, or a space whose chips"),
        (
            [*CALIBRATED, "--space", "imc-rram", "--search", "staged"],
            "imc-rram: base: expected a tier with a noise model for --calibration, got none (tiers: imc)",
        ),
        (["--calibration", "mlp:pixels=few.npz:x", "--search", "random", "--budget", "1"], "pixels"),
    ],
)
def test_what_is_wrong_is_one_line(command: Command, data: Path, tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "noisy.yaml").write_text(yaml.safe_dump(NOISY, sort_keys=False))
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(tree(), sort_keys=False))
    space = [] if "--space" in words else ["--space", "noisy.yaml"]
    done = command("h3c-codesign", f"mlp={MODEL}", "--dim", "batch=1", *space, *words)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
