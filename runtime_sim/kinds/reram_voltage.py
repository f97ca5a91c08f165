"""ReRAM arrays read in voltage mode: a neuron at each column integrates and converts, without a separate ADC."""

from pydantic import model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..components.cells import NamedCell, cell_area_um2
from ..components.neurons import conversion_steps, integration_steps, magnitude_bits, phases, word_line_pj
from .arrays import ArrayFigures, ArrayTier
from .base import NonNegative, Positive


class VoltageReRam(ArrayTier):
    """NeuRRAM (Wan et al., Nature 2022): `array_rows` pairs of differential rows, one neuron a column.

    A neuron converts to `output_bits`, which are `adc_bits`. A word line is switched for each magnitude bit.
    """

    technology_nm: Positive
    cell: NamedCell
    integrate_ns: Positive
    """One sample of a column, settling included; `step_ns` one step of the converter."""
    step_ns: Positive
    phase_ns: NonNegative
    """Between integrating and converting."""
    sample_pj: NonNegative
    """Sampling one magnitude bit; `integrate_pj` one integration step, `step_pj` one step of converter and adder."""
    integrate_pj: NonNegative
    step_pj: NonNegative
    word_line_cell_ff: NonNegative
    word_line_driver_ff: NonNegative
    word_line_v: Positive
    neuron_area_um2: NonNegative
    """Of one column."""
    array_area_um2: NonNegative
    """Drivers and control of one array."""
    leakage_mw: NonNegative
    """Of one array."""

    @model_validator(mode="after")
    def _cells_are_read(self) -> "VoltageReRam":
        self.cell.expect_read_time()
        if self.output_bits != self.adc_bits:
            raise ValueError(f"output_bits: expected the {self.adc_bits} of adc_bits, got {self.output_bits}")
        return self

    @property
    def figures(self) -> ArrayFigures:
        bits, integrations = magnitude_bits(self.input_bits), integration_steps(self.input_bits)
        conversions = conversion_steps(self.input_bits, self.adc_bits)
        line_pj = word_line_pj(2 * self.array_rows, self.word_line_cell_ff, self.word_line_driver_ff, self.word_line_v)
        times_ns = (
            integrations * self.integrate_ns + conversions * self.step_ns + phases(self.input_bits) * self.phase_ns
        )
        neuron_pj = bits * self.sample_pj + integrations * self.integrate_pj
        cells = self.cells_a_weight
        return ArrayFigures(
            operation_ns=times_ns,
            weight_pj=cells * 2 * bits * self.cell.read_energy_pj(),
            digital_pj=cells * bits * line_pj,
            adc_pj=cells * (neuron_pj + conversions * self.step_pj),
            write_row_ns=self.cell.write_pulses * self.cell.write_ns,
            write_weight_pj=cells * 2 * self.cell.write_pulses * self.cell.write_pj,
        )

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Cells, neurons and drivers."""
        cells_um2 = 2 * self.array_rows * self.array_cols * cell_area_um2(self.cell.area_f2, self.technology_nm)
        neurons_um2 = self.array_cols * self.neuron_area_um2
        return self.arrays * (cells_um2 + neurons_um2 + self.array_area_um2) * 1e-6  # pyright: ignore[reportReturnType]

    @property
    def static_power_mw(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Leakage of all arrays."""
        return self.arrays * self.leakage_mw

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        """Analog sums of whole operands; the converter's range is set from data."""
        mode = self.mode(precision)
        return AnalogDot(mode.input_bits, mode.weight_bits, mode.output_bits, self.array_rows)
