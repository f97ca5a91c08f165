"""Price tables at given prices of time, energy and arrays: what a part costs that has to be done in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product as combinations

import numpy as np

from .problem import RESIDENT, STREAMED, Family, Floats, Ints, PartTable
from .rules import Rule

ROUNDING_PS = 64
"""Shared times are linear in outputs but for this: whole picoseconds in each of 32 chunks, in two stages."""


@dataclass(frozen=True)
class LossLine:
    """per_output . outputs + offset: `per_output` by tier, at least 0; empty: none."""

    per_output: Floats = field(default_factory=lambda: np.zeros(0))
    offset: float = 0.0


@dataclass(frozen=True)
class Prices:
    """Weights of an operator's cost. Prices of an array, and limits `most_` in arrays, are by tier.

    `busy` weighs the time that resources are kept busy: tiers, then shared ports; empty: not at all.

    `written` is the price of writing an array once, beside that of having it (`rewritten`).
    """

    per_ps: float
    per_pj: float
    resident: Floats
    rewritten: Floats
    written: Floats
    most_resident: Ints
    most_rewritten: Ints
    busy: Floats = field(default_factory=lambda: np.zeros(0))
    losses: tuple[LossLine, ...] = (LossLine(),)
    """Lines below what a split costs by its loss; each holds for all splits."""
    rules: tuple[tuple[Rule, float], ...] = ()
    """Rules with what an operator costs that has their property, which may be negative; `separate` knows them."""


@dataclass(frozen=True)
class Part:
    """A table at given prices, of which only every so many rows are looked at.

    `first` and `last` rows of the intervals; `outputs` of the ends, all first ones, then all last ones (or only these);
    `filled`: what the arrays of an end could do.

    `cost` [end, copies] is the least over these and more copies; where streamed, it is alpha + beta n instead.
    """

    table: PartTable
    first: Ints
    last: Ints
    outputs: Floats
    filled: Floats
    cost: Floats
    alpha: float
    beta: float

    @cached_property
    def above(self) -> LeastBetween:
        """By how much the cost of a streamed part is above alpha + beta n: least and mean between rows."""
        return LeastBetween(self.cost - self.beta * self.outputs - self.alpha)


class LeastBetween:
    """Answers what the least and the mean of `values` from one place to another are."""

    def __init__(self, values: Floats) -> None:
        self.sums = np.concatenate([[0.0], np.cumsum(values)])
        # levels[k][i]: the least of 2^k values from i on
        self.levels = [values]
        while len(self.levels[-1]) > 2 ** (len(self.levels) - 1):
            before, step = self.levels[-1], 2 ** (len(self.levels) - 1)
            self.levels.append(np.minimum(before[:-step], before[step:]))
        self.table = np.stack([np.pad(level, (0, len(values) - len(level))) for level in self.levels])

    def least(self, first: Ints, last: Ints) -> Floats:
        """The least at `first` to `last`, both included."""
        level = np.log2(last - first + 1).astype(np.int64)
        return np.minimum(self.table[level, first], self.table[level, last + 1 - 2**level])

    def mean(self, first: Ints, last: Ints) -> Floats:
        """The mean at `first` to `last`."""
        return (self.sums[last + 1] - self.sums[first]) / (last + 1 - first)


def part_at(
    table: PartTable, prices: Prices, family: Family, theta: Floats, rows: int, loss: LossLine | None = None
) -> Part:
    """A table of a family at prices, with at most about `rows` rows: first and last rows of intervals."""
    rounds, short = family.rounds, family.outputs - family.last
    time = prices.per_ps * theta
    own, ports = 0.0, np.zeros(len(table.shared_ps))
    if len(prices.busy):
        # Ports come last; a tier is busy as long as its part takes.
        own, ports = float(prices.busy[table.tier]), prices.busy[-len(ports) :]
    time = time + ports
    each = float(loss.per_output[table.tier]) if loss is not None and len(loss.per_output) else 0.0
    if table.mode == STREAMED:
        values = own * table.latency_ps[:, 0] + prices.per_pj * table.energy_pj[:, 0] + time @ table.shared_ps[:, :, 0]
        outputs = table.outputs.astype(np.float64)
        values = values + each * outputs
        beta = float((values[-1] - values[0]) / max(outputs[-1] - outputs[0], 1.0))
        every = np.arange(len(outputs))
        return Part(table, every, every, outputs, outputs, values, float((values - beta * outputs).min()), beta)
    stride = -(-len(table.outputs) // rows)
    first = np.arange(0, len(table.outputs), stride)
    last = np.minimum(first + stride, len(table.outputs)) - 1
    price = (prices.resident if table.mode == RESIDENT else prices.rewritten / rounds + prices.written)[table.tier]
    needed = table.floor_arrays[first]
    if table.mode == RESIDENT:
        # Each round has its own; one part has `short` outputs less in the last.
        less = np.searchsorted(table.outputs, table.floor_outputs[first] - short)
        of_last = np.where((table.floor_outputs[first] > short)[:, None], table.floor_arrays[less], 0)
        fits = needed * (rounds - 1) + of_last <= prices.most_resident[table.tier]
    else:
        fits = needed <= prices.most_rewritten[table.tier]
    arrays = np.where(fits, price * needed, np.inf)
    begin = arrays + prices.per_pj * table.floor_energy_pj[first] + _timed(time, table.floor_shared_ps[:, first])
    end = (
        arrays
        + prices.per_pj * table.energy_pj[last]
        + _timed(time, np.maximum(table.shared_ps[:, last] - ROUNDING_PS, 0))
    )
    begin, end = begin + own * table.floor_latency_ps[first], end + own * table.floor_latency_ps[first]
    begin, end = begin + each * table.floor_outputs[first, None], end + each * table.outputs[last, None]
    # Where only arrays cost, the last outputs of an interval cost no more than its first.
    both = prices.per_pj > 0 or bool(time.any()) or own > 0 or each > 0
    cost = np.concatenate([begin, end]) if both else end
    cost = np.minimum.accumulate(cost[:, ::-1], axis=1)[:, ::-1]
    outputs = np.concatenate([table.floor_outputs[first], table.outputs[last]]) if both else table.outputs[last]
    # What the arrays of an end could do: as much as the last row with as many arrays.
    fill = table.outputs[np.searchsorted(table.arrays[:, 0], table.arrays[last, 0], side="right") - 1]
    # One more column: no number of copies is fast enough.
    cost = np.append(cost, np.full((len(cost), 1), np.inf), axis=1)
    fill = np.tile(fill, 2 if both else 1).astype(np.float64)
    return Part(table, first, last, outputs.astype(np.float64), fill, cost, 0.0, 0.0)


def _timed(time: Floats, shared_ps: Ints) -> Floats:
    """Shared times at their price."""
    return np.tensordot(time, shared_ps, 1) if time.any() else np.zeros(shared_ps.shape[1:])


def part_sets(tables: Sequence[PartTable]) -> Ints:
    """[set, tier]: every set of parts with at most one a tier, by the index of their tables; -1 for none."""
    tiers = sorted({table.tier for table in tables})
    choices = [[-1, *(i for i, table in enumerate(tables) if table.tier == tier)] for tier in tiers]
    return np.array([chosen for chosen in combinations(*choices) if any(i >= 0 for i in chosen)], np.int64)
