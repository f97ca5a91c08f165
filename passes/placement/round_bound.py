"""The bound of one round of an operator, made better as far as is asked.

Cells tile all times (module `cells`). Those whose bound is below a goal are cut finer; what is still below it then is
looked into by module `boxes`, where outputs add up exactly and reads follow an order. What was found is kept: a look
with a lower goal, or a longer one, goes on from there.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .boxes import ARRAY_PARTS, INTERVALS, BoxSearch, OpenBoxes, Reads, Variant
from .cells import cut, first_cells, set_bounds, thetas
from .parts import Prices, part_at, part_sets
from .problem import STREAMED, Family, Floats, Ints

LEVELS = ((32, 16), (8, 64))
"""For each level into how many cells each cell is cut, and the most rows of a table that are looked at."""
MANY_ROWS = (8, 256)
"""One more level, before cells are looked into, where they would be looked into with fewer rows."""
MOST_CELLS = 64
"""More cells than these are not cut."""
MUCH = 0.3
"""Within cells shared resources are looked at where their time can be such a share of the target."""
ROWS = 2**30
"""Within cells all rows of a table are looked at."""


class RoundBound:
    """A lower bound of what one round of `total` outputs costs at `prices`, at most `target`."""

    def __init__(self, family: Family, total: int, prices: Prices, target: float) -> None:
        self.family, self.total, self.prices, self.target = family, total, prices, target
        self.low, self.high = first_cells(family, total, prices, target)
        self.start = int(self.low[0])
        self.sets = part_sets(family.tables)
        if family.rounds > 1:
            self.sets = self.sets[family.rewrites(self.sets)]
        self.of_sets: Floats = np.full((len(self.sets), len(self.low)), -np.inf)
        """[set, cell]: bounds; infinite where the set's plans of the cell are in boxes."""
        self.boxes = OpenBoxes()
        self.idle = (-np.inf, np.inf)
        """Goal and `enough` of a look that changed nothing."""
        self.level = 0
        self.levels = LEVELS
        if any(len(t.outputs) > INTERVALS for t in family.tables if t.mode != STREAMED):
            self.levels += (MANY_ROWS,)

    @property
    def value(self) -> float:
        """The bound so far."""
        return min(self.target, float(self.of_sets.min()), self.boxes.bound)

    def settled(self, goal: float, enough: float) -> bool:
        """Whether a look with these would change nothing."""
        stuck = self.boxes.stuck is not None and self.boxes.stuck <= enough
        return self.value >= goal or stuck or (self.idle[0] >= goal and self.idle[1] <= enough)

    def below(self, goal: float) -> tuple[Ints, Ints]:
        """Times [lo, hi) at which a plan may cost less than `goal`."""
        open_ = self.of_sets.min(axis=0) < goal
        low, high = self.boxes.below(goal)
        both = np.stack([np.append(self.low[open_], low), np.append(self.high[open_], high)])
        times: Ints = np.unique(both, axis=1)
        return times[0], times[1]

    def cut(self, levels: int, goal: float) -> None:
        """Cuts cells whose bound is below `goal`, up to a level."""
        while self.level < min(levels, len(self.levels)):
            self._cut(*self.levels[self.level], goal)
            self.level += 1

    def look(self, most: int, goal: float, enough: float) -> int:
        """Looks into cells below `goal` by about `most` boxes more; how many these were.

        A box that can gain less than a share of `enough` is not halved.
        """
        self.cut(len(self.levels), goal)
        entered = self._enter(goal)
        made = entered + self.boxes.halve(goal, enough, most - entered)
        if made == 0:
            self.idle = (goal, enough)
        return made

    def _cut(self, split: int, rows: int, goal: float) -> None:
        family, prices = self.family, self.prices
        open_ = self.of_sets.min(axis=0) < goal
        if not open_.any():
            return
        # What bounds a cell bounds all that it is cut into.
        low, high, within = cut(self.low[open_], self.high[open_], max(1, min(split, MOST_CELLS // int(open_.sum()))))
        bounds = self.of_sets[:, open_][:, within]
        tries = [(theta, line) for theta in self._thetas for line in prices.losses]
        for theta, line in tries[: len(prices.losses)] if self.level == 0 else tries:
            below = bounds < goal
            at, some = np.flatnonzero(below.any(axis=0)), np.flatnonzero(below.any(axis=1))
            if not len(at):
                break
            used = np.unique(self.sets[some][self.sets[some] >= 0])
            parts = [part_at(family.tables[i], prices, family, theta, rows, line) for i in used.tolist()]
            mine = np.where(self.sets[some] >= 0, np.searchsorted(used, self.sets[some]), -1)
            fixed = prices.per_ps * (1 - theta.sum()) * low[at] + line.offset
            found = set_bounds(parts, mine, self.total, high[at], prices.per_ps * theta[0]) + fixed
            bounds[np.ix_(some, at)] = np.maximum(bounds[np.ix_(some, at)], found)
        self.low, self.high = np.append(self.low[~open_], low), np.append(self.high[~open_], high)
        self.of_sets = np.append(self.of_sets[:, ~open_], bounds, axis=1)

    def _enter(self, goal: float) -> int:
        """Makes boxes of the cells below `goal`, as far as there can be; how many these are."""
        below, count = self.of_sets < goal, 0
        for s in np.flatnonzero(below.any(axis=1)).tolist():
            used = [i for i in self.sets[s].tolist() if i >= 0]
            if sum(self.family.tables[i].mode != STREAMED for i in used) > ARRAY_PARTS:
                continue
            search = self.boxes.searches.get(s) or BoxSearch(self._variants, used, self._reads, self.total, self.prices)
            now = below[s]
            search.goal = goal
            self.boxes.add(s, search, search.start(self.low[now], self.high[now], self.of_sets[s, now]))
            self.of_sets[s, now] = np.inf
            count += int(now.sum())
        return count

    @cached_property
    def _thetas(self) -> list[Floats]:
        return thetas(self.family, self.prices, self.start, self.target)

    @cached_property
    def _variants(self) -> list[Variant]:
        family, prices = self.family, self.prices
        return [
            ([part_at(table, prices, family, theta, ROWS, line) for table in family.tables], theta, line.offset)
            for theta in thetas(family, prices, self.start, self.target, MUCH)
            if theta.sum() in (0, 1)
            for line in prices.losses
        ]

    @cached_property
    def _reads(self) -> list[Reads]:
        return [Reads(part) for part in self._variants[0][0]]
