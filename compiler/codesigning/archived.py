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

    def contexts(self) -> Sequence[Context]:
        """Of each model."""
        ...

    def prices(self, wanted: Sequence[tuple[int, Design]], done: Callable[[int, Design, Price, bool], None]) -> None:
        """Price (position of a model, chip) in any order; `done` is told of each at once.

        Its last argument says whether the price is one to keep: it would be the same another time.
        """
        ...


class Archived:
    """An evaluator (see `evaluators.Evaluator`) that prices what the archive does not have, and adds it."""

    def __init__(self, pricing: Pricing, archive: Archive | None) -> None:
        self.pricing = pricing
        self.archive = archive
        self.found = 0
        """Prices that were in the archive."""
        self.priced = 0
        """Prices that were not."""
        self.reasons: dict[tuple[str, Design], str] = {}
        """Why a model could not be priced on a chip."""
        self._contexts = pricing.contexts()

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
        known = [self._known(model, designs) for model in range(len(self.models))]
        wanted = [(m, d) for d in dict.fromkeys(designs) for m in range(len(known)) if d not in known[m]]
        self.found += sum(map(len, known))

        waiting: list[tuple[Context, Design, Price]] = []

        def written() -> None:
            if self.archive is not None and waiting:
                self.archive.put(waiting)
            waiting.clear()

        def done(model: int, design: Design, price: Price, keep: bool) -> None:
            if keep:
                waiting.append((self._contexts[model], design, price))
            if self.pricing.costly:
                written()
            self.priced += 1
            known[model][design] = price

        if wanted:
            self.pricing.prices(wanted, done)
            written()
        for model, prices in zip(self.models, known, strict=True):
            self.reasons |= {(model, design): price.reason for design, price in prices.items() if price.reason}
        energy, latency, area = (
            np.array([[getattr(prices[design], name) for design in designs] for prices in known])
            for name in ("energy_pj", "latency_ns", "area_mm2")
        )
        return Scores(energy, latency, area.min(axis=0))

    def _known(self, model: int, designs: Sequence[Design]) -> dict[Design, Price]:
        return {} if self.archive is None else self.archive.get(self._contexts[model], designs)


@dataclass(frozen=True)
class Batches:
    """The pricing (see `Pricing`) of an evaluator that costs so little that chips are priced many at once, here."""

    evaluator: Evaluator
    models: Sequence[str]
    """The digest of each model."""
    settings: str = "closed form"
    costly: bool = False

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
