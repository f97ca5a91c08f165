"""ReRAM arrays: inputs of a few bits at a time onto rows of resistive cells, currents summed and converted."""

import numpy as np
from pydantic import field_validator, model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..components.converters import DAC_MODELS, Converter, dac
from ..components.tiles import input_cycles
from .arrays import Number
from .base import Bits, Positive
from .tiled import TiledArrays


class DrivenArrays(TiledArrays):
    """Arrays whose inputs come `dac_bits` at a time, so that a vector takes ceil(input_bits / dac_bits) cycles."""

    dac_model: str
    dac_bits: Bits
    read_ns: Positive
    """One input cycle: driving, settling and holding."""

    @field_validator("dac_model")
    @classmethod
    def _known_dac(cls, model: str) -> str:
        if model not in DAC_MODELS:
            raise ValueError(f"expected one of {', '.join(DAC_MODELS)}, got {model!r}")
        return model

    @model_validator(mode="after")
    def _rows_are_held(self) -> "DrivenArrays":
        if self.cell.read_pj is None and self.cell.read_ns is None:
            raise ValueError("cell: expected read_pj or read_ns, got neither")
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
