"""Constants of components from the YAML files beside this one; each carries its unit in its name and its source."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from ..cost import FloatArray
from ..errors import InputError


@cache
def table(name: str) -> Mapping[str, Mapping[str, Any]]:
    """All entries of `data/<name>.yaml`: each has a `value` (a number, or rows of numbers) and a `source`."""
    import yaml

    text = (files(__name__.rpartition(".")[0]) / "data" / f"{name}.yaml").read_text(encoding="utf-8")
    # The reader in C, where yaml has it, is ten times as fast, and compiling begins with some of these files.
    return cast(Mapping[str, Mapping[str, Any]], yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def constant(name: str, entry: str) -> float:
    """One number, in the unit that `entry` ends in."""
    return float(table(name)[entry]["value"])


@cache
def curve(name: str, entry: str) -> tuple[FloatArray, ...]:
    """The columns of a small table, as one array each, in the order that its source names them."""
    rows = np.asarray(table(name)[entry]["value"], np.float64)
    rows.setflags(write=False)
    return tuple(rows.T)


def real(value: ArrayLike) -> FloatArray:
    """`value` as an array of float64, in which the formulas reckon."""
    return np.asarray(value, np.float64)


def chosen(what: str, name: str, names: Mapping[str, Any]) -> Any:
    """`names[name]`; a name that is not there is an error that lists those that are."""
    if name not in names:
        raise InputError(f"{what}: expected one of {', '.join(names)}, got {name!r}")
    return names[name]
