"""Photonic tensor cores: noise of operands and detectors, dispersion, meshes of interferometers, rings.

Dynamic cores modulate both operands anew for each product (Lightening-Transformer, arXiv 2305.19533): magnitudes err by
a relative sigma, operands interfere with a phase error, detected sums err, and couplers split evenly at one wavelength
only. Weight-static meshes hold a weight as the phase of an interferometer, w = sin(phase) (SCATTER), which errs, and
which heaters of others move.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..quantise import SMALLEST
from .constants import constants
from .device import normals
from .statistics import normal_grid

Array = NDArray[Any]


def dispersion(wavelengths: int, channel_spacing_nm: float, centre_um: float = 1.55) -> Array:
    """2 kappa - 1 of a 50:50 coupler for each wavelength around the centre, where it is 0; float64.

    kappa = sin^2(pi/4 L(centre) / L(l)), L(l) = (3.53 - 5.44 d) exp(0.1 / (0.15 + 0.185 d)), d = l - 1.55 in um
    (Lightening-Transformer).
    """
    offset = (np.arange(wavelengths) - (wavelengths - 1) / 2) * channel_spacing_nm * 1e-3 + (centre_um - 1.55)
    length, centre = (
        (3.53 - 5.44 * d) * np.exp(0.1 / (0.15 + 0.185 * d)) for d in (offset, np.asarray(centre_um - 1.55))
    )
    return 2 * np.sin(np.pi / 4 * centre / length) ** 2 - 1


@dataclass(frozen=True)
class Dynamic:
    """A dynamically operated core. Sigmas are relative, the phase error in degrees; see data/photonic.yaml."""

    input_sigma: float
    weight_sigma: float
    phase_sigma_deg: float
    output_sigma: float
    wavelengths: int
    channel_spacing_nm: float
    centre_um: float

    @staticmethod
    def named(name: str = "dynamic", **changes: float) -> "Dynamic":
        """The core of data/photonic.yaml, with fields changed."""
        return replace(Dynamic(**constants("photonic", name)), **changes)

    def multiply(self, x: Array, w: Array, rng: np.random.Generator, ratio: float = 1.0) -> Array:
        """`x` (.., M, K) times `w` (.., K, N) as such a core gives it, float32.

        `ratio`: full scale of x over full scale of w, which dispersion mixes them by. Operands are drawn as they are
        modulated. The phase error is independent in each product: cos(delta) has the mean exp(-s^2/2) and the variance
        (1 - exp(-s^2))^2 / 2, which reach the sum as a gain and as noise of variance x^2 @ w^2 times that.
        """
        x, w = (self._encoded(value, sigma, rng) for value, sigma in ((x, self.input_sigma), (w, self.weight_sigma)))
        squares = np.square(x), np.square(w)
        variance = np.radians(self.phase_sigma_deg) ** 2
        y = np.matmul(x, w)
        y *= np.float32(np.exp(-variance / 2))
        if variance:
            spread = np.sqrt(np.matmul(*squares))
            spread *= np.float32((1 - np.exp(-variance)) / np.sqrt(2))
            spread *= normals(rng, y.shape)
            y += spread
        y += self._dispersed(*squares, ratio)
        return self._detected(y, rng)

    def weight_noise_power(self, weights: Array) -> Array:
        """Variance of each weight by its own modulation and by the phase error, which acts on the product: float64."""
        w = weights.astype(np.float64)
        variance = np.radians(self.phase_sigma_deg) ** 2
        return w * w * (self.weight_sigma**2 + 0.5 * (1 - np.exp(-variance)) ** 2)

    def _encoded(self, values: Array, sigma: float, rng: np.random.Generator) -> Array:
        values = values.astype(np.float32, copy=False)
        if not sigma:
            return values
        factor = normals(rng, values.shape)
        factor *= np.float32(sigma)
        factor += np.float32(1)
        factor *= values
        return factor

    def _dispersed(self, xx: Array, ww: Array, ratio: float) -> Array:
        """1/2 sum_k (2 kappa_k - 1) (x_k^2 / ratio - ratio w_k^2); input k travels on wavelength k mod wavelengths."""
        imbalance = dispersion(self.wavelengths, self.channel_spacing_nm, self.centre_um)
        inputs = xx.shape[-1]
        by_input = np.resize(imbalance, inputs).astype(np.float32) * np.float32(0.5)
        return (xx @ by_input)[..., :, None] * np.float32(1 / ratio) - (by_input @ ww)[..., None, :] * np.float32(ratio)

    def _detected(self, y: Array, rng: np.random.Generator) -> Array:
        if self.output_sigma:
            factor = normals(rng, y.shape)
            factor *= np.float32(self.output_sigma)
            factor += np.float32(1)
            y *= factor
        return y


@dataclass(frozen=True)
class Mesh:
    """Interferometers that hold weights, w = peak sin(phase), phase in -pi/2 .. pi/2; distances in um.

    `phase_sigma_rad`: what calibration leaves, a normal truncated at `truncation` sigmas, fixed while programmed.
    `crosstalk` scales what heaters do to each other, 0 for none.
    """

    phase_sigma_rad: float
    truncation: float
    arm_spacing_um: float
    row_pitch_um: float
    column_pitch_um: float
    near_um: float
    near_fit: tuple[float, ...]
    far_fit: tuple[float, ...]
    crosstalk: float = 1.0

    @staticmethod
    def named(name: str = "mzi", **changes: float) -> "Mesh":
        """The mesh of data/photonic.yaml, with fields changed."""
        given: dict[str, Any] = constants("photonic", name)
        fits: dict[str, Any] = {field: tuple(given.pop(field)) for field in ("near_fit", "far_fit")}
        return replace(Mesh(**given, **fits), **changes)

    def program(self, weights: Array, rng: np.random.Generator) -> "MeshWeights":
        """Weights (.., K, N) as phases: an interferometer of row k and column n, all scaled by the largest weight."""
        peak, phase = self._phases(weights)
        return MeshWeights(np.sin(self.disturbed(phase) + self._errors(phase.shape, rng)) * peak)

    def weight_moments(self, weights: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of each weight: its crosstalk is known, its phase error is averaged over; float64."""
        peak, phase = self._phases(weights)
        z, density = normal_grid()
        kept = density * (np.abs(z) <= self.truncation)
        error = self.phase_sigma_rad * z
        # sin(p + e) = sin p cos e + cos p sin e, and e is symmetric.
        cosine, square = ((np.cos(error) * kept).sum() / kept.sum(), (np.cos(error) ** 2 * kept).sum() / kept.sum())
        moved = self.disturbed(phase).astype(np.float64)
        variance = np.sin(moved) ** 2 * (square - cosine**2) + np.cos(moved) ** 2 * (1 - square)
        return np.sin(moved) * cosine * peak, variance * peak.astype(np.float64) ** 2

    def weight_noise_power(self, weights: Array, age_s: float) -> Array:
        """The variance of each weight."""
        return self.weight_moments(weights, age_s)[1]

    def coupling(self, distance_um: Array) -> Array:
        """The share of a heater's phase that appears at a distance in um; 1 at none (SCATTER's fit)."""
        d = np.abs(np.asarray(distance_um, np.float64))
        near = np.polynomial.polynomial.polyval(np.minimum(d, self.near_um), self.near_fit)
        scale, decay = self.far_fit
        return np.where(d < self.near_um, near, scale * np.exp(decay * d))

    def disturbed(self, phase: Array) -> Array:
        """Phases (.., rows, columns) with thermal crosstalk: phi_i + sum_j gamma_ij |phi_j|.

        An interferometer's phase is the difference of its arms, half a spacing above and below its place; heater j sits
        on the upper arm for positive phases, on the lower for negative ones, and moves both arms of i by distance:
        gamma_ij = G(d to the upper arm of i) - G(d to the lower). Columns farther than 100 um apart do not reach each
        other (G < 1e-6).
        """
        if not self.crosstalk:
            return phase
        rows, columns = phase.shape[-2:]
        upper, lower = np.maximum(phase, 0), np.maximum(-phase, 0)
        moved = phase.copy()
        down = (np.arange(rows)[:, None] - np.arange(rows)) * self.row_pitch_um
        reach = min(columns - 1, int(100 // self.column_pitch_um))
        for aside in range(-reach, reach + 1):
            # gamma of a heater on the upper arm; by symmetry the lower one's is its negative, seen from below.
            across = aside * self.column_pitch_um
            here = self.coupling(np.hypot(across, down))
            own, other = (here - self.coupling(np.hypot(across, down + side * self.arm_spacing_um)) for side in (1, -1))
            if aside == 0:
                np.fill_diagonal(own, 0)
                np.fill_diagonal(other, 0)
            gained = own.astype(phase.dtype) @ upper - other.astype(phase.dtype) @ lower
            to = slice(max(aside, 0), columns + min(aside, 0))
            source = slice(max(-aside, 0), columns + min(-aside, 0))
            moved[..., to] += phase.dtype.type(self.crosstalk) * gained[..., source]
        return moved

    def _phases(self, weights: Array) -> tuple[Array, Array]:
        w = weights.astype(np.float32, copy=False)
        peak = np.abs(w).max(axis=(-2, -1), keepdims=True, initial=0)
        peak = np.maximum(peak, np.float32(SMALLEST))
        return peak, np.arcsin(np.clip(w / peak, -1, 1))

    def _errors(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        drawn = normals(rng, shape)
        while (outside := np.abs(drawn) > self.truncation).any():
            drawn[outside] = normals(rng, (int(outside.sum()),))
        drawn *= np.float32(self.phase_sigma_rad)
        return drawn


@dataclass(frozen=True)
class MeshWeights:
    """Weights in a mesh, the same at every age until programmed again."""

    weights: Array

    def read(self, age_s: float, rng: np.random.Generator) -> Array:
        """The weights, float32."""
        return self.weights

    def read_noise(self, weights: Array) -> Array | None:
        """None: what changes from vector to vector is the detector's."""
        return None
