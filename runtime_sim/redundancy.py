"""Weights that are held several times, so that their errors average out: tiers that can, and a chip set to do so."""

from xdsl.dialects.builtin import ModuleOp

from .chip import chip_from_tree, chip_tree
from .chip_ir import chip_from_ir, chip_op, chip_to_ir

STACKED = "stacked"
"""The field of tiers that can: how often each weight is held."""


def copies_held(module: ModuleOp) -> int:
    """How often tiers that err hold each weight."""
    tiers = chip_from_ir(module).tiers.values()
    return max((int(getattr(tier, STACKED, 1)) for tier in tiers if tier.noise is not None), default=1)


def stackable(module: ModuleOp) -> bool:
    """Whether some tier of the module's chip errs and can hold weights several times."""
    return any(
        STACKED in type(tier).model_fields for tier in chip_from_ir(module).tiers.values() if tier.noise is not None
    )


def set_stacked(module: ModuleOp, copies: int) -> None:
    """Let all tiers that err, and can, hold each weight so many times."""
    chip, old = chip_from_ir(module), chip_op(module)
    tree = chip_tree(chip)
    for name, tier in chip.tiers.items():
        if tier.noise is not None and STACKED in type(tier).model_fields:
            tree["tiers"][name][STACKED] = copies
    block = old.parent_block()
    assert block is not None
    block.insert_op_before(chip_to_ir(chip_from_tree(tree, f"h3.chip @{old.sym_name.data}")), old)
    old.detach()
    old.erase()
