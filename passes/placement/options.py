"""Options of an operator: balanced splits, in which all tiers used finish together, rounded to what fills arrays.

At a given time tau every tier has a most of outputs that it can finish, with its fewest copies for that. For any prices
of time, energy and arrays the best split at tau fills tiers one after another and leaves the rest to one more; so the
options are, for every tau, every set of parts and every choice of the part that takes the rest. A rest that would fill
an array partly is rounded up and down, another part giving or taking the difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations

import numpy as np

from .problem import RESIDENT, REWRITTEN, STREAMED, Bools, Family, Floats, Ints, OptionSet, PartTable
from .tables import first_copies

TAUS, TAUS_OF_ROUNDS = 192, 48
"""At most so many times tau for an operator in one round, and for each greater number of rounds."""
UP, DOWN, UP_FULL, DOWN_FULL = range(4)
A_CELL = 4
"""At most so many in a cell where a better plan may be."""


@dataclass(frozen=True)
class Genes:
    """Options as positions in a family's tables. Columns are tiers; `table` is -1 where a tier is not used."""

    table: Ints
    row: Ints
    column: Ints

    @property
    def key(self) -> Ints:
        """A number for each option, by which equal ones are found."""
        key = np.zeros(len(self.table), np.int64)
        for values in (self.table, self.row, self.column):
            for tier in range(values.shape[1]):
                key = key * 1_000_003 + values[:, tier] + 1
        return key

    @staticmethod
    def join(parts: list[Genes]) -> Genes:
        """All of `parts`, in order."""
        return Genes(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("table", "row", "column")))

    def distinct(self) -> Genes:
        """Without repetitions, in order of first appearance."""
        first = np.sort(np.unique(self.key, return_index=True)[1])
        return self.take(first)

    def take(self, index: Ints | Bools) -> Genes:
        """Those at `index`."""
        return Genes(self.table[index], self.row[index], self.column[index])


def options_of(families: tuple[Family, ...], arrays: Ints, precisions: tuple[str, ...]) -> OptionSet:
    """The options of an operator on tiers with `arrays` arrays."""
    sets: list[OptionSet] = []
    for family in families:
        genes = Genes.join([_whole(family, arrays), balanced(family, arrays, _taus(family))]).distinct()
        sets.append(realised(family, genes, precisions, arrays))
    return OptionSet.concat(sets)


def realised(family: Family, genes: Genes, precisions: tuple[str, ...], arrays: Ints) -> OptionSet:
    """The options that `genes` stand for, of those that fit the chip alone; several rounds only where they rewrite."""
    if family.rounds > 1:
        genes = genes.take(family.rewrites(genes.table))
    return fitting(priced(family, genes, precisions), arrays)


def fitting(options: OptionSet, arrays: Ints) -> OptionSet:
    """Those that fit the chip alone: what stays in all rounds, beside what is rewritten."""
    fits = np.all(options.resident + options.scratch <= arrays, axis=1)
    return options if fits.all() else options.take(fits)


def options_at(
    families: tuple[Family, ...], arrays: Ints, precisions: tuple[str, ...], cells: tuple[tuple[Ints, Ints], ...]
) -> OptionSet:
    """Options balanced at times of parts that lie in `cells`: for each family, times [lo, hi) of a round."""
    sets: list[OptionSet] = []
    for family, (low, high) in zip(families, cells, strict=True):
        if not len(low):
            continue
        times = np.concatenate([table.latency_ps.ravel() for table in family.tables])
        times = np.unique(times[(times >= low.min()) & (times < high.max())])
        inside = np.zeros(len(times), np.bool_)
        for first, end in zip(np.searchsorted(times, low), np.searchsorted(times, high), strict=True):
            # Of many times in a cell some, evenly.
            inside[np.unique(np.linspace(first, end - 1, A_CELL).astype(np.int64))[: end - first]] = end > first
        sets.append(realised(family, balanced(family, arrays, times[inside]), precisions, arrays))
    return OptionSet.concat(sets)


def _whole(family: Family, arrays: Ints) -> Genes:
    """All outputs in one part: every table, with every number of copies that fits."""
    genes: list[Genes] = []
    for i, table in enumerate(family.tables):
        fits = np.flatnonzero((table.arrays[-1] <= arrays[table.tier]) | (table.mode == STREAMED))
        unused = np.full((len(fits), len(arrays)), -1, np.int64)
        own = Genes(unused.copy(), unused.copy(), unused.copy())
        own.table[:, table.tier], own.row[:, table.tier], own.column[:, table.tier] = i, len(table.outputs) - 1, fits
        genes.append(own)
    return Genes.join(genes)


def _taus(family: Family) -> Ints:
    """Times at which to balance: of every number of copies for all outputs, and of shares of them."""
    times: list[Ints] = []
    for table in family.tables:
        rows = np.unique(np.linspace(0, len(table.outputs) - 1, 24).astype(np.int64))
        times += [table.latency_ps[-1], table.latency_ps[rows].ravel()]
    pool = np.unique(np.concatenate(times))
    step = 0.002
    while len(pool) > (
        TAUS if family.rounds == 1 else TAUS_OF_ROUNDS
    ):  # of those within one step of a geometric scale, keep the greatest
        bucket = np.floor(np.log(np.maximum(pool, 1)) / step)
        pool = pool[np.append(bucket[1:] != bucket[:-1], True)]
        step *= 1.5
    return pool


def balanced(family: Family, arrays: Ints, taus: Ints) -> Genes:
    """The splits of one family at every tau of `taus`."""
    tables = family.tables
    columns = [None if table.mode == STREAMED else first_copies(table.latency_ps, taus) for table in tables]
    most = np.stack([_most_rows(family, i, c, taus, arrays) for i, c in enumerate(columns)])
    patterns = _patterns(tables)
    chosen = np.array([[i in p.chosen for i in range(len(tables))] for p in patterns])
    inner = np.array([p.inner for p in patterns])
    taker = np.array([p.taker for p in patterns])
    rows = np.where(chosen[:, :, None], most[None], -1)
    full = chosen & (np.arange(len(tables)) != inner[:, None])
    outputs = np.stack([np.append(t.outputs, 0)[m] for t, m in zip(tables, most, strict=True)])  # row -1 has none
    need = family.outputs - np.einsum("jc,ck->jk", full.astype(np.int64), outputs)
    valid = (need > 0) & np.all((most[None] >= 0) | ~full[:, :, None], axis=1)
    over = np.zeros_like(need)
    for i, table in enumerate(tables):
        mine = inner == i
        how = np.array([p.rounding for p in patterns], np.int64)[mine]
        rows[mine, i], over[mine], fits = _inner_rows(table, need[mine], how)
        valid[mine] &= fits
    for i, table in enumerate(tables):
        mine = taker == i
        wanted = outputs[i] - over[mine]
        rows[mine, i], fits = _exact_rows(table, wanted)
        valid[mine] &= fits
    valid[taker < 0] &= over[taker < 0] == 0
    return _collect(family, arrays, rows, columns, valid)


@dataclass(frozen=True)
class _Pattern:
    """A set of tables; `inner` takes the rest, rounded, and `taker` (-1: none) bears the difference."""

    chosen: tuple[int, ...]
    inner: int
    taker: int
    rounding: int
    """UP or DOWN to a row of the table, or to one that fills its arrays."""


def _patterns(tables: tuple[PartTable, ...]) -> list[_Pattern]:
    """Every set of tables with at most one a tier, with every choice of the one that takes the rest."""
    tiers = sorted({table.tier for table in tables})
    choices = [[-1, *(i for i, table in enumerate(tables) if table.tier == tier)] for tier in tiers]
    result: list[_Pattern] = []
    for combination in combinations(*choices):
        chosen = tuple(i for i in combination if i >= 0)
        for inner in chosen:
            others = sorted((i for i in chosen if i != inner), key=lambda i: tables[i].mode != STREAMED)
            taker = others[0] if others else -1
            result.append(_Pattern(chosen, inner, taker, UP))
            if others and tables[inner].mode != STREAMED:
                dense = np.array_equal(tables[inner].floor_outputs, tables[inner].outputs)
                result += [_Pattern(chosen, inner, taker, how) for how in ((UP_FULL, DOWN_FULL) if dense else (DOWN,))]
    return result


def _most_rows(family: Family, i: int, columns: Ints | None, taus: Ints, arrays: Ints) -> Ints:
    """[k]: the last row of the table that can be done by tau k, -1 if none. Each round has its own resident arrays."""
    table = family.tables[i]
    if columns is None:
        return np.searchsorted(np.maximum.accumulate(table.latency_ps[:, 0]), taus, side="right") - 1
    count = table.latency_ps.shape[1]
    taken = np.take_along_axis(table.arrays, np.minimum(columns, count - 1), axis=1)
    rounds = family.rounds if table.mode == RESIDENT else 1
    fits = (columns < count) & (taken * rounds <= arrays[table.tier])
    return np.where(fits.all(axis=0), len(fits), fits.argmin(axis=0)) - 1


def _inner_rows(table: PartTable, need: Ints, rounding: Ints) -> tuple[Ints, Ints, Bools]:
    """Rows for `need` outputs, by the `rounding` of each pattern; by how much that is over; where it is possible."""
    count = len(table.outputs)
    row = np.searchsorted(table.outputs, need)
    fits, row = row < count, np.minimum(row, count - 1)
    exact = table.outputs[row] == need
    full = np.flatnonzero(np.append(table.arrays[1:, 0] > table.arrays[:-1, 0], True))
    above = full[np.minimum(np.searchsorted(full, row), len(full) - 1)]
    below = np.append(-1, full)[np.searchsorted(full, row, side="left")]
    how = rounding[:, None]
    row = np.select([how == UP, how == DOWN, how == UP_FULL], [row, row - 1, above], below)
    fits &= (row >= 0) & ((how == UP) | ~exact)
    return row, table.outputs[row] - need, fits


def _exact_rows(table: PartTable, outputs: Ints) -> tuple[Ints, Bools]:
    """Rows of exactly `outputs`, and where there are such."""
    row = np.minimum(np.searchsorted(table.outputs, outputs), len(table.outputs) - 1)
    return row, table.outputs[row] == outputs


def _collect(family: Family, arrays: Ints, rows: Ints, columns: list[Ints | None], valid: Bools) -> Genes:
    """Genes from rows [pattern, table, tau], with the fewest copies that meet tau and fit the tier."""
    pattern, tau = np.nonzero(valid)
    shape = (len(pattern), len(arrays))
    table_of, row_of, column_of = (np.full(shape, -1, np.int64) for _ in range(3))
    good = np.ones(len(pattern), np.bool_)
    for i, table in enumerate(family.tables):
        row = rows[pattern, i, tau]
        used = np.flatnonzero(row >= 0)
        # A part made larger by rounding may need more time than tau: then it runs at its fastest.
        fewest = columns[i]
        column = np.minimum(0 if fewest is None else fewest[row[used], tau[used]], table.latency_ps.shape[1] - 1)
        good[used] &= (table.mode == STREAMED) | (table.arrays[row[used], column] <= arrays[table.tier])
        table_of[used, table.tier], row_of[used, table.tier], column_of[used, table.tier] = i, row[used], column
    return Genes(table_of[good], row_of[good], column_of[good]).distinct()


def priced(family: Family, genes: Genes, precisions: tuple[str, ...]) -> OptionSet:
    """The options that `genes` stand for. Those are left out whose last, smaller round no part can bear."""
    count, tiers = genes.table.shape
    zeros = lambda: np.zeros((count, tiers), np.int64)  # noqa: E731
    mode, outputs, copies, precision = zeros(), zeros(), zeros(), zeros()
    for i, table in enumerate(family.tables):
        used = np.flatnonzero(genes.table[:, table.tier] == i)
        row, column = genes.row[used, table.tier], genes.column[used, table.tier]
        mode[used, table.tier], precision[used, table.tier] = table.mode, precisions.index(table.precision)
        outputs[used, table.tier], copies[used, table.tier] = table.outputs[row], table.copies[column]
    latency, energy = _round_price(family, genes, genes.row)
    held = _held(family, genes, genes.row)
    busy = _busy(family, genes, genes.row)
    resident, last, good = held, outputs.copy(), np.ones(count, np.bool_)
    if family.rounds > 1:
        row_last, good = _last_rows(family, genes, outputs, mode, last)
        last_latency, last_energy = _round_price(family, genes, row_last)
        latency = latency * (family.rounds - 1) + last_latency
        energy = energy * (family.rounds - 1) + last_energy
        busy = busy * (family.rounds - 1) + _busy(family, genes, row_last)
        resident = held * (family.rounds - 1) + _held(family, genes, row_last)
    resident, scratch = np.where(mode == RESIDENT, resident, 0), np.where(mode == REWRITTEN, held, 0)
    rounds = np.full(count, family.rounds, np.int64)
    options = OptionSet(latency, energy, resident, scratch, mode, outputs, last, copies, precision, rounds, busy)
    return options if good.all() else options.take(good)


def _held(family: Family, genes: Genes, rows: Ints) -> Ints:
    """[option, tier]: arrays that the parts hold in one round with the given rows of the tables."""
    held = np.zeros(rows.shape, np.int64)
    for i, table in enumerate(family.tables):
        used = np.flatnonzero(genes.table[:, table.tier] == i)
        held[used, table.tier] = table.arrays[rows[used, table.tier], genes.column[used, table.tier]]
    return held


def _busy(family: Family, genes: Genes, rows: Ints) -> Ints:
    """[option, resource]: how long one round keeps tiers, and the ports that parts share, busy.

    A tier is busy as long as its part takes, from the first thing read to the last one written.
    """
    tiers = genes.table.shape[1]
    busy = np.zeros((len(rows), tiers + len(family.tables[0].shared_ps)), np.int64)
    for i, table in enumerate(family.tables):
        used = np.flatnonzero(genes.table[:, table.tier] == i)
        row, column = rows[used, table.tier], genes.column[used, table.tier]
        busy[used, table.tier] = table.latency_ps[row, column]
        busy[used, tiers:] += table.shared_ps[:, row, column].T
    return busy


def _round_price(family: Family, genes: Genes, rows: Ints) -> tuple[Ints, Floats]:
    """Time and energy of one round with the given rows of the tables.

    Parts meet on the ports that they share. The first port, off-chip reads, stands at the head of a part's work: it
    serves parts one after the other, the one with the longest tail behind it first, so a part ends when those before it
    and itself have been read, and its own tail is over (a single machine with delivery times, Jackson's rule).
    """
    count, parts = len(rows), len(family.tables)
    latency, read = np.zeros((parts, count), np.int64), np.zeros((parts, count), np.int64)
    energy = np.zeros(count)
    shared = np.zeros((len(family.tables[0].shared_ps), count), np.int64)
    for i, table in enumerate(family.tables):
        used = np.flatnonzero(genes.table[:, table.tier] == i)
        row, column = rows[used, table.tier], genes.column[used, table.tier]
        latency[i, used] = table.latency_ps[row, column]
        read[i, used] = table.shared_ps[0, row, column]
        energy[used] += table.energy_pj[row, column]
        shared[:, used] += table.shared_ps[:, row, column]
    tail = latency - read
    order = np.argsort(-tail, axis=0, kind="stable")
    served = np.cumsum(np.take_along_axis(read, order, axis=0), axis=0)
    ends = (served + np.take_along_axis(tail, order, axis=0)).max(axis=0)
    return np.maximum(ends, shared.max(axis=0, initial=0)), energy


def _last_rows(family: Family, genes: Genes, outputs: Ints, mode: Ints, last: Ints) -> tuple[Ints, Bools]:
    """Rows of the last round: one part has fewer outputs, a streamed one if there is. Fills `last`; where it works."""
    short = family.outputs - family.last
    able = outputs > short
    bears = np.argmax(able * (1 + (mode == STREAMED)), axis=1)
    everyone = np.arange(len(outputs))
    good = able[everyone, bears]
    rows = genes.row.copy()
    for i, table in enumerate(family.tables):
        mine = np.flatnonzero(good & (genes.table[everyone, bears] == i))
        row, fits = _exact_rows(table, outputs[mine, table.tier] - short)
        rows[mine, table.tier] = row
        good[mine] &= fits
    last[everyone, bears] -= short
    return rows, good
