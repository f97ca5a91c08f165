"""Plans without segments for chips whose operators overlap, chosen by simulated figures.

The solver in `placement/` takes operators to follow each other. Here they overlap, so that it minimises another thing,
and its bound says nothing: a product shared with the digital unit may be done sooner, but holds up all that the unit
does meanwhile. So several of its plans are simulated, most of them of the options that are there at once: with shares,
with every operator whole on one tier, and, where there is little to solve, those of other objectives. An objective's
own measure decides, so that where all are looked at no other objective has a better plan by it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .placement.problem import OBJECTIVES, PlacementError, Plan, Problem
from .placement.strategies import NEAR, Outcome

LITTLE = 1000
"""Options of all types of products up to which plans of all objectives are looked at: they take about two seconds."""
FAR = 1.0
"""Where all weights stay, solving may take long, as many ways to share the arrays take about as long. The plan that is
made quickly takes 1.0 to 4.3 times as long as one segment (ResNet-18, MobileNetV2 and VGG16 on the built-in chips), and
what is found beyond it is at most 1.8 times as fast."""


@dataclass(frozen=True)
class Unsegmented:
    """A plan, and what its objective comes to when it is simulated."""

    outcome: Outcome
    value: float


def best_unsegmented(
    problem: Problem,
    solve: Callable[[Problem], Outcome],
    value: Callable[[Problem, Plan, float], float],
    beaten: float,
    *,
    finely: bool,
    only_if_near: bool,
    rough: Callable[[Problem], Plan | None] | None = None,
) -> Unsegmented | None:
    """The best of the plans without segments, by `value`: what a simulation says of a plan, or infinite where that is
    not below its last argument. None if none is better than `beaten` (a worse one may be told).

    `finely`: also the plan over all options that the solver can make. `only_if_near`: none if the first is more than
    `NEAR` worse than `beaten`, or keeps a tier busy for longer, without another look. `rough`: the same if there is
    much to solve and this plan, quickly made, is more than `FAR` worse. PlacementError if there is none within the
    problem's limits.
    """
    if rough is not None and sum(len(kind.options) for kind in problem.types) > LITTLE:
        first, most = rough(problem), beaten * (1 + FAR)
        if first is not None and value(problem, first, most) >= most:
            return None
    best: Unsegmented | None = None
    refusal: PlacementError | None = PlacementError("expected a plan without segments, found none")
    for each in _problems(problem, finely=finely):
        try:
            outcome = solve(each)
        except PlacementError as error:
            refusal = refusal and error
            continue
        refusal = None
        if only_if_near and best is None and _busiest_ns(outcome.problem, outcome.plan) > beaten:
            return None
        for kept, plan in [(outcome.kept, outcome.plan), *(() if only_if_near else outcome.near)]:
            most = best.value if best is not None else beaten * (1 + NEAR) if only_if_near else beaten
            found = value(outcome.problem, plan, most)
            if found < most:
                best = Unsegmented(outcome if plan is outcome.plan else outcome.keeping(kept, plan), found)
        if only_if_near and best is None:
            return None
    if refusal is not None:
        raise refusal
    if best is None:
        return None
    proven_of = replace(best.outcome.problem, objective=problem.objective)
    # What the solver proved holds for operators that follow each other; overlapping may beat it.
    outcome = replace(best.outcome, problem=proven_of, bound=None, gap=None, status="feasible")
    return Unsegmented(outcome, best.value)


def _busiest_ns(problem: Problem, plan: Plan) -> float:
    """For how long a plan keeps the busiest resource busy. Of a tier it is the time of all its operators: where
    weights are written in turn into the same arrays, they hardly overlap."""
    busy = np.array(problem.fixed_busy_ps, np.float64)
    for kind, counts in zip(problem.types, plan.counts, strict=True):
        for option, count in counts.items():
            busy = busy + kind.options.busy_ps[option] * count
    return float(busy.max(initial=0.0)) / 1000


def _problems(problem: Problem, *, finely: bool) -> Iterator[Problem]:
    """The problem in the forms whose plans are looked at."""
    little = sum(len(kind.options) for kind in problem.types) <= LITTLE
    others = [name for name in (*OBJECTIVES, "throughput") if name != problem.objective]
    for objective in (problem.objective, *(others if little else ())):
        each = replace(problem, objective=objective)
        given = replace(each, types=tuple(replace(kind, families=()) for kind in each.types))
        yield given
        yield _whole(given)
        if finely:
            yield each


def _whole(problem: Problem) -> Problem:
    """With every operator on one tier alone."""
    kept = [kind.options.take((kind.options.outputs > 0).sum(axis=1) == 1) for kind in problem.types]
    types = tuple(replace(kind, options=options) for kind, options in zip(problem.types, kept, strict=True))
    return replace(problem, types=types) if all(len(options) for options in kept) else problem
