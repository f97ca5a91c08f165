"""verify-tile: prove by one walk that a plan can run, and that each execution is like the first."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, SymbolRefAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation, OpResult, SSAValue
from xdsl.passes import ModulePass

from ..dialects.tile import (
    AheadOp,
    ArraysAttr,
    DigitalOp,
    JoinOp,
    LoadOp,
    MemoryAttr,
    MvmOp,
    ProgramOp,
    SegmentOp,
    StepOp,
    StoreOp,
    SwitchOp,
)
from ..dialects.values import place, static_weight
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.digital_cost import value_bytes
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.flow import digital_reads, indices_of, waits_for_all
from ..runtime_sim.kinds.arrays import ArrayTier
from ..runtime_sim.walk import ConstantLike, Visitor, definition, users, walk
from ..runtime_sim.work import arrays_of_program, is_in_place, product_of_mvm
from .array_state import ArrayState
from .verify_placement import SOLUTION, check_solution

MODEL_COUNTS = ("operators", "matrix_operators", "macs", "weights")


@dataclass(frozen=True)
class VerifyTile(ModulePass):
    """Checks, without changing anything, that
    - every place names a tier or memory of the chip, and arrays that it has;
    - a weight gets as many arrays as it takes, and is still in them whenever it is read; so is data in memory arrays;
    - arrays are in the mode that they are used in, and switching loses nothing that is read later;
    - each output of an operator is made exactly once (`tile.join`);
    - values in the buffer fit it; steps and segments rise;
    - residents survive the execution, and all arrays compute at its end, so that the second one finds what the first
      one found;
    - what `h3.solution` and `h3.model` say of the plan can be read.
    """

    name = "verify-tile"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        walk(op, _Verifier(chip_from_ir(op)))
        if SOLUTION in op.attributes:
            check_solution(op)
        model = op.attributes.get("h3.model")
        for key, value in model.data.items() if isinstance(model, DictionaryAttr) else ():
            if key in MODEL_COUNTS and not isinstance(value, IntegerAttr):
                raise InputError(f"h3.model.{key}: expected a whole number, got {value}")


@dataclass
class _Verifier(Visitor):
    chip: Chip
    arrays: ArrayState = field(init=False)
    once: bool = False
    segment: int = -1
    step: int = 0
    room: int = 0
    """Bytes of the buffer in the open segment."""
    live: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    readers: dict[SSAValue, set[Operation]] = field(default_factory=dict[SSAValue, set[Operation]])

    def __post_init__(self) -> None:
        self.arrays = ArrayState(self.chip)

    def constant(self, op: ConstantLike) -> None:
        """Constants are off chip until they are programmed or streamed."""

    def segment_begins(self, op: SegmentOp) -> None:
        if op.index is None:
            if self.segment >= 0 or self.once:
                raise InputError("tile.segment once: expected it once, before all other segments")
            self.once = True
        elif op.index.value.data <= self.segment:
            raise InputError(f"tile.segment {op.index.value.data}: expected segments to rise from {self.segment}")
        else:
            self.step = self.step if self.segment >= 0 else 0
            self.segment = op.index.value.data
            self.once = False

        self.room = self.chip.buffer.size_bytes
        if op.memory is not None:
            self._begin_memory(op, op.memory)

    def _begin_memory(self, op: SegmentOp, at: ArraysAttr) -> None:
        """Arrays that widen the buffer while a segment runs: those that hold no value of their own are room."""
        self.arrays.check(op, at)
        tier, state = self.chip.tier(at.tier_name), self.arrays
        indices = indices_of(at)
        if not isinstance(tier, ArrayTier) or not state.memory[at.tier_name][indices].all():
            raise InputError(f"tile.segment {self.segment}: expected arrays in memory mode, got {at}")
        values = [value for value in self.live if isinstance(place(value), MemoryAttr)]
        held = {i for v in values for i in indices_of(_memory_place(v))}
        self.room += sum(index not in held for index in indices) * tier.array_bytes

    def segment_ends(self, op: SegmentOp) -> None:
        """What leaves the segment lives on under its own name (`definition`)."""
        if self.chip.schedule == "pipelined":
            self._free(op.body.block.ops)

    def _begin(self, op: StepOp) -> None:
        """A timed op: its step does not fall, and what it reads in arrays is still there."""
        if op.at < self.step:
            raise InputError(f"{where(op)}: {op.name}: expected step {self.step} or later, got step {op.at}")
        self.step = op.at
        for operand in op.operands:
            self._check_place(op, place(operand))
            self._check_held(op, operand)

    def _check_place(self, op: Operation, at: Attribute | None) -> None:
        match at:
            case None:
                return
            case ArraysAttr():
                self.arrays.check(op, at)
            case MemoryAttr():
                self.arrays.check(op, at.arrays)
            case SymbolRefAttr() if [name.data for name in at.nested_references.data] == ["buffer"]:
                return
            case _:
                raise InputError(f"{where(op)}: expected a place that the chip has, got {at}")

    def _check_held(self, op: Operation, operand: SSAValue) -> None:
        at = place(operand)
        if isinstance(at, ArraysAttr | MemoryAttr):
            arrays = at.arrays if isinstance(at, MemoryAttr) else at
            self.arrays.read(op, operand, arrays, memory=isinstance(at, MemoryAttr))

    def program(self, op: ProgramOp) -> None:
        self._begin(op)
        at = place(op.result)
        self._check_place(op, at)
        assert isinstance(at, ArraysAttr)
        tier = self.chip.tier(at.tier_name)
        if static_weight(op.w) is None and not tier.dynamic:
            raise InputError(f"{where(op)}: {at.tier_name} takes no weights that are made at run time")
        needed = arrays_of_program(op, self.chip) * at.copies.data
        if at.size != needed:
            raise InputError(f"{where(op)}: tile.program: expected {needed} arrays on {at.tier_name}, got {at.size}")
        if is_in_place(op):
            source = _memory_place(op.w)
            self.arrays.switch_in_place(op.result, source)
            rest = indices_of(at)[source.size :]
            at = ArraysAttr.of(at.tier_name, [(i, i + 1) for i in rest])
        if at.spans:
            self.arrays.write(op, op.result, at, memory=False, once=self.once)

    def switch(self, op: SwitchOp) -> None:
        self._begin(op)
        self.arrays.check(op, op.arrays)
        if self.once:
            raise InputError(f"{where(op)}: tile.switch: expected it in a segment of an execution, not at power-up")
        self.arrays.switch(op, op.arrays, to_memory=op.to_memory)

    def ahead(self, op: AheadOp) -> None:
        self._begin(op)
        self.arrays.check(op, op.arrays)
        self.arrays.write(op, definition(op.w), op.arrays, memory=False)

    def load(self, op: LoadOp) -> None:
        self._begin(op)
        self._end(op)

    def store(self, op: StoreOp) -> None:
        self._begin(op)
        self._end(op)

    def mvm(self, op: MvmOp) -> None:
        self._begin(op)
        tier = self.chip.tier(op.tier_name)
        if op.rounds is not None:
            self.arrays.check(op, op.rounds.at)
            first = indices_of(op.rounds.at)[: op.rounds.number("ahead")]
            if first:
                self.arrays.read(op, op.w, ArraysAttr.of(op.tier_name, [(i, i + 1) for i in first]), memory=False)
            self.arrays.write(op, None, op.rounds.at, memory=False)
        elif op.tier is not None and tier.arrays:
            raise InputError(f"{where(op)}: expected a weight in arrays of {op.tier_name}, which holds its weights")
        product = product_of_mvm(op, self.chip.activation_bits)
        refusal = tier.refuses(product)
        if refusal is not None:
            raise InputError(f"{where(op)}: tile.mvm on {op.tier_name}, which {refusal}")
        tier.mode("" if op.precision is None else op.precision.data)
        is_whole = op.outputs == op.all_outputs
        if not is_whole and not all(isinstance(user, JoinOp) for user in users(op.result)):
            raise InputError(f"{where(op)}: {op.outputs} of {op.all_outputs} outputs are read as if they were all")
        self._end(op)

    def digital(self, op: DigitalOp) -> None:
        self._begin(op)
        self._end(op)

    def join(self, op: JoinOp) -> None:
        pieces = [definition(piece) for piece in op.pieces]
        makers = [piece.op for piece in pieces if isinstance(piece, OpResult) and isinstance(piece.op, MvmOp)]
        if len(makers) != len(pieces):
            raise InputError(f"{where(op)}: tile.join: expected parts that tile.mvm made")
        reached = 0
        for maker in makers:
            if maker.first_output != reached:
                raise InputError(
                    f"{where(op)}: tile.join: expected the part from output {reached}, got {maker.first_output}"
                )
            reached += maker.outputs
        if reached != makers[0].all_outputs:
            raise InputError(f"{where(op)}: tile.join: expected {makers[0].all_outputs} outputs, got {reached}")
        self._end(op)

    def results(self, op: ReturnOp) -> None:
        self.arrays.at_rest(op)
        for value in op.arguments:
            if place(value) is not None:
                raise InputError(f"func.return: expected results off chip, got one at {place(value)}")

    def _end(self, op: Operation) -> None:
        """Buffer: results that are on the chip live until their last reader is done."""
        for result in op.results:
            self._check_place(op, place(result))
            at = place(result)
            if isinstance(at, MemoryAttr):
                self._put_in_memory(op, result, at)
            if at is not None and not isinstance(op, JoinOp) and self._stays(op, result):
                self.live[result] = value_bytes(result, self.chip.activation_bits)
                self.readers[result] = set(self._last_readers(result))
        used = sum(size for value, size in self.live.items() if not isinstance(place(value), MemoryAttr))
        if used > self.room:
            raise InputError(f"{where(op)}: expected at most {self.room} bytes in the buffer, got {used}")
        if self.chip.schedule == "sequential":
            self._free((op,))

    def _put_in_memory(self, op: Operation, result: SSAValue, at: MemoryAttr) -> None:
        """The result of `op` fits the arrays in memory mode that it is put into."""
        tier, size = self.chip.tier(at.arrays.tier_name), value_bytes(result, self.chip.activation_bits)
        if not isinstance(tier, ArrayTier) or at.arrays.size * tier.array_bytes < size:
            raise InputError(f"{where(op)}: expected arrays for {size} bytes, got {at}")
        self.arrays.write(op, result, at.arrays, memory=True)

    def _stays(self, op: Operation, result: SSAValue) -> bool:
        """Whether all of a value is in the buffer at once: on a pipelined chip only if it leaves its segment, a reader
        waits for all of it, or it is made at once; of others a few rows are there, which are not counted."""
        if self.chip.schedule == "sequential" or (isinstance(op, DigitalOp) and digital_reads(op) is None):
            return True
        return any(waits_for_all(reader, result) for reader in self._last_readers(result)) or any(
            reader.parent is not op.parent for reader in self._last_readers(result)
        )

    def _free(self, done: Iterable[Operation]) -> None:
        """Ops that ran at the same time are done: what nobody else reads leaves the buffer."""
        done = set(done)
        for value in [value for value, readers in self.readers.items() if not readers.isdisjoint(done) or not readers]:
            self.readers[value] -= done
            if not self.readers[value]:
                del self.readers[value], self.live[value]

    def _last_readers(self, value: SSAValue) -> Any:
        """Who reads a value; of a part, who reads the whole that it is joined to."""
        for user in users(value):
            if isinstance(user, JoinOp):
                yield from self._last_readers(user.result)
            else:
                yield user


def _memory_place(value: SSAValue) -> ArraysAttr:
    """The arrays of a value in memory mode."""
    at = place(value)
    assert isinstance(at, MemoryAttr)
    return at.arrays
