"""From operators to a problem, and from a plan's counts to the parts of each operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .loss_curve import LossCurve
from .loss_options import with_borders
from .losses import Losses
from .options import options_of
from .pricing import ChipPricer
from .problem import RESIDENT, REWRITTEN, UNUSED, Family, Ints, OperatorType, OptionSet, PlacementError, Plan, Problem
from .tables import families

if TYPE_CHECKING:
    from ...runtime_sim.chip import Chip
    from ...runtime_sim.product import Product


@dataclass(frozen=True)
class PlacedPart:
    """Outputs `first` to `last` (exclusive) of an operator on a tier, in a segment."""

    tier: str
    first: int
    last: int
    copies: int
    segment: int
    rewritten: bool
    precision: str


def build_problem(
    chip: Chip,
    products: Sequence[Product],
    *,
    objective: str,
    min_bits: int,
    fixed_latency_ps: int,
    fixed_energy_pj: float,
    shunned: bool = False,
    losses: Losses | None = None,
) -> Problem:
    """The problem of placing `products`, in program order; those with the same numbers, losses too, are one type.

    `shunned`: tiers take what they shun, too.
    """
    pricer = ChipPricer(chip, min_bits, shunned=shunned)
    lost = {} if losses is None else losses.by_output
    members: dict[tuple[Product, bytes], list[int]] = {}
    for position, product in enumerate(products):
        members.setdefault((product, lost[position].tobytes() if position in lost else b""), []).append(position)
    types: list[OperatorType] = []
    for (product, _), positions in members.items():
        name = f"a product of {product.m} vectors with {product.k} x {product.n} weights in {product.groups} groups"
        if not pricer.kinds(product):
            raise PlacementError(f"expected a tier that takes {name} at {min_bits} bits or more, the chip has none")
        tables, curve = families(pricer, product), None
        if positions[0] in lost:
            # Whose weights are made at run time, or are in groups that read inputs of their own, stay in order.
            ordered = not product.static or (product.groups > 1 and not product.batched)
            curve = LossCurve.of(lost[positions[0]], ordered)
            tables = _on(tables, curve.able)
            if not tables:
                raise PlacementError(f"losses: expected a tier that may take {name}, got infinite ones on all")
        precisions = tuple(sorted({"", *(table.precision for family in tables for table in family.tables)}))
        options = options_of(tables, pricer.arrays, precisions)
        if curve is not None:
            options = with_borders(options, tables, curve, pricer.arrays, precisions)
        kind = OperatorType(name, tuple(positions), options, tables, precisions, curve)
        types.append(replace(kind, options=kind.with_loss(options)))
    ports = next((len(family.tables[0].shared_ps) for kind in types for family in kind.families), 0)
    # What no placement changes is digital work: the digital unit, whose name is fixed, is busy with it.
    busy = [fixed_latency_ps * (name == "digital") for name in pricer.tiers] + [0] * ports
    return Problem(
        tiers=pricer.tiers,
        arrays=pricer.arrays,
        types=tuple(types),
        objective=objective,
        fixed_latency_ps=fixed_latency_ps,
        fixed_energy_pj=fixed_energy_pj,
        static_power_mw=chip.static_power_mw,
        fixed_busy_ps=tuple(busy),
    )


def _on(tables: tuple[Family, ...], tiers: Ints) -> tuple[Family, ...]:
    """The families with the tables of `tiers` alone."""
    kept = (replace(family, tables=tuple(t for t in family.tables if t.tier in tiers)) for family in tables)
    rewritten = [family for family in kept if any(t.mode == REWRITTEN or family.rounds == 1 for t in family.tables)]
    return tuple(rewritten)


def parts_of(problem: Problem, plan: Plan) -> list[list[PlacedPart]]:
    """The parts of each operator, in program order.

    Of the operators of a type the first take the first options. A segment is what fits the scratch pools at once:
    where a round's rewritten arrays don't fit beside those of the segment, the next one begins.
    """
    chosen = _options_by_operator(problem, plan)
    residents = sum((kind.options.resident[option] for kind, option in chosen), np.zeros(len(problem.tiers), np.int64))
    pool: Ints = problem.arrays - residents
    used = np.zeros_like(pool)
    segment, placed = 0, list[list[PlacedPart]]()
    for kind, option in chosen:
        parts, first = list[PlacedPart](), 0
        scratch = kind.options.scratch[option]
        for outputs in _rounds(kind.options, option):
            if scratch.any():
                if np.any(used + scratch > pool):
                    segment, used = segment + 1, np.zeros_like(pool)
                used = used + scratch
            for tier in np.flatnonzero(outputs):
                last = first + int(outputs[tier])
                parts.append(_part(problem, kind, option, int(tier), first, last, segment))
                first = last
        placed.append(parts)
    return placed


def orders_of(problem: Problem, plan: Plan) -> list[Ints | None]:
    """For each operator the order of its outputs in which its parts lose least; None: their own.

    The parts of `parts_of` are ranges of it.
    """
    orders: list[Ints | None] = []
    for kind, option in _options_by_operator(problem, plan):
        runs = [
            (tier, int(outputs[tier]))
            for outputs in _rounds(kind.options, option)
            for tier in np.flatnonzero(outputs).tolist()
        ]
        orders.append(None if kind.curve is None else order_of(kind.curve, runs))
    return orders


def best_orders(problem: Problem, plan: Plan, losses: Losses, ordered: Sequence[bool]) -> list[Ints | None]:
    """`orders_of` for the plan of a strategy that decides splits by `losses`; `ordered`: operators by position whose
    outputs have to stay as they are."""
    orders: list[Ints | None] = []
    for position, parts in enumerate(parts_of(problem, plan)):
        own = losses.by_output.get(position)
        runs = [(problem.tiers.index(part.tier), part.last - part.first) for part in parts]
        orders.append(None if own is None else order_of(LossCurve.of(own, ordered[position]), runs))
    return orders


def predicted_loss(problem: Problem, plan: Plan, orders: Sequence[Ints | None], losses: Losses) -> float:
    """What a plan whose outputs are in these orders is predicted to lose."""
    tiers: dict[int, Ints] = {}
    for position, (parts, order) in enumerate(zip(parts_of(problem, plan), orders, strict=True)):
        if position in losses.by_output:
            placed = np.concatenate([np.full(part.last - part.first, problem.tiers.index(part.tier)) for part in parts])
            tiers[position] = placed if order is None else placed[np.argsort(order)]
    return losses.loss(tiers)


def order_of(curve: LossCurve, runs: Sequence[tuple[int, int]]) -> Ints | None:
    """The order of outputs in which parts, each a tier and its number of outputs, lose least; None: their own."""
    splits = np.zeros(len(curve.by_group), np.int64)
    for tier, outputs in runs:
        splits[tier] += outputs
    if len(curve.sizes) == 1 or np.count_nonzero(splits) == 1:
        return None
    taken, queues = curve.assign(splits), [list[int]() for _ in splits]
    for group in range(len(curve.sizes)):
        members = np.flatnonzero(curve.group_of == group)
        ends = np.cumsum(taken[:, group])
        for tier, (first, last) in enumerate(zip(ends - taken[:, group], ends, strict=True)):
            queues[tier] += members[first:last].tolist()
    waiting = [iter(sorted(queue)) for queue in queues]
    order = np.array([next(waiting[tier]) for tier, outputs in runs for _ in range(outputs)], np.int64)
    return None if np.array_equal(order, np.arange(len(order))) else order


def _options_by_operator(problem: Problem, plan: Plan) -> list[tuple[OperatorType, int]]:
    by_position: dict[int, tuple[OperatorType, int]] = {}
    for kind, counts in zip(problem.types, plan.counts, strict=True):
        options = [option for option, count in sorted(counts.items()) for _ in range(count)]
        by_position.update(zip(kind.members, ((kind, option) for option in options), strict=True))
    return [by_position[position] for position in sorted(by_position)]


def _rounds(options: OptionSet, option: int) -> list[Ints]:
    """Outputs by tier of each round."""
    rounds = int(options.rounds[option])
    return [options.outputs[option]] * (rounds - 1) + [options.last[option]]


def _part(
    problem: Problem, kind: OperatorType, option: int, tier: int, first: int, last: int, segment: int
) -> PlacedPart:
    options = kind.options
    mode = int(options.mode[option, tier])
    assert mode != UNUSED
    return PlacedPart(
        problem.tiers[tier],
        first,
        last,
        int(options.copies[option, tier]) if mode in (RESIDENT, REWRITTEN) else 1,
        segment,
        mode == REWRITTEN,
        kind.precisions[int(options.precision[option, tier])],
    )
