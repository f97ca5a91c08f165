"""The bound on plans of every kind, where operators overlap."""

from pathlib import Path

import pytest
from hosting_toy import two_tiers

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.plan_roofs import least_ps
from h3c.passes.segmentation.roofs import Share, least_time_ps
from h3c.runtime_sim.timing import simulate

MODELS = Path(__file__).parent.parent / "models"


def test_work_is_shared_so_that_all_resources_are_busy_alike() -> None:
    """One operator, 300 ps here or 600 ps there, all of which any of its outputs may have: 200 ps each."""
    ways = (Share("a", 0.0, (("a.arrays", 300.0),)), Share("b", 0.0, (("b.arrays", 600.0),)))
    assert least_time_ps([ways], {}) == pytest.approx(200, abs=1)
    # What a resource does in any case takes its place: 100 + 300 (1 - x) = 600 x.
    assert least_time_ps([ways], {"a.arrays": 100.0}) == pytest.approx(266, abs=1)
    assert least_time_ps([ways, ways], {}) == pytest.approx(400, abs=1)


def test_what_stays_has_to_fit() -> None:
    """Rewriting takes 1000 ps of the port, computing 100 ps: half of the operator's weights fit for good."""
    stays = Share("a", 2.0, (("a.arrays", 100.0),))
    written = Share("a", 0.0, (("a.arrays", 100.0), ("dram.read", 1000.0)))
    assert least_time_ps([(stays, written)], {}) == pytest.approx(500, abs=1)
    assert least_time_ps([(stays,)], {}) == 0  # no plan: nothing is claimed
    assert least_time_ps([()], {}) == 0


@pytest.mark.parametrize("strategy", ["exact", "greedy", "all-compute", "puma-like", "homogeneous", "equal"])
@pytest.mark.parametrize("model", ["digits_mlp", "digits_cnn", "digits_transformer"])
@pytest.mark.parametrize("target", ["dynaplasia", "puma", "mixed"])
def test_no_plan_is_simulated_faster(tmp_path: Path, target: str, model: str, strategy: str) -> None:
    """Whatever a strategy does."""
    target = two_tiers(tmp_path, 12, 24) if target == "mixed" else target
    module = read_onnx(MODELS / f"{model}.onnx", {"batch": 1})
    names = [name for name, _ in PIPELINE]
    at = names.index("place-parts")
    run(module, build({"attach-chip": {"target": target}}, names[:at]), new_context())
    bound = least_ps(module, 8)
    options: dict[str, object] = {"strategy": strategy, "tier": "digital" if strategy == "homogeneous" else None}
    run(module, build({"place-parts": options}, names[at:]), new_context())
    assert 0 < bound <= simulate(module).latency_ns * 1000
