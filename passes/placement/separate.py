"""What an operator costs whose parts count each for itself: its cheapest split, and a bound over all its splits.

In a stream of executions another operator may use a tier while this one waits, so a part costs what it keeps busy and
holds, whatever the other parts do. The least sum over parts for a number of outputs is found tier by tier, exactly:

    best_0(0) = 0;  best_t(n) = min over parts of m outputs on tier t (or none) of best_t-1(n - m) + cost_t(m)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .options import Genes
from .parts import Prices
from .problem import RESIDENT, STREAMED, Family, Floats, Ints, PartTable
from .rules import added


@dataclass(frozen=True)
class _Parts:
    """Parts on one tier, by ascending granules of outputs, all different."""

    granules: Ints
    cost: Floats
    table: Ints
    row: Ints
    column: Ints


def least_cost(family: Family, prices: Prices, rows: int) -> float:
    """A lower bound of what an operator costs in the rounds of `family`; infinite where none fits the limits.

    Tables are looked at in about `rows` intervals of outputs. A part whose outputs lie in an interval counts with the
    most outputs of it and the least cost in it, and more outputs than needed may be had: so no split costs less, and
    the last round, of fewer outputs, may be split as it likes. What rules cost is shared out to the rounds before it.
    """
    whole, granule = sum(rule.of_family(family, price) for rule, price in prices.rules), _granule(family)
    parts = [_least_in_intervals(family, tier, prices, rows) for tier in _tiers(family)]
    full, _ = _spread(parts, family.outputs // granule, floor=True)
    if family.rounds == 1 or not np.isfinite(full):
        return full + whole
    if prices.rules:
        plain = replace(prices, rules=())
        parts = [_least_in_intervals(family, tier, plain, rows) for tier in _tiers(family)]
    last, _ = _spread(parts, family.last // granule, floor=True)
    return full * (family.rounds - 1) + last + whole


def cheapest(family: Family, prices: Prices, rows: int) -> Genes:
    """The split of a round that costs least, of about `rows` rows of the tables that take arrays; none if none fits."""
    parts = [_at_rows(family, tier, prices, rows) for tier in _tiers(family)]
    cost, chosen = _spread(parts, family.outputs // _granule(family), floor=False)
    genes = Genes(*(np.full((int(np.isfinite(cost)), len(prices.resident)), -1, np.int64) for _ in range(3)))
    for tier, mine, at in zip(_tiers(family), parts, chosen, strict=False):
        if at >= 0:
            genes.table[0, tier], genes.row[0, tier] = mine.table[at], mine.row[at]
            genes.column[0, tier] = mine.column[at]
    return genes


def _tiers(family: Family) -> list[int]:
    return sorted({table.tier for table in family.tables})


def _granule(family: Family) -> int:
    """Outputs of all parts are multiples of it."""
    return min(int(table.floor_outputs[0]) for table in family.tables)


def _spread(parts: list[_Parts], total: int, *, floor: bool) -> tuple[float, list[int]]:
    """The least cost of `total` granules, and the position of the part on each tier, -1 for none.

    With `floor` more may be had, and positions are not given.
    """
    # Of the last tier only the whole total is asked, and before the first there is nothing: so these are quick.
    *others, last = sorted(range(len(parts)), key=lambda i: (len(parts[i].cost), i))
    best = np.full(total + 1, np.inf)
    best[0] = 0.0
    trail: list[tuple[int, Ints]] = []
    for step, i in enumerate([*others[-1:], *others[:-1]]):
        fits = np.flatnonzero((parts[i].granules <= total) | floor)
        granules, cost = np.minimum(parts[i].granules[fits], total), parts[i].cost[fits]
        grown, taken = best.copy(), np.full(total + 1, -1, np.int64)
        if step == 0:
            np.minimum.at(grown, granules, cost)
            taken[granules] = fits
            grown = np.minimum.accumulate(grown[::-1])[::-1] if floor else grown
        else:
            for n, value, at in zip(granules.tolist(), cost.tolist(), fits.tolist(), strict=True):
                with_it = best[: total + 1 - n] + value
                if floor:
                    np.minimum(grown[n:], with_it, out=grown[n:])
                    np.minimum(grown[:n], best[0] + value, out=grown[:n])
                else:
                    better = with_it < grown[n:]
                    grown[n:][better], taken[n:][better] = with_it[better], at
        trail.append((i, taken))
        best = grown
    fits = np.flatnonzero((parts[last].granules <= total) | floor)
    granules = np.minimum(parts[last].granules[fits], total)
    sums = np.append(best[total - granules] + parts[last].cost[fits], best[total])
    least = int(sums.argmin())
    if floor or not np.isfinite(sums[least]):
        return float(sums[least]), []
    chosen, left = [-1] * len(parts), total
    if least < len(fits):
        chosen[last], left = int(fits[least]), total - int(granules[least])
    for i, taken in reversed(trail):
        chosen[i] = int(taken[left])
        left -= int(parts[i].granules[chosen[i]]) if chosen[i] >= 0 else 0
    return float(sums[least]), chosen


def _at_rows(family: Family, tier: int, prices: Prices, rows: int) -> _Parts:
    """For numbers of outputs the cheapest part on a tier."""
    found: list[tuple[Ints, Floats, Ints, Ints, Ints]] = []
    for i, table in enumerate(family.tables):
        if table.tier == tier:
            at = np.arange(len(table.outputs))
            if len(at) > rows and table.mode != STREAMED:
                at = np.unique(np.linspace(0, len(at) - 1, rows).astype(np.int64))
            outputs = table.outputs[at]
            cost = _costs(table, prices, family, at, "") + _ruled(table, prices, family, outputs, outputs)
            column = cost.argmin(axis=1)
            found.append((table.outputs[at], cost.min(axis=1), np.full(len(at), i, np.int64), at, column))
    return _distinct(family, found)


def _least_in_intervals(family: Family, tier: int, prices: Prices, rows: int) -> _Parts:
    """For intervals of outputs, each given by its end, the least cost of a part on a tier."""
    found: list[tuple[Ints, Floats, Ints, Ints, Ints]] = []
    for i, table in enumerate(family.tables):
        if table.tier == tier:
            count = len(table.outputs)
            ends = np.unique(np.linspace(0, count, min(rows, count) + 1).astype(np.int64))[1:] - 1
            begins = np.append(0, ends[:-1] + 1)
            ruled = _ruled(table, prices, family, table.floor_outputs[begins], table.outputs[ends])
            if table.mode == STREAMED:
                # It may have any energy.
                every = _costs(table, prices, family, np.arange(count), "")[:, 0]
                cost = np.minimum.reduceat(every, begins) + ruled[:, 0]
            else:
                # Costs do not fall when outputs grow.
                cost = (_costs(table, prices, family, begins, "floor_") + ruled).min(axis=1)
            found.append((table.outputs[ends], cost, np.full(len(ends), i, np.int64), ends, np.zeros_like(ends)))
    parts = _distinct(family, found)
    # Where more outputs cost no more, fewer need not be looked at.
    after = np.append(np.minimum.accumulate(parts.cost[::-1])[::-1][1:], np.inf)
    keep = parts.cost < after
    return _Parts(*(getattr(parts, name)[keep] for name in ("granules", "cost", "table", "row", "column")))


def _ruled(table: PartTable, prices: Prices, family: Family, first: Ints, last: Ints) -> Floats:
    """What rules add in one round to parts of `first` to `last` outputs: their share of the rounds before the last."""
    return added(prices.rules, table, family, first, last) / max(family.rounds - 1, 1)


def _costs(table: PartTable, prices: Prices, family: Family, at: Ints, floor: str) -> Floats:
    """[row of `at`, column]: what a part costs in one round; infinite beyond the limits of arrays."""
    names = ("latency_ps", "energy_pj", "arrays", "shared_ps")
    latency, energy, taken, shared = (getattr(table, floor + name)[..., at, :] for name in names)
    ports = prices.busy[len(prices.resident) :]
    cost = prices.busy[table.tier] * latency + np.tensordot(ports, shared, 1) + prices.per_pj * energy
    if table.mode == STREAMED:
        return cost
    if table.mode == RESIDENT:
        # Each round has arrays of its own; in the last one the part may have outputs less.
        outputs = (table.floor_outputs if floor else table.outputs)[at] - (family.outputs - family.last)
        less = np.searchsorted(table.outputs, outputs)
        of_last = np.where((outputs > 0)[:, None], table.floor_arrays[less], 0)
        held, fits = prices.resident, taken * (family.rounds - 1) + of_last <= prices.most_resident[table.tier]
    else:
        held, fits = prices.rewritten / family.rounds + prices.written, taken <= prices.most_rewritten[table.tier]
    return np.where(fits, cost + held[table.tier] * taken, np.inf)


def _distinct(family: Family, found: list[tuple[Ints, Floats, Ints, Ints, Ints]]) -> _Parts:
    """Of parts with the same outputs the cheapest, and none of infinite cost."""
    outputs, cost, table, row, column = (np.concatenate(values) for values in zip(*found, strict=True))
    order = np.lexsort((np.arange(len(cost)), cost, outputs))
    order = order[np.isfinite(cost[order])]
    first = order[np.diff(outputs[order], prepend=-1) > 0]
    return _Parts(outputs[first] // _granule(family), cost[first], table[first], row[first], column[first])
