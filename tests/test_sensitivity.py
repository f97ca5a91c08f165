"""Losses by output: replays of a plan from one product on, and what is measured with them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper as onh
import pytest
from noisy_chips import LIONHEART, QUIET_PCM, chip_file, compiled, unplaced
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from h3c.passes.quality.sensitivity import Effort, MeasuredLosses, Progress, measure_losses
from h3c.runtime_sim.quality.replay import Replay

Array = NDArray[Any]

RELATIVE = 0.05
PHOTONIC = {"model": "photonic", "input_sigma": 0.0, "weight_sigma": RELATIVE}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def digits() -> dict[str, Array]:
    with np.load(Path(__file__).parent.parent / "models" / "digits.npz") as file:
        return dict(file)


def two_layers(path: Path, first: Array, second: Array, *, quantised: bool = False) -> Path:
    """y = (x @ first) @ second; `quantised`: its softmax in 256 steps, as int8."""
    last = "z" if quantised else "y"
    nodes = [oh.make_node("MatMul", ["x", "w"], ["h"], name="a"), oh.make_node("MatMul", ["h", "v"], [last], name="b")]
    steps = [onh.from_array(np.array(1 / 256, np.float32), "s"), onh.from_array(np.array(-128, np.int8), "p")]
    if quantised:
        nodes += [
            oh.make_node("Softmax", ["z"], ["q"], name="c"),
            oh.make_node("QuantizeLinear", ["q", "s", "p"], ["y"], name="d"),
        ]
    infos = [
        oh.make_tensor_value_info("x", 1, [1, len(first)]),
        oh.make_tensor_value_info("y", 1, [1, second.shape[1]]),
    ]
    weights = [onh.from_array(first, "w"), onh.from_array(second, "v"), *(steps if quantised else [])]
    graph = oh.make_graph(nodes, "two", infos[:1], infos[1:], weights)
    onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8), path)
    return path


def of_two_layers(folder: Path, rng: np.random.Generator) -> tuple[ModuleOp, Array, Array, Array]:
    first, second = (rng.normal(size=shape).astype(np.float32) for shape in ((16, 6), (6, 5)))
    chip = chip_file(folder, "h3pimap", photonic=PHOTONIC)
    x = rng.normal(size=(32, 16)).astype(np.float32)
    return unplaced(two_layers(folder / "two.onnx", first, second), chip, None), x, first, second


def test_losses_of_a_linear_model_are_those_of_error_propagation(tmp_path: Path) -> None:
    """Output o of the first layer errs with the variance s^2 sum (x w)^2, which row o of the second layer passes on."""
    module, x, first, second = of_two_layers(tmp_path, np.random.default_rng(0))
    found = measure_losses(module, {"x": x}, ["1s"], effort=Effort(32, 1500, groups=6)).losses.by_output
    power = np.square(x @ first @ second).mean()
    variances = RELATIVE**2 * (np.square(x)[:, :, None] * np.square(first)).sum(axis=1).mean(axis=0)
    expected = variances * np.square(second).sum(axis=1) / second.shape[1] / power
    photonic = 2
    assert found[0][photonic] == pytest.approx(expected, rel=0.2)
    hidden = x @ first
    last = RELATIVE**2 * (np.square(hidden)[:, :, None] * np.square(second)).sum(axis=1).mean(axis=0)
    assert found[1][photonic] == pytest.approx(last / second.shape[1] / power, rel=0.1)


def test_quantised_probabilities_count_as_the_logits_behind_them(tmp_path: Path) -> None:
    """All of these are 0 or 1 in steps of a 256th, whatever the errors; the logits behind them do move."""
    rng = np.random.default_rng(2)
    first, second = (20 * rng.normal(size=shape).astype(np.float32) for shape in ((16, 6), (6, 5)))
    chip, x = chip_file(tmp_path, "h3pimap", photonic=PHOTONIC), rng.normal(size=(32, 16)).astype(np.float32)
    found: list[dict[int, Array]] = []
    for quantised in (False, True):
        model = two_layers(tmp_path / f"{quantised}.onnx", first, second, quantised=quantised)
        found.append(measure_losses(unplaced(model, chip, None), {"x": x}, ["1s"]).losses.by_output)
    plain, behind = found
    assert all(plain[position][2].sum() > 0 for position in plain)
    for position, table in plain.items():
        np.testing.assert_allclose(behind[position], table, rtol=1e-4)


def test_groups_share_their_loss_by_the_size_of_errors(tmp_path: Path) -> None:
    module, x, _, _ = of_two_layers(tmp_path, np.random.default_rng(0))
    one, all_ = (
        measure_losses(module, {"x": x}, ["1s"], effort=Effort(32, 1500, groups=n)).losses.by_output for n in (1, 5)
    )
    assert one[1].shape == all_[1].shape
    # Of the last layer an output's loss is its own error.
    assert one[1][2] == pytest.approx(all_[1][2], rel=0.2)


def test_the_digital_unit_loses_nothing_and_a_precise_tier_little(tmp_path: Path) -> None:
    module, x, _, _ = of_two_layers(tmp_path, np.random.default_rng(1))
    sram, reram, photonic, digital = measure_losses(module, {"x": x}, ["1s"]).losses.by_output[0].sum(axis=1)
    assert digital == 0
    assert 0 < sram < 1e-3
    assert reram == sram  # without noise here, and of the same precision
    assert photonic > 10 * sram


def test_more_inputs_can_be_met_than_set_ranges(models: Path, digits: dict[str, Array]) -> None:
    """On tiers without noise, too, where one pass sets ranges and says what precision costs."""
    module = unplaced(models / "digits_mlp.onnx", "h3pimap")

    def sram(count: int) -> float:
        found = measure_losses(module, {"image": digits["x_calib"]}, ["1s"], effort=Effort(count, 1, 1))
        assert found.samples == count
        return float(found.losses.by_output[0][0].sum())

    assert 0 < sram(48) != sram(32) > 0


def test_what_a_tier_cannot_take_is_infinite(models: Path, digits: dict[str, Array]) -> None:
    """Products of two values made at run time are not for crossbars; photonic cores err in them, too."""
    module = unplaced(models / "digits_transformer.onnx", "h3pimap")
    found = measure_losses(module, {"image": digits["x_calib"]}, ["1s"], effort=Effort(2, 2, 2)).losses.by_output
    dynamic = [table for table in found.values() if np.isinf(table[0]).all()]
    assert len(dynamic) == 2  # scores, and their products with values
    assert all(np.isfinite(table[2]).all() and table[2].sum() > 0 for table in dynamic)
    assert len(found) == 10


def test_a_chip_without_noise_has_no_losses(tmp_path: Path, models: Path, digits: dict[str, Array]) -> None:
    module = unplaced(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart"))
    found = measure_losses(module, {"image": digits["x_calib"]}, ["1s"])
    assert found.losses.by_output == {}
    assert found.passes == 0


def test_an_error_free_device_loses_what_precision_costs(
    tmp_path: Path, models: Path, digits: dict[str, Array]
) -> None:
    quiet, noisy = (
        _mlp_losses(unplaced(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart", pcm=pcm)), digits, "1d")
        for pcm in (QUIET_PCM, LIONHEART)
    )
    for position, table in noisy.losses.by_output.items():
        assert 0 < quiet.losses.by_output[position][0].sum() < 0.1 * table[0].sum()


def test_the_oldest_age_is_measured(tmp_path: Path, models: Path, digits: dict[str, Array]) -> None:
    module = unplaced(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart", pcm=LIONHEART))
    second, year = (_mlp_losses(module, digits, *ages).losses.by_output for ages in (["1s"], ["1s", "1y"]))
    assert all(year[position][0].sum() > 1.2 * second[position][0].sum() for position in year)


def test_the_same_question_is_answered_from_the_cache(
    tmp_path: Path, models: Path, digits: dict[str, Array], cache: Path
) -> None:
    module = unplaced(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart", pcm=LIONHEART))
    first, again = (_mlp_losses(module, digits, "1d") for _ in range(2))
    assert (_computes(module, digits, "1d"), again.passes) == (False, first.passes)
    for position, table in first.losses.by_output.items():
        np.testing.assert_array_equal(table, again.losses.by_output[position])
    assert _computes(module, digits, "1d", seed=1)
    assert _computes(module, digits, "2d")
    (file, *_) = (cache / "h3c").iterdir()
    for kept in (cache / "h3c").iterdir():
        kept.write_bytes(file.read_bytes()[:100])
    assert _computes(module, digits, "1d")


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, models: Path, digits: dict[str, Array], cache: Path
) -> None:
    cache.write_text("a file, where a folder should be")
    module = unplaced(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart", pcm=LIONHEART))
    assert all(_computes(module, digits, "1d") for _ in range(2))


def _mlp_losses(
    module: ModuleOp, digits: dict[str, Array], *ages: str, seed: int = 0, progress: Progress | None = None
) -> MeasuredLosses:
    data = {"image": digits["x_calib"]}
    return measure_losses(module, data, ages, effort=Effort(4, 4, 4), seed=seed, progress=progress)


def _computes(module: ModuleOp, digits: dict[str, Array], age: str, seed: int = 0) -> bool:
    """Whether anything is computed for these losses."""
    done: list[int] = []
    _mlp_losses(module, digits, age, seed=seed, progress=lambda count, _: done.append(count))
    return bool(done)


@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn", "digits_transformer"])
def test_a_replay_of_what_was_there_changes_nothing(
    tmp_path: Path, models: Path, digits: dict[str, Array], model: str
) -> None:
    plan = compiled(models / f"{model}.onnx", chip_file(tmp_path, "h3pimap"), "digital")
    replay = Replay(plan, {"image": digits["x_test"][:6]})
    (name,) = replay.clean
    for op in replay.mvms:
        results = replay.value(op.result)
        assert results is not None
        got = replay.outputs_with(op, np.concatenate([results[:4]] * 3), 4)[name]
        np.testing.assert_allclose(got, np.concatenate([replay.clean[name][:4]] * 3), rtol=1e-4, atol=1e-4)


def test_a_replay_computes_what_depends_on_the_product_alone(
    tmp_path: Path, models: Path, digits: dict[str, Array]
) -> None:
    plan = compiled(models / "digits_mlp.onnx", chip_file(tmp_path, "h3pimap"), "digital")
    replay = Replay(plan, {"image": digits["x_test"][:2]})
    remaining = [sum(step in replay.mvms for step in replay.after(op)) for op in replay.mvms]
    assert remaining == list(range(len(replay.mvms)))[::-1]
