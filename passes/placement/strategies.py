"""The strategies: `exact` and the published ones. They differ in the decision alone, not in prices.

`exact`: module `solve`, started with the best of the cheap baselines; it keeps theirs if it finds no better.
`homogeneous:TIER`: every operator whole on TIER, if the tier takes it; else whole on the tier of least cost among those
that take it. Copies, and whether weights stay or are rewritten, are chosen by the same integer program as in `exact`.
`greedy`: operators in program order, each takes the option that alone is best by the objective, of those for which
arrays are left beside what stays and the scratch pool so far.
`equal`, `random:SEED` (module `shares`), `nsga2` (module `evolutionary`), `row-remap` and `h3pimap` (module
`row_remap`) decide how many outputs each tier takes; for that split copies and modes are chosen as for `homogeneous`
(module `splits`). `nsga2` takes the plan of its front of least objective. `row-remap` starts from the homogeneous plan
of least objective; `h3pimap` is `nsga2`, then `row-remap` from the plan of the front of least predicted loss, if none
of the front meets the budget. `all-analog`, `first-last-digital` (module `mixed`) and `all-digital` know which tiers
err.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np

from .baselines import greedy, homogeneous, pool_on, weights
from .evolutionary import Evolution, Front, evolve
from .mixed import all_analog, first_last_digital
from .problem import PlacementError, Plan, Problem, evaluate
from .relaxation import relax
from .row_remap import LossBudget, LossModel, as_plans, remap
from .search import SAFE, WHOLE
from .shares import equal_split, random_split, whole_split
from .solve import Solution, solve
from .splits import PriceSource, Splits, Splitter, plan_values
from .throughput import solve_throughput

NEAR = 0.2
"""Baselines whose predicted objective is at most this share above the best plan's are worth a simulation."""
SPLITTING = ("equal", "random:SEED", "nsga2", "row-remap", "h3pimap")
"""The strategies that decide splits; they need a `PriceSource`."""
MIXED = ("all-analog", "all-digital", "first-last-digital")
"""The strategies that need to know which tiers err."""
DIGITAL = "digital"
"""The name of the digital unit in every chip."""


@dataclass(frozen=True)
class Outcome:
    """A plan, priced. `bound` and `gap` are None for baselines; `kept` names the strategy whose plan it is."""

    problem: Problem
    plan: Plan
    bound: float | None
    gap: float | None
    status: str
    seconds: float
    kept: str
    near: tuple[tuple[str, Plan], ...] = ()
    """Of `exact`: baselines that are predicted nearly as good, by name; a simulation may see them ahead."""

    @property
    def value(self) -> float:
        """Predicted objective, in its unit."""
        return self.problem.score(self.plan)

    def keeping(self, name: str, plan: Plan) -> Outcome:
        """The same with another plan, of the strategy `name`."""
        value = self.problem.score(plan)
        gap = None if self.bound is None else _gap(value, self.bound)
        return replace(self, plan=plan, kept=name, gap=gap)


@dataclass(frozen=True)
class Extras:
    """What some strategies need beside the problem: prices of any split, losses of outputs and the loss allowed, the
    evolution's size, the names of the tiers that err."""

    source: PriceSource | None = None
    limit: LossBudget | None = None
    evolution: Evolution = field(default_factory=Evolution)
    noisy: tuple[str, ...] = ()


def run(
    problem: Problem, strategy: str, time_limit_s: float, extras: Extras | None = None, near: float = NEAR
) -> Outcome:
    """The plan of a strategy; `near`: the share beyond the best one's value up to which baselines are told.

    PlacementError if there is none, ValueError if there is no such strategy.
    """
    start = time.monotonic()
    _check(problem)
    if not problem.types:
        return _nothing_to_place(problem, strategy)
    if strategy.partition(":")[0] in [name.partition(":")[0] for name in SPLITTING]:
        return _splitting(problem, strategy, time_limit_s, extras or Extras())
    if strategy in MIXED:
        return _mixed(problem, strategy, time_limit_s, extras or Extras())
    if strategy != "exact":
        plan = _baseline(problem, strategy, time_limit_s)
        if plan is None:
            raise PlacementError(f"strategy {strategy}: found no plan within the chip's arrays and the limits")
        return Outcome(problem, plan, None, None, "feasible", time.monotonic() - start, strategy)
    kept, incumbent = _first(problem, time_limit_s)
    solver = solve_throughput if problem.objective == "throughput" else solve
    solution: Solution = solver(problem, incumbent, time_limit_s - (time.monotonic() - start))
    plan = solution.plan
    kept = kept if plan is incumbent else "exact"
    others = _near(problem, plan, time_limit_s, near)
    for name, other in others:
        if problem.score(other) < problem.score(plan):
            kept, plan = name, other
    value = problem.score(plan)
    bound = min(solution.bound, value)
    gap = _gap(value, bound)
    status = "optimal" if gap <= WHOLE else solution.status
    told = tuple((name, other) for name, other in others if other is not plan)
    return Outcome(solution.problem, plan, bound, gap, status, time.monotonic() - start, kept, told)


def _mixed(problem: Problem, strategy: str, time_limit_s: float, extras: Extras) -> Outcome:
    """The plan of a strategy that knows analog tiers and the digital unit."""
    start = time.monotonic()
    if DIGITAL not in problem.tiers:
        raise PlacementError(f"strategy {strategy}: expected a digital unit, the chip has none")
    digital = problem.tiers.index(DIGITAL)
    analog = [problem.tiers.index(name) for name in extras.noisy]
    if not analog and strategy != "all-digital":
        raise PlacementError(f"strategy {strategy}: expected a tier with noise, the chip has none")
    if strategy == "first-last-digital":
        problem, plan = first_last_digital(problem, analog, digital, time_limit_s)
    elif strategy == "all-analog":
        plan = all_analog(problem, analog, digital, time_limit_s)
    else:
        plan = homogeneous(problem, digital, time_limit_s)
    if plan is None:
        raise PlacementError(f"strategy {strategy}: found no plan within the chip's arrays and the limits")
    return Outcome(problem, plan, None, None, "feasible", time.monotonic() - start, strategy)


def _splitting(problem: Problem, strategy: str, time_limit_s: float, extras: Extras) -> Outcome:
    """The plan of a strategy that decides splits."""
    start = time.monotonic()
    name, _, seed = strategy.partition(":")
    if (name == "random") != seed.isdecimal() or (seed and name != "random"):
        raise _unknown(problem, strategy)
    if extras.source is None:
        raise ValueError(f"strategy {strategy}: expected a source of prices for any split")
    if name in ("row-remap", "h3pimap") and extras.limit is None:
        raise PlacementError(f"strategy {strategy}: expected sensitivities of the outputs (--sensitivities), got none")
    splitter = Splitter(problem, extras.source, time_limit_s)
    if not splitter.usable:
        raise PlacementError(f"strategy {strategy}: expected a tier for each operator to stand on, one has none")
    status = "feasible"
    if name in ("nsga2", "h3pimap"):
        left = max(0.0, time_limit_s - (time.monotonic() - start))
        front = evolve(splitter, replace(extras.evolution, seconds=min(left, extras.evolution.seconds)))
        if front is None:
            raise PlacementError(f"strategy {strategy}: found no plan within the chip's arrays and the limits")
        status = "time-limit" if front.timed_out else status
        chosen = _of_front(splitter, front, extras.limit if name == "h3pimap" else None)
    elif name == "row-remap":
        chosen = _best_whole(splitter)
    else:
        chosen = splitter.bearable(equal_split(splitter) if name == "equal" else random_split(splitter, int(seed)))
    if name in ("row-remap", "h3pimap"):
        assert extras.limit is not None
        chosen = remap(splitter, extras.limit, chosen).splits
    finished = splitter.finish(chosen, time_limit_s)
    if finished is None:
        raise PlacementError(f"strategy {strategy}: found no plan within the chip's arrays and the limits")
    return Outcome(*finished, None, None, status, time.monotonic() - start, strategy)


def _of_front(splitter: Splitter, front: Front, limit: LossBudget | None) -> Splits:
    """The plan of least objective, of those that meet the budget; if none does, the one of least predicted loss."""
    values = plan_values(splitter.problem, splitter.total(front.splits))
    if limit is not None:
        losses = LossModel(splitter, limit.losses).loss(front.splits)
        meets = losses <= limit.budget
        values = np.where(meets, values, np.inf) if meets.any() else losses
    return front.take(int(np.argmin(values)))


def _best_whole(splitter: Splitter) -> Splits:
    """Of the plans with every operator whole on one tier, where the tier takes it, the one of least objective."""
    tiers = range(len(splitter.problem.tiers))
    plans = [whole_split(splitter, tier) for tier in tiers]
    values = [plan_values(splitter.problem, splitter.total(as_plans(plan)))[0] for plan in plans]
    return plans[int(np.argmin(values))]


def _nothing_to_place(problem: Problem, strategy: str) -> Outcome:
    """The one plan of a program without matrix operators."""
    plan = evaluate(problem, ())
    assert plan is not None
    bound, gap = (problem.score(plan), 0.0) if strategy == "exact" else (None, None)
    return Outcome(problem, plan, bound, gap, "optimal" if bound is not None else "feasible", 0.0, strategy)


def _near(problem: Problem, plan: Plan, time_limit_s: float, near: float) -> list[tuple[str, Plan]]:
    """The baselines that are predicted to need at most the share `near` more than `plan`."""
    most = problem.score(plan) * (1 + near)
    found: list[tuple[str, Plan]] = []
    for name in strategies(problem):
        tier = name.partition(":")[2]
        bounded = tier and problem.objective != "throughput"
        if bounded and _homogeneous_bound(problem, problem.tiers.index(tier), plan) > most:
            continue
        other = _baseline(problem, name, time_limit_s)
        if other is not None and problem.score(other) <= most:
            found.append((name, other))
    return found


def _gap(value: float, bound: float) -> float:
    return value / bound - 1 if bound > 0 else float(value > 0)


def strategies(problem: Problem) -> list[str]:
    """Names of the cheap baselines that the problem has: greedy, and one for each tier."""
    return ["greedy", *(f"homogeneous:{tier}" for tier in problem.tiers)]


def _check(problem: Problem) -> None:
    for kind in problem.types:
        if not len(kind.options):
            raise PlacementError(f"no tier can take {kind.name}")


def _first(problem: Problem, time_limit_s: float) -> tuple[str, Plan | None]:
    """A plan to start from: the first that is found; None if that is left to the solver."""
    for strategy in strategies(problem):
        plan = _baseline(problem, strategy, time_limit_s)
        if plan is not None:
            return strategy, plan
    return "exact", None


def _homogeneous_bound(problem: Problem, tier: int, plan: Plan) -> float:
    """No plan of `homogeneous` on `tier` is better; `plan` is a good plan."""
    pool = pool_on(problem, tier)
    if pool is None:
        return np.inf
    fixed_energy = problem.fixed_energy_pj + problem.static_pj_per_ps * problem.fixed_latency_ps

    def least(a: float, b: float) -> float:
        constant = a * problem.fixed_latency_ps + b * fixed_energy
        relaxed = relax(pool, a * pool.latency + b * pool.energy)
        return np.inf if relaxed is None else constant + relaxed.bound * SAFE

    if problem.objective != "edp":
        a, b = weights(problem, None)
        return problem.value(least(1.0, 0.0) if a else 0.0, least(0.0, 1.0) if b else 0.0)
    # Between the least latency and the least energy the tangent at the plan: two corners (see `solve`).
    latency, energy = least(1.0, 0.0), least(0.0, 1.0)
    a, b = plan.energy_pj, float(plan.latency_ps)
    if a == 0 or b == 0:
        return 0.0
    tangent = least(a, b)
    corners = (latency, max(energy, (tangent - a * latency) / b)), (max(latency, (tangent - b * energy) / a), energy)
    return min(problem.value(*corner) for corner in corners)


def _baseline(problem: Problem, strategy: str, time_limit_s: float) -> Plan | None:
    name, _, tier = strategy.partition(":")
    if strategy == "greedy":
        return greedy(problem)
    if name == "homogeneous" and tier in problem.tiers:
        return homogeneous(problem, problem.tiers.index(tier), time_limit_s)
    raise _unknown(problem, strategy)


def _unknown(problem: Problem, strategy: str) -> ValueError:
    known = ", ".join(["exact", *strategies(problem), *SPLITTING, *MIXED])
    return ValueError(f"strategy: expected one of {known}, got {strategy!r}")
