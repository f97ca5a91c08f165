"""Placement: gap and CPU seconds of `exact` by model and objective, and how far other strategies are behind it.

    H3C_MODELS=/path/to/models python benchmarks/placement.py [--target h3pimap] [--objectives latency,edp] [NAME ...]

Figures are predicted; seconds are those of the processor, of making the problem and of solving it. Strategies are those
that need nothing but the problem. Exits with 1 if a gap is above 1 % or took more than 30 s.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from math import exp, fsum, log
from pathlib import Path

from measuring import UNBOUND, models

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.place_parts import make_problem
from h3c.passes.placement import strategies
from h3c.passes.placement.problem import OBJECTIVES, PlacementError, Problem
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.weights import STORE

GAP, SECONDS = 0.01, 30.0
NAMES = (
    "resnet18.legacy17",
    "resnet50.legacy17",
    "vgg16.legacy11",
    "mobilenet_v2.legacy17",
    "mobilevit_s.legacy17",
    "gpt2_small.prefill.dynamo20",
    "llama2_7b_2l.prefill.dynamo20",
)


def problem_of(path: Path, target: str) -> tuple[Problem, float]:
    """The problem of placing a model's operators for least latency, and the CPU seconds of making it."""
    names = [name for name, _ in PIPELINE]
    dims = {name: int(size) for name, _, size in (text.partition("=") for text in UNBOUND.get(path.stem, ()))}
    module = read_onnx(path, dims)
    run(module, build({"attach-chip": {"target": target}}, names[: names.index("place-parts")]), new_context())
    start = time.process_time()
    problem = make_problem(module, chip_from_ir(module), "latency", 8)[-1]
    return problem, time.process_time() - start


def others(problem: Problem) -> dict[str, float]:
    """The objective of each strategy that finds a plan."""
    values: dict[str, float] = {}
    for name in strategies.strategies(problem):
        try:
            values[name] = strategies.run(problem, name, SECONDS).value
        except PlacementError:
            continue
    return values


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(fsum(map(log, values)) / len(values))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="h3pimap")
    parser.add_argument("--objectives", default=",".join(OBJECTIVES), help="default: %(default)s")
    parser.add_argument("--time-limit", type=float, default=60.0, help="of a solve, in seconds (default: %(default)g)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(NAMES)}")
    arguments = parser.parse_args()
    # No plan is written: values that passes make are not needed after this.
    STORE.driver = "benchmarks"
    kept, ratios = True, dict[tuple[str, str], list[float]]()
    print("| model | objective | predicted | gap | CPU seconds | status |\n|---|---|---|---|---|---|")
    for name in arguments.names or NAMES:
        first, made = problem_of(models() / "topology" / f"{name}.onnx", arguments.target)
        for objective in arguments.objectives.split(","):
            problem = replace(first, objective=objective)
            start = time.process_time()
            outcome = strategies.run(problem, "exact", arguments.time_limit)
            seconds = made + time.process_time() - start
            assert outcome.gap is not None
            fine = outcome.gap <= GAP and seconds <= SECONDS
            kept &= fine
            row = (name, objective, f"{outcome.value:.6g}", f"{outcome.gap:.2%}", f"{seconds:.1f}", outcome.status)
            print(f"| {' | '.join(row)}{'' if fine else ', MISSED'} |", flush=True)
            for strategy, value in others(problem).items():
                ratios.setdefault((strategy, objective), []).append(value / outcome.value)
    print("\n| strategy | objective | times that of exact, geometric mean | models |\n|---|---|---|---|")
    for (strategy, objective), values in ratios.items():
        print(f"| {strategy} | {objective} | {mean(values):.3f} | {len(values)} |")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
