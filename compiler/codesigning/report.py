"""The answer of a search: as JSON, as text for people, as a chip file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import yaml

from ..front import table
from ..summary import energy_text, time_text
from .archived import Archived
from .baselines import Baseline, reductions
from .evaluators import Evaluator, Task, figures_of
from .objectives import NS_IN_MS, PJ_IN_MJ
from .pareto import Front
from .quality import Measuring
from .ranking import Found
from .space import Design, Space
from .staged import Staged
from .study import Study

Summary = dict[str, Any]
FRONT_COLUMNS = ("energy_mj", "latency_ms", "area_mm2", "loss")
"""Of a front file, beside the number of chips and their variables; the last one where losses are measured."""


@dataclass(frozen=True)
class Answer:
    """What a search found, with all that a reader needs to judge it."""

    task: Task
    search: str
    found: Found
    seconds: float
    budget: int | None = None
    seed: int | None = None
    """Both are None for a search that has none."""
    baselines: list[Baseline] = field(default_factory=list[Baseline])
    front: Front | None = None
    study: Study | None = None
    """What a report shows."""
    staged: Staged | None = None
    """Both ranks of the chips that were placed, where the search is in two stages."""
    used: Archived | None = None
    """What kept the prices, where they were kept."""
    measuring: Measuring | None = None
    """How losses were measured, where they were."""

    @property
    def space(self) -> Space:
        """The chips."""
        return self.task.space

    @property
    def best(self) -> Design:
        """The answer."""
        return self.space.design(int(self.found.top.number[0]))


def per_model(evaluator: Evaluator, task: Task, design: Design) -> dict[str, dict[str, float]]:
    """What a chip costs each model, once: energy_pj, latency_ns, and the objective's score for that model alone.

    Those that were measured have loss and quality too.
    """
    scores, figures = evaluator.evaluate([design]), evaluator.figures([design])
    cost = figures.get("cost")
    result: dict[str, dict[str, float]] = {}
    for index, name in enumerate(evaluator.models):
        energy, latency = float(scores.energy_pj[index, 0]), float(scores.latency_ns[index, 0])
        noisy: dict[str, float] = {}
        if scores.loss is not None and scores.quality is not None and not np.isnan(scores.loss[index, 0]):
            noisy = {"loss": float(scores.loss[index, 0]), "quality": float(scores.quality[index, 0])}
        costs = energy * PJ_IN_MJ, latency * NS_IN_MS, scores.area_mm2[0], cost
        score = task.objective.alone().score(*costs, noisy.get("quality"))
        result[name] = {"energy_pj": energy, "latency_ns": latency, "score": float(np.ravel(score)[0]), **noisy}
    return result


def summarise(answer: Answer) -> Summary:
    """The answer as plain data; docs/codesign.md says what its keys mean."""
    task, found, space = answer.task, answer.found, answer.space
    models = per_model(task.evaluator, task, answer.best)
    summary: Summary = {
        "space": {
            "name": space.name,
            "size": space.size,
            "variables": {variable.name: list(variable.values) for variable in space.variables},
            "constraints": {each.name: {"require": each.require.text, "on": each.on} for each in space.constraints},
        },
        "objective": task.objective.kind,
        "over": task.objective.over,
        "weights": dict(zip(task.evaluator.models, task.objective.weights, strict=False)) or None,
        "unit": task.objective.unit(len(models)),
        "search": {"name": answer.search, "budget": answer.budget, "seed": answer.seed},
        "best": _chip(answer, 0),
        "per_model": models,
        "proven": found.proven,
        "evaluated": found.evaluated,
        "feasible": found.feasible,
        "near_optimal": {
            "within": {f"{share:.0%}": count for share, count in found.within.items()},
            "chips": [_chip(answer, index) for index in range(len(found.top))],
        },
        "convergence": [{"evaluated": count, "score": score} for count, score in found.course],
        "baselines": {each.name: _baseline(answer, each, models) for each in answer.baselines},
        "seconds": answer.seconds,
    }
    if answer.front is not None:
        summary["front"] = {"points": len(answer.front.chips), "exact": answer.front.exact}
    if answer.staged is not None:
        summary["staged"] = _staged(answer.staged, space)
    if answer.measuring is not None:
        summary["quality"] = asdict(answer.measuring)
    if answer.used is not None:
        summary["prices"] = {"found": answer.used.found, "made": answer.used.priced, "failed": len(answer.used.reasons)}
    return summary


def _staged(staged: Staged, space: Space) -> Summary:
    """Both ranks of each chip that was placed, best first."""
    chips: list[Summary] = []
    for chip in staged.chips:
        own = {"variables": space.values(space.design(chip.number)), "rank": chip.rank, "score": finite(chip.score)}
        chips.append(own | {"first_rank": chip.first_rank, "first_score": chip.first_score})
    return {"first": staged.first, "chips": chips}


def finite(value: float) -> float | None:
    """The value, or None where it is infinite: of a chip that cannot be built."""
    return value if np.isfinite(value) else None


def _chip(answer: Answer, index: int) -> Summary:
    """One of the best chips."""
    top, space = answer.found.top, answer.space
    design = space.design(int(top.number[index]))
    cost = answer.task.evaluator.figures([design]).get("cost")
    own = {} if cost is None else {"cost": float(np.ravel(cost)[0])}
    score, area = float(top.score[index]), float(top.area_mm2[index])
    return {"variables": space.values(design), "score": score, "area_mm2": area, **own}


def _baseline(answer: Answer, each: Baseline, joint: dict[str, dict[str, float]]) -> Summary:
    """A baseline's chip, and by how much the joint chip is better; a chip for each model has no score of its own."""
    task, space = answer.task, answer.space
    priced = {name: per_model(task.evaluator, task, design)[name] for name, design in each.designs.items()}
    less = reductions(*({name: one["score"] for name, one in some.items()} for some in (joint, priced)))
    result: Summary = {"how": each.how, "per_model": {}}
    for name, one in priced.items():
        result["per_model"][name] = {key: finite(value) for key, value in one.items()} | {"reduction": less[name]}
    if each.judged is None:
        for name, design in each.designs.items():
            result["per_model"][name]["variables"] = space.values(design)
        return result
    score = finite(float(each.judged.score[0]))
    return {
        **result,
        "variables": space.values(next(iter(each.designs.values()))),
        "area_mm2": finite(float(each.judged.area_mm2[0])),
        "score": score,
        "feasible": bool(each.judged.feasible[0]),
        "reduction": 1.0 if score is None else 1 - float(answer.found.top.score[0]) / score,
    }


def for_people(answer: Answer, summary: Summary) -> str:
    """The answer in a few lines."""
    space, best = answer.space, summary["best"]
    kept = ", ".join(each.require.text for each in space.constraints if each.on)
    verb = "decided" if answer.found.proven else f"of {space.size:,} visited"
    if answer.staged is not None:
        verb = f"of {space.size:,} decided, {len(answer.staged.chips)} of them placed and simulated"
    name = answer.task.objective.kind, answer.task.objective.over
    how = "proven: no chip of the space is better in the model" if answer.found.proven else "not proven"
    values = ", ".join(f"{name} {value}" for name, value in best["variables"].items())
    near = ", ".join(f"{count:,} within {share}" for share, count in summary["near_optimal"]["within"].items())
    lines = [
        f"{space.name}, {answer.search}: {answer.found.evaluated:,} chips {verb}, {answer.found.feasible:,} keep "
        f"{kept or 'all constraints (there are none)'}",
        f"least {name[0]}, {name[1]} of {len(summary['per_model'])} models: {best['score']:.6g} {summary['unit']}; "
        f"{how}",
        f"  {values}; {best['area_mm2']:.4g} mm2",
        f"near it: {near}",
    ]
    for each in space.constraints:
        if not each.on:
            lines.append(f"{each.name} ({each.require.text}) is off{f': {each.note}' if each.note else ''}")
    if answer.front is not None:
        axes = "energy, latency and area" if answer.measuring is None else "energy, latency, area and loss"
        lines.append(f"front in {axes}: {len(answer.front.chips)} points")
    baselines = [each.name for each in answer.baselines]
    noisy = [] if answer.measuring is None else ["loss"]
    head = ["model", "energy", "latency", "score", *noisy, *(f"less than {each}" for each in baselines)]
    rows = [head]
    for name, one in summary["per_model"].items():
        loss = [f"{one['loss']:.3g}" if "loss" in one else "-" for _ in noisy]
        less = [f"{summary['baselines'][each]['per_model'][name]['reduction']:.1%}" for each in baselines]
        rows.append(
            [name, energy_text(one["energy_pj"]), time_text(one["latency_ns"]), f"{one['score']:.4g}", *loss, *less]
        )
    return "\n".join([*lines, table(rows, [False] + [True] * (len(head) - 1))])


def chip_file(answer: Answer, models: Sequence[str]) -> str:
    """The best chip as a file that `h3c --target` takes."""
    design, space = answer.best, answer.space
    figures = {name: np.ravel(v)[0] for name, v in answer.task.evaluator.figures([design]).items()}
    name = f"{space.name}-best"
    proven = "proven best" if answer.found.proven else f"best of {answer.found.evaluated} chips visited"
    kind, over = answer.task.objective.kind, answer.task.objective.over
    description = f"{proven[0].upper()}{proven[1:]} of space {space.name} by {kind}, {over} of {len(models)} models"
    tree = space.chip_tree(design, figures, name, description)
    score = f"{answer.found.top.score[0]:.6g} {answer.task.objective.unit(len(models))}"
    head = [
        f"Written by h3c-codesign: {proven} of space {space.name} ({space.size} chips; search {answer.search}).",
        f"Objective {kind}, {over} over {', '.join(models)}: {score}.",
        f"All that the space does not vary is of chip {space.base.name}.",
    ]
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
    return "".join(f"# {' '.join(line.split())}\n" for line in head) + text


def front_file(answer: Answer, as_json: bool) -> str:
    """The front as JSON or CSV: FRONT_COLUMNS, `chips` and the variables of a chip of each point."""
    assert answer.front is not None
    chips, space = answer.front.chips, answer.space
    rows: list[Summary] = []
    for index in range(len(chips)):
        own = {name: each[index].item() for name, each in zip(FRONT_COLUMNS, figures_of(chips), strict=False)}
        own["chips"] = answer.front.count[index].item()
        rows.append(own | space.values(space.design(int(chips.number[index]))))
    if as_json:
        return json.dumps({"exact": answer.front.exact, "points": rows}, indent=2, allow_nan=False) + "\n"
    return "".join(",".join(map(str, line)) + "\n" for line in (rows[0].keys(), *(row.values() for row in rows)))
