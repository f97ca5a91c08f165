"""Crossbars of memory cells: SRAM, ReRAM, PCM."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ..arithmetic import Arithmetic, BitSerial
from ..cost import IntArray, Work, ceil_div, chunk_count, ps_for, ps_of_ns
from ..product import Product
from .base import Bits, Count, NonNegative, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip


class Crossbar(TierKind):
    """Arrays of `array_rows` x `array_cols` cells; inputs drive rows, a weight takes some columns.

    A weight has ceil(weight_bits / cell_bits) cells, side by side. An array takes one vector in `operation_ns`,
    whatever part of it is used. Its rows are always all driven (energy counts ceil(k / rows) x rows), columns without
    weights are gated. The blocks of a grouped product lie along the diagonal of an array where several fit; inputs
    and outputs of all are used at once.
    """

    arrays: Count = Field()  # pyright: ignore[reportIncompatibleVariableOverride]
    dynamic: bool = False  # pyright: ignore[reportIncompatibleVariableOverride]
    array_rows: Count
    array_cols: Count
    cell_bits: Bits
    weight_bits: Bits
    input_bits: Bits
    output_bits: Bits
    adc_bits: Bits
    operation_ns: Positive
    """One vector through an array, with all its input bits and conversions."""
    energy_pj_per_mac: NonNegative
    write_row_ns: Positive
    write_ports: Count
    """Array rows that are written at once, all arrays together."""
    write_energy_pj_per_cell: NonNegative
    endurance_writes: Positive | None = None
    """Writes that a cell survives; None: unlimited."""

    @model_validator(mode="after")
    def _a_weight_fits(self) -> "Crossbar":
        if self.weight_cols < 1:
            raise ValueError(
                f"array_cols: expected at least {self.cells_a_weight} columns for a weight of {self.weight_bits} bits "
                f"in cells of {self.cell_bits}, got {self.array_cols}"
            )
        return self

    @property
    def cells_a_weight(self) -> int:
        """Columns that one weight takes."""
        return -(-self.weight_bits // self.cell_bits)

    @property
    def weight_cols(self) -> int:
        """Outputs that an array is wide."""
        return self.array_cols // self.cells_a_weight

    def endurance(self) -> float | None:
        return self.endurance_writes

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(self.input_bits, self.weight_bits, self.output_bits),)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        self.mode(precision)
        return BitSerial(self.array_rows, self.cell_bits, self.adc_bits, self.input_bits, self.weight_bits)

    def granularity(self, product: Product) -> int:
        if product.batched or product.groups == 1:
            return self.weight_cols
        return product.n * max(1, self._blocks_an_array(product))

    def _blocks_an_array(self, product: Product) -> int:
        """Blocks of a grouped convolution that fit along the diagonal of one array; 0 if a block needs several."""
        return min(self.array_rows // max(1, product.k), self.weight_cols // max(1, product.n))

    def arrays_needed(self, product: Product, outputs: ArrayLike) -> IntArray:
        outputs = np.asarray(outputs, np.int64)
        deep = -(-product.k // self.array_rows)
        if product.groups == 1:
            return deep * ceil_div(outputs, self.weight_cols)
        if product.batched:
            packed = np.minimum(self.array_rows // max(1, product.k), self.weight_cols // np.maximum(1, outputs))
            apart = product.groups * deep * ceil_div(outputs, self.weight_cols)
            return np.where(packed > 0, ceil_div(product.groups, np.maximum(packed, 1)), apart)
        blocks, packed = ceil_div(outputs, max(1, product.n)), self._blocks_an_array(product)
        if packed:
            return ceil_div(blocks, packed)
        return blocks * (deep * -(-product.n // self.weight_cols))

    def rows_needed(self, product: Product, outputs: ArrayLike) -> IntArray:
        """Array rows that hold weights in one copy of `outputs` outputs."""
        outputs = np.asarray(outputs, np.int64)
        if product.groups == 1 or product.batched:
            return product.k * product.groups * ceil_div(outputs, self.weight_cols)
        wide = 1 if self._blocks_an_array(product) else -(-product.n // self.weight_cols)
        return ceil_div(outputs, max(1, product.n)) * (product.k * wide)

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
        outputs, copies = np.asarray(outputs, np.int64), np.asarray(copies, np.int64)
        array_ps = ceil_div(product.m, copies) * ps_of_ns(self.operation_ns)
        driven = -(-product.k // self.array_rows) * self.array_rows
        macs = outputs * (product.m * driven * product.blocks_a_part)
        energy = {"arrays": macs * self.energy_pj_per_mac}
        return self.streamed(name, chip, product, outputs, (f"{name}.arrays", array_ps), energy)

    def program(self, name: str, chip: "Chip", product: Product, outputs: ArrayLike, copies: ArrayLike) -> Work:
        outputs, copies = np.asarray(outputs, np.int64), np.asarray(copies, np.int64)
        weights = outputs * (product.k * product.blocks_a_part)
        bits = weights * min(product.weight_bits, self.weight_bits)
        rows = self.rows_needed(product, outputs) * copies
        off = bits if product.w_off_chip else np.zeros((), np.int64)
        reads = [("dram.read", ps_for(off, 8 * chip.dram.read_bytes_per_ns))] if product.w_off_chip else []
        stages = (
            *reads,
            (f"{name}.in", ps_for(bits, 8 * self.link_in_bytes_per_ns)),
            (f"{name}.write", ceil_div(rows, self.write_ports) * ps_of_ns(self.write_row_ns)),
        )
        energy = {
            "write": weights * copies * (self.cells_a_weight * self.write_energy_pj_per_cell),
            "links": bits * self.link_energy_pj_per_bit,
            "buffer": (bits + off) * chip.buffer.energy_pj_per_bit,
            "dram": off * chip.dram.energy_pj_per_bit,
        }
        return Work(stages, np.asarray(chunk_count(product.k), np.int64), energy, rows)
