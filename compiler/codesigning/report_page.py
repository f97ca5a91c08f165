"""The answer of a search as a page: one file of HTML with pictures in it, which asks nothing of a network."""

from collections.abc import Mapping, Sequence
from html import escape
from math import isinf
from typing import Any

from ..summary import energy_text, time_text
from .pareto import Front
from .report import Answer, Summary, for_people
from .report_figures import convergence_figure, front_figure, loss_figure, own_figure, told_values, worth_figure
from .space import Space
from .study import Study, Worth

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22272e; background: #f3f4f6; margin: 0; }
main { max-width: 1000px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 0 0 4px; }
section { background: white; border: 1px solid #e0e3e8; border-radius: 8px; padding: 16px 20px; margin: 16px 0; }
p { margin: 4px 0 10px; } .note { color: #5c6570; font-size: 13px; }
.scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
.many { display: flex; flex-wrap: wrap; gap: 8px; } .many svg { width: 300px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { text-align: right; padding: 3px 12px 3px 0; border-bottom: 1px solid #edeff2; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
.told td:last-child, .told th:last-child { text-align: left; white-space: normal; padding-left: 12px; }
th { font-weight: 600; color: #5c6570; }
.big { font-size: 28px; font-weight: 600; } .unit { font-size: 15px; color: #5c6570; font-weight: 400; }
.tag { display: inline-block; padding: 1px 10px; border-radius: 10px; background: #e6f4ea; color: #1d6b34; }
.tag.open { background: #fdf1dc; color: #8a5a00; } summary { cursor: pointer; }
"""
_HIGHEST = 100.0
"""The largest ratio of scores that pictures of variables show."""


def page(answer: Answer, summary: Summary) -> str:
    """The page; the answer has a study."""
    study, space = answer.study, answer.space
    assert study is not None
    best = summary["best"]
    tag = '<span class="tag">proven</span>' if summary["proven"] else '<span class="tag open">not proven</span>'
    title = f"{space.name}: one chip for {', '.join(summary['per_model'])}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(space.description)}</p>',
        _section(
            f"Least {summary['objective']}, {summary['over']} over {_count(len(summary['per_model']), 'model')} {tag}",
            f'<p><span class="big">{best["score"]:.6g}</span> <span class="unit">{escape(summary["unit"])}</span></p>'
            f"<p>{escape(told_values(best['variables']))}; {best['area_mm2']:.4g} mm2</p>"
            f'<p class="note">{escape(_told(answer, summary))}</p>',
        ),
        _section("The front", _front(study.front, space, int(answer.found.top.number[0]))),
        _section("How the searches converge", _convergence(study)),
        _section("What each variable is worth", _worth(study, float(answer.found.top.score[0]))),
        _section("The joint chip beside each model's own best", _own(answer, summary, study)),
    ]
    if summary["baselines"]:
        parts.append(_section("Baselines", _baselines(summary)))
    parts.append(_section("Near the best", _near(summary)))
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body><main>\n{body}\n</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>\n{body}</section>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _told(answer: Answer, summary: Summary) -> str:
    """What was decided, and what constraints are off, as on the command line."""
    lines = for_people(answer, summary).splitlines()
    off = [line for line in lines if " is off" in line]
    return "; ".join([lines[0], lines[3], *off])


def _front(front: Front, space: Space, best: int) -> str:
    noisy = front.chips.loss is not None
    axes = "energy, latency, area and loss under noise" if noisy else "energy, latency and area"
    figures = front_figure(front, space, best) + (loss_figure(front, space, best) if noisy else "")
    return (
        f'<p class="note">{_count(len(front.chips), "point")}: chips that no other one beats in {axes}'
        f"{'' if front.exact else ', of those that the search visited'}. Rest the pointer on "
        f"a dot to read its chip.</p>{figures}"
    )


def _convergence(study: Study) -> str:
    if not any(study.courses.values()):
        return "<p>No search found a chip that keeps the constraints.</p>"
    least = study.optimum
    against = "Held against the proven optimum." if least is not None else "No optimum is proven for this space."
    rows: list[Sequence[str]] = [("search", "chips visited", "best score", "above the optimum", "best found after")]
    for name, course in study.courses.items():
        if course:
            above = "-" if least is None else f"{max(course[-1][1] / least - 1, 0.0):.2%}"
            rows.append((name, f"{study.ends[name]:,}", f"{course[-1][1]:.6g}", above, f"{course[-1][0]:,}"))
    return f'<p class="note">{against}</p>{convergence_figure(study)}{_table(rows)}'


def _worth(study: Study, best: float) -> str:
    of = "the space" if study.whole else "the chips that the search visited"
    spread = {name: _spread(worth) for name, worth in study.worth.items()}
    ordered = sorted(study.worth, key=lambda name: -spread[name])
    finite = [s / best for w in study.worth.values() for e in w for s in (e.least, e.alone) if s and not isinf(s)]
    high = min(max([1.5, *finite]), _HIGHEST)
    figures = "".join(worth_figure(name, study.worth[name], best, high) for name in ordered)
    return (
        f'<p class="note">Scores as multiples of the best one. Blue: the best chip of {of} with that value. Dashed: '
        f"the best chip with that variable changed alone. Hollow: none keeps the constraints, or "
        f"above {high:.3g}x. Variables that matter most come first.</p>"
        f'<div class="many">{figures}</div>'
    )


def _spread(worth: Sequence[Worth]) -> float:
    """By what factor the best scores of a variable's values differ; a value that no chip may have counts as most."""
    scores = [each.least for each in worth if each.least is not None]
    finite = [score for score in scores if not isinf(score)]
    if not finite:
        return 1.0
    return _HIGHEST if len(finite) < len(scores) else max(finite) / min(finite)


def _own(answer: Answer, summary: Summary, study: Study) -> str:
    joint = {name: one["score"] for name, one in summary["per_model"].items()}
    own = {name: score for name, (_, score) in study.own.items()}
    noisy = [] if answer.measuring is None else ["loss"]
    head = ("model", "energy", "latency", *noisy, "score", "own best", "times", "its own best chip")
    rows: list[Sequence[str]] = [head]
    for name, one in summary["per_model"].items():
        loss = [f"{one['loss']:.3g}" if "loss" in one else "-" for _ in noisy]
        design, score = study.own[name]
        chip = told_values(answer.space.values(design))
        energy, latency = energy_text(one["energy_pj"]), time_text(one["latency_ns"])
        own_best = f"{one['score']:.4g}", f"{score:.4g}", f"{one['score'] / score:.3g}"
        rows.append((name, energy, latency, *loss, *own_best, chip))
    of = "" if study.whole else ", of the chips that the search visited"
    return (
        f'<p class="note">Each model\'s own best chip under the same constraints{of}: what it costs a model to share. '
        f"The score is that of one model alone.</p>{own_figure(joint, own)}"
        f'<div class="told">{_table(rows)}</div>'
    )


def _baselines(summary: Summary) -> str:
    rows: list[Sequence[str]] = [("baseline", "score", "joint chip less by", *summary["per_model"])]
    notes: list[str] = []
    for name, each in summary["baselines"].items():
        score = each.get("score")
        less = f"{each['reduction']:.1%}" if "reduction" in each else "-"
        own = [f"{one['reduction']:.1%}" for one in each["per_model"].values()]
        rows.append((name, "-" if score is None else f"{score:.4g}", less, *own))
        notes.append(f"{name}: {each['how']}")
    told = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
    return f"{_table(rows)}{told}"


def _near(summary: Summary) -> str:
    chips: list[Mapping[str, Any]] = summary["near_optimal"]["chips"]
    within = ", ".join(f"{count:,} within {share}" for share, count in summary["near_optimal"]["within"].items())
    names = list(chips[0]["variables"])
    staged = summary.get("staged")
    rows: list[Sequence[str]] = [("score", "mm2", *names)]
    rows += [
        (f"{each['score']:.6g}", f"{each['area_mm2']:.4g}", *(f"{each['variables'][name]}" for name in names))
        for each in chips
    ]
    text = f'<p class="note">{within} of the best score. '
    text += "Chips a few per cent apart may be in another order on silicon.</p>"
    text += f"<details><summary>The {_count(len(chips), 'best chip')}</summary>{_table(rows)}</details>"
    if staged is None:
        return text
    rows = [("rank", f"rank by {staged['first']}", "score", f"{staged['first']}", *names)]
    for each in staged["chips"]:
        score = "infinite" if each["score"] is None else f"{each['score']:.6g}"
        own = (f"{each['variables'][name]}" for name in names)
        rows.append((f"{each['rank']}", f"{each['first_rank']}", score, f"{each['first_score']:.6g}", *own))
    title = f"Both stages: ranked by {staged['first']}, then placed and simulated"
    return f"{text}<details open><summary>{title}</summary>{_table(rows)}</details>"


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table, the first one its head."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'
