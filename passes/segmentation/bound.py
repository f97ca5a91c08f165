"""What no plan can beat: roofs of the whole program, which hold for all cuts, places, copies, tilings and grids.

- Off-chip port: static weights pass it at least once, unless all fit on the chip together; so do the model's inputs
  and outputs.
- Arrays and streams: an operator needs `arrays x m` array operations, and moves its inputs and outputs once. If x
  arrays are in memory mode on the average of the time, T >= operations / (A - x) and T >= bytes / (B_buf + x B_mem)
  (to the cap of the interconnect): the time-average of each is within the chip, so the best constant x bounds all.
- Writing: rows of static weights that cannot stay are written once.
- The digital unit, and what operators that run on other tiers share there, or take alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .problem import DIGITAL, SegmentOperator, SegmentProblem
from .resident import dram_ps, stream_ps, weights_ps, write_ps


def lower_bound(problem: SegmentProblem, *, loads: bool | None = None) -> int:
    """Picoseconds that every plan takes at least; `loads`: every plan that loads the weights at each execution (None:
    where they cannot stay)."""
    chip, operators = problem.chip, problem.operators
    if not operators:
        return problem.fixed_ps
    static = [op for op in operators if op.is_loaded]
    stays = sum(op.arrays(chip) for op in operators) <= chip.arrays if loads is None else not loads
    weights = 0 if stays else sum(op.weight_bytes for op in static)
    rows = 0 if stays else sum(op.rows(chip) for op in static)
    inputs = sum(op.input_bytes for op in operators if not op.sources)
    inputs += sum(op.host.off_chip_bytes for op in operators if op.host is not None)
    outputs = sum(op.output_bytes for op in operators if op.is_output)
    roofs = [
        int(dram_ps(chip, weights + inputs, outputs)),
        int(weights_ps(chip, weights)),
        int(write_ps(chip, rows)),
        _arrays_and_streams(problem),
        *elsewhere_ps(operators),
    ]
    return problem.fixed_ps + max(roofs)


def elsewhere_ps(operators: Sequence[SegmentOperator]) -> list[int]:
    """How long the digital unit and what other tiers have are busy, each."""
    shared = {DIGITAL: sum(op.digital_ps + op.digital_after_ps for op in operators)}
    hosts = [op.host for op in operators if op.host is not None]
    for name, ps in (each for host in hosts for each in host.shared_ps):
        shared[name] = shared.get(name, 0) + ps
    return [*shared.values(), *(host.own_ps for host in hosts)]


def _arrays_and_streams(problem: SegmentProblem) -> int:
    """The least over numbers of memory arrays of the longer of computing and streaming."""
    chip, operators = problem.chip, [op for op in problem.operators if op.host is None]
    work = sum(op.arrays(chip) * op.m for op in operators) * chip.mvm_ps
    into = sum(op.input_of(chip) for op in operators)
    out = sum(op.streamed_bytes for op in operators)
    memory = np.arange(chip.arrays if chip.memory_bytes_per_ns else 1)
    # The average of memory arrays lies between two whole numbers; each side is taken at its better end.
    compute = work // (chip.arrays - memory)
    stream = stream_ps(chip, into, out, memory + (1 if chip.memory_bytes_per_ns else 0))
    return int(np.maximum(compute, stream).min())
