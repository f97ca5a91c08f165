"""What a walk over a plan knows of arrays: their mode, and what each holds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import Operation, SSAValue

from ..dialects.tile import ArraysAttr
from ..runtime_sim.chip import Chip
from ..runtime_sim.errors import InputError, where
from ..runtime_sim.kinds.arrays import ArrayTier
from ..runtime_sim.walk import definition

NOBODY = -1


@dataclass
class ArrayState:
    """Arrays by tier. A resident is a weight that is written at power-up and stays."""

    chip: Chip
    holder: dict[str, NDArray[np.int64]] = field(init=False)
    """For each array the number of the value that it holds."""
    memory: dict[str, NDArray[np.bool_]] = field(init=False)
    """Whether it is in memory mode."""
    switched: dict[str, NDArray[np.bool_]] = field(init=False)
    """Whether its last change was that of its mode."""
    stays: dict[str, NDArray[np.bool_]] = field(init=False)
    """Whether it holds a resident."""
    numbers: dict[SSAValue, int] = field(default_factory=dict[SSAValue, int])
    residents: dict[int, Operation] = field(default_factory=dict[int, Operation])

    def __post_init__(self) -> None:
        sizes = {name: tier.arrays for name, tier in self.chip.tiers.items()}
        self.holder = {name: np.full(size, NOBODY, np.int64) for name, size in sizes.items()}
        self.memory, self.switched, self.stays = (
            {name: np.zeros(size, np.bool_) for name, size in sizes.items()} for _ in range(3)
        )

    def check(self, op: Operation, at: ArraysAttr) -> None:
        """The arrays exist."""
        tier = self.chip.tier(at.tier_name)
        if not at.spans or max(last for _, last in at.spans) > tier.arrays:
            text = ", ".join(f"{first} to {last}" for first, last in at.spans) or "none"
            raise InputError(f"{where(op)}: expected arrays 0 to {tier.arrays} of {at.tier_name}, got {text}")

    def _is(self, op: Operation, at: ArraysAttr, memory: bool) -> None:
        for first, last in at.spans:
            wrong = np.flatnonzero(self.memory[at.tier_name][first:last] != memory)
            if len(wrong):
                name = f"array {first + int(wrong[0])} of {at.tier_name}"
                expected, got = ("memory", "compute") if memory else ("compute", "memory")
                raise InputError(f"{where(op)}: expected {name} in {expected} mode, it is in {got} mode")

    def read(self, op: Operation, value: SSAValue, at: ArraysAttr, *, memory: bool) -> None:
        """`op` reads `value`, which is still where it was put."""
        number = self.numbers.get(definition(value))
        if number is None:
            raise InputError(f"{where(op)}: reads {at}, which no tile.program has written")
        for first, last in at.spans:
            others = np.flatnonzero(self.holder[at.tier_name][first:last] != number)
            if len(others):
                lost = first + int(others[0])
                what, since = "data" if memory else "weight", self._since(at.tier_name, lost)
                raise InputError(f"{where(op)}: its {what} was lost: array {lost} of {at.tier_name} {since}")
        self._is(op, at, memory)

    def _since(self, tier: str, array: int) -> str:
        """What happened to an array that has lost what it held."""
        return "was switched" if self.switched[tier][array] else "was written again"

    def write(self, op: Operation, value: SSAValue | None, at: ArraysAttr, *, memory: bool, once: bool = False) -> None:
        """`op` puts `value` (None: what nobody reads later) into arrays of that mode; on a pipelined chip it waits for
        those that use them."""
        self._is(op, at, memory)
        self._claim(op, at, once)
        number = len(self.numbers)
        if value is None:
            return
        self.numbers[value] = number
        for first, last in at.spans:
            self.holder[at.tier_name][first:last] = number
            self.stays[at.tier_name][first:last] = once
        if once:
            self.residents[number] = op

    def switch(self, op: Operation, at: ArraysAttr, *, to_memory: bool) -> None:
        """Arrays change their mode and lose what they held."""
        tier = self.chip.tier(at.tier_name)
        if not isinstance(tier, ArrayTier) or tier.memory_mode is None:
            raise InputError(f"{where(op)}: expected a tier whose arrays have a memory mode, got {at.tier_name}")
        self._is(op, at, not to_memory)
        self._claim(op, at, False)
        for first, last in at.spans:
            self.memory[at.tier_name][first:last] = to_memory
            self.switched[at.tier_name][first:last] = True

    def switch_in_place(self, value: SSAValue, at: ArraysAttr) -> None:
        """Arrays change to compute, and hold as a weight, `value`, what they held as data."""
        self.numbers[value] = len(self.numbers)
        for first, last in at.spans:
            self.memory[at.tier_name][first:last] = False
            self.holder[at.tier_name][first:last] = self.numbers[value]

    def _claim(self, op: Operation, at: ArraysAttr, once: bool) -> None:
        """Whoever held the arrays has lost them; a resident may not, nor one that is in use beside it."""
        for first, last in at.spans:
            stays = np.flatnonzero(self.stays[at.tier_name][first:last])
            if len(stays) and not once:
                resident = self.residents[int(self.holder[at.tier_name][first + stays[0]])]
                raise InputError(
                    f"{where(op)}: {op.name} writes arrays {first} to {last} of {at.tier_name}, where the weight "
                    f"of {where(resident)} stays"
                )
            self.holder[at.tier_name][first:last] = NOBODY
            self.switched[at.tier_name][first:last] = False

    def at_rest(self, op: Operation) -> None:
        """At the end of an execution all arrays compute, as at its beginning."""
        for name, memory in self.memory.items():
            if memory.any():
                raise InputError(
                    f"{op.name}: expected all arrays of {name} in compute mode at the end, array "
                    f"{int(np.flatnonzero(memory)[0])} is in memory mode"
                )
