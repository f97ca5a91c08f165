"""The published strategy of CMSwitch (arXiv 2502.17006): a DP over segments, a min-max allocation in each, its terms.

    L_i     = OP_i / min(Com_i OP_cim, (Mem_i D_cim + D_main) AI_i)      an operator
    T_intra = max of L_i                                                a segment, without fill
    T_inter = write-back + switches + max over operators of (Com_i x time of writing an array)

as printed: every operator gets all of D_main (off-chip plus buffer bandwidth), memory arrays of one operator serve no
other, operators are written side by side however many there are, one plan is kept for each segment. Two readings are
settled here: OP_cim counts the time of a bit-serial vector (the printed one is MACs a vector), and AI_i is the printed
one (MACs an input byte) or counts weights and outputs too, as the motivation of the paper does (`AI`).

For a given T the least Com_i and Mem_i are closed forms, so bisection on T solves the published integer program
(without its reuse of arrays between operators). An operator larger than the chip is cut into sub-operators of all its
inputs and so many outputs that the published cost of all is least. The plan is then priced like all others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from .baselines import buffered, greedy_cut
from .problem import Place, SegmentOperator, SegmentPlan, SegmentProblem
from .segments import Decision, assemble
from .window import Windows

AI = ("inputs", "inputs+weights+outputs")
"""What arithmetic intensity counts."""


@dataclass(frozen=True)
class _Allocation:
    """A segment in the published terms: times in ps."""

    decision: Decision
    arrays: int
    intra: float
    rewrite: float

    @property
    def memory(self) -> int:
        return self.decision.memory_arrays


def cmswitch(problem: SegmentProblem, ai: str = AI[0]) -> SegmentPlan:
    """The plan that is best in the published terms; `ai` is one of `AI`."""
    if ai not in AI:
        raise ValueError(f"ai: expected one of {', '.join(AI)}, got {ai!r}")
    windows = Windows(problem)
    decisions = [allocation.decision for allocation in _Published(windows, ai).best()]
    places = buffered(windows, decisions, _in_memory(windows, decisions))
    return assemble(windows, decisions, places)


class _Published:
    """The dynamic program over (first, last) of the last segment, with one plan each."""

    def __init__(self, windows: Windows, ai: str):
        self.windows, self.ai = windows, ai
        self.problem, self.chip = windows.problem, windows.problem.chip
        self.main = self.chip.dram_read_bytes_per_ns + self.chip.buffer_in_bytes_per_ns
        self.array_write_ps = self.chip.array_rows * self.chip.write_row_ps
        self.memo: dict[tuple[int, ...], _Allocation | None] = {}

    def best(self) -> list[_Allocation]:
        """The segments of the best plan."""
        count = len(self.problem.operators)
        ways: list[list[tuple[float, list[_Allocation]]]] = [[] for _ in range(count + 1)]
        ways[0] = [(0.0, [])]
        for first in range(count):
            # One plan for each segment that ends here.
            for last, allocation in self._segments(first):
                best = min(
                    ((time + self._between(before, allocation), before) for time, before in ways[first]),
                    key=lambda way: way[0],
                )
                ways[last + 1].append((best[0] + allocation.intra, [*best[1], allocation]))
        return min(ways[count], key=lambda way: way[0])[1]

    def _segments(self, first: int) -> Iterator[tuple[int, _Allocation]]:
        operators, arrays = self.problem.operators, 0
        if operators[first].arrays(self.chip) > self.chip.arrays:
            yield first, self._cut(first)
            return
        for last in range(first, len(operators)):
            arrays += operators[last].arrays(self.chip)
            if arrays > self.chip.arrays:
                return
            window = self.windows.window(first, last, {})
            if window is None:
                continue
            allocation = self._allocate(first, last, window.least_memory)
            if allocation is not None:
                yield last, allocation

    def _between(self, before: list[_Allocation], after: _Allocation) -> float:
        """T_inter."""
        was = before[-1].memory if before else 0
        chip = self.chip
        excess = max(0, was - after.memory)
        write_back = excess * chip.array_bytes * 1000 / chip.dram_write_bytes_per_ns
        to_memory = max(0, after.memory - was) * chip.switch_to_memory_ps
        return write_back + to_memory + excess * chip.switch_to_compute_ps + after.rewrite

    def _intensity(self, op: SegmentOperator) -> float:
        """MACs a byte."""
        moved = op.window_bytes
        if self.ai != AI[0]:
            moved += op.weight_bytes + op.output_bytes
        return op.m * op.k * op.n * op.groups / moved

    def _traffic_ps(self, op: SegmentOperator) -> float:
        """OP / AI at one byte a ns."""
        return op.m * op.k * op.n * op.groups / self._intensity(op) * 1000

    def _memory(self, traffic_ps: float, time: float, least: int) -> int:
        """Memory arrays with which an operator's traffic takes at most `time`."""
        chip = self.chip
        short = traffic_ps / time - self.main
        if short <= self.main * 1e-9:
            return least
        if not chip.memory_bytes_per_ns:
            return chip.arrays + 1
        return max(least, ceil(short / chip.memory_bytes_per_ns - 1e-9))

    def _allocate(self, first: int, last: int, least: int) -> _Allocation | None:
        """The least maximum of L_i, by bisection; `least` memory arrays hold what crosses barriers."""
        chip, operators = self.chip, self.problem.operators[first : last + 1]
        key = (least, *(id(self.windows.anonymous[i]) for i in range(first, last + 1)))
        if key not in self.memo:
            low = 0.0
            asked = [(op.m * chip.mvm_ps, self._traffic_ps(op), op.arrays(chip)) for op in operators]
            high = max(max(work, traffic / self.main) for work, traffic, _ in asked)
            if self._fit(asked, high, least) is None:
                self.memo[key] = None
                return None
            for _ in range(40):
                middle = (low + high) / 2
                low, high = (low, middle) if self._fit(asked, middle, least) else (middle, high)
            copies, memory = self._fit(asked, high, least) or ((), 0)
            arrays = [op.arrays(chip) * c for op, c in zip(operators, copies, strict=True)]
            rewrite = max(arrays) * self.array_write_ps
            self.memo[key] = _Allocation(Decision(first, copies, memory), sum(arrays), high, rewrite)
        found = self.memo[key]
        if found is None:
            return None
        decision = Decision(first, found.decision.copies, found.memory)
        return _Allocation(decision, found.arrays, found.intra, found.rewrite)

    def _fit(
        self, operators: Sequence[tuple[int, float, int]], time: float, least: int
    ) -> tuple[tuple[int, ...], int] | None:
        """(copies, memory arrays in all) for a beat of `time`, if they fit; of each operator what one copy takes, what
        its traffic takes at one byte a ns, and its arrays."""
        copies: list[int] = []
        arrays = memory = 0
        for work_ps, traffic_ps, unit in operators:
            copies.append(max(1, ceil(work_ps / time - 1e-9)))
            arrays += unit * copies[-1]
            memory += self._memory(traffic_ps, time, 0)
            if arrays + max(least, memory) > self.chip.arrays:
                return None
        return tuple(copies), max(least, memory)

    def _cut(self, index: int) -> _Allocation:
        """The sub-operators of one that is larger than the chip."""
        op, chip = self.problem.operators[index], self.chip
        window = self.windows.window(index, index, {})
        assert window is not None
        found: list[_Allocation] = []
        for arrays in range(1, chip.arrays - window.least_memory + 1):
            cut = greedy_cut(self.problem, index, arrays)
            deep, wide, groups = int(cut.deep[0]), int(cut.wide[0]), int(cut.groups_a_round[0])
            packed = op.blocks_an_array(chip)
            used = -(-groups // packed) if groups and packed else deep * wide * max(1, groups)
            rounds = ceil(op.arrays(chip) / used)
            memory = chip.arrays - used
            rate = self.main + min(memory * chip.memory_bytes_per_ns, 1e30)
            share = 1 if groups == 0 and op.groups == 1 else rounds
            intra = max(op.m * chip.mvm_ps, self._traffic_ps(op) / share / rate)
            needed = self._memory(self._traffic_ps(op), intra * share, window.least_memory) if memory else 0
            memory = min(memory, max(needed, window.least_memory))
            cut.memory_arrays[0] = memory
            rewrite = used * self.array_write_ps
            decision = Decision(index, (1,), memory, 0, cut)
            found.append(_Allocation(decision, used, rounds * intra + (rounds - 1) * rewrite, rewrite))
        return min(found, key=lambda allocation: allocation.intra + allocation.rewrite)


def _in_memory(windows: Windows, decisions: list[Decision]) -> dict[int, Place]:
    """Tensors that stay in memory arrays: where all segments from producer to last reader have room for them."""
    found: dict[int, Place] = {}
    segments = [at for at, decision in enumerate(decisions) for _ in decision.copies]
    free: list[int] = []
    for decision in decisions:
        window = windows.window(decision.first, decision.last, {})
        assert window is not None
        free.append(decision.memory_arrays - window.least_memory)
    for producer, last in enumerate(windows.last_reads):
        alive = range(segments[producer], segments[last] + 1)
        arrays = windows.arrays_of(producer, Place.ARRAYS)
        if len(alive) > 1 and arrays <= min(free[at] for at in alive):
            found[producer] = Place.ARRAYS
            for at in alive:
                free[at] -= arrays
    return found
