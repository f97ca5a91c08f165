"""The pictures of a report: the front, how searches converge, what variables are worth, each model's own best chip."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from ..svg import COLOURS, GREY, Axis, Plot, text_at
from .pareto import Front
from .space import Scalar, Space
from .study import Study, Worth

AREAS = ("#fde3a7", "#f6b26b", "#dd7a4f", "#a94a5a", "#5b2a5e")
"""From the smallest chips to the largest."""
FLOOR = 1e-4
"""The least distance from the optimum that is drawn: what is nearer is drawn here."""


def front_figure(front: Front, space: Space, best: int) -> str:
    """Energy over latency, both to their logarithms, the colour for the area; the best chip ringed."""
    chips = front.chips
    latencies, energies, areas = chips.latency_ms.tolist(), chips.energy_mj.tolist(), chips.area_mm2.tolist()
    plot = Plot(
        Axis.around(latencies, "latency, ms (joined over the models)", log=True),
        Axis.around(energies, "energy, mJ (joined over the models)", log=True),
        900,
        420,
        right=170,
    )
    low, high = math.log(min(areas)), math.log(max(areas))
    steps = len(AREAS) if high > low else 1
    for number, latency, energy, area in zip(chips.number.tolist(), latencies, energies, areas, strict=True):
        share = (math.log(area) - low) / (high - low) if high > low else 0.0
        told = f"{area:.4g} mm2, {latency:.4g} ms, {energy:.4g} mJ: {told_values(space.values(space.design(number)))}"
        plot.point(latency, energy, AREAS[min(int(share * steps), steps - 1)], 3.5 if len(areas) > 50 else 5, told)
    at = [place for place, number in enumerate(chips.number.tolist()) if number == best]
    for place in at:
        plot.point(latencies[place], energies[place], "black", 8, "the best chip", hollow=True)
    limits = [math.exp(low + (high - low) * step / steps) for step in range(steps + 1)]
    legend = [(AREAS[step], f"{limits[step]:.3g} to {limits[step + 1]:.3g} mm2") for step in range(steps)]
    _legend(plot, [*legend, *([("ring", "best chip")] if at else [])])
    return plot.svg()


def loss_figure(front: Front, space: Space, best: int) -> str:
    """Loss under noise over the score, that to its logarithm, of the chips of the front; the best chip ringed."""
    chips = front.chips
    assert chips.loss is not None
    losses, scores = chips.loss.tolist(), chips.score.tolist()
    across = Axis.around(scores, "score", log=True)
    plot = Plot(across, Axis.around([0.0, *losses], "loss promised, worst of the models"), 900, 320, right=170)
    for number, score, loss in zip(chips.number.tolist(), scores, losses, strict=True):
        told = f"loss {loss:.3g}, score {score:.4g}: {told_values(space.values(space.design(number)))}"
        plot.point(score, loss, COLOURS[0], 5, told)
        if number == best:
            plot.point(score, loss, "black", 8, "the best chip", hollow=True)
    if best in chips.number.tolist():
        _legend(plot, [("ring", "best chip")])
    return plot.svg()


def convergence_figure(study: Study) -> str:
    """How far the best score so far is above the proven optimum, over the chips visited, both to their logarithms."""
    least = study.optimum
    drawn: dict[str, list[tuple[float, float]]] = {}
    for name, course in study.courses.items():
        points: list[tuple[float, float]] = []
        for count, score in [*course, *([(study.ends[name], course[-1][1])] if course else [])]:
            value = score if least is None else max(score / least - 1, FLOOR)
            if points:
                points.append((float(count), points[-1][1]))  # the best so far stays until a better one is there
            points.append((float(count), value))
        drawn[name] = points
    everything = [point for points in drawn.values() for point in points]
    values = [value for _, value in everything]
    title = "best score so far" if least is None else "above the proven optimum"
    y = (
        Axis.around(values, title, True)
        if least is None
        else Axis(FLOOR, max(*values, 0.1) * 1.5, title, True, _percent)
    )
    plot = Plot(Axis(1, max(2.0, *(x for x, _ in everything)), "chips visited", log=True), y, 900, right=170, left=104)
    for (_, points), colour in zip(drawn.items(), COLOURS, strict=False):
        plot.line(points, colour)
    _legend(plot, list(zip(COLOURS, drawn, strict=False)))
    return plot.svg()


def worth_figure(name: str, worth: Sequence[Worth], best: float, high: float) -> str:
    """The score relative to the best over the values of a variable: the best with it, and with it changed alone.

    `high`: the largest ratio that any of these pictures has to hold; what is above is drawn there, hollow.
    """
    shown = [f"{each.value:g}" if isinstance(each.value, float) else str(each.value) for each in worth]
    y = Axis(1 / high**0.06, high**1.06, "", True, lambda value: f"{value:g}x")
    plot = Plot(Axis.of_names(shown), y, 300, 210, name, left=46, right=10, bottom=28)
    for which, colour, dashed in (("alone", GREY, True), ("least", COLOURS[0], False)):
        points: list[tuple[int, float]] = []
        for at, each in enumerate(worth):
            score = each.least if which == "least" else each.alone
            if score is None:
                continue
            ratio = score / best
            how = "best chip with" if which == "least" else "best chip, but for"
            value = f"{name} {shown[at]}"
            if math.isinf(ratio):
                plot.point(at, high, colour, 4, f"{how} {value}: none keeps the constraints", hollow=True)
                continue
            points.append((at, min(ratio, high)))
            plot.point(
                at, min(ratio, high), colour, 3, f"{how} {value}: {ratio:.4g} times the best score", ratio > high
            )
        for (first, low), (second, up) in pairwise(points):
            if second == first + 1:
                plot.line([(first, low), (second, up)], colour, dashed, thin=dashed)
    return plot.svg()


def own_figure(joint: Mapping[str, float], own: Mapping[str, float]) -> str:
    """How many times each model's own best score the joint chip's is: 1 where the joint chip is the model's own."""
    ratios = {name: joint[name] / own[name] for name in joint}
    high = max(1.1, *ratios.values())
    log = high > 10
    rows, names = len(ratios), list(ratios)
    across = Axis(1.0 if log else 0.0, high * (1.15 if log else 1.05), "score of the joint chip / own best", log)
    plot = Plot(across, Axis(-0.5, rows - 0.5, names={0.0: ""}), 900, 70 + 26 * rows, "", left=190, top=12, right=60)
    for place, name in enumerate(names):
        at = rows - 1 - place
        (x, y), (end, _) = plot.place(across.low, at), plot.place(ratios[name], at)
        bar = f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="{max(end - x, 1):.1f}" height="16" fill="{COLOURS[0]}"/>'
        plot.shapes.append(bar)
        plot.text(across.low, at, name, "end", -8, 4)
        plot.text(ratios[name], at, f"{ratios[name]:.3g}x", "start", 6, 4)
    if not log:
        plot.line([(1.0, -0.5), (1.0, rows - 0.5)], COLOURS[1], dashed=True, thin=True)
    return plot.svg()


def told_values(values: Mapping[str, Scalar]) -> str:
    """Variables with their values, in a line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _legend(plot: Plot, entries: Sequence[tuple[str, str]]) -> None:
    """Colours with what they mean, right of the axes."""
    x = plot.width - plot.right + 14
    for place, (colour, text) in enumerate(entries):
        y = plot.top + 12 + 20 * place
        ring = 'fill="none" stroke="black" stroke-width="2"'
        fill = ring if colour == "ring" else f'fill="{colour}"'
        plot.shapes.append(f'<circle cx="{x}" cy="{y}" r="5" {fill}/>')
        plot.shapes.append(text_at(x + 10, y + 4, text, "start"))


def _percent(value: float) -> str:
    return f"{'at most ' if value == FLOOR else ''}{100 * value:.10g}%"
