"""The best plan that keeps a promise of quality: budgets of predicted loss from tight to loose, each plan measured.

Losses are measured on the first half of the calibration data (every other execution), plans are checked on the second
with realisations of their own. Loose budgets are tried until the first plan fails: the best of many tries would be the
luckiest. Then LionHeart's search runs under the same checks while it can still end with a better plan, so that the
result is never worse than its. The plan that is kept is measured once more, with other realisations, at every age; if
it fails there, the one before it is taken. The tightest plan of all uses only what loses nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isnan

from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.passes import ModulePass

from ..dialects.values import shape_of
from ..passes.place_lionheart import place_lionheart
from ..passes.place_parts import SENSITIVE, PlaceParts
from ..passes.placement.losses import Losses
from ..passes.quality.sensitivity import measure_losses
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.errors import InputError
from ..runtime_sim.noise.ages import parse_age
from ..runtime_sim.quality.measure import Quality, Settings
from ..runtime_sim.quality.metrics import default_metric
from ..runtime_sim.quality.promise import likely_mse, net_loss, promised_loss, samples_needed
from ..runtime_sim.quality.realisations import COMPENSATION
from ..runtime_sim.quality.trim import set_trim
from ..runtime_sim.walk import main_function
from .arrays import read_inputs, read_labels
from .front import status
from .plan_files import new_context
from .promise import Half, Promised, Verdict, Wanted, halves
from .promise_checks import Checks, Memo
from .promise_path import Candidate, Looking, Path
from .quality_options import AGES, REDUNDANCY, REPEATS, ages_of

TRIMMED_WITH = 32
"""Samples of the calibration data that a plan carries for trims."""
CHECKS = 8
"""Realisations of a check, at most, while plans are tried."""
PUBLISHED_REPEATS = 10
"""Chips that LionHeart's authors evaluate each step on (their code's settings for CIFAR)."""


Report = Callable[[str], object]
"""Told what is done now."""


@dataclass
class Search:
    """The search for a plan of `module` (on the h3 level, with its chip).

    `memo`: measurements that were made already, of this module on these data. `passes`: samples through the network
    for sensitivities; `checks` has those of measurements.
    """

    module: ModuleOp
    placing: PlaceParts
    known: Half
    kept_back: Half
    wanted: Wanted
    report: Report = lambda text: None
    memo: Memo = field(default_factory=Memo)
    passes: float = 0.0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        metric = self.wanted.metric or default_metric(self.known.labels)
        self.checks = Checks(self.kept_back, metric, self.wanted.output, self.memo)
        self.published = Checks(self.known.with_all_of(self.kept_back), metric, self.wanted.output, self.memo)

    def run(self) -> Promised:
        """The best plan that keeps the promise. Without a promise, with a baseline that does not look at losses, or
        where nothing errs, the plan that there would be without data."""
        start = time.process_time()
        errs = any(tier.noise is not None for tier in chip_from_ir(self.module).tiers.values())
        strategy, loss = self.placing.strategy, None
        if strategy == "lionheart":
            module = self._published()
            quality = self._final(module)
        elif self.wanted.max_loss is not None and errs and self._searched:
            chosen, quality = self._settled(Path(self._looking()).run())
            loss = None if isnan(chosen.loss) else chosen.loss
            module = chosen.module
        else:
            module = self.module.clone()
            self.placing.apply(new_context(), module)
            self.equip(module)
            quality = self._final(module)
        promise, asked = promised_loss(quality), self.wanted.max_loss
        verdict: Verdict | None = None
        if asked is not None:
            verdict = "kept" if samples_needed(quality, asked) <= quality.samples else "unverifiable"
            verdict = verdict if promise <= asked else "unreachable"
        both = (self.checks, self.published)
        passes = self.passes + sum(each.passes for each in both)
        seconds = time.process_time() - start + self.seconds + sum(each.seconds for each in both)
        plans = sum(each.plans for each in both)
        return Promised(module, quality, promise, verdict, asked, loss, plans, passes, passes - quality.runs, seconds)

    @property
    def _searched(self) -> bool:
        """Whether the strategy looks for a plan by measured losses."""
        return self.placing.strategy == "exact" or (
            self.placing.strategy in SENSITIVE and self.placing.sensitivities is None
        )

    @property
    def max_loss(self) -> float:
        """The loss allowed."""
        if self.wanted.max_loss is None:
            raise InputError(f"strategy {self.placing.strategy}: expected a loss allowed (--max-loss), got none")
        return self.wanted.max_loss

    def _looking(self) -> Looking:
        """What plans are looked for; the digital model's outputs say where the promise is likely to break."""
        placed = self.module.clone()
        PlaceParts(strategy="greedy", min_bits=self.placing.min_bits).place(placed)
        likely = likely_mse(self.checks.metric, self.max_loss, self.checks.digital(placed))
        copies = self.wanted.redundancy
        return Looking(self.module, self.placing, self._losses, likely, self.max_loss, copies, self.equip, self.promise)

    def equip(self, module: ModuleOp) -> None:
        """Give a module what h3c-sim needs beside its parts."""
        if self.wanted.compensation is not None:
            module.attributes[COMPENSATION] = StringAttr(self.wanted.compensation)
        set_trim(module, {name: array[:TRIMMED_WITH] for name, array in self.known.inputs.items()})

    def promise(self, module: ModuleOp) -> float:
        """What a plan promises under some realisations at the oldest age."""
        self.report(f"checking plan {self.checks.plans + 1}")
        settings = Settings((self._oldest,), CHECKS, seed=self.wanted.seed + 1)
        return self.checks.promise(module, settings, self.max_loss)

    @property
    def _oldest(self) -> str:
        return max(self.wanted.ages, key=parse_age)

    def _published(self) -> ModuleOp:
        """LionHeart's plan: every step is evaluated as published, by the mean loss on all of the data."""
        module = self.module.clone()
        self.equip(module)
        settings = Settings((self._oldest,), PUBLISHED_REPEATS, seed=self.wanted.seed + 1)

        def loss_of(trial: ModuleOp) -> float:
            self.report(f"measuring plan {self.published.plans + 1}")
            return net_loss(self.published.mean(trial, settings), self._oldest)

        place_lionheart(self.placing, module, loss_of, self.max_loss)
        return module

    def _settled(self, loosest_first: Iterator[Candidate]) -> tuple[Candidate, Quality]:
        """The loosest plan that keeps the promise at every age under other realisations; else that of least promise."""
        found: list[tuple[Candidate, Quality]] = []
        for candidate in loosest_first:
            quality = self._final(candidate.module)
            found.append((candidate, quality))
            if promised_loss(quality) <= self.max_loss:
                return found[-1]
        best, quality = min(reversed(found), key=lambda each: promised_loss(each[1]))
        whole = quality.repeats == self.wanted.repeats and set(quality.ages) == set(self.wanted.ages)
        return best, quality if whole else self._final(best.module, wholly=True)

    def _final(self, module: ModuleOp, wholly: bool = False) -> Quality:
        """The quality that is told of a plan: at every age, with realisations that no check has seen; not `wholly`
        where it is not kept, as another plan may be."""
        self.report("measuring the plan")
        settings = Settings(self.wanted.ages, self.wanted.repeats, seed=self.wanted.seed + 2)
        limit = self.wanted.max_loss if self._searched and not wholly else None
        return self.checks.final(module, settings, limit)

    def _losses(self) -> Losses:
        self.report("measuring losses")
        start, wanted = time.process_time(), self.wanted
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
        self.seconds += max(0.0, measured.seconds - (time.process_time() - start))
        return measured.losses


def promise(module: ModuleOp, placing: ModulePass, args: argparse.Namespace) -> Promised:
    """The search that a command line asks for."""
    assert isinstance(placing, PlaceParts)
    inputs = read_inputs(args.calibration, "--calibration")
    labels = None if args.labels is None else read_labels(args.labels)
    arguments = main_function(module).body.block.args
    batch = max(((shape_of(argument) or (1,))[0] for argument in arguments), default=1)
    wanted = Wanted(
        ages_of(args.age or AGES),
        None if args.max_loss is None else args.max_loss[0],
        args.metric,
        args.compensation,
        args.repeats or REPEATS,
        args.seed or 0,
        args.looked_at,
        args.redundancy or REDUNDANCY,
    )
    with status("compiling") as report:
        return Search(module, placing, *halves(inputs, labels, batch), wanted, report).run()
