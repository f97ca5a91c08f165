"""h3c-codesign, as its users call it."""

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from codesign_small import tree

from h3c.compiler.codesign import OBJECTIVES, OVER, SEARCHES, main
from h3c.compiler.codesigning import objectives
from h3c.compiler.codesigning.joint import HEURISTICS
from h3c.runtime_sim.weights import STORE

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]
KEYS = {"best", "per_model", "proven", "evaluated", "feasible", "seconds"}


@pytest.fixture
def codesign(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """codesign(...) searches the small space for two models, in this process and in tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STORE, "driver", STORE.driver)  # the command sets it
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(tree(), sort_keys=False))

    def run(*given: str, files: tuple[str, ...] = ("cnn=digits_cnn.onnx", "digits_mlp.onnx")) -> Done:
        named = [file.replace("digits", f"{models}/digits") for file in files]
        arguments = [*named, "--dim", "batch=1", "--space", "small.yaml", *given]
        status = main(arguments)
        told = capsys.readouterr()
        return Done(arguments, status, told.out, told.err)

    return run


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "out.json").read_text())


def test_the_lists_of_the_command_line_are_those_of_the_modules() -> None:
    """They are written out there, so that --help does not wait for numpy."""
    assert tuple(objectives.TERMS) == OBJECTIVES
    assert objectives.OVER == OVER
    assert ("exhaustive", "staged", *HEURISTICS) == SEARCHES


def test_the_summary_has_what_the_contract_names(codesign: Command, tmp_path: Path) -> None:
    done = codesign("-o", "best.yaml", "--summary", "out.json", "--objective", "edap", "--over", "mean")
    assert (done.returncode, done.stderr) == (0, "")
    told = summary(tmp_path)
    assert set(told) >= KEYS
    assert set(told["best"]) >= {"variables", "score", "area_mm2"}
    assert set(told["per_model"]) == {"cnn", "digits_mlp"}
    assert told["proven"] is True
    assert told["evaluated"] == told["space"]["size"] == 1944
    assert told["feasible"] < 1620
    models, area = told["per_model"].values(), told["best"]["area_mm2"]
    energy, latency = (sum(one[key] for one in models) / 2 for key in ("energy_pj", "latency_ns"))
    assert told["best"]["score"] == pytest.approx(energy * 1e-9 * latency * 1e-6 * area, rel=1e-9)
    for one in models:
        own = one["energy_pj"] * 1e-9 * one["latency_ns"] * 1e-6 * area
        assert one["score"] == pytest.approx(own, rel=1e-9)
    near = told["near_optimal"]
    assert near["chips"][0] == told["best"]
    assert len(near["chips"]) == 50
    assert 1 <= near["within"]["2%"] <= near["within"]["5%"] <= near["within"]["10%"]
    assert told["best"]["cost"] == area * {32: 1.0, 45: 0.606}[told["best"]["variables"]["node_nm"]]


def test_people_read_what_was_decided_and_which_constraint_is_off(codesign: Command) -> None:
    done = codesign()
    assert "small.yaml" not in done.stdout
    assert "small, exhaustive: 1,944 chips decided" in done.stdout
    assert "proven: no chip of the space is better in the model" in done.stdout
    assert "capacity (capacity_weights >= model_weights) is off: loaded in turns" in done.stdout
    assert "is off" not in codesign("--constraint", "capacity=on").stdout
    assert codesign("-q").stdout == ""


def test_the_best_chip_is_a_target_on_which_products_cost_what_the_search_said(
    codesign: Command, command: Command, models: Path, tmp_path: Path
) -> None:
    assert codesign("-o", "best.yaml", "--summary", "out.json").returncode == 0
    told = summary(tmp_path)
    chip = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert {name: chip["tiers"]["imc"][name] for name in told["best"]["variables"]} == told["best"]["variables"]
    assert (tmp_path / "best.yaml").read_text().startswith("# Written by h3c-codesign: proven best of space small")
    done = command(
        "h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "--target", "best.yaml", "--summary", "s.json"
    )
    assert done.returncode == 0, done.stderr
    compiled = json.loads((tmp_path / "s.json").read_text())
    assert compiled["area_mm2"] == pytest.approx(told["best"]["area_mm2"], rel=1e-12)
    products = sum(compiled["components"].get(name, 0) for name in ("arrays", "write"))
    assert 0 < products <= told["per_model"]["digits_mlp"]["energy_pj"] * (1 + 1e-9)


def test_a_heuristic_says_what_it_visited_and_repeats_itself(codesign: Command, tmp_path: Path) -> None:
    given = ["--search", "evolutionary", "--budget", "150", "--seed", "5", "-o", "best.yaml", "--summary", "out.json"]
    done = codesign(*given)
    assert "small, evolutionary: 150 chips of 1,944 visited" in done.stdout
    assert "not proven" in done.stdout
    first, chip = summary(tmp_path), (tmp_path / "best.yaml").read_bytes()
    assert (first["proven"], first["evaluated"]) == (False, 150)
    assert first["search"] == {"name": "evolutionary", "budget": 150, "seed": 5}
    assert first["convergence"][-1]["score"] == first["best"]["score"]
    codesign(*given)
    again = summary(tmp_path)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    assert (tmp_path / "best.yaml").read_bytes() == chip


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_the_front_holds_the_optimum_of_the_product(codesign: Command, tmp_path: Path, ending: str) -> None:
    assert codesign("--front", f"front.{ending}", "--summary", "out.json").returncode == 0
    text = (tmp_path / f"front.{ending}").read_text()
    rows = list(csv.DictReader(text.splitlines())) if ending == "csv" else json.loads(text)["points"]
    told = summary(tmp_path)
    assert told["front"] == {"points": len(rows), "exact": True}
    scores = [float(r["energy_mj"]) * float(r["latency_ms"]) * float(r["area_mm2"]) for r in rows]
    assert min(scores) == pytest.approx(told["best"]["score"], rel=1e-9)
    best = rows[scores.index(min(scores))]
    assert {name: float(best[name]) for name in told["best"]["variables"]} == told["best"]["variables"]


def test_the_front_of_a_heuristic_is_of_what_it_visited(codesign: Command, tmp_path: Path) -> None:
    given = ["--search", "nsga2", "--budget", "100", "--front", "front.json", "--summary", "out.json"]
    assert codesign(*given).returncode == 0
    assert json.loads((tmp_path / "front.json").read_text())["exact"] is False
    assert summary(tmp_path)["front"]["exact"] is False


def test_baselines_are_told_with_what_they_did_and_by_how_much_the_joint_chip_is_better(
    codesign: Command, tmp_path: Path
) -> None:
    names = ["largest-model", "one-at-a-time", "sequential:max"]
    done = codesign("--summary", "out.json", *(word for name in names for word in ("--baseline", name)))
    told = summary(tmp_path)
    assert list(told["baselines"]) == names
    for name, each in told["baselines"].items():
        assert f"less than {name}" in done.stdout
        for model, one in each["per_model"].items():
            assert one["reduction"] == pytest.approx(1 - told["per_model"][model]["score"] / one["score"], abs=1e-12)
    assert "from max values; constraints count first in each stage" in told["baselines"]["sequential:max"]["how"]
    assert all(one["reduction"] <= 1e-9 for one in told["baselines"]["one-at-a-time"]["per_model"].values())
    assert told["baselines"]["largest-model"]["reduction"] >= 0


def test_a_baseline_may_end_at_a_chip_that_cannot_be_built(codesign: Command, tmp_path: Path) -> None:
    """Supply and node stay at their first values, where the drivers have too little."""
    changed = tree(stages={"circuit": ["rows", "cols"]})
    changed["variables"]["tiers.imc.node_nm"] = [45]
    (tmp_path / "low.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    given = ["--space", "low.yaml", "--baseline", "sequential:min", "--summary", "out.json"]
    assert codesign(*given).returncode == 0
    other = summary(tmp_path)["baselines"]["sequential:min"]
    assert (other["feasible"], other["score"], other["area_mm2"], other["reduction"]) == (False, None, None, 1.0)
    assert summary(tmp_path)["best"]["variables"]["volt"] > 0.58


def test_a_weight_is_that_of_the_model_it_names(codesign: Command, tmp_path: Path) -> None:
    given = ["--objective", "energy", "--over", "weighted", "--weights", "digits_mlp=1", "--weights", "cnn=3"]
    assert codesign(*given, "--summary", "out.json").returncode == 0
    told = summary(tmp_path)
    energies = {name: one["energy_pj"] * 1e-9 for name, one in told["per_model"].items()}
    assert told["best"]["score"] == pytest.approx((3 * energies["cnn"] + energies["digits_mlp"]) / 4, rel=1e-12)
    assert told["weights"] == {"cnn": 3, "digits_mlp": 1}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--space", "imc-dram"], "space 'imc-dram': expected the path of a space file or one of"),
        (["--space", "absent.yaml"], "absent.yaml: expected a space file, got: No such file or directory"),
        (["--over", "weighted"], "--weights: expected a weight for each of cnn, digits_mlp, got none"),
        (["--weights", "cnn=0"], "expected NAME=WEIGHT with a number above 0, got 'cnn=0'"),
        (["--constraint", "area=maybe"], "expected NAME=on or NAME=off, got 'area=maybe'"),
        (["--constraint", "power=on"], "--constraint power: expected a constraint of space small (area, capacity)"),
        (["--budget", "10"], "--budget: expected with a --search other than exhaustive"),
        (["--seed", "1"], "--seed: expected with --search evolutionary, nsga2 or random alone"),
        (["--search", "staged", "--seed", "1"], "--seed: expected with --search evolutionary, nsga2 or random alone"),
        (["--workers", "2"], "--workers: expected with --search staged, or with a space whose chips have to be placed"),
        (["--scheduler", "local"], "--scheduler: expected with --search staged"),
        (["--time-limit", "1"], "--time-limit: expected with --search staged"),
        (
            ["--search", "staged", "--workers", "2", "--scheduler", "tcp://127.0.0.1:9"],
            "--workers: expected with --sch",
        ),
        (["--archive", "no/a.sqlite"], "no/a.sqlite: expected an existing folder no, found none"),
        (["--archive", "small.yaml"], "small.yaml: expected outputs other than the inputs and each other"),
        (["--baseline", "single-technology"], "--baseline: expected one of largest-model, one-at-a-time"),
        (["--search", "staged", "--baseline", "largest-model"], "--baseline: expected none with this search and space"),
        (["--front", "front.txt"], "--front: expected a file that ends in .csv or .json, got front.txt"),
        (["--baseline", "sequential"], "--baseline: expected one of largest-model, one-at-a-time"),
        (["-o", "no/best.yaml"], "no/best.yaml: expected an existing folder no, found none"),
        (["-o", "small.yaml"], "small.yaml: expected outputs other than the inputs and each other"),
        (["-o", "same", "--summary", "same"], "same: expected outputs other than the inputs and each other"),
        (["--space", "imc-sram", "--objective", "cost"], "expected a space with a figure cost, got imc-sram"),
        (["cnn=x.onnx"], "model: expected each name once, got cnn 2 times"),
        (["x=absent.onnx"], "absent.onnx: no such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_and_old_files_stay(
    codesign: Command, tmp_path: Path, given: list[str], told: str
) -> None:
    (tmp_path / "best.yaml").write_text("old")
    done = codesign(*(["-o", "best.yaml"] if "-o" not in given else []), *given)
    assert done.returncode == 1
    assert done.stderr.startswith("h3c-codesign: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "best.yaml").read_text() == "old"


def test_spaces_are_listed_name_first(command: Command) -> None:
    lines = command("h3c-codesign", "--list-spaces").stdout.splitlines()
    assert {"imc-rram", "imc-sram", "imc-sram-large", "imc-sram-nodes"} <= {line.split()[0] for line in lines}


def test_help_waits_for_nothing_heavy() -> None:
    code = "import sys; import h3c.compiler.codesign; print('numpy' in sys.modules, 'pymoo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_an_interrupt_ends_a_search_without_a_trace(models: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("h3c-codesign")
    given = ["--space", "imc-sram", "--dim", "batch=1", "--search", "evolutionary", "--budget", "100000000"]
    process = subprocess.Popen(
        [program, models / "digits_mlp.onnx", *given, "-o", "best.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr is not None
    assert process.stderr.read() == "h3c-codesign: interrupted\n"
    assert list(tmp_path.iterdir()) == []
