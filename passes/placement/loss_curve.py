"""The predicted loss of one operator by how many outputs each tier takes, its outputs put where they harm least.

An output of group g adds `by_group[t, g]` on tier t. With n_t outputs on tier t the least loss is a transportation
problem. By its dual it is the greatest, over prices u of a tier's places, of

    u . n + sum over outputs of min_t (by_group[t, g] - u_t),

so it is convex in n, every u gives a line below it, and the greatest is reached at one of the finitely many u where
the tiers are tied together by outputs that could as well be on either of two (vertices). Those are listed: one
product of matrices then gives the exact loss of any number of splits, and each vertex a line that bounds the loss of
every split from below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

import numpy as np

from .problem import Bools, Floats, Ints

TRIES = 30_000
"""Groups are told apart where the candidates for vertices are no more."""
TIED = 1e-9
"""Relative difference of losses that are the same."""
BLOCK = 4_000_000
"""Products of splits and vertices at a time."""


@dataclass(frozen=True)
class LossCurve:
    """`by_group` [tier, group]: what an output adds, infinite for a tier that may take none; `group_of` [output]."""

    by_group: Floats
    group_of: Ints

    @staticmethod
    def of(by_output: Floats, ordered: bool) -> LossCurve:
        """The curve of losses [tier, output].

        Outputs that have to stay `ordered` count with their mean. Where more groups than a curve can tell apart differ,
        outputs of similar losses count with theirs.
        """
        finite: Bools = np.all(np.isfinite(by_output), axis=1)
        known = by_output[finite]
        group = np.zeros(by_output.shape[1], np.int64) if ordered else _grouped(known)
        by_group = np.full((len(by_output), int(group.max()) + 1), np.inf)
        by_group[finite] = np.stack([np.bincount(group, row) for row in known]) / np.bincount(group)
        return LossCurve(by_group, group)

    @property
    def able(self) -> Ints:
        """Tiers that may take outputs."""
        return np.flatnonzero(np.isfinite(self.by_group[:, 0]))

    @cached_property
    def sizes(self) -> Ints:
        """Outputs in each group."""
        return np.bincount(self.group_of)

    @cached_property
    def lines(self) -> tuple[Floats, Floats]:
        """([vertex, tier], [vertex]): slopes, at least 0, and offsets of lines below the loss; 0 for tiers not able."""
        able = self.able
        own = self.by_group[able]
        tied = _vertices(own)
        offsets = (own[None] - tied[:, :, None]).min(axis=1) @ self.sizes
        # All outputs are somewhere: what is taken off every slope goes to the offset.
        least = tied.min(axis=1)
        slopes = np.zeros((len(tied), len(self.by_group)))
        slopes[:, able] = tied - least[:, None]
        return slopes, offsets + least * len(self.group_of)

    def least(self, outputs: Ints) -> Floats:
        """The least loss of splits [.., tier]; infinite where a tier that may not takes some."""
        flat = outputs.reshape(-1, outputs.shape[-1])
        slopes, offsets = self.lines
        found = np.empty(len(flat))
        rows = max(1, BLOCK // len(slopes))
        for start in range(0, len(flat), rows):
            found[start : start + rows] = (flat[start : start + rows] @ slopes.T + offsets).max(axis=1)
        barred = (flat[:, ~np.isfinite(self.by_group[:, 0])] > 0).any(axis=1)
        return np.where(barred, np.inf, np.maximum(found, 0.0)).reshape(outputs.shape[:-1])

    def line_at(self, outputs: Floats) -> tuple[Floats, float]:
        """The slopes [tier] and the offset of a line below the loss that meets it at a split (real numbers)."""
        slopes, offsets = self.lines
        at = int(np.argmax(slopes @ outputs + offsets))
        return slopes[at], float(offsets[at])

    def assign(self, outputs: Ints) -> Ints:
        """[tier, group]: how many outputs of each group each tier takes in a split [tier] of least loss."""
        from ortools.linear_solver import pywraplp

        solver = pywraplp.Solver.CreateSolver("GLOP")
        scale = float(self.by_group[self.able].max()) or 1.0
        taken = {
            (t, g): solver.NumVar(0.0, float(size), "")
            for t in np.flatnonzero(outputs).tolist()
            for g, size in enumerate(self.sizes.tolist())
        }
        for (t, g), variable in taken.items():
            solver.Objective().SetCoefficient(variable, float(self.by_group[t, g]) / scale)
        for axis, amounts in enumerate((outputs, self.sizes)):
            for i, amount in enumerate(amounts.tolist()):
                row = solver.Constraint(float(amount), float(amount))
                for key, variable in taken.items():
                    if key[axis] == i:
                        row.SetCoefficient(variable, 1.0)
        solver.Objective().SetMinimization()
        if solver.Solve() != pywraplp.Solver.OPTIMAL:
            raise ValueError(f"expected a split of {len(self.group_of)} outputs, got {outputs.tolist()}")
        found = np.zeros(self.by_group.shape, np.int64)
        for key, variable in taken.items():
            found[key] = round(variable.solution_value())
        return found


def _grouped(mean: Floats) -> Ints:
    """[unit]: groups of units whose losses on all tiers are alike, numbered by first appearance."""
    scale = float(mean.max(initial=0.0)) or 1.0
    exact = np.unique(np.round(mean / (TIED * scale)), axis=1, return_inverse=True)[1].reshape(-1)
    most = _most_groups(len(np.unique(mean, axis=0)))
    if exact.max() + 1 > most:
        # By the sum over tiers: those next to each other differ least.
        order = np.argsort(mean.sum(axis=0), kind="stable")
        exact[order] = np.arange(len(order)) * most // len(order)
    _, first, numbered = np.unique(exact, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbered]


def _most_groups(tiers: int) -> int:
    """How many groups can be told apart on so many tiers that differ."""
    most = 1
    trees = max(tiers, 1) ** max(tiers - 2, 0)
    while tiers > 1 and trees * (most + 1) ** (tiers - 1) <= TRIES:
        most += 1
    return most


def _vertices(own: Floats) -> Floats:
    """[vertex, tier]: all prices at which tiers are tied by groups that are cheapest on both, the first tier's 0."""
    rows, place = np.unique(own, axis=0, return_inverse=True)
    place = place.reshape(-1)
    tiers, groups = rows.shape
    scale = float(rows.max()) or 1.0
    found = [np.zeros((1, tiers))] if tiers == 1 else []
    for tree in _trees(tiers):
        chosen = np.array(list(product(range(groups), repeat=tiers - 1)), np.int64).reshape(-1, tiers - 1)
        prices = np.zeros((len(chosen), tiers))
        for edge, (known, new) in enumerate(tree):
            g = chosen[:, edge]
            prices[:, new] = prices[:, known] + rows[new, g] - rows[known, g]
        left = (rows[None] - prices[:, :, None]).min(axis=1)
        tight = np.ones(len(chosen), np.bool_)
        for edge, (known, _) in enumerate(tree):
            g = chosen[:, edge]
            tight &= rows[known, g] - prices[:, known] <= left[np.arange(len(chosen)), g] + TIED * scale
        found.append(prices[tight])
    every = np.concatenate(found)
    keys = np.round(every / (TIED * scale))
    return every[np.unique(keys, axis=0, return_index=True)[1]][:, place]


def _trees(nodes: int) -> list[list[tuple[int, int]]]:
    """Every tree over `nodes` nodes, as edges (known, new) from node 0 on."""
    edges = list(combinations(range(nodes), 2))
    trees: list[list[tuple[int, int]]] = []
    for chosen in combinations(edges, nodes - 1) if nodes > 1 else ():
        tree, known = list[tuple[int, int]](), {0}
        while True:
            fresh = next(((a, b) if a in known else (b, a) for a, b in chosen if (a in known) != (b in known)), None)
            if fresh is None:
                break
            tree.append(fresh)
            known.add(fresh[1])
        if len(known) == nodes:
            trees.append(tree)
    return trees
