"""Put the description of a chip into the module."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from ...dialects.h3 import ChipOp
from ...runtime_sim.chip_ir import chip_to_ir
from ...runtime_sim.errors import InputError
from .load import load_chip


@dataclass(frozen=True)
class AttachChip(ModulePass):
    """`attach-chip{target=h3pimap}`: insert the chip as the module's first op; from here on all reads it from there.

    Before: `builtin.module { func.func @main .. }`. After: `builtin.module { h3.chip @chip sequential fields {..} {
    h3.memory @buffer {..}  h3.memory @dram {..}  h3.tier @sram kind "crossbar" {..} .. }  func.func @main .. }`.
    `target` is a chip that ships with h3c or the path of a chip file, in double quotes.
    """

    name = "attach-chip"

    target: str = "h3pimap"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in op.body.block.ops:
            if isinstance(inner, ChipOp):
                raise InputError(f"attach-chip: expected a module without a chip, got @{inner.sym_name.data}")
        target = load_chip(self.target)
        block, chip = op.body.block, chip_to_ir(target)
        if block.first_op is None:
            block.add_op(chip)
        else:
            block.insert_op_before(chip, block.first_op)
