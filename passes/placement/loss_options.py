"""Options for a budget of loss: splits in two at the borders between groups of outputs that lose alike.

Under a price of loss the outputs of a group go the same way, all of them, unless time or arrays say otherwise: what is
best at some prices of time, energy, arrays and loss gives one tier the groups that lose little there and another the
rest, or is balanced (module `options`), or lies between such splits (module `blends`).
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from .loss_curve import LossCurve
from .options import Genes, realised
from .problem import STREAMED, Family, Ints, OptionSet, PartTable

BORDERS, COPIES = 12, 10
"""At most so many borders between two tiers, and numbers of copies of the part that leads, are options."""


def with_borders(
    options: OptionSet, families: tuple[Family, ...], curve: LossCurve, arrays: Ints, precisions: tuple[str, ...]
) -> OptionSet:
    """The options and those of splits in two at borders, in one round, on tiers with `arrays` arrays."""
    sets = [options]
    for family in families:
        tables = family.tables
        pairs = [(i, j) for i, j in permutations(range(len(tables)), 2) if tables[i].tier != tables[j].tier]
        if family.rounds == 1 and pairs:
            genes = [_splits(family, i, j, _borders(curve, tables[i].tier, tables[j].tier), arrays) for i, j in pairs]
            sets.append(realised(family, Genes.join(genes).distinct(), precisions, arrays))
    return OptionSet.concat(sets)


def _borders(curve: LossCurve, first: int, second: int) -> Ints:
    """Outputs that `first` takes at the borders: the groups which it is better for, more and more of them."""
    harm = curve.by_group[first] - curve.by_group[second]
    ends = np.cumsum(curve.sizes[np.argsort(harm, kind="stable")])[:-1]
    return (
        np.unique(ends[np.linspace(0, len(ends) - 1, min(BORDERS, len(ends))).astype(np.int64)]) if len(ends) else ends
    )


def _splits(family: Family, lead: int, other: int, wanted: Ints, arrays: Ints) -> Genes:
    """Splits in which table `lead` takes about `wanted` outputs, with several copies, and `other` the rest in time."""
    tables, tiers = family.tables, len(arrays)
    leading, following = tables[lead], tables[other]
    row = np.minimum(np.searchsorted(leading.outputs, wanted), len(leading.outputs) - 1)
    rest = family.outputs - leading.outputs[row]
    row_other = np.minimum(np.searchsorted(following.outputs, rest), len(following.outputs) - 1)
    exact = (following.outputs[row_other] == rest) & (rest > 0)
    row, row_other = row[exact], row_other[exact]
    column = np.unique(np.linspace(0, leading.latency_ps.shape[1] - 1, COPIES).astype(np.int64))
    rows, columns = (each.ravel() for each in np.meshgrid(row, column, indexing="ij"))
    rows_other = np.repeat(row_other, len(column))
    columns_other = _in_time(following, rows_other, leading.latency_ps[rows, columns])
    genes = Genes(*(np.full((len(rows), tiers), -1, np.int64) for _ in range(3)))
    for i, (at, copies) in ((lead, (rows, columns)), (other, (rows_other, columns_other))):
        tier = tables[i].tier
        genes.table[:, tier], genes.row[:, tier], genes.column[:, tier] = i, at, copies
    return genes


def _in_time(table: PartTable, rows: Ints, within: Ints) -> Ints:
    """The fewest copies by which each row is done in time; its fastest where none is."""
    if table.mode == STREAMED:
        return np.zeros_like(rows)
    latency = table.latency_ps[rows]
    able = latency <= within[:, None]
    return np.where(able.any(axis=1), able.argmax(axis=1), latency.argmin(axis=1))
