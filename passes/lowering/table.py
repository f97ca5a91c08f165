"""The one list of what is matrix work: every other operator is digital work."""

from collections.abc import Mapping

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from ...runtime_sim.errors import InputError, where
from . import attention, conv, einsum, integer, matmul, nbits, qlinear
from .family import Family, op_key
from .site import known_tensors, top_ops

TABLE: Mapping[str, Family] = {
    **matmul.FAMILIES,
    **conv.FAMILIES,
    **einsum.FAMILIES,
    **attention.FAMILIES,
    **integer.FAMILIES,
    **qlinear.FAMILIES,
    **nbits.FAMILIES,
}


def matrix_family(op: Operation) -> Family | None:
    """How `op`, which stands in @main itself, becomes matrix work; None if it stays digital.

    An operator of the table whose shapes are not known is an error, one without any work (a dimension of 0) is digital.
    """
    family = TABLE.get(op_key(op))
    if family is None:
        return None
    if not known_tensors([*op.operands, *op.results]):
        types = ", ".join(str(value.type) for value in (*op.operands, *op.results))
        raise InputError(f"{where(op)}: a matrix operator needs known shapes, got {types}")
    return family if family.takes(op) and family.macs(op) > 0 else None


def matrix_ops(module: ModuleOp) -> list[tuple[Operation, Family]]:
    """The ops of @main that are to become matrix work, in order."""
    found = ((op, matrix_family(op)) for op in top_ops(module))
    return [(op, family) for op, family in found if family is not None]
