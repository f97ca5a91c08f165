"""Fixtures shared by the tests: shipped models, further models, and the command lines as a user calls them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Tests run on all cores as it is; threads that wait for one another then cost many times the work. Read when numpy is
# imported, here and in the processes of the tests.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from h3c.runtime_sim.weights import STORE

STORE.driver = "tests"

Completed = subprocess.CompletedProcess[str]
Command = Callable[..., Completed]


@pytest.fixture
def models() -> Path:
    """The folder of the models that ship with the project."""
    return Path(__file__).parent.parent / "models"


@pytest.fixture
def further_models() -> Path:
    """The folder of models named by H3C_MODELS (trained/, topology/, quirks/); skips where there is none."""
    folder = os.environ.get("H3C_MODELS")
    if not folder:
        pytest.skip("H3C_MODELS does not name a folder of further models")
    return Path(folder)


@pytest.fixture(scope="session")
def command_server() -> Iterator[subprocess.Popen[str]]:
    """A process that runs tools of this installation without the time that they take to import their libraries."""
    program = Path(__file__).with_name("command_server.py")
    with subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        yield server
        assert server.stdin
        server.stdin.close()


@pytest.fixture
def command(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Command:
    """command("h3c", ...) runs a tool of this installation in tmp_path and returns the completed process.

    With alone=True it is started as a user starts it, with a seed of hashes of its own.
    """

    def run(tool: str, *arguments: object, stdin: str | None = None, alone: bool = False) -> Completed:
        words = [str(Path(sys.executable).with_name(tool)), *map(str, arguments)]
        if alone or not tool.startswith("h3c"):
            return subprocess.run(words, input=stdin, capture_output=True, text=True, cwd=tmp_path, timeout=300)
        server: subprocess.Popen[str] = request.getfixturevalue("command_server")
        assert server.stdin
        assert server.stdout
        streams = [tmp_path_factory.mktemp("streams") / name for name in ("stdin", "stdout", "stderr")]
        for path, text in zip(streams, (stdin or "", "", ""), strict=True):
            path.write_text(text)
        files = [str(path) for path in streams]
        asked = {"tool": tool, "words": words, "folder": str(tmp_path), "files": files, "environment": dict(os.environ)}
        print(json.dumps(asked), file=server.stdin, flush=True)
        return Completed(words, int(server.stdout.readline()), *(path.read_text() for path in streams[1:]))

    return run
