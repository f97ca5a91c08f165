"""The event engine: jobs of chunks that pass stages, on resources that serve one task at a time.

Time is in integer picoseconds. A task is (job, chunk, stage) and takes `ceil(stage / chunks)`. It can start when the
same chunk has passed the stage before, the chunk before has passed this stage, and what its job waits for is there. A
resource that is free takes, of the tasks that are ready, the first in the order of jobs, chunks and stages: the plan's
order is the priority. All that ends at one time is looked at before anything starts, so nothing is left to chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True)
class After:
    """A job waits for another job of the same list: chunk by chunk, or (`whole`) for its last chunk.

    `needs`: for each chunk of the waiting job how many chunks of the other have to be done; None: the same share.
    """

    job: int
    whole: bool
    needs: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Job:
    """Whole picoseconds for each stage, none of them 0; no resource occurs twice."""

    stages: tuple[tuple[str, int], ...]
    chunks: int
    after: tuple[After, ...] = ()

    def tau(self, stage: int) -> int:
        """What one chunk takes in a stage."""
        return -(-self.stages[stage][1] // self.chunks)


@dataclass(frozen=True)
class Task:
    """One chunk in one stage: when it ran."""

    job: int
    chunk: int
    stage: int
    start_ps: int
    end_ps: int


@dataclass(frozen=True)
class Run:
    """Successive chunks of one job on one resource, with no other job between; busy for `busy_ps` of the time."""

    job: int
    resource: str
    start_ps: int
    end_ps: int
    busy_ps: int
    chunks: int


@dataclass(frozen=True)
class Schedule:
    """When everything happened, counted from 0."""

    ends_ps: tuple[int, ...]
    """The end of each job; of one without stages, the time when what it waits for is there."""
    runs: tuple[Run, ...]
    """On each resource in the order of time."""

    @property
    def end_ps(self) -> int:
        return max(self.ends_ps, default=0)


def alone(job: Job) -> Schedule:
    """One job with all its resources to itself: the closed form of `cost.closed_form_ps`, with the runs it implies.

    In each stage the first chunk starts when it has passed the stages before, and the last chunk ends `chunks - 1`
    times the slowest stage so far after the first chunk ends.
    """
    runs: list[Run] = []
    passed = slowest = end = 0
    for stage, (resource, _) in enumerate(job.stages):
        tau = job.tau(stage)
        start, passed, slowest = passed, passed + tau, max(slowest, tau)
        end = passed + (job.chunks - 1) * slowest
        runs.append(Run(0, resource, start, end, tau * job.chunks, job.chunks))
    return Schedule((end,), tuple(runs))


def simulate(jobs: Sequence[Job]) -> Schedule:
    """All jobs from time 0, each as soon as it may."""
    engine = _Engine(jobs)
    runs: dict[str, list[Run]] = {}
    for task in engine.run():
        resource = jobs[task.job].stages[task.stage][0]
        on_resource = runs.setdefault(resource, [])
        last = on_resource[-1] if on_resource else None
        took = task.end_ps - task.start_ps
        if last is not None and last.job == task.job:
            on_resource[-1] = Run(last.job, resource, last.start_ps, task.end_ps, last.busy_ps + took, last.chunks + 1)
        else:
            on_resource.append(Run(task.job, resource, task.start_ps, task.end_ps, took, 1))
    return Schedule(tuple(engine.ends), tuple(run for name in sorted(runs) for run in runs[name]))


def simulate_tasks(jobs: Sequence[Job]) -> list[Task]:
    """The tasks of `simulate`, in the order in which they started."""
    return _Engine(jobs).run()


class _Engine:
    """The state of one simulation. Tasks are numbered in the order of creation."""

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = jobs
        self.first: list[int] = []
        """The first task of each job; a job without stages is one task that takes no time."""
        self.tasks: list[tuple[int, int, int]] = []
        self.missing: list[int] = []
        """For each task, how many others it still waits for."""
        self.gated: dict[int, list[int]] = {}
        """Tasks of other jobs that wait for a task."""
        self.taus = [[job.tau(stage) for stage in range(len(job.stages))] for job in jobs]
        self.ends = [0] * len(jobs)
        self.queues: dict[str, list[int]] = {name: [] for job in jobs for name, _ in job.stages}
        self.free = dict.fromkeys(self.queues, True)
        self.touched: dict[str, None] = {}
        for index, job in enumerate(jobs):
            self._create(index, job)
        for index, job in enumerate(jobs):
            self._gate(index, job)

    def _create(self, index: int, job: Job) -> None:
        first, stages = len(self.tasks), max(1, len(job.stages))
        chunks = job.chunks if job.stages else 1
        self.first.append(first)
        for chunk in range(chunks):
            for stage in range(stages):
                self.tasks.append((index, chunk, stage))
                self.missing.append((chunk > 0) + (stage > 0))

    def _gate(self, index: int, job: Job) -> None:
        """What the job waits for."""
        first, stages, chunks = self.first[index], max(1, len(job.stages)), job.chunks if job.stages else 1
        for after in job.after:
            producer = self.jobs[after.job]
            steps = max(1, len(producer.stages))
            there = producer.chunks if producer.stages else 1
            for chunk in range(1 if after.whole else chunks):
                share = -(-(chunk + 1) * there // chunks) if after.needs is None else min(there, after.needs[chunk])
                needed = there - 1 if after.whole else share - 1
                gate = self.first[after.job] + needed * steps + steps - 1
                self.gated.setdefault(gate, []).append(first + chunk * stages)
                self.missing[first + chunk * stages] += 1

    def run(self) -> list[Task]:
        """Simulate to the end; the tasks that took time, in the order in which they started."""
        events: list[tuple[int, int]] = []
        done: list[Task] = []
        now = 0
        for task in [task for task, count in enumerate(self.missing) if count == 0]:
            self._ready(task, now)
        while True:
            for resource in self.touched:
                queue = self.queues[resource]
                if queue and self.free[resource]:
                    task = heappop(queue)
                    job, chunk, stage = self.tasks[task]
                    end = now + self.taus[job][stage]
                    self.free[resource] = False
                    heappush(events, (end, task))
                    done.append(Task(job, chunk, stage, now, end))
            self.touched.clear()
            if not events:
                return done
            now = events[0][0]
            while events and events[0][0] == now:
                task = heappop(events)[1]
                job, _, stage = self.tasks[task]
                resource = self.jobs[job].stages[stage][0]
                self.free[resource] = True
                self.touched[resource] = None
                self._complete(task, now)

    def _ready(self, task: int, now: int) -> None:
        job, _, stage = self.tasks[task]
        if not self.taus[job]:
            self._complete(task, now)
            return
        resource = self.jobs[job].stages[stage][0]
        heappush(self.queues[resource], task)
        self.touched[resource] = None

    def _complete(self, task: int, now: int) -> None:
        job, chunk, stage = self.tasks[task]
        stages = len(self.taus[job])
        self.ends[job] = now
        if stage + 1 < stages:
            self._let(task + 1, now)
        if stages and chunk + 1 < self.jobs[job].chunks:
            self._let(task + stages, now)
        for waiting in self.gated.get(task, ()):
            self._let(waiting, now)

    def _let(self, task: int, now: int) -> None:
        """One of those that `task` waits for is done."""
        self.missing[task] -= 1
        if self.missing[task] == 0:
            self._ready(task, now)
