"""One chip for several models: the search that a command line asks for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.layers import Layers
from ..front import progress
from .baselines import baseline, check_names
from .closed_form import ClosedForm
from .evaluators import Task
from .evolutionary import BUDGET, four_phases, nsga2, random_chips
from .exhaustive import all_feasible, exhaustive
from .objectives import Objective
from .pareto import front
from .ranking import Found
from .report import Answer, Front
from .space import Space

HEURISTICS: dict[str, Callable[..., Found]] = {"evolutionary": four_phases, "nsga2": nsga2, "random": random_chips}
"""Searches that visit some chips, by name: of a task, a budget and a seed."""


@dataclass(frozen=True)
class Wanted:
    """What a command line asks for; `budget` and `seed` are None where it says nothing of them."""

    search: str
    budget: int | None
    seed: int | None
    baselines: Sequence[str]
    front: bool


def search(space: Space, networks: Mapping[str, Layers], objective: Objective, wanted: Wanted) -> Answer:
    """Search a space of the template for networks."""
    start = perf_counter()
    check_names(wanted.baselines)
    form = ClosedForm(space, networks)
    if "cost" not in form.figures([form.space.design(0)]) and "cost" in objective.kind:
        raise InputError(f"--objective {objective.kind}: expected a space with a figure cost, got {space.source}")
    if wanted.search in HEURISTICS:
        budget = min(wanted.budget or BUDGET, space.size)
        seed = 1 if wanted.seed is None else wanted.seed
        run = HEURISTICS[wanted.search]
        with progress(wanted.search, budget) as told:
            found = run(Task(form, objective), budget, seed, told)
    else:
        budget = seed = None
        run = None
        with progress("enumerating", form.block_count()) as told:
            found = exhaustive(form, objective, told)
    if not len(found.top):
        raise InputError(f"space {space.name}: expected a chip that can be priced, got none of {found.evaluated}")

    def again(other: ClosedForm, own: Objective) -> Found:
        """The same search for a baseline."""
        return exhaustive(other, own) if run is None else run(Task(other, own), budget, seed)

    answer = partial(Answer, Task(form, objective), wanted.search, found, budget=budget, seed=seed)
    baselines = [baseline(name, form, objective, again) for name in wanted.baselines]
    points = _front(form, objective, found) if wanted.front else None
    return answer(seconds=perf_counter() - start, baselines=baselines, front=points)


def _front(form: ClosedForm, objective: Objective, found: Found) -> Front:
    """The front: of the whole space where that was decided, else of what was visited."""
    if found.visited is not None:
        chips, count = front([found.visited.at(found.visited.feasible)])
        return Front(chips, count, False)
    with progress("front", form.block_count()) as told:
        chips, count = front(all_feasible(form, objective, told))
    return Front(chips, count, True)
