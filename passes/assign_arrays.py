"""assign-arrays: give each place in arrays the ranges of indices that it takes."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.tile import ArraysAttr, ProgramOp, SegmentOp
from ..dialects.values import place, placed, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import arrays_of_program


@dataclass(frozen=True)
class AssignArrays(ModulePass):
    """Names the arrays that hold each weight: residents first, then each segment's own from where they end.

    `tensor<16x8xf32, #tile.arrays<@chip::@sram>>` becomes `tensor<16x8xf32, #tile.arrays<@chip::@sram, 2 to 3>>`.
    Places that have ranges already keep them.
    """

    name = "assign-arrays"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = chip_from_ir(op)
        free = dict.fromkeys(chip.tiers, 0)
        for segment in main_function(op).body.block.ops:
            if not isinstance(segment, SegmentOp):
                continue
            start = free if segment.once else dict(free)
            for program in segment.body.block.ops:
                if isinstance(program, ProgramOp) and not _is_assigned(program):
                    _assign(program, chip, start)
            for inner, outer in zip(segment.last.values, segment.outs, strict=True):
                Rewriter.replace_value_with_new_type(outer, inner.type)


def _is_assigned(program: ProgramOp) -> bool:
    at = place(program.result)
    return isinstance(at, ArraysAttr) and bool(at.spans)


def _assign(program: ProgramOp, chip: Chip, free: dict[str, int]) -> None:
    at = place(program.result)
    if not isinstance(at, ArraysAttr):
        raise InputError(f"{where(program)}: expected a result in arrays, got {at}")
    tier, first = at.tier_name, free[at.tier_name]
    last = first + arrays_of_program(program, chip) * at.copies.data
    available = chip.tier(tier).arrays
    if last > available:
        raise InputError(f"{where(program)}: expected at most {available} arrays on {tier}, the segment needs {last}")
    free[tier] = last
    type = placed(tensor_type(program.result), ArraysAttr.of(tier, [(first, last)], at.copies.data))
    Rewriter.replace_value_with_new_type(program.result, type)
