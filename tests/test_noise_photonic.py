"""Photonic cores: their noise against simulation term by term, closed forms against hand calculations."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from h3c.runtime_sim.noise.detector import Detector, Ring
from h3c.runtime_sim.noise.device import generator
from h3c.runtime_sim.noise.photonic import Dynamic, Mesh, dispersion

Array = NDArray[Any]

QUIET = Dynamic.named(input_sigma=0.0, weight_sigma=0.0, phase_sigma_deg=0.0, output_sigma=0.0, channel_spacing_nm=0.0)


def operands(vectors: int = 5, inputs: int = 36, outputs: int = 7) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return (
        rng.uniform(-1, 1, (vectors, inputs)).astype(np.float32),
        rng.uniform(-1, 1, (inputs, outputs)).astype(np.float32),
    )


def test_a_core_without_noise_multiplies() -> None:
    x, w = operands()
    assert QUIET.multiply(x, w, generator(1)) == pytest.approx(x @ w, abs=1e-5)


def test_phase_errors_are_those_of_every_product() -> None:
    """40 degrees, so that it shows: cos(delta) drawn for each vector, input and output, against gain and variance."""
    x, w = operands(1)
    core = replace(QUIET, phase_sigma_deg=40.0)
    rng = np.random.default_rng(2)
    delta = rng.normal(0, np.radians(40), (20_000, 36, 7))
    drawn = (x[0, :, None] * w * np.cos(delta)).sum(axis=1)
    y = core.multiply(np.repeat(x, 20_000, axis=0), w, generator(3))
    assert y.mean(axis=0) == pytest.approx(drawn.mean(axis=0), abs=0.04)
    assert y.std(axis=0) == pytest.approx(drawn.std(axis=0), rel=0.03)


def test_operands_and_sums_err_by_their_sigmas() -> None:
    x, w = operands()
    rng = generator(4)
    for field, expected in (
        ("input_sigma", np.sqrt(np.square(x) @ np.square(w))),
        ("weight_sigma", np.sqrt(np.square(x) @ np.square(w))),
        ("output_sigma", np.abs(x @ w)),
    ):
        core = replace(QUIET, **{field: 0.05})
        runs = np.stack([core.multiply(x, w, rng) for _ in range(3000)])
        assert runs.std(axis=0) == pytest.approx(0.05 * expected, rel=0.08, abs=1e-4)


def test_an_input_errs_alike_in_all_outputs() -> None:
    """It is modulated once and broadcast."""
    core = replace(QUIET, input_sigma=0.1)
    y = core.multiply(np.ones((1, 1), np.float32), np.ones((1, 7), np.float32), generator(5))
    assert np.ptp(y) == 0
    assert y[0, 0] != 1


def test_couplers_split_evenly_at_the_centre_only() -> None:
    imbalance = dispersion(5, 0.4)
    assert imbalance[2] == pytest.approx(0)
    assert np.all(np.diff(imbalance) > 0)
    # By hand for 1.5504 um: L = (3.53 - 5.44 x 4e-4) exp(0.1 / (0.15 + 0.185 x 4e-4)), L(1.55) = 3.53 exp(0.1 / 0.15).
    ratio = 3.53 / (3.53 - 5.44 * 4e-4) * np.exp(0.1 / 0.15 - 0.1 / (0.15 + 0.185 * 4e-4))
    assert imbalance[3] == pytest.approx(2 * np.sin(np.pi / 4 * ratio) ** 2 - 1, rel=1e-9)


def test_dispersion_adds_the_squares_of_the_operands() -> None:
    x, w = operands()
    core = replace(QUIET, wavelengths=12, channel_spacing_nm=4.0)
    kappa = (dispersion(12, 4.0)[np.arange(36) % 12] + 1) / 2
    expected = x @ w
    for m, n in np.ndindex(expected.shape):
        expected[m, n] += 0.5 * np.sum((2 * kappa - 1) * (x[m] ** 2 / 1.5 - 1.5 * w[:, n] ** 2))
    assert core.multiply(x, w, generator(1), ratio=1.5) == pytest.approx(expected, abs=1e-4)


def test_weights_of_a_dynamic_core_err_by_modulation_and_phase() -> None:
    w = np.array([[0.5]], np.float32)
    core = replace(QUIET, weight_sigma=0.03, phase_sigma_deg=2.0)
    delta = np.radians(2.0)
    assert core.weight_noise_power(w)[0, 0] == pytest.approx(0.25 * (9e-4 + (1 - np.exp(-(delta**2))) ** 2 / 2))


def test_detector_noise_by_hand() -> None:
    """100 uA, 5 GHz, 5 kOhm, 300 K: shot noise 0.400 uA, thermal 0.129 uA; -150 dB/Hz gives 0.224 uA."""
    detector = Detector(1.0, 5e9, 5000.0, 300.0, 0.0, -150.0)
    assert float(detector.shot_a(1e-4)) == pytest.approx(0.4003e-6, rel=1e-3)
    assert detector.thermal_a() == pytest.approx(0.1287e-6, rel=1e-3)
    assert float(detector.rin_a(1e-4)) == pytest.approx(1e-4 * 10**-7.5 * 5e9**0.5)
    total = np.sqrt(0.4003**2 + 0.1287**2 + 0.2236**2) * 1e-6
    assert float(detector.noise_a(1e-4)) == pytest.approx(total, rel=1e-3)
    bits = (20 * np.log10(1e-4 / (2 * np.sqrt(2) * total)) - 1.76) / 6.02
    assert detector.effective_bits(1e-4) == pytest.approx(bits, rel=1e-3)


def test_a_mesh_without_errors_holds_its_weights() -> None:
    _, w = operands()
    mesh = Mesh.named(phase_sigma_rad=0.0, crosstalk=0.0)
    assert mesh.program(w, generator(1)).read(1.0, generator(1)) == pytest.approx(w, abs=1e-6)


def test_phase_errors_hurt_small_weights_and_stay_within_two_sigmas() -> None:
    """w = sin(p + e): the derivative is cos(p), nothing at the largest weight."""
    w = np.repeat(np.array([[1.0], [0.0]], np.float32), 40_000, axis=1)
    found = Mesh.named(phase_sigma_rad=0.05, crosstalk=0.0).program(w, generator(2)).read(1.0, generator(1))
    assert np.abs(np.arcsin(found[1])).max() <= 0.1 * 1.0001
    # A normal truncated at two sigmas has a deviation of 0.880 of its sigma.
    assert found[1].std() == pytest.approx(0.05 * 0.880, rel=0.02)
    assert found[0].std() < 0.05**2


def test_thermal_coupling_has_the_published_form() -> None:
    """SCATTER's fit by hand at 10 um, and 0.2167 exp(-0.1275 d) from 23 um on."""
    near = 1 - 1.76013871 + 0.989616761 - 8.29631681e-3 - 0.155789201 + 0.0355117528
    assert Mesh.named().coupling(np.array([0.0, 10.0, 30.0])) == pytest.approx(
        [1, near, 0.2167267 * np.exp(-0.12747211 * 30)]
    )


def test_heaters_move_their_neighbours_by_their_arms() -> None:
    """Three rows 24 um apart, the middle one heated on its upper arm: below it G(24) - G(34), above G(24) - G(14)."""
    mesh = Mesh.named()
    phase = np.array([[0.0], [1.0], [0.0]])
    g14, g24, g34 = mesh.coupling(np.array([14.0, 24.0, 34.0]))
    assert mesh.disturbed(phase)[:, 0] == pytest.approx([g24 - g14, 1, g24 - g34])
    # Turned upside down and with the other arm heated the picture is mirrored.
    assert mesh.disturbed(-phase)[:, 0] == pytest.approx([-(g24 - g34), -1, -(g24 - g14)])


def test_columns_reach_each_other_only_where_they_are_near() -> None:
    phase = np.zeros((1, 3))
    phase[0, 1] = 1
    assert Mesh.named().disturbed(phase)[0] == pytest.approx([0, 1, 0])
    near = Mesh.named(column_pitch_um=20.0)
    g20, aside = near.coupling(np.array([20.0, np.hypot(20, 10)]))
    assert near.disturbed(phase)[0] == pytest.approx([g20 - aside, 1, g20 - aside])


def test_a_ring_moves_with_temperature() -> None:
    """10 K: 1.02 nm; over 30 um, 2 pi x 1.02 x 4.3 / 1550 x 30000 / 1550."""
    ring = Ring.named()
    assert float(ring.shift_nm(10.0)) == pytest.approx(1.02)
    assert float(ring.phase_rad(10.0, 30.0)) == pytest.approx(2 * np.pi * 1.02 * 4.3 / 1550 * 30_000 / 1550)
    heat = ring.disturbed_k(np.array([1.0, 0.0]), np.array([0.0, 10.0]))
    assert heat == pytest.approx([1, np.exp(-1.2747211)])
