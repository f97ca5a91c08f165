"""What jobs and plans are expected to take in closed form, beside what the event engine finds."""

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, FloatAttr

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import around, build, run
from h3c.compiler.plan_files import new_context
from h3c.passes.place_parts import PlaceParts
from h3c.passes.segment_plan import SEGMENTS
from h3c.passes.strategy_names import Strategy
from h3c.passes.verify_placement import SOLUTION
from h3c.runtime_sim.events import After, Job, alone, simulate
from h3c.runtime_sim.expected import expected_ps
from h3c.runtime_sim.timing import simulate as simulate_plan

MODELS = Path(__file__).parent.parent / "models"
RESOURCES = ("dram.read", "a.in", "a.arrays", "a.out", "dram.write")


@st.composite
def single_jobs(draw: st.DrawFn) -> Job:
    resources = draw(st.permutations(RESOURCES))[: draw(st.integers(0, len(RESOURCES)))]
    return Job(tuple((resource, draw(st.integers(1, 10_000))) for resource in resources), draw(st.integers(1, 32)))


@settings(max_examples=200, deadline=None)
@given(jobs=st.lists(single_jobs(), min_size=1, max_size=4))
def test_jobs_that_wait_for_each_other_take_the_sum_of_what_they_take_alone(jobs: list[Job]):
    chain = [Job(job.stages, job.chunks, (After(i - 1, True),) if i else ()) for i, job in enumerate(jobs)]
    assert expected_ps(chain) == simulate(chain).end_ps == sum(alone(job).end_ps for job in jobs)


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.integers(5_000, 10_000), min_size=2, max_size=5), rows=st.integers(0, 12))
def test_a_pipeline_of_windows_ends_when_the_events_say(sizes: list[int], rows: int):
    """Each on arrays of its own, behind the rows of its window, at about the pace of the others."""
    needs = tuple(min(32, chunk + rows) for chunk in range(1, 33))
    jobs = [
        Job(((f"arrays {i}", 32 * size),), 32, (After(i - 1, False, needs),) if i else ())
        for i, size in enumerate(sizes)
    ]
    assert expected_ps(jobs) == pytest.approx(simulate(jobs).end_ps, rel=0.12)
    assert expected_ps(jobs[:2]) == pytest.approx(simulate(jobs[:2]).end_ps, abs=40)


@settings(max_examples=100, deadline=None)
@given(reads=st.lists(st.integers(100, 10_000), min_size=1, max_size=5), tail=st.integers(1, 100))
def test_a_port_that_all_read_from_is_what_they_take(reads: list[int], tail: int):
    jobs = [Job((("dram.read", 32 * size), (f"link {i}", 32 * tail)), 32) for i, size in enumerate(reads)]
    assert expected_ps(jobs) == simulate(jobs).end_ps == 32 * sum(reads) + tail


@pytest.mark.parametrize(
    ("model", "target", "strategy"),
    [("digits_transformer", "prime", "greedy"), ("digits_cnn", "dynaplasia", "exact")],
)
def test_plans_without_segments_are_predicted_as_they_overlap(model: str, target: str, strategy: Strategy):
    """Not as if their operators followed each other."""
    module = read_onnx(MODELS / f"{model}.onnx", {"batch": 1})
    run(module, build({"attach-chip": {"target": target}}, around("place-parts")[0]), new_context())
    PlaceParts(strategy=strategy).apply(Context(), module)
    assert SEGMENTS not in module.attributes
    told = cast(DictionaryAttr, module.attributes[SOLUTION]).data
    run(module, build({}, around("place-parts")[1]), new_context())
    timing = simulate_plan(module)
    for name, found in (("latency_ns", timing.latency_ns), ("energy_pj", timing.energy_pj)):
        predicted = told[f"predicted_{name}"]
        assert isinstance(predicted, FloatAttr)
        assert predicted.value.data == pytest.approx(found, rel=0.06)
