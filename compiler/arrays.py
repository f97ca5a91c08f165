"""Arrays of the user's: inputs from .npz files, outputs to them."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime_sim.errors import InputError

Array = NDArray[Any]


def read_inputs(specs: Sequence[str], option: str = "--inputs") -> dict[str, Array]:
    """Inputs by name, from `x.npz` (every array of it) and `NAME=x.npz:KEY` (one array), later ones first.

    `NAME=FILE:KEY` is split at its first `=` and its last `:`, so that names may hold a colon.
    """
    found: dict[str, Array] = {}
    for spec in specs:
        if "=" not in spec or Path(spec).is_file():
            found |= _arrays(Path(spec))
            continue
        name, _, source = spec.partition("=")
        file, _, key = source.rpartition(":")
        if not name or not file or not key:
            raise InputError(f"{option} {spec}: expected X.npz or NAME=X.npz:KEY")
        arrays = _arrays(Path(file), key)
        found[name] = arrays[key]
    return found


def read_labels(spec: str) -> Array:
    """Labels from `x.npz:KEY`, or from `x.npz` if it holds one array."""
    path = Path(spec)
    if not path.is_file():
        file, _, key = spec.rpartition(":")
        if not file or not key:
            raise InputError(f"--labels {spec}: expected X.npz:KEY, or X.npz with one array")
        return _arrays(Path(file), key)[key]
    arrays = _arrays(path)
    if len(arrays) != 1:
        raise InputError(f"--labels {spec}: expected X.npz:KEY, KEY being one of {', '.join(arrays) or 'none'}")
    return next(iter(arrays.values()))


def _arrays(path: Path, key: str | None = None) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise InputError(f"{path}: expected an .npz file of named arrays, got a single array")
            if key is not None and key not in file.files:
                raise InputError(f"{path}: expected an array {key!r}, found {', '.join(file.files)}")
            return {name: file[name] for name in ([key] if key is not None else file.files)}
    except (ValueError, zipfile.BadZipFile, EOFError):
        raise InputError(f"{path}: expected an .npz file of numbers, got something else") from None


def npz_bytes(arrays: dict[str, Array]) -> bytes:
    """The content of an .npz file; the same arrays give the same bytes. Bfloat16, not in NumPy, becomes float32."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = io.BytesIO()
            known = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
            np.lib.format.write_array(entry, np.asanyarray(known), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), entry.getvalue())
    return stream.getvalue()
