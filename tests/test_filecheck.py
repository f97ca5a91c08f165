"""The FileCheck tests of passes and syntax, as one test of pytest."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "filecheck"


def test_every_filecheck_test_passes() -> None:
    lit = Path(sys.executable).with_name("lit")
    done = subprocess.run([lit, "--quiet", "-v", "-j2", FOLDER], capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"lit: exit status {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
