"""The trained character model on h3pimap: H3PIMAP's two stages against `exact`, at equal measured perplexity.

    H3C_MODELS=FOLDER python benchmarks/language_promise.py [--budgets .01,.03] [--windows 12] [--repeats 4]

Losses of outputs by tier are measured once, on calibration text, and given to both. For each budget of predicted loss
(relative mean squared error of the logits) strategy `h3pimap` makes a plan, whose perplexity is measured on test text
under noise, one day old. `exact` is solved under the same budget and, where its plan measures worse, under ever smaller
ones. Latency and energy are simulated; seconds are CPU time of the search, without the measurements that both share.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import numpy as np
from measuring import models
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.place_parts import PlaceParts
from h3c.passes.placement.losses import Losses
from h3c.passes.quality.sensitivity import measure_losses
from h3c.runtime_sim.quality.measure import Settings, measure
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.weights import STORE

MODEL, CHIP, AGE = "tinygpt.legacy17", "h3pimap", "1d"
SMALLER, TRIES = 0.7, 8
"""How `exact`'s budget shrinks while its plan measures worse."""


@dataclass(frozen=True)
class Text:
    """Windows of tokens by the model's name for them, and the tokens that follow."""

    inputs: dict[str, np.ndarray]
    labels: np.ndarray


@dataclass(frozen=True)
class Measured:
    """A plan's perplexity with its 95 % interval, its figures and the CPU seconds of its search."""

    perplexity: float
    ci95: float
    latency_us: float
    energy_uj: float
    seconds: float


def measured(placed: ModuleOp, text: Text, repeats: int, seconds: float) -> Measured:
    plan = placed.clone()
    run(plan, build({}, around("place-parts")[1]), new_context())
    quality = measure(plan, text.inputs, text.labels, Settings((AGE,), repeats, "perplexity", seed=7))
    timing, at = simulate(plan), quality.ages[AGE]
    return Measured(at.mean, at.ci95, timing.latency_ns / 1e3, timing.energy_pj / 1e6, seconds)


def found_by(strategy: Any, module: ModuleOp, losses: Losses, budget: float, text: Text, repeats: int) -> Measured:
    start, placed = time.process_time(), module.clone()
    PlaceParts(strategy=strategy, time_limit=600.0).place(placed, losses, budget)
    return measured(placed, text, repeats, time.process_time() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budgets", default=".01,.03")
    parser.add_argument("--windows", type=int, default=12, help="of test text")
    parser.add_argument("--repeats", type=int, default=4, help="realisations")
    arguments = parser.parse_args()
    STORE.driver = "language_promise.py"
    path = models() / "trained" / f"{MODEL}.onnx"
    import onnx

    given = onnx.load(path).graph.input[0]
    dims = {dim.dim_param for dim in given.type.tensor_type.shape.dim if dim.dim_param}
    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
    module = read_onnx(path, dict.fromkeys(dims, 1))
    run(module, build({"attach-chip": {"target": CHIP}}, around("place-parts")[0]), new_context())
    file = np.load(path.parent / "tinygpt_text.npz")
    tokens = file["test_tokens"][: arguments.windows]
    text = Text({given.name: tokens[:, :-1].astype(dtype)}, tokens[:, 1:])
    found = measure_losses(module, {given.name: file["calib_tokens"][:32, :-1].astype(dtype)}, (AGE,))
    print(f"losses: {found.passes:.0f} passes, {found.seconds:.0f} CPU s", flush=True)
    print("| budget | strategy | perplexity | +- | latency us | energy uJ | CPU s |\n|---|---|---|---|---|---|---|")

    def row(budget: float, name: str, one: Measured) -> None:
        figures = f"{one.perplexity:.4f} | {one.ci95:.4f} | {one.latency_us:.4g} | {one.energy_uj:.4g}"
        print(f"| {budget:.3g} | {name} | {figures} | {one.seconds:.1f} |", flush=True)

    for budget in (float(each) for each in arguments.budgets.split(",")):
        theirs = found_by("h3pimap", module, found.losses, budget, text, arguments.repeats)
        row(budget, "h3pimap", theirs)
        ours = found_by("exact", module, found.losses, budget, text, arguments.repeats)
        row(budget, "exact", ours)
        for _ in range(TRIES):
            if ours.perplexity <= theirs.perplexity:
                break
            budget *= SMALLER
            ours = found_by("exact", module, found.losses, budget, text, arguments.repeats)
            row(budget, "exact", ours)
        told = (f"{getattr(ours, key) / getattr(theirs, key):.3f}" for key in ("latency_us", "energy_uj", "seconds"))
        print("exact / h3pimap: latency {}, energy {}, search time {}".format(*told), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
