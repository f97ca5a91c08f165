"""Bit-serial crossbars whose converters span all that a column can sum, in steps of more than one unit."""

from dataclasses import dataclass
from itertools import groupby
from itertools import product as pairs

import numpy as np

from .arithmetic import UNCONVERTED, Array, BitSerial, Drive, Slice, Weights, bit_planes, product, weight_slices


@dataclass(frozen=True)
class CoarseBitSerial(BitSerial):
    """As `BitSerial`, but a conversion rounds the sum of a column to the nearest of 2^adc_bits - 1 equal steps.

    In charge domain the capacitors of a column divide the supply, so that all rows on together make the full scale
    (Jia et al., JSSC 55(9), 2020): no sum is clipped, but with R rows a step is R (2^cell_bits - 1) / (2^adc_bits - 1)
    units. Rows without weights are taken to be gated off the column and not to widen the scale; where a step would be
    one unit or less, sums are exact. Ties are rounded to even.
    """

    @property
    def steps(self) -> int:
        """Steps of a converter."""
        return 2**self.adc_bits - 1

    def units(self, rows: int) -> int:
        """What a column of `rows` rows sums at most."""
        return rows * (2**self.cell_bits - 1)

    def _clipping(self, values: Array) -> tuple[Slice, ...]:
        """Every column of every slice of the blocks whose sums are rounded."""
        depth = values.shape[-2]
        blocks = [slice(first, min(first + self.array_rows, depth)) for first in range(0, depth, self.array_rows)]
        coarse = [rows for rows in blocks if self.units(rows.stop - rows.start) > self.steps]
        if not coarse or not np.isfinite(values).all():
            return ()
        small = values.astype(np.int16 if self.weight_bits <= 15 else np.int64)
        slices = weight_slices(small, self.weight_bits, self.cell_bits)
        outputs = np.arange(values.shape[-1])
        return tuple(
            Slice(rows, outputs, digits[..., rows, :].astype(np.float32), place)
            for rows in coarse
            for digits, place in slices
        )

    def multiply(self, x: Array, peak: float, w: Weights, drive: Drive = UNCONVERTED) -> tuple[Array, int]:
        y = product(x, w, peak)
        if not w.clipping or not np.isfinite(peak):
            return y, 0
        y = y.astype(np.float64)
        for rows, pieces in groupby(w.clipping, key=lambda piece: piece.rows):
            steps, units = np.float32(self.steps), np.float32(self.units(rows.stop - rows.start))
            planes, watched = bit_planes(x[..., rows], self.input_bits), list(pieces)
            for piece, (driven, worth) in pairs(watched, planes):
                sums = np.matmul(driven, piece.digits)
                error = sums - np.rint(sums * steps / units) * units / steps
                y -= error.astype(np.float64) * (worth * piece.place)
        return y, 0
