"""What commands write: nothing that is still used goes away, and no input is written over."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Command
from onnx import TensorProto, helper, numpy_helper

from h3c.compiler.output import Outputs

RANDOM = np.random.default_rng(0)
SUM = [helper.make_node("Add", ["w", "v"], ["s"]), helper.make_node("MatMul", ["x", "s"], ["y"])]


def write_model(path: Path, nodes: list[onnx.NodeProto], outputs: dict[str, list[int]], **weights: np.ndarray) -> None:
    """A model of `x` [8, 16] with these nodes and weights."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [8, 16])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model whose compilation makes a value: the sum of two weights."""
    write_model(tmp_path / "m.onnx", SUM, {"y": [8, 32]}, w=RANDOM.normal(size=(16, 32)), v=np.ones((16, 32)))
    return tmp_path / "m.onnx"


def stores(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors"))


def test_a_pass_on_a_plan_in_place_keeps_the_store_that_it_uses(model: Path, command: Command, tmp_path: Path) -> None:
    assert command("h3c", model, "-o", "p.mlir", "-q").returncode == 0
    before = stores(tmp_path)
    assert before
    assert command("h3c-opt", "p.mlir", "-p", "verify-tile", "-o", "p.mlir").returncode == 0
    assert stores(tmp_path) == before
    np.savez(tmp_path / "x.npz", x=np.ones((8, 16), np.float32))
    done = command("h3c-sim", "p.mlir", "--inputs", "x.npz", "-o", "y.npz", "--ideal")
    assert done.returncode == 0, done.stderr


def test_the_store_of_an_old_plan_goes_when_the_new_plan_is_there(command: Command, tmp_path: Path) -> None:
    for seed in (1, 2):
        weight = np.random.default_rng(seed).normal(size=(16, 32))
        write_model(tmp_path / "m.onnx", SUM, {"y": [8, 32]}, w=weight, v=np.ones((16, 32)))
        assert command("h3c", "m.onnx", "-o", "p.mlir", "-q").returncode == 0
        assert len(stores(tmp_path)) == 1
    assert command("h3c", "m.onnx", "-o", "p.txt", "-q").returncode == 0
    assert len(stores(tmp_path)) == 2


@pytest.mark.parametrize("arguments", [("-o", "m.onnx"), ("-o", "s", "--summary", "s"), ("--summary", "./m.onnx")])
def test_no_output_takes_the_place_of_an_input_or_of_another(
    arguments: tuple[str, ...], model: Path, command: Command
) -> None:
    before = model.read_bytes()
    done = command("h3c", "m.onnx", *arguments)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert model.read_bytes() == before


def test_a_failure_before_the_plan_is_there_takes_away_what_is_new_only(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises(RuntimeError), Outputs() as files:  # noqa: PT012 - what fails is the context
        (tmp_path / "new").write_text("store")
        files.created(tmp_path / "new")
        files.add(tmp_path / "old", "plan")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_a_link_is_followed_and_a_pipe_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with Outputs() as files:
        files.add(tmp_path / "link", "new")
        files.add(tmp_path / "pipe", "told")
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "link").is_symlink()
    assert os.read(reader, 10) == b"told"
    os.close(reader)


def test_a_dump_leaves_other_files_of_its_folder_alone(model: Path, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "ir"
    folder.mkdir()
    for name in ("00-notes.mlir", "values.01234567.safetensors", "99-verify-tile.mlir"):
        (folder / name).write_text("mine")
    assert command("h3c", model, "--dump-ir", "ir", "-q").returncode == 0
    assert (folder / "00-notes.mlir").read_text() == "mine"
    assert (folder / "values.01234567.safetensors").exists()
    assert not (folder / "99-verify-tile.mlir").exists()
    assert (folder / "00-read.mlir").exists()


def test_constants_and_inputs_can_be_results(command: Command, tmp_path: Path) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Identity", ["c"], ["z"])]
    weights = {"w": RANDOM.normal(size=(16, 4)), "c": np.arange(3.0)}
    write_model(tmp_path / "m.onnx", nodes, {"y": [8, 4], "z": [3], "x": [8, 16]}, **weights)
    np.savez(tmp_path / "x.npz", x=np.ones((8, 16), np.float32))
    assert command("h3c", "m.onnx", "-o", "p.mlir", "-q").returncode == 0
    done = command("h3c-sim", "p.mlir", "--inputs", "x.npz", "-o", "y.npz", "--ideal")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "y.npz") as found:
        assert found["z"].tolist() == [0.0, 1.0, 2.0]
        np.testing.assert_allclose(found["y"], np.ones((8, 16)) @ weights["w"], rtol=1e-5)


def test_a_model_without_matrix_work_compiles_and_runs(command: Command, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], {"y": [8, 16]})
    np.savez(tmp_path / "x.npz", x=-np.ones((8, 16), np.float32))
    assert command("h3c", "m.onnx", "-o", "p.mlir", "-q").returncode == 0
    assert command("h3c-sim", "p.mlir", "--inputs", "x.npz", "-o", "y.npz").returncode == 0
    assert not np.load(tmp_path / "y.npz")["y"].any()


def test_a_product_of_two_inputs_takes_what_is_predicted(command: Command, tmp_path: Path) -> None:
    """Its weight is read off chip, which costs time and energy in the price as in the simulator."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("a", [64, 512]), ("b", [512, 512]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [64, 512])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    done = command("h3c", "m.onnx", "--strategy", "homogeneous:photonic", "--summary", "s.json", "-q")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["predicted"]["energy_pj"] == pytest.approx(summary["energy_pj"], rel=1e-9)
    assert summary["predicted"]["latency_ns"] == pytest.approx(summary["latency_ns"], rel=1e-9)


@pytest.mark.parametrize("objective", ["latency", "energy", "edp"])
def test_a_chip_without_arrays_takes_a_model(objective: str, models: Path, command: Command, tmp_path: Path) -> None:
    arguments = ["--dim", "batch=1", "--target", "digital", "--objective", objective, "--summary", "s.json"]
    done = command("h3c", models / "digits_transformer.onnx", *arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["tiers"]["digital"]["mac_share"] == 1
    assert summary["gap"] == pytest.approx(0, abs=1e-6)


def test_a_stock_xdsl_opt_says_that_made_values_need_h3c_opt(command: Command, tmp_path: Path) -> None:
    """A sum of two small constants is too large for the text, and a stock tool writes no store."""
    write_model(tmp_path / "m.onnx", SUM, {"y": [8, 32]}, w=np.arange(16.0)[:, None], v=np.ones((1, 32)))
    assert command("h3c-opt", "m.onnx", "-o", "read.mlir").returncode == 0
    assert command("xdsl-opt", "read.mlir", "-p", "lower-matrix-ops").returncode == 0
    done = command("xdsl-opt", "read.mlir", "-p", "fold-constants")
    assert done.returncode != 0
    assert "run it under h3c-opt" in done.stderr
    assert command("h3c-opt", "read.mlir", "-p", "fold-constants", "-o", "folded.mlir").returncode == 0
    assert len(stores(tmp_path)) == 1
