"""Ages as users write them: 1s, 10min, 1h, 30d, 1y."""

import math
import re

from ..errors import InputError

SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
"""Seconds of each unit; a year has 365 days, as in AIHWKIT's and LionHeart's figures."""


def parse_age(text: str) -> float:
    """The seconds of an age such as `1s`, `1.5h`, `30d` or `1y`; `InputError` for anything else.

    `m` could be minutes or months and is refused.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-z]+)\s*", text, re.ASCII)
    if found and found[2] == "m":
        raise InputError(f"age: 'm' could be minutes or months, write min or d: {text!r}")
    if not found or found[2] not in SECONDS:
        raise InputError(f"age: expected a number and one of {', '.join(SECONDS)}, as in 1s, 30d or 1y: {text!r}")
    seconds = float(found[1]) * SECONDS[found[2]]
    if not 0 < seconds < math.inf:
        raise InputError(f"age: expected more than nothing and less than for ever: {text!r}")
    return seconds
