"""Plans that share the outputs of each operator between tiers in any way: the ground of the published strategies.

A strategy of this family decides one thing: the *split*, how many outputs of each operator each tier takes. Splits are
priced by the same tables and the same rule as the options of `exact` (`options.priced`), with a table that has a row
for every number of outputs, so that a whole population of plans is priced by a few lookups.

A part needs more than its outputs: a mode, a precision, copies, and the operator a number of rounds. While a strategy
seeks splits it uses *stands*, those of the best homogeneous plan of each tier. As a part is never larger than the
operator that stood on the tier whole, parts then fit wherever that plan does, whatever the split. Two things are put
right for that: where an operator has more rounds than it had on a tier, its part there is rewritten, as arrays for each
round may add up to more than those of the whole; and an operator goes whole to the tier of its largest part where no
part is large enough to bear that the last round is smaller. Afterwards `finish` chooses modes, precisions and copies
anew for the splits decided, by the integer program that the homogeneous plans come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product as combinations
from typing import Any

import numpy as np

from .baselines import best_of, homogeneous
from .options import Genes, priced
from .problem import (
    RESIDENT,
    REWRITTEN,
    STREAMED,
    UNUSED,
    Family,
    Floats,
    Ints,
    OperatorType,
    OptionSet,
    PartTable,
    Plan,
    Problem,
)
from .relaxation import Pool
from .tables import PartKind, Pricer, distinct_copies, first_copies

TAUS = 96
"""At most so many times at which the parts of a finished split are balanced."""


@dataclass(frozen=True)
class PriceSource:
    """Who prices parts that a problem's tables do not have: `products[k]` is the product of the problem's type k.

    `shared[t]`: whether the published strategies give outputs to tier t. They know no digital unit, so that it takes
    only what no other tier takes.
    """

    pricer: Pricer
    products: tuple[Any, ...]
    shared: tuple[bool, ...]

    def kinds(self, k: int) -> list[PartKind]:
        """The parts that an operator of type k can have when its outputs are shared."""
        every = self.pricer.kinds(self.products[k])
        return [kind for kind in every if self.shared[kind.tier]] or every


@dataclass(frozen=True)
class Stand:
    """How an operator stands on a tier: the kind of part, its copies, the rounds of the operator."""

    kind: PartKind
    copies: int
    rounds: int


@dataclass(frozen=True)
class Site:
    """Operators of one type with the same stands. `members` are their positions in the program."""

    type: int
    members: tuple[int, ...]
    granule: int
    precisions: tuple[str, ...]
    family: Family
    """A table for each tier that can be used, with a row for every multiple of the granule and one column."""

    @cached_property
    def tiers(self) -> Ints:
        """The tiers that may have outputs, ascending."""
        return np.array(sorted(table.tier for table in self.family.tables), np.int64)

    def able(self, outputs: Ints) -> Any:
        """[split]: whether some part can bear that the last round is smaller. `outputs` is [split, tier]."""
        return outputs.max(axis=1) > self.family.outputs - self.family.last

    def priced(self, outputs: Ints) -> OptionSet:
        """The splits [split, tier] of a full round, priced; all must be able."""
        table_of = np.full(outputs.shape[1], -1, np.int64)
        for i, table in enumerate(self.family.tables):
            table_of[table.tier] = i
        used = outputs > 0
        genes = Genes(
            np.where(used, table_of, -1),
            np.where(used, outputs // self.granule - 1, -1),
            np.where(used, 0, -1),
        )
        return priced(self.family, genes, self.precisions)


@dataclass(frozen=True)
class Totals:
    """What whole plans cost, one a row: picoseconds, picojoules with static energy, arrays beyond those of the chip."""

    latency_ps: Ints
    energy_pj: Floats
    excess: Ints
    """[plan]: arrays that are missing, over all tiers; 0 where the plan fits."""


Splits = tuple[Ints, ...]
"""For each site an array [.., member, tier]: outputs of a full round, multiples of the granule that add up to it."""


class Splitter:
    """The sites of a problem, and prices of splits on them."""

    def __init__(self, problem: Problem, source: PriceSource, seconds: float) -> None:
        self.problem, self.source = problem, source
        self.sites: list[Site] = []
        plans = [homogeneous(problem, t, seconds) for t in range(len(problem.tiers))]
        for k, kind in enumerate(problem.types):
            stands = [_stands(kind, plan.counts[k]) if plan else [None] * kind.multiplicity for plan in plans]
            allowed = {part.tier for part in source.kinds(k)}
            by_stands: dict[tuple[Stand, ...], list[int]] = {}
            for position, of_plans in zip(kind.members, zip(*stands, strict=True), strict=True):
                own = [s for t, s in enumerate(of_plans) if s is not None and s.kind.tier == t and t in allowed]
                # Where no shared tier can hold the operator, it stands where a homogeneous plan had to put it.
                own = own or [next(s for s in of_plans if s is not None)]
                by_stands.setdefault(tuple(own), []).append(position)
            self.sites += [_site(problem, source, k, members, stands) for stands, members in by_stands.items()]

    @property
    def usable(self) -> bool:
        """Whether every operator has a tier to stand on."""
        return all(len(site.tiers) for site in self.sites)

    def total(self, splits: Splits) -> Totals:
        """The plans `splits`, with a leading axis of plans, priced with the stands."""
        problem, plans, tiers = self.problem, len(splits[0]), len(self.problem.tiers)
        latency = np.full(plans, problem.fixed_latency_ps, np.int64)
        energy = np.full(plans, problem.fixed_energy_pj)
        resident, scratch = np.zeros((plans, tiers), np.int64), np.zeros((plans, tiers), np.int64)
        able = np.ones(plans, np.bool_)
        for site, outputs in zip(self.sites, splits, strict=True):
            members, flat = outputs.shape[1], outputs.reshape(-1, tiers)
            good = site.able(flat)
            able &= good.reshape(plans, members).all(axis=1)
            # A split that cannot be priced stands for its plan's being unfit: any other is priced in its place.
            options = site.priced(np.where(good[:, None], flat, self._whole(site)))
            latency += options.latency_ps.reshape(plans, members).sum(axis=1)
            energy += options.energy_pj.reshape(plans, members).sum(axis=1)
            resident += options.resident.reshape(plans, members, tiers).sum(axis=1)
            scratch = np.maximum(scratch, options.scratch.reshape(plans, members, tiers).max(axis=1))
        energy += problem.static_pj_per_ps * latency
        excess = np.maximum(resident + scratch - problem.arrays, 0).sum(axis=1)
        return Totals(latency, energy, excess + ~able * (1 + int(problem.arrays.sum())))

    def bearable(self, splits: Splits) -> Splits:
        """`splits` (no leading axis) with those operators whole on one tier whose last round no part can bear."""
        result: list[Ints] = []
        for site, outputs in zip(self.sites, splits, strict=True):
            whole = np.zeros_like(outputs)
            whole[np.arange(len(outputs)), outputs.argmax(axis=1)] = site.family.outputs
            result.append(np.where(site.able(outputs)[:, None], outputs, whole))
        return tuple(result)

    def by_operator(self, splits: Splits) -> Ints:
        """`splits` (no leading axis) as an array [position in the program, tier]."""
        count = 1 + max(position for site in self.sites for position in site.members)
        outputs = np.zeros((count, len(self.problem.tiers)), np.int64)
        for site, own in zip(self.sites, splits, strict=True):
            outputs[list(site.members)] = own
        return outputs

    def by_site(self, outputs: Ints) -> Splits:
        """The counterpart of `by_operator`."""
        return tuple(outputs[list(site.members)] for site in self.sites)

    def finish(self, splits: Splits, seconds: float) -> tuple[Problem, Plan] | None:
        """The plan of `splits` (no leading axis) with the best modes, precisions and copies, and its own problem.

        Operators of a type with different splits are types of their own there. None if nothing fits.
        """
        types: list[OperatorType] = []
        for site, outputs in zip(self.sites, splits, strict=True):
            different, which = np.unique(outputs, axis=0, return_inverse=True)
            for j, split in enumerate(different):
                if not site.able(split[None])[0]:
                    return None
                members = tuple(site.members[i] for i in np.flatnonzero(which.ravel() == j))
                kind = self.problem.types[site.type]
                types.append(replace(kind, members=members, options=self._finished(site, split), families=()))
        problem = replace(self.problem, types=tuple(types))
        plan = best_of(problem, Pool(problem), seconds)
        return None if plan is None else (problem, plan)

    def _whole(self, site: Site) -> Ints:
        """A split that can be priced: all on the site's first tier."""
        split = np.zeros(len(self.problem.tiers), np.int64)
        split[site.tiers[0]] = site.family.outputs
        return split

    def _finished(self, site: Site, split: Ints) -> OptionSet:
        """Every choice of kinds of part for one split, with copies such that its parts finish together."""
        pricer, product = self.source.pricer, self.source.products[site.type]
        short = site.family.outputs - site.family.last
        tables: list[PartTable] = []
        for kind in self.source.kinds(site.type):
            if split[kind.tier]:
                sizes = np.unique([split[kind.tier], max(split[kind.tier] - short, site.granule)])
                copies = np.ones(1, np.int64)
                if kind.mode != STREAMED:
                    least = int(pricer.price(product, kind, sizes[:1, None], copies[None]).arrays.max())
                    most = int(self.problem.arrays[kind.tier]) // max(least, 1)
                    copies = distinct_copies(pricer.vectors(product), most)
                tables.append(_table(pricer, product, kind, sizes, copies))
        family = replace(site.family, tables=tuple(tables))
        genes = Genes.join([_balanced(family, split), *_standing(site, family, split)]).distinct()
        return priced(family, genes, site.precisions)


def _stands(kind: OperatorType, counts: dict[int, int]) -> list[Stand]:
    """[member]: how it stands in a homogeneous plan."""
    result: list[Stand] = []
    for option, count in sorted(counts.items()):
        tier = int(np.flatnonzero(kind.options.mode[option] != UNUSED)[0])
        precision = kind.precisions[int(kind.options.precision[option, tier])]
        part = PartKind(tier, int(kind.options.mode[option, tier]), precision)
        copies = int(kind.options.copies[option, tier])
        result += [Stand(part, copies, int(kind.options.rounds[option]))] * count
    return result


def _site(problem: Problem, source: PriceSource, k: int, members: Sequence[int], stands: Sequence[Stand]) -> Site:
    """The rounds are the most that one of the tiers needs."""
    pricer, product = source.pricer, source.products[k]
    total, granule = pricer.outputs(product), pricer.granule(product)
    rounds = max(stand.rounds for stand in stands)
    others = source.kinds(k)
    rewritten = [stand.kind._replace(mode=REWRITTEN) for stand in stands]
    kinds = [
        other if stand.rounds < rounds and stand.kind.mode == RESIDENT and other in others else stand.kind
        for stand, other in zip(stands, rewritten, strict=True)
    ]
    a_round = granule * -(-total // (granule * rounds))
    every = np.arange(granule, a_round + 1, granule, dtype=np.int64)
    copies = [np.array([stand.copies], np.int64) for stand in stands]
    tables = [_table(pricer, product, kind, every, own) for kind, own in zip(kinds, copies, strict=True)]
    family = Family(rounds, a_round, total - (rounds - 1) * a_round, tuple(tables))
    return Site(k, tuple(members), granule, problem.types[k].precisions, family)


def _table(pricer: Pricer, product: Any, kind: PartKind, outputs: Ints, copies: Ints) -> PartTable:
    """Exact prices of every one of `outputs` with every one of `copies`."""
    prices = pricer.price(product, kind, outputs[:, None], copies[None, :])
    shape = (len(outputs), len(copies))
    latency, arrays = np.broadcast_to(prices.latency_ps, shape), np.broadcast_to(prices.arrays, shape)
    energy = np.broadcast_to(prices.energy_pj, shape)
    shared = np.broadcast_to(prices.shared_ps, (len(prices.shared_ps), *shape))
    return PartTable(
        tier=kind.tier,
        mode=kind.mode,
        precision=kind.precision,
        outputs=outputs,
        copies=copies,
        latency_ps=latency,
        energy_pj=energy,
        arrays=arrays,
        shared_ps=shared,
        floor_outputs=outputs,
        floor_latency_ps=latency,
        floor_energy_pj=energy,
        floor_arrays=arrays,
        floor_shared_ps=shared,
    )


def _balanced(family: Family, split: Ints) -> Genes:
    """The genes of `split` for every choice of tables and every time by which all of its parts can be done."""
    tables = family.tables
    rows = [int(np.searchsorted(table.outputs, split[table.tier])) for table in tables]
    times = np.unique(np.concatenate([table.latency_ps[row] for table, row in zip(tables, rows, strict=True)]))
    times = times[np.unique(np.linspace(0, len(times) - 1, min(TAUS, len(times))).astype(np.int64))]
    tiers = sorted({table.tier for table in tables})
    genes: list[Genes] = []
    for chosen in combinations(*([i for i, table in enumerate(tables) if table.tier == tier] for tier in tiers)):
        table_of, row_of, column_of = (np.full((len(times), len(split)), -1, np.int64) for _ in range(3))
        good = np.ones(len(times), np.bool_)
        for i in chosen:
            table = tables[i]
            columns = first_copies(table.latency_ps[rows[i] : rows[i] + 1], times)[0]
            good &= columns < len(table.copies)
            table_of[:, table.tier], row_of[:, table.tier], column_of[:, table.tier] = i, rows[i], columns
        genes.append(Genes(table_of[good], row_of[good], column_of[good]))
    return Genes.join(genes)


def _standing(site: Site, family: Family, split: Ints) -> list[Genes]:
    """The genes in `family` of `split` as the site stands; none where those copies are no more in its tables."""
    table_of, row_of, column_of = (np.full((1, len(split)), -1, np.int64) for _ in range(3))
    for own in site.family.tables:
        if not split[own.tier]:
            continue
        key = (own.tier, own.mode, own.precision)
        i = next(i for i, table in enumerate(family.tables) if (table.tier, table.mode, table.precision) == key)
        column = np.flatnonzero(family.tables[i].copies == own.copies[0])
        if not len(column):
            return []
        table_of[0, own.tier], column_of[0, own.tier] = i, column[0]
        row_of[0, own.tier] = np.searchsorted(family.tables[i].outputs, split[own.tier])
    return [Genes(table_of, row_of, column_of)]


def whole_outputs(shares: Floats, granules: int) -> Ints:
    """Shares [.., tier] >= 0 as whole numbers that add up to `granules`: largest remainders, ties to the first tier."""
    total = shares.sum(axis=-1, keepdims=True)
    wanted = np.where(total > 0, shares / np.where(total > 0, total, 1.0), 1.0 / shares.shape[-1]) * granules
    whole = np.floor(wanted).astype(np.int64)
    left = granules - whole.sum(axis=-1, keepdims=True)
    order = np.argsort(-(wanted - whole), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return whole + (rank < left)


def plan_values(problem: Problem, totals: Totals) -> Floats:
    """[plan]: the objective of plans in its unit, infinite where they do not fit; for throughput the latency in ns."""
    if problem.objective == "throughput":
        return np.where(totals.excess > 0, np.inf, totals.latency_ps / 1000)
    pairs = zip(totals.latency_ps.tolist(), totals.energy_pj.tolist(), strict=True)
    values = np.array([problem.value(latency, energy) for latency, energy in pairs])
    return np.where(totals.excess > 0, np.inf, values)
