"""The event engine: the closed form of one job, no resource busy twice, edges kept, the same result each time."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.runtime_sim.cost import Work, closed_form_ps
from h3c.runtime_sim.events import After, Job, alone, simulate, simulate_tasks
from h3c.runtime_sim.schedules import least_ps, scheduled

RESOURCES = ("dram.read", "a.in", "a.arrays", "a.out", "dram.write", "b.arrays")


@st.composite
def jobs_alone(draw: st.DrawFn) -> Job:
    resources = draw(st.permutations(RESOURCES))[: draw(st.integers(0, len(RESOURCES)))]
    return Job(tuple((resource, draw(st.integers(1, 10_000))) for resource in resources), draw(st.integers(1, 32)))


@st.composite
def job_lists(draw: st.DrawFn) -> list[Job]:
    jobs: list[Job] = []
    for index in range(draw(st.integers(1, 6))):
        job = draw(jobs_alone())
        waits = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set[int]()
        jobs.append(Job(job.stages, job.chunks, tuple(After(other, draw(st.booleans())) for other in sorted(waits))))
    return jobs


@settings(max_examples=300, deadline=None)
@given(job=jobs_alone())
def test_one_job_takes_its_closed_form(job: Job):
    work = Work(
        tuple((resource, np.int64(ps)) for resource, ps in job.stages),  # pyright: ignore[reportArgumentType]
        np.int64(job.chunks),  # pyright: ignore[reportArgumentType]
        {},
    )
    engine, short = simulate([job]), alone(job)
    assert engine.end_ps == short.end_ps == int(closed_form_ps(work))
    assert sorted(engine.runs, key=str) == sorted(short.runs, key=str)


@settings(max_examples=150, deadline=None)
@given(jobs=job_lists())
def test_no_resource_is_busy_twice(jobs: list[Job]):
    by_resource: dict[str, list[tuple[int, int]]] = {}
    for task in simulate_tasks(jobs):
        assert task.end_ps - task.start_ps == jobs[task.job].tau(task.stage)
        by_resource.setdefault(jobs[task.job].stages[task.stage][0], []).append((task.start_ps, task.end_ps))
    for spans in by_resource.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(spans)))
    runs = simulate(jobs).runs
    for resource, spans in by_resource.items():
        own = [run for run in runs if run.resource == resource]
        assert all(before.end_ps <= after.start_ps for before, after in pairwise(own))
        assert sum(run.busy_ps for run in own) == sum(end - start for start, end in spans)


@settings(max_examples=150, deadline=None)
@given(jobs=job_lists())
def test_every_edge_is_kept(jobs: list[Job]):
    tasks = {(task.job, task.chunk, task.stage): task for task in simulate_tasks(jobs)}
    assert len(tasks) == sum(job.chunks * len(job.stages) for job in jobs)
    ends = simulate(jobs).ends_ps
    for (index, chunk, stage), task in tasks.items():
        job = jobs[index]
        if stage:
            assert task.start_ps >= tasks[index, chunk, stage - 1].end_ps
        if chunk:
            assert task.start_ps >= tasks[index, chunk - 1, stage].end_ps
        for after in job.after if stage == 0 else ():
            producer = jobs[after.job]
            if not producer.stages or after.whole:
                assert task.start_ps >= ends[after.job]
            else:
                needed = -(-(chunk + 1) * producer.chunks // job.chunks) - 1
                assert task.start_ps >= tasks[after.job, needed, len(producer.stages) - 1].end_ps
        assert task.end_ps <= ends[index]


@settings(max_examples=50, deadline=None)
@given(jobs=job_lists())
def test_the_same_jobs_give_the_same_schedule(jobs: list[Job]):
    assert simulate(jobs) == simulate(list(jobs))
    assert simulate_tasks(jobs) == simulate_tasks(jobs)


def test_a_port_that_jobs_share_serves_the_first_of_them_first():
    jobs = [Job((("dram.read", 20), ("a.in", 2)), 2), Job((("dram.read", 20), ("b.in", 2)), 2)]
    tasks = [(task.job, task.chunk, task.start_ps) for task in simulate_tasks(jobs) if task.stage == 0]
    assert tasks == [(0, 0, 0), (0, 1, 10), (1, 0, 20), (1, 1, 30)]


def test_a_consumer_follows_chunk_by_chunk_or_waits_for_all():
    producer = Job((("a.in", 40),), 4)
    by_chunk = simulate([producer, Job((("b.in", 40),), 4, (After(0, whole=False),))])
    at_once = simulate([producer, Job((("b.in", 40),), 4, (After(0, whole=True),))])
    assert (by_chunk.end_ps, at_once.end_ps) == (50, 80)


def test_a_job_without_work_passes_on_what_it_waits_for():
    jobs = [Job((("a.in", 40),), 4), Job((), 1, (After(0, whole=True),)), Job((("a.in", 8),), 2, (After(1, False),))]
    assert simulate(jobs).ends_ps == (40, 40, 48)
    assert simulate([]).end_ps == 0


def served_in_order(jobs: list[Job]) -> tuple[list[int], list[int]]:
    """(starts, ends) of jobs by looking at all tasks whenever one ends: the rules of the module as they are told."""
    tasks = [(j, c, s) for j, job in enumerate(jobs) for c in range(job.chunks) for s in range(len(job.stages))]
    begun, ended = dict[tuple[int, int, int], int](), dict[tuple[int, int, int], int]()
    now = 0
    while len(begun) < len(tasks):
        for j, c, s in tasks:
            job = jobs[j]
            runs = [t for t in begun if ended[t] > now and jobs[t[0]].stages[t[2]][0] == job.stages[s][0]]
            waits = [(j, c, s - 1)] * (s > 0) + [(j, c - 1, s)] * (c > 0)
            for after in job.after if s == 0 else ():
                other = jobs[after.job]
                done = other.chunks if after.whole else -(-(c + 1) * other.chunks // job.chunks)
                if not after.whole and after.needs is not None:
                    done = min(other.chunks, after.needs[c])
                waits.append((after.job, done - 1, len(other.stages) - 1))
            if (j, c, s) not in begun and not runs and all(ended.get(t, now + 1) <= now for t in waits):
                begun[j, c, s], ended[j, c, s] = now, now + job.tau(s)
        now = min((end for end in ended.values() if end > now), default=now)
    starts = [begun[j, 0, 0] for j in range(len(jobs))]
    return starts, [ended[j, job.chunks - 1, len(job.stages) - 1] for j, job in enumerate(jobs)]


@st.composite
def windowed_jobs(draw: st.DrawFn) -> list[Job]:
    """Jobs that do something, on few resources, some of which read a window of what others make."""
    jobs: list[Job] = []
    for index in range(draw(st.integers(1, 4))):
        resources = draw(st.permutations(RESOURCES[:4]))[: draw(st.integers(1, 3))]
        stages, chunks = tuple((name, draw(st.integers(1, 40))) for name in resources), draw(st.integers(1, 5))
        after: list[After] = []
        for other in sorted(draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else ()):
            needs = tuple(sorted(draw(st.lists(st.integers(1, 6), min_size=chunks, max_size=chunks))))
            after.append(After(other, draw(st.booleans()), draw(st.sampled_from([None, needs]))))
        jobs.append(Job(stages, chunks, tuple(after)))
    return jobs


@settings(max_examples=150, deadline=None)
@given(jobs=windowed_jobs())
def test_what_is_ready_is_served_in_the_order_of_the_plan(jobs: list[Job]):
    found = simulate(jobs, record=False)
    assert (list(found.starts_ps), list(found.ends_ps)) == served_in_order(jobs)
    assert found.runs == ()


@settings(max_examples=150, deadline=None)
@given(jobs=st.one_of(job_lists(), windowed_jobs()))
def test_nothing_ends_before_its_least(jobs: list[Job]):
    schedule = scheduled(tuple(jobs), record=True)
    assert least_ps(tuple(jobs)) <= schedule.end_ps
    assert least_ps(tuple(jobs[:1])) == scheduled(tuple(jobs[:1])).end_ps
    whole = simulate(jobs)
    assert (schedule.starts_ps, schedule.ends_ps) == (whole.starts_ps, whole.ends_ps)
    assert sorted(schedule.runs, key=str) == sorted(whole.runs, key=str)
