"""The program as a list of units: one matrix operator each, and the runs of digital work between them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.h3 import MatrixOp, WeightOp
from ..dialects.values import producer
from ..runtime_sim.errors import InputError

INLINE_CONSTANTS = ("onnx.Constant", "onnx.NoValue")
"""Ops without operands that are cloned to where they are used, rather than passed."""


@dataclass
class Unit:
    """One matrix operator, or consecutive onnx ops that the digital unit does in one go."""

    ops: list[Operation]
    ins: list[SSAValue] = field(default_factory=list[SSAValue])
    """What it reads from outside, in order of first use: arguments, weights, results of earlier units."""
    outs: list[SSAValue] = field(default_factory=list[SSAValue])
    """Those of its results that are used outside."""

    @property
    def matrix(self) -> MatrixOp | None:
        """The matrix operator, None for digital work."""
        op = self.ops[0]
        return op if isinstance(op, MatrixOp) else None


def returned_values(function: FuncOp) -> tuple[SSAValue, ...]:
    """The operands of the function's return."""
    last = function.body.block.last_op
    if not isinstance(last, ReturnOp):
        raise InputError("expected @main to end with func.return")
    return tuple(last.arguments)


def operands_from_outside(op: Operation) -> Iterator[SSAValue]:
    """The values that `op` reads, those that its regions capture included."""
    yield from op.operands
    inner = [nested for region in op.regions for nested in region.walk()]
    for nested in inner:
        for operand in nested.operands:
            owner = operand.owner
            parent = owner if isinstance(owner, Block) else owner.parent
            if parent is not None and parent is op.parent:
                yield operand


def units_of(function: FuncOp) -> list[Unit]:
    """The function's work in its order; constants belong to no unit."""
    units: list[Unit] = []
    run: Unit | None = None
    for op in function.body.block.ops:
        if isinstance(op, WeightOp | ReturnOp) or op.name in INLINE_CONSTANTS:
            continue
        if isinstance(op, MatrixOp):
            units.append(Unit([op]))
            run = None
        elif run is None:
            run = Unit([op])
            units.append(run)
        else:
            run.ops.append(op)
    for unit in units:
        _find_borders(unit)
    return units


def _find_borders(unit: Unit) -> None:
    own = set(unit.ops)
    inside = own | {nested for op in unit.ops for region in op.regions for nested in region.walk()}
    ins: dict[SSAValue, None] = {}
    for op in unit.ops:
        for operand in operands_from_outside(op):
            maker = producer(operand)
            if maker in own or (maker is not None and maker.name in INLINE_CONSTANTS):
                continue
            ins.setdefault(operand)
    unit.ins = list(ins)
    unit.outs = [
        result for op in unit.ops for result in op.results if any(use.operation not in inside for use in result.uses)
    ]
