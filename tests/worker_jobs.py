"""What the tests of workers let processes do; light to import, as each process does so."""

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from h3c.compiler.codesigning.archive import Price


def square(item: int) -> tuple[int, int]:
    """The square of a number, and the process that found it."""
    time.sleep(0.05)
    return item * item, os.getpid()


def together(item: tuple[str, int, int]) -> int:
    """The process that takes it; waits until so many processes (the last number) have taken one."""
    folder, _, count = item
    with open(os.path.join(folder, str(os.getpid())), "w"):
        pass
    for _ in range(600):
        if len(os.listdir(folder)) >= count:
            break
        time.sleep(0.1)
    return os.getpid()


def deadly(item: int) -> int:
    """Dies of 5, whoever runs it."""
    if item == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return item


def faulty(item: int) -> int:
    """Raises for multiples of 7."""
    if item % 7 == 0:
        raise ValueError(f"no {item}\nfor you")
    return item


def refused(item: int) -> int:
    """Can do nothing at all."""
    from h3c.runtime_sim.errors import InputError

    raise InputError("no such world")


def priced(wanted: tuple[int, tuple[int, ...]]) -> "Price":
    """The formula's price of a chip."""
    from codesign_toy import Formula, toy_space

    from h3c.compiler.codesigning.archive import Price

    time.sleep(0.03)
    model, design = wanted
    scores = Formula(toy_space()).evaluate([design])
    return Price(float(scores.energy_pj[model, 0]), float(scores.latency_ns[model, 0]), float(scores.area_mm2[0]))
