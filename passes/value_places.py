"""Which values stay in the chip's buffer, and which stream from and to off-chip memory.

Units run one after the other, so a value is live from its unit to the last one that reads it. In that order a value
gets a place in the buffer if it still fits beside those that are live; else it goes off chip, and whoever makes or
reads it streams it chunk by chunk. An argument that several units read is loaded once, if it fits. Results of the
function go off chip where they are made; one that is also read later stays in the buffer and is stored from there.

On a pipelined chip the operators of a segment run at the same time, and before placement there is but one segment: a
value keeps its room to the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, SSAValue

from ..dialects.values import is_tensor
from ..runtime_sim.chip import Chip
from ..runtime_sim.digital_cost import value_bytes
from .units import Unit, returned_values


@dataclass
class ValuePlaces:
    """The decision for one function."""

    on_chip: set[SSAValue] = field(default_factory=set[SSAValue])
    """Values that are in the buffer while they live."""
    loads: dict[int, list[SSAValue]] = field(default_factory=dict[int, list[SSAValue]])
    """Arguments to load whole before a unit, by the unit's index."""
    stores: dict[int, list[SSAValue]] = field(default_factory=dict[int, list[SSAValue]])
    """Results of the function to store whole after a unit."""


def place_values(function: FuncOp, units: Sequence[Unit], chip: Chip) -> ValuePlaces:
    """The values of `function` that stay in the buffer of `chip`."""
    places, live = ValuePlaces(), dict[SSAValue, int]()
    returned = set(returned_values(function))
    readers: dict[SSAValue, list[int]] = {}
    for index, unit in enumerate(units):
        for value in unit.ins:
            readers.setdefault(value, []).append(index)

    def takes(value: SSAValue) -> bool:
        if not is_tensor(value.type):
            return False
        size = value_bytes(value, chip.activation_bits)
        if sum(live.values()) + size > chip.buffer.size_bytes:
            return False
        live[value] = size
        places.on_chip.add(value)
        return True

    for index, unit in enumerate(units):
        for value in unit.ins:
            is_first_of_many = readers[value][0] == index and len(readers[value]) > 1
            if isinstance(value, BlockArgument) and is_first_of_many and takes(value):
                places.loads.setdefault(index, []).append(value)
        for value in unit.outs:
            if value in readers and takes(value) and value in returned:
                places.stores.setdefault(index, []).append(value)
        for value in [*unit.ins, *unit.outs] if chip.schedule == "sequential" else ():
            if value in live and readers[value][-1] <= index:
                del live[value]
    return places
