"""What the command lines share: arguments, one-line errors, exit statuses."""

import argparse
import gc
import os
import re
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import NoReturn

FAILED, INTERRUPTED = 1, 130


class UsageError(Exception):
    """A mistake on the command line; its text is the line that the user sees."""


class Arguments(argparse.ArgumentParser):
    """An argument parser whose mistakes end like all bad input: one line, status 1."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_dims(p: argparse.ArgumentParser, what: str) -> None:
    """`--dim`; `what`: whose dimensions they are."""
    p.add_argument(
        "--dim",
        metavar="NAME=VALUE",
        type=name_and_number,
        action="append",
        default=[],
        help=f"bind a symbolic dimension of {what} (repeat for several)",
    )


def add_quiet(p: argparse.ArgumentParser) -> None:
    """`-q`."""
    p.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")


def add_summary(p: argparse.ArgumentParser) -> None:
    """`--summary`."""
    p.add_argument("--summary", metavar="OUT.json", type=Path, help="where the figures go, as JSON")


def add_time_limit(p: argparse.ArgumentParser, what: str, default: float | None) -> None:
    """`--time-limit`; `what` it is for."""
    p.add_argument("--time-limit", metavar="SECONDS", type=positive_seconds, default=default, help=what)


def guarded(tool: str, body: Callable[[], None]) -> int:
    """Run `body`; returns the exit status. What went wrong is one line on stderr, never a traceback.

    With H3C_TRACEBACK set, the traceback of whatever went wrong follows the line.
    """
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        # Noted too, as an extension module that is just being loaded turns the exception into another one.
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    # IR is many small objects that stay: looking for dead cycles among them as often as by default costs a tenth.
    gc.set_threshold(50_000, 20, 20)
    try:
        body()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away: nothing is left to say, and nobody to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except BaseException as error:
        if interrupts or isinstance(error, KeyboardInterrupt):
            print(f"{tool}: interrupted", file=sys.stderr)
            return INTERRUPTED
        print(f"{tool}: {one_line(error)}", file=sys.stderr)
        if os.environ.get("H3C_TRACEBACK"):
            raise
        return FAILED
    return 0


def one_line(error: BaseException) -> str:
    """The line that says what went wrong. Classes are told by name, as importing them costs what `--help` may take."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory"
    told = getattr(error, "message", None) if type(error).__name__ == "DiagnosticException" else None
    text = " ".join(str(told or error).split())
    expected = ("InputError", "UsageError", "VerifyException", "PassFailedException", "ParseError", "ArgSpecParseError")
    names = {base.__name__ for base in type(error).__mro__}
    if names & set(expected):
        return _without_marks(text)
    return f"internal error, please report it with the input: {type(error).__name__}: {text}"


def _without_marks(text: str) -> str:
    """A parser's message without the source line and the carets below it."""
    return re.sub(r"\s*\^{2,}\s*", ": ", text)


def name_and_number(text: str) -> tuple[str, int]:
    """`NAME=VALUE` of `--dim`, the value a positive whole number."""
    name, _, value = text.rpartition("=")
    if not name or not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE with a positive whole number, got {text!r}")
    return name, int(value)


def positive_seconds(text: str) -> float:
    """A duration in seconds, above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return seconds


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number in `low` to `high`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return int(text)

    return parse


def quantity(units: Mapping[str, float], example: str) -> Callable[[str], float]:
    """The type of an option that takes a number above 0 with one of `units`, e.g. 2ms: the number in units of 1."""

    def parse(text: str) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)", text.strip(), re.ASCII)
        value = float(found[1]) * units.get(found[2], 0.0) if found else 0.0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(
                f"expected a number above 0 and one of {', '.join(units)}, as in {example}, got {text!r}"
            )
        return value

    return parse


def number_up_to(most: float) -> Callable[[str], float]:
    """The type of an option that takes a number above 0, at most `most`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value <= most or value == float("inf"):
            limit = "" if most == float("inf") else f", at most {most:g}"
            raise argparse.ArgumentTypeError(f"expected a number above 0{limit}, got {text!r}")
        return value

    return parse


def spinner(text: str) -> AbstractContextManager[object]:
    """What runs now, shown on a terminal while it runs; nothing where stderr is not a terminal."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(text)


@contextmanager
def status(text: str) -> Generator[Callable[[str], object]]:
    """What runs now, on a terminal, as `spinner`; yields what to call when something else does."""
    if not sys.stderr.isatty():
        yield lambda told: None
        return
    from rich.console import Console

    with Console(stderr=True).status(text) as shown:
        yield shown.update


@contextmanager
def progress(text: str, total: int) -> Generator[Callable[[int], None]]:
    """A bar on stderr where that is a terminal; yields what to call with the number of steps that are done."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(text), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda done: bar.update(task, completed=done)


def table(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Rows as aligned columns; `right` says which columns are flush right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = (
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True))
        for row in rows
    )
    return "\n".join("  " + line.rstrip() for line in lines)


def check_outputs(outputs: Sequence[Path | str | None], inputs: Sequence[Path] = ()) -> None:
    """Say before the work begins which file can't be written: no folder, an input, or one that is written twice."""
    taken = {path.resolve(): path for path in inputs}
    for path in (Path(output) for output in outputs if output is not None):
        if not path.parent.is_dir():
            raise UsageError(f"{path}: expected an existing folder {path.parent}, found none")
        if path.is_dir():
            raise UsageError(f"{path}: expected the name of a file, got a folder")
        if not os.access(path.parent, os.W_OK):
            raise UsageError(f"{path}: expected a folder that can be written, got {path.parent}")
        target = path.resolve()
        if target in taken and not (target.exists() and not target.is_file()):
            raise UsageError(f"{path}: expected outputs other than the inputs and each other")
        taken[target] = path
