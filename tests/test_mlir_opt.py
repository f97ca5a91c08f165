"""The IR of every stage goes through LLVM's own mlir-opt, in generic form, and comes back the same."""

import os
import shutil
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.universe import Universe

from h3c.compiler.universe import H3C_UNIVERSE

Command = Callable[..., subprocess.CompletedProcess[str]]


def find_mlir_opt() -> str | None:
    """$H3C_MLIR_OPT, else mlir-opt, else the newest mlir-opt-NN that the distribution installed (since 19)."""
    names = [os.environ.get("H3C_MLIR_OPT"), "mlir-opt", *(f"mlir-opt-{version}" for version in range(40, 18, -1))]
    return next((path for name in names if name and (path := shutil.which(name))), None)


MLIR_OPT = find_mlir_opt()
needs_mlir_opt = pytest.mark.skipif(
    MLIR_OPT is None, reason="no mlir-opt: install mlir-22-tools, or name one in H3C_MLIR_OPT"
)


def parse(text: str) -> ModuleOp:
    context = Context()
    for name, dialect in Universe.get_multiverse().all_dialects.items():
        context.register_dialect(name, dialect)
    return Parser(context, text).parse_module()


def generic(module: ModuleOp) -> str:
    text = StringIO()
    Printer(stream=text, print_generic_format=True, print_debuginfo=True).print_op(module)
    return text.getvalue()


def through_mlir_opt(text: str, *passes: str) -> str:
    assert MLIR_OPT
    # xDSL reads no location aliases, so mlir-opt is asked for none
    form = [
        "--allow-unregistered-dialect",
        "--mlir-print-op-generic",
        "--mlir-print-local-scope",
        "--mlir-print-debuginfo",
    ]
    done = subprocess.run([MLIR_OPT, *form, *passes], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_mlir_opt
@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn", "digits_cnn.int8", "digits_transformer"])
def test_every_stage_goes_through_mlir_opt_and_back(model: str, models: Path, command: Command, tmp_path: Path) -> None:
    done = command("h3c", models / f"{model}.onnx", "--dim", "batch=1", "-o", "plan.mlir", "--dump-ir", "stages")
    assert done.returncode == 0, done.stderr
    stages = sorted((tmp_path / "stages").glob("*.mlir"))
    assert len(stages) >= 5
    for stage in [*stages, tmp_path / "plan.mlir"]:
        module = parse(stage.read_text())
        returned = parse(through_mlir_opt(generic(module)))
        assert module.is_structurally_equivalent(returned), stage.name


@needs_mlir_opt
def test_upstream_passes_leave_a_plan_as_it_is(models: Path, command: Command, tmp_path: Path) -> None:
    """Each tile op writes, as far as MLIR can know: a plan is a schedule, nothing in it is merged, moved or dropped."""
    done = command("h3c", models / "digits_transformer.onnx", "--dim", "batch=1", "-o", "plan.mlir")
    assert done.returncode == 0, done.stderr
    module = parse((tmp_path / "plan.mlir").read_text())
    returned = parse(through_mlir_opt(generic(module), "--cse", "--canonicalize", "--loop-invariant-code-motion"))
    assert module.is_structurally_equivalent(returned)


def test_a_stock_xdsl_opt_reads_each_level_and_finds_the_passes(models: Path, command: Command, tmp_path: Path) -> None:
    done = command("h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "-o", "plan.mlir", "--dump-ir", "stages")
    assert done.returncode == 0, done.stderr
    stages = sorted((tmp_path / "stages").glob("*.mlir"))
    for stage in [stages[0], stages[len(stages) // 2], tmp_path / "plan.mlir"]:
        for tool in ("xdsl-opt", "h3c-opt"):
            read = command(tool, stage)
            assert read.returncode == 0, (tool, stage.name, read.stderr[-2000:])
            printed, written = parse(read.stdout), parse(stage.read_text())
            for module in (printed, written):
                del module.attributes["h3.stores"]  # their paths are relative to where the text goes
            assert printed.is_structurally_equivalent(written), (tool, stage.name)
    assert command("xdsl-opt", "plan.mlir", "-p", "verify-tile").returncode == 0
    shown = "".join(command("xdsl-opt", "--help").stdout.split())
    assert not [name for name in H3C_UNIVERSE.all_passes if name not in shown]
