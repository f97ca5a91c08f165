"""What is promised of a plan's quality: what is asked, the data that it is measured with, and what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from ..runtime_sim.errors import InputError
from ..runtime_sim.kinds.noise import Compensation
from ..runtime_sim.quality.measure import Quality
from ..runtime_sim.quality.promise import samples_needed
from ..runtime_sim.redundancy import copies_held

Array = NDArray[Any]
Verdict = Literal["kept", "unverifiable", "unreachable"]


@dataclass(frozen=True)
class Wanted:
    """What is asked of quality; `max_loss` None: nothing, it is measured and told. `redundancy`: how often at most
    weights may be held."""

    ages: tuple[str, ...]
    max_loss: float | None = None
    metric: str | None = None
    compensation: Compensation | None = None
    repeats: int = 25
    seed: int = 0
    output: str | None = None
    redundancy: int = 8


@dataclass(frozen=True)
class Half:
    """Samples with their labels."""

    inputs: Mapping[str, Array]
    labels: Array | None

    @property
    def samples(self) -> int:
        return len(next(iter(self.inputs.values())))

    def with_all_of(self, other: "Half") -> "Half":
        """These samples and those of another."""
        both = {name: np.concatenate([array, other.inputs[name]]) for name, array in self.inputs.items()}
        if self.labels is None or other.labels is None:
            return Half(both, None)
        return Half(both, np.concatenate([self.labels, other.labels]))


@dataclass(frozen=True)
class Promised:
    """A placed module, what it was measured to lose, and how that was found. `verdict` None: nothing was asked.

    `passes`: samples through the network, of sensitivities by the share of its MACs; `search_passes`: without those of
    the measurement that is told, which any plan takes."""

    module: ModuleOp
    quality: Quality
    promise: float
    verdict: Verdict | None
    max_loss: float | None
    predicted_loss: float | None
    plans: int
    passes: float
    search_passes: float
    seconds: float

    def tree(self) -> dict[str, Any]:
        """`quality` as in the summary."""
        return {
            **self.quality.tree(),
            "max_loss": self.max_loss,
            "promise": self.promise,
            "verdict": self.verdict,
            "predicted_loss": self.predicted_loss,
            "redundancy": copies_held(self.module),
            "plans": self.plans,
            "passes": self.passes,
            "search_passes": self.search_passes,
            "seconds": self.seconds,
        }

    @property
    def samples_needed(self) -> int:
        """How many samples would verify the promise."""
        return samples_needed(self.quality, self.max_loss or 0.0)


def halves(inputs: Mapping[str, Array], labels: Array | None, batch: int) -> tuple[Half, Half]:
    """Every other execution of the calibration data, and the rest; what is no whole execution is left out."""
    if not inputs:
        raise InputError("calibration: expected inputs to measure with, got none")
    count = len(next(iter(inputs.values())))
    if any(len(array) != count for array in inputs.values()) or (labels is not None and len(labels) != count):
        raise InputError("calibration: expected as many samples of every input, and labels, on the leading axis")
    executions = count // batch
    if executions < 2:
        raise InputError(f"calibration: expected at least {2 * batch} samples, two executions, got {count}")
    owner = np.repeat(np.arange(executions) % 2, batch)

    def half(which: int) -> Half:
        at = np.flatnonzero(owner == which)
        return Half({name: array[at] for name, array in inputs.items()}, None if labels is None else labels[at])

    return half(0), half(1)
