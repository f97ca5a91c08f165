"""What a placement comes to, whatever kind of plan it is."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr

from ..runtime_sim.chip import Chip
from ..runtime_sim.errors import InputError
from ..runtime_sim.timing import Timing, simulate
from .assign_arrays import AssignArrays
from .lower_to_tile import LowerToTile
from .placement.strategies import Outcome
from .verify_placement import SOLUTION


@dataclass(frozen=True)
class Placed:
    """The objective in its unit (ns, pJ, ns pJ), energy, and predicted loss in the unit of the losses. Objective and
    energy are predicted where operators follow each other, simulated where they overlap."""

    value: float
    energy_pj: float
    loss: float

    @staticmethod
    def simulated(module: ModuleOp, objective: str, loss: float) -> Placed:
        """Of a placed module."""
        copy = module.clone()
        for lower in (LowerToTile(), AssignArrays()):
            lower.apply(Context(), copy)
        timing = simulate(copy)
        return Placed(objective_of(timing, objective), timing.energy_pj, loss)


def placed_as(module: ModuleOp, chip: Chip, outcome: Outcome) -> Placed:
    """What a plan without segments comes to that `module` has."""
    if chip.schedule == "pipelined":
        return Placed.simulated(module, outcome.problem.objective, outcome.plan.loss)
    return Placed(outcome.value, outcome.plan.energy_pj, outcome.plan.loss)


def objective_of(timing: Timing, objective: str) -> float:
    """An objective as simulated."""
    figures = {
        "latency": timing.latency_ns,
        "energy": timing.energy_pj,
        "edp": timing.latency_ns * timing.energy_pj,
        "throughput": timing.period_ns,
    }
    return figures[objective]


def tell_strategy(module: ModuleOp, strategy: str) -> None:
    """Let `h3.solution` of a placed module name the strategy that was asked for; whose plan it is stays."""
    solution = module.attributes.get(SOLUTION)
    if not isinstance(solution, DictionaryAttr):
        raise InputError(f"{SOLUTION}: expected a dictionary, got {solution}")
    module.attributes[SOLUTION] = DictionaryAttr({**solution.data, "strategy": StringAttr(strategy)})
