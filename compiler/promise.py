"""The best plan that keeps a promise of quality: budgets of predicted loss from tight to loose, each plan measured.

Losses are measured on the first half of the calibration data (every other execution), plans are checked on the second
with realisations of their own. Loose budgets are tried until the first plan fails: the best of many tries would be the
luckiest. The plan that is kept is measured once more, with other realisations, at every age; if it fails there, the
one before it is taken. The tightest plan of all uses only what loses nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from ..dialects.values import shape_of
from ..passes.place_parts import PlaceParts, solution
from ..passes.placement.losses import Losses
from ..passes.placement.strategies import Outcome
from ..passes.quality.sensitivity import measure_losses
from ..passes.verify_placement import SOLUTION
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from ..runtime_sim.kinds.noise import Compensation
from ..runtime_sim.noise.ages import parse_age
from ..runtime_sim.numbers import run_plan
from ..runtime_sim.quality.measure import Quality, Settings, measure
from ..runtime_sim.quality.metrics import default_metric
from ..runtime_sim.quality.promise import likely_mse, promised_loss, samples_needed
from ..runtime_sim.quality.realisations import COMPENSATION
from ..runtime_sim.quality.trim import set_trim
from ..runtime_sim.walk import main_function
from .arrays import read_inputs, read_labels
from .front import status
from .pipeline import around, build, run
from .plan_files import new_context
from .quality_options import AGES, REPEATS, ages_of

Array = NDArray[Any]
Verdict = Literal["kept", "unverifiable", "unreachable"]

TRIMMED_WITH = 32
"""Samples of the calibration data that a plan carries for trims."""
CHECKS = 8
"""Realisations of a check while budgets are tried."""
TIGHTER, LOOSER = 4.0, 2.0
"""Steps of the budget."""
FIRST = 32.0
"""By how much the first budget is tighter than where the promise is likely to break."""
RETREATS = 3
"""How often a first budget that fails is made tighter; and the first that passed, if its plan fails in the end."""
BASELINES: tuple[Literal["first-last-digital"], Literal["all-analog"]] = ("first-last-digital", "all-analog")
"""Whole-operator plans that are taken where they are better and keep the promise."""
TINY = 1e-9
"""Predicted losses that differ by less, relatively, are of the same plan."""


@dataclass(frozen=True)
class Wanted:
    """What is asked of quality; `max_loss` None: nothing, it is measured and told."""

    ages: tuple[str, ...]
    max_loss: float | None = None
    metric: str | None = None
    compensation: Compensation | None = None
    repeats: int = 25
    seed: int = 0
    output: str | None = None


@dataclass(frozen=True)
class Half:
    """Samples with their labels."""

    inputs: Mapping[str, Array]
    labels: Array | None

    @property
    def samples(self) -> int:
        return len(next(iter(self.inputs.values())))


@dataclass(frozen=True)
class Promised:
    """A placed module, what it was measured to lose, and how that was found. `verdict` None: nothing was asked."""

    module: ModuleOp
    quality: Quality
    promise: float
    verdict: Verdict | None
    max_loss: float | None
    predicted_loss: float | None
    plans: int
    passes: float
    seconds: float

    def tree(self) -> dict[str, Any]:
        """`quality` as in the summary."""
        return {
            **self.quality.tree(),
            "max_loss": self.max_loss,
            "promise": self.promise,
            "verdict": self.verdict,
            "predicted_loss": self.predicted_loss,
            "plans": self.plans,
            "passes": self.passes,
            "seconds": self.seconds,
        }

    @property
    def samples_needed(self) -> int:
        """How many samples would verify the promise."""
        return samples_needed(self.quality, self.max_loss or 0.0)


def halves(inputs: Mapping[str, Array], labels: Array | None, batch: int) -> tuple[Half, Half]:
    """Every other execution of the calibration data, and the rest; what is no whole execution is left out."""
    count = len(next(iter(inputs.values())))
    if any(len(array) != count for array in inputs.values()) or (labels is not None and len(labels) != count):
        raise InputError("calibration: expected as many samples of every input, and labels, on the leading axis")
    executions = count // batch
    if executions < 2:
        raise InputError(f"calibration: expected at least {2 * batch} samples, two executions, got {count}")
    owner = np.repeat(np.arange(executions) % 2, batch)

    def half(which: int) -> Half:
        at = np.flatnonzero(owner == which)
        return Half({name: array[at] for name, array in inputs.items()}, None if labels is None else labels[at])

    return half(0), half(1)


@dataclass
class _Candidate:
    """A placed module with its plan."""

    module: ModuleOp
    outcome: Outcome

    def same(self, other: "_Candidate") -> bool:
        """Whether both have the same plan, by all that is predicted of it."""
        mine, theirs = self.outcome.plan, other.outcome.plan
        same_loss = abs(mine.loss - theirs.loss) <= TINY * max(mine.loss, theirs.loss)
        return same_loss and (mine.latency_ps, mine.energy_pj) == (theirs.latency_ps, theirs.energy_pj)


Report = Callable[[str], object]
"""Told what is done now."""


@dataclass
class Search:
    """The search for a plan of `module` (on the h3 level, with its chip). `passes`: samples through the network."""

    module: ModuleOp
    placing: PlaceParts
    known: Half
    kept_back: Half
    wanted: Wanted
    report: Report = lambda text: None
    plans: int = 0
    passes: float = 0.0
    losses: Losses | None = None

    def run(self) -> Promised:
        """The best plan that keeps the promise. Without a promise, with a baseline, or where nothing errs, the plan
        that there would be without data."""
        start = time.process_time()
        errs = any(tier.noise is not None for tier in chip_from_ir(self.module).tiers.values())
        if self.placing.strategy == "exact" and self.wanted.max_loss is not None and errs:
            chosen, quality = self._settled(self._path())
            loss = None if chosen.outcome.kept in BASELINES else chosen.outcome.plan.loss
            module = chosen.module
        else:
            loss, module = None, self.module.clone()
            self.placing.apply(new_context(), module)
            self._equip(module)
            quality = self._final(module)
        promise, asked = promised_loss(quality), self.wanted.max_loss
        verdict: Verdict | None = None
        if asked is not None:
            verdict = "kept" if samples_needed(quality, asked) <= quality.samples else "unverifiable"
            verdict = verdict if promise <= asked else "unreachable"
        seconds = time.process_time() - start
        return Promised(module, quality, promise, verdict, asked, loss, self.plans, self.passes, seconds)

    def _placed(self, losses: Losses | None, max_loss: float | None) -> _Candidate:
        module = self.module.clone()
        return self._candidate(module, self.placing.place(module, losses, max_loss))

    def _candidate(self, module: ModuleOp, outcome: Outcome) -> _Candidate:
        """A placed module with what h3c-sim needs beside it."""
        self._equip(module)
        return _Candidate(module, outcome)

    def _equip(self, module: ModuleOp) -> None:
        """Give a placed module what h3c-sim needs beside it."""
        if self.wanted.compensation is not None:
            module.attributes[COMPENSATION] = StringAttr(self.wanted.compensation)
        set_trim(module, {name: array[:TRIMMED_WITH] for name, array in self.known.inputs.items()})

    def _path(self) -> list[_Candidate]:
        """Plans from tight to loose: the one that loses least, then those that passed."""
        self.report("measuring losses")
        losses = self.losses = self._losses()
        free = self._placed(losses, None)
        if free.outcome.plan.loss == 0:
            return [free]
        passed = [self._least(losses, free)]
        self._extend(passed, losses, free)
        self._repair(passed)
        return passed

    def _extend(self, passed: list[_Candidate], losses: Losses, free: _Candidate) -> None:
        """Adds plans of ever looser budgets until the first that fails; where the user's limits leave no plan for the
        first ones, from the first that has one on."""
        most = free.outcome.plan.loss
        assert self.wanted.max_loss is not None
        budget = min(likely_mse(self._metric, self.wanted.max_loss, self._digital(free)) / FIRST, most)
        good = self._passes(passed, losses, budget, free)
        if good is False:
            for _ in range(RETREATS):
                budget /= TIGHTER
                if self._passes(passed, losses, budget, free):
                    return
        while good is not False and budget < most:
            budget *= LOOSER
            good = self._passes(passed, losses, budget, free)

    def _repair(self, passed: list[_Candidate]) -> None:
        """Adds those baselines that are predicted better than the best plan that passed, and pass the same check."""
        for strategy in BASELINES:
            module = self.module.clone()
            try:
                outcome = replace(self.placing, strategy=strategy).place(module)
            except InputError:  # it does not fit the chip, or the limits
                continue
            module.attributes[SOLUTION] = solution(outcome, "exact")
            found = self._candidate(module, outcome)
            if outcome.value < passed[-1].outcome.value and self._checks(found):
                passed.append(found)

    def _least(self, losses: Losses, free: _Candidate) -> _Candidate:
        """The plan on what loses nothing; where some operator has no such tier, the plan without a budget."""
        none = {position: np.where(own > 0, inf, 0.0) for position, own in losses.by_output.items()}
        try:
            return self._placed(replace(losses, by_output=none), None)
        except InputError:
            return free

    def _passes(self, passed: list[_Candidate], losses: Losses, budget: float, free: _Candidate) -> bool | None:
        """Whether the best plan within a budget passes a check; then it joins those that did. None: no such plan."""
        assert self.wanted.max_loss is not None
        try:
            found = free if budget >= free.outcome.plan.loss else self._placed(losses, budget)
        except InputError:  # no plan loses so little
            return None
        if found.same(passed[-1]):
            return True
        if not self._checks(found):
            return False
        passed.append(found)
        return True

    def _checks(self, found: _Candidate) -> bool:
        """Whether a plan keeps the promise under some realisations at the oldest age."""
        assert self.wanted.max_loss is not None
        oldest = max(self.wanted.ages, key=parse_age)
        self.report(f"checking plan {self.plans + 1}")
        return (
            promised_loss(self._measured(found.module, (oldest,), CHECKS, self.wanted.seed + 1)) <= self.wanted.max_loss
        )

    def _settled(self, candidates: list[_Candidate]) -> tuple[_Candidate, Quality]:
        """The loosest plan that keeps the promise at every age under other realisations; else that of least promise."""
        assert self.wanted.max_loss is not None
        found: list[tuple[_Candidate, Quality]] = []
        for candidate in self._loosest_first(candidates):
            quality = self._final(candidate.module)
            found.append((candidate, quality))
            if promised_loss(quality) <= self.wanted.max_loss:
                return found[-1]
        return min(found, key=lambda each: promised_loss(each[1]))

    def _loosest_first(self, candidates: list[_Candidate]) -> Iterator[_Candidate]:
        """The candidates, and before the one that loses least some that are tighter than the first that passed."""
        yield from reversed(candidates[1:])
        tightest = candidates[min(1, len(candidates) - 1)].outcome.plan.loss
        for step in range(1, RETREATS) if len(candidates) > 1 and tightest > 0 else ():
            try:
                yield self._placed(self.losses, tightest / TIGHTER**step)
            except InputError:  # no plan loses so little
                break
        yield candidates[0]

    def _final(self, module: ModuleOp) -> Quality:
        """The quality that is told of a plan: at every age, with realisations that no check has seen."""
        self.report("measuring the plan")
        return self._measured(module, self.wanted.ages, self.wanted.repeats, self.wanted.seed + 2)

    def _measured(self, module: ModuleOp, ages: tuple[str, ...], repeats: int, seed: int) -> Quality:
        """The quality of a plan on the data that were kept back."""
        wanted = self.wanted
        settings = Settings(ages, repeats, self._metric, seed=seed, output=wanted.output)
        quality = measure(plan_of(module), self.kept_back.inputs, self.kept_back.labels, settings)
        self.plans += 1
        a_realisation = quality.samples + (TRIMMED_WITH if self._trims else 0)
        self.passes += 2 * quality.samples + quality.noisy * repeats * len(ages) * a_realisation
        return quality

    @property
    def _trims(self) -> bool:
        tiers = chip_from_ir(self.module).tiers.values()
        by_chip = [tier.noise.compensation for tier in tiers if tier.noise is not None]
        return "offset" in ([self.wanted.compensation] if self.wanted.compensation is not None else by_chip)

    @property
    def _metric(self) -> str:
        return self.wanted.metric or default_metric(self.known.labels)

    def _digital(self, candidate: _Candidate) -> Array:
        """The digital model's outputs on the first half."""
        outputs, _ = run_plan(plan_of(candidate.module), self.known.inputs, ideal=True)
        self.passes += self.known.samples
        name = self.wanted.output or next(iter(outputs))
        return outputs[name].astype(np.float64)

    def _losses(self) -> Losses:
        wanted = self.wanted
        measured = measure_losses(
            self.module,
            self.known.inputs,
            wanted.ages,
            wanted.compensation,
            seed=wanted.seed,
            output=wanted.output,
            min_bits=self.placing.min_bits,
        )
        self.passes += measured.passes
        return measured.losses


def plan_of(module: ModuleOp) -> ModuleOp:
    """The plan of a placed module."""
    plan = module.clone()
    run(plan, build({}, around("place-parts")[1]), new_context())
    return plan


def promise(module: ModuleOp, placing: ModulePass, args: argparse.Namespace) -> Promised:
    """The search that a command line asks for."""
    assert isinstance(placing, PlaceParts)
    inputs = read_inputs(args.calibration, "--calibration")
    labels = None if args.labels is None else read_labels(args.labels)
    arguments = main_function(module).body.block.args
    batch = max((shape_of(argument) or (1,))[0] for argument in arguments)
    wanted = Wanted(
        ages_of(args.age or AGES),
        None if args.max_loss is None else args.max_loss[0],
        args.metric,
        args.compensation,
        args.repeats or REPEATS,
        args.seed or 0,
        args.looked_at,
    )
    with status("compiling") as report:
        return Search(module, placing, *halves(inputs, labels, batch), wanted, report).run()
