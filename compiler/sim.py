"""h3c-sim: run a plan: its time, its energy, and its outputs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cli import Clock
from .front import Arguments, UsageError, add_quiet, add_summary, check_outputs, guarded, progress, spinner
from .quality_options import ABOUT, REPEATS, add_measuring, ages_of, option, single_thread

if TYPE_CHECKING:
    from ..runtime_sim.quality.measure import Quality

DESCRIPTION = (
    "Simulate a plan that h3c made: latency and energy, with --inputs the outputs it computes, with --age its quality "
    "under the noise of its devices."
)


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
    add_summary(p)
    _add_quality(p)
    add_quiet(p)
    return p


def _add_quality(p: Arguments) -> None:
    group = add_measuring(p, "quality under noise", "ages of the devices (s, min, h, d, y); asks for noise")
    group.add_argument(
        "--exact-adc",
        action="store_true",
        help="bit-serial arrays convert bit by bit and slice by slice, instead of statistically: slower",
    )
    group.add_argument("--age-curve", metavar="FILE.svg", type=Path, help="the metric over the age, as a picture")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c-sim; returns its exit status."""
    return guarded("h3c-sim", lambda: run_plan_file(parser().parse_args(arguments)))


def run_plan_file(args: argparse.Namespace) -> None:
    """Read the plan, verify it, simulate its time, compute its outputs, write."""
    _check(args)
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
        check_outputs(_written(args), [Path(path) for path, _ in stores_of(module)])
        verify(module, str(args.plan))
        VerifyTile().apply(new_context(), module)
    clock.lap("read")
    with spinner("simulating time"):
        timing = simulate(module, record=args.trace is not None)
    clock.lap("simulate")
    quality = _quality(args, module)
    outputs, notes = _numbers(args, module) if quality is None else (dict(quality.outputs), list(quality.notes))
    clock.lap("numbers")
    summary = summarise(module, chip_from_ir(module), timing, clock.seconds)
    if quality is not None:
        summary["quality"] = quality.tree()
        notes += _quality_notes(quality)
    _write(args, timing, outputs, summary)
    if not args.quiet:
        print("\n".join([for_people(summary), *notes]))


def _check(args: argparse.Namespace) -> None:
    """Say before the work begins what does not go together on the command line."""
    check_outputs(_written(args), [args.plan])
    if (args.output is not None or args.ideal) and not args.inputs:
        raise UsageError("-o and --ideal need --inputs to compute with")
    if args.age is None:
        given = [name for name in (*ABOUT, "exact_adc", "age_curve") if getattr(args, name) not in (None, False)]
        if given:
            raise UsageError(f"{option(given[0])} is about quality under noise and needs --age")
        return
    if not args.inputs:
        raise UsageError("--age needs --inputs to compute with")
    if args.ideal:
        raise UsageError("--age is about noise, which --ideal leaves out: expected one of them")
    single_thread()


def _written(args: argparse.Namespace) -> list[Path | None]:
    return [args.output, args.trace, args.summary, args.age_curve]


def _numbers(args: argparse.Namespace, module: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """The outputs that the plan computes, and what is to be said about them."""
    if not args.inputs:
        return None, []
    from ..runtime_sim.numbers import run_plan
    from .arrays import read_inputs

    with spinner("computing outputs"):
        outputs, report = run_plan(module, read_inputs(args.inputs), ideal=args.ideal)
    return outputs, report.lines()


def _quality(args: argparse.Namespace, module: Any) -> "Quality | None":
    """The quality at each age, if ages were asked for."""
    if args.age is None:
        return None
    from ..runtime_sim.quality.measure import Settings, measure
    from .arrays import read_inputs, read_labels

    settings = Settings(
        ages=ages_of(args.age),
        repeats=args.repeats or REPEATS,
        metric=args.metric,
        compensation=args.compensation,
        seed=args.seed or 0,
        output=args.looked_at,
        exact_adc=args.exact_adc,
    )
    labels = None if args.labels is None else read_labels(args.labels)
    with progress("realisations", settings.repeats) as show:
        return measure(module, read_inputs(args.inputs), labels, settings, progress=show)


def _quality_notes(quality: "Quality") -> list[str]:
    from .quality_report import quality_lines

    lines = quality_lines(quality.tree())
    if not quality.noisy:
        lines.append("note: nothing that this plan uses is noisy, so every realisation is the same")
    return lines


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
        if args.age_curve is not None:
            from ..runtime_sim.noise.ages import parse_age
            from .quality_report import age_curve_svg

            seconds = {age: parse_age(age) for age in summary["quality"]["ages"]}
            files.add(args.age_curve, age_curve_svg(summary["quality"], seconds))
        if args.summary is not None:
            files.add(args.summary, to_json(summary))


if __name__ == "__main__":
    sys.exit(main())
