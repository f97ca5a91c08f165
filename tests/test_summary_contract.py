"""docs/summary.md, held against what h3c and h3c-sim write."""

import json
import math
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from h3c.compiler.summary import for_people

Command = Callable[..., subprocess.CompletedProcess[str]]
Summary = dict[str, Any]

DOCUMENT = Path(__file__).parent.parent / "docs" / "summary.md"
STRATEGIES = ["exact", "greedy", "homogeneous:sram", "homogeneous:reram", "homogeneous:photonic"]


def documented() -> list[str]:
    """The keys of the table, dotted; STAGE and NAME stand for any key."""
    rows = [line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return [key for row in rows for key in re.findall("`(.*?)`", row)]


def look_up(summary: Any, key: str) -> list[Any]:
    """The values at a dotted key: several where a part of it is NAME or STAGE."""
    found = [summary]
    for part in key.split("."):
        found = [v for tree in found for v in (tree.values() if part in ("NAME", "STAGE") else [tree[part]])]
    return found


def numbers(tree: object) -> list[float]:
    if isinstance(tree, dict | list):
        return [n for branch in (tree.values() if isinstance(tree, dict) else tree) for n in numbers(branch)]
    return [tree] if isinstance(tree, int | float) else []


@pytest.fixture
def compiled(models: Path, command: Command, tmp_path: Path) -> Callable[..., Summary]:
    """compiled(MODEL, arguments...) gives the summary of compiling a shipped model for one image."""

    def run(model: str, *arguments: object) -> Summary:
        given = ("--dim", "batch=1", "-o", "plan.mlir", "--summary", "plan.json")
        done = command("h3c", models / f"{model}.onnx", *given, *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "plan.json").read_text())

    return run


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_the_summary_holds_for(strategy: str, objective: str, compiled: Callable[..., Summary]) -> None:
    summary = compiled("digits_transformer", "--strategy", strategy, "--objective", objective)
    for key in documented():
        look_up(summary, key)
    assert all(math.isfinite(number) for number in numbers(summary))
    assert (summary["strategy"], summary["objective"], summary["target"]) == (strategy, objective, "h3pimap")
    assert sum(summary["components"].values()) == pytest.approx(summary["energy_pj"], rel=1e-9)
    tiers = summary["tiers"]
    assert set(tiers) == {"sram", "reram", "photonic", "digital"}
    assert sum(tier["mac_share"] for tier in tiers.values()) == pytest.approx(1, abs=1e-9)
    assert all(0 <= tier["utilisation"] <= 1 for tier in tiers.values())
    latency, energy = (summary["predicted"][key] for key in ("latency_ns", "energy_pj"))
    reached = {"latency": latency, "energy": energy, "edp": latency * energy}[objective]
    if strategy == "exact":
        assert summary["bound"] <= reached * (1 + 1e-9)
        assert summary["gap"] == pytest.approx(reached / summary["bound"] - 1, abs=1e-6)
    else:
        assert summary["bound"] is None
        assert summary["gap"] is None


@pytest.mark.parametrize(
    ("model", "matrix_operators", "macs", "weights"),
    [
        ("digits_mlp", 3, 17_024, 17_024),
        ("digits_cnn", 6, 207_488, 18_848),
        ("digits_cnn.int8", 6, 207_488, 18_848),
        ("digits_transformer", 10, 275_072, 33_920),
    ],
)
def test_the_model_is_counted(
    model: str, matrix_operators: int, macs: int, weights: int, compiled: Callable[..., Summary]
) -> None:
    counted = compiled(model)["model"]
    assert counted["name"] == model
    assert (counted["matrix_operators"], counted["macs"], counted["weights"]) == (matrix_operators, macs, weights)


def test_macs_are_those_of_the_bound_batch(models: Path, command: Command, tmp_path: Path) -> None:
    given = ("--dim", "batch=4", "-o", "plan.mlir", "--summary", "plan.json")
    assert command("h3c", models / "digits_mlp.onnx", *given).returncode == 0
    assert json.loads((tmp_path / "plan.json").read_text())["model"]["macs"] == 4 * 17_024


def test_the_simulator_says_the_same_as_the_compiler(
    compiled: Callable[..., Summary], command: Command, tmp_path: Path
) -> None:
    first = compiled("digits_cnn")
    assert command("h3c-sim", "plan.mlir", "--summary", "again.json").returncode == 0
    again = json.loads((tmp_path / "again.json").read_text())
    for key in documented():
        if not key.startswith(("seconds", "solver")):
            assert look_up(again, key) == look_up(first, key), key


def test_a_bound_is_told_with_what_it_is_one_of(compiled: Callable[..., Summary]) -> None:
    """A close one in per cent, a loose one as a factor."""
    summary = compiled("digits_cnn")
    assert "proven within 2.00% of the best plan\n" in for_people({**summary, "gap": 0.02})
    among = {**summary["solver"], "proven_of": "plans of segments"}
    told = for_people({**summary, "gap": 0.59, "solver": among})
    assert "by exact for latency, proven at most 1.59 times the best plan of segments\n" in told
