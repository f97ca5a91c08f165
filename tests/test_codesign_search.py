"""Searches that visit some chips: budgets, seeds, constraints, failing prices, and how near they come; baselines."""

from collections.abc import Mapping, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
from codesign_small import NETWORKS, form, space

from h3c.compiler.codesigning.baselines import NAMES, baseline, sequential
from h3c.compiler.codesigning.closed_form import ClosedForm
from h3c.compiler.codesigning.evaluators import BudgetSpent, Evaluator, Scores, Task, Visits
from h3c.compiler.codesigning.evolutionary import four_phases
from h3c.compiler.codesigning.exhaustive import exhaustive
from h3c.compiler.codesigning.joint import HEURISTICS
from h3c.compiler.codesigning.objectives import Objective
from h3c.compiler.codesigning.ranking import Found
from h3c.compiler.codesigning.sampling import farthest, feasible_designs, some_feasible
from h3c.compiler.codesigning.space import Design, DesignList, Space
from h3c.compiler.codesigning.space_files import load_space
from h3c.runtime_sim.errors import InputError

EDAP = Objective("edap")


class Failing:
    """An evaluator that cannot price three chips of ten, and notes each chip that it is asked for."""

    def __init__(self, inner: Evaluator) -> None:
        self.inner = inner
        self.asked: list[Design] = []

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def models(self) -> tuple[str, ...]:
        return self.inner.models

    def fails(self, design: Design) -> bool:
        return hash(design) % 10 < 3

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        return self.inner.figures(designs)

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        self.asked += designs
        scores = self.inner.evaluate(designs)
        failed = np.array([self.fails(design) for design in designs])
        return Scores(
            np.where(failed, np.inf, scores.energy_pj), np.where(failed, np.inf, scores.latency_ns), scores.area_mm2
        )


def visited(found: Found) -> list[int]:
    assert found.visited is not None
    return found.visited.number.tolist()


@pytest.mark.parametrize("name", HEURISTICS)
def test_a_search_visits_as_many_different_chips_as_its_budget_and_repeats_itself(name: str) -> None:
    run, task = HEURISTICS[name], Task(form(), EDAP)
    found = run(task, 400, 7)
    assert len(visited(found)) == len(set(visited(found))) == found.evaluated == 400
    assert visited(run(task, 400, 7)) == visited(found)
    assert visited(run(task, 400, 8)) != visited(found)
    assert not found.proven
    assert all(later[1] < earlier[1] and later[0] > earlier[0] for earlier, later in pairwise(found.course))
    assert found.course[-1][1] == found.top.score[0]


@pytest.mark.parametrize("name", HEURISTICS)
def test_each_chip_is_priced_once_and_one_that_fails_is_never_the_answer(name: str) -> None:
    """In the published code a chip that could not be priced ranked as perfect."""
    failing = Failing(form())
    found = HEURISTICS[name](Task(failing, EDAP), 400, 3)
    assert len(failing.asked) == len(set(failing.asked)) == 400
    assert sum(map(failing.fails, failing.asked)) > 40
    assert np.isfinite(found.top.score).all()
    assert not any(failing.fails(form().space.design(number)) for number in found.top.number.tolist())


@pytest.mark.parametrize("name", HEURISTICS)
@pytest.mark.parametrize("budget", [1, 2, 37])
def test_small_budgets_are_kept(name: str, budget: int) -> None:
    assert len(visited(HEURISTICS[name](Task(form(), EDAP), budget, 1))) == budget


@pytest.mark.parametrize("name", HEURISTICS)
def test_the_answer_keeps_the_constraints(name: str) -> None:
    """One chip in 20 does; of those visited some do not, and do not count."""
    task = Task(form(constraints={"area": "area_mm2 <= 12"}), EDAP)
    found = HEURISTICS[name](task, 90, 2)
    assert found.top.area_mm2[0] <= 12
    assert found.feasible == np.count_nonzero(found.visited is not None and found.visited.area_mm2 <= 12)


@pytest.mark.parametrize("name", ["imc-rram", "imc-sram"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_corrected_search_is_within_2_percent_of_the_proven_optimum(name: str, seed: int) -> None:
    """Of 12.1 and 1.5 million chips it visits 1,500."""
    one = ClosedForm(load_space(name), NETWORKS)
    best = exhaustive(one, EDAP).top.score[0]
    assert four_phases(Task(one, EDAP), 1500, seed).top.score[0] <= 1.02 * best


def test_a_budget_counts_chips_and_the_last_ones_that_it_allows_are_visited() -> None:
    task = Task(form(), EDAP)
    visits = Visits(task, 3)
    designs = [task.space.design(number) for number in (5, 7, 5, 9, 11)]
    ranks = visits.visit(designs[:3])
    assert ranks[0] == ranks[2]
    with pytest.raises(BudgetSpent):
        visits.visit(designs[2:])
    assert visits.all.number.tolist() == [5, 7, 9]


def test_chips_drawn_keep_the_constraints_differ_and_end_with_the_space() -> None:
    small = form(constraints={"area": "area_mm2 <= 12"})
    task = Task(small, EDAP)
    drawn = list(feasible_designs(task, np.random.default_rng(1)))
    judged = task.judged([small.space.design(number) for number in range(small.space.size)])
    assert sorted(map(small.space.number, drawn)) == judged.number[judged.violation == 0].tolist()
    none = Task(form(constraints={"area": "area_mm2 <= 1"}), EDAP)
    with pytest.raises(InputError, match="expected a chip that keeps area_mm2 <= 1, got none in 1944 drawn"):
        some_feasible(none, np.random.default_rng(1), 10)


def test_the_farthest_chips_are_chosen_one_by_one() -> None:
    designs: list[Design] = [(0, 0, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (2, 2, 2)]
    # from the first: (2,2,2) is 3 away; then (1,1,0) and (0,1,1) are 2 from the nearest, and the first one is taken
    assert farthest(designs, 3) == [(0, 0, 0), (2, 2, 2), (1, 1, 0)]
    assert farthest(designs, 9) == designs


def test_spread_chips_are_farther_apart_than_those_drawn() -> None:
    task = Task(ClosedForm(load_space("imc-sram"), NETWORKS), EDAP)
    drawn = list(islice(feasible_designs(task, np.random.default_rng(2)), 300))
    spread = np.array(farthest(drawn, 60))
    distance = (spread[:, None] != spread[None]).sum(-1) + 99 * np.eye(60)
    random = np.array(drawn[:60])
    assert distance.min() > ((random[:, None] != random[None]).sum(-1) + 99 * np.eye(60)).min()


def test_the_sequential_baseline_fixes_one_level_after_the_other() -> None:
    """By hand, with loops over the values of each level."""
    one = form()
    small, task = one.space, Task(one, EDAP)
    names = [variable.name for variable in small.variables]
    design = [count // 2 for count in small.shape]
    for level in (["rows", "cols"], ["groups", "macros_per_tile", "glb_depth_2048bit"], ["volt", "cycle_ns"]):
        places = [names.index(name) for name in level]
        best: tuple[float, float, list[int]] | None = None
        for values in np.ndindex(*(small.shape[place] for place in places)):
            tried = list(design)
            for place, value in zip(places, values, strict=True):
                tried[place] = value
            judged = task.judged([tuple(tried)])
            rank = (float(judged.violation[0]), float(judged.score[0]), tried)
            best = rank if best is None or rank[:2] < best[:2] else best
        assert best is not None
        design = best[2]
    assert sequential(task, "mid", late=False) == tuple(design)
    assert design[names.index("node_nm")] == 1  # in no level: it keeps its middle value


def test_late_constraints_do_not_count_in_the_first_levels() -> None:
    """The circuit of least energy has few rows, and a limit asks for many; they are fixed before it counts."""
    task = Task(form(constraints={"rows": "rows >= 256"}), Objective("energy"))
    rows = [variable.name for variable in task.space.variables].index("rows")
    assert sequential(task, "max", late=False)[rows] == 2
    assert sequential(task, "max", late=True)[rows] == 0


def test_a_models_own_best_chip_is_no_worse_for_it_than_any_other() -> None:
    one = form()
    joint = one.space.design(int(exhaustive(one, EDAP).top.number[0]))
    own = {name: baseline(name, one, EDAP, exhaustive) for name in ("one-at-a-time", "largest-model")}
    for model in one.models:
        alone = Task(one.for_models([model]), EDAP)
        best = alone.judged([own["one-at-a-time"].designs[model]]).score[0]
        assert best <= alone.judged([joint]).score[0] * (1 + 1e-9)
        if model == "tokens":  # 3 x 2 x 256 x 1024 weights
            assert own["largest-model"].designs[model] == own["one-at-a-time"].designs[model]


def test_alone_a_model_needs_no_room_for_the_others() -> None:
    one = ClosedForm(space(constraints={"capacity": "capacity_weights >= model_weights"}), NETWORKS)
    together, alone = (baseline(name, one, EDAP, exhaustive).designs for name in NAMES[1:3])
    assert one.figures([alone["depthwise"]])["capacity_weights"] < one.largest
    assert one.figures([together["depthwise"]])["capacity_weights"] >= one.largest


def test_a_space_without_levels_has_no_sequential_baseline() -> None:
    with pytest.raises(InputError, match=r"^small\.yaml: stages: expected levels of design"):
        baseline("sequential:mid", form(stages={}), EDAP, exhaustive)
