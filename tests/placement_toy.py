"""A toy chip for tests of placement, small enough to enumerate every plan, and brute force over plans."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, combinations_with_replacement, product

import numpy as np

from h3c.passes.placement.options import options_of
from h3c.passes.placement.problem import (
    RESIDENT,
    REWRITTEN,
    STREAMED,
    Family,
    Floats,
    Ints,
    OperatorType,
    OptionSet,
    Problem,
)
from h3c.passes.placement.tables import PartKind, PartPrices, families


@dataclass(frozen=True)
class ToyProduct:
    """`vectors` vectors, `outputs` outputs of weight `depth` each; parts begin at multiples of `granule`."""

    vectors: int
    outputs: int
    depth: int
    granule: int = 1


@dataclass(frozen=True)
class ToyTier:
    """`arrays` arrays of `width` outputs (0: streams). Times in picoseconds, energies in picojoules."""

    arrays: int
    width: int
    turn_ps: int
    write_ps: int
    energy_pj: float


@dataclass(frozen=True)
class ToyPricer:
    """A chip of toy tiers whose off-chip reads take `read_ps` an output and unit of depth."""

    toys: tuple[ToyTier, ...]
    read_ps: int

    @property
    def tiers(self) -> tuple[str, ...]:
        return tuple(f"t{i}" for i in range(len(self.toys)))

    @property
    def arrays(self) -> Ints:
        return np.array([toy.arrays for toy in self.toys], np.int64)

    def kinds(self, product: ToyProduct) -> list[PartKind]:
        modes = {True: (RESIDENT, REWRITTEN), False: (STREAMED,)}
        return [PartKind(t, mode, "") for t, toy in enumerate(self.toys) for mode in modes[toy.arrays > 0]]

    def vectors(self, product: ToyProduct) -> int:
        return product.vectors

    def outputs(self, product: ToyProduct) -> int:
        return product.outputs

    def granule(self, product: ToyProduct) -> int:
        return product.granule

    def price(self, product: ToyProduct, kind: PartKind, outputs: Ints, copies: Ints) -> PartPrices:
        toy = self.toys[kind.tier]
        shape = np.broadcast_shapes(outputs.shape, copies.shape)
        read = outputs * (product.depth * self.read_ps) * (kind.mode != RESIDENT)
        energy = toy.energy_pj * outputs * product.vectors
        if kind.mode == STREAMED:
            time = toy.turn_ps * outputs * product.vectors
            arrays = np.zeros((), np.int64)
        else:
            blocks = -(-outputs // toy.width)
            time = toy.turn_ps * -(-product.vectors // copies) + outputs
            time = time + (toy.write_ps * blocks * copies if kind.mode == REWRITTEN else 0)
            energy = energy + (0.5 * outputs * copies if kind.mode == REWRITTEN else 0.0)
            arrays = blocks * copies
        latency, held, shared = (np.broadcast_to(v, shape).astype(np.int64) for v in (time + read, arrays, read))
        return PartPrices(latency, np.broadcast_to(energy, shape).astype(np.float64), held, shared[None])


def toy_problem(pricer: ToyPricer, products: list[ToyProduct], objective: str, static_mw: float) -> Problem:
    """The problem of placing toy products, by the tables and options of the real thing."""
    types: list[OperatorType] = []
    for kind in dict.fromkeys(products):
        members = tuple(i for i, p in enumerate(products) if p == kind)
        tables = families(pricer, kind)
        types.append(OperatorType(repr(kind), members, options_of(tables, pricer.arrays, ("",)), tables))
    return Problem(pricer.tiers, pricer.arrays, tuple(types), objective, 7, 11.0, static_mw)


def given_options(
    latency_ps: Ints, energy_pj: Floats, resident: Ints, scratch: Ints, rounds: int | Ints = 1
) -> OptionSet:
    """Options of given figures, one a row, columns are tiers; where there is scratch nothing is resident.

    The last tier streams.
    """
    mode = np.where(scratch > 0, REWRITTEN, np.where(resident > 0, RESIDENT, 0))
    mode[:, -1] = STREAMED
    ones = np.ones(mode.shape, np.int64)
    held = resident * (mode == RESIDENT)
    return OptionSet(latency_ps, energy_pj, held, scratch, mode, ones, ones, ones, 0 * ones, rounds * ones[:, 0])


def types_of(options: list[tuple[int, OptionSet]]) -> tuple[OperatorType, ...]:
    """A type for each (operators, their options), its members one behind the other."""
    ends = accumulate(count for count, _ in options)
    return tuple(
        OperatorType(f"type {k}", tuple(range(end - count, end)), own)
        for k, (end, (count, own)) in enumerate(zip(ends, options, strict=True))
    )


Figures = tuple[int, float, tuple[int, ...], tuple[int, ...]]
"""Latency, dynamic energy, resident arrays, scratch arrays."""


def round_figures(pricer: ToyPricer, toy: ToyProduct, parts: list[tuple[PartKind, int, int]]) -> Figures:
    """One round of parts (kind, outputs, copies): off-chip reads one after the other, the longest tail first."""
    resident, scratch = [0] * len(pricer.toys), [0] * len(pricer.toys)
    energy, reads = 0.0, list[tuple[int, int]]()
    for kind, outputs, copies in parts:
        price = pricer.price(toy, kind, np.array(outputs), np.array(copies))
        energy += float(price.energy_pj)
        read = int(price.shared_ps[0])
        reads.append((int(price.latency_ps) - read, read))
        {RESIDENT: resident, REWRITTEN: scratch}.get(kind.mode, [0] * len(resident))[kind.tier] += int(price.arrays)
    end = served = 0
    for tail, read in sorted(reads, reverse=True):
        served += read
        end = max(end, served + tail)
    return end, energy, tuple(resident), tuple(scratch)


def every_plan(pricer: ToyPricer, toy: ToyProduct, family: Family) -> Iterator[Figures]:
    """All plans of an operator in the rounds of `family`: every split, all copies, any part with less in the last."""
    return (figures for figures, _ in every_split(pricer, toy, family))


def every_split(pricer: ToyPricer, toy: ToyProduct, family: Family) -> Iterator[tuple[Figures, tuple[int, ...]]]:
    """The same with the outputs that each tier has in all rounds together."""
    step = toy.granule
    by_tier = [[None, *(k for k in pricer.kinds(toy) if k.tier == t)] for t in range(len(pricer.toys))]
    for kinds in product(*by_tier):
        used = [kind for kind in kinds if kind is not None]
        if not used:
            continue
        for split in product(range(step, family.outputs + 1, step), repeat=len(used)):
            if sum(split) != family.outputs:
                continue
            for copies in product(*(range(1, toy.vectors + 1) if k.mode != STREAMED else (1,) for k in used)):
                full = round_figures(pricer, toy, list(zip(used, split, copies, strict=True)))
                outputs = [0] * len(pricer.toys)
                for kind, n in zip(used, split, strict=True):
                    outputs[kind.tier] = n * family.rounds
                if family.rounds == 1:
                    yield full, tuple(outputs)
                    continue
                short = family.outputs - family.last
                for bears in range(len(used)):
                    if split[bears] > short:
                        less = [n - short * (i == bears) for i, n in enumerate(split)]
                        last = round_figures(pricer, toy, list(zip(used, less, copies, strict=True)))
                        mine = [n - short * (t == used[bears].tier) for t, n in enumerate(outputs)]
                        yield _rounds(full, last, family), tuple(mine)


def _rounds(full: Figures, last: Figures, family: Family) -> Figures:
    r = family.rounds - 1
    resident = tuple(r * a + b for a, b in zip(full[2], last[2], strict=True))
    return r * full[0] + last[0], r * full[1] + last[1], resident, full[3]


def undominated(figures: set[Figures]) -> list[Figures]:
    """Those that no other matches in everything."""
    rows = sorted(figures)
    amounts = np.array([[row[0], row[1], *row[2], *row[3]] for row in rows])
    keep: list[int] = []
    for i in range(len(rows)):
        if not keep or not np.any(np.all(amounts[keep] <= amounts[i], axis=1)):
            keep.append(i)
    return [rows[i] for i in keep]


def least(problem: Problem, choices: list[list[Figures]]) -> float:
    """The least objective over all ways to give each operator of a type one of the type's figures; inf if none fits."""
    best = np.inf
    of_type = [
        list(combinations_with_replacement(figures, kind.multiplicity))
        for kind, figures in zip(problem.types, choices, strict=True)
    ]
    for combination in product(*of_type):
        chosen = [figures for group in combination for figures in group]
        resident = np.sum([figures[2] for figures in chosen], axis=0)
        scratch = np.max([figures[3] for figures in chosen], axis=0)
        if np.all(resident + scratch <= problem.arrays):
            latency = problem.fixed_latency_ps + sum(figures[0] for figures in chosen)
            energy = problem.fixed_energy_pj + sum(figures[1] for figures in chosen)
            best = min(best, problem.value(latency, energy + problem.static_pj_per_ps * latency))
    return best


def figures_of(kind: OperatorType) -> list[Figures]:
    """The options of a type as figures."""
    o = kind.options
    return [
        (int(o.latency_ps[i]), float(o.energy_pj[i]), tuple(o.resident[i].tolist()), tuple(o.scratch[i].tolist()))
        for i in range(len(o))
    ]
