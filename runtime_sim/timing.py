"""Time and energy of a plan: `simulate(module)`.

On a sequential chip steps follow each other. In a step, ops that share no resource and do not wait for each other run
side by side: one that has all its resources to itself takes its closed form, which the event engine would find too;
others go through the engine (module `schedules`). On a pipelined chip the same holds of whole segments (module `flow`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum, inf

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp, NameLoc
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation

from ..dialects.text import unescape
from ..dialects.tile import AheadOp, DigitalOp, JoinOp, LoadOp, MvmOp, ProgramOp, SegmentOp, StoreOp, SwitchOp
from ..dialects.tile_movement import ArraysAttr, StepOp
from ..dialects.values import place
from .chip import Chip
from .chip_ir import chip_from_ir
from .cost import COMPONENTS, SHARED_PORTS
from .errors import InputError
from .events import After, Job
from .expected import expected_ps
from .flow import indices_of, pipelined_jobs, producers
from .rounds import round_writes
from .schedules import least_ps, scheduled
from .walk import ConstantLike, Visitor, walk
from .work import OpWork, is_in_place, widened_chip, work_of


@dataclass(frozen=True)
class OpTiming:
    """One op of the plan: when it ran and what it took."""

    name: str
    """The node of the model that it comes from, else the op's own name."""
    op: str
    tier: str | None
    segment: int | None
    """None: at power-up."""
    step: int
    start_ns: float
    end_ns: float
    energy_pj: Mapping[str, float]
    """Dynamic, by component."""


@dataclass(frozen=True)
class Interval:
    """A resource serves one op (index into `operations`): busy for `busy_ps` of the time between."""

    resource: str
    operation: int
    start_ps: int
    end_ps: int
    busy_ps: int
    chunks: int


@dataclass(frozen=True)
class TierTiming:
    """What one tier did in one execution."""

    mac_share: float
    utilisation: float
    """Busy array-time / (all arrays x latency); of a tier without arrays, busy time / latency."""
    energy_pj: float
    """Dynamic energy of the ops that it ran, with their transfers, and its own static energy."""
    arrays: int
    """Most arrays occupied in any segment."""
    rows_written: int
    """Array rows written in one execution."""
    executions_to_endurance: float | None
    """Executions until the most written array reaches its endurance; None: it never does."""


@dataclass(frozen=True)
class Setup:
    """First loading of weights that then stay; energy with static energy."""

    latency_ns: float
    energy_pj: float


@dataclass(frozen=True)
class Timing:
    """What a plan takes. `energy_pj` is the sum of `components`, and of all ops' energy and the static energy."""

    latency_ns: float
    period_ns: float
    """The least time between the starts of two executions of a stream: the time for which the busiest resource is
    taken in one. A tier works for one part at a time, off-chip memory for one read and one write."""
    energy_pj: float
    components: Mapping[str, float]
    tiers: Mapping[str, TierTiming]
    setup: Setup
    segments: int
    mode_switches: int
    operations: tuple[OpTiming, ...]
    """Of one execution, in the order of the plan; `setup_operations` those at power-up, counted from 0 too."""
    intervals: tuple[Interval, ...]
    setup_operations: tuple[OpTiming, ...]
    setup_intervals: tuple[Interval, ...]


def simulate(module: ModuleOp, *, record: bool = False) -> Timing:
    """Simulate one execution, and apart from it the set-up, of a plan whose arrays are assigned.

    Only with `record` are there `intervals`, for a trace.
    """
    timing = _simulated(module, record, inf)
    assert timing is not None
    return timing


def simulate_below(module: ModuleOp, most_ns: float) -> Timing | None:
    """As `simulate`; None, sooner, where an execution takes `most_ns` or longer."""
    return _simulated(module, False, most_ns)


def expected_ns(module: ModuleOp) -> float:
    """What one execution takes in closed form: what `simulate` finds, but for what waiting does to single chunks."""
    chip = chip_from_ir(module)
    plan = _Plan(chip)
    walk(module, plan)
    each = [ops for index, ops in plan.segments if index is not None]
    return sum(expected_ps(batch.jobs) for ops in each for batch in _batches(chip, ops)) / 1000


def _simulated(module: ModuleOp, record: bool, most_ns: float) -> Timing | None:
    chip = chip_from_ir(module)
    plan = _Plan(chip)
    walk(module, plan)
    once, each = _Timeline(chip, record), _Timeline(chip, record)
    batches = [(index, batch) for index, ops in plan.segments for batch in _batches(chip, ops)]
    timed = most_ns < inf
    leasts = [least_ps(batch.jobs) if timed and index is not None else 0 for index, batch in batches]
    left = sum(leasts)
    for (index, batch), least in zip(batches, leasts, strict=True):
        if each.now_ps + left >= most_ns * 1000:
            return None
        (once if index is None else each).run(index, batch)
        left -= least
    return None if each.now_ps >= most_ns * 1000 else _timing(chip, plan, once, each)


class _Plan(Visitor):
    """The timed ops of each segment, and what its programs do to arrays."""

    def __init__(self, chip: Chip):
        self.chip = chip
        self.segments: list[tuple[int | None, list[tuple[StepOp, OpWork]]]] = []
        sizes = {name: tier.arrays for name, tier in chip.tiers.items() if tier.arrays}
        self.writes = {name: np.zeros(size, np.int64) for name, size in sizes.items()}
        """How often each array is written in an execution."""
        self.held = {name: np.zeros(size, np.bool_) for name, size in sizes.items()}
        """Arrays that hold residents."""
        self.peak = dict.fromkeys(chip.tiers, 0)
        self.widened = chip
        """The chip as the open segment's memory arrays make it."""
        self.switched = 0
        """Array switches in one execution."""
        self.scratch: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}

    def constant(self, op: ConstantLike) -> None:
        """Takes nothing."""

    def results(self, op: ReturnOp) -> None:
        """Takes nothing."""

    def segment_begins(self, op: SegmentOp) -> None:
        index = None if op.index is None else op.index.value.data
        self.segments.append((index, []))
        self.widened = self.chip
        if op.memory is not None:
            self.widened = widened_chip(self.chip, op.memory.tier_name, op.memory.size)
        self.scratch = {name: held.copy() for name, held in self.held.items()}

    def segment_ends(self, op: SegmentOp) -> None:
        for name, occupied in self.scratch.items():
            self.peak[name] = max(self.peak[name], int(occupied.sum()))
        if op.once:
            self.held = self.scratch

    def _timed(self, op: StepOp) -> None:
        self.segments[-1][1].append((op, work_of(self.widened, op)))

    def program(self, op: ProgramOp) -> None:
        at = place(op.result)
        assert isinstance(at, ArraysAttr)
        limit = self.chip.tier(at.tier_name).arrays
        if not at.spans or max(last for _, last in at.spans) > limit:
            raise InputError(f"{at}: expected ranges of the {limit} arrays of tier {at.tier_name} (assign-arrays)")
        self._occupy(at, 0 if is_in_place(op) else 1)
        self.switched += at.size // at.copies.data * is_in_place(op)
        self._timed(op)

    def _occupy(self, at: ArraysAttr, writes: int | NDArray[np.int64]) -> None:
        """Arrays hold weights, written so often in an execution."""
        indices = indices_of(at)
        self.scratch[at.tier_name][indices] = True
        if self.segments[-1][0] is not None:
            self.writes[at.tier_name][indices] += writes

    def load(self, op: LoadOp) -> None:
        self._timed(op)

    def store(self, op: StoreOp) -> None:
        self._timed(op)

    def switch(self, op: SwitchOp) -> None:
        self.switched += op.arrays.size * (self.segments[-1][0] is not None)
        self._timed(op)

    def ahead(self, op: AheadOp) -> None:
        self._occupy(op.arrays, 1)
        self._timed(op)

    def mvm(self, op: MvmOp) -> None:
        if op.rounds is not None:
            self._occupy(op.rounds.at, round_writes(op.rounds))
        self._timed(op)

    def digital(self, op: DigitalOp) -> None:
        self._timed(op)

    def join(self, op: JoinOp) -> None:
        """Takes nothing."""


@dataclass(frozen=True)
class _Batch:
    """Ops that begin when all before them have ended; `owners` has the member that each job is of."""

    members: Sequence[tuple[StepOp, OpWork]]
    jobs: tuple[Job, ...]
    owners: Sequence[int]


def _batches(chip: Chip, ops: Sequence[tuple[StepOp, OpWork]]) -> Iterator[_Batch]:
    """A segment, whose steps follow each other; on a pipelined chip all of it at once."""
    if chip.schedule == "pipelined":
        yield _Batch(ops, *pipelined_jobs(chip, ops))
        return
    for _, pairs in groupby(sorted(ops, key=lambda pair: pair[0].at), key=lambda pair: pair[0].at):
        members = list(pairs)
        positions = {op: position for position, (op, _) in enumerate(members)}
        jobs = tuple(_job(op, work, positions) for op, work in members)
        yield _Batch(members, jobs, range(len(jobs)))


class _Timeline:
    """Batches one after the other."""

    def __init__(self, chip: Chip, record: bool):
        self.chip = chip
        self.record = record
        self.pipelined = chip.schedule == "pipelined"
        self.now_ps = 0
        self.writes = False
        self.works: list[OpWork] = []
        self.busy_ps = dict.fromkeys(chip.tiers, 0)
        """Of the arrays of each tier, added up; of a tier without arrays, of its cores or lanes."""
        self.taken_ps: dict[str, int] = {}
        """By tier from the first to the last of each op, by port of off-chip memory while it moves data; on a pipelined
        chip by resource while it is busy."""
        self.operations: list[OpTiming] = []
        self.intervals: list[Interval] = []

    def run(self, index: int | None, batch: _Batch) -> None:
        """The next batch, of segment `index`."""
        schedule = scheduled(batch.jobs, self.record)
        ends = [0] * len(batch.members)
        for owner, end in zip(batch.owners, schedule.ends_ps, strict=True):
            ends[owner] = max(ends[owner], end)
        offset, base = len(self.operations), self.now_ps
        starts = list(ends)
        for job, owner, start in zip(batch.jobs, batch.owners, schedule.starts_ps, strict=True):
            starts[owner] = min(starts[owner], start)
            self._busy(batch.members[owner][1], job)
        for run in schedule.runs:
            span = (base + run.start_ps, base + run.end_ps)
            self.intervals.append(
                Interval(run.resource, offset + batch.owners[run.job], *span, run.busy_ps, run.chunks)
            )
        for (op, work), start, end in zip(batch.members, starts, ends, strict=True):
            energy = {part: float(pj) for part, pj in work.work.energy_pj.items()}
            span = ((base + start) / 1000, (base + end) / 1000)
            self.operations.append(OpTiming(name_of(op), op.name, work.tier, index, op.at, *span, energy))
            self.works.append(work)
            self.writes = self.writes or int(work.work.rows_written) > 0
            if work.tier is not None and not self.pipelined:
                self._take(work.tier, end - start)
        self.now_ps += max(ends, default=0)

    def _busy(self, work: OpWork, job: Job) -> None:
        """Adds up what a job keeps busy."""
        for stage, (resource, _) in enumerate(job.stages):
            ps = job.tau(stage) * job.chunks
            if work.tier is not None and resource.partition(" ")[0] in (work.tier, f"{work.tier}.arrays"):
                self.busy_ps[work.tier] += ps * max(1, work.arrays)
            if self.pipelined or resource in SHARED_PORTS:
                self._take(resource, ps)

    @property
    def period_ps(self) -> int:
        """Arrays that are written again in each execution belong to it from its begin to its end."""
        if self.pipelined and self.writes:
            return self.now_ps
        return max(self.taken_ps.values(), default=0)

    def _take(self, resource: str, ps: int) -> None:
        self.taken_ps[resource] = self.taken_ps.get(resource, 0) + ps

    def components(self) -> dict[str, float]:
        """Energy by component, with static energy."""
        dynamic = {
            part: fsum(op.energy_pj.get(part, 0.0) for op in self.operations) for part in COMPONENTS if part != "static"
        }
        return {**dynamic, "static": self.chip.static_power_mw * self.now_ps / 1000}


def name_of(op: Operation) -> str:
    """The model's node that an op comes from; the op's own name where that is not known."""
    return unescape(op.location.desc.data) if isinstance(op.location, NameLoc) else op.name


def _job(op: StepOp, work: OpWork, positions: Mapping[StepOp, int]) -> Job:
    """The op as a job of its step. What is not in the step has ended before it."""
    after: dict[int, bool] = {}
    for number, operand in enumerate(op.operands):
        by_chunks = number == 0 and (isinstance(op, LoadOp | StoreOp) or (isinstance(op, MvmOp) and op.window is None))
        for producer, joined in producers(operand):
            if isinstance(producer, StepOp) and producer in positions:
                job = positions[producer]
                after[job] = after.get(job, False) or joined or not by_chunks
    stages = tuple((resource, int(ps)) for resource, ps in work.work.stages if int(ps) > 0)
    waits = tuple(After(job, whole) for job, whole in sorted(after.items()))
    return Job(stages, int(work.work.chunks), waits)


def _timing(chip: Chip, plan: _Plan, once: _Timeline, each: _Timeline) -> Timing:
    components = each.components()
    setup = Setup(once.now_ps / 1000, fsum(once.components().values()))
    return Timing(
        latency_ns=each.now_ps / 1000,
        period_ns=each.period_ps / 1000,
        energy_pj=fsum(components.values()),
        components=components,
        tiers=_tiers(chip, plan, each),
        setup=setup,
        segments=sum(
            chip.schedule != "pipelined" or any(isinstance(op, MvmOp) for op, _ in ops)
            for index, ops in plan.segments
            if index is not None
        ),
        mode_switches=plan.switched,
        operations=tuple(each.operations),
        intervals=tuple(each.intervals),
        setup_operations=tuple(once.operations),
        setup_intervals=tuple(once.intervals),
    )


def _tiers(chip: Chip, plan: _Plan, each: _Timeline) -> dict[str, TierTiming]:
    macs, rows = dict.fromkeys(chip.tiers, 0), dict.fromkeys(chip.tiers, 0)
    energies: dict[str, list[float]] = {name: [] for name in chip.tiers}
    for op, work in zip(each.operations, each.works, strict=True):
        if work.tier is not None:
            macs[work.tier] += work.macs
            rows[work.tier] += int(work.work.rows_written)
            energies[work.tier].extend(op.energy_pj.values())
    total = sum(macs.values())
    result: dict[str, TierTiming] = {}
    for name, tier in chip.tiers.items():
        capacity = each.now_ps * max(1, tier.arrays)
        most = int(plan.writes[name].max()) if name in plan.writes else 0
        endurance = tier.endurance()
        result[name] = TierTiming(
            mac_share=macs[name] / total if total else float(name == "digital"),
            utilisation=each.busy_ps[name] / capacity if capacity else 0.0,
            energy_pj=fsum(energies[name]) + tier.static_power_mw * each.now_ps / 1000,
            arrays=plan.peak[name],
            rows_written=rows[name],
            executions_to_endurance=endurance / most if endurance is not None and most else None,
        )
    return result
