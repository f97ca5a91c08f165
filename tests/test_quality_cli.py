"""h3c-sim --age: the summary, the text, the picture, and bad input in one line."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from noisy_chips import LIONHEART, chip_file

from h3c.compiler.cli import main as h3c
from h3c.compiler.output import Outputs
from h3c.compiler.plan_files import add_store, read_module, text_with_stores
from h3c.compiler.quality_report import quality_lines
from h3c.compiler.sim import main as h3c_sim
from h3c.runtime_sim.quality.trim import set_trim

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def data() -> Path:
    return Path(__file__).parent.parent / "models" / "digits.npz"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan of the perceptron on the PCM tiles of `lionheart`, with noise."""
    folder = tmp_path_factory.mktemp("plan")
    chip = chip_file(folder, "lionheart", pcm=LIONHEART)
    model = Path(__file__).parent.parent / "models" / "digits_mlp.onnx"
    words = [
        model,
        "--dim",
        "batch=1",
        "--target",
        chip,
        "--strategy",
        "homogeneous:pcm",
        "-o",
        folder / "plan.mlir",
        "-q",
    ]
    assert h3c([str(word) for word in words]) == 0
    return folder / "plan.mlir"


def test_the_chips_noise_is_part_of_the_plan_and_is_not_drawn_without_ages(
    plan: Path, command: Command, data: Path, tmp_path: Path
) -> None:
    assert 'model = "pcm"' in plan.read_text()
    done = command("h3c-sim", plan, "--inputs", f"image={data}:x_test", "--summary", "s.json", "-o", "y.npz")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["quality"] is None
    assert "quality" not in done.stdout


def test_quality_in_the_summary_on_stdout_and_as_a_picture(
    plan: Path, command: Command, data: Path, tmp_path: Path
) -> None:
    words = f"{plan} --inputs image={data}:x_test --labels {data}:y_test --age 1s,1d,1y --repeats 4".split()
    done = command("h3c-sim", *words, "--summary", "q.json", "--age-curve", "q.svg", "-o", "y.npz")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    quality: dict[str, Any] = json.loads((tmp_path / "q.json").read_text())["quality"]
    assert (quality["metric"], quality["repeats"], quality["samples"], quality["seed"]) == ("top1", 4, 600, 0)
    assert list(quality["ages"]) == ["1s", "1d", "1y"]
    for at in quality["ages"].values():
        assert set(at) == {"mean", "std", "ci95", "ci95_data", "flips", "flips_ci95"}
        assert 0.9 < at["mean"] < quality["reference"] + 0.005
    assert quality["reference"] == pytest.approx(584 / 600)
    assert all(line in done.stdout for line in quality_lines(quality))
    picture = ElementTree.fromstring((tmp_path / "q.svg").read_text())
    told = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"digital", "1s", "1d", "1y"} <= set(told)
    heights = [float(each.attrib["cy"]) for each in picture.iter("{http://www.w3.org/2000/svg}circle")]
    assert heights == sorted(heights), "a lower metric is further down"
    # -o is what the plan computes without noise, as without --age
    command("h3c-sim", plan, "--inputs", f"image={data}:x_test", "-o", "plain.npz")
    assert (tmp_path / "y.npz").read_bytes() == (tmp_path / "plain.npz").read_bytes()
    again = command("h3c-sim", *words, "--summary", "again.json", alone=True)
    assert again.returncode == 0
    assert json.loads((tmp_path / "again.json").read_text())["quality"] == quality
    other = command("h3c-sim", *words, "--seed", "1", "--summary", "other.json")
    assert other.returncode == 0
    assert json.loads((tmp_path / "other.json").read_text())["quality"]["ages"] != quality["ages"]


def test_the_default_metric_without_labels_is_the_cosine(
    plan: Path, command: Command, data: Path, tmp_path: Path
) -> None:
    words = f"{plan} --inputs image={data}:x_calib --age 1h --repeats 2 --compensation none -q".split()
    done = command("h3c-sim", *words, "--summary", "q.json")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    quality = json.loads((tmp_path / "q.json").read_text())["quality"]
    assert quality["metric"] == "cosine"
    assert quality["reference"] == pytest.approx(1)
    assert 0.8 < quality["ages"]["1h"]["mean"] < 0.999


def one_line(status: int, capsys: pytest.CaptureFixture[str]) -> str:
    """What a tool said that failed as it should."""
    said = capsys.readouterr()
    assert (status, said.out) == (1, "")
    assert said.err.count("\n") == 1
    return said.err


def test_offset_without_trim_inputs_says_so(plan: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(plan), "--inputs", f"image={data}:x_test", "--age", "1d", "--compensation", "offset"]
    told = "h3c-sim: compensation offset: expected trim inputs in the plan (h3.trim), got none"
    assert one_line(h3c_sim(words), capsys).startswith(told)


def test_trim_inputs_are_stored_with_the_plan(plan: Path, data: Path, tmp_path: Path, command: Command) -> None:
    """Written beside it, found by another process; and offsets need nothing else."""
    module = read_module(plan)
    with np.load(data) as file:
        set_trim(module, {"image": file["x_calib"][:32]})
    trimmed = tmp_path / "trimmed.mlir"
    with Outputs() as files:
        store = add_store(files, [module], trimmed)
        files.add(trimmed, text_with_stores(module, tmp_path, store))
    assert store is not None
    assert "h3.trim" in trimmed.read_text()
    words = f"--inputs image={data}:x_test --labels {data}:y_test --age 1y --repeats 2 --compensation offset".split()
    done = command("h3c-sim", trimmed, *words)
    assert done.returncode == 0, done.stderr
    assert "quality: top1 of 600 samples" in done.stdout


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--age 1d", "--age needs --inputs"),
        ("--inputs image={d}:x_test --labels {d}:y_test", "--labels is about quality under noise and needs --age"),
        ("--inputs image={d}:x_test --output logits", "--output is about quality under noise and needs --age"),
        ("--inputs image={d}:x_test --repeats 5", "--repeats is about quality under noise and needs --age"),
        ("--inputs image={d}:x_test --age 1d --ideal", "--age is about noise, which --ideal leaves out"),
        ("--inputs image={d}:x_test --age 1d --repeats 1", "expected a whole number from 2 to"),
        ("--inputs image={d}:x_test --age 1m", "age: 'm' could be minutes or months"),
        ("--inputs image={d}:x_test --age 1d,,1y", "age: expected a number and one of s, min, h, d, y"),
        ("--inputs image={d}:x_test --age 1d --metric top1", "metric top1: expected labels, got none"),
        ("--inputs image={d}:x_test --age 1d --labels {d}:y_calib", "labels: expected 600, one a sample, got 200"),
        ("--inputs image={d}:x_test --age 1d --labels {d}", "expected X.npz:KEY, KEY being one of x_test"),
        ("--inputs image={d}:x_test --age 1d --labels {d}:y", "expected an array 'y', found x_test"),
        ("--inputs image={d}:x_test --age 1d --labels y_test", "--labels y_test: expected X.npz:KEY"),
        ("--inputs image={d}:x_test --age 1d --labels {d}:x_test", "metric top1: expected labels of shape [600]"),
        ("--inputs image={d}:x_test --age 1d --output probabilities", "output: expected one of 'logits'"),
        ("--inputs image={d}:x_test --age 1d --summary a.json --age-curve a.json", "expected outputs other than"),
    ],
)
def test_a_command_line_with(
    line: str,
    told: str,
    plan: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert told in one_line(h3c_sim([str(plan), *line.format(d=data).split()]), capsys)
    assert not list(tmp_path.iterdir())


def test_inputs_that_are_not_numbers_are_one_line(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((4, 1, 8, 8), np.float32)
    images[2, 0, 3, 3] = np.nan
    np.savez(tmp_path / "x.npz", image=images)
    said = one_line(h3c_sim([str(plan), "--inputs", str(tmp_path / "x.npz"), "--age", "1d"]), capsys)
    assert said == "h3c-sim: input 'image': expected finite numbers, got NaN or infinity in sample 2\n"


@pytest.mark.parametrize(
    ("noise", "told"),
    [
        ({"model": "pcmm"}, "tiers.pcm.noise: model: expected one of the noise models known (mesh, pcm"),
        (
            {"model": "pcm", "devise": "generic"},
            "tiers.pcm.noise: devise: expected a known field (known are compensation",
        ),
        (
            {"model": "pcm", "device": "x"},
            "tiers.pcm.noise: device: expected one of generic, hermes-1, hermes-2, got 'x'",
        ),
        ({"model": "pcm", "output_noise": -0.1}, "tiers.pcm.noise.output_noise: expected greater than or equal to 0"),
        ({"model": "reram"}, "tiers.pcm.noise: g_min_us: expected a value, but the field is missing"),
        ({"model": "reram", "device": "wan", "g_max_us": 40.0}, "g_max_us: expected none with 'wan', got 40.0"),
        ({"model": "reram", "device": "milo", "read_voltage_v": 0.2}, "read_bandwidth_hz: expected a value beside"),
        ("pcm", "tiers.pcm.noise: expected a noise model with its fields"),
    ],
)
def test_a_chip_whose_noise_is_wrong(
    noise: Any, told: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chip = chip_file(tmp_path, "lionheart", pcm=noise)
    words = [models / "digits_mlp.onnx", "--dim", "batch=1", "--target", chip]
    assert told in one_line(h3c([str(word) for word in words]), capsys)
