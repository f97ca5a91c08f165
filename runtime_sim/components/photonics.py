"""Power, loss and area of photonic circuits and their converters, as pure functions of arrays that broadcast.

Sources: LT, the hardware simulator of Lightening-Transformer (arXiv 2305.19533); SimPhony (DAC'25). Powers are in mW,
rates in GHz, so that a power over a rate is pJ.
"""

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray


def dac_power_mw(
    power_mw: ArrayLike, rated_bits: ArrayLike, rated_ghz: ArrayLike, bits: ArrayLike, ghz: ArrayLike
) -> FloatArray:
    """A capacitive DAC of `bits` at `ghz`, from one measured: P0 (2^b / b) / (2^b0 / b0) f / f0 (LT DAC.py)."""
    of_bits = _levels(bits) / _real(bits) * _real(rated_bits) / _levels(rated_bits)
    return _real(power_mw) * of_bits * _real(ghz) / _real(rated_ghz)


def adc_power_mw(
    power_mw: ArrayLike, rated_bits: ArrayLike, rated_ghz: ArrayLike, bits: ArrayLike, ghz: ArrayLike
) -> FloatArray:
    """A SAR ADC of `bits` at `ghz`, from one measured: P0 (b / b0) f / f0 (LT ADC.py)."""
    return _real(power_mw) * _real(bits) / _real(rated_bits) * _real(ghz) / _real(rated_ghz)


def modulator_power_mw(energy_fj_per_symbol: ArrayLike, ghz: ArrayLike) -> FloatArray:
    """What drives a modulator at `ghz`, whatever its bits (LT cal_modulator_param): fJ x GHz is uW."""
    return _real(energy_fj_per_symbol) * _real(ghz) * 1e-3


def splitting_loss_db(ways: ArrayLike) -> FloatArray:
    """Light on one of `ways` equal branches: 10 log10(ways) (LT cal_laser_power)."""
    return 10 * np.log10(_real(ways))


def splitter_levels(ways: ArrayLike) -> FloatArray:
    """Levels of a tree of 1 x 2 splitters with `ways` leaves (a whole number): ceil(log2(ways)), without rounding."""
    return np.asarray(np.frexp(_real(ways) - 1)[1], np.float64)


def coherent_core_loss_db(
    modulator_db: ArrayLike,
    router_db: ArrayLike,
    splitter_db: ArrayLike,
    shifter_db: ArrayLike,
    coupler_db: ArrayLike,
    rows: ArrayLike,
    cols: ArrayLike,
) -> FloatArray:
    """Insertion loss of a core of interferometric dot products: a modulator between two routers, a tree of splitters
    over the longer side, and in the node a splitter, a phase shifter and a coupler (LT cal_insertion_loss)."""
    tree = _real(splitter_db) * splitter_levels(np.maximum(rows, cols))
    node = _real(splitter_db) + _real(shifter_db) + _real(coupler_db)
    return _real(modulator_db) + 2 * _real(router_db) + tree + node


def mesh_loss_db(modulator_db: ArrayLike, cell_db: ArrayLike, rows: ArrayLike, cols: ArrayLike) -> FloatArray:
    """Insertion loss of a rectangular (Clements) SVD mesh: rows + cols + 1 cells deep (LT photonic_MZI.py)."""
    return _real(modulator_db) + _real(cell_db) * (_real(rows) + _real(cols) + 1)


def ring_bank_loss_db(
    modulator_db: ArrayLike,
    modulator_through_db: ArrayLike,
    ring_db: ArrayLike,
    through_db: ArrayLike,
    splitter_db: ArrayLike,
    inputs: ArrayLike,
    outputs: ArrayLike,
) -> FloatArray:
    """Insertion loss of a bank of rings: light passes all input rings but one (modulators), and all weight rings but
    one, a tree of splitters over the outputs in between (LT photonic_mrr_bank.py)."""
    passed = _real(inputs) - 1
    modulators = _real(modulator_through_db) * passed + _real(modulator_db)
    rings = _real(through_db) * passed + _real(ring_db)
    return modulators + rings + _real(splitter_db) * splitter_levels(outputs)


def laser_power_mw(
    sensitivity_dbm: ArrayLike,
    loss_db: ArrayLike,
    wall_plug_efficiency: ArrayLike,
    bits: ArrayLike,
    extinction_ratio_db: ArrayLike = np.inf,
    integrated_cycles: ArrayLike = 1,
) -> FloatArray:
    """Electrical power of a laser that leaves each detector its sensitivity for each of 2^bits levels.

    10^((S + loss) / 10) / efficiency 2^bits (LT cal_laser_power; `loss_db` with the splitting), over
    1 - 10^(-ER / 10) where modulators do not go dark (SimPhony). Where detectors integrate several cycles before they
    are read, the charge that a level needs is spread over them.
    """
    light_mw = 10 ** ((_real(sensitivity_dbm) + _real(loss_db)) / 10)
    dark = 10 ** (-_real(extinction_ratio_db) / 10)
    return light_mw / _real(wall_plug_efficiency) * _levels(bits) / (1 - dark) / _real(integrated_cycles)


def splitter_tree_area_um2(length_um: ArrayLike, width_um: ArrayLike, ways: ArrayLike) -> FloatArray:
    """A tree of 1 x 2 splitters over `ways` waveguides, as laid out: a level more than the tree has, of full width."""
    return _real(length_um) * (splitter_levels(ways) + 1) * _real(width_um) * _real(ways)


def mzi_cells(rows: ArrayLike, cols: ArrayLike) -> FloatArray:
    """Interferometers of the two unitary meshes of a rows x cols SVD mesh: (r (r - 1) + c (c - 1)) / 2; max(r, c)
    modulators for the singular values come on top (LT photonic_MZI.py)."""
    rows, cols = _real(rows), _real(cols)
    return (rows * (rows - 1) + cols * (cols - 1)) / 2


def _real(value: ArrayLike) -> FloatArray:
    return np.asarray(value, np.float64)


def _levels(bits: ArrayLike) -> FloatArray:
    return 2.0 ** _real(bits)
