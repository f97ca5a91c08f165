"""The strategies for chips whose operators overlap: `exact` and the baselines. They differ in the decision alone.

`exact`: the dynamic program (module `dynamic`), with hosts where operators have some (module `hosting`), and every
baseline's plan where that is better (grids may miss one). The others have all operators on the arrays.
`all-compute-best`: the same without memory arrays; what `exact` gains over it is the worth of switching.
`all-compute`, `all-compute-overlap`, `puma-like`, `occ-like`: module `baselines`. `cmswitch`: module `cmswitch`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isinf

from .baselines import all_compute, all_compute_overlap, occ_like, puma_like
from .cmswitch import cmswitch
from .dynamic import solve_segments
from .hosting import HostedProblem, solve_hosted
from .problem import SegmentPlan, SegmentProblem
from .window import Known, known_of

NEAR = 0.2
"""Baselines predicted to need at most this share more than the best plan are worth a simulation."""

MISTAKEN = 0.08
"""Two plans' predictions are seldom so far apart where their simulations agree."""


@dataclass(frozen=True)
class SegmentOutcome:
    """A plan. `kept` names the strategy whose plan it is; `near`, of `exact`, other plans predicted nearly as good.

    Each comes with the problem whose operators have its hosts."""

    problem: SegmentProblem
    plan: SegmentPlan
    kept: str
    seconds: float
    near: tuple[tuple[str, SegmentProblem, SegmentPlan], ...] = ()


def all_compute_best(problem: SegmentProblem, known: Known | None = None) -> SegmentPlan:
    """The best plan in which all arrays compute; `known`: of problems with the same chip."""
    chip = replace(problem.chip, memory_bytes_per_ns=0.0)
    # Least times are others without memory arrays; what they are made of is the same.
    own = None if known is None else replace(known, tables={})
    return replace(solve_segments(replace(problem, chip=chip), own), bound_ps=None)


BASELINES: Mapping[str, Callable[[SegmentProblem], SegmentPlan]] = {
    "all-compute": all_compute,
    "all-compute-overlap": all_compute_overlap,
    "puma-like": puma_like,
    "occ-like": occ_like,
    "cmswitch": cmswitch,
}
"""The cheap ones, by name."""

STRATEGIES = ("exact", "all-compute-best", *BASELINES)


def run_segments(
    problem: SegmentProblem, strategy: str, near: float = NEAR, hosted: HostedProblem | None = None
) -> SegmentOutcome:
    """The plan of a strategy; `near`: the share beyond the best one's time up to which other plans are told.

    `hosted`: where else `exact` may run operators of `problem`, and in which loss. PlacementError if there is no plan,
    ValueError if there is no such strategy.
    """
    start = time.monotonic()
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if not problem.operators:
        plan = SegmentPlan((), (), problem.fixed_ps, problem.fixed_ps if strategy == "exact" else None)
        return SegmentOutcome(problem, plan, strategy, time.monotonic() - start)
    if strategy == "all-compute-best":
        return SegmentOutcome(problem, all_compute_best(problem), strategy, time.monotonic() - start)
    if strategy in BASELINES:
        return SegmentOutcome(problem, BASELINES[strategy](problem), strategy, time.monotonic() - start)
    known = known_of(problem.chip)
    best = solve_hosted(hosted or HostedProblem(problem, ((),) * len(problem.operators)), known)
    found = [("exact", best.problem, best.plan)]
    if hosted is None or hosted.keeps((None,) * len(problem.operators)):
        found += [(name, problem, make(problem)) for name, make in BASELINES.items()]
        least = min(found, key=lambda each: each[2].total_ps)
        found += [("exact", problem, best.plain)] if best.problem is not problem else []
        if best.plain.total_ps <= least[2].total_ps * (1 + (near if isinf(near) else min(near, MISTAKEN))):
            # It is never predicted better than the plan with all operators here.
            found.append(("all-compute-best", problem, all_compute_best(problem, known)))
    else:
        least = found[0]
    kept, own, plan = least
    bound = best.plan.bound_ps
    plan = replace(plan, bound_ps=None if bound is None else min(bound, plan.total_ps))
    most = plan.total_ps * (1 + near)
    others = tuple(each for each in found if each is not least and each[2].total_ps <= most)
    return SegmentOutcome(own, plan, kept, time.monotonic() - start, others)
