"""Prices a second on one core: operators on chips of a whole design space, and options of operators on one chip.

    H3C_MODELS=/path/to/models OMP_NUM_THREADS=1 python benchmarks/price_rate.py [--samples 3000]

- space: latency and energy of each operator of four networks on each of the 12,096,000 chips of the RRAM space, every
  one of them written to memory; equal layers of a network are priced once and count once;
- list: whole networks on a list of chips drawn from that space in no order (as h3c-codesign price has it); a network
  counts as its operators, equal ones once;
- options: of the operators of a network on the tiers of h3pimap, all numbers of outputs by some of copies.

CPU time of this process. Then a sample is priced one at a time and compared. Exits with 1 below the bar, or where the
ways differ by more than 1e-12.
"""

import argparse
import sys
from collections.abc import Iterator
from time import process_time

import numpy as np
from archive_data import NETWORKS
from measuring import models
from numpy.typing import NDArray

from h3c.compiler.chips.load import load_chip
from h3c.compiler.codesigning.networks import layers_of_file
from h3c.runtime_sim.chip import Chip
from h3c.runtime_sim.cost import price as price_part
from h3c.runtime_sim.imc.constants import constants
from h3c.runtime_sim.imc.layers import Layer, Layers
from h3c.runtime_sim.imc.mapping import demand
from h3c.runtime_sim.imc.model import Designs, figures, price, price_layers, price_network
from h3c.runtime_sim.product import Product, plain_product
from h3c.runtime_sim.weights import STORE

BAR_PER_S = 5e6
MOST_DIFFERENCE = 1e-12
FOUR = ("resnet18", "vgg16", "alexnet", "mobilenet_v3")
LIST_LENGTH = 1_000_000

SPACE: dict[str, list[float]] = {
    "volt": [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85],
    "bits_per_cell": [1, 2, 3, 4, 5, 6, 7, 8],
    "cycle_s": [1e-9, 2e-9, 4e-9, 6e-9, 8e-9, 1e-8],
    "rows": [32, 64, 128, 256, 512],
    "cols": [32, 64, 128, 256, 512],
    "groups": [1, 2, 4, 8, 16, 32],
    "tiles_per_group": [4, 8, 16, 32, 64],
    "macros_per_tile": [4, 8, 16, 32, 64, 128],
    "glb_depth_2048bit": [2048, 4096, 8192, 16384, 32768, 65536, 131072],
    "node_nm": [32],
}
"""The RRAM space for four networks (public code of arXiv 2603.03880)."""

Drawn = dict[str, NDArray[np.int64]]
"""Chips of SPACE: positions in the list of each variable."""


def space_designs(volts: list[float]) -> Designs:
    """The space at these supplies, each variable along an axis of its own."""
    axes = [volts if name == "volt" else values for name, values in SPACE.items()]
    grid = np.meshgrid(*axes, indexing="ij", sparse=True)
    return Designs.of(**dict(zip(SPACE, grid, strict=True)))


def drawn(count: int, seed: int) -> tuple[Designs, Drawn]:
    """Chips drawn from the space."""
    rng = np.random.default_rng(seed)
    places = {name: rng.integers(len(values), size=count) for name, values in SPACE.items()}
    return Designs.of(**{name: np.array(SPACE[name])[places[name]] for name in SPACE}), places


def space_rate(layers: list[Layer]) -> tuple[int, float]:
    """(prices, CPU seconds) of each layer on each chip of the space, one supply at a time to bound memory."""
    known, prices, start = constants("rram"), 0, process_time()
    for volt in SPACE["volt"]:
        chips = space_designs([volt])
        fabric, costs = chips.fabric(known), figures(chips, known)
        shape = tuple(1 if name == "volt" else len(values) for name, values in SPACE.items())
        latency_s, energy_pj = np.empty(shape), np.empty(shape)
        for layer in layers:
            priced = price(demand(Layers.one(layer), fabric), costs)
            latency_s[...], energy_pj[...] = priced.latency_s, priced.energy_pj
            prices += energy_pj.size
    return prices, process_time() - start


def list_rate(networks: dict[str, Layers]) -> tuple[int, float]:
    """(prices, CPU seconds) of each network on a list of chips."""
    chips, _ = drawn(LIST_LENGTH, 1)
    start = process_time()
    for layers in networks.values():
        price_network(layers, chips, constants("rram"))
    return LIST_LENGTH * sum(map(len, networks.values())), process_time() - start


def options(chip: Chip, layers: list[Layer]) -> Iterator[tuple[str, Product, NDArray[np.int64], NDArray[np.int64]]]:
    """(tier, product, outputs, copies) of options of each layer as a plain product on each tier of `chip`."""
    for layer in layers:
        k = layer.channels * layer.kernel_rows * layer.kernel_cols
        product = plain_product(layer.rows * layer.cols, k, layer.outputs)
        for tier, kind in chip.tiers.items():
            copies = np.arange(1, 65 if kind.arrays else 2)
            yield tier, product, np.arange(1, layer.outputs + 1)[:, None], copies[None, :]


def options_rate(chip: Chip, layers: list[Layer]) -> tuple[int, float]:
    """(prices, CPU seconds) of options on `chip`."""
    count, start = 0, process_time()
    for tier, product, outputs, copies in options(chip, layers):
        count += price_part(chip, product, tier, outputs, copies).latency_ps.size
    return count, process_time() - start


def imc_difference(layers: list[Layer], samples: int) -> float:
    """Greatest relative difference between (layer, chip) priced in the whole space and alone, over a sample."""
    known, rng = constants("rram"), np.random.default_rng(3)
    chips, places = drawn(samples, 2)
    which = rng.integers(len(layers), size=samples)
    worst = 0.0
    for index in np.unique(which).tolist():
        whole = space_designs(SPACE["volt"])
        together = price(demand(Layers.one(layers[index]), whole.fabric(known)), figures(whole, known))
        shape = tuple(len(values) for values in SPACE.values())
        for sample in np.flatnonzero(which == index).tolist():
            place = tuple(int(at[sample]) for at in places.values())
            alone = price_layers(Layers.one(layers[index]), chips.at(sample), known)
            for name in ("latency_s", "energy_pj"):
                there = np.broadcast_to(getattr(together, name), shape)[place]
                worst = max(worst, abs(float(there / getattr(alone, name)) - 1))
    return worst


def option_difference(chip: Chip, layers: list[Layer], samples: int) -> float:
    """Greatest relative difference between options priced together and alone, over a sample."""
    rng, cases = np.random.default_rng(4), list(options(chip, layers))
    worst = 0.0
    for tier, product, outputs, copies in cases:
        together = price_part(chip, product, tier, outputs, copies)
        for _ in range(-(-samples // len(cases))):
            n, c = int(rng.integers(outputs.size)), int(rng.integers(copies.size))
            alone = price_part(chip, product, tier, int(outputs[n, 0]), int(copies[0, c]))
            for name in ("latency_ps", "energy_pj"):
                worst = max(worst, abs(float(getattr(together, name)[n, c] / getattr(alone, name)) - 1))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=3000, help="prices to compare (default: %(default)s)")
    arguments = parser.parse_args()
    STORE.driver = "benchmarks"
    folder = models() / "topology"
    listed = {name: layers_of_file(folder / NETWORKS[name], {}) for name in FOUR}
    networks = {name: Layers.of(layers) for name, layers in listed.items()}
    unique = [layer for layers in listed.values() for layer in dict.fromkeys(layers)]
    chip = load_chip("h3pimap")
    kept = True
    print("| what | prices | CPU s | a second |\n|---|---|---|---|")
    for name, (count, seconds) in (
        ("imc, whole space", space_rate(unique)),
        ("imc, list of chips", list_rate(networks)),
        ("h3pimap, options", options_rate(chip, unique)),
    ):
        kept &= count / seconds >= BAR_PER_S
        print(f"| {name} | {count:.4g} | {seconds:.2f} | {count / seconds:.3g} (bar {BAR_PER_S:g}) |", flush=True)
    differences = imc_difference(unique, arguments.samples), option_difference(chip, unique, arguments.samples)
    print(f"\ngreatest relative difference one at a time: imc {differences[0]:.1e}, options {differences[1]:.1e}")
    return 0 if kept and max(differences) <= MOST_DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main())
