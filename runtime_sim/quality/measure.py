"""The quality of a plan at each age: mean over realisations, and how sure it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    its tiers (None: not looked at); `noisy`: whether anything in the plan errs at all; `runs`: samples that went
    through the network, those of trims included; `flipped`: of top1 the share of samples at each age that each
    realisation decides otherwise than the digital model."""

    metric: str
    reference: float
    without_noise: float | None
    ages: dict[str, AtAge]
    repeats: int
    samples: int
    seed: int
    noisy: bool
    outputs: Mapping[str, Array]
    """Of the plan without noise."""
    notes: tuple[str, ...]
    runs: int = 0
    flipped: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])

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


Settled = Callable[[Quality], bool]
"""Whether what was measured so far answers the question."""


def measure(
    module: ModuleOp,
    inputs: Mapping[str, Array],
    labels: Array | None,
    settings: Settings,
    *,
    store: WeightStore = STORE,
    progress: Progress | None = None,
    digital: Array | None = None,
    plain: bool = True,
    settled: Settled | None = None,
) -> Quality:
    """Run the digital model, the plan without noise, and `repeats` realisations at all ages; compare.

    `digital`: the digital model's outputs, if they are known. `plain`: whether the plan without noise counts; else only
    the ranges of its converters are set. `settled`: asked after each realisation; its yes ends it.
    """
    seconds, name = _seconds(settings), output_name(module, settings.output)
    clean = digital_outputs(module, inputs, name, store) if digital is None else digital
    chosen = settings.metric or default_metric(labels)
    metric = metric_for(chosen, labels, clean)
    plan = NoisyPlan(
        module,
        inputs,
        seed=settings.seed,
        compensation=settings.compensation,
        exact_adc=settings.exact_adc,
        store=store,
        plain=plain,
    )
    flips = metric_for("top1", clean.argmax(axis=-1), clean) if chosen == "top1" else None
    found = _Realisations(settings, metric, flips, name)

    def quality() -> Quality:
        return Quality(
            metric=chosen,
            reference=metric.value(metric.scores(clean)),
            without_noise=metric.value(metric.scores(plan.plain[name])) if plain else None,
            ages=found.at_ages(),
            repeats=found.count,
            samples=len(clean),
            seed=settings.seed,
            noisy=plan.noisy,
            outputs=plan.plain,
            notes=tuple(plan.numbers.lines()),
            runs=plan.runs * len(clean) // plan.executions + (len(clean) if digital is None else 0),
            flipped=found.flipped(),
        )

    kept: list[dict[str, Array]] | None = None
    for realisation in range(settings.repeats):
        # Where nothing errs one realisation is like another.
        outputs = kept if kept is not None else plan.realise(realisation, seconds)
        kept = None if plan.noisy else outputs
        found.add([at_age[name] for at_age in outputs])
        if progress is not None:
            progress(realisation + 1)
        if settled is not None and settled(quality()):
            break
    return quality()


def _seconds(settings: Settings) -> list[float]:
    """The ages; an age that is given twice, or too few realisations for an interval, are an error."""
    if twice := [age for age in settings.ages if settings.ages.count(age) > 1]:
        raise InputError(f"age: expected each age once, got {twice[0]!r} twice")
    if settings.repeats < 2:
        raise InputError(f"repeats: expected at least 2 for a confidence interval, got {settings.repeats}")
    return [parse_age(age) for age in settings.ages]


def digital_outputs(module: ModuleOp, inputs: Mapping[str, Array], name: str, store: WeightStore = STORE) -> Array:
    """What the digital model gives at the output `name`; inputs and outputs that are not finite are an error."""
    for given, array in inputs.items():
        _expect_finite(array, f"input {given!r}")
    digital = run_plan(module, inputs, ideal=True, store=store)[0][name]
    _expect_finite(digital, f"output {name!r} of the digital model")
    return digital


class _Realisations:
    """What was found in the realisations so far: for each age the metric of every one, the sum of the samples' scores,
    and flips: the share of samples that `alike`, top-1 against the digital model, counts as decided otherwise."""

    def __init__(self, settings: Settings, metric: Metric, alike: Metric | None, name: str):
        self._settings, self._metric, self._alike, self._name = settings, metric, alike, name
        self._values: list[list[float]] = [[] for _ in settings.ages]
        self._flipped: list[list[float]] = [[] for _ in settings.ages]
        self._totals: list[Array | float] = [0.0 for _ in settings.ages]
        self.count = 0

    def add(self, outputs: Sequence[Array]) -> None:
        """The outputs of another realisation at each age."""
        for i, values in enumerate(outputs):
            what = f"output {self._name!r} at age {self._settings.ages[i]}, realisation {self.count}"
            _expect_finite(values, what)
            scores = self._metric.scores(values)
            self._values[i].append(self._metric.value(scores))
            self._totals[i] = self._totals[i] + scores
            if self._alike is not None:
                self._flipped[i].append(1 - self._alike.value(self._alike.scores(values)))
        self.count += 1

    def flipped(self) -> dict[str, tuple[float, ...]]:
        """The shares of samples that flip at each age; nothing for metrics other than top1."""
        return {age: tuple(own) for age, own in zip(self._settings.ages, self._flipped, strict=True) if own}

    def at_ages(self) -> dict[str, AtAge]:
        """What is known at each age; one realisation says nothing of how much they scatter, so it may be any much."""
        return {
            age: _at_age(self._metric, self._values[i], np.asarray(self._totals[i]) / self.count, self._flipped[i])
            for i, age in enumerate(self._settings.ages)
        }


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
