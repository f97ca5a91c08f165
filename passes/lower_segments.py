"""Lowering of a plan of segments: loads, runs, arrays in memory mode, tensors that stay on chip.

A segment becomes a `tile.segment` that switches arrays and loads what was not loaded before, and one that runs. In the
second all overlap, and weights of the next segment are loaded beside it. Arrays are named here, as their modes and what
they hold are known here: a place is taken when it is written or switched, and free after its last reader's segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.rewriter import Rewriter

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.tile import (
    AheadOp,
    ArraysAttr,
    LoadOp,
    MemoryAttr,
    MvmOp,
    ProgramOp,
    RoundsAttr,
    SegmentOp,
    StoreOp,
    SwitchOp,
    YieldOp,
)
from ..dialects.values import buffer, is_tensor, placed, static_weight, tensor_type
from ..runtime_sim.digital_cost import value_bytes
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.kinds.arrays import ArrayTier
from ..runtime_sim.product import product_of
from .free_arrays import FreeArrays, spans_of
from .segment_plan import SegmentSizes, kept_at, rounds_of_operator
from .segment_problem import Program
from .segment_values import SegmentValues
from .segmentation.problem import Place
from .tile_pieces import digital_op, groups_held, held_shape, mvm_properties, replace_body, top_constants
from .units import returned_values
from .value_places import ValuePlaces


@dataclass
class _Open:
    """A tile.segment under construction."""

    ops: list[Operation] = field(default_factory=list[Operation])
    memory: list[int] = field(default_factory=list[int])


@dataclass
class SegmentLowering:
    """One module's lowering; `run` rewrites its function."""

    program: Program
    sizes: Sequence[SegmentSizes]
    function: FuncOp

    def __post_init__(self) -> None:
        self._expect_one_part()
        program = self.program
        tier = program.chip.tier(program.tier)
        assert isinstance(tier, ArrayTier)
        self.tier, self.bits = tier, program.chip.activation_bits
        self.arrays = FreeArrays(program.tier, list(range(min(each.arrays for each in self.sizes))))
        self.values: dict[SSAValue, SSAValue] = {}
        self.off_chip: dict[SSAValue, SSAValue] = {}
        """Copies of values off chip."""
        self.weights: dict[Operation, SSAValue] = {}
        """Weights that are in arrays already."""
        self.held: dict[Operation, list[int]] = {}
        """Arrays of an operator's weight."""
        self.kept: dict[SSAValue, list[int]] = {}
        """Arrays in memory mode that hold a value."""
        self.segments = [_Open() for _ in range(2 * len(self.sizes) + 1)]
        self.segment_of = [self._segment(owner) for owner in program.owners]
        self.places = SegmentValues(program, self.segment_of, self.kept)
        self.last_reads = self.places.last_reads
        self.freed: list[int] = []
        """Arrays of the open segment's rounds that are done before its end."""
        self.step = 0

    def _expect_one_part(self) -> None:
        """Operators of a plan of segments have one part, so that an order of outputs would change nothing."""
        for op in self.program.operators:
            if len(op.placed) != 1 or op.order is not None:
                raise InputError(f"{where(op)}: expected one part and no order in a plan of segments")

    def _segment(self, owner: int) -> int:
        return self.program.operators[owner].placed[-1].segment.data

    def run(self) -> None:
        """Segments in order, then the plan's function."""
        old = self.function.body.block
        top = Block(arg_types=[argument.type for argument in old.args])
        for before, after in zip(old.args, top.args, strict=True):
            after.name_hint = before.name_hint
            self.values[before] = self.off_chip[before] = after
        top_constants(old, top, self.values)
        once = self._residents()
        extra: list[int] = []
        for number in range(len(self.sizes)):
            extra = self._segment_begins(number, extra)
            for index, unit in enumerate(self.program.units):
                if self.segment_of[index] == number:
                    self._unit(index, unit.outs)
            self._preload(number + 1)
            self._segment_ends(number)
        self._switch(self.segments[-1], extra, "compute")
        self._wrap(top, once)
        top.add_op(ReturnOp(*(self.off_chip.get(v, self.values[v]) for v in returned_values(self.function))))
        replace_body(self.function, top)

    def _residents(self) -> list[Operation]:
        once: list[Operation] = []
        for op in self.program.operators:
            part = op.placed[-1]
            if not part.is_rewritten and self.program.chip.tier(part.tier_name).arrays:
                once.append(self._program(op, len(once)))
        return once

    def _is_elsewhere(self, op: MatmulOp | ConvOp) -> bool:
        """Whether an operator runs on another tier than that of the segments."""
        return op.placed[-1].tier_name != self.program.tier

    def _segment_begins(self, number: int, extra: list[int]) -> list[int]:
        """Switch, then load what is not there yet; returns the arrays that are memory for this segment alone."""
        load, run, members = self.segments[2 * number], self.segments[2 * number + 1], self._members(number)
        self._switch(load, extra, "compute")
        self.arrays.give(extra)
        for op in members:
            loads = not self._is_elsewhere(op) and rounds_of_operator(op) is None and self._is_there(op, number)
            if loads and op not in self.weights:
                load.ops.append(self._program(op, self._next()))
        held = [index for arrays in self.kept.values() for index in arrays]
        new_kept = self._keep(members)
        more = self.sizes[number].memory - len(held) - len(new_kept)
        extra = self.arrays.take(max(0, more), f"segment {number}")
        self._switch(load, [*new_kept, *extra], "memory")
        run.memory = sorted([*held, *new_kept, *extra])
        self.places.begins(number, len(extra) * self.tier.array_bytes)
        self._fetch(number)
        return extra

    def _members(self, number: int) -> list[MatmulOp | ConvOp]:
        return [op for op in self.program.operators if op.placed[-1].segment.data == number]

    def _is_there(self, op: MatmulOp | ConvOp, number: int) -> bool:
        """Whether a weight is there before its segment runs."""
        owner = self.program.owner_of(op.w)
        return owner is None or self._segment(owner) < number

    def _keep(self, members: Sequence[MatmulOp | ConvOp]) -> list[int]:
        """Arrays for what these make and is kept in arrays."""
        taken: list[int] = []
        for index, unit in enumerate(self.program.units):
            owner = self.program.operators[self.program.owners[index]]
            place = kept_at(owner)
            if owner not in members or place not in (Place.ARRAYS, Place.IN_PLACE):
                continue
            for value in unit.outs:
                if is_tensor(value.type) and self.places.read_by_others(value, index):
                    reader = self._weight_reader(value) if place is Place.IN_PLACE else None
                    count = -(-value_bytes(value, self.bits) // self.tier.array_bytes)
                    if reader is not None:
                        count = int(self.tier.arrays_needed(product_of(reader, self.bits), reader.outputs))
                    self.kept[value] = self.arrays.take(count, "a tensor in memory arrays")
                    taken += self.kept[value]
        return taken

    def _kept_until(self, value: SSAValue) -> int:
        """The segment behind which arrays that hold a value are free: its operator keeps all as long."""
        owner = self.program.owner_of(value)
        units = zip(self.program.units, self.program.owners, strict=True)
        return max(self.last_reads.get(out, -1) for unit, own in units if own == owner for out in unit.outs)

    def _weight_reader(self, value: SSAValue) -> MatmulOp | ConvOp | None:
        return next((op for op in self.program.operators if op.w is value), None)

    def _fetch(self, number: int) -> None:
        """Load once what several read of what is off chip."""
        units = zip(self.program.units, self.segment_of, strict=True)
        for value in dict.fromkeys(value for unit, segment in units if segment == number for value in unit.ins):
            if value not in self.off_chip or static_weight(value) is not None or value in self.kept:
                continue
            self.values[value] = self.off_chip[value]
            if self.places.loads(value, number):
                self._move(self.segments[2 * number + 1], LoadOp, value)

    def _unit(self, index: int, outs: Sequence[SSAValue]) -> None:
        """The ops of one unit, and the copies off chip that its results need."""
        unit, number = self.program.units[index], self.segment_of[index]
        segment = self.segments[2 * number + 1]
        if isinstance(unit.matrix, MatmulOp | ConvOp):
            self._product(segment, unit.matrix)
        else:
            types = {value: self.places.place(value) for value in outs}
            places = ValuePlaces(on_chip={value for value, at in types.items() if at is not None})
            digital = digital_op(unit, [self.values[value] for value in unit.ins], places, self._next())
            segment.ops.append(digital)
            for before, after in zip(unit.outs, digital.outs, strict=True):
                if isinstance(types[before], MemoryAttr):
                    after = Rewriter.replace_value_with_new_type(after, placed(tensor_type(before), types[before]))
                after.name_hint = before.name_hint
                self.values[before] = after
        for value in outs:
            if self.places.leaves(value, number) and value not in self.off_chip:
                if is_tensor(value.type) and self.places.place(value) is not None:
                    self._move(segment, StoreOp, value)
                else:
                    self.off_chip[value] = self.values[value]

    def _product(self, segment: _Open, op: MatmulOp | ConvOp) -> None:
        part, rounds = op.placed[-1], rounds_of_operator(op)
        on_arrays = self.program.chip.tier(part.tier_name).arrays > 0
        weight = self.values[op.w]
        if on_arrays and rounds is None:
            if op not in self.weights:
                segment.ops.append(self._program(op, self._next()))
            weight = self.weights[op]
        elif rounds is not None:
            ahead = self.held.get(op, [])
            self.held[op] = ahead + self.arrays.take(rounds.at.size - len(ahead), "an operator in rounds")
            at = ArraysAttr.of(self.program.tier, spans_of(self.held[op]), rounds.at.copies.data)
            rounds = RoundsAttr.of(at, **{**rounds.numbers(), "ahead": len(ahead)})
            self._free_turns(op, rounds)
        mvm = MvmOp(
            self.values[op.x],
            weight,
            placed(tensor_type(op.result), self.places.place(op.result)),
            step=self._next(),
            first=0,
            of=op.outputs,
            bias=None if op.bias is None else self.values[op.bias],
            scale=None if op.scale is None else self.values[op.scale],
            rounds=rounds,
            **mvm_properties(op, part, streams=not on_arrays or rounds is not None),
        )
        mvm.attributes = {key: value for key, value in op.attributes.items() if key == "h3.macs"}
        mvm.location = op.location
        mvm.result.name_hint = op.result.name_hint
        segment.ops.append(mvm)
        self.values[op.result] = mvm.result

    def _program(self, op: MatmulOp | ConvOp, step: int) -> ProgramOp:
        part = op.placed[-1]
        at = ArraysAttr.of(part.tier_name, copies=part.copies.data)  # assign-arrays names those of other tiers
        if not self._is_elsewhere(op):
            count = int(self.tier.arrays_needed(product_of(op, self.bits), op.outputs)) * part.copies.data
            own = self.kept.pop(op.w, []) if self._weight_reader(op.w) is op else []
            self.held[op] = own + self.arrays.take(count - len(own), "a weight")
            at = ArraysAttr.of(part.tier_name, spans_of(self.held[op]), part.copies.data)
        type = TensorType(tensor_type(op.w).element_type, held_shape(op, op.outputs), at)
        transposed = isinstance(op, MatmulOp) and op.transposed is not None
        program = ProgramOp(
            self.values[op.w],
            [0] * len(tensor_type(op.w).get_shape()),
            type,
            step=step,
            transposed=transposed,
            groups=groups_held(op, part),
        )
        program.location = op.location
        program.result.name_hint = op.w.name_hint
        self.weights[op] = program.result
        return program

    def _free_turns(self, op: MatmulOp | ConvOp, rounds: RoundsAttr) -> None:
        """All sets of arrays but the last round's may be written again while that computes."""
        size, last = rounds.at.size // rounds.number("turns"), (rounds.number("count") - 1) % rounds.number("turns")
        own = self.held[op]
        self.freed = [*own[: last * size], *own[(last + 1) * size :]]

    def _preload(self, number: int) -> None:
        """Weights of the next segment that are loaded ahead: of its operators in order those that are whole, of one in
        rounds arrays of its first round. Arrays of this segment's rounds are taken where others do not suffice."""
        left = self.sizes[number - 1].preloads
        members = self._members(number) if number < len(self.sizes) else []
        for op in (op for op in members if not self._is_elsewhere(op)):
            rounds, copies = rounds_of_operator(op), op.placed[-1].copies.data
            needed = int(self.tier.arrays_needed(product_of(op, self.bits), op.outputs)) * copies
            if rounds is not None:
                needed = min(left, rounds.at.size // rounds.number("turns")) // copies * copies
            if static_weight(op.w) is None or needed > left or not needed:
                break
            left -= needed
            self._lend(needed)
            ops = self.segments[2 * number - 1].ops
            ops.append(self._program(op, self._next()) if rounds is None else self._ahead(op, rounds, needed))

    def _lend(self, needed: int) -> None:
        """Let arrays of this segment's rounds be written for the next one."""
        missing = max(0, needed - len(self.arrays.free))
        lent, self.freed = self.freed[:missing], self.freed[missing:]
        self.arrays.give(lent)
        for op, held in self.held.items():
            if not set(lent).isdisjoint(held):
                self.held[op] = [index for index in held if index not in lent]

    def _ahead(self, op: MatmulOp | ConvOp, rounds: RoundsAttr, count: int) -> AheadOp:
        """Write so many arrays of the first of an operator's rounds."""
        self.held[op] = self.arrays.take(count, "a round's weight")
        round_arrays = rounds.at.size // rounds.number("turns")
        of = round_arrays * rounds.number("count") // rounds.number("passes")
        at = ArraysAttr.of(self.program.tier, spans_of(self.held[op]), rounds.at.copies.data)
        return AheadOp(self.values[op.w], count, of, at, step=self._next())

    def _segment_ends(self, number: int) -> None:
        """Arrays whose weights and values nobody reads any more are free."""
        self.freed = []
        self.places.ends(number)
        for op in self._members(number):
            self.arrays.give(self.held.pop(op, []))
        for value in [value for value in self.kept if self._kept_until(value) <= number]:
            self._switch(self.segments[2 * number + 2], self.kept[value], "compute")
            self.arrays.give(self.kept.pop(value))

    def _switch(self, segment: _Open, arrays: Sequence[int], mode: str) -> None:
        if arrays:
            at = ArraysAttr.of(self.program.tier, spans_of(sorted(arrays)))
            segment.ops.append(SwitchOp(at, mode, step=self._next()))

    def _move(self, segment: _Open, move: type[LoadOp] | type[StoreOp], value: SSAValue) -> None:
        source = self.values[value]
        op = move(source, placed(tensor_type(source), buffer() if move is LoadOp else None), step=self._next())
        op.result.name_hint = value.name_hint
        segment.ops.append(op)
        (self.values if move is LoadOp else self.off_chip)[value] = op.result

    def _next(self) -> int:
        self.step += 1
        return self.step - 1

    def _wrap(self, top: Block, once: list[Operation]) -> None:
        """The segments as ops; each yields what others read, and what the function returns."""
        pieces: list[tuple[int | None, list[Operation], ArraysAttr | None]] = [(None, once, None)] if once else []
        pieces += [
            (number, each.ops, ArraysAttr.of(self.program.tier, spans_of(each.memory)) if each.memory else None)
            for number, each in enumerate(self.segments)
            if each.ops
        ]
        returned = {self.off_chip[value] for value in self.program.results if value in self.off_chip}
        for index, ops, memory in pieces:
            own = set(ops)
            leaving = [
                result
                for op in ops
                for result in op.results
                if result in returned or any(use.operation not in own for use in result.uses)
            ]
            uses = [[use for use in result.uses if use.operation not in own] for result in leaving]
            segment = SegmentOp(index, [r.type for r in leaving], Region(Block([*ops, YieldOp(leaving)])), memory)
            for result, outer, outside in zip(leaving, segment.outs, uses, strict=True):
                outer.name_hint = result.name_hint
                for use in outside:
                    use.operation.operands[use.index] = outer
                self.off_chip.update({v: outer for v, stands in self.off_chip.items() if stands is result})
            top.add_op(segment)
