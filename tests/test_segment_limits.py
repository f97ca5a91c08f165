"""Plans of segments for other objectives, within limits, and beside other tiers."""

import re
from functools import partial
from pathlib import Path

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, ModuleOp

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.place_parts import PlaceParts
from h3c.passes.placement.problem import Plan, Problem
from h3c.passes.placement.strategies import run as solve
from h3c.passes.segment_plan import SEGMENTS
from h3c.passes.unsegmented import Unsegmented, best_unsegmented
from h3c.runtime_sim.chip_ir import chip_from_ir
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.timing import Timing, simulate

MODELS = Path(__file__).parent.parent / "models"
CHIP = (Path(__file__).parent.parent / "compiler/chips/dynaplasia.yaml").read_text()


def chip_file(folder: Path, text: str, arrays: int) -> str:
    """A chip with so few arrays that the model does not fit."""
    path = folder / "chip.yaml"
    path.write_text(text.replace("arrays: 96 ", f"arrays: {arrays} ").replace("tiles: 96", f"tiles: {arrays}"))
    return str(path)


def prepared(target: str, model: str = "digits_cnn") -> ModuleOp:
    module = read_onnx(MODELS / f"{model}.onnx", {"batch": 1})
    run(module, build({"attach-chip": {"target": target}}, around("place-parts")[0]), new_context())
    return module


def simulated(module: ModuleOp, **options: object) -> Timing:
    """A module placed, lowered and simulated; of segments, but where `exact` finds that less of them is better."""
    copy = module.clone()
    PlaceParts(time_limit=2.0, **options).apply(Context(), copy)  # pyright: ignore[reportArgumentType]
    assert SEGMENTS in copy.attributes or "strategy" not in options
    run(copy, build({}, around("place-parts")[1]), new_context())
    return simulate(copy)


def test_objectives_and_limits_decide_among_the_plans_of_all_strategies(tmp_path: Path) -> None:
    module = prepared(chip_file(tmp_path, CHIP, 6))
    strategies = ("all-compute", "all-compute-overlap", "all-compute-best", "puma-like", "occ-like", "cmswitch")
    each = [simulated(module, strategy=name) for name in strategies]
    fast, frugal, edp = (simulated(module, objective=name) for name in ("latency", "energy", "edp"))
    assert frugal.energy_pj <= min(timing.energy_pj for timing in [*each, fast])
    assert edp.latency_ns * edp.energy_pj <= min(timing.latency_ns * timing.energy_pj for timing in [*each, fast])
    assert fast.latency_ns <= min(timing.latency_ns for timing in each)
    limit = (fast.energy_pj + frugal.energy_pj) / 2
    assert simulated(module, max_energy_pj=limit).energy_pj <= limit * 1.01
    with pytest.raises(InputError, match="expected a plan whose energy is at most 1 pJ"):
        simulated(module, max_energy_pj=1.0)
    text = CHIP.replace("    write_ports", "    endurance_writes: 1.0e+6\n    write_ports")
    wears = prepared(chip_file(tmp_path, text, 6))
    with pytest.raises(InputError, match=r"expected a plan whose cells last 2e\+06 executions, the best .* reaches"):
        simulated(wears, lifetime_s=2 * 86400, executions_per_day=1e6, strategy="all-compute")


def test_no_other_objective_has_a_faster_plan() -> None:
    """The solver takes operators to follow each other; here they overlap, and its EDP plan is the faster one."""
    module = prepared("dynaplasia", "digits_transformer")
    fast, edp = (simulated(module, objective=name) for name in ("latency", "edp"))
    assert fast.latency_ns <= edp.latency_ns
    assert edp.latency_ns * edp.energy_pj <= fast.latency_ns * fast.energy_pj


def test_one_look_is_enough_where_plans_of_segments_are_far_ahead() -> None:
    """Each plan without segments is made to take 2 s: beside one of segments of 1 s nothing more is looked at."""
    module = prepared("dynaplasia")
    _, _, problem = PlaceParts().problem(module, chip_from_ir(module))
    looks: list[Problem] = []

    def value(each: Problem, _: Plan, __: float) -> float:
        looks.append(each)
        return 2e9

    def best(beaten: float) -> Unsegmented | None:
        looks.clear()
        solver = partial(solve, strategy="greedy", time_limit_s=1)
        return best_unsegmented(problem, solver, value, beaten, finely=False, only_if_near=True)

    assert best(1e9) is None
    assert len(looks) == 1
    assert best(1.9e9) is not None
    assert len(looks) > 1
    assert best(1.0) is None  # what keeps a resource busy for longer need not be simulated
    assert not looks


def test_a_share_of_the_arrays_is_all_that_a_plan_uses(tmp_path: Path) -> None:
    module = prepared(chip_file(tmp_path, CHIP, 12))
    assert simulated(module, strategy="all-compute-best", max_area_share=0.5).tiers["edram"].arrays <= 6


def test_a_plan_of_segments_is_not_explained() -> None:
    with pytest.raises(InputError, match="--explain: expected a strategy without segments on chip dynaplasia, got cms"):
        PlaceParts(strategy="cmswitch", explain=True).apply(Context(), prepared("dynaplasia"))


def test_a_tier_that_can_be_memory_stands_beside_another(tmp_path: Path) -> None:
    """`exact` looks at plans of segments on either, baselines at those on the one that can be memory; what is proven
    holds for what the baseline takes, too."""
    found = re.search(r"  edram:.*?(?=  digital:)", CHIP, re.DOTALL)
    assert found
    plain = re.sub(r"    memory_mode:\n(      .*\n)+", "", found[0]).replace("  edram:", "  other:")
    text = CHIP.replace("  digital:", plain + "  digital:", 1)
    module = prepared(chip_file(tmp_path, text, 6))
    baseline = simulated(module, strategy="all-compute")
    assert baseline.tiers["edram"].mac_share > 0.99
    copy = module.clone()
    PlaceParts(time_limit=2.0).apply(Context(), copy)
    solution = copy.attributes["h3.solution"]
    assert isinstance(solution, DictionaryAttr)
    bound = solution.data["bound"]
    assert isinstance(bound, FloatAttr)
    run(copy, build({}, around("place-parts")[1]), new_context())
    assert bound.value.data <= simulate(copy).latency_ns <= baseline.latency_ns
