"""`h3c --generate IN:OUT`: the sum equals a plan for each step; what a model has to say; what the command refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from decoder_model import write_decoder
from reader_models import graph, model, node, save, value

from h3c.compiler.cli import main
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.dialects.values import shape_of
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.walk import main_function


def summary(folder: Path, *options: str) -> dict[str, Any]:
    """The summary of the decoder's plan for one sequence."""
    path, out = write_decoder(folder / "decoder.onnx"), folder / "summary.json"
    assert main([str(path), "--dim", "batch=1", "-q", "--summary", str(out), *options]) == 0
    return json.loads(out.read_text())


@pytest.mark.parametrize("target", ["dynaplasia", "h3pimap"])
def test_the_sum_over_generation_is_that_of_a_plan_for_each_step(tmp_path: Path, target: str) -> None:
    """A prompt of 38 tokens, then 6 steps, over a border of arrays of 40 columns."""
    to = ("--target", target, "--strategy", "all-compute-best" if target == "dynaplasia" else "greedy")
    steps = [summary(tmp_path, *to, "--dim", "seq=1", "--dim", f"past={38 + step}") for step in range(6)]
    one, all_ = (summary(tmp_path, *to, "--generate", f"38:{out}") for out in (1, 6))
    assert all_["latency_ns"] == steps[-1]["latency_ns"], "the plan is the last one's"
    assert (all_["generate"]["in"], all_["generate"]["out"]) == (38, 6)
    for key in ("latency_ns", "energy_pj"):
        prompt = one["generate"][key] - steps[0][key]
        assert prompt > steps[0][key]
        assert all_["generate"][key] - prompt == pytest.approx(sum(step[key] for step in steps), rel=5e-3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--generate", "16"], "expected IN:OUT, two positive whole numbers, got '16'"),
        (["--generate", "0:4"], "expected IN:OUT, two positive whole numbers, got '0:4'"),
        (["--generate", "4:4"], "symbolic dimensions are not bound: --dim batch=VALUE"),
        (["--generate", "4:4", "--dim", "batch=1", "--dim", "past=4"], "got 'seq', and one of cached tokens"),
        (["--generate", "4:4", "--pareto", "2"], "--pareto goes without --generate"),
        (["--generate", "4:4", "--calibration", "x.npz:x"], "--generate goes without --calibration"),
    ],
)
def test_what_cannot_be_generated_is_one_line(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(write_decoder(tmp_path / "decoder.onnx")), *options]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert told in err


def test_a_sum_of_symbols_follows_from_them(tmp_path: Path) -> None:
    """The mask over cached and new tokens; a symbol that merely looks like a sum can still be bound itself."""
    nodes = [node("Add", "a b", "y")]
    inputs = [value("a", ["past + seq"]), value("b", ["seq + past + 2"]), value("c", ["seq"])]
    path = save(tmp_path, model(graph(nodes, inputs, [value("y", ["n"])])))
    with pytest.raises(InputError, match=r"not bound: --dim past \+ seq=VALUE --dim seq \+ past \+ 2=VALUE$"):
        read_onnx(path, {"seq": 3})
    module = read_onnx(path, {"seq": 3, "past": 5, "past + seq": 10})
    assert [shape_of(argument) for argument in main_function(module).args] == [(10,), (10,), (3,)]
