"""Plans that keep a promise of accuracy, beside LionHeart and other baselines, on trained classifiers.

    H3C_MODELS=FOLDER python benchmarks/promises.py [--quick] [--chips lionheart,h3pimap] [--losses .5,1,2]
        [--objective latency] [--samples 300] [NAME ...]

For each model, chip and loss allowed (percentage points of top-1) the plan of `exact` is found with calibration data
alone and then measured on the test split. A promise is *not refuted* if it is at least the test's mean loss less 1.645
standard errors of the finite data. LionHeart's search runs as published (net loss of the calibration data, keep or
revert) with the chip's compensation and with the same trim as `exact`; the other baselines with the same trim. Figures
are simulated. Every plan's promise is that of the same rule on the same data that were kept back; a plan *keeps* what
was allowed if it promises no more and the test does not refute that. Geometric means compare `exact` with LionHeart
where both keep it, with LionHeart held to it (all digital where it does not keep it), where the test refutes neither,
and with all digital. Exits with 1 if fewer than 95 % of the promises of `exact` hold.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any, Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import numpy as np
from measuring import models
from numpy.typing import NDArray
from trained_models import DATA, TrainedModel
from xdsl.dialects.builtin import ModuleOp, StringAttr

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.compiler.promise import TRIMMED_WITH, Half, Search, Wanted, halves
from h3c.passes.place_parts import PlaceParts, give_parts, make_problem
from h3c.passes.placement.mixed import lionheart
from h3c.passes.placement.problem import Plan, Problem
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.noise.ages import parse_age
from h3c.runtime_sim.quality.measure import Settings, measure
from h3c.runtime_sim.quality.promise import net_loss, promised_loss
from h3c.runtime_sim.quality.realisations import COMPENSATION
from h3c.runtime_sim.quality.trim import set_trim
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.weights import STORE

Array = NDArray[Any]
QUICK = ("digits_mlp.legacy17.dynbatch", "digits_cnn.legacy17.dynbatch", "mnist_cntk", "ic_resnet8_fp32")
SHUFFLED, SEEDS = 5, 99
"""Seeds of what is drawn here: the order of samples, and the realisations on the test split."""
REFUTED = 1.645
HOLD = 0.95
BASELINES = ("first-last-digital", "all-analog", "all-digital")
COLUMNS = [
    "model",
    "chip",
    "allowed",
    "method",
    "promise",
    "test",
    "se",
    "holds",
    "latency_us",
    "energy_uj",
    "analog",
    "passes",
    "cpu_s",
]


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
    objective: Any


@dataclass(frozen=True)
class Row:
    """One plan: what it promises, loses on the test split, and takes."""

    method: str
    allowed: float
    promise: float
    test: float
    error: float
    latency_ns: float
    energy_pj: float
    analog: float
    passes: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the test does not refute what the plan was allowed, or promised, whichever is more."""
        return max(self.promise, self.allowed) >= self.test - REFUTED * self.error

    @property
    def promise_holds(self) -> bool:
        return self.promise >= self.test - REFUTED * self.error

    @property
    def keeps(self) -> bool:
        return self.promise <= self.allowed and self.allowed >= self.test - REFUTED * self.error


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
        arguments.objective,
    )


def measured(on: Case, method: str, placed: ModuleOp, allowed: float, promise: float, took: tuple[float, float]) -> Row:
    """A placed module on the test split, and simulated."""
    plan = placed.clone()
    run(plan, build({}, around("place-parts")[1]), new_context())
    settings = Settings(on.ages, on.repeats, "top1", seed=SEEDS)
    quality = measure(plan, on.test.inputs, on.test.labels, settings)
    worst = max(on.ages, key=lambda age: net_loss(quality, age))
    flips = quality.ages[worst].flips or 0.0
    timing = simulate(plan)
    noisy = [name for name, tier in chip_from_ir(plan).tiers.items() if tier.noise is not None]
    return Row(
        method,
        allowed,
        promise,
        net_loss(quality, worst),
        float(np.sqrt(flips / quality.samples)),
        timing.latency_ns,
        timing.energy_pj,
        sum(timing.tiers[name].mac_share for name in noisy),
        *took,
    )


def ours(on: Case, strategy: Any, allowed: float) -> Row:
    """A plan of `exact`, or of a baseline with the same trim."""
    wanted = Wanted(on.ages, allowed, "top1", "offset", on.repeats)
    placing = PlaceParts(strategy=strategy, objective=on.objective)
    found = Search(on.module, placing, on.known, on.kept_back, wanted).run()
    return measured(on, strategy, found.module, allowed, found.promise, (found.passes, found.seconds))


def greedy(on: Case, allowed: float, trimmed: bool) -> Row:
    """LionHeart's search with the whole calibration data, keeping an operator analog while the mean loss is allowed."""
    start, passes = time.process_time(), 0.0
    module = on.module.clone()
    chip = chip_from_ir(module)
    if trimmed:
        module.attributes[COMPENSATION] = StringAttr("offset")
        set_trim(module, {name: array[:TRIMMED_WITH] for name, array in on.known.inputs.items()})
    operators, products, problem = make_problem(module, chip, on.objective, 8, "homogeneous")
    inputs = {name: np.concatenate([on.known.inputs[name], on.kept_back.inputs[name]]) for name in on.known.inputs}
    assert on.known.labels is not None
    assert on.kept_back.labels is not None
    labels = np.concatenate([on.known.labels, on.kept_back.labels])
    oldest = max(on.ages, key=parse_age)

    def loss_of(trial: Problem, plan: Plan) -> float:
        nonlocal passes
        give_parts(operators, trial, plan, chip)
        lowered = module.clone()
        run(lowered, build({}, BETWEEN), new_context())
        quality = measure(lowered, inputs, labels, Settings((oldest,), 4, "top1", seed=1))
        passes += 4 * (len(labels) + TRIMMED_WITH * trimmed)
        return net_loss(quality, oldest)

    tiers = list(chip.tiers)
    noisy = [i for i, tier in enumerate(chip.tiers.values()) if tier.noise is not None]
    macs = [product.macs() for product in products]
    found = lionheart(problem, noisy, tiers.index("digital"), macs, loss_of, allowed, 30.0)
    give_parts(operators, found.problem, found.plan, chip)
    name = "lionheart, trimmed" if trimmed else "lionheart"
    placed = ours_solution(on, module)
    took = passes, time.process_time() - start
    lowered = placed.clone()
    run(lowered, build({}, BETWEEN), new_context())
    own = measure(lowered, on.kept_back.inputs, on.kept_back.labels, Settings(on.ages, on.repeats, "top1", seed=2))
    return measured(on, name, placed, allowed, promised_loss(own), took)


BETWEEN = ("lower-to-tile", "assign-arrays")


def ours_solution(on: Case, module: ModuleOp) -> ModuleOp:
    """The module with an `h3.solution`, which plans have: that of the digital plan, whose figures are not read."""
    copy = on.module.clone()
    PlaceParts(strategy="all-digital", objective=on.objective).place(copy)
    module.attributes["h3.solution"] = copy.attributes["h3.solution"]
    return module


def rows(on: Case, allowed: float) -> Iterator[Row]:
    yield ours(on, "exact", allowed)
    yield greedy(on, allowed, trimmed=False)
    yield greedy(on, allowed, trimmed=True)
    for strategy in BASELINES:
        yield ours(on, strategy, allowed)


def line(on: Case, allowed: float, row: Row) -> str:
    shares = (f"{100 * value:.2f}" for value in (row.promise, row.test, row.error))
    figures = (f"{row.latency_ns / 1e3:.4g}", f"{row.energy_pj / 1e6:.4g}", f"{row.analog:.2f}")
    took = (f"{row.passes:.0f}", f"{row.seconds:.0f}")
    held = "yes" if row.promise_holds else "no"
    return f"| {' | '.join((on.name, on.chip, f'{100 * allowed:g}', row.method, *shares, held, *figures, *took))} |"


def geometric(values: list[float]) -> str:
    return f"{exp(sum(map(log, values)) / len(values)):.3f} of {len(values)}" if values else "none"


def ratios(cells: list[Mapping[str, Row]], base: str, rule: Literal["kept", "held", "unrefuted"]) -> str:
    """Latency, energy and passes of exact over a baseline's, as geometric means over cells.

    `kept`: where both keep what was allowed; `held`: a baseline that does not is all digital; `unrefuted`: where the
    test refutes neither.
    """
    pairs: list[tuple[Row, Row]] = []
    for cell in cells:
        mine, other = cell["exact"], cell[base]
        if rule == "held" and not other.keeps:
            other = replace(cell["all-digital"], passes=other.passes)
        good = mine.holds and other.holds if rule == "unrefuted" else mine.keeps and other.keeps
        if good:
            pairs.append((mine, other))
    told = [
        f"{name} {geometric([getattr(a, key) / getattr(b, key) for a, b in pairs if getattr(b, key) > 0])}"
        for name, key in (("latency", "latency_ns"), ("energy", "energy_pj"), ("passes", "passes"))
    ]
    return ", ".join(told)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the four smallest float models")
    parser.add_argument("--chips", default="lionheart,h3pimap")
    parser.add_argument("--losses", default=".5,1,2", help="in percentage points")
    parser.add_argument("--ages", default="1s,1d,1y")
    parser.add_argument("--objective", default="latency", choices=("latency", "energy", "edp"))
    parser.add_argument("--samples", type=int, default=300, help="of the test split")
    parser.add_argument("--repeats", type=int, default=10, help="realisations")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    STORE.driver = "promises.py"
    folder = models() / "trained"
    named = arguments.names or (QUICK if arguments.quick else [path.stem for path in sorted(folder.glob("*.onnx"))])
    chosen = [TrainedModel(folder / f"{name}.onnx") for name in named]
    chosen = [model for model in chosen if model.family in DATA and model.family not in ("tinygpt", "sww")]
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    cells: list[Mapping[str, Row]] = []
    for model in chosen:
        for chip in arguments.chips.split(","):
            on = case(model, chip, arguments)
            for points in arguments.losses.split(","):
                cell: dict[str, Row] = {}
                for row in rows(on, float(points) / 100):
                    cell[row.method] = row
                    print(line(on, float(points) / 100, row), flush=True)
                cells.append(cell)
    for base in ("lionheart", "lionheart, trimmed"):
        print(f"exact / {base}, where both keep it: {ratios(cells, base, 'kept')}")
        print(f"exact / {base}, held to it: {ratios(cells, base, 'held')}")
        print(f"exact / {base}, where the test refutes neither: {ratios(cells, base, 'unrefuted')}")
    print(f"exact / all-digital: {ratios(cells, 'all-digital', 'kept')}")
    kept = [cell["exact"].promise_holds for cell in cells]
    print(f"promises of exact not refuted: {sum(kept)} of {len(kept)}")
    return 0 if sum(kept) >= HOLD * len(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
