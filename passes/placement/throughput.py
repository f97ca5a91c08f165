"""Throughput: the least period of a stream of executions.

Executions follow each other; each resource (a tier, a port of off-chip memory) works for one of them at a time, but
different resources for different ones. So the period is at least, and with enough executions under way at once no more
than, the time that the busiest resource is busy in one execution.

A tier is busy with a part as long as the part takes alone; rewritten weights are written in that time. Resident weights
count where arrays suffice, as in the other objectives.

The relaxation (module `periods`) is cut into boxes of scratch pools; plans are sought by an integer program in those of
least value, over options of least reduced cost and options between those that the relaxation mixes. Where that is not
good the boxes are cut by rules, too (module `tree`), and a plan is sought over the options of the solutions met there.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from .blends import blends
from .feasible import plan_of
from .integer import Limits, choose, undominated
from .options import fitting
from .periods import WHOLE, Leaf, Relaxation
from .problem import Floats, Ints, OptionSet, PlacementError, Plan, Problem, evaluate
from .relaxation import Box, Pool
from .solve import Solution
from .tree import grown

NEAR, EACH, FEW = 240, 24, 600
"""Options given to the integer program: of all and of each type; problems of no more are given whole."""
WIDE = 4000, 400
"""So many of all and of each type are looked at for it."""
BLENDS = 24
"""So many options between those that the relaxation mixes are added for a type."""
NODES, LEAVES = 1000, 3
"""Nodes of an integer program, and boxes of scratch pools in which plans are sought first."""
TREE, RISEN = 40, 2e-3
"""So many leaves the boxes are cut into, by rules too, where the plan is not good; they are kept if their least value
is higher by such a share."""
GOOD, CLOSE = 6e-3, 2e-3
"""A plan so near a leaf's value is not sought to be bettered there; a bound so close to the plan is enough."""
RELAXED, PLANNED = 0.6, 0.8
"""Shares of the time limit after which no box is cut, and no plan sought."""


def solve_throughput(problem: Problem, incumbent: Plan | None, time_limit_s: float) -> Solution:
    """The plan of least period found, no worse than `incumbent`, and a bound for all plans, in ns.

    PlacementError if there is no plan. Limits of latency and energy are those of one execution.
    """
    start = time.monotonic()
    deadline = start + time_limit_s
    relaxation = Relaxation(problem, start + RELAXED * time_limit_s)
    leaves = relaxation.leaves()
    best, proven = incumbent, False
    if best is None:
        pool = relaxation.pool
        cost = pool.busy @ leaves[0].prices + 1e-9 * pool.latency
        best = plan_of(relaxation.problem, pool, cost, PLANNED * time_limit_s)
    if len(relaxation.pool) <= FEW:
        left = start + PLANNED * time_limit_s - time.monotonic()
        every = np.arange(len(relaxation.pool))
        best, proven = _chosen(relaxation, every, None, Limits(0.0, NODES, max(left, 0.5)), best)
        proven = proven and not any(kind.families for kind in problem.types)
    else:
        for leaf in leaves[:LEAVES]:
            left = start + PLANNED * time_limit_s - time.monotonic()
            if best is None or (left > 0 and best.period_ps > leaf.value * (1 + GOOD)):
                relaxation.vary(leaf)
                relaxation.set(_blended(relaxation.problem, relaxation.pool, leaf))
                best, _ = _chosen(relaxation, _likely(relaxation.pool, leaf), leaf.box, _limits(left), best)
        if best is not None and best.period_ps > leaves[0].value * (1 + GOOD):
            tree, used = grown(relaxation, leaves, best.period_ps / (1 + GOOD), TREE)
            # Bounds of operators are looser with rules: without much in return they do not pay.
            leaves = tree if tree[0].value > leaves[0].value * (1 + RISEN) else leaves
            left = start + PLANNED * time_limit_s - time.monotonic()
            if left > 0 and best.period_ps > leaves[0].value * (1 + GOOD):
                columns = np.union1d(_likely(relaxation.pool, leaves[0]), used[:NEAR])
                best, _ = _chosen(relaxation, columns, None, _limits(left), best)
    if best is None:
        raise PlacementError("found no plan within the chip's arrays and the limits")
    bound = period = best.period_ps / 1000
    for leaf in leaves if not proven else []:
        bound = min(bound, leaf.hard(relaxation.pool, min(bound, period / (1 + CLOSE)), deadline))
    gap = period - bound
    late = time.monotonic() >= deadline
    status = "optimal" if gap <= WHOLE * bound else "time-limit" if late else "feasible"
    return Solution(relaxation.problem, best, bound, status)


def _limits(left_s: float) -> Limits:
    """Of an integer program."""
    return Limits(1e-3, NODES, max(left_s, 0.5))


def _chosen(
    relaxation: Relaxation, columns: Ints, box: Box | None, limits: Limits, best: Plan | None
) -> tuple[Plan | None, bool]:
    """The better of `best` and the best plan over `columns`, and whether none over them is better."""
    problem, pool = relaxation.problem, relaxation.pool
    columns = undominated(pool, np.zeros(len(pool)), columns, busy=True)
    for tight in (0.0, 2e-6) if problem.budgets else (0.0,):
        chosen = choose(pool, pool.latency, columns, limits, tight, relaxation.fixed, box)
        plan = None if chosen is None else evaluate(problem, chosen.counts)
        if chosen is not None and plan is not None:
            better = best is None or plan.period_ps < best.period_ps
            return plan if better else best, chosen.proven and tight == 0
    return best, False


def _likely(pool: Pool, leaf: Leaf) -> Ints:
    """Options of small reduced cost that no other matches, and those of the relaxation."""
    costs: Floats = leaf.costs(pool)
    reduced = costs - pool.least(costs)[pool.kind]
    order = np.argsort(reduced, kind="stable")
    order = order[np.isfinite(costs[order])]
    wide = _first(pool, order, *WIDE)
    columns = undominated(pool, np.zeros(len(pool)), wide, busy=True)
    columns = columns[np.argsort(reduced[columns], kind="stable")]
    return np.unique(np.concatenate([_first(pool, columns, NEAR, EACH), leaf.columns(pool)]))


def _first(pool: Pool, order: Ints, near: int, each: int) -> Ints:
    """The first of all, and the first of each type."""
    kinds = range(len(pool.multiplicity))
    return np.unique(np.concatenate([order[:near], *(order[pool.kind[order] == k][:each] for k in kinds)]))


def _blended(problem: Problem, pool: Pool, leaf: Leaf) -> Problem:
    """The problem with options between those that the relaxation mixes."""
    types = list(problem.types)
    for k, kind in enumerate(types):
        mine = leaf.kinds == k
        part = np.modf(leaf.shares[mine] + WHOLE)[0]
        mixed = part > 2 * WHOLE
        if mixed.sum() < 2 or not kind.families:
            continue
        found = blends(kind, leaf.options[mine][mixed], part[mixed])
        found = kind.with_loss(fitting(found, problem.arrays))
        if len(found):
            costs = leaf.costs_of(found, pool, k)
            nearest = np.argsort(costs, kind="stable")[:BLENDS]
            types[k] = replace(kind, options=OptionSet.concat([kind.options, found.take(nearest)]))
    return replace(problem, types=tuple(types))
