"""Rules by which the relaxation of throughput is cut: how many operators of a type may be placed in some way.

A rule names a property of one part, or of the rounds, of an option: its outputs on a tier are more than a number, say.
"At most j operators of the type have it" and "at least j + 1 have it" are halves of all plans. As a property is that of
one part, the multiplier of a rule is added to the costs of parts, and costs of operators stay sums over parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import STREAMED, UNUSED, Bools, Family, Floats, Ints, OptionSet, PartTable

MEASURES = ("outputs", "copies", "mode", "rounds")
"""Outputs of a full round times the rounds; copies and mode, where the tier has arrays, of copies those that `tables`
lists (others are dearer and no faster); rounds."""
WHOLE = 1e-4
"""Counts of operators so near to whole numbers are whole."""


@dataclass(frozen=True)
class Rule:
    """At most (or else at least) `count` operators of type `kind` have more than `above` of a measure on a tier."""

    kind: int
    measure: str
    tier: int
    above: float
    at_most: bool
    count: int

    @property
    def sign(self) -> float:
        """Of the multiplier by which having the property costs."""
        return 1.0 if self.at_most else -1.0

    def halves(self) -> tuple[Rule, Rule]:
        """At most so many, and at least one more."""
        more = Rule(self.kind, self.measure, self.tier, self.above, False, self.count + 1)
        return Rule(self.kind, self.measure, self.tier, self.above, True, self.count), more

    def of_options(self, options: OptionSet) -> Bools:
        """Which options have the property."""
        return _measured(options, self.measure, self.tier) > self.above

    def of_family(self, family: Family, price: float) -> float:
        """What having the property by its rounds costs at the price of the rule."""
        return price if self.measure == "rounds" and family.rounds > self.above else 0.0

    def of_parts(self, table: PartTable, family: Family, price: float, first: Ints, last: Ints) -> Floats | float:
        """What having the property costs a part of `first` to `last` outputs at least, as [interval, copies]."""
        if self.measure == "rounds" or table.tier != self.tier:
            return 0.0
        if self.measure == "outputs":
            most = last if price < 0 else first
            return np.where(most * family.rounds > self.above, price, 0.0)[:, None]
        if table.mode == STREAMED:
            return 0.0
        has = table.copies > self.above if self.measure == "copies" else np.array([table.mode > self.above])
        return np.where(has, price, 0.0)[None, :]


def added(rules: tuple[tuple[Rule, float], ...], table: PartTable, family: Family, first: Ints, last: Ints) -> Floats:
    """What rules at their prices add to the costs of parts of `first` to `last` outputs, at least."""
    total: Floats = np.zeros((1, 1))
    for rule, price in rules:
        total = total + rule.of_parts(table, family, price, first, last)
    return total


def next_rule(kind: int, options: OptionSet, shares: Floats, weighed: Floats) -> tuple[float, Rule] | None:
    """The rule that parts the mixed options of a type best, and how much it parts them; None where none does.

    `weighed`, [option, what]: what an option takes, at its price.
    """
    if len(options) < 2 or np.all(np.abs(shares - np.round(shares)) < WHOLE):
        return None
    found: list[tuple[float, Rule]] = []
    arrays = np.flatnonzero(((options.mode != UNUSED) & (options.mode != STREAMED)).any(axis=0)).tolist()
    used = np.flatnonzero((options.mode != UNUSED).any(axis=0)).tolist()
    for measure in MEASURES:
        tiers = {"outputs": used, "rounds": [0]}.get(measure, arrays)
        for tier in tiers:
            values = _measured(options, measure, tier)
            distinct = np.unique(values)
            for above in ((distinct[:-1] + distinct[1:]) / 2).tolist():
                has = values > above
                with_it = float(shares[has].sum())
                open_ = abs(with_it - round(with_it))
                if open_ < WHOLE:
                    continue
                means = [shares[each] @ weighed[each] / shares[each].sum() for each in (has, ~has)]
                apart = open_ * float(np.abs(means[0] - means[1]).sum())
                found.append((apart, Rule(kind, measure, tier, above, True, int(with_it))))
    return max(found, key=lambda each: each[0], default=None)


def _measured(options: OptionSet, measure: str, tier: int) -> Floats:
    if measure == "outputs":
        return (options.outputs[:, tier] * options.rounds).astype(np.float64)
    if measure == "rounds":
        return options.rounds.astype(np.float64)
    held = (options.mode[:, tier] != UNUSED) & (options.mode[:, tier] != STREAMED)
    return np.where(held, getattr(options, measure)[:, tier], 0).astype(np.float64)
