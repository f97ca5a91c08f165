"""PCM arrays: inputs coded as the length of a pulse, weights as differences of conductances, all bits in one go."""

import numpy as np
from pydantic import model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..components.converters import Converter
from ..components.tiles import pulse_ns
from ..cost import IntArray
from ..product import Product, plain_product
from .arrays import Number
from .base import Count, NonNegative, Positive
from .tiled import TiledArrays


class Pcm(TiledArrays):
    """Phase-change cells in differential groups (HERMES, JSSC'22 and Nature Electronics 2023).

    An input of b bits is a pulse of up to 2^(b - 1) - 1 clock periods. `input_phases`: 1 drives both signs of inputs
    and weights at once, 4 each pair of signs after the other, which is slower and more exact; a device conducts in one
    phase only, while converters and drivers work in all. Converters integrate while the pulse lasts.

    `stacked`: how often each weight is held, on rows below each other that are driven by the same input. The signal of
    an array grows with it, what errs independently by its root, and noise of sums and converters not at all.
    """

    input_phases: Count
    pulse_clock_ghz: Positive
    phase_overhead_ns: NonNegative
    """Of each phase, beside its longest pulse."""
    driver_pj: NonNegative
    """Timing and driving one row for one phase."""
    driver_area_um2: NonNegative
    stacked: Count = 1

    @model_validator(mode="after")
    def _reads_last_as_long_as_pulses(self) -> "Pcm":
        if self.cell.read_pj is not None:
            raise ValueError(
                "cell: expected on_us, off_us and read_v, as a read lasts as long as its pulse, got read_pj"
            )
        return self

    @property
    def cycles(self) -> Number:
        return np.asarray(self.input_phases, np.float64)

    @property
    def array_read_ns(self) -> Number:
        return pulse_ns(self.input_bits, self.pulse_clock_ghz, self.phase_overhead_ns)

    @property
    def cell_pj(self) -> Number:
        longest_ns = pulse_ns(self.input_bits, self.pulse_clock_ghz, 0.0)
        return self.cell.read_energy_pj(longest_ns)

    @property
    def drive(self) -> Converter:
        zero = np.zeros(())
        return Converter(np.asarray(self.driver_pj), np.asarray(self.driver_area_um2), zero)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        """Analog sums of whole operands, scaled vector by vector; the range of output converters is set from data."""
        mode = self.mode(precision)
        bits = min(mode.output_bits, self.adc_bits)
        return AnalogDot(
            mode.input_bits, mode.weight_bits, bits, self.array_rows, per_vector=True, stacked=self.stacked
        )

    def held_rows(self, product: Product) -> int | IntArray:
        return product.k * self.stacked

    def full_load(self) -> Product:
        rows = max(1, self.array_rows // self.stacked)
        return plain_product(1, rows, self.arrays * self.weight_cols, self.weight_bits)
