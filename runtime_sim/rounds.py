"""The work of a product that passes its arrays in rounds (`#tile.rounds`): equal shares of all that it asks for.

In a round one tile of the weight is written, and a share of the vectors meets it. Writing all tiles once writes the
whole weight, so a round's share of that is exact on the average; tiles at the borders of the weight are smaller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..dialects.tile_modes import RoundsAttr
from .chip import Chip
from .cost import FloatArray, Work, ceil_div, ps_for, ps_of_ns
from .errors import InputError
from .kinds.arrays import ArrayTier
from .product import Product

PARTIAL_BITS = 32
"""A partial sum that leaves the arrays."""


@dataclass(frozen=True)
class Rounds:
    """`count` rounds, each of which writes (`load`), then computes; `turns` sets of arrays take turns."""

    load: Work
    compute: Work
    count: int
    turns: int
    first: Work
    """Loading what was not written ahead of the first round."""


def rounds_of(
    chip: Chip, tier_name: str, product: Product, outputs: int, rounds: RoundsAttr
) -> tuple[Rounds, Mapping[str, FloatArray], int]:
    """(one round, the energy of all by component, array rows written in all); the tier's links are as `chip` has them.

    `off_chip` and `spilled` count only where the operand, or partial sums, are off chip.
    """
    tier = chip.tier(tier_name)
    assert isinstance(tier, ArrayTier)
    n, many, one = np.int64(outputs), np.int64(rounds.at.copies.data), np.int64(1)
    count, passes = rounds.number("count"), rounds.number("passes")
    whole = tier.mvm(tier_name, chip, product, n, one)
    share = replace(product, m=int(ceil_div(product.m, passes)))
    arrays_ps = dict(tier.mvm(tier_name, chip, share, n, many).stages)[f"{tier_name}.arrays"]
    program = tier.program(tier_name, chip, product, n, many)

    x_bits, y_bits = product.input_elements * product.input_bits, product.output_elements * product.output_bits
    sums = product.output_elements * PARTIAL_BITS
    reads = x_bits * rounds.number("off_chip") * product.x_off_chip + sums * rounds.number("spilled")
    writes = y_bits * product.y_off_chip + sums * rounds.number("spilled")
    into, out = x_bits * rounds.number("inputs") + sums * rounds.number("sums"), y_bits + sums * rounds.number("sums")
    stages = (
        ("dram.read", ps_for(reads, 8 * count * chip.dram.read_bytes_per_ns)),
        (f"{tier_name}.in", ps_for(into, 8 * count * tier.link_in_bytes_per_ns)),
        (f"{tier_name}.arrays", arrays_ps),
        (f"{tier_name}.out", ps_for(out, 8 * count * tier.link_out_bytes_per_ns)),
        ("dram.write", ps_for(writes, 8 * count * chip.dram.write_bytes_per_ns)),
    )
    compute = Work(tuple((name, ps) for name, ps in stages if ps > 0), whole.chunks, {})
    load = Work(
        tuple((name, ceil_div(ps * passes, count)) for name, ps in program.stages if ps > 0), program.chunks, {}
    )
    left = 1 - rounds.number("ahead") / (rounds.at.size // rounds.number("turns"))
    first = replace(load, stages=tuple((name, np.ceil(ps * left).astype(np.int64)) for name, ps in load.stages))
    done = (1 - left) * passes / count
    again = into + out - x_bits - y_bits
    off_again = reads + writes - x_bits * product.x_off_chip - y_bits * product.y_off_chip
    energy = dict(whole.energy_pj)
    for component, pj in program.energy_pj.items():
        energy[component] = energy.get(component, np.zeros(())) + pj * (passes - done)
    energy["links"] = energy["links"] + again * tier.link_energy_pj_per_bit
    energy["buffer"] = energy["buffer"] + (again + off_again) * chip.buffer.energy_pj_per_bit
    energy["dram"] = energy["dram"] + off_again * chip.dram.energy_pj_per_bit
    return (
        Rounds(load, compute, count, rounds.number("turns"), first),
        energy,
        int(np.ceil(program.rows_written * (passes - done))),
    )


def round_writes(rounds: RoundsAttr) -> NDArray[np.int64]:
    """How often the rounds write each array, in the order of their place: round r writes the set r mod `turns`.

    What `tile.ahead` wrote of the first set they do not write in the first round.
    """
    turns = rounds.number("turns")
    sets = [len(range(turn, rounds.number("count"), turns)) for turn in range(turns)]
    writes = np.repeat(sets, rounds.at.size // turns)
    writes[: rounds.number("ahead")] -= 1
    return writes


def switch_work(chip: Chip, tier_name: str, arrays: int, *, to_memory: bool) -> Work:
    """Switching so many arrays of a tier that has a memory mode."""
    tier = chip.tier(tier_name)
    mode = tier.memory_mode if isinstance(tier, ArrayTier) else None
    if mode is None:
        raise InputError(f"tier {tier_name}: expected a memory mode, it has none")
    ps = arrays * ps_of_ns(mode.to_memory_ns if to_memory else mode.to_compute_ns)
    return Work(((f"{tier_name}.switch", ps),), np.int64(1), {})  # pyright: ignore[reportArgumentType]
