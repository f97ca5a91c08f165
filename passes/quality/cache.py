"""Measured losses on disk, by the digest of all that they depend on: the same question is not measured twice.

h3c's code counts among it. Files are in $XDG_CACHE_HOME/h3c, or ~/.cache/h3c; each is renamed into place when it is
whole. A folder that can't be written, or a file that can't be read, is as good as none.
"""

import os
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.printer import Printer

from ...runtime_sim.code_version import code_version

Array = NDArray[Any]

Found = tuple[dict[int, Array], float, float, int]
"""(losses [tier, output] by operator, passes, seconds, samples), as they were measured."""

_MEASURING = ("dialects", "runtime_sim", "passes")
"""Folders that decide what is measured; a noise model from elsewhere is not among them."""


def folder() -> Path:
    """Where files are."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "h3c"


def load(module: ModuleOp, inputs: Mapping[str, Array], settings: object) -> Found | None:
    """What `save` kept for the same module, chip, inputs and settings; None if there is nothing."""
    try:
        with np.load(_file(module, inputs, settings), allow_pickle=False) as arrays:
            tables = {int(key): arrays[key] for key in arrays.files if key.isdecimal()}
            passes, seconds, samples = arrays["counts"].tolist()
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return tables, passes, seconds, int(samples)


def save(module: ModuleOp, inputs: Mapping[str, Array], settings: object, found: Found) -> None:
    """Keep what was measured."""
    losses, *counts = found
    arrays = {str(position): table for position, table in losses.items()}
    path = _file(module, inputs, settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.savez_compressed(file, allow_pickle=False, counts=np.array(counts, np.float64), **arrays)
                file.close()
                os.replace(file.name, path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError:
        return


def _file(module: ModuleOp, inputs: Mapping[str, Array], settings: object) -> Path:
    """The module's own text has the digests of its weights and its chip; where files are does not matter."""
    copy = module.clone()
    for name in ("h3.stores", "h3.solution", "h3.trim", "h3.explain"):
        copy.attributes.pop(name, None)
    for op in copy.walk():
        op.properties.pop("parts", None)
    text = StringIO()
    Printer(text).print_op(copy)
    digest = sha256(f"{code_version(_MEASURING)} {settings!r}\n{text.getvalue()}".encode())
    for name, array in sorted(inputs.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return folder() / f"losses-{digest.hexdigest()[:32]}.npz"
