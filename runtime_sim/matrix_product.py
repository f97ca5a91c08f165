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
from .arithmetic import Arithmetic, Inputs, Weights
from .quantise import convert_outputs, full_scale, plain
from .windows import Window, columns

Array = NDArray[Any]

CALIBRATION_EXECUTIONS = 32
"""How many executions at most the range of an output converter is set from."""

PIECE_BYTES = 32 << 20
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
    """Inputs (.., M, K) in codes, their scale as it broadcasts against products, and where the results go."""

    codes: Array
    scale: Array
    target: Array


@dataclass
class MatrixProduct:
    """One part on its tier; static weights are held, others come with each run.

    `full`: the range of its output converter once set, from `calibrated_on` executions; `clipped`: conversions at a
    converter's limit, in all runs.
    """

    part: MatrixPart
    arithmetic: Arithmetic
    static: Weights | None = None
    full: float | None = None
    calibrated_on: int = 0
    clipped: int = 0

    def hold(self, w: Array) -> None:
        """Keep `w`, (.., K, N) or (O, I / groups, kernel..), as the weights of all executions."""
        self.static = self.arithmetic.weights(self._blocks(plain(w)))

    def run(self, x: Array, w: Array | None = None) -> Array:
        """The results (executions, *result_shape) of `x` (executions, ..).

        `w`: weights made at run time, executions first, else as in `hold`.
        """
        y = np.empty((len(x), *self.part.result_shape), self.part.result_dtype)
        converts, bits = self.full is None, self.arithmetic.output_bits
        last_seen = min(len(x), CALIBRATION_EXECUTIONS) if bits is not None and converts else 0
        waiting: list[tuple[Array, Array | None, Array | None, Array]] = []
        for at in self._chunks(x, y, last_seen, w is not None):
            weights = self.static if w is None else self.arithmetic.weights(self._dynamic(plain(w[at]), x.ndim))
            if weights is None:
                raise ValueError("no weights are held, and none are given")
            inputs = self.arithmetic.inputs(plain(self._channels(x[at])), self.part.zero_point)
            for piece in self._pieces(inputs, weights.values.ndim, w is not None, y[at]):
                products, clipped = self.arithmetic.multiply(piece.codes, inputs.peak, weights)
                self.clipped += clipped
                if inputs.zero:
                    products = products - inputs.zero * weights.sums
                factor, shift = self._factor(piece.scale * weights.scale), self._shift()
                waiting.append((products, factor, shift, piece.target))
                if at.stop > last_seen:
                    self._finish(waiting)
            if at.stop == last_seen:
                self.full = full_scale([products for products, *_ in waiting])
                self.calibrated_on = last_seen
                self._finish(waiting)
        return y

    def _finish(self, waiting: list[tuple[Array, Array | None, Array | None, Array]]) -> None:
        """Convert, scale, add the bias, activate and cast what waits, and write it to its place."""
        bits = self.arithmetic.output_bits
        for values, factor, shift, target in waiting:
            whole = target.dtype.kind in "iub"
            if (factor is not None or shift is not None) and (whole or values.dtype.kind == "i"):
                values = values.astype(np.float64)
            if bits is not None:
                self.clipped += convert_outputs(values, self.full or 0.0, bits)
            with np.errstate(over="ignore", invalid="ignore"):
                if factor is not None:
                    values *= factor.astype(values.dtype)
                if shift is not None:
                    values += shift.astype(values.dtype)
                values = activate(self.part.function, values)
                if whole and values.dtype.kind == "f":
                    values = np.rint(values)
                target[...] = values.astype(target.dtype, copy=False)
        waiting.clear()

    def _factor(self, scale: Array) -> Array | None:
        """What products are multiplied by: the scales of inputs and weights, and the model's; None for one."""
        factor = scale if self.part.scale is None else scale * self._along_outputs(self.part.scale)
        return None if np.all(factor == 1) else factor

    def _shift(self) -> Array | None:
        """The bias as it is added to products."""
        return None if self.part.bias is None else self._along_outputs(self.part.bias)

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

    def _chunks(self, x: Array, y: Array, seam: int, dynamic: bool) -> Iterator[slice]:
        """Runs of executions that are worked on at a time; none goes across `seam`."""
        largest = 8 * max(prod(x.shape[1:]), prod(y.shape[1:]), 1)
        count = max(1, PIECE_BYTES // largest)
        if dynamic and self.part.window is not None:
            count = 1  # each execution has a kernel of its own
        start = 0
        while start < len(x):
            stop = min(start + count, seam if start < seam else len(x))
            yield slice(start, stop)
            start = stop

    def _pieces(self, inputs: Inputs, w_rank: int, dynamic: bool, y: Array) -> Iterator[_Piece]:
        """The inputs of some executions and the places of their results, as products of matrices of a bounded size.

        `w_rank`: dimensions of the weights' codes, with the executions of dynamic ones.
        """
        values, scale = inputs.values, inputs.scale.reshape(-1, 1)
        executions, depth, outputs = len(values), values.shape[-1], y.shape[-1]
        if self.part.window is not None:
            yield from self._window_pieces(inputs, y)
        elif w_rank == 2:
            rows = values.reshape(-1, depth)
            yield _Piece(rows, np.repeat(scale, len(rows) // executions, axis=0), y.reshape(-1, outputs))
        elif w_rank == 3 and dynamic:
            rows = values.reshape(executions, -1, depth)
            yield _Piece(rows, scale[..., None], y.reshape(executions, -1, outputs))
        else:
            vectors = values.shape[-2] if values.ndim > 2 else 1
            batch = self.part.result_shape[: -2 if values.ndim > 2 else -1]
            leading = values.shape[1:-2]
            codes = values.reshape(executions, *[1] * (len(batch) - len(leading)), *leading, vectors, depth)
            target = y.reshape(executions, *batch, vectors, outputs)
            yield _Piece(codes, scale.reshape(-1, *[1] * (codes.ndim - 1)), target)

    def _window_pieces(self, inputs: Inputs, y: Array) -> Iterator[_Piece]:
        window = self.part.window
        assert window is not None
        samples = inputs.values.reshape(-1, *inputs.values.shape[2:])
        each = np.repeat(inputs.scale.reshape(-1, 1, 1, 1), len(samples) // len(inputs.values), axis=0)
        positions = prod(window.positions(samples.shape[2:]))
        targets = y.reshape(len(samples), window.groups, -1, positions).swapaxes(-1, -2)
        sample_bytes = samples.shape[1] * prod(window.kernel) * positions * samples.itemsize
        count = max(1, PIECE_BYTES // max(sample_bytes, 1))
        for start in range(0, len(samples), count):
            at = slice(start, start + count)
            seen = columns(samples[at], window, pad_value=inputs.zero)
            yield _Piece(seen.swapaxes(-1, -2), each[at], targets[at])
