"""The placement problem as numbers: operators, their options, the chip's arrays, an objective.

**Plan space.** Operators run one after another. An operator runs in `rounds` r >= 1 equal rounds, in more than one only
where some of its weights are rewritten: else there is nothing to wait for between rounds. In every round its
outputs are shared by at most one *part* per tier. A part is *resident* (arrays of its own in each round, programmed
once at power-up), *rewritten* (programmed at each execution, just before use, into arrays of the tier's scratch pool)
or *streamed* (the tier has no arrays). A part has its copies and its precision. Rounds are equal: the same parts in
each, but that in the last one part has the outputs less that are missing to equal rounds.

    time of a round    = max over parts of (off-chip reads of the parts served before it + its own time),
                         and at least the sum over parts of their time on each shared resource
    latency            = fixed latency + sum over operators and rounds
    energy             = fixed energy + sum over parts + static power x latency
    capacity of tier t : sum of resident arrays + S_t <= arrays_t,  S_t >= scratch arrays of every rewritten part
    budgets            : weighted sums of the same figures and of predicted loss, each within a limit (`constraints`)

Outputs are put where they harm least: an operator's loss follows from how many outputs each tier has (`loss_curve`).
Latency is in integer picoseconds, energy in picojoules, arrays are counts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .loss_curve import LossCurve

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNUSED, RESIDENT, REWRITTEN, STREAMED = 0, 1, 2, 3
OBJECTIVES = ("latency", "energy", "edp")
"""Objectives of one execution; "throughput" is that of a stream of executions (module `throughput`)."""


class PlacementError(ValueError):
    """The problem has no plan; the message says why, for the user."""


@dataclass(frozen=True)
class PartTable:
    """Prices of a part of one operator on one tier: rows are `outputs`, columns are `copies`.

    The `floor_` arrays price row i at one granule more than row i-1 has: the least that any part costs whose outputs
    lie in (outputs[i-1], outputs[i]]. `shared_ps` has one leading entry per resource
    that the parts of an operator share (chip-wide memory ports).
    """

    tier: int
    mode: int
    precision: str
    outputs: Ints
    copies: Ints
    latency_ps: Ints
    energy_pj: Floats
    arrays: Ints
    shared_ps: Ints
    floor_outputs: Ints
    floor_latency_ps: Ints
    floor_energy_pj: Floats
    floor_arrays: Ints
    floor_shared_ps: Ints

    @cached_property
    def tail_ps(self) -> int:
        """The shortest time of a part beside its off-chip reads."""
        beside = (self.floor_latency_ps - self.floor_shared_ps[0], self.latency_ps - self.shared_ps[0])
        return min(int(ps.min()) for ps in beside)

    @cached_property
    def fastest_ps(self) -> Ints:
        """By row a time before which none of its outputs are done by any number of copies; never falls."""
        return np.maximum.accumulate(self.floor_latency_ps.min(axis=1))

    @cached_property
    def slowest_ps(self) -> int:
        """The longest time of a part."""
        return int(self.latency_ps.max())


@dataclass(frozen=True)
class Family:
    """What an operator can do in `rounds` rounds: `outputs` in each but the `last`, a table for each kind of part."""

    rounds: int
    outputs: int
    last: int
    tables: tuple[PartTable, ...]

    def rewrites(self, tables: Ints) -> Bools:
        """[row]: whether one of the tables, by index and -1 for none, rewrites weights. `tables` is [row, tier]."""
        rewritten = np.array([table.mode == REWRITTEN for table in self.tables])
        result: Bools = np.any((tables >= 0) & rewritten[tables], axis=1)
        return result


_NO_BUSY: Ints = np.zeros((0, 0), np.int64)
_NO_LOSS: Floats = np.zeros(0)


@dataclass(frozen=True)
class OptionSet:
    """Ways to run one operator, one a row. Columns of the two-dimensional arrays are tiers.

    `energy_pj` is dynamic energy. `outputs` are those of a full round, `last` those of the last round (the same where
    rounds = 1). `precision` indexes `OperatorType.precisions`. Columns of `busy_ps` are resources: tiers, then the
    ports that parts share; how long an option keeps each busy in one execution. Without it no resource is busy.
    `loss` is the predicted loss of quality, without it none.
    """

    latency_ps: Ints
    energy_pj: Floats
    resident: Ints
    scratch: Ints
    mode: Ints
    outputs: Ints
    last: Ints
    copies: Ints
    precision: Ints
    rounds: Ints
    busy_ps: Ints = field(default_factory=lambda: _NO_BUSY)
    loss: Floats = field(default_factory=lambda: _NO_LOSS)

    def __post_init__(self) -> None:
        if self.busy_ps is _NO_BUSY:
            object.__setattr__(self, "busy_ps", np.zeros((len(self.latency_ps), 0), np.int64))
        if self.loss is _NO_LOSS:
            object.__setattr__(self, "loss", np.zeros(len(self.latency_ps)))

    def __len__(self) -> int:
        return len(self.latency_ps)

    @property
    def all_outputs(self) -> Ints:
        """[option, tier]: outputs of all rounds."""
        return self.outputs * (self.rounds - 1)[:, None] + self.last

    def take(self, index: NDArray[Any]) -> OptionSet:
        """The options at `index` (positions or a mask)."""
        return OptionSet(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def concat(sets: list[OptionSet]) -> OptionSet:
        """All options of `sets`, in order."""
        return OptionSet(*(np.concatenate([getattr(s, f.name) for s in sets]) for f in fields(OptionSet)))


@dataclass(frozen=True)
class OperatorType:
    """Operators with the same numbers: `members` are their positions in the program.

    `families` serve the bound over all plans and new options; without them the bound is over `options` alone.
    """

    name: str
    members: tuple[int, ...]
    options: OptionSet
    families: tuple[Family, ...] = ()
    precisions: tuple[str, ...] = ("",)
    curve: LossCurve | None = None
    """What splits of its outputs lose; None: nothing."""

    @property
    def multiplicity(self) -> int:
        return len(self.members)

    def with_loss(self, options: OptionSet) -> OptionSet:
        """Options of this type with their predicted loss."""
        return options if self.curve is None else replace(options, loss=self.curve.least(options.all_outputs))


@dataclass(frozen=True)
class Budget:
    """A limit on what a plan takes: the sum over operators of

        per_ps latency + per_pj dynamic energy + per_resident . resident + per_write . scratch x rounds + per_loss loss

    is at most `limit`, which is above 0; all weights are at least 0. `per_resident` and `per_write` are by tier, for
    an array that is held all the time and one that is written at each execution.
    """

    name: str
    limit: float
    per_ps: float
    per_pj: float
    per_resident: tuple[float, ...]
    per_write: tuple[float, ...]
    fixed: float = 0.0
    """What is taken whatever the plan; it is not in `limit`."""
    unit: str = ""
    """Of the amounts: ps, pJ, writes (of whole arrays), or that of losses."""
    per_loss: float = 0.0

    def amounts(self, options: OptionSet) -> Floats:
        """What each option takes of the limit."""
        held = options.resident @ np.array(self.per_resident)
        written = (options.scratch * options.rounds[:, None]) @ np.array(self.per_write)
        own = self.per_ps * options.latency_ps + self.per_pj * options.energy_pj + held + written
        return own + self.per_loss * options.loss if self.per_loss else own


@dataclass(frozen=True)
class Problem:
    """What the solver is given. `arrays[t]` is 0 for a tier that streams its weights."""

    tiers: tuple[str, ...]
    arrays: Ints
    types: tuple[OperatorType, ...]
    objective: str = "latency"
    fixed_latency_ps: int = 0
    fixed_energy_pj: float = 0.0
    static_power_mw: float = 0.0
    budgets: tuple[Budget, ...] = ()
    fixed_busy_ps: tuple[int, ...] = ()
    """How long work that no plan changes keeps each resource (see `OptionSet.busy_ps`) busy; empty: not at all."""

    @property
    def static_pj_per_ps(self) -> float:
        """Energy of standing still: 1 mW is 1e-3 pJ a ps."""
        return self.static_power_mw * 1e-3

    @property
    def operators(self) -> int:
        return sum(t.multiplicity for t in self.types)

    def score(self, plan: Plan) -> float:
        """The objective of a plan in its unit: as `value`, or for throughput the period in ns."""
        return plan.period_ps / 1000 if self.objective == "throughput" else self.value(plan.latency_ps, plan.energy_pj)

    def value(self, latency_ps: float, energy_pj: float) -> float:
        """The objective in its unit: ns, pJ, or pJ ns; `energy_pj` includes static energy."""
        latency_ns = latency_ps / 1000
        return {"latency": latency_ns, "energy": energy_pj, "edp": latency_ns * energy_pj}[self.objective]


@dataclass(frozen=True)
class Plan:
    """How many operators of each type take each option: `counts[k]` maps an option's position to its count."""

    counts: tuple[dict[int, int], ...]
    latency_ps: int
    energy_pj: float
    scratch: tuple[int, ...]
    busy_ps: tuple[int, ...] = ()
    """By resource, in one execution."""
    loss: float = 0.0
    """Predicted."""

    @property
    def period_ps(self) -> int:
        """The least time between the starts of two executions, each resource being used by one at a time."""
        return max(self.busy_ps, default=0)


def evaluate(problem: Problem, counts: tuple[dict[int, int], ...]) -> Plan | None:
    """The plan of `counts`, priced and checked in integers; None where incomplete, over capacity or a limit."""
    latency, energy = problem.fixed_latency_ps, problem.fixed_energy_pj
    resident = np.zeros(len(problem.tiers), np.int64)
    scratch = np.zeros(len(problem.tiers), np.int64)
    taken = [0.0] * len(problem.budgets)
    busy, loss = np.array(problem.fixed_busy_ps or (0,), np.int64), 0.0
    for kind, chosen in zip(problem.types, counts, strict=True):
        if sum(chosen.values()) != kind.multiplicity or min(chosen.values()) < 1:
            return None
        for option, count in sorted(chosen.items()):
            latency += count * int(kind.options.latency_ps[option])
            energy += count * float(kind.options.energy_pj[option])
            loss += count * float(kind.options.loss[option])
            resident += count * kind.options.resident[option]
            scratch = np.maximum(scratch, kind.options.scratch[option])
            if kind.options.busy_ps.shape[1]:
                busy = busy + count * kind.options.busy_ps[option]
        at = np.array(sorted(chosen))
        for i, budget in enumerate(problem.budgets):
            taken[i] += float(budget.amounts(kind.options.take(at)) @ [chosen[option] for option in at.tolist()])
    if any(amount > budget.limit * (1 + 1e-12) for amount, budget in zip(taken, problem.budgets, strict=True)):
        return None
    if np.any(resident + scratch > problem.arrays):
        return None
    energy += problem.static_pj_per_ps * latency
    return Plan(counts, latency, energy, tuple(scratch.tolist()), tuple(busy.tolist()), loss)


def save(problem: Problem, path: str) -> None:
    """Writes the problem to an .npz file from which `load` makes it again."""
    arrays: dict[str, NDArray[Any]] = {"arrays": problem.arrays}
    kinds: list[dict[str, Any]] = []
    for k, kind in enumerate(problem.types):
        families: list[dict[str, Any]] = []
        for j, family in enumerate(kind.families):
            tables = [_pack(table, f"{k}.{j}.{i}.", arrays) for i, table in enumerate(family.tables)]
            families.append({"rounds": family.rounds, "outputs": family.outputs, "last": family.last, "tables": tables})
        _pack(kind.options, f"{k}.", arrays)
        if kind.curve is not None:
            _pack(kind.curve, f"{k}.curve.", arrays)
        precisions = list(kind.precisions)
        kinds.append({"name": kind.name, "members": kind.members, "families": families, "precisions": precisions})
    scalars = ("tiers", "objective", "fixed_latency_ps", "fixed_energy_pj", "static_power_mw", "fixed_busy_ps")
    head = {name: getattr(problem, name) for name in scalars} | {"types": kinds}
    head["budgets"] = [asdict(budget) for budget in problem.budgets]
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load(path: str) -> Problem:
    """The problem that `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        kinds: list[OperatorType] = []
        for k, entry in enumerate(head.pop("types")):
            families: list[Family] = []
            for j, family in enumerate(entry["families"]):
                tables = (_unpack(PartTable, f"{k}.{j}.{i}.", arrays, t) for i, t in enumerate(family["tables"]))
                families.append(Family(**(family | {"tables": tuple(tables)})))
            options = _unpack(OptionSet, f"{k}.", arrays, {})
            precisions = tuple(entry["precisions"])
            given = entry["name"], tuple(entry["members"]), options, tuple(families), precisions
            kinds.append(OperatorType(*given, _curve(arrays, f"{k}.curve.")))
        head["tiers"] = tuple(head["tiers"])
        head["fixed_busy_ps"] = tuple(head.get("fixed_busy_ps", ()))
        head["budgets"] = tuple(_budget(entry) for entry in head.get("budgets", ()))
        return Problem(arrays=arrays["arrays"], types=tuple(kinds), **head)


def _curve(arrays: Any, prefix: str) -> LossCurve | None:
    from .loss_curve import LossCurve

    return _unpack(LossCurve, prefix, arrays, {}) if f"{prefix}group_of" in arrays else None


def _budget(entry: dict[str, Any]) -> Budget:
    entry["per_resident"], entry["per_write"] = tuple(entry["per_resident"]), tuple(entry["per_write"])
    return Budget(**entry)


def _pack(record: Any, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Puts the arrays of a dataclass into `arrays`; returns its scalars."""
    rest: dict[str, Any] = {}
    for each in fields(record):
        value = getattr(record, each.name)
        if isinstance(value, np.ndarray):
            arrays[prefix + each.name] = value
        else:
            rest[each.name] = value
    return rest


def _unpack(cls: Any, prefix: str, arrays: Any, scalars: dict[str, Any]) -> Any:
    names = [f.name for f in fields(cls)]
    stored = {name: arrays[prefix + name] for name in names if name not in scalars and prefix + name in arrays}
    return cls(**{name: scalars[name] for name in names if name in scalars}, **stored)
