"""What h3c and h3c-sim ask of quality on their command lines."""

import argparse
import os
from typing import Any

from .front import Arguments, UsageError, whole_number

METRICS = ("top1", "auc", "cosine", "mse", "perplexity")
SHARES = ("top1", "auc")
"""Metrics whose loss is told in percentage points."""
NEED_LABELS = ("top1", "auc", "perplexity")
MEASURED = ("lionheart", "row-remap", "h3pimap")
"""Strategies that look at losses."""
COMPENSATIONS = ("none", "global", "offset")
REPEATS = 25
AGES = "1s,1d,1y"
REDUNDANCY = 8
ABOUT = ("labels", "metric", "looked_at", "repeats", "compensation", "seed")
"""The options that both have, beside ages."""


def add_measuring(p: Arguments, title: str, age_help: str) -> Any:
    """The options that say how quality is measured; returns their group."""
    group = p.add_argument_group(title)
    group.add_argument("--age", metavar="1s,1d,1y", help=age_help)
    group.add_argument(
        "--labels",
        metavar="X.npz:KEY",
        help="class indices, one-hot, or for perplexity the tokens that follow, one row a sample",
    )
    group.add_argument(
        "--metric",
        choices=METRICS,
        help="default: top1 with --labels, else the cosine with the digital model's outputs",
    )
    group.add_argument(
        "--output", metavar="NAME", dest="looked_at", help="the output that counts, where there are several"
    )
    group.add_argument(
        "--repeats",
        metavar="R",
        type=whole_number(2, 100_000),
        help=f"realisations of the devices (default: {REPEATS})",
    )
    group.add_argument(
        "--compensation",
        choices=COMPENSATIONS,
        help="of drift: no, by gains, or by gains and trimmed offsets (default: the plan's, or the chip's)",
    )
    group.add_argument("--seed", metavar="N", type=whole_number(0, 2**63), help="of all random numbers (default: 0)")
    return group


def add_promise(p: Arguments) -> None:
    """The options of h3c: data to measure quality with, and the loss allowed."""
    group = add_measuring(p, "quality", f"ages of the devices (s, min, h, d, y; default: {AGES}), with --calibration")
    group.add_argument(
        "--calibration",
        metavar="X.npz|NAME=X.npz:KEY",
        action="append",
        default=[],
        help="inputs that quality is measured with, as --inputs of h3c-sim (repeat for several)",
    )
    group.add_argument(
        "--max-loss",
        metavar="1pp|NUMBER",
        type=max_loss,
        help="how much worse than the digital model the plan may be: percentage points of top1 and auc, else a number",
    )

    group.add_argument(
        "--redundancy",
        metavar="N",
        type=whole_number(1, 64),
        help="hold each weight at most so often, where a tier can, so that errors average out (default: "
        f"{REDUNDANCY}), with --max-loss and strategy exact",
    )


def max_loss(text: str) -> tuple[float, bool]:
    """A loss above 0, and whether it is in percentage points (then it is returned as a share)."""
    points = text.strip().endswith("pp")
    try:
        value = float(text.strip().removesuffix("pp"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, as 1pp or 0.02, got {text!r}")
    return (value / 100 if points else value), points


def check_promise(args: argparse.Namespace) -> None:
    """Say before the work begins what does not go together."""
    _check_strategy(args)
    if not args.calibration:
        given = [name for name in ("age", *ABOUT, "max_loss", "redundancy") if getattr(args, name) is not None]
        if given:
            raise UsageError(f"{option(given[0])} is about quality and needs --calibration")
        return
    if args.pareto is not None:
        raise UsageError("--calibration goes with one plan, --pareto makes several: expected one of them")
    metric = args.metric or ("cosine" if args.labels is None else "top1")
    if metric in NEED_LABELS and args.labels is None:
        raise UsageError(f"--metric {metric}: expected --labels, got none")
    check_ages(args.age)
    if args.redundancy is not None and (args.max_loss is None or args.strategy["strategy"] != "exact"):
        raise UsageError("--redundancy goes with --max-loss and strategy exact")
    check_unit(args.max_loss, metric)
    single_thread()


def check_unit(limit: tuple[float, bool] | None, metric: str) -> None:
    """Whether a loss as `max_loss` returns it is in the unit of its metric."""
    if limit is not None and limit[1] != (metric in SHARES):
        wanted = "percentage points, as 1pp" if metric in SHARES else "a plain number"
        raise UsageError(f"--max-loss: expected {wanted} for metric {metric}")


def _check_strategy(args: argparse.Namespace) -> None:
    """Strategies that look at losses need data and the loss allowed, or a file of sensitivities where that will do."""
    name = args.strategy["strategy"]
    measured = bool(args.calibration) and args.max_loss is not None
    if name in MEASURED and not measured and (name == "lionheart" or args.sensitivities is None):
        file = "" if name == "lionheart" else ", or a file of sensitivities (--sensitivities)"
        raise UsageError(f"strategy {name}: expected --calibration and --max-loss{file}, got neither")


def check_ages(text: str | None) -> None:
    """An age that is none, or is given twice, is an error."""
    from ..runtime_sim.noise.ages import parse_age

    seen: dict[float, str] = {}
    for age in () if text is None else ages_of(text):
        seconds = parse_age(age)
        if seconds in seen:
            raise UsageError(f"--age: expected each age once, got {seen[seconds]!r} and {age!r}")
        seen[seconds] = age


def option(name: str) -> str:
    """An option as it is written."""
    return "--output" if name == "looked_at" else f"--{name.replace('_', '-')}"


def single_thread() -> None:
    """One thread for numpy's products, unless the user says otherwise; read when numpy is first imported.

    Beside other processes the threads of OpenBLAS wait for each other more than they compute (measured: 100 times
    slower on two busy cores), and noise takes more time than products.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def ages_of(text: str) -> tuple[str, ...]:
    """Ages as they are written."""
    return tuple(age.strip() for age in text.split(","))
