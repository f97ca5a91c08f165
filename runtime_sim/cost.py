"""What work costs: stages in time, energy by component, and the price of one option of a matrix operator.

Times are integer picoseconds; amounts are numpy arrays that broadcast, so that one call prices many options.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .product import Product

if TYPE_CHECKING:
    from .chip import Chip

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]

COMPONENTS = ("arrays", "converters", "write", "links", "buffer", "dram", "digital", "static")
"""Where energy goes. `arrays`: crossbars and photonic cores (with their converters where a tier is given by figures of
the whole); `static`: power x latency."""

SHARED_PORTS = ("dram.read", "dram.write")
"""Resources of the chip as a whole: parts of one operator on different tiers meet there."""

LONGEST_PS = 2.0**60
"""Longer operations are a mistake in a chip file: sums of a plan's times have to fit 64 bits."""

MAX_CHUNKS = 32
"""A part's work is cut into at most this many equal chunks, which follow each other through its stages."""


@dataclass(frozen=True)
class Work:
    """What one operation asks of the chip's resources."""

    stages: tuple[tuple[str, IntArray], ...]
    """(resource, picoseconds of the whole work), in the order in which a chunk passes them; no resource twice."""
    chunks: IntArray
    energy_pj: Mapping[str, FloatArray]
    """Dynamic energy by component."""
    rows_written: IntArray = field(default_factory=lambda: np.zeros((), np.int64))
    """Array rows written: wear."""


def ps_for(amount: ArrayLike, per_ns: ArrayLike) -> IntArray:
    """Picoseconds, rounded up, for `amount` things at `per_ns` things a nanosecond."""
    return _whole_ps(np.ceil(np.asarray(amount) * (1000.0 / np.asarray(per_ns))))


def ps_of_ns(ns: ArrayLike) -> IntArray:
    """A duration in whole picoseconds. One that is not nothing, but rounds to nothing, is an error."""
    ns = np.asarray(ns, np.float64)
    ps = _whole_ps(np.rint(ns * 1000.0))
    if np.any((ps == 0) & (ns > 0)):
        raise InputError(
            f"expected durations of a picosecond or more, got {float(ns[(ps == 0) & (ns > 0)].min()):g} ns"
        )
    return ps


def _whole_ps(ps: FloatArray) -> IntArray:
    """As integers; more than these hold, or no number, is an error."""
    if not np.all(ps < LONGEST_PS):
        worst = float(np.max(ps))
        raise InputError(f"expected durations below {LONGEST_PS / 1e12 / 86400:.0f} days, got {worst / 1000:g} ns")
    return ps.astype(np.int64)


def chunk_count(vectors: int) -> int:
    """Into how many chunks `vectors` vectors are cut."""
    return max(1, min(vectors, MAX_CHUNKS))


def ceil_div(a: ArrayLike, b: ArrayLike) -> IntArray:
    """a / b rounded up, for whole numbers a >= 0, b > 0."""
    b = np.asarray(b, np.int64)
    return (np.asarray(a, np.int64) + (b - 1)) // b


def closed_form_ps(work: Work) -> IntArray:
    """The time of `work` alone on its resources: `sum of tau + (chunks - 1) * max of tau`, tau = ceil(stage / chunks).

    It is exact, as every chunk takes the same time in a stage: the slowest stage is never idle between its first and
    its last chunk.
    """
    total = slowest = np.zeros((), np.int64)
    for _, stage_ps in work.stages:
        tau = ceil_div(stage_ps, work.chunks)
        total = total + tau
        slowest = np.maximum(slowest, tau)
    return total + (work.chunks - 1) * slowest


def busy_ps(work: Work, resource: str) -> IntArray:
    """How long `work` occupies a resource."""
    stages = [stage_ps for name, stage_ps in work.stages if name == resource]
    return sum((ceil_div(stage_ps, work.chunks) * work.chunks for stage_ps in stages), np.zeros((), np.int64))


def total_energy_pj(work: Work) -> FloatArray:
    """The dynamic energy of `work`, all components."""
    return sum(work.energy_pj.values(), np.zeros(()))


@dataclass(frozen=True)
class Price:
    """What options of one operator on one tier cost: arrays of the shape to which `outputs`, `copies` and the fields
    of the tier and chip (numbers, or arrays for many chips) broadcast."""

    latency_ps: IntArray
    """Of one execution, the operator alone on the chip."""
    energy_pj: FloatArray
    """Dynamic energy of one execution."""
    components: Mapping[str, FloatArray]
    """`energy_pj` by component."""
    arrays: IntArray
    """Arrays occupied, all copies; 0 where weights are streamed."""
    ports_ps: Mapping[str, IntArray]
    """Time of one execution on each port of off-chip memory, which the parts of an operator share."""
    rows_written: IntArray
    """Array rows written at each execution."""
    setup_latency_ps: IntArray
    """First loading of weights that then stay."""
    setup_energy_pj: FloatArray


def price(
    chip: "Chip",
    product: Product,
    tier: str,
    outputs: ArrayLike,
    copies: ArrayLike = 1,
    *,
    rewritten: bool = False,
    precision: str | None = None,
) -> Price:
    """The price of running `outputs` (>= 1) outputs of `product` on `tier` with `copies` copies of its weights.

    `rewritten`: the weights are programmed at each execution, before the product starts. On tiers without arrays,
    which stream their weights, it changes nothing, and copies are 1. `precision` names a mode of the tier, e.g.
    "6-6-8"; default is its first.
    """
    kind = chip.tier(tier)
    outputs, copies = np.asarray(outputs, np.int64), np.asarray(copies, np.int64)
    mvm = kind.mvm(tier, chip, product, outputs, copies, precision)
    latency, components = closed_form_ps(mvm), dict(mvm.energy_pj)
    ports = {port: busy_ps(mvm, port) for port in SHARED_PORTS}
    rows, setup_latency, setup_energy = mvm.rows_written, np.zeros((), np.int64), np.zeros(())
    arrays = np.zeros((), np.int64)
    if np.any(kind.arrays):
        arrays = kind.arrays_needed(product, outputs) * copies
        program = kind.program(tier, chip, product, outputs, copies)
        if rewritten:
            latency = latency + closed_form_ps(program)
            rows = rows + program.rows_written
            ports = {port: ps + busy_ps(program, port) for port, ps in ports.items()}
            for component, energy in program.energy_pj.items():
                components[component] = components.get(component, np.zeros(())) + energy
        else:
            setup_latency, setup_energy = closed_form_ps(program), total_energy_pj(program)
    total = sum(components.values(), np.zeros(()))
    given = (outputs, copies, latency, total, arrays, setup_latency, setup_energy)
    shape = np.broadcast_shapes(*(each.shape for each in given))
    return Price(
        latency_ps=np.broadcast_to(latency, shape),
        energy_pj=np.broadcast_to(total, shape),
        components={name: np.broadcast_to(energy, shape) for name, energy in components.items()},
        arrays=np.broadcast_to(arrays, shape),
        rows_written=np.broadcast_to(rows, shape),
        ports_ps={port: np.broadcast_to(ps, shape) for port, ps in ports.items()},
        setup_latency_ps=np.broadcast_to(setup_latency, shape),
        setup_energy_pj=np.broadcast_to(setup_energy, shape),
    )
