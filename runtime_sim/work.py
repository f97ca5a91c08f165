"""What each tile op asks of the chip: one rule an op class, from the same functions that prices come from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue

from ..dialects.h3 import MACS
from ..dialects.onnx_ops import ConstantOp
from ..dialects.tile import AheadOp, DigitalOp, JoinOp, LoadOp, MemoryAttr, MvmOp, ProgramOp, StoreOp, SwitchOp, YieldOp
from ..dialects.tile_movement import ArraysAttr, MoveOp
from ..dialects.values import place, shape_of, static_weight, tensor_type
from .chip import Chip
from .cost import Work, ceil_div, chunk_count, ps_for
from .digital_cost import Tally, bits_of, root, tally_block, work_of_tally
from .digital_ops import elements, shape
from .errors import InputError, where
from .kinds.arrays import ArrayTier
from .product import Product, product_between, wire_bits
from .rounds import Rounds, rounds_of, switch_work
from .walk import definition, users


@dataclass(frozen=True)
class OpWork:
    """The work of one tile op, and whose it is."""

    work: Work
    tier: str | None
    """The tier that does it; None for a load or store."""
    macs: int = 0
    """Multiply-accumulates of a matrix operator."""
    arrays: int = 0
    """Arrays that compute."""
    rounds: Rounds | None = None
    """Of a product in rounds, one of them; `work` then has its energy and wear, and no stages."""


def product_of_mvm(op: MvmOp, activation_bits: int) -> Product:
    """The product of the whole operator that `op` makes a part of."""
    return product_between(
        op.x,
        op.w,
        op.result,
        activation_bits,
        outputs=op.all_outputs,
        conv_groups=None if op.window is None else op.window.groups.data,
        static=_is_static(op.w),
        x_off_chip=place(op.x) is None,
        y_off_chip=place(op.result) is None,
        w_off_chip=place(op.w) is None,
    )


def _is_static(w: SSAValue) -> bool:
    """Whether a weight, as it is or as arrays hold it, is a constant of the model."""
    made = definition(w)
    if isinstance(made, OpResult) and isinstance(made.op, ProgramOp):
        made = definition(made.op.w)
    return static_weight(made) is not None


def product_of_program(op: ProgramOp, activation_bits: int) -> tuple[Product, int]:
    """(the product of the weight slice that `op` writes, with one vector; its outputs)."""
    sizes = shape_of(op.result)
    if _holds_windows(op):
        k, outputs, groups, batched = prod(sizes[1:]), sizes[0], op.group_count, False
    else:
        k, outputs, groups = sizes[-2], sizes[-1], max(1, prod(sizes[:-2]))
        batched = groups > 1
    product = Product(
        m=1,
        k=k,
        n=outputs if batched else outputs // groups,
        groups=groups,
        static=True,
        input_elements=k * groups,
        output_elements=outputs * (groups if batched else 1),
        input_bits=activation_bits,
        weight_bits=wire_bits(tensor_type(op.w).element_type, activation_bits),
        output_bits=activation_bits,
        w_off_chip=place(op.w) is None,
        batched=batched,
    )
    return product, outputs


def arrays_of_program(op: ProgramOp, chip: Chip) -> int:
    """Arrays that one copy of what `op` writes takes."""
    at = place(op.result)
    assert isinstance(at, ArraysAttr)
    product, outputs = product_of_program(op, chip.activation_bits)
    return int(chip.tier(at.tier_name).arrays_needed(product, outputs))


def _holds_windows(op: ProgramOp) -> bool:
    """Whether the weight is a convolution's (N x I/g x ..), not a matmul's (.. x K x N): its reader knows."""
    for user in users(op.result):
        if isinstance(user, MvmOp):
            return user.window is not None
    return op.group_count > 1 or len(shape_of(op.result)) > 2


def work_of(chip: Chip, op: Operation) -> OpWork:
    """The work of a tile op: what its rule says."""
    return WORK_RULES[type(op)](chip, op)


@lru_cache(maxsize=256)
def _widened(key: "_Identity", tier: str, arrays: int) -> Chip:
    chip, kind = key.chip, key.chip.tier(tier)
    assert isinstance(kind, ArrayTier)
    return chip.model_copy(update={"tiers": {**chip.tiers, tier: kind.widened(arrays)}})


def widened_chip(chip: Chip, tier: str, memory_arrays: int) -> Chip:
    """The chip while so many arrays of a tier are memory; the same object for the same numbers."""
    return _widened(_Identity(chip), tier, memory_arrays)


@dataclass(frozen=True)
class _Identity:
    """A chip that is itself only."""

    chip: Chip

    def __hash__(self) -> int:
        return id(self.chip)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.chip is other.chip


@lru_cache(maxsize=4096)
def _mvm_work(key: "_Key") -> Work:
    kind = key.chip.tier(key.tier)
    return kind.mvm(key.tier, key.chip, key.product, np.int64(key.outputs), np.int64(key.copies), key.precision)


@lru_cache(maxsize=4096)
def _program_work(key: "_Key") -> Work:
    kind = key.chip.tier(key.tier)
    return kind.program(key.tier, key.chip, key.product, np.int64(key.outputs), np.int64(key.copies))


@dataclass(frozen=True)
class _Key:
    """What the work of a part depends on; a chip is itself only."""

    chip: Chip
    tier: str
    product: Product
    outputs: int
    copies: int
    precision: str | None = None

    def __hash__(self) -> int:
        return hash((id(self.chip), self.tier, self.product, self.outputs, self.copies, self.precision))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Key):
            return NotImplemented
        same = (self.tier, self.product, self.outputs, self.copies, self.precision)
        return self.chip is other.chip and same == (
            other.tier,
            other.product,
            other.outputs,
            other.copies,
            other.precision,
        )


def _mvm(chip: Chip, op: MvmOp) -> OpWork:
    product = product_of_mvm(op, chip.activation_bits)
    precision = None if op.precision is None else op.precision.data
    at = place(op.w)
    counted = op.attributes.get(MACS)
    macs = product.macs(op.outputs)
    if isinstance(counted, IntegerAttr):
        macs = counted.value.data * op.outputs // op.all_outputs
    if op.rounds is not None:
        one, energy, rows = rounds_of(chip, op.tier_name, product, op.outputs, op.rounds)
        work = Work((), np.asarray(1, np.int64), energy, np.asarray(rows, np.int64))
        return OpWork(work, op.tier_name, macs, op.rounds.at.size // one.turns, one)
    work = _mvm_work(_Key(chip, op.tier_name, product, op.outputs, op.copies, precision))
    return OpWork(work, op.tier_name, macs, at.size if isinstance(at, ArraysAttr) else 0)


def _program(chip: Chip, op: ProgramOp) -> OpWork:
    product, outputs = product_of_program(op, chip.activation_bits)
    at = place(op.result)
    assert isinstance(at, ArraysAttr)
    tier, copies = at.tier_name, at.copies.data
    if not is_in_place(op):
        return OpWork(_program_work(_Key(chip, tier, product, outputs, copies)), tier)
    switch = switch_work(chip, tier, at.size // copies, to_memory=False)
    if copies > 1:
        others = _program_work(_Key(chip, tier, product, outputs, copies - 1))
        switch = replace(others, stages=(*switch.stages, *others.stages))
    return OpWork(switch, tier)


def is_in_place(op: ProgramOp) -> bool:
    """Whether the weight lies as data in the arrays that will hold it: those of its first copy only switch."""
    source, at = place(op.w), place(op.result)
    if not isinstance(source, MemoryAttr) or not isinstance(at, ArraysAttr) or source.tier != at.tier:
        return False
    first = [index for span in at.spans for index in range(*span)][: at.size // at.copies.data]
    return first == [index for span in source.arrays.spans for index in range(*span)]


def _ahead(chip: Chip, op: AheadOp) -> OpWork:
    reader = next((user for user in users(op.w) if isinstance(user, MvmOp) and user.rounds is not None), None)
    if reader is None or reader.rounds is None:
        raise InputError(f"{where(op)}: expected a product in rounds that reads the weight, found none")
    tier, copies = op.arrays.tier_name, op.arrays.copies.data
    product = product_of_mvm(reader, chip.activation_bits)
    whole = _program_work(_Key(chip, tier, product, reader.outputs, copies))
    share, of = op.share.value.data, op.of.value.data
    work = Work(
        tuple((name, ceil_div(ps * share, of)) for name, ps in whole.stages),
        whole.chunks,
        {part: pj * (share / of) for part, pj in whole.energy_pj.items()},
        ceil_div(whole.rows_written * share, of),
    )
    return OpWork(work, tier)


def _switch(chip: Chip, op: SwitchOp) -> OpWork:
    tier = op.arrays.tier_name
    return OpWork(switch_work(chip, tier, op.arrays.size, to_memory=op.to_memory), tier)


def _move(chip: Chip, op: MoveOp) -> OpWork:
    """A whole value between off-chip memory and the buffer."""
    loads, bits = isinstance(op, LoadOp), bits_of(op.x, chip.activation_bits)
    per_ns = 8 * (chip.dram.read_bytes_per_ns if loads else chip.dram.write_bytes_per_ns)
    vectors = elements(op.x) // max(1, (shape(op.x) or (1,))[-1])
    stages = (("dram.read" if loads else "dram.write", ps_for(bits, per_ns)),) if bits else ()
    energy = {"dram": bits * chip.dram.energy_pj_per_bit, "buffer": bits * chip.buffer.energy_pj_per_bit}
    return OpWork(
        Work(stages, np.asarray(chunk_count(vectors), np.int64), {part: np.asarray(pj) for part, pj in energy.items()}),
        None,
    )


def _digital(chip: Chip, op: DigitalOp) -> OpWork:
    """The region's ops, one after the other. A value off chip is read as much as the ops read of it, at most once."""
    bits = chip.activation_bits

    def off_chip(value: SSAValue) -> bool:
        if not isinstance(value, BlockArgument) or value.block is not op.block:
            return False
        operand = op.ins[value.index]
        source = definition(operand)
        is_constant = isinstance(source, OpResult) and isinstance(source.op, ConstantOp)
        return place(operand) is None and not is_constant

    tally, written = tally_block(chip, op.block, off_chip), 0
    last = op.block.last_op
    assert isinstance(last, YieldOp)
    for value, result in zip(last.values, op.outs, strict=True):
        source = root(value)
        if place(result) is None:
            written += 0 if off_chip(source) else bits_of(result, bits)
        elif off_chip(source):
            tally.off_chip_bits[source] = bits_of(source, bits)
    return OpWork(work_of_tally(chip, tally, written), "digital")


def _join(chip: Chip, op: JoinOp) -> OpWork:
    """Free: each part wrote to its own address."""
    return OpWork(work_of_tally(chip, Tally(), 0), None)


WORK_RULES: Mapping[type[Operation], Callable[[Chip, Any], OpWork]] = {
    ProgramOp: _program,
    LoadOp: _move,
    StoreOp: _move,
    SwitchOp: _switch,
    AheadOp: _ahead,
    MvmOp: _mvm,
    DigitalOp: _digital,
    JoinOp: _join,
}
