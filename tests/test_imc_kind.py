"""The tier kind `imc`: plans for a chip of the co-design template cost what the template's prices say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.chips.load import built_in, load_chip
from h3c.compiler.codesigning.networks import layers_of_file
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import build, run
from h3c.compiler.plan_files import new_context
from h3c.dialects.tile import MvmOp
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.cost import price
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.imc.layers import Layer, Layers
from h3c.runtime_sim.imc.model import area_mm2, price_layers, price_network
from h3c.runtime_sim.kinds.imc import Imc, part_of
from h3c.runtime_sim.product import plain_product
from h3c.runtime_sim.timing import simulate
from h3c.runtime_sim.work import work_of

CHIPS = ("imc-rram", "imc-sram")


def tier_of(name: str) -> Imc:
    """The tier of a built-in chip."""
    tier = load_chip(name).tier("imc")
    assert isinstance(tier, Imc)
    return tier


def plan_of(model: Path, target: str) -> ModuleOp:
    """The plan with all products on the tier."""
    module = read_onnx(model, {"batch": 2})
    options: dict[str, dict[str, object]] = {
        "attach-chip": {"target": target},
        "place-parts": {"strategy": "homogeneous", "tier": "imc"},
    }
    run(module, build(options), new_context())
    return module


@pytest.mark.parametrize("target", CHIPS)
@pytest.mark.parametrize("model", ["digits_cnn", "digits_transformer"])
def test_matrix_operators_of_a_plan_take_what_the_network_is_priced_at(models: Path, target: str, model: str) -> None:
    """The transformer has products of two values made at run time too."""
    tier, file = tier_of(target), models / f"{model}.onnx"
    priced = price_network(Layers.of(layers_of_file(file, {"batch": 2})), tier.designs, tier.constants)
    module = plan_of(file, target)
    chip = chip_from_ir(module)
    works = [work_of(chip, op) for op in module.walk() if isinstance(op, MvmOp)]
    assert {work.tier for work in works} == {"imc"}
    assert sum(int(ps) for work in works for _, ps in work.work.stages) == int(priced.cycles) * 1000
    energy = sum(float(pj) for work in works for pj in work.work.energy_pj.values())
    assert energy == pytest.approx(float(priced.energy_pj), rel=1e-12)


@pytest.mark.parametrize("target", CHIPS)
def test_simulated_time_is_that_of_products_and_digital_work(models: Path, target: str) -> None:
    module = plan_of(models / "digits_cnn.onnx", target)
    timing = simulate(module)
    utilised = timing.tiers["imc"].utilisation * timing.latency_ns
    layers = Layers.of(layers_of_file(models / "digits_cnn.onnx", {"batch": 2}))
    tier = tier_of(target)
    assert utilised == pytest.approx(float(price_network(layers, tier.designs, tier.constants).latency_s) * 1e9)
    assert timing.tiers["imc"].mac_share == 1
    assert timing.setup.latency_ns == 0


@pytest.mark.parametrize("target", CHIPS)
def test_the_chip_is_the_template_and_survives_ir_and_files(target: str) -> None:
    chip = load_chip(target)
    tier = tier_of(target)
    assert chip.area_mm2 == pytest.approx(float(area_mm2(tier.designs, tier.constants)))
    assert chip.static_power_mw == 0
    assert chip_from_tree(chip_tree(chip), "again") == chip
    assert chip.buffer.size_bytes == tier.glb_depth_2048bit * 256
    assert target in built_in()


@pytest.mark.parametrize("target", CHIPS)
def test_a_part_is_a_layer_of_fewer_outputs_or_groups(target: str) -> None:
    product = plain_product(49, 9, 4)
    grouped = replace(product, groups=32, kernel=(3, 3), result_cols=7)
    tier = tier_of(target)
    outputs = np.array([1, 2, 3, 4])
    expected = [Layer(9, n, 1, 1, 1, 49, 1) for n in outputs.tolist()]
    alone = [price_layers(Layers.one(layer), tier.designs, tier.constants) for layer in expected]
    priced = price(load_chip(target), product, "imc", outputs)
    np.testing.assert_allclose(priced.energy_pj, [float(each.energy_pj) for each in alone], rtol=1e-12)
    assert priced.latency_ps.tolist() == [int(each.cycles) * 1000 for each in alone]
    layers = part_of(grouped, [4, 8, 128])
    assert layers.outputs.tolist() == [4, 4, 4]
    assert layers.groups.tolist() == [1, 2, 32]


def test_many_chips_are_priced_in_one_call() -> None:
    chip, macros = load_chip("imc-sram"), np.array([2, 8, 64])
    product = plain_product(100, 700, 300)

    def with_macros(value: object) -> object:
        tier = chip.tier("imc").model_copy(update={"macros_per_tile": value})
        return chip.model_copy(update={"tiers": {**chip.tiers, "imc": tier}})

    together = price(with_macros(macros), product, "imc", 300)  # pyright: ignore[reportArgumentType]
    for index, value in enumerate(macros.tolist()):
        alone = price(with_macros(value), product, "imc", 300)  # pyright: ignore[reportArgumentType]
        assert together.latency_ps[index] == alone.latency_ps
        assert together.energy_pj[index] == pytest.approx(float(alone.energy_pj), rel=1e-12)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("node_nm", 28, "tiers.imc.node_nm: expected one of 7, 10, 14, 22, 32, 45, got 28"),
        ("bits_per_cell", 2, "tiers.imc.bits_per_cell: expected at most 1 for sram, got 2"),
        ("volt", 0.4, "tiers.imc.volt: expected more than 0.46 V at this node, got 0.4"),
        ("glb_depth_2048bit", 1000, "tiers.imc.glb_depth_2048bit: expected one of 2048"),
        ("memory", "pcm", "tiers.imc.memory: expected 'rram' or 'sram', got 'pcm'"),
        ("rows", 0, "tiers.imc.rows: expected greater than 0, got 0"),
    ],
)
def test_a_design_that_cannot_be_priced_is_one_line(field: str, value: object, told: str) -> None:
    tree = chip_tree(load_chip("imc-sram"))
    tree["tiers"]["imc"][field] = value
    with pytest.raises(InputError, match=told) as error:
        chip_from_tree(tree, "mine.yaml")
    assert "\n" not in str(error.value)
