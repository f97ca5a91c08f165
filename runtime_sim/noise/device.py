"""What every memory device can say of itself, and helpers that the technologies share.

All conductances are in uS. Arrays are float32 where values are drawn, of any shape, one entry a device; no function
loops over devices. Every draw comes from the generator that the caller passes (`generator(seed)` makes one).
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Device(Protocol):
    """One kind of memory cell. A written device has a conductance and may have a memory of its own beside it."""

    @property
    def g_min_us(self) -> float:
        """The least conductance that is written on purpose."""
        ...

    @property
    def g_max_us(self) -> float:
        """The largest conductance that is written on purpose."""
        ...

    def written(self, target_us: Array, rng: np.random.Generator) -> Array:
        """Conductances just after programming to `target_us`."""
        ...

    def memory(self, target_us: Array, rng: np.random.Generator) -> Array | None:
        """What each device keeps until it is written again (a drift exponent, its target); None for nothing."""
        ...

    def aged(self, written_us: Array, memory: Array | None, age_s: float, rng: np.random.Generator) -> Array:
        """Conductances as a read finds them `age_s` seconds after programming; each call is another read."""
        ...

    def moments(self, target_us: Array, age_s: float) -> tuple[Array, Array]:
        """(mean, variance) of `aged` over devices and reads, in closed form or by quadrature: uS and uS^2, float64."""
        ...

    def read_variance(self, conductance_us: Array, peak_us: float) -> Array | None:
        """Variance in uS^2 of noise that is new in each of the vectors of a batch, if the device has any.

        `peak_us`: the conductance that stands for the largest weight.
        """
        ...


def generator(seed: int) -> np.random.Generator:
    """The fastest of numpy's generators for float32 normals."""
    return np.random.Generator(np.random.SFC64(seed))


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Standard normals in float32."""
    return rng.standard_normal(shape, dtype=np.float32)


def polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    """c0 + c1 x + .. in the type of `x` (Horner)."""
    y = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        y *= x
        y += x.dtype.type(coefficient)
    return y
