"""The version of h3c's own code, for figures that are kept: what another version found is not taken for this one's."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "ortools", "xdsl")


@cache
def code_version(places: Sequence[str]) -> str:
    """The digest of h3c's files of code and constants in `places` (folders or files), and of the libraries beneath."""
    result = hashlib.sha256()
    for name in places:
        place = _ROOT / name
        kinds = ("*.py", "*.yaml", "*.onnxtxt")
        files = [place] if place.is_file() else [path for kind in kinds for path in place.rglob(kind)]
        for path in sorted(files):
            result.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    for name in _LIBRARIES:
        result.update(f"{name} {version(name)}\n".encode())
    return result.hexdigest()[:32]
