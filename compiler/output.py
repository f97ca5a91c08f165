"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TextIO


class Outputs:
    """Files that are written beside their final names and renamed together, in the order in which they were added.

    Used as a context: an exception inside leaves every old file as it was, and no temporary one behind. A link is
    followed; what is no plain file (a pipe, a device) is opened and written when the context ends.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, Path]] = []
        self._streams: list[tuple[Path, bytes]] = []
        self._obsolete: list[Path] = []
        self._created: list[Path] = []

    def __enter__(self) -> "Outputs":
        return self

    def add(self, path: Path, content: bytes | str) -> None:
        """Write `content` for `path`; it gets its name when the context ends."""
        data = content.encode() if isinstance(content, str) else content
        target = path.resolve()
        if target.exists() and not target.is_file():
            self._streams.append((target, data))
            return
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        self._pending.append((temporary, target))
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None

    @contextmanager
    def stream(self, path: Path) -> Generator[TextIO]:
        """A file for `path` that is written piece by piece; it gets its name when the context of all files ends.

        What is no plain file is written at once.
        """
        target = path.resolve()
        if target.exists() and not target.is_file():
            with target.open("w", encoding="utf-8", newline="") as file:
                yield file
            return
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        self._pending.append((temporary, target))
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
        except OSError as error:
            if error.filename is not None:  # of a file that the caller reads meanwhile
                raise
            raise OSError(error.errno, error.strerror, str(path)) from None

    def created(self, path: Path) -> None:
        """`path` is new and has its name already; it goes away again if no file that was added gets its own."""
        self._created.append(path)

    def remove(self, path: Path) -> None:
        """Delete `path` once all files have their names."""
        self._obsolete.append(path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            for path in self._created:
                path.unlink(missing_ok=True)
            for temporary, _ in self._pending:
                Path(temporary).unlink(missing_ok=True)

    def _commit(self) -> None:
        while self._pending:
            temporary, path = self._pending[0]
            os.replace(temporary, path)
            self._pending.pop(0)
            self._created.clear()  # a file that refers to them is in place
        self._created.clear()
        for path, data in self._streams:
            path.open("wb").write(data)
        for path in self._obsolete:
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
