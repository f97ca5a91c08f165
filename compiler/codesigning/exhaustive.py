"""The best chip of a space of the template, proven: every chip is decided, block by block, in two passes.

The first pass finds the least score; the second one what is equal to it or near it, in the blocks that have such chips.
Chips that break a constraint are decided without being priced, whole fabrics at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError
from .closed_form import Block, ClosedForm
from .evaluators import Judged
from .objectives import NS_IN_MS, PJ_IN_MJ, Objective
from .ranking import KEPT, SHARES, TOLERANCE, Found, best_first, best_of

Floats = NDArray[np.float64]
Told = Callable[[int], None]
"""Takes the number of blocks that are done."""


@dataclass(frozen=True)
class Scored:
    """A block with its scores, infinite where a chip breaks a constraint; the other figures broadcast to `score`."""

    number: NDArray[np.int64]
    score: Floats
    area_mm2: Floats
    energy_mj: Floats
    latency_ms: Floats

    def taken(self, which: NDArray[np.bool_]) -> Judged:
        """Some of the chips, as a list."""
        columns = (np.broadcast_to(v, which.shape)[which] for v in (self.area_mm2, self.energy_mj, self.latency_ms))
        return Judged(self.number[which], self.score[which], np.zeros(int(which.sum())), *columns)


def scored(form: ClosedForm, objective: Objective, block: Block) -> tuple[Scored | None, int]:
    """A block's scores, and how many of its chips keep the constraints; None if none does."""
    figures = form.chip_figures(block.designs)
    kept = np.broadcast_to(form.space.violation(figures) == 0, block.number.shape)
    fabrics = np.asarray(kept.any(axis=tuple(range(1, kept.ndim))))
    if not fabrics.any():
        return None, 0
    if not fabrics.all():
        block, kept = block.fabrics(fabrics), kept[fabrics]
        figures = form.chip_figures(block.designs)
    energies, latencies = zip(*form.prices(block.designs), strict=True)
    energy = objective.joined(energy * PJ_IN_MJ for energy in energies)
    latency = objective.joined(latency * NS_IN_MS for latency in latencies)
    score = objective.score(energy, latency, figures["area_mm2"], figures.get("cost"))
    score = np.where(kept & ~np.isnan(score), score, np.inf)
    return Scored(block.number, score, figures["area_mm2"], energy, latency), int(np.count_nonzero(np.isfinite(score)))


def exhaustive(form: ClosedForm, objective: Objective, told: Told = lambda done: None) -> Found:
    """The best chip of the form's space and those near it. A space where no chip keeps the constraints is an error."""
    least: list[float] = []
    lowest, feasible = np.empty(0), 0
    for block in form.blocks():
        one, count = scored(form, objective, block)
        feasible += count
        least.append(np.inf if one is None else float(one.score.min()))
        if one is not None:
            lowest = np.sort(np.concatenate([lowest, _lowest(one.score)]))[:KEPT]
        told(len(least))
    if not feasible:
        raise InputError(nothing_feasible(form))
    best = float(lowest[0])
    limits = {share: best * (1 + share + TOLERANCE) for share in SHARES}
    worst_kept = float(lowest[-1]) * (1 + TOLERANCE)
    reach = max(*limits.values(), worst_kept)
    within = dict.fromkeys(SHARES, 0)
    ties: Judged | None = None
    top: Judged | None = None
    for index, block in enumerate(form.blocks()):
        if least[index] > reach:
            continue
        one, _ = scored(form, objective, block)
        assert one is not None
        for share, limit in limits.items():
            within[share] += int(np.count_nonzero(one.score <= limit))
        top = _joined(top, one.taken(one.score <= worst_kept))
        top = best_first(top, KEPT)
        ties = _pruned(_joined(ties, one.taken(one.score <= best * (1 + TOLERANCE))))
    assert top is not None
    assert ties is not None
    answer = ties.at([best_of(ties)])
    others = top.at(top.number != answer.number[0])
    return Found(Judged.joined([answer, others]).at(slice(KEPT)), within, True, form.space.size, feasible)


def all_feasible(form: ClosedForm, objective: Objective, told: Told = lambda done: None) -> Iterator[Judged]:
    """All chips that keep the constraints, block by block."""
    for done, block in enumerate(form.blocks()):
        one, _ = scored(form, objective, block)
        if one is not None:
            yield one.taken(np.isfinite(one.score))
        told(done + 1)


def nothing_feasible(form: ClosedForm) -> str:
    """How many chips keep each constraint, where none keeps all."""
    counts = {constraint.name: 0 for constraint in form.space.constraints if constraint.on}
    for block in form.blocks():
        figures = form.chip_figures(block.designs)
        for name in counts:
            others = [each for each in counts if each != name]
            kept = form.space.violation(figures, ignored=others) == 0
            counts[name] += int(np.count_nonzero(np.broadcast_to(kept, block.number.shape)))
    told = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "none can be built"
    return (
        f"space {form.space.name}: expected a chip that keeps all constraints, got 0 of {form.space.size} "
        f"(chips that keep each: {told})"
    )


def _lowest(score: Floats) -> Floats:
    """The KEPT lowest finite values."""
    values = score[np.isfinite(score)]
    return np.partition(values, KEPT)[:KEPT] if len(values) > KEPT else values


def _joined(old: Judged | None, new: Judged) -> Judged:
    return new if old is None else Judged.joined([old, new])


def _pruned(ties: Judged) -> Judged:
    """Without the chips that are larger than another: of equal scores the smaller area counts first."""
    if not len(ties):
        return ties
    return ties.at(ties.area_mm2 <= ties.area_mm2.min() * (1 + TOLERANCE))
