"""The command line's limits, the stream's period and the front of latency and energy, on a model that ships."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from h3c.compiler.cli import main
from h3c.compiler.plan_files import read_module
from h3c.runtime_sim.events import After, Job, simulate
from h3c.runtime_sim.timing import Timing
from h3c.runtime_sim.timing import simulate as simulate_plan

MODEL = Path(__file__).parents[1] / "models" / "digits_transformer.onnx"


def compiled(folder: Path, *options: str) -> dict[str, Any]:
    arguments = [str(MODEL), "--dim", "batch=8", "-q", "-o", str(folder / "plan.mlir")]
    assert main([*arguments, "--summary", str(folder / "s.json"), *options]) == 0
    return json.loads((folder / "s.json").read_text())


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *options: str) -> str:
    assert main([str(MODEL), "--dim", "batch=8", "-o", str(folder / "plan.mlir"), *options]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not (folder / "plan.mlir").exists()
    return err


def test_a_limit_of_latency_costs_energy_and_holds(tmp_path: Path):
    frugal = compiled(tmp_path, "--objective", "energy")
    limit = frugal["latency_ns"] * 0.8
    faster = compiled(tmp_path, "--objective", "energy", "--max-latency", f"{limit}ns")
    assert faster["latency_ns"] <= limit
    assert faster["energy_pj"] >= frugal["energy_pj"]


def test_a_limit_of_energy_costs_latency_and_holds(tmp_path: Path):
    fast, frugal = compiled(tmp_path), compiled(tmp_path, "--objective", "energy")
    limit = (fast["energy_pj"] + frugal["energy_pj"]) / 2
    slower = compiled(tmp_path, "--max-energy", f"{limit / 1e6}uJ")
    assert slower["energy_pj"] <= limit * (1 + 1e-9)
    assert slower["latency_ns"] >= fast["latency_ns"]


def test_a_share_of_the_arrays_is_not_exceeded(tmp_path: Path):
    free = compiled(tmp_path, "--strategy", "homogeneous:reram")
    share = 0.5 * free["tiers"]["reram"]["arrays"] / 6400
    bound = compiled(tmp_path, "--strategy", "homogeneous:reram", "--max-area-share", f"{share}")
    assert 0 < bound["tiers"]["reram"]["arrays"] <= share * 6400


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--max-latency", "1ns"], "latency is at most 1 ns"),
        (["--max-energy", "1nJ"], "energy is at most 1 nJ"),
        (["--max-latency", "3m"], "'3m'"),
        (["--max-latency=-3ms"], "'-3ms'"),
        (["--max-energy", "3"], "'3'"),
        (["--max-area-share", "1.5"], "'1.5'"),
        (["--max-area-share", "nan"], "'nan'"),
        (["--lifetime", "5y"], "both or none"),
        (["--inferences-per-day", "0", "--lifetime", "5y"], "'0'"),
        (["--pareto", "1"], "'1'"),
        (["--pareto", "3", "--strategy", "greedy"], "strategy exact"),
        (["--pareto", "3", "--objective", "energy"], "no --objective"),
        (["--pareto", "3", "--explain"], "--explain"),
    ],
)
def test_a_limit_that_is_wrong_or_out_of_reach_is_one_line(
    options: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert told in refused(capsys, tmp_path, *options)


def test_cells_that_have_to_last_are_not_rewritten(tmp_path: Path):
    """Rewriting ReRAM, with 1e8 writes a cell, ten thousand times a second for five years is too much."""
    life = ["--lifetime", "5y", "--inferences-per-day", "864000000"]
    plan = compiled(tmp_path, *life)
    assert plan["tiers"]["reram"]["rows_written"] == 0


def test_the_front_has_no_dominated_plan_and_each_is_a_plan(tmp_path: Path):
    front = compiled(tmp_path, "--pareto", "4")["front"]
    with (tmp_path / "plan.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["plan"] for row in rows] == [f"plan.{i}.mlir" for i in range(len(rows))]
    assert 2 <= len(rows) <= 4
    latency, energy = ([float(row[name]) for row in rows] for name in ("latency_ns", "energy_pj"))
    assert latency == sorted(latency)
    assert energy == sorted(energy, reverse=True)
    for row, told in zip(rows, front, strict=True):
        timing = simulate_plan(read_module(tmp_path / row["plan"]))
        assert timing.latency_ns == float(row["latency_ns"]) == told["latency_ns"]
        assert timing.energy_pj == pytest.approx(float(row["energy_pj"]))
        assert float(row["energy_bound_pj"]) <= float(row["predicted_energy_pj"]) * (1 + 1e-9)
    ends = compiled(tmp_path)["latency_ns"], compiled(tmp_path, "--objective", "energy")["energy_pj"]
    assert latency[0] == pytest.approx(ends[0], rel=0.01)
    assert energy[-1] == pytest.approx(ends[1], rel=0.01)


def test_a_smaller_front_leaves_no_plans_of_a_larger_one(tmp_path: Path):
    compiled(tmp_path, "--pareto", "4")
    compiled(tmp_path, "--pareto", "2")
    assert sorted(path.name for path in tmp_path.glob("*.mlir")) == ["plan.0.mlir", "plan.1.mlir"]


def test_throughput_has_the_least_period(tmp_path: Path):
    stream, fast = compiled(tmp_path, "--objective", "throughput"), compiled(tmp_path)
    assert stream["period_ns"] <= fast["period_ns"]
    assert stream["period_ns"] <= stream["latency_ns"]
    assert stream["bound"] <= stream["predicted"]["period_ns"] * (1 + 1e-9)
    assert stream["gap"] == pytest.approx(stream["predicted"]["period_ns"] / stream["bound"] - 1)


@pytest.mark.parametrize("options", [[], ["--objective", "throughput"], ["--strategy", "homogeneous:sram"]])
def test_a_stream_of_executions_reaches_the_period(options: list[str], tmp_path: Path):
    """Executions that follow each other, each op when its predecessor has ended and its tier is free."""
    compiled(tmp_path, *options)
    timing = simulate_plan(read_module(tmp_path / "plan.mlir"), record=True)
    count = 60
    ends = stream_ends(timing, count)
    period = (ends[-1] - ends[count // 2]) / (count - 1 - count // 2)
    assert period == pytest.approx(timing.period_ns * 1000, rel=0.02)


def stream_ends(timing: Timing, executions: int) -> list[int]:
    """When each execution of a stream ends: ops as whole tasks on their tiers and on the ports of off-chip memory."""
    jobs: list[Job] = []
    ends: list[int] = []
    steps = sorted({(op.segment, op.step) for op in timing.operations}, key=lambda at: (at[0] or 0, at[1]))
    of_step = {at: [i for i, op in enumerate(timing.operations) if (op.segment, op.step) == at] for at in steps}
    for _ in range(executions):
        before: list[int] = []
        for at in steps:
            now: list[int] = []
            for i in of_step[at]:
                op = timing.operations[i]
                took = round((op.end_ns - op.start_ns) * 1000)
                resource = op.tier or "dram"
                stages = ((resource, took),) if took else ()
                jobs.append(Job(stages, 1, tuple(After(job, True) for job in before)))
                now.append(len(jobs) - 1)
            before = now
        ends.append(before[-1])
    schedule = simulate(jobs)
    return [schedule.ends_ps[job] for job in ends]
