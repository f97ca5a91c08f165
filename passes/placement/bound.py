"""A lower bound that holds for every plan of the plan space, not only for the options enumerated.

By `relaxation`, at any prices of arrays a plan costs at least the sum of what each operator costs at those prices, plus a
constant. Here each operator's cost is bounded from below over *all* its plans: any outputs, copies, tiers, rounds.

Take a round of `total` outputs. Its time t lies in some cell [lo, hi). At weight `per_ps` of time and `per_pj` of energy, with
p_i the price of an array of part i, and any multipliers theta_s >= 0 with sum <= 1 and nu >= 0:

    cost = per_ps t + sum_i (per_pj E_i + p_i arrays_i)
         >= per_ps (1 - sum theta) lo + sum_i (per_pj E_i + p_i arrays_i + per_ps sum_s theta_s D_is)
         >= per_ps (1 - sum theta) lo + nu total + sum_i (G_i(n_i) - nu n_i)

as t is at least lo and at least the sum over parts of their time D_is on shared resource s; sum n_i = total; and G_i(n)
is the least of the bracket over all copies with which part i does n outputs in less than hi. The last sum is at least

    sum over tiers used of min over n of (G_i(n) - nu n),

which is a table look-up. The bound of a cell is the least over sets of parts of the greatest over (theta, nu) tried: each
try is valid, so a coarse grid costs tightness only. Cells tile all times, and those whose bound is below the target
are cut finer. Between two rows of a table the price of the smallest n counts for the largest (prices never fall as
outputs grow), and columns beyond the distinct numbers of copies cost no less (see `tables.Pricer`).
For r rounds, (r - 1) full rounds and the last each cost at least their own bound with arrays at 1/r of their price.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations

import numpy as np

from .problem import RESIDENT, STREAMED, Family, Floats, Ints, PartTable
from .tables import first_copies

CELLS = 128
SPLIT = 8
LEVELS = 4
SLOPES = 20
ZOOM = 9


@dataclass(frozen=True)
class Prices:
    """Weights of an operator's cost. Arrays are by tier; `most_` are limits in arrays."""

    per_ps: float
    per_pj: float
    resident: Floats
    rewritten: Floats
    most_resident: Ints
    most_rewritten: Ints


def operator_bound(families: tuple[Family, ...], prices: Prices, target: float, enough: float) -> float:
    """At most what any plan of the operator costs at `prices`, and at most `target`.

    Refining stops when what is left to gain is at most `enough`.
    """
    least = target
    for family in families:
        full = _round_bound(family, family.outputs, prices, target / family.rounds, enough / family.rounds)
        value = full
        if family.rounds > 1:
            last = full
            if family.last != family.outputs:
                last = _round_bound(family, family.last, prices, target / family.rounds, enough / family.rounds)
            value = full * (family.rounds - 1) + last
        least = min(least, value)
    return least


@dataclass(frozen=True)
class _Part:
    """One table at given prices: cost [row, copies], least over these and more copies; or alpha + beta n where streamed."""

    table: PartTable
    outputs: Floats
    dearer: Floats
    alpha: float
    beta: float
    fastest: Ints


def _round_bound(family: Family, total: int, prices: Prices, target: float, enough: float) -> float:
    """The bound of one round of `total` outputs; stops early at `target`."""
    shared = family.tables[0].shared_ps.shape[0]
    thetas = [np.zeros(shared), *np.eye(shared), *(0.5 * np.eye(shared))]
    if not any(table.shared_ps.any() for table in family.tables):
        thetas = thetas[:1]
    cases = [[_part(table, prices, family.rounds, theta) for table in family.tables] for theta in thetas]
    low, high = _first_cells(family, prices, target)
    slopes = _slopes(cases[0])[:, None] * np.ones(len(low))
    done = np.inf
    for level in range(LEVELS):
        best, slope = np.full(len(low), -np.inf), np.zeros(len(low))
        for theta, parts in zip(thetas, cases, strict=True):
            bound, nu = _cell_bounds(parts, total, prices.per_ps * (1 - theta.sum()) * low, high, slopes, level > 0)
            slope = np.where(bound > best, nu, slope)
            best = np.maximum(best, bound)
        open_ = best < target - enough
        done = min(done, float(best[~open_].min(initial=np.inf)))
        if not open_.any() or level == LEVELS - 1:
            return min(target, done, float(best[open_].min(initial=np.inf)))
        low, high, slope = _cut(low[open_], high[open_], slope[open_])
        reach = 1.6 if level == 0 else 1.6 ** (1 / ZOOM**level)
        slopes = slope * reach ** np.linspace(-1, 1, ZOOM)[:, None]
    return min(target, done)


def _first_cells(family: Family, prices: Prices, target: float) -> tuple[Floats, Floats]:
    """Cells [lo, hi) of time, from the fastest that any part can be to where time alone costs the target, and beyond."""
    start = max(1, min(int(table.floor_latency_ps.min()) for table in family.tables))
    end = max(int(table.latency_ps.max()) for table in family.tables) + 1
    if prices.per_ps > 0:
        end = min(end, int(target / prices.per_ps) + 1)
    end = max(end, start + 1)
    edges = np.unique(np.geomspace(start, end, CELLS).astype(np.int64))
    return edges.astype(np.float64), np.append(edges[1:], 2**60).astype(np.float64)


def _cut(low: Floats, high: Floats, slope: Floats) -> tuple[Floats, Floats, Floats]:
    """Each cell in SPLIT, at whole picoseconds."""
    top = np.minimum(high, low * 1.25 + 1)  # the last cell has no end
    inner = np.round(low[:, None] + (top - low)[:, None] * np.linspace(0, 1, SPLIT + 1)[None, :])
    inner[:, -1] = np.where(top < high, inner[:, -1], high)
    lows = np.concatenate([inner[:, :-1].ravel(), top[top < high]])
    highs = np.concatenate([inner[:, 1:].ravel(), high[top < high]])
    slopes = np.concatenate([np.repeat(slope, SPLIT), slope[top < high]])
    keep = highs > lows
    return lows[keep], highs[keep], slopes[keep]


def _part(table: PartTable, prices: Prices, rounds: int, theta: Floats) -> _Part:
    """A table at prices."""
    cost = prices.per_pj * table.floor_energy_pj + prices.per_ps * np.einsum("s,snc->nc", theta, table.floor_shared_ps)
    fastest = np.maximum.accumulate(table.floor_latency_ps.min(axis=1))
    outputs = table.outputs.astype(np.float64)
    if table.mode == STREAMED:
        values = cost[:, 0]
        beta = float((values[-1] - values[0]) / max(outputs[-1] - outputs[0], 1.0))
        return _Part(table, outputs, cost, float((values - beta * outputs).min()), beta, fastest)
    price = (prices.resident if table.mode == RESIDENT else prices.rewritten / rounds)[table.tier]
    most = (prices.most_resident if table.mode == RESIDENT else prices.most_rewritten)[table.tier]
    cost = np.where(table.floor_arrays <= most, cost + price * table.floor_arrays, np.inf)
    dearer = np.minimum.accumulate(cost[:, ::-1], axis=1)[:, ::-1]
    # One more column: no number of copies is fast enough.
    return _Part(table, outputs, np.append(dearer, np.full((len(cost), 1), np.inf), axis=1), 0.0, 0.0, fastest)


def _slopes(parts: list[_Part]) -> Floats:
    """Costs of an output to try as nu: a geometric scale over what outputs cost on average, and 0."""
    costs: list[Floats] = []
    for part in parts:
        if part.table.mode == STREAMED:
            costs.append(np.array([part.beta, part.beta + part.alpha / part.outputs[-1]]))
        else:
            mean = part.dearer[:, :-1] / part.outputs[:, None]
            costs.append(mean[np.isfinite(mean)])
    pool = np.concatenate(costs)
    pool = pool[pool > 0]
    if not len(pool):
        return np.zeros(1)
    return np.append(np.geomspace(pool.min(), pool.max() * 1.01, SLOPES), 0.0)


def _cell_bounds(
    parts: list[_Part], total: int, base: Floats, high: Floats, slopes: Floats, by_set: bool
) -> tuple[Floats, Floats]:
    """Bounds of all cells and the nu that gave them; `slopes` [try, cell].

    `by_set`: for each set of parts on its own, which is tighter; else every tier is used or not as suits nu best.
    """
    within = high.astype(np.int64) - 1
    terms = [_term(part, within, slopes) for part in parts]
    reach = [_reach(part, within) for part in parts]
    tiers = sorted({part.table.tier for part in parts})
    groups = [[i for i, part in enumerate(parts) if part.table.tier == tier] for tier in tiers]
    if not by_set:
        value = slopes * total + sum(np.minimum(np.min([terms[i] for i in g], axis=0), 0.0) for g in groups)
        enough = sum(np.max([reach[i] for i in g], axis=0) for g in groups) >= total
        value = np.where(enough, value, np.inf)
        best = value.argmax(axis=0)
        cells = np.arange(len(high))
        return base + value[best, cells], slopes[best, cells]
    least, nu = np.full(len(high), np.inf), np.zeros(len(high))
    cells = np.arange(len(high))
    for chosen in combinations(*([None, *group] for group in groups)):
        used = [i for i in chosen if i is not None]
        if not used:
            continue
        enough = sum(reach[i] for i in used) >= total
        if not enough.any():
            continue
        value = slopes * total + sum(terms[i] for i in used)
        best = value.argmax(axis=0)
        bound = np.where(enough, value[best, cells], np.inf)
        nu = np.where(bound < least, slopes[best, cells], nu)
        least = np.minimum(least, bound)
    return base + least, nu


def _reach(part: _Part, within: Ints) -> Ints:
    """[cell]: the most outputs that the part can do in time, whatever it costs."""
    row = np.searchsorted(part.fastest, within, side="right")
    return np.where(row > 0, part.table.outputs[np.maximum(row, 1) - 1], 0)


def _term(part: _Part, within: Ints, slopes: Floats) -> Floats:
    """[try, cell]: the least of G(n) - nu n over the outputs n >= 1 that the part can do in time."""
    if part.table.mode == STREAMED:
        most = _reach(part, within)
        term = part.alpha + (part.beta - slopes) * np.where(slopes > part.beta, most, part.outputs[0])
        return np.where(most > 0, term, np.inf)
    column = first_copies(part.table, within, floor=True)
    cost = np.take_along_axis(part.dearer, column, axis=1)
    result = np.empty_like(slopes)
    for i, nu in enumerate(slopes):
        result[i] = (cost - nu * part.outputs[:, None]).min(axis=0)
    return result
