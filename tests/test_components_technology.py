"""Scaling of circuits to other nodes and supplies, against hand calculations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h3c.runtime_sim.components.technology import (
    nominal_supply_v,
    scaled_area_um2,
    scaled_delay_ns,
    scaled_energy_pj,
    voltage_delay,
)

NODES = st.floats(7, 130)
SUPPLIES = st.floats(0.5, 1.5)


def test_each_law_by_hand() -> None:
    assert float(scaled_energy_pj(8.0, 28, 14, 1.0, 0.5)) == pytest.approx(8 / 2 / 4)
    assert float(scaled_area_um2(8.0, 28, 14)) == 2.0
    # V / (V - 0.35)^1.3: 0.9 / 0.55^1.3 = 1.95781 and 0.7 / 0.35^1.3 = 2.74037
    assert float(scaled_delay_ns(1.0, 28, 14, 0.9, 0.7)) == pytest.approx(0.5 * 2.74037 / 1.95781, rel=1e-5)


def test_a_supply_at_the_threshold_never_settles() -> None:
    assert np.isinf(scaled_delay_ns(1.0, 28, 28, 0.9, [0.35, 0.2])).all()


def test_the_delays_of_wang_over_its_supplies_follow_the_law() -> None:
    """TOPS/mm2 at 0.7 to 1.1 V (Wang et al., VLSI'22, as in cimloop): within 5 % of what the law makes of 0.7 V."""
    published = np.array([2.377, 2.858, 3.200, 3.596, 3.941])
    predicted = published[0] / scaled_delay_ns(1.0, 22, 22, 0.7, np.array([0.7, 0.8, 0.9, 1.0, 1.1]))
    assert np.abs(predicted / published - 1).max() < 0.05


def test_nominal_supplies_are_those_listed_and_between_them() -> None:
    assert nominal_supply_v([22, 28, 65]).tolist() == [0.8, 0.9, 1.1]
    assert 0.8 < float(nominal_supply_v(25)) < 0.9
    assert float(nominal_supply_v(5)) == 0.8


@given(NODES, NODES, NODES, SUPPLIES, SUPPLIES, SUPPLIES)
def test_the_way_does_not_matter(a_nm: float, b_nm: float, c_nm: float, a_v: float, b_v: float, c_v: float) -> None:
    """Scaling over a third node is scaling at once, and back again is nothing."""
    over = scaled_energy_pj(scaled_energy_pj(1.0, a_nm, b_nm, a_v, b_v), b_nm, c_nm, b_v, c_v)
    assert float(over) == pytest.approx(float(scaled_energy_pj(1.0, a_nm, c_nm, a_v, c_v)))
    late = scaled_delay_ns(scaled_delay_ns(1.0, a_nm, b_nm, a_v, b_v), b_nm, a_nm, b_v, a_v)
    assert float(late) == pytest.approx(1.0)


@given(SUPPLIES, SUPPLIES)
def test_a_higher_supply_is_never_slower(low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert float(voltage_delay(high)) <= float(voltage_delay(low)) * (1 + 1e-12)
