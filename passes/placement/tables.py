"""Price tables of one operator: every part that it can have on every tier, priced in a few vectorised calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .problem import REWRITTEN, STREAMED, Family, Floats, Ints, PartTable

FINEST_SHARE = 4
"""Rounds are considered until one copy of an operator takes at most 1 / FINEST_SHARE of a tier's arrays in a round."""
MAX_ROUNDS = 64
MAX_ROWS = 1024
"""Most numbers of outputs that a table of an array tier has, about."""
DENSE, UNEVEN = 30_000, 2e-3
"""A table has all outputs, if these are no more prices, where times within an array differ by such a share."""
FEW_ROWS = 12
"""The same where it would have fewer rows: then the outputs of one array are much of all, and so is their energy."""


class PartKind(NamedTuple):
    """A way to have a part on a tier."""

    tier: int
    mode: int
    precision: str


class PartPrices(NamedTuple):
    """Prices that broadcast over outputs and copies; `shared_ps` has a leading axis of shared resources."""

    latency_ps: Ints
    energy_pj: Floats
    arrays: Ints
    shared_ps: Ints


class Pricer(Protocol):
    """What placement asks about a product (any hashable object) and a chip.

    What the bound rests on: time and arrays do not fall when outputs grow. Of parts that take arrays neither does
    energy, and between numbers of outputs that fill arrays, energy and shared time are concave in outputs (say linear);
    what is streamed may have any energy. Energy, arrays and shared time do not fall when copies grow; time depends on
    copies through ceil(vectors / copies) and through what does not fall when copies grow.
    """

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names, in the chip's order."""
        ...

    @property
    def arrays(self) -> Ints:
        """Arrays of each tier, 0 where weights are streamed."""
        ...

    def kinds(self, product: Any) -> list[PartKind]:
        """The parts that the product can have, by tier."""
        ...

    def vectors(self, product: Any) -> int: ...

    def outputs(self, product: Any) -> int: ...

    def granule(self, product: Any) -> int:
        """Parts begin and end at multiples of it."""
        ...

    def price(self, product: Any, kind: PartKind, outputs: Ints, copies: Ints) -> PartPrices: ...


def families(pricer: Pricer, product: Any) -> tuple[Family, ...]:
    """The price tables of `product`, for one round and for every number of rounds worth considering.

    What they have in common is priced once: all outputs of any of them in one call for each kind of part.
    """
    total, granule = pricer.outputs(product), pricer.granule(product)
    kinds = pricer.kinds(product)
    sizes: list[tuple[int, int, int]] = []
    for rounds in _round_counts(pricer, product, kinds):
        a_round = granule * -(-total // (granule * rounds))
        last = total - (rounds - 1) * a_round
        if last > 0:
            sizes.append((rounds, a_round, last))
    every = np.arange(granule, max(a_round for _, a_round, _ in sizes) + 1, granule, dtype=np.int64)
    ends = _filling(pricer, product, kinds, every)
    grids = [_grid(every[: a_round // granule], ends, a_round - last) for _, a_round, last in sizes]
    copies = [_copies(pricer, product, kind) for kind in kinds]

    def tables(rows: Sequence[Ints | None]) -> list[list[PartTable | None]]:
        """For each number of rounds that has rows the table of each kind; none if not even the least part fits."""
        asked = [grid for grid in rows if grid is not None]
        prices = [
            _Prices.of(pricer, product, kind, own, every, asked) if asked and len(own) else None
            for kind, own in zip(kinds, copies, strict=True)
        ]
        return [[each and each.table(grid) for each in prices] if grid is not None else [] for grid in rows]

    of_rounds = tables(grids)
    counts = [a_round // granule for _, a_round, _ in sizes]
    uneven = [_uneven(found, count) for found, count in zip(of_rounds, counts, strict=True)]
    finest = tables([every[:count] if is_uneven else None for count, is_uneven in zip(counts, uneven, strict=True)])
    result: list[Family] = []
    for (rounds, a_round, last), coarse, fine in zip(sizes, of_rounds, finest, strict=True):
        found = tuple(table for table in fine or coarse if table is not None)
        if rounds == 1 or any(table.mode == REWRITTEN for table in found):
            result.append(Family(rounds, a_round, last, found))
    return tuple(result)


def distinct_copies(vectors: int, most: int) -> Ints:
    """The numbers of copies up to `most` that lower ceil(vectors / copies), and 1."""
    turns = -(-vectors // np.arange(1, max(1, min(vectors, most)) + 1))
    return np.flatnonzero(np.diff(turns, prepend=turns[0] + 1)) + 1


def _round_counts(pricer: Pricer, product: Any, kinds: list[PartKind]) -> list[int]:
    """1, and up to where the operator alone, in one copy, takes 1 / FINEST_SHARE of an array tier in each round."""
    most = 1
    total = np.array([[pricer.outputs(product)]], np.int64)
    one = np.ones((1, 1), np.int64)
    for kind in kinds:
        if kind.mode == REWRITTEN:
            needed = int(pricer.price(product, kind, total, one).arrays.max())
            limit = int(pricer.arrays[kind.tier]) // FINEST_SHARE
            most = max(most, min(MAX_ROUNDS, -(-needed // max(limit, 1)))) if needed > limit else most
    return [r for r in range(1, most + 1) if r <= 8 or r % (r // 8) == 0]


def _uneven(tables: list[PartTable | None], rows: int) -> bool:
    """Whether some table should have all `rows`, as outputs that share an array differ in time."""
    for table in tables:
        if table is not None and rows * len(table.copies) <= DENSE:
            inside = table.latency_ps - table.floor_latency_ps > UNEVEN * table.latency_ps
            if len(table.outputs) < rows and (len(table.outputs) < FEW_ROWS or inside.any()):
                return True
    return False


def _filling(pricer: Pricer, product: Any, kinds: list[PartKind], every: Ints) -> list[Ints]:
    """For each kind that writes its arrays anew, the numbers of `every` that fill arrays."""
    found: list[Ints] = []
    for kind in kinds:
        if kind.mode == REWRITTEN:
            needed = pricer.price(product, kind, every[:, None], np.ones((1, 1), np.int64)).arrays[:, 0]
            found.append(every[:-1][needed[1:] > needed[:-1]])
    return found


def _grid(every: Ints, filling: list[Ints], short: int) -> Ints:
    """Of `every` outputs those worth giving to an array tier: those that fill its arrays, or leave such a number for
    another tier.

    `short`: by how much the last round is smaller; a part that bears it must be on the grid too.
    """
    total = int(every[-1])
    marks = np.concatenate([np.array([total], np.int64), *(ends[ends < total] for ends in filling)])
    marks = np.concatenate([marks, total - marks])
    marks = np.unique(np.concatenate([marks, marks - short]))
    marks = marks[(marks > 0) & (marks <= total)]
    if short == 0 and len(marks) > MAX_ROWS:
        marks = marks[:: -(-len(marks) // MAX_ROWS)]
        marks = np.unique(np.concatenate([marks, (total - marks)[marks < total], [total]]))
    return marks


@dataclass(frozen=True)
class _Prices:
    """Parts of one kind, priced for all numbers of outputs that tables of any number of rounds have."""

    kind: PartKind
    granule: int
    outputs: Ints
    copies: Ints
    prices: PartPrices
    """Full arrays [outputs, copies]."""

    @staticmethod
    def of(pricer: Pricer, product: Any, kind: PartKind, copies: Ints, every: Ints, grids: Sequence[Ints]) -> _Prices:
        """For tables with rows at `grids`, of what is streamed at all of `every`."""
        granule = pricer.granule(product)
        rows = [*grids, *(_floors(grid, granule) for grid in grids)]
        outputs = every if kind.mode == STREAMED else np.unique(np.concatenate(rows))
        return _Prices(kind, granule, outputs, copies, _priced(pricer, product, kind, outputs, copies))

    def table(self, grid: Ints) -> PartTable:
        """The table whose rows are `grid`, up to the last of it."""
        if self.kind.mode == STREAMED:
            outputs = floors = self.outputs[: grid[-1] // self.granule]
        else:
            outputs, floors = grid, _floors(grid, self.granule)
        exact = self._at(outputs)
        floor = exact if floors is outputs else self._at(floors)
        # A column beyond every row's fastest copies is slower and dearer: copies of rewritten weights take time to
        # write.
        last = max(int(prices.latency_ps.argmin(axis=1).max()) for prices in (exact, floor)) + 1
        exact, floor = _columns(exact, last), _columns(floor, last)
        return PartTable(
            self.kind.tier, self.kind.mode, self.kind.precision, outputs, self.copies[:last], *exact, floors, *floor
        )

    def _at(self, outputs: Ints) -> PartPrices:
        """The rows of `outputs`."""
        rows = np.searchsorted(self.outputs, outputs)
        latency, energy, arrays, shared = self.prices
        return PartPrices(latency[rows], energy[rows], arrays[rows], shared[:, rows])


def _copies(pricer: Pricer, product: Any, kind: PartKind) -> Ints:
    """Numbers of copies worth looking at; none if not even the least part fits the tier."""
    if kind.mode == STREAMED:
        return np.ones(1, np.int64)
    one, granule = np.ones((1, 1), np.int64), np.array([[pricer.granule(product)]])
    least = int(pricer.price(product, kind, granule, one).arrays.max())
    most = int(pricer.arrays[kind.tier]) // least
    return distinct_copies(pricer.vectors(product), most) if most else np.zeros(0, np.int64)


def _floors(grid: Ints, granule: int) -> Ints:
    """The least outputs that take what the row of `grid` takes."""
    return np.concatenate([[0], grid[:-1]]) + granule


def _columns(prices: PartPrices, last: int) -> PartPrices:
    latency, energy, arrays, shared = prices
    cut = np.ascontiguousarray
    return PartPrices(cut(latency[:, :last]), cut(energy[:, :last]), cut(arrays[:, :last]), cut(shared[..., :last]))


def _priced(pricer: Pricer, product: Any, kind: PartKind, outputs: Ints, copies: Ints) -> PartPrices:
    """Prices as full arrays [outputs, copies]."""
    prices = pricer.price(product, kind, outputs[:, None], copies[None, :])
    shape = (len(outputs), len(copies))
    return PartPrices(
        np.broadcast_to(prices.latency_ps, shape),
        np.broadcast_to(prices.energy_pj, shape),
        np.broadcast_to(prices.arrays, shape),
        np.broadcast_to(prices.shared_ps, (len(prices.shared_ps), *shape)),
    )


def first_copies(latency_ps: Ints, within_ps: NDArray[np.int64]) -> Ints:
    """[row, k]: the first column of `latency_ps` [row, column] of at most `within_ps[k]`; their number if none is."""
    fastest = np.minimum.accumulate(latency_ps, axis=1)
    rows, columns = fastest.shape
    # One search over all rows: each row ascending (reversed), lifted above the row before it.
    lift = int(fastest.max()) + 1
    base = np.arange(rows, dtype=np.int64)[:, None] * lift
    flat = (fastest[:, ::-1] + base).ravel()
    wanted = np.minimum(within_ps, lift - 1)[None, :] + base
    fitting = np.searchsorted(flat, wanted.ravel(), side="right").reshape(wanted.shape) - base // lift * columns
    return columns - fitting
