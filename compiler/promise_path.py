"""Plans from tight to loose budgets of predicted loss, each one checked, until the first that fails."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf, nan, sqrt
from typing import Literal

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from ..passes.place_lionheart import place_lionheart
from ..passes.place_parts import PlaceParts
from ..passes.placed import Placed, tell_strategy
from ..passes.placement.losses import Losses
from ..passes.placement.problem import Ints
from ..passes.quality.sensitivity import matrix_operators
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from ..runtime_sim.redundancy import set_stacked, stackable

STEP = 4.0
"""A budget is so many times the one before, or tighter by as much."""
FIRST = 4.0
"""By how much the first budget is tighter than where the promise is likely to break."""
RETREATS = 3
"""How often a first budget that fails is made tighter; and the first that passed, if its plan fails in the end."""
NARROWED = 1.2
"""A budget between one that passed and one that failed is tried where they are further apart than its square."""
BISECTIONS = 6
"""Steps to the tightest budget for which the user's limits leave a plan."""
BETTER = 0.99
"""A plan is better if its predicted objective is less than this share of another's."""
MISJUDGED = 2.0
"""Predicted losses are trusted so far, once a plan that loses something has passed: a baseline that is predicted to
lose more than so many times what a plan that failed is predicted to lose is not measured."""
BASELINES: tuple[Literal["first-last-digital"], Literal["all-analog"]] = ("first-last-digital", "all-analog")
"""Whole-operator plans that are taken where they are better and keep the promise."""
ALIKE = 0.9
"""A plan that is predicted to lose at least this share of what one that failed is predicted to lose, fails."""
HALF = 0.5
"""Where a plan that passed a check fails in the end, one of so much of its predicted loss comes next."""
TINY = 1e-9
"""The tightest budget is looked for down to this share of what the loosest plan loses."""


@dataclass
class Candidate:
    """A placed module with its plan, each weight held `copies` times; `loss` is predicted, NaN while losses are not
    known."""

    module: ModuleOp
    placed: Placed
    copies: int
    loss: float

    def better(self, other: "Candidate") -> bool:
        """Whether its predicted objective is notably less."""
        return self.placed.value < BETTER * other.placed.value


@dataclass
class Looking:
    """What a path looks for, and how.

    `losses` measures them when they are needed; `likely`: the loss, in their unit, at which the promise may well break;
    `allowed`: the loss allowed; `redundancy`: how often weights are held at most; `equip` gives a placed module what a
    measurement needs; `promise` measures what one promises.
    """

    module: ModuleOp
    placing: PlaceParts
    losses: Callable[[], Losses]
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
        self._passed: list[Candidate] = []
        self._failed: list[Candidate] = []

    @cached_property
    def _losses(self) -> Losses:
        return self._for.losses()

    def run(self) -> Iterator[Candidate]:
        """The plan that is best without a promise, if it passes a check: then losses need not be known. Else, or where
        it fails in the end, those that passed, the best first; then ever tighter ones, down to the one that loses
        least."""
        unlimited = self._unlimited() if self._exact else None
        if unlimited is not None:
            if self._take(unlimited):
                yield unlimited
                self._failed.append(self._passed.pop())
            unlimited.loss = loss_as_placed(unlimited.module, self._losses)
        free = self._placed(None)
        if free.loss == 0 and not self._exact:
            yield free
            return
        least = self._least() if free.loss > 0 else None
        if free.loss > 0:
            self._loosen(free)
        if self._exact:
            self._repair(inf if least is None else least.placed.value)
        yield from self._best_first()
        tightest = min((each.loss for each in self._passed), default=0.0)
        for step in range(1, RETREATS) if tightest > 0 else ():
            try:
                yield self._placed(tightest / STEP**step)
            except InputError:  # no plan loses so little
                break
        if free.loss > 0:
            yield least or self._tightest(free)
        yield from self._all_digital()

    def _all_digital(self) -> Iterator[Candidate]:
        """What loses nothing whatever was predicted, where the strategy may be told and the chip can."""
        if self._exact:
            module = self._for.module.clone()
            try:
                placed = replace(self._for.placing, strategy="all-digital").place(module)
            except InputError:  # no digital unit, or it is beyond the limits
                return
            self._for.equip(module)
            tell_strategy(module, "exact")
            yield Candidate(module, placed, 1, 0.0)

    def _best_first(self) -> Iterator[Candidate]:
        """Those that passed a check; after each, if it fails in the end, one that loses less and is better than the
        rest."""
        left = list(self._passed)
        while left:
            best = preferred(left)
            yield best
            left.remove(best)
            try:
                tighter = self._placed(HALF * best.loss)
            except InputError:  # no plan loses so little
                continue
            if all(tighter.better(each) for each in left):
                yield tighter

    def _unlimited(self) -> Candidate:
        """The best plan if nothing were promised."""
        module = self._for.module.clone()
        placed = self._for.placing.place(module)
        self._for.equip(module)
        return Candidate(module, placed, 1, nan)

    def _placed(self, budget: float | None) -> Candidate:
        """The plan of the strategy within a budget, with the number of copies that is best: of objectives as good as
        each other the one of least energy."""
        found: list[Candidate] = []
        for copies in self._modules:
            try:
                found.append(self._with_copies(copies, budget))
            except InputError:  # it does not fit the chip, or the limits
                if copies == max(self._modules) and not found:
                    raise
        return preferred(found)

    def _with_copies(self, copies: int, budget: float | None, losses: Losses | None = None) -> Candidate:
        """The plan within a budget. What errs independently falls with the number of copies of each weight, of which
        losses are variances."""
        module = self._modules[copies].clone()
        placed = self._for.placing.place(module, losses or self._losses.scaled(1 / copies), budget)
        self._for.equip(module)
        return Candidate(module, placed, copies, placed.loss)

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
            budget = failed / STEP
            good = self._try(budget, free)
            if good is None:
                budget = self._tightest_budget(budget, failed)
                good = self._try(budget, free)
            passed, failed = (budget, failed) if good else (None, budget)
        while passed is not None and failed is None and passed < most:
            budget = min(passed * STEP, most)
            passed, failed = (budget, None) if self._try(budget, free) else (passed, budget)
        if passed is not None and failed is not None and failed / passed > NARROWED**2:
            budget = sqrt(passed * failed)
            self._try(budget, free)

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
        """Whether the best plan within a budget passes a check; then it joins those that did. It is not measured
        where it is no better than one that passed (good), or is predicted to lose as much as one that did not (bad).
        None: no such plan."""
        try:
            found = free if budget >= free.loss else self._placed(budget)
        except InputError:  # no plan loses so little
            return None
        if any(not found.better(each) for each in self._passed):
            return True
        if any(found.loss >= ALIKE * each.loss for each in self._failed):
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
        best = min((least, *(each.placed.value for each in self._passed)))
        copies = preferred(self._passed).copies if self._passed else max(self._modules)
        losses = self._losses.scaled(1 / copies)
        least_failed = min((each.loss for each in self._failed), default=inf)
        hopeless = MISJUDGED * least_failed if any(each.loss > 0 for each in self._passed) else inf

        def promise(module: ModuleOp) -> float:
            return inf if loss_as_placed(module, losses) > hopeless else self._for.promise(module)

        def add(module: ModuleOp, placed: Placed) -> None:
            tell_strategy(module, "exact")
            self._passed.append(Candidate(module, placed, copies, loss_as_placed(module, losses)))

        for strategy in BASELINES:
            module = self._modules[copies].clone()
            try:
                placed = replace(self._for.placing, strategy=strategy).place(module)
            except InputError:  # it does not fit the chip, or the limits
                continue
            self._for.equip(module)
            if placed.value < BETTER * best and promise(module) <= self._for.allowed:
                best = placed.value
                add(module, placed)
        module = self._modules[copies].clone()
        self._for.equip(module)
        greedy = replace(self._for.placing, strategy="lionheart")
        try:
            placed, loss = place_lionheart(greedy, module, promise, self._for.allowed, BETTER * best)
        except InputError:  # no digital unit, or all digital is beyond the limits
            return
        if loss is not None and placed.value < BETTER * best:
            add(module, placed)

    def _least(self) -> Candidate | None:
        """The plan on what loses nothing; None where some operator has no such tier, or the strategy can't be told."""
        if not self._exact:
            return None
        none = {position: np.where(own > 0, inf, 0.0) for position, own in self._losses.by_output.items()}
        try:
            return self._with_copies(1, None, replace(self._losses, by_output=none))
        except InputError:
            return None

    def _tightest(self, free: Candidate) -> Candidate:
        """About the plan that loses least."""
        budget = self._tightest_budget(free.loss * TINY, free.loss)
        try:
            return self._placed(budget)
        except InputError:  # bisections have found none but that without a budget
            return free


def preferred(plans: Sequence[Candidate]) -> Candidate:
    """The plan of the least predicted objective; of those as good, the one of least energy, with fewest copies."""
    best = min(each.placed.value for each in plans)
    good = [each for each in plans if BETTER * each.placed.value <= best]
    return min(good, key=lambda each: (each.placed.energy_pj, each.copies))


def loss_as_placed(module: ModuleOp, losses: Losses) -> float:
    """The predicted loss of a placed module whose outputs are in the model's order."""
    tiers = list(chip_from_ir(module).tiers)
    placed: dict[int, Ints] = {}
    for position, op in enumerate(matrix_operators(module)):
        if position in losses.by_output:
            parts = [np.full(part.outputs, tiers.index(part.tier_name)) for part in op.parts or ()]
            placed[position] = np.concatenate(parts)
    return losses.loss(placed)
