"""Tiers of kind `tabulated`, chip h3pimap-paper, and the rows of H3PIMAP's table."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from h3c.compiler.chips.load import load_chip
from h3c.passes.placement.pricing import ChipPricer
from h3c.runtime_sim.chip import Chip, chip_from_tree, chip_tree
from h3c.runtime_sim.cost import price
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.product import Product, plain_product

Command = Callable[..., subprocess.CompletedProcess[str]]

PUBLISHED = {
    "homogeneous:sram": (10.21, 13.79),
    "homogeneous:reram": (14.73, 13.44),
    "homogeneous:photonic": (0.91, 8.92),
    "equal": (4.90, 12.02),
}
"""Latency in ms, energy in mJ: H3PIMAP (arXiv 2503.07778v2), Pythia-70M."""


@pytest.fixture(scope="module")
def chip() -> Chip:
    return load_chip("h3pimap-paper")


@pytest.fixture
def pythia(tmp_path: Path) -> Path:
    path = tmp_path / "pythia70m.onnx"
    maker = Path(__file__).parent.parent / "models" / "make_pythia70m.py"
    path.write_bytes(runpy.run_path(str(maker))["model"]().SerializeToString())
    return path


def dynamic(product: Product) -> Product:
    return replace(product, static=False)


def test_costs_are_the_tables_times_the_share_of_outputs(chip: Chip) -> None:
    product = plain_product(128, 2048, 512)
    outputs = np.array([512, 256, 1])
    for tier, (latency, energy) in {"sram": (510e6, 0.515e9), "photonic": (45.3e6, 0.92 * 0.435e9)}.items():
        found = price(chip, product, tier, outputs, np.int64(1))
        chunk = 32  # a work's time is rounded up to whole chunks
        assert np.all(found.latency_ps - latency * outputs / 512 >= 0)
        assert np.all(found.latency_ps - latency * outputs / 512 <= chunk + 1)
        assert found.energy_pj == pytest.approx(energy * outputs / 512)
        assert found.arrays.max() == 0
        assert all(ps.max() == 0 for ps in found.ports_ps.values())


def test_reram_is_sram_scaled_to_its_homogeneous_row(chip: Chip) -> None:
    product = plain_product(128, 512, 1536)
    sram, reram = (price(chip, product, tier, np.int64(1536), np.int64(1)) for tier in ("sram", "reram"))
    assert int(reram.latency_ps) / int(sram.latency_ps) == pytest.approx(14.73 / 10.21, rel=1e-4)
    assert float(reram.energy_pj) / float(sram.energy_pj) == pytest.approx(13.44 / 13.79, rel=1e-4)


def test_what_is_not_in_the_table_is_refused(chip: Chip) -> None:
    tier = chip.tier("sram")
    assert tier.refuses(plain_product(128, 512, 512)) is None
    told = tier.refuses(plain_product(128, 512, 513))
    assert told == "has no entry in its table for products with 512 x 513 weights"
    with pytest.raises(InputError, match="tier sram has no entry in its table"):
        price(chip, plain_product(128, 512, 513), "sram", np.int64(1), np.int64(1))


def test_shunned_tiers_are_for_baselines_only(chip: Chip) -> None:
    attention = dynamic(plain_product(128, 64, 128))
    assert chip.tier("sram").refuses(attention) is None
    assert chip.tier("sram").shuns(attention) == "is not to take products of two values made at run time"
    assert chip.tier("photonic").shuns(attention) is None
    assert chip.tier("sram").shuns(plain_product(128, 64, 128)) is None

    def tiers(*, shunned: bool) -> list[str]:
        pricer = ChipPricer(chip, 6, shunned=shunned)
        return [pricer.tiers[kind.tier] for kind in pricer.kinds(attention)]

    assert tiers(shunned=False) == ["photonic", "digital"]
    assert tiers(shunned=True) == ["sram", "reram", "photonic", "digital"]


def test_a_second_entry_for_a_product_is_an_error(chip: Chip) -> None:
    tree = chip_tree(chip)
    tree["tiers"]["sram"]["table"] = [*tree["tiers"]["sram"]["table"], tree["tiers"]["sram"]["table"][1]]
    with pytest.raises(InputError, match=r"^c: tiers\.sram\.table\.6: .*a second for 512 x 512$"):
        chip_from_tree(tree, "c")


@pytest.mark.parametrize("field", ["link_in_bytes_per_ns", "arrays"])
def test_it_has_no_fields_that_do_nothing(chip: Chip, field: str) -> None:
    tree = chip_tree(chip)
    tree["tiers"]["sram"][field] = 1.0
    with pytest.raises(InputError, match=f"tiers.sram.{field}: expected a known field"):
        chip_from_tree(tree, "c")


@pytest.mark.parametrize("strategy", PUBLISHED)
def test_the_papers_rows(strategy: str, pythia: Path, command: Command) -> None:
    done = command("h3c", pythia, "--target", "h3pimap-paper", "--min-bits", 6, "--strategy", strategy)
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()[1].replace(",", "").split()
    latency = float(words[1]) * {"ms": 1.0, "us": 1e-3}[words[2]]
    energy = float(words[4]) * {"mJ": 1.0, "uJ": 1e-3}[words[5]]
    assert latency == pytest.approx(PUBLISHED[strategy][0], rel=0.03)
    assert energy == pytest.approx(PUBLISHED[strategy][1], rel=0.03)


def test_exact_gives_attention_to_the_photonic_tier(pythia: Path, command: Command, tmp_path: Path) -> None:
    done = command("h3c", pythia, "--target", "h3pimap-paper", "--min-bits", 6, "-o", "plan.mlir", "--explain")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(("  0.qk ", "  0.av "))]
    assert len(lines) == 2
    assert all(line.split()[4] == "photonic" for line in lines)  # "0.qk and 5 more  photonic"
    assert all("sram, reram is not to take products of two values" in line for line in lines)


def test_the_papers_table_is_rebuilt_and_exact_meets_its_bars() -> None:
    """The benchmark's own exit status: rows within 3 %, exact within 0.6 of PO + RR, no more energy, no more loss."""
    script = Path(__file__).parent.parent / "benchmarks" / "h3pimap.py"
    done = subprocess.run([sys.executable, script, "--table"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| PO + RR: h3pimap | 2." in done.stdout
