"""`row-remap`: the second stage of H3PIMAP (arXiv 2503.07778v2): outputs move to cleaner tiers until quality holds.

As published: the shares of all operators become one distribution over all outputs of the model, sorted by sensitivity;
the most sensitive ones are on the cleanest tier. Step by step outputs move from the noisiest tier that still has some
to the cleanest that is not yet full, until the quality is good enough. Cost is not looked at. The published step is not
given; its figures show about 85 steps for 8.7 % of the outputs, so a step is 0.1 % of all.

Quality is predicted (module `losses`): what outputs add to the loss on their tiers adds up. Tiers are ranked by what
they lose in all operators, as a share of what each loses at worst. Outputs are ranked by what they lose on the noisiest
tier beyond the cleanest; in each operator, too, the most sensitive ones are on the cleanest tier.

An output whose operator may not use the tier that is its turn stays at the next noisier one that it may use (or, if
there is none, the next cleaner one). A tier is full when another step to it would need more arrays than the chip has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .losses import Losses
from .problem import Floats, Ints, PlacementError
from .splits import Site, Splits, Splitter

STEP = 1e-3
"""Share of all outputs that one step moves."""


@dataclass(frozen=True)
class LossBudget:
    """What outputs lose, and the loss allowed, in the unit of the losses."""

    losses: Losses
    budget: float


@dataclass(frozen=True)
class Sensitivities:
    """Losses of rank one: an output of sensitivity s on a tier of noise v adds v s.

    `noise[t]` is the loss per unit of sensitivity on tier t; `outputs[i]` are the sensitivities of the outputs of the
    operator at position i of the program, those that are not named do not count and do not move. `budget` is the loss
    allowed. The unit of loss is the user's own.
    """

    noise: Floats
    outputs: dict[int, Floats]
    budget: float

    @property
    def limit(self) -> LossBudget:
        """The same by output and tier."""
        tables = {position: self.noise[:, None] * own for position, own in self.outputs.items()}
        return LossBudget(Losses(tables, "as given"), self.budget)


@dataclass(frozen=True)
class Remapped:
    """Where `remap` ended: the splits, the loss predicted at the start and after each step."""

    splits: Splits
    losses: tuple[float, ...]


def ranked_tiers(losses: Losses, tiers: int) -> Ints:
    """Tiers from the cleanest to the noisiest; those of equal losses in the chip's order."""
    shares = np.full((max(len(losses.by_output), 1), tiers), np.nan)
    for row, table in zip(shares, losses.by_output.values(), strict=False):
        sums = table.sum(axis=1)
        worst = sums[np.isfinite(sums)].max(initial=0.0)
        row[:] = np.where(np.isfinite(sums), sums / (worst or 1.0), np.nan)
    known = ~np.isnan(shares)
    mean = np.where(known, shares, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.argsort(np.where(known.any(axis=0), mean, np.inf), kind="stable")


def _falling(table: Floats, ranked: Ints) -> tuple[Floats, Floats]:
    """(sensitivities of an operator's outputs, falling; losses [rank, output] in that order).

    Losses on tiers that don't take the operator are 0, as nothing is there.
    """
    by_rank = table[ranked]
    usable = np.flatnonzero(np.isfinite(by_rank).all(axis=1))
    if not len(usable):
        raise PlacementError("losses: expected finite ones on at least one tier")
    value = by_rank[usable[-1]] - by_rank[usable[0]]
    order = np.argsort(-value, kind="stable")
    return value[order], np.where(np.isfinite(by_rank), by_rank, 0.0)[:, order]


class LossModel:
    """The predicted loss of splits."""

    def __init__(self, splitter: Splitter, losses: Losses) -> None:
        self.splitter, self.losses = splitter, losses
        self.ranked = ranked_tiers(losses, len(splitter.problem.tiers))
        self.sums = [[self._sums(site, position) for position in site.members] for site in splitter.sites]

    def _sums(self, site: Site, position: int) -> Floats | None:
        """[rank, n]: what the n most sensitive outputs lose together on the tier of each rank."""
        table = self.losses.by_output.get(position)
        if table is None:
            return None
        total = (site.family.rounds - 1) * site.family.outputs + site.family.last
        if table.shape[1] != total:
            raise PlacementError(f"losses: expected {total} for operator {position}, got {table.shape[1]}")
        return np.pad(np.cumsum(_falling(table, self.ranked)[1], axis=1), ((0, 0), (1, 0)))

    def loss(self, splits: Splits) -> Floats:
        """[plan]: the predicted loss of splits with a leading axis of plans."""
        result = np.zeros(len(splits[0]))
        for site, sums, outputs in zip(self.splitter.sites, self.sums, splits, strict=True):
            for member, own in enumerate(sums):
                if own is not None:
                    ends = np.cumsum(outputs[:, member, self.ranked] * site.family.rounds, axis=1)
                    ends = np.pad(np.minimum(ends, own.shape[1] - 1), ((0, 0), (1, 0)))
                    for rank, upto in enumerate(own):
                        result += upto[ends[:, rank + 1]] - upto[ends[:, rank]]
        return result


def remap(splitter: Splitter, limit: LossBudget, start: Splits, step: float = STEP) -> Remapped:
    """The splits after as few steps from `start` (no leading axis) as meet the budget; the first makes it global."""
    model = LossModel(splitter, limit.losses)
    pool = _Pool(splitter, limit.losses, model.ranked)

    def loss(splits: Splits) -> float:
        return float(model.loss(as_plans(splits))[0])

    splits, losses = start, [loss(start)]
    if losses[0] > limit.budget:
        splits = pool.splits(pool.held(start), start)
        losses.append(loss(splits))
    held, full = pool.held(start), pool.unusable
    amount = max(1, round(step * len(pool)))
    while losses[-1] > limit.budget:
        move = _next_move(held, full, amount)
        if move is None:
            raise PlacementError(
                f"expected a predicted loss of at most {limit.budget:.4g}, "
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

    def __init__(self, splitter: Splitter, losses: Losses, ranked: Ints) -> None:
        self.splitter, self.ranked = splitter, ranked
        self.owners: list[tuple[int, int]] = []
        values: list[Floats] = []
        owner: list[Ints] = []
        for s, site in enumerate(splitter.sites):
            for member, position in enumerate(site.members):
                table = losses.by_output.get(position)
                if table is not None:
                    granules = site.family.outputs // site.granule
                    # The sensitivity of a granule: its share of the operator's outputs, sorted.
                    falling = _falling(table, ranked)[0]
                    in_order = np.array([chunk.sum() for chunk in np.array_split(falling, granules)])
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
