"""Cells that cannot be written: stuck at the least or at the largest conductance, whatever their target."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .constants import constants

Array = NDArray[Any]


@dataclass(frozen=True)
class StuckAt:
    """Shares of cells stuck at the least (`stuck_low`) and the largest conductance (`stuck_high`).

    One uniform draw U a cell: U < stuck_low is stuck low, U > 1 - stuck_high stuck high (MNSIM 2.0). Faults come after
    programming and before drift; a stuck cell neither drifts nor fluctuates.
    """

    stuck_low: float
    stuck_high: float

    @staticmethod
    def typical() -> "StuckAt":
        """The shares of data/reram.yaml."""
        return StuckAt(**constants("reram", "faults"))

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Array, Array]:
        """(stuck low, stuck high): two arrays of booleans, never both."""
        u = rng.random(shape, dtype=np.float32)
        return u < np.float32(self.stuck_low), u > np.float32(1 - self.stuck_high)

    def moments(self, mean: Array, variance: Array, low: float, high: float) -> tuple[Array, Array]:
        """Moments of a value that is `low` or `high` in the shares of stuck cells, and has (mean, variance) else."""
        p0, p1 = self.stuck_low, self.stuck_high
        second = (1 - p0 - p1) * (variance + mean**2) + p0 * low**2 + p1 * high**2
        mixed = (1 - p0 - p1) * mean + p0 * low + p1 * high
        return mixed, np.maximum(second - mixed**2, 0)
