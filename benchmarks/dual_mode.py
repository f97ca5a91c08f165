"""Arrays that compute or remember: every strategy on the published set, in closed forms (predicted times, Mcycles).

    python benchmarks/dual_mode.py ladder    each strategy's latency and solve time, three chips, batch 1 and 8
    python benchmarks/dual_mode.py lengths   gain and share of memory arrays by length and batch
    python benchmarks/dual_mode.py decode    one token a sequence, against the roof of loading; 128 tokens in all
    python benchmarks/dual_mode.py sweep     geometric means over constants that no paper prints
    python benchmarks/dual_mode.py prime     the same on PRIME's arrays

All strategies have the same prices and differ in the decision alone. `lengths`, `decode`, `sweep` and `prime` take two
blocks of each language model: blocks are alike, so that ratios are those of the whole.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
from dual_mode_shapes import (
    CNNS,
    CYCLE_PS,
    REFERENCE_CHIPS,
    TRANSFORMERS,
    decode,
    dynaplasia_like,
    operators_of,
    prime_like,
    problem_of,
    transformer,
)

from h3c.passes.segmentation.bound import lower_bound
from h3c.passes.segmentation.growth import sum_of_steps
from h3c.passes.segmentation.problem import SegmentChip, SegmentOperator, SegmentPlan, SegmentProblem
from h3c.passes.segmentation.strategies import STRATEGIES, run_segments

MODELS = (*CNNS, *TRANSFORMERS)
LADDER = (*STRATEGIES[2:], "all-compute-best", "exact")
AGAINST = ("all-compute", "all-compute-overlap", "all-compute-best", "cmswitch")


def plans(problem: SegmentProblem, names: Iterable[str]) -> tuple[dict[str, SegmentPlan], dict[str, float]]:
    """(plans, CPU seconds) of strategies."""
    found: dict[str, SegmentPlan] = {}
    seconds: dict[str, float] = {}
    for name in names:
        start = time.process_time()
        found[name] = run_segments(problem, name).plan
        seconds[name] = time.process_time() - start
    return found, seconds


def memory_share(plan: SegmentPlan, chip: SegmentChip) -> float:
    """Arrays in memory mode, on the average of the time."""
    held = sum(segment.memory_arrays * segment.total_ps for segment in plan.segments)
    return held / (chip.arrays * sum(segment.total_ps for segment in plan.segments))


def mean(values: Sequence[float]) -> float:
    """The geometric mean."""
    return float(np.exp(np.mean(np.log(values))))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table in Markdown, each row as soon as it is there."""
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head), flush=True)
    for row in rows:
        print("| " + " | ".join(map(shown, row)) + " |", flush=True)


def shown(value: object) -> str:
    """Three digits of a float."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def ladder() -> None:
    """The published set at length 64."""
    for chip_name, batch in product(REFERENCE_CHIPS, (1, 8)):
        chip = REFERENCE_CHIPS[chip_name]
        print(f"\n{chip_name}, batch {batch}: Mcycles; CPU seconds of solving\n")
        gains: dict[str, list[float]] = {name: [] for name in AGAINST}

        def rows(chip: SegmentChip = chip, batch: int = batch, gains: dict[str, list[float]] = gains):
            for model in MODELS:
                found, seconds = plans(problem_of(model, chip, batch), LADDER)
                exact = found["exact"]
                for name in AGAINST:
                    gains[name].append(found[name].total_ps / exact.total_ps)
                cycles = [found[name].total_ps / CYCLE_PS / 1e6 for name in LADDER]
                bound = exact.total_ps / (exact.bound_ps or 1)
                yield [model, *cycles, bound, seconds["all-compute"], seconds["exact"]]

        table(["model", *LADDER, "exact / bound", "s all-compute", "s exact"], rows())
        print("\ngeometric mean, least: " + ", ".join(f"{n} {mean(g):.2f} {min(g):.2f}" for n, g in gains.items()))


def blocks(model: str, batch: int, length: int, layers: int = 2) -> list[SegmentOperator]:
    """Two blocks of a language model, or a whole CNN."""
    if model not in TRANSFORMERS:
        return operators_of(model, batch, length)
    _, width, heads, inner, gated = TRANSFORMERS[model]
    return transformer(layers, width, heads, inner, gated, batch, length)


def lengths() -> None:
    """Gain and memory share by length and batch."""

    def rows():
        for chip_name, model, batch in product(("R1", "R2"), ("BERT-large", "LLaMA2-7B", "OPT-6.7B"), (1, 4, 16)):
            chip = REFERENCE_CHIPS[chip_name]
            row: list[object] = [chip_name, model, batch]
            for length in (32, 128, 512, 2048):
                problem = SegmentProblem(chip, tuple(blocks(model, batch, length)))
                found, _ = plans(problem, ("all-compute", "all-compute-best", "exact"))
                exact = found["exact"]
                gain, best = (found[n].total_ps / exact.total_ps for n in ("all-compute", "all-compute-best"))
                row.append(f"{gain:.2f} {best:.2f} {memory_share(exact, chip):.2f}")
            yield row

    print("gain over all-compute, gain over all-compute-best, share of arrays in memory mode\n")
    table(["chip", "model", "batch", "32", "128", "512", "2048"], rows())


def decode_problem(model: str, batch: int, cached: int) -> SegmentProblem:
    """Two blocks at one token a sequence."""
    _, width, heads, inner, gated = TRANSFORMERS[model]
    return SegmentProblem(REFERENCE_CHIPS["R2"], tuple(decode(2, width, heads, inner, gated, batch, cached)))


def decoding() -> None:
    """One token a sequence with 512 cached, and the sum over 128 steps."""

    def rows():
        for model, batch in product(("LLaMA2-7B", "OPT-6.7B"), (1, 4, 16)):
            problem = decode_problem(model, batch, 512)
            found, _ = plans(problem, ("all-compute", "cmswitch", "all-compute-best", "exact"))
            roof = lower_bound(problem)

            def step(cached: int, model: str = model, batch: int = batch) -> tuple[float]:
                return (float(run_segments(decode_problem(model, batch, cached), "exact").plan.total_ps),)

            growth = sum_of_steps(step, 129, 256, problem.chip.array_rows)
            over = (plan.total_ps / roof for plan in found.values())
            yield [model, batch, *over, growth.sums[0] / CYCLE_PS / 1e6, growth.planned]

    print("\nTime over the roof of loading (R2, 512 cached); Mcycles of 128 steps after 128 tokens\n")
    table(["model", "batch", "all-compute", "cmswitch", "best", "exact", "128 steps", "steps planned"], rows())


def sweep() -> None:
    """Constants that no paper prints."""
    models = ("ResNet-18", "BERT-large", "LLaMA2-7B", "OPT-6.7B")
    ratios: dict[str, list[float]] = {name: [] for name in AGAINST}

    def rows():
        for line_buffer, cycles, dram, buffer in product((False, True), (32, 126), (16, 64, 256), (32, 128)):
            chip = dynaplasia_like(cycles, dram, buffer, 4, line_buffer=line_buffer)
            gains: dict[str, list[float]] = {name: [] for name in AGAINST}
            for model in models:
                found, _ = plans(SegmentProblem(chip, tuple(blocks(model, 1, 64))), (*AGAINST, "exact"))
                for name in AGAINST:
                    gains[name].append(found[name].total_ps / found["exact"].total_ps)
            for name in AGAINST:
                ratios[name].append(mean(gains[name]))
            yield ["yes" if line_buffer else "no", cycles, dram, buffer, *(mean(g) for g in gains.values())]

    print(f"\nGeometric means over {', '.join(models)}, batch 1, length 64: gain of exact\n")
    table(["line buffer", "MVM cycles", "off chip B/cycle", "buffer B/cycle", *AGAINST], rows())
    for name, values in ratios.items():
        quantiles = ", ".join(f"{q:.2f}" for q in np.quantile(values, (0, 0.1, 0.5, 0.9, 1)))
        print(f"{name}: least, 10 %, median, 90 %, most {quantiles}; {np.mean(np.array(values) >= 1.5):.0%} reach 1.5")


def prime() -> None:
    """PRIME: what fits stays, and writing is what counts for what does not."""

    def rows():
        for arrays, write in product((1024, 8192), (8.0, 128.0)):
            chip = prime_like(arrays, write)
            for model in ("ResNet-18", "BERT-large", "LLaMA2-7B", "OPT-13B"):
                found, _ = plans(SegmentProblem(chip, tuple(blocks(model, 1, 64))), (*AGAINST, "exact"))
                exact = found["exact"]
                gains = [found[name].total_ps / exact.total_ps for name in AGAINST]
                yield [arrays, write, model, exact.total_ps / 1e9, "yes" if exact.resident else "no", *gains]

    print("\nPRIME: exact in ms, whether all weights stay, gains\n")
    table(["arrays", "written B/ns", "model (two blocks)", "ms", "stays", *AGAINST], rows())


if __name__ == "__main__":
    parts = {"ladder": ladder, "lengths": lengths, "decode": decoding, "sweep": sweep, "prime": prime}
    for part in sys.argv[1:] or parts:
        parts[part]()
