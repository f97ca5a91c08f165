"""Schedules of jobs that begin together: by the event engine where they meet, in closed form where they do not.

What asks the same of the chip (the layers of a transformer) is simulated once.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from .events import Job, Run, Schedule, alone, simulate


@lru_cache(maxsize=1024)
def scheduled(jobs: tuple[Job, ...], record: bool = False) -> Schedule:
    """All jobs from time 0; only with `record` are there runs."""
    starts, ends, runs = [0] * len(jobs), [0] * len(jobs), list[Run]()
    for group in _groups(jobs):
        schedule = alone(jobs[group[0]]) if len(group) == 1 else _together([jobs[job] for job in group], group, record)
        for job, start, end in zip(group, schedule.starts_ps, schedule.ends_ps, strict=True):
            starts[job], ends[job] = start, end
        if record:
            runs.extend(
                Run(group[run.job], run.resource, run.start_ps, run.end_ps, run.busy_ps, run.chunks)
                for run in schedule.runs
            )
    return Schedule(tuple(starts), tuple(ends), tuple(runs))


def _together(jobs: Sequence[Job], group: Sequence[int], record: bool) -> Schedule:
    """The jobs of a group by the engine, which numbers them anew."""
    inner = {job: position for position, job in enumerate(group)}
    return simulate(
        [replace(job, after=tuple(replace(each, job=inner[each.job]) for each in job.after)) for job in jobs],
        record=record,
    )


@lru_cache(maxsize=1024)
def least_ps(jobs: tuple[Job, ...]) -> int:
    """What `jobs` take at least, in whatever order resources serve them: what the busiest resource is asked for, and
    jobs that wait for each other, each as if it were alone.

    A job ends no sooner than alone behind all that it waits for as a whole, and its last chunk passes behind the last
    chunk that it reads.
    """
    busy: dict[str, int] = {}
    ends: list[int] = []
    for job in jobs:
        taus = [job.tau(stage) for stage in range(len(job.stages))]
        chunks = job.chunks if taus else 1
        start = end = 0
        for each in job.after:
            other = jobs[each.job]
            if each.whole or not other.stages:
                start = max(start, ends[each.job])
            elif each.needs is None or each.needs[-1 if taus else 0] >= other.chunks:
                end = max(end, ends[each.job] + sum(taus))
        ends.append(max(end, start + sum(taus) + (chunks - 1) * max(taus, default=0)))
        for (resource, _), tau in zip(job.stages, taus, strict=True):
            busy[resource] = busy.get(resource, 0) + tau * chunks
    return max([*busy.values(), *ends], default=0)


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """Jobs that share a resource or wait for each other, each group in order."""
    leader = list(range(len(jobs)))

    def find(job: int) -> int:
        while leader[job] != job:
            leader[job] = leader[leader[job]]
            job = leader[job]
        return job

    owner: dict[str, int] = {}
    for index, job in enumerate(jobs):
        others = [after.job for after in job.after]
        others += [owner.setdefault(resource, index) for resource, _ in job.stages]
        for other in others:
            a, b = find(index), find(other)
            leader[max(a, b)] = min(a, b)
    groups: dict[int, list[int]] = {}
    for index in range(len(jobs)):
        groups.setdefault(find(index), []).append(index)
    return list(groups.values())
