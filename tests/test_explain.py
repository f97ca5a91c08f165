"""`--explain`: alternatives recomputed by brute force, prices of arrays, and what the command prints."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from placement_toy import ToyPricer, ToyProduct, ToyTier, toy_problem

from h3c.passes.placement.explain import Reason, explain
from h3c.passes.placement.problem import UNUSED, OperatorType, Plan, Problem, evaluate
from h3c.passes.placement.relaxation import Pool, relax
from h3c.passes.placement.shadow import shadow_prices
from h3c.passes.placement.strategies import run

Command = Callable[..., subprocess.CompletedProcess[str]]
OBJECTIVES = ("latency", "energy", "edp")


def a_problem(seed: int, objective: str) -> Problem:
    """Two tight array tiers and one that streams; three or four operators, two of them alike."""
    draw = np.random.default_rng(seed)
    tiers = [
        ToyTier(
            int(draw.integers(6, 25)),
            int(draw.integers(1, 4)),
            int(draw.integers(5, 60)),
            int(draw.integers(0, 30)),
            1.0,
        )
        for _ in range(2)
    ]
    tiers.append(ToyTier(0, 1, int(draw.integers(5, 60)), 0, 4.0))
    products = [
        ToyProduct(int(draw.integers(1, 9)), int(draw.integers(4, 20)), int(draw.integers(1, 6)))
        for _ in range(draw.integers(2, 4))
    ]
    return toy_problem(ToyPricer(tuple(tiers), 2), [*products, products[0]], objective, 10.0)


def one_by_one(problem: Problem, plan: Plan) -> tuple[Problem, list[int]]:
    """Every operator as a type of its own, and its option."""
    types: dict[int, OperatorType] = {}
    chosen: dict[int, int] = {}
    for kind, counts in zip(problem.types, plan.counts, strict=True):
        options = [option for option, count in sorted(counts.items()) for _ in range(count)]
        for member, option in zip(kind.members, options, strict=True):
            types[member], chosen[member] = replace(kind, members=(member,)), option
    order = sorted(types)
    return replace(problem, types=tuple(types[m] for m in order)), [chosen[m] for m in order]


def value_of(problem: Problem, chosen: list[int]) -> float:
    plan = evaluate(problem, tuple({option: 1} for option in chosen))
    return np.inf if plan is None else problem.value(plan.latency_ps, plan.energy_pj)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("strategy", ["greedy", "exact"])
def test_the_best_elsewhere_is_that_of_brute_force(strategy: str, objective: str) -> None:
    """Every option of every operator, by evaluating the whole plan."""
    hindered = 0
    for seed in range(6 if strategy == "greedy" else 1):
        outcome = run(a_problem(seed, objective), strategy, 60)
        reasons = {
            m: reason for reason in explain(outcome.problem, outcome.plan, outcome.problem) for m in reason.members
        }
        problem, chosen = one_by_one(outcome.problem, outcome.plan)
        here = value_of(problem, chosen)
        for position, kind in enumerate(problem.types):
            values = [
                value_of(problem, [*chosen[:position], option, *chosen[position + 1 :]])
                for option in range(len(kind.options))
            ]
            used = kind.options.mode != UNUSED
            away = np.any(used != used[chosen[position]], axis=1)
            best = float(np.min(np.where(away, values, np.inf)))
            check_elsewhere(reasons[position], best - here)
            hindered += check_hindered(reasons[position], problem, chosen, position, np.array(values), here)
    assert hindered > 0 or strategy == "exact"


def check_elsewhere(reason: Reason, rise: float) -> None:
    if rise == np.inf:
        assert reason.elsewhere is None
        return
    assert reason.elsewhere is not None
    assert reason.elsewhere.rise == pytest.approx(rise, rel=1e-6, abs=1e-6)
    assert np.any((reason.elsewhere.to.mode != UNUSED) != (reason.here.mode != UNUSED))
    assert reason.elsewhere.to.outputs.sum() == reason.here.outputs.sum()


def check_hindered(
    reason: Reason, problem: Problem, chosen: list[int], position: int, values: np.ndarray, here: float
) -> int:
    """Of the moves that do not fit, the best with arrays in plenty; it must name tiers that make it fit if enlarged."""
    plenty = replace(problem, arrays=np.where(problem.arrays > 0, 10**9, 0))
    free = np.array(
        [
            value_of(plenty, [*chosen[:position], option, *chosen[position + 1 :]])
            for option in range(len(problem.types[position].options))
        ]
    )
    better = np.isinf(values) & (free < here * (1 - 1e-9))
    assert (reason.hindered is not None) == bool(better.any())
    if reason.hindered is None:
        assert reason.short == ()
        return 0
    assert reason.hindered.rise == pytest.approx(float(free[better].min()) - here, rel=1e-6)
    enlarged = problem.arrays.copy()
    enlarged[list(reason.short)] = 10**9
    assert np.isclose(
        [
            value_of(replace(problem, arrays=enlarged), [*chosen[:position], int(o), *chosen[position + 1 :]])
            for o in np.flatnonzero(better)
        ],
        reason.hindered.rise + here,
        rtol=1e-6,
    ).any()
    return 1


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_the_price_of_arrays_is_between_what_one_less_costs_and_one_more_saves(objective: str) -> None:
    """The relaxation is convex in the arrays."""
    positive = 0
    for seed in range(8):
        problem = a_problem(seed, objective)
        plan = run(problem, "greedy", 60).plan
        prices = shadow_prices(problem, plan)
        for tier in np.flatnonzero(problem.arrays):
            less, same, more = (bound(problem, int(tier), change) for change in (-1, 0, 1))
            slack = 1e-5 * same
            assert same - more - slack <= prices[tier] <= less - same + slack
            positive += prices[tier] > 0
        assert np.all(prices[problem.arrays == 0] == 0)
    assert positive > 2


def bound(problem: Problem, tier: int, change: int) -> float:
    """The relaxation with so many arrays more, in the objective's unit (without what is fixed)."""
    arrays = problem.arrays.copy()
    arrays[tier] += change
    # Options that need more arrays than the tier has are not left out, as they can have shares.
    pool = Pool(replace(problem, arrays=arrays))
    relaxed = relax(pool, pool.latency / 1000 if problem.objective == "latency" else pool.energy)
    assert relaxed is not None
    return relaxed.bound


def test_the_command_prints_it_and_leaves_it_out_of_the_plan(models: Path, command: Command, tmp_path: Path) -> None:
    given = (models / "digits_transformer.onnx", "--dim", "batch=8", "--objective", "energy", "-o", "plan.mlir")
    plain = command("h3c", *given)
    text = (tmp_path / "plan.mlir").read_text()
    done = command("h3c", *given, "--explain", "--summary", "s.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(plain.stdout)
    assert (tmp_path / "plan.mlir").read_text() == text
    lines = done.stdout[len(plain.stdout) :].splitlines()
    assert lines[0] == "why operators are where they are (each moved alone)"
    assert lines[-1].startswith("one more array would save: sram ")
    explained = json.loads((tmp_path / "s.json").read_text())["explain"]
    assert (explained["objective"], explained["unit"]) == ("energy", "pJ")
    assert len(lines) == 3 + len(explained["operators"])
    assert sum(len(reason["operators"]) for reason in explained["operators"]) == 10
    refused = [reason["refused"] for reason in explained["operators"] if reason["refused"]]
    assert all(why == "takes no products of two values made at run time" for tiers in refused for why in tiers.values())
    assert sum(len(tiers) for tiers in refused) >= 2


def test_h3c_opt_leaves_it_on_the_module(models: Path, command: Command) -> None:
    command("h3c", models / "digits_mlp.onnx", "--dim", "batch=1", "--dump-ir", "ir", "-q")
    done = command("h3c-opt", "ir/09-verify-h3.mlir", "-p", "place-parts{strategy=equal explain=true}")
    assert done.returncode == 0, done.stderr
    assert "h3.explain = " in done.stdout
