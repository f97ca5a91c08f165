"""Runs the command lines of h3c, each in a process of its own, forked from this one, which has imported what they need.

A command takes a second or two to import its libraries, longer than what most tests ask of it. A request is a line
of JSON on stdin: the tool, its words, its folder, its environment, the files that are its stdin, stdout and stderr.
The answer is a line with its exit status, negative where a signal ended it.
"""

import importlib
import json
import os
import pkgutil
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import NoReturn

LIBRARIES = ("onnxruntime", "ortools.linear_solver.pywraplp", "onnx.reference")
TIME_LIMIT_S = 300


def import_all() -> None:
    """The libraries, and every module of h3c that a command may import."""
    package = importlib.import_module("h3c")
    for floor in ("dialects", "runtime_sim", "passes", "compiler"):
        paths = [f"{folder}/{floor}" for folder in package.__path__]
        for module in pkgutil.walk_packages(paths, f"h3c.{floor}."):
            importlib.import_module(module.name)
    for name in LIBRARIES:
        importlib.import_module(name)


def next_command() -> Callable[[], object] | None:
    """In each forked process the command to run there; None in this one, when there are no more requests."""
    tools = {point.name: point for point in entry_points(group="console_scripts") if point.value.startswith("h3c.")}
    mains = {name: point.load() for name, point in tools.items()}
    # Copies, so that a command's own stdin and stdout can take their places.
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in requests:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            for number, path in enumerate(request["files"]):
                os.dup2(os.open(path, os.O_RDWR if number == 0 else os.O_WRONLY), number)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            sys.argv = request["words"]
            signal.alarm(TIME_LIMIT_S)
            return mains[request["tool"]]
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return None


def finish(run: Callable[[], object]) -> NoReturn:
    """Run a command and end with its status, at once: libraries that were forked may wait at exit for their threads."""
    status: object = 1
    try:
        status = run()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    import_all()
    if (command := next_command()) is not None:
        finish(command)
