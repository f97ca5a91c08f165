"""`h3c --pareto N`: the front of latency and energy, as plans that stand beside each other."""

import argparse
import csv
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .front import UsageError, check_outputs, progress, spinner, table
from .pipeline import PIPELINE, build, run
from .summary import Summary, energy_text, summarise, time_text, to_json

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from ..passes.place_parts import PlaceParts

COLUMNS: tuple[str, ...] = (
    "plan",
    "latency_ns",
    "energy_pj",
    "predicted_latency_ns",
    "predicted_energy_pj",
    "energy_bound_pj",
    "gap",
    "proven",
)


class Point(NamedTuple):
    """A plan of the front: its file, its module, what was simulated, and the CSV's columns."""

    path: Path
    module: "ModuleOp"
    summary: Summary
    columns: dict[str, Any]


def check(args: argparse.Namespace) -> Path:
    """The file after which the plans are named; what does not go with --pareto is an error."""
    if args.output in (None, "-"):
        raise UsageError("--pareto: expected -o PLAN.mlir, after which the plans are named")
    if args.strategy["strategy"] != "exact":
        raise UsageError(f"--pareto: expected strategy exact, got {args.strategy['strategy']}")
    for name, given in (("--explain", args.explain), ("--dump-ir", args.dump_ir), ("--weights", args.weights)):
        if given:
            raise UsageError(f"--pareto goes without {name}")
    if args.objective != "latency":
        raise UsageError(f"--pareto is about latency and energy: expected no --objective, got {args.objective}")
    plan = Path(args.output)
    check_outputs([plan, args.summary], [args.model])
    return plan


def compile_front(args: argparse.Namespace, options: dict[str, dict[str, Any]]) -> None:
    """Read the model, find the front, lower and simulate each plan, write all."""
    from ..runtime_sim.weights import STORE
    from .onnx_reader.importer import read_onnx
    from .plan_files import new_context

    plan = check(args)
    STORE.driver = "h3c"
    names = [name for name, _ in PIPELINE]
    at = names.index("place-parts")
    with spinner(f"reading {args.model}"):
        module = read_onnx(args.model, dict(args.dim))
    with spinner("looking for the front"):
        run(module, build(options, names[:at]), new_context())
        (placing,) = build(options, ["place-parts"])
        points = _points(module, placing, args.pareto, plan, names[at + 1 :])
    _write(plan, args.summary, points)
    if not args.quiet:
        print(for_people(points))


def _points(module: "ModuleOp", placing: Any, most: int, plan: Path, rest: list[str]) -> list[Point]:
    """The front's plans, lowered and simulated."""
    from ..passes.placed_front import placed_front
    from ..runtime_sim.chip_ir import chip_from_ir
    from ..runtime_sim.timing import simulate
    from .plan_files import new_context

    pass_: PlaceParts = placing
    stem, found = plan.name.removesuffix(".mlir"), list[Point]()
    placed = placed_front(pass_, module, most)
    with progress("lowering and simulating", len(placed)) as done:
        for number, (copy, point) in enumerate(placed):
            run(copy, build({}, rest), new_context())
            summary = summarise(copy, chip_from_ir(copy), simulate(copy), {})
            path = plan.with_name(f"{stem}.{number}.mlir")
            values = (
                path.name,
                summary["latency_ns"],
                summary["energy_pj"],
                point.plan.latency_ps / 1000,
                point.plan.energy_pj,
                point.energy_bound_pj,
                point.gap,
                point.proven,
            )
            found.append(Point(path, copy, summary, dict(zip(COLUMNS, values, strict=True))))
            done(number + 1)
    return found


def _write(plan: Path, summary: Path | None, points: list[Point]) -> None:
    """The plans, which share one store of weights, the CSV and the summary: all or nothing."""
    from .output import Outputs
    from .plan_files import add_store, text_with_stores

    stem = plan.name.removesuffix(".mlir")
    with Outputs() as files:
        store = add_store(files, [point.module for point in points], plan.with_name(f"{stem}.front.mlir"))
        for point in points:
            files.add(point.path, text_with_stores(point.module, plan.parent, store))
        for number in range(len(points), 1001):
            old = plan.with_name(f"{stem}.{number}.mlir")
            if not old.exists():
                break
            files.remove(old)  # of a larger front before
        text = StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(point.columns for point in points)
        files.add(plan.with_name(f"{stem}.csv"), text.getvalue())
        if summary is not None:
            files.add(summary, to_json({"front": [{**point.columns, **point.summary} for point in points]}))


def for_people(points: list[Point]) -> str:
    """The front as a table."""
    rows = [("plan", "latency", "energy", "proven")]
    for point in points:
        proven = "yes" if point.columns["proven"] else f"within {point.columns['gap']:.2%}"
        latency, energy = time_text(point.summary["latency_ns"]), energy_text(point.summary["energy_pj"])
        rows.append((point.path.name, latency, energy, proven))
    return "the front of latency and energy (simulated)\n" + table(rows, (False, True, True, False))
