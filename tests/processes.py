"""Processes of tests: a Dask scheduler with workers on this machine; whether one has ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def cluster(workers: int, *words: str, failures: int = 3) -> Generator[tuple[str, list["subprocess.Popen[bytes]"]]]:
    """A scheduler and workers, each a process of its own: the address, and the workers."""
    pytest.importorskip("distributed", reason="the package distributed is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    paths = [str(Path(__file__).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    settings = {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(failures),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    environment = {**os.environ, **settings, "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "0"}

    def start(*command: str) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "dask", *command]
        return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    port = address.rpartition(":")[2]
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    ones = [start("worker", address, "--nthreads", "1", "--no-dashboard", *words) for _ in range(workers)]
    try:
        for _ in range(600):  # a busy machine takes a while to start it
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            time.sleep(0.1)
        yield address, ones
    finally:
        for process in (*ones, scheduler):
            process.terminate()
        for process in (*ones, scheduler):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def gone(pid: int) -> bool:
    """Whether a process ends within some seconds."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False
