"""Branch and bound for the cheapest round of one operator at given prices, over boxes of plans.

A box fixes a set of parts and bounds the rest: the time of the round (`low` <= t < `high`), the outputs of each part
(`least` to `most`), and, as far as it was decided, in which order the parts are served with off-chip reads, counted
from the last one. Within a box

- the part served after others has to do its own work in less than `high` less the least of their reads;
- the round takes at least `low`, and for every part at least the reads before it and its own time;
- after all reads it takes what the last part served still has to do, and what others do in hiding theirs (`_Idle`);
- costs of parts whose deadlines are known mix exactly (module `mixing`);
- a streamed part costs at least a line of its outputs, which is the higher the fewer outputs it may have.

The boxes of least bound are halved where most may be gained: in time, in the outputs of a part whose reads hold up
others or whose cost is not a line, or by deciding who is served last. What is left when the budget is spent bounds all
plans.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from .mixing import Curve, Stream, least_mix
from .parts import ROUNDING_PS, Part, Prices
from .problem import STREAMED, Bools, Floats, Ints
from .tables import first_copies

BATCH = 48
"""So many boxes are halved at a time."""
FINE = 0.1
"""A box is not halved if that can gain less than this share of the slack allowed."""
INTERVALS = 160
"""About so many intervals of outputs of a part are looked at."""
IDLE_ROWS = 1024
"""So many rows of a part are told apart where it is read after another."""
ARRAY_PARTS = 2
"""Sets of more parts that have arrays are not looked into: `mixing` knows two curves."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of one set of parts, one a row; columns are the set's parts. `rank`: k-th from the last served, 0 open."""

    low: Ints
    high: Ints
    least: Ints
    most: Ints
    rank: Ints
    bound: Floats
    gain: Floats
    """By how much halving may raise the bound; 0: not at all."""
    cut: Ints
    """Where to halve: -1 time, -2 order, else the part."""

    def __len__(self) -> int:
        return len(self.low)

    def take(self, index: Ints | Bools) -> Boxes:
        """The boxes at `index`."""
        return Boxes(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def join(boxes: list[Boxes]) -> Boxes:
        """All of `boxes`, in order."""
        return Boxes(*(np.concatenate([getattr(b, f.name) for b in boxes]) for f in fields(Boxes)))


class Reads:
    """By interval of a part: the least off-chip reads and times of a part whose outputs are there or beyond."""

    def __init__(self, part: Part) -> None:
        table, first, last = part.table, part.first, part.last
        self.outputs = table.outputs[last]
        most_read = np.maximum(table.floor_shared_ps[0, first], table.shared_ps[0, last])
        self.read = _from_here(table.floor_shared_ps[0, first].min(axis=1))
        self.tail = _from_here((table.floor_latency_ps[first] - most_read).min(axis=1))
        self.latency = _from_here(table.floor_latency_ps[first].min(axis=1))
        self.reads = bool(table.shared_ps[0].any())
        self.most_read = np.maximum.accumulate(most_read.max(axis=1))
        # Reads are concave in outputs: the least an output takes is at an end of an interval.
        self.rate = float((most_read.min(axis=1) / table.outputs[last]).min())
        self.rate = min(
            self.rate, float((table.floor_shared_ps[0, first].min(axis=1) / table.floor_outputs[first]).min())
        )

    def row(self, outputs: Ints) -> Ints:
        """The interval in which `outputs` lie."""
        return np.minimum(np.searchsorted(self.outputs, outputs), len(self.outputs) - 1)


class _Idle:
    """How long after the end of all off-chip reads a round ends at least, because of one part that reads.

    The round ends some time L after the end of this part's own reads, which is no less than the part's tail. All that
    is read in L is of other parts, each of which does all its own work in L. So L less the most that parts can read
    that take no longer than L alone is idle. Rows are taken in runs: from the first's time on, as much as the last
    reads.
    """

    def __init__(self, others: list[Reads]) -> None:
        starts = [np.arange(0, len(r.latency), -(-len(r.latency) // IDLE_ROWS)) for r in others]
        times = [r.latency[start] for r, start in zip(others, starts, strict=True)]
        self.times = np.unique(np.concatenate([[0], *times]))
        self.read = np.zeros_like(self.times)
        for r, start, time in zip(others, starts, times, strict=True):
            most = r.most_read[np.append(start[1:], len(r.latency)) - 1]
            self.read += np.append(0, most)[np.searchsorted(time, self.times, side="right")]
        self.later = np.append(_from_here(self.times - self.read), 2**60)

    def least(self, tail: Ints) -> Ints:
        """The least idle time where the part's tail is at least `tail`, which is at least 0."""
        at = np.searchsorted(self.times, tail, side="right") - 1
        return np.minimum(tail - self.read[at], self.later[at + 1])


def _from_here(rows: Ints) -> Ints:
    """The least of each row and those after it."""
    return np.minimum.accumulate(rows[::-1])[::-1]


Variant = tuple[list[Part], Floats, float]
"""Parts at some multipliers: theta, and a line below the loss, whose offset is beside them."""


class BoxSearch:
    """Boxes of one set of parts. `variants`: all parts, with all rows, at each try; a bound of `goal` is
    enough."""

    def __init__(
        self,
        variants: list[Variant],
        chosen: list[int],
        reads: list[Reads],
        total: int,
        prices: Prices,
    ) -> None:
        self.goal = np.inf
        self.variants = [([parts[i] for i in chosen], theta, offset) for parts, theta, offset in variants]
        self.parts, self.total, self.per_ps = self.variants[0][0], total, prices.per_ps
        self.reads = [reads[i] for i in chosen]
        self.readers = np.array([r.reads for r in self.reads])
        if self.readers.sum() < 2:
            self.readers[:] = False
        meet = np.flatnonzero(self.readers).tolist()
        self.idle = {i: _Idle([self.reads[j] for j in meet if j != i]) for i in meet}

    def start(self, low: Ints, high: Ints, bound: Floats) -> Boxes:
        """Boxes of times [low, high) with all that may be in them."""
        count, parts = len(low), len(self.parts)
        least = np.tile(np.array([int(part.table.floor_outputs[0]) for part in self.parts]), (count, 1))
        most = np.full((count, parts), self.total, np.int64)
        none = np.zeros(count)
        boxes = Boxes(low, high, least, most, np.zeros((count, parts), np.int64), bound, none, none.astype(np.int64))
        return self.bounded(boxes)

    def bounded(self, boxes: Boxes) -> Boxes:
        """The boxes with their bounds, tightened, and where to halve them. Those without plans have infinite bounds."""
        read, tail, latency = (self._at(name, boxes.least) for name in ("read", "tail", "latency"))
        everyone = self._all_reads(boxes, read)
        before = self._before(boxes, read, everyone)
        ends = np.where(self.readers & (boxes.rank > 0), before + read + tail, latency)
        low = np.maximum(boxes.low, ends.max(axis=1, initial=0))
        tails = np.where(self._maybe_last(boxes.rank), tail, 2**60).min(axis=1, initial=2**60)
        for i, idle in self.idle.items():
            tails = np.maximum(tails, idle.least(np.maximum(tail[:, i], 0)))
        low = np.where(tails < 2**60, np.maximum(low, everyone + tails), low)
        deadline = boxes.high[:, None] - before
        reach = np.stack([self._reach(i, deadline[:, i]) for i in range(len(self.parts))], axis=1)
        most = np.minimum(boxes.most, reach)
        # What the others cannot do is left for a part.
        least = np.maximum(boxes.least, self.total - (most.sum(axis=1)[:, None] - most))
        able = (low < boxes.high) & np.all(least <= most, axis=1)
        boxes = replace(boxes, low=low, least=least, most=most, bound=np.where(able, boxes.bound, np.inf))
        bound, last = boxes.bound.copy(), np.where(tails < 2**60, tails, 0)
        for i, (_, theta, offset) in enumerate(self.variants):
            at = np.flatnonzero(bound < self.goal)
            if len(at):
                inner = boxes.take(at)
                fixed = self.per_ps * ((1 - theta.sum()) * inner.low + theta[0] * last[at]) + offset
                bound[at] = np.maximum(bound[at], fixed + self._mix(i, inner, deadline[at]))
        return self._with_cuts(replace(boxes, bound=bound))

    def halves(self, boxes: Boxes) -> Boxes:
        """Each box cut where it says."""
        children: list[Boxes] = []
        by_time = boxes.take(boxes.cut == -1)
        if len(by_time):
            middle = (by_time.low + by_time.high + 1) // 2
            children += [replace(by_time, high=middle), replace(by_time, low=middle)]
        by_order = boxes.take(boxes.cut == -2)
        for i in np.flatnonzero(self.readers).tolist() if len(by_order) else []:
            mine = by_order.take(by_order.rank[:, i] == 0)
            rank = mine.rank.copy()
            rank[:, i] = mine.rank.max(axis=1) + 1
            children.append(replace(mine, rank=rank))
        for i in range(len(self.parts)):
            mine = boxes.take(boxes.cut == i)
            if len(mine):
                rows = self.reads[i].row
                # The end of an interval, so that none lies in both.
                middle = self.reads[i].outputs[(rows(mine.least[:, i]) + rows(mine.most[:, i])) // 2]
                middle = np.minimum(middle, mine.most[:, i] - 1)
                most, least = mine.most.copy(), mine.least.copy()
                most[:, i], least[:, i] = middle, middle + 1
                children += [replace(mine, most=most), replace(mine, least=least)]
        return self.bounded(Boxes.join(children))

    def _at(self, name: str, outputs: Ints) -> Ints:
        """[box, part]: what `Reads` says of each part from `outputs` on."""
        columns = [getattr(r, name)[r.row(outputs[:, i])] for i, r in enumerate(self.reads)]
        return np.stack(columns, axis=1)

    def _all_reads(self, boxes: Boxes, read: Ints) -> Ints:
        """[box]: the least reads of all parts that meet: of their least outputs, and of all that others can't do."""
        others = np.where(self.readers, 0, boxes.most).sum(axis=1)
        rates = [r.rate for r, meets in zip(self.reads, self.readers, strict=True) if meets]
        shared = np.floor(min(rates, default=0.0) * np.maximum(self.total - others, 0)) - ROUNDING_PS * len(rates)
        return np.maximum(np.where(self.readers, read, 0).sum(axis=1), shared.astype(np.int64))

    def _before(self, boxes: Boxes, read: Ints, everyone: Ints) -> Ints:
        """[box, part]: reads that are surely served before the part's own."""
        mine, rank = np.where(self.readers, read, 0), boxes.rank
        most = np.where(self.readers, self._at("most_read", boxes.most), 0)
        # Part j is before i if i has its place from the end, and j none or one further from it.
        placed = rank[:, :, None] > 0
        earlier = placed & ((rank[:, None, :] == 0) | (rank[:, None, :] > rank[:, :, None]))
        of_earlier = np.einsum("bij,bj->bi", earlier, mine)
        not_later = everyone[:, None] - np.einsum("bij,bj->bi", placed & ~earlier, most)
        return np.where(rank > 0, np.maximum(of_earlier, not_later), 0)

    def _maybe_last(self, rank: Ints) -> Bools:
        """[box, part]: whether the part may be the last one served; none if fewer than two read."""
        return self.readers & ((rank == 1) | (rank.max(axis=1, initial=0) == 0)[:, None])

    def _reach(self, i: int, deadline: Ints) -> Ints:
        """[box]: the most outputs of a part that end before a time of its own."""
        rows = np.searchsorted(self.reads[i].latency, deadline, side="left")
        return np.where(rows > 0, self.reads[i].outputs[np.maximum(rows, 1) - 1], 0)

    def _rows(self, i: int, boxes: Boxes) -> tuple[Ints, Ints]:
        """[box]: the first and last row of a streamed part that it may have (its rows are all outputs)."""
        outputs = self.parts[i].table.outputs
        first = np.minimum(np.searchsorted(outputs, boxes.least[:, i]), len(outputs) - 1)
        return first, np.maximum(np.searchsorted(outputs, boxes.most[:, i], side="right") - 1, first)

    def _bends(self, boxes: Boxes) -> Floats:
        """[box, part]: about how much the costs of streamed parts are above the lines that bound them."""
        bends = np.zeros((len(boxes), len(self.parts)))
        for i, part in enumerate(self.parts):
            if part.table.mode == STREAMED:
                rows = self._rows(i, boxes)
                bends[:, i] = np.where(rows[1] > rows[0], part.above.mean(*rows) - part.above.least(*rows), 0.0)
        return bends

    def _mix(self, variant: int, boxes: Boxes, deadline: Ints) -> Floats:
        """[box]: the least cost of the parts, without time."""
        parts = self.variants[variant][0]
        curves: list[Curve] = []
        streams: list[Stream] = []
        for i, part in enumerate(parts):
            if part.table.mode == STREAMED:
                least = part.alpha + part.above.least(*self._rows(i, boxes))
                streams.append(Stream(least, part.beta, boxes.least[:, i], boxes.most[:, i]))
            else:
                curves.append(_curve(part, boxes.least[:, i], boxes.most[:, i], deadline[:, i] - 1))
        curves += [Curve.unused(len(boxes))] * (ARRAY_PARTS - len(curves))
        return least_mix(curves[0], curves[1], streams, self.total)

    def _with_cuts(self, boxes: Boxes) -> Boxes:
        """The boxes with where to halve them: where the difference between their bounds of time is greatest."""
        time = (boxes.high - boxes.low - 1).astype(np.float64)
        low, high = self._at("read", boxes.least), self._at("read", boxes.most)
        open_ = self.readers & (boxes.rank == 0)
        many = open_.sum(axis=1) >= 2
        # Deciding the order of parts that may read so much.
        held = np.where(open_, low, 0)
        order = np.where(many, held.sum(axis=1) - held.max(axis=1, initial=0), 0)
        span = np.where(self.readers & (boxes.rank != 1) & (boxes.most > boxes.least), high - low, 0)
        cost = np.maximum(span * self.per_ps, self._bends(boxes))
        gains = np.concatenate([time[:, None] * self.per_ps, order[:, None] * self.per_ps, cost], axis=1)
        best = gains.argmax(axis=1)
        gain = np.where(np.isfinite(boxes.bound), gains.max(axis=1), 0.0)
        return replace(boxes, gain=gain, cut=np.array([-1, -2, *range(len(self.parts))])[best])


def _curve(part: Part, least: Ints, most: Ints, within: Ints) -> Curve:
    """An array part of `least` to `most` outputs, done within a time; only the intervals that some box can have."""
    first, last = part.table.floor_outputs[part.first], part.table.outputs[part.last]
    at = slice(int(np.searchsorted(last, least.min())), int(np.searchsorted(first, most.max(), side="right")))
    first, last = first[at], last[at]
    column = first_copies(part.table.floor_latency_ps[part.first[at]], within)
    outside = (last[:, None] < least) | (first[:, None] > most)
    intervals = len(part.last)
    ends = [part.cost[:intervals][at], part.cost[-intervals:][at]][: 1 if len(part.cost) == intervals else 2]
    cost = [np.where(outside, np.inf, np.take_along_axis(each, column, axis=1)) for each in ends]
    curve = Curve(first, last, cost[0], cost[-1])
    return curve if len(ends) == 1 else curve.coarser(INTERVALS)


class OpenBoxes:
    """Boxes of several sets of parts, by set, each with its search. Those of least bound are halved first."""

    def __init__(self) -> None:
        self.searches: dict[int, BoxSearch] = {}
        self.boxes: dict[int, Boxes] = {}
        self.stuck: float | None = None
        """What was enough to gain when a box that could not be halved for as much kept the bound down."""

    @property
    def bound(self) -> float:
        """Of all boxes."""
        return min((float(each.bound.min(initial=np.inf)) for each in self.boxes.values()), default=np.inf)

    def add(self, s: int, search: BoxSearch, boxes: Boxes) -> None:
        """More boxes of a set."""
        self.searches[s] = search
        self.boxes[s] = Boxes.join([self.boxes[s], boxes]) if s in self.boxes else boxes

    def below(self, goal: float) -> tuple[Ints, Ints]:
        """The times [low, high) of the boxes below `goal`."""
        kept = [each.take(each.bound < goal) for each in self.boxes.values()]
        none: list[Ints] = [np.zeros(0, np.int64)]
        return np.concatenate(none + [each.low for each in kept]), np.concatenate(none + [each.high for each in kept])

    def halve(self, goal: float, enough: float, most: int) -> int:
        """Halves boxes until all bounds reach `goal`, or about `most` are made; how many these are."""
        made = 0
        for search in self.searches.values():
            search.goal = goal
        while True:
            able = {s: (each.bound < goal) & (each.gain > FINE * enough) for s, each in self.boxes.items()}
            # A box that can't be cut keeps the bound down: then those above it are not worth cutting.
            kept = [each.bound[~able[s]].min(initial=np.inf) for s, each in self.boxes.items()]
            floor = min(goal, *kept) if kept else goal
            worth = {s: able[s] & (each.bound < floor) for s, each in self.boxes.items()}
            bounds = np.concatenate([each.bound[worth[s]] for s, each in self.boxes.items()] or [np.zeros(0)])
            self.stuck = enough if not len(bounds) and floor < goal else None
            if not len(bounds) or made >= most:
                return made
            limit = np.partition(bounds, min(BATCH, len(bounds)) - 1)[min(BATCH, len(bounds)) - 1]
            for s in list(self.boxes):
                now = worth[s] & (self.boxes[s].bound <= limit)
                if now.any():
                    halves = self.searches[s].halves(self.boxes[s].take(now))
                    made += len(halves)
                    self.boxes[s] = Boxes.join([self.boxes[s].take(~now), halves])
