"""What jobs that begin together take, in closed form: `expected_ps`.

Each job is taken to make its chunks evenly, from its first to its end. In the order of the plan:

    begin = when all of what it awaits is there, and the first chunk of what it follows
    first = begin + sum of tau, or later: for each stage when the resource has done what came before + the taus from it
    end   = the latest of
              begin + sum of tau + (C - 1) max tau                 (alone)
              chunk c of what it follows + sum of tau + (C - 1 - c) max tau, for every c
              for each stage: (when the resource has done what came before) + C tau + the later stages' tau

A resource is taken to serve jobs in the order of the plan, and to be idle where the first of them is not there yet. The
event engine (`events`) lets later ones pass, and finds what waiting does to the chunks between.
"""

from collections.abc import Sequence

from .events import After, Job


def expected_ps(jobs: Sequence[Job]) -> int:
    """When the last of `jobs` ends."""
    firsts: list[float] = []
    """When the first chunk of each job is made."""
    ends: list[float] = []
    done: dict[str, float] = {}
    """Until when each resource is busy with jobs so far."""
    for job in jobs:
        taus = [job.tau(stage) for stage in range(len(job.stages))]
        chunks, passing, slowest = job.chunks if taus else 1, sum(taus), max(taus, default=0)
        begin = end = 0.0
        for after in job.after:
            times = _times(chunks, after, jobs[after.job], firsts[after.job], ends[after.job])
            begin = max(begin, times[0])
            end = max(end, *(time + passing + (chunks - 1 - chunk) * slowest for chunk, time in enumerate(times)))
        end = max(end, begin + passing + (chunks - 1) * slowest)
        first, passed = begin + passing, 0
        for (resource, _), tau in zip(job.stages, taus, strict=True):
            free = done.get(resource, 0.0)
            first = max(first, free + passing - passed)
            done[resource] = max(free, begin + passed) + tau * chunks
            passed += tau
            end = max(end, done[resource] + passing - passed)
        firsts.append(first)
        ends.append(end)
    return round(max(ends, default=0.0))


def _times(chunks: int, after: After, other: Job, first: float, end: float) -> list[float]:
    """When each chunk of a job finds what it waits for of another job; one time, that of the first chunk, if it waits
    for all of it."""
    there = other.chunks if other.stages else 1
    if after.whole or there == 1:
        return [end]
    if after.needs is None:
        needs = [-(-(chunk + 1) * there // chunks) for chunk in range(chunks)]
    else:
        needs = [min(there, need) for need in after.needs[:chunks]]
    return [first + (need - 1) * (end - first) / (there - 1) for need in needs]
