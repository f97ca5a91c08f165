"""place-parts on pipelined chips: segments by the solver in `segmentation/`, chosen by simulated figures.

The solver makes plans of least time. For another objective, or within limits, the plan is the best of those of all
strategies: what they spend differs in what they load again and in how long the chip is on. Nothing is proven of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from ..runtime_sim.errors import InputError
from ..runtime_sim.timing import Timing, simulate_below
from .assign_arrays import AssignArrays
from .lower_to_tile import LowerToTile
from .placed import objective_of
from .placement.constraints import SECONDS_A_DAY, Constraints, told
from .placement.row_remap import LossBudget
from .placement.search import WHOLE
from .segment_hosts import hosted_problem
from .segment_plan import KEPT, SEGMENTS, give_segments
from .segment_problem import Program, program_of, segment_problem
from .segmentation.problem import PlacementError, SegmentPlan, SegmentProblem
from .segmentation.strategies import NEAR, run_segments
from .solution import PLANS_OF_SEGMENTS, solution_attr
from .verify_placement import ROUNDS, SOLUTION


@dataclass(frozen=True)
class Wanted:
    """What a plan is to make least, and the limits that it keeps to; a predicted loss is none of them here."""

    objective: str
    limits: Constraints

    @property
    def is_plain(self) -> bool:
        """The least time, whatever it costs: what the solver minimises, and proves a bound of."""
        return self.objective == "latency" and self.limits == Constraints()

    def value(self, timing: Timing) -> float:
        """The objective as simulated."""
        return objective_of(timing, self.objective)


@dataclass(frozen=True)
class Segmented:
    """A plan of segments of a module's program, and what the simulator found."""

    program: Program
    problem: SegmentProblem
    """Its operators have their hosts."""
    plan: SegmentPlan
    kept: str
    """The strategy whose plan it is."""
    timing: Timing
    energy_pj: float
    """Predicted: the simulated one, but for the plan's time."""
    loss: float
    """Predicted; 0 where nothing is known of losses."""
    bound_ps: int | None = None
    """No plan of segments that are cut for the same tier takes less."""

    @property
    def latency_ns(self) -> float:
        """Predicted."""
        return self.plan.total_ps / 1000

    def give(self, module: ModuleOp, strategy: str, objective: str, bound_ps: int | None) -> None:
        """Write it onto the module that it was made for; `bound_ps` is that of all plans that might have been made."""
        forget_segments(module)
        give_segments(module, self.program, self.problem, self.plan)
        bound = min(bound_ps / 1000, self.latency_ns) if bound_ps and objective == "latency" else None
        gap = None if bound is None else self.latency_ns / bound - 1
        # Weights that stay let executions follow each other as the busiest resource allows.
        period_ns = min(self.timing.period_ns, self.latency_ns) if self.plan.resident else self.latency_ns
        module.attributes[SOLUTION] = solution_attr(
            strategy,
            self.kept,
            objective,
            latency_ns=self.latency_ns,
            energy_pj=self.energy_pj,
            period_ns=period_ns,
            bound=bound,
            gap=gap,
            status="optimal" if gap is not None and gap <= WHOLE else "feasible",
            proven_of=PLANS_OF_SEGMENTS,
        )


def least_bound_ps(plans: Sequence[Segmented]) -> int | None:
    """No plan of segments takes less, whatever tier they are cut for; None: nothing is known of one."""
    bounds = [each.bound_ps for each in plans]
    return min((bound or 0 for bound in bounds), default=None) if all(bounds) else None


def place_segments(
    module: ModuleOp, strategy: str, tier: str, wanted: Wanted, min_bits: int, budget: LossBudget | None = None
) -> Segmented:
    """The plan of segments of a strategy, cut for one tier of arrays; the module is left with one of those looked at.

    With `exact`, operators may run on other tiers at `min_bits` or more, within `budget`; baselines predicted nearly as
    good are simulated beside it, and the best so is kept. InputError if no plan keeps to the limits.
    """
    program = program_of(module, tier)
    problem, hosted = segment_problem(program), None
    share = wanted.limits.max_area_share
    share = share * (1 + 1e-12) if isinstance(share, float) else 1.0
    problem = replace(problem, chip=replace(problem.chip, arrays=floor(problem.chip.arrays * share)))
    if strategy == "exact":
        hosted = hosted_problem(program, problem, min_bits, share, budget)
    try:
        outcome = run_segments(problem, strategy, NEAR if wanted.is_plain else float("inf"), hosted)
    except PlacementError as error:
        raise InputError(str(error)) from None
    found: list[Segmented] = []
    beaten_ns = float("inf")
    for name, own, plan in [(outcome.kept, outcome.problem, outcome.plan), *outcome.near]:
        forget_segments(module)
        give_segments(module, program, own, plan)
        copy = module.clone()
        for lower in (LowerToTile(), AssignArrays()):
            lower.apply(Context(), copy)
        timing, static_mw = simulate_below(copy, beaten_ns), program.chip.static_power_mw
        if timing is None:
            continue
        if wanted.is_plain:
            beaten_ns = timing.latency_ns
        energy_pj = timing.energy_pj - timing.components["static"] + static_mw * (plan.total_ps / 1000)
        loss = 0.0 if hosted is None else hosted.loss([operator.host for operator in own.operators])
        found.append(Segmented(program, own, plan, name, timing, energy_pj, loss, outcome.plan.bound_ps))
    return min(_within(found, wanted.limits), key=lambda each: wanted.value(each.timing))


def _within(found: list[Segmented], limits: Constraints) -> list[Segmented]:
    """Those that keep to the limits."""
    if limits.max_latency_ps is not None:
        most, least = limits.max_latency_ps, min(each.latency_ns for each in found) * 1000
        found = [each for each in found if each.latency_ns * 1000 <= most]
        _expect(found, f"whose latency is at most {told(most, 'ps')}", told(least, "ps"))
    if limits.max_energy_pj is not None:
        most, least = limits.max_energy_pj, min(each.energy_pj for each in found)
        found = [each for each in found if each.energy_pj <= most]
        _expect(found, f"whose energy is at most {told(most, 'pJ')}", told(least, "pJ"))
    if limits.lifetime_s is not None and limits.executions_per_day is not None:
        executions = limits.lifetime_s / SECONDS_A_DAY * limits.executions_per_day
        longest = max(_lasts(each.timing) for each in found)
        found = [each for each in found if _lasts(each.timing) >= executions]
        _expect(found, f"whose cells last {executions:.4g} executions", f"{longest:.4g}")
    return found


def _expect(found: list[Segmented], what: str, reached: str) -> None:
    if not found:
        raise InputError(f"expected a plan {what}, the best of the plans of segments reaches {reached}")


def _lasts(timing: Timing) -> float:
    """Executions until the first cell of any tier wears out."""
    each = (tier.executions_to_endurance for tier in timing.tiers.values())
    return min((executions for executions in each if executions is not None), default=float("inf"))


def forget_segments(module: ModuleOp) -> None:
    """Remove a plan of segments."""
    module.attributes.pop(SEGMENTS, None)
    for op in module.walk():
        op.attributes.pop(KEPT, None)
        op.attributes.pop(ROUNDS, None)
