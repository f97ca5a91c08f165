"""The noise models that a chip file can name: fields of a tier, made into the technologies of noise/."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..kinds.noise import NoiseModel, Share, Sigma
from ..noise.constants import constants, names
from ..noise.device import Device, normals
from ..noise.faults import StuckAt
from ..noise.pcm import Pcm
from ..noise.photonic import Mesh
from ..noise.reram import Cmo, Plain, Readout, Wan
from ..noise.sram import Charge
from ..noise.storage import Cells, Technology

Array = NDArray[Any]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Levels(Cells):
    """Whole numbers in -top .. top as conductances: a pair of cells, each with the levels 0 .. top of its range."""

    top: int = 1

    def scale(self, weights: Array) -> tuple[Array, Array]:
        """(uS a level, the top level), the same for all."""
        span = self.device.g_max_us - self.device.g_min_us
        return np.full([1] * weights.ndim, span / self.top, np.float32), np.full(
            [1] * weights.ndim, self.top, np.float32
        )


class PcmNoise(NoiseModel):
    """Phase-change memory (noise/pcm.py): programming noise, drift, 1/f noise, and noise of each read.

    The scales multiply single sources: 0 leaves one out.
    """

    device: str = "generic"
    """`generic` (Joshi et al., 2020; AIHWKIT), `hermes-1` or `hermes-2` (one or two devices a polarity)."""
    order: Literal["pair", "net"] = "pair"
    """What drifts: each device, or (AIHWKIT) the net weight."""
    read_noise: bool = True
    """Noise that is new in each vector (Rasch et al., 2023)."""
    programming_scale: Sigma = 1.0
    drift_scale: Sigma = 1.0
    read_scale: Sigma = 1.0
    """Of the 1/f noise that belongs to an age."""

    @model_validator(mode="after")
    def _known(self) -> "PcmNoise":
        _one_of("device", self.device, names("pcm"))
        return self

    def cells(self) -> Device:
        """The device."""
        scales = {
            "programming_scale": self.programming_scale,
            "drift_scale": self.drift_scale,
            "read_scale": self.read_scale,
        }
        return Pcm.named(self.device, **scales, **({} if self.read_noise else {"short_term": 0.0}))

    def technology(self) -> Technology | None:
        return Cells(self.cells(), order=self.order)

    def levels(self, top: int) -> Technology | None:
        return Levels(self.cells(), top=top)


class ReramNoise(NoiseModel):
    """Resistive memory (noise/reram.py): spread as written and with age, stuck cells, noise of each read."""

    device: str = "plain"
    """`plain` with the fields below, or one of data/reram.yaml: `wan` (at 1 s, 1 d and 2 d only), `cmo-0.2pct`,
    `cmo-2pct`, `milo`."""
    g_min_us: Sigma | None = None
    g_max_us: Above | None = None
    spread: Sigma | None = None
    """Of `plain`: standard deviation of a conductance as written, relative to its target."""
    stuck_low: Share = 0.0
    stuck_high: Share = 0.0
    read_voltage_v: Above | None = None
    """Of a read, for its thermal and shot noise (AccuReD): sqrt(4 G f k T) / V and sqrt(2 G f q / V); with the next
    two, or none of them."""
    read_bandwidth_hz: Above | None = None
    read_temperature_k: Above | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> "ReramNoise":
        _one_of("device", self.device, ("plain", "wan", "cmo-0.2pct", "cmo-2pct", "milo"))
        own = {"g_min_us": self.g_min_us, "g_max_us": self.g_max_us, "spread": self.spread}
        for name, value in own.items():
            if (self.device == "plain") != (value is not None):
                told = (
                    "a value, but the field is missing" if value is None else f"none with {self.device!r}, got {value}"
                )
                raise ValueError(f"{name}: expected {told}")
        reading = {name: getattr(self, name) for name in ("read_voltage_v", "read_bandwidth_hz", "read_temperature_k")}
        missing = [name for name, value in reading.items() if value is None]
        if missing and len(missing) < len(reading):
            raise ValueError(f"{missing[0]}: expected a value beside the other fields of a read, but it is missing")
        if self.g_min_us is not None and self.g_max_us is not None and self.g_min_us >= self.g_max_us:
            raise ValueError(f"g_min_us: expected less than g_max_us {self.g_max_us}, got {self.g_min_us}")
        return self

    def cells(self) -> Device:
        """The device."""
        readout = None
        if self.read_voltage_v and self.read_bandwidth_hz and self.read_temperature_k:
            readout = Readout(self.read_voltage_v, self.read_bandwidth_hz, self.read_temperature_k)
        if self.device == "wan":
            return Wan.named(readout=readout)
        if self.device.startswith("cmo"):
            return Cmo.named(self.device, readout)
        if self.device == "milo":
            return Plain.named(readout=readout)
        assert self.g_min_us is not None
        assert self.g_max_us is not None
        assert self.spread is not None
        return Plain(self.g_min_us, self.g_max_us, (0.0, self.spread), readout=readout)

    @property
    def faults(self) -> StuckAt | None:
        """Stuck cells, if any."""
        return StuckAt(self.stuck_low, self.stuck_high) if self.stuck_low or self.stuck_high else None

    def technology(self) -> Technology | None:
        return Cells(self.cells(), faults=self.faults)

    def levels(self, top: int) -> Technology | None:
        return Levels(self.cells(), faults=self.faults, top=top)


@dataclass(frozen=True)
class Mismatch:
    """Values that cells weigh with a relative error, fixed at manufacture."""

    sigma: float

    def program(self, weights: Array, rng: np.random.Generator) -> "Fixed":
        """The values (.., K, N) as the cells weigh them."""
        return Fixed(weights + weights * (normals(rng, weights.shape) * np.float32(self.sigma)))

    def weight_moments(self, weights: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of each value."""
        return weights, np.square(weights * self.sigma)

    def weight_noise_power(self, weights: Array, age_s: float) -> Array:
        """The variance of each value."""
        return np.square(weights * self.sigma)


@dataclass(frozen=True)
class Fixed:
    """Values that stay."""

    weights: Array

    def read(self, age_s: float, rng: np.random.Generator) -> Array:
        """The values, the same at every age."""
        return self.weights

    def read_noise(self, weights: Array) -> Array | None:
        """None."""
        return None


class SramNoise(NoiseModel):
    """SRAM that sums in charge (noise/sram.py): capacitors that differ, converters with noise."""

    capacitor_mismatch: Sigma = constants("sram", "charge")["capacitor_mismatch"]
    """Relative standard deviation of a cell's capacitor."""
    weight_bits: Annotated[int, Field(ge=2, le=16)] = 8
    """Bits of a weight whose cells are summed before the converter, where it is not one cell at a time."""
    adc_noise_lsb: Sigma = constants("sram", "charge")["adc_noise_lsb"]
    """Of each conversion, in steps of the converter."""

    @property
    def converter_noise_lsb(self) -> float:
        return self.adc_noise_lsb

    def technology(self) -> Technology | None:
        return Charge(self.weight_bits, self.capacitor_mismatch, self.adc_noise_lsb, 0.0)

    def levels(self, top: int) -> Technology | None:
        return Mismatch(self.capacitor_mismatch)


class PhotonicNoise(NoiseModel):
    """Products of two modulated operands (Lightening-Transformer; H3PIMAP): relative errors of both, of their phase, of
    detected sums. Dispersion, and the common loss that a phase error means, are taken to be calibrated away."""

    input_sigma: Sigma = 0.0
    weight_sigma: Sigma = 0.0
    phase_sigma_deg: Sigma = 0.0
    detector_sigma: Sigma = 0.0

    @property
    def product_noise(self) -> float:
        variance = np.radians(self.phase_sigma_deg) ** 2
        phase = 0.5 * (1 - np.exp(-variance)) ** 2
        return float(np.sqrt(self.input_sigma**2 + self.weight_sigma**2 + phase))

    @property
    def detector_noise(self) -> float:
        return self.detector_sigma


class MeshNoise(NoiseModel):
    """Weights held as phases of interferometers (noise/photonic.py): errors left after calibration, thermal crosstalk,
    relative errors of inputs and detected sums."""

    phase_sigma_rad: Sigma = constants("photonic", "mzi")["phase_sigma_rad"]
    crosstalk: Share = 1.0
    """Scales what heaters do to each other; 0 for none."""
    input_sigma: Sigma = 0.0
    detector_sigma: Sigma = 0.0

    @property
    def product_noise(self) -> float:
        return self.input_sigma

    @property
    def detector_noise(self) -> float:
        return self.detector_sigma

    def technology(self) -> Technology | None:
        return Mesh.named(phase_sigma_rad=self.phase_sigma_rad, crosstalk=self.crosstalk)


def _one_of(field: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise ValueError(f"{field}: expected one of {', '.join(known)}, got {given!r}")
