"""Co-design where chips have to be placed: mixes of technologies on 200 mm2, and searches that are killed.

    H3C_MODELS=/path/to/models python benchmarks/codesign_scale.py mixes [--step 0.25] [--rates 1000 ...]
    H3C_MODELS=/path/to/models python benchmarks/codesign_scale.py kills [--kills 10] [--budget 3300]

`mixes`: ResNet-50, MobileViT-S, GPT-2 and two layers of LLaMA2-7B, language models as prefill and as decode, off-chip
memory of each rate in GB/s. The best mix by the product of EDPs is found and proven, as far as placement goes, and held
against the largest chip of each technology. `kills`: h3c-codesign with the four-phase search of the RRAM space for four
networks, killed at random moments and run again on the same archive, must end as one that is not killed, and price
nothing twice.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from math import exp, isfinite, log
from pathlib import Path
from typing import Any

from measuring import models

from h3c.compiler.codesigning.archive import Archive
from h3c.compiler.codesigning.archived import Archived
from h3c.compiler.codesigning.best_first import proven_best
from h3c.compiler.codesigning.evaluators import Task
from h3c.compiler.codesigning.joint import AT_ONCE
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.placed import ModelFile, PlacedChips, Settings
from h3c.compiler.codesigning.placed_chips import Chips
from h3c.compiler.codesigning.space import Design, Space, Variable, set_field
from h3c.compiler.codesigning.space_files import load_space
from h3c.compiler.codesigning.staged_bound import LeastCosts
from h3c.compiler.codesigning.workers import engine_of
from h3c.runtime_sim.chip import chip_from_tree

CNNS = {"resnet50": "resnet50.legacy17", "mobilevit_s": "mobilevit_s.legacy17"}
LANGUAGE = {
    "prefill": {"gpt2": "gpt2_small.prefill.dynamo20", "llama2_2l": "llama2_7b_2l.prefill.dynamo20"},
    "decode": {"gpt2": "gpt2_small.decode.dynamo20", "llama2_2l": "llama2_7b_2l.decode.dynamo20"},
}
NETWORKS = {
    "resnet18": "resnet18.legacy17",
    "vgg16": "vgg16.legacy11",
    "alexnet": "alexnet.legacy17",
    "mobilenet_v3": "mobilenet_v3_large.legacy17",
}
PJ_PER_BIT = {1000.0: 3.9}
"""Of off-chip memory by rate in GB/s: HBM2 (accelergy). Others: LPDDR4's 8.0 (accelergy)."""
EDP = Objective("edp", "product")
AREA_MM2 = 200.0


@dataclass(frozen=True)
class Mix:
    """A chip with its EDP of each model in mJ ms, by placement."""

    design: Design
    edp: tuple[float, ...]

    @property
    def geomean(self) -> float:
        """The aggregate."""
        return exp(sum(map(log, self.edp)) / len(self.edp))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parts = parser.add_subparsers(dest="part", required=True)
    mixes = parts.add_parser("mixes")
    mixes.add_argument("--step", type=float, default=0.25, help="share of the area by which tiers grow")
    mixes.add_argument(
        "--only", nargs="+", type=steps, metavar="N,N,N,N", help="place these (steps of each), prove nothing"
    )
    mixes.add_argument("--rates", type=float, nargs="+", default=[1000.0, 200.0, 25.6], help="GB/s off chip")
    mixes.add_argument("--workloads", nargs="+", default=list(LANGUAGE), choices=list(LANGUAGE))
    mixes.add_argument("--time-limit", type=float, default=3.0, help="seconds for a model on a chip")
    mixes.add_argument("--archive", type=Path, help="keep and use evaluations")
    mixes.add_argument("--scheduler", default="local")
    mixes.add_argument("--workers", type=int)
    kills = parts.add_parser("kills")
    kills.add_argument("--kills", type=int, default=10)
    kills.add_argument("--budget", type=int, default=3300)
    arguments = parser.parse_args()
    return run_kills(arguments) if arguments.part == "kills" else run_mixes(arguments)


def run_mixes(arguments: argparse.Namespace) -> int:
    """A table for each workload and rate; 1 if a best mix is behind the best chip of a single technology."""
    start, status = time.perf_counter(), 0
    topology = models() / "topology"
    with tempfile.TemporaryDirectory() as folder, Archive(arguments.archive or Path(folder) / "a.sqlite") as archive:
        engine = engine_of(arguments.scheduler, arguments.workers)
        try:
            for workload in arguments.workloads:
                files = {**CNNS, **LANGUAGE[workload]}
                given = [ModelFile.of(name, topology / f"{file}.onnx") for name, file in files.items()]
                for rate in arguments.rates:
                    space = space_of(arguments.step, rate)
                    settings = Settings("edp", "exact", arguments.time_limit)
                    chips = PlacedChips(space, given, settings, engine)
                    status |= report(f"{workload}, {rate:g} GB/s", chips, archive, arguments.only)
                    print(f"({time.perf_counter() - start:.0f} s so far)\n", flush=True)
        finally:
            engine.close()
    return status


def report(title: str, chips: PlacedChips, archive: Archive, only: list[Design] | None) -> int:
    """Search, place, and print."""
    space, evaluator, singles = chips.space, Archived(chips, archive), corners(chips.space)
    evaluator.evaluate(singles)
    chosen, proven = only or [], ""
    if not only:
        least = LeastCosts(chips)
        found = proven_best(Task(least, EDP), Task(evaluator, EDP), AT_ONCE, least.of_products)
        assert found.visited is not None
        chosen = [space.design(number) for number in found.visited.number.tolist()]
        every = found.feasible * len(chips.models)
        proven = (
            f", the best of {found.feasible} proven with {evaluator.found + evaluator.priced} of {every} placements"
        )
    chosen = list(dict.fromkeys([*singles, *chosen]))
    scores = evaluator.evaluate(chosen)
    edps = (scores.energy_pj * scores.latency_ns * 1e-15).T.tolist()
    mixes = {design: Mix(design, tuple(row)) for design, row in zip(chosen, edps, strict=True)}
    best = min(mixes.values(), key=lambda mix: mix.geomean if isfinite(mix.geomean) else float("inf"))
    single = min((mixes[design] for design in singles), key=lambda mix: mix.geomean)
    by_sum = min(mixes.values(), key=lambda mix: sum(mix.edp))
    single_by_sum = min((mixes[design] for design in singles), key=lambda mix: sum(mix.edp))
    print(f"### {title}: {len(chosen)} mixes placed whole{proven}\n")
    print("| chip | geomean EDP, mJ ms |" + "".join(f" {name} |" for name in chips.models))
    print("|---|---|" + "---|" * len(chips.models))
    for mix in sorted(mixes.values(), key=lambda mix: mix.geomean):
        row = "".join(f" {edp:.3g} |" for edp in mix.edp)
        print(f"| {told(space, mix.design)} | {mix.geomean:.4g} |{row}")
    per_model = ", ".join(f"{n} {a / b:.2f}" for n, a, b in zip(chips.models, single.edp, best.edp, strict=True))
    print(
        f"\nbest single technology {told(space, single.design)}, best {told(space, best.design)}: gain "
        f"{single.geomean / best.geomean:.3f} ({per_model}); of the sum of EDP "
        f"{sum(single_by_sum.edp) / sum(by_sum.edp):.3f}."
    )
    for (model, design), reason in evaluator.reasons.items():
        print(f"{model} on {told(space, design)}: {reason}")
    return int(best.geomean > single.geomean * (1 + 1e-9))


def steps(text: str) -> Design:
    """`N,N,N,N` of `--only`."""
    return tuple(map(int, text.split(",")))


def space_of(step: float, gb_per_s: float) -> Space:
    """The built-in space with tiers that grow by `step` of the area, over this off-chip memory."""
    space = load_space("heterogeneous")
    tree: dict[str, Any] = {**space.tree, "dram": dict(space.tree["dram"])}
    for path in ("read_bytes_per_ns", "write_bytes_per_ns"):
        set_field(tree, ("dram", path), gb_per_s)
    set_field(tree, ("dram", "energy_pj_per_bit"), PJ_PER_BIT.get(gb_per_s, 8.0))
    variables = space.variables if step == 0.25 else tuple(stepped(space, step))
    return replace(space, tree=tree, base=chip_from_tree(tree, "heterogeneous"), variables=variables)


def stepped(space: Space, step: float) -> list[Variable]:
    """The variables with the most tiles that fit into each multiple of `step` of what the tiers have of the area."""
    chips, result = Chips(space), list[Variable]()
    room = AREA_MM2 - float(chips.figures([(0,) * len(space.shape)])["area_mm2"][0])
    for place, variable in enumerate(space.variables):
        unit = 16 if variable.path[-1] == "arrays" else 1
        ends = [tuple(at if p == place else 0 for p in range(len(space.shape))) for at in (1, 4)]
        low, high = (float(area) for area in chips.figures(ends)[f"{variable.path[1]}_area_mm2"])
        first, last = int(variable.values[1]), int(variable.values[4])
        each = (high - low) / (last - first)
        shares = [step * number for number in range(1, round(1 / step) + 1)]
        counts = [int((share * room - low + each * first) / each / unit + 1e-9) * unit for share in shares]
        values = (0, *(count for count in dict.fromkeys(counts) if count > 0))
        result.append(Variable(variable.name, variable.path, values))
    return result


def corners(space: Space) -> list[Design]:
    """The largest chip of each technology alone."""
    return [
        tuple(count - 1 if p == place else 0 for p, count in enumerate(space.shape))
        for place in range(len(space.shape))
    ]


def told(space: Space, design: Design) -> str:
    """The area of each technology in percent of that of all steps, and their names."""
    shares = [(v.path[1], i / (len(v.values) - 1)) for v, i in zip(space.variables, design, strict=True) if i]
    return " + ".join(f"{share:.0%} {name}" for name, share in shares) or "digital alone"


def run_kills(arguments: argparse.Namespace) -> int:
    """Kill, run again, compare; 1 if anything was lost or the answer is another one."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        searching(folder, "alone", arguments.budget).wait()
        seconds = time.perf_counter() - began
        kept: list[int] = []
        while len(kept) < arguments.kills:
            # Kills are spread over the search: each at a random moment of a share of its own.
            target = (len(kept) + rng.random()) / (arguments.kills + 1) * arguments.budget * len(NETWORKS)
            run = searching(folder, "killed", arguments.budget)
            with Archive(folder / "killed.sqlite") as archive:
                while len(archive) < target and run.poll() is None:
                    time.sleep(0.001)
                time.sleep(rng.random() * 0.02)
                run.send_signal(signal.SIGKILL)
                run.wait()
                kept.append(len(archive))
        searching(folder, "killed", arguments.budget).wait()
        wanted, found = (json.loads((folder / f"{one}.json").read_text()) for one in ("alone", "killed"))
        chips = [(folder / f"{one}.yaml").read_bytes() for one in ("alone", "killed")]
    prices = found.pop("prices")
    made = wanted.pop("prices")["made"]
    print(f"a search of {arguments.budget} chips, {seconds:.1f} s; killed {len(kept)} times")
    print(f"prices in the archive after each kill: {', '.join(map(str, kept))}")
    print(f"found by the last run: {prices['found']}, made by it: {prices['made']}")
    same = {**found, "seconds": 0} == {**wanted, "seconds": 0} and chips[0] == chips[1]
    whole = kept == sorted(kept) and prices["found"] == kept[-1] and prices["found"] + prices["made"] == made
    print(f"same answer: {same}; nothing lost: {whole}")
    return int(not (same and whole))


def searching(folder: Path, name: str, budget: int) -> "subprocess.Popen[bytes]":
    """The command in a process of its own; its archive, chip and summary are called `name`."""
    topology = models() / "topology"
    words: list[object] = [Path(sys.executable).with_name("h3c-codesign"), "--quiet", "--space", "imc-rram"]
    words += [f"{network}={topology / f'{file}.onnx'}" for network, file in NETWORKS.items()]
    words += ["--search", "evolutionary", "--budget", budget, "--archive", f"{name}.sqlite"]
    words += ["-o", f"{name}.yaml", "--summary", f"{name}.json"]
    return subprocess.Popen(list(map(str, words)), cwd=folder)


if __name__ == "__main__":
    sys.exit(main())
