"""lower-to-tile: rewrite the placed program into tile meta-operators."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.passes import ModulePass

from ..dialects.h3 import ConvOp, MatmulOp, MatrixOp, PartAttr
from ..dialects.tile import ArraysAttr, JoinOp, LoadOp, MvmOp, ProgramOp, ReorderOp, SegmentOp, StoreOp, YieldOp
from ..dialects.values import buffer, placed, shape_of, static_weight, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.cost import busy_ps, closed_form_ps
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import work_of
from .lower_segments import SegmentLowering
from .segment_plan import SEGMENTS, segment_sizes
from .segment_problem import program_of
from .tile_pieces import digital_op, groups_held, held_shape, mvm_properties, output_axis, replace_body, top_constants
from .units import Unit, returned_values, units_of
from .value_places import ValuePlaces, place_values


@dataclass(frozen=True)
class LowerToTile(ModulePass):
    """Rewrites a placed program into segments of program, mvm and digital ops.

    ```mlir
    %q = h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 8, copies 1, segment 0>, ...] : ...
    ```
    becomes
    ```mlir
    %r = tile.segment once -> ... { %p = tile.program %w step 0 : ...  tile.yield %p : ... }
    %y = tile.segment 0 -> ... {
      %q0 = tile.mvm %x, %r first 0 of 32 step 0 : ...
      %q = tile.join %q0, %q1 axis 1 : ...
    ```
    Arrays are named by tier and copies only; assign-arrays gives them their ranges.
    """

    name = "lower-to-tile"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = main_function(op)
        sizes = segment_sizes(op)
        if sizes is not None:
            SegmentLowering(program_of(op, sizes[0].tier), sizes, function).run()
            del op.attributes[SEGMENTS]
            return
        units = units_of(function)
        chip = chip_from_ir(op)
        _Lowering(function, units, place_values(function, units, chip), chip).run()


def weight_axis(op: MatrixOp) -> int:
    """The dimension of the weight that has the outputs."""
    if isinstance(op, ConvOp):
        return 0
    return len(shape_of(op.w)) - (2 if isinstance(op, MatmulOp) and op.transposed is not None else 1)


@dataclass
class _Lowering:
    function: FuncOp
    units: list[Unit]
    places: ValuePlaces
    chip: Chip
    values: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    """What stands for each value of the h3 program, at the point that has been reached."""
    stored: dict[SSAValue, SSAValue] = field(default_factory=dict[SSAValue, SSAValue])
    """The off-chip copies of values that are in the buffer too."""
    ordered: dict[tuple[SSAValue, SSAValue], SSAValue] = field(
        default_factory=dict[tuple[SSAValue, SSAValue], SSAValue]
    )
    """Constants by what they are in the h3 program, and the order of outputs that they are wanted in."""
    residents: dict[tuple[SSAValue, PartAttr], SSAValue] = field(
        default_factory=dict[tuple[SSAValue, PartAttr], SSAValue]
    )
    block: Block = field(default_factory=Block)
    first: list[ProgramOp] = field(default_factory=list[ProgramOp])
    """On a pipelined chip: programs of the open segment that wait for nothing, which come before all else in it."""
    segment: int = 0
    step: int = 0
    first_step: int = 0
    """The step that the open segment begins with."""

    def run(self) -> None:
        old = self.function.body.block
        top = Block(arg_types=[argument.type for argument in old.args])
        for before, after in zip(old.args, top.args, strict=True):
            self._stands_for(before, after)
        top_constants(old, top, self.values)
        self._reorder(top)
        once = self._program_residents()
        if once is not None:
            top.add_op(once)
        for index, unit in enumerate(self.units):
            for value in self.places.loads.get(index, []):
                self._move(LoadOp, value)
            if unit.matrix is None:
                self._digital(unit)
            else:
                self._products(unit.matrix, top, index)
            for value in self.places.stores.get(index, []):
                self._move(StoreOp, value)
        returned = returned_values(self.function)
        self._close_segment(top, len(self.units))
        top.add_op(ReturnOp(*(self._off_chip(value) for value in returned)))
        replace_body(self.function, top)

    def _stands_for(self, before: SSAValue, after: SSAValue) -> None:
        after.name_hint = before.name_hint
        self.values[before] = after

    def _reorder(self, top: Block) -> None:
        """The constants of operators whose outputs are placed in another order."""
        for op in (unit.matrix for unit in self.units):
            if op is None or op.order is None:
                continue
            for value, axis in ((op.w, weight_axis(op)), (op.bias, 0), (op.scale, 0)):
                if value is None or shape_of(value)[axis] != op.outputs or (value, op.order) in self.ordered:
                    continue
                reorder = ReorderOp(self.values[value], self.values[op.order], axis)
                reorder.location = op.location
                reorder.result.name_hint = value.name_hint
                top.add_op(reorder)
                self.ordered[value, op.order] = reorder.result

    def _constant(self, op: MatrixOp, value: SSAValue) -> SSAValue:
        """A weight, bias or scale of an operator, in the order of its outputs."""
        return self.values[value] if op.order is None else self.ordered.get((value, op.order), self.values[value])

    def _program_residents(self) -> SegmentOp | None:
        """`tile.segment once`: what is programmed at power-up and stays."""
        body, keys = Block(), list[tuple[SSAValue, PartAttr]]()
        for unit in self.units:
            op = unit.matrix
            for part in () if op is None else op.placed:
                if op is not None and self._holds(part) and not part.is_rewritten:
                    body.add_op(self._program(op, part, step=len(keys)))
                    keys.append((op.result, part))
        if not keys:
            return None
        programmed = [op.results[0] for op in body.ops]
        body.add_op(YieldOp(programmed))
        once = SegmentOp(None, [value.type for value in programmed], Region(body))
        for key, inner, value in zip(keys, programmed, once.outs, strict=True):
            value.name_hint = inner.name_hint
            self.residents[key] = value
        return once

    def _holds(self, part: PartAttr) -> bool:
        """Whether the part's weights are in arrays (else they are streamed)."""
        return self.chip.tier(part.tier_name).arrays > 0

    def _program(self, op: MatrixOp, part: PartAttr, step: int) -> ProgramOp:
        shape, first = shape_of(op.w), part.first.data
        transposed = isinstance(op, MatmulOp) and op.transposed is not None
        axis = weight_axis(op)
        at = ArraysAttr.of(part.tier_name, copies=part.copies.data)
        type = TensorType(tensor_type(op.w).element_type, held_shape(op, part.outputs), at)
        program = ProgramOp(
            self._constant(op, op.w),
            [first if dimension == axis else 0 for dimension in range(len(shape))],
            type,
            step=step,
            transposed=transposed,
            groups=groups_held(op, part),
        )
        program.location = op.location
        program.result.name_hint = op.w.name_hint
        return program

    def _products(self, op: MatrixOp, top: Block, index: int) -> None:
        """All parts of one operator: those of one segment in one step."""
        if not op.placed:
            raise InputError(f"{where(op)}: expected parts from place-parts, found none")
        on_chip = op.result in self.places.on_chip
        pieces: list[SSAValue] = []
        for position, (segment, parts) in enumerate(groupby(op.placed, key=lambda part: part.segment.data)):
            if segment < self.segment:
                raise InputError(f"{where(op)}: segment {segment} comes after segment {self.segment}")
            if segment > self.segment:
                pieces = self._next_segment(top, index, segment, pieces)
            self.step += position > 0
            made = [self._product(op, part, on_chip) for part in parts]
            pieces += [ops[-1].results[0] for ops in made]
            for ops in sorted(made, key=self._tail_ps, reverse=True):
                self.block.add_ops(ops)
        self.step += 1
        result = pieces[0]
        if len(pieces) > 1:
            type = placed(tensor_type(op.result), buffer() if on_chip else None)
            join = JoinOp(pieces, output_axis(op), type, None if op.order is None else self.values[op.order])
            join.location = op.location
            self.block.add_op(join)
            result = join.result
        self._stands_for(op.result, result)

    def _tail_ps(self, ops: Sequence[Operation]) -> int:
        """What a part still takes when all it reads off chip is there.

        Parts that begin together meet on the off-chip port, which serves them in the order of the plan: the longest
        tail first is the order that ends soonest (a single machine with delivery times, Jackson's rule).
        """
        works = [work_of(self.chip, op).work for op in ops]
        return int(sum(closed_form_ps(work) - busy_ps(work, "dram.read") for work in works))

    def _product(self, op: MatrixOp, part: PartAttr, on_chip: bool) -> list[Operation]:
        """The ops of one part; the last one is its product."""
        ops: list[Operation] = []
        weight = self._constant(op, op.w)
        streams = not self._holds(part)
        if not streams and part.is_rewritten:
            ahead = self.chip.schedule == "pipelined" and static_weight(op.w) is not None
            program = self._program(op, part, self.first_step if ahead else self.step)
            (self.first if ahead else ops).append(program)
            weight = program.result
        elif not streams:
            weight = self.residents[op.result, part]
        shape = list(shape_of(op.result))
        shape[output_axis(op)] = part.outputs
        mvm = MvmOp(
            self.values[op.x],
            weight,
            placed(TensorType(tensor_type(op.result).element_type, shape), buffer() if on_chip else None),
            step=self.step,
            first=part.first.data,
            of=op.outputs,
            bias=None if op.bias is None else self._constant(op, op.bias),
            scale=None if op.scale is None else self._constant(op, op.scale),
            **mvm_properties(op, part, streams=streams),
        )
        mvm.attributes = dict(op.attributes)
        mvm.location = op.location
        mvm.result.name_hint = op.result.name_hint
        return [*ops, mvm]

    def _digital(self, unit: Unit) -> None:
        digital = digital_op(unit, [self.values[value] for value in unit.ins], self.places, self.step)
        self.step += 1
        self.block.add_op(digital)
        for before, after in zip(unit.outs, digital.outs, strict=True):
            self._stands_for(before, after)

    def _move(self, move: type[LoadOp] | type[StoreOp], value: SSAValue) -> None:
        source = self.values[value]
        type = placed(tensor_type(source), buffer() if move is LoadOp else None)
        op = move(source, type, step=self.step)
        op.location = source.owner.location if isinstance(source.owner, Operation) else op.location
        op.result.name_hint = value.name_hint
        self.step += 1
        self.block.add_op(op)
        if move is LoadOp:
            self.values[value] = op.result
        else:
            self.stored[value] = op.result

    def _off_chip(self, value: SSAValue) -> SSAValue:
        return self.stored.get(value, self.values[value])

    def _next_segment(self, top: Block, index: int, segment: int, pieces: list[SSAValue]) -> list[SSAValue]:
        """Close the segment that is open; the pieces of a half-made operator cross the border."""
        crossed = self._close_segment(top, index, pieces)
        self.segment = segment
        return crossed

    def _close_segment(self, top: Block, index: int, pieces: Sequence[SSAValue] = ()) -> list[SSAValue]:
        """Yield what units from `index` on, or the function's result, still need, and begin a new block."""
        if not self.block.first_op:
            return list(pieces)
        needed = {value for unit in self.units[index:] for value in unit.ins} | set(returned_values(self.function))
        own = {result for op in self.block.ops for result in op.results}
        tables = (self.values, self.stored)
        leaving = [(table, key) for table in tables for key, value in table.items() if key in needed and value in own]
        inner = [table[key] for table, key in leaving] + list(pieces)
        if not inner:
            return self._add_segment(top, [])
        outs = self._add_segment(top, inner)
        for (table, key), value in zip(leaving, outs, strict=False):
            table[key] = value
        return outs[len(leaving) :]

    def _add_segment(self, top: Block, inner: list[SSAValue]) -> list[SSAValue]:
        if self.first and self.block.first_op is not None:
            self.block.insert_ops_before(self.first, self.block.first_op)
        self.first, self.first_step = [], self.step
        self.block.add_op(YieldOp(inner))
        segment = SegmentOp(self.segment, [value.type for value in inner], Region(self.block))
        for value, out in zip(inner, segment.outs, strict=True):
            out.name_hint = value.name_hint
        top.add_op(segment)
        self.block = Block()
        return list(segment.outs)
