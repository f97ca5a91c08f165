"""Convolutions as matrix products: the columns that a window of any number of dimensions sees."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Window:
    """A convolution's geometry: ONNX's strides, pads (all begins, then all ends), dilations and groups."""

    kernel: tuple[int, ...]
    strides: Sequence[int]
    pads: Sequence[int]
    dilations: Sequence[int]
    groups: int = 1

    def positions(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """The spatial shape of the result for an input of spatial shape `spatial`."""
        rank = len(self.kernel)
        sizes: list[int] = []
        for i, size in enumerate(spatial):
            reach = self.dilations[i] * (self.kernel[i] - 1) + 1
            sizes.append((size + self.pads[i] + self.pads[rank + i] - reach) // self.strides[i] + 1)
        return tuple(sizes)


def columns(x: Array, window: Window, *, pad_value: float = 0) -> Array:
    """What each position of a window sees.

    `x` is samples, channels, spatial..; the result is samples, groups, K, positions with K = channels / groups x
    kernel, in the order of ONNX's weights (channel, then kernel positions), and positions in row-major order. Values
    outside `x` are `pad_value` (a quantised convolution pads with the code of zero). A window of one element and
    stride 1 without padding is a view of `x`, else the result is a copy of the same type.
    """
    samples, channels, *spatial = x.shape
    rank, groups = len(spatial), window.groups
    depth = channels // groups * prod(window.kernel)
    positions = window.positions(spatial)
    if any(pad < 0 for pad in window.pads):
        crops = zip(window.pads[:rank], window.pads[rank:], spatial, strict=True)
        x = x[(slice(None), slice(None), *(slice(max(-a, 0), size - max(-b, 0)) for a, b, size in crops))]
    if any(pad > 0 for pad in window.pads):
        pads = [(max(a, 0), max(b, 0)) for a, b in zip(window.pads[:rank], window.pads[rank:], strict=True)]
        x = np.pad(x, [(0, 0), (0, 0), *pads], constant_values=pad_value)
    reach = [dilation * (size - 1) + 1 for dilation, size in zip(window.dilations, window.kernel, strict=True)]
    seen = sliding_window_view(x, reach, axis=tuple(range(2, 2 + rank)))
    steps = tuple(slice(None, None, stride) for stride in window.strides)
    taps = tuple(slice(None, None, dilation) for dilation in window.dilations)
    seen = seen[(slice(None), slice(None), *steps, *taps)]
    # samples, channels, positions.., kernel..  ->  samples, channels, kernel.., positions..
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    return seen.transpose(order).reshape(samples, groups, depth, prod(positions))
