"""The segmentation problem as numbers: a chip whose arrays compute or remember, operators, and a plan.

**Plan space.** The operators of the list are cut into *segments* of successive ones, which run one after another. The
weights of a segment are on the chip together. An operator whose weights do not fit is a segment of its own that runs in
rounds, a tile of the weight in each (`Tiling`).

    time of a segment = switches + (load - what was preloaded) + run

`load`: static weights come from off-chip memory and are written into the arrays, both at once, so the slower counts.
`run`: the operators form a pipeline. Within a *phase* (between barriers) it takes its busiest resource plus fill:
arrays of each operator (its vectors are shared by its copies), the streams of all operators through the buffer and the
memory arrays, what goes off chip and comes from there, the digital unit. Phases follow each other.
An array is switched to memory for a segment, and back after it: at rest, arrays compute. Only arrays that hold a
tensor over a cut stay in memory mode there.
Of the arrays that a segment does not use, some may be loaded with weights of the next one while it runs, if the chip
can write some arrays while others compute.

**Tensors.** The output of an operator that a later segment reads has one place for its whole life: off chip, in the
buffer, in memory arrays, or (the weight of a product of two values) *in place*, laid out in the arrays that will
compute with it, which are only switched. A barrier inside a segment needs the tensors that cross it on chip.

**Assumptions.** The rows in flight between operators of a pipeline are small beside the buffer. The streams of a
segment are striped over buffer and memory arrays, so that their bandwidths add up (to the cap of the interconnect).

Times are integer picoseconds, amounts bytes, arrays counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..placement.problem import PlacementError

DIGITAL = "digital"
"""The name of the digital unit, and of its time."""


class Place(Enum):
    """Where the output of an operator is between segments."""

    OFF_CHIP = "off-chip"
    BUFFER = "buffer"
    ARRAYS = "arrays"
    IN_PLACE = "in-place"


@dataclass(frozen=True)
class SegmentChip:
    """What the closed forms need of the chip: one tier of arrays, its buffer and off-chip memory."""

    arrays: int
    array_rows: int
    """Inputs of one array; `array_cols` are its outputs: weights, not cells."""
    array_cols: int
    array_bytes: int
    """What an array holds in memory mode."""
    mvm_ps: int
    """One vector on one array, all bits of it."""
    dram_read_bytes_per_ns: float
    dram_write_bytes_per_ns: float
    buffer_in_bytes_per_ns: float
    """From the buffer to the arrays; `buffer_out_bytes_per_ns` is back."""
    buffer_out_bytes_per_ns: float
    buffer_bytes: int
    memory_bytes_per_ns: float
    """Of one array in memory mode; 0: arrays cannot be memory."""
    memory_cap_bytes_per_ns: float
    """Of all arrays in memory mode together: the interconnect."""
    write_row_ps: int
    """Writing one row of an array; `write_ports` rows are written at once, all arrays together."""
    write_ports: int
    switch_to_memory_ps: int
    """Of one array; arrays switch one after another. `switch_to_compute_ps` is back."""
    switch_to_compute_ps: int
    weight_link_bytes_per_ns: float = float("inf")
    """What weights pass between off-chip memory and arrays, if that limits them; it is no other traffic's."""
    dram_shared: bool = False
    """One off-chip port for both directions, at the rate of reads; else one for each."""
    buffer_shared: bool = False
    """One port of the buffer for both directions, at the rate of `buffer_in_bytes_per_ns`."""
    overlap_writes: bool = True
    """Some arrays can be written while others compute."""
    broadcast_copies: bool = False
    """Copies of a weight are written at the same time."""
    line_buffer: bool = True
    """Convolutions read each input once; else once for each window that it is in (im2col)."""
    partial_bytes: int = 4
    """A partial sum that leaves the arrays, where an operator's inputs are cut."""


@dataclass(frozen=True)
class Host:
    """Where else an operator may run: whole, on another tier, whose weights stay in its arrays, or on one that streams
    them (the digital unit)."""

    tier: str
    copies: int
    arrays: int
    """Of that tier, all copies; 0 where weights are streamed."""
    alone_ps: int
    """One execution, with nothing else on the chip."""
    own_ps: int
    """What its vectors take on resources of its own (arrays); `shared_ps` on those that others use too, by name."""
    shared_ps: tuple[tuple[str, int], ...] = ()
    off_chip_bytes: int = 0
    """Weights that it reads at each execution."""
    precision: str = ""
    """A mode of that tier; "": its first."""
    for_bounds: bool = False
    """It stands for several, and is in nothing worse than any of them: what takes less where this is slower is left out
    of the time of a segment."""

    def shared_in_ps(self, dram_read_bytes_per_ns: float) -> int:
        """What it takes of resources that others use too, all together."""
        return sum(ps for _, ps in self.shared_ps) + int(self.off_chip_bytes * 1000 / dram_read_bytes_per_ns)


@dataclass(frozen=True)
class SegmentOperator:
    """`groups` products of `m` vectors with a `k` x `n` weight each."""

    name: str
    m: int
    k: int
    n: int
    groups: int
    weight_bytes: int
    """Of all groups."""
    input_bytes: int
    """Each input once."""
    window_bytes: int
    """Inputs as often as a window has them; `input_bytes` where there is no window."""
    output_bytes: int
    """As they are written, after the digital work that follows directly."""
    producers: tuple[int, ...] = ()
    """Operators whose outputs it reads as vectors, without the one of its weight. Without any (and without a
    `weight_producer`), its input is the model's and comes from off chip."""
    weight_producer: int | None = None
    """The operator that makes its weight, of a product of two values; None: the weight is a constant."""
    barrier: bool = False
    """All outputs of its producers must be there before it starts (a softmax over them, a sum); one with a
    `weight_producer` waits for that in any case."""
    lead: float = 0.0
    """The share of its producers' outputs that it needs beside its own chunk: rows of a window; 0: none."""
    digital_ps: int = 0
    """Work of the digital unit on what it makes, as it comes; behind the last round of one that runs in rounds."""
    digital_after_ps: int = 0
    """Work of the digital unit that waits for all that it makes, or belongs to what does; its phase ends with it."""
    is_output: bool = False
    """Its output is the model's and goes off chip."""
    late_producers: tuple[int, ...] = ()
    """Those of `producers` that digital work behind it reads (a sum), not it: its product does not wait for them."""
    whole_producers: tuple[int, ...] = ()
    """Those of `producers` whose outputs digital work behind it needs on the chip as a whole."""
    whole_bytes: int = 0
    """Values between it and its own digital work that are there as a whole: in the buffer while its segment runs or,
    what does not fit, off chip and back."""
    output_parts: tuple[int, ...] = ()
    """Bytes of each of its outputs that other operators read, if that is not `output_bytes`; none shares an array in
    memory mode."""
    result_bytes: int | None = None
    """What leaves its arrays, where digital work makes more or less of it; None: `output_bytes`."""
    host: Host | None = None
    """Where it runs, if not on the arrays that segments are cut for: it takes none of them, nor of their links."""

    @property
    def static(self) -> bool:
        return self.weight_producer is None

    @property
    def sources(self) -> tuple[int, ...]:
        """All operators whose outputs it reads."""
        return self.producers if self.weight_producer is None else (*self.producers, self.weight_producer)

    @property
    def streamed_bytes(self) -> int:
        """Bytes that leave its arrays in one pass over its vectors."""
        return self.output_bytes if self.result_bytes is None else self.result_bytes

    def input_of(self, chip: SegmentChip) -> int:
        """Bytes that it reads from the buffer in one pass over its vectors."""
        return self.input_bytes if chip.line_buffer else self.window_bytes

    @property
    def digital_on_host_ps(self) -> int:
        """What its own product takes of the digital unit; 0 if it is not there."""
        return 0 if self.host is None else dict(self.host.shared_ps).get(DIGITAL, 0)

    @property
    def is_loaded(self) -> bool:
        """Whether its weight is a constant that is loaded into the arrays."""
        return self.static and self.host is None

    def blocks_an_array(self, chip: SegmentChip) -> int:
        """Groups along the diagonal of one array; 0 if a group needs several arrays, or there is only one."""
        return 0 if self.groups == 1 else min(chip.array_rows // self.k, chip.array_cols // self.n)

    def arrays(self, chip: SegmentChip) -> int:
        """Arrays of one copy (as `ArrayTier.arrays_needed`); none where it runs elsewhere."""
        if self.host is not None:
            return 0
        packed = self.blocks_an_array(chip)
        if packed:
            return -(-self.groups // packed)
        return self.groups * -(-self.k // chip.array_rows) * -(-self.n // chip.array_cols)

    def rows(self, chip: SegmentChip) -> int:
        """Array rows that hold weights in one copy (as `ArrayTier.rows_needed`)."""
        return 0 if self.host is not None else self.groups * self.k * -(-self.n // chip.array_cols)


@dataclass(frozen=True)
class SegmentProblem:
    """What the solver is given. Operators are in an order in which each comes after its sources."""

    chip: SegmentChip
    operators: tuple[SegmentOperator, ...]
    fixed_ps: int = 0
    """Digital work that belongs to no operator; it is in every plan's time."""

    def __post_init__(self) -> None:
        for index, operator in enumerate(self.operators):
            late = [source for source in operator.sources if not 0 <= source < index]
            if late:
                raise PlacementError(f"{operator.name}: expected sources before operator {index}, got {late[0]}")
            if min(operator.m, operator.k, operator.n, operator.groups) < 1:
                raise PlacementError(f"{operator.name}: expected m, k, n and groups of at least 1")

    @property
    def last_reads(self) -> tuple[int, ...]:
        """For each operator the last one that reads its output; itself if there is none."""
        last = list(range(len(self.operators)))
        for index, operator in enumerate(self.operators):
            for source in operator.sources:
                last[source] = index
        return tuple(last)


@dataclass(frozen=True)
class Tiling:
    """How an operator that is larger than the chip runs, in `rounds` rounds of one tile each.

    A tile is `deep` x `wide` arrays: so many blocks of rows (inputs) by so many blocks of columns (outputs) of the
    weight; of a grouped operator with `groups_a_round` > 0 it is that many whole groups. The tiles are passed once for
    each of `vector_chunks` equal shares of the vectors. With `turns` 1 a round loads, then computes, with all its
    arrays; with more, that many sets of arrays take turns, one loading while others compute.
    """

    deep: int
    wide: int
    inputs_outer: bool
    """Blocks of inputs are the outer loop: partial sums go through the buffer once a block. Else blocks of outputs
    are, and inputs are read again for each."""
    vector_chunks: int
    turns: int
    rounds: int
    groups_a_round: int = 0


@dataclass(frozen=True)
class Member:
    """An operator in a segment: `arrays` are those of all `copies`, of a tiling those of all turns."""

    operator: int
    copies: int
    arrays: int


@dataclass(frozen=True)
class Kept:
    """The output of `producer` stays on chip from its segment to that of its last reader, in `arrays` arrays."""

    producer: int
    place: Place
    arrays: int = 0


@dataclass(frozen=True)
class Segment:
    """Successive operators whose weights are on the chip together; or one operator in rounds (`tiling`)."""

    members: tuple[Member, ...]
    memory_arrays: int
    """In memory mode while it runs: those that hold kept tensors, and those that only add bandwidth and space."""
    preloads: int
    """Arrays loaded with weights of the next segment while this one runs."""
    to_memory: int
    """Arrays switched to memory before it; `to_compute` after it, or to compute with what they hold."""
    to_compute: int
    load_ps: int
    """What is left to load when it starts."""
    run_ps: int
    fill_ps: int
    """The part of `run_ps` that is not its busiest resource."""
    switch_ps: int
    tiling: Tiling | None = None

    @property
    def total_ps(self) -> int:
        return self.load_ps + self.run_ps + self.switch_ps

    @property
    def compute_arrays(self) -> int:
        return sum(member.arrays for member in self.members)


@dataclass(frozen=True)
class SegmentPlan:
    """Segments in order; what stays on chip between them; predicted time of one execution."""

    segments: tuple[Segment, ...]
    kept: tuple[Kept, ...]
    total_ps: int
    """With `SegmentProblem.fixed_ps`."""
    bound_ps: int | None = None
    """No plan of the plan space takes less (module `dynamic`); None for baselines."""

    @property
    def resident(self) -> bool:
        """All weights stay on the chip, so `total_ps` has no loading of static weights."""
        return len(self.segments) == 1 and self.segments[0].tiling is None

    @property
    def switched_arrays(self) -> int:
        """Array switches in one execution."""
        return sum(segment.to_memory + segment.to_compute for segment in self.segments)

    @property
    def gap(self) -> float | None:
        """How far `total_ps` may be above the best plan's."""
        return None if not self.bound_ps else self.total_ps / self.bound_ps - 1
