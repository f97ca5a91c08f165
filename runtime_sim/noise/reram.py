"""Resistive memory: four devices with published fits, and the noise of reading them.

`Wan`: written anew around its target at each of the three times of the fit, and at no other. `Cmo`: conductances relax
with ln t, written to within an acceptance range. `Plain`: a spread as written that ages do not change, of which Milo's
device and the generic errors of CrossSim are cases. All cut conductances at their least.

Each may have `Readout`: thermal and shot noise of a current I = G V read with bandwidth f, as standard deviations of G

    sigma_thermal = sqrt(4 G f k T) / V,   sigma_shot = sqrt(2 G f q / V)

(AccuReD), new in each vector.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from .constants import constants
from .device import Array, normals, polynomial
from .statistics import cut_moments

BOLTZMANN_J_PER_K = 1.380649e-23
CHARGE_C = 1.602176634e-19


@dataclass(frozen=True)
class Readout:
    """A read at a voltage, bandwidth and temperature."""

    voltage_v: float
    bandwidth_hz: float
    temperature_k: float

    @staticmethod
    def typical() -> "Readout":
        """The read of data/reram.yaml."""
        return Readout(**constants("reram", "readout"))

    def variance_per_us(self) -> float:
        """Variance of a conductance in uS^2 for each uS of it: both noises are proportional to sqrt(G)."""
        thermal = 4 * BOLTZMANN_J_PER_K * self.temperature_k / self.voltage_v**2
        shot = 2 * CHARGE_C / self.voltage_v
        return self.bandwidth_hz * (thermal + shot) * 1e6


def _read_variance(readout: Readout | None, conductance_us: Array) -> Array | None:
    return None if readout is None else conductance_us * np.float32(readout.variance_per_us())


@dataclass(frozen=True)
class Wan:
    """Wan et al., Nature 608 (2022): g = max(0, g_T + P_t(g_T / g_max) N), drawn anew at each age.

    `spread_us`: for each age in seconds the polynomial P_t in uS, constant first. The device just written is that of
    the least age.
    """

    g_max_us: float
    spread_us: dict[float, tuple[float, ...]]
    readout: Readout | None = None

    @staticmethod
    def named(name: str = "wan", readout: Readout | None = None) -> "Wan":
        """A device of data/reram.yaml."""
        given = constants("reram", name)
        return Wan(given["g_max_us"], {float(t): tuple(c) for t, c in given["spread_us"].items()}, readout)

    @property
    def g_min_us(self) -> float:
        """Weights of zero are written as devices without conductance."""
        return 0.0

    def written(self, target_us: Array, rng: np.random.Generator) -> Array:
        """Conductances in uS just after programming, float32."""
        return self._around(target_us.astype(np.float32, copy=False), min(self.spread_us), rng)

    def memory(self, target_us: Array, rng: np.random.Generator) -> Array | None:
        """The target."""
        return target_us.astype(np.float32, copy=False)

    def aged(self, written_us: Array, memory: Array | None, age_s: float, rng: np.random.Generator) -> Array:
        """Conductances in uS at one of the ages of the fit; `InputError` at any other."""
        assert memory is not None
        return self._around(memory, age_s, rng)

    def moments(self, target_us: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of a normal cut at zero."""
        target = np.asarray(target_us, np.float64)
        return cut_moments(target, np.abs(self._sigma(target, age_s)))

    def read_variance(self, conductance_us: Array, peak_us: float) -> Array | None:
        """Thermal and shot noise, if there is a readout."""
        return _read_variance(self.readout, conductance_us)

    def _around(self, target: Array, age_s: float, rng: np.random.Generator) -> Array:
        g = self._sigma(target, age_s)
        g *= normals(rng, target.shape)
        g += target
        return np.maximum(g, np.float32(0), out=g)

    def _sigma(self, target: Array, age_s: float) -> Array:
        if age_s not in self.spread_us:
            known = ", ".join(f"{age:g} s" for age in self.spread_us)
            raise InputError(f"age: the ReRAM of Wan et al. is characterised at {known} only: {age_s:g} s")
        return polynomial(self.spread_us[age_s], target / target.dtype.type(self.g_max_us))


@dataclass(frozen=True)
class Cmo:
    """Conductive metal oxide on HfOx (Falcone et al.; AIHWKIT ReRamCMONoiseModel), t the age in seconds:

        written  g_P = g_T + (c0 + c1 g_T) N
        relaxed  g_D = g_P + decay ln t + (s0 + s1 ln t) N
        read     g = g_D + read log10(g_D) sqrt(ln((t + t_r) / (2 t_r))) N,  cut to g_min .. g_max

    Spread of the relaxed and the read conductance is new at each read, as in AIHWKIT.
    """

    g_min_us: float
    g_max_us: float
    programming_us: tuple[float, ...]
    decay_us: float
    decay_spread_us: tuple[float, ...]
    read_us: float
    t_read_s: float
    readout: Readout | None = None

    @staticmethod
    def named(name: str = "cmo-0.2pct", readout: Readout | None = None) -> "Cmo":
        """A device of data/reram.yaml (`cmo-0.2pct`, `cmo-2pct`)."""
        given: dict[str, Any] = constants("reram", name)
        lists: dict[str, Any] = {field: tuple(given.pop(field)) for field in ("programming_us", "decay_spread_us")}
        return Cmo(**given, **lists, readout=readout)

    def written(self, target_us: Array, rng: np.random.Generator) -> Array:
        """Conductances in uS just after programming, float32."""
        target = target_us.astype(np.float32, copy=False)
        g = polynomial(self.programming_us, target)
        g *= normals(rng, target.shape)
        g += target
        return g

    def memory(self, target_us: Array, rng: np.random.Generator) -> Array | None:
        """Nothing beside the conductance."""
        return None

    def aged(self, written_us: Array, memory: Array | None, age_s: float, rng: np.random.Generator) -> Array:
        """Conductances in uS at an age, float32."""
        g = normals(rng, written_us.shape)
        g *= np.float32(self._relaxed_sigma(age_s))
        g += written_us
        g += np.float32(self.decay_us * np.log(age_s))
        read = np.log10(np.maximum(g, np.float32(1)))
        read *= np.float32(self._read_factor(age_s))
        read *= normals(rng, g.shape)
        g += read
        return np.clip(g, np.float32(self.g_min_us), np.float32(self.g_max_us), out=g)

    def moments(self, target_us: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of a normal cut to g_min .. g_max; the read noise is taken at its mean, which it barely
        leaves as it goes with log10 g."""
        target = np.asarray(target_us, np.float64)
        mean = target + self.decay_us * np.log(age_s)
        read = np.log10(np.maximum(mean, 1)) * self._read_factor(age_s)
        written = polynomial(self.programming_us, target)
        sigma = np.sqrt(written**2 + self._relaxed_sigma(age_s) ** 2 + read**2)
        return cut_moments(mean, sigma, self.g_min_us, self.g_max_us)

    def read_variance(self, conductance_us: Array, peak_us: float) -> Array | None:
        """Thermal and shot noise, if there is a readout."""
        return _read_variance(self.readout, conductance_us)

    def _relaxed_sigma(self, age_s: float) -> float:
        constant, slope = self.decay_spread_us
        return constant + slope * float(np.log(age_s))

    def _read_factor(self, age_s: float) -> float:
        return self.read_us * float(np.sqrt(np.log((age_s + self.t_read_s) / (2 * self.t_read_s))))


@dataclass(frozen=True)
class Plain:
    """A device with a spread as written that ages do not change: g = max(0, g_T + sigma N), with

        sigma = spread(g_T) + inverse_us2 / g_T

    `spread_us`: polynomial of g_T in uS, constant first: (4.78, -0.0091) is Milo's, (a,) CrossSim's independent error,
    (0, a) its proportional one. `inverse_us2` is CrossSim's inverse error. With `uniform` N is uniform noise of the
    same variance.
    """

    g_min_us: float
    g_max_us: float
    spread_us: tuple[float, ...]
    inverse_us2: float = 0.0
    uniform: bool = False
    readout: Readout | None = None

    @staticmethod
    def named(name: str = "milo", readout: Readout | None = None) -> "Plain":
        """A device of data/reram.yaml."""
        given = constants("reram", name)
        return Plain(given["g_min_us"], given["g_max_us"], tuple(given["spread_us"]), readout=readout)

    def written(self, target_us: Array, rng: np.random.Generator) -> Array:
        """Conductances in uS just after programming, float32, never below 0."""
        target = target_us.astype(np.float32, copy=False)
        g = self._sigma(target)
        if self.uniform:
            flat = rng.random(target.shape, dtype=np.float32)
            g *= (flat - np.float32(0.5)) * np.float32(12**0.5)
        else:
            g *= normals(rng, target.shape)
        g += target
        return np.maximum(g, np.float32(0), out=g)

    def memory(self, target_us: Array, rng: np.random.Generator) -> Array | None:
        """Nothing beside the conductance."""
        return None

    def aged(self, written_us: Array, memory: Array | None, age_s: float, rng: np.random.Generator) -> Array:
        """As written, at every age."""
        return written_us

    def moments(self, target_us: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of a normal, or uniform, value cut at zero."""
        target = np.asarray(target_us, np.float64)
        sigma = np.abs(self._sigma(target))
        if not self.uniform:
            return cut_moments(target, sigma)
        half = np.maximum(sigma * np.sqrt(3), 1e-300)
        low, high = np.maximum(target - half, 0), np.maximum(target + half, 0)
        mean = (high**2 - low**2) / (4 * half)
        return mean, (high**3 - low**3) / (6 * half) - mean**2

    def read_variance(self, conductance_us: Array, peak_us: float) -> Array | None:
        """Thermal and shot noise, if there is a readout."""
        return _read_variance(self.readout, conductance_us)

    def _sigma(self, target: Array) -> Array:
        sigma = polynomial(self.spread_us, target)
        if self.inverse_us2:
            sigma += target.dtype.type(self.inverse_us2) / np.maximum(target, target.dtype.type(1e-3 * self.g_max_us))
        return sigma
