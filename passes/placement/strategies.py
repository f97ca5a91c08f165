"""TEMPORARY, by the integrator, until helper B's strategies.py replaces this file: a greedy placement, no bound."""

from dataclasses import dataclass

import numpy as np

from .options import options_of
from .pricing import ChipPricer
from .problem import REWRITTEN, OperatorType, Problem
from .tables import families


@dataclass(frozen=True)
class PlacedPart:
    tier: str
    first: int
    last: int
    copies: int
    segment: int
    rewritten: bool
    precision: str


@dataclass(frozen=True)
class Placement:
    parts: tuple
    latency_ps: int
    energy_pj: float
    bound: float | None
    gap: float | None
    status: str
    kept: str


def build_problem(chip, products, *, objective, min_bits, fixed_latency_ps, fixed_energy_pj):
    pricer = ChipPricer(chip, min_bits)
    groups = {}
    for i, p in enumerate(products):
        groups.setdefault(p, []).append(i)
    types = []
    for p, members in groups.items():
        fams = families(pricer, p)
        precisions = tuple(sorted({t.precision for f in fams for t in f.tables})) or ("",)
        options = options_of(fams, pricer.arrays, precisions)
        types.append(OperatorType(str(p), tuple(members), options, fams, precisions))
    return Problem(pricer.tiers, pricer.arrays, tuple(types), objective, fixed_latency_ps, fixed_energy_pj, chip.static_power_mw)


def solve(problem, strategy, *, tier=None, time_limit=60.0):
    resident = np.zeros(len(problem.tiers), np.int64)
    limit = problem.arrays * 3 // 4
    scratch = problem.arrays - limit
    parts = {}
    used = np.zeros(len(problem.tiers), np.int64)
    segment = 0
    latency, energy = problem.fixed_latency_ps, problem.fixed_energy_pj
    by_op = sorted((m, t) for t in problem.types for m in t.members) if False else sorted(((m, k) for k, t in enumerate(problem.types) for m in t.members))
    for m, k in by_op:
        t = problem.types[k]
        o = t.options
        ok = np.all(resident + o.resident <= limit, axis=1) & np.all(o.scratch <= scratch, axis=1) & np.all(o.resident <= limit // 8, axis=1)
        if tier is not None:
            index = problem.tiers.index(tier)
            whole = ok & (o.outputs[:, index] > 0) & (np.count_nonzero(o.outputs, axis=1) == 1)
            ok = whole if whole.any() else ok
        value = np.where(ok, o.latency_ps if problem.objective == "latency" else o.energy_pj, np.inf)
        i = int(np.argmin(value))
        resident = resident + o.resident[i]
        latency += int(o.latency_ps[i]); energy += float(o.energy_pj[i])
        own = []
        first = 0
        for r in range(int(o.rounds[i])):
            if o.scratch[i].any():
                if np.any(used + o.scratch[i] > scratch):
                    segment += 1
                    used[:] = 0
                used += o.scratch[i]
            outs = o.last[i] if r == o.rounds[i] - 1 else o.outputs[i]
            for x, n in enumerate(outs):
                if n:
                    p = t.precisions[int(np.atleast_1d(o.precision[i])[x] if np.ndim(o.precision[i]) else o.precision[i])]
                    own.append(PlacedPart(problem.tiers[x], first, first + int(n), int(o.copies[i][x]) or 1, segment, bool(o.mode[i][x] == REWRITTEN), p))
                    first += int(n)
        parts[m] = tuple(own)
    energy += problem.static_pj_per_ps * latency
    return [Placement(tuple(parts[m] for m in range(len(parts))), latency, energy, None, None, "heuristic", "greedy")]
