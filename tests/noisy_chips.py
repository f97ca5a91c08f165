"""Chips with noise, and plans on them, for tests of quality."""

from pathlib import Path
from typing import Any

import yaml
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.chips.load import load_chip
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.runtime_sim.chip import chip_tree

LIONHEART = {"model": "pcm", "output_noise": 0.06, "compensation": "global"}
"""As LionHeart's tiles (arXiv 2401.09420): AIHWKIT's PCM, noise of outputs 0.06, global compensation; and noise of
reads."""

QUIET_PCM = {
    "model": "pcm",
    "programming_scale": 0.0,
    "drift_scale": 0.0,
    "read_scale": 0.0,
    "read_noise": False,
}
"""Phase-change memory without a fault."""


def chip_file(folder: Path, chip: str, **noises: dict[str, Any] | None) -> Path:
    """A copy of a built-in chip as a file in `folder`, its tiers with these noises and no others."""
    tree = chip_tree(load_chip(chip))
    for tier in tree["tiers"].values():
        tier.pop("noise", None)
    for name, noise in noises.items():
        if noise is not None:
            tree["tiers"][name]["noise"] = noise
    path = folder / f"{chip}-noisy.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def compiled(model: Path, chip: Path, tier: str, batch: int = 1) -> ModuleOp:
    """The plan of a model with all that `tier` can take on that tier."""
    module = read_onnx(model, {"batch": batch})
    options: dict[str, dict[str, Any]] = {
        "attach-chip": {"target": str(chip)},
        "place-parts": {
            "strategy": "homogeneous",
            "tier": tier,
            "objective": "latency",
            "time_limit": 10.0,
            "min_bits": 8,
        },
    }
    run(module, build(options), new_context())
    return module


def unplaced(model: Path, chip: Path | str, batch: int | None = 1) -> ModuleOp:
    """A model with its chip, up to the pass that places it; `batch` None: its dimensions are fixed."""
    module = read_onnx(model, {} if batch is None else {"batch": batch})
    names = [name for name, _ in PIPELINE]
    run(module, build({"attach-chip": {"target": str(chip)}}, names[: names.index("place-parts")]), new_context())
    return module
