"""Plans as files: the same bytes twice, whole or not at all, and refused in one line when edited into nonsense."""

import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
H3C = Path(sys.executable).with_name("h3c")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan that has weights in arrays, and what belongs to it."""
    folder = tmp_path_factory.mktemp("plan")
    model = Path(__file__).parent.parent / "models" / "digits_cnn.onnx"
    arguments = [model, "--dim", "batch=1", "--strategy", "homogeneous:sram", "-o", "plan.mlir", "-q"]
    subprocess.run([H3C, *arguments], cwd=folder, check=True)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("model", ["digits_cnn", "digits_cnn.int8", "digits_transformer"])
def test_two_runs_give_the_same_bytes(model: str, models: Path, command: Command, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        arguments = ("--dim", "batch=1", "-o", f"{folder}/plan.mlir", "--dump-ir", f"{folder}/stages")
        assert command("h3c", models / f"{model}.onnx", *arguments, alone=True).returncode == 0
    one, two = (
        sorted(path.relative_to(tmp_path / name) for path in (tmp_path / name).rglob("*")) for name in ("one", "two")
    )
    assert one == two
    for path in one:
        if (tmp_path / "one" / path).is_file():
            assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see that the work has begun")
@pytest.mark.parametrize("delay", [0, 0.1])
def test_an_interrupt_ends_with_130_and_leaves_the_old_plan(
    delay: float, plan: Path, models: Path, tmp_path: Path
) -> None:
    shutil.copytree(plan, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    arguments = [models / "digits_transformer.onnx", "--dim", "batch=1", "-o", "plan.mlir"]
    process = subprocess.Popen([H3C, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while "onnxruntime" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == "h3c: interrupted\n"
    assert contents(tmp_path) == before


@pytest.mark.parametrize("most_bytes", [0, 100, 2000])
def test_a_full_disk_ends_in_a_line_and_leaves_the_old_plan(
    most_bytes: int, plan: Path, models: Path, tmp_path: Path
) -> None:
    """Stood in for by a limit on the size of a file, which fails a write in the same way."""
    shutil.copytree(plan, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    done = subprocess.run(
        [H3C, models / "digits_mlp.onnx", "--dim", "batch=1", "-o", "plan.mlir", "--summary", "plan.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path) == before


EDITS = {
    "a tier that is not there": (r"@chip::@(sram|reram|photonic)", "@chip::@flash"),
    "arrays past the end of the tier": (r"(#tile\.arrays<@\w+::@\w+), \d+ to \d+", r"\1, 90000000 to 90000008"),
    "arrays in the wrong order": (r"(#tile\.arrays<@\w+::@\w+), \d+ to \d+", r"\1, 8 to 0"),
    "no copies": (r"copies \d+", "copies 0"),
    "a digest that does not agree": (r'digest "[0-9a-f]{4}', 'digest "0000'),
    "no such weight": (r"h3\.weight ", 'h3.weight "nosuch", '),
    "another shape": (r"tensor<1x10xf32", "tensor<1x11xf32"),
    "a value that nothing makes": (r"(tile\.mvm) %\S+?,", r"\1 %nothing,"),
    "a chip with a negative number": (r"\barray_ns = [\d.e+]+", "array_ns = -1.000000e+00"),
    "a chip without a field": (r"\barray_ns = ", "array_nss = "),
    "an unknown kind of tier": (r'kind "reram"', 'kind "abacus"'),
    "no chip": (r"h3\.chip @chip", "h3.chip @pish"),
    "an unknown op": (r"tile\.mvm", "tile.mwm"),
    "steps out of order": (r"step \d+", "step -1"),
}


@pytest.mark.parametrize(("pattern", "replacement"), EDITS.values(), ids=EDITS)
def test_a_plan_edited_to_have(pattern: str, replacement: str, plan: Path, command: Command, tmp_path: Path) -> None:
    shutil.copytree(plan, tmp_path, dirs_exist_ok=True)
    text = (tmp_path / "plan.mlir").read_text()
    edited, count = re.subn(pattern, replacement, text, count=1)
    assert count == 1
    (tmp_path / "plan.mlir").write_text(edited)
    np.savez(tmp_path / "x.npz", image=np.zeros((1, 1, 8, 8), np.float32))
    done = command("h3c-sim", "plan.mlir", "--inputs", "x.npz", "-o", "y.npz")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize("seed", range(8))
def test_a_plan_with_random_damage_never_ends_in_a_traceback(
    seed: int, plan: Path, command: Command, tmp_path: Path
) -> None:
    """A line lost, doubled or swapped with another, a number or a name replaced."""
    shutil.copytree(plan, tmp_path, dirs_exist_ok=True)
    rng = random.Random(seed)
    lines = (tmp_path / "plan.mlir").read_text().splitlines()
    first, second = rng.randrange(1, len(lines)), rng.randrange(1, len(lines))
    match seed % 4:
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case _:
            words = re.findall(r"[\w.]+", lines[first])
            lines[first] = lines[first].replace(rng.choice(words or ["}"]), str(rng.randrange(-3, 10**6)), 1)
    (tmp_path / "plan.mlir").write_text("\n".join(lines) + "\n")
    done = command("h3c-sim", "plan.mlir")
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    assert done.returncode in (0, 1)
    assert len(done.stderr.splitlines()) == done.returncode, done.stderr
