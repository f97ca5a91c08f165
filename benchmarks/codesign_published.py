"""Searches that co-design is compared with: the published procedure with its faults, a plain genetic algorithm, random.

The public code of arXiv 2603.03880 checks capacity alone when it draws chips (and only for RRAM); a chip whose cost
cannot be found ranks as perfect and feasible; phases 2 to 4 start from the best 70 by the last network alone, those
within the area limit first. How often cost cannot be found is not published: `failing` is a guess. The answer is the
best chip within the limits that did not fail.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np

from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.evaluators import BudgetSpent, Task, Visits
from h3c.compiler.codesigning.evolutionary import DRAWN, PHASES, POPULATION, SPREAD, Phase, evolve, genetic
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.ranking import found_of_visited
from h3c.compiler.codesigning.sampling import farthest, feasible_designs
from h3c.compiler.codesigning.space import Design

GENERATIONS = 10


def nothing(done: int) -> None:
    """Takes the progress of a search."""


class FaultyVisits(Visits):
    """Visits where some chips fail, and a chip that fails ranks as perfect."""

    def __init__(self, task: Task, budget: int, failing: float, seed: int) -> None:
        super().__init__(task, budget)
        self.failing, self.seed = failing, seed

    def fails(self, number: int) -> bool:
        """Whether a chip's cost cannot be found: the same chip always, in one run."""
        return bool(np.random.default_rng((self.seed, number)).random() < self.failing)

    def visit(self, designs: Sequence[Design]) -> list[tuple[float, float]]:
        ranks = super().visit(designs)
        failed = [self.fails(self.task.space.number(design)) for design in designs]
        return [(0.0, 0.0) if fail else rank for fail, rank in zip(failed, ranks, strict=True)]


def drawn(task: Task, rng: np.random.Generator, count: int, checked: Sequence[str]) -> list[Design]:
    """Chips that keep the constraints named, if they are on."""
    constraints = tuple(each for each in task.space.constraints if each.name in checked)
    assert isinstance(task.evaluator, ClosedForm)
    loose = task.evaluator.within(replace(task.space, constraints=constraints))
    return list(islice(feasible_designs(Task(loose, task.objective), rng), count))


def published(task: Task, budget: int, seed: int, failing: float) -> float:
    """The score that the published procedure ends with."""
    rng, visits = np.random.default_rng(seed), FaultyVisits(task, budget, failing, seed)
    assert isinstance(task.evaluator, ClosedForm)
    last = Task(task.evaluator.for_models(task.evaluator.models[-1:], task.evaluator.largest), Objective("edap"))
    try:
        first = farthest(drawn(task, rng, DRAWN, ["capacity"]), SPREAD)
        ranks = visits.visit(first)
        start = [first[place] for place in np.lexsort(np.array(ranks).T[::-1])[:POPULATION].tolist()]
        for index, phase in enumerate(PHASES):
            if index:
                start = best_by(last, visits)
            evolve(visits, genetic(start, phase), seed + index, budget, nothing, generations=GENERATIONS)
    except BudgetSpent:
        pass
    judged = visits.all
    sound = np.array([not visits.fails(number) for number in judged.number.tolist()])
    top = found_of_visited(judged.at(sound)).top
    return float(top.score[0]) if len(top) else float("inf")


def best_by(last: Task, visits: FaultyVisits) -> list[Design]:
    """The best 70 by one network, of those that did not fail; what keeps the constraints first."""
    sound = [number for number in visits.all.number.tolist() if not visits.fails(number)]
    designs = [last.space.design(number) for number in sound]
    judged = last.judged(designs)
    order = np.lexsort((judged.score, judged.violation > 0))[:POPULATION]
    return [designs[place] for place in order.tolist()]


def plain(task: Task, budget: int, seed: int) -> float:
    """A genetic algorithm of 70 chips drawn from the whole space, until the budget is spent or it has converged."""
    rng, visits = np.random.default_rng(seed), Visits(task, budget)
    start = drawn(task, rng, POPULATION, [])
    with suppress(BudgetSpent):
        evolve(visits, genetic(start, Phase(0.9, 1.0, 3)), seed, budget, nothing)
    top = found_of_visited(visits.all).top
    return float(top.score[0]) if len(top) else float("inf")


def anywhere(task: Task, budget: int, seed: int) -> float:
    """Chips drawn from the whole space, whatever they break."""
    visits = Visits(task, budget)
    visits.visit(drawn(task, np.random.default_rng(seed), budget, []))
    top = found_of_visited(visits.all).top
    return float(top.score[0]) if len(top) else float("inf")
