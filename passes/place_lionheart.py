"""LionHeart's search on a module: operators move to analog tiers one by one while the measured loss is allowed."""

from collections.abc import Callable

from xdsl.dialects.builtin import ModuleOp

from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from .place_parts import PlaceParts, solution
from .placed import Placed, placed_as
from .placement.mixed import lionheart
from .placement.problem import PlacementError, Plan, Problem
from .placement.strategies import DIGITAL, Outcome
from .simulated_plan import give_parts
from .verify_placement import SOLUTION

MeasuredLoss = Callable[[ModuleOp], float]
"""The measured loss of a placed module, in the unit of what is allowed."""


def place_lionheart(
    placing: PlaceParts,
    module: ModuleOp,
    loss_of: MeasuredLoss,
    allowed: float,
    better_than: float | None = None,
) -> tuple[Placed, float | None]:
    """Place a module as LionHeart does (`placement.mixed`), in the problem of `placing`; returns what it comes to and
    the last loss that was measured of a plan that was kept (None: all is digital).

    `better_than`: the search ends where no plan that it can still reach is predicted better than that.
    """
    chip = chip_from_ir(module)
    tiers = list(chip.tiers)
    noisy = [tiers.index(name) for name, tier in chip.tiers.items() if tier.noise is not None]
    if DIGITAL not in tiers or not noisy:
        raise InputError("strategy lionheart: expected a digital unit and a tier with noise, the chip lacks one")

    def measured(problem: Problem, plan: Plan) -> float:
        give(problem, plan)
        return loss_of(module)

    def give(problem: Problem, plan: Plan) -> Outcome:
        give_parts(operators, problem, plan, chip)
        outcome = Outcome(problem, plan, None, None, "feasible", 0.0, "lionheart")
        module.attributes[SOLUTION] = solution(outcome, "lionheart")
        return outcome

    def worth(problem: Problem, plan: Plan) -> bool:
        return better_than is None or problem.score(plan) < better_than

    try:
        operators, products, problem = placing.problem(module, chip)
        macs = [product.macs() for product in products]
        found = lionheart(problem, noisy, tiers.index(DIGITAL), macs, measured, allowed, placing.time_limit, worth)
    except PlacementError as error:
        raise InputError(str(error)) from None
    return placed_as(module, chip, give(found.problem, found.plan)), found.loss
