"""Searches that visit some chips of a space: the published search in four phases, corrected; NSGA-II; random chips.

The four phases are those of arXiv 2603.03880's public code: of 1,000 random chips the 500 farthest from each other
(Hamming) are priced, the best 70 start a genetic algorithm (pymoo's: tournaments, elitist survival, no duplicates,
simulated binary crossover, polynomial mutation, rounding), which three more follow, each from the best 70 so far, with
fewer and smaller changes. Corrected: chips are drawn among those that keep all constraints, not capacity alone; a chip
that cannot be priced is infinitely bad instead of perfect; chips are ranked by the objective over all models; phases
start from what this run visited. The budget counts different chips: a phase goes on until its share is spent or until
generations bring few new chips, and what is left over begins another round, with other chips drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from .evaluators import BudgetSpent, Task, Visits
from .ranking import Found, found_of_visited
from .sampling import farthest, feasible_designs, some_feasible
from .space import Design

if TYPE_CHECKING:
    from pymoo.core.algorithm import Algorithm

DRAWN, SPREAD, POPULATION = 1000, 500, 70
BUDGET = 3300
"""The published number of evaluations: 500 + 4 phases x 10 generations x 70."""
_FEW, _MOST_BARREN = 3, 2
"""Generations in a row with this few new chips after which a search has converged, and how many of them."""
_MOST_MATINGS = 3
"""Attempts to fill a generation with children that differ from each other and their parents."""

Told = Callable[[int], None]
"""Takes the number of chips visited."""


@dataclass(frozen=True)
class Phase:
    """Probabilities of crossover and of mutation of a child, and how close to its parents a child is (eta of both)."""

    crossover: float
    mutation: float
    eta: int


PHASES = (Phase(1.0, 1.0, 3), Phase(0.9, 0.5, 7), Phase(1.0, 0.2, 15), Phase(1.0, 0.05, 25))
"""Explore, transition, converge, fine-tune."""


def four_phases(task: Task, budget: int, seed: int, told: Told = lambda done: None) -> Found:
    """The published search, corrected; what it visits follows from the task, the budget and the seed alone."""
    rng, visits = np.random.default_rng(seed), Visits(task, budget)
    try:
        before = -1
        while before < len(visits) < budget:  # a round that visits nothing new has seen all that there is
            before = len(visits)
            _round(visits, rng, min(BUDGET, budget - before), told)
    except BudgetSpent:
        pass
    return found_of_visited(visits.all)


def _round(visits: Visits, rng: np.random.Generator, budget: int, told: Told) -> None:
    """The four phases once, from chips that are new, with the published shares of `budget` where it is large."""
    drawn = some_feasible(visits.task, rng, DRAWN, visits.known)
    first = len(visits)
    visits.visit(farthest(drawn, max(POPULATION, budget * SPREAD // BUDGET)))
    told(len(visits))
    for index, phase in enumerate(PHASES):
        end = first + budget * (SPREAD + (BUDGET - SPREAD) * (index + 1) // len(PHASES)) // BUDGET
        evolve(visits, genetic(_best(visits, POPULATION), phase), int(rng.integers(2**31)), end, told)


def random_chips(task: Task, budget: int, seed: int, told: Told = lambda done: None) -> Found:
    """Chips that keep the constraints, drawn uniformly."""
    rng, visits = np.random.default_rng(seed), Visits(task, budget)
    some_feasible(task, np.random.default_rng(seed), 1)  # an error where there is none
    designs = list(islice(feasible_designs(task, rng), budget))
    for first in range(0, len(designs), POPULATION):
        visits.visit(designs[first : first + POPULATION])
        told(len(visits))
    return found_of_visited(visits.all)


def nsga2(task: Task, budget: int, seed: int, told: Told = lambda done: None) -> Found:
    """NSGA-II on energy, latency, area, and loss where it is measured, over all models; the best by the objective.

    It starts from chips that keep the constraints, and again from others where it has converged before its budget.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2

    rng, visits = np.random.default_rng(seed), Visits(task, budget)
    operators = _operators(Phase(0.9, 1.0, 15))
    try:
        before = -1
        while before < len(visits) < budget:
            before = len(visits)
            start: Any = np.array(some_feasible(task, rng, POPULATION, visits.known))
            if not len(start):
                break
            algorithm = NSGA2(POPULATION, sampling=start, eliminate_duplicates=True, **operators)
            visits.visit(list(map(tuple, start.tolist())))
            figures = len(visits.figures([tuple(start[0].tolist())])[0])
            evolve(visits, algorithm, int(rng.integers(2**31)), budget, told, figures)
    except BudgetSpent:
        pass
    return found_of_visited(visits.all)


def genetic(start: list[Design], phase: Phase) -> "Algorithm":
    """A genetic algorithm from these chips."""
    from pymoo.algorithms.soo.nonconvex.ga import GA

    sampling: Any = np.array(start)
    return GA(POPULATION, sampling=sampling, eliminate_duplicates=True, **_operators(phase))


def evolve(
    visits: Visits,
    algorithm: "Algorithm",
    seed: int,
    end: int,
    told: Told,
    figures: int = 1,
    generations: int | None = None,
) -> None:
    """Run an algorithm until `end` chips are visited, or generations bring few new ones; or for some `generations`.

    `figures`: 1 for the score, more for energy, latency, area, and loss where it is measured. What breaks a
    constraint ranks behind what keeps all.
    """
    from pymoo.core.problem import Problem

    shape = visits.task.space.shape
    upper = np.array(shape) - 1
    problem = Problem(n_var=len(shape), n_obj=figures, n_ieq_constr=1, xl=np.zeros(len(shape)), xu=upper, vtype=int)
    algorithm.setup(problem, seed=seed, termination=("n_gen", 1_000_000))
    algorithm.mating.n_max_iterations = _MOST_MATINGS  # pyright: ignore[reportAttributeAccessIssue]
    barren = 0
    for _ in count() if generations is None else range(generations):
        if len(visits) >= end or (generations is None and barren == _MOST_BARREN):
            return
        before = len(visits)
        asked: Any = algorithm.ask()
        if asked is None or not len(asked):
            return
        designs: list[Design] = list(map(tuple, np.asarray(asked.get("X"), np.int64).tolist()))
        ranks = visits.visit(designs)
        values = [[score] for _, score in ranks] if figures == 1 else visits.figures(designs)
        asked.set("F", _finite(values))
        asked.set("G", _finite([[violation] for violation, _ in ranks]))
        algorithm.tell(infills=asked)
        told(len(visits))
        barren = barren + 1 if len(visits) - before <= _FEW else 0


def _finite(values: Any) -> Any:
    """What is infinitely bad as a large number, as sorting by dominance takes differences."""
    return np.minimum(np.asarray(values, np.float64), 1e300)


def _operators(phase: Phase) -> dict[str, Any]:
    """Crossover and mutation on positions of values, so that neighbours are near values."""
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair

    return {
        "crossover": SBX(prob=phase.crossover, eta=phase.eta, vtype=float, repair=RoundingRepair()),
        "mutation": PM(prob=phase.mutation, eta=phase.eta, vtype=float, repair=RoundingRepair()),
    }


def _best(visits: Visits, most: int) -> list[Design]:
    """The best chips visited."""
    numbers = visits.best_first()
    return [visits.task.space.design(number) for number, _ in zip(numbers, range(most), strict=False)]
