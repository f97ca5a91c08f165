"""A lower bound that holds for every plan of the plan space, not only for the options enumerated.

By `relaxation`, at any prices of arrays a plan costs at least the sum of what each operator costs at those prices, plus
a constant. Here each operator's cost is bounded from below over *all* its plans: any outputs, copies, tiers, rounds.

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
costs, where the best ones must lie. Cells tile all times; those whose bound is below the target are cut finer, and what
is still below it then is looked into by module `boxes`, where outputs add up exactly and reads follow an order.

All n between two rows of a table, n_1 < n <= n_2, are covered by the two ends n_1 + 1 granule and n_2, both with the
copies and the arrays that n_1 + 1 granule needs: time and arrays never fall as outputs grow, energy and shared time are
concave there (in practice linear, but for rounding, which is taken off), and of a concave G(n) - nu n an end is the
least. Copies beyond the distinct ones cost no less (`tables.Pricer`).
Under a budget of loss, each line below the loss (module `loss_curve`) adds a cost an output to every part, and an
offset to the whole; lines are tried like the other multipliers. A line is of all rounds together: with more than one
round the same line holds in each.
For r rounds, (r - 1) full rounds and the last each cost at least their own bound, with rewritten arrays at 1/r of their
price (the pool is held once) and resident ones at the full price (each round has its own).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .boxes import ARRAY_PARTS, INTERVALS, Boxes, BoxSearch, Reads, Variant, search
from .parts import Part, Prices, part_at, part_sets
from .problem import STREAMED, Family, Floats, Ints
from .tables import first_copies

LEVELS = ((32, 16), (8, 64))
"""For each level into how many cells each cell is cut, and the most rows of a table that are looked at."""
BOXES = (200, 3000)
"""The levels after these look into cells, with all rows (module `boxes`): at most at so many boxes for an operator in
one round, and fewer the more rounds there are."""
DEPTH = len(LEVELS) + len(BOXES)
MANY_ROWS = (8, 256)
"""One more level, before cells are looked into, where they would be looked into with fewer rows."""
MOST_CELLS = 64
"""More cells than these are not cut."""
SETTLED = 3
"""Families of more rounds are bounded no better than those before them; of others all open times are wanted."""
WORTH = 0.02
"""Shared resources are looked at where their time can be such a share of the target."""
MUCH = 0.3
"""The same within cells, where boxes know of reads."""
ROWS = 2**30
"""Within cells all rows of a table are looked at."""
THETAS = (1.0, 0.5, 0.75, 0.25)
SUMS = 4096
"""Sums of filled outputs are listed where there are at most so many."""


@dataclass(frozen=True)
class OperatorBound:
    """A lower bound, and where a plan below the target may yet be: for each family, times [lo, hi) of a round."""

    value: float
    open: tuple[tuple[Ints, Ints], ...]


def operator_bound(
    families: tuple[Family, ...], prices: Prices, target: float, enough: float, depth: int = DEPTH
) -> OperatorBound:
    """At most what any plan of the operator costs at `prices`, and at most `target`.

    Refining stops when what is left to gain is at most `enough`. Depth 1 and 2 cut time into cells, deeper ones look
    into them.
    """
    least, cells = target, list[tuple[Ints, Ints]]()
    for family in families:
        if family.rounds > 1 and len(prices.losses) > 1:
            value, open_ = _by_line(family, prices, target, enough, depth)
            least = min(least, value)
            cells.append(open_)
            continue
        share = 1 / family.rounds
        # What a family before this one leaves open, this one need not settle.
        slack = max(enough, target - least) if family.rounds > SETTLED else enough
        full, open_ = _round_bound(family, family.outputs, prices, target * share, slack * share, depth)
        value = full
        if family.rounds > 1:
            last = full
            if family.last != family.outputs:
                last, _ = _round_bound(family, family.last, prices, target * share, slack * share, depth)
            value = full * (family.rounds - 1) + last
        least = min(least, value)
        cells.append(open_)
    return OperatorBound(least, tuple(cells))


def _by_line(
    family: Family, prices: Prices, target: float, enough: float, depth: int
) -> tuple[float, tuple[Ints, Ints]]:
    """The bound of several rounds whose loss is that of all their outputs: the greatest of those of single lines."""
    found: list[tuple[float, tuple[Ints, Ints]]] = []
    for line in prices.losses:
        own = replace(prices, losses=(replace(line, offset=0.0),))
        one = operator_bound((family,), own, target - line.offset, enough, depth)
        found.append((one.value + line.offset, one.open[0]))
        if found[-1][0] >= target - enough:
            break
    return max(found, key=lambda each: each[0])


def _round_bound(
    family: Family, total: int, prices: Prices, target: float, enough: float, depth: int
) -> tuple[float, tuple[Ints, Ints]]:
    """The bound of one round of `total` outputs, at most `target`; the cells that are lower by more than `enough`."""
    low, high = _first_cell(family, total, prices, target)
    thetas = _thetas(family, prices, int(low[0]), target)
    tries = [(theta, line) for theta in thetas for line in prices.losses]
    levels = LEVELS[:depth]
    if depth > len(LEVELS) and any(len(t.outputs) > INTERVALS for t in family.tables if t.mode != STREAMED):
        levels += (MANY_ROWS,)
    sets = part_sets(family.tables)
    least, of_sets = target, np.full((len(sets), len(low)), -np.inf)
    for level, (split, rows) in enumerate(levels):
        # What bounds a cell bounds all that it is cut into.
        low, high, within = _cut(low, high, max(1, min(split, MOST_CELLS // len(low))))
        of_sets = of_sets[:, within]
        for theta, line in tries[: len(prices.losses)] if level == 0 else tries:
            open_ = of_sets < target - enough
            at, some = np.flatnonzero(open_.any(axis=0)), np.flatnonzero(open_.any(axis=1))
            if not len(at):
                break
            used = np.unique(sets[some][sets[some] >= 0])
            parts = [part_at(family.tables[i], prices, family, theta, rows, line) for i in used.tolist()]
            mine = np.where(sets[some] >= 0, np.searchsorted(used, sets[some]), -1)
            fixed = prices.per_ps * (1 - theta.sum()) * low[at] + line.offset
            bounds = _set_bounds(parts, mine, total, high[at], prices.per_ps * theta[0]) + fixed
            of_sets[np.ix_(some, at)] = np.maximum(of_sets[np.ix_(some, at)], bounds)
        best = of_sets.min(axis=0)
        open_ = best < target - enough
        least = min(least, float(best[~open_].min(initial=np.inf)))
        low, high, of_sets = low[open_], high[open_], of_sets[:, open_]
        if not len(low):
            return least, (low, high)
    if depth > len(LEVELS):
        every = [
            ([part_at(table, prices, family, theta, ROWS, line) for table in family.tables], theta, line.offset)
            for theta in _thetas(family, prices, int(low[0]), target, MUCH)
            if theta.sum() in (0, 1)
            for line in prices.losses
        ]
        most = BOXES[depth - len(LEVELS) - 1] // min(family.rounds, 4)
        bound, cells = _boxed(every, sets, total, prices, (low, high, of_sets), target, enough, most)
        return min(least, bound), cells
    return min(least, float(of_sets.min())), (low, high)


def _boxed(
    variants: list[Variant],
    sets: Ints,
    total: int,
    prices: Prices,
    cells: tuple[Ints, Ints, Floats],
    target: float,
    enough: float,
    most: int,
) -> tuple[float, tuple[Ints, Ints]]:
    """The bound of cells [low, high) with bounds of each set of parts, by looking into those below the target."""
    low, high, bounds = cells
    reads = [Reads(part) for part in variants[0][0]]
    searches: dict[int, BoxSearch] = {}
    boxes: dict[int, Boxes] = {}
    least, left = np.inf, np.zeros(len(low), np.bool_)
    for s, chosen in enumerate(sets.tolist()):
        used = [i for i in chosen if i >= 0]
        open_ = bounds[s] < target - enough
        arrays = sum(variants[0][0][i].table.mode != STREAMED for i in used)
        if arrays > ARRAY_PARTS:
            left |= open_
            open_ = np.zeros_like(open_)
        least = min(least, float(bounds[s][~open_].min(initial=np.inf)))
        if open_.any():
            searches[s] = BoxSearch(variants, used, reads, total, prices, target - enough)
            boxes[s] = searches[s].start(low[open_], high[open_], bounds[s][open_])
    if not boxes:
        return least, (low[left], high[left])
    found = search(searches, boxes, target, enough, most)
    times = np.unique(np.stack([np.append(low[left], found.low), np.append(high[left], found.high)]), axis=1)
    return min(least, found.bound), (times[0], times[1])


def _first_cell(family: Family, total: int, prices: Prices, target: float) -> tuple[Ints, Ints]:
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


def _thetas(family: Family, prices: Prices, start: int, target: float, worth: float = WORTH) -> list[Floats]:
    """Weights of shared resources to try: none, and shares of each that can take longer than the fastest round."""
    shared = family.tables[0].shared_ps.shape[0]
    result = [np.zeros(shared)]
    for s in range(shared):
        longest = max(int(t.shared_ps[s].max()) for t in family.tables)
        if longest > start and prices.per_ps * longest > worth * target:
            result += [theta * np.eye(shared)[s] for theta in THETAS]
    return result


def _cut(low: Ints, high: Ints, split: int) -> tuple[Ints, Ints, Ints]:
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


def _set_bounds(parts: list[Part], sets: Ints, total: int, high: Ints, per_tail_ps: float) -> Floats:
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
