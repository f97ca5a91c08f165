"""What the benchmarks share: where the models are, and a whole process measured from its start to its end."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNBOUND = {
    "gpt2_small.dynamic.dynamo20": ("batch=1", "seq=128", "past=128"),
    "resnet18.legacy13.dynbatch": ("batch=1",),
}
"""Sizes for the models of topology/ that leave dimensions open."""


@dataclass(frozen=True)
class Run:
    """One finished process: wall time in seconds, peak resident memory in MiB, what it said on stderr."""

    seconds: float
    peak_mib: float
    status: int
    said: str


@dataclass(frozen=True)
class Compiled:
    """A finished `h3c`: the process, the summary (empty if it failed), the number of ops in the plan."""

    run: Run
    summary: dict[str, Any]
    plan_ops: int


def models() -> Path:
    """The folder of further models that H3C_MODELS names; the process ends with a line where it names none."""
    folder = os.environ.get("H3C_MODELS")
    if not folder or not (Path(folder) / "topology").is_dir():
        sys.exit("H3C_MODELS must name a folder of models, with a folder topology in it")
    return Path(folder)


def measure(tool: str, *arguments: object, folder: Path) -> Run:
    """Run a tool of this installation in a folder; memory is that of the process, not of what it may have started."""
    program = Path(sys.executable).with_name(tool)
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(
            [program, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=errors, cwd=folder
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere
    return Run(seconds, usage.ru_maxrss * unit / 2**20, process.returncode, said)


def compile_model(model: Path, *arguments: object) -> Compiled:
    """`h3c MODEL` in a folder of its own, with open dimensions bound as in UNBOUND."""
    dims = [word for size in UNBOUND.get(model.stem, ()) for word in ("--dim", size)]
    with tempfile.TemporaryDirectory(prefix="h3c-bench-") as name:
        folder = Path(name)
        run = measure("h3c", model, *dims, "-o", "plan.mlir", "--summary", "summary.json", *arguments, folder=folder)
        if run.status:
            return Compiled(run, {}, 0)
        return Compiled(run, json.loads((folder / "summary.json").read_text()), count_ops(folder / "plan.mlir"))


def count_ops(plan: Path) -> int:
    """Ops in a plan, those in regions too, found by parsing it."""
    from xdsl.context import Context
    from xdsl.parser import Parser
    from xdsl.universe import Universe

    context = Context()
    for name, dialect in Universe.get_multiverse().all_dialects.items():
        context.register_dialect(name, dialect)
    return sum(1 for _ in Parser(context, plan.read_text()).parse_module().walk())
