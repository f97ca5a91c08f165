"""Plans that keep a promise of accuracy, beside LionHeart and other baselines, on trained classifiers.

    H3C_MODELS=FOLDER python benchmarks/promises.py [--quick] [--chips lionheart,h3pimap] [--losses .5,1,2]
        [--objective latency] [--samples 300] [--rows FILE] [NAME ...]
    python benchmarks/promises.py --read FILE ...    the tables of such rows, without measuring

For each model, chip and loss allowed (percentage points of top-1) the plan of `exact` is found with calibration data
alone and then measured on the test split. A promise is *not refuted* if it is at least the test's mean loss less 1.645
standard errors of the finite data. LionHeart's search runs as published (10 chips a step, net loss of the calibration
data, keep or revert) with the chip's compensation and with the same trim as `exact`; the other baselines with the same
trim. Figures are simulated. Every plan's promise is that of the same rule on the same data that were kept back; a plan
*keeps* what was allowed if it promises no more and the test does not refute that. Passes are samples through the
network: of the search, and with the measurement of the promise, which every plan takes. Geometric means compare `exact`
with LionHeart where both keep it, with LionHeart held to it (all digital where it does not keep it), where the test
refutes neither, and with all digital. Exits with 1 if fewer than 95 % of the promises of `exact` hold.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import numpy as np
from measuring import models
from numpy.typing import NDArray
from promise_rows import HEAD, Row, line, report
from trained_models import DATA, TrainedModel
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.compiler.promise import Half, Promised, Wanted, halves
from h3c.compiler.promise_checks import Checks, Memo, plan_of
from h3c.compiler.promise_search import Search
from h3c.passes.place_parts import PlaceParts
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.quality.measure import Settings
from h3c.runtime_sim.quality.promise import net_loss
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.weights import STORE

Array = NDArray[Any]
QUICK = ("digits_mlp.legacy17.dynbatch", "digits_cnn.legacy17.dynbatch", "mnist_cntk", "ic_resnet8_fp32")
SHUFFLED, SEEDS = 5, 99
"""Seeds of what is drawn here: the order of samples, and the realisations on the test split."""
METHODS: Mapping[str, tuple[str, str | None]] = {
    "exact": ("exact", "offset"),
    "lionheart": ("lionheart", None),
    "lionheart, trimmed": ("lionheart", "offset"),
    "first-last-digital": ("first-last-digital", "offset"),
    "all-analog": ("all-analog", "offset"),
    "all-digital": ("all-digital", "offset"),
}
"""Strategy and compensation; None: the chip's own."""


@dataclass(frozen=True)
class Case:
    """A model on a chip, before it is placed, with its data."""

    name: str
    chip: str
    module: ModuleOp
    known: Half
    kept_back: Half
    test: Half
    ages: tuple[str, ...]
    repeats: int
    test_repeats: int
    objective: Any
    memo: Memo = field(default_factory=Memo)


def data_of(model: TrainedModel, samples: int) -> tuple[Half, Half]:
    """Calibration data, in a fixed random order, and at most so many samples of the test split."""
    x, labels = model.samples
    assert labels is not None
    file = np.load(model.path.parent / f"{DATA[model.family]}.npz")
    rng = np.random.default_rng(SHUFFLED)
    if "calib_idx" in file:
        chosen = np.isin(np.arange(len(x)), file["calib_idx"])
        calibration, x, labels = (x[chosen], labels[chosen]), x[~chosen], labels[~chosen]
    else:
        calibration = file["x_calib"], file["y_calib"]
    mixed = rng.permutation(len(calibration[0]))
    given = {model.input_name: calibration[0][mixed].astype(x.dtype)}
    some = rng.permutation(len(x))[:samples]
    return Half(given, calibration[1][mixed]), Half({model.input_name: x[some]}, labels[some])


def case(model: TrainedModel, chip: str, arguments: argparse.Namespace) -> Case:
    module = read_onnx(model.path, dict.fromkeys(model.open_dimensions, 1))
    run(module, build({"attach-chip": {"target": chip}}, around("place-parts")[0]), new_context())
    calibration, test = data_of(model, arguments.samples)
    split = halves(calibration.inputs, calibration.labels, 1)
    return Case(
        model.path.stem,
        chip,
        module,
        *split,
        test,
        tuple(arguments.ages.split(",")),
        arguments.repeats,
        arguments.test_repeats,
        arguments.objective,
    )


def on_test(on: Case, method: str, found: Promised, allowed: float) -> Row:
    """A plan on the test split, and simulated."""
    plan = plan_of(found.module)
    checks = Checks(on.test, "top1", memo=on.memo)
    quality = checks.mean(found.module, Settings(on.ages, on.test_repeats, seed=SEEDS))
    worst = max(on.ages, key=lambda age: net_loss(quality, age))
    flips = quality.ages[worst].flips or 0.0
    timing = simulate(plan)
    noisy = [name for name, tier in chip_from_ir(plan).tiers.items() if tier.noise is not None]
    return Row(
        on.name,
        on.chip,
        method,
        allowed,
        found.promise,
        net_loss(quality, worst),
        float(np.sqrt(flips / quality.samples)),
        timing.latency_ns,
        timing.energy_pj,
        sum(timing.tiers[name].mac_share for name in noisy),
        found.search_passes,
        found.passes,
        found.seconds,
    )


def row(on: Case, method: str, strategy: Any, compensation: Any, allowed: float) -> Row:
    """The plan of a strategy."""
    wanted = Wanted(on.ages, allowed, "top1", compensation, on.repeats)
    placing = PlaceParts(strategy=strategy, objective=on.objective)
    return on_test(on, method, Search(on.module, placing, on.known, on.kept_back, wanted, memo=on.memo).run(), allowed)


def rows(on: Case, allowed: float, methods: Sequence[str]) -> Iterator[Row]:
    for method in methods:
        yield row(on, method, *METHODS[method], allowed)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the four smallest float models")
    parser.add_argument("--chips", default="lionheart,h3pimap")
    parser.add_argument("--losses", default=".5,1,2", help="in percentage points")
    parser.add_argument("--ages", default="1s,1d,1y")
    parser.add_argument("--objective", default="latency", choices=("latency", "energy", "edp"))
    parser.add_argument("--samples", type=int, default=300, help="of the test split")
    parser.add_argument("--repeats", type=int, default=10, help="realisations that a promise is measured with")
    parser.add_argument("--test-repeats", type=int, default=5, help="realisations on the test split")
    parser.add_argument("--methods", help=f"of {'; '.join(METHODS)}: those wanted, separated by semicolons")
    parser.add_argument("--rows", type=Path, help="a file that rows are added to, one JSON object a line")
    parser.add_argument("--read", type=Path, nargs="+", help="only print the tables of such files' rows")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    STORE.driver = "promises.py"
    if arguments.read:
        return report([Row(**json.loads(text)) for path in arguments.read for text in path.read_text().splitlines()])
    print(HEAD, flush=True)
    found: list[Row] = []
    methods = arguments.methods.split(";") if arguments.methods else list(METHODS)
    folder = models() / "trained"
    named = arguments.names or (QUICK if arguments.quick else [path.stem for path in sorted(folder.glob("*.onnx"))])
    chosen = [TrainedModel(folder / f"{name}.onnx") for name in named]
    for model in chosen:
        if model.family not in DATA or model.family in ("tinygpt", "sww"):
            continue  # no classifier, or too few labels to promise anything
        for chip in arguments.chips.split(","):
            on = case(model, chip, arguments)
            for points in arguments.losses.split(","):
                for one in rows(on, float(points) / 100, methods):
                    found.append(one)
                    print(line(one), flush=True)
                    if arguments.rows is not None:
                        with arguments.rows.open("a") as file:
                            file.write(json.dumps(asdict(one)) + "\n")
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
