"""A lower bound that holds for every plan of the plan space, not only for the options enumerated.

By `relaxation`, at any prices of arrays a plan costs at least the sum of what each operator costs at those prices, plus
a constant. Here each operator's cost is bounded from below over *all* its plans: any outputs, copies, tiers, rounds.

For r rounds, (r - 1) full rounds and the last each cost at least their own bound (module `round_bound`), with rewritten
arrays at 1/r of their price (the pool is held once) and resident ones at the full price (each round has its own).
The bound of an operator is the least over numbers of rounds; so the number of least bound is looked into, as long as
looking betters it.

Under a budget of loss, each line below the loss (module `loss_curve`) adds a cost an output to every part, and an
offset to the whole; lines are tried like the other multipliers. A line is of all rounds together: with more than one
round the same line holds in each.
"""

from __future__ import annotations

from dataclasses import replace

from .parts import Prices
from .problem import Family, Ints
from .round_bound import LEVELS, RoundBound

BOXES = (200, 3000)
"""The levels after those of cells look into cells: at most at so many boxes for an operator in one round."""
FAMILIES = 0.25
"""For every other number of rounds such a share of them more."""
SLICE = 200
"""So many boxes are looked at before the number of rounds of least bound is chosen again."""
DEPTH = len(LEVELS) + len(BOXES)
SETTLED = 3
"""Families of more rounds are bounded no better than those before them; of others all open times are wanted."""


class OperatorBound:
    """A lower bound of what an operator costs at `prices` in any plan, at most `target`."""

    def __init__(self, families: tuple[Family, ...], prices: Prices, target: float) -> None:
        self.target = target
        lined = len(prices.losses) > 1 or any(line.offset for line in prices.losses)
        self.rounds = [
            (_Lines if family.rounds > 1 and lined else _Rounds)(family, prices, target) for family in families
        ]
        self.goal = target

    @property
    def value(self) -> float:
        """The bound so far."""
        return min((self.target, *(each.value for each in self.rounds)))

    def look(self, depth: int, enough: float) -> OperatorBound:
        """Betters the bound until what is left to gain is at most `enough`, or as far as a depth allows.

        Depth 1 and 2 cut time into cells, deeper ones look into them.
        """
        goal = least = self.goal = self.target - enough
        for each in self.rounds:
            each.cut(min(depth, len(LEVELS)), goal if each.family.rounds <= SETTLED else least)
            least = min(least, each.value)
        left = BOXES[depth - len(LEVELS) - 1] * (1 + FAMILIES * (len(self.rounds) - 1)) if depth > len(LEVELS) else 0
        while left > 0:
            worst = min(self.rounds, key=lambda each: (each.value, not each.settled(goal, enough)))
            if worst.value >= goal or worst.settled(goal, enough):
                break
            left -= max(1, worst.look(int(min(left, SLICE)), goal, enough))
        return self

    @property
    def open(self) -> tuple[tuple[Ints, Ints], ...]:
        """Where a plan below the target may yet be: for each family, times [lo, hi) of a round."""
        least = min((self.goal, *(each.value for each in self.rounds if each.family.rounds <= SETTLED)))
        return tuple(each.below(self.goal if each.family.rounds <= SETTLED else least) for each in self.rounds)


class _Rounds:
    """The bound of an operator in a number of rounds."""

    def __init__(self, family: Family, prices: Prices, target: float) -> None:
        self.family, self.share = family, 1 / family.rounds
        self.full = self.last = RoundBound(family, family.outputs, prices, target * self.share)
        if family.last != family.outputs:
            self.last = RoundBound(family, family.last, prices, target * self.share)

    @property
    def value(self) -> float:
        return self.full.value * (self.family.rounds - 1) + self.last.value

    def settled(self, goal: float, enough: float) -> bool:
        return all(each.settled(goal * self.share, enough * self.share) for each in (self.full, self.last))

    def below(self, goal: float) -> tuple[Ints, Ints]:
        return self.full.below(goal * self.share)

    def cut(self, levels: int, goal: float) -> None:
        self.full.cut(levels, goal * self.share)
        self.last.cut(levels, goal * self.share)

    def look(self, most: int, goal: float, enough: float) -> int:
        """Looks into the full rounds or the last one, where more may be gained."""
        goal, enough = goal * self.share, enough * self.share
        many = ((self.family.rounds - 1, self.full), (1, self.last))
        able = [(count * (goal - each.value), each) for count, each in many if not each.settled(goal, enough)]
        return max(able, key=lambda pair: pair[0])[1].look(most, goal, enough)


class _Lines:
    """The bound of several rounds whose loss is that of all their outputs: the greatest of those of single lines."""

    def __init__(self, family: Family, prices: Prices, target: float) -> None:
        self.family = family
        self.lines = [
            (_Rounds(family, replace(prices, losses=(replace(line, offset=0.0),)), target - line.offset), line.offset)
            for line in prices.losses
        ]

    @property
    def value(self) -> float:
        return max(each.value + offset for each, offset in self.lines)

    def settled(self, goal: float, enough: float) -> bool:
        return all(each.settled(goal - offset, enough) for each, offset in self.lines)

    def below(self, goal: float) -> tuple[Ints, Ints]:
        best, offset = max(self.lines, key=lambda line: line[0].value + line[1])
        return best.below(goal - offset)

    def cut(self, levels: int, goal: float) -> None:
        for each, offset in self.lines:
            each.cut(levels, goal - offset)
            if each.value + offset >= goal:
                break

    def look(self, most: int, goal: float, enough: float) -> int:
        """Looks along the line of the greatest bound that can be bettered."""
        able = [line for line in self.lines if not line[0].settled(goal - line[1], enough)]
        best, offset = max(able, key=lambda line: line[0].value + line[1])
        return best.look(most, goal - offset, enough)
