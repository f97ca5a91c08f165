"""Predicted against measured loss: how well losses by output rank placements, on trained models under noise.

    H3C_MODELS=FOLDER python benchmarks/loss_prediction.py [--placements 30] [--samples 32] [--inputs 16]
        [--compensation offset] [NAME ...]

For each model and chip: losses by output and tier are measured once (`--inputs` samples, 8 realisations, 8 groups),
then random placements, half with every operator whole on some tier, half with its outputs shared by two. The loss of a
placement is predicted by adding up, and measured on other inputs with fresh realisations. Exits with 1 if Spearman's
correlation is below 0.9 both for the mean squared error of logits and for the Kullback-Leibler divergence. MSE and
top-1 are shown beside their split-half correlation (ranks of measured losses on one half of the samples against the
other): where it is low, samples and realisations are too few to rank placements, whatever is predicted.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import numpy as np
from measuring import models
from numpy.typing import NDArray
from trained_models import DATA, TrainedModel
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.ir import SSAValue

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.dialects.h3 import ConvOp, PartAttr
from h3c.dialects.tile import JoinOp, MvmOp
from h3c.passes.assign_arrays import AssignArrays
from h3c.passes.lower_to_tile import LowerToTile
from h3c.passes.placement.losses import Losses
from h3c.passes.quality.sensitivity import STEPS, Effort, matrix_operators, measure_losses
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.noise.ages import parse_age
from h3c.runtime_sim.quality.difference import Difference, are_probabilities, as_shares
from h3c.runtime_sim.quality.realisations import COMPENSATION, NoisyPlan
from h3c.runtime_sim.quality.trim import set_trim
from h3c.runtime_sim.sessions import Each
from h3c.runtime_sim.weights import STORE

Array = NDArray[Any]
BAR = 0.9
AGE = "1d"


@dataclass(frozen=True)
class Data:
    """Inputs for sensitivities, others for the measurement, and their labels."""

    calibration: dict[str, Array]
    test: dict[str, Array]
    labels: Array | None


def before_placement(model: TrainedModel, chip: str) -> ModuleOp:
    """The model with its chip, up to the pass that places it."""
    module = read_onnx(model.path, dict.fromkeys(model.open_dimensions, 1))
    names = [name for name, _ in PIPELINE]
    run(module, build({"attach-chip": {"target": chip}}, names[: names.index("place-parts")]), new_context())
    return module


def data_of(model: TrainedModel, samples: int, inputs: int) -> Data:
    """Samples in a fixed random order: the first 32 or `inputs`, and as many others as asked for."""
    x, labels = model.samples
    order = np.random.default_rng(0).permutation(len(x))
    first = min(max(32, inputs), len(x) // 2)
    test = order[first : first + samples]
    return Data(
        {model.input_name: x[order[:first]]}, {model.input_name: x[test]}, None if labels is None else labels[test]
    )


def placements(module: ModuleOp, losses: Losses, count: int) -> Iterator[dict[int, Array]]:
    """For each operator the tier of each of its outputs: whole, or from some output on another tier."""
    draw = np.random.default_rng(1)
    operators = matrix_operators(module)
    for index in range(count):
        tiers: dict[int, Array] = {}
        share = draw.random()  # of operators on the tiers that lose something: from nearly digital to nearly analog
        for position, op in enumerate(operators):
            table = losses.by_output[position]
            usable = np.flatnonzero(np.isfinite(table).all(axis=1))
            lossy = usable[table[usable].sum(axis=1) > 1e-3 * table[usable].sum(axis=1).max()]
            clean = np.setdiff1d(usable, lossy)
            pool = lossy if len(lossy) and (draw.random() < share or not len(clean)) else clean
            chosen = np.full(op.outputs, draw.choice(pool))
            granule = op.outputs // op.window.groups.data if isinstance(op, ConvOp) else 1
            if index % 2 and op.outputs > granule:
                cut = granule * int(draw.integers(1, op.outputs // granule))
                chosen[cut:] = draw.choice(usable)
            tiers[position] = chosen
        yield tiers


def placed(module: ModuleOp, tiers: dict[int, Array]) -> ModuleOp:
    """The plan with each run of outputs on its tier."""
    names = list(chip_from_ir(module).tiers)
    copy = module.clone()
    for position, op in enumerate(matrix_operators(copy)):
        own = tiers[position]
        edges = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]
        op.parts = ArrayAttr([PartAttr.of(names[own[a]], a, b, copies=1, segment=0) for a, b in pairwise(edges)])
    for lower in (LowerToTile(), AssignArrays()):
        lower.apply(Context(), copy)
    return copy


class Watching(NoisyPlan):
    """Keeps the results of the last product, `logits`."""

    logits: Array

    def mvm(self, op: MvmOp) -> None:
        super().mvm(op)
        self._keep(op.result)

    def join(self, op: JoinOp) -> None:
        super().join(op)
        self._keep(op.result)

    def _keep(self, value: SSAValue) -> None:
        kept = self._values.get(value)
        if isinstance(kept, Each):
            self.logits = kept.array


def in_coarse_steps(outputs: Array) -> bool:
    """Whether outputs are probabilities in 256ths, which say nothing of most errors of the logits behind them."""
    shares = as_shares(outputs)
    return are_probabilities(shares) and np.array_equal(shares * STEPS, np.rint(shares * STEPS))


def measured(plan: ModuleOp, data: Data, output: str, clean: Watching, realisations: int) -> dict[str, Any]:
    """Means over realisations: squared error and divergence from the digital outputs, or what they are made of where
    these are quantised probabilities; and each sample's top-1 loss."""
    noisy, found, compared = Watching(plan, data.test, seed=1000), list[Array](), list[Array]()
    behind = in_coarse_steps(clean.plain[output])
    for r in range(realisations):
        found.append(noisy.realise(r, [parse_age(AGE)])[0][output])
        compared.append(noisy.logits if behind else found[-1])
    reference = clean.logits if behind else clean.plain[output]
    difference, top1 = Difference(reference), None
    if data.labels is not None:
        each_of = [clean.plain[output], *found]
        hits = np.stack([each.argmax(axis=-1) == data.labels for each in each_of]).astype(np.float64)
        top1 = (hits[0] - hits[1:].mean(axis=0)).reshape(len(found[0]), -1).mean(axis=1)
    every = np.concatenate(compared)
    halves = [
        Difference(reference[half::2]).relative_mse(np.concatenate([each[half::2] for each in compared])).mean()
        for half in (0, 1)
    ]
    found_mean = {"mse": difference.relative_mse(every).mean(), "kl": difference.kl(every).mean()}
    return {**found_mean, "halves": halves, "top1": top1}


def spearman(a: Any, b: Any) -> float:
    """Spearman's correlation, ties with their mean rank; NaN where one side is constant."""

    def ranks(values: Any) -> Array:
        _, inverse, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    ra, rb = ranks(a), ranks(b)
    return float(np.corrcoef(ra, rb)[0, 1]) if ra.std() and rb.std() else float("nan")


def row(model: TrainedModel, chip: str, arguments: argparse.Namespace) -> tuple[str, bool]:
    """A line of the table, and whether the bar is met."""
    start = time.process_time()
    module, data = before_placement(model, chip), data_of(model, arguments.samples, arguments.inputs)
    compensation = arguments.compensation
    if compensation is not None:
        module.attributes[COMPENSATION] = StringAttr(compensation)
        set_trim(module, data.calibration)
    sensitivity = measure_losses(
        module, data.calibration, [AGE], compensation, effort=Effort(inputs_used=arguments.inputs)
    )
    losses, output = sensitivity.losses, model.output_name
    digital = {position: np.full(op.outputs, _digital(module)) for position, op in enumerate(matrix_operators(module))}
    clean = Watching(placed(module, digital), data.test)
    predicted: list[float] = []
    found: list[dict[str, Any]] = []
    for tiers in placements(module, losses, arguments.placements):
        predicted.append(losses.loss(tiers))
        found.append(measured(placed(module, tiers), data, output, clean, arguments.realisations))
    mse, kl = (spearman(predicted, [each[key] for each in found]) for key in ("mse", "kl"))
    ratio = np.median([each["mse"] / p for each, p in zip(found, predicted, strict=True) if p > 0])
    own = spearman(*zip(*(each["halves"] for each in found), strict=True))
    top1 = "- | -"
    if data.labels is not None:
        losts = np.stack([each["top1"] for each in found])
        halves = spearman(losts[:, ::2].mean(axis=1), losts[:, 1::2].mean(axis=1))
        top1 = f"{spearman(predicted, losts.mean(axis=1)):.2f} | {halves:.2f}"
    spent = time.process_time() - start
    named = f"{model.path.stem} | {chip} | {len(clean.plain[output])}"
    line = f"| {named} | {mse:.3f} | {own:.2f} | {kl:.3f} | {top1} | {ratio:.2f} |"
    return f"{line} {sensitivity.passes:.0f} | {spent:.0f} |", max(mse, kl) >= BAR


def _digital(module: ModuleOp) -> int:
    return list(chip_from_ir(module).tiers).index("digital")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all that have data")
    parser.add_argument("--placements", type=int, default=30)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--inputs", type=int, default=16, help="that losses by output are measured on")
    parser.add_argument("--realisations", type=int, default=2)
    parser.add_argument("--compensation", choices=("none", "global", "offset"), help="default: what the chip says")
    parser.add_argument("--chips", nargs="+", default=["lionheart", "h3pimap"])
    arguments = parser.parse_args()
    STORE.driver = "loss_prediction"
    folder = models() / "trained"
    every = [path for path in sorted(folder.glob("*.onnx")) if TrainedModel(path).family in DATA]
    paths = [folder / f"{name}.onnx" for name in arguments.names] or every
    print("| model | chip | samples | MSE | halves | KL | top-1 | halves | measured / predicted | passes | CPU s |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    kept = True
    for path in paths:
        for chip in arguments.chips:
            line, good = row(TrainedModel(path), chip, arguments)
            kept = kept and good
            print(line + ("" if good else f" <- below {BAR}"), flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
