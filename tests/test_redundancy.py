"""Weights that are held several times: the same products, smaller errors, more rows of arrays."""

from pathlib import Path

import numpy as np
import pytest
from noisy_chips import unplaced
from numpy.typing import NDArray
from test_noisy_arithmetic import QUIET_PCM, Part, noise

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.arithmetic import AnalogDot
from h3c.runtime_sim.kinds.pcm import Pcm
from h3c.runtime_sim.product import plain_product
from h3c.runtime_sim.redundancy import copies_held, set_stacked, stackable

Array = NDArray[np.float32]
RNG = np.random.default_rng
DAY_S = 86400.0


def operands(depth: int, vectors: int = 1) -> tuple[Array, Array]:
    x = np.maximum(RNG(0).normal(size=(1, vectors, depth)), 0).astype(np.float32)
    return x, RNG(1).normal(size=(depth, 12)).astype(np.float32)


def stacked(copies: int, rows: int = 64) -> AnalogDot:
    return AnalogDot(8, 8, None, rows, per_vector=True, stacked=copies)


@pytest.mark.parametrize("depth", [9, 30, 64])
@pytest.mark.parametrize("copies", [3, 7])
def test_copies_change_no_product(depth: int, copies: int) -> None:
    """Up to the rounding of inputs, where a copy is cut by the end of an array, which has a range of its own."""
    x, w = operands(depth, 20)
    one, many = (Part(noise(**QUIET_PCM), stacked(count), x, w).clean for count in (1, copies))
    np.testing.assert_allclose(many, one, rtol=0, atol=1e-3 * np.abs(one).max())


@pytest.mark.parametrize("depth", [30, 64, 100])
def test_errors_of_weights_average_out(depth: int) -> None:
    """Their variance falls with the number of copies, whatever share of them is in one array."""
    x, w = operands(depth)
    powers: list[float] = []
    for copies in (1, 8):
        part = Part(noise(model="pcm", read_noise=False), stacked(copies), x, w)
        results = np.stack([part.run(realisation, DAY_S) for realisation in range(150)])
        powers.append(float(results.var(axis=0, ddof=1).sum()))
    assert powers[0] / powers[1] == pytest.approx(8, rel=0.15)


def test_noise_of_sums_falls_with_the_copies_of_an_array_and_with_the_root_of_arrays() -> None:
    """Of 16 copies of 16 rows in arrays of 64 rows 4 share an array: its sum is 4 times as large, the noise is not, and
    4 arrays are averaged."""
    x, w = operands(16, 4000)
    errors: list[float] = []
    for copies in (1, 16):
        part = Part(noise(**QUIET_PCM, output_noise=0.06), stacked(copies), x, w)
        errors.append(float((part.run() - part.clean).std()))
    assert errors[0] / errors[1] == pytest.approx(4 * 2, rel=0.05)


def test_copies_take_rows_writes_and_reads_but_no_bandwidth() -> None:
    """Of 100 inputs two copies fit 256 rows, so that 8 copies take 4 arrays as deep as 800 inputs would."""
    chip = load_chip("lionheart")
    tier = chip.tier("pcm")
    assert isinstance(tier, Pcm)
    many = tier.model_copy(update={"stacked": 8})
    product, deeper = plain_product(10, 100, 255), plain_product(10, 800, 255)
    assert many.arrays_needed(product, 255) == tier.arrays_needed(deeper, 255) == 4
    found, once, deep = (
        each.mvm("pcm", chip, given, 255, 1) for each, given in ((many, product), (tier, product), (tier, deeper))
    )
    assert found.stages == once.stages
    for part in ("arrays", "converters"):
        assert float(found.energy_pj[part]) == pytest.approx(float(deep.energy_pj[part]))
        assert float(found.energy_pj[part]) > 3 * float(once.energy_pj[part])
    assert float(found.energy_pj["links"]) == float(once.energy_pj["links"])
    written, others = (each.program("pcm", chip, product, 255, 1) for each in (many, tier))
    assert float(written.energy_pj["write"]) == pytest.approx(8 * float(others.energy_pj["write"]))


def test_a_chip_in_the_ir_is_set_to_hold_weights_so_often(models: Path) -> None:
    module = unplaced(models / "digits_mlp.onnx", "lionheart")
    assert stackable(module)
    assert copies_held(module) == 1
    set_stacked(module, 4)
    assert copies_held(module) == 4
