"""Analog computing in SRAM: columns of cells sum currents or charges, and converters read them."""

import numpy as np

from ..arithmetic import AnalogDot, Arithmetic, BitSerial
from ..coarse_bit_serial import CoarseBitSerial
from ..components.converters import Converter, dac
from ..components.logic import Part, accumulator, place_value_tree, times, where
from ..cost import FloatArray, IntArray, ceil_div
from .arrays import ArrayFigures
from .base import Bits, Count, NonNegative, Positive
from .converted import ConvertedArrays, DacModel
from .sram_macro import Parts, SramMacro


class AnalogSram(SramMacro, ConvertedArrays):  # pyright: ignore[reportIncompatibleVariableOverride]
    """Macros as modelled by ZigZag (ICCAD'23; imc_array), with options for charge domain and shared converters.

    In one pass, `rows_at_once` rows are driven by one slice of their inputs after the other. Each cell multiplies by a
    gate of its own (or by its transistor: `gates_per_cell` 0) and adds to its column: by the bit line itself, which is
    charged along the whole array, or by a capacitor (`cell_capacitor_ff`). A conversion takes one column, or the
    `columns_summed` columns of a weight that a ladder of capacitors has weighted (C-2C). Conversions of a weight are
    added by place value, slices and passes in an accumulator. `input_toggle_rate` (1 - `weight_sparsity`) scales the
    energy of cells, 1 - `weight_sparsity` that of bit lines.
    """

    dac_bits: Bits
    """Input bits that drive a row at once."""
    dac_model: DacModel = "zigzag"
    columns_summed: Count = 1
    gates_per_cell: NonNegative = 1.0
    """NAND2 gates beside the 6 transistors of a cell."""
    cell_capacitor_ff: NonNegative = 0.0
    """It is made of wires, and does not scale with the node."""
    row_line_ff: NonNegative = 0.0
    """Of the wire that drives a row, a cell; 0: it is within the gates, as in ZigZag."""
    array_ns: Positive | None = None
    """From driving the rows until columns have settled; None: a gate's delay, as the converter waits for the line."""
    full_range: bool = False
    """Whether a converter spans all that the rows in use can sum, in coarser steps (charge domain); else it counts
    units and saturates at 2^adc_bits - 1."""
    pipelined: bool
    """Whether columns are held, so that the next slice settles while this one is converted."""

    @property
    def slice_bits(self) -> int:
        return self.dac_bits

    @property
    def conversions(self) -> IntArray:
        """Conversions of one output, input slice and pass."""
        return ceil_div(self.cells_a_weight, self.columns_summed)

    @property
    def dac(self) -> Converter:
        """One converter of inputs."""
        return dac(self.dac_model, self.dac_bits, self.adc_rate_gs_per_s, self.technology_nm, self.supply_v)

    @property
    def row_parts(self) -> Parts:
        wire_pj = self.row_line_ff * 1e-3 * np.square(self.supply_v) * self.array_cols * self.input_toggle_rate
        return {"dacs": Part(*self.dac), "row_lines": Part(wire_pj, np.zeros(()), np.zeros(()))}

    @property
    def cell_parts(self) -> Parts:
        cells = self.rows_at_once * self.cells_a_weight
        density = 1.0 - self.weight_sparsity
        gate = times(self.gates_per_cell, self.gates.multiplier)
        capacitor_pj = self.cell_capacitor_ff * 1e-3 * np.square(self.supply_v)
        energy_pj = cells * (self.input_toggle_rate * density * (gate.energy_pj + capacitor_pj))
        # Every cell has its gate, those of the rows that wait too.
        return {"multipliers": Part(energy_pj, self.array_rows * self.cells_a_weight * gate.area_um2, gate.time_ns)}

    @property
    def output_parts(self) -> Parts:
        one, converter = self.gates, self.converter
        cells = self.array_rows * self.cells_a_weight
        line_pj = cells * ((1.0 - self.weight_sparsity) * self.cell.bit_line_pj)
        conversions = self.conversions
        wide_bits = np.where(conversions > 1, conversions + self.adc_bits, self.adc_bits)
        sums = accumulator(one, self.input_bits + self.adc_bits + self.weight_bits, wide_bits)
        several = (self.slices > 1) | np.greater(self.array_rows, self.rows_at_once)
        values = place_value_tree(one, conversions, self.adc_bits)
        outputs_an_adc = np.maximum(self.columns_per_adc / conversions, 1.0)  # which share its adders too
        return {
            "bit_lines": Part(line_pj, np.zeros(()), np.zeros(())),
            "adcs": Part(
                conversions * (self.adc_energy_scale * converter.energy_pj),
                conversions * converter.area_um2 / self.columns_per_adc,
                self.columns_per_adc * converter.time_ns,
            ),
            "place_values": values._replace(area_um2=values.area_um2 / outputs_an_adc),
            "accumulators": where(several, sums),
        }

    @property
    def cycle_by_part_ns(self) -> dict[str, FloatArray]:
        """Time of one input slice by part."""
        settle = self.cell_parts["multipliers"].time_ns if self.array_ns is None else np.asarray(self.array_ns)
        return {"multipliers": settle} | {name: part.time_ns for name, part in self.output_parts.items()}

    @property
    def cycle_ns(self) -> FloatArray:
        """From one input slice to the next: the sum of its parts, or the longest of them where columns are held."""
        parts = list(self.cycle_by_part_ns.values())
        longest = parts[0]
        for part in parts[1:]:
            longest = np.maximum(longest, part)
        return np.where(self.pipelined, longest, sum(parts, np.zeros(())))

    @property
    def figures(self) -> ArrayFigures:
        rows, behind = self.row_parts, self.output_parts
        digital = (behind[name].energy_pj for name in ("bit_lines", "place_values", "accumulators"))
        return ArrayFigures(
            operation_ns=self.slices * self.cycle_ns,
            weight_pj=self.slices * self.cell_parts["multipliers"].energy_pj / self.rows_at_once,
            line_pj=self.slices * rows["row_lines"].energy_pj,
            dac_pj=self.slices * rows["dacs"].energy_pj,
            digital_pj=self.slices * sum(digital, np.zeros(())),
            adc_pj=self.slices * behind["adcs"].energy_pj,
            write_row_ns=self.write_row_ns,
            write_weight_pj=self.write_weight_pj,
        )

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        self.mode(precision)
        # Columns that a ladder weighted are read as one, as are the levels of a converter of several bits: no count of
        # units, but an analog sum whose converter's range is set from data.
        if self.dac_bits > 1 or self.columns_summed > 1:
            return AnalogDot(self.input_bits, self.weight_bits, self.adc_bits, self.rows_at_once)
        law = CoarseBitSerial if self.full_range else BitSerial
        return law(self.rows_at_once, self.cell_bits, self.adc_bits, self.input_bits, self.weight_bits)
