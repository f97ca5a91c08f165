"""Tables of constants: every value has a source, and a name that ends in its unit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from h3c.runtime_sim.components.tables import chosen, constant, curve
from h3c.runtime_sim.errors import InputError

DATA = Path(__file__).parent.parent / "runtime_sim" / "components" / "data"
OURS = ("technology", "converters", "logic", "memories", "links")
UNITS = {"nm", "v", "pj", "um2", "ff", "ns", "mw", "bits", "gs_per_s", "mm2", "db", "bytes_per_ns", "ghz"}
RATES = {"pj_per_bit", "um2_per_bit", "mw_per_mbit"}
WITHOUT_UNIT = {"exponent", "activity", "intercept", "writes", "log", "ln_nm", "ln_bit", "ln_hz", "ln_pj", "per_bit"}


def entries() -> list[tuple[str, str, Mapping[str, Any]]]:
    """(table, name, entry) of all."""
    trees = {name: yaml.safe_load((DATA / f"{name}.yaml").read_text(encoding="utf-8")) for name in OURS}
    return [(name, key, entry) for name, tree in trees.items() for key, entry in tree.items()]


@pytest.mark.parametrize(("name", "key", "entry"), entries(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_constant_has_a_source_and_its_unit(name: str, key: str, entry: Mapping[str, Any]) -> None:
    assert set(entry) == {"value", "source"}
    assert len(entry["source"]) > 5
    assert any(key.endswith(f"_{unit}") or key == unit for unit in UNITS | RATES | WITHOUT_UNIT), key


def test_a_constant_is_read_as_a_number_and_a_table_by_columns() -> None:
    assert constant("logic", "nand2_ff") == 0.7
    bits, pj, um2 = curve("converters", "isaac_adc_bits_pj_um2")
    assert (bits[4], pj[4], um2[4]) == (8, 1.667, 1200)
    assert not pj.flags.writeable


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(InputError, match="adc_model: expected one of a, b, got 'c'"):
        chosen("adc_model", "c", {"a": 1, "b": 2})
