"""Cycles, energy and area of chips of the co-design template, against hand calculations and published chips."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.imc.constants import MEMORIES, constants, constants_from_tree
from h3c.runtime_sim.imc.layers import Layer, Layers
from h3c.runtime_sim.imc.mapping import demand
from h3c.runtime_sim.imc.model import VARIABLES, Designs, area_mm2, components_pj, figures, price_layers, price_network

ALEXNET = (
    Layer(3, 64, 11, 11, 1, 55, 55),
    Layer(64, 192, 5, 5, 1, 27, 27),
    Layer(192, 384, 3, 3, 1, 13, 13),
    Layer(384, 256, 3, 3, 1, 13, 13),
    Layer(256, 256, 3, 3, 1, 13, 13),
    Layer(9216, 4096, 1, 1, 1, 1, 1),
    Layer(4096, 4096, 1, 1, 1, 1, 1),
    Layer(4096, 1000, 1, 1, 1, 1, 1),
)
"""torchvision's AlexNet."""


def design(*variables: float) -> Designs:
    """A chip: volt, bits a cell, cycle, rows, columns, groups, tiles, macros, depth of the buffer, node."""
    return Designs.of(**dict(zip(VARIABLES, variables, strict=True)))


ARCHIVE: tuple[tuple[str, tuple[float, ...], float, float, float], ...] = (
    ("rram", (0.85, 8, 1e-08, 128, 256, 32, 64, 128, 131072, 32), 8.308e-4, 8e-08, 54960.0),
    ("rram", (0.85, 7, 2e-09, 512, 128, 16, 32, 32, 16384, 32), 1.051e-3, 1.6e-08, 1803.6),
    ("rram", (0.7, 8, 1e-09, 512, 64, 16, 16, 64, 8192, 32), 7.516e-4, 8e-09, 928.43),
    ("rram", (0.6, 8, 1e-09, 512, 64, 16, 8, 64, 8192, 32), 7.427e-4, 9e-09, 466.72),
    ("rram", (0.55, 5, 6e-09, 512, 512, 16, 8, 32, 2048, 32), 1.093e-3, 4.8e-08, 1756.6),
    ("sram", (0.65, 1, 1e-09, 64, 128, 16, 8, 8, 32768, 32), 4.548e-3, 1.85e-06, 134.07),
    ("sram", (0.6, 1, 1e-09, 256, 32, 4, 32, 2, 4096, 32), 5.37e-3, 3.926e-06, 12.808),
    ("sram", (0.75, 1, 6e-09, 16, 128, 4, 2, 32, 524288, 32), 5.737e-3, 9.032e-05, 268.08),
    ("sram", (0.6, 1, 1e-09, 64, 64, 8, 32, 32, 65536, 32), 4.575e-3, 3.33e-07, 512.67),
    ("sram", (0.55, 1, 1e-09, 256, 64, 16, 2, 64, 16384, 32), 4.67e-3, 3.07e-07, 151.45),
    ("sram", (0.55, 1, 1e-09, 128, 64, 6, 16, 16, 8192, 7), 6.337e-3, 8.2e-07, 7.04),
    ("sram", (1.0, 1, 8e-09, 128, 32, 2, 16, 16, 131072, 22), 6.054e-3, 3.367e-05, 42.1),
    ("sram", (0.85, 1, 6e-09, 256, 16, 1, 8, 2, 262144, 45), 1.288e-2, 0.0006278, 257.92),
)
"""AlexNet on chips of the archive that the constants were not fitted on: energy in J, latency in s, area in mm2."""

RRAM_BEST = design(0.60, 8, 1e-9, 512, 32, 8, 64, 32, 4096, 32)
SRAM_BEST = design(0.55, 1, 1e-9, 256, 128, 1, 32, 8, 4096, 32)


@st.composite
def designs(draw: st.DrawFn, memory: str) -> Designs:
    """A chip that the archive could have."""
    sizes = st.sampled_from([1, 2, 4, 6, 8, 16, 32])
    side = st.sampled_from([16, 32, 64, 128, 256, 512])
    node = 32 if memory == "rram" else draw(st.sampled_from(sorted(constants(memory).nodes)))
    return design(
        draw(st.sampled_from([0.65, 0.7, 0.85, 1.0])),
        draw(st.integers(1, 8)) if memory == "rram" else 1,
        draw(st.sampled_from([1e-9, 6e-9])),
        draw(side),
        draw(side),
        draw(sizes),
        draw(sizes),
        draw(sizes),
        draw(st.sampled_from(sorted(constants(memory).buffer_mm2[node]))),
        node,
    )


def test_chips_of_the_archive() -> None:
    """The bars are on medians over these rows, drawn at random; single ones are off by up to a factor of 2."""
    errors: list[tuple[float, float, float]] = []
    for memory, variables, *told in ARCHIVE:
        chip, known = design(*variables), constants(memory)
        priced = price_network(Layers.of(ALEXNET), chip, known)
        modelled = (float(priced.energy_pj) * 1e-12, float(priced.latency_s), float(area_mm2(chip, known)))
        energy, latency, area = (abs(ours / theirs - 1) for ours, theirs in zip(modelled, told, strict=True))
        errors.append((energy, latency, area))
    energy, latency, area = np.median(errors, axis=0)
    assert energy <= 0.25
    assert latency <= 0.25
    assert area <= 0.10
    assert np.max(errors) < 1


@pytest.mark.parametrize(
    ("memory", "chip", "published_mm2", "published_edap"),
    [("rram", RRAM_BEST, 481.6, 0.003224), ("sram", SRAM_BEST, 34.9, 0.1557)],
)
def test_published_best_chips_on_alexnet(
    memory: str, chip: Designs, published_mm2: float, published_edap: float
) -> None:
    """The best designs in the stored results of arXiv 2603.03880 (mean form), with AlexNet's product in mJ ms mm2."""
    known = constants(memory)
    area = float(area_mm2(chip, known))
    priced = price_network(Layers.of(ALEXNET), chip, known)
    edap = area * float(priced.energy_pj) * 1e-9 * float(priced.latency_s) * 1e3
    assert area == pytest.approx(published_mm2, rel=0.01)
    assert edap == pytest.approx(published_edap, rel=0.25)


def test_one_layer_by_hand() -> None:
    """With every constant a power of ten, each thing that is counted is a digit of the energy."""
    rram = replace(
        constants("rram").memory, cell_pj=(0.0, 1.0), row_pj=0.0, column_pj=1e6, weight_pj=1e9, buffer_word_pj=0.0
    )
    known = replace(constants("rram"), memory=rram)
    layer = Layer(16, 8, 1, 1, 1, 3, 1)  # one array of 16 rows and 8 x 4 columns, 3 copies on 4 macros
    priced = price_layers(Layers.one(layer), design(0.5, 2, 2e-9, 16, 32, 1, 1, 4, 2048, 32), known)
    assert float(priced.energy_pj) == 16 * 8 * 4 * 3 + 1e6 * 8 * 4 * 3 + 1e9 * 16 * 8 * 4
    assert int(priced.cycles) == 1
    assert float(priced.latency_s) == 2e-9


def test_area_by_hand() -> None:
    """Two groups of three tiles of four macros."""
    tree = {
        "router_mm2": 1000.0,
        "sram": {
            "spreads_columns": False,
            **dict.fromkeys(("row_pj", "driver_pj", "column_pj", "weight_pj", "write_pj", "write_driver_pj"), 0.0),
            **dict.fromkeys(("tile_word_pj", "buffer_word_pj"), 0.0),
            "cell_pj": [0.0],
            "crossing_mm2": 1e-3,
            "tile_buffer_mm2": 1e-2,
            "column_mm2": 0.5,
            "cell_mm2": 0.25,
            "driver_mm2": 8.0,
            "nodes": {
                28: {
                    "threshold_v": 0.4,
                    "write_threshold_v": 0.4,
                    "router_area": 0.5,
                    "macro_area": 2.0,
                    "driver_area": 3.0,
                    **dict.fromkeys(("row_energy", "driver_energy", "memory_energy", "write_energy"), 1.0),
                }
            },
            "buffer_mm2": {28: {2048: 7.0}},
        },
    }
    chip = design(0.65, 1, 1e-9, 128, 32, 2, 3, 4, 2048, 28)
    tile = 1e-3 * 16 * (64 + 32) + 1e-2 * 4 * 160
    macro = 0.5 * 32 + 0.25 * 128 * 32
    driver = 8.0 * 128 / 32 / 0.25**1.5
    expected = 7 + 0.5 * 1000 * 2 + 2 * 6 * (tile + 4 * macro) + 3 * 24 * driver
    assert float(area_mm2(chip, constants_from_tree(tree, "sram"))) == pytest.approx(expected)


@pytest.mark.parametrize("memory", MEMORIES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_together_and_one_at_a_time_are_the_same(memory: str, data: st.DataObject) -> None:
    """Networks on many designs against each layer on each design alone."""
    known = constants(memory)
    chips = data.draw(st.lists(designs(memory), min_size=1, max_size=8))
    listed = Designs.of(**{name: [float(getattr(chip, name)) for chip in chips] for name in VARIABLES})
    together = price_network(Layers.of([*ALEXNET, *ALEXNET[2:4]]), listed, known)
    areas = area_mm2(listed, known)
    for index, chip in enumerate(chips):
        alone = [price_layers(Layers.one(layer), chip, known) for layer in [*ALEXNET, *ALEXNET[2:4]]]
        assert int(together.cycles[index]) == sum(int(each.cycles) for each in alone)
        assert float(together.energy_pj[index]) == pytest.approx(sum(float(e.energy_pj) for e in alone), rel=1e-12)
        assert float(areas[index]) == pytest.approx(float(area_mm2(chip, known)), rel=1e-12)


@pytest.mark.parametrize("memory", MEMORIES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_costs_are_positive_and_components_sum_to_the_energy(memory: str, data: st.DataObject) -> None:
    known, chip = constants(memory), data.draw(designs(memory))
    asked = demand(Layers.one(ALEXNET[1]), chip.fabric(known))
    parts = components_pj(asked, figures(chip, known))
    energy = float(price_layers(Layers.one(ALEXNET[1]), chip, known).energy_pj)
    assert all(float(part) >= 0 for part in parts.values())
    assert sum(map(float, parts.values())) == pytest.approx(energy, rel=1e-12)
    assert energy > 0
    assert float(area_mm2(chip, known)) > 0


def test_cycle_time_scales_latency_and_nothing_else() -> None:
    slow = replace(RRAM_BEST, cycle_s=np.asarray(1e-8))
    fast, known = RRAM_BEST, constants("rram")
    prices = [price_network(Layers.of(ALEXNET), chip, known) for chip in (slow, fast)]
    assert float(prices[0].latency_s) == pytest.approx(10 * float(prices[1].latency_s), rel=1e-12)
    assert float(prices[0].energy_pj) == float(prices[1].energy_pj)
    assert float(area_mm2(slow, known)) == float(area_mm2(fast, known))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("node_nm", 28, "node_nm: expected one of 7, 10, 14, 22, 32, 45, got 28"),
        ("glb_depth_2048bit", 5000, "glb_depth_2048bit: expected one of 2048, 4096, 8192, 16384"),
        ("volt", 0.3, "volt: expected more than"),
    ],
)
def test_what_the_tables_do_not_have_is_an_error(name: str, value: float, told: str) -> None:
    chip = replace(SRAM_BEST, **{name: np.asarray(value)})
    with pytest.raises(InputError, match=told):
        figures(chip, constants("sram"))


def test_a_buffer_that_is_unknown_at_its_node_is_an_error() -> None:
    chip = replace(SRAM_BEST, node_nm=np.array([32, 7]), glb_depth_2048bit=np.array([524288, 524288]))
    with pytest.raises(InputError, match="262144 at 7 nm, got 524288"):
        figures(chip, constants("sram"))


def test_an_unknown_memory_is_an_error() -> None:
    with pytest.raises(InputError, match="memory: expected one of rram, sram, got 'pcm'"):
        constants("pcm")
