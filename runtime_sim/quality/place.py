"""What is known of a part of a plan before any realisation of its noise."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..noise.storage import Cells, Technology
from .streams import Streams

Array = NDArray[Any]
Gain = Literal["magnitude", "signed"]

FRESH_AGE_S = 1.0
"""The age of weights that are written at each execution; the least that published fits go down to."""


@dataclass(frozen=True)
class PartPlace:
    """What is known of a part before any realisation.

    `name`: for messages; `fresh`: weights are written at each execution; `full`: the range of its output converters;
    `activity`: how often each bit of its input codes is set; `gain`: whether drift is compensated by gains, and whether
    those come from magnitudes of reads, as published, or from reads with the signs that the weights should have.
    """

    name: str
    streams: Streams
    fresh: bool = False
    full: float | None = None
    activity: Array | None = None
    gain: Gain | None = None
    exact_adc: bool = False


def intended(technology: Technology | None, values: Array) -> Array:
    """`values` as cells without error would give them back, in the same float32 arithmetic."""
    values = values.astype(np.float32, copy=False)
    if not isinstance(technology, Cells):
        return values
    scale, peak = technology.scale(values)
    return technology.weights(technology.conductances(values, scale, peak), scale, peak)
