"""What a report shows, held against all chips priced one by one, and the page itself."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from math import inf, isinf
from pathlib import Path

import numpy as np
import pytest
from codesign_small import form

from h3c.compiler.codesigning.evaluators import Task
from h3c.compiler.codesigning.evolutionary import random_chips
from h3c.compiler.codesigning.exhaustive import exhaustive
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.report import Answer, summarise
from h3c.compiler.codesigning.report_page import page
from h3c.compiler.codesigning.study import Study, study_of_visited, study_of_whole

EDAP = Objective("edap", "mean")
FORM = form()
EVERY = [FORM.space.design(number) for number in range(FORM.space.size)]


@pytest.fixture(scope="module")
def whole() -> Study:
    searched = {"random": random_chips(Task(FORM, EDAP), 100, 1)}
    return study_of_whole(FORM, EDAP, exhaustive(FORM, EDAP), searched)


def scores(objective: Objective, own: str | None = None) -> np.ndarray:
    """Of all chips, infinite where one breaks a constraint."""
    evaluator = FORM if own is None else FORM.for_models([own], FORM.largest)
    judged = Task(evaluator, objective).judged(EVERY)
    return np.where(judged.feasible, judged.score, inf)


def test_the_worth_of_a_value_is_the_best_score_of_all_chips_that_have_it(whole: Study) -> None:
    everything = scores(EDAP)
    for place, variable in enumerate(FORM.space.variables):
        for at, each in enumerate(whole.worth[variable.name]):
            those = [score for design, score in zip(EVERY, everything, strict=True) if design[place] == at]
            assert each.value == variable.values[at]
            assert each.least == pytest.approx(min(those), rel=1e-12)


def test_a_variable_changed_alone_is_the_best_chip_with_that_value(whole: Study) -> None:
    everything, best = scores(EDAP), EVERY[int(scores(EDAP).argmin())]
    for place, variable in enumerate(FORM.space.variables):
        for at, each in enumerate(whole.worth[variable.name]):
            changed = (*best[:place], at, *best[place + 1 :])
            expected = everything[FORM.space.number(changed)]
            assert each.alone == pytest.approx(expected, rel=1e-12) or (isinf(expected) and each.alone == inf)
            assert each.alone is not None
            assert each.least is not None
            assert each.least <= each.alone * (1 + 1e-12)


def test_the_own_best_chip_of_a_model_is_the_best_of_all_chips_for_it(whole: Study) -> None:
    for name, (design, score) in whole.own.items():
        own = scores(EDAP.alone(), name)
        assert score == pytest.approx(own.min(), rel=1e-12)
        assert own[FORM.space.number(design)] == pytest.approx(own.min(), rel=1e-9)


def test_searches_end_above_the_optimum_and_never_rise(whole: Study) -> None:
    assert whole.optimum == pytest.approx(scores(EDAP).min(), rel=1e-12)
    course = whole.courses["random"]
    assert whole.ends["random"] == 100
    assert [count for count, _ in course] == sorted({count for count, _ in course})
    assert all(later < earlier for (_, earlier), (_, later) in pairwise(course))
    assert whole.optimum is not None
    assert course[-1][1] >= whole.optimum


def test_of_a_space_that_is_not_enumerated_only_what_was_visited_is_told() -> None:
    found = random_chips(Task(FORM, EDAP), 60, 1)
    study = study_of_visited(Task(FORM, EDAP), found, "random")
    assert (study.whole, study.optimum, study.front.exact) == (False, None, False)
    assert found.visited is not None
    visited = {FORM.space.design(number) for number in found.visited.number.tolist()}
    everything = scores(EDAP)
    for place, variable in enumerate(FORM.space.variables):
        for at, each in enumerate(study.worth[variable.name]):
            those = [everything[FORM.space.number(design)] for design in visited if design[place] == at]
            assert each.least == (pytest.approx(min(those), rel=1e-12) if those else None)
    assert all(design in visited for design, _ in study.own.values())


class Links(HTMLParser):
    """What a page asks for, and which elements are open at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.asked += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]
        if tag not in ("meta", "rect", "path", "circle", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_stands_alone_and_shows_every_part(whole: Study, tmp_path: Path) -> None:
    answer = Answer(Task(FORM, EDAP), "exhaustive", exhaustive(FORM, EDAP), 1.0, study=whole)
    text = page(answer, summarise(answer))
    links = Links()
    links.feed(text)
    assert links.asked == []
    assert links.open == []
    assert "url(" not in text
    assert "@import" not in text
    assert set(re.findall(r"https?://[^\"<]*", text)) == {"http://www.w3.org/2000/svg"}
    titles = re.findall(r"<h2>([^<]*)", text)
    assert titles[1:] == [
        "The front",
        "How the searches converge",
        "What each variable is worth",
        "The joint chip beside each model's own best",
        "Near the best",
    ]
    assert text.count("<svg") == 3 + len(FORM.space.variables)
    assert '<span class="tag">proven</span>' in text


def test_a_page_of_hostile_names_is_text(whole: Study) -> None:
    from dataclasses import replace

    from h3c.compiler.codesigning.closed_form import ClosedForm

    evil = ClosedForm(replace(FORM.space, description="<script>alert(1)</script>"), {"<b>": FORM.networks["conv"]})
    found = exhaustive(evil, EDAP)
    answer = Answer(Task(evil, EDAP), "exhaustive", found, 1.0, study=study_of_whole(evil, EDAP, found, {}))
    text = page(answer, summarise(answer))
    assert "<script" not in text
    assert "<b>" not in text
