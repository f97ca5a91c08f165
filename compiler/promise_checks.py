"""Measurements of placed modules on some data: checks that end once the answer is clear, and the one that is told.

They count what they take. The digital model's outputs are computed once, and the same plan is not measured twice.
"""

import time
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import StringIO

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.printer import Printer

from ..runtime_sim.noise.ages import parse_age
from ..runtime_sim.quality.measure import Quality, Settings, Settled, digital_outputs, measure, output_name
from ..runtime_sim.quality.promise import broken_for_good, kept_so_far, promised_loss
from .pipeline import around, build, run
from .plan_files import new_context
from .promise import Array, Half

Memo = dict[tuple[str, str], tuple[Quality, float]]
"""What was measured of a plan under some settings, and the CPU seconds that it took."""


@dataclass
class Checks:
    """Measurements on `data`. `plans`, `passes`: plans that were measured, samples that went through the network;
    `seconds`: CPU time of measurements that are taken from `memo`."""

    data: Half
    metric: str
    output: str | None = None
    memo: Memo = field(default_factory=Memo)
    plans: int = 0
    passes: float = 0.0
    seconds: float = 0.0
    _digital: Array | None = None

    def __post_init__(self) -> None:
        digest = sha256()
        for name, array in sorted(self.data.inputs.items()):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + np.ascontiguousarray(array).tobytes())
        self._of_data = digest.hexdigest()

    def promise(self, module: ModuleOp, settings: Settings, allowed: float) -> float:
        """The loss that a placed module promises, measured until it is clear whether it is at most `allowed`."""

        def settled(so_far: Quality) -> bool:
            return kept_so_far(so_far, allowed) or broken_for_good(so_far, allowed, settings.repeats)

        return promised_loss(self._measured(module, settings, f"check {allowed!r}", plain=False, settled=settled))

    def mean(self, module: ModuleOp, settings: Settings) -> Quality:
        """The quality of a placed module, with nothing but its realisations looked at."""
        return self._measured(module, settings, "mean", plain=False)

    def final(self, module: ModuleOp, settings: Settings, allowed: float | None) -> Quality:
        """The quality that is told of a placed module. If a loss is `allowed`, the oldest age is measured first, and
        where it is not kept that is all; with fewer realisations than were asked for once that is clear."""
        if allowed is None:
            return self._measured(module, settings, "final")

        def settled(so_far: Quality) -> bool:
            return broken_for_good(so_far, allowed, settings.repeats)

        oldest = max(settings.ages, key=parse_age)
        first = replace(settings, ages=(oldest,))
        alone = settings.ages == (oldest,)
        found = self._measured(module, first, f"final {allowed!r}", plain=alone, settled=settled)
        if alone or promised_loss(found) > allowed:
            return found
        others = replace(settings, ages=tuple(age for age in settings.ages if age != oldest))
        rest = self._measured(module, others, f"final {allowed!r}", settled=settled)
        ages = {age: (found if age == oldest else rest).ages[age] for age in settings.ages}
        flipped = {**rest.flipped, **found.flipped}
        return replace(rest, ages=ages, flipped=flipped, runs=rest.runs + found.runs)

    def digital(self, module: ModuleOp) -> Array:
        """The digital model's outputs; `module` is placed."""
        if self._digital is None:
            plan = plan_of(module)
            self._digital = digital_outputs(plan, self.data.inputs, output_name(plan, self.output))
            self.passes += self.data.samples
        return self._digital

    def _measured(
        self,
        module: ModuleOp,
        settings: Settings,
        purpose: str,
        plain: bool = True,
        settled: Settled | None = None,
    ) -> Quality:
        settings = replace(settings, metric=self.metric, output=self.output)
        digital, plan = self.digital(module), plan_of(module)
        key = _digest(plan), f"{purpose} {settings!r} {self._of_data}"
        if key in self.memo:
            quality, seconds = self.memo[key]
            self.seconds += seconds
        else:
            start = time.process_time()
            data = self.data
            quality = measure(plan, data.inputs, data.labels, settings, digital=digital, plain=plain, settled=settled)
            self.memo[key] = quality, time.process_time() - start
        self.plans += 1
        self.passes += quality.runs
        return quality


def plan_of(module: ModuleOp) -> ModuleOp:
    """The plan of a placed module."""
    plan = module.clone()
    run(plan, build({}, around("place-parts")[1]), new_context())
    return plan


def _digest(plan: ModuleOp) -> str:
    copy = plan.clone()
    copy.attributes.pop("h3.solution", None)
    text = StringIO()
    Printer(text).print_op(copy)
    return sha256(text.getvalue().encode()).hexdigest()
