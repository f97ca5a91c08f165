"""How long h3c takes and how much memory it needs, as whole processes from their start, and where the time goes.

    H3C_MODELS=/path/to/models python benchmarks/speed.py [--repeats 3] [NAME ...]

Bars are for two cores. Of several repeats the fastest counts. Exits with 1 if a bar is missed.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measuring import Compiled, compile_model, measure, models


@dataclass(frozen=True)
class Bar:
    """The most that compiling a model may take: wall seconds, MiB, ops in the plan."""

    seconds: float
    mib: float = 4096
    plan_ops: int = 10_000


HELP_SECONDS = 0.3
BARS = {
    "resnet18.legacy17": Bar(3),
    "resnet50.legacy17": Bar(6),
    "gpt2_small.prefill.legacy17": Bar(8),
    "llama2_7b.prefill.dynamo20": Bar(90),
}


def stages(compiled: Compiled) -> str:
    """The stages that took most, and what is left for start-up and imports."""
    seconds: dict[str, float] = compiled.summary["seconds"]
    longest = sorted(seconds.items(), key=lambda item: -item[1])[:5]
    rest = compiled.run.seconds - sum(seconds.values())
    return ", ".join(f"{name} {value:.2f}" for name, value in [*longest, ("start-up and rest", rest)])


def row(name: str, bar: Bar, compiled: Compiled) -> bool:
    """Print a line of the table; whether the model is within its bars."""
    run = compiled.run
    if run.status:
        print(f"| {name} | failed: {run.said.splitlines()[-1] if run.said else run.status} | | | |", flush=True)
        return False
    kept = run.seconds <= bar.seconds and run.peak_mib <= bar.mib and compiled.plan_ops <= bar.plan_ops
    took = f"{run.seconds:.2f} (bar {bar.seconds:g}{'' if kept else ', MISSED'})"
    print(f"| {name} | {took} | {run.peak_mib:.0f} | {compiled.plan_ops} | {stages(compiled)} |", flush=True)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each command, the fastest counts")
    parser.add_argument("--target", default="h3pimap")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(BARS)}")
    arguments = parser.parse_args()
    topology = models() / "topology"
    with tempfile.TemporaryDirectory() as folder:
        runs = [measure("h3c", "--help", folder=Path(folder)) for _ in range(max(arguments.repeats, 3))]
    fastest = min(run.seconds for run in runs)
    print(f"h3c --help: {fastest:.2f} s (bar {HELP_SECONDS})\n")
    print("| model | seconds | peak MiB | ops in the plan | where the seconds go |\n|---|---|---|---|---|")
    kept = fastest <= HELP_SECONDS
    for name in arguments.names or BARS:
        tries = [
            compile_model(topology / f"{name}.onnx", "--target", arguments.target) for _ in range(arguments.repeats)
        ]
        kept &= row(name, BARS.get(name, Bar(float("inf"))), min(tries, key=lambda done: done.run.seconds))
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
