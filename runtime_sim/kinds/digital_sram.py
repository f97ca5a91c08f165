"""Digital computing in SRAM: bits of inputs times bits of weights, summed by trees of adders beside the cells."""

from typing import ClassVar

import numpy as np
from pydantic import model_validator

from ..components.logic import accumulator, adder_tree, place_value_tree, times, where
from ..cost import FloatArray, IntArray, ceil_div
from .arrays import ArrayFigures
from .base import Bits, Positive
from .sram_macro import Parts, SramMacro


class DigitalSram(SramMacro):
    """Macros as modelled by ZigZag (ICCAD'23; imc_array), exact at their bits.

    Behind each output: a one-bit multiplier for each input bit and weight bit, an adder tree for each of the
    `bits_per_cycle` input bits that are taken at once, a tree that adds those by their place value, and an accumulator
    where inputs take more than one cycle. A group of array_rows / rows_at_once cells shares the circuits of one row.
    Multipliers and adder trees use energy in proportion to the rows that are driven, and to
    input_toggle_rate (1 - weight_sparsity).
    """

    cell_bits: Bits = 1
    adc_bits: ClassVar[int] = 64  # pyright: ignore[reportIncompatibleVariableOverride]
    """It has no converter: no sum is clipped."""
    bits_per_cycle: Bits
    """Input bits that are taken at once."""
    booth: bool = False
    """Whether two input bits are recoded into one signed digit (radix 4): half the trees, a bit wider."""
    accumulator_bits: Bits | None = None
    """None: as many as the sum over the rows at once needs, which is the least."""
    clock_mhz: Positive | None = None
    """The clock it is run at, if that is slower than its longest path; None: the longest path sets the clock."""

    @model_validator(mode="after")
    def _sums_fit(self) -> "DigitalSram":
        if self.accumulator_bits is not None and self.accumulator_bits < self.sum_bits:
            raise ValueError(
                f"accumulator_bits: expected at least {int(self.sum_bits)} for {self.rows_at_once} products of "
                f"{self.input_bits} and {self.weight_bits} bits, got {self.accumulator_bits}"
            )
        return self

    @property
    def sum_bits(self) -> IntArray:
        """Bits of the sum over the rows at once."""
        return self.input_bits + self.weight_bits + np.ceil(np.log2(self.rows_at_once)).astype(np.int64)

    @property
    def slice_bits(self) -> int:
        return self.bits_per_cycle

    @property
    def row_parts(self) -> Parts:
        return {}

    @property
    def digits(self) -> IntArray:
        """Digits of an input that are taken at once, each with an adder tree of its own."""
        return np.where(self.booth, ceil_div(self.bits_per_cycle, 2), self.bits_per_cycle)

    @property
    def addend_bits(self) -> IntArray:
        """Bits of what goes into the trees: a weight, or twice a weight with a sign."""
        return np.where(self.booth, self.weight_bits + 1, self.weight_bits)

    @property
    def cell_parts(self) -> Parts:
        one = self.gates
        products = self.rows_at_once * self.weight_bits * self.digits
        activity = self.input_toggle_rate * (1.0 - self.weight_sparsity)
        trees = times(self.digits, adder_tree(one, self.rows_at_once, self.addend_bits))
        return {
            name: part._replace(energy_pj=activity * part.energy_pj)
            for name, part in {"multipliers": times(products, one.multiplier), "adder_trees": trees}.items()
        }

    @property
    def output_parts(self) -> Parts:
        one = self.gates
        depth_bits = np.ceil(np.log2(self.rows_at_once))
        tree_bits = self.addend_bits + depth_bits
        place_values = place_value_tree(one, self.digits, tree_bits)
        slice_bits = np.where(self.digits > 1, self.digits + tree_bits, tree_bits)
        wide = self.sum_bits if self.accumulator_bits is None else np.asarray(self.accumulator_bits)
        several = (self.slices > 1) | np.greater(self.array_rows, self.rows_at_once)
        return {"place_values": place_values, "accumulators": where(several, accumulator(one, wide, slice_bits))}

    @property
    def cycle_by_part_ns(self) -> dict[str, FloatArray]:
        """The longest path of one cycle by part."""
        return {name: part.time_ns for name, part in {**self.cell_parts, **self.output_parts}.items()}

    @property
    def cycle_ns(self) -> FloatArray:
        """Of one input slice."""
        slowest = 0.0 if self.clock_mhz is None else 1000.0 / self.clock_mhz
        return np.maximum(sum(self.cycle_by_part_ns.values(), np.zeros(())), slowest)

    @property
    def figures(self) -> ArrayFigures:
        inner, behind = self.cell_parts, self.output_parts
        return ArrayFigures(
            operation_ns=self.slices * self.cycle_ns,
            weight_pj=self.slices * _energy_pj(inner) / self.rows_at_once,
            digital_pj=self.slices * _energy_pj(behind),
            write_row_ns=self.write_row_ns,
            write_weight_pj=self.write_weight_pj,
        )


def _energy_pj(parts: Parts) -> FloatArray:
    return sum((part.energy_pj for part in parts.values()), np.zeros(()))
