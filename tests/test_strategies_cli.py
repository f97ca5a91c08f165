"""The strategies and the file of sensitivities as a user calls them."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.place_parts import PlaceParts
from h3c.runtime_sim.errors import InputError

Command = Callable[..., subprocess.CompletedProcess[str]]
Compile = Callable[..., subprocess.CompletedProcess[str]]

FILE: dict[str, Any] = {
    "budget": 4.0,
    "noise": {"reram": 0.01, "photonic": 1.0},
    "operators": {"/1/Gemm": [0.1 + (i % 7) for i in range(128)], "/3/Gemm": 1.0, "/5/Gemm": 2},
}


@pytest.fixture
def mlp(models: Path, command: Command, tmp_path: Path) -> Compile:
    """mlp(arguments...) compiles the smallest shipped model; s.json and plan.mlir are in tmp_path."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        given = ("--dim", "batch=1", "-o", "plan.mlir", "--summary", "s.json")
        return command("h3c", models / "digits_mlp.onnx", *given, *arguments)

    return run


def write(folder: Path, **changes: object) -> Path:
    path = folder / "sens.json"
    path.write_text(json.dumps({**FILE, **changes}))
    return path


@pytest.mark.parametrize("strategy", ["random:3", "nsga2"])
def test_strategies_compile_to_the_same_plan_twice(strategy: str, mlp: Compile, tmp_path: Path) -> None:
    texts: list[str] = []
    for _ in range(2):
        done = mlp("--strategy", strategy)
        assert done.returncode == 0, done.stderr
        texts.append((tmp_path / "plan.mlir").read_text())
    assert texts[0] == texts[1]
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["strategy"], summary["bound"], summary["gap"]) == (strategy, None, None)
    assert summary["predicted"]["latency_ns"] == pytest.approx(summary["latency_ns"], rel=1e-6)
    assert "explain" not in summary


@pytest.mark.parametrize(
    ("strategy", "share"), [("all-analog", 1.0), ("first-last-digital", 8192 / 17024), ("all-digital", 0)]
)
def test_strategies_that_know_noisy_tiers(strategy: str, share: float, mlp: Compile, tmp_path: Path) -> None:
    """Layers of 64 x 128, 128 x 64 and 64 x 10 weights; only the middle one is analog where the ends are digital."""
    done = mlp("--strategy", strategy, "--target", "lionheart")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["tiers"]["pcm"]["mac_share"] == pytest.approx(share)
    assert summary["strategy"] == strategy


@pytest.mark.parametrize("strategy", ["row-remap", "h3pimap"])
def test_a_tighter_budget_moves_outputs_off_the_noisy_tier(strategy: str, mlp: Compile, tmp_path: Path) -> None:
    shares: list[float] = []
    for budget in (1e9, 100.0, 0.5):
        done = mlp("--strategy", strategy, "--sensitivities", write(tmp_path, budget=budget))
        assert done.returncode == 0, done.stderr
        shares.append(json.loads((tmp_path / "s.json").read_text())["tiers"]["photonic"]["mac_share"])
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.05 < shares[0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"noise": {"pcm": 1.0}}, "noise: expected tiers of sram, reram, photonic, digital, got 'pcm'"),
        ({"noise": {"sram": -1}}, "noise.sram: expected a finite number from 0, got -1"),
        ({"noise": 3}, "noise: expected values by name, got 3"),
        (
            {"operators": {"nobody": 1}},
            "operators: expected matrix operators (/1/Gemm, /3/Gemm, /5/Gemm), got 'nobody'",
        ),
        ({"operators": {"/1/Gemm": [1, 2]}}, "operators./1/Gemm: expected 128 numbers or one, got 2"),
        ({"budget": "much"}, "budget: expected a finite number from 0, got 'much'"),
        ({"more": 1}, "expected the fields budget, noise, operators, got {"),
        ({"operators": {}}, "sensitivities: expected some for at least one operator, got none"),
    ],
)
def test_a_wrong_file_is_told(changes: dict[str, object], expected: str, module: ModuleOp, tmp_path: Path) -> None:
    given = PlaceParts(strategy="row-remap", sensitivities=str(write(tmp_path, **changes)))
    with pytest.raises(InputError) as error:
        given.apply(Context(), module)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def module() -> ModuleOp:
    """The smallest shipped model, ready to be placed."""
    names = [name for name, _ in PIPELINE]
    module = read_onnx(Path(__file__).parent.parent / "models" / "digits_mlp.onnx", {"batch": 1})
    run(module, build({}, names[: names.index("place-parts")]), new_context())
    return module


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--strategy", "row-remap"],
            "strategy row-remap: expected --calibration and --max-loss, or a file of sensitivities (--sensitivities), ",
        ),
        (
            ["--strategy", "equal", "--sensitivities", "x"],
            "expected a file of sensitivities with row-remap and h3pimap",
        ),
        (
            ["--strategy", "random"],
            "expected one of exact, homogeneous:TIER, equal, random:SEED, greedy, nsga2, row-rem",
        ),
        (["--strategy", "random:-1"], "expected one of exact, homogeneous:TIER, equal, random:SEED"),
        (["--strategy", "equal:3"], "expected one of exact, homogeneous:TIER, equal, random:SEED"),
        (["--strategy", "nsga2:"], "expected one of exact, homogeneous:TIER, equal, random:SEED"),
        (["--strategy", "h3pimap", "--sensitivities", "/"], "/: Is a directory"),
        (["--strategy", "row-remap", "--sensitivities", "none.yaml"], "none.yaml: No such file or directory"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], expected: str, mlp: Compile) -> None:
    done = mlp(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


def test_an_unreachable_budget_is_one_line(mlp: Compile, tmp_path: Path) -> None:
    noise = {"sram": 0.5, "reram": 1.0, "photonic": 1.0}
    done = mlp("--strategy", "row-remap", "--sensitivities", write(tmp_path, noise=noise, budget=0))
    assert done.returncode == 1
    assert "expected a predicted loss of at most 0, moving outputs to cleaner tiers reaches" in done.stderr


@pytest.fixture
def place(models: Path, command: Command) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """place(options) runs place-parts alone."""
    command("h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "--dump-ir", "ir", "-q", "--strategy", "greedy")

    def run(options: str) -> subprocess.CompletedProcess[str]:
        return command("h3c-opt", "ir/09-verify-h3.mlir", "-p", f"place-parts{{{options}}}")

    return run


def test_options_of_the_pass_are_checked(place: Callable[[str], subprocess.CompletedProcess[str]]) -> None:
    for options, expected in {
        "strategy=random": "strategy random: expected a seed, got none",
        "strategy=equal seed=1": "strategy equal: expected a seed from 0 with random, nsga2, h3pimap only, got 1",
        "strategy=random seed=-1": "expected a seed from 0",
        "strategy=homogeneous": "expected a tier with homogeneous, and only there, got none",
        "strategy=row-remap": "expected a file of sensitivities",
    }.items():
        done = place(options)
        assert done.returncode == 1
        assert expected in done.stderr
    assert place("strategy=nsga2 seed=5").returncode == 0


def test_segments_keep_to_the_least_bits(command: Command, models: Path) -> None:
    words = [models / "digits_mlp.onnx", "--dim", "batch=1", "--target", "dynaplasia", "--strategy", "cmswitch"]
    done = command("h3c", *words, "--min-bits", "9")
    assert done.returncode == 1
    assert done.stderr == (
        "h3c: strategy cmswitch: expected a pipelined chip with one tier of arrays (or one that can be memory) that "
        "takes a product at 9 bits or more, got edram, digital\n"
    )
