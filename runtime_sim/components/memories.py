"""Memories: SRAM cells and their lines, buffers, off-chip memory."""

from typing import NamedTuple

from numpy.typing import ArrayLike

from ..cost import FloatArray
from .tables import chosen, constant, real
from .technology import scaled_area_um2, scaled_delay_ns, scaled_energy_pj

_T = "memories"


class Cell(NamedTuple):
    """One SRAM cell: silicon, pJ of reading and writing its bit, pJ of charging its piece of bit line or word line
    (C V^2), and what it leaks in mW."""

    area_um2: FloatArray
    read_pj: FloatArray
    write_pj: FloatArray
    bit_line_pj: FloatArray
    word_line_pj: FloatArray
    leakage_mw: FloatArray


def sram_cell(technology_nm: ArrayLike, supply_v: ArrayLike) -> Cell:
    """A 6T cell at `technology_nm` and `supply_v` (MNSIM 2.0, ZigZag imc_unit, scaled); it leaks in proportion to V."""
    own_nm, own_v = constant(_T, "sram_technology_nm"), constant(_T, "sram_supply_v")

    def energy_pj(own_pj: float) -> FloatArray:
        return scaled_energy_pj(own_pj, own_nm, technology_nm, own_v, supply_v)

    leakage = constant(_T, "sram_leakage_mw_per_mbit") / 2**20 / constant(_T, "sram_leakage_supply_v")
    return Cell(
        scaled_area_um2(constant(_T, "sram_cell_um2"), own_nm, technology_nm),
        energy_pj(constant(_T, "sram_read_pj_per_bit")),
        energy_pj(constant(_T, "sram_write_pj_per_bit")),
        energy_pj(constant(_T, "sram_bit_line_ff") * 1e-3 * own_v**2),
        energy_pj(constant(_T, "sram_word_line_ff") * 1e-3 * own_v**2),
        leakage * real(supply_v),
    )


def sram_write_row_ns(rows: ArrayLike, technology_nm: ArrayLike, supply_v: ArrayLike) -> FloatArray:
    """Writing one row: its bit lines, `rows` cells long, have to settle (k3 R + k4 of ZigZag's imc_array)."""
    own_nm, own_v = constant(_T, "sram_technology_nm"), constant(_T, "sram_supply_v")
    own_ns = constant(_T, "sram_settle_row_ns") * real(rows) + constant(_T, "sram_settle_ns")
    return scaled_delay_ns(own_ns, own_nm, technology_nm, own_v, supply_v)


def sram_endurance_writes() -> float:
    """Writes that an SRAM cell survives."""
    return constant(_T, "sram_endurance_writes")


class Buffer(NamedTuple):
    """A memory on the chip; what its source does not give is NaN."""

    read_pj_per_bit: float
    write_pj_per_bit: float
    area_um2_per_bit: float
    static_mw_per_mbit: float


def buffer(kind: str) -> Buffer:
    """The memory called `kind`: "global" (2 MB), "local", "registers", "isaac-edram" (64 KB), "gain-cell" (1 Mb)."""
    names: tuple[str | None, ...] = chosen("buffer", kind, _BUFFERS)
    return Buffer(*(float("nan") if name is None else constant(_T, name) for name in names))


_BUFFERS: dict[str, tuple[str | None, ...]] = {
    "global": ("global_buffer_pj_per_bit", "global_buffer_pj_per_bit", None, None),
    "local": ("local_buffer_pj_per_bit", "local_buffer_pj_per_bit", None, None),
    "registers": ("register_file_pj_per_bit", "register_file_pj_per_bit", None, None),
    "isaac-edram": ("isaac_edram_pj_per_bit", "isaac_edram_pj_per_bit", "isaac_edram_um2_per_bit", None),
    "gain-cell": (
        "gain_cell_read_pj_per_bit",
        "gain_cell_write_pj_per_bit",
        "gain_cell_um2_per_bit",
        "gain_cell_static_mw_per_mbit",
    ),
}

DRAM_KINDS = ("lpddr4", "lpddr", "ddr3", "gddr5", "hbm2", "hmc")
"""The names that `dram_pj_per_bit` knows."""


def dram_pj_per_bit(kind: str) -> float:
    """Energy of moving one bit from or to off-chip memory (accelergy-cacti-plug-in)."""
    chosen("dram", kind, dict.fromkeys(DRAM_KINDS))
    return constant(_T, f"{kind}_pj_per_bit")
