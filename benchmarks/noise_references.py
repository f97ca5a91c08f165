"""What the noise models are compared with: the set-ups of the recorded runs, and the recorded numbers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from h3c.runtime_sim.noise.converters import Periphery
from h3c.runtime_sim.noise.device import Device
from h3c.runtime_sim.noise.pcm import Pcm
from h3c.runtime_sim.noise.reram import Cmo, Wan

Array = NDArray[Any]

MODELS = Path(__file__).resolve().parent.parent / "models"

AGES_S = {
    "1s": 1.0,
    "60s": 60.0,
    "1h": 3600.0,
    "1day": 86400.0,
    "2day": 2 * 86400.0,
    "1month": 30 * 86400.0,
    "1year": 365 * 86400.0,
}

DEVICES: dict[str, Device] = {
    "PCMLike_gmax25": Pcm.named("generic"),
    "Hermes_1dev": Pcm.named("hermes-1"),
    "Hermes_2dev": Pcm.named("hermes-2"),
    "ReRamWan2022_gmax40": Wan.named(),
    "ReRamCMO_0.2pct": Cmo.named("cmo-0.2pct"),
    "ReRamCMO_2pct": Cmo.named("cmo-2pct"),
}

PERFECT, STANDARD = Periphery(), Periphery.named("standard")


@dataclass(frozen=True)
class Sweep:
    """One recorded sweep over ages: a device behind a periphery."""

    device: Device
    periphery: Periphery


SWEEPS = {
    "pcm_perfect_io": Sweep(Pcm.named("generic"), PERFECT),
    "pcm_standard_io": Sweep(Pcm.named("generic"), STANDARD),
    "pcm_prog_only_perfect_io": Sweep(Pcm.named("generic", drift_scale=0.0, read_scale=0.0), PERFECT),
    "pcm_drift_only_perfect_io": Sweep(Pcm.named("generic", programming_scale=0.0, read_scale=0.0), PERFECT),
    "pcm_read_only_perfect_io": Sweep(Pcm.named("generic", programming_scale=0.0, drift_scale=0.0), PERFECT),
    "hermes2_perfect_io": Sweep(Pcm.named("hermes-2"), PERFECT),
    "hermes1_perfect_io": Sweep(Pcm.named("hermes-1"), PERFECT),
    "reram_wan_gmax40_perfect_io": Sweep(Wan.named(), PERFECT),
}

CLASSIFIER_PERIPHERIES = {
    "perfect_io": PERFECT,
    "standard_io": Periphery.named("standard", scale_inputs=True),
}


def matrix() -> Array:
    """The recorded 128 x 128 matrix as (K, N): normal, deviation 0.25, cut at 1, its largest magnitude 1."""
    w = np.clip(np.random.default_rng(20240501).normal(0.0, 0.25, size=(128, 128)), -1.0, 1.0)
    return (w / np.abs(w).max()).astype(np.float32).T


def inputs() -> Array:
    """The recorded 64 vectors, uniform in -1 .. 1."""
    return np.random.default_rng(20240502).uniform(-1.0, 1.0, size=(64, 128)).astype(np.float32)


def periphery_cases(w: Array) -> dict[str, tuple[Periphery, Array | float | None]]:
    """Each recorded case of one imperfection alone: what is around the array, and the variance of weights in reads."""
    converters = {f"dac_{bits}b": Periphery(input_bits=bits) for bits in (4, 6, 8)}
    converters |= {f"adc_{bits}b_bound10": Periphery(output_bits=bits, output_bound=10.0) for bits in (4, 6, 8, 9)}
    managed = Periphery(input_bits=8, output_bits=8, output_bound=4.0, scale_inputs=True, halve_clipped=True)
    quiet = {
        "ideal": Periphery(),
        **converters,
        "adc_8b_bound4_clips": Periphery(output_bits=8, output_bound=4.0),
        "adc_8b_bound4_iterative_bm": managed,
        "ir_drop_1.0": Periphery(ir_drop=1.0),
        "ir_drop_10.0": Periphery(ir_drop=10.0),
        "out_noise_0.06": Periphery(output_noise=0.06),
        "inp_noise_0.02": Periphery(input_noise=0.02),
        "default_InferenceRPUConfig_io": Periphery.named("default"),
    }
    cases: dict[str, tuple[Periphery, Array | float | None]] = {name: (case, None) for name, case in quiet.items()}
    cases["w_noise_additive_0.02"] = Periphery(), 0.02**2
    cases["w_noise_pcm_read_0.0175"] = Periphery(), np.float32(0.0175**2) * np.abs(w)
    return cases


@dataclass(frozen=True)
class DenseLayer:
    """`weights` (K, N) scaled to a largest magnitude of 1, by `scale`; `bias` (N,) is digital."""

    weights: Array
    scale: float
    bias: Array


def classify(images: Array, layers: Sequence[DenseLayer], products: Sequence[Callable[[Array], Array]]) -> Array:
    """The class of each image, (.., images): ReLU between layers, each product given as a function."""
    x = images
    for index, (layer, product) in enumerate(zip(layers, products, strict=True)):
        x = product(x) * np.float32(layer.scale) + layer.bias
        if index < len(layers) - 1:
            x = np.maximum(x, 0)
    return x.argmax(axis=-1)


@dataclass(frozen=True)
class Reference:
    """The recorded numbers of a folder."""

    folder: Path
    device: dict[str, Any]
    tile: dict[str, Any]
    network: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> "Reference":
        names = ("aihwkit_device.json", "aihwkit_tile.json", "irdrop_exact.json")
        return Reference(folder, *(json.loads((folder / name).read_text()) for name in names))

    def layers(self) -> list[DenseLayer]:
        """The recorded classifier."""
        stored = np.load(self.folder / "mlp_digits_weights.npz")
        found: list[DenseLayer] = []
        for index in (0, 2, 4):
            w = stored[f"{index}_weight"].T
            scale = float(np.abs(w).max())
            found.append(DenseLayer(w / np.float32(scale), scale, stored[f"{index}_bias"]))
        return found

    def images(self) -> tuple[Array, Array]:
        """(images, labels) of the recorded test set, which counts rows of scikit-learn's digits.

        Where scikit-learn is not installed, those that ship with the project: 800 of the 1,797 images, in the order of
        models/make_digits.py.
        """
        wanted = np.load(self.folder / "mlp_digits_weights.npz")["test_index"]
        try:
            from sklearn.datasets import load_digits  # pyright: ignore
        except ImportError:
            shipped = np.load(MODELS / "digits.npz")
            images = np.concatenate([shipped["x_test"], shipped["x_calib"]]).reshape(-1, 64)
            labels = np.concatenate([shipped["y_test"], shipped["y_calib"]])
            rows = np.random.default_rng(0).permutation(1797)[: len(images)]
            chosen = np.isin(rows, wanted)
            return images[chosen], labels[chosen]
        digits: Any = load_digits()
        return (digits.data / 16).astype(np.float32)[wanted], digits.target[wanted]
