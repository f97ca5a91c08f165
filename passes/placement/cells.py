"""Bounds of one round of an operator, for every plan whose time lies in a cell.

Take a round of `total` outputs. Its time t lies in some cell [lo, hi). At weight `per_ps` of time and `per_pj` of
energy, with p_i the price of an array of part i, and any multipliers theta_s >= 0 with sum <= 1 and nu, kappa >= 0:

    cost  = per_ps t + sum_i (per_pj E_i + p_i arrays_i)
         >= per_ps ((1 - sum theta) lo + theta_0 min_i tail_i)
            + sum_i (per_pj E_i + p_i arrays_i + per_ps sum_s theta_s D_is)
         >= per_ps (...) + nu total + kappa filled + sum_i (G_i(n_i) - nu n_i - kappa u_i(n_i))

Time: t is at least lo, at least the sum over parts of their time D_is on shared resource s, and for s = 0 (off-chip
reads, which parts begin with) at least that sum and what follows it in the part that is served last, its tail.
Outputs: sum n_i = total. G_i(n) is the least of the bracket over all copies with which part i does n outputs in less
than hi. Filled arrays: streamed parts do at most what they can in less than hi, the arrays of the others the rest;
u_i(n) is what the arrays that n outputs take could do, and `filled` the least sum of such numbers that is no less than
the rest. The last sum is at least

    sum over tiers used of min over n of (G_i(n) - nu n - kappa u_i(n)),

which is a table look-up. The bound of a cell is the least over sets of parts of the greatest over (theta, nu, kappa)
tried: each try is valid, so a coarse choice costs tightness only; nu and kappa are tried at the slopes of the parts'
costs, where the best ones must lie.

All n between two rows of a table, n_1 < n <= n_2, are covered by the two ends n_1 + 1 granule and n_2, both with the
copies and the arrays that n_1 + 1 granule needs: time and arrays never fall as outputs grow, energy and shared time are
concave there (in practice linear, but for rounding, which is taken off), and of a concave G(n) - nu n an end is the
least. Copies beyond the distinct ones cost no less (`tables.Pricer`).
"""

from __future__ import annotations

import numpy as np

from .parts import Part, Prices
from .problem import STREAMED, Family, Floats, Ints
from .tables import first_copies

WORTH = 0.02
"""Shared resources are looked at where their time can be such a share of the target."""
THETAS = (1.0, 0.5, 0.75, 0.25)
SUMS = 4096
"""Sums of filled outputs are listed where there are at most so many."""


def first_cells(family: Family, total: int, prices: Prices, target: float) -> tuple[Ints, Ints]:
    """Two cells [lo, hi) of time: to where time alone costs the target, and beyond. No round is faster."""
    start = _earliest(family, total)
    end = max(table.slowest_ps for table in family.tables) + 1
    if prices.per_ps > 0:
        end = min(end, int(target / prices.per_ps) + 1)
    end = max(end, start + 1)
    return np.array([start, end]), np.array([end, 2**60])


def _earliest(family: Family, total: int) -> int:
    """A time before which the tiers together cannot have done `total` outputs."""
    fastest = [(table, table.fastest_ps) for table in family.tables]
    early, late = 0, max(int(f[-1]) for _, f in fastest)
    while late - early > 1:
        middle = (early + late) // 2
        able: dict[int, int] = {}
        for table, f in fastest:
            rows = int(np.searchsorted(f, middle, side="right"))
            able[table.tier] = max(able.get(table.tier, 0), int(table.outputs[rows - 1]) if rows else 0)
        early, late = (early, middle) if sum(able.values()) >= total else (middle, late)
    return max(late, 1)


def thetas(family: Family, prices: Prices, start: int, target: float, worth: float = WORTH) -> list[Floats]:
    """Weights of shared resources to try: none, and shares of each that can take longer than the fastest round."""
    shared = family.tables[0].shared_ps.shape[0]
    result = [np.zeros(shared)]
    for s in range(shared):
        longest = max(int(t.shared_ps[s].max()) for t in family.tables)
        if longest > start and prices.per_ps * longest > worth * target:
            result += [theta * np.eye(shared)[s] for theta in THETAS]
    return result


def cut(low: Ints, high: Ints, split: int) -> tuple[Ints, Ints, Ints]:
    """Each cell in `split`, by a geometric scale; one without end is cut at its beginning. Last, what each was in."""
    top = np.minimum(high, low + low // 4 + split)
    top = np.where(high < 2**60, high, top)
    share = np.arange(split + 1) / split
    inner = np.floor(low[:, None] * (top / low)[:, None] ** share[None, :]).astype(np.int64)
    inner[:, 0], inner[:, -1] = low, top
    rest = top < high
    lows, highs = np.append(inner[:, :-1], top[rest]), np.append(inner[:, 1:], high[rest])
    within = np.append(np.repeat(np.arange(len(low)), split), np.flatnonzero(rest))
    keep = highs > lows
    return lows[keep], highs[keep], within[keep]


def set_bounds(parts: list[Part], sets: Ints, total: int, high: Ints, per_tail_ps: float) -> Floats:
    """[set, cell]: the greatest over (nu, kappa) for times below `high`, without the time.

    `per_tail_ps` weighs the shortest time that a part needs beside its off-chip reads.
    """
    within = high - 1
    costs = [None if part.table.mode == STREAMED else _costs(part, within) for part in parts]
    reach = [_reach(part, cost, within) for part, cost in zip(parts, costs, strict=True)]
    slopes = _slopes(parts, costs, len(high))
    fills = np.zeros_like(slopes)
    streamed = min((max(part.beta, 0.0) for part in parts if part.table.mode == STREAMED), default=0.0)
    # All of a slope for outputs, or what exceeds a streamed output's cost for filled arrays.
    split = np.minimum(slopes, streamed), np.maximum(slopes - streamed, 0.0)
    slopes, fills = (
        split if streamed == 0 else (np.append(a, b, axis=0) for a, b in zip((slopes, fills), split, strict=True))
    )
    terms = [_term(*each, slopes, fills) for each in zip(parts, costs, reach, strict=True)]
    # One more part, that of a tier not used: does nothing and costs nothing.
    all_terms = np.concatenate([np.stack(terms), np.zeros((1, *slopes.shape))])
    all_reach = np.concatenate([np.stack(reach), np.zeros((1, len(high)), np.int64)])
    streamed_reach = all_reach * np.array([[cost is None] for cost in costs] + [[True]])
    able = all_reach[sets].sum(axis=1) >= total
    filled = _fill(parts, sets, total - streamed_reach[sets].sum(axis=1), total)
    value = slopes * total + fills * filled[:, None, :]
    for tier in range(sets.shape[1]):
        value += all_terms[sets[:, tier]]
    tails = np.array([*(float(part.table.tail_ps) for part in parts), np.inf])
    least = value.max(axis=1) + per_tail_ps * tails[sets].min(axis=1)[:, None]
    return np.where(able, least, np.inf)


def _fill(parts: list[Part], sets: Ints, rest: Ints, total: int) -> Ints:
    """[set, cell]: the least that filled arrays of a set's parts can do that is no less than `rest`."""
    # Parts of a tier have the same rows: sets that differ in how weights get there fill alike.
    arrays = [
        [part.table.tier if part.table.mode != STREAMED else -1 for part in parts][i] if i >= 0 else -1
        for i in sets.ravel()
    ]
    keys = np.array(arrays, np.int64).reshape(sets.shape)
    filled = np.zeros_like(rest)
    for key in np.unique(keys, axis=0):
        mine = np.all(keys == key, axis=1)
        one_each = [next(p for p in parts if p.table.tier == tier) for tier in key.tolist() if tier >= 0]
        sums = _sums(one_each, total)
        filled[mine] = sums[np.minimum(np.searchsorted(sums, rest[mine]), len(sums) - 1)]
    return filled


def _sums(parts: list[Part], total: int) -> Ints:
    """What filled arrays of the parts can do together, ascending; a superset of it where that would be long."""
    sums = np.zeros(1, np.int64)
    for part in parts:
        own = np.unique(part.filled).astype(np.int64)
        if len(sums) * len(own) > SUMS:
            step = int(np.gcd(np.gcd.reduce(sums), np.gcd.reduce(own)))
            return np.arange(0, 2 * total + step, step, dtype=np.int64)
        sums = np.unique(np.concatenate([sums, (sums[:, None] + own[None, :]).ravel()]))
    return sums


def _costs(part: Part, within: Ints) -> Floats:
    """[end of interval, cell]: G."""
    column = first_copies(part.table.floor_latency_ps[part.first], within)
    return np.take_along_axis(part.cost, np.tile(column, (len(part.cost) // len(column), 1)), axis=1)


def _reach(part: Part, cost: Floats | None, within: Ints) -> Ints:
    """[cell]: the most outputs that the part can do in time and within the tier."""
    if cost is None:
        row = np.searchsorted(part.table.fastest_ps, within, side="right")
        return np.where(row > 0, part.table.outputs[np.maximum(row, 1) - 1], 0)
    able = np.isfinite(cost[-len(part.last) :])
    row = np.where(able.any(axis=0), len(able) - able[::-1].argmax(axis=0), 0)
    return np.where(row > 0, part.table.outputs[part.last[np.maximum(row, 1) - 1]], 0)


def _slopes(parts: list[Part], costs: list[Floats | None], cells: int) -> Floats:
    """[try, cell]: costs of one more output of a part: between its least, middle and most outputs; and 0."""
    every = np.arange(cells)
    result: list[Floats] = [np.zeros(cells)]
    for part, cost in zip(parts, costs, strict=True):
        if cost is None:
            result.append(np.full(cells, max(part.beta, 0.0)))
            continue
        rows = len(cost) - len(part.last)
        last = np.maximum(np.isfinite(cost[rows:]).sum(axis=0) - 1, 0)
        at = [rows + 0 * last, rows + last // 2, rows + last]
        points = [(np.zeros(cells), np.zeros(cells)), (part.outputs[0] + np.zeros(cells), cost[0])]
        points += [(part.outputs[row], np.where(np.isfinite(cost[row, every]), cost[row, every], 0.0)) for row in at]
        for i, j in ((0, 4), (1, 4), (3, 4), (2, 3)):
            run = np.maximum(points[j][0] - points[i][0], 1.0)
            rise = points[j][1] - points[i][1]
            result.append(np.where(np.isfinite(rise), np.maximum(rise / run, 0.0), 0.0))
    slopes = np.stack(result)
    return slopes[np.append(True, slopes[1:].any(axis=1))]


def _term(part: Part, cost: Floats | None, reach: Ints, slopes: Floats, fills: Floats) -> Floats:
    """[try, cell]: the least of G(n) - nu n - kappa u(n) over the outputs n >= 1 that the part can do in time."""
    if cost is None:
        term = part.alpha + (part.beta - slopes) * np.where(slopes > part.beta, reach, part.outputs[0])
        return np.where(reach > 0, term, np.inf)
    result = np.empty_like(slopes)
    for i, (nu, kappa) in enumerate(zip(slopes, fills, strict=True)):
        left = cost - kappa * part.filled[:, None] if kappa.any() else cost
        result[i] = (left - nu * part.outputs[:, None] if nu.any() else left).min(axis=0)
    return result
