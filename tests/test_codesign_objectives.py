"""The published forms of objectives, by hand."""

import numpy as np
import pytest

from h3c.compiler.codesigning.objectives import Objective, objective_of
from h3c.runtime_sim.errors import InputError

ENERGY, LATENCY, AREA, COST = [2.0, 3.0], [7.0, 5.0], 11.0, 13.0


@pytest.mark.parametrize(
    ("kind", "over", "score"),
    [
        ("edap", "max", 3 * 7 * 11),  # energy of the second model, latency of the first
        ("edap", "mean", 2.5 * 6 * 11),
        ("edap", "product", 2 * 3 * 7 * 5 * 11),  # the area once
        ("edap", "weighted", (2 + 3 * 3) / 4 * (7 + 3 * 5) / 4 * 11),
        ("edp", "max", 3 * 7),
        ("edp", "product", 2 * 3 * 7 * 5),
        ("energy", "mean", 2.5),
        ("energy", "product", 6),
        ("latency", "max", 7),
        ("area", "product", 11),
        ("cost", "max", 13),
        ("edp-cost", "max", 3 * 7 * 13),
        ("edap-cost", "mean", 2.5 * 6 * 11 * 13),
    ],
)
def test_the_forms(kind: str, over: str, score: float) -> None:
    wanted = Objective(kind, over, (1.0, 3.0) if over == "weighted" else ())
    assert wanted.score(wanted.joined(ENERGY), wanted.joined(LATENCY), AREA, COST) == pytest.approx(score, rel=1e-15)


def test_what_failed_stays_infinite_in_every_form() -> None:
    for over in ("max", "mean", "product", "weighted"):
        wanted = Objective("edap", over, (1.0, 1.0))
        assert wanted.joined([np.array([1.0, np.inf]), np.array([2.0, 0.5])])[1] == np.inf


def test_units_say_what_a_product_is_in() -> None:
    assert Objective("edap", "max").unit(4) == "mJ ms mm2"
    assert Objective("edap", "product").unit(4) == "mJ^4 ms^4 mm2"
    assert Objective("edp-cost", "product").unit(1) == "mJ ms cost"


def test_weights_go_with_weighted_and_with_every_model() -> None:
    models = ("a", "b")
    assert objective_of("edp", "weighted", {"b": 2.0, "a": 1.0}, models).weights == (1.0, 2.0)
    for over, weights, told in (
        ("max", {"a": 1.0}, "--weights: expected with --over weighted alone, got --over max"),
        ("weighted", {}, "--weights: expected a weight for each of a, b, got none"),
        ("weighted", {"a": 1.0, "c": 1.0}, "--weights: expected a weight for each of a, b, got a, c"),
    ):
        with pytest.raises(InputError, match=f"^{told}$"):
            objective_of("edp", over, weights, models)
