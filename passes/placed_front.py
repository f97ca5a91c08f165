"""The front of latency and energy as placed modules."""

from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp

from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from .place_parts import PlaceParts, solution
from .placement.front import FrontPoint, front
from .placement.problem import PlacementError
from .placement.strategies import Outcome
from .simulated_plan import give_parts
from .verify_placement import SOLUTION


def placed_front(placing: PlaceParts, module: ModuleOp, most: int) -> list[tuple[ModuleOp, FrontPoint]]:
    """The latency-energy front of a module in at most `most` plans: a placed copy for each, from the fastest on.

    The solution that a copy carries is of least energy among the plans that are as fast.
    """
    chip = chip_from_ir(module)
    chip.expect_sequential("a front of plans")
    try:
        operators, _, problem = placing.problem(module, chip)
        points = front(problem, most, placing.time_limit)
    except PlacementError as error:
        raise InputError(str(error)) from None
    placed: list[tuple[ModuleOp, FrontPoint]] = []
    for point in points:
        give_parts(operators, point.problem, point.plan, chip)
        status = "optimal" if point.proven else "feasible"
        frugal = replace(point.problem, objective="energy")
        outcome = Outcome(frugal, point.plan, point.energy_bound_pj, point.gap, status, 0.0, "exact")
        copy = module.clone()
        copy.attributes[SOLUTION] = solution(outcome, "exact")
        placed.append((copy, point))
    return placed
