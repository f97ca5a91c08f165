"""verify-placement: prove that a placed program can run on its chip."""

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, ModuleOp, StringAttr, UnitAttr
from xdsl.ir import Attribute, SSAValue
from xdsl.passes import ModulePass

from ..dialects.h3 import ConvOp, MatmulOp, MatrixOp, WeightOp
from ..dialects.tile import RoundsAttr
from ..dialects.values import static_weight
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.product import product_of
from ..runtime_sim.walk import main_function
from ..runtime_sim.weights import STORE
from .units import units_of

SOLUTION = "h3.solution"
ROUNDS = "h3.rounds"
"""On an operator larger than the chip: how it passes the arrays; the range is but their number."""
SOLUTION_KEYS = (
    "bound",
    "gap",
    "kept",
    "objective",
    "predicted_energy_pj",
    "predicted_latency_ns",
    "predicted_period_ns",
    "proven_of",
    "status",
    "strategy",
)


@dataclass(frozen=True)
class VerifyPlacement(ModulePass):
    """Checks that every matrix operator has parts on tiers that take it, that no tier holds more than its arrays in
    any segment, that segments follow the program's order, and that `h3.solution` is complete. Changes nothing."""

    name = "verify-placement"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = chip_from_ir(op)
        residents: dict[str, int] = defaultdict(int)
        scratch: dict[tuple[str, int], int] = defaultdict(int)
        reached = 0
        for unit in units_of(main_function(op)):
            matrix = unit.matrix
            if matrix is not None:
                reached = _check_operator(matrix, chip, reached, residents, scratch)
        for tier in chip.tiers:
            _check_capacity(tier, chip, residents[tier], {n: a for (name, n), a in scratch.items() if name == tier})
        check_solution(op)


def _check_operator(
    op: MatrixOp, chip: Chip, reached: int, residents: dict[str, int], scratch: dict[tuple[str, int], int]
) -> int:
    """Add the operator's arrays to the counts; returns the last segment that it runs in."""
    if not isinstance(op, MatmulOp | ConvOp) or not op.placed:
        raise InputError(f"{where(op)}: expected parts (run place-parts), found none")
    product = product_of(op, chip.activation_bits)
    if op.order is not None:
        _check_order(op, op.order)
    for part in op.placed:
        tier = chip.tier(part.tier_name)
        tier.mode(part.precision.data)
        refusal = tier.refuses(product)
        if refusal is not None:
            raise InputError(f"{where(op)}: part on {part.tier_name}, which {refusal}")
        granule = 1 if product.batched or product.groups == 1 else product.n
        if part.first.data % granule or part.last.data % granule:
            raise InputError(f"{where(op)}: expected whole groups of {granule} outputs, got {part}")
        if part.segment.data < reached:
            raise InputError(f"{where(op)}: segment {part.segment.data} comes after segment {reached}")
        reached = part.segment.data
        if not tier.arrays:
            continue
        if static_weight(op.w) is None and not part.is_rewritten:
            raise InputError(f"{where(op)}: expected `rewritten`, as its weight is made at run time, got {part}")
        arrays = int(tier.arrays_needed(product, part.outputs)) * part.copies.data
        rounds = op.attributes.get(ROUNDS)
        if isinstance(rounds, RoundsAttr):
            arrays = rounds.at.size
        if part.is_rewritten:
            scratch[part.tier_name, reached] += arrays
        else:
            residents[part.tier_name] += arrays
    return reached


def _check_order(op: MatmulOp | ConvOp, order: SSAValue) -> None:
    """An order is a known permutation of outputs; those of groups, and of computed weights, stay where they are."""
    maker = static_weight(order)
    if not isinstance(maker, WeightOp):
        raise InputError(f"{where(op)}: order: expected an h3.weight, got a computed value")
    if static_weight(op.w) is None or (isinstance(op, ConvOp) and op.window.groups.data > 1):
        raise InputError(f"{where(op)}: order: expected none for a weight made at run time or in groups, got one")
    values = STORE.array(maker)
    if not np.array_equal(np.sort(values), np.arange(op.outputs)):
        raise InputError(f"{where(op)}: expected an order that names each of {op.outputs} outputs once")


def _check_capacity(tier: str, chip: Chip, residents: int, scratch: dict[int, int]) -> None:
    available = chip.tier(tier).arrays
    segment, most = max(scratch.items(), key=lambda item: item[1], default=(0, 0))
    if residents + most > available:
        raise InputError(
            f"segment {segment}: expected at most {available} arrays on {tier}, "
            f"the plan takes {residents} for weights that stay and {most} for weights that are rewritten"
        )


def check_solution(module: ModuleOp) -> None:
    """`h3.solution` is complete, of the right types, and not better than its bound."""
    solution = module.attributes.get(SOLUTION)
    if not isinstance(solution, DictionaryAttr) or set(solution.data) != set(SOLUTION_KEYS):
        raise InputError(f"{SOLUTION}: expected a dictionary of {', '.join(SOLUTION_KEYS)}, got {solution}")
    for key in ("predicted_energy_pj", "predicted_latency_ns", "predicted_period_ns"):
        _check_number(key, solution.data[key])
    bound, gap = solution.data["bound"], solution.data["gap"]
    if isinstance(bound, UnitAttr) != isinstance(gap, UnitAttr):
        raise InputError(f"{SOLUTION}: expected a bound with a gap or neither, got {bound} and {gap}")
    if not isinstance(bound, UnitAttr):
        _check_number("bound", bound)
        _check_number("gap", gap)
    for key in ("kept", "objective", "status", "strategy"):
        if not isinstance(solution.data[key], StringAttr):
            raise InputError(f"{SOLUTION}.{key}: expected text, got {solution.data[key]}")


def _check_number(key: str, value: Attribute) -> None:
    if not isinstance(value, FloatAttr) or not isfinite(value.value.data) or value.value.data < 0:
        raise InputError(f"{SOLUTION}.{key}: expected a finite number from 0, got {value}")
