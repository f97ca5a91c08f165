"""What a measured plan may promise, and h3c --calibration, which looks for the best plan that keeps a promise."""

import json
import math
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noisy_chips import unplaced
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, ModuleOp

from h3c.compiler import promise_path
from h3c.compiler.promise import Half, Wanted, halves
from h3c.compiler.promise_checks import Checks
from h3c.compiler.promise_search import Search
from h3c.dialects.h3 import MatmulOp
from h3c.passes.place_lionheart import place_lionheart
from h3c.passes.place_parts import PlaceParts
from h3c.passes.placement.losses import Losses
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.quality.measure import AtAge, Quality, Settings
from h3c.runtime_sim.quality.promise import (
    broken_for_good,
    kept_so_far,
    least_promised_loss,
    likely_mse,
    net_loss,
    promised_loss,
    samples_needed,
)
from h3c.runtime_sim.quality.statistics import half_width, mean_and_deviation

Command = Callable[..., subprocess.CompletedProcess[str]]
MODELS = Path(__file__).parent.parent / "models"


def measured(metric: str, reference: float, **ages: AtAge) -> Quality:
    return Quality(metric, reference, reference, ages, 25, 100, 0, True, {}, ())


def test_a_promise_is_the_worst_of_net_loss_and_flips_with_their_intervals() -> None:
    day = AtAge(0.88, 0.02, 0.01, 0.05, flips=0.04, flips_ci95=0.01)
    year = AtAge(0.89, 0.02, 0.005, 0.05, flips=0.09, flips_ci95=0.01)
    assert promised_loss(measured("top1", 0.90, day=day)) == pytest.approx(max(0.02 + 0.01, 0.7 * 0.05))
    assert promised_loss(measured("top1", 0.90, day=day, year=year)) == pytest.approx(0.7 * 0.10)
    better = AtAge(0.95, 0.02, 0.01, 0.05, flips=0.0, flips_ci95=0.0)
    assert promised_loss(measured("top1", 0.90, day=better)) == 0.0
    rise = measured("perplexity", 4.0, day=AtAge(4.2, 0.1, 0.05, 0.3))
    assert net_loss(rise, "day") == pytest.approx(0.2)
    assert promised_loss(rise) == pytest.approx(0.25)


def test_what_more_realisations_will_hardly_go_below_is_the_lower_end() -> None:
    day = AtAge(0.88, 0.02, 0.01, 0.05, flips=0.04, flips_ci95=0.01)
    assert least_promised_loss(measured("top1", 0.90, day=day)) == pytest.approx(max(0.02 - 0.01, 0.7 * 0.03))
    assert least_promised_loss(measured("mse", 0.0, day=AtAge(0.1, 0.0, 0.2, 0.0))) == 0.0


def flipping(*shares: float) -> Quality:
    """What was found in realisations of which each flips such a share of the answers."""
    flips, spread = mean_and_deviation(shares)
    day = AtAge(0.9, 0.0, 0.0, 0.05, flips=flips, flips_ci95=half_width(spread, len(shares)))
    return replace(measured("top1", 0.90, day=day), repeats=len(shares), flipped={"day": shares})


def test_a_check_ends_with_a_no_where_the_rest_cannot_mend_it() -> None:
    # One realisation of 8 at x, the rest without flips: mean x / 8, deviation x / sqrt(8), t = 2.3646 for 7.
    least = 0.7 * (1 / 8 + 2.3646 / 8)
    assert broken_for_good(flipping(0.10), least * 0.0999, 8)
    assert not broken_for_good(flipping(0.10), least * 0.1001, 8)
    # From the third on the rest is taken to be as good as the best: three times 2 % and five more promise 1.4 %.
    assert broken_for_good(flipping(0.02, 0.02, 0.02), 0.0139, 8)
    assert not broken_for_good(flipping(0.02, 0.02, 0.02), 0.0141, 8)
    assert not broken_for_good(flipping(0.02, 0.02), 0.0139, 8)


def test_a_check_ends_with_a_yes_from_the_fifth_realisation_on() -> None:
    assert not kept_so_far(flipping(0.0, 0.0, 0.0, 0.0), 0.01)
    assert kept_so_far(flipping(0.0, 0.0, 0.0, 0.0, 0.0), 0.01)
    assert not kept_so_far(flipping(0.02, 0.02, 0.02, 0.02, 0.02), 0.0139)


def test_probabilities_flip_where_the_logits_behind_them_do() -> None:
    logits = np.random.default_rng(0).normal(size=(2000, 10)) * 5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    centred = logits - logits.mean(axis=1, keepdims=True)
    assert likely_mse("top1", 0.05, shares) == pytest.approx(likely_mse("top1", 0.05, centred), rel=1e-3)


def test_samples_that_verify_a_promise_are_those_that_tell_it_from_the_noise_of_flips() -> None:
    quality = measured("top1", 0.9, day=AtAge(0.9, 0.0, 0.0, 0.05, flips=0.02, flips_ci95=0.0))
    n = samples_needed(quality, 0.01)
    assert 2 * math.sqrt(0.02 / n) == pytest.approx(0.01)
    assert samples_needed(measured("cosine", 1.0, day=AtAge(0.99, 0.0, 0.0, 0.0)), 0.01) == 0


def test_the_likely_error_at_which_a_loss_is_reached() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 10)) * 3
    power = float(np.square(logits).mean())
    found = likely_mse("top1", 0.05, logits)
    noisy = logits + rng.normal(size=logits.shape) * math.sqrt(found * power)
    assert 0.7 * np.mean(noisy.argmax(1) != logits.argmax(1)) == pytest.approx(0.05, rel=0.35)
    noisy = logits + rng.normal(size=logits.shape) * math.sqrt(likely_mse("mse", 0.3, logits) * power)
    assert np.square(noisy - logits).mean() == pytest.approx(0.3, rel=0.03)
    scores = rng.normal(size=4000)  # one number a sample: on one side of 0 or the other
    noisy = scores + rng.normal(size=4000) * math.sqrt(likely_mse("auc", 0.05, scores) * np.square(scores).mean())
    assert 0.7 * np.mean((noisy > 0) != (scores > 0)) == pytest.approx(0.05, rel=0.5)
    wide = rng.normal(size=(50, 4000))
    noisy = wide + rng.normal(size=wide.shape) * math.sqrt(likely_mse("cosine", 0.01, wide))
    cosine = (noisy * wide).sum(1) / np.linalg.norm(noisy, axis=1) / np.linalg.norm(wide, axis=1)
    assert 1 - cosine.mean() == pytest.approx(0.01, rel=0.05)


def test_halves_are_every_other_execution_with_its_labels() -> None:
    inputs, labels = {"x": np.arange(11)[:, None]}, np.arange(11) * 10
    known, kept = halves(inputs, labels, 2)
    assert known.inputs["x"][:, 0].tolist() == [0, 1, 4, 5, 8, 9]
    assert kept.inputs["x"][:, 0].tolist() == [2, 3, 6, 7]
    assert kept.labels is not None
    assert kept.labels.tolist() == [20, 30, 60, 70]
    with pytest.raises(InputError, match="expected at least 16 samples, two executions, got 11"):
        halves(inputs, labels, 8)
    with pytest.raises(InputError, match="expected inputs to measure with, got none"):
        halves({}, None, 1)
    with pytest.raises(InputError, match="expected as many samples of every input, and labels"):
        halves(inputs, labels[:5], 2)


WORDS = ["--dim", "batch=1", "--target", "lionheart"]
DATA = f"{MODELS / 'digits.npz'}:"


def asked(
    command: Command, folder: Path, *words: str, labels: bool = True
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    data = ["--calibration", f"image={DATA}x_calib", *(["--labels", f"{DATA}y_calib"] if labels else [])]
    done = command("h3c", MODELS / "digits_mlp.onnx", *WORDS, *data, *words, "--summary", "s.json", "-o", "p.mlir")
    assert done.returncode == 0, done.stderr
    return done, json.loads((folder / "s.json").read_text())


def test_a_plan_keeps_a_promise_which_stands_in_the_summary(command: Command, tmp_path: Path) -> None:
    words = ["--max-loss", "4pp", "--age", "1s,1y", "--compensation", "offset", "--repeats", "6"]
    done, summary = asked(command, tmp_path, *words)
    quality = summary["quality"]
    assert list(quality["ages"]) == ["1s", "1y"]
    assert quality["verdict"] == "kept"
    assert (quality["metric"], quality["max_loss"]) == ("top1", 0.04)
    worst = min(at["mean"] - at["ci95"] for at in quality["ages"].values())
    assert max(quality["reference"] - worst, 0) <= quality["promise"] + 1e-9 <= 0.04
    assert quality["passes"] > 0
    assert summary["tiers"]["pcm"]["mac_share"] > 0.3
    assert f"promise: at most {100 * quality['promise']:.3g} pp of 4 pp allowed is lost: kept" in done.stdout
    # The plan carries its compensation and trim inputs.
    labels = ["--labels", f"{DATA}y_test", "--age", "1y", "--repeats", "4"]
    done = command("h3c-sim", "p.mlir", "--inputs", f"image={DATA}x_test", *labels, "--summary", "t.json", "-q")
    assert done.returncode == 0, done.stderr
    test = json.loads((tmp_path / "t.json").read_text())["quality"]
    year = test["ages"]["1y"]
    assert quality["promise"] >= test["reference"] - year["mean"] - 1.645 / 1.96 * year["ci95_data"]


@pytest.mark.parametrize(
    ("strategy", "chip", "words"),
    [
        ("lionheart", "lionheart", ["--compensation", "none", "--max-loss", "0.02pp,80pp"]),
        ("row-remap", "h3pimap", ["--metric", "mse", "--max-loss", "1e-3,1e6"]),
    ],
)
def test_strategies_that_look_at_measured_losses(
    strategy: str, chip: str, words: list[str], command: Command, tmp_path: Path
) -> None:
    """What they may lose decides how much is on tiers that err."""
    shares: list[float] = []
    for allowed in words[-1].split(","):
        rest = ["--target", chip, "--strategy", strategy, "--age", "1y", "--repeats", "3", "-q"]
        _, summary = asked(command, tmp_path, *words[:-1], allowed, *rest, labels="mse" not in words)
        assert summary["strategy"] == strategy
        shares.append(sum(summary["tiers"].get(name, {}).get("mac_share", 0.0) for name in ("pcm", "photonic")))
    assert shares[0] < shares[1] - 0.3


def test_exact_is_never_worse_than_lionhearts_search_under_the_same_checks(models: Path) -> None:
    digits = np.load(MODELS / "digits.npz")
    half = Half({"image": digits["x_calib"][:64]}, digits["y_calib"][:64])
    other = Half({"image": digits["x_calib"][64:128]}, digits["y_calib"][64:128])
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    placing = PlaceParts(objective="energy")
    search = Search(module, placing, half, other, Wanted(("1y",), 0.02, None, "offset", 3, redundancy=1))
    found = search.run()
    greedy = module.clone()
    search.equip(greedy)
    outcome, _ = place_lionheart(replace(placing, strategy="lionheart"), greedy, search.promise, 0.02)
    kept = found.module.attributes["h3.solution"]
    assert isinstance(kept, DictionaryAttr)
    value = kept.data["predicted_energy_pj"]
    assert isinstance(value, FloatAttr)
    assert value.value.data <= outcome.value * (1 + 1e-9)
    assert found.search_passes < found.passes


def test_what_lionhearts_search_ends_with_is_taken_where_budgets_mislead(models: Path) -> None:
    """Predicted losses that are far off: only the second product errs, and it is the one that seems not to."""
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    tiers = chip_from_ir(module).tiers
    products = [op.outputs for op in module.walk() if isinstance(op, MatmulOp)]
    errs = np.array([[float(tier.noise is not None)] for tier in tiers.values()])
    losses = Losses({i: errs * np.full(n, 1e-3 if i == 1 else 1e6) for i, n in enumerate(products)})

    def on_digital(placed: ModuleOp) -> list[bool]:
        ops = [op for op in placed.walk() if isinstance(op, MatmulOp)]
        return [all(part.tier_name == "digital" for part in op.parts or ()) for op in ops]

    def promise(placed: ModuleOp) -> float:
        return 0.0 if on_digital(placed)[1] else 1.0

    looking = promise_path.Looking(module, PlaceParts(), lambda: losses, 1e-9, 0.5, 1, lambda placed: None, promise)
    assert on_digital(next(promise_path.Path(looking).run()).module) == [False, True, False]


def test_the_plan_that_is_told_is_measured_at_its_oldest_age_first(models: Path) -> None:
    """Where that is broken nothing else is measured; else it is as if all ages had been measured together."""
    digits = np.load(MODELS / "digits.npz")
    half = Half({"image": digits["x_calib"][:40]}, digits["y_calib"][:40])
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    PlaceParts(strategy="all-analog").place(module)
    settings = Settings(("1y", "1s"), 4, compensation="global")
    whole = Checks(half, "top1").final(module, settings, None)
    kept = Checks(half, "top1").final(module, settings, 0.9)
    assert (kept.ages, kept.without_noise) == (whole.ages, whole.without_noise)
    broken = Checks(half, "top1").final(module, settings, 0.0)
    assert list(broken.ages) == ["1y"]
    assert broken.runs < whole.runs / 2


def test_all_digital_is_left_where_losses_that_are_predicted_not_to_be_are(models: Path) -> None:
    """Rare errors that no input of the sensitivities met: every plan with an analog part fails."""
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    products = [op.outputs for op in module.walk() if isinstance(op, MatmulOp)]
    losses = Losses({i: np.zeros((len(chip_from_ir(module).tiers), n)) for i, n in enumerate(products)})

    def promise(placed: ModuleOp) -> float:
        parts = [part for op in placed.walk() if isinstance(op, MatmulOp) for part in op.parts or ()]
        return float(any(part.tier_name != "digital" for part in parts))

    looking = promise_path.Looking(module, PlaceParts(), lambda: losses, 1e-9, 0.5, 1, lambda placed: None, promise)
    assert [promise(found.module) for found in promise_path.Path(looking).run()] == [0.0]


def test_losses_are_measured_only_if_the_best_plan_of_all_fails(models: Path) -> None:
    """Where it passes it comes first. Where it fails in the end budgets take over, with the copies that they need: half
    of what one copy loses takes two."""
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    placing = PlaceParts(objective="energy")
    products = [op.outputs for op in module.walk() if isinstance(op, MatmulOp)]
    tiers = chip_from_ir(module).tiers
    errs = np.array([[float(tier.noise is not None)] for tier in tiers.values()])
    asked: list[str] = []

    def losses() -> Losses:
        asked.append("losses")
        return Losses({i: errs * np.full(n, 1e-3) for i, n in enumerate(products)})

    most = 1e-3 * sum(products)
    looking = promise_path.Looking(
        module, placing, losses, 4 * most / 2, 0.5, 2, lambda placed: None, lambda placed: 0.0
    )
    plans = promise_path.Path(looking).run()
    first = next(plans)
    assert (first.copies, asked) == (1, [])
    assert first.placed.value == placing.place(module.clone()).value
    second = next(plans)
    assert (second.copies, asked) == (2, ["losses"])
    assert second.loss == pytest.approx(most / 2)
    assert second.placed.value > first.placed.value


def test_a_limit_that_leaves_no_plan_for_tight_budgets_leaves_those_for_looser_ones(
    command: Command, tmp_path: Path
) -> None:
    """All digital takes longer than the limit, all analog loses more than is allowed."""
    words = ["--max-loss", "1pp", "--age", "1y", "--max-latency", "4us", "-q"]
    _, summary = asked(command, tmp_path, *words)
    assert summary["quality"]["verdict"] != "unreachable"
    assert 0 < summary["tiers"]["pcm"]["mac_share"] < 0.99
    assert summary["predicted"]["latency_ns"] <= 4000


def test_what_cannot_be_kept_or_verified_is_one_line(command: Command, tmp_path: Path) -> None:
    words = ["--age", "1y", "--repeats", "3", "--strategy", "homogeneous:pcm", "-q"]
    done, summary = asked(command, tmp_path, *words, "--max-loss", "0.01pp")
    assert summary["quality"]["verdict"] == "unreachable"
    assert summary["quality"]["promise"] > 0.0001
    assert done.stderr.startswith(
        "h3c: top1: a loss of at most 0.01 pp is unreachable here: the best plan found promises "
    )
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "p.mlir").exists()
    done, summary = asked(command, tmp_path, *words)
    assert summary["quality"]["verdict"] is None
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--max-loss", "1pp"], "h3c: --max-loss is about quality and needs --calibration"),
        (["--age", "1d"], "h3c: --age is about quality and needs --calibration"),
        (["--calibration", f"image={DATA}x_calib", "--max-loss", "1pp"], "h3c: --max-loss: expected a plain number"),
        (["--calibration", f"image={DATA}x_calib", "--max-loss", "-1"], "h3c: argument --max-loss: expected a number"),
        (["--calibration", f"image={DATA}x_calib", "--pareto", "3"], "h3c: --calibration goes with one plan"),
        (
            ["--calibration", f"image={DATA}x_calib", "--age", "1d,2d,24h"],
            "h3c: --age: expected each age once, got '1d'",
        ),
        (["--calibration", f"image={DATA}x_calib", "--age", ""], "h3c: age: expected a number and one of s, min, h"),
        (["--calibration", f"image={DATA}x_calib", "--metric", "top1"], "h3c: --metric top1: expected --labels, got"),
        (["--calibration", f"image={DATA}x_calib", "--redundancy", "2"], "h3c: --redundancy goes with --max-loss and"),
        (["--strategy", "lionheart"], "h3c: strategy lionheart: expected --calibration and --max-loss, got neither"),
        (["--calibration", "image=x.npz"], "h3c: --calibration image=x.npz: expected X.npz or NAME=X.npz:KEY"),
    ],
)
def test_a_mistake_is_one_line(command: Command, words: list[str], line: str) -> None:
    done = command("h3c", MODELS / "digits_mlp.onnx", *WORDS, *words)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1


def test_without_data_quality_is_unknown_where_a_tier_errs(command: Command, tmp_path: Path) -> None:
    done = command("h3c", MODELS / "digits_mlp.onnx", *WORDS, "--summary", "s.json")
    assert "quality unknown: pcm err" in done.stdout
    assert json.loads((tmp_path / "s.json").read_text())["quality"] is None
    done = command("h3c", MODELS / "digits_mlp.onnx", *WORDS, "--strategy", "homogeneous:digital")
    assert "quality" not in done.stdout


def test_plans_of_segments_are_measured_as_they_are(command: Command, tmp_path: Path) -> None:
    """On a pipelined chip data change nothing of the plan; no tier of it errs, so that nothing has to be searched."""
    data = ["--calibration", f"image={DATA}x_calib", "--labels", f"{DATA}y_calib", "--age", "1y", "--repeats", "2"]
    words = [MODELS / "digits_mlp.onnx", "--dim", "batch=1", "--target", "dynaplasia", "-q", "--summary", "s.json"]
    for strategy in (["--strategy", "cmswitch"], ["--max-loss", "90pp"]):
        found: list[dict[str, Any]] = []
        for more in (strategy[: 2 * (strategy[0] == "--strategy")], [*strategy, *data]):
            done = command("h3c", *words, *more)
            assert done.returncode == 0, done.stderr
            found.append(json.loads((tmp_path / "s.json").read_text()))
        assert found[0]["latency_ns"] == found[1]["latency_ns"]
        assert found[0]["solver"]["kept"] == found[1]["solver"]["kept"]
        assert found[1]["quality"]["without_noise"] == found[1]["quality"]["ages"]["1y"]["mean"]


def test_answers_that_tie_do_not_say_at_which_error_a_loss_is_reached() -> None:
    logits = np.random.default_rng(0).normal(size=(1000, 10)) * 3
    tied = logits.copy()
    tied[:100, :2] = tied[:100].max() + 1
    assert likely_mse("top1", 0.02, tied) == pytest.approx(likely_mse("top1", 0.02, logits[100:]), rel=0.2)
