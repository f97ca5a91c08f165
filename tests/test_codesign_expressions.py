"""Arithmetic over figures: what it computes, what it refuses, how constraints measure an excess."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from h3c.compiler.codesigning.expressions import comparison, expression
from h3c.runtime_sim.errors import InputError

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: abs(x) > 1e-3)


@given(NUMBERS, NUMBERS)
def test_it_is_the_arithmetic_of_python(a: float, b: float) -> None:
    text = "-a + b * (a - 2) / b - a // b + a % b + min(a, b) ** 2 + sqrt(abs(a)) + ceil(b) - floor(a) + max(a, 1)"
    expected = (
        -a
        + b * (a - 2) / b
        - a // b
        + a % b
        + min(a, b) ** 2
        + abs(a) ** 0.5
        + math.ceil(b)
        - math.floor(a)
        + max(a, 1)
    )
    assert expression(text, "x").value({"a": a, "b": b}) == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_figures_are_arrays_that_broadcast() -> None:
    value = expression("area_mm2 * factor", "x").value({"area_mm2": np.array([[1], [2]]), "factor": np.array([3, 5])})
    assert value.tolist() == [[3, 5], [6, 10]]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "area.real",
        "area[0]",
        "(lambda: 1)()",
        "[1 for x in y]",
        "'a' * 3",
        "True",
        "1 if a else 2",
        "a < b",
        "min(a, *b)",
        "min(a, b, key=c)",
        "open(a)",
        "a @ b",
        "a << 2",
        "1e400",
        "1 +",
        "a and b",
        "9" * 600,
        "(" * 300 + "a" + ")" * 300,
        "1j",
        "",
    ],
)
def test_anything_but_arithmetic_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^s\.yaml: figures\.x: expected"):
        expression(text, "s.yaml: figures.x")


def test_an_unknown_figure_is_told_with_one_like_it() -> None:
    with pytest.raises(
        InputError, match=r"^s.yaml: c: expected known figures \(did you mean area_mm2\?\), got 'aera_mm2'"
    ):
        expression("2 * aera_mm2", "s.yaml: c").check(["area_mm2", "cost"])


def test_huge_powers_and_divisions_by_zero_are_values_and_break_a_constraint() -> None:
    assert expression("9 ** 9 ** 9 ** 9", "x").value({}) == np.inf
    assert comparison("1 / a <= 3", "x").violation({"a": 0.0}) == np.inf
    assert comparison("0 / a <= 3", "x").violation({"a": 0.0}) == np.inf


@pytest.mark.parametrize("relation", ["<=", "<", ">=", ">", "=="])
@given(left=st.integers(-3, 3), right=st.integers(-3, 3))
def test_a_violation_is_0_where_the_comparison_holds(relation: str, left: int, right: int) -> None:
    holds = {
        "<=": left <= right,
        "<": left < right,
        ">=": left >= right,
        ">": left > right,
        "==": left == right,
    }[relation]
    violation = float(comparison(f"a {relation} b", "x").violation({"a": left, "b": right}))
    assert (violation == 0) is holds
    assert violation >= 0


def test_a_violation_is_the_relative_excess() -> None:
    assert comparison("area <= 800", "x").violation({"area": np.array([700, 800, 1000])}).tolist() == [0, 0, 0.25]
    assert comparison("held >= 200", "x").violation({"held": 150}) == 0.25


@pytest.mark.parametrize("text", ["area", "1 < a < 3", "a != b", "a is b", "a in b", "not a < 3", "a < 3 or b < 3"])
def test_a_constraint_is_one_comparison(text: str) -> None:
    with pytest.raises(InputError, match=r"^s: expected one comparison"):
        comparison(text, "s")
