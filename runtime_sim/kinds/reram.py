"""ReRAM arrays: inputs of a few bits at a time onto rows of resistive cells, currents summed and converted."""

import numpy as np
from pydantic import model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..components.converters import Converter, dac
from ..components.tiles import input_cycles
from .arrays import Number
from .base import Bits, Positive
from .converted import DacModel
from .tiled import TiledArrays


class DrivenArrays(TiledArrays):
    """Arrays whose inputs come `dac_bits` at a time, so that a vector takes ceil(input_bits / dac_bits) cycles."""

    dac_model: DacModel
    dac_bits: Bits
    read_ns: Positive
    """One input cycle: driving, settling and holding."""

    @model_validator(mode="after")
    def _rows_are_held(self) -> "DrivenArrays":
        self.cell.expect_read_time()
        return self

    @property
    def cycles(self) -> Number:
        return np.asarray(input_cycles(self.input_bits, self.dac_bits), np.float64)

    @property
    def array_read_ns(self) -> Number:
        return self.read_ns

    @property
    def cell_pj(self) -> Number:
        return self.cycles * self.cell.read_energy_pj()

    @property
    def drive(self) -> Converter:
        return dac(self.dac_model, self.dac_bits, 1.0 / self.read_ns, self.technology_nm, self.supply_v)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        """Bit-serial with the converter's limits; inputs of several bits a cycle have no bit planes: the sums that an
        array's slices make together are taken as converted to `output_bits`, in a range set from data."""
        if self.dac_bits == 1:
            return super().arithmetic(precision)
        mode = self.mode(precision)
        return AnalogDot(mode.input_bits, mode.weight_bits, mode.output_bits, self.array_rows)


class ReRam(DrivenArrays):
    """Resistive cells (ISAAC, ISCA'16; PRIME, ISCA'16; PUMA, ASPLOS'19): multi-level, non-volatile, slow to write."""
