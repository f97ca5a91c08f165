"""Why a plan is as it is: for each operator the best place elsewhere, what hinders a better one, and prices of arrays.

All figures are differences of the objective when one operator alone is moved and all others stay, by `evaluate`. An
operator is *elsewhere* with any option that uses another set of tiers. What *hinders* it are the tiers that have too
few arrays left for the best option that would be better than where it is. The shadow price of a tier is what one more
array would save, by the relaxation: exact for small changes of a plan with shares, an estimate for whole operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from .problem import UNUSED, Floats, Ints, OperatorType, OptionSet, Plan, Problem, evaluate

TRIES = 64
"""Of the options that seem best by latency and energy, so many are evaluated until one fits."""


@dataclass(frozen=True)
class Choice:
    """An option in words and numbers. Columns are tiers; `outputs` are those of all rounds together."""

    outputs: Ints
    copies: Ints
    mode: Ints
    precision: tuple[str, ...]
    rounds: int


@dataclass(frozen=True)
class Move:
    """One operator moved: where to, and by how much the objective rises (falls, if negative), in its unit."""

    to: Choice
    rise: float


@dataclass(frozen=True)
class Reason:
    """Operators of one type that run the same way. `members` are their positions in the program."""

    name: str
    members: tuple[int, ...]
    here: Choice
    elsewhere: Move | None
    """The best of the moves to another set of tiers that fit; None if there is none."""
    hindered: Move | None
    """The best of the moves that would make the objective less but do not fit; None if there is none."""
    short: tuple[int, ...]
    """The tiers whose arrays do not suffice for `hindered`."""


def explain(problem: Problem, plan: Plan, menu: Problem) -> list[Reason]:
    """The reasons for `plan`, in program order; `menu` has the options that operators can move to.

    `menu` differs from `problem` where a strategy has made its own options.
    """
    menus = {position: kind for kind in menu.types for position in kind.members}
    reasons: list[Reason] = []
    for k, (kind, counts) in enumerate(zip(problem.types, plan.counts, strict=True)):
        first = 0
        for option, count in sorted(counts.items()):
            members = kind.members[first : first + count]
            reasons.append(_reason(_Standing(problem, plan, k, option), members, menus[members[0]]))
            first += count
    return sorted(reasons, key=lambda reason: reason.members)


class _Standing:
    """One operator of a plan: what all others take, and what becomes of the plan when it is moved."""

    def __init__(self, problem: Problem, plan: Plan, k: int, option: int) -> None:
        self.problem, self.plan, self.k, self.option = problem, plan, k, option
        self.kind = problem.types[k]
        self.value = problem.score(plan)
        own = self.kind.options.take(np.array([option]))
        others = list(self._others())
        self.resident = sum((n * o.resident[i] for o, i, n in others), np.zeros(len(problem.tiers), np.int64))
        scratch = [o.scratch[i] for o, i, n in others if n]
        self.scratch = np.max([np.zeros(len(problem.tiers), np.int64), *scratch], axis=0)
        self.latency = plan.latency_ps - int(own.latency_ps[0])
        self.busy = np.array(plan.busy_ps, np.int64) - (own.busy_ps[0] if own.busy_ps.shape[1] else 0)
        self.energy = plan.energy_pj - problem.static_pj_per_ps * plan.latency_ps - float(own.energy_pj[0])

    def _others(self) -> Iterator[tuple[OptionSet, int, int]]:
        for k, (kind, counts) in enumerate(zip(self.problem.types, self.plan.counts, strict=True)):
            for option, count in counts.items():
                yield kind.options, option, count - ((k, option) == (self.k, self.option))

    def seeming(self, options: OptionSet) -> Floats:
        """[option]: the objective after the move, whether it fits or not."""
        if self.problem.objective == "throughput":
            return (self.busy + options.busy_ps).max(axis=1) / 1000
        latency = self.latency + options.latency_ps
        energy = self.energy + options.energy_pj + self.problem.static_pj_per_ps * latency
        pairs = zip(latency.tolist(), energy.tolist(), strict=True)
        return np.array([self.problem.value(*pair) for pair in pairs])

    def missing(self, options: OptionSet) -> Ints:
        """[option, tier]: arrays that the move would be short of."""
        needed = self.resident + options.resident + np.maximum(self.scratch, options.scratch)
        return np.maximum(needed - self.problem.arrays, 0)

    def moved(self, options: OptionSet, option: int) -> Plan | None:
        """The plan with the operator moved to `option` of `options`; None if that is no plan."""
        types: list[OperatorType] = []
        counts: list[dict[int, int]] = []
        for k, (kind, chosen) in enumerate(zip(self.problem.types, self.plan.counts, strict=True)):
            if k == self.k:
                chosen = {o: n - (o == self.option) for o, n in chosen.items() if n - (o == self.option)}
                kind = replace(kind, members=kind.members[1:])
            if chosen:
                types.append(kind)
                counts.append(chosen)
        alone = replace(self.kind, members=self.kind.members[:1], options=options.take(np.array([option])))
        problem = replace(self.problem, types=(*types, alone))
        return evaluate(problem, (*counts, {0: 1}))


def _reason(standing: _Standing, members: tuple[int, ...], menu: OperatorType) -> Reason:
    kind, option, options = standing.kind, standing.option, menu.options
    seeming, missing = standing.seeming(options), standing.missing(options)
    fits = ~missing.any(axis=1)
    tiers_here = kind.options.mode[option] != UNUSED
    away = np.any((options.mode != UNUSED) != tiers_here, axis=1)
    elsewhere = None
    candidates = np.flatnonzero(fits & away)
    for i in candidates[np.argsort(seeming[candidates], kind="stable")][:TRIES].tolist():
        plan = standing.moved(options, i)
        if plan is not None:
            elsewhere = Move(_choice(menu, i), standing.problem.score(plan) - standing.value)
            break
    hindered, short = None, ()
    better = np.flatnonzero(~fits & (seeming < standing.value * (1 - 1e-9)))
    if len(better):
        best = int(better[np.argmin(seeming[better])])
        hindered = Move(_choice(menu, best), float(seeming[best]) - standing.value)
        short = tuple(int(tier) for tier in np.flatnonzero(missing[best]))
    return Reason(menu.name, members, _choice(kind, option), elsewhere, hindered, short)


def _choice(kind: OperatorType, option: int) -> Choice:
    options = kind.options
    rounds = int(options.rounds[option])
    return Choice(
        options.outputs[option] * (rounds - 1) + options.last[option],
        options.copies[option],
        options.mode[option],
        tuple(kind.precisions[p] for p in options.precision[option].tolist()),
        rounds,
    )
