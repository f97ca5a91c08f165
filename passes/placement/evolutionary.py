"""`nsga2`: the first stage of H3PIMAP (arXiv 2503.07778v2), an evolutionary search over splits.

As published: integer outputs per tier and operator, started from random percentages; objectives latency and energy;
parents by tournament on rank and crowding distance; crossover and mutation; plans that do not fit are dropped; the best
of parents and offspring survive. Pairs of operator and tier that do not go together have no variable. NSGA-II is
pymoo's. The paper gives no size of the population, number of generations or operators. Chosen are 100 plans and
200 generations; a pair of parents is crossed with probability 0.9 and then exchanges each operator with probability
0.5; a mutation moves a random number of an operator's outputs from one tier to another, of one operator a plan on
average. So every offspring has all outputs of all operators.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .problem import Floats, Ints
from .splits import Splits, Splitter, whole_outputs

CROSSED = 0.9
"""Share of pairs of parents that are crossed."""


@dataclass(frozen=True)
class Evolution:
    """How large the search is. `seconds` strikes between generations, and makes the result not repeatable."""

    population: int = 100
    generations: int = 200
    seed: int = 0
    seconds: float = float("inf")


@dataclass(frozen=True)
class Front:
    """Plans that no other plan found is better than in both latency and energy, by latency; a leading axis of plans."""

    splits: Splits
    latency_ps: Ints
    energy_pj: Floats
    generations: int
    timed_out: bool

    def __len__(self) -> int:
        return len(self.latency_ps)

    def take(self, plan: int) -> Splits:
        """The splits of one plan."""
        return tuple(outputs[plan] for outputs in self.splits)


class Genome:
    """Plans as rows of numbers: outputs in granules, by site, member and tier that the site may use."""

    def __init__(self, splitter: Splitter) -> None:
        self.splitter = splitter
        self.shapes = [(len(site.members), len(site.tiers)) for site in splitter.sites]
        self.granules = [site.family.outputs // site.granule for site in splitter.sites]
        sizes = [members * tiers for members, tiers in self.shapes]
        self.ends = np.cumsum(sizes)
        self.most: Floats = np.repeat(np.array(self.granules, np.float64), sizes)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def random(self, plans: int, draw: np.random.Generator) -> Floats:
        """Plans of random percentages."""
        pieces = [
            whole_outputs(draw.random((plans, *shape)), granules).astype(np.float64)
            for shape, granules in zip(self.shapes, self.granules, strict=True)
        ]
        return self._rows(pieces)

    def crossed(self, parents: Floats, draw: np.random.Generator) -> Floats:
        """Children [2, pair, variable] of `parents` [2, pair, variable]: of each operator, whole, one parent's each."""
        swapped: list[Floats] = []
        for members, tiers in self.shapes:
            swap = draw.random((parents.shape[1], members, 1)) < 0.5
            swapped.append(np.broadcast_to(swap, (*swap.shape[:2], tiers)).astype(np.float64))
        return np.where(self._rows(swapped) > 0, parents[::-1], parents)

    def mutated(self, rows: Floats, draw: np.random.Generator) -> Floats:
        """Rows in which one operator a plan, on average, has some of its outputs moved from one tier to another."""
        result: list[Floats] = []
        movable = sum(members for members, tiers in self.shapes if tiers > 1)
        for piece in self._pieces(rows):
            plans, members, tiers = piece.shape
            piece = piece.copy()
            if tiers > 1:
                plan, member = np.nonzero(draw.random((plans, members)) < 1 / movable)
                chosen = piece[plan, member]
                source = np.argmax(draw.random(chosen.shape) * (chosen > 0), axis=1)
                target = (source + draw.integers(1, tiers, len(source))) % tiers
                held = chosen[np.arange(len(source)), source]
                moved = np.minimum(np.floor((held + 1) ** draw.random(len(source))), held)
                piece[plan, member, source] -= moved
                piece[plan, member, target] += moved
            result.append(piece)
        return self._rows(result)

    def splits(self, rows: Floats) -> Splits:
        """Rows [plan, variable] as splits."""
        result: list[Ints] = []
        for site, piece in zip(self.splitter.sites, self._pieces(rows), strict=True):
            outputs = np.zeros((*piece.shape[:2], len(self.splitter.problem.tiers)), np.int64)
            outputs[:, :, site.tiers] = np.rint(piece).astype(np.int64) * site.granule
            result.append(outputs)
        return tuple(result)

    @staticmethod
    def _rows(pieces: list[Floats]) -> Floats:
        return np.concatenate([piece.reshape(len(piece), -1) for piece in pieces], axis=1)

    def _pieces(self, rows: Floats) -> list[Floats]:
        cut = np.split(rows, self.ends[:-1], axis=1)
        return [piece.reshape(len(rows), *shape) for piece, shape in zip(cut, self.shapes, strict=True)]


def evolve(splitter: Splitter, evolution: Evolution) -> Front | None:
    """The front that the search ends with; None if no plan of it fits."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.crossover import Crossover
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem as Task

    genome = Genome(splitter)

    class Placement(Task):
        def _evaluate(self, x: Any, out: Any, *args: Any, **kwargs: Any) -> None:
            totals = splitter.total(genome.splits(x))
            out["F"] = np.stack([totals.latency_ps, totals.energy_pj], axis=1).astype(np.float64)
            out["G"] = totals.excess[:, None].astype(np.float64)

    class Exchange(Crossover):
        def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            return genome.crossed(X, random_state)

    class Move(Mutation):
        def _do(self, problem: Any, X: Any, *args: Any, random_state: Any = None, **kwargs: Any) -> Any:
            return genome.mutated(X, random_state)

    task = Placement(n_var=len(genome), n_obj=2, n_ieq_constr=1, xl=np.zeros(len(genome)), xu=genome.most)
    first: Any = genome.random(evolution.population, np.random.default_rng(evolution.seed))
    operators: dict[str, Any] = {"crossover": Exchange(2, 2, prob=CROSSED), "mutation": Move()}
    algorithm: Any = NSGA2(
        pop_size=evolution.population,
        sampling=first,
        **operators,
    )
    algorithm.setup(task, termination=("n_gen", evolution.generations), seed=evolution.seed, verbose=False)
    start, done, timed_out = time.monotonic(), 0, False
    while algorithm.has_next():
        if done and time.monotonic() - start > evolution.seconds:
            timed_out = True
            break
        algorithm.next()
        done += 1
    return _front(splitter, genome, algorithm.pop.get("X"), done, timed_out)


def _front(splitter: Splitter, genome: Genome, rows: Floats, generations: int, timed_out: bool) -> Front | None:
    """Of the plans that fit, those that no other matches in both objectives."""
    rows = np.unique(rows, axis=0)
    splits = genome.splits(rows)
    totals = splitter.total(splits)
    order = np.lexsort([totals.energy_pj, totals.latency_ps])
    order = order[totals.excess[order] == 0]
    if not len(order):
        return None
    energy = totals.energy_pj[order]
    first = np.append(True, energy[1:] < np.minimum.accumulate(energy)[:-1])
    kept = order[first]
    chosen = tuple(outputs[kept] for outputs in splits)
    return Front(chosen, totals.latency_ps[kept], totals.energy_pj[kept], generations, timed_out)
