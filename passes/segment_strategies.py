"""place-parts on pipelined chips: segments by the solver in `segmentation/`, chosen by simulated time."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, ModuleOp, StringAttr, UnitAttr, f64
from xdsl.ir import Attribute

from ..runtime_sim.errors import InputError
from ..runtime_sim.timing import Timing, simulate
from .lower_to_tile import LowerToTile
from .segment_plan import KEPT, SEGMENTS, give_segments
from .segment_problem import program_of, segment_problem
from .segmentation.problem import PlacementError, SegmentPlan
from .segmentation.strategies import run_segments
from .verify_placement import ROUNDS


@dataclass(frozen=True)
class Segmented:
    """A plan of segments, its `h3.solution`, and what the simulator found."""

    plan: SegmentPlan
    solution: DictionaryAttr
    latency_ns: float


def place_segments(module: ModuleOp, strategy: str) -> Segmented:
    """Gives a module the plan of segments of a strategy. With `exact`, baselines predicted nearly as good are simulated
    beside it, and the plan that is fastest so is kept."""
    program = program_of(module)
    problem = segment_problem(program)
    try:
        outcome = run_segments(problem, strategy)
    except PlacementError as error:
        raise InputError(str(error)) from None
    found: list[tuple[str, SegmentPlan, Timing]] = []
    for name, plan in ((outcome.kept, outcome.plan), *outcome.near):
        forget_segments(module)
        give_segments(module, program, problem, plan)
        copy = module.clone()
        LowerToTile().apply(Context(), copy)
        found.append((name, plan, simulate(copy)))
    kept, plan, timing = min(found, key=lambda each: each[2].latency_ns)
    forget_segments(module)
    give_segments(module, program, problem, plan)
    told = _solution(strategy, kept, plan, timing, outcome.plan.bound_ps, program.chip.static_power_mw)
    return Segmented(plan, told, timing.latency_ns)


def forget_segments(module: ModuleOp) -> None:
    """Remove a plan of segments."""
    module.attributes.pop(SEGMENTS, None)
    for op in module.walk():
        op.attributes.pop(KEPT, None)
        op.attributes.pop(ROUNDS, None)


def _solution(
    strategy: str, kept: str, plan: SegmentPlan, timing: Timing, bound_ps: int | None, static_mw: float
) -> DictionaryAttr:
    """As `place_parts.solution`. The dynamic energy of a plan does not depend on time, so it is the simulated one."""
    latency_ns = plan.total_ps / 1000
    dynamic_pj = timing.energy_pj - timing.components["static"]

    def number(value: float | None) -> Attribute:
        return UnitAttr() if value is None else FloatAttr(float(f"{value:.12g}"), f64)

    bound = None if not bound_ps else bound_ps / 1000
    gap = None if bound is None else latency_ns / bound - 1
    return DictionaryAttr(
        {
            "bound": number(bound),
            "gap": number(gap),
            "kept": StringAttr(kept),
            "objective": StringAttr("latency"),
            "predicted_energy_pj": number(dynamic_pj + static_mw * latency_ns),
            "predicted_latency_ns": number(latency_ns),
            "predicted_period_ns": number(latency_ns),
            "status": StringAttr("feasible"),
            "strategy": StringAttr(strategy),
        }
    )
