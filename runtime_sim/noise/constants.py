"""The tables of constants beside this file: one YAML file a technology, each value with its source."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError

_FOLDER = Path(__file__).parent / "data"


@cache
def _table(technology: str) -> dict[str, dict[str, dict[str, Any]]]:
    return yaml.safe_load((_FOLDER / f"{technology}.yaml").read_text())


def names(technology: str) -> tuple[str, ...]:
    """The parts of a technology's table: names of devices, converters, wires."""
    return tuple(_table(technology))


def constants(technology: str, part: str) -> dict[str, Any]:
    """The values of one part by name (`pcm`, `generic`: `g_max_us`, ..); `InputError` if there is no such part."""
    table = _table(technology)
    if part not in table:
        raise InputError(f"{technology}: expected one of {', '.join(table)}: {part!r}")
    return {field: entry["value"] for field, entry in table[part].items()}


def sources(technology: str, part: str) -> dict[str, str]:
    """Where each value of a part comes from."""
    return {field: entry["source"] for field, entry in _table(technology)[part].items()}
