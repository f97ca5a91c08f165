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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from math import ceil

from xdsl.ir import BlockArgument, Operation, OpResult, SSAValue

from ..dialects.onnx import attr_ints
from ..dialects.tile import ArraysAttr, DigitalOp, JoinOp, LoadOp, MvmOp, ProgramOp, StepOp, StoreOp
from ..dialects.values import place, shape_of
from .chip import Chip
from .digital_ops import ELEMENTWISE, GLOBAL_POOLS, POOLS, op_type, shape
from .events import After, Job
from .kinds.arrays import ArrayTier
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


def pipelined_jobs(chip: Chip, ops: Sequence[tuple[StepOp, OpWork]]) -> tuple[Job, ...]:
    """The jobs of one segment. Each place in arrays is a resource of its own, numbered in the order of the plan."""
    flow = _Flow(chip)
    for op, work in ops:
        flow.add(op, work)
    return tuple(flow.jobs)


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
    places: dict[ArraysAttr, int] = field(default_factory=dict[ArraysAttr, int])
    turns: dict[str, _Turns] = field(default_factory=dict[str, _Turns])

    def add(self, op: StepOp, work: OpWork) -> None:
        """The next op of the plan."""
        job, chunks = len(self.jobs), int(work.work.chunks)
        order, reads = self._reads(op)
        waits: dict[int, tuple[int, ...] | None] = {}
        for operand, paths in zip(op.operands, reads, strict=True):
            for producer, _ in producers(operand):
                if producer in self.positions:
                    other = self.positions[producer]
                    flows = paths is not None and _agree(order, self.orders[producer])
                    needs = chunks_read(paths, chunks, self.jobs[other].chunks) if paths and flows else None
                    waits[other] = _later(waits[other], needs) if other in waits else needs
        waits.update(dict.fromkeys(self._turn(op, job)))
        after = tuple(After(other, needs is None, needs) for other, needs in sorted(waits.items()))
        stages = tuple((self._resource(op, name), int(ps)) for name, ps in work.work.stages if int(ps) > 0)
        self.jobs.append(Job(stages, chunks, after))
        self.positions[op], self.orders[op] = job, order

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
        if not isinstance(at, ArraysAttr):
            return ()
        tier = self.chip.tier(at.tier_name)
        if isinstance(tier, ArrayTier) and tier.writes_overlap:
            return ()
        return self.turns.setdefault(at.tier_name, _Turns()).take(job, isinstance(op, ProgramOp))

    def _resource(self, op: StepOp, name: str) -> str:
        at = place(op.w) if isinstance(op, MvmOp) else None
        if not isinstance(at, ArraysAttr) or name != f"{at.tier_name}.arrays":
            return name
        return f"{name} {self.places.setdefault(at, len(self.places))}"


def _agree(order: str | None, other: str | None) -> bool:
    return order is not None and other is not None and (order == other or ANY in (order, other))


def _later(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> tuple[int, ...] | None:
    return None if a is None or b is None else tuple(map(max, a, b))


def _product(op: MvmOp) -> tuple[str, Path]:
    """The order of a product's vectors, and the windows between x and the result."""
    if op.window is None:
        blocks = shape_of(op.w)[:-2]
        return (f"vectors of blocks {blocks}" if any(size > 1 for size in blocks) else "vectors"), ()
    strides, pads, dilations, _ = op.window.lists()
    x, y, w = shape_of(op.x), shape_of(op.result), shape_of(op.w)
    return POSITIONS, (Rows(x[0], x[2], y[2], strides[0], dilations[0] * (w[2] - 1) + 1, pads[0]),)


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
