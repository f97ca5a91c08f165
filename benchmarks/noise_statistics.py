"""The noise models' statistics against those of AIHWKIT and of an exact network, and what noise costs in time.

    python benchmarks/noise_statistics.py REFERENCE_NOISE_DIR [--repeats 240] [--rows] [--speed]
    python benchmarks/noise_statistics.py --speed

The folder holds aihwkit_device.json, aihwkit_tile.json, irdrop_exact.json and mlp_digits_weights.npz. A row is inside
if it differs by no more than 3 standard errors (of both sides) or 2 %, whichever is larger; outputs that no noise
enters are compared one by one. `--speed` measures CPU time and holds a 512 x 512 layer at batch 256 to 10 ms
(noise_timing.py says how). Exits with 1 if anything is outside.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import noise_references as references
import numpy as np
from noise_references import Array, Reference, Sweep
from noise_timing import speed

from h3c.runtime_sim.noise.compensation import drift_gain, magnitude
from h3c.runtime_sim.noise.converters import Periphery
from h3c.runtime_sim.noise.device import Device, generator
from h3c.runtime_sim.noise.forward import noisy_mvm
from h3c.runtime_sim.noise.ir_drop import pair_currents
from h3c.runtime_sim.noise.storage import Cells, StoredCells

ERRORS, SHARE, ELEMENT = 3.0, 0.02, 1e-5
"""Standard errors, share of the golden value, and absolute difference of exact outputs (of about 7) that are inside."""

LIST_LENGTH = 32768
"""Normals in the list that AIHWKIT's forward pass draws its noise from."""

CHUNK = 24
"""Realisations at a time."""


@dataclass(frozen=True)
class Row:
    """One figure: ours against the golden one, and how far they may be apart."""

    group: str
    name: str
    golden: float
    ours: float
    allowed: float

    @property
    def used(self) -> float:
        """The share of the allowed difference that is taken; 1 and less is inside."""
        return abs(self.ours - self.golden) / self.allowed


def row(group: str, name: str, golden: float, golden_error: float, ours: float, our_error: float) -> Row:
    allowed = max(ERRORS * float(np.hypot(golden_error, our_error)), SHARE * abs(golden))
    return Row(group, name, golden, ours, allowed)


def moments(values: Array) -> tuple[float, float, float, float]:
    """(mean, standard deviation, their standard errors) of samples."""
    real = values.astype(np.float64)
    mean, deviation = real.mean(), real.std()
    fourth = ((real - mean) ** 4).mean() / max(deviation**4, 1e-300)
    return mean, deviation, deviation / len(real) ** 0.5, deviation * (max(fourth - 1, 0) / (4 * len(real))) ** 0.5


def spread_rows(group: str, name: str, golden: Iterable[float], values: Array) -> Iterator[Row]:
    """The mean and the standard deviation of samples, golden ones drawn as often."""
    mean, deviation, mean_error, deviation_error = moments(values)
    expected, expected_deviation, *_ = golden
    yield row(group, f"{name} mean", expected, mean_error, mean, mean_error)
    yield row(group, f"{name} std", expected_deviation, deviation_error, deviation, deviation_error)


def device_rows(reference: Reference, rng: np.random.Generator) -> Iterator[Row]:
    """Every device model: as written, its exponents, and at each age, sampled; and its closed-form moments."""
    for name, device in references.DEVICES.items():
        golden = reference.device["models"][name]
        for level in golden["rows"]:
            target = np.full(golden["n_devices"], level["g_target_uS"], np.float32)
            at = f"{level['g_target_uS']:.4g} uS"
            written, memory = device.written(target, rng), device.memory(target, rng)
            yield from spread_rows(f"device {name}", f"{at} written", level["prog_mean_std_uS"], written)
            if "nu_mean_std" in level and memory is not None:
                yield from spread_rows(f"device {name}", f"{at} nu", level["nu_mean_std"], memory)
            for age, expected in level["after_t_mean_std_uS"].items():
                aged = device.aged(written, memory, references.AGES_S[age], rng)
                yield from spread_rows(f"device {name}", f"{at} {age}", expected, aged)
                yield from closed_rows(f"moments {name}", f"{at} {age}", expected, device, target[:1], age, aged)


def closed_rows(
    group: str, name: str, golden: Iterable[float], device: Device, target: Array, age: str, drawn: Array
) -> Iterator[Row]:
    """The moments that the linear budget of quality uses; only the golden side has a standard error."""
    _, _, mean_error, deviation_error = moments(drawn)
    mean, variance = device.moments(target, references.AGES_S[age])
    expected, expected_deviation, *_ = golden
    yield row(group, f"{name} mean", expected, mean_error, float(mean[0]), 0.0)
    yield row(group, f"{name} std", expected_deviation, deviation_error, float(variance[0]) ** 0.5, 0.0)


def errors(y: Array, exact: Array) -> dict[str, Array]:
    """Measures of error of outputs (.., M, N), one number a leading entry, as the golden data have them."""
    y, exact = y.astype(np.float64), exact.astype(np.float64)
    difference, norm = y - exact, np.linalg.norm(exact)
    gain = (y * exact).sum(axis=(-2, -1)) / norm**2
    rest = y - gain[..., None, None] * exact
    return {
        "rel_fro": np.linalg.norm(difference, axis=(-2, -1)) / norm,
        "err_std": difference.std(axis=(-2, -1)),
        "err_mean": difference.mean(axis=(-2, -1)),
        "gain": gain,
        "resid_rel": np.linalg.norm(rest, axis=(-2, -1)) / norm,
    }


def joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def repeated_rows(group: str, name: str, golden: dict[str, dict[str, float]], ours: dict[str, Array]) -> Iterator[Row]:
    """Means over realisations, with the errors that each side's realisations give."""
    for measure, expected in golden.items():
        values = ours[measure]
        error = values.std(ddof=1) / len(values) ** 0.5
        yield row(group, f"{name} {measure}", expected["mean"], expected["sem"], float(values.mean()), error)


@dataclass(frozen=True)
class Layer:
    """Realisations of one layer: `stored` weights, what is around the array, and how it answered when just written."""

    stored: StoredCells
    periphery: Periphery
    reference: Array

    @staticmethod
    def written(cells: Cells, w: Array, repeats: int, periphery: Periphery, rng: np.random.Generator) -> "Layer":
        stored = cells.program(np.broadcast_to(w, (repeats, *w.shape)), rng)
        multiply = multiplier(stored, stored.as_written(), periphery, rng)
        return Layer(stored, periphery, magnitude(multiply, w.shape[0]))

    def at(self, age_s: float, rng: np.random.Generator) -> tuple[Callable[[Array], Array], Array]:
        """(product without compensation, gain that compensates) at an age."""
        multiply = multiplier(self.stored, self.stored.read(age_s, rng), self.periphery, rng)
        return multiply, drift_gain(self.reference, magnitude(multiply, self.stored.state.shape[-2]))


def multiplier(
    stored: StoredCells, w: Array, periphery: Periphery, rng: np.random.Generator
) -> Callable[[Array], Array]:
    """Inputs through weights as read; noise from vector to vector only behind a periphery that has noise at all."""
    noise = stored.read_noise(w) if periphery.output_noise else None
    return lambda x: noisy_mvm(x, w, periphery, rng, read_noise=noise)


def sweep_rows(
    name: str, sweep: Sweep, golden: dict[str, Any], repeats: int, rng: np.random.Generator
) -> Iterator[Row]:
    """A fixed matrix over ages, with and without compensation."""
    w, x = references.matrix(), references.inputs()
    cells = Cells(sweep.device, per="tensor", order="net")
    found: dict[str, list[dict[str, Array]]] = {}
    written: list[Array] = []
    for start in range(0, repeats, CHUNK):
        layer = Layer.written(cells, w, min(CHUNK, repeats - start), sweep.periphery, rng)
        written.append((layer.stored.as_written() - w).std(axis=(-2, -1), dtype=np.float64))
        for age in golden["t"]:
            multiply, gain = layer.at(references.AGES_S[age], rng)
            y = multiply(x)
            found.setdefault(f"{age} with_gdc", []).append(errors(y * gain, x @ w))
            found.setdefault(f"{age} without_gdc", []).append(errors(y, x @ w))
            found.setdefault(f"{age} alpha", []).append({"alpha": gain[:, 0, 0].astype(np.float64)})
    spread = golden["prog_weight_error_std"]
    ours = np.concatenate(written)
    yield row(f"tile {name}", "written std", spread["mean"], 0.0, float(ours.mean()), ours.std() / len(ours) ** 0.5)
    for age, expected in golden["t"].items():
        for how in ("with_gdc", "without_gdc"):
            yield from repeated_rows(f"tile {name}", f"{age} {how}", expected[how], joined(found[f"{age} {how}"]))
        alpha = joined(found[f"{age} alpha"])
        yield from repeated_rows(f"tile {name}", age, {"alpha": expected["alpha"]}, alpha)


def periphery_rows(golden: dict[str, Any], repeats: int, rng: np.random.Generator) -> Iterator[Row]:
    """Each converter and each noise by itself: outputs one by one where nothing is drawn, else statistics."""
    w, x = references.matrix(), references.inputs()
    for name, (periphery, read_noise) in references.periphery_cases(w).items():
        expected = golden[name]
        if "y_row0" in expected:
            y = noisy_mvm(x, w, periphery, rng, read_noise=read_noise)
            for vector in (0, 1):
                apart = float(np.abs(y[vector] - expected[f"y_row{vector}"]).max())
                yield Row("periphery", f"{name} vector {vector} largest difference", 0.0, apart, ELEMENT)
            measures = {key: {"mean": value, "sem": 0.0} for key, value in expected["metrics"].items()}
            del measures["err_mean"]  # near nothing, and the rounding of sums decides it
            if name != "ideal":
                ours = {key: value[None] for key, value in errors(y, x @ w).items()}
                yield from (exact_row(name, key, value["mean"], float(ours[key][0])) for key, value in measures.items())
            continue
        # AIHWKIT draws from one list of normals for all repeats (src/rpucuda/rng.h), and the mean of a list is not 0.
        mean = expected["metrics"]["err_mean"]
        mean["sem"] = float(np.hypot(mean["sem"], expected["metrics"]["err_std"]["mean"] / LIST_LENGTH**0.5))
        runs = [errors(noisy_mvm(x, w, periphery, rng, read_noise=read_noise)[None], x @ w) for _ in range(repeats)]
        yield from repeated_rows("periphery", name, expected["metrics"], joined(runs))


def exact_row(name: str, measure: str, golden: float, ours: float) -> Row:
    return row("periphery", f"{name} {measure}", golden, 0.0, ours, 0.0)


def network_rows(golden: dict[str, Any]) -> Iterator[Row]:
    """The exact network: 1e-4 of the largest output, one by one."""
    tiny = golden["tiny_8x8"]
    y = pair_currents(np.array(tiny["W"]).T, np.array(tiny["X"]), tiny["rp"], tiny["gmin"])
    yield Row("network", "8x8 largest difference", 0.0, float(np.abs(y - tiny["Y"]).max()), 1e-4 * np.abs(y).max())
    w, x = references.matrix().astype(np.float64), references.inputs().astype(np.float64)
    for name, case in golden["cases"].items():
        y = pair_currents(w, x[: case["n_inputs"]], case["rp"], case["gmin"])
        for vector in (0, 1):
            apart = float(np.abs(y[vector] - case[f"y_row{vector}"]).max())
            yield Row("network", f"{name} vector {vector} largest difference", 0.0, apart, 1e-4 * np.abs(y).max())


def scaled(product: Callable[[Array], Array], gain: Array | float) -> Callable[[Array], Array]:
    return lambda x: product(x) * gain


def classifier_rows(reference: Reference, repeats: int, rng: np.random.Generator) -> Iterator[Row]:
    """The 64-64-32-10 classifier: accuracy, moved by what the images at hand differ from all 500 without noise."""
    golden = reference.tile["C_mlp_digits"]
    images, labels = reference.images()
    layers = reference.layers()
    clean = [scaled(layer.weights.__rmatmul__, 1.0) for layer in layers]
    shift = golden["fp32_test_acc"] - float((references.classify(images, layers, clean) == labels).mean())
    print(f"classifier: {len(images)} of {golden['n_test']} test images at hand, accuracies moved by {shift:+.4f}")
    for tag, periphery in references.CLASSIFIER_PERIPHERIES.items():
        found: dict[str, list[Array]] = {}
        cells = Cells(references.DEVICES["PCMLike_gmax25"], per="tensor", order="net")
        for start in range(0, repeats, CHUNK):
            count = min(CHUNK, repeats - start)
            written = [Layer.written(cells, layer.weights, count, periphery, rng) for layer in layers]
            for age in golden["t"][tag]:
                multiply, gains = zip(*(layer.at(references.AGES_S[age], rng) for layer in written), strict=True)
                for how, factors in (("with_gdc", gains), ("without_gdc", (1.0, 1.0, 1.0))):
                    products = [scaled(f, gain) for f, gain in zip(multiply, factors, strict=True)]
                    right = references.classify(images, layers, products) == labels
                    found.setdefault(f"{age} {how}", []).append(right.mean(axis=-1))
        for age, expected in golden["t"][tag].items():
            for how, accuracy in expected.items():
                ours = np.concatenate(found[f"{age} {how}"]) + shift
                errors_of = accuracy["std"] / reference.tile["repeats"] ** 0.5, ours.std(ddof=1) / len(ours) ** 0.5
                name = f"{age} {how}"
                yield row(f"classifier {tag}", name, accuracy["mean"], errors_of[0], float(ours.mean()), errors_of[1])


def all_rows(reference: Reference, repeats: int) -> Iterator[Row]:
    rng = generator(5)
    yield from device_rows(reference, rng)
    for name, sweep in references.SWEEPS.items():
        yield from sweep_rows(name, sweep, reference.tile["A_sweeps"][name], repeats, rng)
    yield from periphery_rows(reference.tile["B_periphery"], repeats, rng)
    yield from network_rows(reference.network)
    yield from classifier_rows(reference, repeats, rng)


def tell(rows: list[Row], every: bool) -> int:
    """Prints a line a group, then the rows outside, or all; returns how many are outside."""
    print("| group | rows | outside | nearest to its limit | golden | ours | of the limit |")
    print("|---|---|---|---|---|---|---|")
    for group, members in groupby(rows, key=lambda one: one.group):
        listed = list(members)
        worst = max(listed, key=lambda one: one.used)
        outside = sum(one.used > 1 for one in listed)
        told = f"{worst.golden:.5g} | {worst.ours:.5g} | {worst.used:.0%}"
        print(f"| {group} | {len(listed)} | {outside} | {worst.name} | {told} |")
    outside = [one for one in rows if one.used > 1]
    for one in rows if every else outside:
        mark = "OUTSIDE" if one.used > 1 else "inside"
        print(
            f"{mark} {one.group}: {one.name}: golden {one.golden:.6g}, ours {one.ours:.6g}, {one.used:.0%} of the limit"
        )
    print(f"{len(rows)} rows, {len(outside)} outside")
    return len(outside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="REFERENCE_NOISE_DIR")
    parser.add_argument("--repeats", type=int, default=240, help="realisations of a tile or network")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--speed", action="store_true")
    given = parser.parse_args()
    if given.folder is None and not given.speed:
        parser.error("give the folder of reference data, or --speed")
    failed = 0
    if given.folder is not None:
        rows = list(all_rows(Reference.read(given.folder), given.repeats))
        failed += tell(sorted(rows, key=lambda one: one.group), given.rows)
    if given.speed:
        failed += not speed()
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
