"""What a chip could do at best: rate, energy, capacity and writing of each tier, derived from its prices."""

from dataclasses import dataclass

from .chip import Chip
from .cost import SHARED_PORTS, closed_form_ps

OPERATIONS_A_MAC = 2
"""A multiply-accumulate counts as two operations, as published rates do."""


@dataclass(frozen=True)
class Peak:
    """The peak of one tier in one precision, links and memories left out; a MAC is two operations."""

    tops: float
    """10^12 operations a second, all of the tier busy."""
    tops_per_w: float
    """At that rate, static power included."""
    pj_per_mac: float
    """Dynamic energy."""


@dataclass(frozen=True)
class Holding:
    """What the arrays of a tier hold, and what filling them all takes (weights from off-chip memory)."""

    weights: int
    write_ns: float
    write_energy_pj: float
    endurance_writes: float | None


def peak(chip: Chip, name: str, precision: str | None = None) -> Peak | None:
    """The peak of the tier `name`; None of a kind that has none."""
    tier = chip.tier(name)
    product = tier.full_load()
    if product is None:
        return None
    work = tier.mvm(name, chip, product, product.total_outputs, 1, precision)
    outside = {*SHARED_PORTS, f"{name}.in", f"{name}.out"}
    ps = max(int(ps) for resource, ps in work.stages if resource not in outside)
    energy_pj = sum(float(work.energy_pj.get(part, 0.0)) for part in ("arrays", "converters", "digital"))
    macs = product.macs()
    macs_per_ns, pj_per_mac = macs / ps * 1000, energy_pj / macs
    # pJ/ns are mW; 10^9 operations a second and mW are 10^12 operations a second and W.
    power_mw = macs_per_ns * pj_per_mac + tier.static_power_mw
    operations_per_ns = OPERATIONS_A_MAC * macs_per_ns
    return Peak(operations_per_ns / 1000, operations_per_ns / power_mw if power_mw else float("inf"), pj_per_mac)


def holding(chip: Chip, name: str) -> Holding | None:
    """What the arrays of the tier `name` hold; None where weights are streamed."""
    tier = chip.tier(name)
    if not tier.arrays:
        return None
    product = tier.full_load()
    if product is None:
        return None
    work = tier.program(name, chip, product, product.total_outputs, 1)
    energy_pj = sum(float(pj) for pj in work.energy_pj.values())
    return Holding(product.k * product.total_outputs, int(closed_form_ps(work)) / 1000, energy_pj, tier.endurance())
