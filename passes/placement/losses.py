"""The loss of quality that a placement brings, predicted: what each output of each operator adds on each tier.

Errors of different outputs are independent and small, so that the variances that they cause at the model's outputs add
up: the loss predicted for a plan is the sum over all outputs of what each adds on the tier that it is on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from .problem import Floats, Ints, PlacementError

RELATIVE_MSE, KL = "relative mse", "kl"
"""Units of losses: mean squared error of the model's outputs over the mean square of the digital model's outputs; the
Kullback-Leibler divergence of classes' probabilities, in nats."""


@dataclass(frozen=True)
class Losses:
    """`by_output[i]` is an array [tier, output] for the operator at position i of the program.

    Outputs are all that the operator has, groups side by side, in the model's order; tiers are in the chip's order.
    Infinite where the output can't be on the tier. Operators that are not named do not count. `unit` says what is
    added up.
    """

    by_output: dict[int, Floats]
    unit: str = RELATIVE_MSE

    def __post_init__(self) -> None:
        for position, own in self.by_output.items():
            if own.ndim != 2 or not (own >= 0).all():
                raise PlacementError(f"losses: expected numbers from 0 by tier and output for operator {position}")

    def scaled(self, factor: float) -> Losses:
        """The same losses, all multiplied."""
        return replace(self, by_output={position: own * factor for position, own in self.by_output.items()})

    def loss(self, tiers: Mapping[int, Ints]) -> float:
        """The loss predicted for a plan; `tiers[i]` are those of each output of the operator at position i."""
        return sum(float(own[tiers[i], np.arange(own.shape[1])].sum()) for i, own in self.by_output.items())
