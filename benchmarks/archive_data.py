"""Rows of the archive of another group's cost model (CiMLoop), as arrays."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h3c.runtime_sim.imc.constants import constants
from h3c.runtime_sim.imc.layers import Layers
from h3c.runtime_sim.imc.mapping import Demand, network_demand
from h3c.runtime_sim.imc.model import VARIABLES, Designs

NETWORKS = {
    "resnet18": "resnet18.legacy17.onnx",
    "vgg16": "vgg16.legacy11.onnx",
    "alexnet": "alexnet.legacy17.onnx",
    "mobilenet_v3": "mobilenet_v3_large.legacy17.onnx",
    "densenet201": "densenet201.legacy17.onnx",
    "vision_transformer": "vit_b_16.legacy17.onnx",
    "mobilebert": "mobilebert.seq128.dynamo20.onnx",
    "gpt2_medium": "gpt2_medium.prefill.dynamo20.onnx",
}
"""The archive's names, and the files of topology/ in H3C_MODELS."""
SAME_NETWORK = ("resnet18", "vgg16", "alexnet", "mobilenet_v3", "densenet201")
"""Those whose file is the archive's network, layer for layer; the others have other sequence lengths."""


@dataclass(frozen=True)
class Archive:
    """Rows of one memory: designs and what they were priced at, and what the networks ask of them by our mapping."""

    network: NDArray[np.str_]
    designs: Designs
    energy_j: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    area_mm2: NDArray[np.float64]
    demand: Demand

    def where(self, rows: NDArray[np.bool_]) -> "Archive":
        """Some of the rows."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        asked = Demand(*(getattr(self.demand, field.name)[rows] for field in fields(Demand)))
        plain = {name: value[rows] for name, value in values.items() if name not in ("designs", "demand")}
        return Archive(**plain, designs=self.designs.at(rows), demand=asked)

    def half(self, seed: int) -> NDArray[np.bool_]:
        """The rows of half of the designs: every other one of each node and buffer, in random order.

        All networks of a design are on the same side.
        """
        variables = np.stack([getattr(self.designs, name) for name in VARIABLES])
        distinct, index = np.unique(variables, axis=1, return_inverse=True)
        node, depth = distinct[VARIABLES.index("node_nm")], distinct[VARIABLES.index("glb_depth_2048bit")]
        order = np.lexsort((np.random.default_rng(seed).random(len(node)), depth, node))
        drawn = np.zeros(len(node), np.bool_)
        drawn[order[1::2]] = True
        return drawn[index]


def read_archive(path: Path, memory: str, networks: Mapping[str, Layers]) -> Archive:
    """The rows of `memory` for `networks`."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["memory"] == memory.upper() and row["network"] in networks]

    def column(name: str) -> NDArray[np.float64]:
        return np.array([float(row[name]) for row in rows])

    designs = Designs.of(**{name: column(name) for name in VARIABLES})
    network = np.array([row["network"] for row in rows])
    asked: dict[str, Any] = {field.name: np.zeros(len(rows)) for field in fields(Demand)}
    for name, layers in networks.items():
        at = network == name
        total = network_demand(layers, designs.at(at).fabric(constants(memory)))
        for each, values in asked.items():
            values[at] = getattr(total, each)
    return Archive(network, designs, column("energy_j"), column("latency_s"), column("area_mm2"), Demand(**asked))
