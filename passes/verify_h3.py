"""The pass `verify-h3`: what holds when lowering is done, and what placement and all after it rely on."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.h3_chip import ChipOp, TierOp
from ..dialects.values import shape_of, tensor_type
from ..runtime_sim.errors import InputError, where
from .lowering.constants import is_constant
from .lowering.site import known_tensors, top_ops


@dataclass(frozen=True)
class VerifyH3(ModulePass):
    """Check that all matrix work is h3 ops, and that each of them can be placed; the module is not changed.

    - no operator that lower-matrix-ops takes is left in @main;
    - every h3 op verifies (K, N, window, values an output, parts that cover the outputs in order), has known shapes and
      at least one multiply-accumulate, constants as bias and scale, a zero point only for integers;
    - parts name tiers of the chip, and keep the groups of a convolution whole.
    """

    name = "verify-h3"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        from .lowering.table import matrix_family

        tiers = _tiers(op)
        for found in top_ops(op):
            if isinstance(found, MatmulOp | ConvOp):
                _check(found, tiers)
            elif matrix_family(found) is not None:
                raise InputError(f"{where(found)}: {found.name} is matrix work, expected an h3 op (lower-matrix-ops)")


def _tiers(module: ModuleOp) -> set[str] | None:
    """The tiers of the chip; None for a module without one."""
    chips = [op for op in module.ops if isinstance(op, ChipOp)]
    if len(chips) > 1:
        raise InputError(f"a module has one h3.chip, got {len(chips)}")
    return {op.sym_name.data for op in chips[0].body.ops if isinstance(op, TierOp)} if chips else None


def _check(op: MatmulOp | ConvOp, tiers: set[str] | None) -> None:
    if not known_tensors([*op.operands, op.result]):
        raise InputError(f"{where(op)}: expected known shapes, got {', '.join(str(v.type) for v in op.operands)}")
    try:
        op.verify(verify_nested_ops=False)
    except VerifyException as error:
        raise InputError(f"{where(op)}: {error}") from error
    if 0 in (*shape_of(op.x), *shape_of(op.w), *shape_of(op.result)):
        raise InputError(f"{where(op)}: a product without any work is digital, got {op.x.type} and {op.w.type}")
    for name, value in (("bias", op.bias), ("scale", op.scale)):
        if value is not None and not is_constant(value):
            raise InputError(f"{where(op)}: {name} should be a constant, got a computed value")
    integer = [isinstance(tensor_type(value).element_type, IntegerType) for value in (op.x, op.w)]
    if integer[0] != integer[1] or (op.zero and not integer[0]):
        raise InputError(
            f"{where(op)}: expected two factors of integers or two of floats and a zero point only for integers, "
            f"got {op.x.type}, {op.w.type}, zero point {op.zero}"
        )
    for part in op.placed:
        if tiers is not None and part.tier_name not in tiers:
            raise InputError(f"{where(op)}: the chip has no tier @{part.tier_name}; it has {', '.join(sorted(tiers))}")
        size = op.outputs // op.window.groups.data if isinstance(op, ConvOp) else 1
        if part.first.data % size or part.last.data % size:
            raise InputError(f"{where(op)}: {part} cuts a group of {size} outputs")
