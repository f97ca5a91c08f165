"""A tree of leaves of throughput's relaxation: boxes of scratch pools cut further by rules.

The relaxation mixes options of an operator; each half of a leaf, by a rule (module `rules`) or of its box, allows less
of that. As halves cover all plans of what they are cut from, the least bound of the leaves holds for all plans.
"""

from __future__ import annotations

import heapq
from dataclasses import replace

import numpy as np

from .periods import Leaf, Relaxation
from .problem import Ints

TRIED, SLOW = 8, 0.3
"""A tree is left after so many cuts if its least value has risen less than by this share of what it should have."""


def grown(relaxation: Relaxation, leaves: list[Leaf], goal: float, most: int) -> tuple[list[Leaf], Ints]:
    """Leaves that cover what `leaves` do, the least value first, cut where that is least until it is `goal` ps or there
    are `most`, or the least rises too slowly to get there; and the options of the solutions on the way, as columns of
    the pool, those of most solutions first.
    """
    open_ = [(leaf.value, i, leaf) for i, leaf in enumerate(leaves)]
    heapq.heapify(open_)
    start = open_[0][0]
    done, used, made = list[Leaf](), dict[tuple[int, int], int](), len(leaves)
    while open_ and len(open_) + len(done) < most and not relaxation.late():
        value, _, leaf = open_[0]
        cuts = len(open_) + len(done) - len(leaves)
        if value >= goal or (cuts >= TRIED and value - start < SLOW * (goal - start) * cuts / (most - len(leaves))):
            break
        heapq.heappop(open_)
        for key in zip(leaf.kinds.tolist(), leaf.options.tolist(), strict=True):
            used[key] = used.get(key, 0) + 1
        halves = leaf.halves(relaxation.pool)
        if halves is None:
            done.append(leaf)
            continue
        for half in halves:
            child = relaxation.solved(half)
            if child is not None:
                # What bounds a leaf bounds its halves.
                child = replace(child, value=max(child.value, value))
                heapq.heappush(open_, (child.value, made, child))
                made += 1
    every = sorted([*done, *(leaf for _, _, leaf in open_)], key=lambda leaf: leaf.value)
    often = sorted(used, key=lambda key: (-used[key], key))
    return every, np.array([relaxation.pool.start[k] + option for k, option in often], np.int64)
