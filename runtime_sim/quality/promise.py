"""What a plan may promise that was measured on a finite set of samples and realisations.

The net loss is by how much the metric is worse than the digital model's, mean over realisations. On samples that a
plan was chosen by it flatters: right answers that turn wrong and wrong ones that turn right cancel by luck. Of the
answers that flip, .4 to .74 turn from right to wrong (measured on six models), so of top1 a plan promises

    max(net + its 95 % interval, 0.7 (flips + its 95 % interval)),

of other metrics the first, at the worst of the ages. A promise that is below twice the standard error sqrt(flips / n)
of what n samples show can't be verified with them.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .difference import Difference
from .measure import Quality
from .metrics import LESS_IS_BETTER
from .statistics import half_width, mean_and_deviation

Array = NDArray[Any]
Floats = NDArray[np.float64]

TURN_WRONG = 0.7
"""Of answers that flip, at most about this share turns from right to wrong."""
FEWEST, ENOUGH = 3, 5
"""Realisations after which a measurement may end with a no, as they say something of how much they scatter, and with a
yes, as few that agree may do so by luck."""
ERRORS = 2.0
"""A loss is told apart from none if it is so many standard errors."""
SEARCH = 80
"""Steps of a bisection."""


def net_loss(quality: Quality, age: str) -> float:
    """By how much the metric is worse than the digital model's: a share for top1 and auc, else in its own unit."""
    fall = quality.reference - quality.ages[age].mean
    return -fall if quality.metric in LESS_IS_BETTER else fall


def promised_loss(quality: Quality) -> float:
    """The loss that the plan may promise not to exceed, at every age that was measured."""
    bounds: list[float] = []
    for age, at in quality.ages.items():
        bounds.append(net_loss(quality, age) + at.ci95)
        if at.flips is not None and at.flips_ci95 is not None:
            bounds.append(TURN_WRONG * (at.flips + at.flips_ci95))
    return max(*bounds, 0.0)


def least_promised_loss(quality: Quality) -> float:
    """What the promise will hardly be below with more realisations: the lower ends of the same intervals."""
    bounds: list[float] = []
    for age, at in quality.ages.items():
        bounds.append(net_loss(quality, age) - at.ci95)
        if at.flips is not None and at.flips_ci95 is not None:
            bounds.append(TURN_WRONG * (at.flips - at.flips_ci95))
    return max(*bounds, 0.0)


def kept_so_far(so_far: Quality, allowed: float) -> bool:
    """Whether a measurement may end, as its plan keeps what is allowed."""
    return so_far.repeats >= ENOUGH and promised_loss(so_far) <= allowed


def broken_for_good(so_far: Quality, allowed: float, repeats: int) -> bool:
    """Whether a measurement of `repeats` realisations may end, as its plan will hardly keep what is allowed.

    It will not if realisations without any flip for the rest were not enough, nor, from the third on, if ones as good
    as the best so far were not. A plan that is given up too early is a chance missed, never a promise broken.
    """
    for values in so_far.flipped.values():
        rest = min(values) if len(values) >= FEWEST else 0.0
        mean, spread = mean_and_deviation([*values, *[rest] * (repeats - len(values))])
        if TURN_WRONG * (mean + half_width(spread, repeats)) > allowed:
            return True
    return so_far.repeats >= FEWEST and least_promised_loss(so_far) > allowed


def samples_needed(quality: Quality, max_loss: float) -> int:
    """How many samples it takes to verify that a plan loses at most `max_loss`; 0 where nothing flips."""
    flips = max((at.flips or 0.0 for at in quality.ages.values()), default=0.0)
    return math.ceil(flips * (ERRORS / max_loss) ** 2) if max_loss > 0 else 0


def likely_mse(metric: str, max_loss: float, digital: Array) -> float:
    """About the mean squared error of the model's outputs, relative to their mean square, at which `max_loss` is lost.

    `digital`: the digital model's outputs. For top1, auc and perplexity probabilities among them count as logits, as in
    predicted losses. Errors are taken as independent and normal: an answer flips where the difference of two errors
    exceeds the margin between the two largest outputs; exp of the mean loss in perplexity grows by half the errors'
    variance; a cosine falls by half the relative error.
    """
    if metric == "mse":
        return max_loss / (float(np.square(digital.astype(np.float64)).mean()) or 1.0)
    if metric == "cosine":
        return 2 * max_loss
    counted = Difference(digital)
    outputs, power = counted.clean, counted.power
    if metric == "perplexity":
        return 2 * math.log1p(max_loss) / power
    rows = outputs[:, None] if outputs.ndim == 1 else outputs.reshape(-1, outputs.shape[-1])
    ranked = np.sort(rows, axis=1)
    margins = ranked[:, -1] - ranked[:, -2] if ranked.shape[1] > 1 else np.abs(ranked[:, 0])
    # Quantised outputs may tie: what answer is given there is no more right than another, with noise or without.
    margins = margins[margins > 0]
    if not len(margins):
        return 1.0
    low, high = 0.0, 1.0
    while _flips(margins, high * power) * TURN_WRONG < max_loss and high < 1e6:
        high *= 2
    for _ in range(SEARCH):
        middle = (low + high) / 2
        low, high = (middle, high) if _flips(margins, middle * power) * TURN_WRONG < max_loss else (low, middle)
    return low


def _flips(margins: Floats, variance: float) -> float:
    """The share of answers that flip: the normal tail beyond each margin, its standard deviation sqrt(2 variance)."""
    return float(np.mean([0.5 * math.erfc(margin / (2 * math.sqrt(variance))) for margin in margins.tolist()]))
