"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path
from types import TracebackType


class Outputs:
    """Files that are written beside their final names and renamed together, in the order in which they were added.

    Used as a context: an exception inside leaves every old file as it was, and no temporary one behind.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[str, Path]] = []
        self._obsolete: list[Path] = []
        self._created: list[Path] = []

    def __enter__(self) -> "Outputs":
        return self

    def add(self, path: Path, content: bytes | str) -> None:
        """Write `content` for `path`; it gets its name when the context ends."""
        data = content.encode() if isinstance(content, str) else content
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        self._pending.append((temporary, path))
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from None

    def created(self, path: Path | None) -> None:
        """`path` has its name already, but goes away again if the context fails."""
        if path is not None:
            self._created.append(path)

    def remove(self, path: Path) -> None:
        """Delete `path` once all files have their names."""
        self._obsolete.append(path)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pending, self._pending = self._pending, []
        try:
            if kind is None:
                while pending:
                    temporary, path = pending[0]
                    os.replace(temporary, path)
                    pending.pop(0)
                for path in self._obsolete:
                    path.unlink(missing_ok=True)
                self._created.clear()
        finally:
            for path in self._created:
                path.unlink(missing_ok=True)
            for temporary, _ in pending:
                Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
