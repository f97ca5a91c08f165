"""place-parts: decide which outputs of which operator run on which tier."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr
from xdsl.passes import ModulePass

from ..dialects.constants import type_of
from ..dialects.h3 import WeightOp
from ..dialects.text import escape
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from ..runtime_sim.product import Product
from ..runtime_sim.timing import name_of
from ..runtime_sim.weights import STORE
from .explanation import EXPLAIN, explanation
from .placed import Placed, placed_as
from .placement.assemble import best_orders, orders_of, predicted_loss
from .placement.constraints import Constraints, constrained
from .placement.evolutionary import Evolution
from .placement.feasible import rough_plan
from .placement.losses import Losses
from .placement.problem import Ints, PlacementError, Plan, Problem
from .placement.row_remap import LossBudget
from .placement.strategies import NEAR, Extras, Outcome, run
from .placement_problem import make_problem, price_source
from .plan_roofs import least_ps
from .segment_problem import segment_tiers
from .segment_strategies import Segmented, Wanted, forget_segments, least_bound_ps, place_segments
from .segmentation.strategies import STRATEGIES
from .sensitivities import read_sensitivities
from .simulated_plan import MatrixOps, give_parts, overlapped_ns, simulated_plan, simulated_plan_below
from .solution import solution_attr
from .strategy_names import Strategy
from .unsegmented import best_unsegmented
from .verify_placement import SOLUTION

SEEDED = ("random", "nsga2", "h3pimap")
SENSITIVE = ("row-remap", "h3pimap")


@dataclass(frozen=True)
class PlaceParts(ModulePass):
    """Gives every matrix operator its parts, and the module what is known of the solution.

    ```mlir
    %q = h3.matmul %x, %w : (tensor<64x16xf32>, tensor<16x32xf32>) -> tensor<64x32xf32>
    ```
    becomes
    ```mlir
    %q = h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 32, copies 2, segment 0>] : ...
    ```
    The pass makes the problem (numbers only) from the module, a solver answers it. With `exact`, baselines predicted
    close to the best plan are simulated beside it, and the plan of least simulated objective stays. The problem of
    `placement/` is that of a sequential chip; on a pipelined one its plans have no bound, and plans of segments compete
    with them.
    """

    name = "place-parts"

    strategy: Strategy = "exact"
    tier: str | None = None
    """Of `homogeneous`."""
    seed: int | None = None
    """Of `random`; `nsga2` and `h3pimap` begin from it too, 0 if it is not given."""
    sensitivities: str | None = None
    """A file, see module `sensitivities`: for `row-remap` and `h3pimap`."""
    objective: Literal["latency", "energy", "edp", "throughput"] = "latency"
    time_limit: float = 60.0
    min_bits: int = 8
    max_latency_ns: float | None = None
    """No plan is slower than this (predicted), takes more energy than `max_energy_pj`, or more than `max_area_share` of
    the arrays of any tier."""
    max_energy_pj: float | None = None
    max_area_share: float | None = None
    lifetime_s: float | None = None
    """For so long the cells have to last, at `executions_per_day`."""
    executions_per_day: float | None = None
    explain: bool = False
    """Leave `h3.explain` on the module: why operators are where they are."""

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        chip = chip_from_ir(op)
        tiers = self._segment_tiers(op, chip)
        if tiers:
            self._cut(op, chip, tiers)
        else:
            self.place(op)

    def place(self, op: ModuleOp, losses: Losses | None = None, max_loss: float | None = None) -> Placed:
        """Place a module; with `exact`, `row-remap` and `h3pimap` in at most `max_loss` (None: any) of `losses`."""
        chip, found = chip_from_ir(op), list[Segmented]()
        tiers = self._segment_tiers(op, chip) if self.strategy == "exact" else []
        if tiers and losses is None:
            self._cut(op, chip, tiers)
            return Placed.simulated(op, self.objective, 0.0)
        wanted = self._wanted
        if tiers and losses is not None:
            budget = LossBudget(losses, inf if max_loss is None else max_loss)
            found, _ = self._segmented(op, tiers, wanted, budget)
        best = min(found, key=lambda each: wanted.value(each.timing), default=None)
        try:
            placed = self._place(op, chip, losses, max_loss)
        except InputError:
            if best is None:
                raise
            placed = None
        if best is not None and (placed is None or wanted.value(best.timing) < placed.value):
            best.give(op, self.strategy, self.objective, self._bound_ps(op, found))
            return Placed.simulated(op, self.objective, best.loss)
        assert placed is not None
        return placed

    def _place(self, op: ModuleOp, chip: Chip, losses: Losses | None, max_loss: float | None) -> Placed:
        """Place a module without segments."""
        forget_segments(op)
        limit: LossBudget | None = None
        if losses is not None and self.strategy in SENSITIVE:
            limit = LossBudget(losses, np.inf if max_loss is None else max_loss)
            losses, max_loss = None, None  # the strategy looks at them, the problem need not
        strategy = self._strategy(chip, limit is not None)
        try:
            operators, products, problem = self.problem(op, chip, losses, max_loss)
            outcome = run(problem, strategy, self.time_limit, self._extras(chip, operators, products, limit))
        except PlacementError as error:
            raise InputError(str(error)) from None
        outcome = _least_simulated(op, operators, outcome, chip)
        if chip.schedule == "pipelined":
            # What the solver proved holds for operators that follow each other; overlapping may beat it.
            outcome = replace(outcome, bound=None, gap=None, status="feasible")
        placed = outcome.problem, outcome.plan
        overlapped = overlapped_ns(op, operators, *placed, chip) if chip.schedule == "pipelined" else None
        if overlapped is not None and self.strategy == "exact":
            outcome = self._bounded(outcome, op, overlapped)
        give_parts(operators, *placed, chip)
        orders = orders_of(*placed)
        if limit is not None:
            orders = best_orders(*placed, limit.losses, [not each.static for each in products])
            loss = predicted_loss(*placed, orders, limit.losses)
            outcome = replace(outcome, plan=replace(outcome.plan, loss=loss))
        give_orders(operators, orders)
        op.attributes[SOLUTION] = solution(outcome, strategy, overlapped)
        if self.explain:
            menu = outcome.problem if strategy == "exact" else problem
            text = explanation(operators, products, chip, self.min_bits, placed, menu)
            op.attributes[EXPLAIN] = StringAttr(text)
        return placed_as(op, chip, outcome)

    def _segment_tiers(self, module: ModuleOp, chip: Chip) -> list[str]:
        """The tiers that plans of segments are made for, each alone: of pipelined chips. Only `exact` has another
        answer elsewhere."""
        if self.strategy not in STRATEGIES:
            return []
        tiers = segment_tiers(module, self.min_bits) if chip.schedule == "pipelined" else []
        if tiers and self.explain:
            raise InputError(
                f"--explain: expected a strategy without segments on chip {chip.name}, got {self.strategy}"
            )
        if self.strategy == "exact":
            return tiers
        dual = [name for name in tiers if getattr(chip.tier(name), "memory_mode", None) is not None]
        chosen = tiers if len(tiers) == 1 else dual
        if len(chosen) != 1:
            raise InputError(
                f"strategy {self.strategy}: expected a pipelined chip with one tier of arrays (or one that can be "
                f"memory) that takes a product at {self.min_bits} bits or more, got {', '.join(chip.tiers)}"
            )
        return chosen

    def _cut(self, module: ModuleOp, chip: Chip, tiers: Sequence[str]) -> None:
        """Place a module on a chip that `tiers` cut segments for; with `exact` without segments where that is
        better."""
        wanted, strategy = self._wanted, self._strategy(chip)
        found, refusal = self._segmented(module, tiers, wanted)
        best = min(found, key=lambda each: wanted.value(each.timing), default=None)
        if best is None and (self.strategy != "exact" or wanted.is_plain):
            raise refusal
        alone = sum(name != "digital" for name in chip.tiers) == 1
        if self.strategy == "exact" and self._is_better(module, chip, wanted, best, plain=alone and wanted.is_plain):
            return
        assert best is not None
        best.give(module, strategy, self.objective, self._bound_ps(module, found))

    def _segmented(
        self, module: ModuleOp, tiers: Sequence[str], wanted: Wanted, budget: LossBudget | None = None
    ) -> tuple[list[Segmented], InputError]:
        """The plan of segments for each tier that they may be cut for; the last refusal."""
        found, refusal = list[Segmented](), InputError("")
        strategy = self._strategy(chip_from_ir(module))
        for tier in tiers:
            try:
                found.append(place_segments(module, strategy, tier, wanted, self.min_bits, budget))
            except InputError as error:
                refusal = error
        return found, refusal

    def _is_better(self, module: ModuleOp, chip: Chip, wanted: Wanted, best: Segmented | None, *, plain: bool) -> bool:
        """Place a module without segments, if that is better than `best`: all tiers and the digital unit take part.
        Where weights have to be loaded it seldom is."""
        beaten = inf if best is None else wanted.value(best.timing)

        def value(problem: Problem, plan: Plan, most: float) -> float:
            timing = simulated_plan_below(module, operators, problem, plan, chip, most if wanted.is_plain else inf)
            return inf if timing is None else wanted.value(timing)

        forget_segments(module)
        try:
            operators, products, problem = self.problem(module, chip)
            extras = self._extras(chip, operators, products, None)
            loads = plain and best is not None and not best.plan.resident
            found = best_unsegmented(
                problem,
                lambda each: run(each, self._strategy(chip), self.time_limit, extras, near=0.0 if loads else NEAR),
                value,
                beaten,
                finely=not plain,
                only_if_near=loads,
                rough=(lambda each: rough_plan(each, self.time_limit)) if plain and not loads else None,
            )
        except PlacementError as error:
            if best is None:
                raise InputError(str(error)) from None
            return False
        if found is None or found.value >= beaten:
            return False
        placed = found.outcome.problem, found.outcome.plan
        overlapped = overlapped_ns(module, operators, *placed, chip)
        outcome = self._bounded(found.outcome, module, overlapped)
        module.attributes[SOLUTION] = solution(outcome, self._strategy(chip), overlapped)
        return True

    def _bound_ps(self, module: ModuleOp, found: Sequence[Segmented]) -> int | None:
        """What no plan of segments is below; None: nothing is proven, as of baselines."""
        least = least_bound_ps(found)
        return None if least is None else max(least, least_ps(module, self.min_bits))

    def _bounded(self, outcome: Outcome, module: ModuleOp, latency_ns: float) -> Outcome:
        """An outcome with the bound that plans of every kind have, where operators overlap."""
        least_ns = least_ps(module, self.min_bits) / 1000 if self.objective == "latency" else 0.0
        bound = min(least_ns, latency_ns)
        return replace(outcome, bound=bound, gap=latency_ns / bound - 1) if bound else outcome

    def problem(
        self, module: ModuleOp, chip: Chip, losses: Losses | None = None, max_loss: float | None = None
    ) -> tuple[MatrixOps, list[Product], Problem]:
        """The matrix operators of a module, their products, and the problem of placing them within the limits."""
        operators, products, problem = make_problem(module, chip, self.objective, self.min_bits, self.strategy, losses)
        limits = replace(self._limits, max_loss=max_loss)
        return operators, products, constrained(problem, limits, [tier.endurance() for tier in chip.tiers.values()])

    @property
    def _wanted(self) -> Wanted:
        return Wanted(self.objective, self._limits)

    @property
    def _limits(self) -> Constraints:
        return Constraints(
            max_latency_ps=None if self.max_latency_ns is None else self.max_latency_ns * 1000,
            max_energy_pj=self.max_energy_pj,
            max_area_share=self.max_area_share,
            lifetime_s=self.lifetime_s,
            executions_per_day=self.executions_per_day,
        )

    def _strategy(self, chip: Chip, measured: bool = False) -> str:
        """The strategy with its tier or seed; `measured`: losses are known without a file of sensitivities."""
        if self.strategy == "lionheart":
            raise InputError("strategy lionheart: expected data to measure with and a loss allowed, got none")
        if (self.strategy == "homogeneous") != (self.tier is not None):
            raise InputError(
                f"strategy {self.strategy}: expected a tier with homogeneous, and only there, got {self.tier or 'none'}"
            )
        if self.tier is not None:
            chip.tier(self.tier)
            return f"homogeneous:{self.tier}"
        if (self.strategy == "random") > (self.seed is not None):
            raise InputError("strategy random: expected a seed, got none")
        if self.seed is not None and (self.strategy not in SEEDED or self.seed < 0):
            raise InputError(
                f"strategy {self.strategy}: expected a seed from 0 with {', '.join(SEEDED)} only, got {self.seed}"
            )
        if (self.sensitivities is not None) != (self.strategy in SENSITIVE and not measured):
            raise InputError(
                f"strategy {self.strategy}: expected a file of sensitivities with {' and '.join(SENSITIVE)}, "
                f"and only there, got {self.sensitivities or 'none'}"
            )
        return f"random:{self.seed}" if self.strategy == "random" else self.strategy

    def _extras(self, chip: Chip, ops: MatrixOps, products: list[Product], limit: LossBudget | None) -> Extras:
        """What strategies want beside the problem; `limit` in place of a file of sensitivities."""
        if self.sensitivities is not None:
            limit = read_sensitivities(self.sensitivities, ops, chip).limit
        return Extras(
            price_source(chip, products, self.min_bits, self.strategy),
            limit,
            Evolution(seed=self.seed or 0),
            tuple(name for name, tier in chip.tiers.items() if tier.noise is not None),
        )


def _least_simulated(module: ModuleOp, operators: MatrixOps, outcome: Outcome, chip: Chip) -> Outcome:
    """Of the plan and the baselines predicted close to it, the one of least simulated objective."""
    if not outcome.near:
        return outcome

    def simulated(plan: Plan) -> float:
        timing = simulated_plan(module, operators, outcome.problem, plan, chip)
        if outcome.problem.objective == "throughput":
            return timing.period_ns
        return outcome.problem.value(timing.latency_ns * 1000, timing.energy_pj)

    kept, plan = min([(outcome.kept, outcome.plan), *outcome.near], key=lambda named: simulated(named[1]))
    return outcome if plan is outcome.plan else outcome.keeping(kept, plan)


def give_orders(operators: MatrixOps, orders: Sequence[Ints | None]) -> None:
    """Let the parts of each operator be ranges of its outputs in an order: an entry of the weight store."""
    for op, order in zip(operators, orders, strict=True):
        if order is None:
            op.put_in_order(None)
            continue
        values = order.astype(np.int32)
        made = WeightOp(escape(f"{name_of(op)}.order"), type_of(values), digest=STORE.put(values))
        made.location = op.location
        block = op.parent_block()
        assert block is not None
        block.insert_op_before(made, op)
        op.put_in_order(made.result)


def solution(outcome: Outcome, strategy: str, overlapped_ns: float | None = None) -> DictionaryAttr:
    """`h3.solution` of an outcome; `overlapped_ns`: what its plan takes where operators overlap, if they do."""
    plan = outcome.plan
    latency_ns, energy_pj, period_ns = plan.latency_ps / 1000, plan.energy_pj, plan.period_ps / 1000
    if overlapped_ns is not None:
        energy_pj -= outcome.problem.static_power_mw * (latency_ns - overlapped_ns)
        latency_ns, period_ns = overlapped_ns, min(period_ns, overlapped_ns)
    return solution_attr(
        strategy,
        outcome.kept,
        outcome.problem.objective,
        latency_ns=latency_ns,
        energy_pj=energy_pj,
        period_ns=period_ns,
        bound=outcome.bound,
        gap=outcome.gap,
        status=outcome.status,
    )
