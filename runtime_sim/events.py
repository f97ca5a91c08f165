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

    starts_ps: tuple[int, ...]
    ends_ps: tuple[int, ...]
    """The end of each job; of one without stages, whose start it is too, when what it waits for is there."""
    runs: tuple[Run, ...]
    """On each resource in the order of time; none if they were not asked for."""

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
    return Schedule((0,), (end,), tuple(runs))


def simulate(jobs: Sequence[Job], *, record: bool = True) -> Schedule:
    """All jobs from time 0, each as soon as it may; only with `record` are there runs."""
    engine = _Engine(jobs)
    engine.run()
    starts = [
        engine.starts[first] if job.stages else end
        for job, first, end in zip(jobs, engine.first, engine.ends, strict=True)
    ]
    return Schedule(tuple(starts), tuple(engine.ends), engine.runs() if record else ())


def simulate_tasks(jobs: Sequence[Job]) -> list[Task]:
    """The tasks of `simulate`, in the order in which they started."""
    engine = _Engine(jobs)
    engine.run()
    return engine.tasks()


class _Engine:
    """One simulation. Tasks are numbered job by job, chunk by chunk, stage by stage: of what is ready, the lowest
    number goes first.

    What is known of tasks is in lists by number rather than in objects: long plans have a million of them.
    """

    def __init__(self, jobs: Sequence[Job]):
        self.jobs = jobs
        self.names = sorted({name for job in jobs for name, _ in job.stages})
        self.first: list[int] = []
        """The first task of each job; a job without stages is one task that takes no time."""
        self.resources: list[int] = []
        """Of each task, into `names`; -1: none."""
        self.took: list[int] = []
        self.starts: list[int] = []
        self.missing: list[int] = []
        """For each task, how many others it still waits for."""
        self.next_stage: list[int] = []
        """The next task of the same chunk; `next_chunk` that of the same stage. 0: there is none."""
        self.next_chunk: list[int] = []
        self.gated: dict[int, list[int]] = {}
        """Tasks of other jobs that wait for a task."""
        self.ends = [0] * len(jobs)
        number = {name: index for index, name in enumerate(self.names)}
        for job in jobs:
            self._create(job, [number[name] for name, _ in job.stages] or [-1])
        for index, job in enumerate(jobs):
            self._gate(index, job)

    def _create(self, job: Job, resources: list[int]) -> None:
        first, stages = len(self.took), len(resources)
        chunks = job.chunks if job.stages else 1
        end = first + stages * chunks
        self.first.append(first)
        self.resources += resources * chunks
        self.took += ([job.tau(stage) for stage in range(len(job.stages))] or [0]) * chunks
        self.starts += [0] * (end - first)
        self.missing += [0, *[1] * (stages - 1), *[1, *[2] * (stages - 1)] * (chunks - 1)]
        follows = list(range(first + 1, end + 1))
        follows[stages - 1 :: stages] = [0] * chunks
        self.next_stage += follows
        self.next_chunk += [*range(first + stages, end), *[0] * stages]

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

    def run(self) -> None:
        """Simulate to the end."""
        resources, took, starts, missing = self.resources, self.took, self.starts, self.missing
        next_stage, next_chunk, gated, count = self.next_stage, self.next_chunk, self.gated, len(self.took)
        queues: list[list[int]] = [[] for _ in self.names]
        free = [True] * len(queues)
        last = dict(zip([*(first - 1 for first in self.first[1:]), count - 1], range(len(self.jobs)), strict=False))
        events: list[int] = []
        """When what runs ends, as time x count + task."""
        touched: list[int] = []
        """Resources that became free, or that something is ready for."""
        now, done = 0, list[int]()
        let = [task for task, left in enumerate(missing) if left == 0]
        while True:
            for task in let:
                at = resources[task]
                if at < 0:
                    done.append(task)
                else:
                    heappush(queues[at], task)
                    touched.append(at)
            let = []
            for task in done:
                after, beside = next_stage[task], next_chunk[task]
                if after:
                    missing[after] -= 1
                    if not missing[after]:
                        let.append(after)
                if beside:
                    missing[beside] -= 1
                    if not missing[beside]:
                        let.append(beside)
                elif not after:
                    self.ends[last[task]] = now
                if task in gated:
                    for waiting in gated[task]:
                        missing[waiting] -= 1
                        if not missing[waiting]:
                            let.append(waiting)
            done = []
            if let:
                continue
            for at in touched:
                if free[at] and queues[at]:
                    task = heappop(queues[at])
                    free[at] = False
                    starts[task] = now
                    heappush(events, (now + took[task]) * count + task)
            touched = []
            if not events:
                return
            now = events[0] // count
            until = (now + 1) * count
            while events and events[0] < until:
                task = heappop(events) - now * count
                free[resources[task]] = True
                touched.append(resources[task])
                done.append(task)

    def tasks(self) -> list[Task]:
        """Those that took time, in the order in which they started."""
        found: list[Task] = []
        for index, (job, first) in enumerate(zip(self.jobs, self.first, strict=True)):
            for number in range(job.chunks * len(job.stages)):
                chunk, stage = divmod(number, len(job.stages))
                start = self.starts[first + number]
                found.append(Task(index, chunk, stage, start, start + self.took[first + number]))
        return sorted(found, key=lambda task: task.start_ps)

    def runs(self) -> tuple[Run, ...]:
        """By resource, in the order of time."""
        runs: dict[str, list[Run]] = {name: [] for name in self.names}
        for task in self.tasks():
            name, took = self.jobs[task.job].stages[task.stage][0], task.end_ps - task.start_ps
            last = runs[name][-1] if runs[name] else None
            if last is not None and last.job == task.job:
                runs[name][-1] = Run(task.job, name, last.start_ps, task.end_ps, last.busy_ps + took, last.chunks + 1)
            else:
                runs[name].append(Run(task.job, name, task.start_ps, task.end_ps, took, 1))
        return tuple(run for name in self.names for run in runs[name])
