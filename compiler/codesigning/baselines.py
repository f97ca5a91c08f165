"""What a joint search is held against: the ways to choose a chip that arXiv 2603.03880 and 2410.16759 compare with.

What a baseline amounts to rests on where it starts and when it minds the constraints, so both are part of its name:

- `largest-model`: the best chip of the model with the most weights, under the same constraints;
- `one-at-a-time`: each model's own best chip, under the same constraints (a lower bound, no chip for all); with
  `:alone` it need hold that model alone, where capacity is a constraint;
- `sequential:START`: the levels of design one after the other (the space's `stages`), each enumerated with all else
  fixed; it begins with the middle (upper of two), least or greatest value of each variable (mid, min, max). In a stage
  the least excess over the constraints comes first, then the score; with `:late` constraints count in the last two
  stages alone;
- `single-technology`: of a space whose chips have to be placed, the best of those with a single kind of tier beside
  the digital unit. The others are of spaces with a closed form.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...runtime_sim.errors import InputError
from .closed_form import ClosedForm, weights_of
from .evaluators import Judged, Task
from .objectives import Objective
from .ranking import Found, best_of
from .space import COUNTS, Design, Space

STARTS: dict[str, Callable[[int], int]] = {
    "mid": lambda count: count // 2,
    "min": lambda count: 0,
    "max": lambda count: count - 1,
}
"""The first position of a variable, by its number of values."""
NAMES = (
    *("largest-model", "one-at-a-time", "one-at-a-time:alone"),
    *(f"sequential:{start}{end}" for start in STARTS for end in ("", ":late")),
)
"""Those of spaces with a closed form."""
SINGLE = "single-technology"
_LATE = 2
_MOST_SINGLE = 10_000
"""Chips of a single technology that are placed, at most."""

Search = Callable[[ClosedForm, Objective], Found]


@dataclass(frozen=True)
class Baseline:
    """A chip that a baseline chose, judged as the joint one is; `how`: in a line, what it did.

    `designs`: the chip of each model, which for `one-at-a-time` differ; `judged` is None there.
    """

    name: str
    how: str
    designs: dict[str, Design]
    judged: Judged | None


def check_names(names: Iterable[str], known: Sequence[str]) -> None:
    """Whether all are names of baselines that are `known` of such a search."""
    for name in names:
        if name not in known:
            told = f"one of {', '.join(known)}" if known else "none with this search and space"
            raise InputError(f"--baseline: expected {told}, got {name!r}")


def baseline(name: str, form: ClosedForm, objective: Objective, search: Search) -> Baseline:
    """The baseline of that name, one of NAMES; `search` finds a best chip where it asks for one."""
    if name == "largest-model":
        return _largest_model(form, objective, search)
    if name.startswith("one-at-a-time"):
        alone = name.endswith(":alone")
        designs = {model: _own_best(model, form, objective, search, alone) for model in form.models}
        how = f"each model's own best chip, under the constraints {'of that model alone' if alone else 'of all'}"
        return Baseline(name, how, designs, None)
    _, start, *late = name.split(":")
    design = sequential(Task(form, objective), start, bool(late))
    stages = ", ".join(f"{level} ({' '.join(names)})" for level, names in form.space.stages.items())
    minded = f"in the last {_LATE} stages" if late else "first in each stage"
    how = f"{stages}, from {start} values; constraints count {minded}"
    return _common(name, how, form, objective, design)


def single_technology(task: Task) -> Baseline:
    """The best chip that has one kind of tier beside the digital unit, of each and of all."""
    space = task.space
    best: dict[str, Judged] = {}
    for tier in space.tree["tiers"]:
        designs = _only(space, tier)
        if len(designs) > _MOST_SINGLE:
            raise InputError(
                f"--baseline {SINGLE}: expected at most {_MOST_SINGLE} chips of {tier}, got {len(designs)}"
            )
        if designs:
            kept = np.broadcast_to(space.violation(task.evaluator.figures(designs)) == 0, (len(designs),))
            judged = task.judged([design for design, keeps in zip(designs, kept.tolist(), strict=True) if keeps])
            if judged.feasible.any():
                best[tier] = judged.at([best_of(judged)])
    if not best:
        raise InputError(f"--baseline {SINGLE}: expected chips of a single tier in space {space.source}, got none")
    judged = Judged.joined(list(best.values()))
    first = best_of(judged)
    told = ", ".join(f"{tier} {own.score[0]:.4g}" for tier, own in best.items())
    design = space.design(int(judged.number[first]))
    how = f"the best chip with one kind of tier beside digital: {list(best)[first]}, of {told}"
    return Baseline(SINGLE, how, dict.fromkeys(task.evaluator.models, design), judged.at([first]))


def _only(space: Space, tier: str) -> list[Design]:
    """The chips that have some of a tier, and of the others but the digital unit none."""
    values: list[list[int]] = []
    others = set(space.tree["tiers"]) - {tier, "digital"}
    counted: set[str] = set()
    for variable in space.variables:
        own = list(range(len(variable.values)))
        if variable.path[0] == "tiers" and variable.path[-1] in COUNTS:
            counted.add(variable.path[1])
            some = variable.path[1] == tier
            own = [index for index in own if (variable.values[index] != 0) == some]
        elif variable.path[0] == "tiers" and variable.path[1] in others:
            own = own[:1]  # of a tier that is not there
        values.append(own)
    return list(product(*values)) if others <= counted and tier != "digital" else []


def sequential(task: Task, start: str, late: bool) -> Design:
    """The chip that comes of fixing the levels of design one after the other."""
    space = task.space
    if not space.stages:
        raise InputError(f"{space.source}: stages: expected levels of design for a sequential baseline, got none")
    design = tuple(STARTS[start](count) for count in space.shape)
    places = {variable.name: place for place, variable in enumerate(space.variables)}
    names = list(space.stages.values())
    everything = [constraint.name for constraint in space.constraints]
    for index, own in enumerate(names):
        ignored = everything if late and index < len(names) - _LATE else ()
        designs = _varied(space, design, [places[name] for name in own])
        design = designs[best_of(task.judged(designs, ignored))]
    return design


def _varied(space: Space, design: Design, places: list[int]) -> list[Design]:
    """All chips that differ from `design` in some variables alone."""
    result: list[Design] = []
    for values in product(*(range(space.shape[place]) for place in places)):
        changed = dict(zip(places, values, strict=True))
        result.append(tuple(changed.get(place, index) for place, index in enumerate(design)))
    return result


def _largest_model(form: ClosedForm, objective: Objective, search: Search) -> Baseline:
    largest = max(form.models, key=lambda model: weights_of(form.networks[model]))
    design = _own_best(largest, form, objective, search)
    return _common("largest-model", f"the best chip of {largest} alone", form, objective, design)


def _own_best(model: str, form: ClosedForm, objective: Objective, search: Search, alone: bool = False) -> Design:
    """The best chip of one model under the constraints of all, or of that model `alone`."""
    own = form.for_models([model], None if alone else form.largest)
    return form.space.design(int(search(own, objective.alone()).top.number[0]))


def _common(name: str, how: str, form: ClosedForm, objective: Objective, design: Design) -> Baseline:
    judged = Task(form, objective).judged([design])
    return Baseline(name, how, dict.fromkeys(form.models, design), judged)


def reductions(joint: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """By how much the joint chip's score of each model is below another's, as a share of the other's."""
    return {name: float(1 - joint[name] / other[name]) if np.isfinite(other[name]) else 1.0 for name in joint}
