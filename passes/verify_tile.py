"""verify-tile: prove by one walk that a plan can run, and that each execution is like the first."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, IntegerAttr, ModuleOp, SymbolRefAttr
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Attribute, Operation, OpResult, SSAValue
from xdsl.passes import ModulePass

from ..dialects.tile import ArraysAttr, DigitalOp, JoinOp, LoadOp, MvmOp, ProgramOp, SegmentOp, StepOp, StoreOp
from ..dialects.values import place, static_weight
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.digital_cost import value_bytes
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.walk import ConstantLike, Visitor, definition, users, walk
from ..runtime_sim.work import arrays_of_program, product_of_mvm
from .verify_placement import SOLUTION, check_solution

NOBODY = -1
MODEL_COUNTS = ("operators", "matrix_operators", "macs", "weights")


@dataclass(frozen=True)
class VerifyTile(ModulePass):
    """Checks, without changing anything, that
    - every place names a tier or memory of the chip, and arrays that it has;
    - a weight gets as many arrays as it takes, and is still in them whenever it is read;
    - each output of an operator is made exactly once (`tile.join`);
    - values in the buffer fit it; steps and segments rise;
    - residents survive the execution, so that the second one finds what the first one found;
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
    holder: dict[str, NDArray[np.int64]] = field(init=False)
    """For each array of a tier: the number of the program op whose weight it holds."""
    programs: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    residents: list[tuple[ProgramOp, ArraysAttr, int]] = field(default_factory=list[tuple[ProgramOp, ArraysAttr, int]])
    once: bool = False
    segment: int = -1
    step: int = 0
    live: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    readers: dict[SSAValue, set[Operation]] = field(default_factory=dict[SSAValue, set[Operation]])

    def __post_init__(self) -> None:
        self.holder = {name: np.full(tier.arrays, NOBODY, np.int64) for name, tier in self.chip.tiers.items()}

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
            self.segment = op.index.value.data
            self.once = False
        if self.segment <= 0:
            self.step = 0

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
                tier = self.chip.tier(at.tier_name)
                if not at.spans or max(last for _, last in at.spans) > tier.arrays:
                    text = ", ".join(f"{first} to {last}" for first, last in at.spans) or "none"
                    raise InputError(f"{where(op)}: expected arrays 0 to {tier.arrays} of {at.tier_name}, got {text}")
            case SymbolRefAttr() if [name.data for name in at.nested_references.data] == ["buffer"]:
                return
            case _:
                raise InputError(f"{where(op)}: expected a place that the chip has, got {at}")

    def _check_held(self, op: Operation, operand: SSAValue) -> None:
        at = place(operand)
        if not isinstance(at, ArraysAttr):
            return
        number = self.programs.get(definition(operand))
        if number is None:
            raise InputError(f"{where(op)}: reads {at}, which no tile.program has written")
        lost = self._lost(at, number)
        if lost is not None:
            raise InputError(f"{where(op)}: its weight was lost: array {lost} of {at.tier_name} was written again")

    def _lost(self, at: ArraysAttr, number: int) -> int | None:
        """The first array of the place that holds something else by now."""
        for first, last in at.spans:
            others = np.flatnonzero(self.holder[at.tier_name][first:last] != number)
            if len(others):
                return first + int(others[0])
        return None

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
        number = len(self.programs)
        self.programs[op.result] = number
        for first, last in at.spans:
            if not self.once:
                self._keep_residents(op, at, first, last)
            self.holder[at.tier_name][first:last] = number
        if self.once:
            self.residents.append((op, at, number))

    def _keep_residents(self, op: ProgramOp, at: ArraysAttr, first: int, last: int) -> None:
        held = self.holder[at.tier_name][first:last]
        for resident, other, number in self.residents:
            if other.tier_name == at.tier_name and np.any(held == number):
                raise InputError(
                    f"{where(op)}: tile.program writes arrays {first} to {last} of {at.tier_name}, where the weight of "
                    f"{where(resident)} stays"
                )

    def load(self, op: LoadOp) -> None:
        self._begin(op)
        self._end(op)

    def store(self, op: StoreOp) -> None:
        self._begin(op)
        self._end(op)

    def mvm(self, op: MvmOp) -> None:
        self._begin(op)
        tier = self.chip.tier(op.tier_name)
        if op.tier is not None and tier.arrays:
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
        for value in op.arguments:
            if place(value) is not None:
                raise InputError(f"func.return: expected results off chip, got one at {place(value)}")

    def _end(self, op: Operation) -> None:
        """Buffer: results that are on the chip live until their last reader is done."""
        for result in op.results:
            self._check_place(op, place(result))
            if place(result) is not None and not isinstance(op, JoinOp):
                self.live[result] = value_bytes(result, self.chip.activation_bits)
                self.readers[result] = set(self._last_readers(result))
        used = sum(self.live.values())
        if used > self.chip.buffer.size_bytes:
            raise InputError(
                f"{where(op)}: expected at most {self.chip.buffer.size_bytes} bytes in the buffer, got {used}"
            )
        if self.chip.schedule == "sequential":
            self._free((op,))

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
