"""Plans under noise: what is drawn, what is repeatable, what ages do to a trained model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noisy_chips import LIONHEART, QUIET_PCM, chip_file, compiled
from numpy.typing import NDArray

from h3c.runtime_sim import numbers
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.kinds.noise import Compensation
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.quality.measure import Quality, Settings, digital_outputs, measure
from h3c.runtime_sim.quality.realisations import NoisyPlan
from h3c.runtime_sim.quality.trim import set_trim

Array = NDArray[Any]
DAY_S, YEAR_S = 86400.0, 365 * 86400.0

H3PIMAP_RERAM = {
    "model": "reram",
    "device": "plain",
    "g_min_us": 0.0,
    "g_max_us": 100.0,
    "spread": 0.0,
    "read_voltage_v": 0.2,
    "read_bandwidth_hz": 1.0e8,
    "read_temperature_k": 300.0,
}


@pytest.fixture(scope="module")
def digits() -> dict[str, Array]:
    with np.load(Path(__file__).parent.parent / "models" / "digits.npz") as file:
        return dict(file)


@pytest.fixture
def mlp(models: Path, tmp_path: Path) -> Any:
    """The perceptron on the PCM tiles of `lionheart`, with its noise."""
    return compiled(models / "digits_mlp.onnx", chip_file(tmp_path, "lionheart", pcm=LIONHEART), "pcm", batch=4)


def test_a_trained_model_gets_worse_with_age(mlp: Any, digits: dict[str, Array]) -> None:
    """Top-1 falls from second to day to year by some tenths, with compensation; by far more without it."""
    data = {"image": digits["x_test"]}
    ages = ("1s", "1d", "1y")
    found = measure(mlp, data, digits["y_test"], Settings(ages, repeats=10))
    assert found.metric == "top1"
    assert found.reference == pytest.approx(584 / 600)  # models/README.md
    assert found.without_noise == pytest.approx(found.reference, abs=0.005)
    means = [found.ages[age].mean for age in ages]
    assert found.reference + 0.002 > means[0] > means[1] > means[2] > found.reference - 0.03
    for at in found.ages.values():
        # 2.262 = t of 9 degrees of freedom
        assert at.ci95 == pytest.approx(2.26216 * at.std / np.sqrt(10), rel=1e-5)
        # Below that of 600 throws of a coin, as realisations agree on most samples but not on all.
        assert 0.6 < at.ci95_data / (1.96 * np.sqrt(at.mean * (1 - at.mean) / 600)) < 1.01
    bare = measure(mlp, data, digits["y_test"], Settings(("1y",), repeats=3, compensation="none"))
    assert bare.ages["1y"].mean < means[2] - 0.05


def test_a_measurement_ends_once_it_is_settled(mlp: Any, digits: dict[str, Array]) -> None:
    """Ten executions of four samples; ranges of converters are all that is wanted of the plan without noise."""
    data, labels = {"image": digits["x_test"][:40]}, digits["y_test"][:40]
    asked: list[int] = []

    def settled(so_far: Quality) -> bool:
        asked.append(so_far.repeats)
        return so_far.repeats == 4

    whole = measure(mlp, data, labels, Settings(("1d",), repeats=4))
    digital = digital_outputs(mlp, data, "logits")
    found = measure(mlp, data, labels, Settings(("1d",), repeats=6), digital=digital, plain=False, settled=settled)
    assert asked == [1, 2, 3, 4]
    assert (found.repeats, found.without_noise, found.reference) == (4, None, whole.reference)
    assert found.ages == whole.ages
    assert (whole.runs, found.runs) == (40 * (1 + 1 + 4), 40 * (1 + 4))


def test_trimmed_offsets_win_back_what_drift_shifts(mlp: Any, digits: dict[str, Array]) -> None:
    data = {"image": digits["x_test"]}
    with pytest.raises(InputError, match="compensation offset: expected trim inputs in the plan"):
        NoisyPlan(mlp, data, compensation="offset")
    set_trim(mlp, {"image": digits["x_calib"][:32]})
    choices: tuple[Compensation, ...] = ("global", "offset")
    settings = {how: Settings(("1y",), repeats=12, compensation=how) for how in choices}
    found = {how: measure(mlp, data, digits["y_test"], each).ages["1y"].mean for how, each in settings.items()}
    assert found["offset"] > found["global"] + 0.002


def test_trimming_gives_logits_their_clean_mean(mlp: Any, digits: dict[str, Array]) -> None:
    """On the trim inputs themselves, up to the noise of a new read."""
    trim = digits["x_calib"][:32]
    set_trim(mlp, {"image": trim})
    clean = run_plan(mlp, {"image": trim}, ideal=True)[0]["logits"]
    shifts: list[float] = []
    choices: tuple[Compensation, ...] = ("global", "offset")
    for how in choices:
        (noisy,) = NoisyPlan(mlp, {"image": trim}, compensation=how).realise(0, [YEAR_S])
        shifts.append(float(np.abs(noisy["logits"].mean(axis=0) - clean.mean(axis=0)).max()))
    assert shifts[1] < 0.25 * shifts[0]


def test_one_seed_gives_the_same_bytes_another_one_others(mlp: Any, digits: dict[str, Array]) -> None:
    data = {"image": digits["x_test"][:40]}
    one, same, other = (NoisyPlan(mlp, data, seed=seed).realise(0, [DAY_S])[0]["logits"] for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_realisation_depends_on_no_other_and_on_no_other_age(mlp: Any, digits: dict[str, Array]) -> None:
    data = {"image": digits["x_test"][:40]}
    plan = NoisyPlan(mlp, data)
    both = [plan.realise(realisation, [1.0, DAY_S, YEAR_S]) for realisation in (0, 3)]
    alone = NoisyPlan(mlp, data).realise(3, [YEAR_S])
    assert np.array_equal(alone[0]["logits"], both[1][2]["logits"])
    assert not np.array_equal(both[0][2]["logits"], both[1][2]["logits"])


@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn"])
def test_noise_does_not_depend_on_how_many_executions_run_at_once(
    model: str, models: Path, tmp_path: Path, digits: dict[str, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = compiled(models / f"{model}.onnx", chip_file(tmp_path, "lionheart", pcm=LIONHEART), "pcm", batch=2)
    data = {"image": digits["x_test"][:40]}
    whole = NoisyPlan(module, data).realise(1, [DAY_S])[0]["logits"]

    class Cut(NoisyPlan):
        def write_weights(self, realisation: int) -> None:
            monkeypatch.setattr(numbers, "VALUE_BYTES", 1)  # from here on one by one: ranges are set by then
            super().write_weights(realisation)

    assert np.array_equal(Cut(module, data).realise(1, [DAY_S])[0]["logits"], whole)


def test_without_faults_the_plan_computes_what_it_does_without_noise(
    models: Path, tmp_path: Path, digits: dict[str, Array]
) -> None:
    """All ages, all realisations, to the bit, on PCM and on the three tiers of h3pimap."""
    data = {"image": digits["x_test"][:30]}
    quiet = {
        "pcm": {"lionheart": {"pcm": {**QUIET_PCM, "compensation": "global"}}},
        "reram": {"h3pimap": {"reram": {**H3PIMAP_RERAM, "read_bandwidth_hz": 1e-6}}},
        "sram": {"h3pimap": {"sram": {"model": "sram", "capacitor_mismatch": 0.0, "adc_noise_lsb": 0.0}}},
        "photonic": {"h3pimap": {"photonic": {"model": "photonic"}}},
    }
    for tier, chips in quiet.items():
        for chip, noises in chips.items():
            module = compiled(models / "digits_cnn.onnx", chip_file(tmp_path, chip, **noises), tier)
            plan = NoisyPlan(module, data)
            assert plan.noisy
            expected = run_plan(module, data, ideal=False)[0]["logits"]
            for outputs in plan.realise(2, [1.0, YEAR_S]):
                assert np.array_equal(outputs["logits"], expected), tier


def test_h3pimaps_reram_loses_nothing_as_its_noise_is_below_a_step(
    models: Path, tmp_path: Path, digits: dict[str, Array]
) -> None:
    """Thermal and shot noise of 0.1 % of a conductance (H3PIMAP) is rounded away by converters of whole units."""
    module = compiled(models / "digits_mlp.onnx", chip_file(tmp_path, "h3pimap", reram=H3PIMAP_RERAM), "reram")
    data = {"image": digits["x_test"][:50]}
    for exact_adc in (False, True):
        plan = NoisyPlan(module, data, exact_adc=exact_adc)
        (outputs,) = plan.realise(0, [DAY_S])
        assert np.abs(outputs["logits"] - plan.plain["logits"]).max() < 1e-3 * np.ptp(plan.plain["logits"])


def test_attention_on_photonic_cores_has_noise_in_its_dynamic_products_too(
    models: Path, tmp_path: Path, digits: dict[str, Array]
) -> None:
    noise = {"model": "photonic", "input_sigma": 0.0031, "weight_sigma": 0.0031}
    module = compiled(models / "digits_transformer.onnx", chip_file(tmp_path, "h3pimap", photonic=noise), "photonic")
    found = measure(module, {"image": digits["x_test"][:100]}, None, Settings(("1s", "1y"), repeats=3))
    assert found.metric == "cosine"
    assert found.reference == pytest.approx(1)
    assert found.without_noise is not None
    assert 0.99 < found.ages["1s"].mean < found.without_noise
    # Light does not age.
    assert found.ages["1s"].mean == pytest.approx(found.ages["1y"].mean, abs=1e-4)


def test_what_is_not_noisy_is_run_once(models: Path, digits: dict[str, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Path(__file__).parent.parent / "compiler" / "chips" / "digital.yaml"
    module = compiled(models / "digits_mlp.onnx", chip, "digital")
    calls: list[int] = []
    realise = NoisyPlan.realise

    def counted(plan: NoisyPlan, number: int, ages_s: Sequence[float]) -> list[dict[str, Array]]:
        calls.append(number)
        return realise(plan, number, ages_s)

    monkeypatch.setattr(NoisyPlan, "realise", counted)
    found = measure(module, {"image": digits["x_test"]}, digits["y_test"], Settings(("1y",), repeats=9))
    assert calls == [0]
    assert not found.noisy
    at = found.ages["1y"]
    assert (at.mean, at.std, at.ci95) == pytest.approx((found.reference, 0, 0))


def test_bad_input_is_one_line(mlp: Any, digits: dict[str, Array]) -> None:
    good, labels = {"image": digits["x_test"][:8]}, digits["y_test"][:8]
    broken = {"image": np.where(np.arange(8).reshape(8, 1, 1, 1) == 5, np.nan, good["image"]).astype(np.float32)}
    cases: list[tuple[dict[str, Array], Array | None, dict[str, Any], str]] = [
        (good, labels, {"ages": ("1x",)}, "age: expected a number and one of s, min, h, d, y"),
        (good, labels, {"ages": ("1d", "1d")}, "age: expected each age once, got '1d' twice"),
        (good, labels, {"repeats": 1}, "repeats: expected at least 2"),
        (good, labels[:7], {}, "labels: expected 8, one a sample, got 7"),
        (good, None, {"metric": "top1"}, "metric top1: expected labels, got none"),
        (broken, labels, {}, "input 'image': expected finite numbers, got NaN or infinity in sample 5"),
        (good, labels, {"output": "probabilities"}, "output: expected one of 'logits', got 'probabilities'"),
    ]
    for inputs, given, changed, told in cases:
        with pytest.raises(InputError, match=told):
            measure(mlp, inputs, given, replace(Settings(("1s",), repeats=2), **changed))
