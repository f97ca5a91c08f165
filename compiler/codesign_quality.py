"""What h3c-codesign asks of accuracy under noise on its command line."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .front import Arguments, UsageError, whole_number
from .quality_options import (
    AGES,
    COMPENSATIONS,
    METRICS,
    REPEATS,
    SHARES,
    ages_of,
    check_unit,
    max_loss,
    option,
    single_thread,
)

if TYPE_CHECKING:
    from .codesigning.quality import Data, Measuring

ACCURACY = ("edp-accuracy", "edap-accuracy")
"""Objectives that divide by the models' accuracies."""
_NEED_DATA = ("labels", "max_loss", "age", "metric", "repeats", "compensation")


def add_quality(p: Arguments) -> None:
    """What is asked of accuracy under noise; words and defaults are those of h3c."""
    group = p.add_argument_group("accuracy under noise", "of chips that have to be placed, with a tier that has noise")
    group.add_argument(
        "--calibration",
        metavar="MODEL:X.npz|MODEL:INPUT=X.npz:KEY",
        type=model_and_words,
        action="append",
        default=[],
        help="measure what a model loses on each chip, with these inputs (repeat for several)",
    )
    group.add_argument(
        "--labels",
        metavar="MODEL:X.npz:KEY",
        type=model_and_words,
        action="append",
        default=[],
        help="class indices, one row a sample",
    )
    group.add_argument(
        "--max-loss",
        metavar="1pp|NUMBER",
        type=max_loss,
        help="a chip has to have a plan that loses no more: percentage points of top1 and auc, else a number",
    )
    group.add_argument("--age", metavar="1s,1d,1y", help=f"ages of the devices (default: {AGES})")
    group.add_argument("--metric", choices=METRICS, help="default: top1 with --labels, else cosine")
    group.add_argument(
        "--repeats",
        metavar="R",
        type=whole_number(2, 100_000),
        help=f"realisations of the devices (default: {REPEATS})",
    )
    group.add_argument("--compensation", choices=COMPENSATIONS, help="of drift (default: the chip's)")


def model_and_words(text: str) -> tuple[str, str]:
    """`MODEL:WORDS` of `--calibration` and `--labels`."""
    name, _, words = text.partition(":")
    if not name or not words:
        raise argparse.ArgumentTypeError(f"expected MODEL:X.npz, or with an array's name, got {text!r}")
    return name, words


def check_quality(args: argparse.Namespace, names: Sequence[str]) -> None:
    """What does not go together of what is asked of accuracy."""
    for which in ("calibration", "labels"):
        for name, words in getattr(args, which):
            if name not in names:
                raise UsageError(
                    f"--{which}: expected one of the models {', '.join(names)}, got {name!r} in {name}:{words}"
                )
    if not args.calibration:
        given = [name for name in _NEED_DATA if getattr(args, name)]
        if given:
            raise UsageError(f"{option(given[0])} is about quality and needs --calibration")
        if args.objective in ACCURACY:
            raise UsageError(
                f"--objective {args.objective}: expected --calibration of the models that are to be accurate"
            )
        return
    once("--labels", [name for name, _ in args.labels])
    measured = {name for name, _ in args.calibration}
    labelled = {name for name, _ in args.labels}
    if stray := labelled - measured:
        raise UsageError(f"--labels: expected --calibration of {min(stray)} too")
    if labelled and args.metric is None and labelled != measured:
        raise UsageError(f"--labels: expected those of {min(measured - labelled)} too, or a --metric for all models")
    metric = args.metric or ("top1" if labelled else "cosine")
    check_unit(args.max_loss, metric)
    if args.objective in ACCURACY and metric not in (*SHARES, "cosine"):
        raise UsageError(f"--objective {args.objective}: expected --metric top1, auc or cosine, got {metric}")
    single_thread()


def measuring_of(args: argparse.Namespace) -> "Measuring | None":
    """How losses are measured; None where they are not."""
    from ..runtime_sim.noise.ages import parse_age
    from .codesigning.quality import Measuring

    if not args.calibration:
        return None
    ages = ages_of(args.age or AGES)
    once("--age", ages)
    for age in ages:
        parse_age(age)
    limit = None if args.max_loss is None else args.max_loss[0]
    return Measuring(ages, limit, args.metric, args.compensation, args.repeats or REPEATS)


def data_of(args: argparse.Namespace) -> dict[str, "Data"]:
    """What models are measured with."""
    from .codesigning.quality import Data

    inputs: dict[str, list[str]] = {}
    for name, words in args.calibration:
        inputs.setdefault(name, []).append(words)
    labels = dict(args.labels)
    return {name: Data.of(words, labels.get(name)) for name, words in inputs.items()}


def once(what: str, names: Sequence[str]) -> None:
    """Whether no name is given twice."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{what}: expected each name once, got {twice[0]} {names.count(twice[0])} times")
