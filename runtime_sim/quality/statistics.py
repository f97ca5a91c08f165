"""How sure a mean is: confidence intervals by Student's t, without tables."""

import math
from collections.abc import Sequence

CONFIDENCE = 0.95


def t_probability(t: float, freedom: int) -> float:
    """P(|T| <= t) for `freedom` degrees of freedom; the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0 if freedom == 1 else term
    for step in range(3 if odd else 2, freedom - 1, 2):
        term *= cosine * cosine * (step - 1) / step
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(freedom: int, confidence: float = CONFIDENCE) -> float:
    """The t that T stays within, on both sides, with probability `confidence` (0.95: 12.706 for 1, 1.960 for many)."""
    if freedom < 1:
        raise ValueError(f"expected at least one degree of freedom, got {freedom}")
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < confidence:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if t_probability(middle, freedom) < confidence else (low, middle)
    return (low + high) / 2


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """(mean, sample standard deviation); one value says nothing of the deviation: infinite."""
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, math.inf
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def half_width(deviation: float, count: int) -> float:
    """Of the 95 % confidence interval of a mean of `count` values with this sample standard deviation.

    Infinite of one."""
    if count == 1:
        return math.inf
    return t_quantile(count - 1) * deviation / math.sqrt(count)
