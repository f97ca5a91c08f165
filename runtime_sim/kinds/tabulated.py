"""Tiers known by measurement alone: a table of what whole products take, linear in the share of outputs."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..cost import Work, chunk_count
from ..errors import InputError
from ..product import Product
from .base import Bits, Count, Fields, NonNegative, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip


class Entry(Fields):
    """What a product with a `k` x `n` weight takes when all of it runs on the tier."""

    k: Count
    n: Count
    """Of a product in blocks (heads), k and n of one block; time and energy are those of all blocks."""
    latency_ns: Positive
    energy_pj: NonNegative


class Tabulated(TierKind):
    """A tier whose products take what its `table` says, times the share of their outputs that it has.

    Time and energy are effective: movement and weights are within them, and the number of vectors too, as published
    figures of whole layers say nothing of it. So the tier uses no link, no buffer and no off-chip memory, and has no
    arrays that could fill up. `latency_scale` and `energy_scale` calibrate a table to a total.
    """

    # Within the table.
    link_in_bytes_per_ns: ClassVar[float] = float("inf")  # pyright: ignore[reportIncompatibleVariableOverride]
    link_out_bytes_per_ns: ClassVar[float] = float("inf")  # pyright: ignore[reportIncompatibleVariableOverride]
    link_energy_pj_per_bit: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]

    area_mm2: NonNegative
    static_power_mw: NonNegative
    input_bits: Bits
    weight_bits: Bits
    output_bits: Bits
    dynamic: bool = True  # pyright: ignore[reportIncompatibleVariableOverride]
    shuns_dynamic: bool = False
    """Products of two values made at run time run here only in baselines that ask for it, see `shuns`."""
    latency_scale: Positive = 1.0
    energy_scale: Positive = 1.0
    table: tuple[Entry, ...] = Field(min_length=1, strict=False)

    @model_validator(mode="after")
    def _one_entry_a_product(self) -> "Tabulated":
        shapes = [(entry.k, entry.n) for entry in self.table]
        for i, (k, n) in enumerate(shapes):
            if (k, n) in shapes[:i]:
                raise ValueError(f"table.{i}: expected one entry for each k and n, got a second for {k} x {n}")
        return self

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(self.input_bits, self.weight_bits, self.output_bits),)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        self.mode(precision)
        return AnalogDot(self.input_bits, self.weight_bits, self.output_bits)

    def refuses(self, product: Product) -> str | None:
        if self._entry(product) is None:
            return f"has no entry in its table for products with {product.k} x {product.n} weights"
        return super().refuses(product)

    def shuns(self, product: Product) -> str | None:
        if self.shuns_dynamic and not product.static:
            return "is not to take products of two values made at run time"
        return super().shuns(product)

    def full_load(self) -> None:
        """A table of whole layers, for a number of vectors that is not told, has no peak."""

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        self.mode(precision)
        entry = self._entry(product)
        if entry is None:
            raise InputError(f"tier {name} {self.refuses(product)}")
        share = np.asarray(outputs, np.int64) / product.total_outputs
        # A picosecond's worth of rounding error must not make a whole one.
        time_ps = np.ceil(share * (entry.latency_ns * self.latency_scale * 1000) - 1e-6).astype(np.int64)
        energy = {"arrays": share * (entry.energy_pj * self.energy_scale)}
        return Work(((f"{name}.arrays", time_ps),), np.asarray(chunk_count(product.m), np.int64), energy)

    def _entry(self, product: Product) -> Entry | None:
        return next((entry for entry in self.table if (entry.k, entry.n) == (product.k, product.n)), None)
