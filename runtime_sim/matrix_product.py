"""The values of one matrix operator's part on its tier, for many executions at once.

`y = cast(activation(((x - zero_point) @ w) * scale + bias))`: the product as the tier's `Arithmetic` makes it, the rest
digital, in float32, or in float64 where the product is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialects.h3_attributes import Activation
from .activations import activate
from .arithmetic import Arithmetic, Drive, Inputs, Weights
from .quantise import full_scale, plain
from .windows import Window, columns

Array = NDArray[Any]

CALIBRATION_EXECUTIONS = 32
"""How many executions at most the range of an output converter is set from."""

TRIM_VALUES = 1 << 21
"""About so many outputs of a product at most are kept to trim its gain with."""

LEAST_POWER = 1e-9
"""Outputs whose variance is less than this share of the largest are dead, and say nothing of a gain."""

STEEPEST = 2.0
"""Slopes that a trim makes up for are at most this, and at least one over it; beyond that outputs are noise."""

PIECE_BYTES = 12 << 20
"""Work is cut so that the inputs of one piece, as columns, take about this much memory."""


@dataclass(frozen=True)
class MatrixPart:
    """What one tile.mvm computes, apart from its operands.

    `result_shape`: of one execution; `window`: of a convolution, its groups those of the part; `channels`: the range of
    channels of x that a convolution's part reads; `scale`, `bias`: one value, or one an output of the part, or None.
    """

    result_shape: tuple[int, ...]
    result_dtype: np.dtype[Any]
    window: Window | None = None
    channels: tuple[int, int | None] = (0, None)
    zero_point: int = 0
    scale: Array | None = None
    bias: Array | None = None
    function: Activation = Activation.NONE


@dataclass(frozen=True)
class _Piece:
    """Inputs (.., M, K) in codes; their scale and full code as they broadcast against products; where results go."""

    codes: Array
    scale: Array
    top: Array | None
    target: Array


@dataclass(frozen=True)
class Intended:
    """What outputs are without errors, before the activation: `mean` of each over executions, samples and positions,
    (N,), of convolutions (groups, 1, N); `first` of them themselves, (.., M, N), float32."""

    mean: Array
    first: Array


@dataclass
class MatrixProduct:
    """One part on its tier; static weights are held, others come with each run.

    `full`: the range of its output converters once set, from `calibrated_on` executions; `gain`, `offset`: what outputs
    are multiplied by, and what is then added to each (a trim); `clipped`: conversions at a converter's limit, in all
    runs.
    """

    part: MatrixPart
    arithmetic: Arithmetic
    static: Weights | None = None
    full: float | None = None
    calibrated_on: int = 0
    gain: float = 1.0
    offset: Array | None = None
    clipped: int = 0

    def hold(self, w: Array) -> None:
        """Keep `w`, (.., K, N) or (O, I / groups, kernel..), as the weights of all executions."""
        self.static = self.arithmetic.weights(self._blocks(plain(w)))

    def run(self, x: Array, w: Array | None = None) -> Array:
        """The results (executions, *result_shape) of `x` (executions, ..).

        `w`: weights made at run time, executions first, else as in `hold`.
        """
        y = np.empty((len(x), *self.part.result_shape), self.part.result_dtype)
        if self.full is None and self.arithmetic.output_bits is not None:
            self._calibrate(x, w, y)
        for piece, inputs, weights in self._work(x, w, y):
            self._finish(self._linear(piece, inputs, weights), piece.target)
        return y

    def intended(self, x: Array) -> Intended:
        """What outputs are for `x`, by this product's arithmetic."""
        y = np.empty((len(x), *self.part.result_shape), self.part.result_dtype)
        values = [self._linear(*work) for work in self._work(x, None, y)]
        count = max(1, TRIM_VALUES // max(prod(values[0].shape[1:]), 1))
        return Intended(
            self._mean(values), np.concatenate([each[:count] for each in values])[:count].astype(np.float32)
        )

    def trim(self, x: Array, clean: Intended) -> Array:
        """As `run`, with gain and offsets set by outputs that should be `clean`.

        Each output gets the mean that it should have. The gain makes the slope of outputs over what they should be one:
        noise that passes an activation makes later signals smaller, in all outputs of a product alike.
        """
        y = np.empty((len(x), *self.part.result_shape), self.part.result_dtype)
        self.gain, self.offset = 1.0, None
        work = [(self._linear(*each), each[0].target) for each in self._work(x, None, y)]
        mean = self._mean([values for values, _ in work])
        self.gain = 1 / _slope([values for values, _ in work], mean, clean)
        self.offset = clean.mean - self.gain * mean
        for values, target in work:
            values *= values.dtype.type(self.gain)
            values += self.offset.astype(values.dtype)
            self._finish(values, target)
        return y

    def _mean(self, values: list[Array]) -> Array:
        """The mean of each output over pieces (.., M, N): (N,), of convolutions (groups, 1, N); float64."""
        axes = tuple(range(values[0].ndim - 1)) if self.part.window is None else (0, 2)
        sums = [each.sum(axis=axes, dtype=np.float64) for each in values]
        count = sum(each.size // max(total.size, 1) for each, total in zip(values, sums, strict=True))
        mean = np.sum(sums, axis=0) / max(count, 1)
        return mean if self.part.window is None else mean[:, None]

    def _work(self, x: Array, w: Array | None, y: Array) -> Iterator[tuple[_Piece, Inputs, Weights]]:
        """The product cut into pieces of a bounded size, in the order of the executions."""
        for at in self._chunks(x, y, w is not None):
            weights = self.static if w is None else self.arithmetic.weights(self._dynamic(plain(w[at]), x.ndim))
            if weights is None:
                raise ValueError("no weights are held, and none are given")
            inputs = self.arithmetic.inputs(plain(self._channels(x[at])), self.part.zero_point)
            for piece in self._pieces(inputs, weights.values.ndim, w is not None, y[at]):
                yield piece, inputs, weights

    def _calibrate(self, x: Array, w: Array | None, y: Array) -> None:
        """Set the range of the output converters from the sums that they see in the first executions."""
        seen = slice(0, CALIBRATION_EXECUTIONS)
        first = (x[seen], None if w is None else w[seen], y[seen])
        sums: list[Array] = []
        for piece, inputs, weights in self._work(*first):
            drive = Drive(top=piece.top, raw=inputs.raw)
            sums += self.arithmetic.seen(piece.codes, inputs.peak, weights, drive)
        self.full, self.calibrated_on = full_scale(sums), len(first[0])

    def _linear(self, piece: _Piece, inputs: Inputs, weights: Weights) -> Array:
        """Products, scaled and with bias and offset: all but the activation and the cast."""
        drive = Drive(self.full, piece.top, inputs.raw)
        values, clipped = self.arithmetic.multiply(piece.codes, inputs.peak, weights, drive)
        self.clipped += clipped
        if inputs.zero:
            values = values - inputs.zero * weights.sums
        factor, shift = self._factor(piece.scale * weights.scale), self._shift()
        whole = piece.target.dtype.kind in "iub"
        if (factor is not None or shift is not None) and (whole or values.dtype.kind == "i"):
            values = values.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if factor is not None:
                values *= factor.astype(values.dtype)
            if shift is not None:
                values += shift.astype(values.dtype)
        return values

    def _finish(self, values: Array, target: Array) -> None:
        """Activate and cast, and write results to their place; `values` may be overwritten."""
        whole = target.dtype.kind in "iub"
        with np.errstate(over="ignore", invalid="ignore"):
            values = activate(self.part.function, values)
            if whole and values.dtype.kind == "f":
                values = np.rint(values)
            target[...] = values.astype(target.dtype, copy=False)

    def _factor(self, scale: Array) -> Array | None:
        """What products are multiplied by: the scales of inputs and weights, and the model's; None for one."""
        factor = scale if self.part.scale is None else scale * self._along_outputs(self.part.scale)
        factor = factor * self.gain
        return None if np.all(factor == 1) else factor

    def _shift(self) -> Array | None:
        """What is added to products: the bias, as the trim makes it, and the offset."""
        bias = None if self.part.bias is None else self._along_outputs(self.part.bias) * self.gain
        if self.offset is None or bias is None:
            return bias if self.offset is None else self.offset
        return bias + self.offset

    def _along_outputs(self, constant: Array) -> Array:
        values = constant.astype(np.float64)
        if self.part.window is not None and values.size > 1:
            return values.reshape(self.part.window.groups, 1, -1)
        return values

    def _channels(self, x: Array) -> Array:
        return x if self.part.window is None else x[:, :, slice(*self.part.channels)]

    def _blocks(self, w: Array) -> Array:
        """Weights as (.., K, N); of a convolution as (groups, K, outputs of a group)."""
        if self.part.window is None:
            return w
        groups = self.part.window.groups
        return w.reshape(groups, w.shape[0] // groups, -1).swapaxes(-1, -2)

    def _dynamic(self, w: Array, x_rank: int) -> Array:
        """Weights of several executions as (executions, .., K, N), with as many dimensions as inputs have."""
        if self.part.window is not None:
            return self._blocks(w[0])
        if w.ndim == 3:
            return w
        return w.reshape(len(w), *[1] * (x_rank - w.ndim), *w.shape[1:])

    def _chunks(self, x: Array, y: Array, dynamic: bool) -> Iterator[slice]:
        """Runs of executions that are worked on at a time."""
        largest = 8 * max(prod(x.shape[1:]), prod(y.shape[1:]), 1)
        count = max(1, PIECE_BYTES // largest)
        if dynamic and self.part.window is not None:
            count = 1  # each execution has a kernel of its own
        for start in range(0, len(x), count):
            yield slice(start, min(start + count, len(x)))

    def _pieces(self, inputs: Inputs, w_rank: int, dynamic: bool, y: Array) -> Iterator[_Piece]:
        """The inputs of some executions and the places of their results, as products of matrices of a bounded size.

        `w_rank`: dimensions of the weights' codes, with the executions of dynamic ones.
        """
        values, scale = inputs.values, inputs.scale.reshape(-1, 1)
        top = None if inputs.top is None else inputs.top.reshape(-1, 1)
        executions, depth, outputs = len(values), values.shape[-1], y.shape[-1]
        if self.part.window is not None:
            yield from self._window_pieces(inputs, y)
        elif w_rank == 2:
            rows = values.reshape(-1, depth)
            each = len(rows) // executions
            scales, tops = np.repeat(scale, each, axis=0), None if top is None else np.repeat(top, each, axis=0)
            yield _Piece(rows, scales, tops, y.reshape(-1, outputs))
        elif w_rank == 3 and dynamic:
            rows = values.reshape(executions, -1, depth)
            tops = None if top is None else top[..., None]
            yield _Piece(rows, scale[..., None], tops, y.reshape(executions, -1, outputs))
        else:
            vectors = values.shape[-2] if values.ndim > 2 else 1
            batch = self.part.result_shape[: -2 if values.ndim > 2 else -1]
            leading = values.shape[1:-2]
            codes = values.reshape(executions, *[1] * (len(batch) - len(leading)), *leading, vectors, depth)
            target = y.reshape(executions, *batch, vectors, outputs)
            ones = [1] * (codes.ndim - 1)
            tops = None if top is None else top.reshape(-1, *ones)
            yield _Piece(codes, scale.reshape(-1, *ones), tops, target)

    def _window_pieces(self, inputs: Inputs, y: Array) -> Iterator[_Piece]:
        window = self.part.window
        assert window is not None
        samples = inputs.values.reshape(-1, *inputs.values.shape[2:])
        batch = len(samples) // len(inputs.values)
        scales = np.repeat(inputs.scale.reshape(-1, 1, 1, 1), batch, axis=0)
        tops = None if inputs.top is None else np.repeat(inputs.top.reshape(-1, 1, 1, 1), batch, axis=0)
        positions = prod(window.positions(samples.shape[2:]))
        targets = y.reshape(len(samples), window.groups, -1, positions).swapaxes(-1, -2)
        sample_bytes = samples.shape[1] * prod(window.kernel) * positions * samples.itemsize
        count = max(1, PIECE_BYTES // max(sample_bytes, 1))
        for start in range(0, len(samples), count):
            at = slice(start, start + count)
            seen = columns(samples[at], window, pad_value=inputs.zero)
            yield _Piece(seen.swapaxes(-1, -2), scales[at], None if tops is None else tops[at], targets[at])


def _slope(pieces: list[Array], mean: Array, clean: Intended) -> float:
    """The slope of outputs (.., M, N) over what they should be, every output weighing the same."""
    wanted = clean.first - clean.mean.astype(np.float32)
    axes = (0, 2) if wanted.ndim == 4 and clean.mean.ndim == 3 else tuple(range(wanted.ndim - 1))
    power = np.square(wanted).sum(axis=axes, keepdims=True, dtype=np.float64)
    live = power > power.max(initial=0) * LEAST_POWER
    weights = np.divide(1, power, where=live, out=np.zeros_like(power))
    together, start = 0.0, 0
    for values in pieces:
        part = wanted[start : start + len(values)]
        found = (values[: len(part)] - mean) * part
        together += float((found.sum(axis=axes, keepdims=True) * weights).sum())
        start += len(values)
    outputs = int(np.count_nonzero(live))
    return float(np.clip(together / outputs, 1 / STEEPEST, STEEPEST)) if outputs else 1.0
