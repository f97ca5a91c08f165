"""Searches whose evaluations cost something, through the command line: kept, resumed, spread over processes."""

import json
import os
import pty
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from codesign_placed_toy import TREE
from codesign_small import tree
from conftest import Command
from processes import cluster, gone

PROGRAM = Path(sys.executable).with_name("h3c-codesign")
FEW = {
    "tiers.sram.arrays": [0, 8],
    "tiers.reram.tiles": [0, 2],
    "tiers.photonic.tiles": [0, 1],
    "tiers.edram.tiles": [0],
}
EDP = ["--objective", "edp", "--over", "product", "--dim", "batch=1"]


@pytest.fixture
def given(models: Path, tmp_path: Path) -> list[str]:
    """The words of a search of 8 chips for one model; in tmp_path there is also `large.yaml`, of 72 chips."""
    (tmp_path / "large.yaml").write_text(yaml.safe_dump(TREE, sort_keys=False))
    few = {**TREE, "variables": FEW, "figures": {}, "follow": {"tiers.reram.arrays": "64 * tiers_reram_tiles"}}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(few))
    (tmp_path / "template.yaml").write_text(yaml.safe_dump(tree(), sort_keys=False))
    return [f"mlp={models}/digits_mlp.onnx", *EDP]


def told(path: Path) -> dict[str, Any]:
    """A summary."""
    return json.loads(path.read_text())


def prices(archive: Path) -> int:
    """How many prices an archive has."""
    if not archive.exists():
        return 0
    file = sqlite3.connect(archive, timeout=30)
    try:
        return int(file.execute("select count(*) from prices").fetchone()[0])
    except sqlite3.OperationalError:  # no tables yet
        return 0
    finally:
        file.close()


def started(folder: Path, words: Sequence[object]) -> "subprocess.Popen[str]":
    """The command in a process of its own."""
    given = [PROGRAM, *map(str, words)]
    return subprocess.Popen(given, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_space_whose_chips_are_placed_is_decided_and_its_best_chip_is_a_target(
    command: Command, given: list[str], tmp_path: Path, models: Path
) -> None:
    words = [*given, "--space", "few.yaml", "--baseline", "single-technology", "--archive", "a.sqlite"]
    done = command("h3c-codesign", *words, "-o", "best.yaml", "--summary", "s.json", "--report", "r.html")
    assert (done.returncode, done.stderr) == (0, "")
    summary = told(tmp_path / "s.json")
    assert (summary["proven"], summary["evaluated"]) == (True, 8)
    assert summary["prices"]["found"] == 0
    assert 0 < summary["prices"]["made"] == prices(tmp_path / "a.sqlite") <= 8
    single = summary["baselines"]["single-technology"]
    assert single["feasible"]
    assert single["reduction"] >= 0
    assert all(f" {tier} " in single["how"] for tier in ("sram", "reram", "photonic"))
    alone = [value for value in single["variables"].values() if value]
    assert len(alone) == 1
    chip = yaml.safe_load((tmp_path / "best.yaml").read_text())
    assert set(chip["tiers"]) == {"digital", *_tiers(summary["best"]["variables"])}
    compiled = command(
        "h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "--target", "./best.yaml", "--objective", "edp",
        "--summary", "h.json",
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    figures = told(tmp_path / "h.json")["predicted"]
    own = summary["per_model"]["mlp"]
    assert figures["latency_ns"] * figures["energy_pj"] == pytest.approx(own["latency_ns"] * own["energy_pj"], rel=0.02)


def _tiers(variables: dict[str, Any]) -> set[str]:
    """Tiers of which a chip of `few.yaml` has some."""
    names = {"arrays": "sram", "tiers_reram_tiles": "reram", "tiers_photonic_tiles": "photonic"}
    return {names[name] for name, value in variables.items() if value}


def test_a_search_run_again_makes_no_price_and_says_the_same(
    given: list[str], tmp_path: Path, command: Command
) -> None:
    words = [*given, "--space", "large.yaml", "--search", "random", "--budget", "3", "--archive", "a.sqlite"]
    first, again = (
        (command("h3c-codesign", *words, "-o", f"{n}.yaml", "--summary", f"{n}.json"), told(tmp_path / f"{n}.json"))[1]
        for n in (1, 2)
    )
    assert (first["prices"]["made"], again["prices"]["made"], again["prices"]["found"]) == (3, 0, 3)
    assert {**first, "seconds": 0, "prices": 0} == {**again, "seconds": 0, "prices": 0}
    assert (tmp_path / "1.yaml").read_bytes() == (tmp_path / "2.yaml").read_bytes()


def test_an_archive_of_closed_forms_serves_other_searches_too(
    command: Command, given: list[str], tmp_path: Path
) -> None:
    words = [*given, "--space", "template.yaml", "--archive", "a.sqlite", "--summary", "s.json"]
    assert command("h3c-codesign", *words).returncode == 0
    assert told(tmp_path / "s.json")["prices"] == {"found": 0, "made": 50, "failed": 0}
    assert command("h3c-codesign", *words, "--search", "evolutionary", "--budget", "300").returncode == 0
    shared = told(tmp_path / "s.json")["prices"]
    assert shared["found"] > 0
    assert shared["found"] + shared["made"] == 300


def test_a_search_that_is_killed_ends_as_one_that_is_not(command: Command, given: list[str], tmp_path: Path) -> None:
    """The kill is at a random moment after some evaluations (again and again: test_codesign_archive.py)."""
    words = [*given, "--space", "large.yaml", "--search", "evolutionary", "--budget", "8", "--workers", "1"]
    archive, rng = tmp_path / "killed.sqlite", random.Random(3)
    resumed = [*words, "--archive", archive.name, "-o", "killed.yaml", "--summary", "killed.json"]
    run = started(tmp_path, resumed)
    while prices(archive) < 3 and run.poll() is None:
        time.sleep(0.01)
    time.sleep(rng.random() * 0.2)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    kept = prices(archive)
    assert not (tmp_path / "killed.yaml").exists()
    for own in (resumed, [*words, "-o", "whole.yaml", "--summary", "whole.json"]):
        done = command("h3c-codesign", *own)
        assert (done.stderr, done.returncode) == ("", 0)
    ends, one = told(tmp_path / "killed.json"), told(tmp_path / "whole.json")
    assert ends["prices"]["found"] == kept >= 3
    assert ends["prices"]["found"] + ends["prices"]["made"] == prices(archive) == 8
    assert {**ends, "seconds": 0, "prices": 0} == {**one, "seconds": 0, "prices": 0}
    assert (tmp_path / "killed.yaml").read_bytes() == (tmp_path / "whole.yaml").read_bytes()


def test_an_interrupt_leaves_the_archive_whole_and_no_process(given: list[str], tmp_path: Path) -> None:
    run = started(
        tmp_path, [*given, "--space", "large.yaml", "--workers", "2", "--archive", "a.sqlite", "-o", "b.yaml"]
    )
    archive = tmp_path / "a.sqlite"
    while prices(archive) < 2 and run.poll() is None:
        time.sleep(0.02)
    children = _children(run.pid)
    assert len(children) >= 2
    run.send_signal(signal.SIGINT)
    assert run.communicate(timeout=60)[1] == "h3c-codesign: interrupted\n"
    assert run.returncode == 130
    assert all(gone(pid) for pid in children)
    assert not (tmp_path / "b.yaml").exists()
    file = sqlite3.connect(archive)
    assert file.execute("pragma integrity_check").fetchone() == ("ok",)
    assert prices(archive) >= 2


def _children(pid: int) -> list[int]:
    """Processes that a process started."""
    found: list[int] = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found.append(int(entry))
    return found


def test_a_cluster_finds_what_this_machine_finds_though_a_worker_is_killed(
    command: Command, given: list[str], tmp_path: Path
) -> None:
    words = [*given, "--space", "large.yaml", "--search", "random", "--budget", "5"]
    with cluster(2, "--no-nanny") as (address, workers):
        spread = [*words, "--scheduler", address, "--archive", "a.sqlite", "--summary", "spread.json"]
        run = started(tmp_path, spread)
        while prices(tmp_path / "a.sqlite") < 2 and run.poll() is None:
            time.sleep(0.02)
        workers[0].kill()
        assert (run.communicate(timeout=120)[1], run.returncode) == ("", 0)
    local = command("h3c-codesign", *words, "--scheduler", "local", "--workers", "1", "--summary", "local.json")
    assert (local.stderr, local.returncode) == ("", 0)
    one, other = (told(tmp_path / f"{name}.json") for name in ("spread", "local"))
    assert one["prices"] == other["prices"] == {"found": 0, "made": 5, "failed": 0}
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_the_best_of_the_closed_form_are_placed_and_simulated(
    command: Command, given: list[str], tmp_path: Path
) -> None:
    words = [*given, "--space", "template.yaml", "--search", "staged", "--budget", "3", "--summary", "s.json"]
    done = command("h3c-codesign", *words, "--report", "r.html")
    assert (done.returncode, done.stderr) == (0, "")
    summary = told(tmp_path / "s.json")
    assert (summary["proven"], summary["evaluated"], summary["staged"]["first"]) == (False, 3, "closed form")
    chips = summary["staged"]["chips"]
    assert sorted(chip["first_rank"] for chip in chips) == [1, 2, 3]
    assert [chip["score"] for chip in chips] == sorted(chip["score"] for chip in chips)
    assert chips[0]["variables"] == summary["best"]["variables"]
    assert all(chip["score"] > chip["first_score"] for chip in chips)  # the digital unit's work is in it
    assert "ranked by closed form, then placed and simulated" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--space", "template.yaml", "--search", "staged", "--budget", "1"], "placing"),
        (["--space", "few.yaml", "--search", "random", "--budget", "1"], "random"),
        (["--space", "template.yaml", "--search", "random", "--budget", "9", "--report", "r.html"], "evolutionary"),
    ],
)
def test_progress_is_shown_on_a_terminal(given: list[str], tmp_path: Path, words: list[str], shown: str) -> None:
    terminal, end = pty.openpty()
    run = subprocess.Popen([PROGRAM, *given, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=end)
    os.close(end)
    told = b""
    with suppress(OSError):  # what a terminal says when nobody is left at its other end
        while some := os.read(terminal, 4096):
            told += some
    os.close(terminal)
    assert run.wait() == 0, told.decode(errors="replace")
    assert shown in told.decode(errors="replace")


def test_a_model_that_no_chip_can_run_is_one_line_with_the_reason(
    command: Command, given: list[str], tmp_path: Path
) -> None:
    wrong = {**TREE, "variables": {"tiers.sram.rows_at_once": [48, 56]}, "follow": {}, "figures": {}, "constraints": {}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = command("h3c-codesign", *given, "--space", "wrong.yaml", "--search", "random", "-o", "best.yaml")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "expected a chip that" in done.stderr
    assert not (tmp_path / "best.yaml").exists()
