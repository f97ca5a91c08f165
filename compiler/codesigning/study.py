"""What a report shows beside the answer: how searches converge, what variables are worth, each model's own best chip.

Where the space can be enumerated, all of it is of the whole space; else of the chips that the search visited.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .closed_form import ClosedForm
from .evaluators import Judged, Task
from .exhaustive import all_feasible, exhaustive
from .objectives import NS_IN_MS, PJ_IN_MJ, Objective
from .pareto import Front, front, front_with_loss
from .ranking import Found, best_of
from .space import Design, Scalar, Space

Floats = NDArray[np.float64]
Course = list[tuple[int, float]]
"""(chips visited, best score so far), where that improved."""

MOST_ENUMERATED = 50_000_000
"""Chips of a space that is enumerated for a report alone, at most."""


@dataclass(frozen=True)
class Worth:
    """A value of a variable; scores are infinite where no chip keeps the constraints, None where none was visited."""

    value: Scalar
    least: float | None
    """The best score with this value, whatever the others are."""
    alone: float | None
    """The score with this value, and all others those of the best chip."""


@dataclass(frozen=True)
class Study:
    """What a report shows."""

    whole: bool
    """Whether all of it is of the whole space, not of the chips visited."""
    optimum: float | None
    """The least score of the space, where it is proven."""
    courses: Mapping[str, Course]
    """Of each search that ran."""
    ends: Mapping[str, int]
    """How many chips each of them visited."""
    worth: Mapping[str, list[Worth]]
    """Of each variable, its values."""
    own: Mapping[str, tuple[Design, float]]
    """Each model's own best chip under the same constraints, and its score there."""
    front: Front


def study_of_whole(form: ClosedForm, objective: Objective, found: Found, searches: Mapping[str, Found]) -> Study:
    """The study of a space that is enumerated; `searches`: what each of those to compare found."""
    proven = found if found.proven else exhaustive(form, objective)
    task = Task(form, objective)
    best = form.space.design(int(proven.top.number[0]))
    own: dict[str, tuple[Design, float]] = {}
    for model in form.models:
        top = exhaustive(form.for_models([model], form.largest), objective.alone()).top
        own[model] = form.space.design(int(top.number[0])), float(top.score[0])
    return Study(
        True,
        float(proven.top.score[0]),
        {name: each.course for name, each in searches.items()},
        {name: each.evaluated for name, each in searches.items()},
        _worth(form.space, _least(form, objective), _alone(task, best)),
        own,
        exact_front(form, objective),
    )


def study_of_visited(task: Task, found: Found, name: str) -> Study:
    """The study of what a search visited."""
    assert found.visited is not None
    space, kept = task.space, found.visited.at(found.visited.feasible)
    best, index = found.top.number[0], _positions(space, kept.number)
    near = (index != index[kept.number == best]).sum(axis=1) <= 1
    least, alone = (
        [{at: float(scores[column == at].min()) for at in set(column.tolist())} for column in table.T]
        for table, scores in ((index, kept.score), (index[near], kept.score[near]))
    )
    own: dict[str, tuple[Design, float]] = {}
    designs = [space.design(number) for number in kept.number.tolist()]
    scores, figures = task.evaluator.evaluate(designs), task.evaluator.figures(designs)
    for place, model in enumerate(task.evaluator.models):
        energy, latency = scores.energy_pj[place] * PJ_IN_MJ, scores.latency_ns[place] * NS_IN_MS
        quality = None if scores.quality is None else np.nan_to_num(scores.quality[place], nan=1.0)
        score = task.objective.alone().score(energy, latency, kept.area_mm2, figures.get("cost"), quality)
        judged = Judged(
            kept.number, np.broadcast_to(score, energy.shape), kept.violation, kept.area_mm2, energy, latency
        )
        first = best_of(judged)
        own[model] = designs[first], float(judged.score[first])
    return Study(
        False,
        float(found.top.score[0]) if found.proven else None,
        {name: found.course},
        {name: len(found.visited)},
        _worth(space, least, alone),
        own,
        visited_front(found),
    )


def exact_front(form: ClosedForm, objective: Objective, told: Callable[[int], None] = lambda done: None) -> Front:
    """The front of all chips of a space."""
    chips, count = front(all_feasible(form, objective, told))
    return Front(chips, count, True)


def visited_front(found: Found) -> Front:
    """The front of the chips that a search visited."""
    assert found.visited is not None
    kept = found.visited.at(found.visited.feasible)
    return Front(*(front([kept]) if kept.loss is None else front_with_loss(kept)), False)


def _least(form: ClosedForm, objective: Objective) -> list[dict[int, float]]:
    """Of each variable, the best score with each of its values; infinite where no chip keeps the constraints."""
    result = [np.full(count, np.inf) for count in form.space.shape]
    for some in all_feasible(form, objective):
        for least, column in zip(result, _positions(form.space, some.number).T, strict=True):
            np.minimum.at(least, column, some.score)
    return [dict(enumerate(least.tolist())) for least in result]


def _alone(task: Task, best: Design) -> list[dict[int, float]]:
    """Of each variable, the score with each of its values in the best chip; infinite where it breaks a constraint."""
    result: list[dict[int, float]] = []
    for place, count in enumerate(task.space.shape):
        judged = task.judged([(*best[:place], at, *best[place + 1 :]) for at in range(count)])
        result.append(dict(enumerate(np.where(judged.feasible, judged.score, np.inf).tolist())))
    return result


def _worth(space: Space, least: list[dict[int, float]], alone: list[dict[int, float]]) -> dict[str, list[Worth]]:
    """Both figures by the names of the variables."""
    return {
        variable.name: [
            Worth(value, least[place].get(at), alone[place].get(at)) for at, value in enumerate(variable.values)
        ]
        for place, variable in enumerate(space.variables)
    }


def _positions(space: Space, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of the values of chips: [chip, variable]."""
    return np.stack(np.unravel_index(numbers, space.shape), axis=1)
