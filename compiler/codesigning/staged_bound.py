"""The least that models can cost on chips, without placing them: for screening a space of placed chips.

Whatever the plan, a part of an operator on a tier makes at most so many outputs a ns, and takes at least so much energy
for each, as the tier's price tables say (`passes/placement/tables`). Tiers work side by side, so their rates add up.
Weights stay in arrays only where arrays are: of an operator the share s that stays runs at the rates R of parts that
stay, the rest at those, r, of parts that are rewritten or streamed, so that its time is at least
N max(s / R, (1 - s) / r). The shares that give the least sum of times, or of energies, such that what stays is no more
than all arrays hold, are found by filling the arrays with what saves most for a weight: a fractional knapsack.

Operators that stay have arrays of their own. A part that makes y outputs a ns takes at least q y arrays, q being
the least of time x arrays / outputs. With Y = sum of arrays / q over tiers, an operator that makes y outputs a ns has
y / Y of the chip, if tiers were alike; as they are not, all shares together are at most B = sum over tiers of the
greatest arrays / (q Y). The least sum of N / (y + r) such that the sum of y / Y is at most B is bounded from below by
its Lagrangian, for any price of a share; the best of a range of prices is taken.

A tier's rates depend on its own fields, and on the memories, alone: they are found once for each version of a tier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.chip import chip_from_tree
from ...runtime_sim.errors import InputError
from .evaluators import Scores
from .joint_bound import Column, Operators, Tier, column_of, least_product
from .placed import PlacedChips, Placing, lowered
from .space import Design, DesignList, Space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_PRICES = 81


@dataclass(frozen=True)
class TierBound:
    """What a tier of a chip does for a model at best; arrays over the types of operators of the model.

    `stay` and `pass_` are outputs a ns, of parts that stay and of those that do not; `stay_pj` and `pass_pj` are pJ
    an output. `outputs` and `weights` are those of all operators of a type. `fixed_ns` and `fixed_pj` are of work that
    is not placed. `array_ns` is arrays x ns an output of parts that stay, `operators` how many there are of a type.
    """

    stay: Floats
    pass_: Floats
    stay_pj: Floats
    pass_pj: Floats
    array_ns: Floats
    operators: Floats
    outputs: Floats
    weights: Floats
    fixed_ns: float
    fixed_pj: float
    arrays: int
    stay_column: Column
    pass_column: Column


@dataclass(frozen=True)
class Bounding:
    """What a worker runs: the bound of a tier of a design's chip for a model; None where no such chip is."""

    placing: Placing

    def __call__(self, wanted: tuple[int, str, Design]) -> TierBound | None:
        model, tier, design = wanted
        try:
            tree = self.placing.chips.tree(design)
            tree["tiers"] = {name: own for name, own in tree["tiers"].items() if name in (tier, "digital")}
            chip = chip_from_tree(tree, f"space {self.placing.space.name}")
            with lowered(self.placing.models[model]) as module:
                return _tier_bound(module, chip, tier, self.placing.settings.min_bits)
        except InputError:
            return None


class LeastCosts:
    """The evaluator (see `evaluators.Evaluator`) whose prices are below those of `placed`, for all its chips."""

    def __init__(self, placed: PlacedChips) -> None:
        self.placed = placed
        self._known: dict[tuple[int, str, bytes], TierBound | None] = {}

    @property
    def space(self) -> Space:
        """The chips."""
        return self.placed.space

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return self.placed.models

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips by name: [chip]."""
        return self.placed.figures(designs)

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        """Bounds of chips: energies and latencies that no plan is below."""
        index = np.asarray(designs, np.int64).reshape(-1, len(self.space.shape))
        figures = self.figures(index)
        tiers = list(self.placed.chips.tiers)
        versions = {tier: self._versions(tier, index, figures) for tier in tiers}
        self._find(versions, designs)
        scores = [self._model(model, versions, figures, len(index)) for model in range(len(self.models))]
        energy, latency = (np.stack([each[at] for each in scores]) for at in (0, 1))
        return Scores(energy, latency, np.asarray(figures["area_mm2"], np.float64))

    def of_products(self, designs: Sequence[Design]) -> Scores:
        """Energies and latencies whose product, of each model, no plan is below (see `joint_bound`); for objectives in
        which they occur as that product alone."""
        least = self.evaluate(designs)
        index = np.asarray(designs, np.int64).reshape(-1, len(self.space.shape))
        figures = self.figures(index)
        versions = {tier: self._versions(tier, index, figures) for tier in self.placed.chips.tiers}
        static = np.broadcast_to(figures["static_power_mw"], len(index))
        energy = least.energy_pj.copy()
        for model, chip in np.ndindex(*energy.shape):
            keys = {tier: keys[chip] for tier, keys in versions.items() if keys[chip] is not None}
            found = {tier: self._known[model, tier, key] for tier, key in keys.items() if key is not None}
            bounds = [each for each in found.values() if each is not None]
            digital, latency_ns = found["digital"], float(least.latency_ns[model, chip])
            if digital is None or len(bounds) < len(found) or not np.isfinite(energy[model, chip]):
                continue
            ends = latency_ns, float(energy[model, chip] - static[chip] * latency_ns)
            product = least_product(
                Operators(digital.outputs / digital.operators, digital.operators),
                [Tier(each.stay_column, each.pass_column, each.arrays) for each in bounds],
                (digital.fixed_ns, digital.fixed_pj),
                float(static[chip]),
                ends,
            )
            energy[model, chip] = max(energy[model, chip], product / latency_ns)
        return Scores(energy, least.latency_ns, least.area_mm2)

    def _versions(self, tier: str, index: Ints, figures: Mapping[str, Any]) -> list[bytes | None]:
        """What tells versions of a tier apart, for each chip; None where it has none of it."""
        keys = self.placed.chips.keys((tier, "digital", "buffer", "dram"), index)
        there = np.asarray(figures[f"{tier}_area_mm2"]) > 0
        always = tier == "digital"
        return [row.tobytes() if on or always else None for row, on in zip(keys, there.tolist(), strict=True)]

    def _find(self, versions: Mapping[str, list[bytes | None]], designs: Sequence[Design]) -> None:
        """Bounds of all versions that are not known yet, on the workers."""
        wanted: dict[tuple[int, str, Design], tuple[int, str, bytes]] = {}
        seen: set[tuple[int, str, bytes]] = set()
        for tier, keys in versions.items():
            for key, design in zip(keys, designs, strict=True):
                for model in range(len(self.models)):
                    if key is not None and (model, tier, key) not in self._known and (model, tier, key) not in seen:
                        seen.add((model, tier, key))
                        wanted[model, tier, design] = model, tier, key
        from .workers import Failed

        for asked, found in self.placed.engine.results(Bounding(self.placed.placing), list(wanted)):
            if isinstance(found, Failed):
                raise InputError(f"tier {asked[1]}: expected bounds, got: {found.reason}")
            self._known[wanted[asked]] = found

    def _model(
        self, model: int, versions: Mapping[str, list[bytes | None]], figures: Mapping[str, Any], count: int
    ) -> tuple[Floats, Floats]:
        """(least energy in pJ, least latency in ns) of a model on each chip."""
        found = {
            tier: [None if key is None else self._known[model, tier, key] for key in keys]
            for tier, keys in versions.items()
        }
        digital = found["digital"]
        sums: dict[str, Floats] = {}
        for name in ("stay", "pass_", "stay_pj", "pass_pj"):
            of_none = np.inf if name.endswith("_pj") else 0.0
            kinds = next((len(bound.stay) for bound in digital if bound is not None), 0)
            empty = np.full(kinds, of_none)
            columns = [[empty if b is None else getattr(b, name) for b in bounds] for bounds in found.values()]
            table = np.array(columns).reshape(len(columns), count, kinds)
            sums[name] = table.min(axis=0) if name.endswith("_pj") else table.sum(axis=0)
        known = next((bound for bound in digital if bound is not None), None)
        if known is None:
            return np.full(count, np.inf), np.full(count, np.inf)
        fixed = np.array([[np.inf, np.inf] if b is None else [b.fixed_ns, b.fixed_pj] for b in digital])
        held = np.asarray(figures["capacity_weights"], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            slow = known.outputs / sums["pass_"]
            share = sums["stay"] / (sums["stay"] + sums["pass_"])
            fast = known.outputs / (sums["stay"] + sums["pass_"])
            latency = least_sum(slow, fast, np.nan_to_num(share) * known.weights, held)
        shares = np.array(
            [[b.arrays / b.array_ns if b else 0 * known.outputs for b in each] for each in found.values()]
        )
        alone = known.outputs / known.operators
        latency = fixed[:, 0] + np.maximum(latency, least_time(alone, known.operators, sums["pass_"], shares))
        costly, cheap = known.outputs * sums["pass_pj"], known.outputs * np.minimum(sums["stay_pj"], sums["pass_pj"])
        energy = fixed[:, 1] + least_sum(costly, cheap, np.broadcast_to(known.weights, cheap.shape), held)
        return energy + np.asarray(figures["static_power_mw"]) * latency, latency


def least_sum(without: Floats, within: Floats, room: Floats, held: Floats) -> Floats:
    """The least sums over operators, [chip]: each costs `without`, or `within` where it has `room`, or in between.

    All but `held` are [chip, operator]; at most `held` is given in all. What saves most for its room has it first. An
    operator without the choice (`without` infinite) has its room before the others.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = np.where(np.isinf(without), 0.0, without - within)
        density = np.where(room > 0, np.where(np.isinf(without), np.inf, saved / room), np.inf)
    order = np.argsort(-density, axis=1, kind="stable")
    room, saved = np.take_along_axis(room, order, 1), np.take_along_axis(saved, order, 1)
    before = np.cumsum(room, axis=1) - room
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(room > 0, np.clip((held[:, None] - before) / room, 0.0, 1.0), 1.0)
    start = np.where(np.isinf(without), within, without)
    return start.sum(axis=1) - (share * saved).sum(axis=1)


def least_time(outputs: Floats, operators: Floats, passing: Floats, own: Floats) -> Floats:
    """The least sums of times of operators that share arrays, [chip], see above.

    `outputs` of one operator and how many `operators` like it there are: [operator]; rates `passing`: [chip, operator];
    `own`: arrays / q, [tier, chip, operator].
    """
    whole = own.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(whole > 0, 1 / whole, np.inf)
        most = np.where(whole > 0, own * share, 0.0).max(axis=2, initial=0.0).sum(axis=0)
        times = np.where(passing + whole > 0, outputs / (passing + whole), np.inf)
    least = (operators * times).sum(axis=1)
    for price in np.geomspace(1e-4, 1e4, _PRICES)[:, None, None] * np.where(np.isfinite(least), least, 1.0)[:, None]:
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.where(whole > 0, np.maximum(np.sqrt(outputs / (price * share)) - passing, 0.0), 0.0)
            paid = np.where(whole > 0, price * share * rate, 0.0)
            total = (operators * (np.where(outputs > 0, outputs / (rate + passing), 0.0) + paid)).sum(axis=1)
        least = np.maximum(least, np.nan_to_num(total - price[:, 0] * most, nan=0.0))
    return least


def _tier_bound(module: Any, chip: Any, tier: str, min_bits: int) -> TierBound:
    """The bound of one tier of a chip that has it and the digital unit."""
    from ...passes.placement.problem import RESIDENT, PlacementError
    from ...passes.placement_problem import make_problem

    try:
        _, products, problem = make_problem(module, chip, "latency", min_bits)
    except PlacementError as error:
        raise InputError(str(error)) from None
    place, kinds = problem.tiers.index(tier), list(dict.fromkeys(products))
    rates, costs = np.zeros((2, len(kinds))), np.full((2, len(kinds)), np.inf)
    outputs, weights, array_ns = np.zeros(len(kinds)), np.zeros(len(kinds)), np.full(len(kinds), np.inf)
    tables: list[list[Any]] = [[None] * len(kinds), [None] * len(kinds)]
    for at, (kind, product) in enumerate(zip(problem.types, kinds, strict=True)):
        one = next(family for family in kind.families if family.rounds == 1)
        outputs[at] = one.last * kind.multiplicity
        weights[at] = product.k * product.total_outputs * kind.multiplicity if product.static else 0
        for table in (table for family in kind.families for table in family.tables if table.tier == place):
            row = 0 if table.mode == RESIDENT else 1
            tables[row][at] = table if any(table is each for each in one.tables) else tables[row][at]
            made = table.outputs[:, None].astype(np.float64)
            with np.errstate(divide="ignore"):
                rates[row, at] = max(rates[row, at], float((made * 1000 / table.floor_latency_ps).max(initial=0.0)))
            if row == 0:
                taken = table.floor_latency_ps / 1000 * table.floor_arrays / made
                array_ns[at] = min(array_ns[at], float(taken.min(initial=np.inf)))
            costs[row, at] = min(costs[row, at], float((table.floor_energy_pj / made).min(initial=np.inf)))
    fixed = problem.fixed_latency_ps / 1000, problem.fixed_energy_pj
    operators = np.array([kind.multiplicity for kind in problem.types], np.float64)
    of_parts = rates[0], rates[1], costs[0], costs[1], array_ns
    columns = [column_of(tables[row], outputs / operators, row == 0) for row in (0, 1)]
    return TierBound(*of_parts, operators, outputs, weights, *fixed, int(problem.arrays[place]), *columns)
