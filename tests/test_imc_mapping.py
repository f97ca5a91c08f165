"""How layers lie on chips of the co-design template, and what they ask of them."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.runtime_sim.imc.layers import Layer, Layers, layer_of
from h3c.runtime_sim.imc.mapping import Demand, Fabric, demand, network_demand
from h3c.runtime_sim.product import Product, plain_product

LAYERS = st.builds(
    Layer,
    channels=st.integers(1, 600),
    outputs=st.integers(1, 600),
    kernel_rows=st.integers(1, 7),
    kernel_cols=st.integers(1, 7),
    groups=st.integers(1, 64),
    rows=st.integers(1, 60),
    cols=st.integers(1, 60),
)
SIDES = st.sampled_from([16, 32, 64, 100, 512])


@st.composite
def fabrics(draw: st.DrawFn) -> Fabric:
    """A chip of any sizes."""
    small = st.integers(1, 40)
    sizes = (draw(SIDES), draw(SIDES), draw(st.integers(1, 8)), draw(small), draw(small), draw(small))
    return Fabric.of(*sizes, spreads_columns=draw(st.booleans()))


def conv_product(kernel: tuple[int, ...], positions: tuple[int, ...], *, batch: int = 1, groups: int = 1) -> Product:
    """A convolution of 8 channels and 6 outputs a group."""
    m = batch * int(np.prod(positions))
    plain = plain_product(m, 8 * int(np.prod(kernel)), 6)
    cols = positions[-1] if len(positions) > 1 else 1
    return replace(plain, groups=groups, kernel=kernel, result_cols=cols)


def test_a_layer_with_room_for_copies_by_hand() -> None:
    """64 x 3 x 3 = 576 rows and 128 x 2 = 256 columns (4 bits a cell) in arrays of 128 x 64: 5 x 4 arrays of 100."""
    layer = Layer(64, 128, 3, 3, 1, 14, 14)
    asked = demand(Layers.one(layer), Fabric.of(128, 64, 4, 1, 10, 10, spreads_columns=True))
    assert int(asked.cycles) == 40  # 5 copies share 196 positions
    assert int(asked.weights) == 576 * 256
    assert int(asked.weight_writes) == 576 * 256 * 5
    assert int(asked.cells) == layer.macs * 2
    assert int(asked.row_reads) == 576 * 196 * 4
    assert int(asked.col_reads) == 256 * 196 * 5
    assert float(asked.tile_words) == 576 * 196 * 4 / 4 * 128 + 256 * 196 * 5 / 5 * 64
    # 5 copies work on 5 rows of positions at a time, which see 7 rows of inputs; partial sums meet on the chip.
    assert float(asked.buffer_words) == pytest.approx(64 * 14 * 14 / 5 * 7 + 2 * 128 * 196)


def test_sram_spreads_rows_of_positions_only() -> None:
    """The same chip: 5 copies share 14 rows in 3 turns, each 14 columns long."""
    fabric = Fabric.of(128, 64, 4, 1, 10, 10, spreads_columns=False)
    assert int(demand(Layers.one(Layer(64, 128, 3, 3, 1, 14, 14)), fabric).cycles) == 3 * 14


def test_a_layer_larger_than_the_chip_is_loaded_in_turns() -> None:
    """20 arrays of weights on 8 macros: three loads, of all 196 positions each; inputs are fetched for each load."""
    layer = Layer(64, 128, 3, 3, 1, 14, 14)
    asked = demand(Layers.one(layer), Fabric.of(128, 64, 4, 1, 2, 4, spreads_columns=True))
    assert int(asked.cycles) == 3 * 196
    assert float(asked.buffer_words) == 64 * 14 * 14 * 3 * 3 + 2 * 128 * 196


def test_groups_take_arrays_of_their_own() -> None:
    """A depthwise convolution: one column of 9 rows an array, 32 arrays of 32."""
    fabric = Fabric.of(128, 64, 8, 1, 4, 8, spreads_columns=True)
    assert int(demand(Layers.one(Layer(1, 1, 3, 3, 32, 7, 7)), fabric).cycles) == 49


@settings(deadline=None)
@given(layer=LAYERS, fabric=fabrics())
def test_more_macros_are_never_slower(layer: Layer, fabric: Fabric) -> None:
    more = replace(fabric, macros=fabric.macros + np.arange(0, 5000, 7))
    cycles = demand(Layers.one(layer), more).cycles
    assert (np.diff(cycles) <= 0).all()


@settings(deadline=None)
@given(layer=LAYERS, fabric=fabrics())
def test_more_outputs_and_channels_are_never_faster(layer: Layer, fabric: Fabric) -> None:
    for name in ("outputs", "channels"):
        wider = replace(Layers.one(layer), **{name: np.arange(1, 800)})
        assert (np.diff(demand(wider, fabric).cycles) >= 0).all()


@settings(deadline=None)
@given(layer=LAYERS, fabric=fabrics())
def test_no_more_weights_are_used_in_a_cycle_than_there_are_cells(layer: Layer, fabric: Fabric) -> None:
    asked = demand(Layers.one(layer), fabric)
    cells = fabric.macros * fabric.array_rows * fabric.array_cols
    assert int(asked.cells) <= int(asked.cycles) * int(cells)


@settings(deadline=None)
@given(layers=st.lists(LAYERS, min_size=1, max_size=6), chips=st.lists(fabrics(), min_size=1, max_size=6))
def test_a_network_on_many_chips_is_the_sum_of_its_layers_on_each(layers: list[Layer], chips: list[Fabric]) -> None:
    """Equal layers are priced once, equal chips are mapped once; neither changes anything."""
    layers = [*layers, *layers[:2]]
    chips = [replace(chip, spreads_columns=chips[0].spreads_columns) for chip in [*chips, *chips[:2]]]
    names = [field.name for field in fields(Fabric) if field.name != "spreads_columns"]
    together = Fabric(
        **{name: np.array([int(getattr(chip, name)) for chip in chips]) for name in names},
        spreads_columns=chips[0].spreads_columns,
    )
    total = network_demand(Layers.of(layers), together, block=2)
    for index, chip in enumerate(chips):
        alone = [demand(Layers.one(layer), chip) for layer in layers]
        for field in fields(Demand):
            expected = sum(float(getattr(each, field.name)) for each in alone)
            assert float(getattr(total, field.name)[index]) == pytest.approx(expected, rel=1e-12)


def test_no_chips_have_no_demand() -> None:
    none = np.zeros(0, np.int64)
    assert network_demand(
        Layers.of([Layer(1, 1, 1, 1, 1, 1, 1)]), Fabric.of(none, none, none, none, none, none, True)
    ).cycles.shape == (0,)


def test_equal_layers_are_counted_in_order() -> None:
    a, b = Layer(3, 4, 1, 1, 1, 5, 1), Layer(2, 4, 1, 1, 1, 5, 1)
    layers = Layers.of([a, b, a, a])
    assert layers.channels.tolist() == [[3], [2]]
    assert layers.count.tolist() == [[3], [1]]


@pytest.mark.parametrize(
    ("product", "layer"),
    [
        (plain_product(10, 64, 32), Layer(64, 32, 1, 1, 1, 10, 1)),
        (conv_product((3, 5), (7, 9)), Layer(8, 6, 3, 5, 1, 7, 9)),
        (conv_product((3, 5), (7, 9), batch=4, groups=2), Layer(8, 6, 3, 5, 2, 28, 9)),
        (conv_product((3,), (7,)), Layer(8, 6, 3, 1, 1, 7, 1)),
        (conv_product((2, 3, 5), (4, 7, 9)), Layer(16, 6, 3, 5, 1, 28, 9)),
    ],
    ids=["matmul", "conv", "grouped conv of a batch", "conv of one dimension", "conv of three dimensions"],
)
def test_the_layer_of_a_product_has_its_macs(product: Product, layer: Layer) -> None:
    assert layer_of(product) == layer
    assert layer.macs == product.macs()


def test_products_of_attention_are_those_of_the_archive() -> None:
    """ViT-B/16: 197 tokens, 12 heads of 64 are (C 197, M 197, P 12) and (C 197, M 64, P 12)."""
    scores = replace(plain_product(197, 64, 197), static=False, groups=12, batched=True)
    values = replace(plain_product(197, 197, 64), static=False, groups=12, batched=True)
    assert layer_of(scores) == Layer(197, 197, 1, 1, 1, 12, 1)
    assert layer_of(values) == Layer(197, 64, 1, 1, 1, 12, 1)
