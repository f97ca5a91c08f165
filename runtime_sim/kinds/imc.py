"""A whole chip of in-memory computing macros as one tier, costed as the co-design template does."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import model_validator

from ..arithmetic import AnalogDot, Arithmetic
from ..cost import IntArray, Work, ceil_div, ps_of_ns
from ..errors import InputError
from ..imc.constants import Constants, constants
from ..imc.layers import Layers, layer_of
from ..imc.mapping import WEIGHT_BITS, demand
from ..imc.model import VARIABLES, Designs, area_mm2, components_pj, figures
from ..product import Product
from .base import Count, Positive, Precision, TierKind

if TYPE_CHECKING:
    from ..chip import Chip


class Imc(TierKind):
    """Macros in tiles in groups around a global buffer, all working on one layer at a time (runtime_sim/imc/model.py).

    Every layer is mapped on the whole chip: copies of its weights fill the macros that they leave free, and what is
    larger than the chip passes it in turns. So weights are neither resident nor rewritten as on other tiers: what
    fetching and writing them costs is within the energy of the product, and no link, buffer or memory ever limits its
    time, which is a whole number of cycles. `area_mm2` is that of the whole template, its global buffer included. The
    template prices 5-bit converters but says nothing of values: here they are those of 8-bit inputs, weights, outputs.
    """

    # Nothing limits, and their energy is within the product's; the template has no static power.
    link_in_bytes_per_ns: ClassVar[float] = float("inf")  # pyright: ignore[reportIncompatibleVariableOverride]
    link_out_bytes_per_ns: ClassVar[float] = float("inf")  # pyright: ignore[reportIncompatibleVariableOverride]
    link_energy_pj_per_bit: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]
    static_power_mw: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]

    memory: Literal["rram", "sram"]
    volt: Positive
    bits_per_cell: Count
    cycle_ns: Positive
    rows: Count
    cols: Count
    groups: Count
    tiles_per_group: Count
    macros_per_tile: Count
    glb_depth_2048bit: Count
    """Words of 2048 bits of the global buffer."""
    node_nm: Count

    @model_validator(mode="after")
    def _can_be_priced(self) -> "Imc":
        most = len(self.constants.memory.cell_pj)
        if self.bits_per_cell > most:
            raise ValueError(f"bits_per_cell: expected at most {most} for {self.memory}, got {self.bits_per_cell}")
        try:
            figures(self.designs, self.constants)
        except InputError as error:
            raise ValueError(str(error)) from None
        return self

    @property
    def constants(self) -> Constants:
        """Those of its memory."""
        return constants(self.memory)

    @property
    def designs(self) -> Designs:
        """Its variables as the model takes them."""
        variables = {name: getattr(self, name) for name in VARIABLES if name != "cycle_s"}
        return Designs.of(**variables, cycle_s=np.asarray(self.cycle_ns) * 1e-9)

    @property
    def area_mm2(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Silicon of the whole template."""
        area: Any = area_mm2(self.designs, self.constants)
        return area[()]  # a number, or an array where fields are

    @property
    def weights_at_once(self) -> IntArray:
        """Weights of one layer that all macros hold together."""
        fabric = self.designs.fabric(self.constants)
        return fabric.array_rows * fabric.array_cols * fabric.macros // fabric.cells_a_weight

    def conventions(self) -> str:
        millions = self.weights_at_once / 1e6
        return (
            f"Costs follow the template's conventions. Every layer has the whole chip, {millions:.4g} M weights at a "
            "time; a larger one is loaded in turns. RRAM weights never leave the chip, SRAM weights are "
            "fetched once an execution; writing takes no time. A product of two values made at run time (attention) is "
            "priced as a stationary weight with its heads as positions, so that the MACs priced are not the model's. "
            "No bandwidth limits: latencies are scores to rank by."
        )

    def precisions(self) -> tuple[Precision, ...]:
        return (Precision(8, WEIGHT_BITS, 8),)

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        self.mode(precision)
        return AnalogDot(8, WEIGHT_BITS, 8)

    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        self.mode(precision)
        designs = self.designs
        asked = demand(part_of(product, outputs), designs.fabric(self.constants))
        time_ps = asked.cycles * ps_of_ns(self.cycle_ns)
        energy = components_pj(asked, figures(designs, self.constants))
        # One stage in one chunk: what the template's cycles take, to the picosecond.
        return Work(((f"{name}.arrays", time_ps),), np.ones((), np.int64), energy)


def part_of(product: Product, outputs: ArrayLike) -> Layers:
    """The layers that parts of `outputs` outputs of `product` are: with fewer outputs, or fewer whole groups."""
    layer, outputs = layer_of(product), np.asarray(outputs, np.int64)
    if product.batched or product.groups == 1:
        return replace(Layers.one(layer), outputs=outputs)
    return replace(
        Layers.one(layer), outputs=np.minimum(outputs, product.n), groups=ceil_div(outputs, max(1, product.n))
    )
