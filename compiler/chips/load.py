"""Chips by name or file."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ...runtime_sim.chip import Chip, chip_from_tree
from ...runtime_sim.errors import InputError

_FOLDER = Path(__file__).parent


class _Loader(yaml.SafeLoader):
    """Plain data only; a key given twice is an error, as the first would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected each field once, got '{key.value}' twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


@cache
def built_in() -> dict[str, str]:
    """The chips that ship with h3c: name to one line of description, sorted by name."""
    names = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
    return {name: load_chip(name).description for name in names}


def load_chip(target: str) -> Chip:
    """The chip `target`: the name of one that ships with h3c, or the path of a chip file (with a `/` or `.yaml`)."""
    path, is_path = _path(target)
    return chip_from_tree(read_yaml(path, "a chip file"), str(path) if is_path else target)


def chip_text(target: str) -> str:
    """The chip file of `target` as it was written, with its comments."""
    return _path(target)[0].read_text(encoding="utf-8")


def _path(target: str) -> tuple[Path, bool]:
    """The file of a chip, and whether it was given as a path."""
    is_path = "/" in target or target.endswith((".yaml", ".yml"))
    path = Path(target) if is_path else _FOLDER / f"{target}.yaml"
    if not is_path and not path.is_file():
        names = ", ".join(sorted(path.stem for path in _FOLDER.glob("*.yaml")))
        raise InputError(f"target {target!r}: expected the path of a chip file or one of {names}")
    return path, is_path


def read_yaml(path: Path, what: str) -> object:
    """The plain data in a YAML file that should be `what` ("a chip file")."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise InputError(f"{path}: expected {what}, got: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected {what}, got a file that is not text") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: expected YAML, got: {_one_line(error)}") from None
    except (ValueError, RecursionError) as error:  # numbers and brackets beyond what the reader takes
        raise InputError(f"{path}: expected YAML of plain numbers and fields, got: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"{error.problem} (line {error.problem_mark.line + 1})"
    return " ".join(str(error).split())
