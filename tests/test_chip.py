"""Chip files: what they may say, how mistakes are told, and the way to IR and back."""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import ArrayLike
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp
from xdsl.parser import Parser

from h3c.compiler.chips.attach_chip import AttachChip
from h3c.compiler.chips.load import built_in, load_chip
from h3c.dialects.h3 import H3, ChipOp
from h3c.runtime_sim.chip import Chip, chip_from_tree, chip_tree
from h3c.runtime_sim.chip_ir import chip_from_ir, chip_to_ir
from h3c.runtime_sim.cost import Work, price, ps_of_ns
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds import registry
from h3c.runtime_sim.kinds.arrays import ArrayTier
from h3c.runtime_sim.kinds.base import Positive, Precision, TierKind
from h3c.runtime_sim.kinds.digital import Digital
from h3c.runtime_sim.kinds.registry import kind_class, kind_name, kind_names
from h3c.runtime_sim.product import Product


def tree_of(name: str) -> dict[str, Any]:
    """A copy of a built-in chip's tree, to change."""
    return yaml.safe_load(yaml.safe_dump(chip_tree(load_chip(name))))


def error_of(tree: object) -> str:
    with pytest.raises(InputError) as caught:
        chip_from_tree(tree, "my.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("my.yaml: ")
    return message


def test_built_in_chips_have_a_line_each():
    assert set(built_in()) >= {"h3pimap", "digital"}
    assert all(line and "\n" not in line for line in built_in().values())


def test_h3pimap_has_the_published_structure():
    chip = load_chip("h3pimap")
    assert list(chip.tiers) == ["sram", "reram", "photonic", "digital"]
    assert (chip.tiers["sram"].arrays, chip.tiers["reram"].arrays) == (100 * 256, 100 * 64)
    assert chip.tiers["photonic"].arrays == chip.tiers["digital"].arrays == 0
    assert chip.tiers["photonic"].dynamic
    assert not chip.tiers["sram"].dynamic
    assert [mode.name for mode in chip.tiers["photonic"].precisions()] == ["8-8-8", "6-6-8"]
    assert 0 < chip.area_mm2 < float("inf")


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("tiers.sram.array_row", 1, "tiers.sram.array_row: expected a known field (did you mean 'array_rows'?)"),
        ("tiers.sram.array_time", 10.0, "did you mean 'array_ns'?"),
        ("buffer.size", 1, "buffer.size: expected a known field (did you mean 'size_bytes'?)"),
        ("dram.read_bytes_per_ns", -1.0, "dram.read_bytes_per_ns: expected greater than 0, got -1.0"),
        ("tiers.digital.area_mm2", -3, "tiers.digital.area_mm2: expected greater than or equal to 0, got -3"),
        ("tiers.sram.arrays", 0, "tiers.sram.arrays: expected greater than 0, got 0"),
        ("tiers.sram.array_ns", "1 us", "tiers.sram.array_ns: expected a valid number, got '1 us'"),
        ("tiers.sram.array_ns", True, "tiers.sram.array_ns: expected a valid number, got True"),
        ("tiers.sram.array_ns", float("inf"), "tiers.sram.array_ns: expected a finite number, got inf"),
        ("tiers.sram.arrays", 2.5, "tiers.sram.arrays: expected a valid integer, got 2.5"),
        ("tiers.sram.array_cols", 4, "tiers.sram.array_cols: expected at least 8 columns"),
        ("tiers.sram.arrays", 2**31, "tiers.sram.arrays: expected at most 2^40 cells on all arrays of 128 x 128"),
        ("tiers.sram.write_ports", 2**40, "tiers.sram.write_ports: expected less than or equal to 2147483648"),
        ("tiers.sram", [1], "tiers.sram: expected the fields of a tier, got [1]"),
        ("tiers", "sram", "tiers: expected tiers by name, got 'sram'"),
        ("schedule", "sequentiel", "schedule: expected 'sequential' or 'pipelined', got 'sequentiel'"),
        ("tiers.photonic.modes", [], "tiers.photonic.modes: expected"),
    ],
)
def test_a_wrong_field_is_one_line(path: str, value: object, expected: str):
    tree = tree_of("h3pimap")
    *parents, last = path.split(".")
    inner = tree
    for key in parents:
        inner = inner[key]
    inner[last] = value
    assert expected in error_of(tree)


@pytest.mark.parametrize("path", ["schedule", "buffer", "dram.energy_pj_per_bit", "tiers.sram.kind", "tiers.digital"])
def test_a_missing_field_is_one_line(path: str):
    tree = tree_of("h3pimap")
    *parents, last = path.split(".")
    inner = tree
    for key in parents:
        inner = inner[key]
    del inner[last]
    assert f"{path}: expected" in error_of(tree)


def test_an_unknown_kind_lists_those_known():
    tree = tree_of("h3pimap")
    tree["tiers"]["sram"]["kind"] = "crosbar"
    message = error_of(tree)
    assert message == "my.yaml: tiers.sram.kind: expected one of the tier kinds known " + (
        f"({', '.join(kind_names())}), got 'crosbar'"
    )


@pytest.mark.parametrize("name", ["SRAM", "a b", "1st", "buffer", "", 3])
def test_tier_names_are_lower_case_symbols(name: object):
    tree = tree_of("h3pimap")
    tree["tiers"][name] = tree["tiers"]["sram"]
    assert "expected a lower-case name" in error_of(tree)


@pytest.mark.parametrize("tree", [None, 3, [1], "text"])
def test_a_file_that_is_no_chip(tree: object):
    assert "expected a chip" in error_of(tree)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "expected YAML"),
        ("a: " + "1" * 5000, "expected YAML"),
        ("? [a]\n: b", "expected YAML"),
        ("a: " + "[" * 3000, "YAML"),
        ("name: x\nname: y", "'name' twice"),
        ("\0", "expected YAML"),
        ("", "expected a chip"),
    ],
)
def test_a_file_that_is_no_yaml(tmp_path: Path, text: str, expected: str):
    path = tmp_path / "chip.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as caught:
        load_chip(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_target_that_is_not_there(tmp_path: Path):
    with pytest.raises(InputError, match=r"or one of .*h3pimap"):
        load_chip("h3pimapp")
    with pytest.raises(InputError, match="No such file"):
        load_chip(str(tmp_path / "none.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text"):
        load_chip(str(tmp_path / "binary.yaml"))


@pytest.mark.parametrize("name", list(built_in()))
def test_ir_carries_the_whole_chip(name: str):
    chip = load_chip(name)
    module = ModuleOp([chip_to_ir(chip)])
    module.verify()
    assert chip_from_ir(module) == chip
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(H3)
    again = Parser(context, str(module)).parse_module()
    assert chip_from_ir(again) == chip
    assert str(again) == str(module)


def test_a_chip_edited_in_ir_is_checked_as_a_file_is():
    text = str(ModuleOp([chip_to_ir(load_chip("h3pimap"))])).replace("array_rows", "array_rowz")
    context = Context()
    context.load_dialect(Builtin)
    context.load_dialect(H3)
    with pytest.raises(InputError, match=r"h3\.chip @chip: tiers\.sram\.array_rowz: .*did you mean 'array_rows'"):
        chip_from_ir(Parser(context, text).parse_module())


def test_attach_chip_puts_one_chip_first():
    module = ModuleOp([])
    AttachChip("h3pimap").apply(Context(), module)
    assert isinstance(module.body.block.first_op, ChipOp)
    assert chip_from_ir(module) == load_chip("h3pimap")
    with pytest.raises(InputError, match="without a chip"):
        AttachChip("digital").apply(Context(), module)
    with pytest.raises(InputError, match=r"one h3\.chip"):
        chip_from_ir(ModuleOp([]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("arrays", "rows", "cols"), [(2**26, 128, 128), (2**19, 2**14, 128)])
def test_the_largest_tiers_are_filled_without_overflow(arrays: int, rows: int, cols: int):
    tree = tree_of("h3pimap")
    tree["tiers"]["sram"] |= {"arrays": arrays, "array_rows": rows, "array_cols": cols, "write_ports": 1}
    chip = chip_from_tree(tree, "large.yaml")
    load = chip.tiers["sram"].full_load()
    assert load is not None
    weights = load.k * load.total_outputs
    assert weights == arrays * rows * cols // 8
    written = chip.tiers["sram"].program("sram", chip, load, load.total_outputs, 1)
    assert isinstance(chip.tiers["sram"], ArrayTier)
    a_row_ps = ps_of_ns(chip.tiers["sram"].figures.write_row_ns)
    assert int(dict(written.stages)["sram.write"]) == arrays * rows * int(a_row_ps)


def test_kinds_are_found_by_entry_point():
    assert set(kind_names()) >= {"crossbar", "photonic", "digital"}
    assert kind_class("digital") is Digital
    chip = load_chip("h3pimap")
    assert [kind_name(t) for t in chip.tiers.values()] == ["analog-sram", "reram", "photonic-dynamic", "digital"]
    with pytest.raises(InputError, match="expected one of 8-8-8, 6-6-8, got '4-4-4'"):
        chip.tiers["photonic"].mode("4-4-4")
    with pytest.raises(InputError, match="expected one of the tiers sram, reram, photonic, digital, got 'pcm'"):
        chip.tier("pcm")


class Oracle(TierKind):
    """A user's kind: any product takes `product_ns`."""

    product_ns: Positive

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(16, 16, 16),)

    def mvm(
        self,
        name: str,
        chip: Chip,
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        time = np.full(np.shape(outputs), round(self.product_ns * 1000), np.int64)
        return self.streamed(name, chip, product, np.asarray(outputs, np.int64), (f"{name}.arrays", time), {})


def test_a_users_kind_is_one_class(monkeypatch: pytest.MonkeyPatch):
    points = {point.name: point for point in entry_points(group=registry.GROUP)}
    points["oracle"] = EntryPoint("oracle", f"{__name__}:Oracle", registry.GROUP)
    points["wrong"] = EntryPoint("wrong", "pathlib:Path", registry.GROUP)
    monkeypatch.setattr(registry, "_installed", lambda: points)
    tree = tree_of("digital")
    common = {name: tree["tiers"]["digital"][name] for name in TierKind.model_fields if name != "noise"}
    tree["tiers"]["magic"] = {"kind": "oracle", "product_ns": 5000.0, **common}
    chip = chip_from_tree(tree, "my.yaml")
    assert chip_from_ir(ModuleOp([chip_to_ir(chip)])) == chip
    assert (chip.tiers["magic"].arrays, chip.tiers["magic"].dynamic) == (0, True)
    product = Product(32, 8, 8, 1, True, 256, 256, 8, 8, 8)
    assert price(chip, product, "magic", 8).latency_ps == pytest.approx(5e6, rel=1e-2)
    with pytest.raises(NotImplementedError, match="no arrays"):
        chip.tiers["magic"].program("magic", chip, product, 8, 1)
    tree["tiers"]["magic"]["kind"] = "wrong"
    assert "expected a class derived from TierKind" in error_of(tree)


def test_a_chip_is_equal_to_its_tree():
    chip = load_chip("h3pimap")
    assert chip_from_tree(chip_tree(chip), "again") == chip
    assert isinstance(chip, Chip)
