"""Adders, trees and accumulators counted by hand; memories and links against their sources."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h3c.runtime_sim.components.links import link_pj_per_bit
from h3c.runtime_sim.components.logic import accumulator, adder_tree, gates, place_value_tree
from h3c.runtime_sim.components.memories import buffer, dram_pj_per_bit, sram_cell, sram_write_row_ns
from h3c.runtime_sim.cost import FloatArray
from h3c.runtime_sim.errors import InputError

ONE = gates(28, 0.9)


def adders_of(energy_pj: FloatArray) -> float:
    return float(energy_pj) / float(ONE.adder.energy_pj)


def test_a_full_adder_is_three_nand2_and_two_xor2() -> None:
    assert float(ONE.adder.energy_pj) == pytest.approx((3 * 0.7 + 2 * 1.05) * 0.81e-3)
    assert float(ONE.adder.area_um2) == pytest.approx(3 * 0.614 + 2 * 0.614 * 2.4)
    assert float(ONE.input_to_sum_ns) == pytest.approx(2 * 2.4 * 0.0478)
    assert float(ONE.input_to_carry_ns) == pytest.approx(2.4 * 0.0478 + 2 * 0.0478)


@given(st.integers(1, 9), st.integers(1, 16))
def test_a_tree_has_the_adders_of_its_levels(depth: int, bits: int) -> None:
    """2^(d-1) adders of p bits, then half as many of p + 1 bits, and so on."""
    levels = sum(2 ** (depth - 1 - level) * (bits + level) for level in range(depth))
    assert adders_of(adder_tree(ONE, 2**depth, bits).energy_pj) == pytest.approx(levels)


def test_a_tree_of_one_number_is_nothing() -> None:
    for tree in (adder_tree(ONE, 1, 8), place_value_tree(ONE, 1, 8)):
        assert [float(figure) for figure in tree] == [0, 0, 0]


def test_the_path_of_a_tree_by_hand() -> None:
    """32 numbers of 8 bits: four sums, an input to a carry, and 11 carries."""
    expected = 4 * float(ONE.input_to_sum_ns) + float(ONE.input_to_carry_ns) + 11 * 2 * 0.0478
    assert float(adder_tree(ONE, 32, 8).time_ns) == pytest.approx(expected)


def test_place_values_by_hand() -> None:
    """Eight numbers of 5 bits: 5 x 7 + 8 x 2.5 = 55 adders."""
    assert adders_of(place_value_tree(ONE, 8, 5).energy_pj) == pytest.approx(55)


def test_an_accumulator_by_hand() -> None:
    part = accumulator(ONE, 21, 13)
    assert float(part.energy_pj) == pytest.approx(21 * (4.2 + 2.1) * 0.81e-3)
    assert float(part.time_ns) == pytest.approx(float(ONE.input_to_carry_ns) + 7 * 2 * 0.0478)


@given(st.integers(1, 600), st.integers(1, 20))
def test_more_inputs_or_bits_never_cost_less(inputs: int, bits: int) -> None:
    for build in (adder_tree, place_value_tree):
        small = build(ONE, inputs, bits)
        assert small.energy_pj <= build(ONE, inputs + 1, bits).energy_pj
        assert small.energy_pj <= build(ONE, inputs, bits + 1).energy_pj
    assert accumulator(ONE, bits, 1).energy_pj < accumulator(ONE, bits + 1, 1).energy_pj


def test_an_sram_cell_at_its_own_node_and_half_of_it() -> None:
    own, half = sram_cell(28, 0.9), sram_cell(14, 0.9)
    assert 8 * float(own.write_pj) == pytest.approx(0.095)
    assert float(own.bit_line_pj) == pytest.approx(0.35e-3 * 0.81)
    assert (float(half.area_um2), float(half.write_pj)) == (0.0625, pytest.approx(0.095 / 16))
    assert float(sram_write_row_ns(128, 28, 0.9)) == pytest.approx(0.00653 * 128 + 0.640)
    assert float(sram_cell(16, 0.8).leakage_mw) * 2**20 == pytest.approx(0.105)


def test_buffers_against_their_sources() -> None:
    """1.655 pJ per 2 bytes; 20.45 pJ per 256 bits and 83000 um2 of 64 KB; 2.58 uW a MHz for 1024 bits."""
    assert buffer("global").read_pj_per_bit == pytest.approx(1.655 / 16, rel=5e-3)
    assert buffer("isaac-edram").read_pj_per_bit == pytest.approx(20.45 / 256, rel=1e-3)
    assert buffer("isaac-edram").area_um2_per_bit == pytest.approx(83000 / 2**19, rel=1e-3)
    assert buffer("gain-cell").read_pj_per_bit == pytest.approx(2641.92e-3 / 1024, rel=1e-3)
    assert buffer("gain-cell").static_mw_per_mbit == pytest.approx(0.105 + 0.276)
    assert math.isnan(buffer("local").area_um2_per_bit)
    with pytest.raises(InputError, match="buffer: expected one of global"):
        buffer("x")


def test_links_and_off_chip_memory_against_their_sources() -> None:
    """10.4 W over four links of 6.4 GB/s are 50.8 pJ a bit; 20.74 pJ a flit of 256 bits; HBM2 3.9 pJ a bit."""
    assert float(link_pj_per_bit("hypertransport")) == pytest.approx(10.4e3 / (4 * 6.4 * 8), rel=1e-3)
    assert float(link_pj_per_bit("isaac-router", 3)) == pytest.approx(3 * 20.74 / 256, rel=1e-3)
    assert dram_pj_per_bit("hbm2") == 3.9
    with pytest.raises(InputError, match="dram: expected one of lpddr4"):
        dram_pj_per_bit("x")
    with pytest.raises(InputError, match="link: expected one of noc"):
        link_pj_per_bit("x")
