"""What plans without segments take, lowered and run: those that are looked at before one is chosen."""

from math import inf

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp

from ..dialects.h3 import ConvOp, MatmulOp, PartAttr
from ..runtime_sim.chip import Chip
from ..runtime_sim.timing import Timing, expected_ns, simulate_below
from .assign_arrays import AssignArrays
from .lower_to_tile import LowerToTile
from .placement.assemble import PlacedPart, parts_of
from .placement.problem import Plan, Problem

MatrixOps = list[MatmulOp | ConvOp]


def simulated_plan(module: ModuleOp, operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip) -> Timing:
    """What `plan` takes when it is lowered and run; leaves the plan's parts on `operators`, those of `module`."""
    timing = simulated_plan_below(module, operators, problem, plan, chip, inf)
    assert timing is not None
    return timing


def simulated_plan_below(
    module: ModuleOp, operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip, most_ns: float
) -> Timing | None:
    """As `simulated_plan`; None where it takes `most_ns` or longer."""
    return simulate_below(_lowered(module, operators, problem, plan, chip), most_ns)


def overlapped_ns(module: ModuleOp, operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip) -> float:
    """What `plan` is expected to take on a chip whose operators overlap, where the solver takes them to follow each
    other; leaves the plan's parts on `operators`."""
    return expected_ns(_lowered(module, operators, problem, plan, chip))


def _lowered(module: ModuleOp, operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip) -> ModuleOp:
    give_parts(operators, problem, plan, chip)
    copy = module.clone()
    for lower in (LowerToTile(), AssignArrays()):
        lower.apply(Context(), copy)
    return copy


def give_parts(operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip) -> None:
    """Write the parts that a plan gives each operator."""
    for op, parts in zip(operators, parts_of(problem, plan), strict=True):
        op.parts = ArrayAttr([_part(part, chip) for part in parts])


def _part(part: PlacedPart, chip: Chip) -> PartAttr:
    """The part in IR, where a tier's first mode goes without saying."""
    is_first = part.precision == chip.tier(part.tier).precisions()[0].name
    return PartAttr.of(
        part.tier,
        part.first,
        part.last,
        copies=part.copies,
        segment=part.segment,
        rewritten=part.rewritten,
        precision="" if is_first else part.precision,
    )
