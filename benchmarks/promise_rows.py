"""Rows of `promises.py`, and the tables that are made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log

REFUTED = 1.645
ROUNDING = 1e-9
"""Losses that differ by less are the same: means are sums of floating-point numbers."""
HOLD = 0.95
PUBLISHED, TRIMMED, DIGITAL = "lionheart", "lionheart, trimmed", "all-digital"
COLUMNS = (
    *("model", "chip", "allowed", "method", "promise", "test", "se", "holds", "latency_us", "energy_uj", "analog"),
    *("passes", "in all", "cpu_s"),
)
HEAD = "| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS)
WIDE = (
    *("model", "allowed", "`exact` promises", "us, uJ", "analog", "passes", "CPU s", "on the test"),
    *("`lionheart` promises", "us, uJ", "passes", "trimmed", "us, uJ", "all digital us, uJ"),
)


@dataclass(frozen=True)
class Row:
    """One plan: what it promises, loses on the test split, and takes."""

    model: str
    chip: str
    method: str
    allowed: float
    promise: float
    test: float
    error: float
    latency_ns: float
    energy_pj: float
    analog: float
    passes: float
    passes_in_all: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether the test does not refute what the plan was allowed, or promised, whichever is more."""
        return max(self.promise, self.allowed) >= self.test - REFUTED * self.error - ROUNDING

    @property
    def promise_holds(self) -> bool:
        return self.promise >= self.test - REFUTED * self.error - ROUNDING

    @property
    def keeps(self) -> bool:
        return self.promise <= self.allowed and self.allowed >= self.test - REFUTED * self.error - ROUNDING


def line(one: Row) -> str:
    shares = (f"{100 * value:.2f}" for value in (one.promise, one.test, one.error))
    figures = (f"{one.latency_ns / 1e3:.4g}", f"{one.energy_pj / 1e6:.4g}", f"{one.analog:.2f}")
    took = (f"{one.passes:.0f}", f"{one.passes_in_all:.0f}", f"{one.seconds:.0f}")
    held = "yes" if one.promise_holds else "no"
    named = (one.model, one.chip, f"{100 * one.allowed:g}", one.method)
    return f"| {' | '.join((*named, *shares, held, *figures, *took))} |"


Cell = Mapping[str, Row]
"""The rows of a model, a chip and a loss allowed, by their methods."""


def cells_of(rows: Sequence[Row]) -> dict[tuple[str, str, float], Cell]:
    """Rows that belong together; of a cell that was measured twice the later ones."""
    cells: dict[tuple[str, str, float], dict[str, Row]] = {}
    for one in rows:
        cells.setdefault((one.model, one.chip, one.allowed), {})[one.method] = one
    return {key: cell for key, cell in sorted(cells.items()) if {"exact", PUBLISHED, TRIMMED, DIGITAL} <= set(cell)}


def wide(cells: Mapping[tuple[str, str, float], Cell], chip: str) -> str:
    """A line a model and loss allowed, those of one model that are alike in one."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for (model, on, allowed), cell in cells.items():
        if on == chip:
            lines.setdefault((model, *_figures(cell)), []).append(f"{100 * allowed:g}")
    told = [f"| {model} | {', '.join(allowed)} | {' | '.join(rest)} |" for (model, *rest), allowed in lines.items()]
    return "\n".join([f"| {' | '.join(WIDE)} |", "|" + "---|" * len(WIDE), *told])


def _figures(cell: Cell) -> list[str]:
    exact, digital = cell["exact"], cell[DIGITAL]
    test = f"{100 * exact.test:.2f} +- {100 * exact.error:.2f}{'' if exact.promise_holds else ' (refuted)'}"
    told = [_promise(exact), _cost(exact), f"{exact.analog:.2f}", f"{exact.passes:.0f}", f"{exact.seconds:.0f}", test]
    for other in (cell[PUBLISHED], cell[TRIMMED]):
        told += [_promise(other), _cost(other)]
        told += [f"{other.passes:.0f}"] if other is cell[PUBLISHED] else []
    return [*told, _cost(digital)]


def _promise(one: Row) -> str:
    return f"{100 * one.promise:.2f}{'' if one.keeps else ' (broken)'}"


def _cost(one: Row) -> str:
    return f"{one.latency_ns / 1e3:.3g}, {one.energy_pj / 1e6:.3g}"


def means(cells: Sequence[Cell]) -> str:
    """Geometric means of `exact` over others: latency, energy, passes.

    *Where both keep it*; *held to it*: a baseline that does not keep what was allowed is all digital. Passes are those
    of LionHeart's search in either case.
    """
    lines = ["| against | cells | latency | energy | passes |", "|---|---|---|---|---|"]
    for base in (PUBLISHED, TRIMMED):
        both = [(cell["exact"], cell[base]) for cell in cells if cell["exact"].keeps and cell[base].keeps]
        held = [
            (
                cell["exact"],
                cell[base] if cell[base].keeps else replace(cell[DIGITAL], passes=cell[base].passes),
            )
            for cell in cells
            if cell["exact"].keeps
        ]
        lines.append(_mean(f"`{PUBLISHED}`{base.removeprefix(PUBLISHED)}, where both keep it", both))
        lines.append(_mean(f"`{PUBLISHED}`{base.removeprefix(PUBLISHED)}, held to it", held))
    digital = [(cell["exact"], replace(cell[DIGITAL], passes=0.0)) for cell in cells if cell["exact"].keeps]
    return "\n".join([*lines, _mean("all digital", digital)])


def _mean(name: str, pairs: Sequence[tuple[Row, Row]]) -> str:
    def of(key: str) -> str:
        ratios = [getattr(mine, key) / getattr(other, key) for mine, other in pairs if getattr(other, key) > 0]
        return f"{exp(sum(map(log, ratios)) / len(ratios)):.3f}" if ratios else "-"

    return f"| {name} | {len(pairs)} | {of('latency_ns')} | {of('energy_pj')} | {of('passes')} |"


def report(rows: Sequence[Row]) -> int:
    """Prints the tables; returns the exit status, 1 where too many promises are refuted."""
    cells = cells_of(rows)
    for chip in sorted({on for _, on, _ in cells}):
        here = [cell for (_, on, _), cell in cells.items() if on == chip]
        print(f"\n{chip}:\n\n{wide(cells, chip)}\n\n{means(here)}")
    kept = [cell["exact"].promise_holds for cell in cells.values()]
    print(f"\npromises of exact not refuted: {sum(kept)} of {len(kept)}")
    for method in ("exact", PUBLISHED, TRIMMED):
        print(f"{method} keeps what is allowed in {sum(cell[method].keeps for cell in cells.values())} of {len(kept)}")
    return 0 if sum(kept) >= HOLD * len(kept) else 1
