"""Prices: the figures of h3pimap, what must never happen to them, and digital work."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.cost import COMPONENTS, price
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.product import Product

CHIP = load_chip("h3pimap")
TIERS = list(CHIP.tiers)


def matmul(m: int, k: int, n: int, **fields: object) -> Product:
    """A static product of 8-bit values in the buffer."""
    product = Product(m, k, n, 1, True, m * k, m * n, 8, 8, 8)
    return replace(product, **fields)  # pyright: ignore[reportArgumentType]


def convolution(m: int, k: int, n: int, groups: int) -> Product:
    return Product(m, k, n, groups, True, m * k * groups, m * n * groups, 8, 8, 8)


sizes = st.integers(1, 5000)
products = st.builds(
    matmul, m=st.integers(1, 3000), k=sizes, n=sizes, x_off_chip=st.booleans(), y_off_chip=st.booleans()
)
convolutions = st.builds(
    convolution, m=st.integers(1, 3000), k=st.integers(1, 300), n=st.integers(1, 40), groups=st.integers(2, 200)
)


def test_published_latency_on_sram():
    assert float(price(CHIP, matmul(128, 512, 512), "sram", 512).latency_ps) / 1e9 == pytest.approx(0.131, abs=5e-4)


def test_published_ratio_of_reram_to_sram():
    sram, reram = (price(CHIP, matmul(128, 2048, 512), tier, 512).latency_ps for tier in ("sram", "reram"))
    assert float(reram / sram) == pytest.approx(1.443, abs=2e-3)


def test_photonic_is_fastest_and_reram_dearest():
    at = {tier: price(CHIP, matmul(128, 512, 512), tier, 512) for tier in TIERS}
    assert min(at, key=lambda tier: int(at[tier].latency_ps)) == "photonic"
    computing = {tier: sum(float(at[tier].components.get(c, 0)) for c in ("arrays", "converters")) for tier in TIERS}
    assert max(("sram", "reram", "photonic"), key=lambda tier: computing[tier]) == "reram"
    six = price(CHIP, matmul(128, 512, 512), "photonic", 512, precision="6-6-8")
    assert float(six.energy_pj) < float(at["photonic"].energy_pj)
    assert six.latency_ps <= at["photonic"].latency_ps


def test_arrays_hold_the_published_number_of_weights():
    for tier, weights in (("sram", 52.4e6), ("reram", 26.2e6)):
        kind = CHIP.tiers[tier]
        outputs = kind.granularity(matmul(1, 128, 10**9))
        assert kind.arrays * 128 * outputs == pytest.approx(weights, rel=1e-3)
        assert kind.arrays_needed(matmul(1, 129, 10**9), outputs + 1) == 4


def test_groups_lie_along_the_diagonal():
    sram = CHIP.tiers["sram"]
    depthwise = convolution(100, 9, 1, 512)
    assert sram.granularity(depthwise) == 14
    assert sram.arrays_needed(depthwise, 512) == 37
    assert sram.arrays_needed(depthwise, 14) == 1
    assert sram.arrays_needed(convolution(100, 64, 8, 2), 16) == 1
    assert sram.arrays_needed(convolution(100, 65, 8, 2), 16) == 2
    assert sram.arrays_needed(convolution(100, 129, 17, 3), 51) == 12
    batched = matmul(10, 32, 4, groups=5, batched=True)
    assert sram.arrays_needed(batched, 4) == 2
    assert sram.arrays_needed(batched, 8) == 3


def test_what_tiers_refuse():
    dynamic, depthwise = matmul(8, 8, 8, static=False, w_off_chip=False), convolution(8, 9, 1, 8)
    refused = {tier: (CHIP.tiers[tier].refuses(dynamic), CHIP.tiers[tier].refuses(depthwise)) for tier in TIERS}
    assert refused["digital"] == (None, None)
    assert refused["photonic"][0] is None
    assert refused["photonic"][1] == "takes no grouped or depthwise convolutions"
    assert refused["sram"][0] == "takes no products of two values made at run time"
    assert refused["sram"][1] is None
    assert CHIP.tiers["photonic"].refuses(matmul(8, 8, 8, groups=12, batched=True, static=False)) is None


def test_photonic_cycles_take_the_better_orientation():
    photonic = CHIP.tiers["photonic"]
    cycles = photonic.cycles(matmul(128, 512, 512), np.array([512, 14, 28]))  # pyright: ignore
    assert list(cycles) == [37 * 5 * 256, 1 * 5 * 256, 2 * 5 * 256]


def test_streamed_weights_come_from_off_chip_each_time():
    static = price(CHIP, matmul(16, 256, 256), "photonic", 256)
    dynamic = price(CHIP, matmul(16, 256, 256, static=False, w_off_chip=False), "photonic", 256)
    assert float(static.components["dram"]) == pytest.approx(256 * 256 * 8 * 3.9)
    assert dynamic.components["dram"] == 0
    assert dynamic.latency_ps <= static.latency_ps
    assert static.setup_energy_pj == 0
    assert static.arrays == 0


def test_rewriting_costs_time_energy_and_wear():
    resident = price(CHIP, matmul(16, 256, 256), "reram", 256)
    rewritten = price(CHIP, matmul(16, 256, 256), "reram", 256, rewritten=True)
    assert rewritten.latency_ps == resident.latency_ps + resident.setup_latency_ps
    assert float(rewritten.energy_pj) == pytest.approx(float(resident.energy_pj + resident.setup_energy_pj))
    assert (resident.rows_written, rewritten.rows_written) == (0, 256 * 8)
    assert float(rewritten.components["write"]) == pytest.approx(256 * 256 * 4 * 21.1e3 / 128**2, rel=1e-2)


def test_off_chip_operands_cost_dram():
    inside = price(CHIP, matmul(64, 64, 64), "sram", 64)
    outside = price(CHIP, matmul(64, 64, 64, x_off_chip=True, y_off_chip=True), "sram", 64)
    assert inside.ports_ps["dram.read"] == inside.ports_ps["dram.write"] == 0
    assert outside.ports_ps["dram.read"] > 0
    assert outside.ports_ps["dram.write"] > 0
    assert float(outside.components["dram"]) == pytest.approx(2 * 64 * 64 * 8 * 3.9)
    assert outside.latency_ps > inside.latency_ps


@settings(max_examples=60, deadline=None)
@given(product=st.one_of(products, convolutions), tier=st.sampled_from(TIERS), rewritten=st.booleans())
def test_prices_rise_with_outputs_and_add_up(product: Product, tier: str, rewritten: bool):
    step = 1 if product.groups == 1 else product.n
    outputs = np.arange(step, product.total_outputs + 1, step)
    prices = price(CHIP, product, tier, outputs, rewritten=rewritten)
    for figure in (prices.latency_ps, prices.energy_pj, prices.arrays, prices.rows_written):
        assert figure.shape == outputs.shape
        assert (np.diff(figure) >= 0).all()
    assert set(prices.components) <= set(COMPONENTS)
    assert np.allclose(sum(prices.components.values()), prices.energy_pj)
    one = price(CHIP, product, tier, int(outputs[-1]), 1, rewritten=rewritten)
    assert one.latency_ps == prices.latency_ps[-1]
    assert all((prices.latency_ps >= ps).all() for ps in prices.ports_ps.values())


@settings(max_examples=60, deadline=None)
@given(product=products, tier=st.sampled_from(["sram", "reram"]), rewritten=st.booleans())
def test_more_copies_are_never_slower_but_for_writing(product: Product, tier: str, rewritten: bool):
    prices = price(CHIP, product, tier, product.n, np.arange(1, 40), rewritten=rewritten)
    latency = prices.latency_ps
    if rewritten:
        latency = latency - price(CHIP, product, tier, product.n, np.arange(1, 40)).setup_latency_ps
    assert (np.diff(latency) <= 0).all()
    assert (prices.arrays == np.arange(1, 40) * prices.arrays[0]).all()


def test_a_tier_may_take_dynamic_products():
    tree = chip_tree(CHIP)
    tree["tiers"]["sram"]["dynamic"] = True
    chip = chip_from_tree(tree, "changed")
    dynamic = matmul(16, 64, 64, static=False, w_off_chip=False)
    assert chip.tiers["sram"].refuses(dynamic) is None
    assert price(chip, dynamic, "sram", 64, rewritten=True).components["dram"] == 0


def test_unknown_tiers_and_precisions_are_told():
    with pytest.raises(InputError, match="expected one of the tiers"):
        price(CHIP, matmul(1, 1, 1), "pcm", 1)
    with pytest.raises(InputError, match="precision: expected one of 8-8-8"):
        price(CHIP, matmul(1, 1, 1), "sram", 1, precision="6-6-8")


@pytest.mark.parametrize("tier", TIERS)
def test_products_without_elements_cost_no_time(tier: str):
    for product in (matmul(0, 8, 8), convolution(0, 9, 1, 4), matmul(0, 0, 4, groups=2, batched=True)):
        prices = price(CHIP, product, tier, product.total_outputs)
        assert prices.latency_ps == 0 or tier in ("photonic", "digital")


def test_a_hundred_thousand_options_in_one_call():
    outputs = np.arange(100_000) % 512 + 1
    copies = np.arange(100_000) % 9 + 1
    seconds: list[float] = []
    for _ in range(5):
        start = process_time()
        price(CHIP, matmul(128, 512, 512), "sram", outputs, copies, rewritten=True)
        seconds.append(process_time() - start)
    assert min(seconds) < 0.1  # 0.012 on an idle machine
