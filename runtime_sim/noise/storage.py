"""Weights stored in tiers that err: the one interface of all technologies, and the pair of memory cells behind most.

Weights are (.., K, N), K inputs and N outputs; leading axes are independent copies or realisations. A `Technology`
programs them once and the result is read at any number of ages. Values come back in the units of the weights.
"""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..quantise import SMALLEST
from .device import Device
from .faults import StuckAt

Array = NDArray[Any]


class Programmed(Protocol):
    """Weights in a tier, until they are written again."""

    def read(self, age_s: float, rng: np.random.Generator) -> Array:
        """The weights that a batch meets `age_s` seconds after programming: float32, in the shape given."""
        ...

    def read_noise(self, weights: Array) -> Array | None:
        """The variance of each weight from one input vector to the next, given what `read` returned; None for none.

        With it an output has the additional variance sum_k x_k^2 variance_kn (`forward.noisy_mvm` takes it).
        """
        ...


class Technology(Protocol):
    """A way to store weights."""

    def program(self, weights: Array, rng: np.random.Generator) -> Programmed:
        """Write weights (.., K, N); another call is another realisation."""
        ...

    def weight_moments(self, weights: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of each weight as `read` returns it, over realisations and reads; float64."""
        ...

    def weight_noise_power(self, weights: Array, age_s: float) -> Array:
        """The variance of each weight, as in `weight_moments`."""
        ...


def compensated_power(weights: Array, mean: Array, variance: Array) -> Array:
    """Mean square error of each weight once one digital factor for all has restored the mean magnitude.

    The factor is the inverse of how much the mean weights shrank (least squares), which is what global drift
    compensation aims at; what it cannot undo is the spread, and drift that differs between weights.
    """
    w, m = weights.astype(np.float64), mean
    gain = float((w * w).sum() / max(float((w * m).sum()), SMALLEST))
    return gain * gain * variance + (gain * m - w) ** 2


@dataclass(frozen=True)
class Cells:
    """Weights as conductances of memory devices.

    `encoding`: `pair` has a device for positive and one for negative weights, the idle one at g_min; `offset` has one
    device a weight and zero in the middle of the range.
    `per`: what shares a scale from weights to conductances: an `output` (its own column multiplier) or the `tensor`.
    `order`: `pair` lets each device drift by itself. `net` keeps only the net weight after programming, maps its
    largest value to g_max again and lets that drift, as AIHWKIT does (its statistics are tested in this order).
    `faults` need the order `pair`, where devices keep their identity.
    """

    device: Device
    encoding: Literal["pair", "offset"] = "pair"
    per: Literal["output", "tensor"] = "output"
    order: Literal["pair", "net"] = "pair"
    faults: StuckAt | None = None

    def __post_init__(self) -> None:
        if self.faults is not None and self.order == "net":
            raise ValueError("stuck cells need the order 'pair': a net weight has no cells")

    def program(self, weights: Array, rng: np.random.Generator) -> "StoredCells":
        """Write weights (.., K, N) into devices."""
        scale, peak = self.scale(weights)
        targets = self.conductances(weights.astype(np.float32, copy=False), scale, peak)
        written, memory = self.device.written(targets, rng), self.device.memory(targets, rng)
        if self.order == "net":
            net = self.weights(written, scale, peak)
            return StoredCells(self, net, memory, scale, peak, None)
        stuck = self.faults.draw(written.shape, rng) if self.faults else None
        return StoredCells(self, written, memory, scale, peak, stuck)

    def weight_moments(self, weights: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of each weight; those of the order `pair`, which `net` follows within some per cent."""
        scale, peak = (values.astype(np.float64) for values in self.scale(weights))
        targets = self.conductances(weights.astype(np.float64), scale, peak)
        mean, variance = self.device.moments(targets, age_s)
        if self.faults:
            mean, variance = self.faults.moments(mean, variance, self.device.g_min_us, self.device.g_max_us)
        return self.weights(mean, scale, peak), variance.sum(axis=0) / scale**2

    def weight_noise_power(self, weights: Array, age_s: float) -> Array:
        """The variance of each weight."""
        return self.weight_moments(weights, age_s)[1]

    def scale(self, weights: Array) -> tuple[Array, Array]:
        """(uS for a weight of 1, the largest magnitude), float32, broadcastable against the weights."""
        axes = (-2, -1) if self.per == "tensor" else (-2,)
        peak = np.abs(weights).max(axis=axes, keepdims=True, initial=0).astype(np.float32)
        # A dead output gets the least scale there is, so that the noise of its cells is nothing like its neighbours'.
        peak = np.maximum(peak, np.float32(SMALLEST))
        span = self.device.g_max_us - self.device.g_min_us
        return np.float32(span if self.encoding == "pair" else span / 2) / peak, peak

    def conductances(self, weights: Array, scale: Array, peak: Array) -> Array:
        """Targets in uS, (devices a weight, .., K, N)."""
        low = weights.dtype.type(self.device.g_min_us)
        if self.encoding == "offset":
            return ((weights + peak) * scale + low)[None]
        scaled = weights * scale
        return np.stack([np.maximum(scaled, 0), np.maximum(-scaled, 0)]) + low

    def weights(self, conductances: Array, scale: Array, peak: Array) -> Array:
        """What conductances (devices a weight, .., K, N) stand for."""
        if self.encoding == "offset":
            return (conductances[0] - conductances.dtype.type(self.device.g_min_us)) / scale - peak
        return (conductances[0] - conductances[1]) / scale


@dataclass(frozen=True)
class StoredCells:
    """Programmed cells: `state` is the conductances (devices a weight, .., K, N), or net weights in the order `net`."""

    cells: Cells
    state: Array
    memory: Array | None
    scale: Array
    peak: Array
    stuck: tuple[Array, Array] | None

    def read(self, age_s: float, rng: np.random.Generator) -> Array:
        """The weights at an age; drift is of the devices, 1/f noise is drawn by each call."""
        cells, scale, peak, written = self.cells, self.scale, self.peak, self.state
        if cells.order == "net":
            scale, peak = cells.scale(self.state)
            written = cells.conductances(self.state, scale, peak)
        aged = cells.device.aged(written, self.memory, age_s, rng)
        if self.stuck:
            low, high = self.stuck
            aged = np.where(low, np.float32(cells.device.g_min_us), aged)
            aged = np.where(high, np.float32(cells.device.g_max_us), aged)
        return cells.weights(aged, scale, peak)

    def as_written(self) -> Array:
        """The weights right after programming, before the first read: what compensation takes as its reference."""
        if self.cells.order == "net":
            return self.state
        return self.cells.weights(self.state, self.scale, self.peak)

    def read_noise(self, weights: Array) -> Array | None:
        """The variance of each weight from vector to vector, by the conductances that such weights take together."""
        cells, device = self.cells, self.cells.device
        if cells.encoding == "pair":
            total = np.abs(weights) * self.scale + np.float32(2 * device.g_min_us)
        else:
            total = (weights + self.peak) * self.scale + np.float32(device.g_min_us)
        variance = device.read_variance(np.maximum(total, 0), device.g_max_us)
        return None if variance is None else variance / self.scale / self.scale
