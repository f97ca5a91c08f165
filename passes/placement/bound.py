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
try is valid, so a coarse choice costs tightness only; nu is tried at the slopes of the parts' costs, where the best one
must lie. Cells tile all times, and those whose bound is below the target are cut finer.

All n between two rows of a table, n_1 < n <= n_2, are covered by the two ends n_1 + 1 granule and n_2, both with the copies and
the arrays that n_1 + 1 granule needs: time and arrays never fall as outputs grow, energy and shared time are concave there (in
practice linear, but for rounding by a picosecond, which is taken off), and of a concave G(n) - nu n an end is the
least. Copies beyond the distinct ones cost no less (`tables.Pricer`).
For r rounds, (r - 1) full rounds and the last each cost at least their own bound with arrays at 1/r of their price.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations

import numpy as np

from .problem import RESIDENT, STREAMED, Family, Floats, Ints, PartTable
from .tables import first_copies

CELLS = 96
SPLIT = 8
LEVELS = 4


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
        share = 1 / family.rounds
        full = value = _round_bound(family, family.outputs, prices, target * share, enough * share)
        if family.rounds > 1:
            last = full
            if family.last != family.outputs:
                last = _round_bound(family, family.last, prices, target * share, enough * share)
            value = full * (family.rounds - 1) + last
        least = min(least, value)
    return least


@dataclass(frozen=True)
class _Part:
    """A table at given prices. Array tiers: `cost` [end of interval, copies], the least over these and more copies, `outputs`
    of the ends. Streamed: alpha + beta n."""

    table: PartTable
    outputs: Floats
    cost: Floats
    alpha: float
    beta: float
    fastest: Ints


def _round_bound(family: Family, total: int, prices: Prices, target: float, enough: float) -> float:
    """The bound of one round of `total` outputs; stops early at `target`."""
    shared = family.tables[0].shared_ps.shape[0]
    thetas = [np.zeros(shared)]
    if prices.per_ps > 0:
        thetas += [np.eye(shared)[s] for s in range(shared) if any(t.shared_ps[s].any() for t in family.tables)]
    cases = [[_part(table, prices, family.rounds, theta) for table in family.tables] for theta in thetas]
    low, high = _first_cells(family, prices, target)
    least = target
    for level in range(LEVELS):
        best = np.full(len(low), -np.inf)
        for theta, parts in zip(thetas, cases, strict=True):
            bound = _cell_bounds(parts, total, high)
            best = np.maximum(best, prices.per_ps * (1 - theta.sum()) * low + bound)
        open_ = best < target - enough
        if not open_.any() or level == LEVELS - 1:
            return min(least, float(best.min()))
        least = min(least, float(best[~open_].min(initial=np.inf)))
        low, high = _cut(low[open_], high[open_])
    return least


def _first_cells(family: Family, prices: Prices, target: float) -> tuple[Ints, Ints]:
    """Cells [lo, hi) of time, from the fastest that any part can be to where time alone costs the target, and beyond."""
    start = max(1, min(int(table.floor_latency_ps.min()) for table in family.tables))
    end = max(int(table.latency_ps.max()) for table in family.tables) + 1
    if prices.per_ps > 0:
        end = min(end, int(target / prices.per_ps) + 1)
    edges = np.unique(np.geomspace(start, max(end, start + 1), CELLS).astype(np.int64))
    return edges, np.append(edges[1:], 2**60)


def _cut(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Each cell in SPLIT; one without end is cut at its beginning."""
    top = np.minimum(high, low + low // 4 + 1)
    inner = low[:, None] + (top - low)[:, None] * np.arange(SPLIT + 1) // SPLIT
    rest = top < high
    lows, highs = np.append(inner[:, :-1], top[rest]), np.append(inner[:, 1:], high[rest])
    keep = highs > lows
    return lows[keep], highs[keep]


def _part(table: PartTable, prices: Prices, rounds: int, theta: Floats) -> _Part:
    """A table at prices."""
    fastest = np.maximum.accumulate(table.floor_latency_ps.min(axis=1))
    time = prices.per_ps * theta
    if table.mode == STREAMED:
        values = prices.per_pj * table.energy_pj[:, 0] + time @ table.shared_ps[:, :, 0]
        outputs = table.outputs.astype(np.float64)
        beta = float((values[-1] - values[0]) / max(outputs[-1] - outputs[0], 1.0))
        return _Part(table, outputs, values, float((values - beta * outputs).min()), beta, fastest)
    price = (prices.resident if table.mode == RESIDENT else prices.rewritten / rounds)[table.tier]
    most = (prices.most_resident if table.mode == RESIDENT else prices.most_rewritten)[table.tier]
    arrays = np.where(table.floor_arrays <= most, price * table.floor_arrays, np.inf)
    begin = arrays + prices.per_pj * table.floor_energy_pj + np.tensordot(time, table.floor_shared_ps, 1)
    end = arrays + prices.per_pj * table.energy_pj + np.tensordot(time, np.maximum(table.shared_ps - 1, 0), 1)
    cost = np.concatenate([begin, end])
    cost = np.minimum.accumulate(cost[:, ::-1], axis=1)[:, ::-1]
    outputs = np.concatenate([table.floor_outputs, table.outputs]).astype(np.float64)
    # One more column: no number of copies is fast enough.
    return _Part(table, outputs, np.append(cost, np.full((len(cost), 1), np.inf), axis=1), 0.0, 0.0, fastest)


def _cell_bounds(parts: list[_Part], total: int, high: Ints) -> Floats:
    """[cell]: the least over sets of parts of the greatest over nu of nu total + the parts' terms, for times below `high`."""
    within = high - 1
    costs = [None if part.table.mode == STREAMED else _costs(part, within) for part in parts]
    reach = [_reach(part, within) for part in parts]
    slopes = _slopes(parts, costs, reach)
    terms = [_term(*each, slopes) for each in zip(parts, costs, reach, strict=True)]
    gain = slopes * total
    least = np.full(len(high), np.inf)
    tiers = sorted({part.table.tier for part in parts})
    for chosen in combinations(*([-1, *(i for i, p in enumerate(parts) if p.table.tier == tier)] for tier in tiers)):
        used = [i for i in chosen if i >= 0]
        if not used:
            continue
        enough = sum(reach[i] for i in used) >= total
        if enough.any():
            value = gain + sum(terms[i] for i in used)
            least = np.minimum(least, np.where(enough, value.max(axis=0), np.inf))
    return least


def _costs(part: _Part, within: Ints) -> Floats:
    """[end of interval, cell]: G."""
    column = first_copies(part.table, within, floor=True)
    return np.take_along_axis(part.cost, np.concatenate([column, column]), axis=1)


def _reach(part: _Part, within: Ints) -> Ints:
    """[cell]: the most outputs that the part can do in time, whatever it costs."""
    row = np.searchsorted(part.fastest, within, side="right")
    return np.where(row > 0, part.table.outputs[np.maximum(row, 1) - 1], 0)


def _slopes(parts: list[_Part], costs: list[Floats | None], reach: list[Ints]) -> Floats:
    """[try, cell]: costs of one more output of a part: between its least, middle and most outputs."""
    cells = np.arange(len(reach[0]))
    result: list[Floats] = [np.zeros(len(cells))]
    for part, cost, most in zip(parts, costs, reach, strict=True):
        if cost is None:
            result.append(np.full(len(cells), max(part.beta, 0.0)))
            continue
        rows = len(part.table.outputs)
        last = np.maximum(np.isfinite(cost[rows:]).sum(axis=0) - 1, 0)
        ends = [(rows + 0 * last, part.outputs), (rows + last // 2, part.outputs), (rows + last, part.outputs)]
        points = [(np.zeros(len(cells)), np.zeros(len(cells))), (part.outputs[0] + 0 * cells, cost[0])]
        points += [(outputs[row], cost[row, cells]) for row, outputs in ends]
        for i, j in ((0, 4), (1, 4), (2, 4), (3, 4), (2, 3), (1, 2)):
            run = points[j][0] - points[i][0]
            rise = points[j][1] - points[i][1]
            good = (run > 0) & np.isfinite(rise)
            result.append(np.where(good, np.maximum(np.divide(rise, run, where=good, out=np.zeros(len(cells))), 0), 0))
    return np.stack(result)


def _term(part: _Part, cost: Floats | None, reach: Ints, slopes: Floats) -> Floats:
    """[try, cell]: the least of G(n) - nu n over the outputs n >= 1 that the part can do in time."""
    if cost is None:
        term = part.alpha + (part.beta - slopes) * np.where(slopes > part.beta, reach, part.outputs[0])
        return np.where(reach > 0, term, np.inf)
    result = np.empty_like(slopes)
    for i, nu in enumerate(slopes):
        result[i] = (cost - nu * part.outputs[:, None]).min(axis=0)
    return result
