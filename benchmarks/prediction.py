"""The latency that placement predicts against the one that the simulator finds, over all models of topology/.

    H3C_MODELS=/path/to/models python benchmarks/prediction.py [--target h3pimap] [--strategy exact] [NAME ...]

Exits with 1 if a model fails to compile, or the median or the worst error is above its bar.
"""

import argparse
import statistics
import sys

from measuring import compile_model, models

MEDIAN, WORST = 0.05, 0.20


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", default="h3pimap")
    parser.add_argument("--strategy", default="exact")
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all of them")
    arguments = parser.parse_args()
    topology = models() / "topology"
    paths = [topology / f"{name}.onnx" for name in arguments.names] or sorted(topology.glob("*.onnx"))
    print("| model | predicted us | simulated us | error | segments | gap | h3c s |\n|---|---|---|---|---|---|---|")
    errors: list[float] = []
    for path in paths:
        done = compile_model(path, "--target", arguments.target, "--strategy", arguments.strategy)
        if done.run.status:
            said = done.run.said.splitlines()[-1] if done.run.said else f"exit status {done.run.status}"
            print(f"| {path.stem} | failed: {said} | | | | | |", flush=True)
            continue
        summary = done.summary
        predicted, simulated = summary["predicted"]["latency_ns"], summary["latency_ns"]
        errors.append(abs(predicted / simulated - 1))
        gap = "-" if summary["gap"] is None else f"{summary['gap']:.2%}"
        figures = f"{predicted / 1e3:.3f} | {simulated / 1e3:.3f} | {predicted / simulated - 1:+.2%}"
        print(f"| {path.stem} | {figures} | {summary['segments']} | {gap} | {done.run.seconds:.1f} |", flush=True)
    if not errors:
        return 1
    median, worst = statistics.median(errors), max(errors)
    print(f"\n{len(errors)} of {len(paths)} models; error in the median {median:.2%} (bar {MEDIAN:.0%}), ", end="")
    print(f"at worst {worst:.2%} (bar {WORST:.0%})")
    return 0 if len(errors) == len(paths) and median <= MEDIAN and worst <= WORST else 1


if __name__ == "__main__":
    sys.exit(main())
