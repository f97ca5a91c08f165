"""What a segment asks of the chip, whatever is allocated: its phases, bytes, and the arrays that hold kept tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from .problem import Place, SegmentChip, SegmentOperator, SegmentProblem

CHUNKS = 32
"""An operator's vectors pass a pipeline in at most this many shares, as in the simulator (`cost.MAX_CHUNKS`)."""


@dataclass(frozen=True)
class Member:
    """An operator of a window: `operator` has no name; `sources` are positions in the window, of the same phase."""

    operator: SegmentOperator
    phase: int
    sources: tuple[int, ...]
    writes_inside: bool
    """Its weight is made in the window, and written when its phase begins."""
    in_place: bool
    """Its weight stands in arrays that are switched to compute."""


@dataclass(frozen=True)
class Phase:
    """Operators between two barriers. Amounts are bytes, without dynamic weights."""

    members: tuple[int, ...]
    stream_in: int
    stream_out: int
    dram_in: int
    dram_out: int
    digital_ps: int
    """Beside the arrays; `digital_after_ps` when all else is done."""
    digital_after_ps: int
    late_in: int
    """Of `dram_in`, what digital work alone reads."""

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int, int]:
        """All that it takes but its members."""
        return (
            self.stream_in,
            self.stream_out,
            self.dram_in,
            self.dram_out,
            self.digital_ps,
            self.digital_after_ps,
            self.late_in,
        )


@dataclass(frozen=True)
class Window:
    """Successive operators as a segment, with the places of the tensors that they read and write."""

    chip: SegmentChip
    members: tuple[Member, ...]
    phases: tuple[Phase, ...]
    weight_bytes: int
    """Static weights, from off chip."""
    off_chip_weights: int
    """Weights made by earlier segments that lie off chip; `on_chip_weights` those in the buffer or memory arrays."""
    on_chip_weights: int
    carried_in: int
    """Arrays in memory mode that hold tensors when it starts and stay in that mode; `carried_out` when it ends."""
    carried_out: int
    switched_in_place: int
    """Arrays that hold weights in memory mode when it starts."""
    least_memory: int
    """Memory arrays that it needs to hold tensors."""
    free_bytes: int
    """Of the buffer and of those arrays, beside what it holds."""
    memo: dict[tuple[object, ...], Any] = field(
        default_factory=dict[tuple[object, ...], Any], compare=False, repr=False
    )
    """What has been worked out for windows of the same problem and members."""

    @cached_property
    def unit_arrays(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Arrays of one copy of each operator."""
        return np.array([member.operator.arrays(self.chip) for member in self.members], np.int64)

    @cached_property
    def unit_rows(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Array rows that one copy of each operator writes."""
        return np.array([member.operator.rows(self.chip) for member in self.members], np.int64)

    @cached_property
    def vectors(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The vectors of each operator."""
        return np.array([member.operator.m for member in self.members], np.int64)

    @property
    def can_be_tiled(self) -> bool:
        """One operator, whose weight is not in place, may run in rounds."""
        return len(self.members) == 1 and not self.members[0].in_place

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What its times depend on; operators by identity."""
        held = (self.carried_in, self.carried_out, self.switched_in_place, self.least_memory, self.free_bytes)
        weights = (self.weight_bytes, self.off_chip_weights, self.on_chip_weights)
        return self.members_key, tuple(phase.sizes for phase in self.phases), held, weights

    @cached_property
    def members_key(self) -> tuple[object, ...]:
        """The members without what they read and write."""
        return tuple((id(m.operator), m.phase, m.sources, m.writes_inside, m.in_place) for m in self.members)

    @property
    def dram_in(self) -> int:
        """Bytes read from off chip while it runs."""
        return sum(phase.dram_in for phase in self.phases)

    @cached_property
    def wholes(self) -> tuple[tuple[int, int], ...]:
        """(phase, bytes) of members' values that are there as a whole (`SegmentOperator.whole_bytes`)."""
        return tuple((m.phase, m.operator.whole_bytes) for m in self.members if m.operator.whole_bytes)

    def to_memory(self, memory_arrays: int) -> int:
        """Arrays that are switched to memory at its start."""
        return memory_arrays - self.carried_in

    def to_compute(self, memory_arrays: int) -> int:
        """Arrays that are switched to compute: at its end, and at its start those that hold its weights."""
        return memory_arrays - self.carried_out + self.switched_in_place


class Windows:
    """Makes the windows of a problem. Operators with the same numbers are the same object in all of them."""

    def __init__(self, problem: SegmentProblem):
        self.problem = problem
        self.last_reads = problem.last_reads
        self.memo: dict[tuple[object, ...], Any] = {}
        same: dict[SegmentOperator, SegmentOperator] = {}
        self.anonymous = [
            same.setdefault(plain, plain)
            for plain in (
                replace(
                    o,
                    name="",
                    producers=(),
                    late_producers=(),
                    whole_producers=(),
                    weight_producer=None if o.static else 0,
                )
                for o in problem.operators
            )
        ]

    def window(self, first: int, last: int, places: Mapping[int, Place]) -> Window | None:
        """Operators `first` to `last` as one segment; `places` names the kept tensors among those alive there.

        None if what has to be on chip does not fit.
        """
        chip, operators = self.problem.chip, self.problem.operators
        phase_of = _phases(operators[first : last + 1], first)
        count = max(phase_of) + 1
        amounts = np.zeros((count, 7), np.int64)
        members: list[Member] = []
        seen: set[int] = set()
        off_chip = on_chip = switched = 0
        barrier_bytes = dict[int, int]()
        for local, index in enumerate(range(first, last + 1)):
            op, phase = operators[index], phase_of[local]
            made = op.weight_producer
            place = None if made is None or made >= first else places.get(made, Place.OFF_CHIP)
            off_chip += op.weight_bytes * (place is Place.OFF_CHIP)
            on_chip += op.weight_bytes * (place in (Place.BUFFER, Place.ARRAYS))
            switched += op.arrays(chip) * (place is Place.IN_PLACE)
            for source in op.sources:
                if source >= first and (phase_of[source - first] < phase or source in op.whole_producers):
                    barrier_bytes[source] = operators[source].output_bytes
            fresh = [s for s in op.producers if s < first and s not in seen]
            seen.update(fresh)
            fresh = [s for s in fresh if places.get(s, Place.OFF_CHIP) is Place.OFF_CHIP]
            inputs = sum(operators[s].output_bytes for s in fresh)
            leaves = self.last_reads[index] > last and places.get(index, Place.OFF_CHIP) is Place.OFF_CHIP
            amounts[phase] += (
                op.input_of(chip),
                op.streamed_bytes,
                inputs if op.sources else op.input_bytes,
                op.output_bytes * (leaves or op.is_output),
                op.digital_ps,
                op.digital_after_ps,
                sum(operators[s].output_bytes for s in fresh if s in op.late_producers),
            )
            awaited = set(op.producers).difference(op.late_producers)
            beside = tuple(s - first for s in sorted(awaited) if s >= first and phase_of[s - first] == phase)
            inside = made is not None and made >= first
            members.append(Member(self.anonymous[index], phase, beside, inside, place is Place.IN_PLACE))
        held = self._held(first, last, places, sum(barrier_bytes.values()))
        if held is None:
            return None
        phases = tuple(
            Phase(tuple(i for i, p in enumerate(phase_of) if p == phase), *map(int, amounts[phase]))
            for phase in range(count)
        )
        static = sum(op.weight_bytes for op in operators[first : last + 1] if op.static)
        weights = static, off_chip, on_chip
        return Window(chip, tuple(members), phases, *weights, held[0], held[1], switched, *held[2:], memo=self.memo)

    def _held(
        self, first: int, last: int, places: Mapping[int, Place], barrier_bytes: int
    ) -> tuple[int, int, int, int] | None:
        """(arrays carried in, carried out, memory arrays needed, bytes free beside) of a window."""
        chip = self.problem.chip
        buffered = carried_in = carried_out = memory = 0
        for producer, place in places.items():
            arrays = self.arrays_of(producer, place)
            consumed = place is Place.IN_PLACE and self.last_reads[producer] <= last
            buffered += self.problem.operators[producer].output_bytes * (place is Place.BUFFER)
            memory += 0 if consumed else arrays
            carried_in += arrays if producer < first and not consumed else 0
            carried_out += arrays if self.last_reads[producer] > last else 0
        if buffered > chip.buffer_bytes:
            return None
        free = chip.buffer_bytes - buffered - barrier_bytes
        more = max(0, -(free // chip.array_bytes)) if free < 0 else 0
        memory += more
        if memory > chip.arrays or (memory and not chip.memory_bytes_per_ns):
            return None
        return carried_in, carried_out, memory, free + more * chip.array_bytes

    def arrays_of(self, producer: int, place: Place) -> int:
        """Memory arrays that a kept tensor takes."""
        if place is Place.ARRAYS:
            operator = self.problem.operators[producer]
            sizes = operator.output_parts or (operator.output_bytes,)
            return sum(-(-size // self.problem.chip.array_bytes) for size in sizes)
        if place is Place.IN_PLACE:
            return self.problem.operators[self.last_reads[producer]].arrays(self.problem.chip)
        return 0


def _phases(operators: tuple[SegmentOperator, ...], first: int) -> list[int]:
    """The phase of each operator: how many barriers lie before it."""
    phases: list[int] = []
    for op in operators:
        late = op.late_producers
        of_vectors = [phases[s - first] + (op.barrier and s not in late) for s in op.producers if s >= first]
        made = op.weight_producer
        of_weight = [] if made is None or made < first else [phases[made - first] + 1]
        phases.append(max([0, *of_vectors, *of_weight]))
    return phases
