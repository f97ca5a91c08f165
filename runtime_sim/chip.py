"""The chip: its memories and tiers, read from a tree of plain data (a YAML file, or the fields of `h3.chip`)."""

import re
import reprlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, Field, SerializeAsAny, ValidationError

from .errors import InputError
from .kinds.base import Bits, Fields, NonNegative, Positive, TierKind
from .kinds.digital import Digital
from .kinds.registry import kind_class, kind_name

Tree = Mapping[str, Any]
"""Plain data: strings to numbers, strings, lists and trees."""

_M = TypeVar("_M", bound=BaseModel)
_TIER_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Buffer(Fields):
    """The global buffer, through which everything passes."""

    size_bytes: Annotated[int, Field(gt=0, le=2**40)]
    energy_pj_per_bit: NonNegative
    """Of a read, and of a write."""
    area_mm2: NonNegative
    static_power_mw: NonNegative


class Dram(Fields):
    """Off-chip memory, with a port for reads and a port for writes."""

    read_bytes_per_ns: Positive
    write_bytes_per_ns: Positive
    energy_pj_per_bit: NonNegative
    static_power_mw: NonNegative


class Chip(Fields):
    """A chip. `tiers` are by name, in the order of the file; one of kind `digital` is called `digital`."""

    name: Annotated[str, Field(min_length=1)]
    description: Annotated[str, Field(min_length=1)]
    """One line for a list of chips."""
    schedule: Literal["sequential", "pipelined"]
    """How operators follow each other: one after another, or those of a segment overlapping chunk by chunk."""
    activation_bits: Bits
    """Bits of a float value on a wire and in a memory."""
    buffer: Buffer
    dram: Dram
    tiers: dict[str, SerializeAsAny[TierKind]]

    def tier(self, name: str) -> TierKind:
        """The tier called `name`; an unknown one is an error that lists those there are."""
        try:
            return self.tiers[name]
        except KeyError:
            raise InputError(
                f"chip {self.name}: expected one of the tiers {', '.join(self.tiers)}, got {name!r}"
            ) from None

    def expect_sequential(self, what: str) -> None:
        """`what` reckons with operators that follow each other: an error for a chip where they overlap."""
        if self.schedule != "sequential":
            raise InputError(f"chip {self.name}: {what}: expected schedule 'sequential', got '{self.schedule}'")

    @property
    def digital(self) -> Digital:
        """The digital unit."""
        return cast(Digital, self.tiers["digital"])

    @property
    def area_mm2(self) -> float:
        """Silicon of all tiers and the buffer (in a stack, the sum of its layers)."""
        return self.buffer.area_mm2 + sum(tier.area_mm2 for tier in self.tiers.values())

    @property
    def static_power_mw(self) -> float:
        """Power that does not depend on work; times nanoseconds it is picojoules."""
        tiers = sum(tier.static_power_mw for tier in self.tiers.values())
        return self.buffer.static_power_mw + self.dram.static_power_mw + tiers


def chip_from_tree(tree: object, source: str) -> Chip:
    """The chip that `tree` describes; what is wrong in it is one line: source, path, expectation, value."""
    if not isinstance(tree, Mapping):
        raise InputError(f"{source}: expected a chip (fields with values), got {_shown(tree)}")
    fields = {str(key): value for key, value in cast(Tree, tree).items()}
    if "tiers" in fields:
        fields["tiers"] = _tiers(fields["tiers"], source)
    return _validated(Chip, fields, source, "")


def chip_tree(chip: Chip) -> dict[str, Any]:
    """The counterpart of `chip_from_tree`: plain data, without fields that are None."""
    tree = chip.model_dump(exclude_none=True)
    for name, tier in chip.tiers.items():
        tree["tiers"][name] = {"kind": kind_name(tier), **tree["tiers"][name]}
    return tree


def _tiers(tiers: object, source: str) -> dict[str, TierKind]:
    if not isinstance(tiers, Mapping):
        raise InputError(f"{source}: tiers: expected tiers by name, got {_shown(tiers)}")
    result: dict[str, TierKind] = {}
    for name, fields in cast(Mapping[object, object], tiers).items():
        path = f"tiers.{name}"
        if not isinstance(name, str) or not _TIER_NAME.fullmatch(name) or name in ("buffer", "dram"):
            raise InputError(
                f"{source}: {path}: expected a lower-case name other than buffer and dram, got {_shown(name)}"
            )
        if not isinstance(fields, Mapping):
            raise InputError(f"{source}: {path}: expected the fields of a tier, got {_shown(fields)}")
        own = {str(key): value for key, value in cast(Tree, fields).items()}
        kind = own.pop("kind", None)
        if kind is None:
            raise InputError(f"{source}: {path}.kind: expected the tier's kind, but the field is missing")
        try:
            cls = kind_class(str(kind))
        except InputError as error:
            raise InputError(f"{source}: {path}.kind: {error}") from None
        result[name] = _validated(cls, own, source, path)
    if not isinstance(result.get("digital"), Digital):
        found = kind_name(result["digital"]) if "digital" in result else "none"
        raise InputError(f"{source}: tiers.digital: expected a tier of kind 'digital' with this name, got {found}")
    return result


def _validated(cls: type[_M], fields: dict[str, Any], source: str, path: str) -> _M:
    try:
        return cls.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{source}: {_first_line(cls, error, path)}") from None


def _first_line(cls: type[BaseModel], error: ValidationError, path: str) -> str:
    """The most telling of several errors: a field that is not known explains another that is missing."""
    errors = error.errors(include_url=False)
    first = min(errors, key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join([path] * bool(path) + [str(key) for key in first["loc"]])
    value = _shown(first["input"])
    match first["type"]:
        case "extra_forbidden":
            known = sorted(_fields_at(cls, first["loc"][:-1]))
            close = get_close_matches(str(first["loc"][-1]), known, 1, 0.5)
            hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(known)}"
            return f"{where}: expected a known field ({hint}), got '{first['loc'][-1]}' = {value}"
        case "missing":
            return f"{where}: expected a value, but the field is missing"
        case "value_error":
            told = first["msg"].removeprefix("Value error, ")
            return f"{where}: {told}" if first["loc"] else f"{path}.{told}"
        case _:
            told = first["msg"][:1].lower() + first["msg"][1:]
            told = told.removeprefix("input should be ").removeprefix("input should ")
            return f"{where}: expected {told}, got {value}"


def _fields_at(cls: type[BaseModel], path: tuple[int | str, ...]) -> set[str]:
    """The fields of the model that `path` leads to from `cls`."""
    for key in path:
        if isinstance(key, str) and key in cls.model_fields:
            inner = cls.model_fields[key].annotation
            candidates = [inner, *getattr(inner, "__args__", ())]
            cls = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), cls)
    return set(cls.model_fields)


def _shown(value: object) -> str:
    text = reprlib.repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
