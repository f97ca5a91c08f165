"""Memory cells that compute: what one of them costs in silicon, in a read, in a write, and in refreshing.

All formulas are pure and broadcast. A cell is given in the chip file by its numbers, or by the name of a row of
data/cells.yaml.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BeforeValidator, Field, model_validator

from ..cost import FloatArray
from ..kinds.base import Fields, NonNegative, Positive
from .tables import table


class Cell(Fields):
    """One memory cell, as an array of them computes.

    A read is either published (`read_pj`) or follows from conductances, voltage and time.
    """

    area_f2: Positive
    """In squares of the technology's feature size, with its access device."""
    read_pj: NonNegative | None = None
    """One input cycle of one cell, averaged over its levels and over inputs that are on and off."""
    on_us: Positive | None = None
    """Conductance of the highest level, microsiemens; `off_us` of the lowest."""
    off_us: NonNegative | None = None
    read_v: Positive | None = None
    read_ns: Positive | None = None
    """How long a driven row is held; without one where inputs are lengths of pulses."""
    read_activity: Annotated[Positive, Field(le=1)] = 0.5
    """Share of rows that an input cycle drives, or mean length of a pulse over the longest."""
    write_ns: Positive
    """One programming pulse, or one round of write and verify."""
    write_pj: NonNegative
    """One programming pulse of one cell."""
    write_pulses: Positive = 1.0
    """Pulses until a level is reached."""

    @model_validator(mode="after")
    def _a_read_is_told(self) -> "Cell":
        if self.read_pj is None and (self.on_us is None or self.off_us is None or self.read_v is None):
            raise ValueError("read_pj: expected a value, or on_us, off_us and read_v to derive it from")
        return self

    def expect_read_time(self) -> None:
        """Where inputs are no lengths of pulses, a read that is not published lasts as long as the cell says."""
        if self.read_pj is None and self.read_ns is None:
            raise ValueError("cell: expected read_pj or read_ns, got neither")

    def read_energy_pj(self, longest_ns: ArrayLike | None = None) -> FloatArray:
        """One input cycle of one cell; `longest_ns`: how long a row is held at most, if inputs are pulse lengths."""
        held_ns = self.read_ns if longest_ns is None else longest_ns
        on_us, off_us, read_v = self.on_us, self.off_us, self.read_v
        if self.read_pj is not None or on_us is None or off_us is None or read_v is None or held_ns is None:
            return np.asarray(self.read_pj, np.float64)
        return ohmic_read_pj(mean_conductance_us(on_us, off_us), read_v, held_ns, self.read_activity)


@cache
def named_cells() -> Mapping[str, Mapping[str, float]]:
    """The cells of data/cells.yaml by name, without their sources."""
    return {
        name: {field: float(entry["value"]) for field, entry in row.items()} for name, row in table("cells").items()
    }


def _fields(given: object) -> object:
    """What a chip file says of a cell, as fields: a name stands for its row of data/cells.yaml."""
    if isinstance(given, str) and given not in named_cells():
        raise ValueError(f"expected one of {', '.join(named_cells())}, got {given!r}")
    return dict(named_cells()[given]) if isinstance(given, str) else given


NamedCell = Annotated[Cell, BeforeValidator(_fields)]
"""A cell by its fields, or by the name of a row of data/cells.yaml."""


def mean_conductance_us(on_us: ArrayLike, off_us: ArrayLike) -> FloatArray:
    """The mean of levels that lie evenly between `off_us` and `on_us`, all as likely (microsiemens)."""
    return (np.asarray(on_us, np.float64) + np.asarray(off_us, np.float64)) / 2


def ohmic_read_pj(conductance_us: ArrayLike, read_v: ArrayLike, read_ns: ArrayLike, activity: ArrayLike) -> FloatArray:
    """Joule heat of a cell held at `read_v` for `read_ns`: E = G V^2 t (uS V^2 ns = 10^-3 pJ)."""
    heat = (
        np.asarray(conductance_us, np.float64) * np.asarray(read_v, np.float64) ** 2 * np.asarray(read_ns, np.float64)
    )
    return heat * np.asarray(activity, np.float64) * 1e-3


def cell_area_um2(area_f2: ArrayLike, technology_nm: ArrayLike) -> FloatArray:
    """Squares of the feature size in um2."""
    return np.asarray(area_f2, np.float64) * (np.asarray(technology_nm, np.float64) * 1e-3) ** 2


def refresh_power_mw(cells: ArrayLike, write_pj: ArrayLike, retention_us: ArrayLike) -> FloatArray:
    """Writing every cell once in each retention time: P = cells E_write / t_ret (pJ/us = 10^-3 mW)."""
    return (
        np.asarray(cells, np.float64) * np.asarray(write_pj, np.float64) / np.asarray(retention_us, np.float64) * 1e-3
    )
