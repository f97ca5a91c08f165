"""Every price of a chip that was ever found, in a file, so that no search pays for it again.

The archive is a memo and nothing else. A search decides from what it visited itself, so a search that was killed is run
again with the same seed: it asks for the same chips in the same order, finds those that are done here, and goes on.
Any number of searches may use one file at once. Only the process that drives a search writes; each result is in the
file, and safe from a kill of any process, before the search hears of it (SQLite, write-ahead log; a loss of power may
cost the last moments, but does not harm the file).
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Any, TypeVar

from ...runtime_sim.errors import InputError
from .space import Design

WAIT_S = 30.0
"""How long to wait for another search that is writing."""
FORMAT = 2
"""Of the tables. Those of format 1, which lack the columns of quality, get them."""

_TABLES = """
create table if not exists contexts (
    id integer primary key, space text not null, model text not null, version text not null, settings text not null,
    unique (space, model, version, settings));
create table if not exists prices (
    context integer not null, design text not null, energy_pj real, latency_ns real, area_mm2 real, reason text,
    loss real, quality real,
    primary key (context, design)) without rowid;
"""
_MOST_ASKED = 500
_T = TypeVar("_T")


@dataclass(frozen=True)
class Price:
    """What a model costs on a chip: energy in pJ and latency in ns of one execution, silicon in mm2.

    With a `reason` it could not be priced: energy and latency are infinite. `loss` and `quality` under noise (module
    `quality`) are None where they were not measured.
    """

    energy_pj: float
    latency_ns: float
    area_mm2: float
    reason: str | None = None
    loss: float | None = None
    quality: float | None = None

    @staticmethod
    def failed(reason: str, area_mm2: float = inf) -> "Price":
        """A model that cannot run on the chip."""
        return Price(inf, inf, area_mm2, reason)


@dataclass(frozen=True)
class Context:
    """What a price depends on beside the chip; each field is a digest or a text that says all of it."""

    space: str
    model: str
    version: str
    settings: str


class Archive:
    """The archive in the file `path`, which is made if it is not there."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.parent.is_dir():
            raise InputError(f"{self.path}: expected an existing folder {self.path.parent}, found none")
        try:
            self._file = sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)
            _patiently(self._prepare)
        except sqlite3.Error as error:
            raise self._fault(error) from None
        self._ids: dict[Context, int] = {}

    def close(self) -> None:
        """Nothing is lost without it."""
        self._file.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, context: Context, designs: Sequence[Design]) -> dict[Design, Price]:
        """Prices of those of the chips that are known."""
        known: dict[Design, Price] = {}
        number = self._id(context)
        for first in range(0, len(designs), _MOST_ASKED):
            asked = {_text(design): design for design in designs[first : first + _MOST_ASKED]}
            marks = ",".join("?" * len(asked))
            figures = "design, energy_pj, latency_ns, area_mm2, reason, loss, quality"
            query = f"select {figures} from prices where context = ? and design in ({marks})"
            for text, *values in self._run(query, [number, *asked]):
                energy, latency, area = (inf if value is None else value for value in values[:3])
                known[asked[text]] = Price(energy, latency, area, *values[3:])
        return known

    def put(self, rows: Iterable[tuple[Context, Design, Price]]) -> None:
        """Add prices, all or none; on return they are in the file. What is known already stays as it is."""
        values = [
            (
                *(self._id(context), _text(design), *map(_finite, (p.energy_pj, p.latency_ns, p.area_mm2))),
                *(p.reason, p.loss, p.quality),
            )
            for context, design, p in rows
        ]
        try:
            self._file.execute("begin immediate")
            self._file.executemany("insert or ignore into prices values (?, ?, ?, ?, ?, ?, ?, ?)", values)
            self._file.execute("commit")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._file.execute("rollback")
            raise self._fault(error) from None

    def __len__(self) -> int:
        """How many prices it has, of all searches."""
        return int(self._run("select count(*) from prices", [])[0][0])

    def _prepare(self) -> None:
        """Choose the log and make the tables. Several processes may do so at the same moment."""
        self._file.execute("pragma journal_mode = wal")
        self._file.execute("pragma synchronous = normal")
        self._file.execute("begin immediate")
        try:
            found = int(self._file.execute("pragma user_version").fetchone()[0])
            tables = int(self._file.execute("select count(*) from sqlite_master").fetchone()[0])
            if found not in (1, FORMAT) and (found or tables):
                raise InputError(f"{self.path}: expected an archive of format {FORMAT}, got format {found}")
            for column in ("loss", "quality") if found == 1 else ():
                self._file.execute(f"alter table prices add column {column} real")
            for statement in _TABLES.split(";"):
                self._file.execute(statement)
            self._file.execute(f"pragma user_version = {FORMAT}")
        finally:
            self._file.execute("commit")

    def _id(self, context: Context) -> int:
        """The number of a context, which is added where it is new."""
        if context not in self._ids:
            values = list(vars(context).values())
            self._run("insert or ignore into contexts (space, model, version, settings) values (?, ?, ?, ?)", values)
            where = "space = ? and model = ? and version = ? and settings = ?"
            self._ids[context] = int(self._run(f"select id from contexts where {where}", values)[0][0])
        return self._ids[context]

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._file.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._fault(error) from None

    def _fault(self, error: sqlite3.Error) -> InputError:
        return InputError(f"{self.path}: expected an archive of evaluations (SQLite), got: {error}")


def _patiently(action: Callable[[], _T]) -> _T:
    """Again while the file is locked: the change to a write-ahead log does not wait by itself."""
    end = time.monotonic() + WAIT_S
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(0.02)


def _text(design: Design) -> str:
    return ",".join(map(str, design))


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
