"""The strategies for chips whose operators overlap: `exact` and the baselines. They differ in the decision alone.

`exact`: the dynamic program (module `dynamic`), and every baseline's plan where that is better (grids may miss one).
`all-compute-best`: the same without memory arrays; what `exact` gains over it is the worth of switching.
`all-compute`, `all-compute-overlap`, `puma-like`, `occ-like`: module `baselines`. `cmswitch`: module `cmswitch`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .baselines import all_compute, all_compute_overlap, occ_like, puma_like
from .cmswitch import cmswitch
from .dynamic import solve_segments
from .problem import SegmentPlan, SegmentProblem

NEAR = 0.2
"""Baselines predicted to need at most this share more than the best plan are worth a simulation."""


@dataclass(frozen=True)
class SegmentOutcome:
    """A plan. `kept` names the strategy whose plan it is; `near`, of `exact`, other plans predicted nearly as good."""

    plan: SegmentPlan
    kept: str
    seconds: float
    near: tuple[tuple[str, SegmentPlan], ...] = ()


def all_compute_best(problem: SegmentProblem) -> SegmentPlan:
    """The best plan in which all arrays compute."""
    chip = replace(problem.chip, memory_bytes_per_ns=0.0)
    return replace(solve_segments(replace(problem, chip=chip)), bound_ps=None)


BASELINES: Mapping[str, Callable[[SegmentProblem], SegmentPlan]] = {
    "all-compute": all_compute,
    "all-compute-overlap": all_compute_overlap,
    "puma-like": puma_like,
    "occ-like": occ_like,
    "cmswitch": cmswitch,
}
"""The cheap ones, by name."""

STRATEGIES = ("exact", "all-compute-best", *BASELINES)


def run_segments(problem: SegmentProblem, strategy: str, near: float = NEAR) -> SegmentOutcome:
    """The plan of a strategy; `near`: the share beyond the best one's time up to which baselines are told.

    PlacementError if there is none, ValueError if there is no such strategy.
    """
    start = time.monotonic()
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: expected one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if not problem.operators:
        plan = SegmentPlan((), (), problem.fixed_ps, problem.fixed_ps if strategy == "exact" else None)
        return SegmentOutcome(plan, strategy, time.monotonic() - start)
    if strategy == "all-compute-best":
        return SegmentOutcome(all_compute_best(problem), strategy, time.monotonic() - start)
    if strategy in BASELINES:
        return SegmentOutcome(BASELINES[strategy](problem), strategy, time.monotonic() - start)
    plans = {"exact": solve_segments(problem)}
    plans |= {name: make(problem) for name, make in BASELINES.items()}
    kept = min(plans, key=lambda name: plans[name].total_ps)
    bound = plans["exact"].bound_ps
    plan = plans.pop(kept)
    plan = replace(plan, bound_ps=None if bound is None else min(bound, plan.total_ps))
    plans["all-compute-best"] = all_compute_best(problem)
    most = plan.total_ps * (1 + near)
    others = tuple((name, other) for name, other in plans.items() if other.total_ps <= most and name != "exact")
    return SegmentOutcome(plan, kept, time.monotonic() - start, others)
