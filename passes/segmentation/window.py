"""What a segment asks of the chip, whatever is allocated: its phases, bytes, and the arrays that hold kept tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from .problem import DIGITAL, Host, Place, SegmentChip, SegmentOperator, SegmentProblem

Hosts = tuple[tuple[int, Host], ...]
"""Operators of a window, counted from its first, that run elsewhere, and where; in their order."""
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
    late: tuple[int, ...] = ()
    """Those of the window and of the same phase that only digital work on what it makes reads."""


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
    elsewhere_ps: tuple[int, ...] = ()
    """On resources of other tiers, as they are used; those of the digital unit are in `digital_ps`."""
    hosted_ps: int = 0
    """On all shared resources, by operators that run elsewhere: it is in their own time, too."""

    @property
    def sizes(self) -> tuple[object, ...]:
        """All that it takes but its members."""
        return (
            self.stream_in,
            self.stream_out,
            self.dram_in,
            self.dram_out,
            self.digital_ps,
            self.digital_after_ps,
            self.late_in,
            self.elsewhere_ps,
            self.hosted_ps,
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

    @cached_property
    def elsewhere(self) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which operators run on no array of this tier; `alone_ps` what those take."""
        return np.array([member.operator.host is not None for member in self.members], np.bool_)

    @cached_property
    def alone_ps(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """What the vectors of operators that run elsewhere take; 0 of others."""
        hosts = [member.operator.host for member in self.members]
        return np.array([0 if host is None else host.alone_ps for host in hosts], np.int64)

    @cached_property
    def is_bound(self) -> bool:
        """Whether its times are to bound those with other hosts (`Host.for_bounds`)."""
        return any(member.operator.host is not None and member.operator.host.for_bounds for member in self.members)

    @property
    def can_be_tiled(self) -> bool:
        """One operator of the arrays, whose weight is not in place, may run in rounds."""
        return len(self.members) == 1 and not self.members[0].in_place and not self.elsewhere[0]

    @cached_property
    def key(self) -> tuple[object, ...]:
        """What its times depend on; operators by identity."""
        held = (self.carried_in, self.carried_out, self.switched_in_place, self.least_memory, self.free_bytes)
        weights = (self.weight_bytes, self.off_chip_weights, self.on_chip_weights)
        return self.members_key, tuple(phase.sizes for phase in self.phases), held, weights

    @cached_property
    def members_key(self) -> tuple[object, ...]:
        """The members without what they read and write."""
        return tuple((id(m.operator), m.phase, m.sources, m.writes_inside, m.in_place, m.late) for m in self.members)

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


@dataclass
class _Span:
    """Successive operators: what they ask wherever tensors are, and what depends on that."""

    sizes: list[list[int]]
    """`Phase.sizes` of each phase."""
    members: tuple[Member, ...] = ()
    phases: tuple[tuple[int, ...], ...] = ()
    elsewhere: tuple[tuple[int, ...], ...] = ()
    hosted: tuple[int, ...] = ()
    barrier_bytes: int = 0
    weight_bytes: int = 0
    weights_made: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(operator, the one before the span that makes its weight)."""
    reads: list[tuple[int, int, bool]] = field(default_factory=list[tuple[int, int, bool]])
    """(phase, operator before the span whose output is read there first, whether digital work alone reads it)."""
    leaves: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """(phase, operator) of outputs that are read after the span."""


@dataclass
class Known:
    """What has been worked out for windows of one chip, for all problems that share it. Operators with the same numbers
    are the same object in all of them."""

    same: dict[SegmentOperator, SegmentOperator] = field(default_factory=dict[SegmentOperator, SegmentOperator])
    memo: dict[tuple[object, ...], Any] = field(default_factory=dict[tuple[object, ...], Any])
    tables: dict[tuple[object, ...], np.ndarray[Any, np.dtype[np.int64]]] = field(
        default_factory=dict[tuple[object, ...], "np.ndarray[Any, np.dtype[np.int64]]"]
    )
    """Least times of windows, by their keys (module `dynamic`)."""
    asked: int = 0
    """How often these were asked for: work, however much of it was known."""


@lru_cache(maxsize=4)
def known_of(chip: SegmentChip) -> Known:
    """What this process has worked out for a chip."""
    return Known()


class Windows:
    """Makes the windows of a problem."""

    def __init__(self, problem: SegmentProblem, known: Known | None = None):
        self.problem, self.known = problem, known or Known()
        self.last_reads = problem.last_reads
        self.memo = self.known.memo
        self._spans: dict[tuple[int, int, Hosts], _Span] = {}
        self._hosted: dict[tuple[int, Host], tuple[SegmentOperator, SegmentOperator]] = {}
        self.anonymous = [self._anonymous(operator) for operator in problem.operators]

    def _anonymous(self, operator: SegmentOperator) -> SegmentOperator:
        """The one object for operators with these numbers, whatever they read."""
        made = None if operator.static else 0
        none: tuple[int, ...] = ()
        plain = replace(
            operator, name="", producers=none, late_producers=none, whole_producers=none, weight_producer=made
        )
        return self.known.same.setdefault(plain, plain)

    def _with_hosts(self, first: int, last: int, hosts: Hosts) -> tuple[list[SegmentOperator], list[SegmentOperator]]:
        """Operators `first` to `last`, those of `hosts` elsewhere, as they are and without names."""
        named, plain = list(self.problem.operators[first : last + 1]), self.anonymous[first : last + 1]
        for offset, host in hosts:
            if (first + offset, host) not in self._hosted:
                moved = replace(named[offset], host=host)
                self._hosted[first + offset, host] = moved, self._anonymous(moved)
            named[offset], plain[offset] = self._hosted[first + offset, host]
        return named, plain

    def window(self, first: int, last: int, places: Mapping[int, Place], hosts: Hosts = ()) -> Window | None:
        """Operators `first` to `last` as one segment; `places` names the kept tensors among those alive there, `hosts`
        the operators, counted from `first`, that run elsewhere (beside those of the problem that do).

        None if what has to be on chip does not fit.
        """
        chip, operators = self.problem.chip, self.problem.operators
        span = self._span(first, last, hosts)
        held = self._held(first, last, places, span.barrier_bytes)
        if held is None:
            return None
        amounts, members = [list(sizes) for sizes in span.sizes], span.members
        off_chip = on_chip = switched = 0
        for index, made in span.weights_made:
            op, place = operators[index], places.get(made, Place.OFF_CHIP)
            if members[index - first].operator.host is not None:
                if place is Place.IN_PLACE:
                    return None
                amounts[members[index - first].phase][2] += op.weight_bytes * (place is Place.OFF_CHIP)
                continue
            off_chip += op.weight_bytes * (place is Place.OFF_CHIP)
            on_chip += op.weight_bytes * (place in (Place.BUFFER, Place.ARRAYS))
            if place is Place.IN_PLACE:
                switched += op.arrays(chip)
                at = index - first
                members = (*members[:at], replace(members[at], in_place=True), *members[at + 1 :])
        for phase, source, is_late in span.reads:
            if places.get(source, Place.OFF_CHIP) is Place.OFF_CHIP:
                amounts[phase][2] += operators[source].output_bytes
                amounts[phase][6] += operators[source].output_bytes * is_late
        for phase, index in span.leaves:
            amounts[phase][3] += operators[index].output_bytes * (places.get(index, Place.OFF_CHIP) is Place.OFF_CHIP)
        phases = tuple(
            Phase(inside, *sizes, elsewhere_ps=elsewhere, hosted_ps=hosted)
            for inside, sizes, elsewhere, hosted in zip(span.phases, amounts, span.elsewhere, span.hosted, strict=True)
        )
        weights = span.weight_bytes, off_chip, on_chip
        return Window(chip, members, phases, *weights, held[0], held[1], switched, *held[2:], memo=self.memo)

    def _span(self, first: int, last: int, hosts: Hosts) -> _Span:
        """What operators `first` to `last` ask wherever tensors are; those with one `last` are remembered."""
        key = first, last, hosts
        if key not in self._spans:
            if self._spans and next(iter(self._spans))[1] != last:
                self._spans = {}
            self._spans[key] = self._make_span(*key)
        return self._spans[key]

    def _make_span(self, first: int, last: int, hosts: Hosts) -> _Span:
        operators, plain = self._with_hosts(first, last, hosts)
        phase_of = _phases(operators, first)
        span = _Span([[0] * 7 for _ in range(max(phase_of) + 1)])
        members: list[Member] = []
        seen: set[int] = set()
        across: set[int] = set()
        for index, (op, phase) in enumerate(zip(operators, phase_of, strict=True), first):
            made = op.weight_producer
            if made is not None and made < first:
                span.weights_made.append((index, made))
            inside = [source for source in op.sources if source >= first]
            across.update(s for s in inside if phase_of[s - first] < phase or s in op.whole_producers)
            for source in op.producers:
                if source < first and source not in seen:
                    seen.add(source)
                    span.reads.append((phase, source, source in op.late_producers))
            alone = 0 if op.sources else op.input_bytes
            stream, digital = (op.input_of(self.problem.chip), op.streamed_bytes), op.digital_ps
            if op.host is not None:
                stream, alone = (0, 0), alone + op.host.off_chip_bytes
                digital += op.digital_on_host_ps
            makes = op.output_bytes * op.is_output, digital, op.digital_after_ps, 0
            span.sizes[phase] = [
                had + more for had, more in zip(span.sizes[phase], (*stream, alone, *makes), strict=True)
            ]
            if self.last_reads[index] > last and not op.is_output:
                span.leaves.append((phase, index))
            awaited = set(op.producers).difference(op.late_producers)
            same = [s for s in sorted(op.producers) if s >= first and phase_of[s - first] == phase]
            beside = tuple(s - first for s in same if s in awaited)
            late = tuple(s - first for s in same if s not in awaited)
            inside_made = made is not None and made >= first and op.host is None
            members.append(Member(plain[index - first], phase, beside, inside_made, False, late))
        span.members = tuple(members)
        span.phases = tuple(
            tuple(i for i, own in enumerate(phase_of) if own == phase) for phase in range(len(span.sizes))
        )
        span.barrier_bytes = sum(self.problem.operators[source].output_bytes for source in across)
        span.elsewhere = tuple(_elsewhere([operators[i] for i in inside]) for inside in span.phases)
        rate = self.problem.chip.dram_read_bytes_per_ns
        span.hosted = tuple(
            sum(host.shared_in_ps(rate) for i in inside if (host := operators[i].host) is not None)
            for inside in span.phases
        )
        span.weight_bytes = sum(op.weight_bytes for op in operators if op.is_loaded)
        return span

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


def _elsewhere(operators: Sequence[SegmentOperator]) -> tuple[int, ...]:
    """`Phase.elsewhere_ps`."""
    taken: dict[str, int] = {}
    for op in operators:
        for name, ps in () if op.host is None else op.host.shared_ps:
            taken[name] = taken.get(name, 0) + ps
    return tuple(ps for name, ps in sorted(taken.items()) if name != DIGITAL)


def _phases(operators: Sequence[SegmentOperator], first: int) -> list[int]:
    """The phase of each operator: how many barriers lie before it."""
    phases: list[int] = []
    for op in operators:
        late = op.late_producers
        of_vectors = [phases[s - first] + (op.barrier and s not in late) for s in op.producers if s >= first]
        made = op.weight_producer
        of_weight = [] if made is None or made < first else [phases[made - first] + 1]
        phases.append(max([0, *of_vectors, *of_weight]))
    return phases
