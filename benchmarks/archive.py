"""The imc model against another group's cost-model archive: constants fitted on half of its designs, errors on others.

    H3C_MODELS=/path/to/models python benchmarks/archive.py ARCHIVE.csv [--seed 1] [--write]

`--write` puts the fitted constants into runtime_sim/imc/constants.yaml. Absolute errors count for the networks whose
ONNX file is the network of the archive; of the others, whose sequences have other lengths, ranks do. The archive's
"resnet50" is another network than ResNet-50 and stays out. Exits with 1 if a bar is missed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from archive_data import NETWORKS, SAME_NETWORK, Archive, read_archive
from archive_fit import fitted, to_yaml
from measuring import models
from numpy.typing import NDArray

from h3c.compiler.codesigning.networks import layers_of_file
from h3c.runtime_sim.imc.constants import CONSTANTS_FILE, MEMORIES, constants_from_tree
from h3c.runtime_sim.imc.layers import Layers
from h3c.runtime_sim.imc.model import figures, price
from h3c.runtime_sim.weights import STORE

Floats = NDArray[np.float64]

LEAST_RANK = {"area": 0.999, "latency": 0.98, "energy": 0.95, "edap": 0.98}
MOST_ERROR = {"area": 0.10, "energy": 0.25}
"""Bars, over all nodes of a network; a single node has few designs, close to each other, and is shown only."""
ALL = "all nodes"


def ranks(values: Floats) -> Floats:
    """Ranks from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((ends - counts + ends - 1) / 2)[inverse]


def spearman(a: Floats, b: Floats) -> float:
    """Rank correlation, with ties."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def line(archive: Archive, modelled: dict[str, Floats], network: str, label: str, gate: bool) -> tuple[str, bool]:
    """One row: rank correlation and median relative error of each figure; and whether the bars are kept (if `gate`)."""
    kept, cells = True, [label, str(len(archive.area_mm2))]
    told = {"area": archive.area_mm2, "latency": archive.latency_s, "energy": archive.energy_j}
    told["edap"] = told["area"] * told["latency"] * told["energy"]
    for name, given in told.items():
        rank, error = spearman(modelled[name], given), float(np.median(np.abs(modelled[name] / given - 1)))
        wrong = rank < LEAST_RANK[name] or (network in SAME_NETWORK and error > MOST_ERROR.get(name, np.inf))
        wrong &= gate
        kept &= not wrong
        cells.append(f"{rank:.4f} / {error:.1%}{' MISSED' if wrong else ''}")
    return f"| {' | '.join(cells)} |", kept


def modelled_figures(archive: Archive, tree: dict[str, object], memory: str) -> dict[str, Floats]:
    """What the model says of each row of the archive, in the archive's units."""
    constants = constants_from_tree(tree, memory)
    chips = figures(archive.designs, constants)
    prices = price(archive.demand, chips)
    result = {"area": chips.area_mm2, "latency": prices.latency_s, "energy": prices.energy_pj * 1e-12}
    return {**result, "edap": result["area"] * result["latency"] * result["energy"]}


def table(csv: Path, *, seed: int = 1, write: bool = False, single_nodes: bool = True) -> tuple[str, bool]:
    """The errors on designs that were not used for fitting, and whether all bars are kept."""
    STORE.driver = "benchmarks"
    folder = models() / "topology"
    networks = {name: Layers.of(layers_of_file(folder / file, {})) for name, file in NETWORKS.items()}
    archives = {memory: read_archive(csv, memory, networks) for memory in MEMORIES}
    halves = {memory: archive.half(seed) for memory, archive in archives.items()}
    tree = fitted({memory: archives[memory].where(halves[memory]) for memory in MEMORIES})
    if write:
        CONSTANTS_FILE.write_text(to_yaml(tree))
    lines, kept = ["| memory, network, nm | rows | area | latency | energy | EDAP |", "|---|---|---|---|---|---|"], True
    for memory, archive in archives.items():
        rest = archive.where(~halves[memory])
        values = modelled_figures(rest, tree, memory)
        for network in networks:
            own = rest.network == network
            each = sorted(set(rest.designs.node_nm[own].tolist()))
            for nodes in [*([ALL] if each else []), *(each if len(each) > 1 and single_nodes else [])]:
                rows = own if nodes == ALL else own & (rest.designs.node_nm == nodes)
                some = {name: value[rows] for name, value in values.items()}
                told, good = line(rest.where(rows), some, network, f"{memory}, {network}, {nodes}", gate=nodes == ALL)
                lines.append(told)
                kept &= good
    return "\n".join(lines), kept


def main() -> int:
    """Print the table; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, metavar="ARCHIVE.csv")
    parser.add_argument("--seed", type=int, default=1, help="of the split into halves (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help=f"write the constants to {CONSTANTS_FILE.name}")
    arguments = parser.parse_args()
    text, kept = table(arguments.archive, seed=arguments.seed, write=arguments.write)
    print(f"Designs not used for fitting: Spearman / median relative error\n\n{text}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
