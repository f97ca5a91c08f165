"""Quality for people: a line an age, a curve of characters, and the same curve as an SVG picture."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .front import table
from .quality_options import SHARES
from .summary import number_text
from .svg import COLOURS, GREY, Axis, Plot

if TYPE_CHECKING:
    from ..runtime_sim.chip import Chip
    from .promise import Promised

Tree = Mapping[str, Any]
"""`quality` as in the summary."""

CURVE = 40
"""Characters between the least and the largest value."""


def quality_lines(quality: Tree) -> list[str]:
    """The reference, and for each age the mean with its 95 % confidence interval, drawn to scale."""
    metric = quality["metric"]
    lines = [
        f"quality: {metric} of {quality['samples']} samples, {quality['repeats']} realisations, intervals of 95%",
    ]
    rows: list[Sequence[str]] = [("", metric, "", "", "std", "data")]
    low, high = _range(quality)
    for name in ("reference", "without_noise"):
        value = quality[name]
        label = "digital" if name == "reference" else "no noise"
        rows.append((label, value_text(metric, value), "", _mark(value, 0.0, low, high), "", ""))
    for age, at in quality["ages"].items():
        spread = f"+-{value_text(metric, at['ci95'])}"
        data = f"+-{value_text(metric, at['ci95_data'])}"
        drawn = _mark(at["mean"], at["ci95"], low, high)
        rows.append((age, value_text(metric, at["mean"]), spread, drawn, value_text(metric, at["std"]), data))
    return [*lines, table(rows, (False, True, True, False, True, True))]


def promise_lines(promised: "Promised | None", chip: "Chip", summary: Tree) -> list[str]:
    """What a plan was measured to lose, and what it promises; without data that this is not known."""
    if promised is None:
        used = [name for name, tier in summary["tiers"].items() if tier["mac_share"] > 0]
        noisy = [name for name in used if chip.tier(name).noise is not None]
        return [f"quality unknown: {', '.join(noisy)} err; --calibration measures by how much"] if noisy else []
    lines = quality_lines(promised.tree())
    lost = loss_text(promised.quality.metric, promised.promise)
    allowed = (
        "" if promised.max_loss is None else f" of {loss_text(promised.quality.metric, promised.max_loss)} allowed"
    )
    verdict = "" if promised.verdict is None else f": {promised.verdict}"
    took = (
        f"{promised.plans} plans measured, {number_text(round(promised.passes))} passes, {promised.seconds:.3g} CPU s"
    )
    return [*lines, f"promise: at most {lost}{allowed} is lost{verdict} ({took})"]


def broken_promise(promised: "Promised") -> str | None:
    """The line that says that a promise could not be kept, or not be verified."""
    metric, asked = promised.quality.metric, promised.max_loss
    if asked is None or promised.verdict == "kept":
        return None
    told = f"{metric}: a loss of at most {loss_text(metric, asked)}"
    if promised.verdict == "unreachable":
        return f"{told} is unreachable here: the best plan found promises {loss_text(metric, promised.promise)}"
    return (
        f"{told} is unverifiable with {promised.quality.samples} samples to check with: "
        f"about {promised.samples_needed} would do"
    )


def loss_text(metric: str, loss: float) -> str:
    """A loss: shares in percentage points, others as numbers."""
    return f"{100 * loss:.3g} pp" if metric in SHARES else f"{loss:.3g}"


def value_text(metric: str, value: float) -> str:
    """A value of a metric: shares in per cent, others as numbers."""
    return f"{value:.2%}" if metric in SHARES else f"{value:.4g}"


def _range(quality: Tree) -> tuple[float, float]:
    """What a curve has to hold."""
    values = [quality["reference"], quality["without_noise"]]
    for at in quality["ages"].values():
        values += [at["mean"] - at["ci95"], at["mean"] + at["ci95"]]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _mark(value: float, half: float, low: float, high: float) -> str:
    """`--o--`: a value with its interval, at its place between `low` and `high`."""

    def place(number: float) -> int:
        return min(max(round((number - low) / (high - low) * (CURVE - 1)), 0), CURVE - 1)

    cells = [" "] * CURVE
    for at in range(place(value - half), place(value + half) + 1):
        cells[at] = "-"
    cells[place(value)] = "o"
    return "".join(cells)


def age_curve_svg(quality: Tree, seconds: Mapping[str, float]) -> str:
    """The metric over the age, which is drawn to its logarithm: means with their intervals, the digital model dashed.

    `seconds`: each age of `quality` in seconds.
    """
    metric, ages = quality["metric"], sorted(quality["ages"], key=lambda age: seconds[age])
    low, high = _range(quality)
    room, times = 0.05 * (high - low), [seconds[age] for age in ages]
    x = Axis.around(times, "age", log=True, names=dict(zip(times, ages, strict=True)))
    y = Axis(low - room, high + room, text=lambda value: value_text(metric, value))
    plot = Plot(x, y, title=f"{metric} by age, {quality['repeats']} realisations, 95 % intervals", left=76)
    plot.line([(x.low, quality["reference"]), (x.high, quality["reference"])], GREY, dashed=True)
    plot.text(x.high, quality["reference"], "digital", "end", down=-6)
    plot.line([(seconds[age], quality["ages"][age]["mean"]) for age in ages], COLOURS[0])
    for age in ages:
        at = quality["ages"][age]
        plot.line([(seconds[age], at["mean"] + side * at["ci95"]) for side in (1, -1)], COLOURS[0], thin=True)
        told = f"{age}: {value_text(metric, at['mean'])} +-{value_text(metric, at['ci95'])}"
        plot.point(seconds[age], at["mean"], COLOURS[0], told=told)
    return plot.svg()
