"""Axes and pictures: ticks lie on the axis, points where they belong."""

import xml.etree.ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h3c.compiler.svg import Axis, Plot


@given(st.floats(1e-12, 1e12), st.floats(1.001, 1e9), st.booleans())
def test_ticks_lie_on_the_axis_and_ascend(low: float, times: float, log: bool) -> None:
    axis = Axis(low, low * times, log=log)
    ticks = [value for value, _ in axis.ticks()]
    assert 1 <= len(ticks) <= 8
    assert ticks == sorted(set(ticks))
    assert all(low * (1 - 1e-6) <= value <= low * times * (1 + 1e-6) for value in ticks)


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_all_values(values: list[float], log: bool) -> None:
    axis = Axis.around(values, log=log)
    assert all(0 <= axis.share(value) <= 1 for value in values)


def test_a_logarithmic_axis_puts_the_geometric_mean_in_the_middle() -> None:
    assert Axis(1, 100, log=True).share(10) == pytest.approx(0.5)
    assert Axis(0, 100).share(10) == pytest.approx(0.1)


def test_points_are_at_their_pixels_and_texts_are_escaped() -> None:
    plot = Plot(Axis(0, 10), Axis(0, 1), 200, 100, "a < b & c", left=10, right=10, top=10, bottom=10)
    plot.point(5, 1, "red", told="<script>")
    plot.line([(0, 0), (10, 1)], "blue")
    root = Xml.fromstring(plot.svg())
    space = "{http://www.w3.org/2000/svg}"
    circle = root.find(f"{space}circle")
    assert circle is not None
    assert (circle.get("cx"), circle.get("cy")) == ("100.0", "10.0")
    assert circle.findtext(f"{space}title") == "<script>"
    line = root.find(f"{space}polyline")
    assert line is not None
    assert line.get("points") == "10.0,90.0 190.0,10.0"
    assert "a < b & c" in [text.text for text in root.iter(f"{space}text")]
