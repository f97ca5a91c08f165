"""Budgets, the front, throughput and shadow prices, on random problems small enough to enumerate."""

from dataclasses import replace
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, every_plan, given_options, toy_problem, types_of

from h3c.passes.placement.constraints import Constraints, constrained
from h3c.passes.placement.front import front
from h3c.passes.placement.mixing import Curve, Stream, least_mix
from h3c.passes.placement.problem import OBJECTIVES, OperatorType, OptionSet, PlacementError, Plan, Problem, evaluate
from h3c.passes.placement.shadow import shadow_prices
from h3c.passes.placement.solve import solve
from h3c.passes.placement.throughput import solve_throughput

UNLIMITED = (None, None, None)


def random_problem(rng: np.random.Generator, objective: str = "latency") -> Problem:
    """Up to three types of up to two operators, each with up to five options, on two array tiers and one without."""
    types = types_of([(int(rng.integers(1, 3)), random_options(rng)) for _ in range(int(rng.integers(1, 4)))])
    capacity = np.array([*rng.integers(2, 12, 2), 0], np.int64)
    fixed = int(rng.integers(0, 20)), float(rng.integers(0, 20))
    power = float(rng.choice([0.0, 100.0, 2000.0]))
    return Problem(("a", "b", "c"), capacity, types, objective, *fixed, power, (), (1, 0, 5, 0))


def random_options(rng: np.random.Generator) -> OptionSet:
    rows = int(rng.integers(1, 6))
    held = lambda: (rng.choice([0, 0, 1, 2, 3], (rows, 3)) * [1, 1, 0]).astype(np.int64)  # noqa: E731
    resident, scratch = held(), held()
    latency, energy = rng.integers(1, 60, rows), rng.integers(0, 60, rows).astype(np.float64)
    given = given_options(latency, energy, resident, scratch, rng.integers(1, 3, rows))
    return replace(given, busy_ps=rng.integers(0, 40, (rows, 4)))


def plans(problem: Problem) -> list[Plan]:
    """Every plan that `evaluate` takes."""
    ways = [
        [
            {o: chosen.count(o) for o in chosen}
            for chosen in combinations_with_replacement(range(len(k.options)), k.multiplicity)
        ]
        for k in problem.types
    ]
    found = [evaluate(problem, counts) for counts in product(*ways)]
    return [plan for plan in found if plan is not None]


def keeps(problem: Problem, plan: Plan, limits: Constraints, endurance: tuple[float | None, ...]) -> bool:
    """Whether a plan keeps to constraints, by their definitions."""
    if limits.max_latency_ps is not None and plan.latency_ps > limits.max_latency_ps:
        return False
    if limits.max_energy_pj is not None and plan.energy_pj > limits.max_energy_pj * (1 + 1e-12):
        return False
    chosen = [
        (k.options, o, n) for k, counts in zip(problem.types, plan.counts, strict=True) for o, n in counts.items()
    ]
    resident = np.sum([n * o.resident[i] for o, i, n in chosen], axis=0)
    scratch = np.max([o.scratch[i] for o, i, _ in chosen], axis=0)
    share = 1.0 if limits.max_area_share is None else limits.max_area_share
    if np.any(resident + scratch > np.floor(problem.arrays * share)):
        return False
    written = np.sum([n * o.scratch[i] * o.rounds[i] for o, i, n in chosen], axis=0)
    if limits.lifetime_s is not None and limits.executions_per_day is not None:
        executions = limits.lifetime_s / 86400 * limits.executions_per_day
        for t, writes in enumerate(endurance):
            if writes is not None and executions * written[t] > writes * (problem.arrays[t] - resident[t]) * (1 + 1e-9):
                return False
    return True


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_best_plan_within_limits_is_that_of_brute_force(objective: str) -> None:
    rng, feasible = np.random.default_rng(1), 0
    for _ in range(70):
        problem = random_problem(rng, objective)
        every = plans(problem)
        if not every:
            continue
        some = every[int(rng.integers(len(every)))]
        limits = Constraints(
            max_latency_ps=float(some.latency_ps) if rng.random() < 0.5 else None,
            max_energy_pj=some.energy_pj if rng.random() < 0.5 else None,
            lifetime_s=86400.0 if rng.random() < 0.5 else None,
        )
        limits = replace(limits, executions_per_day=10.0 if limits.lifetime_s else None)
        endurance = (float(rng.integers(1, 40)), None, None)
        best = min((problem.score(p) for p in every if keeps(problem, p, limits, endurance)), default=np.inf)
        try:
            solution = solve(constrained(problem, limits, endurance), None, 60)
        except PlacementError:
            assert best == np.inf
            continue
        feasible += 1
        assert problem.score(solution.plan) == pytest.approx(best, rel=1e-9)
        assert solution.bound <= best * (1 + 1e-9)
        assert keeps(problem, solution.plan, limits, endurance)
    assert feasible > 30


def test_an_area_share_leaves_so_many_arrays() -> None:
    rng, found = np.random.default_rng(2), 0
    for _ in range(60):
        problem = random_problem(rng)
        limits = Constraints(max_area_share=0.5)
        best = min((p.latency_ps for p in plans(problem) if keeps(problem, p, limits, UNLIMITED)), default=None)
        try:
            solution = solve(constrained(problem, limits, UNLIMITED), None, 60)
        except PlacementError:
            assert best is None
            continue
        assert solution.plan.latency_ps == best
        found += 1
    assert found > 20


def test_infeasible_limits_are_told_with_what_can_be_reached() -> None:
    rng, told = np.random.default_rng(3), 0
    for _ in range(30):
        problem = random_problem(rng)
        every = plans(problem)
        if not every:
            continue
        least = min(plan.latency_ps for plan in every)
        if least - 1 <= problem.fixed_latency_ps:
            continue
        with pytest.raises(
            PlacementError, match=f"latency is at most {least - 1} ps, the least reachable is {least} ps"
        ):
            solve(constrained(problem, Constraints(max_latency_ps=least - 1), UNLIMITED), None, 60)
        told += 1
    assert told > 10


def test_the_front_is_that_of_brute_force() -> None:
    rng, points = np.random.default_rng(4), 0
    for _ in range(40):
        problem = random_problem(rng)
        every = {(plan.latency_ps, round(plan.energy_pj, 6)) for plan in plans(problem)}
        if not every:
            continue
        expected = {a for a in every if not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in every)}
        found = front(problem, 100, 60)
        assert {(point.plan.latency_ps, round(point.plan.energy_pj, 6)) for point in found} == expected
        assert all(point.proven for point in found)
        points += len(found)
    assert points > 60


def test_the_least_period_is_that_of_brute_force() -> None:
    rng, found = np.random.default_rng(5), 0
    for _ in range(100):
        problem = random_problem(rng, "throughput")
        best = min((plan.period_ps for plan in plans(problem)), default=None)
        try:
            solution = solve_throughput(problem, None, 60)
        except PlacementError:
            assert best is None
            continue
        assert solution.plan.period_ps == best
        assert solution.bound <= problem.score(solution.plan) * (1 + 1e-12)
        found += 1
    assert found > 60


def toy() -> tuple[ToyPricer, list[ToyProduct]]:
    pricer = ToyPricer((ToyTier(7, 2, 30, 3, 1.0), ToyTier(4, 3, 45, 20, 0.5), ToyTier(0, 1, 25, 0, 4.0)), 2)
    return pricer, [ToyProduct(3, 6, 2), ToyProduct(2, 5, 1)]


@pytest.mark.parametrize("limit", [400, 500, 700])
def test_the_bound_holds_for_every_plan_within_a_limit(limit: int) -> None:
    """Every split and number of copies, not only the options made."""
    pricer, products = toy()
    problem = toy_problem(pricer, products, "energy", 0.0)
    whole = [
        {f for family in kind.families for f in every_plan(pricer, p, family)}
        for kind, p in zip(problem.types, products, strict=True)
    ]
    least = np.inf
    for first, second in product(*whole):
        held = np.add(first[2], second[2]) + np.maximum(first[3], second[3])
        if first[0] + second[0] + 7 <= limit and np.all(held <= problem.arrays):
            least = min(least, first[1] + second[1] + 11.0)
    solution = solve(constrained(problem, Constraints(max_latency_ps=limit), UNLIMITED), None, 60)
    assert solution.plan.latency_ps <= limit
    assert solution.bound <= least * (1 + 1e-9)
    assert solution.plan.energy_pj >= least * (1 - 1e-9)


def test_least_mix_is_the_least_over_all_sums() -> None:
    rng = np.random.default_rng(6)
    for _ in range(200):
        total = int(rng.integers(2, 14))
        curves = [random_curve(rng, total) for _ in range(2)]
        streams = [
            Stream(float(rng.integers(0, 5)), float(rng.integers(0, 4)), np.array([1]), rng.integers(1, total + 1, 1))
            for _ in range(int(rng.integers(0, 3)))
        ]
        costs = [dict(zip(range(total + 1), c.at(np.arange(total + 1)[:, None])[:, 0], strict=True)) for c in curves]
        costs += [{n: s.alpha + s.beta * n for n in range(1, int(s.reach[0]) + 1)} for s in streams]
        expected = min(
            (sum(c[n] for c, n in zip(costs, split, strict=True)) for split in product(*costs) if sum(split) == total),
            default=np.inf,
        )
        value = least_mix(curves[0], curves[1], streams, total)[0]
        assert value <= expected + 1e-9
        # Outputs are whole numbers, ends of intervals and pieces too: nothing lies between.
        assert value == pytest.approx(expected) or value < np.inf == expected


def random_curve(rng: np.random.Generator, total: int) -> Curve:
    """Intervals from 1 to the total, with costs that never fall."""
    ends = np.unique(np.append(rng.integers(1, total + 1, 3), total))
    first = np.append(1, ends[:-1] + 1)
    steps = np.cumsum(rng.integers(0, 6, (len(ends), 2)).astype(np.float64).ravel()).reshape(-1, 2)
    low, high = steps[:, :1], np.where((first == ends)[:, None], steps[:, :1], steps[:, 1:])
    return Curve(first, ends, low, high)


def test_a_shadow_price_is_what_an_array_saves() -> None:
    """Ten operators alike, each 10 ns on one array or 30 ns on none: an array is worth 20 ns while some lack it."""
    zero, one = np.zeros((2, 1), np.int64), np.ones((2, 1), np.int64)
    options = OptionSet(
        np.array([10_000, 30_000]),
        np.zeros(2),
        np.array([[1], [0]]),
        zero,
        one,
        one,
        one,
        one,
        zero,
        np.ones(2, np.int64),
    )
    kind = OperatorType("alike", tuple(range(10)), options)
    for arrays, price in ((4, 20.0), (12, 0.0)):
        problem = Problem(("a",), np.array([arrays]), (kind,))
        assert shadow_prices(problem, solve(problem, None, 60).plan).tolist() == pytest.approx([price])
