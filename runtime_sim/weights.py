"""Values of weights: a store of this process that is addressed by content, and the files that back it.

An h3.weight names its values by digest. A pass that makes values puts them here (`STORE.put`); the module lists the
files that hold the rest (`h3.stores`). Files are opened read-only, when a value is first asked for, and a value is used
only if its digest agrees.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, cast

import ml_dtypes
import numpy as np
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType

from ..dialects.constants import Array, numpy_dtype
from ..dialects.h3 import WeightOp
from ..dialects.text import escape, unescape
from .errors import InputError
from .onnx_tensors import constants_in

DIGEST_DIGITS = 16
"""Hexadecimal digits of a digest: 64 bits of SHA-256, so that a collision among 10^6 tensors has odds of 3e-8."""

_SAFETENSORS_TYPES: dict[np.dtype[Any], str] = {
    np.dtype(scalar): name
    for scalar, name in (
        (np.float64, "F64"),
        (np.float32, "F32"),
        (np.float16, "F16"),
        (ml_dtypes.bfloat16, "BF16"),
        (np.int64, "I64"),
        (np.int32, "I32"),
        (np.int16, "I16"),
        (np.int8, "I8"),
        (np.uint64, "U64"),
        (np.uint32, "U32"),
        (np.uint16, "U16"),
        (np.uint8, "U8"),
        (np.bool_, "BOOL"),
        (ml_dtypes.float8_e4m3fn, "F8_E4M3"),
        (ml_dtypes.float8_e5m2, "F8_E5M2"),
    )
}
_MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format."""


def _bytes(array: Array) -> Any:
    """The little-endian bytes of an array, without a copy where possible; types below 8 bits take one byte, signed."""
    if array.dtype.name in ("int4", "int2"):
        array = array.astype(np.int8)
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return array.reshape(-1).view(np.uint8).data if array.size else b""


def digest_of(array: Array) -> str:
    """The digest of a tensor: over its type, its shape and its values."""
    digest = hashlib.sha256(f"{array.dtype.name}{list(array.shape)}".encode())
    digest.update(_bytes(array))
    return digest.hexdigest()[:DIGEST_DIGITS]


def digest_of_bytes(data: bytes) -> str:
    """The digest of a file with this content."""
    return hashlib.sha256(data).hexdigest()[:DIGEST_DIGITS]


def file_digest(path: Path) -> str:
    """The digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGEST_DIGITS]


def _from_bytes(data: Any, type: TensorType) -> Array | None:
    """Bytes as stored, read as a tensor of `type`; None if their number is wrong."""
    dtype = numpy_dtype(type.element_type)
    shape = tuple(type.get_shape())
    if len(data) != prod(shape) * dtype.itemsize:
        return None
    if dtype.name in ("int4", "int2"):
        return np.frombuffer(data, np.int8).astype(dtype).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


Reader = Callable[[str, str, TensorType], Array | None]
"""What a file offers: values by key and digest, for a type; None if it has not got them."""


class WeightStore:
    """Values by digest: those made or read in this process, then those of registered files."""

    def __init__(self, driver: str | None = "its owner") -> None:
        self.driver = driver
        """Who writes made values to a file in the end; None (a stock xdsl-opt): nobody, so none can be made."""
        self._values: dict[str, Array] = {}
        self._homes: dict[str, set[str]] = {}  # the files that hold a value, as absolute paths
        self._files: dict[tuple[Path, str | None], Reader] = {}

    def put(self, array: Array) -> str:
        """Keep a value that a pass made; returns its digest. An error where no driver would write it to a file."""
        if self.driver is None:
            raise InputError("a pass makes values of weights, which this tool would lose: run it under h3c-opt")
        return self._keep(array)

    def _keep(self, array: Array) -> str:
        digest = digest_of(array)
        self._values.setdefault(digest, array)
        return digest

    def put_from_file(self, array: Array, path: Path) -> str:
        """Keep a value that is also in the file `path`; returns its digest."""
        digest = self._keep(array)
        self._is_in(digest, path)
        return digest

    def _is_in(self, digest: str, path: Path) -> None:
        self._homes.setdefault(digest, set()).add(os.path.abspath(path))

    def made(self, digests: Iterable[str], files: Iterable[str | Path]) -> list[str]:
        """Those of `digests` whose values are in none of `files`, sorted: a driver writes them beside the plan."""
        listed = {os.path.abspath(file) for file in files}
        return sorted({each for each in digests if each in self._values and not listed & self._homes.get(each, set())})

    def register_onnx(self, path: Path, digest: str | None = None) -> None:
        """Let values be found in an ONNX file (and its external data), opened when first needed."""
        self._files.setdefault((path, digest), _lazy(path, digest, _onnx_reader))

    def register_safetensors(self, path: Path, digest: str | None = None) -> None:
        """Let values be found in a safetensors file, mapped when first needed."""
        self._files.setdefault((path, digest), _lazy(path, digest, _safetensors_reader))

    def register(self, path: Path, digest: str | None = None) -> None:
        """Either of the two, by the file's name."""
        if path.suffix == ".onnx":
            self.register_onnx(path, digest)
        elif path.suffix == ".safetensors":
            self.register_safetensors(path, digest)
        else:
            raise InputError(f"{path}: a store of weights is an .onnx or a .safetensors file")

    def array(self, op: WeightOp) -> Array:
        """The values of an h3.weight, read-only."""
        key, type = unescape(op.key.data), op.result.type
        if op.absent is not None:
            raise InputError(f"weight {key!r} has no values: the model came without them")
        if op.splat is not None:
            return np.broadcast_to(np.array(op.splat.value.data, numpy_dtype(type.element_type)), type.get_shape())
        assert op.digest is not None
        return self.by_digest(op.digest.data, key, type)

    def by_digest(self, digest: str, key: str, type: TensorType) -> Array:
        """The values with this digest; `key` is their name in files and in errors."""
        found = self._values.get(digest)
        problems: list[InputError] = []
        for (path, _), read in () if found is not None else self._files.items():
            try:
                found = read(key, digest, type)
            except InputError as error:  # another file may have it
                problems.append(error)
            if found is not None:
                self._is_in(digest, path)
                self._values[digest] = found
                break
        if found is None and problems:
            raise problems[0]
        if found is None:
            files = ", ".join(str(path) for path, _ in self._files) or "no file is listed in h3.stores"
            raise InputError(f"weight {key!r} with digest {digest} was not found ({files})")
        if list(found.shape) != list(type.get_shape()) or found.dtype != numpy_dtype(type.element_type):
            raise InputError(
                f"weight {key!r} is {found.dtype.name}{list(found.shape)} in its file, the plan expects {type}"
            )
        return found

    def write_safetensors(self, folder: Path, stem: str, digests: Iterable[str]) -> Path | None:
        """Write values to `folder`/`stem`.<8 hex of the file's digest>.safetensors, whole or not at all.

        Returns the file; None if there is nothing to write. The same values give the same bytes.
        """
        wanted = sorted(set(digests))
        if not wanted:
            return None
        arrays = {digest: self._values[digest] for digest in wanted}
        temporary = folder / f".{stem}.{os.getpid()}.tmp"
        try:
            digest = _write(temporary, arrays)
            path = folder / f"{stem}.{digest[:8]}.safetensors"
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        for digest in wanted:
            self._is_in(digest, path)
        return path


STORE = WeightStore(driver=None)
"""The store of this process."""


def _lazy(path: Path, digest: str | None, open_file: Callable[[Path], Reader]) -> Reader:
    """Open `path` at the first question, after comparing its digest."""
    opened: list[Reader] = []

    def read(key: str, wanted: str, type: TensorType) -> Array | None:
        if not opened:
            if not path.is_file():
                raise InputError(f"{path}: the plan's weights are in this file, which is not there")
            found = file_digest(path)
            if digest is not None and found != digest:
                raise InputError(f"{path}: expected digest {digest}, got {found}; the file has changed since the plan")
            opened.append(open_file(path))
        return opened[0](key, wanted, type)

    return read


def _onnx_reader(path: Path) -> Reader:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        constants = constants_in(onnx.load(path, load_external_data=False), path)
    except DecodeError as error:
        raise InputError(f"{path}: no ONNX model") from error
    by_digest: dict[str, Array] = {}

    def read(key: str, digest: str, type: TensorType) -> Array | None:
        array = constants[key]() if key in constants else None
        if array is not None and digest_of(array) == digest:
            return array
        if not by_digest:  # a constant of an inlined function has another name in the file
            for load in constants.values():
                with suppress(InputError):  # it is not this constant's turn to be wrong
                    by_digest.update((digest_of(each), each) for each in (load(),) if each is not None)
        return by_digest.get(digest)

    return read


def _safetensors_reader(path: Path) -> Reader:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header_size = int.from_bytes(file.read(8), "little")
        if size < 8 or header_size > min(_MAX_HEADER, size - 8):
            raise InputError(f"{path}: not a safetensors file")
        try:
            header: Any = json.loads(file.read(header_size))
            spans: dict[str, tuple[int, int]] = {
                name: (int(entry["data_offsets"][0]), int(entry["data_offsets"][1]))
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise InputError(f"{path}: not a safetensors file") from error
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[8 + header_size :]

    def read(key: str, digest: str, type: TensorType) -> Array | None:
        for name in (digest, key):
            start, end = spans.get(name, (0, -1))
            if 0 <= start <= end <= len(data):
                array = _from_bytes(data[start:end], type)
                if array is not None and digest_of(array) == digest:
                    return array
        return None

    return read


def _write(path: Path, arrays: Mapping[str, Array]) -> str:
    """Write a safetensors file, tensors in the order given; returns the digest of its content."""
    header: dict[str, Any] = {}
    end = 0
    for name, array in arrays.items():
        type = _SAFETENSORS_TYPES.get(array.dtype)
        size = array.size * array.dtype.itemsize
        shape = list(array.shape) if type else [size]  # other types are written as plain bytes
        header[name] = {"dtype": type or "U8", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in (len(text).to_bytes(8, "little"), text, *map(_bytes, arrays.values())):
            file.write(piece)
            digest.update(piece)
    return digest.hexdigest()[:DIGEST_DIGITS]


def stores_of(module: ModuleOp) -> list[tuple[str, str]]:
    """The files that `h3.stores` of a module lists: (path, digest)."""
    stores = module.attributes.get("h3.stores")
    found: list[tuple[str, str]] = []
    for entry in cast(tuple[Any, ...], stores.data) if isinstance(stores, ArrayAttr) else ():
        fields = entry.data if isinstance(entry, DictionaryAttr) else {}
        path, digest = fields.get("path"), fields.get("digest")
        if not isinstance(path, StringAttr) or not isinstance(digest, StringAttr):
            raise InputError(f'h3.stores: expected entries {{digest = "..", path = ".."}}, got {entry}')
        found.append((unescape(path.data), digest.data))
    return found


def set_stores(module: ModuleOp, stores: Iterable[tuple[str, str]]) -> None:
    """Set `h3.stores` of a module to these files: (path, digest)."""
    entries = [{"digest": StringAttr(digest), "path": StringAttr(escape(path))} for path, digest in stores]
    module.attributes["h3.stores"] = ArrayAttr([DictionaryAttr(dict(entry)) for entry in entries])


def register_stores(module: ModuleOp, folder: Path, store: WeightStore = STORE) -> None:
    """Register the stores of a module whose paths are relative to `folder`; make them relative to the working folder.

    In a process, `h3.stores` is relative to the working folder; in a file, to that file.
    """
    moved = [(os.path.normpath(folder / path), digest) for path, digest in stores_of(module)]
    for path, digest in moved:
        store.register(Path(path), digest)
    if moved:
        set_stores(module, moved)


def relative_stores(module: ModuleOp, folder: Path) -> list[tuple[str, str]]:
    """The stores of a module in a process, with paths relative to `folder`, where a file of it will be written."""
    return [(Path(os.path.relpath(path, folder)).as_posix(), digest) for path, digest in stores_of(module)]
