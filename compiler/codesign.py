"""h3c-codesign: price lists of chips by the models that they run."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .front import Arguments, UsageError, check_outputs, guarded, name_and_number, spinner

DESCRIPTION = "Chips for a set of models."
SPACES = ("imc-rram", "imc-sram")


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
    p.add_argument("--space", choices=SPACES, required=True, help="the template that the chips are of")
    p.add_argument(
        "--model",
        metavar="NAME=FILE.onnx",
        type=name_and_file,
        action="append",
        required=True,
        help="the model that the column network calls NAME (repeat for several)",
    )
    p.add_argument(
        "--dim",
        metavar="NAME=VALUE",
        type=name_and_number,
        action="append",
        default=[],
        help="bind a symbolic dimension of the models that have it (repeat for several)",
    )
    p.add_argument("-o", metavar="PRICES.csv", dest="output", required=True, help="where the prices go; - is stdout")
    p.add_argument("-q", "--quiet", action="store_true", help="print nothing but errors")
    return p


def name_and_file(text: str) -> tuple[str, Path]:
    """`NAME=FILE` of `--model`."""
    name, _, file = text.partition("=")
    if not name or not file:
        raise argparse.ArgumentTypeError(f"expected NAME=FILE.onnx, got {text!r}")
    return name, Path(file)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c-codesign; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)

    def body() -> None:
        first = given[0] if given else ""
        if first in COMMANDS:
            COMMANDS[first](given[1:])
        elif first in ("-h", "--help"):
            print(f"usage: h3c-codesign COMMAND ...\n\n{DESCRIPTION}\n\ncommands: {', '.join(COMMANDS)}")
        else:
            raise UsageError(f"expected a command ({', '.join(COMMANDS)}), got {first!r} (see h3c-codesign --help)")

    return guarded("h3c-codesign", body)


def price(arguments: Sequence[str]) -> None:
    """Read the models, price the designs block by block, write: all or nothing."""
    args = price_parser().parse_args(arguments)
    output = None if args.output == "-" else args.output
    check_outputs([output], [args.designs, *(path for _, path in args.model)])
    names = [name for name, _ in args.model]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"--model: expected each name once, got {twice[0]} {names.count(twice[0])} times")
    from ..runtime_sim.weights import STORE
    from .codesigning.networks import read_networks
    from .codesigning.prices import price_file
    from .output import Outputs

    STORE.driver = "h3c-codesign"
    with spinner("reading the models"):
        networks = read_networks(dict(args.model), dict(args.dim))
    if output is None:
        price_file(args.designs, args.space, networks, sys.stdout)
        return
    with Outputs() as files, spinner(f"pricing {args.designs}"), files.stream(Path(output)) as file:
        count = price_file(args.designs, args.space, networks, file)
    if not args.quiet:
        print(f"{count} designs of {args.space} priced")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"price": price}
"""What h3c-codesign can do, by the first word of its command line."""


if __name__ == "__main__":
    sys.exit(main())
