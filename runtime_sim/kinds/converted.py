"""Arrays whose columns take turns at analog-to-digital converters: what SRAM, ReRAM, PCM and eDRAM tiers share."""

from typing import Annotated

from pydantic import AfterValidator, model_validator

from ..components.converters import ADC_MODELS, DAC_MODELS, Converter, adc
from .arrays import ArrayTier
from .base import Count, NonNegative, Positive


def _one_of(known: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"expected one of {', '.join(known)}, got {name!r}")
        return name

    return AfterValidator(check)


AdcModel = Annotated[str, _one_of(ADC_MODELS)]
DacModel = Annotated[str, _one_of(DAC_MODELS)]


class ConvertedArrays(ArrayTier):
    """Arrays with converters of one model behind their columns (components/converters.py)."""

    technology_nm: Positive
    supply_v: Positive
    adc_model: AdcModel
    adc_rate_gs_per_s: Positive
    """Conversions a nanosecond; the model "zigzag" sets its own time."""
    columns_per_adc: Count
    """Columns (of several that are summed before, groups of them) that take turns at one converter."""
    adc_energy_scale: Positive = 1.0
    """The one constant that is calibrated to a chip's published energy, as fits of converters are good to a factor of
    three; 1: none is."""
    adc_energy_pj: NonNegative | None = None
    """Of one conversion, with the model "measured"; `adc_area_um2` of one converter."""
    adc_area_um2: NonNegative | None = None

    @model_validator(mode="after")
    def _converters_are_told(self) -> "ConvertedArrays":
        told = (self.adc_energy_pj is not None, self.adc_area_um2 is not None)
        if told != (self.adc_model == "measured",) * 2:
            raise ValueError(
                "adc_model: expected 'measured' if and only if adc_energy_pj and adc_area_um2 are given, "
                f"got {self.adc_model!r}"
            )
        if self.columns_per_adc > self.array_cols:
            raise ValueError(
                f"columns_per_adc: expected at most {self.array_cols}, all of an array, got {self.columns_per_adc}"
            )
        return self

    @property
    def converter(self) -> Converter:
        """One converter of columns, not calibrated."""
        return adc(
            self.adc_model,
            self.adc_bits,
            self.adc_rate_gs_per_s,
            self.technology_nm,
            self.supply_v,
            rows=self.array_rows,
            energy_pj=self.adc_energy_pj,
            area_um2=self.adc_area_um2,
        )
