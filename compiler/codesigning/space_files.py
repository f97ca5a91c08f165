"""Spaces of chips from YAML files."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import isfinite, prod
from pathlib import Path
from typing import Any, cast

from ...runtime_sim.chip import chip_tree
from ...runtime_sim.errors import InputError
from ..chips.load import load_chip, read_yaml
from .expressions import Expression, comparison, expression
from .space import Constraint, Lookup, Scalar, Space, Variable, field_of

_FOLDER = Path(__file__).parent.parent / "spaces"
_FIELDS = ("name", "description", "base", "variables", "figures", "constraints", "follow", "stages")
_NEEDED = ("name", "description", "base", "variables")
_MOST_VALUES = 100_000
_MOST_CHIPS = 2**62


@cache
def built_in_spaces() -> tuple[str, ...]:
    """The names of the spaces that ship with h3c."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


def load_space(target: str) -> Space:
    """The space `target`: the name of one that ships with h3c, or the path of a file (with a `/` or `.yaml`).

    A base chip that is a path is relative to the file.
    """
    is_path = "/" in target or target.endswith((".yaml", ".yml"))
    path = Path(target) if is_path else _FOLDER / f"{target}.yaml"
    if not is_path and not path.is_file():
        raise InputError(
            f"space {target!r}: expected the path of a space file or one of {', '.join(built_in_spaces())}"
        )
    return space_from_tree(read_yaml(path, "a space file"), str(path) if is_path else target, path.parent)


def space_from_tree(tree: object, source: str, folder: Path) -> Space:
    """The space that `tree` describes; what is wrong in it is one line: source, path, expectation, value."""
    fields = _mapping(tree, source, "a space (fields with values)")
    for name in fields:
        if name not in _FIELDS:
            raise InputError(f"{source}: {name}: expected one of the fields {', '.join(_FIELDS)}, got {name!r}")
    for name in _NEEDED:
        if name not in fields:
            raise InputError(f"{source}: {name}: expected a value, but the field is missing")
    texts = {name: fields[name] for name in ("name", "description", "base")}
    for name, text in texts.items():
        if not isinstance(text, str) or not text or "\n" in text:
            raise InputError(f"{source}: {name}: expected a line of text, got {text!r}")
    base = str(texts["base"])
    is_path = "/" in base or base.endswith((".yaml", ".yml"))
    try:
        chip = load_chip(str(folder / base) if is_path else base)
    except InputError as error:
        raise InputError(f"{source}: base: {str(error).removeprefix('target ')}") from None
    plain = chip_tree(chip)
    variables = _variables(fields["variables"], plain, source)
    names = [variable.name for variable in variables]
    if prod(len(variable.values) for variable in variables) > _MOST_CHIPS:
        raise InputError(f"{source}: variables: expected fewer than 2^62 chips, got more")
    given = {name: _mapping(fields.get(name) or {}, f"{source}: {name}", "a mapping") for name in _FIELDS[4:]}
    return Space(
        name=str(texts["name"]),
        source=source,
        description=str(texts["description"]),
        base=chip,
        tree=plain,
        variables=variables,
        figures={
            name: _figure(value, f"{source}: figures.{name}", variables) for name, value in given["figures"].items()
        },
        constraints=tuple(
            _constraint(name, value, f"{source}: constraints.{name}") for name, value in given["constraints"].items()
        ),
        follow={
            _path(name, plain, f"{source}: follow"): expression(value, f"{source}: follow.{name}")
            for name, value in given["follow"].items()
        },
        stages={name: _stage(value, f"{source}: stages.{name}", names) for name, value in given["stages"].items()},
    )


def _mapping(tree: object, where: str, expected: str) -> dict[str, Any]:
    if not isinstance(tree, Mapping):
        raise InputError(f"{where}: expected {expected}, got {str(tree)[:40]!r}")
    return {str(key): value for key, value in cast(Mapping[object, object], tree).items()}


def _path(text: str, tree: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The path of a field of the base chip."""
    path = tuple(text.split("."))
    try:
        field_of(tree, path)
    except KeyError as missing:
        raise InputError(
            f"{where}: expected the path of a field of chip {tree['name']}, such as buffer.size_bytes, "
            f"got {text!r} ({missing.args[0]!r} is none)"
        ) from None
    if path[0] in ("name", "description"):
        raise InputError(f"{where}: expected the path of a field that a chip's costs depend on, got {text!r}")
    return path


def _variables(tree: object, base: Mapping[str, Any], source: str) -> tuple[Variable, ...]:
    """The variables, named by the last word of their path, or by the whole path where two end alike."""
    given = _mapping(tree, f"{source}: variables", "values by the path of a field")
    if not given:
        raise InputError(f"{source}: variables: expected at least one, got none")
    ends = [text.rpartition(".")[2] for text in given]
    result: list[Variable] = []
    for text, values in given.items():
        where = f"{source}: variables.{text}"
        path = _path(text, base, f"{source}: variables")
        end = path[-1]
        name = end if ends.count(end) == 1 else "_".join(path)
        result.append(Variable(name, path, _values(values, field_of(base, path), where)))
    return tuple(result)


def _values(given: object, old: Scalar, where: str) -> tuple[Scalar, ...]:
    """A list or a range; numbers in ascending order."""
    values = cast(list[Any], given) if isinstance(given, list) else _range(given, where)
    if not 0 < len(values) <= _MOST_VALUES:
        raise InputError(f"{where}: expected 1 to {_MOST_VALUES} values, got {len(values)}")
    for value in values:
        if type(value) is not type(old) and not (isinstance(old, float) and type(value) is int):
            raise InputError(f"{where}: expected values such as the base chip's {old!r}, got {value!r}")
        if isinstance(value, float) and not isfinite(value):
            raise InputError(f"{where}: expected finite numbers, got {value!r}")
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise InputError(f"{where}: expected each value once, got {twice!r} {values.count(twice)} times")
    return tuple(values if isinstance(old, str | bool) else sorted(values))


def _range(given: object, where: str) -> list[int | float]:
    """`{from: A, to: B, step: S}` or `{from: A, to: B, factor: F}`; B counts where it is met."""
    tree = _mapping(given, where, "a list of values or {from, to, step} or {from, to, factor}")
    if set(tree) not in ({"from", "to", "step"}, {"from", "to", "factor"}):
        raise InputError(f"{where}: expected from, to and either step or factor, got {', '.join(tree)}")
    for key, value in tree.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise InputError(f"{where}.{key}: expected a number, got {value!r}")
    low, high = tree["from"], tree["to"]
    grows = tree["step"] > 0 if "step" in tree else tree["factor"] > 1 and low > 0
    if high < low or not grows:
        raise InputError(f"{where}: expected to >= from, and step > 0 or factor > 1 with from > 0, got {tree}")
    values: list[int | float] = []
    whole = all(isinstance(value, int) for value in tree.values())
    while len(values) <= _MOST_VALUES:
        count = len(values)
        exact = low + count * tree["step"] if "step" in tree else low * tree["factor"] ** count
        value = exact if whole else float(f"{exact:.12g}")  # 0.5 + 3 x 0.05 is 0.65
        if value > high:
            break
        values.append(value)
    return values


def _figure(value: object, where: str, variables: Sequence[Variable]) -> Expression | Lookup:
    """An expression, or `{by: VARIABLE, table: {VALUE: FIGURE}}`."""
    if not isinstance(value, Mapping):
        return expression(value, where)
    tree = _mapping(cast(object, value), where, "a table")
    by = next((variable for variable in variables if variable.name == tree.get("by")), None)
    if set(tree) != {"by", "table"} or by is None or not isinstance(tree["table"], Mapping):
        known = ", ".join(variable.name for variable in variables)
        raise InputError(f"{where}: expected an expression, or by (one of {known}) and table, got {tree}")
    table: dict[float, float] = {}
    for key, each in cast(Mapping[object, object], tree["table"]).items():
        if not isinstance(key, int | float) or not isinstance(each, int | float):
            raise InputError(f"{where}.table: expected numbers by numbers, got {key!r}: {each!r}")
        table[float(key)] = float(each)
    for value in by.values:
        if value not in table:
            known = ", ".join(f"{key:g}" for key in sorted(table))
            raise InputError(f"{where}.table: expected each value of {by.name}, got {known}, without {value}")
    return Lookup(by.name, table, where)


def _constraint(name: str, value: object, where: str) -> Constraint:
    """A comparison, or `{require: COMPARISON, on: BOOLEAN, note: TEXT}`."""
    tree: dict[str, Any] = {"require": value} if isinstance(value, str) else _mapping(value, where, "a comparison")
    if not {"require"} <= set(tree) <= {"require", "default", "note"}:
        raise InputError(f"{where}: expected require, default and note, got {', '.join(tree)}")
    default = tree.get("default", "on")
    on = default if isinstance(default, bool) else {"on": True, "off": False}.get(default)
    if on is None:
        raise InputError(f"{where}.default: expected on or off, got {default!r}")
    return Constraint(name, comparison(tree["require"], f"{where}"), on, str(tree.get("note", "")))


def _stage(value: object, where: str, variables: Sequence[str]) -> tuple[str, ...]:
    names = cast(list[object], value) if isinstance(value, list) else []
    for name in names:
        if name not in variables:
            raise InputError(f"{where}: expected some of {', '.join(variables)}, got {name!r}")
    if not names:
        raise InputError(f"{where}: expected a list of variables, got {value!r}")
    return tuple(map(str, names))
