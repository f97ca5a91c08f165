"""Arrays of a tier that lowering may take."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..runtime_sim.errors import InputError


@dataclass
class FreeArrays:
    """Which arrays of the tier are free."""

    tier: str
    free: list[int]

    def take(self, count: int, what: str) -> list[int]:
        """So many of the free ones, the first there are."""
        if count > len(self.free):
            raise InputError(f"{what}: expected {count} arrays of {self.tier}, {len(self.free)} are free")
        self.free, taken = self.free[count:], self.free[:count]
        return taken

    def give(self, arrays: Iterable[int]) -> None:
        """Free again."""
        self.free = sorted([*self.free, *arrays])


def spans_of(arrays: Sequence[int]) -> list[tuple[int, int]]:
    """Ranges of indices, in their order."""
    spans: list[tuple[int, int]] = []
    for index in arrays:
        if spans and spans[-1][1] == index:
            spans[-1] = (spans[-1][0], index + 1)
        else:
            spans.append((index, index + 1))
    return spans
