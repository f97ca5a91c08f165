"""What tells prices apart in the archive: digests of spaces, of files, and of the code that prices."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...runtime_sim.chip import Tree
from ...runtime_sim.code_version import code_version
from .expressions import Expression
from .space import Lookup, Space

_PRICING = (
    "dialects",
    "runtime_sim",
    "passes",
    "compiler/onnx_reader",
    "compiler/pipeline.py",
    "compiler/promise.py",
    "compiler/codesigning/closed_form.py",
    "compiler/codesigning/networks.py",
    "compiler/codesigning/placed.py",
    "compiler/codesigning/placed_chips.py",
    "compiler/codesigning/quality.py",
)
"""Folders and files that decide what a price is."""


def space_digest(space: Space) -> str:
    """What makes a chip of positions: the base chip, the variables with their values, the fields that follow.

    Names, descriptions and constraints are left out, as no price depends on them.
    """
    base = {key: value for key, value in space.tree.items() if key not in ("name", "description")}
    variables = [[variable.path, variable.values] for variable in space.variables]
    follow = [[path, each.text] for path, each in space.follow.items()]
    figures = [[name, _figure(figure)] for name, figure in space.figures.items()] if follow else []
    return digest_of([base, variables, follow, figures])


def digest_of(tree: Tree | Sequence[Any]) -> str:
    """The digest of plain data."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def model_digest(path: Path, dims: Mapping[str, int]) -> str:
    """What makes a model: its file, and the sizes of dimensions that it leaves open."""
    return digest_of([file_digest(path), [list(dim) for dim in sorted(dims.items())]])


def cost_version() -> str:
    """The digest of all that prices follow from: h3c's own code and constants, and the libraries beneath."""
    return code_version(_PRICING)


def _figure(figure: Expression | Lookup) -> Any:
    return figure.text if isinstance(figure, Expression) else [figure.by, sorted(figure.table.items())]
