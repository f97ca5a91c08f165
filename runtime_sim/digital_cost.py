"""What onnx ops cost on the digital unit.

The unit reads operands from the buffer and writes results to it while its lanes work, so an op takes as long as the
slowest of the three; what is off chip streams through the buffer beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Block, BlockArgument, Operation, OpResult, SSAValue

from ..dialects.onnx import constant_array, operand
from ..dialects.onnx_ops import ConstantOp
from .chip import Chip
from .cost import Work, ceil_div, chunk_count, ps_for
from .digital_ops import FREE, VIEWS, elements, lane_operations, macs, op_type, shape
from .product import wire_bits

OffChip = Callable[[SSAValue], bool]


@dataclass
class Tally:
    """What one op or several ask for."""

    lane_operations: int = 0
    macs: int = 0
    read_bits: int = 0
    """From the buffer; what is off chip passes it too."""
    write_bits: int = 0
    vectors: int = 1
    off_chip_bits: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    """Bits read of each value that is off chip."""

    def add(self, other: "Tally", times: int = 1) -> None:
        self.lane_operations += times * other.lane_operations
        self.macs += times * other.macs
        self.read_bits += times * other.read_bits
        self.write_bits += times * other.write_bits
        self.vectors = max(self.vectors, other.vectors)
        for value, bits in other.off_chip_bits.items():
            self.off_chip_bits[value] = self.off_chip_bits.get(value, 0) + bits


def bits_of(value: SSAValue, activation_bits: int) -> int:
    """Bits that a value takes in a memory; unknown dimensions as 1."""
    if not isinstance(value.type, TensorType):
        return 0
    return elements(value) * wire_bits(value.type.element_type, activation_bits)


def bytes_read(op: Operation, activation_bits: int) -> list[int]:
    """Bytes that `op` reads of each operand: all of it, but of a gather's or slice's data only what it takes."""
    kind = op_type(op)
    if kind in FREE or kind in ("If", "Loop", "Scan"):
        return [0] * len(op.operands)
    result = [-(-bits_of(value, activation_bits) // 8) for value in op.operands]
    if kind in ("Gather", "GatherElements", "GatherND", "Slice") and result:
        result[0] = min(result[0], -(-bits_of(op.results[0], activation_bits) // 8))
    return result


def is_weight(value: SSAValue) -> bool:
    """Whether `value` is a tensor of the weight store: those are off chip."""
    return isinstance(value, OpResult) and value.op.name == "h3.weight"


def digital_work(chip: Chip, op: Operation, off_chip: OffChip = is_weight) -> Work:
    """The work of one onnx op, with its regions; `off_chip` tells which of the values it reads are off chip."""
    return work_of_tally(chip, tally_op(chip, op, off_chip), 0)


def work_of_tally(chip: Chip, tally: Tally, off_chip_write_bits: int) -> Work:
    """The work that a tally stands for."""
    unit = chip.digital
    lanes_ps = ps_for(ceil_div(tally.lane_operations, unit.lanes), unit.clock_ghz)
    macs_ps = ps_for(ceil_div(tally.macs, unit.macs_per_cycle), unit.clock_ghz)
    in_ps = ps_for(tally.read_bits, 8 * unit.link_in_bytes_per_ns)
    out_ps = ps_for(tally.write_bits, 8 * unit.link_out_bytes_per_ns)
    reads, writes = sum(tally.off_chip_bits.values()), off_chip_write_bits
    stages = (
        ("dram.read", ps_for(reads, 8 * chip.dram.read_bytes_per_ns)),
        ("digital", np.maximum(lanes_ps + macs_ps, np.maximum(in_ps, out_ps))),
        ("dram.write", ps_for(writes, 8 * chip.dram.write_bytes_per_ns)),
    )
    moved, off = tally.read_bits + tally.write_bits, reads + writes
    energy = {
        "digital": tally.lane_operations * unit.energy_pj_per_operation + tally.macs * unit.energy_pj_per_mac,
        "links": moved * unit.link_energy_pj_per_bit,
        "buffer": (moved + off) * chip.buffer.energy_pj_per_bit,
        "dram": off * chip.dram.energy_pj_per_bit,
    }
    return Work(
        stages=tuple((resource, ps) for resource, ps in stages if ps > 0),
        chunks=np.asarray(chunk_count(tally.vectors), np.int64),
        energy_pj={part: np.asarray(pj, np.float64) for part, pj in energy.items()},
    )


def tally_op(chip: Chip, op: Operation, off_chip: OffChip) -> Tally:
    """What one op asks for, with its regions: of an If the dearer branch, of a Loop or Scan all its trips."""
    kind, bits = op_type(op), chip.activation_bits
    if kind == "If":
        branches = [tally_block(chip, region.block, off_chip) for region in op.regions]
        return max(branches, key=lambda tally: _duration_ps(chip, tally))
    if kind in ("Loop", "Scan"):
        result = Tally()
        result.add(tally_block(chip, op.regions[0].block, off_chip), _trips(op))
        return result
    if kind in FREE:
        return Tally()
    reads = [8 * count for count in bytes_read(op, bits)]
    tally = Tally(
        lane_operations=lane_operations(op),
        macs=macs(op),
        read_bits=sum(reads),
        write_bits=sum(bits_of(result, bits) for result in op.results),
        vectors=max((elements(r) // max(1, (shape(r) or (1,))[-1]) for r in op.results), default=1),
    )
    for value, count in zip(op.operands, reads, strict=True):
        source = root(value)
        if count and off_chip(source):
            tally.off_chip_bits[source] = tally.off_chip_bits.get(source, 0) + count
    return tally


def tally_block(chip: Chip, block: Block, off_chip: OffChip) -> Tally:
    """What the ops of a block ask for together; each value that is off chip is read at most once."""
    result = Tally()
    for op in block.ops:
        if op.name.startswith("onnx."):
            result.add(tally_op(chip, op, off_chip))
    for value, count in result.off_chip_bits.items():
        result.off_chip_bits[value] = min(count, bits_of(value, chip.activation_bits))
    return result


def root(value: SSAValue) -> SSAValue:
    """The value that `value` is a view of (itself, if it is no view)."""
    while isinstance(value, OpResult) and op_type(value.op) in VIEWS and value.op.operands:
        value = value.op.operands[0]
    return value


def _duration_ps(chip: Chip, tally: Tally) -> int:
    return sum(int(ps) for _, ps in work_of_tally(chip, tally, 0).stages)


def _trips(op: Operation) -> int:
    """How often the body of a Loop or Scan runs; 1 where that is not known before running."""
    if op_type(op) == "Scan":
        body_inputs = len(op.regions[0].block.args)
        scanned = op.operands[-1] if body_inputs else None
        return max(1, (shape(scanned) or (1,))[0])
    limit, block = operand(op, 0), op.regions[0].block
    last = block.last_op
    if limit is None or last is None or not last.operands or not _stays_true(last.operands[0], block):
        return 1
    source = root(limit)
    if not isinstance(source, OpResult) or not isinstance(source.op, ConstantOp):
        return 1
    return max(0, int(constant_array(source.op).reshape(-1)[0]))


def _stays_true(condition: SSAValue, block: Block) -> bool:
    """Whether a Loop's condition is just handed on, or a constant."""
    source = root(condition)
    if isinstance(source, BlockArgument):
        return source.block is block and source.index == 1
    return isinstance(source, OpResult) and isinstance(source.op, ConstantOp)


def value_bytes(value: SSAValue, activation_bits: int) -> int:
    """Bytes that a value takes in the buffer and on the wire."""
    return -(-bits_of(value, activation_bits) // 8)
