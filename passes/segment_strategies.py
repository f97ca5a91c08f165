"""place-parts on pipelined chips: segments by the solver in `segmentation/`, chosen by simulated figures.

The solver makes plans of least time. For another objective, or within limits, the plan is the best of those of all
strategies: what they spend differs in what they load again and in how long the chip is on. Nothing is proven of it.
"""

from dataclasses import dataclass, replace
from math import floor

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp

from ..runtime_sim.errors import InputError
from ..runtime_sim.timing import Timing, simulate_below
from .lower_to_tile import LowerToTile
from .placement.constraints import SECONDS_A_DAY, Constraints, told
from .placement.search import WHOLE
from .segment_plan import KEPT, SEGMENTS, give_segments
from .segment_problem import Program, program_of, segment_problem
from .segmentation.problem import PlacementError, SegmentPlan, SegmentProblem
from .segmentation.strategies import NEAR, run_segments
from .solution import solution_attr
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
        figures = {
            "latency": timing.latency_ns,
            "energy": timing.energy_pj,
            "edp": timing.latency_ns * timing.energy_pj,
            "throughput": timing.period_ns,
        }
        return figures[self.objective]


@dataclass(frozen=True)
class Segmented:
    """A plan of segments of a module's program, its `h3.solution`, and what the simulator found."""

    program: Program
    problem: SegmentProblem
    plan: SegmentPlan
    solution: DictionaryAttr
    timing: Timing

    def give(self, module: ModuleOp) -> None:
        """Write it onto the module that it was made for."""
        forget_segments(module)
        give_segments(module, self.program, self.problem, self.plan)
        module.attributes[SOLUTION] = self.solution


@dataclass(frozen=True)
class _Candidate:
    kept: str
    plan: SegmentPlan
    timing: Timing
    latency_ns: float
    """Predicted, as is the energy: that of a plan but for its time is the simulated one."""
    energy_pj: float


def place_segments(module: ModuleOp, strategy: str, tier: str, wanted: Wanted, *, proves: bool = True) -> Segmented:
    """The plan of segments of a strategy on one tier of arrays; the module is left with one of those looked at.

    With `exact`, baselines predicted nearly as good are simulated beside it, and the best so is kept. `proves`: this is
    the chip's only tier of arrays, so that the bound is one of all plans of segments. InputError if no plan keeps to
    the limits.
    """
    program = program_of(module, tier)
    problem = segment_problem(program)
    share = wanted.limits.max_area_share
    if isinstance(share, float):
        problem = replace(problem, chip=replace(problem.chip, arrays=floor(problem.chip.arrays * share * (1 + 1e-12))))
    try:
        outcome = run_segments(problem, strategy, NEAR if wanted.is_plain else float("inf"))
        plans = [(outcome.kept, outcome.plan), *outcome.near]
    except PlacementError as error:
        raise InputError(str(error)) from None
    found: list[_Candidate] = []
    beaten_ns = float("inf")
    for name, plan in plans:
        forget_segments(module)
        give_segments(module, program, problem, plan)
        copy = module.clone()
        LowerToTile().apply(Context(), copy)
        timing, static_mw = simulate_below(copy, beaten_ns), program.chip.static_power_mw
        if timing is None:
            continue
        if wanted.is_plain:
            beaten_ns = timing.latency_ns
        latency_ns = plan.total_ps / 1000
        energy_pj = timing.energy_pj - timing.components["static"] + static_mw * latency_ns
        found.append(_Candidate(name, plan, timing, latency_ns, energy_pj))
    best = min(_within(found, wanted.limits), key=lambda each: wanted.value(each.timing))
    bound_ps = outcome.plan.bound_ps if wanted.objective == "latency" and proves else None
    return Segmented(program, problem, best.plan, _solution(strategy, best, wanted.objective, bound_ps), best.timing)


def _within(found: list[_Candidate], limits: Constraints) -> list[_Candidate]:
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


def _expect(found: list[_Candidate], what: str, reached: str) -> None:
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


def _solution(strategy: str, best: _Candidate, objective: str, bound_ps: int | None) -> DictionaryAttr:
    """`h3.solution` of a plan of segments."""
    bound = None if not bound_ps else bound_ps / 1000
    gap = None if bound is None else best.latency_ns / bound - 1
    # Weights that stay let executions follow each other as the busiest resource allows.
    period_ns = min(best.timing.period_ns, best.latency_ns) if best.plan.resident else best.latency_ns
    return solution_attr(
        strategy,
        best.kept,
        objective,
        latency_ns=best.latency_ns,
        energy_pj=best.energy_pj,
        period_ns=period_ns,
        bound=bound,
        gap=gap,
        status="optimal" if gap is not None and gap <= WHOLE else "feasible",
    )
