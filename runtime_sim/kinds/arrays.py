"""Arrays that hold weights: how a product lies on them, and what it costs, from what one array does.

A kind of this family says what one array operation takes and costs (`ArrayFigures`); the mapping is the same for all.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator

from ..arithmetic import Arithmetic, BitSerial
from ..cost import FloatArray, IntArray, Work, ceil_div, chunk_count, ps_for, ps_of_ns
from ..product import Product, plain_product
from .base import Bits, Count, Fields, NonNegative, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip

MOST_CELLS = 2**40
"""Of a tier: writing them all takes a number of picoseconds that 64 bits hold, up to some us a row."""

Number = float | FloatArray
"""A figure of one tier, or of many: arrays broadcast with outputs and copies."""


@dataclass(frozen=True)
class ArrayFigures:
    """What one array does with one vector, all bits of its inputs together, and what writing it takes.

    Energies are in pJ: of a vector with `rows` driven rows and `outputs` outputs on one array
    `rows (line_pj + dac_pj) + outputs (digital_pj + adc_pj) + rows outputs weight_pj`. Where not all rows are on at
    once (`ArrayTier.rows_on`), time and the term of `outputs` are those of one pass.
    """

    operation_ns: Number
    """From one vector to the next, or from one pass to the next."""
    weight_pj: Number
    """The cells of one weight under a driven row."""
    line_pj: Number = 0.0
    """Driving a row across the array, without its converter."""
    dac_pj: Number = 0.0
    """Converting one input."""
    digital_pj: Number = 0.0
    """Adders and registers behind the columns of one output."""
    adc_pj: Number = 0.0
    """Conversions of the columns of one output."""
    write_row_ns: Number = 0.0
    """Writing one row of one array."""
    write_weight_pj: Number = 0.0
    """Writing the cells of one weight."""


class MemoryMode(Fields):
    """Arrays of a tier that may hold data instead of weights, and then widen the buffer. What an access to one takes is
    taken to be what one to the buffer takes."""

    bytes_per_ns: Positive
    """Of one array, in and out at the same time."""
    most_bytes_per_ns: Positive
    """Of all of them together: the interconnect."""
    to_memory_ns: NonNegative
    """Switching one array; arrays switch one after another, and lose what they hold. `to_compute_ns` is back: weights
    that were laid out in an array as data are then in it as weights."""
    to_compute_ns: NonNegative


class ArrayTier(TierKind):
    """Arrays of `array_rows` x `array_cols` cells; inputs drive rows, a weight takes some columns.

    A weight has ceil(weight_bits / cell_bits) cells, side by side. An array takes one vector in one operation,
    whatever part of it is used. Rows and columns without weights are gated. The blocks of a grouped product lie along
    the diagonal of an array where several fit; inputs and outputs of all are used at once.
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
    write_ports: Count
    """Array rows that are written at once, all arrays together."""
    writes_overlap: bool | None = None
    """Whether some arrays may be written while others compute; None: no. Only pipelined chips could make use of it."""
    weight_link_bytes_per_ns: Positive | None = None
    """The path of weights to the arrays, beside that of inputs; None: as wide as it."""
    memory_mode: MemoryMode | None = None
    """None: arrays only compute."""
    endurance_writes: Positive | None = None
    """Writes that a cell survives; None: unlimited."""

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ArrayTier":
        if self.weight_cols < 1:
            raise ValueError(
                f"array_cols: expected at least {self.cells_a_weight} columns for a weight of {self.weight_bits} bits "
                f"in cells of {self.cell_bits}, got {self.array_cols}"
            )
        if self.arrays * self.array_rows * self.array_cols > MOST_CELLS:
            raise ValueError(
                f"arrays: expected at most 2^40 cells on all arrays of {self.array_rows} x {self.array_cols}, "
                f"got {self.arrays} arrays"
            )
        return self

    @property
    @abstractmethod
    def figures(self) -> ArrayFigures:
        """What one array does."""

    @property
    def cells_a_weight(self) -> int:
        """Columns that one weight takes."""
        return -(-self.weight_bits // self.cell_bits)

    @property
    def weight_cols(self) -> int:
        """Outputs that an array is wide."""
        return self.array_cols // self.cells_a_weight

    def full_load(self) -> Product:
        """One vector with weights that fill every array."""
        return plain_product(1, self.array_rows, self.arrays * self.weight_cols, self.weight_bits)

    @property
    def array_bytes(self) -> int:
        """What one array holds in memory mode."""
        return self.array_rows * self.array_cols * self.cell_bits // 8

    @property
    def weights_bytes_per_ns(self) -> float:
        """The rate at which weights reach the arrays."""
        return self.link_in_bytes_per_ns if self.weight_link_bytes_per_ns is None else self.weight_link_bytes_per_ns

    def widened(self, memory_arrays: int) -> "ArrayTier":
        """The tier while so many of its arrays are memory: their bandwidth adds to that of its links.

        Weights come from outside, so that it adds nothing to theirs.
        """
        if self.memory_mode is None or not memory_arrays:
            return self
        more = min(memory_arrays * self.memory_mode.bytes_per_ns, self.memory_mode.most_bytes_per_ns)
        return self.model_copy(
            update={
                "link_in_bytes_per_ns": self.link_in_bytes_per_ns + more,
                "link_out_bytes_per_ns": self.link_out_bytes_per_ns + more,
                "weight_link_bytes_per_ns": self.weights_bytes_per_ns,
            }
        )

    @property
    def rows_on(self) -> int:
        """Rows that are on at once; an operation passes the others in turn. All, unless a kind says otherwise."""
        return self.array_rows

    def _passes(self, product: Product) -> IntArray:
        """Groups of `rows_on` rows that an array passes for one vector; packed blocks are taken to fill it."""
        rows = np.minimum(self.held_rows(product), self.array_rows) if product.groups == 1 else self.array_rows
        return ceil_div(rows, self.rows_on)

    def driven_rows(self, product: Product) -> IntArray:
        """Rows driven for one vector, all arrays that share an output."""
        return np.asarray(self.held_rows(product), np.int64)

    def held_rows(self, product: Product) -> int | IntArray:
        """Rows that hold the weights of one output: one an input, unless a kind holds weights several times."""
        return product.k

    def endurance(self) -> float | None:
        return self.endurance_writes

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(self.input_bits, self.weight_bits, self.output_bits),)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        self.mode(precision)
        return BitSerial(self.rows_on, self.cell_bits, self.adc_bits, self.input_bits, self.weight_bits)

    def granularity(self, product: Product) -> int:
        if product.batched or product.groups == 1:
            return self.weight_cols
        return product.n * max(1, int(self._blocks_an_array(product)))

    def _blocks_an_array(self, product: Product) -> IntArray:
        """Blocks of a grouped convolution that fit along the diagonal of one array; 0 if a block needs several."""
        return np.minimum(
            self.array_rows // np.maximum(1, self.held_rows(product)), self.weight_cols // max(1, product.n)
        )

    def arrays_needed(self, product: Product, outputs: ArrayLike) -> IntArray:
        outputs = np.asarray(outputs, np.int64)
        deep = ceil_div(self.held_rows(product), self.array_rows)
        if product.groups == 1:
            return deep * ceil_div(outputs, self.weight_cols)
        if product.batched:
            rows = np.maximum(1, self.held_rows(product))
            packed = np.minimum(self.array_rows // rows, self.weight_cols // np.maximum(1, outputs))
            apart = product.groups * deep * ceil_div(outputs, self.weight_cols)
            return np.where(packed > 0, ceil_div(product.groups, np.maximum(packed, 1)), apart)
        blocks, packed = ceil_div(outputs, max(1, product.n)), self._blocks_an_array(product)
        apart = blocks * (deep * ceil_div(product.n, self.weight_cols))
        return np.where(packed > 0, ceil_div(blocks, np.maximum(packed, 1)), apart)

    def _wide(self, product: Product, outputs: IntArray) -> IntArray:
        """Arrays side by side that one vector's rows pass, all blocks of the outputs together."""
        if product.groups == 1 or product.batched:
            return product.groups * ceil_div(outputs, self.weight_cols)
        apart = ceil_div(product.n, self.weight_cols)
        wide = np.where(self._blocks_an_array(product) > 0, 1, apart)
        return ceil_div(outputs, max(1, product.n)) * wide

    def rows_needed(self, product: Product, outputs: ArrayLike) -> IntArray:
        """Array rows that hold weights in one copy of `outputs` outputs."""
        return self.held_rows(product) * self._wide(product, np.asarray(outputs, np.int64))

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
        one = self.figures
        array_ps = ceil_div(product.m, copies) * (self._passes(product) * ps_of_ns(one.operation_ns))
        results = outputs * (product.m * product.blocks_a_part)
        driven = self.driven_rows(product)
        rows = self._wide(product, outputs) * (product.m * driven)
        columns = results * ceil_div(self.held_rows(product), self.rows_on)
        energy = {
            "arrays": results * (driven * one.weight_pj) + rows * one.line_pj + columns * one.digital_pj,
            "converters": rows * one.dac_pj + columns * one.adc_pj,
        }
        return self.streamed(name, chip, product, outputs, (f"{name}.arrays", array_ps), energy)

    def program(self, name: str, chip: "Chip", product: Product, outputs: ArrayLike, copies: ArrayLike) -> Work:
        outputs, copies = np.asarray(outputs, np.int64), np.asarray(copies, np.int64)
        one = self.figures
        weights = outputs * (product.k * product.blocks_a_part)
        bits = weights * np.minimum(product.weight_bits, self.weight_bits)
        rows = self.rows_needed(product, outputs) * copies
        held = outputs * (self.held_rows(product) * product.blocks_a_part)
        off = bits if product.w_off_chip else np.zeros((), np.int64)
        reads = [("dram.read", ps_for(off, 8 * chip.dram.read_bytes_per_ns))] if product.w_off_chip else []
        stages = (
            *reads,
            (f"{name}.weights", ps_for(bits, 8 * self.weights_bytes_per_ns)),
            (f"{name}.write", ceil_div(rows, self.write_ports) * ps_of_ns(one.write_row_ns)),
        )
        energy = {
            "write": held * copies * one.write_weight_pj,
            "links": bits * self.link_energy_pj_per_bit,
            "buffer": (bits + off) * chip.buffer.energy_pj_per_bit,
            "dram": off * chip.dram.energy_pj_per_bit,
        }
        return Work(stages, np.asarray(chunk_count(product.k), np.int64), energy, rows)
