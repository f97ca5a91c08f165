"""A noisy matrix product at the speed of BLAS: converters, noise of reads as noise of outputs, wires.

Order as in AIHWKIT: inputs are scaled, converted, get noise; the product loses current on wires, gets noise of weights
and of outputs, and is converted; vectors that clip are repeated at half the input. Noise of weights that is new in each
vector is drawn where it shows: an output's variance is sum_k x_k^2 variance_kn, a second product, instead of K draws.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .converters import Periphery, input_scale
from .device import normals
from .ir_drop import attenuate

Array = NDArray[Any]

CHUNK = 4096
"""Vectors at a time: what a chunk of 512 outputs takes stays within a few MiB, near the caches."""


def noisy_mvm(
    x: Array,
    w: Array,
    periphery: Periphery,
    rng: np.random.Generator,
    *,
    read_noise: Array | float | None = None,
    gain: Array | float = 1.0,
) -> Array:
    """`x` (.., M, K) times weights as read `w` (.., K, N) behind converters: (.., M, N), float32.

    Weights are in -1 .. 1 or so, as the bounds of `periphery` are meant. `read_noise`: the variance of each weight from
    vector to vector, (.., K, N) as `Programmed.read_noise` gives it, or one number for all. `gain`: digital factor of
    the outputs, a number or one an output (drift compensation, scales of outputs).
    """
    x, w = x.astype(np.float32, copy=False), w.astype(np.float32, copy=False)
    vectors = x.shape[-2]
    leading = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    y = np.empty((*leading, vectors, w.shape[-1]), np.float32)
    for rows in _chunks(vectors, CHUNK):
        y[..., rows, :] = _managed(x[..., rows, :], w, periphery, rng, read_noise)
    if isinstance(gain, np.ndarray) or gain != 1.0:
        y *= np.asarray(gain, np.float32)
    return y


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _managed(x: Array, w: Array, periphery: Periphery, rng: np.random.Generator, noise: Array | float | None) -> Array:
    """One chunk with its inputs scaled and, where outputs clip, halved."""
    scale = input_scale(x) if periphery.scale_inputs else None
    scaled = x if scale is None else x / scale
    y, clipped = _converted(scaled, w, periphery, rng, noise)
    if clipped is not None:
        y = _halved(y, clipped, scaled, w, periphery, rng, noise)
    if scale is not None:
        y *= scale
    return y


def _halved(
    y: Array,
    clipped: Array,
    x: Array,
    w: Array,
    periphery: Periphery,
    rng: np.random.Generator,
    noise: Array | float | None,
) -> Array:
    """Vectors that clipped, computed again at 1/2, 1/4, .. of the input."""
    if w.ndim > 2 and clipped.any():
        # Realisations share no list of clipped vectors, so each is repeated by itself.
        x = np.broadcast_to(x, (*y.shape[:-1], x.shape[-1]))
        for place in np.ndindex(y.shape[:-2]):
            weights = np.broadcast_to(w, (*y.shape[:-2], *w.shape[-2:]))[place]
            shared = noise[place] if isinstance(noise, np.ndarray) and noise.ndim == y.ndim else noise
            y[place] = _halved(y[place], clipped[place], x[place], weights, periphery, rng, shared)
        return y
    factor = np.float32(1)
    for _ in range(periphery.halvings):
        again = np.nonzero(clipped)
        if not len(again[0]):
            break
        factor *= np.float32(0.5)
        repeated, still = _converted(x[again] * factor, w, periphery, rng, noise)
        assert still is not None
        y[again] = repeated / factor
        clipped[again] = still
    return y


def _converted(
    x: Array, w: Array, periphery: Periphery, rng: np.random.Generator, noise: Array | float | None
) -> tuple[Array, Array | None]:
    """Outputs of inputs that are in range, and which vectors clipped (None if nobody asks)."""
    driven = x
    if dac := periphery.dac:
        driven = dac.convert(x.copy())
    if periphery.input_noise:
        driven = driven + np.float32(periphery.input_noise) * normals(rng, driven.shape)
    y = np.matmul(driven, w)
    if periphery.ir_drop:
        attenuate(y, driven, w, periphery.ir_drop)
    _add_noise(y, driven, periphery.output_noise, noise, rng)
    adc = periphery.adc
    if adc is None:
        return y, None
    clipped = adc.clips(y) if periphery.halve_clipped else None
    return adc.convert(y), clipped


def _add_noise(y: Array, x: Array, output_noise: float, weight_variance: Array | float | None, rng: Any) -> None:
    """Noise of weights and of outputs in one draw, in place."""
    if weight_variance is None:
        if output_noise:
            drawn = normals(rng, y.shape)
            drawn *= np.float32(output_noise)
            y += drawn
        return
    power = np.square(x)
    if isinstance(weight_variance, np.ndarray):
        sigma = np.matmul(power, weight_variance.astype(np.float32, copy=False))
    else:
        sigma = power.sum(axis=-1, keepdims=True) * np.float32(weight_variance)
    sigma += np.float32(output_noise**2)
    np.sqrt(sigma, out=sigma)
    y += sigma * normals(rng, y.shape)
