"""What photonic tensor cores have in common: how a product of two streams lies on tiles of cores."""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydantic import model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..cost import IntArray, ceil_div
from ..product import Product
from .base import Bits, Count, Fields, Positive, Precision, TierKind


class BitsMode(Fields):
    """One precision of the cores: bits of the modulated inputs and weights, and of the converted outputs."""

    input_bits: Bits
    weight_bits: Bits
    output_bits: Bits


class PhotonicCores(TierKind):
    """`tiles` of `cores_per_tile` cores with `core_rows` x `core_cols` dot-product nodes, output stationary.

    Each node accumulates one result element; the cores of a tile share k, of which a core takes one wavelength each
    (or several: `parallel_k`); operand A (along rows) is the same in all tiles, which differ in operand B (along
    columns). So a product of m vectors with k x n takes
    `ceil(m / rows) ceil(ceil(n / cols) / tiles) ceil(k / (cores wavelengths))` cycles, or the same with m and n
    exchanged if that is less (SimPhony). Weights are streamed: from off-chip memory if static, from the buffer if made
    at run time.
    """

    tiles: Count
    cores_per_tile: Count
    core_rows: Count
    core_cols: Count
    clock_ghz: Positive

    @model_validator(mode="after")
    def _modes_differ(self) -> "PhotonicCores":
        names = [mode.name for mode in self.precisions()]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"modes: expected each precision once, got {twice[0]} more than once")
        return self

    @property
    @abstractmethod
    def bits_modes(self) -> Sequence[BitsMode]:
        """The modes; the first is the default."""

    @property
    def parallel_k(self) -> int:
        """Elements of one dot product that a core takes in a cycle."""
        return 1

    def precisions(self) -> tuple[Precision, ...]:
        return tuple(Precision(mode.input_bits, mode.weight_bits, mode.output_bits) for mode in self.bits_modes)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        mode = self.mode(precision)
        return AnalogDot(mode.input_bits, mode.weight_bits, mode.output_bits)

    def refuses(self, product: Product) -> str | None:
        if product.groups > 1 and not product.batched:
            return "takes no grouped or depthwise convolutions"
        return super().refuses(product)

    def granularity(self, product: Product) -> int:
        return self.core_cols

    def k_steps(self, product: Product) -> IntArray:
        """Cycles for one result element of each node."""
        return ceil_div(product.k, np.multiply(self.cores_per_tile, self.parallel_k))

    def cycles(self, product: Product, outputs: ArrayLike) -> IntArray:
        """Clock cycles for `outputs` outputs."""
        outputs = np.asarray(outputs, np.int64)
        m = product.m
        by_vectors = ceil_div(m, self.core_rows) * ceil_div(ceil_div(outputs, self.core_cols), self.tiles)
        by_outputs = ceil_div(outputs, self.core_rows) * ceil_div(ceil_div(m, self.core_cols), self.tiles)
        return np.minimum(by_vectors, by_outputs) * (self.k_steps(product) * product.groups)
