"""Options between options: one way to run an operator that takes about what shares of several ways take together.

The relaxation mixes options of a type where one more array is worth about the same on two tiers. A plan needs whole
options: as outputs can be split at will, the mix of splits is nearly a split itself.
"""

from __future__ import annotations

from itertools import product as combinations

import numpy as np

from .options import Genes, priced
from .problem import STREAMED, Bools, Family, Floats, Ints, OperatorType, OptionSet, PartTable

REACH = 4
"""By how many rows of an array tier's table the outputs may differ from those of the mix."""


def blends(kind: OperatorType, chosen: Ints, shares: Floats) -> OptionSet:
    """Options near the mix of the options `chosen` by `shares`; none if their rounds differ or nothing fits."""
    options = kind.options.take(chosen)
    families = [family for family in kind.families if np.all(options.rounds == family.rounds)]
    if not families:
        return kind.options.take(np.zeros(0, np.int64))
    family, shares = families[0], shares / shares.sum()
    tiers = options.mode.shape[1]
    choices: dict[int, list[tuple[int, int]]] = {}
    taker, taken = -1, 0.0
    for i, table in enumerate(family.tables):
        same = _uses(options, table, kind.precisions)
        mean = float(shares @ np.where(same, options.outputs[:, table.tier], 0))
        if mean == 0 or (table.tier in choices and mean <= _mean(family, choices[table.tier], table.tier)):
            continue
        choices[table.tier] = [(i, row) for row in _near(table, mean)]
        if table.mode == STREAMED and mean > taken:
            taker, taken = table.tier, mean
    genes = _rows(family, choices, taker, tiers)
    return priced(family, _with_copies(family, genes, options, shares, kind.precisions), kind.precisions)


def _uses(options: OptionSet, table: PartTable, precisions: tuple[str, ...]) -> Bools:
    """Which options have a part of this kind."""
    same = options.mode[:, table.tier] == table.mode
    return same & (options.precision[:, table.tier] == precisions.index(table.precision))


def _mean(family: Family, rows: list[tuple[int, int]], tier: int) -> float:
    """About how many outputs the choice of a tier has so far."""
    return float(np.mean([family.tables[i].outputs[row] for i, row in rows if row >= 0] or [0]))


def _near(table: PartTable, outputs: float) -> list[int]:
    """Rows around a number of outputs; -1 for none where that is near."""
    row = int(np.searchsorted(table.outputs, outputs))
    if table.mode == STREAMED:
        return [min(row, len(table.outputs) - 1)]
    return list(range(max(row - REACH, -1), min(row + REACH + 1, len(table.outputs))))


def _rows(family: Family, choices: dict[int, list[tuple[int, int]]], taker: int, tiers: int) -> Genes:
    """Every choice of rows whose rest `taker` can take (or that leaves none, if there is no taker)."""
    tables, rows = list[list[int]](), list[list[int]]()
    fixed = [tier for tier in choices if tier != taker]
    for combination in combinations(*(choices[tier] for tier in fixed)):
        used, at = [-1] * tiers, [-1] * tiers
        rest = family.outputs
        for tier, (i, r) in zip(fixed, combination, strict=True):
            if r >= 0:
                used[tier], at[tier] = i, r
                rest -= int(family.tables[i].outputs[r])
        if taker >= 0 and rest > 0:
            i = choices[taker][0][0]
            r = int(np.searchsorted(family.tables[i].outputs, rest))
            if r == len(family.tables[i].outputs) or family.tables[i].outputs[r] != rest:
                continue
            used[taker], at[taker], rest = i, r, 0
        if rest == 0:
            tables.append(used)
            rows.append(at)
    shape = (len(tables), tiers)
    table, row = (np.array(values, np.int64).reshape(shape) for values in (tables, rows))
    return Genes(table, row, np.zeros(shape, np.int64))


def _with_copies(
    family: Family, genes: Genes, options: OptionSet, shares: Floats, precisions: tuple[str, ...]
) -> Genes:
    """The same with, on each tier, the copies next below and above the mean of the mix."""
    variants = [genes]
    for i, table in enumerate(family.tables):
        same = _uses(options, table, precisions)
        if not same.any() or table.mode == STREAMED:
            continue
        mean = float(shares[same] @ options.copies[same, table.tier] / shares[same].sum())
        column = int(np.searchsorted(table.copies, mean, side="right")) - 1
        grown: list[Genes] = []
        for at in {column, min(column + 1, len(table.copies) - 1)}:
            for variant in variants:
                columns = variant.column.copy()
                columns[variant.table[:, table.tier] == i, table.tier] = at
                grown.append(Genes(variant.table, variant.row, columns))
        variants = grown
    return Genes.join(variants).distinct()
