"""Plans without segments for chips whose operators overlap, chosen by simulated figures.

The solver in `placement/` takes operators to follow each other. Here they overlap, so that it minimises another thing:
a product shared with the digital unit may be done sooner, but holds up all that the unit does meanwhile. So several of
its plans are simulated: with every operator whole on one tier, with shares, and, where there is little to solve, those
of other objectives. An objective's own measure decides, so that where all are looked at no other objective has a better
plan by it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .placement.problem import OBJECTIVES, PlacementError, Plan, Problem
from .placement.strategies import NEAR, Outcome

LITTLE = 1000
"""Options of all types of products up to which plans of all objectives are looked at: they take about two seconds."""


@dataclass(frozen=True)
class Unsegmented:
    """A plan, and what its objective comes to when it is simulated."""

    outcome: Outcome
    value: float


def best_unsegmented(
    problem: Problem,
    solve: Callable[[Problem], Outcome],
    value: Callable[[Problem, Plan], float],
    beaten: float,
    *,
    only_if_near: bool,
) -> Unsegmented | None:
    """The best of the plans without segments, by `value`: what a simulation says of a plan.

    `only_if_near`: no plan if that of whole operators is more than `NEAR` worse than `beaten`, without another look.
    PlacementError if there is none within the problem's limits.
    """
    best: Unsegmented | None = None
    refusal = PlacementError("expected a plan without segments, found none")
    for each in _problems(problem):
        try:
            outcome = solve(each)
        except PlacementError as error:
            refusal = error
            continue
        plans = [(outcome.kept, outcome.plan), *outcome.near]
        for kept, plan in plans if best is not None or not only_if_near else plans[:1]:
            found = value(outcome.problem, plan)
            if best is None or found < best.value:
                best = Unsegmented(outcome if plan is outcome.plan else outcome.keeping(kept, plan), found)
        if only_if_near and best is not None and best.value > beaten * (1 + NEAR):
            return None
    if best is None:
        raise refusal
    proven_of = replace(best.outcome.problem, objective=problem.objective)
    # What the solver proved holds for operators that follow each other; overlapping may beat it.
    outcome = replace(best.outcome, problem=proven_of, bound=None, gap=None, status="feasible")
    return Unsegmented(outcome, best.value)


def _problems(problem: Problem) -> Iterator[Problem]:
    """The problem in the forms whose plans are looked at, the quickest first."""
    little = sum(len(kind.options) for kind in problem.types) <= LITTLE
    others = [name for name in (*OBJECTIVES, "throughput") if name != problem.objective]
    for objective in (problem.objective, *(others if little else ())):
        each = replace(problem, objective=objective)
        yield _whole(each)
        yield each


def _whole(problem: Problem) -> Problem:
    """With every operator on one tier alone, in the ways that are options already: few enough for one program."""
    types = [
        replace(kind, options=kind.options.take((kind.options.outputs > 0).sum(axis=1) == 1), families=())
        for kind in problem.types
    ]
    return replace(problem, types=tuple(types)) if all(len(kind.options) for kind in types) else problem
