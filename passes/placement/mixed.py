"""Baselines that know which tiers err: `all-analog`, `first-last-digital`, and LionHeart's greedy search.

An operator is whole on one tier: an *analog* one, which errs, or the digital unit. LionHeart (arXiv 2401.09420, and the
authors' code) goes through the operators from most to fewest multiply-accumulates, moves each to analog tiles, and
keeps it there if the measured quality, mean over freshly programmed chips, is still within the allowed loss; else it
goes back for good. As published it retrains the network after each move; here nothing is retrained.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .baselines import best_of
from .problem import UNUSED, OperatorType, PlacementError, Plan, Problem
from .relaxation import Pool

LossOf = Callable[[Problem, Plan], float]
"""The measured loss of a plan, in the unit of what is allowed."""
Worth = Callable[[Problem, Plan], bool]
"""Whether a search that can at best end with this plan is worth going on with."""


@dataclass(frozen=True)
class Greedy:
    """Where LionHeart's search ended: `analog` are the positions of operators on analog tiers, `loss` the last loss
    that was measured of a plan that was kept (None: of none), `measured` the number of plans that were measured."""

    problem: Problem
    plan: Plan
    analog: tuple[int, ...]
    loss: float | None
    measured: int


def whole_on(
    problem: Problem,
    tiers: Collection[int],
    digital: int,
    kept: Collection[int],
    seconds: float,
    free: Collection[int] = (),
) -> Plan | None:
    """Every operator whole on that of `tiers` where the objective is least. Those at the positions `kept`, and those
    that none of `tiers` takes, are on `digital`, or else where they cost least; those that are `free`, on that of all
    these where the objective is least. None if nothing fits.

    `problem`: one in which all of a type's members are kept or none (`apart`).
    """
    allowed: list[Any] = []
    for kind in problem.types:
        modes = kind.options.mode != UNUSED
        one = modes.sum(axis=1) == 1
        wanted = [digital] if kind.members[0] in kept else list(tiers)
        wanted += [digital] if kind.members[0] in free else []
        choices = (one & modes[:, wanted].any(axis=1), one & modes[:, digital], one)
        allowed.append(next((choice for choice in choices if choice.any()), one))
    return best_of(problem, Pool(problem, allowed), seconds) if all(each.any() for each in allowed) else None


def apart(problem: Problem, positions: Collection[int]) -> Problem:
    """The same problem with each operator at `positions` a type of its own."""
    types: list[OperatorType] = []
    for kind in problem.types:
        rest = tuple(member for member in kind.members if member not in positions)
        alone = [(member,) for member in kind.members if member in positions]
        types += [replace(kind, members=members) for members in ([rest] if rest else []) + alone]
    return replace(problem, types=tuple(types))


def all_analog(problem: Problem, tiers: Collection[int], digital: int, seconds: float) -> Plan | None:
    """What analog tiers take is on them."""
    return whole_on(problem, tiers, digital, (), seconds)


def first_last_digital(
    problem: Problem, tiers: Collection[int], digital: int, seconds: float
) -> tuple[Problem, Plan | None]:
    """The same with the first and the last operator on the digital unit; the problem tells them apart."""
    members = [member for kind in problem.types for member in kind.members]
    ends = {min(members), max(members)}
    parted = apart(problem, ends)
    return parted, whole_on(parted, tiers, digital, ends, seconds)


def lionheart(
    problem: Problem,
    tiers: Collection[int],
    digital: int,
    macs: Sequence[int],
    loss_of: LossOf,
    allowed: float,
    seconds: float,
    worth: Worth | None = None,
) -> Greedy:
    """LionHeart's search, from all digital. `macs` are those of the operators by position; of equal ones the first in
    the program comes first. An operator that no analog tier takes, or that does not fit beside those there are, is not
    measured. `worth`: asked before each measurement with the best plan that the search could still end with; its no
    ends the search. PlacementError if not even the digital unit takes all."""
    members = {member for kind in problem.types for member in kind.members}
    parted = apart(problem, members)
    takers = {kind.members[0] for kind in parted.types if (kind.options.mode[:, list(tiers)] != UNUSED).any()}
    plan = whole_on(parted, tiers, digital, members, seconds)
    if plan is None:
        raise PlacementError("strategy lionheart: found no plan within the chip's arrays and the limits")
    analog: set[int] = set()
    kept_loss, measured = None, 0
    queue = sorted(takers, key=lambda member: (-macs[member], member))
    for index, position in enumerate(queue):
        if worth is not None:
            best = whole_on(parted, tiers, digital, members - analog - set(queue[index:]), seconds, queue[index:])
            if best is None or not worth(parted, best):
                break
        trial = whole_on(parted, tiers, digital, members - analog - {position}, seconds)
        if trial is None:
            continue
        loss = loss_of(parted, trial)
        measured += 1
        if loss <= allowed:
            analog.add(position)
            plan, kept_loss = trial, loss
    return Greedy(parted, plan, tuple(sorted(analog)), kept_loss, measured)
