"""What a chip is judged by: energy, latency, area and cost, joined over models in the forms of arXiv 2603.03880.

Energies E in mJ, latencies L in ms, area A in mm2. Over the models k each of E and L is joined on its own: max E_k, the
mean, a weighted mean, or the product of all; then they are multiplied, with A once: max E x max L x A. So `max` is not
the worst of the models' own products, as the greatest energy and the greatest latency may be of different models.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError

Floats = NDArray[np.float64]

TERMS = {
    "energy": "E",
    "latency": "L",
    "area": "A",
    "cost": "C",
    "edp": "EL",
    "edap": "ELA",
    "edp-cost": "ELC",
    "edap-cost": "ELAC",
    "edp-accuracy": "ELQ",
    "edap-accuracy": "ELAQ",
}
"""The factors of each objective: energy, latency, area, cost, and one over the product of the models' accuracies."""
OVER = ("max", "mean", "product", "weighted")
PJ_IN_MJ, NS_IN_MS = 1e-9, 1e-6


@dataclass(frozen=True)
class Objective:
    """`kind` is one of TERMS, `over` one of OVER; `weights` go with `weighted`, one a model, above 0."""

    kind: str
    over: str = "max"
    weights: tuple[float, ...] = ()

    def joined(self, values: Iterable[Any]) -> Any:
        """Values of each model, arrays that broadcast, as one; summed and multiplied in the order of the models."""
        join = {"max": np.maximum, "product": np.multiply}.get(self.over, np.add)
        result: Any = None
        count = 0
        for value in values:
            own = value * self.weights[count] if self.over == "weighted" else value
            result = own if result is None else join(result, own)
            count += 1
        divisors = {"mean": float(count), "weighted": sum(self.weights)}
        return result / divisors[self.over] if self.over in divisors else result

    def score(self, energy_mj: Any, latency_ms: Any, area_mm2: Any, cost: Any, quality: Any = None) -> Any:
        """What shall be least, from energy and latency that are joined already; a cost of None is never looked at.

        `quality`: the product of the models' accuracies; None counts as the best there is, 1, and what is not above 0
        is infinitely bad.
        """
        values = {"E": energy_mj, "L": latency_ms, "A": area_mm2, "C": cost, "Q": 1.0}
        if quality is not None:
            with np.errstate(divide="ignore"):
                values["Q"] = np.where(np.asarray(quality) > 0, 1 / np.asarray(quality), np.inf)
        result = np.float64(1.0)
        for term in TERMS[self.kind]:
            result = result * values[term]
        return result

    def unit(self, models: int) -> str:
        """The unit of a score over this many models."""
        units = {"E": "mJ", "L": "ms", "A": "mm2", "C": "cost", "Q": "/ accuracy"}
        powers = {"E": models, "L": models} if self.over == "product" else {}
        return " ".join(units[t] + (f"^{powers[t]}" if powers.get(t, 1) > 1 else "") for t in TERMS[self.kind])

    def of_products(self, models: int) -> bool:
        """Whether energies and latencies occur as the product of both of each model alone."""
        return {"E", "L"} <= set(TERMS[self.kind]) and (self.over == "product" or models == 1)

    def alone(self) -> "Objective":
        """The same for a single model."""
        return Objective(self.kind)


def objective_of(kind: str, over: str, weights: dict[str, float], models: tuple[str, ...]) -> Objective:
    """The objective that a command line names; `weights` by model, all of them for `weighted` and else none."""
    if over != "weighted":
        if weights:
            raise InputError(f"--weights: expected with --over weighted alone, got --over {over}")
        return Objective(kind, over)
    if set(weights) != set(models):
        got = ", ".join(weights) or "none"
        raise InputError(f"--weights: expected a weight for each of {', '.join(models)}, got {got}")
    return Objective(kind, over, tuple(weights[name] for name in models))
