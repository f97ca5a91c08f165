"""Phase-change memory: programming noise, drift, and 1/f noise that grows with age.

With r = g / g_max, N a fresh standard normal and nu drawn once a device from its *target*:

    written   g_P = max(0, g_T + sigma_p(r_T) N)
    exponent  nu = |mu(r_T) + s(r_T) N|
    drifted   g_D = g_P (t' / t_0)^-nu,   t' = age + t_0
    read      g = max(0, g_D + g_D Q(r_P) sqrt(ln((t' + t_r) / (2 t_r))) N)

Nandakumar et al., ICECS'19, and Joshi et al., Nature Communications 11 (2020), as AIHWKIT has them (PCMLikeNoiseModel);
HermesNoiseModel has the same equations with its own fits. The 1/f noise belongs to an age and is drawn by each read;
what changes from vector to vector is `short_term` (Rasch et al., Nature Communications 14 (2023)): a weight w has the
variance short_term^2 |w| max|w|.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from .constants import constants
from .device import Array, normals, polynomial
from .statistics import cut_moments, normal_grid

_LEAST_R = 1e-7
"""The floor of r in logarithms."""


@dataclass(frozen=True)
class LogFit:
    """clip(slope ln r + offset, low, high) below `from_r`, a polynomial of r (constant first) from there on."""

    slope: float
    offset: float
    low: float
    high: float
    from_r: float = np.inf
    polynomial: tuple[float, ...] = ()

    def __call__(self, r: Array) -> Array:
        """The fit at each r, in the type of `r`."""
        y = np.log(np.maximum(r, r.dtype.type(_LEAST_R)))
        y *= r.dtype.type(self.slope)
        y += r.dtype.type(self.offset)
        np.clip(y, self.low, self.high, out=y)
        return np.where(r < self.from_r, y, polynomial(self.polynomial, r)) if self.polynomial else y


@dataclass(frozen=True)
class PowerFit:
    """min(cap, scale / max(r^exponent, floor))."""

    scale: float
    exponent: float
    floor: float
    cap: float

    def __call__(self, r: Array) -> Array:
        """The fit at each r, in the type of `r`."""
        y = np.power(r, r.dtype.type(self.exponent))
        np.maximum(y, r.dtype.type(self.floor), out=y)
        np.divide(r.dtype.type(self.scale), y, out=y)
        return np.minimum(y, r.dtype.type(self.cap), out=y)


@dataclass(frozen=True)
class Pcm:
    """A phase-change device; figures as in the module's equations. `programming_us` is a polynomial of r, in uS.

    The scales take single sources of noise out (0) or make them larger; they are for studies, chips leave them at 1.
    """

    g_max_us: float
    t_0_s: float
    t_read_s: float
    programming_us: tuple[float, ...]
    drift_mean: LogFit
    drift_std: LogFit
    read: LogFit | PowerFit
    short_term: float
    programming_scale: float = 1.0
    drift_scale: float = 1.0
    read_scale: float = 1.0

    @staticmethod
    def named(name: str, **changes: float) -> "Pcm":
        """A device of data/pcm.yaml (`generic`, `hermes-1`, `hermes-2`), with fields changed."""
        given: dict[str, Any] = constants("pcm", name)
        fits: dict[str, Any] = {field: _fit(given.pop(field)) for field in ("drift_mean", "drift_std", "read")}
        programming: tuple[float, ...] = tuple(given.pop("programming_us"))
        return replace(Pcm(programming_us=programming, **given, **fits), **changes)

    @property
    def g_min_us(self) -> float:
        """Devices can be reset fully."""
        return 0.0

    def written(self, target_us: Array, rng: np.random.Generator) -> Array:
        """Conductances in uS just after programming, float32, never below 0."""
        target = target_us.astype(np.float32, copy=False)
        g = self._programming_sigma(target)
        g *= normals(rng, target.shape)
        g += target
        return np.maximum(g, np.float32(0), out=g)

    def memory(self, target_us: Array, rng: np.random.Generator) -> Array:
        """The drift exponent of each device, which its target decides and not what was written."""
        r = target_us.astype(np.float32, copy=False) / np.float32(self.g_max_us)
        nu = self.drift_std(r)
        nu *= normals(rng, r.shape)
        nu += self.drift_mean(r)
        np.abs(nu, out=nu)
        nu *= np.float32(self.drift_scale)
        return nu

    def aged(self, written_us: Array, memory: Array | None, age_s: float, rng: np.random.Generator) -> Array:
        """Conductances in uS at an age, float32: drifted, and with one draw of the 1/f noise."""
        assert memory is not None
        drifted = memory * np.float32(-self._log_age(age_s))
        np.exp(drifted, out=drifted)
        drifted *= written_us
        relative = self.read(written_us / np.float32(self.g_max_us))
        relative *= np.float32(self._read_factor(age_s))
        relative *= normals(rng, drifted.shape)
        relative += np.float32(1)
        drifted *= np.maximum(relative, np.float32(0), out=relative)
        return drifted

    def moments(self, target_us: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) over devices and reads, interpolated in a table of 257 targets."""
        grid, mean, variance = self._moment_table(age_s)
        return np.interp(target_us, grid, mean), np.interp(target_us, grid, variance)

    def read_variance(self, conductance_us: Array, peak_us: float) -> Array | None:
        """short_term^2 g g_peak: the variance of a weight is proportional to its size (PCM_READ of AIHWKIT)."""
        if not self.short_term:
            return None
        return conductance_us * np.float32(self.short_term**2 * peak_us)

    @lru_cache(maxsize=64)  # noqa: B019  (frozen, few, and for the life of the process)
    def _moment_table(self, age_s: float) -> tuple[Array, Array, Array]:
        """(targets, means, variances): written and read noise by quadrature and closed form, the exponent apart.

        The exponent depends on the target and so is independent of what was written.
        """
        z, weights = normal_grid()
        target = np.linspace(0.0, self.g_max_us, 257)
        written = np.maximum(target[:, None] + self._programming_sigma(target)[:, None] * z, 0.0)
        relative = self.read(written / self.g_max_us) * self._read_factor(age_s)
        mean, variance = cut_moments(np.ones_like(relative), relative)
        r = target / self.g_max_us
        exponents = np.abs(self.drift_mean(r)[:, None] + self.drift_std(r)[:, None] * z) * self.drift_scale
        decay = np.exp(-self._log_age(age_s) * exponents)
        first = (written * mean) @ weights * (decay @ weights)
        second = (written**2 * (variance + mean**2)) @ weights * (decay**2 @ weights)
        return target, first, second - first**2

    def _programming_sigma(self, target_us: Array) -> Array:
        sigma = polynomial(self.programming_us, target_us / target_us.dtype.type(self.g_max_us))
        sigma *= target_us.dtype.type(self.programming_scale)
        return sigma

    def _log_age(self, age_s: float) -> float:
        return float(np.log((age_s + self.t_0_s) / self.t_0_s))

    def _read_factor(self, age_s: float) -> float:
        since = age_s + self.t_0_s
        return self.read_scale * float(np.sqrt(np.log((since + self.t_read_s) / (2 * self.t_read_s))))


def _fit(fields: dict[str, Any]) -> LogFit | PowerFit:
    if "exponent" in fields:
        return PowerFit(**fields)
    given: dict[str, Any] = {**fields, "polynomial": tuple(fields.get("polynomial", ()))}
    return LogFit(**given)
