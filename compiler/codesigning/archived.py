"""Evaluators whose prices are kept: what the archive has is taken from there, what it lacks is priced and added."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Protocol

import numpy as np

from .archive import Archive, Context, Price
from .archive_keys import cost_version, space_digest
from .evaluators import Evaluator, Scores
from .space import Design, DesignList, Space

Told = Callable[[int], None]
"""Takes the number of prices that are known."""


class Pricing(Protocol):
    """An evaluator whose prices can be kept: of each model on its own, with what they depend on."""

    @property
    def evaluator(self) -> Evaluator:
        """What knows the chips and their figures."""
        ...

    @property
    def costly(self) -> bool:
        """Whether each price is written to the archive as it is there; else those of a call together, at its end."""
        ...

    @property
    def measured(self) -> bool:
        """Whether some models' prices have losses."""
        ...

    def contexts(self) -> Sequence[Context]:
        """Of each model."""
        ...

    def prices(self, wanted: Sequence[tuple[int, Design]], done: Callable[[int, Design, Price, bool], None]) -> None:
        """Price (position of a model, chip) in any order; `done` is told of each at once.

        Its last argument says whether the price is one to keep: it would be the same another time.
        """
        ...


class Archived:
    """An evaluator (see `evaluators.Evaluator`) that prices what neither it nor the archive knows, and adds it."""

    def __init__(
        self, pricing: Pricing, archive: Archive | None, told: Callable[[int], None] = lambda done: None
    ) -> None:
        """`told` hears of every new price."""
        self.pricing = pricing
        self.archive = archive
        self.told = told
        self.found = 0
        """Prices that were in the archive."""
        self.priced = 0
        """Prices that were not."""
        self.reasons: dict[tuple[str, Design], str] = {}
        """Why a model could not be priced on a chip."""
        self.lost: set[tuple[str, Design]] = set()
        """What could not be priced for reasons that are not the chip's, so that another time it may be."""
        self._contexts = pricing.contexts()
        self._known: list[dict[Design, Price]] = [{} for _ in self._contexts]

    @property
    def space(self) -> Space:
        """The chips."""
        return self.pricing.evaluator.space

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.pricing.evaluator.models

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips by name: [chip]."""
        return self.pricing.evaluator.figures(designs)

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        """Prices of chips."""
        self.prices([(model, design) for design in dict.fromkeys(designs) for model in range(len(self._known))])
        energy, latency, area, loss, quality = (
            np.array([[getattr(known[design], name) for design in designs] for known in self._known], np.float64)
            for name in ("energy_pj", "latency_ns", "area_mm2", "loss", "quality")
        )
        return Scores(energy, latency, area.min(axis=0), *((loss, quality) if self.pricing.measured else ()))

    def prices(self, asked: Sequence[tuple[int, Design]]) -> list[Price]:
        """Prices of models, by their positions, on chips: not each model on each chip."""
        for model, known in enumerate(self._known):
            self._look_up(model, [design for at, design in asked if at == model and design not in known])
        if wanted := [(model, design) for model, design in asked if design not in self._known[model]]:
            self._price(wanted)
        return [self._known[model][design] for model, design in asked]

    def _look_up(self, model: int, designs: Sequence[Design]) -> None:
        """Learn what the archive has."""
        if self.archive is None or not designs:
            return
        prices = self.archive.get(self._contexts[model], designs)
        for design, price in prices.items():
            self._learn(model, design, price)
        self.found += len(prices)
        self.told(self.found + self.priced)

    def _price(self, wanted: Sequence[tuple[int, Design]]) -> None:
        """Price what is not known; each price is in the archive before anyone hears of it."""
        waiting: list[tuple[Context, Design, Price]] = []

        def written() -> None:
            if self.archive is not None and waiting:
                self.archive.put(waiting)
            waiting.clear()

        def done(model: int, design: Design, price: Price, keep: bool) -> None:
            if keep:
                waiting.append((self._contexts[model], design, price))
            else:
                self.lost.add((self.models[model], design))
            if self.pricing.costly:
                written()
            self.priced += 1
            self._learn(model, design, price)
            self.told(self.found + self.priced)

        self.pricing.prices(wanted, done)
        written()

    def _learn(self, model: int, design: Design, price: Price) -> None:
        self._known[model][design] = price
        if price.reason:
            self.reasons[self.models[model], design] = price.reason


@dataclass(frozen=True)
class Batches:
    """The pricing (see `Pricing`) of an evaluator that costs so little that chips are priced many at once, here."""

    evaluator: Evaluator
    models: Sequence[str]
    """The digest of each model."""
    settings: str = "closed form"
    costly: bool = False
    measured: bool = False

    def contexts(self) -> Sequence[Context]:
        """Of each model."""
        return [Context(space_digest(self.evaluator.space), m, cost_version(), self.settings) for m in self.models]

    def prices(self, wanted: Sequence[tuple[int, Design]], done: Callable[[int, Design, Price, bool], None]) -> None:
        """Price all chips asked for in one call."""
        designs = list(dict.fromkeys(design for _, design in wanted))
        place = {design: at for at, design in enumerate(designs)}
        scores = self.evaluator.evaluate(designs)
        for model, design in wanted:
            at = place[design]
            energy, latency = float(scores.energy_pj[model, at]), float(scores.latency_ns[model, at])
            built = isfinite(energy) and isfinite(latency)
            done(
                model,
                design,
                Price(energy, latency, float(scores.area_mm2[at]), None if built else "no such chip"),
                True,
            )
