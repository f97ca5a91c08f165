"""Baselines that know which tiers err: where operators are, and what LionHeart's search measures."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, toy_problem

from h3c.passes.placement.mixed import all_analog, apart, first_last_digital, lionheart
from h3c.passes.placement.problem import UNUSED, PlacementError, Plan, Problem
from h3c.passes.placement.strategies import Extras, run

ANALOG, OTHER, DIGITAL = 0, 1, 2
PRODUCTS = [ToyProduct(4, 12, 2), ToyProduct(9, 8, 3), ToyProduct(4, 12, 2), ToyProduct(2, 20, 1)]
MACS = [4 * 12 * 2, 9 * 8 * 3, 4 * 12 * 2, 2 * 20]


def a_problem(arrays: int = 400) -> Problem:
    """Two tiers with arrays and one that streams, which is fast but takes much energy."""
    tiers = (ToyTier(arrays, 4, 30, 3, 1.0), ToyTier(400, 8, 45, 40, 0.5), ToyTier(0, 1, 1, 0, 4.0))
    return toy_problem(ToyPricer(tiers, 0), PRODUCTS, "energy", 10.0)


def tier_of(problem: Problem, plan: Plan) -> list[int]:
    """The tier of each operator, by position; each must be whole on one."""
    found: dict[int, int] = {}
    for kind, counts in zip(problem.types, plan.counts, strict=True):
        options = [option for option, count in sorted(counts.items()) for _ in range(count)]
        for member, option in zip(kind.members, options, strict=True):
            (tier,) = np.flatnonzero(kind.options.mode[option] != UNUSED)
            found[member] = int(tier)
    return [found[position] for position in sorted(found)]


def test_all_analog_is_the_best_of_all_ways_to_be_whole_on_noisy_tiers() -> None:
    problem = a_problem()
    plan = all_analog(problem, [ANALOG, OTHER], DIGITAL, 10)
    assert plan is not None
    assert set(tier_of(problem, plan)) <= {ANALOG, OTHER}
    parted = apart(problem, range(4))
    energies: list[float] = []
    for tiers in product((ANALOG, OTHER), repeat=4):
        total = problem.fixed_energy_pj
        latency = problem.fixed_latency_ps
        for kind in parted.types:
            options = kind.options
            whole = (options.mode != UNUSED).sum(axis=1) == 1
            here = np.flatnonzero(whole & (options.mode[:, tiers[kind.members[0]]] != UNUSED))
            cost = options.energy_pj[here] + problem.static_pj_per_ps * options.latency_ps[here]
            best = here[int(np.argmin(cost))]
            total += float(options.energy_pj[best])
            latency += int(options.latency_ps[best])
        energies.append(total + problem.static_pj_per_ps * latency)
    assert plan.energy_pj <= min(energies) * 1.001


def test_the_first_and_the_last_operator_are_digital() -> None:
    """Also where one of them is of the same type as another operator, which is not."""
    parted, plan = first_last_digital(a_problem(), [ANALOG], DIGITAL, 10)
    assert plan is not None
    assert tier_of(parted, plan) == [DIGITAL, ANALOG, ANALOG, DIGITAL]


def test_strategies_by_name() -> None:
    problem = a_problem()
    pricer = ToyPricer((ToyTier(400, 4, 30, 3, 1.0), ToyTier(0, 1, 1, 0, 4.0)), 0)
    named = replace(toy_problem(pricer, PRODUCTS, "latency", 10.0), tiers=("pcm", "digital"))
    extras = Extras(noisy=("pcm",))
    found = {name: run(named, name, 10, extras) for name in ("all-analog", "first-last-digital", "all-digital")}
    assert {name: tier_of(each.problem, each.plan) for name, each in found.items()} == {
        "all-analog": [0, 0, 0, 0],
        "first-last-digital": [1, 0, 0, 1],
        "all-digital": [1, 1, 1, 1],
    }
    assert all(each.bound is None for each in found.values())
    with pytest.raises(PlacementError, match="expected a tier with noise, the chip has none"):
        run(named, "all-analog", 10, Extras())
    with pytest.raises(PlacementError, match="expected a digital unit, the chip has none"):
        run(problem, "all-digital", 10, extras)


def test_lionheart_keeps_or_reverts_from_most_to_fewest_macs() -> None:
    """Operator 1 has most; 0 and 2 tie, the first one first. Their losses are 1, 5, 2 and 0.5, and 3 are allowed."""
    losses = [5.0, 1.0, 2.0, 0.5]
    seen: list[list[int]] = []

    def loss_of(problem: Problem, plan: Plan) -> float:
        tiers = tier_of(problem, plan)
        seen.append([position for position, tier in enumerate(tiers) if tier != DIGITAL])
        return sum(losses[position] for position in seen[-1])

    found = lionheart(a_problem(), [ANALOG], DIGITAL, MACS, loss_of, 3.0, 10)
    assert seen == [[1], [0, 1], [1, 2], [1, 2, 3]]
    assert (found.analog, found.loss, found.measured) == ((1, 2), 3.0, 4)
    assert tier_of(found.problem, found.plan) == [DIGITAL, ANALOG, ANALOG, DIGITAL]


def test_lionheart_reverts_to_all_digital() -> None:
    measured: list[Plan] = []

    def never(_: Problem, plan: Plan) -> float:
        measured.append(plan)
        return 1e9

    found = lionheart(a_problem(), [ANALOG], DIGITAL, MACS, never, 0.5, 10)
    assert found.measured == len(measured) == 4
    assert (found.analog, found.loss) == ((), None)
    assert tier_of(found.problem, found.plan) == [DIGITAL] * 4


def test_lionheart_ends_where_it_can_win_no_more() -> None:
    """Asked with the best plan that could still come of it: at first any, at last what is kept and the best of the
    rest. Operators 1 and 0 are rejected, so that only plans with both digital are left."""
    left: list[list[int]] = []

    def worth(problem: Problem, plan: Plan) -> bool:
        left.append(tier_of(problem, plan))
        return len(left) < 3

    found = lionheart(a_problem(), [ANALOG], DIGITAL, MACS, lambda problem, plan: 9.0, 3.0, 10, worth)
    assert found.measured == 2
    assert [[tiers[1], tiers[0]].count(DIGITAL) for tiers in left] == [0, 1, 2]
    assert left[0] == [ANALOG] * 4
