"""The six macros that ZigZag's model was validated on, put together from our components as their papers describe them.

Which adders, registers and converters each macro has, its toggle rates and its sparsity follow ZigZag's study
(zigzag-imc, imc_model_validation); cells are CACTI's areas as given there. Energies are of one MAC in fJ, areas in
mm2, times of one clock cycle in ns. Gates, adders and converters are those of h3c.runtime_sim.components.
"""

from typing import Any, NamedTuple

import numpy as np

from h3c.runtime_sim.components.converters import adc, dac
from h3c.runtime_sim.components.logic import Gates, Part, accumulator, adder_tree, gates, times
from h3c.runtime_sim.components.memories import sram_cell


class Macro(NamedTuple):
    """Modelled silicon in mm2, clock cycle in ns, energy of a MAC in fJ."""

    area_mm2: float
    cycle_ns: float
    mac_fj: float


def adder(one: Gates, bits: int) -> Part:
    """A ripple-carry adder of `bits` bits; its delay is that of the longest carry chain."""
    return times(bits, one.adder)._replace(time_ns=one.input_to_carry_ns + (bits - 1) * one.adder.time_ns)


def macro(area_um2: Any, cells_mm2: float, cycle_ns: Any, cycle_pj: Any, macs_per_cycle: float) -> Macro:
    """From what one cycle of all banks takes."""
    return Macro(float(area_um2) * 1e-6 + cells_mm2, float(cycle_ns), float(cycle_pj) * 1e3 / macs_per_cycle)


def dimc1() -> Macro:
    """ISSCC'22 15.5: 64 banks x 32 inputs x 6 outputs, radix-4 Booth, 2 bits a cycle; five adders a bank for floats."""
    one, banks, outputs = gates(28, 0.9), 64, 6
    multipliers = times(32 * 8, one.multiplier)
    tree, sums = adder_tree(one, 32, 9), accumulator(one, 32, 14)
    floats = times(5, adder_tree(one, 2, 32)).area_um2 + times(5 * 32, one.adder).area_um2 + 5 * 32 * 1.764
    area = banks * (outputs * (multipliers.area_um2 + tree.area_um2 + sums.area_um2) + floats)
    energy = 0.25 * (multipliers.energy_pj + tree.energy_pj) + sums.energy_pj
    cycle = multipliers.time_ns + tree.time_ns + sums.time_ns
    return macro(area, banks * 0.00065545, cycle, banks * outputs * energy, banks * outputs * 32 / 4)


def dimc2() -> Macro:
    """ISSCC'22 11.7: 2 banks x 32 inputs x 1 output; every input has an accumulator of 16 bits before the tree."""
    one, banks, inputs = gates(28, 0.9), 2, 32
    multipliers, tree = times(inputs * 8, one.multiplier), adder_tree(one, inputs, 16)
    sums, registers = times(inputs, accumulator(one, 16, 8)), times(inputs * 8, one.flip_flop)
    area = banks * (multipliers.area_um2 + tree.area_um2 + sums.area_um2 + registers.area_um2)
    cycle = tree.time_ns + one.input_to_sum_ns  # the second stage of its pipeline is the longer one
    energy = 0.05 * (multipliers.energy_pj + tree.energy_pj) + (sums.energy_pj + registers.energy_pj) / inputs
    return macro(area, banks * 0.00396, cycle, banks * energy, banks * inputs / 8)


def dimc3() -> Macro:
    """ISSCC'23 7.2: 8 banks x 128 inputs x 8 columns, 2 bits a cycle; a tree a column, a tree over columns, one sum."""
    one, banks, columns = gates(28, 0.9), 8, 8
    multipliers, tree = times(128 * 2, one.multiplier), adder_tree(one, 128, 2)
    across, sums = adder_tree(one, columns, 16), accumulator(one, 23, 17)
    area = banks * (columns * (multipliers.area_um2 + tree.area_um2) + across.area_um2 + sums.area_um2)
    energy = columns * 0.25 * (multipliers.energy_pj + tree.energy_pj) + across.energy_pj + sums.energy_pj
    cycle = multipliers.time_ns + tree.time_ns + across.time_ns + sums.time_ns
    return macro(area, banks * 0.00193147, cycle, banks * energy, banks * 128 * columns / 8 / 4)


def aimc1() -> Macro:
    """CICC'21: 1024 x 512 weights of two cells, 7-bit DACs, a 6-bit ADC an output; a bit line and an enable a cell."""
    one, cell, rows, outputs = gates(22, 0.8), sram_cell(22, 0.8), 1024, 512
    multipliers, converter = times(rows * 2, one.multiplier), adc("zigzag", 6, 1, 22, 0.8, rows=rows)
    driver = dac("zigzag", 7, 1, 22, 0.8)
    lines_pj = rows * 3 * cell.bit_line_pj
    area = outputs * (multipliers.area_um2 + converter.area_um2)
    energy = outputs * (multipliers.energy_pj + lines_pj + converter.energy_pj) + rows * driver.energy_pj
    return macro(area, 2 * 0.24496704, multipliers.time_ns + converter.time_ns, energy, rows * outputs)


def aimc2() -> Macro:
    """JSSC'23: 4 banks x 16 inputs x 12 outputs in two transfers a cycle, 2-bit DACs, 16 ADCs of 5 bits an output."""
    one, cell, banks, inputs, outputs = gates(28, 0.9), sram_cell(28, 0.9), 4, 16, 12
    multipliers, converter = times(2 * inputs * 2, one.multiplier), adc("zigzag", 5, 1, 28, 0.9, rows=inputs)
    adders = times(8 * 7 + 4 * 9 + 2 * 12 + 15, one.adder)
    sums, registers = accumulator(one, 20, 16), times(5 * 16, one.flip_flop)
    lines_pj = inputs * 9 * 2 * cell.word_line_pj
    digital = (adders, sums, registers)
    area = multipliers.area_um2 + 16 * converter.area_um2 + sum(part.area_um2 for part in digital)
    energy = multipliers.energy_pj + 16 * converter.energy_pj + lines_pj + sum(part.energy_pj for part in digital)
    drivers_pj = 2 * inputs * dac("zigzag", 2, 1, 28, 0.9).energy_pj
    second = adder_tree(one, inputs, 12).time_ns + sums.time_ns
    cycle = 2 * np.maximum(multipliers.time_ns + converter.time_ns, second)
    transfers_pj = 2 * banks * (outputs * energy + drivers_pj)
    return macro(banks * outputs * area, banks * 0.0360450648, cycle, transfers_pj, banks * inputs * outputs)


def aimc3() -> Macro:
    """ISSCC'23 7.8: 8 banks of 64 x 256, 8 rows on, bit-serial, 3-bit conversions in the silicon of a 7-bit ADC."""
    one, cell, banks, outputs = gates(22, 0.8), sram_cell(22, 0.8), 8, 256
    converter, silicon = adc("zigzag", 3, 1, 22, 0.8, rows=8), adc("zigzag", 7, 1, 22, 0.8, rows=64)
    adders, active = adder(one, 6), times(16, one.multiplier)
    area = 64 * one.multiplier.area_um2 + adders.area_um2 + silicon.area_um2
    lines_pj = 8 * 8 * cell.bit_line_pj
    energy = 0.5 * (0.375 * active.energy_pj + adders.energy_pj + lines_pj + converter.energy_pj)
    cycle = one.multiplier.time_ns + adders.time_ns + converter.time_ns
    cells_mm2 = banks * 0.004505472 * 22 / 28
    return macro(banks * outputs * area, cells_mm2, cycle, banks * outputs * energy, banks * outputs * 8 / 8)


MACROS = {"AIMC1": aimc1, "AIMC2": aimc2, "AIMC3": aimc3, "DIMC1": dimc1, "DIMC2": dimc2, "DIMC3": dimc3}
"""By ZigZag's labels."""
