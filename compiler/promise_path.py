"""Plans from tight to loose budgets of predicted loss, each one checked, until the first that fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Literal

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..passes.place_lionheart import place_lionheart
from ..passes.place_parts import PlaceParts, solution
from ..passes.placement.losses import Losses
from ..passes.placement.strategies import Outcome
from ..passes.verify_placement import SOLUTION
from ..runtime_sim.errors import InputError
from ..runtime_sim.redundancy import set_stacked, stackable

TIGHTER, LOOSER = 4.0, 2.0
"""Steps of the budget."""
FIRST = 4.0
"""By how much the first budget is tighter than where the promise is likely to break."""
TIGHT = 32.0
"""By how much the budget is tighter at which numbers of copies are compared."""
RETREATS = 3
"""How often a first budget that fails is made tighter; and the first that passed, if its plan fails in the end."""
NARROWED = 1.2
"""A budget between one that passed and one that failed is tried where they are further apart than its square."""
BISECTIONS = 6
"""Steps to the tightest budget for which the user's limits leave a plan."""
BETTER = 0.99
"""A plan with another number of copies is checked if its predicted objective is at most this share of the best."""
BASELINES: tuple[Literal["first-last-digital"], Literal["all-analog"]] = ("first-last-digital", "all-analog")
"""Whole-operator plans that are taken where they are better and keep the promise."""
TINY = 1e-9
"""Predicted losses that differ by less, relatively, are of the same plan."""


@dataclass
class Candidate:
    """A placed module with its plan."""

    module: ModuleOp
    outcome: Outcome

    @property
    def loss(self) -> float:
        """Predicted."""
        return self.outcome.plan.loss

    def same(self, other: "Candidate") -> bool:
        """Whether both have the same plan, by all that is predicted of it."""
        mine, theirs = self.outcome.plan, other.outcome.plan
        same_loss = abs(mine.loss - theirs.loss) <= TINY * max(mine.loss, theirs.loss)
        return same_loss and (mine.latency_ps, mine.energy_pj) == (theirs.latency_ps, theirs.energy_pj)


@dataclass
class Looking:
    """What a path looks for, and how.

    `likely`: the loss, in the unit of predicted ones, at which the promise may well break; `allowed`: the loss allowed;
    `redundancy`: how often weights are held at most; `equip` gives a placed module what a measurement needs; `promise`
    measures what one promises.
    """

    module: ModuleOp
    placing: PlaceParts
    losses: Losses
    likely: float
    allowed: float
    redundancy: int
    equip: Callable[[ModuleOp], object]
    promise: Callable[[ModuleOp], float]


class Path:
    """Plans from tight to loose under measured losses."""

    def __init__(self, looking: Looking):
        self._for = looking
        self._exact = looking.placing.strategy == "exact"
        self._modules = {1: looking.module}
        while self._exact and stackable(looking.module) and 2 * max(self._modules) <= looking.redundancy:
            copies = 2 * max(self._modules)
            self._modules[copies] = looking.module.clone()
            set_stacked(self._modules[copies], copies)
        self._copies = 1
        self._passed: list[Candidate] = []
        self._failed: list[Candidate] = []
        self._loosest = 0.0

    def run(self) -> Iterator[Candidate]:
        """Those that passed a check, the best first; then ever tighter ones, down to the one that loses least."""
        self._copies = self._best_copies()
        free = self._placed(None)
        if free.loss == 0:
            yield free
            return
        least = self._least()
        self._loosen(free)
        if self._exact:
            self._spread(free)
            self._repair(inf if least is None else least.outcome.value)
        yield from sorted(self._passed, key=lambda each: each.outcome.value)
        tightest = min((each.loss for each in self._passed), default=0.0)
        for step in range(1, RETREATS) if tightest > 0 else ():
            try:
                yield self._placed(tightest / TIGHTER**step)
            except InputError:  # no plan loses so little
                break
        yield least or self._tightest(free)

    def _placed(self, budget: float | None, copies: int | None = None, losses: Losses | None = None) -> Candidate:
        """The plan of the strategy within a budget. What errs independently falls with the number of copies of each
        weight, of which losses are variances."""
        copies = copies or self._copies
        module = self._modules[copies].clone()
        outcome = self._for.placing.place(module, losses or self._for.losses.scaled(1 / copies), budget)
        self._for.equip(module)
        return Candidate(module, outcome)

    def _best_copies(self) -> int:
        """How often weights are best held where little may be lost, by predictions alone."""
        values: dict[int, float] = {}
        for copies in self._modules if len(self._modules) > 1 else ():
            try:
                values[copies] = self._placed(self._for.likely / TIGHT, copies).outcome.value
            except InputError:  # it does not fit the chip, or the limits
                continue
        return min(values, key=lambda copies: (values[copies], copies), default=1)

    def _spread(self, free: Candidate) -> None:
        """Tries the best plan with another number of copies in the loosest budget that passed; looser, if all did."""
        budget = self._loosest * (LOOSER if self._loosest >= free.loss else 1.0)
        found: list[Candidate] = []
        for copies in self._modules if budget > 0 else ():
            try:
                found.append(self._placed(budget, copies))
            except InputError:  # it does not fit the chip, or the limits
                continue
        best = min(found, key=lambda each: each.outcome.value, default=free)
        if found and best.outcome.value < BETTER * min(each.outcome.value for each in self._passed):
            self._take(best)

    def _loosen(self, free: Candidate) -> None:
        """Tries ever looser budgets until the first that fails; and one between that and the last that passed. Where
        the user's limits leave no plan for tight ones, from the tightest that has one on."""
        most = free.loss
        budget = min(self._for.likely / FIRST, most)
        good = self._try(budget, free)
        if good is None:
            budget = self._tightest_budget(budget, most)
            good = self._try(budget, free)
        passed, failed = (budget, None) if good else (None, budget)
        for _ in range(RETREATS):
            if passed is not None or failed is None:
                break
            budget = failed / TIGHTER
            good = self._try(budget, free)
            if good is None:
                budget = self._tightest_budget(budget, failed)
                good = self._try(budget, free)
            passed, failed = (budget, failed) if good else (None, budget)
        while passed is not None and failed is None and passed < most:
            budget = min(passed * LOOSER, most)
            passed, failed = (budget, None) if self._try(budget, free) else (passed, budget)
        if passed is not None and failed is not None and failed / passed > NARROWED**2:
            budget = sqrt(passed * failed)
            passed = budget if self._try(budget, free) else passed
        self._loosest = passed or 0.0

    def _tightest_budget(self, without: float, most: float) -> float:
        """About the tightest budget that has a plan, by predictions alone; there is none for `without`."""
        low, high = without, most
        for _ in range(BISECTIONS):
            middle = sqrt(low * high)
            try:
                self._placed(middle)
                high = middle
            except InputError:  # no plan loses so little
                low = middle
        return high

    def _try(self, budget: float, free: Candidate) -> bool | None:
        """Whether the best plan within a budget passes a check; then it joins those that did. None: no such plan."""
        try:
            found = free if budget >= free.loss else self._placed(budget)
        except InputError:  # no plan loses so little
            return None
        if any(found.same(each) for each in self._passed):
            return True
        if any(found.same(each) for each in self._failed):
            return False
        return self._take(found)

    def _take(self, found: Candidate) -> bool:
        """Whether a plan passes a check; it joins those that do, or those that do not."""
        good = self._for.promise(found.module) <= self._for.allowed
        (self._passed if good else self._failed).append(found)
        return good

    def _repair(self, least: float) -> None:
        """Adds baselines that are predicted better than the best plan that passed, and than the objective `least` of
        the plan that loses least, and pass the same check; last what LionHeart's search ends with."""
        best = min((least, *(each.outcome.value for each in self._passed)))
        for strategy in BASELINES:
            module = self._modules[self._copies].clone()
            try:
                outcome = replace(self._for.placing, strategy=strategy).place(module)
            except InputError:  # it does not fit the chip, or the limits
                continue
            if outcome.value < best:
                self._for.equip(module)
                module.attributes[SOLUTION] = solution(outcome, "exact")
                best = outcome.value if self._take(Candidate(module, outcome)) else best
        module = self._modules[self._copies].clone()
        self._for.equip(module)
        greedy = replace(self._for.placing, strategy="lionheart")
        try:
            outcome, loss = place_lionheart(greedy, module, self._for.promise, self._for.allowed, best)
        except InputError:  # no digital unit, or all digital is beyond the limits
            return
        if loss is not None and outcome.value < best:
            module.attributes[SOLUTION] = solution(outcome, "exact")
            self._passed.append(Candidate(module, outcome))

    def _least(self) -> Candidate | None:
        """The plan on what loses nothing; None where some operator has no such tier, or the strategy can't be told."""
        if not self._exact:
            return None
        none = {position: np.where(own > 0, inf, 0.0) for position, own in self._for.losses.by_output.items()}
        try:
            return self._placed(None, 1, replace(self._for.losses, by_output=none))
        except InputError:
            return None

    def _tightest(self, free: Candidate) -> Candidate:
        """About the plan that loses least."""
        budget = self._tightest_budget(free.loss * TINY, free.loss)
        try:
            return self._placed(budget)
        except InputError:  # bisections have found none but that without a budget
            return free
