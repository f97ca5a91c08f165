"""The least product of energy and latency of a model on chips, without placing it: no plan is below.

A line alpha L + E >= z bounds all plans in latency L and dynamic energy E; several lines bound the product. At prices
rho_t of an array of tier t, a line is the sum of what operators cost alone, less the price of all arrays:

    alpha L + E >= sum over operators of min over T of (alpha T + least cost in time T) - sum rho_t arrays_t

An operator's outputs are shared by tiers, by parts that stay and parts that do not (columns). In time T a column makes
at most so many outputs, each of which costs at least so much energy and arrays; both follow from the tier's price
tables alone. So columns are filled in the order of their costs. T lies in some cell of a grid: the least T of the cell
and what its greatest T allows hold for the whole cell. Off-chip reads share one port, so that T is at least the sum of
all columns' reads too; any mix of both limits on T is valid, and the best of some is taken for each operator.

Between two rows of a table costs are concave in outputs, so that cost over outputs is least at an end (see
`passes/placement/bound`). A plan of several rounds has in each of them parts that a plan of one round could have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID_NS = np.append(np.geomspace(1.0, 1e9, 399), np.inf)
"""Ends of the cells of time; each begins where the one before it ends."""
PRICES_PJ = np.append(0.0, np.geomspace(1.0, 1e8, 25))
"""Prices of an array, rho."""
SLOPES = (0.4, 0.8, 1.4, 3.0)
"""alpha of the lines, as multiples of the tangent of the product at the least energy and latency."""
_SAFE = 1 - 1e-6
"""Costs are kept in single precision."""
_FINE, _COARSE = (1, (0.0, 0.25, 0.5, 0.75, 1.0)), (5, (0.0, 0.5, 1.0))
"""So many cells as one, and shares of the time of reads in the limit on T; prices are sought by the second."""
_STEP = 8
"""Of the search of prices, at first."""


@dataclass(frozen=True)
class Column:
    """Parts of one sort on a tier, for the operators of a model; times by GRID_NS.

    `most`: outputs in the time of a cell, [operator, cell]; `cost_pj`: the least of an output with its arrays at
    PRICES_PJ, [operator, cell, price], one price where it takes no arrays; `read_ns`: off-chip reads an output.
    """

    most: Floats
    cost_pj: Floats
    read_ns: Floats


def column_of(tables: Sequence[Any], outputs: Floats, priced: bool) -> Column:
    """The column of parts with these price tables (`PartTable`, or None), one an operator, which has `outputs`."""
    prices = PRICES_PJ if priced else PRICES_PJ[:1]
    cost = np.full((len(tables), len(GRID_NS), len(prices)), np.inf, np.float32)
    read, rate = np.zeros((2, len(tables)))
    for at, table in enumerate(tables):
        if table is None:
            continue
        end, start = table.outputs[:, None].astype(np.float64), table.floor_outputs[:, None].astype(np.float64)
        time = table.floor_latency_ps / 1000
        rate[at] = (end / time).max()
        read[at] = min((table.floor_shared_ps[0] / start).min(), (table.shared_ps[0] / end).min()) / 1000
        arrays = table.floor_arrays
        ends = (table.floor_energy_pj, start), (table.energy_pj, end)
        # Of each cell the least cost at each price: entries are sorted by their cells.
        cell = np.searchsorted(GRID_NS, time).ravel()
        order = np.argsort(cell, kind="stable")
        first = np.flatnonzero(np.diff(cell[order], prepend=-1))
        for place, price in enumerate(prices):
            least = np.minimum(*((energy + price * arrays) / share for energy, share in ends)).ravel()
            cost[at, cell[order[first]], place] = np.minimum.reduceat(least[order], first)
    with np.errstate(invalid="ignore"):
        most = np.where(rate[:, None] > 0, rate[:, None] * GRID_NS, 0.0)
    return Column(np.minimum(most, outputs[:, None]), np.minimum.accumulate(cost, axis=1), read)


@dataclass(frozen=True)
class Operators:
    """Operators of a model by type: outputs of one, and how many there are."""

    outputs: Floats
    count: Floats


@dataclass(frozen=True)
class Tier:
    """A tier of a chip: its columns, the first of which takes arrays, and how many arrays it has."""

    stay: Column
    pass_: Column
    arrays: int


def least_product(
    operators: Operators, tiers: Sequence[Tier], fixed: tuple[float, float], static_mw: float, ends: tuple[float, float]
) -> float:
    """The bound on energy x latency in pJ ns of one chip.

    `fixed`: (ns, pJ) of work that is not placed; `ends`: bounds on latency in ns and dynamic energy in pJ, fixed ones
    included.
    """
    latency, energy = ends
    if not np.isfinite([latency, energy]).all():
        return np.inf
    tangent = (energy + 2 * static_mw * latency) / latency
    lines = [(0.0, energy)]
    for slope in SLOPES:
        alpha = tangent * slope
        lines.append((alpha, alpha * fixed[0] + fixed[1] + _line(operators, tiers, alpha)))
    # In between two lines the product is concave in the latency, or rises: it is least where lines meet.
    crossings = [(a[1] - b[1]) / (a[0] - b[0]) for a, b in combinations(lines, 2)]
    least = np.inf
    for at in [latency, *(at for at in crossings if at > latency)]:
        dynamic = max(z - alpha * at for alpha, z in lines)
        least = min(least, (dynamic + static_mw * at) * at)
    return least * _SAFE


def _line(operators: Operators, tiers: Sequence[Tier], alpha: float) -> float:
    """The least of alpha x latency + dynamic energy, by prices of arrays that are sought one tier after another."""
    table, chosen, step = _Table(operators, tiers, alpha, *_COARSE), [0] * len(tiers), _STEP
    best = table.value(chosen)
    while step:
        moved = False
        for tier, own in enumerate(tiers):
            for place in (chosen[tier] - step, chosen[tier] + step) if own.arrays else ():
                if 0 <= place < len(PRICES_PJ):
                    value = table.value([*chosen[:tier], place, *chosen[tier + 1 :]])
                    if value > best:
                        best, chosen[tier], moved = value, place, True
        step = step if moved else step // 2
    return max(best, _Table(operators, tiers, alpha, *_FINE).value(chosen))


class _Table:
    """What operators cost on a chip at a slope, by prices of arrays: [operator and cell, column], where it matters."""

    def __init__(
        self, operators: Operators, tiers: Sequence[Tier], alpha: float, cells: int, shares: Sequence[float]
    ) -> None:
        self.operators, self.tiers, self.alpha, self.shares = operators, tiers, alpha, shares
        columns = [column for tier in tiers for column in (tier.stay, tier.pass_)]
        ends = slice(cells - 1, None, cells)  # the last of all is that without end
        most = np.stack([column.most[:, ends] for column in columns], axis=2)
        costs = [column.cost_pj[:, ends] for column in columns]
        able = most.sum(axis=2) >= operators.outputs[:, None]
        # Beyond the first cell in which all is as it is without a limit of time, only time rises.
        last = np.stack([(cost == cost[:, -1:]).all(axis=2) for cost in costs], axis=2)
        whole = (last & ((most >= operators.outputs[:, None, None]) | np.isinf(most.max(axis=1))[:, None])).all(axis=2)
        self.kept = able & (np.cumsum(whole, axis=1) <= 1)
        self.operator = np.nonzero(self.kept)[0]
        self.most, self.outputs = most[self.kept], operators.outputs[self.operator]
        self.read = np.stack([column.read_ns for column in columns], axis=1)[self.operator]
        begin = np.broadcast_to(np.concatenate([[0.0], GRID_NS[ends][:-1]]), able.shape)
        self.begin = begin[self.kept]
        self.costs = [cost[self.kept] for cost in costs]
        self.first = np.flatnonzero(np.diff(self.operator, prepend=-1))

    def value(self, chosen: Sequence[int]) -> float:
        """The line at prices by their positions, one a tier."""
        places = [
            each for tier, place in zip(self.tiers, chosen, strict=True) for each in (place * (tier.arrays > 0), 0)
        ]
        cost = np.stack([own[:, place] for own, place in zip(self.costs, places, strict=True)], axis=1)
        least = np.full(len(self.operators.outputs), -np.inf)
        for share in self.shares:
            filled = _filled(cost + self.alpha * share * self.read, self.most, self.outputs)
            of_cells = self.alpha * (1 - share) * self.begin + filled
            least = np.maximum(least, np.minimum.reduceat(of_cells, self.first))
        paid = sum(PRICES_PJ[place] * tier.arrays for tier, place in zip(self.tiers, chosen, strict=True))
        return float(least @ self.operators.count) - paid


def _filled(unit: Floats, most: Floats, outputs: Floats) -> Floats:
    """The least that outputs cost, [row], in columns of these costs and most outputs, [row, column]."""
    order = np.argsort(unit, axis=1)
    unit, most = np.take_along_axis(unit, order, 1), np.take_along_axis(most, order, 1)
    before = np.cumsum(most, axis=1) - most
    taken = np.clip(outputs[:, None] - before, 0.0, most)
    with np.errstate(invalid="ignore"):
        return np.where(taken > 0, taken * unit, 0.0).sum(axis=1)
