"""Placement: gap and CPU seconds of `exact` by model and objective, and how far other strategies are behind it.

    H3C_MODELS=/path/to/models python benchmarks/placement.py [--target h3pimap] [--objectives latency,edp] [NAME ...]

Every plan is lowered and simulated: strategies are compared by the figures of the simulator, `error` is that of the
predicted latency against them. Seconds are those of the processor in the pass that places (limits of time are by the
clock). Exits with 1 if a gap is above 1 %, took more than 30 s, or a latency is predicted worse than by 10 %.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, log
from pathlib import Path
from typing import Any, cast

from measuring import UNBOUND, models
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, ModuleOp, StringAttr

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.assign_arrays import AssignArrays
from h3c.passes.lower_to_tile import LowerToTile
from h3c.passes.place_parts import PlaceParts
from h3c.passes.verify_placement import SOLUTION
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.timing import Timing, simulate
from h3c.runtime_sim.weights import STORE

GAP, SECONDS, ERROR = 0.01, 30.0, 0.10
OBJECTIVES = ("latency", "energy", "edp", "throughput")
BASELINES = ("equal", "random:0", "random:1", "random:2", "greedy", "nsga2")
NAMES = (
    "resnet18.legacy17",
    "resnet50.legacy17",
    "vgg16.legacy11",
    "mobilenet_v2.legacy17",
    "mobilevit_s.legacy17",
    "gpt2_small.prefill.dynamo20",
    "llama2_7b_2l.prefill.dynamo20",
)


@dataclass(frozen=True)
class Placed:
    """A plan: what the solver says of it, the simulator's figures, CPU seconds of placing."""

    solution: dict[str, Any]
    timing: Timing
    seconds: float

    def score(self, objective: str) -> float:
        """The objective as simulated, in ns, pJ or pJ ns."""
        latency, energy = self.timing.latency_ns, self.timing.energy_pj
        by_name = {"latency": latency, "energy": energy, "edp": latency * energy, "throughput": self.timing.period_ns}
        return by_name[objective]

    @property
    def error(self) -> float:
        """Of the predicted latency."""
        return self.solution["predicted_latency_ns"] / self.timing.latency_ns - 1


def unplaced(path: Path, target: str) -> ModuleOp:
    """A model for a chip, ready to be placed."""
    dims = {name: int(size) for name, _, size in (text.partition("=") for text in UNBOUND.get(path.stem, ()))}
    module = read_onnx(path, dims)
    run(module, build({"attach-chip": {"target": target}}, around("place-parts")[0]), new_context())
    return module


def placed(module: ModuleOp, strategy: str, objective: str, time_limit_s: float) -> Placed:
    """The plan of a strategy, simulated."""
    copy = module.clone()
    start = time.process_time()
    name, _, which = strategy.partition(":")
    PlaceParts(
        strategy=cast(Any, name),
        tier=which if name == "homogeneous" else None,
        seed=int(which) if name == "random" else None,
        objective=cast(Any, objective),
        time_limit=time_limit_s,
    ).apply(new_context(), copy)
    seconds = time.process_time() - start
    solution = cast(DictionaryAttr, copy.attributes[SOLUTION]).data
    for lower in (LowerToTile(), AssignArrays()):
        lower.apply(new_context(), copy)
    return Placed({key: _plain(value) for key, value in solution.items()}, simulate(copy), seconds)


def _plain(value: object) -> object:
    match value:
        case FloatAttr():
            return value.value.data
        case StringAttr():
            return value.data
        case _:
            return None


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return exp(fsum(map(log, values)) / len(values))


@dataclass
class Table:
    """What was found so far."""

    fine: bool
    errors: list[float]
    ratios: dict[tuple[str, str], list[float]]

    def add(self, name: str, module: ModuleOp, objective: str, time_limit_s: float, baselines: Sequence[str]) -> None:
        """Place a model for an objective with `exact`, on each tier alone, and with other strategies."""
        exact = placed(module, "exact", objective, time_limit_s)
        gap, score = exact.solution["gap"], exact.score(objective)
        fine = gap <= GAP and exact.seconds <= SECONDS and abs(exact.error) <= ERROR
        self.fine &= fine
        self.errors.append(abs(exact.error))
        row = (name, objective, f"{score:.6g}", f"{gap:.2%}", f"{exact.seconds:.1f}", f"{exact.error:+.2%}")
        kept = exact.solution["kept"]
        print(f"| {' | '.join(row)} | {kept}{'' if fine else ', MISSED'} |", flush=True)
        tiers = [f"homogeneous:{tier}" for tier in chip_from_ir(module).tiers]
        for strategy in (*tiers, *baselines):
            try:
                other = placed(module, strategy, objective, time_limit_s)
            except InputError:
                continue
            self.errors.append(abs(other.error))
            self.ratios.setdefault((strategy, objective), []).append(other.score(objective) / score)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="h3pimap")
    parser.add_argument("--objectives", default=",".join(OBJECTIVES), help="default: %(default)s")
    parser.add_argument("--baselines", default=",".join(BASELINES), help="default: %(default)s")
    parser.add_argument("--time-limit", type=float, default=60.0, help="of a solve, in seconds (default: %(default)g)")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(NAMES)}")
    arguments = parser.parse_args()
    # No plan is written: values that passes make are not needed after this.
    STORE.driver = "benchmarks"
    table = Table(True, [], {})
    print("| model | objective | simulated | gap | CPU seconds | error | kept |\n|---|---|---|---|---|---|---|")
    for name in arguments.names or NAMES:
        module = unplaced(models() / "topology" / f"{name}.onnx", arguments.target)
        for objective in arguments.objectives.split(","):
            table.add(name, module, objective, arguments.time_limit, arguments.baselines.split(","))
    print("\n| strategy | objective | times that of exact, geometric mean | least | models |\n|---|---|---|---|---|")
    for (strategy, objective), values in table.ratios.items():
        print(f"| {strategy} | {objective} | {mean(values):.3f} | {min(values):.3f} | {len(values)} |")
    median, worst = statistics.median(table.errors), max(table.errors)
    print(f"\nlatency of {len(table.errors)} plans, predicted: error {median:.2%} in the median, {worst:.2%} at worst")
    return 0 if table.fine else 1


if __name__ == "__main__":
    sys.exit(main())
