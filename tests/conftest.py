"""Fixtures shared by the tests: shipped models, further models, and the command lines as a user calls them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from h3c.runtime_sim.weights import STORE

STORE.driver = "tests"

Command = Callable[..., subprocess.CompletedProcess[str]]


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


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """command("h3c", ...) runs a tool of this installation in tmp_path and returns the completed process."""

    def run(tool: str, *arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).with_name(tool)
        return subprocess.run(
            [program, *map(str, arguments)], input=stdin, capture_output=True, text=True, cwd=tmp_path, timeout=300
        )

    return run
