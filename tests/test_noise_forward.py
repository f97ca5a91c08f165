"""Converters, wires and noisy products: element by element against AIHWKIT and against exact networks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from h3c.runtime_sim.noise.converters import Converter, Periphery, asymmetric
from h3c.runtime_sim.noise.device import generator
from h3c.runtime_sim.noise.forward import CHUNK, noisy_mvm
from h3c.runtime_sim.noise.ir_drop import first_order, pair_currents, solve_ladders

Array = NDArray[Any]


def matrix(outputs: int = 128, inputs: int = 128, seed: int = 20240501) -> Array:
    w = np.clip(np.random.default_rng(seed).normal(0.0, 0.25, size=(outputs, inputs)), -1.0, 1.0)
    return (w / np.abs(w).max()).astype(np.float32).T


def vectors(count: int = 64, inputs: int = 128, seed: int = 20240502) -> Array:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, size=(count, inputs)).astype(np.float32)


MANAGED = Periphery(input_bits=8, output_bits=8, output_bound=4.0, scale_inputs=True, halve_clipped=True)


@pytest.mark.parametrize(
    ("periphery", "recorded"),
    [
        (Periphery(input_bits=4), [-2.368343, 0.211829, 0.491082, -0.139255, 2.244265, 2.316156]),
        (
            Periphery(output_bits=6, output_bound=10.0),
            [-2.258065, 0.322581, 0.645161, -0.322581, 2.258065, 2.258065],
        ),
        (Periphery(output_bits=8, output_bound=4.0), [-2.362205, 0.251969, 0.566929, -0.188976, 2.173228, 2.330709]),
        (MANAGED, [-2.374234, 0.249919, 0.562319, -0.18744, 2.186795, 2.311754]),
        (Periphery(ir_drop=10.0), [-2.347263, 0.25341, 0.576067, -0.204309, 2.15171, 2.287242]),
    ],
    ids=["dac 4 bits", "adc 6 bits", "adc clips", "inputs halved", "wires"],
)
def test_outputs_without_noise_are_those_recorded(periphery: Periphery, recorded: list[float]) -> None:
    """AIHWKIT 1.2.0, the first outputs of the first vector."""
    y = noisy_mvm(vectors(), matrix(), periphery, generator(1))
    assert y.dtype == np.float32
    assert y[0, :6] == pytest.approx(recorded, abs=1e-5)


@given(st.integers(2, 12), st.floats(0.1, 20), st.integers(0, 2**32 - 1))
def test_a_converter_is_within_half_a_step_or_at_its_bound(bits: int, bound: float, seed: int) -> None:
    values = np.random.default_rng(seed).uniform(-1.5 * bound, 1.5 * bound, (4, 7))
    converter = Converter(bits, bound)
    found = converter.convert(values.copy())
    inside = np.abs(values) <= bound
    assert np.all(np.abs(found - values)[inside] <= converter.step / 2 * 1.000001)
    assert np.abs(found[~inside]) == pytest.approx(np.full((~inside).sum(), bound))
    assert np.array_equal(converter.clips(values), ~inside.all(axis=-1))
    assert np.array_equal(converter.convert(-values), -found)


def test_an_asymmetric_converter_has_all_its_levels() -> None:
    levels = np.unique(asymmetric(np.linspace(-1, 4, 1000), 0.0, 3.0, 2))
    assert levels == pytest.approx([0, 1, 2, 3])


def test_noise_of_weights_in_each_vector_is_that_of_weights_drawn_anew() -> None:
    rng = generator(3)
    x, w = vectors(1, 64), matrix(16, 64)
    variance = np.float32(0.05**2) * np.abs(w)
    together = noisy_mvm(np.repeat(x, 4000, axis=0), w, Periphery(), rng, read_noise=variance)
    anew = x @ (w + np.sqrt(variance) * rng.standard_normal((4000, 64, 16), dtype=np.float32))
    assert together.std(axis=0) == pytest.approx(anew[:, 0].std(axis=0), rel=0.08)
    assert together.std(axis=0).mean() == pytest.approx(anew[:, 0].std(axis=0).mean(), rel=0.02)
    assert together.std(axis=0) == pytest.approx(np.sqrt(np.square(x) @ variance)[0], rel=0.08)


@pytest.mark.parametrize(
    ("periphery", "noise", "recorded"),
    [
        (Periphery(output_noise=0.06), None, 0.03633),
        (Periphery(input_noise=0.02), None, 0.03441),
        (Periphery(), 0.02**2, 0.07952),
        (Periphery.named("default"), None, 0.03784),
    ],
    ids=["outputs", "inputs", "weights", "default"],
)
def test_noise_has_the_recorded_power(periphery: Periphery, noise: float | None, recorded: float) -> None:
    """AIHWKIT 1.2.0, relative error over 240 repeats."""
    rng, exact = generator(4), vectors() @ matrix()
    runs = [noisy_mvm(vectors(), matrix(), periphery, rng, read_noise=noise) for _ in range(20)]
    found = np.mean([np.linalg.norm(y - exact) / np.linalg.norm(exact) for y in runs])
    assert found == pytest.approx(recorded, rel=0.02)


def test_scaled_inputs_use_the_converter_in_full() -> None:
    x = vectors() * np.logspace(-6, 3, 64, dtype=np.float32)[:, None]
    x[5] = 0
    y = noisy_mvm(x, matrix(), Periphery(input_bits=8, scale_inputs=True), generator(1))
    exact = x @ matrix()
    error = np.linalg.norm(y - exact, axis=1) / np.maximum(np.linalg.norm(exact, axis=1), 1e-30)
    assert error.max() < 0.01
    assert not y[5].any()


def test_vectors_that_clip_are_repeated_and_others_are_not() -> None:
    x = vectors(8)
    x[:4] *= 0.05
    exact = x @ matrix()
    coarse = Periphery(output_bits=8, output_bound=2.0)
    y, halved = (
        noisy_mvm(x, matrix(), p, generator(1))
        for p in (coarse, Periphery(output_bits=8, output_bound=2.0, halve_clipped=True))
    )
    assert np.array_equal(y[:4], halved[:4])
    assert np.abs(y[4:]).max() == pytest.approx(2.0)
    assert np.abs(halved - exact).max() < 8 * 2.0 / 254


def test_realisations_and_chunks_are_independent_of_how_they_are_batched() -> None:
    x, w = vectors(CHUNK + 3, 16), matrix(8, 16)
    both = np.stack([w, -w])
    together = noisy_mvm(x, both, MANAGED, generator(1), gain=2.0)
    assert together.shape == (2, CHUNK + 3, 8)
    for realisation, y in zip(both, together, strict=True):
        assert y == pytest.approx(2 * noisy_mvm(x, realisation, MANAGED, generator(1)), abs=1e-5)


def dense_network(g: Array, x: Array, rp: float) -> Array:
    """The same network by its node equations, all at once: input nodes (k, n), then output nodes (k, n)."""
    inputs, outputs = g.shape
    size = inputs * outputs
    a, known = np.zeros((2 * size, 2 * size)), np.zeros((2 * size, len(x)))

    def wire(p: int, q: int, conductance: float) -> None:
        a[p, p] += conductance
        a[q, q] += conductance
        a[p, q] -= conductance
        a[q, p] -= conductance

    for k in range(inputs):
        for n in range(outputs):
            here = k * outputs + n
            wire(here, size + here, g[k, n])
            if n:
                wire(here - 1, here, 1 / rp)
            else:
                a[here, here] += 1 / rp
                known[here] += x[:, k] / rp
            if k < inputs - 1:
                wire(size + here, size + here + outputs, 1 / rp)
            else:
                a[size + here, size + here] += 1 / rp
    potentials = np.linalg.solve(a, known)
    last = size + (inputs - 1) * outputs + np.arange(outputs)
    return potentials[last].T / rp


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (1, 4), (5, 1), (6, 4)])
def test_ladders_are_solved_exactly(inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(1)
    g, x = rng.uniform(0, 1, (inputs, outputs)), rng.uniform(-1, 1, (3, inputs))
    assert solve_ladders(g, x, 1e-2) == pytest.approx(dense_network(g, x, 1e-2), rel=1e-9)


def test_one_cell_is_a_divider() -> None:
    """1 V over a wire, a cell and a wire of 0.1, 1 and 0.1."""
    assert solve_ladders(np.ones((1, 1)), np.ones((1, 1)), 0.1) == pytest.approx(np.full((1, 1), 1 / 1.2))


def test_the_recorded_network_of_8_by_8() -> None:
    """An independent sparse nodal solution: rp 1e-3, g_min 0.01."""
    recorded = [
        [0.7119143, -1.8278335, 0.4091377, 1.1240469, 0.152026, 0.0776564, -0.6938897, 0.3206824],
        [0.0745606, -1.4118446, 1.0988004, -0.3591562, -0.9637573, 0.2370926, -1.0958332, 1.3327009],
    ]
    y = pair_currents(matrix(8, 8, 11).astype(np.float64), vectors(2, 8, 12).astype(np.float64), 1e-3, 0.01)
    assert y == pytest.approx(np.array(recorded), abs=2e-7)


def test_the_first_order_rule_counts_both_sets_of_lines() -> None:
    """What it leaves falls with the square of the resistance; the closed form of one set of lines leaves half."""
    g = np.abs(matrix(48, 32)).astype(np.float64)
    x = np.abs(vectors(4, 32)).astype(np.float64)
    left: list[float] = []
    for rp in (1e-5, 1e-4):
        exact, lost = solve_ladders(g, x, rp), x @ g
        left.append(float(np.linalg.norm(x @ first_order(g, rp) - exact) / np.linalg.norm(lost - exact)))
    assert left[0] < 0.01
    assert left[1] == pytest.approx(10 * left[0], rel=0.2)
