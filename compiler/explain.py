"""What `--explain` prints: a line for each group of operators that run alike, and what arrays are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from .front import table

FIGURES = 4
"""Digits of a difference."""


def take_explanation(module: Any) -> dict[str, Any] | None:
    """The explanation that place-parts left on a module, taken off it; None if there is none."""
    import json

    from ..passes.explanation import EXPLAIN

    attribute = module.attributes.pop(EXPLAIN, None)
    return None if attribute is None else json.loads(attribute.data)


def for_people(explanation: Mapping[str, Any]) -> str:
    """The explanation as text, one line an operator, or several of them that run alike."""
    unit = explanation["unit"]
    rows = [("operator", "runs on", "best elsewhere", f"which costs ({unit})", "what binds")]
    for reason in explanation["operators"]:
        elsewhere = reason["elsewhere"]
        place, costs = ("-", "") if elsewhere is None else (_place(elsewhere["parts"]), _signed(elsewhere["costs"]))
        rows.append((_names(reason["operators"]), _place(reason["here"]), place, costs, _binding(reason, unit)))
    lines = ["why operators are where they are (each moved alone)", table(rows, (False, False, False, True, False))]
    saved = explanation["one_more_array_saves"]
    if saved:
        told = ", ".join(f"{tier} {price:.{FIGURES}g} {unit}" for tier, price in saved.items())
        lines.append(f"one more array would save: {told}")
    return "\n".join(lines)


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _place(parts: Sequence[Mapping[str, Any]]) -> str:
    """The parts; copies, rewriting and rounds only where there are such."""
    return " + ".join(_part(part, len(parts) == 1) for part in parts)


def _part(part: Mapping[str, Any], alone: bool) -> str:
    words = [part["tier"]] + ([] if alone else [str(part["outputs"])])
    words += [f"x{part['copies']}"] if part["copies"] > 1 else []
    words += ["rewritten"] if part["rewritten"] else []
    words += [f"in {part['rounds']} rounds"] if part["rounds"] > 1 else []
    return " ".join(words)


def _signed(value: float) -> str:
    return f"{value:+.{FIGURES}g}"


def _binding(reason: Mapping[str, Any], unit: str) -> str:
    """Arrays that are missing, and tiers that refuse; with neither, nothing binds."""
    told: list[str] = []
    if reason["hindered"] is not None:
        place, saved = _place(reason["hindered"]["parts"]), _signed(reason["hindered"]["costs"])
        told.append(f"arrays of {', '.join(reason['binds'])} (else {place}, {saved} {unit})")
    by_reason: dict[str, list[str]] = {}
    for tier, why in reason["refused"].items():
        by_reason.setdefault(why, []).append(tier)
    told += [f"{', '.join(tiers)} {why}" for why, tiers in by_reason.items()]
    return "; ".join(told) or "nothing"
