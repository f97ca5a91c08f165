"""Placement on the built-in chip: what its prices promise the solver, gaps, parts in segments."""

from dataclasses import replace

import numpy as np
import pytest

from h3c.compiler.chips.load import load_chip
from h3c.passes.placement.assemble import build_problem, parts_of
from h3c.passes.placement.parts import ROUNDING_PS
from h3c.passes.placement.pricing import ChipPricer
from h3c.passes.placement.problem import OBJECTIVES, RESIDENT, REWRITTEN, STREAMED, Problem
from h3c.passes.placement.strategies import Outcome, run, strategies
from h3c.passes.placement.tables import distinct_copies
from h3c.runtime_sim.product import Product

CHIP = load_chip("h3pimap")


def matmul(m: int, k: int, n: int, *, groups: int = 1, static: bool = True, batched: bool = False) -> Product:
    """8-bit numbers on the wire, x and y in the buffer."""
    blocks = groups if batched else 1
    return Product(m, k, n, groups, static, m * k * groups, m * n * groups * blocks, 8, 8, 8, batched=batched)


PRODUCTS = {
    "convolution": matmul(196, 1152, 256),
    "few outputs": matmul(3136, 64, 24),
    "one vector": matmul(1, 512, 1000),
    "depthwise": matmul(784, 9, 1, groups=144),
    "grouped": matmul(196, 36, 16, groups=4),
    "dynamic": matmul(128, 64, 128, groups=12, static=False, batched=True),
    "off chip": replace(matmul(128, 768, 768), x_off_chip=True, y_off_chip=True),
}
"""By what is particular about them."""

NETWORK = [
    matmul(12544, 147, 64),
    *[matmul(3136, 576, 64)] * 4,
    matmul(784, 576, 128),
    *[matmul(784, 1152, 128)] * 3,
    matmul(196, 1152, 256),
    *[matmul(196, 2304, 256)] * 3,
    matmul(49, 2304, 512),
    *[matmul(49, 4608, 512)] * 3,
    matmul(1, 512, 1000),
]
"""ResNet-18 without its shortcuts."""

TOO_BIG = [
    *[matmul(16, 4096, 4096)] * 5,
    matmul(16, 1024, 48000),
    matmul(16, 64, 128, groups=8, static=False, batched=True),
]
"""More weights than the chip has cells."""


def problem_of(products: list[Product], objective: str = "latency", min_bits: int = 8) -> Problem:
    return build_problem(
        CHIP, products, objective=objective, min_bits=min_bits, fixed_latency_ps=1000, fixed_energy_pj=5.0
    )


@pytest.mark.parametrize("name", PRODUCTS)
def test_prices_are_as_the_bound_assumes(name: str) -> None:
    product, pricer = PRODUCTS[name], ChipPricer(CHIP)
    step = pricer.granule(product)
    outputs = np.arange(step, pricer.outputs(product) + 1, step, dtype=np.int64)
    copies = distinct_copies(product.m, 500)
    for kind in pricer.kinds(product):
        c = copies if kind.mode != STREAMED else copies[:1]
        price = pricer.price(product, kind, outputs[:, None], c[None, :])
        shape = (len(outputs), len(c))
        shared = np.broadcast_to(price.shared_ps, (len(price.shared_ps), *shape))
        time, energy, arrays = (np.broadcast_to(v, shape) for v in (price.latency_ps, price.energy_pj, price.arrays))
        for values in (time, energy, arrays, *shared):
            assert np.all(np.diff(values, axis=0) >= 0), "falls when outputs grow"
        for values in (energy * (1 + 1e-12), arrays, *shared):
            assert np.all(np.diff(values, axis=1) >= -1e-9 * np.abs(values[:, 1:])), "falls when copies grow"
        # Between two numbers of outputs that fill arrays: concave, but for rounding.
        # (What is streamed may cost anything: its cost is bounded by a line below it.)
        if len(outputs) > 2 and kind.mode != STREAMED:
            inside = np.all(np.diff(arrays, 2, axis=0) == 0, axis=1) & (np.diff(arrays[1:, 0]) == 0)
            assert np.all(np.diff(energy, 2, axis=0)[inside] <= 1e-9 * energy.max())
            for values in shared:
                assert np.all(np.diff(values, 2, axis=0)[inside] <= ROUNDING_PS)


def test_copies_between_distinct_ones_gain_nothing() -> None:
    product, pricer = PRODUCTS["convolution"], ChipPricer(CHIP)
    every = np.arange(1, 60)
    distinct = distinct_copies(product.m, 59)
    for kind in pricer.kinds(product)[:4]:
        time = pricer.price(product, kind, np.array([[64]]), every[None, :]).latency_ps[0]
        for c in every:
            below = int(distinct[distinct <= c].max())
            assert time[below - 1] <= time[c - 1]


@pytest.mark.parametrize(("objective", "gap"), [("latency", 0.02), ("energy", 0.01), ("edp", 0.03)])
def test_gap_on_a_network(objective: str, gap: float) -> None:
    outcome = run(problem_of(NETWORK, objective), "exact", 60)
    assert outcome.gap is not None
    assert 0 <= outcome.gap <= gap


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_exact_is_never_worse(objective: str) -> None:
    problem = problem_of(NETWORK[12:], objective)
    outcome = run(problem, "exact", 5)
    for strategy in strategies(problem):
        assert outcome.value <= run(problem, strategy, 60).value


def check_parts(outcome: Outcome, products: list[Product]) -> None:
    """Parts cover the outputs; rewritten parts of a segment fit beside all resident ones."""
    problem, placed = outcome.problem, parts_of(outcome.problem, outcome.plan)
    resident, scratch = dict.fromkeys(problem.tiers, 0), dict[tuple[str, int], int]()
    segment = 0
    for product, parts in zip(products, placed, strict=True):
        assert [part.first for part in parts] == [0, *(part.last for part in parts[:-1])]
        assert parts[-1].last == product.total_outputs
        assert all(part.first < part.last for part in parts)
        for part in parts:
            assert part.segment >= segment
            segment = part.segment
            tier = CHIP.tiers[part.tier]
            assert tier.refuses(product) is None
            needed = int(tier.arrays_needed(product, part.last - part.first)) * part.copies
            if part.rewritten:
                scratch[part.tier, segment] = scratch.get((part.tier, segment), 0) + needed
            else:
                resident[part.tier] += needed
    for tier, capacity in zip(problem.tiers, problem.arrays.tolist(), strict=True):
        most = max((taken for (name, _), taken in scratch.items() if name == tier), default=0)
        assert resident[tier] + most <= capacity


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize("strategy", ["exact", "greedy", "homogeneous:sram", "homogeneous:photonic"])
def test_more_weights_than_cells(objective: str, strategy: str) -> None:
    # The parts are what is looked at, not how near to the best they are.
    outcome = run(problem_of(TOO_BIG, objective), strategy, 5)
    check_parts(outcome, TOO_BIG)


def test_prediction_is_the_sum_of_its_parts() -> None:
    outcome = run(problem_of(NETWORK), "exact", 60)
    check_parts(outcome, NETWORK)
    pricer = ChipPricer(CHIP)
    energy = 5.0 + CHIP.static_power_mw * outcome.plan.latency_ps * 1e-3
    for product, parts in zip(NETWORK, parts_of(outcome.problem, outcome.plan), strict=True):
        for part in parts:
            kinds = [k for k in pricer.kinds(product) if pricer.tiers[k.tier] == part.tier]
            mode = REWRITTEN if part.rewritten else (RESIDENT if len(kinds) == 2 else STREAMED)
            kind = next(k for k in kinds if k.mode == mode and k.precision == part.precision)
            energy += float(
                pricer.price(product, kind, np.array(part.last - part.first), np.array(part.copies)).energy_pj
            )
    assert outcome.plan.energy_pj == pytest.approx(energy, rel=1e-9)


def test_low_precision_only_where_it_is_allowed() -> None:
    for min_bits, names in ((8, {"", "8-8-8"}), (6, {"", "8-8-8", "6-6-8"})):
        problem = problem_of(NETWORK[:1], min_bits=min_bits)
        assert set(problem.types[0].precisions) == names


def test_homogeneous_puts_everything_on_its_tier() -> None:
    outcome = run(problem_of(NETWORK), "homogeneous:reram", 60)
    assert {part.tier for parts in parts_of(outcome.problem, outcome.plan) for part in parts} == {"reram"}
    assert outcome.bound is None
    with pytest.raises(ValueError, match="expected one of exact, greedy, homogeneous:sram"):
        run(problem_of(NETWORK), "homogeneous:pcm", 60)
