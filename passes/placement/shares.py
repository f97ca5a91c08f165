"""Splits that are given, not sought: `equal`, H3PIMAP's baseline, and `random:SEED`, of which its figure 7 has 100."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .problem import Floats, Ints
from .splits import Splits, Splitter, whole_outputs


def equal_split(splitter: Splitter) -> Splits:
    """Each operator's outputs shared equally by the tiers that take it, within one granule."""
    return split_by(splitter, lambda members, tiers: np.ones((members, tiers)))


def random_split(splitter: Splitter, seed: int) -> Splits:
    """Each operator's outputs shared at random: uniform over all shares that add up to one, drawn by operator."""
    draw = np.random.default_rng(seed)
    return split_by(splitter, lambda members, tiers: draw.dirichlet(np.ones(tiers), members))


def whole_split(splitter: Splitter, tier: int) -> Splits:
    """Each operator whole on `tier`, if it may use it; else on the first that it may use."""
    result: list[Ints] = []
    for site in splitter.sites:
        outputs = np.zeros((len(site.members), len(splitter.problem.tiers)), np.int64)
        outputs[:, tier if tier in site.tiers else site.tiers[0]] = site.family.outputs
        result.append(outputs)
    return tuple(result)


def split_by(splitter: Splitter, shares: Callable[[int, int], Floats]) -> Splits:
    """The splits that `shares(members, tiers)`, an array [member, tier] for each site, rounds to."""
    result: list[Ints] = []
    for site in splitter.sites:
        wanted = shares(len(site.members), len(site.tiers))
        outputs = np.zeros((len(site.members), len(splitter.problem.tiers)), np.int64)
        outputs[:, site.tiers] = whole_outputs(wanted, site.family.outputs // site.granule) * site.granule
        result.append(outputs)
    return tuple(result)
