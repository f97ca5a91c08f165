"""What may stay on chip between segments: the states at each cut."""

from __future__ import annotations

from functools import cache
from itertools import product

from .problem import Place
from .window import Windows

State = tuple[tuple[int, Place], ...]
"""Tensors that are on chip at a cut, by producer."""

MOST_ALIVE = 4
"""Tensors alive at one cut that may stay on chip."""


def keepable(windows: Windows) -> dict[int, tuple[Place, ...]]:
    """The tensors that may stay on chip, each with its places.

    Those of at most 1 / (`MOST_ALIVE` + 1) of the buffer always have room in it, beside one that is just made, so they
    never go off chip nor to memory arrays, but that a weight may stand in place. Where more than `MOST_ALIVE` are alive
    at a cut, those go off chip that live longest, of these the largest.
    """
    chip, operators = windows.problem.chip, windows.problem.operators
    found: dict[int, tuple[Place, ...]] = {}
    for producer, last in enumerate(windows.last_reads):
        if last == producer:
            continue
        size = operators[producer].output_bytes
        small = size * (MOST_ALIVE + 1) <= chip.buffer_bytes
        places = [] if small else [Place.OFF_CHIP]
        if size <= chip.buffer_bytes:
            places.append(Place.BUFFER)
        if not small and chip.memory_bytes_per_ns and windows.arrays_of(producer, Place.ARRAYS) < chip.arrays:
            places.append(Place.ARRAYS)
        readers = [i for i in range(producer + 1, last + 1) if producer in operators[i].sources]
        reader = operators[last]
        only_weight = readers == [last] and reader.weight_producer == producer and producer not in reader.producers
        here = reader.host is None and reader.arrays(chip) < chip.arrays
        if chip.memory_bytes_per_ns and only_weight and here:
            places.append(Place.IN_PLACE)
        if places != [Place.OFF_CHIP]:
            found[producer] = tuple(places)
    for cut in range(1, len(operators)):
        alive = [p for p in found if p < cut <= windows.last_reads[p]]
        alive.sort(key=lambda p: (windows.last_reads[p] - p, operators[p].output_bytes, p))
        for producer in alive[MOST_ALIVE:]:
            del found[producer]
    return found


class States:
    """The states at every cut, and which fit together."""

    def __init__(self, windows: Windows):
        self.windows = windows
        self.keepable = keepable(windows)
        self.at = [self._states(cut) for cut in range(len(windows.problem.operators) + 1)]
        self._agreeing = cache(self._by_older)

    def _states(self, cut: int) -> tuple[State, ...]:
        """All states at a cut before operator `cut`."""
        windows, chip = self.windows, self.windows.problem.chip
        alive = [p for p in self.keepable if p < cut <= windows.last_reads[p]]
        found: list[State] = []
        for choice in product(*(self.keepable[p] for p in alive)):
            state = tuple((p, place) for p, place in zip(alive, choice, strict=True) if place is not Place.OFF_CHIP)
            buffered = sum(windows.problem.operators[p].output_bytes for p, place in state if place is Place.BUFFER)
            memory = sum(windows.arrays_of(p, place) for p, place in state)
            if buffered <= chip.buffer_bytes and memory < chip.arrays:
                found.append(state)
        return tuple(found)

    def after(self, first: int, before: State, cut: int) -> list[State]:
        """The states at `cut` that have the tensors of `before`, a state at `first`, where that has them."""
        left = tuple(each for each in before if self.windows.last_reads[each[0]] >= cut)
        return self._agreeing(first, cut).get(left, [])

    def _by_older(self, first: int, cut: int) -> dict[State, list[State]]:
        """The states at `cut` by their tensors that are older than `first`."""
        found: dict[State, list[State]] = {}
        for state in self.at[cut]:
            found.setdefault(tuple(each for each in state if each[0] < first), []).append(state)
        return found
