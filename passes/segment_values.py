"""Where values are while the segments of a plan run: in the buffer as far as it has room, in memory arrays, off chip.

Of a value that passes from maker to reader chunk by chunk a few rows are there, which take no room. All of it is there
if a later segment reads it, a reader waits for it, or it is made at once. What a later operator, or a later segment,
needs goes first: the solver has made room for that. Of the rest, in the order of the program, what does not fit goes
off chip and comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from xdsl.ir import Attribute, SSAValue

from ..dialects.tile import MemoryAttr
from ..dialects.values import buffer, is_tensor
from ..runtime_sim.digital_cost import value_bytes
from .free_arrays import spans_of
from .segment_plan import kept_at, rounds_of_operator
from .segment_problem import Program, digital_time
from .segmentation.problem import Place


@dataclass
class SegmentValues:
    """The places of one program's values; `begins` and `ends` go along with its segments."""

    program: Program
    segment_of: Sequence[int]
    """Of each unit."""
    in_arrays: Mapping[SSAValue, Sequence[int]]
    """Arrays in memory mode that hold a value, as lowering fills it."""
    last_reads: dict[SSAValue, int] = field(init=False, default_factory=dict[SSAValue, int])
    """The last segment that reads a value."""

    def __post_init__(self) -> None:
        self.readers: dict[SSAValue, list[int]] = {}
        for index, unit in enumerate(self.program.units):
            for value in unit.ins:
                self.readers.setdefault(value, []).append(index)
                self.last_reads[value] = max(self.segment_of[index], self.last_reads.get(value, 0))
        self.buffered: set[SSAValue] = set()
        """What the open segment makes and has in the buffer."""
        self.live: dict[SSAValue, int] = {}
        """Bytes of values in the buffer that later segments read."""
        self.room = 0
        """Bytes that are left in the open segment."""
        self.flows: dict[int, bool] = {}

    def begins(self, number: int, memory_bytes: int) -> None:
        """A segment begins, `memory_bytes` of memory arrays of which hold no value of their own."""
        self.room = self.program.chip.buffer.size_bytes + memory_bytes - sum(self.live.values())
        self.buffered = set()
        waiting: list[tuple[bool, SSAValue, int]] = []
        for index, unit in enumerate(self.program.units):
            for value in unit.outs if self.segment_of[index] == number else ():
                readers = self._readers(value, number)
                stays = is_tensor(value.type) and not self.leaves(value, number)
                if not is_tensor(value.type) or value in self.in_arrays or not (readers or stays):
                    continue
                later = stays and self.last_reads.get(value, -1) > number
                if later or self._whole(value, index, readers):
                    own = all(self.program.owners[reader] == self.program.owners[index] for reader in readers)
                    waiting.append((own and not later, value, number if later else -1))
                else:
                    self.buffered.add(value)
        for _, value, later in sorted(waiting, key=lambda each: each[0]):
            if self.takes(value):
                self.buffered.add(value)
                if later >= 0:
                    self.live[value] = value_bytes(value, self.program.chip.activation_bits)

    def ends(self, number: int) -> None:
        """A segment has ended: what no later one reads leaves the buffer."""
        self.live = {value: size for value, size in self.live.items() if self.last_reads[value] > number}

    def takes(self, value: SSAValue) -> bool:
        """Whether there is room for all of a value; if so it is taken."""
        size = value_bytes(value, self.program.chip.activation_bits)
        if size > self.room:
            return False
        self.room -= size
        return True

    def loads(self, value: SSAValue, number: int) -> bool:
        """Whether a value off chip that the open segment reads more than once is loaded whole."""
        readers = self._readers(value, number)
        if len(readers) < 2 or not is_tensor(value.type):
            return False
        size = value_bytes(value, self.program.chip.activation_bits)
        streams = all(self._streams(value, reader) for reader in readers)
        return size <= self.program.chip.buffer.size_bytes if streams else self.takes(value)

    def place(self, value: SSAValue) -> Attribute | None:
        """Where a value is that the open segment makes; None: off chip."""
        if value in self.in_arrays:
            return MemoryAttr.of(self.program.tier, spans_of(self.in_arrays[value]))
        return buffer() if value in self.buffered else None

    def leaves(self, value: SSAValue, number: int) -> bool:
        """Whether a value has to be off chip after its segment."""
        if value in self.program.results:
            return True
        owner = self.program.owner_of(value)
        kept = owner is not None and kept_at(self.program.operators[owner]) is not Place.OFF_CHIP
        return self.last_reads.get(value, -1) > number and not kept

    def read_by_others(self, value: SSAValue, maker: int) -> bool:
        """Whether units of another operator than its maker's read a value."""
        owners = self.program.owners
        return any(owners[reader] != owners[maker] for reader in self.readers.get(value, ()))

    def _readers(self, value: SSAValue, number: int) -> list[int]:
        return [reader for reader in self.readers.get(value, ()) if self.segment_of[reader] == number]

    def _whole(self, value: SSAValue, index: int, readers: Sequence[int]) -> bool:
        """Whether all of a value is there at once: a reader waits for it, or digital work makes it so."""
        at_once = self.program.units[index].matrix is None and not self._flows(index)
        return at_once or not all(self._streams(value, reader) for reader in readers)

    def _flows(self, index: int) -> bool:
        if index not in self.flows:
            self.flows[index] = digital_time(self.program, self.program.units[index])[1]
        return self.flows[index]

    def _streams(self, value: SSAValue, reader: int) -> bool:
        """Whether a unit takes a value chunk by chunk."""
        op = self.program.units[reader].matrix
        if self.program.is_operator(reader) and op is not None:
            return value is op.x and value is not op.w and rounds_of_operator(op) is None
        return self._flows(reader)
