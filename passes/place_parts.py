"""place-parts: decide which outputs of which operator run on which tier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, ModuleOp, StringAttr, UnitAttr, f64
from xdsl.ir import Attribute, Block
from xdsl.passes import ModulePass

from ..dialects.h3 import ConvOp, MatmulOp, PartAttr
from ..dialects.tile import LoadOp, StoreOp
from ..dialects.values import buffer, placed, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.cost import closed_form_ps, total_energy_pj
from ..runtime_sim.errors import InputError
from ..runtime_sim.product import Product, product_of
from ..runtime_sim.timing import simulate
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import work_of
from .assign_arrays import AssignArrays
from .lower_to_tile import LowerToTile, digital_op
from .placement.assemble import PlacedPart, build_problem, parts_of
from .placement.problem import PlacementError, Plan, Problem
from .placement.strategies import Outcome, run
from .units import Unit, units_of
from .value_places import ValuePlaces, place_values
from .verify_placement import SOLUTION

MatrixOps = list[MatmulOp | ConvOp]


@dataclass(frozen=True)
class PlaceParts(ModulePass):
    """Gives every matrix operator its parts, and the module what is known of the solution.

    ```mlir
    %q = h3.matmul %x, %w : (tensor<64x16xf32>, tensor<16x32xf32>) -> tensor<64x32xf32>
    ```
    becomes
    ```mlir
    %q = h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 32, copies 2, segment 0>] : ...
    ```
    The pass makes the problem (numbers only) from the module, a solver in `placement/` answers it. With `exact`,
    baselines predicted close to the best plan are simulated beside it, and the plan of least simulated objective stays.
    """

    name = "place-parts"

    strategy: Literal["exact", "greedy", "homogeneous"] = "exact"
    tier: str | None = None
    objective: Literal["latency", "energy", "edp"] = "latency"
    time_limit: float = 60.0
    min_bits: int = 8

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = chip_from_ir(op)
        if (self.strategy == "homogeneous") != (self.tier is not None):
            raise InputError(
                f"strategy {self.strategy}: expected a tier with homogeneous, and only there, got {self.tier}"
            )
        if self.tier is not None:
            chip.tier(self.tier)
        strategy = self.strategy if self.tier is None else f"{self.strategy}:{self.tier}"
        try:
            operators, problem = make_problem(op, chip, self.objective, self.min_bits)
            outcome = run(problem, strategy, self.time_limit)
        except PlacementError as error:
            raise InputError(str(error)) from None
        outcome = _least_simulated(op, operators, outcome, chip)
        _apply(operators, outcome.problem, outcome.plan, chip)
        op.attributes[SOLUTION] = _solution(outcome, strategy)


def make_problem(module: ModuleOp, chip: Chip, objective: str, min_bits: int) -> tuple[MatrixOps, Problem]:
    """The matrix operators of a module in their order, and the problem of placing them."""
    function = main_function(module)
    units = units_of(function)
    places = place_values(function, units, chip)
    operators = [unit.matrix for unit in units if isinstance(unit.matrix, MatmulOp | ConvOp)]
    products = [_product(op, places, chip) for op in operators]
    latency_ps, energy_pj = _fixed_costs(units, places, chip)
    return operators, build_problem(
        chip,
        products,
        objective=objective,
        min_bits=min_bits,
        fixed_latency_ps=latency_ps,
        fixed_energy_pj=energy_pj,
    )


def _product(op: MatmulOp | ConvOp, places: ValuePlaces, chip: Chip) -> Product:
    product = product_of(
        op,
        chip.activation_bits,
        x_off_chip=op.x not in places.on_chip,
        y_off_chip=op.result not in places.on_chip,
    )
    return replace(product, w_off_chip=op.w not in places.on_chip)


def _fixed_costs(units: Sequence[Unit], places: ValuePlaces, chip: Chip) -> tuple[int, float]:
    """Time and energy of what no placement changes: digital work, loads and stores, each on its own."""
    latency_ps, energy_pj = 0, 0.0
    for index, unit in enumerate(units):
        timed: list[LoadOp | StoreOp] = []
        for move, values in ((LoadOp, places.loads.get(index, [])), (StoreOp, places.stores.get(index, []))):
            for value in values:
                whole = tensor_type(value)
                ends = [placed(whole, None), placed(whole, buffer())]
                source, target = ends if move is LoadOp else ends[::-1]
                timed.append(move(Block(arg_types=[source]).args[0], target, step=0))
        works = [work_of(chip, move).work for move in timed]
        if unit.matrix is None:
            types = [placed(tensor_type(v), buffer() if v in places.on_chip else None) for v in unit.ins]
            works.append(work_of(chip, digital_op(unit, Block(arg_types=types).args, places, 0)).work)
        latency_ps += sum(int(closed_form_ps(work)) for work in works)
        energy_pj += sum(float(total_energy_pj(work)) for work in works)
    return latency_ps, energy_pj


def _least_simulated(module: ModuleOp, operators: MatrixOps, outcome: Outcome, chip: Chip) -> Outcome:
    """Of the plan and the baselines predicted close to it, the one of least simulated objective."""
    if not outcome.near:
        return outcome

    def simulated(plan: Plan) -> float:
        _apply(operators, outcome.problem, plan, chip)
        copy = module.clone()
        for lower in (LowerToTile(), AssignArrays()):
            lower.apply(Context(), copy)
        timing = simulate(copy)
        return outcome.problem.value(timing.latency_ns * 1000, timing.energy_pj)

    kept, plan = min([(outcome.kept, outcome.plan), *outcome.near], key=lambda named: simulated(named[1]))
    return outcome if plan is outcome.plan else outcome.keeping(kept, plan)


def _apply(operators: MatrixOps, problem: Problem, plan: Plan, chip: Chip) -> None:
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


def _solution(outcome: Outcome, strategy: str) -> DictionaryAttr:
    """`h3.solution`: figures rounded to what a reader can use; no seconds, as they differ each time."""

    def number(value: float | None) -> Attribute:
        return UnitAttr() if value is None else FloatAttr(float(f"{value:.12g}"), f64)

    return DictionaryAttr(
        {
            "bound": number(outcome.bound),
            "gap": number(outcome.gap),
            "kept": StringAttr(outcome.kept),
            "objective": StringAttr(outcome.problem.objective),
            "predicted_energy_pj": number(outcome.plan.energy_pj),
            "predicted_latency_ns": number(outcome.plan.latency_ps / 1000),
            "status": StringAttr(outcome.status),
            "strategy": StringAttr(strategy),
        }
    )
