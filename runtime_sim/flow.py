"""The ops of a pipelined segment as jobs: what each waits for, chunk by chunk.

Operators of a segment overlap. A consumer's chunk waits for as much of the producer's result as it reads:
- a product of vectors for the same share of them; a convolution for the rows that its window has reached;
- elementwise digital work for the same share, pooling for the rows of its window;
- all else for the whole result: other digital work (a softmax, a change of layout), a weight made at run time, and a
  result that comes in another order than it is read in (by positions from a convolution, by vectors from a matmul).

What operators share they share: links, ports of off-chip memory, the digital unit, the write port of a tier. Arrays
are each operator's own. Where a tier may not write some arrays while others compute (`writes_overlap`), programs and
products take turns in the order of the plan.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue

from ..dialects.h3 import ConvOp
from ..dialects.h3_attributes import WindowAttr
from ..dialects.onnx import attr_ints
from ..dialects.tile import AheadOp, ArraysAttr, DigitalOp, JoinOp, LoadOp, MvmOp, ProgramOp, StepOp, StoreOp, SwitchOp
from ..dialects.values import place, shape_of
from .chip import Chip
from .digital_ops import ELEMENTWISE, GLOBAL_POOLS, POOLS, op_type, shape
from .events import After, Job
from .kinds.arrays import ArrayTier
from .rounds import Rounds
from .walk import definition
from .work import OpWork

ANY = "any"
"""The order of a result whose maker may take any."""
POSITIONS = "positions"
"""Images one after the other, rows of positions in them, all channels of a position at once."""


@dataclass(frozen=True)
class Rows:
    """A window that passes over the rows of some images."""

    images: int
    rows_in: int
    rows_out: int
    stride: int
    extent: int
    """Rows that it covers."""
    pad: int
    """Rows of padding before the first."""

    def share(self, done: Fraction) -> Fraction:
        """The share of the input that the share `done` of the result has read."""
        rows = done * self.images * self.rows_out
        image, left = divmod(rows, self.rows_out)
        reached = min(self.rows_in, max(0, (ceil(left) - 1) * self.stride + self.extent - self.pad)) if left else 0
        return Fraction(image * self.rows_in + reached, self.images * self.rows_in)


FLOWING = ELEMENTWISE | {"BatchNormalization", "DequantizeLinear", "QuantizeLinear"}
"""Ops that take an operand of the result's shape element by element."""

Path = tuple[Rows, ...]
"""The windows between an input and a result, from the result back."""
Paths = frozenset[Path] | None
"""All ways from an input to a result; None: the result waits for the whole input."""


@lru_cache(maxsize=4096)
def chunks_read(paths: frozenset[Path], chunks: int, there: int) -> tuple[int, ...]:
    """For each of a job's `chunks`, how many of the `there` chunks of its input it reads."""
    needs: list[int] = []
    for chunk in range(1, chunks + 1):
        most = Fraction(0)
        for path in paths:
            share = Fraction(chunk, chunks)
            for rows in path:
                share = rows.share(share)
            most = max(most, share)
        needs.append(max(1, ceil(most * there)))
    return tuple(needs)


def producers(value: SSAValue) -> Iterator[tuple[Operation, bool]]:
    """(the ops that make `value`, whether a join lies between)."""
    source = definition(value)
    if isinstance(source, OpResult):
        if isinstance(source.op, JoinOp):
            for piece in source.op.pieces:
                yield from ((producer, True) for producer, _ in producers(piece))
        else:
            yield source.op, False


def pipelined_jobs(chip: Chip, ops: Sequence[tuple[StepOp, OpWork]]) -> tuple[tuple[Job, ...], list[int]]:
    """(the jobs of one segment, the position in `ops` of the op that each is of).

    An op is one job, or if it works in rounds two a round. Each place in arrays is a resource of its own, numbered in
    the order of the plan.
    """
    flow, owners = _Flow(chip), list[int]()
    for position, (op, work) in enumerate(ops):
        flow.add(op, work)
        owners += [position] * (len(flow.jobs) - len(owners))
    return tuple(flow.jobs), owners


@dataclass
class _Turns:
    """Who writes and who computes on a tier where not both may be done at once."""

    writing: bool = False
    now: list[int] = field(default_factory=list[int])
    before: list[int] = field(default_factory=list[int])

    def take(self, job: int, writing: bool) -> list[int]:
        """The jobs that `job` waits for."""
        if writing != self.writing:
            self.writing, self.before, self.now = writing, self.now, []
        self.now.append(job)
        return self.before


@dataclass
class _Flow:
    chip: Chip
    jobs: list[Job] = field(default_factory=list[Job])
    positions: dict[Operation, int] = field(default_factory=dict[Operation, int])
    orders: dict[Operation, str | None] = field(default_factory=dict[Operation, str | None])
    """In which order the result of an op of the segment comes; None: not before all of it is there."""
    places: dict[Hashable, int] = field(default_factory=dict[Hashable, int])
    users: dict[str, NDArray[np.int64]] = field(default_factory=dict[str, "NDArray[np.int64]"])
    switches: list[int] = field(default_factory=list[int])
    """All that comes after a switch in the plan waits for it."""
    turns: dict[str, _Turns] = field(default_factory=dict[str, _Turns])

    def add(self, op: StepOp, work: OpWork) -> None:
        """The next op of the plan."""
        job, chunks = len(self.jobs), int(work.work.chunks)
        order, reads = self._reads(op)
        if work.rounds is not None:
            order, reads = None, [None] * len(op.operands)
        waits: dict[int, tuple[int, ...] | None] = {}
        for operand, paths in zip(op.operands, reads, strict=True):
            for producer, _ in producers(operand):
                if producer in self.positions:
                    other = self.positions[producer]
                    flows = paths is not None and _agree(order, self.orders[producer])
                    needs = chunks_read(paths, chunks, self.jobs[other].chunks) if paths and flows else None
                    waits[other] = _later(waits[other], needs) if other in waits else needs
        waits.update(dict.fromkeys([*self._turn(op, job), *self._places(op, job), *self.switches]))
        after = tuple(After(other, needs is None, needs) for other, needs in sorted(waits.items()))
        if work.rounds is not None:
            assert isinstance(op, MvmOp)
            self._rounds(op, work.rounds, after)
        else:
            stages = tuple((self._resource(op, name), int(ps)) for name, ps in work.work.stages if int(ps) > 0)
            self.jobs.append(Job(stages, chunks, after))
        if isinstance(op, SwitchOp):
            self.switches = [job]
        self.positions[op], self.orders[op] = len(self.jobs) - 1, order

    def _rounds(self, op: MvmOp, rounds: Rounds, after: tuple[After, ...]) -> None:
        """A round's arrays are written when what they did before is done, and compute when they are written.

        Rounds are in their order: what a round computes with goes before the weights of later ones, which are there
        early, as no link holds up reading ahead of it.
        """
        assert op.rounds is not None
        first, turns, count = len(self.jobs), rounds.turns, rounds.count
        names = [f" {self.places.setdefault((first, turn), len(self.places))}" for turn in range(turns)]
        for number in range(count):
            waits = after if number < turns else (After(first + 2 * (number - turns) + 1, True),)
            load = rounds.load if number else rounds.first
            stages = tuple((name, int(ps)) for name, ps in load.stages if int(ps) > 0)
            self.jobs.append(Job(stages, int(load.chunks), waits))
            own = names[number % turns]
            stages = tuple(
                (name + own if name.endswith(".arrays") else name, int(ps)) for name, ps in rounds.compute.stages
            )
            self.jobs.append(Job(stages, int(rounds.compute.chunks), (After(first + 2 * number, True), *after)))
        indices = indices_of(op.rounds.at)
        size = len(indices) // turns
        for turn in range(min(turns, count)):
            last = count - 1 - (count - 1 - turn) % turns
            self._users(op.rounds.at.tier_name)[indices[turn * size : (turn + 1) * size]] = first + 2 * last + 1

    def _users(self, tier: str) -> NDArray[np.int64]:
        """For each array of a tier the last job that uses it, or -1."""
        if tier not in self.users:
            self.users[tier] = np.full(self.chip.tier(tier).arrays, -1, np.int64)
        return self.users[tier]

    def _places(self, op: StepOp, job: int) -> list[int]:
        """Those that have to be done with its arrays before `op` writes them; from now on it uses them."""
        at = op.rounds.at if isinstance(op, MvmOp) and op.rounds is not None else None
        writes = True
        if isinstance(op, ProgramOp):
            at = place(op.result)
        elif isinstance(op, AheadOp):
            at = op.arrays
        elif isinstance(op, MvmOp) and at is None:
            at, writes = place(op.w), False
        if not isinstance(at, ArraysAttr):
            return []
        users, indices = self._users(at.tier_name), indices_of(at)
        before = [int(user) for user in np.unique(users[indices]) if user >= 0] if writes else []
        users[indices] = job
        return before

    def _reads(self, op: StepOp) -> tuple[str | None, Sequence[Paths]]:
        """The order in which `op` works, and how it reads each operand."""
        whole: list[Paths] = [None] * len(op.operands)
        match op:
            case MvmOp():
                order, path = _product(op)
                return order, [frozenset((path,)), *whole[1:]]
            case LoadOp() | StoreOp():
                return ANY, [frozenset(((),))]
            case DigitalOp():
                found = {self.orders[p] for v in op.ins for p, _ in producers(v) if p in self.positions} - {ANY}
                reads = digital_reads(op)
                if reads is None or len(found) > 1 or None in found:
                    return None, whole
                order = next(iter(found), ANY)
                windows = any(path for paths in reads for path in paths or ())
                return (order, reads) if not windows or order in (POSITIONS, ANY) else (None, whole)
            case _:
                return None, whole

    def _turn(self, op: StepOp, job: int) -> Sequence[int]:
        """The jobs of a tier that have to end before its arrays change between writing and computing."""
        at = place(op.result if isinstance(op, ProgramOp) else op.w) if isinstance(op, ProgramOp | MvmOp) else None
        at = op.arrays if isinstance(op, AheadOp) else at
        if not isinstance(at, ArraysAttr):
            return ()
        tier = self.chip.tier(at.tier_name)
        if isinstance(tier, ArrayTier) and tier.writes_overlap:
            return ()
        return self.turns.setdefault(at.tier_name, _Turns()).take(job, not isinstance(op, MvmOp))

    def _resource(self, op: StepOp, name: str) -> str:
        at = place(op.w) if isinstance(op, MvmOp) else None
        if not isinstance(at, ArraysAttr) or name != f"{at.tier_name}.arrays":
            return name
        return f"{name} {self.places.setdefault(at, len(self.places))}"


def indices_of(at: ArraysAttr) -> list[int]:
    """The arrays of a place, in its order."""
    return [index for span in at.spans for index in range(*span)]


def _agree(order: str | None, other: str | None) -> bool:
    return order is not None and other is not None and (order == other or ANY in (order, other))


def _later(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if a is None or b is None else tuple(map(max, a, b))


def _product(op: MvmOp) -> tuple[str, Path]:
    """The order of a product's vectors, and the windows between x and the result."""
    if op.window is None:
        blocks = shape_of(op.w)[:-2]
        return (f"vectors of blocks {blocks}" if any(size > 1 for size in blocks) else "vectors"), ()
    return POSITIONS, (rows_of(op.window, op),)


def rows_of(window: WindowAttr, op: MvmOp | ConvOp) -> Rows:
    """How the window of a convolution passes over the rows of its input."""
    strides, pads, dilations, _ = window.lists()
    x, y, w = shape_of(op.x), shape_of(op.result), shape_of(op.w)
    return Rows(x[0], x[2], y[2], strides[0], dilations[0] * (w[2] - 1) + 1, pads[0])


def digital_reads(op: DigitalOp) -> tuple[Paths, ...] | None:
    """How a region's results read each operand, if it does its work chunk by chunk; None: it needs all of them.

    An operand that is broadcast has to be there whole; a value made in the region cannot be.
    """
    reads: dict[SSAValue, dict[SSAValue, Paths]] = {
        argument: {argument: frozenset(((),))} for argument in op.block.args
    }
    results: dict[SSAValue, Paths] = {}
    for inner in op.block.ops:
        if inner is op.block.last_op:
            for value in inner.operands:
                _merge(results, reads.get(value, {}), ())
        elif inner.operands and inner.results:
            found: dict[SSAValue, Paths] = {}
            for index, operand in enumerate(inner.operands):
                path = _window(inner, index)
                is_broadcast = op_type(inner) in FLOWING and isinstance(operand, BlockArgument)
                if path is None and operand in reads and not is_broadcast:
                    return None
                _merge(found, reads.get(operand, {}), path)
            reads.update(dict.fromkeys(inner.results, found))
    return tuple(results.get(argument) for argument in op.block.args)


def _merge(into: dict[SSAValue, Paths], reads: dict[SSAValue, Paths], path: Path | None) -> None:
    """Add what an operand has read, behind `path`."""
    for argument, paths in reads.items():
        longer = None if paths is None or path is None else frozenset((*path, *each) for each in paths)
        known = into.get(argument, frozenset[Path]())
        into[argument] = None if known is None or longer is None else known | longer


def _window(op: Operation, index: int) -> Path | None:
    """The windows between an operand and the result of an onnx op; None: the op needs the whole operand."""
    x, y, kind = shape(op.operands[index]), shape(op.results[0]), op_type(op)
    if kind in FLOWING:
        return () if x == y else None
    if index > 0 or len(x) < 3:
        return None
    if kind in GLOBAL_POOLS:
        return (Rows(x[0], x[2], 1, 1, x[2], 0),)
    if kind in POOLS:
        kernel, rank = attr_ints(op, "kernel_shape", ()) or (1,), len(x) - 2
        stride = (attr_ints(op, "strides", ()) or (1,))[0]
        dilation = (attr_ints(op, "dilations", ()) or (1,))[0]
        pad = (attr_ints(op, "pads", ()) or (0,) * 2 * rank)[0]
        return (Rows(x[0], x[2], y[2], stride, dilation * (kernel[0] - 1) + 1, pad),)
    return None


def waits_for_all(op: Operation, value: SSAValue) -> bool:
    """Whether a reader of `value` needs all of it before it starts, whatever the order in which it comes."""
    if isinstance(op, LoadOp | StoreOp):
        return False
    if isinstance(op, MvmOp):
        return any(definition(other) is definition(value) for other in op.operands[1:]) or op.rounds is not None
    reads = digital_reads(op) if isinstance(op, DigitalOp) else None
    if reads is None:
        return True
    return any(paths is None for operand, paths in zip(op.operands, reads, strict=True) if operand is value)
