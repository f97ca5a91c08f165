"""Operators of a plan of segments that run elsewhere: against every choice of hosts of small problems, and on chips."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h3_reference import original
from hosting_toy import Case, random_budgets, random_case, random_hosts, two_tiers
from segmentation_toy import random_problem
from xdsl.dialects.builtin import ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.assign_arrays import AssignArrays
from h3c.passes.lower_to_tile import LowerToTile
from h3c.passes.place_parts import PlaceParts
from h3c.passes.placement.losses import Losses
from h3c.passes.placement.problem import PlacementError
from h3c.passes.quality.sensitivity import matrix_operators
from h3c.passes.segment_hosts import hosted_problem
from h3c.passes.segment_plan import give_segments
from h3c.passes.segment_problem import program_of, segment_problem
from h3c.passes.segmentation import choices as choosing
from h3c.passes.segmentation.allocation import NEVER, Resident, Tiled
from h3c.passes.segmentation.choices import Choices, ways_of
from h3c.passes.segmentation.dynamic import solve_segments, solve_with, with_hosts
from h3c.passes.segmentation.hosting import Hosted, HostedProblem, solve_hosted
from h3c.passes.segmentation.places import keepable
from h3c.passes.segmentation.problem import DIGITAL, Host, Place, SegmentChip, SegmentOperator, SegmentProblem
from h3c.passes.segmentation.resident import load_times, loaded_ahead, pipelines, run_times
from h3c.passes.segmentation.window import Hosts, Known, Windows
from h3c.passes.verify_tile import VerifyTile
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.timing import simulate

ROOT = Path(__file__).parent.parent
BLOCK = 10


def hosts_of(found: Hosted) -> tuple[Host | None, ...]:
    return tuple(operator.host for operator in found.problem.operators)


def solved(case: Case, hosted: HostedProblem, known: Known | None = None) -> Hosted | None:
    """The plan, if there is one, and that it is one: within the budgets, and in its bounds."""
    least = case.optimum(hosted)
    if least is None:
        with pytest.raises(PlacementError, match="expected a plan of segments that loses"):
            solve_hosted(hosted, known)
        return None
    found = solve_hosted(hosted, known)
    assert hosted.keeps(hosts_of(found))
    assert found.plan.bound_ps is not None
    assert found.plan.bound_ps <= least <= found.plan.total_ps
    return found


@pytest.mark.parametrize("seed", range(0, 30, BLOCK))
def test_the_plan_is_the_best_of_all_choices_of_hosts(seed: int) -> None:
    """All cuts, places, preloads, tilings, allocations, and hosts of each operator, without budgets and with them."""
    for each in range(seed, seed + BLOCK):
        case = random_case(each, most=24)
        rng = np.random.default_rng(each + 1_000_000)
        wanted = [case.hosted, *(random_budgets(rng, case, kind) for kind in ("arrays", "loss", "both"))]
        for hosted in wanted:
            found = solved(case, hosted, case.known)
            assert found is None or found.plan.total_ps == case.optimum(hosted), (each, hosted)


def test_four_operators_in_a_row() -> None:
    for seed in range(4000, 4008):
        case = random_case(seed, operators=4, most=30)
        found = solved(case, case.hosted)
        assert found is not None
        assert found.plan.total_ps == case.optimum(case.hosted), seed


def test_prices_alone_find_plans_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a look at the neighbours of the best plan most are still the best ones."""
    monkeypatch.setattr("h3c.passes.segmentation.hosting.MOST_MOVES", 0)
    ratios: list[float] = []
    for seed in range(30):
        case = random_case(seed, most=24)
        hosted = random_budgets(np.random.default_rng(seed + 1_000_000), case, "arrays")
        found, least = solved(case, hosted, case.known), case.optimum(hosted)
        ratios += [] if found is None or least is None else [found.plan.total_ps / least]
    assert len(ratios) == 30
    assert np.mean(np.array(ratios) == 1.0) > 0.8
    assert max(ratios) < 1.6


@pytest.mark.parametrize(("limit", "value"), [("MOST_CHOICES", 1), ("LONGEST", 1), ("MOST_NODES", 2)])
def test_the_bound_holds_for_choices_that_nobody_looked_at(
    monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(choosing, limit, value)
    monkeypatch.setattr(choosing, "FEW", 0)
    monkeypatch.setattr("h3c.passes.segmentation.hosting.MOST_MOVES", 0)
    left = 0
    for seed in range(8):
        case = random_case(seed, most=24)
        for hosted in (case.hosted, random_budgets(np.random.default_rng(seed), case, "both")):
            found, least = solved(case, hosted), case.optimum(hosted)
            left += found is not None and (found.plan.bound_ps or 0) < (least or 0)
    assert left


def test_the_same_plan_comes_out_twice_whatever_was_solved_before() -> None:
    for seed in range(4):
        case = random_case(seed, most=24)
        hosted = random_budgets(np.random.default_rng(seed), case, "arrays")
        with_others = solve_hosted(hosted, case.known)
        alone = solve_hosted(hosted)
        assert with_others.plan.total_ps == alone.plan.total_ps
        assert hosts_of(with_others) == hosts_of(alone)
        assert alone.plan == solve_hosted(hosted).plan


def test_an_operator_that_must_not_be_here_is_elsewhere() -> None:
    """Also where that is far slower; with nothing to lose there is no other way."""
    for seed in range(10):
        case = random_case(seed, most=24)
        menu = case.hosted.menu
        if not all(menu):
            continue
        none = tuple((0.0,) * len(hosts) for hosts in menu)
        here = (float("inf"),) * len(menu)
        hosted = HostedProblem(case.hosted.problem, menu, case.hosted.arrays, here, none, 0.0)
        found = solved(case, hosted, case.known)
        assert found is not None
        assert all(hosts_of(found))


def priced(windows: Windows, first: int, cut: int, hosts: Hosts) -> np.ndarray:
    """[preloaded, preloads]: the least time of a window."""
    window, levels = windows.window(first, cut - 1, {}, hosts), np.arange(windows.problem.chip.arrays + 1)
    if window is None:
        return np.full((len(levels), len(levels)), NEVER, np.int64)
    table = Resident(window).table(levels)
    return np.minimum(table, Tiled(window).table(levels)) if window.can_be_tiled else table


def of_ways(hosts: Hosts) -> frozenset[tuple[object, ...]]:
    """What hosts have in common that stand for each other."""
    return frozenset((i, host.tier, host.precision, host.copies > 2) for i, host in hosts)


def random_choices(seed: int) -> tuple[SegmentProblem, list[tuple[Host, ...]], list[list[int]], list[int], Choices]:
    """A problem with hosts in up to 4 copies, prices there and here (sometimes none), and its choices."""
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, int(rng.integers(2, 4)), int(rng.integers(2, 6)))
    menu = [random_hosts(rng, problem.chip, op, 3)[:5] for op in problem.operators]
    plain = solve_with(problem, None)
    most = plain.plan.total_ps * float(rng.choice([0, 0.01, 0.1, 1])) / 3
    prices = [[int(rng.random() * most) for _ in hosts] for hosts in menu]
    here = [int(rng.random() * most * int(rng.integers(2))) for _ in menu]
    ways = [ways_of(hosts, own) for hosts, own in zip(menu, prices, strict=True)]
    return problem, menu, prices, here, Choices(problem, ways, here, plain.until_ps)


@pytest.mark.parametrize("seed", [0, 64, 200, 300])
def test_every_choice_of_a_window_is_bounded(seed: int) -> None:
    """By the choice that stands for it, for all preloads; if none does, by what is told of those not looked at."""
    for each in range(seed, seed + 8):
        problem, menu, prices, here, choices = random_choices(each)
        windows, count = Windows(problem), len(menu)
        for first in range(count):
            rest = dict(choices.cuts(first))
            for cut in range(first + 1, count + 1):
                seen = {of_ways(choice.hosts): choice for choice in choices.of(first, cut)}
                for chosen in product(*((None, *range(len(hosts))) for hosts in menu[first:cut])):
                    pairs = list(enumerate(chosen, first))
                    hosts = tuple((i - first, menu[i][at]) for i, at in pairs if at is not None)
                    price = sum(here[i] if at is None else prices[i][at] for i, at in pairs)
                    time, choice = priced(windows, first, cut, hosts) + price, seen.get(of_ways(hosts))
                    if choices.has(first, cut) and choice is not None:
                        stands = priced(windows, first, cut, choice.ideal) + choice.ideal_price_ps
                        assert (stands <= time).all(), (each, first, cut, hosts)
                    else:
                        later = rest[cut] if choices.has(first, cut) else rest.get(count, NEVER)
                        assert min(later, NEVER) <= time.min(), (each, first, cut, hosts)


def test_with_prices_the_bound_is_of_all_choices_and_near_the_best() -> None:
    """Time and prices of every choice of hosts are at least that, and where all are looked at, not much more."""
    ratios: list[float] = []
    for seed in range(24):
        case, rng = random_case(seed, most=24), np.random.default_rng(seed)
        problem, menu = case.hosted.problem, case.hosted.menu
        plain = solve_with(problem, None, case.known)
        most = plain.plan.total_ps * float(rng.choice([0.003, 0.03, 0.3]))
        prices = [{host: int(host.arrays * rng.random() * most) for host in hosts} for hosts in menu]
        ways = [ways_of(hosts, [own[host] for host in hosts]) for hosts, own in zip(menu, prices, strict=True)]
        found = solve_with(problem, Choices(problem, ways, [0] * len(menu), plain.until_ps), case.known)
        least = min(
            time + sum(0 if host is None else own[host] for host, own in zip(hosts, prices, strict=True))
            for hosts, time in case.least_ps.items()
        )
        assert found.least_ps <= least, seed
        ratios.append(found.least_ps / least)
    assert np.median(ratios) > 0.98


def operator(m: int, **more: Any) -> SegmentOperator:
    return SegmentOperator("o", m, 8, 4, 1, 32, m * 8, m * 8, m * 4, **more)


CHIP = SegmentChip(
    arrays=4, array_rows=8, array_cols=4, array_bytes=32, mvm_ps=10_000, dram_read_bytes_per_ns=1e3,
    dram_write_bytes_per_ns=1e3, buffer_in_bytes_per_ns=1e6, buffer_out_bytes_per_ns=1e6, buffer_bytes=10_000,
    memory_bytes_per_ns=0.0, memory_cap_bytes_per_ns=0.0, write_row_ps=1_000, write_ports=1, switch_to_memory_ps=0,
    switch_to_compute_ps=0,
)  # fmt: skip


def run_ps(operators: Sequence[SegmentOperator], chip: SegmentChip = CHIP) -> int:
    """All of them as one segment, one copy each."""
    window = Windows(SegmentProblem(chip, tuple(operators))).window(0, len(operators) - 1, {})
    assert window is not None
    return int(
        run_times(window, pipelines(window, np.ones((1, len(operators)), np.int64)), np.zeros(1, np.int64))[0, 0]
    )


def test_what_is_elsewhere_takes_its_time_beside_the_arrays() -> None:
    """Side by side the slower counts; one after another, chunk by chunk, the faster adds the share of one chunk."""
    slow = Host("reram", 1, 2, 640_000, 640_000)
    beside = run_ps([operator(32), operator(32, host=slow)])
    behind = run_ps([operator(32), operator(32, producers=(0,), host=slow)])
    assert beside == pytest.approx(640_000, rel=0.01)
    assert behind == pytest.approx(640_000 + 10_000, rel=0.01)


def test_what_is_shared_adds_up_by_name() -> None:
    """Two of 300 ns on a converter each, on the same one, and on the digital unit with 200 ns of other work."""
    took: list[int] = []
    for names in (("a", "b"), ("a", "a"), (DIGITAL, DIGITAL)):
        hosts = [Host("reram", 1, 2, 310_000, 1_000, ((name, 300_000),)) for name in names]
        took.append(run_ps([operator(32, host=host, digital_ps=100_000) for host in hosts]))
    assert took[0] == pytest.approx(310_000, rel=0.1)
    assert took[1] == pytest.approx(600_000, rel=0.1)
    assert took[2] == pytest.approx(800_000, rel=0.1)


def test_weights_that_are_streamed_come_from_off_chip_at_each_execution() -> None:
    chip = replace(CHIP, dram_read_bytes_per_ns=1.0)
    there, streamed = (Host(DIGITAL, 1, 0, 1_000, 0, ((DIGITAL, 1_000),), size) for size in (0, 5_000))
    more = run_ps([operator(1, host=streamed)], chip) - run_ps([operator(1, host=there)], chip)
    assert more == pytest.approx(5_000_000, rel=0.01)


def test_inputs_of_what_is_elsewhere_do_not_fill_the_links_to_the_arrays() -> None:
    """Two inputs that are there, then an operator that waits: of the first one, 8 bytes a vector at 1 byte a ns."""
    chip, host = replace(CHIP, buffer_in_bytes_per_ns=0.1), Host("reram", 1, 2, 1_000, 1_000)
    ops = [operator(32), operator(32, host=host), operator(64, producers=(0,))]
    window = Windows(SegmentProblem(chip, tuple(ops))).window(0, 2, {})
    assert window is not None
    lines = pipelines(window, np.ones((1, 3), np.int64))
    assert lines.first_bytes == (32 * 8,)
    assert window.phases[0].stream_in == (32 + 64) * 8


def test_a_product_on_the_digital_unit_holds_up_later_digital_work() -> None:
    """640 ns of it, then a product with digital work and one that waits for that: its 640 ns follow the first ones."""
    for digital, least in ((1_000, 1_280_000), (0, 640_000)):
        host = Host(DIGITAL, 1, 0, 640_000, 0, ((DIGITAL, 640_000),))
        ops = [operator(32, host=host), operator(32, digital_ps=digital), operator(64, producers=(1,))]
        took = run_ps(ops)
        assert took >= least
        assert took == pytest.approx(least + 320_000 * (digital == 0), rel=0.55)


def test_what_is_elsewhere_is_no_obstacle_to_loading_ahead() -> None:
    """A weight made at run time ends what is loaded ahead, unless its product is elsewhere."""
    host = Host(DIGITAL, 1, 0, 1_000, 0, ((DIGITAL, 1_000),))
    for hosts, expected in (((), [True, False, False]), (((1, host),), [True, True, True])):
        ops = (operator(8), operator(8), operator(8, producers=(1,), weight_producer=0), operator(8, producers=(2,)))
        window = Windows(SegmentProblem(CHIP, ops)).window(1, 3, {}, hosts)
        assert window is not None
        ahead = loaded_ahead(window, np.ones((1, 3), np.int64), np.array([4]))
        assert ahead[0, 0].tolist() == expected
        loads = load_times(window, np.ones((1, 3), np.int64), np.array([0, 4]))[0]
        assert loads.tolist() == [8_000 * (len(ops) - 1 - len(hosts)), 16_000 * (not hosts)]


def test_a_weight_in_place_has_its_reader_on_the_arrays() -> None:
    """Elsewhere it is read from the buffer, or from off chip."""
    chip = replace(CHIP, memory_bytes_per_ns=1.0, memory_cap_bytes_per_ns=9.0)
    ops = (operator(8), operator(8), operator(8, producers=(1,), weight_producer=0))
    windows, host = Windows(SegmentProblem(chip, ops)), Host(DIGITAL, 1, 0, 1_000, 0, ((DIGITAL, 1_000),))
    assert windows.window(2, 2, {0: Place.IN_PLACE}) is not None
    assert windows.window(2, 2, {0: Place.IN_PLACE}, ((0, host),)) is None
    kept, away = (windows.window(2, 2, places, ((0, host),)) for places in ({0: Place.BUFFER, 1: Place.BUFFER}, {}))
    assert kept is not None
    assert away is not None
    assert (kept.dram_in, away.dram_in) == (0, ops[1].output_bytes + ops[2].weight_bytes)
    hosted = with_hosts(windows.problem, (None, None, host))
    assert Place.IN_PLACE not in keepable(Windows(hosted)).get(0, ())


def test_prices_of_budgets_that_are_nothing_and_losses_without_end_are_numbers() -> None:
    """No loss allowed, no array of the other tier, and nothing but a huge loss here."""
    problem = SegmentProblem(CHIP, (operator(8), operator(8, producers=(0,)), operator(64, producers=(1,))))
    away, back = Host("reram", 1, 2, 9_000_000, 9_000_000), Host(DIGITAL, 1, 0, 99_000_000, 0, ((DIGITAL, 99_000_000),))
    hosted = HostedProblem(problem, ((away, back),) * 3, {"reram": 0}, (1e9,) * 3, ((float("inf"), 0.0),) * 3, 0.0)
    found = solve_hosted(hosted)
    assert hosts_of(found) == (back,) * 3
    only = HostedProblem(problem, ((back,),) * 3, {}, (1.0, 2.0, 3.0), ((0.0,),) * 3, 3.5)
    found = solve_hosted(only)
    assert only.keeps(hosts_of(found))
    assert found.plan.total_ps < 2 * back.alone_ps
    with pytest.raises(PlacementError, match="expected a plan of segments that loses at most 0, found none"):
        solve_hosted(replace(hosted, menu=((away,),) * 3, host_loss=((0.0,),) * 3))


def prepared(model: str, target: str) -> ModuleOp:
    """A model as place-parts gets it."""
    module = read_onnx(ROOT / f"models/{model}.onnx", {"batch": 1})
    names = [name for name, _ in PIPELINE]
    run(module, build({"attach-chip": {"target": target}}, names[: names.index("place-parts")]), new_context())
    return module


@pytest.mark.parametrize("choice", ["best", "random", "random again"])
@pytest.mark.parametrize("model", ["digits_transformer", "digits_cnn", "digits_mlp"])
def test_plans_with_hosts_take_what_was_predicted_and_compute_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, choice: str
) -> None:
    """Lowered, verified, simulated within 15 %, and with ideal devices what onnxruntime gives."""
    monkeypatch.setattr("h3c.passes.segmentation.hosting.ROUNDS", 1)
    module = prepared(model, two_tiers(tmp_path, 6, 8))
    program = program_of(module, "edram")
    hosted = hosted_problem(program, segment_problem(program), 8, 1.0)
    assert any(hosted.menu)
    if choice == "best":
        found = solve_hosted(hosted)
        problem, plan = found.problem, found.plan
    else:
        rng = np.random.default_rng(len(choice))
        held = dict.fromkeys(hosted.arrays, 0)
        hosts: list[Host | None] = []
        for menu in hosted.menu:
            fits = [each for each in menu if held.get(each.tier, 0) + each.arrays <= hosted.arrays.get(each.tier, 0)]
            host = (None, *fits)[int(rng.integers(len(fits) + 1))]
            hosts.append(host)
            if host is not None and host.arrays:
                held[host.tier] += host.arrays
        problem = with_hosts(hosted.problem, hosts)
        plan = solve_segments(problem)
    assert any(op.host for op in problem.operators)
    give_segments(module, program, problem, plan)
    run(module, [LowerToTile(), AssignArrays(), VerifyTile()], new_context())
    assert simulate(module).latency_ns * 1000 == pytest.approx(plan.total_ps, rel=0.15)
    session = original(ROOT / f"models/{model}.onnx")
    images = np.load(ROOT / "models/digits.npz")["x_test"][:2].astype(np.float32)
    name = session.get_inputs()[0].name
    expected = np.concatenate([np.asarray(session.run(None, {name: images[i : i + 1]})[0]) for i in range(2)])
    made = next(iter(run_plan(module, {"image": images}, ideal=True)[0].values()))
    assert np.abs(made - expected).max() <= 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("allowed", [0.0, 1.5, inf])
def test_predicted_losses_say_what_may_run_on_a_tier(tmp_path: Path, allowed: float) -> None:
    """Each operator loses 1 on the second tier and nothing elsewhere; weights stay there, as that is fastest."""
    module = prepared("digits_mlp", two_tiers(tmp_path, 6, 64))
    operators = matrix_operators(module)
    rows = list(chip_from_ir(module).tiers)
    own = {
        i: np.array([np.full(op.outputs, float(row == "reram") / op.outputs) for row in rows])
        for i, op in enumerate(operators)
    }
    placed = PlaceParts().place(module, Losses(own), None if allowed == inf else allowed)
    there = sum(part.outputs / op.outputs for op in operators for part in op.placed if part.tier_name == "reram")
    assert there == pytest.approx(placed.loss, abs=1e-9)
    assert placed.loss <= allowed
    assert placed.loss > 0 or allowed == 0


def test_an_operator_is_never_where_its_loss_is_infinite(tmp_path: Path) -> None:
    """Without a limit, too: there it must not be."""
    module = prepared("digits_mlp", two_tiers(tmp_path, 6, 64))
    program = program_of(module, "edram")
    problem = segment_problem(program)
    free = hosted_problem(program, problem, 8, 1.0)
    lost = tuple(tuple(inf if host.tier == "reram" else 0.0 for host in hosts) for hosts in free.menu)
    found = solve_hosted(replace(free, here_loss=(0.0,) * len(free.menu), host_loss=lost))
    assert any(host.tier == "reram" for host in hosts_of(solve_hosted(free)) if host is not None)
    assert not any(host.tier == "reram" for host in hosts_of(found) if host is not None)
