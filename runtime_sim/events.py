"""The event engine: jobs of chunks that pass stages, on resources that serve one task at a time.

Time is in integer picoseconds. A task is (job, chunk, stage) and takes `ceil(stage / chunks)`. It starts when the same
chunk has passed the stage before, what its job waits for is there, and its resource is free. A resource serves tasks
in the order in which they are ready, then in the order in which they were created: nothing is left to chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class After:
    """A job waits for another of the same list, an earlier one: chunk by chunk, or (`whole`) for its last chunk."""

    job: int
    whole: bool


@dataclass(frozen=True)
class Job:
    """Work in whole picoseconds a stage; a stage of no time is left out."""

    stages: tuple[tuple[str, int], ...]
    chunks: int
    after: tuple[After, ...] = ()

    def tau(self, stage: int) -> int:
        """What one chunk takes in a stage."""
        return -(-self.stages[stage][1] // self.chunks)


@dataclass(frozen=True)
class Run:
    """Chunks of one job on one resource with no other job between them; not all of the time need be busy."""

    job: int
    resource: str
    start_ps: int
    end_ps: int
    busy_ps: int
    chunks: int


@dataclass(frozen=True)
class Schedule:
    """When everything happened, from 0."""

    ends_ps: tuple[int, ...]
    """The end of each job; of one without stages, when what it waits for is there."""
    starts_ps: tuple[int, ...]
    runs: tuple[Run, ...]
    """In the order of start, then job."""

    @property
    def end_ps(self) -> int:
        return max(self.ends_ps, default=0)


def alone(job: Job) -> Schedule:
    """One job with all its resources to itself: the closed form (`cost.closed_form_ps`), with the runs that it implies.

    In stage s the first chunk starts when it has passed the stages before; the last ends `chunks - 1` times the slowest
    stage so far after the first.
    """
    runs: list[Run] = []
    passed = slowest = 0
    for stage, (resource, _) in enumerate(job.stages):
        tau = job.tau(stage)
        start, passed, slowest = passed, passed + tau, max(slowest, tau)
        runs.append(Run(0, resource, start, passed + (job.chunks - 1) * slowest, tau * job.chunks, job.chunks))
    end = runs[-1].end_ps if runs else 0
    return Schedule((end,), (0,), tuple(runs))


def simulate(jobs: Sequence[Job]) -> Schedule:
    """All jobs from time 0, as soon as they may."""
    return _Engine(jobs).run()


class _Engine:
    """The state of one simulation. Tasks are numbered by job, then chunk, then stage: the order of creation."""

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = jobs
        self.first: list[int] = []
        self.missing: list[int] = []
        self.duration: list[int] = []
        self.resource: list[str] = []
        self.of_job: list[int] = []
        self.waiting: dict[int, list[int]] = {}
        self.left = [max(1, job.chunks * len(job.stages)) for job in jobs]
        self.starts = [-1] * len(jobs)
        self.ends = [0] * len(jobs)
        self.queues: dict[str, list[tuple[int, int]]] = {}
        self.busy: set[str] = set()
        self.events: list[tuple[int, int]] = []
        self.intervals: dict[str, list[tuple[int, int, int]]] = {}
        for index, job in enumerate(jobs):
            self._create(index, job)

    def _create(self, index: int, job: Job) -> None:
        """Tasks of one job; one without stages is a single task without time or resource."""
        first, stages = len(self.missing), len(job.stages)
        self.first.append(first)
        taus = [job.tau(stage) for stage in range(stages)]
        for _ in range(job.chunks if stages else 1):
            self.duration.extend(taus or [0])
            self.resource.extend([resource for resource, _ in job.stages] or [""])
            self.missing.extend([1] * max(1, stages))
            self.of_job.extend([index] * max(1, stages))
        self.missing[first] = 0
        for task in range(first + stages, first + stages * job.chunks):
            self.missing[task] += task % 1 + (task - first) % stages.__index__() // max(1, stages)
