"""The chip as IR and back: `h3.chip` carries the same tree as a chip file, with sorted keys."""

from collections.abc import Mapping, Sequence
from typing import Any

from xdsl.dialects.builtin import (
    ArrayAttr,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    ModuleOp,
    StringAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute, Block, Region

from ..dialects.h3 import ChipOp, MemoryOp, TierOp
from ..dialects.h3_attributes import Schedule
from .chip import Chip, chip_from_tree, chip_tree
from .errors import InputError

_MEMORIES = ("buffer", "dram")


def chip_to_ir(chip: Chip) -> ChipOp:
    """The op that `chip_from_ir` reads back as an equal chip."""
    tree = chip_tree(chip)
    tiers, schedule = tree.pop("tiers"), Schedule(tree.pop("schedule"))
    ops: list[MemoryOp | TierOp] = [MemoryOp(name, _dictionary(tree.pop(name))) for name in _MEMORIES]
    for name, fields in tiers.items():
        kind = fields.pop("kind")
        ops.append(TierOp(name, kind, _dictionary(fields)))
    return ChipOp(schedule, _dictionary(tree), Region(Block(ops)))


def chip_op(module: ModuleOp) -> ChipOp:
    """The chip of `module`; none, or several, is an error."""
    chips = [op for op in module.body.block.ops if isinstance(op, ChipOp)]
    if len(chips) != 1:
        raise InputError(f"expected one h3.chip in the module (attach-chip adds it), got {len(chips)}")
    return chips[0]


def chip_from_ir(module: ModuleOp) -> Chip:
    """The chip that `module` carries; a wrong field is an error as in a chip file."""
    op = chip_op(module)
    source = f"h3.chip @{op.sym_name.data}"
    tree: dict[str, Any] = {**_plain_fields(op.fields, source), "schedule": op.schedule.data.value, "tiers": {}}
    for inner in op.body.block.ops:
        if isinstance(inner, TierOp):
            fields = _plain_fields(inner.fields, f"{source}: tiers.{inner.sym_name.data}")
            tree["tiers"][inner.sym_name.data] = {**fields, "kind": inner.kind.data}
        elif isinstance(inner, MemoryOp) and inner.sym_name.data in _MEMORIES:
            tree[inner.sym_name.data] = _plain_fields(inner.fields, f"{source}: {inner.sym_name.data}")
        else:
            raise InputError(f"{source}: expected tiers and the memories @buffer and @dram, got {inner.name}")
    return chip_from_tree(tree, source)


def _dictionary(tree: Mapping[str, Any]) -> DictionaryAttr:
    return DictionaryAttr({key: _attribute(tree[key]) for key in sorted(tree)})


def _attribute(value: object) -> Attribute:
    match value:
        case bool():
            return IntegerAttr.from_bool(value)
        case int():
            return IntegerAttr(value, i64)
        case float():
            return FloatAttr(value, f64)
        case str():
            return StringAttr(value)
        case Mapping():
            return _dictionary(value)
        case Sequence():
            return ArrayAttr([_attribute(item) for item in value])
        case _:
            raise InputError(f"a chip's fields are numbers, strings, lists and trees, got {value!r}")


def _plain_fields(fields: DictionaryAttr, source: str) -> dict[str, Any]:
    return {key: _plain(value, f"{source}.{key}") for key, value in fields.data.items()}


def _plain(attribute: Attribute, source: str) -> object:
    match attribute:
        case IntegerAttr(type=IntegerType(width=width)) if width.data == 1:
            return bool(attribute.value.data)
        case IntegerAttr():
            return attribute.value.data
        case FloatAttr():
            return attribute.value.data
        case StringAttr():
            return attribute.data
        case DictionaryAttr():
            return _plain_fields(attribute, source)
        case ArrayAttr():
            return [_plain(item, source) for item in attribute.data]
        case _:
            raise InputError(f"{source}: expected a number, a string, a list or a dictionary, got {attribute}")
