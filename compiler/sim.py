"""h3c-sim: run a plan: its time, its energy, and its outputs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cli import Clock
from .front import Arguments, UsageError, check_outputs, guarded, spinner

DESCRIPTION = "Simulate a plan that h3c made: latency and energy, and with --inputs the outputs it computes."


def parser() -> Arguments:
    """The command line of h3c-sim."""
    p = Arguments(prog="h3c-sim", description=DESCRIPTION)
    p.add_argument("plan", type=Path, help="the plan, a .mlir file")
    p.add_argument(
        "--inputs",
        metavar="X.npz|NAME=X.npz:KEY",
        action="append",
        default=[],
        help="arrays named as the model's inputs, or one input from an array of a file (repeat for several); "
        "a multiple of the compiled batch on the leading axis makes as many executions",
    )
    p.add_argument("-o", metavar="Y.npz", dest="output", type=Path, help="where the outputs go, named as the model's")
    p.add_argument(
        "--ideal", action="store_true", help="exact arithmetic, instead of each tier's input, weight and ADC precision"
    )
    p.add_argument("--trace", metavar="T.json", type=Path, help="the timeline, for ui.perfetto.dev or chrome://tracing")
    p.add_argument("--summary", metavar="OUT.json", type=Path, help="where the figures go, as JSON")
    p.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c-sim; returns its exit status."""
    return guarded("h3c-sim", lambda: run_plan_file(parser().parse_args(arguments)))


def run_plan_file(args: argparse.Namespace) -> None:
    """Read the plan, verify it, simulate its time, compute its outputs, write."""
    check_outputs([args.output, args.trace, args.summary], [args.plan])
    if (args.output is not None or args.ideal) and not args.inputs:
        raise UsageError("-o and --ideal need --inputs to compute with")
    clock = Clock()
    from ..passes.verify_tile import VerifyTile
    from ..runtime_sim.chip_ir import chip_from_ir
    from ..runtime_sim.timing import simulate
    from ..runtime_sim.weights import stores_of
    from .pipeline import verify
    from .plan_files import new_context, read_module
    from .summary import for_people, summarise

    clock.lap("start")
    with spinner(f"reading {args.plan}"):
        module = read_module(args.plan)
        check_outputs([args.output, args.trace, args.summary], [Path(path) for path, _ in stores_of(module)])
        verify(module, str(args.plan))
        VerifyTile().apply(new_context(), module)
    clock.lap("read")
    with spinner("simulating time"):
        timing = simulate(module, record=args.trace is not None)
    clock.lap("simulate")
    outputs, notes = _numbers(args, module)
    clock.lap("numbers")
    summary = summarise(module, chip_from_ir(module), timing, clock.seconds)
    _write(args, timing, outputs, summary)
    if not args.quiet:
        print("\n".join([for_people(summary), *notes]))


def _numbers(args: argparse.Namespace, module: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """The outputs that the plan computes, and what is to be said about them."""
    if not args.inputs:
        return None, []
    from ..runtime_sim.numbers import run_plan
    from .arrays import read_inputs

    with spinner("computing outputs"):
        outputs, report = run_plan(module, read_inputs(args.inputs), ideal=args.ideal)
    return outputs, report.lines()


def _write(args: argparse.Namespace, timing: Any, outputs: dict[str, Any] | None, summary: dict[str, Any]) -> None:
    from .arrays import npz_bytes
    from .output import Outputs
    from .summary import to_json

    with Outputs() as files:
        if args.output is not None and outputs is not None:
            files.add(args.output, npz_bytes(outputs))
        if args.trace is not None:
            from ..runtime_sim.trace import trace_json

            files.add(args.trace, trace_json(timing))
        if args.summary is not None:
            files.add(args.summary, to_json(summary))


if __name__ == "__main__":
    sys.exit(main())
