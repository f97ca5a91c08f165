"""Spaces from YAML: the built-in ones, ranges, what is wrong in a file, and the chip file of a design."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from codesign_small import form, space, tree
from hypothesis import given
from hypothesis import strategies as st

from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.space_files import built_in_spaces, load_space, space_from_tree
from h3c.runtime_sim.chip import chip_from_tree
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.imc.layers import Layer, Layers


@pytest.mark.parametrize(
    ("name", "size"),
    [("imc-rram", 12_096_000), ("imc-sram", 1_512_000), ("imc-sram-large", 4_064_256), ("imc-sram-nodes", 9_072_000)],
)
def test_the_published_spaces_have_the_published_sizes(name: str, size: int) -> None:
    """Public code of arXiv 2603.03880; with six nodes the small SRAM space is six times as large."""
    assert name in built_in_spaces()
    loaded = load_space(name)
    assert loaded.size == size
    on = {constraint.name: constraint.on for constraint in loaded.constraints}
    assert on == {"area": True, "capacity": name == "imc-rram"}
    ClosedForm(loaded, {"one": Layers.of([Layer(1, 1, 1, 1, 1, 1, 1)])})  # every value is one that the model knows


def test_ranges_meet_their_ends_without_noise() -> None:
    volt = load_space("imc-rram").variables[0]
    assert volt.values == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85)
    variables = {"tiers.imc.rows": {"from": 32, "to": 500, "factor": 2}, "tiers.imc.cols": [128, 32, 64]}
    rows, cols = space(variables=variables, figures={}, follow={}, stages={}).variables
    assert rows.values == (32, 64, 128, 256)
    assert all(type(value) is int for value in rows.values)
    assert cols.values == (32, 64, 128)  # ascending, so that numbers order chips by their values


@given(st.integers(0, space().size - 1), st.integers(0, space().size - 1))
def test_numbers_name_chips_and_order_them_by_their_values(first: int, second: int) -> None:
    small = space()
    a, b = small.design(first), small.design(second)
    assert small.number(a) == first
    values = [tuple(small.values(design).values()) for design in (a, b)]
    assert (values[0] < values[1]) == (first < second)  # pyright: ignore[reportOperatorIssue]


def varied(**values: Any) -> dict[str, Any]:
    return {"variables": {f"tiers.imc.{name}": value for name, value in values.items()}, "figures": {}, "follow": {}}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"variable": {}}, "small.yaml: variable: expected one of the fields name, description"),
        ({"name": 3}, "small.yaml: name: expected a line of text, got 3"),
        ({"base": "imc-sarm"}, "small.yaml: base: 'imc-sarm': expected the path of a chip file or one of"),
        ({"variables": {}}, "small.yaml: variables: expected at least one, got none"),
        ({"variables": {"tiers.imc.vlt": [1]}}, "small.yaml: variables: expected the path of a field of chip imc-sram"),
        ({"variables": {"tiers.imc": [1]}}, "got 'tiers.imc' ('imc' is none)"),
        ({"variables": {"name": ["a"]}}, "expected the path of a field that a chip's costs depend on, got 'name'"),
        (varied(rows=[]), "small.yaml: variables.tiers.imc.rows: expected 1 to 100000 values, got 0"),
        (varied(rows=[64, 64.5]), "small.yaml: variables.tiers.imc.rows: expected values such as"),
        (varied(rows=["64"]), "expected values such as the base chip's 256, got '64'"),
        (varied(rows=[64, 128, 64]), "expected each value once, got 64 2 times"),
        (varied(rows={"from": 64, "to": 128}), "expected from, to and either step or factor, got from, to"),
        (varied(rows={"from": 64, "to": 128, "step": 0}), "expected to >= from, and step > 0 or factor > 1"),
        (varied(rows={"from": 64, "to": 128, "step": "2"}), "rows.step: expected a number, got '2'"),
        (varied(rows={"from": 1, "to": 10**9, "step": 1}), "expected 1 to 100000 values, got 100001"),
        (varied(volt=[float("nan")]), "expected finite numbers, got nan"),
        ({"constraints": {"area": "area_mm2"}}, "small.yaml: constraints.area: expected one comparison"),
        ({"constraints": {"area": {"default": "on"}}}, "expected require, default and note, got default"),
        ({"constraints": {"area": {"require": "1 < 2", "default": "yes"}}}, "default: expected on or off, got 'yes'"),
        ({"figures": {"x": {"by": "volts", "table": {}}}}, "expected an expression, or by (one of volt, cycle_ns"),
        ({"figures": {"x": {"by": "node_nm", "table": {32: 1}}}}, "x.table: expected each value of node_nm, got 32"),
        ({"figures": {"x": {"by": "node_nm", "table": 3}}}, "expected an expression, or by (one of volt, cycle_ns"),
        ({"follow": {"buffer.size": "1"}}, "small.yaml: follow: expected the path of a field"),
        ({"stages": {"first": ["row"]}}, "small.yaml: stages.first: expected some of volt, cycle_ns, rows"),
    ],
)
def test_what_is_wrong_in_a_space_is_one_line(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        space_from_tree(tree(**changed), "small.yaml", Path())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (varied(rows=[0, 64]), "variables.tiers.imc.rows: expected a number from 1 to 4096, got 0"),
        (varied(cycle_ns=[0.01]), "variables.tiers.imc.cycle_ns: expected a number from 0.1 to 1000, got 0.01"),
        (varied(bits_per_cell=[1, 2]), "variables.tiers.imc.bits_per_cell: expected at most 1, got 2"),
        (varied(node_nm=[28, 32]), "variables.tiers.imc.node_nm: expected one of 7, 10, 14, 22, 32, 45, got 28"),
        (varied(glb_depth_2048bit=[5000]), "variables.tiers.imc.glb_depth_2048bit: expected one of 2048, 4096"),
        ({"variables": {"tiers.digital.lanes": [1, 2]}}, "expected fields of tiers.imc (volt, bits_per_cell"),
        (
            {"constraints": {"x": "aera_mm2 < 3"}},
            "small.yaml: constraints.x: expected known figures (did you mean area_mm2",
        ),
        ({"base": "h3pimap", "variables": {"tiers.sram.arrays": [1]}}, "expected a chip with one tier of kind imc"),
    ],
)
def test_what_closed_forms_cannot_price_is_one_line(changed: dict[str, Any], told: str) -> None:
    given = {"stages": {}, "figures": {}, "follow": {}, **changed}
    if "base" in given:
        given["constraints"] = {}
    with pytest.raises(InputError) as caught:
        form(**given)
    assert told in str(caught.value)
    assert str(caught.value).startswith("small.yaml: ")


def test_constraints_can_be_switched_and_off_ones_do_not_count() -> None:
    small, figures = space(), {"area_mm2": np.array([100.0, 130.0]), "capacity_weights": 10, "model_weights": 20}
    assert small.violation(figures).tolist() == [0, pytest.approx(1 / 12)]
    assert small.switched({"capacity": True}).violation(figures).tolist() == [0.5, pytest.approx(0.5 + 1 / 12)]
    assert small.switched({"area": False}).violation(figures).tolist() == [0, 0]
    with pytest.raises(
        InputError, match=r"--constraint power: expected a constraint of space small \(area, capacity\)"
    ):
        small.switched({"power": True})


def test_what_has_no_area_cannot_be_built_whatever_the_constraints() -> None:
    assert space(constraints={}).violation({"area_mm2": np.array([np.inf, 5.0])}).tolist() == [np.inf, 0]


def test_the_chip_of_a_design_is_a_chip_file_with_its_values() -> None:
    one = form()
    design = one.space.design(1234)
    figures = {name: np.ravel(value)[0] for name, value in one.figures([design]).items()}
    text = yaml.safe_dump(one.space.chip_tree(design, figures, "best", "the best"))
    chip = chip_from_tree(yaml.safe_load(text), "best.yaml")
    for name, value in one.space.values(design).items():
        assert getattr(chip.tiers["imc"], name) == value
    assert chip.buffer.size_bytes == 256 * one.space.values(design)["glb_depth_2048bit"]  # pyright: ignore[reportOperatorIssue]
    assert chip.area_mm2 == pytest.approx(figures["area_mm2"], rel=1e-12)
    assert (chip.name, chip.dram) == ("best", one.space.base.dram)


def test_two_variables_that_end_alike_are_told_by_their_paths() -> None:
    variables = {"tiers.imc.rows": [1], "buffer.static_power_mw": [0.0], "dram.static_power_mw": [0.0]}
    names = [v.name for v in space(variables=variables, figures={}, follow={}, stages={}).variables]
    assert names == ["rows", "buffer_static_power_mw", "dram_static_power_mw"]
