"""Spaces of chips: a base chip, the fields that vary, what each chip must keep, what follows from the variables."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.chip import Chip, chip_from_tree
from ...runtime_sim.errors import InputError
from .expressions import Comparison, Expression, Figures

Floats = NDArray[np.float64]
Scalar = int | float | str | bool
Design = tuple[int, ...]
"""A chip of a space: for each variable the position of its value."""
DesignList = Sequence[Design] | NDArray[np.int64]
"""Chips, also as an array [chip, variable]."""

COUNTS = ("arrays", "tiles")
"""Fields that say how much of a tier there is."""


@dataclass(frozen=True)
class Variable:
    """A field of the base chip that varies. `path` leads to it; `values`: numbers ascend, each occurs once."""

    name: str
    path: tuple[str, ...]
    values: tuple[Scalar, ...]


@dataclass(frozen=True)
class Lookup:
    """A figure that a table gives by the value of a variable."""

    by: str
    table: Mapping[float, float]
    where: str

    def value(self, figures: Figures) -> Floats:
        """Its value for each chip."""
        keys = sorted(self.table)
        given = np.asarray(figures[self.by], np.float64)
        index = np.minimum(np.searchsorted(keys, given), len(keys) - 1)
        values = np.array([self.table[key] for key in keys])[index]
        return np.where(np.asarray(keys)[index] == given, values, np.nan)


@dataclass(frozen=True)
class Constraint:
    """What a chip must keep, where it is `on`; `note`: what it means that it is off, for the reader of a result."""

    name: str
    require: Comparison
    on: bool
    note: str


@dataclass(frozen=True)
class Space:
    """All chips that take one of its values for each variable; `base` is the chip for all else."""

    name: str
    source: str
    """The name or the path that the user gave, for errors."""
    description: str
    base: Chip
    tree: Mapping[str, Any]
    """`base` as plain data."""
    variables: tuple[Variable, ...]
    figures: Mapping[str, Expression | Lookup]
    """Figures of its own, in order: each may speak of the chip's and of earlier ones."""
    constraints: tuple[Constraint, ...]
    follow: Mapping[tuple[str, ...], Expression]
    """Further fields of a chip, by path, that follow from figures."""
    stages: Mapping[str, tuple[str, ...]]
    """Variables by level of design, for the sequential baseline."""

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """How many values each variable has."""
        return tuple(len(variable.values) for variable in self.variables)

    @property
    def size(self) -> int:
        """How many chips it has."""
        return prod(self.shape)

    @cached_property
    def strides(self) -> tuple[int, ...]:
        """By how much a step of each variable changes the number of a chip; the last variable is the fastest."""
        return tuple(prod(self.shape[index + 1 :]) for index in range(len(self.shape)))

    def design(self, number: int) -> Design:
        """The chip of this number."""
        return tuple(number // stride % count for stride, count in zip(self.strides, self.shape, strict=True))

    def number(self, design: Design) -> int:
        """The number of a chip: numbers order chips by the tuples of their values."""
        return sum(index * stride for index, stride in zip(design, self.strides, strict=True))

    def values(self, design: Design) -> dict[str, Scalar]:
        """The values of a chip's variables."""
        return {v.name: v.values[index] for v, index in zip(self.variables, design, strict=True)}

    def violation(self, figures: Figures, ignored: Iterable[str] = ()) -> Floats:
        """How far each chip is from keeping all constraints but those ignored; 0 where it keeps them.

        The sum of relative excesses. Infinite for a chip that cannot be built, which has no area.
        """
        total = np.where(np.isfinite(np.asarray(figures["area_mm2"], np.float64)), 0.0, np.inf)
        for constraint in self.constraints:
            if constraint.on and constraint.name not in ignored:
                total = total + constraint.require.violation(figures)
        return total

    def with_own_figures(self, figures: Mapping[str, Any]) -> dict[str, Any]:
        """The figures of chips, and beside them those of the space's own."""
        result = dict(figures)
        for name, figure in self.figures.items():
            result[name] = figure.value(result)
        return result

    def check_names(self, known: Sequence[str]) -> None:
        """Whether all that its expressions speak of is `known` of its chips, or a figure of its own."""
        names = [*known]
        for name, figure in self.figures.items():
            if isinstance(figure, Expression):
                figure.check(names)
            names.append(name)
        for constraint in self.constraints:
            constraint.require.left.check(names)
            constraint.require.right.check(names)
        for each in self.follow.values():
            each.check(names)

    def switched(self, given: Mapping[str, bool]) -> "Space":
        """The same with these constraints on or off."""
        known = [constraint.name for constraint in self.constraints]
        for name in given:
            if name not in known:
                told = ", ".join(known) or "none"
                raise InputError(f"--constraint {name}: expected a constraint of space {self.name} ({told})")
        return replace(self, constraints=tuple(replace(c, on=given.get(c.name, c.on)) for c in self.constraints))

    def chip_tree(self, design: Design, figures: Figures, name: str, description: str) -> dict[str, Any]:
        """The file of a chip: the base with the values of `design`, and the fields that follow from its figures."""
        tree = self.plain(design, [float(each.value(figures)) for each in self.follow.values()])
        tree["name"], tree["description"] = name, description
        chip_from_tree(tree, f"space {self.name}")  # what it says is what a user would read of a wrong chip file
        return tree

    def plain(self, design: Design, follow: Sequence[float]) -> dict[str, Any]:
        """The base's file with the values of `design`, and `follow` for the fields that follow.

        A tier of which the design has no arrays, or no tiles, is not on the chip.
        """
        tree = copy.deepcopy(dict(self.tree))
        paths = [*(variable.path for variable in self.variables), *self.follow]
        values = [v.values[index] for v, index in zip(self.variables, design, strict=True)]
        for path, value in zip(paths, [*values, *follow], strict=True):
            set_field(tree, path, value)
        tiers = cast(Mapping[str, Mapping[str, Any]], tree["tiers"])
        tree["tiers"] = {name: own for name, own in tiers.items() if all(own.get(count) != 0 for count in COUNTS)}
        return tree


def field_of(tree: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The plain value at `path`; KeyError if there is none."""
    value: Any = tree
    for key in path:
        if not isinstance(value, Mapping):
            raise KeyError(key)
        value = cast(Mapping[str, Any], value)[key]
    if isinstance(value, Mapping | list):
        raise KeyError(path[-1])
    return value


def set_field(tree: dict[str, Any], path: Sequence[str], value: Scalar) -> None:
    """Set the plain value at `path`, as the type that it has there."""
    old, inner = field_of(tree, path), tree
    for key in path[:-1]:
        inner = inner[key]
    whole = isinstance(old, int) and not isinstance(old, bool)
    if isinstance(old, float) and not isinstance(value, str):
        value = float(value)
    elif whole and isinstance(value, float) and value.is_integer():
        value = int(value)
    inner[path[-1]] = value
