"""Digital logic of gates: adders, adder trees, accumulators, and one-bit multipliers.

The model is ZigZag's (imc_unit, imc_array; Sun et al., "Analog or digital in-memory computing? Benchmarking through
quantitative modeling", ICCAD'23): ripple-carry adders of NAND2 and XOR2 gates at 28 nm and 0.9 V, scaled to other
nodes and supplies by technology.py. Counts of inputs and bits may be arrays.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray
from .tables import constant, real
from .technology import scaled_area_um2, scaled_delay_ns, scaled_energy_pj


class Part(NamedTuple):
    """A circuit: pJ each time that it is used, silicon, and the delay that it adds to a path."""

    energy_pj: FloatArray
    area_um2: FloatArray
    time_ns: FloatArray


@dataclass(frozen=True)
class Gates:
    """The gates of one node at one supply; energies are C V^2 of their inputs."""

    nand2: Part
    xor2: Part
    flip_flop: Part

    @property
    def adder(self) -> Part:
        """A full adder of 3 NAND2 and 2 XOR2; its delay is that from the carry in to the carry out."""
        energy_pj = 3 * self.nand2.energy_pj + 2 * self.xor2.energy_pj
        return Part(energy_pj, 3 * self.nand2.area_um2 + 2 * self.xor2.area_um2, 2 * self.nand2.time_ns)

    @property
    def input_to_sum_ns(self) -> FloatArray:
        """Of a full adder."""
        return 2 * self.xor2.time_ns

    @property
    def input_to_carry_ns(self) -> FloatArray:
        """Of a full adder."""
        return self.xor2.time_ns + 2 * self.nand2.time_ns

    @property
    def multiplier(self) -> Part:
        """A multiplier of one bit by one bit: a NOR2, taken for a NAND2; only one of its inputs changes."""
        return self.nand2._replace(energy_pj=constant("logic", "multiplier_activity") * self.nand2.energy_pj)


def gates(technology_nm: ArrayLike, supply_v: ArrayLike) -> Gates:
    """The gates at `technology_nm` and `supply_v`."""
    own_nm, own_v = constant("logic", "technology_nm"), constant("logic", "supply_v")

    def gate(name: str, delay_ns: float) -> Part:
        own_pj = constant("logic", f"{name}_ff") * 1e-3 * own_v**2
        return Part(
            scaled_energy_pj(own_pj, own_nm, technology_nm, own_v, supply_v),
            scaled_area_um2(constant("logic", f"{name}_um2"), own_nm, technology_nm),
            scaled_delay_ns(delay_ns, own_nm, technology_nm, own_v, supply_v),
        )

    return Gates(
        gate("nand2", constant("logic", "nand2_ns")),
        gate("xor2", constant("logic", "xor2_ns")),
        gate("dff", 0.0),  # ZigZag counts no delay for registers
    )


def times(count: ArrayLike, part: Part) -> Part:
    """`count` circuits side by side: their energies and areas add up, the delay stays."""
    return Part(real(count) * part.energy_pj, real(count) * part.area_um2, part.time_ns)


def adder_tree(one: Gates, inputs: ArrayLike, bits: ArrayLike) -> Part:
    """The sum of `inputs` numbers of `bits` bits, all of one place value.

    n (p + 1) - (p + log2 n + 1) full adders. The longest path goes through the sums of all levels but the last and
    through the whole carry chain of that one. For an n that is no power of two the depth is rounded up.
    """
    n, p = real(inputs), real(bits)
    depth = np.ceil(np.log2(n))
    count = np.where(n > 1, n * (p + 1) - (p + depth + 1), 0.0)
    path = (depth - 1) * one.input_to_sum_ns + one.input_to_carry_ns + (p + depth - 2) * one.adder.time_ns
    return times(count, one.adder)._replace(time_ns=np.where(n > 1, path, 0.0))


def place_value_tree(one: Gates, inputs: ArrayLike, bits: ArrayLike) -> Part:
    """The sum of `inputs` numbers of `bits` bits, each worth twice the one before it.

    p (n - 1) + n (log2 n - 1/2) full adders; nothing for one input.
    """
    n, p = real(inputs), real(bits)
    count = np.where(n > 1, p * (n - 1) + n * (np.log2(n) - 0.5), 0.0)
    path = (np.ceil(np.log2(n)) - 1) * one.input_to_sum_ns + one.input_to_carry_ns + (n - 1) * one.adder.time_ns
    return times(count, one.adder)._replace(time_ns=np.where(n > 1, path, 0.0))


def accumulator(one: Gates, bits: ArrayLike, input_bits: ArrayLike) -> Part:
    """A register of `bits` bits and the adder that adds a number of `input_bits` bits to it."""
    wide = real(bits)
    energy = wide * one.adder.energy_pj + wide * one.flip_flop.energy_pj
    area = wide * one.adder.area_um2 + wide * one.flip_flop.area_um2
    carries = np.maximum(wide - real(input_bits) - 1, 0.0)
    return Part(energy, area, one.input_to_carry_ns + carries * one.adder.time_ns)


def where(needed: ArrayLike, part: Part) -> Part:
    """`part` where it is needed, else nothing."""
    return Part(*(np.where(needed, figure, 0.0) for figure in part))
