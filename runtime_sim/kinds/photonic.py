"""Photonic tensor cores: products of two streams of numbers, both modulated onto light at each execution."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ..arithmetic import AnalogDot, Arithmetic
from ..cost import IntArray, Work, ceil_div, ps_for
from ..product import Product
from .base import Bits, Count, Fields, NonNegative, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip


class PhotonicMode(Fields):
    """One precision of the cores, with its energy (modulators, converters, laser)."""

    input_bits: Bits
    weight_bits: Bits
    output_bits: Bits
    energy_pj_per_mac: NonNegative


class Photonic(TierKind):
    """`tiles` of `cores_per_tile` cores with `core_rows` x `core_cols` dot-product nodes, output stationary.

    Each node accumulates one result element; the cores of a tile share k; operand A (along rows) is the same in all
    tiles, which differ in operand B (along columns). So a product of m vectors with k x n takes
    `ceil(m / rows) ceil(ceil(n / cols) / tiles) ceil(k / cores)` cycles, or the same with m and n exchanged if that is
    less (SimPhony). Weights are streamed: from off-chip memory if static, from the buffer if made at run time.
    """

    area_mm2: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    static_power_mw: NonNegative  # pyright: ignore[reportIncompatibleVariableOverride]
    tiles: Count
    cores_per_tile: Count
    core_rows: Count
    core_cols: Count
    clock_ghz: Positive
    modes: tuple[PhotonicMode, ...] = Field(min_length=1, strict=False)
    """The first is the default."""

    def precisions(self) -> tuple[Precision, ...]:
        return tuple(Precision(mode.input_bits, mode.weight_bits, mode.output_bits) for mode in self.modes)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        mode = self.mode(precision)
        return AnalogDot(mode.input_bits, mode.weight_bits, mode.output_bits)

    def refuses(self, product: Product) -> str | None:
        if product.groups > 1 and not product.batched:
            return "takes no grouped or depthwise convolutions"
        return super().refuses(product)

    def granularity(self, product: Product) -> int:
        return self.core_cols

    def cycles(self, product: Product, outputs: ArrayLike) -> IntArray:
        """Clock cycles for `outputs` outputs."""
        outputs = np.asarray(outputs, np.int64)
        m, deep = product.m, ceil_div(product.k, self.cores_per_tile)
        by_vectors = ceil_div(m, self.core_rows) * ceil_div(ceil_div(outputs, self.core_cols), self.tiles)
        by_outputs = ceil_div(outputs, self.core_rows) * ceil_div(ceil_div(m, self.core_cols), self.tiles)
        return np.minimum(by_vectors, by_outputs) * (deep * product.groups)

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        outputs = np.asarray(outputs, np.int64)
        mode = self.modes[self.precisions().index(self.mode(precision))]
        compute = (f"{name}.arrays", ps_for(self.cycles(product, outputs), self.clock_ghz))
        macs = outputs * (product.m * product.k * product.blocks_a_part)
        energy = {"arrays": macs * mode.energy_pj_per_mac}
        weight_bits = min(product.weight_bits, mode.weight_bits)
        return self.streamed(name, chip, product, outputs, compute, energy, weight_bits)
