"""h3c: compile an ONNX model for a chip."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, get_args

from ..passes.strategy_names import Strategy
from . import quality_options
from .front import (
    Arguments,
    UsageError,
    add_dims,
    add_quiet,
    add_summary,
    add_time_limit,
    check_outputs,
    guarded,
    number_up_to,
    quantity,
    spinner,
    whole_number,
)
from .generate import Generation, in_and_out

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from .plan_files import Dumps
    from .promise import Promised

DESCRIPTION = "Compile an ONNX model for a chip that mixes kinds of processing-in-memory, and simulate the plan."
NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
PJ = {"pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "mJ": 1e9, "J": 1e12}
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
WANTED = {"homogeneous": "TIER", "random": "SEED"}
"""What follows the name of a strategy, after a colon."""
STRATEGIES = tuple(f"{name}:{WANTED[name]}" if name in WANTED else name for name in get_args(Strategy))


def parser() -> Arguments:
    """The command line of h3c."""
    p = Arguments(prog="h3c", description=DESCRIPTION)
    p.add_argument("model", nargs="?", type=Path, help="the model, an .onnx file")
    p.add_argument("-o", metavar="PLAN.mlir", dest="output", help="where the plan goes; - is stdout")
    p.add_argument("--target", metavar="NAME|FILE.yaml", default="h3pimap", help="the chip (default: %(default)s)")
    p.add_argument("--list-targets", action="store_true", help="list the chips that ship with h3c")
    p.add_argument("--show-target", metavar="NAME|FILE.yaml", help="print a chip with its derived figures")
    add_dims(p, "the model")
    _add_placement(p)
    _add_limits(p)
    quality_options.add_promise(p)
    p.add_argument(
        "--pareto",
        metavar="N",
        type=whole_number(2, 1000),
        help="the front of latency and energy in at most N plans: PLAN.0.mlir, the fastest, to the most frugal, and "
        "their figures in PLAN.csv",
    )
    p.add_argument(
        "--generate",
        metavar="IN:OUT",
        type=in_and_out,
        help="sum over a prompt of IN tokens and OUT more, one by one with a growing cache; the plan is that of the "
        "last. --dim binds all symbolic dimensions but those of tokens and of cached tokens",
    )
    add_summary(p)
    p.add_argument("--dump-ir", metavar="DIR", type=Path, help="write the IR after each pass to numbered files")
    p.add_argument(
        "--weights",
        metavar="FILE.safetensors",
        type=Path,
        help="with -o -: where values that passes made go (with -o PLAN.mlir they go beside the plan)",
    )
    add_quiet(p)
    return p


def _add_placement(p: Arguments) -> None:
    """What decides where operators go."""
    p.add_argument(
        "--objective",
        choices=("latency", "energy", "edp", "throughput"),
        default="latency",
        help="what the plan makes least: latency, energy, their product, or the period of a stream of executions "
        "(default: %(default)s)",
    )
    p.add_argument(
        "--strategy",
        type=strategy,
        default=strategy("exact"),
        metavar="STRATEGY",
        help=f"how operators are placed: {', '.join(STRATEGIES)} (default: exact)",
    )
    p.add_argument(
        "--sensitivities",
        metavar="FILE",
        help="YAML or JSON with the sensitivities of outputs, the noise of tiers and the loss allowed: for row-remap "
        "and h3pimap",
    )
    p.add_argument(
        "--explain",
        action="store_true",
        help="say of each operator why it is where it is, and what it would cost elsewhere",
    )
    add_time_limit(
        p, "for the solver; when it strikes, the best plan so far is taken, with its gap (default: %(default)g)", 60.0
    )
    p.add_argument(
        "--min-bits",
        metavar="BITS",
        type=whole_number(1, 64),
        default=8,
        help="least bits of inputs and weights that a tier may run at (default: %(default)s)",
    )


def _add_limits(p: Arguments) -> None:
    """What a plan has to keep to."""
    times, energies = quantity(NS, "2ms"), quantity(PJ, "3mJ")
    p.add_argument("--max-latency", metavar="TIME", type=times, help="no slower plan, e.g. 2ms (predicted)")
    p.add_argument("--max-energy", metavar="ENERGY", type=energies, help="no plan of more energy, e.g. 3mJ (predicted)")
    p.add_argument(
        "--max-area-share",
        metavar="SHARE",
        type=number_up_to(1.0),
        help="use at most this share of the arrays of each tier, e.g. 0.5",
    )
    p.add_argument(
        "--lifetime",
        metavar="TIME",
        type=quantity(SECONDS, "5y"),
        help="memory cells have to last so long, e.g. 5y; with --inferences-per-day",
    )
    p.add_argument(
        "--inferences-per-day",
        metavar="N",
        type=number_up_to(float("inf")),
        help="executions of the plan a day, over its --lifetime",
    )


def strategy(text: str) -> dict[str, Any]:
    """A strategy, with its tier or seed after a colon, as the options of place-parts."""
    name, colon, rest = text.partition(":")
    wanted = WANTED.get(name)
    known = name in get_args(Strategy)
    if not known or bool(wanted) != bool(rest) or (colon and not rest) or (wanted == "SEED") > rest.isdecimal():
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(STRATEGIES)}, got {text!r}")
    return {
        "strategy": name,
        "tier": rest if wanted == "TIER" else None,
        "seed": int(rest) if wanted == "SEED" else None,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c; returns its exit status."""

    def body() -> None:
        args = parser().parse_args(arguments)
        if args.list_targets:
            list_targets()
        elif args.show_target is not None:
            from .chips.show import show

            print(show(args.show_target))
        elif args.model is None:
            raise UsageError("expected a model, an .onnx file (see h3c --help)")
        elif args.pareto is not None:
            quality_options.check_promise(args)
            if args.generate is not None:
                raise UsageError("--pareto goes without --generate")
            from .pareto import compile_front

            compile_front(args, pass_options(args))
        else:
            compile_model(args)

    return guarded("h3c", body)


def list_targets() -> None:
    """One chip a line, name first."""
    from .chips.load import built_in

    width = max(map(len, built_in()))
    for name, description in built_in().items():
        print(f"{name:{width}}  {description}")


@dataclass
class Clock:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])
    _start: float = field(default_factory=perf_counter)

    def lap(self, stage: str) -> None:
        """All since the last lap was spent on `stage`."""
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._start
        self._start = now


def compile_model(args: argparse.Namespace) -> None:
    """Read, run the pipeline, simulate, write."""
    plan = None if args.output in (None, "-") else args.output
    check_outputs([plan, args.summary, args.weights], [args.model])
    if args.dump_ir is not None and not (args.dump_ir.is_dir() or args.dump_ir.parent.is_dir()):
        raise UsageError(f"{args.dump_ir}: expected an existing folder {args.dump_ir.parent}, found none")
    if args.weights is not None and args.output != "-":
        raise UsageError("--weights goes with -o - (with -o PLAN.mlir the values go beside the plan)")
    quality_options.check_promise(args)
    clock, generation = Clock(), None
    if args.generate is not None:
        generation = Generation.of(args)
        args = generation.last
    from .plan_files import Dumps

    dumps = None if args.dump_ir is None else Dumps(args.dump_ir)
    try:
        module, promised = _plan(args, clock, dumps)
    finally:
        if dumps is not None:
            dumps.write()
    from ..runtime_sim.chip_ir import chip_from_ir
    from ..runtime_sim.timing import simulate
    from . import explain
    from .onnx_reader.importer import absent_note
    from .quality_report import broken_promise, promise_lines
    from .summary import for_people, summarise

    explained = explain.take_explanation(module)
    with spinner("simulating"):
        timing = simulate(module)
    clock.lap("simulate")
    chip = chip_from_ir(module)
    summary = summarise(module, chip, timing, clock.seconds)
    if explained is not None:
        summary["explain"] = explained
    if promised is not None:
        summary["quality"] = promised.tree()
    if generation is not None:
        summary["generate"] = generation.summed(chip, timing, lambda step: simulate(_plan(step, Clock(), None)[0]))
        clock.lap("generate")
    _write(args, module, summary, clock)
    if promised is not None and (broken := broken_promise(promised)) is not None:
        print(f"h3c: {broken}", file=sys.stderr)
    if not args.quiet:
        note = absent_note(module)
        why = [] if explained is None else [explain.for_people(explained)]
        lines = [
            for_people(summary),
            *promise_lines(promised, chip, summary),
            *why,
            *([] if note is None else [f"note: {note}"]),
        ]
        print("\n".join(lines), file=sys.stderr if args.output == "-" else sys.stdout)


def pass_options(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The command line's wishes as options of passes."""
    if (args.lifetime is None) != (args.inferences_per_day is None):
        raise UsageError("--lifetime and --inferences-per-day: expected both or none")
    placing = {
        **args.strategy,
        "objective": args.objective,
        "time_limit": args.time_limit,
        "min_bits": args.min_bits,
        "sensitivities": args.sensitivities,
        "explain": args.explain,
        "max_latency_ns": args.max_latency,
        "max_energy_pj": args.max_energy,
        "max_area_share": args.max_area_share,
        "lifetime_s": args.lifetime,
        "executions_per_day": args.inferences_per_day,
    }
    return {"attach-chip": {"target": args.target}, "place-parts": placing}


def _plan(args: argparse.Namespace, clock: Clock, dumps: "Dumps | None") -> "tuple[ModuleOp, Promised | None]":
    """The model, through the pipeline; with calibration data what its plan promises."""
    from xdsl.passes import ModulePass

    from ..runtime_sim.weights import STORE
    from .onnx_reader.importer import read_onnx
    from .pipeline import around, build, run
    from .plan_files import new_context

    options = pass_options(args)
    STORE.driver = "h3c"
    before, behind = (build(options, names) for names in around("place-parts"))
    placing = build(options, ("place-parts",))
    clock.lap("start")
    with spinner(f"reading {args.model}"):
        module = read_onnx(args.model, dict(args.dim))
    clock.lap("read")
    if dumps is not None:
        dumps.add("read", module)

    promised: Promised | None = None

    def after(done: ModulePass) -> None:
        clock.lap(done.name)
        if dumps is not None:
            dumps.add(done.name, module)
            clock.lap("dump")

    with spinner("compiling"):
        run(module, before, new_context(), after=after)
        if not args.calibration:
            run(module, placing, new_context(), after=after)
    if args.calibration:
        from .promise_search import promise

        promised = promise(module, placing[0], args)
        module = promised.module
        after(placing[0])
    with spinner("compiling"):
        run(module, behind, new_context(), after=after)
    return module, promised


def _write(args: argparse.Namespace, module: "ModuleOp", summary: dict[str, Any], clock: Clock) -> None:
    """The plan with its store of weights, and the summary: all or nothing."""
    from .output import Outputs
    from .plan_files import add_store, text_with_stores, write_named_store
    from .summary import to_json

    with Outputs() as files:
        if args.output == "-":
            store = write_named_store(module, args.weights)
            sys.stdout.write(text_with_stores(module, Path(), store))
        elif args.output is not None:
            plan = Path(args.output)
            store = add_store(files, [module], plan)
            files.add(plan, text_with_stores(module, plan.parent, store))
        clock.lap("write")
        if args.summary is not None:
            summary["seconds"] = dict(clock.seconds)
            files.add(args.summary, to_json(summary))


if __name__ == "__main__":
    sys.exit(main())
