"""Bad input ends in one line that names the place, exit status 1, no traceback and no file."""

import re
import subprocess
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

Command = Callable[..., subprocess.CompletedProcess[str]]
Fails = Callable[..., str]

WEIGHT = np.arange(600, dtype=np.float32).reshape(20, 30) / 600


def node(op: str, ins: str, out: str, name: str, domain: str = "") -> NodeProto:
    return helper.make_node(op, ins.split(), [out], name=name, domain=domain)


def weight(values: np.ndarray = WEIGHT, name: str = "w") -> TensorProto:
    return numpy_helper.from_array(values, name)


def bare(*dims: int, kind: int = TensorProto.FLOAT, data: bytes = b"") -> TensorProto:
    """The weight w as a damaged file may declare it."""
    return TensorProto(name="w", dims=dims, data_type=kind, raw_data=data)


def with_first(value: float) -> TensorProto:
    """The weight w with one element replaced."""
    return weight(np.where(WEIGHT == 0, np.float32(value), WEIGHT))


MATMUL = node("MatMul", "x w", "y", "fc")
RELU = node("Relu", "x", "y", "act")


def made(
    nodes: Sequence[NodeProto] = (MATMUL,),
    weights: Sequence[TensorProto] = (weight(),),
    shape: Sequence[int | str] = (4, 20),
    result: Sequence[int] = (4, 30),
    domains: Sequence[str] = (),
) -> onnx.ModelProto:
    """A model with input x and output y, by default one product of x and a constant."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, result)
    graph = helper.make_graph(list(nodes), "graph", [x], [y], list(weights))
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def external(location: str, offset: int = 0, length: int = WEIGHT.nbytes) -> TensorProto:
    """The weight w, its bytes in another file."""
    tensor = TensorProto(name="w", dims=WEIGHT.shape, data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": str(offset), "length": str(length)}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


@pytest.fixture
def fails(command: Command, tmp_path: Path) -> Fails:
    """fails(tool, arguments...) asserts how a tool refuses, and returns its line."""

    def run(tool: str, *arguments: object) -> str:
        before = {path.name for path in tmp_path.rglob("*")}
        done = command(tool, *arguments)
        lines = done.stderr.splitlines()
        assert done.returncode == 1, (done.returncode, done.stderr)
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(f"{tool}: ")
        assert "Traceback" not in lines[0]
        assert "internal error" not in lines[0]
        assert {path.name for path in tmp_path.rglob("*")} == before
        return lines[0]

    return run


NOT_A_MODEL = {
    "empty": b"",
    "text": b"not a model\n",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("content", NOT_A_MODEL.values(), ids=NOT_A_MODEL)
def test_a_file_that_is_no_model(content: bytes, fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    assert "m.onnx" in fails("h3c", "m.onnx", "-o", "plan.mlir")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(share: float, models: Path, fails: Fails, tmp_path: Path) -> None:
    data = (models / "digits_cnn.onnx").read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * share)])
    assert "m.onnx" in fails("h3c", "m.onnx", "--dim", "batch=1", "-o", "plan.mlir")


BAD_GRAPHS = {
    "cyclic": (
        made([node("Add", "x b", "a", "one"), node("Relu", "a", "b", "two"), node("MatMul", "b w", "y", "fc")]),
        "one|two",
    ),
    "unsorted": (made([node("MatMul", "a w", "y", "fc"), node("Relu", "x", "a", "act")]), r"'fc'|\(fc\)"),
    "missing initialiser": (made(weights=()), "'fc'.*'w'"),
    "unknown op": (made([node("Relux", "x", "y", "act")], ()), "'act'.*Relux"),
    "wrong shapes": (made(weights=[weight(WEIGHT.T.copy())]), r"'fc'|\(fc\)"),
    "two nodes make one value": (made([MATMUL, node("MatMul", "x w", "y", "fc2")]), "'y'"),
    "two initialisers of one name": (made(weights=[weight(), weight()]), "'w'"),
    "2^40 elements without data": (made(weights=[bare(20, 2**40)], result=(4, 2**40)), "'w'"),
    "NaN": (made(weights=[with_first(np.nan)]), "'w'"),
    "Inf": (made(weights=[with_first(np.inf)]), "'w'"),
    "zero-size": (made(weights=[weight(WEIGHT[:, :0])], result=(4, 0)), "0"),
    "zero-size input": (made([RELU], (), shape=(0, 20), result=(0, 20)), "0"),
    "an output that nothing makes": (made([node("Relu", "x", "z", "act")], ()), "'y'"),
    "negative dimension": (made(weights=[bare(-20, 30)]), "'w'"),
    "too few bytes": (made(weights=[bare(20, 30, data=b"1234")]), "'w'"),
    "unknown element type": (made(weights=[bare(20, 30, kind=99)]), "'w'"),
    "data outside the folder": (made(weights=[external("../outside.bin")]), "outside"),
    "data at an absolute path": (made(weights=[external("/etc/hostname")]), "hostname"),
    "data past the end": (made(weights=[external("short.bin", offset=2000)]), "short.bin"),
    "data at a negative offset": (made(weights=[external("short.bin", offset=-4)]), "short.bin"),
    "data of the wrong length": (made(weights=[external("short.bin", length=8)]), "short.bin"),
    "data behind a link": (made(weights=[external("link.bin")]), "link.bin"),
}


@pytest.mark.parametrize(("model", "told"), BAD_GRAPHS.values(), ids=BAD_GRAPHS)
def test_a_model_that_cannot_be_right(model: onnx.ModelProto, told: str, fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "outside.bin").write_bytes(WEIGHT.tobytes())
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "short.bin").write_bytes(WEIGHT.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    line = fails("h3c", "folder/m.onnx", "-o", "plan.mlir")
    assert re.search(f"m.onnx.*{told}", line), line


def test_weights_that_are_absent_compile_with_a_note_and_stop_a_run(
    command: Command, fails: Fails, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(made(weights=[external("absent.bin")]).SerializeToString())
    done = command("h3c", "m.onnx", "-o", "plan.mlir")
    assert done.returncode == 0, done.stderr
    assert "note: " in done.stdout
    np.savez(tmp_path / "x.npz", x=np.ones((4, 20), np.float32))
    assert command("h3c-sim", "plan.mlir").returncode == 0
    assert "w" in fails("h3c-sim", "plan.mlir", "--inputs", "x.npz", "-o", "y.npz")


def test_hostile_names_compile_and_run(command: Command, tmp_path: Path) -> None:
    names = ['a"b', "new\nline", "%0 = ", "é\u202e", "// x", "0", "a_12", "a_12 "]
    nodes = [helper.make_node("Relu", [a], [b], name=b[::-1]) for a, b in zip(["x", *names], names, strict=False)]
    nodes.append(helper.make_node("MatMul", [names[-1], 'w")'], ["y"], name="%fc\n"))
    model = made(nodes, [weight(name='w")')])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    done = command("h3c", "m.onnx", "-o", "plan.mlir", "--dump-ir", "stages")
    assert done.returncode == 0, done.stderr
    np.savez(tmp_path / "x.npz", x=np.ones((4, 20), np.float32))
    done = command("h3c-sim", "plan.mlir", "--inputs", "x.npz", "-o", "y.npz", "--ideal")
    assert done.returncode == 0, done.stderr
    assert np.allclose(np.load(tmp_path / "y.npz")["y"], np.ones((4, 20)) @ WEIGHT, rtol=1e-5)


def test_a_domain_without_a_kernel_is_timed_and_cannot_run(command: Command, fails: Fails, tmp_path: Path) -> None:
    nodes = [node("FancyAttention", "x", "a", "fancy", domain="com.acme"), node("MatMul", "a w", "y", "fc")]
    model = made(nodes, domains=["com.acme"])
    model.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, (4, 20)))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert command("h3c", "m.onnx", "-o", "plan.mlir").returncode == 0
    np.savez(tmp_path / "x.npz", x=np.ones((4, 20), np.float32))
    assert "fancy" in fails("h3c-sim", "plan.mlir", "--inputs", "x.npz", "-o", "y.npz")


def test_unbound_dimensions_are_listed_all(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(made([RELU], (), shape=("batch", "seq")).SerializeToString())
    line = fails("h3c", "m.onnx", "-o", "plan.mlir")
    assert "batch" in line
    assert "seq" in line
    assert "seq" in fails("h3c", "m.onnx", "--dim", "batch=1", "-o", "plan.mlir")
    assert "head" in fails("h3c", "m.onnx", "--dim", "batch=1", "--dim", "seq=2", "--dim", "head=2", "-o", "plan.mlir")


BAD_CHIPS = {
    "typo in a field": ("array_ns:", "array_nss:", "tiers.sram.array_nss"),
    "unit missing": ("size_bytes:", "size:", "buffer.size"),
    "negative number": ("read_ns: 100.0", "read_ns: -1.0", "tiers.reram.read_ns"),
    "not a number": ("arrays: 25600", "arrays: many", "tiers.sram.arrays"),
    "infinite": ("arrays: 25600", "arrays: .inf", "tiers.sram.arrays"),
    "unknown kind": ("kind: photonic-dynamic", "kind: quantum", "tiers.photonic.kind"),
    "no digital unit": ("kind: digital\n", "kind: photonic\n", "digital"),
    "a field twice": ("cell_bits: 1 ", "arrays: 1 ", "arrays"),
    "broken YAML": ("buffer:", "buffer: [", "line"),
    "unknown schedule": ("schedule: sequential", "schedule: chaotic", "schedule"),
}


@pytest.mark.parametrize(("old", "new", "told"), BAD_CHIPS.values(), ids=BAD_CHIPS)
def test_a_chip_file_with(old: str, new: str, told: str, fails: Fails, models: Path, tmp_path: Path) -> None:
    text = files("h3c.compiler.chips").joinpath("h3pimap.yaml").read_text()
    assert old in text
    (tmp_path / "chip.yaml").write_text(text.replace(old, new, 1))
    line = fails("h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "--target", "chip.yaml", "-o", "plan.mlir")
    assert "chip.yaml" in line
    assert told in line


MODEL = "models/digits_mlp.onnx --dim batch=1"
BAD_COMMANDS = {
    "absent file": ("h3c absent.onnx -o plan.mlir", "absent.onnx"),
    "a folder": ("h3c . -o plan.mlir", "."),
    "no file at all": ("h3c", "--help"),
    "unknown option": (f"h3c {MODEL} -o plan.mlir --fast", "--fast"),
    "unknown target": (f"h3c {MODEL} -o plan.mlir --target nosuchchip", "nosuchchip"),
    "unknown strategy": (f"h3c {MODEL} -o plan.mlir --strategy magic", "magic"),
    "homogeneous without a tier": (f"h3c {MODEL} -o plan.mlir --strategy homogeneous", "homogeneous"),
    "homogeneous on no tier of the chip": (f"h3c {MODEL} -o plan.mlir --strategy homogeneous:flash", "flash"),
    "unknown objective": (f"h3c {MODEL} -o plan.mlir --objective beauty", "beauty"),
    "a dimension of zero": ("h3c models/digits_mlp.onnx --dim batch=0 -o plan.mlir", "batch=0"),
    "a dimension that is no number": ("h3c models/digits_mlp.onnx --dim batch=many -o plan.mlir", "batch=many"),
    "a time limit of nothing": (f"h3c {MODEL} -o plan.mlir --time-limit 0", "0"),
    "no folder for the output": (f"h3c {MODEL} -o no/such/plan.mlir", "no/such"),
    "no folder for the summary": (f"h3c {MODEL} -o plan.mlir --summary no/such.json", "no"),
    "an output that is a folder": (f"h3c {MODEL} -o models", "models"),
    "absent plan": ("h3c-sim absent.mlir", "absent.mlir"),
    "a model for a plan": ("h3c-sim models/digits_mlp.onnx", "digits_mlp.onnx"),
    "absent file for h3c-opt": ("h3c-opt absent.mlir", "absent.mlir"),
    "unknown pass": ("h3c-opt models/README.md -p nosuchpass", "nosuchpass"),
    "a text for h3c-opt": ("h3c-opt models/README.md", "README.md"),
}


@pytest.mark.parametrize(("line", "told"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_a_command_line_with(line: str, told: str, fails: Fails, models: Path, tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to(models)
    assert told in fails(*line.split())
