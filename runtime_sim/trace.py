"""The timeline of a plan for Perfetto and chrome://tracing."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .timing import Interval, OpTiming, Timing


def trace_events(timing: Timing) -> list[dict[str, Any]]:
    """Trace Event Format: one process for an execution, one for the set-up, one thread a resource; times in us.

    An event is what a resource does for one op without another between: its chunks are not shown apart. `busy_us` is
    how much of the event the resource works (a stage faster than the slowest one waits between chunks).
    """
    events = list(_process(1, "execution", timing.operations, timing.intervals))
    if timing.setup_intervals:
        events += _process(2, "set-up (once)", timing.setup_operations, timing.setup_intervals)
    return events


def trace_json(timing: Timing) -> str:
    """The file's text; the same timing gives the same bytes."""
    events = ",\n".join(json.dumps(event) for event in trace_events(timing))
    return f'{{"displayTimeUnit": "ns", "traceEvents": [\n{events}\n]}}\n'


def _process(
    pid: int, name: str, operations: tuple[OpTiming, ...], intervals: Iterable[Interval]
) -> Iterator[dict[str, Any]]:
    ordered = sorted(intervals, key=lambda interval: (interval.resource, interval.start_ps))
    threads = {resource: tid for tid, resource in enumerate(sorted({i.resource for i in ordered}), 1)}
    yield {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": name}}
    for resource, tid in threads.items():
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": resource}}
    for interval in ordered:
        op = operations[interval.operation]
        yield {
            "ph": "X",
            "pid": pid,
            "tid": threads[interval.resource],
            "name": op.name,
            "cat": op.op,
            "ts": interval.start_ps / 1e6,
            "dur": (interval.end_ps - interval.start_ps) / 1e6,
            "args": {
                "segment": op.segment,
                "step": op.step,
                "busy_us": interval.busy_ps / 1e6,
                "chunks": interval.chunks,
                "energy_pj": sum(op.energy_pj.values()),
            },
        }
