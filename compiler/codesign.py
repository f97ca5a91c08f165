"""h3c-codesign: search for one chip that serves several models; price lists of chips."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .codesign_quality import ACCURACY, add_quality, check_quality, data_of, measuring_of, once
from .front import (
    Arguments,
    UsageError,
    add_dims,
    add_quiet,
    add_summary,
    add_time_limit,
    check_outputs,
    guarded,
    spinner,
    whole_number,
)

DESCRIPTION = "Search a space of chips for the one that serves a set of models best."
PRICED = ("imc-rram", "imc-sram")
SEARCHES = ("exhaustive", "staged", "evolutionary", "nsga2", "random")
OBJECTIVES = ("energy", "latency", "area", "cost", "edp", "edap", "edp-cost", "edap-cost", *ACCURACY)
OVER = ("max", "mean", "product", "weighted")


def parser() -> Arguments:
    """The command line of the search."""
    p = Arguments(
        prog="h3c-codesign",
        description=DESCRIPTION,
        epilog="h3c-codesign price prices a list of chips: see h3c-codesign price --help",
    )
    p.add_argument(
        "models", nargs="*", metavar="MODEL.onnx|NAME=FILE.onnx", type=model_file, help="the models that it shall run"
    )
    p.add_argument("--space", metavar="NAME|FILE.yaml", help="the chips to choose from")
    p.add_argument("--list-spaces", action="store_true", help="list the spaces that ship with h3c")
    p.add_argument("--objective", choices=OBJECTIVES, default="edap", help="what is made least (default: %(default)s)")
    p.add_argument(
        "--over",
        choices=OVER,
        default="max",
        help="how energies and latencies of several models are joined, each on its own (default: %(default)s)",
    )
    p.add_argument(
        "--weights",
        metavar="NAME=WEIGHT",
        type=name_and_weight,
        action="append",
        default=[],
        help="the weight of a model, with --over weighted (one for each)",
    )
    p.add_argument(
        "--constraint",
        metavar="NAME=on|off",
        type=name_and_switch,
        action="append",
        default=[],
        help="switch a constraint of the space on or off (repeat for several)",
    )
    _add_search(p)
    _add_scale(p)
    add_quality(p)
    add_dims(p, "the models that have it")
    p.add_argument("-o", metavar="BEST.yaml", dest="output", type=Path, help="where the best chip goes")
    add_summary(p)
    p.add_argument(
        "--front",
        metavar="FRONT.csv|FRONT.json",
        type=Path,
        help="where the chips go that no other one beats in energy, latency and area, and in loss where it is measured "
        "(exhaustive, without --calibration: the exact front)",
    )
    p.add_argument(
        "--report",
        metavar="REPORT.html",
        type=Path,
        help="where a page goes with the front, the convergence of the searches, what each variable is worth, and each "
        "model's own best chip; a file by itself, for any browser",
    )
    add_quiet(p)
    return p


def _add_search(p: Arguments) -> None:
    """What decides how the space is searched."""
    p.add_argument(
        "--search",
        choices=SEARCHES,
        default="exhaustive",
        help="exhaustive decides every chip, so that its answer is proven; staged ranks all by what costs little, "
        "then places and simulates the best; the others visit some (default: %(default)s)",
    )
    p.add_argument(
        "--budget",
        metavar="CHIPS",
        type=whole_number(1, 10**9),
        help="how many different chips a search may visit (default: 3300), or staged may place (default: 50)",
    )
    p.add_argument(
        "--seed", metavar="SEED", type=whole_number(0, 2**31), help="of searches that draw at random (default: 1)"
    )
    p.add_argument(
        "--baseline",
        metavar="BASELINE",
        action="append",
        default=[],
        help="compare with largest-model, one-at-a-time[:alone] or sequential:mid|min|max[:late]; "
        "where chips have to be placed with single-technology (repeat for several)",
    )


def _add_scale(p: Arguments) -> None:
    """How evaluations that cost something are made and kept."""
    p.add_argument(
        "--archive",
        metavar="FILE.sqlite",
        type=Path,
        help="keep every evaluation here, and take from here what is known: a search that was killed is run again with "
        "the same words, and goes on where it was; several searches may share a file",
    )
    p.add_argument(
        "--scheduler",
        metavar="local|ADDRESS",
        help="where models are placed on chips: on processes of this machine, or on a Dask cluster (default: local)",
    )
    p.add_argument(
        "--workers",
        metavar="N",
        type=whole_number(1, 10_000),
        help="how many processes of this machine (default: one a core)",
    )
    add_time_limit(p, "for placing one model on one chip (default: 10)", None)


def price_parser() -> Arguments:
    """The command line of h3c-codesign price."""
    p = Arguments(
        prog="h3c-codesign price",
        description="Price a list of chips: the columns of DESIGNS.csv that say what they are, and energy_j, latency_s "
        "and area_mm2, a row for each row, in order.",
    )
    p.add_argument(
        "designs", metavar="DESIGNS.csv", type=Path, help="the chips; columns that it need not have are ignored"
    )
    p.add_argument("--space", choices=PRICED, required=True, help="the template that the chips are of")
    p.add_argument(
        "--model",
        metavar="NAME=FILE.onnx",
        type=name_and_file,
        action="append",
        required=True,
        help="the model that the column network calls NAME (repeat for several)",
    )
    add_dims(p, "the models that have it")
    p.add_argument("-o", metavar="PRICES.csv", dest="output", required=True, help="where the prices go; - is stdout")
    add_quiet(p)
    return p


def name_and_file(text: str) -> tuple[str, Path]:
    """`NAME=FILE` of `--model`."""
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE.onnx, got {text!r}")
    return name, Path(file)


def model_file(text: str) -> tuple[str, Path]:
    """`NAME=FILE.onnx` or `FILE.onnx`, whose name is that of the file without its ending."""
    name, equals, _ = text.partition("=")
    return name_and_file(text) if equals and "/" not in name else (Path(text).stem, Path(text))


def name_and_weight(text: str) -> tuple[str, float]:
    """`NAME=WEIGHT` of `--weights`, the weight above 0."""
    name, _, value = text.rpartition("=")
    try:
        weight = float(value)
    except ValueError:
        weight = 0.0
    if not name or not 0 < weight < float("inf"):
        raise argparse.ArgumentTypeError(f"expected NAME=WEIGHT with a number above 0, got {text!r}")
    return name, weight


def name_and_switch(text: str) -> tuple[str, bool]:
    """`NAME=on` or `NAME=off` of `--constraint`."""
    name, _, value = text.rpartition("=")
    if not name or value not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"expected NAME=on or NAME=off, got {text!r}")
    return name, value == "on"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c-codesign; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = COMMANDS.get(given[0]) if given else None
    return guarded("h3c-codesign", lambda: command(given[1:]) if command else search(given))


def search(arguments: Sequence[str]) -> None:
    """Read the models and the space, search, write: all or nothing."""
    args = parser().parse_intermixed_args(arguments)  # models may stand before and after options
    if args.list_spaces:
        list_spaces()
        return
    _check(args)
    from ..runtime_sim.weights import STORE
    from .codesigning.joint import Wanted
    from .codesigning.joint import search as search_space
    from .codesigning.objectives import objective_of
    from .codesigning.report import chip_file, for_people, front_file, summarise
    from .codesigning.report_page import page
    from .codesigning.space_files import load_space
    from .output import Outputs
    from .summary import to_json

    space = load_space(args.space).switched(dict(args.constraint))
    names = tuple(name for name, _ in args.models)
    objective = objective_of(args.objective, args.over, dict(args.weights), names)
    STORE.driver = "h3c-codesign"
    wanted = Wanted(
        search=args.search,
        budget=args.budget,
        seed=args.seed,
        baselines=tuple(dict.fromkeys(args.baseline)),
        front=args.front is not None,
        report=args.report is not None,
        archive=args.archive,
        scheduler=args.scheduler,
        workers=args.workers,
        time_limit_s=args.time_limit,
        measuring=measuring_of(args),
        data=data_of(args),
    )
    answer = search_space(space, dict(args.models), dict(args.dim), objective, wanted)
    summary = summarise(answer)
    with Outputs() as files:
        if args.front is not None:
            files.add(args.front, front_file(answer, args.front.suffix == ".json"))
        if args.report is not None:
            files.add(args.report, page(answer, summary))
        if args.output is not None:
            files.add(args.output, chip_file(answer, names))
        if args.summary is not None:
            files.add(args.summary, to_json(summary))
    if not args.quiet:
        print(for_people(answer, summary))


def _check(args: argparse.Namespace) -> None:
    """What is wrong with the command line that its parts do not show."""
    if not args.models:
        raise UsageError("expected a model, an .onnx file (see h3c-codesign --help)")
    if args.space is None:
        raise UsageError("--space: expected the chips to choose from (see h3c-codesign --list-spaces)")
    once("model", [name for name, _ in args.models])
    once("--weights", [name for name, _ in args.weights])
    once("--constraint", [name for name, _ in args.constraint])
    check_quality(args, [name for name, _ in args.models])
    if args.front is not None and args.front.suffix not in (".csv", ".json"):
        raise UsageError(f"--front: expected a file that ends in .csv or .json, got {args.front}")
    if args.budget is not None and args.search == "exhaustive":
        raise UsageError("--budget: expected with a --search other than exhaustive, which decides every chip")
    if args.seed is not None and args.search in ("exhaustive", "staged"):
        raise UsageError("--seed: expected with --search evolutionary, nsga2 or random alone")
    inputs = [path for _, path in args.models]
    is_file = "/" in args.space or args.space.endswith((".yaml", ".yml"))
    outputs = [args.output, args.summary, args.front, args.report, args.archive]
    check_outputs(outputs, [*inputs, *([Path(args.space)] if is_file else [])])


def list_spaces() -> None:
    """One space a line, name first."""
    from .codesigning.space_files import built_in_spaces, load_space

    names = built_in_spaces()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {load_space(name).description}")


def price(arguments: Sequence[str]) -> None:
    """Read the models, price the designs block by block, write: all or nothing."""
    args = price_parser().parse_args(arguments)
    output = None if args.output == "-" else args.output
    check_outputs([output], [args.designs, *(path for _, path in args.model)])
    once("--model", [name for name, _ in args.model])
    from ..runtime_sim.weights import STORE
    from .codesigning.networks import read_networks
    from .codesigning.prices import price_file
    from .output import Outputs

    STORE.driver = "h3c-codesign"
    with spinner("reading the models"):
        networks = read_networks(dict(args.model), dict(args.dim))
    if output is None:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as spool:  # a bad row must leave no half list
            price_file(args.designs, args.space, networks, spool)
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout)
        return
    with Outputs() as files, spinner(f"pricing {args.designs}"), files.stream(Path(output)) as file:
        count = price_file(args.designs, args.space, networks, file)
    if not args.quiet:
        print(f"{count} designs of {args.space} priced")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"price": price}
"""What h3c-codesign can do beside the search, by the first word of its command line."""


if __name__ == "__main__":
    sys.exit(main())
