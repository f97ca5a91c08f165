"""Bounds that hold, a best chip that they prove by few placements, and the search in two stages with both its ranks."""

import itertools
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codesign_placed_toy import NAMES, TREE, Here, small_chips, small_models, small_space
from codesign_toy import Formula, toy_space
from hypothesis import given, settings
from hypothesis import strategies as st

from h3c.compiler.codesigning.archived import Archived, Batches
from h3c.compiler.codesigning.best_first import proven_best
from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.evaluators import Scores, Task
from h3c.compiler.codesigning.exhaustive import exhaustive
from h3c.compiler.codesigning.networks import read_networks
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.placed import PlacedChips, Settings
from h3c.compiler.codesigning.space import Design
from h3c.compiler.codesigning.space_files import space_from_tree
from h3c.compiler.codesigning.staged import staged_by_bound, staged_closed_form
from h3c.compiler.codesigning.staged_bound import LeastCosts, least_sum, least_time
from h3c.runtime_sim.errors import InputError

EDAP = Objective("edap", "max")


class Bound(Formula):
    """A share of the formula's prices, not the same for all chips."""

    def __init__(self, share: float) -> None:
        super().__init__(toy_space())
        self.share = share

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        scores, part = super().evaluate(designs), np.array(designs).sum(axis=1) % 3
        return Scores(scores.energy_pj * (self.share - part / 100), scores.latency_ns, scores.area_mm2)


def best_of_all() -> tuple[int, float]:
    """The best chip of the formula's space, by pricing all."""
    designs = list(itertools.product(*map(range, toy_space().shape)))
    judged = Task(Formula(toy_space()), EDAP).judged(designs)
    scores = np.where(judged.feasible, judged.score, inf)
    return int(judged.number[scores.argmin()]), float(scores.min())


def kept(evaluator: Formula) -> Archived:
    """The formula as something whose prices are kept, of each model on its own."""
    return Archived(Batches(evaluator, evaluator.models), None)


def test_the_best_chip_is_proven_by_few_placements() -> None:
    placed = kept(Formula(toy_space()))
    found = proven_best(Task(Bound(0.98), EDAP), Task(placed, EDAP))
    assert (int(found.top.number[0]), float(found.top.score[0])) == best_of_all()
    assert found.proven
    assert found.evaluated == toy_space().size
    assert 2 <= placed.priced < 200
    assert found.visited is not None
    assert 2 * len(found.visited) <= placed.priced


def test_a_model_that_rules_a_chip_out_spares_the_others() -> None:
    """The bounds of the first model are its prices, those of the second far below: the second alone is placed often."""

    class Lopsided(Bound):
        def evaluate(self, designs: Sequence[Design]) -> Scores:
            scores = Formula.evaluate(self, designs)
            return Scores(scores.energy_pj * [[1.0], [0.3]], scores.latency_ns, scores.area_mm2)

    asked: list[int] = []

    class Counting(Batches):
        def prices(self, wanted: Sequence[tuple[int, Design]], done: Any) -> None:
            asked.extend(model for model, _ in wanted)
            super().prices(wanted, done)

    objective = Objective("edp", "product")
    formula = Formula(toy_space())
    found = proven_best(
        Task(Lopsided(1.0), objective), Task(Archived(Counting(formula, formula.models), None), objective)
    )
    designs = list(itertools.product(*map(range, toy_space().shape)))
    judged = Task(formula, objective).judged(designs)
    assert found.top.score[0] == np.where(judged.feasible, judged.score, inf).min()
    assert asked.count(1) > 3 * asked.count(0) > 0


def test_sharper_bounds_are_asked_for_where_they_matter_and_spare_placements() -> None:
    sharpened: list[Design] = []

    def sharper(designs: Sequence[Design]) -> Scores:
        sharpened.extend(designs)
        return Bound(0.98).evaluate(designs)

    class Rough(Formula):
        def evaluate(self, designs: Sequence[Design]) -> Scores:
            scores = super().evaluate(designs)
            shares = [0.3 + sum(design) % 5 / 10 for design in designs]
            return Scores(scores.energy_pj * shares, scores.latency_ns, scores.area_mm2)

    rough, sharp = kept(Formula(toy_space())), kept(Formula(toy_space()))
    alone = proven_best(Task(Rough(toy_space()), EDAP), Task(rough, EDAP))
    helped = proven_best(Task(Rough(toy_space()), EDAP), Task(sharp, EDAP), 4, sharper)
    assert helped.proven
    assert helped.top.number[0] == alone.top.number[0] == best_of_all()[0]
    assert sharp.priced < rough.priced
    assert len(sharpened) == len(set(sharpened)) < toy_space().size


def test_both_ranks_of_each_chip_are_told() -> None:
    result = staged_by_bound(Task(Bound(0.2), EDAP), Task(Formula(toy_space()), EDAP), 20)
    assert [chip.rank for chip in result.chips] == list(range(1, 21))
    assert sorted(chip.first_rank for chip in result.chips) == list(range(1, 21))
    assert result.chips[0].number == result.found.top.number[0]
    by_first = sorted(result.chips, key=lambda chip: chip.first_rank)
    firsts = [chip.first_score for chip in by_first]
    assert firsts == sorted(firsts)
    assert all(chip.first_score <= chip.score for chip in result.chips)


def test_a_chip_that_fails_when_it_is_placed_is_never_the_best() -> None:
    class Failing(Formula):
        def evaluate(self, designs: Sequence[Design]) -> Scores:
            scores = super().evaluate(designs)
            numbers = [self.space.number(design) for design in designs]
            scores.latency_ns[0, [number == best for number in numbers]] = inf
            return scores

    best, score = best_of_all()
    found = proven_best(Task(Bound(0.98), EDAP), Task(kept(Failing(toy_space())), EDAP))
    assert found.top.number[0] != best
    assert found.top.score[0] > score
    assert found.proven
    staged = staged_by_bound(Task(Bound(0.98), EDAP), Task(Failing(toy_space()), EDAP), 1000)
    assert staged.found.top.number[0] == found.top.number[0]
    assert next(chip for chip in staged.chips if chip.number == best).score == inf


def test_bounds_are_below_the_prices() -> None:
    """Both models on some of the chips, by a plan for latency, and one for energy."""
    designs = list(itertools.product(*map(range, small_space().shape)))[::17]
    chips = small_chips(Here(), strategy="greedy")
    bounds = LeastCosts(chips)
    least, sharper = bounds.evaluate(designs), bounds.of_products(designs)
    assert (least.energy_pj > 0).all()
    assert (least.latency_ns > 0).all()
    for objective in ("latency", "energy", "edp"):
        prices = small_chips(Here(), strategy="greedy", objective=objective).evaluate(designs)
        assert (least.energy_pj <= prices.energy_pj * (1 + 1e-9)).all()
        assert (least.latency_ns <= prices.latency_ns * (1 + 1e-9)).all()
        products = prices.energy_pj * prices.latency_ns
        assert (sharper.energy_pj * sharper.latency_ns <= products * (1 + 1e-9)).all()
    rise = (sharper.energy_pj * sharper.latency_ns) / (least.energy_pj * least.latency_ns)
    assert (rise >= 1).all()
    assert np.exp(np.log(rise).mean()) > 1.1  # this is what it is for


def test_the_best_placed_chip_is_found_and_proven() -> None:
    few = {"tiers.reram.tiles": [0, 2], "tiers.edram.tiles": [0], "dram.read_bytes_per_ns": [1000.0]}
    space = small_space(variables={**TREE["variables"], **few})
    everything = list(itertools.product(*map(range, space.shape)))
    objective = Objective("edp", "product")
    chips = small_chips(Here(), NAMES[:1], space, strategy="exact", time_limit_s=2.0)
    judged = Task(chips, objective).judged(everything)
    engine = Here()
    placed = Archived(small_chips(engine, NAMES[:1], space, strategy="exact", time_limit_s=2.0), None)
    bound = LeastCosts(small_chips(Here(), NAMES[:1], space))
    found = proven_best(Task(bound, objective), Task(placed, objective), 1, bound.of_products)
    assert found.proven
    assert found.top.score[0] == np.where(judged.feasible, judged.score, inf).min()
    assert engine.done < np.count_nonzero(judged.feasible)


def test_bounds_know_one_version_of_a_tier_once() -> None:
    engine = Here()
    bound = LeastCosts(small_chips(engine, ["digits_mlp"]))
    bound.evaluate(list(itertools.product(*map(range, small_space().shape))))
    # 2 + 2 + 1 + 1 versions of tiers, and the digital unit, each with 2 memories
    assert engine.done == 2 * (2 + 2 + 1 + 1 + 1)
    bound.evaluate([(1, 1, 1, 1, 1)])
    assert engine.done == 14


def test_the_best_of_the_closed_form_are_placed(models: Path) -> None:
    tree = {
        "name": "few",
        "description": "chips of the template",
        "base": "imc-rram",
        "variables": {
            "tiers.imc.rows": [64, 128, 256],
            "tiers.imc.groups": [1, 2, 4],
            "tiers.imc.cycle_ns": [1.0, 2.0],
        },
    }
    space, here = space_from_tree(tree, "few", Path()), Here()
    form = ClosedForm(space, read_networks({"digits_cnn": models / "digits_cnn.onnx"}, {"batch": 1}))
    task = Task(PlacedChips(space, small_models(NAMES[1:]), Settings(strategy="greedy"), here), EDAP)
    result = staged_closed_form(form, task, 5)
    assert here.done == len(result.chips) == 5
    assert not result.found.proven
    first = exhaustive(form, EDAP).top
    by_first = sorted(result.chips, key=lambda chip: chip.first_rank)
    assert [chip.number for chip in by_first] == first.number[:5].tolist()
    assert [chip.score for chip in result.chips] == sorted(chip.score for chip in result.chips)


def test_a_space_too_large_to_rank_is_one_line() -> None:
    large = {"tiers.sram.arrays": {"from": 1, "to": 50_000, "step": 1}, "tiers.photonic.tiles": list(range(1, 51))}
    space = small_space(variables=large, follow={}, figures={})
    chips = small_chips(Here(), ["digits_mlp"], space)
    with pytest.raises(InputError, match="expected at most 2000000 chips"):
        staged_by_bound(Task(LeastCosts(chips), EDAP), Task(chips, EDAP))


def test_operators_share_arrays_by_the_square_roots_of_their_needs() -> None:
    """Two operators of 1 and 4 array-ns on one array: times 1 / a and 4 / (1 - a) are least in sum at a = 1/3: 9 ns."""
    own = np.array([[[1.0, 0.25]]])
    none = np.zeros((1, 2))
    found = least_time(np.array([1.0, 1.0]), np.array([1.0, 1.0]), none, own)
    assert found[0] == pytest.approx(9.0, rel=0.01)
    assert found[0] <= 9.0
    # Three operators of 1 array-ns as one type: 9 ns again.
    three = least_time(np.array([1.0]), np.array([3.0]), none[:, :1], own[:, :, :1])
    assert three[0] == pytest.approx(9.0, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_way_to_share_arrays_is_faster_than_the_least_time(data: st.DataObject) -> None:
    """Arrays of two tiers dealt at random to three operators, which may also make outputs without any."""
    number = st.floats(0.1, 10)
    outputs, passing = (
        np.array([data.draw(number) for _ in range(3)]),
        np.array([[data.draw(number) for _ in range(3)]]),
    )
    own = np.array([[[data.draw(number) for _ in range(3)]] for _ in range(2)])
    shares = np.array([[data.draw(st.floats(0.01, 1)) for _ in range(3)] for _ in range(2)])
    shares /= shares.sum(axis=1, keepdims=True)
    rates = (own[:, 0] * shares).sum(axis=0) + passing[0]
    assert least_time(outputs, np.ones(3), passing, own)[0] <= (outputs / rates).sum() * (1 + 1e-9)


def test_what_saves_most_for_its_room_comes_first() -> None:
    """Savings 6, 5, 1 for rooms 4, 2, 2: of 5 places the second takes 2, the first 3 of its 4."""
    without, within, room = (np.array([row]) for row in ([10.0, 8.0, 3.0], [4.0, 3.0, 2.0], [4.0, 2.0, 2.0]))
    assert least_sum(without, within, room, np.array([5.0]))[0] == pytest.approx(21 - 5 - 6 * 3 / 4)
    assert least_sum(without, within, room, np.array([0.0]))[0] == 21
    assert least_sum(without, within, room, np.array([99.0]))[0] == 9
