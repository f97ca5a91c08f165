"""Co-design on the published spaces: proven optima, baselines, and how near searches come to the optimum.

    H3C_MODELS=/path/to/models python benchmarks/codesign.py [optima] [baselines] [search] [--seeds 20]

Networks are those of arXiv 2603.03880, four or nine; energy in mJ, latency in ms, area in mm2, CPU time of this
process. `optima` holds the best chips against those that an independent prototype found, which had constants of another
fit to the same archive, so that scores may differ by some per cent. Exits with 1 where a space takes over 5 minutes
or the process 1 GiB, or where the four-phase search is not within 2 % of the optimum in the median.
"""

import argparse
import resource
import sys
from collections.abc import Callable
from time import process_time

import numpy as np
from codesign_networks import FOUR, NINE, networks
from codesign_published import anywhere, plain, published
from measuring import models

from h3c.compiler.codesigning.baselines import NAMES, Baseline, baseline, reductions
from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.evaluators import Task
from h3c.compiler.codesigning.evolutionary import BUDGET, four_phases, nsga2, random_chips
from h3c.compiler.codesigning.exhaustive import all_feasible, exhaustive
from h3c.compiler.codesigning.objectives import TERMS, Objective
from h3c.compiler.codesigning.pareto import front
from h3c.compiler.codesigning.ranking import Found
from h3c.compiler.codesigning.report import per_model
from h3c.compiler.codesigning.space import Design
from h3c.compiler.codesigning.space_files import load_space
from h3c.runtime_sim.imc.layers import Layers
from h3c.runtime_sim.weights import STORE

MOST_SECONDS, MOST_MIB, MOST_DISTANCE = 300.0, 1024.0, 0.02
FORMS = ("max", "mean", "product")
CASES = {
    "RRAM, 4": ("imc-rram", FOUR),
    "SRAM small, 4": ("imc-sram", FOUR),
    "SRAM large, 4": ("imc-sram-large", FOUR),
    "SRAM large, 9": ("imc-sram-large", NINE),
    "SRAM nodes, 4": ("imc-sram-nodes", FOUR),
}
RRAM_BEST = (0.5, 8, 1, 512, 32, 32, 64, 8, 2048)
PROTOTYPE = {
    ("RRAM, 4", "max"): (RRAM_BEST, 1.07241),
    ("RRAM, 4", "mean"): (RRAM_BEST, 0.14424),
    ("RRAM, 4", "product"): (RRAM_BEST, 7.679e-15),
    ("SRAM small, 4", "max"): ((0.55, 1, 256, 256, 6, 8, 16, 4096), 7.41778),
    ("SRAM small, 4", "mean"): ((0.6, 1, 256, 128, 6, 2, 16, 4096), 1.27408),
    ("SRAM small, 4", "product"): ((0.55, 1, 256, 256, 4, 32, 16, 4096), 3.946e-9),
    ("SRAM large, 4", "max"): ((0.6, 1, 512, 128, 1, 32, 32, 4096), 5.36153),
    ("SRAM large, 4", "mean"): ((0.6, 1, 512, 128, 6, 2, 32, 4096), 0.988665),
    ("SRAM large, 4", "product"): ((0.55, 1, 512, 256, 6, 16, 16, 4096), 3.860e-9),
    ("SRAM large, 9", "max"): ((0.5, 1, 512, 512, 6, 2, 32, 4096), 53.6007),
    ("SRAM large, 9", "mean"): ((0.55, 1, 512, 256, 1, 4, 64, 4096), 3.45221),
    ("SRAM large, 9", "product"): ((0.5, 1, 256, 512, 6, 4, 64, 4096), 5.887e-19),
}
"""Best chip and score of a prototype with constants fitted on other designs of the archive."""
SEARCHED = ("RRAM, 4", "SRAM small, 4", "SRAM large, 9")


def form_of(case: str, listed: dict[str, Layers]) -> ClosedForm:
    """The space and the networks of a case."""
    space, names = CASES[case]
    return ClosedForm(load_space(space), {name: listed[name] for name in names})


def best(form: ClosedForm, found: Found) -> Design:
    """The best chip."""
    return form.space.design(int(found.top.number[0]))


def optima(listed: dict[str, Layers]) -> bool:
    """Print the proven optima; whether time is kept."""
    kept = True
    print(
        "| case, form | chip | mm2 | score | prototype | within 2 / 5 / 10 % | feasible | CPU s |\n" + "|---" * 8 + "|"
    )
    for case in CASES:
        form = form_of(case, listed)
        for over in FORMS:
            start = process_time()
            found = exhaustive(form, Objective("edap", over))
            seconds = process_time() - start
            kept &= seconds <= MOST_SECONDS
            chip = tuple(form.space.values(best(form, found)).values())
            score = float(found.top.score[0])
            told = "-"
            if (case, over) in PROTOTYPE:
                same, old = PROTOTYPE[case, over]
                told = f"{old:g} ({score / old - 1:+.1%}), {'same' if chip == same else 'another'} chip"
            near = " / ".join(f"{count}" for count in found.within.values())
            cells = (f"{case}, {over}", f"{chip}", f"{found.top.area_mm2[0]:.1f}", f"{score:.6g}", told, near)
            print(f"| {' | '.join(cells)} | {found.feasible} | {seconds:.2f} |", flush=True)
    print(
        "\n| case | all other objectives and forms, CPU s | front, max | CPU s | front, mean | CPU s |\n"
        + "|---" * 6
        + "|"
    )
    for case in CASES:
        form = form_of(case, listed)
        kinds = [kind for kind in TERMS if kind != "edap" and ("cost" not in kind or "cost" in form.space.figures)]
        start = process_time()
        for over in FORMS:
            for kind in kinds:
                exhaustive(form, Objective(kind, over))
        cells = [case, f"{process_time() - start:.1f} ({len(FORMS) * len(kinds)})"]
        for over in FORMS[:2]:
            start = process_time()
            chips, _ = front(all_feasible(form, Objective("edap", over)))
            cells += [str(len(chips)), f"{process_time() - start:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return kept


def baselines(listed: dict[str, Layers]) -> bool:
    """Print what the joint chip saves against each baseline."""
    print("\nPublished: up to 76.2 % (4 networks) and 95.5 % (9), baseline, memory and network not said; against the")
    print("largest model's chip 36, 36, 20, 69 % (resnet18, vgg16, alexnet, mobilenet_v3).\n")
    print("| case, form | baseline | mm2 | score | joint less by | by network |\n" + "|---" * 6 + "|")
    for case in CASES:
        form = form_of(case, listed)
        for over in FORMS[:2]:
            objective = Objective("edap", over)
            found = exhaustive(form, objective)
            joint = own_scores(form, objective, dict.fromkeys(form.models, best(form, found)))
            for name in NAMES:
                if name.endswith(":alone") and CASES[case][0] != "imc-rram":
                    continue  # capacity is off: the same as without
                other = baseline(name, form, objective, exhaustive)
                less = reductions(joint, own_scores(form, objective, other.designs))
                told = " ".join(f"{100 * share:.1f}" for share in less.values())
                print(f"| {case}, {over} | {name} | {of_chip(other, float(found.top.score[0]))} | {told} |", flush=True)
    return True


def of_chip(other: Baseline, score: float) -> str:
    """Area and score of a baseline's chip, and how much less the joint score is."""
    if other.judged is None:
        return "- | - | -"
    area, theirs = float(other.judged.area_mm2[0]), float(other.judged.score[0])
    broken = "" if other.judged.feasible[0] else ", breaks constraints"
    return f"{area:.1f}{broken} | {theirs:.4g} | {1 - score / theirs:.1%}"


def own_scores(form: ClosedForm, objective: Objective, designs: dict[str, Design]) -> dict[str, float]:
    """The product of each network alone on its chip."""
    task = Task(form, objective)
    return {name: per_model(form, task, design)[name]["score"] for name, design in designs.items()}


def searches(listed: dict[str, Layers], seeds: int) -> bool:
    """Print how far from the proven optimum each search ends, at the published budget; whether ours is near."""
    runs: dict[str, Callable[[Task, int], float]] = {
        "four phases, corrected": lambda task, seed: float(four_phases(task, BUDGET, seed).top.score[0]),
        "NSGA-II": lambda task, seed: float(nsga2(task, BUDGET, seed).top.score[0]),
        "random, feasible": lambda task, seed: float(random_chips(task, BUDGET, seed).top.score[0]),
        "random, anywhere": lambda task, seed: anywhere(task, BUDGET, seed),
        "plain GA": lambda task, seed: plain(task, BUDGET, seed),
        "published, none fail": lambda task, seed: published(task, BUDGET, seed, 0.0),
        "published, 30 % fail": lambda task, seed: published(task, BUDGET, seed, 0.3),
        "published, 60 % fail": lambda task, seed: published(task, BUDGET, seed, 0.6),
    }
    kept = True
    print(f"\nDistance to the proven optimum (edap, max) at {BUDGET} chips, {seeds} seeds: per cent\n")
    print("| case | search | median | 90th percentile | worst | within 2 % | CPU s a run |\n" + "|---" * 7 + "|")
    for case in SEARCHED:
        task = Task(form_of(case, listed), Objective("edap"))
        assert isinstance(task.evaluator, ClosedForm)
        least = float(exhaustive(task.evaluator, task.objective).top.score[0])
        for name, run in runs.items():
            start = process_time()
            far = np.array([run(task, seed) / least - 1 for seed in range(1, seeds + 1)])
            seconds = (process_time() - start) / seeds
            if name.startswith("four phases"):
                kept &= float(np.median(far)) <= MOST_DISTANCE
            cells = [f"{100 * value:.2f}" for value in (np.median(far), np.quantile(far, 0.9), far.max())]
            near = int(np.count_nonzero(far <= MOST_DISTANCE))
            print(f"| {case} | {name} | {' | '.join(cells)} | {near} of {seeds} | {seconds:.1f} |", flush=True)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="optima|baselines|search", help="what to measure (default: all)")
    parser.add_argument("--seeds", type=int, default=20, help="runs of each search (default: %(default)s)")
    arguments = parser.parse_args()
    parts = arguments.parts or ["optima", "baselines", "search"]
    STORE.driver = "benchmarks"
    listed = networks(models() / "topology", NINE)
    kept = True
    if "optima" in parts:
        kept &= optima(listed)
    if "baselines" in parts:
        kept &= baselines(listed)
    if "search" in parts:
        kept &= searches(listed, arguments.seeds)
    unit = 1 if sys.platform == "darwin" else 1024  # as in measuring.py
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    print(f"\npeak memory {peak:.0f} MiB")
    return 0 if kept and peak <= MOST_MIB else 1


if __name__ == "__main__":
    sys.exit(main())
