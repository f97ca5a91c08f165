"""The proven best chip in as few placements as bounds allow: models are placed on chips one at a time.

All chips have a bound that costs little; those that come first by it get a sharper one, where there is one.

A chip costs no less than what those of its models cost that are placed, and the bounds of the others. Chips of which
this is least get their next model placed, until no chip is left of which it is below the best price of a chip whose
models are all placed. So of a chip that one model rules out the others are never placed. The model whose prices were
the furthest above its bounds so far comes first, as it is likely to rule out most.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .archived import Archived
from .evaluators import Judged, Scores, Task
from .ranking import Found, best_first, found_of_visited
from .space import Design
from .staged import all_by_bound

Sharper = Callable[[Sequence[Design]], Scores]
"""Bounds of chips that are no looser."""


def proven_best(bound: Task, placed: Task, at_once: int = 1, sharper: Sharper | None = None) -> Found:
    """The best chip of a space, proven. What was visited are the chips whose models are all placed.

    The evaluator of `placed` is an `Archived`, whose prices are never below those of `bound`, nor the scores that
    follow from them below those from `sharper`; `at_once` models are placed together.
    """
    feasible = all_by_bound(bound)
    order = best_first(feasible, len(feasible)).number.tolist()
    chips = _Chips(bound, placed, [placed.space.design(number) for number in order], sharper)
    while wanted := chips.wanted(at_once):
        chips.place(wanted)
    whole = placed.judged([design for design, known in zip(chips.designs, chips.whole, strict=True) if known])
    found = found_of_visited(whole)
    proven = bool(len(found.top))
    decided = bound.space.size if proven else len(whole)
    return replace(found, proven=proven, evaluated=decided, feasible=len(feasible))


class _Chips:
    """Chips with what is known of their costs, the least bound first."""

    def __init__(self, bound: Task, placed: Task, designs: Sequence[Design], sharper: Sharper | None) -> None:
        assert isinstance(placed.evaluator, Archived)
        self._placed, self._archived, self._sharper, self.designs = placed, placed.evaluator, sharper, designs
        self._least = bound.evaluator.evaluate(designs)
        energy, latency = self._least.energy_pj.copy(), self._least.latency_ns.copy()
        self._costs = Scores(energy, latency, self._least.area_mm2, *(np.full(energy.shape, np.nan) for _ in range(2)))
        self._known = np.zeros(energy.shape, np.bool_)
        self._sharp = np.full(len(designs), sharper is None)

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Of which chips all models are placed."""
        return np.logical_and.reduce(self._known, axis=0)

    def judged(self) -> Judged:
        """The chips by what is known: no price is below."""
        return self._placed.judged(self.designs, scores=self._costs)

    def wanted(self, count: int) -> list[tuple[int, Design]]:
        """At most `count` placements of chips that may be the best one: the next model of each; none: it is found."""
        open_ = self._open()[:count]
        while not self._sharp[open_].all():
            self._sharpen(open_[~self._sharp[open_]])
            open_ = self._open()[:count]
        first = np.argsort(-self._above(), kind="stable")
        return [
            (int(next(model for model in first if not self._known[model, chip])), self.designs[chip])
            for chip in open_.tolist()
        ]

    def _open(self) -> NDArray[np.int64]:
        """Chips that may be the best one, the least bound first."""
        score = self.judged().score
        open_ = np.flatnonzero(~self.whole & (score < score[self.whole].min(initial=np.inf)))
        return open_[np.argsort(score[open_], kind="stable")]

    def _sharpen(self, chips: NDArray[np.int64]) -> None:
        """Give chips, none of whose models are placed, their sharper bounds."""
        assert self._sharper is not None
        scores = self._sharper([self.designs[chip] for chip in chips.tolist()])
        for name in ("energy_pj", "latency_ns"):
            vars(self._least)[name][:, chips] = vars(self._costs)[name][:, chips] = vars(scores)[name]
        self._sharp[chips] = True

    def place(self, wanted: Sequence[tuple[int, Design]]) -> None:
        """Learn what models cost on chips."""
        place = {design: at for at, design in enumerate(self.designs)}
        for (model, design), price in zip(wanted, self._archived.prices(wanted), strict=True):
            at = model, place[design]
            for name in ("energy_pj", "latency_ns", "loss", "quality"):
                vars(self._costs)[name][at] = getattr(price, name)
            self._known[at] = True

    def _above(self) -> NDArray[np.float64]:
        """By how much the prices of each model were above its bounds in the mean, infinite where none is known."""
        price = self._costs.energy_pj * self._costs.latency_ns
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self._known, price / (self._least.energy_pj * self._least.latency_ns), 0.0)
            return np.where(self._known.any(axis=1), ratio.sum(axis=1) / self._known.sum(axis=1), np.inf)
