"""Small networks and spaces of the co-design template for tests."""

from pathlib import Path
from typing import Any

from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.space import Space
from h3c.compiler.codesigning.space_files import space_from_tree
from h3c.runtime_sim.imc.layers import Layer, Layers

NETWORKS = {
    "conv": Layers.of(
        [Layer(3, 64, 7, 7, 1, 56, 56), Layer(64, 128, 3, 3, 1, 28, 28), Layer(128, 1000, 1, 1, 1, 1, 1)]
    ),
    "depthwise": Layers.of([Layer(1, 1, 3, 3, 96, 28, 28), Layer(96, 192, 1, 1, 1, 28, 28)] * 2),
    "tokens": Layers.of([Layer(256, 1024, 1, 1, 1, 64, 1), Layer(1024, 256, 1, 1, 1, 64, 1)] * 3),
}

Tree = dict[str, Any]


def tree(**changed: Any) -> Tree:
    """A space of 1,944 SRAM chips, of which the least supply is too low at 45 nm; with some fields changed."""
    variables = {
        "volt": [0.55, 0.6, 0.7],
        "cycle_ns": [1.0, 2.0],
        "rows": {"from": 64, "to": 256, "factor": 2},
        "cols": {"from": 64, "to": 256, "factor": 2},
        "groups": [1, 2, 6],
        "macros_per_tile": [4, 16],
        "glb_depth_2048bit": [4096, 8192, 16384],
        "node_nm": [32, 45],
    }
    return {
        "name": "small",
        "description": "chips for tests",
        "base": "imc-sram",
        "variables": {f"tiers.imc.{name}": values for name, values in variables.items()},
        "figures": {"per_mm2": {"by": "node_nm", "table": {32: 1.0, 45: 0.606}}, "cost": "area_mm2 * per_mm2"},
        "constraints": {
            "area": "area_mm2 <= 120",
            "capacity": {"require": "capacity_weights >= model_weights", "default": "off", "note": "loaded in turns"},
        },
        "follow": {"buffer.size_bytes": "glb_depth_2048bit * 256"},
        "stages": {
            "circuit": ["rows", "cols"],
            "architecture": ["groups", "macros_per_tile", "glb_depth_2048bit"],
            "system": ["volt", "cycle_ns"],
        },
        **changed,
    }


def space(**changed: Any) -> Space:
    """The space of `tree`."""
    return space_from_tree(tree(**changed), "small.yaml", Path())


def form(**changed: Any) -> ClosedForm:
    """That space, priced for NETWORKS."""
    return ClosedForm(space(**changed), NETWORKS)
