"""The topologies and operator samples of H3C_MODELS compile for h3pimap and run in the simulator.

The trained models there are the matter of test_trained_models.py.
"""

import json
import os
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import onnx
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

FOLDER = Path(os.environ["H3C_MODELS"]) if os.environ.get("H3C_MODELS") else None
FOLDERS = ("topology", "quirks")
MODELS = [path for name in FOLDERS for path in sorted((FOLDER / name).glob("*.onnx"))] if FOLDER else []
SIZES = {
    "gpt2_small.dynamic.dynamo20": {"seq": 128, "past": 128},
    "superresolution_with_image_codec": {"num_bytes": 4096},
}
"""Sizes of open dimensions; all others are batches of 1."""
MATRIX_MACS = {
    "gru.dynamo20": 0,
    "lstm_bidir.legacy17": 0,
    "if.dynamo20": 0,
    "loop_if_script.legacy17": 0,
    "einsum.legacy17": 16_384,
}
"""MACs where not all that the table counts is matrix work: GRU, LSTM, bodies of If and Loop, an Einsum of three."""
REFUSED = {"superresolution_with_image_codec": "pre_process_30: a matrix operator needs known shapes"}
"""Models that cannot be compiled, and why: the size of this one's picture is in the picture."""


def macs_in_words(text: str) -> float:
    """The number in "4.456 G" """
    number, _, unit = text.strip().partition(" ")
    return float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]


@cache
def counted() -> dict[str, float]:
    """MACs by file name, from the table beside the models, given there with four digits."""
    assert FOLDER
    rows = re.findall(
        r"^\| \w+/(\S+)\.onnx \|[^|]*\|[^|]*\| ([^|+]*) \+ ([\d.]+ ?[kMG]?)", (FOLDER / "README.md").read_text(), re.M
    )
    return {name: macs_in_words(static) + macs_in_words(dynamic) for name, static, dynamic in rows} | MATRIX_MACS


def bound_dimensions(path: Path) -> list[str]:
    graph = onnx.load(path, load_external_data=False).graph
    given = {tensor.name for tensor in graph.initializer}
    dims = [
        d.dim_param for v in graph.input if v.name not in given for d in v.type.tensor_type.shape.dim if d.dim_param
    ]
    sizes = {"batch": 1} | SIZES.get(path.stem, {})
    return [word for name in dict.fromkeys(dims) for word in ("--dim", f"{name}={sizes.get(name, 1)}")]


@pytest.mark.skipif(not MODELS, reason="H3C_MODELS does not name a folder of further models")
@pytest.mark.parametrize("path", MODELS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_model_compiles_and_runs(path: Path, command: Command, tmp_path: Path) -> None:
    # That every model becomes a plan is tested here, not how good it is: large ones take the strategy that is quick.
    strategy = "greedy" if path.parent.name == "topology" else "exact"
    words = (*bound_dimensions(path), "--strategy", strategy, "-o", "plan.mlir", "--summary", "plan.json")
    done = command("h3c", path, *words)
    if path.stem in REFUSED:
        assert done.returncode == 1
        assert REFUSED[path.stem] in done.stderr
        return
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["latency_ns"] > 0
    assert plan["predicted"]["latency_ns"] == pytest.approx(plan["latency_ns"], rel=0.2)
    assert (plan["bound"] or 0) <= plan["predicted"]["latency_ns"] * (1 + 1e-9)
    assert plan["model"]["macs"] == pytest.approx(counted()[path.stem], rel=1e-3)
    done = command("h3c-sim", "plan.mlir", "--summary", "run.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run.json").read_text())["latency_ns"] == plan["latency_ns"]
