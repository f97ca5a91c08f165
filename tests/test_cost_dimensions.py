"""Units by construction: with every field of a chip in another unit of time, or energy, the prices are in that unit.

The unit of a field is the end of its name. A term that mixed up units, or left one out, would not scale.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import Chip, chip_from_tree, chip_tree
from h3c.runtime_sim.cost import price
from h3c.runtime_sim.product import Product, plain_product

TIME = {"_ns": 1, "_per_ns": -1, "_ghz": -1, "_mw": -1}
"""The power of time in the unit that a name ends in; longer endings win. A milliwatt is a picojoule a nanosecond."""
ENERGY = {"_pj": 1, "_pj_per_bit": 1, "_pj_per_mac": 1, "_pj_per_cell": 1, "_pj_per_operation": 1, "_mw": 1}


def macro_chip() -> Chip:
    """A chip whose tiers are given by the figures of whole macros, so that each field has one unit."""
    tree = chip_tree(load_chip("digital"))
    link = {"link_in_bytes_per_ns": 100.0, "link_out_bytes_per_ns": 50.0, "link_energy_pj_per_bit": 0.1}
    silicon = {"area_mm2": 1.0, "static_power_mw": 3.0}
    tree["tiers"]["xbar"] = {
        "kind": "crossbar",
        "arrays": 64,
        "array_rows": 128,
        "array_cols": 128,
        "cell_bits": 2,
        "weight_bits": 8,
        "input_bits": 8,
        "output_bits": 8,
        "adc_bits": 8,
        "operation_ns": 128.0,
        "energy_pj_per_mac": 0.25,
        "write_row_ns": 64.0,
        "write_ports": 2,
        "write_energy_pj_per_cell": 1.5,
        **link,
        **silicon,
    }
    tree["tiers"]["light"] = {
        "kind": "photonic",
        "tiles": 2,
        "cores_per_tile": 2,
        "core_rows": 14,
        "core_cols": 14,
        "clock_ghz": 4.0,
        "modes": [{"input_bits": 8, "weight_bits": 8, "output_bits": 8, "energy_pj_per_mac": 0.25}],
        **link,
        **silicon,
    }
    return chip_from_tree(tree, "macro")


def in_units(tree: Mapping[str, Any], powers: Mapping[str, int], factor: float) -> dict[str, Any]:
    """The tree with each number times `factor` to the power that its name's ending stands for."""

    def scaled(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return in_units(value, powers, factor)
        if isinstance(value, list | tuple):
            return [scaled(name, item) for item in value]
        if not isinstance(value, float):
            return value
        ending = max((end for end in powers if name.endswith(end)), key=len, default=None)
        return value if ending is None else value * factor ** powers[ending]

    return {name: scaled(name, value) for name, value in tree.items()}


def chip_in(powers: Mapping[str, int], factor: float) -> Chip:
    return chip_from_tree(in_units(chip_tree(macro_chip()), powers, factor), "scaled")


PRODUCTS = st.builds(
    plain_product, m=st.integers(1, 300), k=st.integers(1, 700), n=st.integers(1, 300), bits=st.just(8)
)
TIERS = st.sampled_from(["xbar", "light", "digital"])


@settings(max_examples=60, deadline=None)
@given(PRODUCTS, TIERS, st.booleans())
def test_times_are_in_the_unit_of_time_of_the_fields(product: Product, tier: str, rewritten: bool):
    one = price(macro_chip(), product, tier, product.n, rewritten=rewritten)
    other = price(chip_in(TIME, 1024.0), product, tier, product.n, rewritten=rewritten)
    # Times are rounded up to whole picoseconds, stage by stage and chunk by chunk.
    assert int(other.latency_ps) == pytest.approx(int(one.latency_ps) * 1024, abs=1024 * 400)
    assert float(other.energy_pj) == pytest.approx(float(one.energy_pj))
    assert int(other.setup_latency_ps) == pytest.approx(int(one.setup_latency_ps) * 1024, abs=1024 * 400)


@settings(max_examples=60, deadline=None)
@given(PRODUCTS, TIERS, st.booleans())
def test_energies_are_in_the_unit_of_energy_of_the_fields(product: Product, tier: str, rewritten: bool):
    one = price(macro_chip(), product, tier, product.n, rewritten=rewritten)
    other = price(chip_in(ENERGY, 1024.0), product, tier, product.n, rewritten=rewritten)
    assert float(other.energy_pj) == pytest.approx(float(one.energy_pj) * 1024)
    assert float(other.setup_energy_pj) == pytest.approx(float(one.setup_energy_pj) * 1024)
    assert int(other.latency_ps) == int(one.latency_ps)


def test_static_power_is_energy_over_time():
    assert chip_in(TIME, 8.0).static_power_mw == pytest.approx(macro_chip().static_power_mw / 8)
    assert chip_in(ENERGY, 8.0).static_power_mw == pytest.approx(macro_chip().static_power_mw * 8)


@pytest.mark.parametrize("tier", ["xbar", "light", "digital"])
def test_many_chips_in_one_call_cost_what_each_costs_alone(tier: str):
    """Fields that are arrays: to the last bit what one chip at a time costs."""
    chip, product = macro_chip(), plain_product(197, 768, 300)
    kind = chip.tier(tier)
    rng = np.random.default_rng(0)
    changed = {name: getattr(kind, name) * rng.uniform(0.5, 2.0, 200) for name in ("link_in_bytes_per_ns",)}
    if tier == "xbar":
        changed |= {"operation_ns": rng.uniform(10, 500, 200), "arrays": rng.integers(40, 90, 200)}
        changed |= {"array_rows": rng.choice([32, 64, 128, 256], 200), "array_cols": rng.choice([64, 128, 512], 200)}
    else:
        changed |= {"clock_ghz": rng.uniform(1, 5, 200)}
    for rewritten in (False, True):
        many = price(with_tier(chip, tier, changed), product, tier, product.n, 2, rewritten=rewritten)
        assert many.latency_ps.shape == (200,)
        for i in range(200):
            one_chip = with_tier(chip, tier, {name: values[i].item() for name, values in changed.items()})
            one = price(one_chip, product, tier, product.n, 2, rewritten=rewritten)
            assert int(many.latency_ps[i]) == int(one.latency_ps)
            assert float(many.energy_pj[i]) == float(one.energy_pj)
            assert int(many.arrays[i]) == int(one.arrays)
            assert int(many.rows_written[i]) == int(one.rows_written)


def with_tier(chip: Chip, tier: str, fields: Mapping[str, Any]) -> Chip:
    """The chip with some fields of a tier replaced, unchecked, so that they may be arrays."""
    return chip.model_copy(update={"tiers": {**chip.tiers, tier: chip.tier(tier).model_copy(update=dict(fields))}})
