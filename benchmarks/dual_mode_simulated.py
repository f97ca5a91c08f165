"""Every strategy's plan of the published set, lowered and simulated: gains in simulated time, and how far predictions
are from it.

    H3C_MODELS=/path/to/models python benchmarks/dual_mode_simulated.py [--batch 1] [--layers 2] [--length 64] [NAME ..]

Convolutional networks are those of topology/; language models are blocks of their published dimensions, `--layers` of
them, or all with 0. `exact` is what `h3c` keeps: of its plan and those of the baselines that are predicted nearly as
good, the one of least simulated time. A plan whose switches the simulator does not count as the plan says ends the run.
Exits with 1 if the errors' median or worst is above its bar, or `exact` is slower than `all-compute` anywhere.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dual_mode_models import write_language_model
from dual_mode_shapes import TRANSFORMERS
from measuring import models
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.assign_arrays import AssignArrays
from h3c.passes.lower_to_tile import LowerToTile
from h3c.passes.segment_hosts import hosted_problem
from h3c.passes.segment_plan import give_segments
from h3c.passes.segment_problem import program_of, segment_problem, segment_tiers
from h3c.passes.segmentation.problem import SegmentPlan
from h3c.passes.segmentation.strategies import run_segments
from h3c.passes.verify_tile import VerifyTile
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.weights import STORE

CNNS = {
    "MobileNetV2": "mobilenet_v2.legacy17",
    "ResNet-18": "resnet18.legacy17",
    "VGG16": "vgg16.legacy11",
}
BESIDE = {
    "MobileNetV3-large": "mobilenet_v3_large.legacy17",
    "ResNet-50": "resnet50.legacy17",
    "AlexNet": "alexnet.legacy17",
    "BERT-base, 128": "bert_base.seq128.legacy17",
    "ViT-B/16": "vit_b_16.legacy17",
    "LLaMA2-7B, 2 layers, 128": "llama2_7b_2l.prefill.dynamo20",
}
"""Not of the published set: in the errors, not in the mean of gains."""
AGAINST = ("all-compute", "all-compute-overlap", "all-compute-best", "cmswitch")
MEDIAN, WORST = 0.05, 0.15


@dataclass(frozen=True)
class Simulated:
    """A strategy's plan; `error` is predicted over simulated latency - 1."""

    latency_ns: float
    error: float
    solve_s: float
    switches: int


def simulated(module: ModuleOp, strategy: str) -> Simulated:
    """The plan of a strategy (with `exact` the fastest of those that are worth a simulation)."""
    program = program_of(module, segment_tiers(module, 8)[0])
    problem = segment_problem(program)
    start = time.process_time()
    outcome = run_segments(problem, strategy, hosted=hosted_problem(program, problem, 8, 1.0))
    seconds = time.process_time() - start
    found: list[Simulated] = []
    for own, plan in ((outcome.problem, outcome.plan), *(each[1:] for each in outcome.near)):
        copy = module.clone()
        give_segments(copy, program_of(copy, program.tier), own, plan)
        found.append(_timed(copy, plan, seconds))
    return min(found, key=lambda each: each.latency_ns)


def _timed(module: ModuleOp, plan: SegmentPlan, seconds: float) -> Simulated:
    for each in (LowerToTile(), AssignArrays(), VerifyTile()):
        each.apply(Context(), module)
    timing = simulate(module)
    if timing.mode_switches != plan.switched_arrays:
        raise SystemExit(f"{timing.mode_switches} switches simulated, {plan.switched_arrays} planned")
    return Simulated(timing.latency_ns, plan.total_ps / 1000 / timing.latency_ns - 1, seconds, timing.mode_switches)


def networks(arguments: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, file) of the set, and of what is beside it."""
    topology = models() / "topology"
    STORE.driver = "dual_mode_simulated.py"
    for name in arguments.names or [*CNNS, *TRANSFORMERS, *BESIDE]:
        if name in TRANSFORMERS:
            yield (
                name,
                write_language_model(
                    folder / "blocks.onnx", name, arguments.batch, arguments.length, arguments.layers or None
                ),
            )
        else:
            yield name, topology / f"{(CNNS | BESIDE)[name]}.onnx"


def mean(values: list[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="dynaplasia")
    parser.add_argument("--batch", type=int, default=1, help="sequences, of language models")
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    print(f"{arguments.target}: simulated us, gain of exact; predicted over simulated in % for exact and the others\n")
    head = ("model", "exact us", *AGAINST, "% exact", *(f"% {name}" for name in AGAINST), "switches", "s solve")
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    gains: dict[str, list[float]] = {name: [] for name in AGAINST}
    errors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path in networks(arguments, Path(folder)):
            module = read_onnx(path)
            options: dict[str, dict[str, object]] = {"attach-chip": {"target": arguments.target}}
            run(module, build(options, around("place-parts")[0]), new_context())
            exact = simulated(module, "exact")
            others = [simulated(module, against) for against in AGAINST]
            times = [other.latency_ns / exact.latency_ns for other in others]
            for against, gain in zip(AGAINST, times, strict=True):
                gains[against] += [gain] if name not in BESIDE else []
            errors += [each.error for each in (exact, *others)]
            row = [f"{exact.latency_ns / 1000:.0f}", *(f"{gain:.2f}" for gain in times)]
            row += [f"{100 * each.error:+.1f}" for each in (exact, *others)]
            print(f"| {name} | {' | '.join(row)} | {exact.switches} | {exact.solve_s:.1f} |", flush=True)
    median, worst = statistics.median(map(abs, errors)), max(map(abs, errors))
    for name, values in gains.items():
        if values:
            print(f"gain over {name}: geometric mean {mean(values):.2f}, least {min(values):.2f}")
    print(f"error in the median {median:.1%} (bar {MEDIAN:.0%}), at worst {worst:.1%} (bar {WORST:.0%})")
    return int(median > MEDIAN or worst > WORST or min(gains["all-compute"], default=1.0) < 1.0)


if __name__ == "__main__":
    sys.exit(main())
