"""What simulated chips compute with the trained models, against onnxruntime, on the whole data sets.

    H3C_MODELS=/path/to/models python benchmarks/accuracy.py [--target h3pimap] [NAME ...]

The quality is top-1, of tinygpt the perplexity. The error of ideal devices is the largest over all samples, as a share
of the output's range (of models with integer outputs: in steps); `differ` is the share of outputs beyond 1e-4 of the
range. Exits with 1 if a model fails, or its quality at the default precision is more than a point below onnxruntime's.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import measure, models
from numpy.typing import NDArray
from trained_models import TrainedModel

Array = NDArray[Any]

POINT = 0.01


class Failed(Exception):
    """A tool's last words."""


def call(tool: str, *arguments: object, folder: Path) -> None:
    run = measure(tool, *arguments, folder=folder)
    if run.status:
        raise Failed(run.said.splitlines()[-1] if run.said else f"{tool}: exit status {run.status}")


def outputs(model: TrainedModel, target: str, folder: Path) -> tuple[Array, Array, float]:
    """The first output with ideal devices and at the default precision, and the seconds that the latter took."""
    dims = [word for name in model.open_dimensions for word in ("--dim", f"{name}=1")]
    call("h3c", model.path, "--target", target, *dims, "-o", "plan.mlir", folder=folder)
    np.savez(folder / "x.npz", x=model.samples[0])
    given = ("plan.mlir", "--inputs", f"{model.input_name}=x.npz:x")
    call("h3c-sim", *given, "-o", "ideal.npz", "--ideal", folder=folder)
    start = time.perf_counter()
    call("h3c-sim", *given, "-o", "default.npz", folder=folder)
    seconds = time.perf_counter() - start
    ideal, default = (np.load(folder / f"{name}.npz")[model.output_name] for name in ("ideal", "default"))
    return ideal, default, seconds


def row(model: TrainedModel, target: str) -> tuple[str, bool]:
    """A line of the table, and whether the model kept its promise."""
    try:
        with tempfile.TemporaryDirectory(prefix="h3c-accuracy-") as name:
            ideal, default, seconds = outputs(model, target, Path(name))
    except Failed as failed:
        return f"| {model.path.stem} | failed: {failed} | | | | | | |", False
    reference = model.reference().astype(np.float64)
    error, span = np.abs(ideal - reference), float(np.ptp(reference))
    largest = f"{error.max():.0f} steps" if ideal.dtype.kind in "iu" else f"{error.max() / span:.1e}"
    differ = f"{float((error > 1e-4 * span).mean()):.3%}"
    qualities = [model.quality(values) for values in (reference, ideal, default)]
    told = " | ".join("-" if quality is None else f"{quality:.4f}" for quality in qualities)
    line = f"| {model.path.stem} | {len(model.samples[0])} | {largest} | {differ} | {told} | {seconds:.1f} |"
    before, _, after = qualities
    if before is None or after is None:
        return line, True
    return line, after <= before * (1 + POINT) if model.family == "tinygpt" else after >= before - POINT


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="h3pimap")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    arguments = parser.parse_args()
    folder = models() / "trained"
    paths = [folder / f"{name}.onnx" for name in arguments.names] or sorted(folder.glob("*.onnx"))
    print("| model | samples | ideal: largest error | differ | onnxruntime | ideal | default | h3c-sim s |")
    print("|---|---|---|---|---|---|---|---|")
    kept = True
    for path in paths:
        line, good = row(TrainedModel(path), arguments.target)
        kept = kept and good
        print(line + ("" if good else " <- more than a point lost"), flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
