"""The quality of a plan at each age: mean over realisations, and how sure it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from ..errors import InputError
from ..interface import result_names
from ..kinds.noise import Compensation
from ..noise.ages import parse_age
from ..numbers import run_plan
from ..walk import main_function
from ..weights import STORE, WeightStore
from .metrics import Metric, default_metric, metric_for
from .realisations import NoisyPlan
from .statistics import half_width, mean_and_deviation, t_quantile

Array = NDArray[Any]


@dataclass(frozen=True)
class Settings:
    """How quality is measured; `metric` and `compensation` None: the defaults of data and chip."""

    ages: tuple[str, ...]
    """As users write them."""
    repeats: int = 25
    metric: str | None = None
    compensation: Compensation | None = None
    seed: int = 0
    output: str | None = None
    """The name of the model's output that is looked at; None: the only one."""
    exact_adc: bool = False


@dataclass(frozen=True)
class AtAge:
    """The metric at one age: `mean` and sample deviation `std` over realisations; half-widths of the 95 % confidence
    intervals of that mean, by the number of realisations (`ci95`) and by the number of samples (`ci95_data`).

    Of top1 `flips`, too: the share of samples whose largest output is another than the digital model's, and its `ci95`.
    """

    mean: float
    std: float
    ci95: float
    ci95_data: float
    flips: float | None = None
    flips_ci95: float | None = None

    def tree(self) -> dict[str, float]:
        """As in the summary: without what is not known."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Quality:
    """What was measured. `reference`: the digital model on the same data; `without_noise`: the plan at the precision of
    its tiers; `noisy`: whether anything in the plan errs at all."""

    metric: str
    reference: float
    without_noise: float
    ages: dict[str, AtAge]
    repeats: int
    samples: int
    seed: int
    noisy: bool
    outputs: Mapping[str, Array]
    """Of the plan without noise."""
    notes: tuple[str, ...]

    def tree(self) -> dict[str, Any]:
        """As in the summary."""
        return {
            "metric": self.metric,
            "reference": self.reference,
            "without_noise": self.without_noise,
            "samples": self.samples,
            "repeats": self.repeats,
            "seed": self.seed,
            "ages": {age: at.tree() for age, at in self.ages.items()},
        }


Progress = Callable[[int], object]
"""Called with the number of realisations that are done."""


def measure(
    module: ModuleOp,
    inputs: Mapping[str, Array],
    labels: Array | None,
    settings: Settings,
    *,
    store: WeightStore = STORE,
    progress: Progress | None = None,
) -> Quality:
    """Run the digital model, the plan without noise, and `repeats` realisations at all ages; compare."""
    seconds = [parse_age(age) for age in settings.ages]
    if twice := [age for age in settings.ages if settings.ages.count(age) > 1]:
        raise InputError(f"age: expected each age once, got {twice[0]!r} twice")
    if settings.repeats < 2:
        raise InputError(f"repeats: expected at least 2 for a confidence interval, got {settings.repeats}")
    name = output_name(module, settings.output)
    for given, array in inputs.items():
        _expect_finite(array, f"input {given!r}")
    digital = run_plan(module, inputs, ideal=True, store=store)[0][name]
    _expect_finite(digital, f"output {name!r} of the digital model")
    chosen = settings.metric or default_metric(labels)
    metric = metric_for(chosen, labels, digital)
    plan = NoisyPlan(
        module,
        inputs,
        seed=settings.seed,
        compensation=settings.compensation,
        exact_adc=settings.exact_adc,
        store=store,
    )
    flips = metric_for("top1", digital.argmax(axis=-1), digital) if chosen == "top1" else None
    values, scores, flipped = _realisations(plan, (metric, flips), name, seconds, settings, progress)
    return Quality(
        metric=chosen,
        reference=metric.value(metric.scores(digital)),
        without_noise=metric.value(metric.scores(plan.plain[name])),
        ages={age: _at_age(metric, values[i], scores[i], flipped[i]) for i, age in enumerate(settings.ages)},
        repeats=settings.repeats,
        samples=len(digital),
        seed=settings.seed,
        noisy=plan.noisy,
        outputs=plan.plain,
        notes=tuple(plan.numbers.lines()),
    )


def _realisations(
    plan: NoisyPlan,
    metrics: tuple[Metric, Metric | None],
    name: str,
    seconds: Sequence[float],
    settings: Settings,
    progress: Progress | None,
) -> tuple[list[list[float]], list[Array], list[list[float]]]:
    """For each age the metric of every realisation, the samples' scores, mean over realisations, and flips.

    The second of `metrics` is the share of samples that the digital model decides alike.
    """
    metric, alike = metrics
    values: list[list[float]] = [[] for _ in seconds]
    flipped: list[list[float]] = [[] for _ in seconds]
    totals: list[Array | float] = [0.0 for _ in seconds]
    kept: list[dict[str, Array]] | None = None
    for realisation in range(settings.repeats):
        # Where nothing errs one realisation is like another.
        outputs = kept if kept is not None else plan.realise(realisation, seconds)
        kept = None if plan.noisy else outputs
        for i, at_age in enumerate(outputs):
            _expect_finite(at_age[name], f"output {name!r} at age {settings.ages[i]}, realisation {realisation}")
            scores = metric.scores(at_age[name])
            values[i].append(metric.value(scores))
            totals[i] = totals[i] + scores
            if alike is not None:
                flipped[i].append(1 - alike.value(alike.scores(at_age[name])))
        if progress is not None:
            progress(realisation + 1)
    return values, [np.asarray(total) / settings.repeats for total in totals], flipped


def _at_age(metric: Metric, values: Sequence[float], scores: Array, flipped: Sequence[float]) -> AtAge:
    mean, std = mean_and_deviation(values)
    data = t_quantile(max(len(scores) - 1, 1)) * metric.deviation(scores)
    known = AtAge(mean, std, half_width(std, len(values)), data)
    if not flipped:
        return known
    flips, spread = mean_and_deviation(flipped)
    return replace(known, flips=flips, flips_ci95=half_width(spread, len(flipped)))


def output_name(module: ModuleOp, chosen: str | None) -> str:
    """The output of a module that is looked at: the one that is `chosen`, else the only one."""
    names = result_names(main_function(module))
    if chosen is None and len(names) > 1:
        raise InputError(f"the model has several outputs, --output picks one: {', '.join(map(repr, names))}")
    if chosen is not None and chosen not in names:
        raise InputError(f"output: expected one of {', '.join(map(repr, names))}, got {chosen!r}")
    return names[0] if chosen is None else chosen


def _expect_finite(array: Array, what: str) -> None:
    if array.dtype.kind not in "fV":
        return
    finite = np.isfinite(array.astype(np.float32) if array.dtype.kind == "V" else array)
    if not finite.all():
        sample = int(np.argwhere(~finite)[0][0]) if finite.ndim else 0
        raise InputError(f"{what}: expected finite numbers, got NaN or infinity in sample {sample}")
