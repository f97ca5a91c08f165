"""The whole space in blocks against one chip at a time: prices, the optimum, ties, what is near, the front."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from codesign_small import NETWORKS, form, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from h3c.compiler.codesigning.closed_form import ClosedForm, weights_of
from h3c.compiler.codesigning.evaluators import Judged, Task
from h3c.compiler.codesigning.exhaustive import all_feasible, exhaustive
from h3c.compiler.codesigning.networks import read_networks
from h3c.compiler.codesigning.objectives import OVER, TERMS, Objective
from h3c.compiler.codesigning.pareto import front
from h3c.compiler.codesigning.ranking import KEPT, SHARES, best_of
from h3c.compiler.codesigning.space_files import load_space
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.imc.constants import constants
from h3c.runtime_sim.imc.layers import Layer, Layers
from h3c.runtime_sim.imc.model import Designs, area_mm2, price_network

FOUR = {
    "resnet18": "resnet18.legacy17.onnx",
    "vgg16": "vgg16.legacy11.onnx",
    "alexnet": "alexnet.legacy17.onnx",
    "mobilenet_v3": "mobilenet_v3_large.legacy17.onnx",
}


def objective(kind: str = "edap", over: str = "max") -> Objective:
    return Objective(kind, over, (1.0, 2.0, 3.0) if over == "weighted" else ())


def everything(one: ClosedForm, wanted: Objective) -> Judged:
    """Every chip, priced as a list."""
    return Task(one, wanted).judged([one.space.design(number) for number in range(one.space.size)])


def test_weights_are_those_of_one_group_of_each_layer() -> None:
    assert weights_of(NETWORKS["conv"]) == 3 * 64 * 49 + 64 * 128 * 9 + 128 * 1000
    assert weights_of(NETWORKS["depthwise"]) == 2 * (9 + 96 * 192)


@pytest.mark.parametrize("name", ["imc-rram", "imc-sram-large", "imc-sram-nodes"])
def test_chips_of_a_space_cost_what_the_model_says(name: str) -> None:
    loaded = load_space(name)
    one = ClosedForm(loaded, NETWORKS)
    numbers = np.random.default_rng(5).integers(loaded.size, size=40).tolist()
    memory = "rram" if name == "imc-rram" else "sram"
    scores = one.evaluate([loaded.design(number) for number in numbers])
    for index, number in enumerate(numbers):
        values = {"bits_per_cell": 1, "node_nm": 32, **loaded.values(loaded.design(number))}
        cycle_ns = float(values.pop("cycle_ns"))
        if values["node_nm"] == 45 and float(values["volt"]) <= 0.58:
            assert np.isinf([scores.area_mm2[index], *scores.energy_pj[:, index], *scores.latency_ns[:, index]]).all()
            continue
        chip = Designs.of(**values, cycle_s=cycle_ns * 1e-9)  # pyright: ignore[reportArgumentType]
        assert scores.area_mm2[index] == pytest.approx(float(area_mm2(chip, constants(memory))), rel=1e-12)
        for place, layers in enumerate(NETWORKS.values()):
            alone = price_network(layers, chip, constants(memory))
            assert scores.energy_pj[place, index] == pytest.approx(float(alone.energy_pj), rel=1e-12)
            assert scores.latency_ns[place, index] == pytest.approx(float(alone.cycles) * cycle_ns, rel=1e-12)


@pytest.mark.parametrize("most", [1, 7, 100, 1 << 20])
def test_blocks_hold_each_chip_once_whatever_their_size(most: int) -> None:
    one = form()
    expected = one.evaluate([one.space.design(number) for number in range(one.space.size)])
    seen: list[int] = []
    blocks = list(one.blocks(most))
    assert len(blocks) == one.block_count(most)
    for block in blocks:
        assert block.number.size <= max(most, 1)
        seen += block.number.reshape(-1).tolist()
        area = np.broadcast_to(one.chip_figures(block.designs)["area_mm2"], block.number.shape)
        np.testing.assert_allclose(area, expected.area_mm2[block.number], rtol=1e-12)
        for place, (energy, latency) in enumerate(one.prices(block.designs)):
            shape = block.number.shape
            np.testing.assert_allclose(np.broadcast_to(energy, shape), expected.energy_pj[place][block.number], 1e-12)
            np.testing.assert_allclose(np.broadcast_to(latency, shape), expected.latency_ns[place][block.number], 1e-12)
        if most == 1 and len(seen) > 200:
            return
    assert sorted(seen) == list(range(one.space.size))


@pytest.mark.parametrize(("kind", "over"), [*product(TERMS, OVER)])
def test_the_optimum_is_that_of_all_chips_one_at_a_time(kind: str, over: str) -> None:
    one, wanted = form(), objective(kind, over)
    found, judged = exhaustive(one, wanted), everything(one, wanted)
    feasible = judged.at(judged.feasible)
    assert found.proven
    assert (found.evaluated, found.feasible) == (one.space.size, len(feasible))
    assert found.top.score[0] == pytest.approx(feasible.score.min(), rel=1e-12)
    assert found.top.number[0] == feasible.number[best_of(feasible)]
    for share in SHARES:
        assert found.within[share] == np.count_nonzero(feasible.score <= feasible.score.min() * (1 + share) + 1e-30)
    np.testing.assert_allclose(np.sort(found.top.score), np.sort(feasible.score)[:KEPT], rtol=1e-9)


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_so_it_is_for_any_networks_and_constraints(seed: int) -> None:
    rng = np.random.default_rng(seed)
    networks = {
        str(name): Layers.of([Layer(*map(int, rng.integers(1, (200, 300, 4, 4, 3, 40, 40)))) for _ in range(3)])
        for name in range(2)
    }
    limits = {"area": f"area_mm2 <= {rng.uniform(5, 60):.3f}", "sides": "rows >= cols * 2"}
    one = ClosedForm(form(constraints=limits).space, networks)
    wanted = Objective("edap", str(rng.choice(["max", "mean", "product"])))
    judged = everything(one, wanted)
    feasible = judged.at(judged.feasible)
    if not len(feasible):
        with pytest.raises(InputError, match="expected a chip that keeps all constraints"):
            exhaustive(one, wanted)
        return
    found = exhaustive(one, wanted)
    assert found.feasible == len(feasible)
    assert found.top.number[0] == feasible.number[best_of(feasible)]


@pytest.mark.parametrize("names", [["volt"], ["rows"], ["rows", "glb_depth_2048bit"], ["cycle_ns", "cols", "volt"]])
def test_a_space_may_vary_any_of_the_variables(names: list[str]) -> None:
    variables = {path: values for path, values in tree()["variables"].items() if path.rpartition(".")[2] in names}
    one = form(variables=variables, figures={}, follow={}, stages={}, constraints={})
    assert one.space.size == {1: 3, 2: 9, 3: 18}[len(names)]
    judged = everything(one, objective())
    found = exhaustive(one, objective())
    assert found.feasible == one.space.size
    assert found.top.number[0] == judged.number[best_of(judged)]


def test_of_equal_scores_the_smaller_area_then_energy_then_latency_then_values_decide() -> None:
    judged = Judged(
        number=np.array([5, 4, 3, 2, 9]),
        score=np.array([1.0, 1.0, 1.0 + 1e-12, 1.0, 1.0 + 1e-6]),
        violation=np.zeros(5),
        area_mm2=np.array([2.0, 2.0, 2.0, 3.0, 1.0]),
        energy_mj=np.array([1.0, 1.0 + 1e-12, 1.5, 0.1, 0.1]),
        latency_ms=np.ones(5),
    )
    assert judged.number[best_of(judged)] == 4
    assert judged.number[best_of(replace(judged, violation=np.array([1.0, 1, 1, 1, 0.5])))] == 9
    assert judged.number[best_of(replace(judged, score=np.full(5, np.inf)))] == 9


def test_latency_alone_has_many_optima_and_the_smallest_chip_is_told() -> None:
    one, wanted = form(), objective("latency")
    judged = everything(one, wanted)
    feasible = judged.at(judged.feasible)
    equal = feasible.at(feasible.score <= feasible.score.min() * (1 + 1e-9))
    assert len(equal) > 10
    assert exhaustive(one, wanted).top.area_mm2[0] == pytest.approx(equal.area_mm2.min(), rel=1e-12)


def test_a_chip_that_cannot_be_built_is_infinitely_bad_and_never_feasible() -> None:
    """At 45 nm the drivers need more than 0.58 V."""
    one = form(constraints={})
    judged = everything(one, objective())
    unbuilt = np.array(
        [
            (values := one.space.values(one.space.design(number)))["node_nm"] == 45 and values["volt"] == 0.55
            for number in judged.number.tolist()
        ]
    )
    assert unbuilt.sum() == one.space.size // 6
    assert np.isinf(judged.score[unbuilt]).all()
    assert (judged.feasible == ~unbuilt).all()
    assert exhaustive(one, objective()).feasible == one.space.size * 5 // 6


def test_a_space_without_a_feasible_chip_says_what_each_constraint_leaves() -> None:
    one = form(constraints={"area": "area_mm2 <= 1", "rows": "rows == 64"})
    with pytest.raises(InputError, match=r"got 0 of 1944 \(chips that keep each: area: 0, rows: 540\)"):
        exhaustive(one, objective())


def beaten(points: NDArray[np.float64]) -> list[bool]:
    """Which points another one dominates, by comparing all pairs."""
    return [any((other <= point).all() and (other < point).any() for other in points) for point in points]


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(2, 8), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_the_front_is_what_no_point_beats(seed: int, count: int, values: int, parts: int) -> None:
    """Few values a coordinate, so that points share coordinates and whole points occur twice."""
    points = np.random.default_rng(seed).integers(1, values, size=(count, 3)).astype(np.float64)
    ones, numbers = np.ones(count), np.arange(count)
    judged = Judged(numbers, ones, ones * 0, points[:, 2], points[:, 0], points[:, 1])
    chips, shared = front(judged.at(part) for part in np.array_split(numbers, parts))
    expected = {tuple(point) for point in points[~np.array(beaten(points))].tolist()}
    found = list(zip(chips.energy_mj.tolist(), chips.latency_ms.tolist(), chips.area_mm2.tolist(), strict=True))
    assert sorted(found) == sorted(expected)
    assert shared.tolist() == [(points == point).all(axis=1).sum() for point in found]


@pytest.mark.parametrize("over", ["max", "mean", "product"])
def test_every_optimum_of_a_product_lies_on_the_exact_front(over: str) -> None:
    one = form()
    chips, shared = front(all_feasible(one, objective("edap", over)))
    assert shared.sum() <= one.space.size
    for kind in ("energy", "latency", "area", "edp", "edap"):
        wanted = objective(kind, over)
        scores = wanted.score(chips.energy_mj, chips.latency_ms, chips.area_mm2, None)
        assert scores.min() == pytest.approx(exhaustive(one, wanted).top.score[0], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "over", "chip"),
    [
        ("imc-rram", "max", (0.5, 8, 1, 512, 32, 32, 64, 8, 2048)),
        ("imc-rram", "mean", (0.5, 8, 1, 512, 32, 32, 64, 8, 2048)),
        ("imc-rram", "product", (0.5, 8, 1, 512, 32, 32, 64, 8, 2048)),
        ("imc-sram", "max", (0.55, 1, 256, 256, 6, 8, 16, 4096)),
        ("imc-sram", "mean", (0.6, 1, 256, 128, 6, 2, 16, 4096)),
        ("imc-sram", "product", (0.55, 1, 256, 256, 4, 32, 16, 4096)),
        ("imc-sram-large", "max", (0.6, 1, 512, 128, 1, 32, 32, 4096)),
        ("imc-sram-large", "mean", (0.6, 1, 512, 128, 6, 2, 32, 4096)),
        ("imc-sram-large", "product", (0.55, 1, 512, 256, 6, 16, 16, 4096)),
    ],
)
def test_the_best_chips_of_the_published_spaces(
    further_models: Path, name: str, over: str, chip: tuple[float, ...]
) -> None:
    """As an independent prototype found them, which had constants fitted on other designs of the same archive."""
    networks = read_networks({key: further_models / "topology" / file for key, file in FOUR.items()}, {})
    one = ClosedForm(load_space(name), networks)
    found = exhaustive(one, Objective("edap", over))
    assert tuple(one.space.values(one.space.design(int(found.top.number[0]))).values()) == chip
    if name == "imc-rram":
        assert found.feasible == 35_280
