"""`h3c --generate IN:OUT`: a prompt of IN tokens at once, then OUT tokens one by one, each with one more cached.

The model says by symbolic dimensions how many tokens it takes and how many are cached: the first in its inputs of whole
numbers (ids of tokens), the second in those of other numbers (keys and values). Steps are planned only as far as it
takes to know the sum (`growth.sum_of_steps`).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .front import UsageError

if TYPE_CHECKING:
    from ..runtime_sim.chip import Chip
    from ..runtime_sim.timing import Timing

TOLERANCE = 0.01
"""Between planned steps the others are taken from a line that misses none of those planned by more: plans of
neighbours differ by so much, as solvers stop within such a gap."""


def in_and_out(text: str) -> tuple[int, int]:
    """`IN:OUT` of `--generate`."""
    parts = text.split(":")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"expected IN:OUT, two positive whole numbers, got {text!r}")
    return int(parts[0]), int(parts[1])


@dataclass(frozen=True)
class Generation:
    """What is generated, and the names of the dimensions that say how many tokens there are."""

    args: argparse.Namespace
    tokens: str
    cached: str

    @staticmethod
    def of(args: argparse.Namespace) -> "Generation":
        """As the command line asks; a mistake in it, or a model that keeps no cache, is an error."""
        from .onnx_reader.dimensions import token_dimensions
        from .onnx_reader.load import load

        if args.calibration:
            raise UsageError("--generate goes without --calibration")
        return Generation(args, *token_dimensions(args.model, load(args.model)[0], dict(args.dim)))

    def step(self, tokens: int, cached: int) -> argparse.Namespace:
        """The command line for a plan of so many tokens."""
        dims = [*self.args.dim, (self.tokens, tokens), (self.cached, cached)]
        return argparse.Namespace(**{**vars(self.args), "dim": dims})

    @property
    def last(self) -> argparse.Namespace:
        """The command line for the last token."""
        return self.step(1, sum(self.args.generate) - 1)

    def summed(
        self, chip: "Chip", last: "Timing", simulated: Callable[[argparse.Namespace], "Timing"]
    ) -> dict[str, Any]:
        """The summary's `generate`; `last` is what the last token takes, `simulated` what any other plan takes."""
        from ..passes.segmentation.growth import sum_of_steps

        into, out = self.args.generate
        plain = {"explain": False}

        def figures(tokens: int, cached: int) -> Sequence[float]:
            step = argparse.Namespace(**{**vars(self.step(tokens, cached)), **plain})
            timing = last if (tokens, cached) == (1, into + out - 1) else simulated(step)
            return timing.latency_ns, timing.energy_pj

        prompt = figures(into, 0)
        steps = sum_of_steps(lambda cached: figures(1, cached), into, into + out - 1, _longest_side(chip), TOLERANCE)
        latency_ns, energy_pj = (a + b for a, b in zip(prompt, steps.sums, strict=True))
        return {"in": into, "out": out, "latency_ns": latency_ns, "energy_pj": energy_pj}


def _longest_side(chip: "Chip") -> int:
    """Rows or columns of the largest array of a chip."""
    from ..runtime_sim.kinds.arrays import ArrayTier

    tiers = [tier for tier in chip.tiers.values() if isinstance(tier, ArrayTier)]
    return max((side for tier in tiers for side in (int(tier.array_rows), int(tier.weight_cols))), default=1 << 30)
