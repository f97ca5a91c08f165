"""`row-remap`: the second stage of H3PIMAP (arXiv 2503.07778v2): outputs move to cleaner tiers until quality holds.

As published: the shares of all operators become one distribution over all outputs of the model, sorted by sensitivity;
the most sensitive ones are on the cleanest tier. Step by step outputs move from the noisiest tier that still has some
to the cleanest that is not yet full, until the quality is good enough. Cost is not looked at. The published step is not
given; its figures show about 85 steps for 8.7 % of the outputs, so a step is 0.1 % of all.

Quality is predicted: an output with sensitivity s on a tier of noise v adds v s to the loss (noise adds up). In each
operator, too, the most sensitive outputs are on the cleanest tier.

An output whose operator may not use the tier that is its turn stays at the next noisier one that it may use (or, if
there is none, the next cleaner one). A tier is full when another step to it would need more arrays than the chip has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import Floats, Ints, PlacementError
from .splits import Site, Splits, Splitter

STEP = 1e-3
"""Share of all outputs that one step moves."""


@dataclass(frozen=True)
class Sensitivities:
    """What quality depends on.

    `noise[t]` is the loss per unit of sensitivity on tier t; `outputs[i]` are the sensitivities of the outputs of the
    operator at position i of the program, those that are not named do not count and do not move. `budget` is the loss
    allowed. The unit of loss is the user's own.
    """

    noise: Floats
    outputs: dict[int, Floats]
    budget: float

    @property
    def ranked(self) -> Ints:
        """Tiers from the cleanest to the noisiest; those of equal noise in the chip's order."""
        return np.argsort(self.noise, kind="stable")


@dataclass(frozen=True)
class Remapped:
    """Where `remap` ended: the splits, the loss predicted at the start and after each step."""

    splits: Splits
    losses: tuple[float, ...]


class LossModel:
    """The predicted loss of splits."""

    def __init__(self, splitter: Splitter, sensitivities: Sensitivities) -> None:
        self.splitter, self.sensitivities = splitter, sensitivities
        self.ranked = sensitivities.ranked
        self.sums: list[list[Floats | None]] = [
            [self._sums(site, position) for position in site.members] for site in splitter.sites
        ]

    def _sums(self, site: Site, position: int) -> Floats | None:
        """[n]: the sensitivity of the n most sensitive outputs together."""
        own = self.sensitivities.outputs.get(position)
        if own is None:
            return None
        total = (site.family.rounds - 1) * site.family.outputs + site.family.last
        if len(own) != total:
            raise PlacementError(f"sensitivities: expected {total} for operator {position}, got {len(own)}")
        return np.append(0.0, np.cumsum(np.sort(own)[::-1]))

    def loss(self, splits: Splits) -> Floats:
        """[plan]: the predicted loss of splits with a leading axis of plans."""
        result = np.zeros(len(splits[0]))
        noise = self.sensitivities.noise[self.ranked]
        for site, sums, outputs in zip(self.splitter.sites, self.sums, splits, strict=True):
            for member, own in enumerate(sums):
                if own is not None:
                    ends = np.cumsum(outputs[:, member, self.ranked] * site.family.rounds, axis=1)
                    parts = np.diff(own[np.minimum(ends, len(own) - 1)], axis=1, prepend=0.0)
                    result += parts @ noise
        return result


def remap(splitter: Splitter, sensitivities: Sensitivities, start: Splits, step: float = STEP) -> Remapped:
    """The splits after as few steps from `start` (no leading axis) as meet the budget; the first makes it global."""
    model = LossModel(splitter, sensitivities)
    pool = _Pool(splitter, sensitivities)

    def loss(splits: Splits) -> float:
        return float(model.loss(as_plans(splits))[0])

    splits, losses = start, [loss(start)]
    if losses[0] > sensitivities.budget:
        splits = pool.splits(pool.held(start), start)
        losses.append(loss(splits))
    held, full = pool.held(start), pool.unusable
    amount = max(1, round(step * len(pool)))
    while losses[-1] > sensitivities.budget:
        move = _next_move(held, full, amount)
        if move is None:
            raise PlacementError(
                f"expected a predicted loss of at most {sensitivities.budget:.4g}, "
                f"moving outputs to cleaner tiers reaches {min(losses):.4g}"
            )
        moved = pool.splits(held + move, start)
        if splitter.total(as_plans(moved)).excess[0]:
            full = full | (move > 0)
            continue
        held, splits = held + move, moved
        losses.append(loss(splits))
    return Remapped(splits, tuple(losses))


def _next_move(held: Ints, full: np.ndarray, amount: int) -> Ints | None:
    """Outputs from the noisiest tier that has some to the cleanest that is not full; None if these are one."""
    noisiest = int(np.flatnonzero(held)[-1])
    open_ = np.flatnonzero(~full[:noisiest])
    if not len(open_):
        return None
    move = np.zeros_like(held)
    moved = min(amount, int(held[noisiest]))
    move[noisiest], move[open_[0]] = -moved, moved
    return move


def as_plans(splits: Splits) -> Splits:
    """One plan with the leading axis that prices want."""
    return tuple(outputs[None] for outputs in splits)


class _Pool:
    """All outputs with sensitivities (of a full round, in granules), the most sensitive first. Tiers by rank."""

    def __init__(self, splitter: Splitter, sensitivities: Sensitivities) -> None:
        self.splitter, self.ranked = splitter, sensitivities.ranked
        self.owners: list[tuple[int, int]] = []
        values: list[Floats] = []
        owner: list[Ints] = []
        for s, site in enumerate(splitter.sites):
            for member, position in enumerate(site.members):
                own = sensitivities.outputs.get(position)
                if own is not None:
                    granules = site.family.outputs // site.granule
                    # The sensitivity of a granule: its share of the operator's outputs, sorted.
                    in_order = np.array([chunk.sum() for chunk in np.array_split(np.sort(own)[::-1], granules)])
                    values.append(in_order)
                    owner.append(np.full(granules, len(self.owners)))
                    self.owners.append((s, member))
        if not values:
            raise PlacementError("sensitivities: expected some for at least one operator, got none")
        order = np.argsort(-np.concatenate(values), kind="stable")
        self.owner = np.concatenate(owner)[order]
        used = np.unique(np.concatenate([splitter.sites[s].tiers for s, _ in self.owners]))
        self.unusable = ~np.isin(self.ranked, used)
        self.places = np.stack([self._place(site, len(self.ranked)) for site in splitter.sites])

    def __len__(self) -> int:
        return len(self.owner)

    def _place(self, site: Site, tiers: int) -> Ints:
        """[rank]: the rank where an operator's output goes whose turn is this rank."""
        usable = np.isin(self.ranked, site.tiers)
        noisier = [next((r for r in range(rank, tiers) if usable[r]), -1) for rank in range(tiers)]
        last = int(np.flatnonzero(usable)[-1])
        return np.array([last if r < 0 else r for r in noisier], np.int64)

    def held(self, splits: Splits) -> Ints:
        """[rank]: granules on each tier."""
        held = np.zeros(len(self.ranked), np.int64)
        for s, member in self.owners:
            held += splits[s][member, self.ranked] // self.splitter.sites[s].granule
        return held

    def splits(self, held: Ints, start: Splits) -> Splits:
        """The distribution `held`, the most sensitive outputs on the cleanest tier; other operators as at `start`."""
        ranks = np.repeat(np.arange(len(held)), held)
        result = tuple(outputs.copy() for outputs in start)
        site_of = np.array([s for s, _ in self.owners])[self.owner]
        landed = self.places[site_of, ranks]
        counts = np.zeros((len(self.owners), len(held)), np.int64)
        np.add.at(counts, (self.owner, landed), 1)
        for (s, member), own in zip(self.owners, counts, strict=True):
            result[s][member, self.ranked] = own * self.splitter.sites[s].granule
        return result
