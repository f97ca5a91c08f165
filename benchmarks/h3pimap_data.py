"""What H3PIMAP (arXiv 2503.07778v2) published on Pythia-70M, and predictions of quality made from it.

Latency in ms, energy in mJ. Shares and order of sensitivity are read from its figures, the rows from its table.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ROWS = {
    "homogeneous:sram": (10.21, 13.79),
    "homogeneous:reram": (14.73, 13.44),
    "homogeneous:photonic": (0.91, 8.92),
    "equal": (4.90, 12.02),
    "PO": (1.34, 9.85),
    "PO + RR": (2.25, 10.39),
}
CLOUD = ((0.9, 13.6), (9.3, 13.7))
"""Ranges of latency and energy of 100 random mappings."""
SEARCH_MINUTES = 51.3
NOISE = {"sram": 0.0, "reram": 0.003, "photonic": 1.0}
"""Rise of perplexity of the homogeneous rows (20.329, 20.340, 23.839), as shares of the photonic tier's."""

INPUTS = {"qkv": 512, "proj": 512, "lin1": 512, "lin2": 2048}
OUTPUTS = {"qkv": 1536, "proj": 512, "lin1": 2048, "lin2": 512}
SHARES = {
    "0.lin2": (84.7, 6.5, 8.8),
    "0.lin1": (51, 16, 33),
    "0.qkv": (29, 14, 56),
    "2.lin1": (25, 11, 64),
    "2.lin2": (62, 17, 21),
    "3.lin1": (58, 14, 28),
    "1.lin1": (19, 10, 70),
    "1.lin2": (18, 8, 74),
    "4.lin1": (20, 9, 70),
    "3.lin2": (20, 12, 67),
    "5.lin1": (58, 13, 29),
    "4.lin2": (57, 15, 27),
    "1.qkv": (49, 15, 37),
    "5.lin2": (7, 2, 91),
    "5.qkv": (5, 4, 91),
    "0.proj": (8, 1, 91),
    "2.proj": (19, 13, 67),
    "2.qkv": (15, 10, 76),
    "3.qkv": (3, 1, 96),
    "4.qkv": (3, 4, 93),
    "5.proj": (1.5, 2, 96),
    "1.proj": (9, 9, 82),
    "4.proj": (0, 0, 100),
    "3.proj": (0, 0, 100),
}
"""Percent of the outputs on sram, reram, photonic after PO + RR, by layer, the most sensitive layer first."""


@dataclass(frozen=True)
class Prediction:
    """How sensitive each output is: `outputs` by layer, in units in which the all-photonic plan loses 1."""

    name: str
    outputs: dict[str, Floats]


def published_splits() -> dict[str, NDArray[np.int64]]:
    """Outputs of each layer on sram, reram, photonic as published, rounded; what rounding leaves is photonic."""
    result: dict[str, NDArray[np.int64]] = {}
    for layer, percent in SHARES.items():
        total = OUTPUTS[layer.split(".")[1]]
        split = np.floor(np.array(percent) / sum(percent) * total).astype(np.int64)
        split[2] = total - split[:2].sum()
        result[layer] = split
    return result


def predictions() -> list[Prediction]:
    """The prediction that the table is made by, then harsher ones.

    The first gives a layer's outputs a mean weight that falls from 3 to 1, geometrically, in the published order of
    layers, and spreads them exponentially. It fits best what was measured: of the loss of the all-photonic plan the
    published plan has 0.283, the prediction 0.293. The harsher ones: weights grow with the inputs of a layer, spread or
    not; and the published shares are taken as the outcome of one threshold over all outputs, as row remap claims.
    """
    steps = len(SHARES) - 1
    rank = {layer: 3.0 ** -(i / steps) for i, layer in enumerate(SHARES)}
    inputs = {layer: float(INPUTS[layer.split(".")[1]]) for layer in SHARES}
    photonic = {layer: min(percent[2] / sum(percent), 1 - 1 / 1024) for layer, percent in SHARES.items()}
    return [
        _prediction("rank, span 3", rank, _exponential),
        _prediction("inputs K", inputs, _exponential),
        _prediction("inputs K, outputs alike", inputs, np.ones_like),
        _prediction("published threshold, uniform", {k: 0.5 / v for k, v in photonic.items()}, _uniform),
        _prediction("published threshold", {k: -1 / np.log(1 - v) for k, v in photonic.items()}, _exponential),
    ]


def _exponential(quantiles: Floats) -> Floats:
    """Of the exponential distribution of mean 1."""
    return -np.log(1 - quantiles)


def _uniform(quantiles: Floats) -> Floats:
    """Of the uniform distribution of mean 1."""
    return 2 * quantiles


def _prediction(name: str, weights: dict[str, float], spread: object) -> Prediction:
    assert callable(spread)
    outputs: dict[str, Floats] = {}
    for layer, weight in weights.items():
        total = OUTPUTS[layer.split(".")[1]]
        outputs[layer] = weight * np.asarray(spread((np.arange(total) + 0.5) / total), np.float64)
    whole = sum(float(values.sum()) for values in outputs.values())
    return Prediction(name, {layer: values / whole for layer, values in outputs.items()})
