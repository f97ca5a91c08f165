"""What every kind of tier has, and what a new kind must say."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from ..arithmetic import Arithmetic, Exact
from ..cost import FloatArray, IntArray, Work, ceil_div, chunk_count, ps_for
from ..errors import InputError
from ..product import Product, plain_product
from .noise import NoiseModel

if TYPE_CHECKING:
    from ..chip import Chip

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0, le=2**31)]
"""How many there are of something; figures that follow from a few of them stay whole numbers of 64 bits."""
Bits = Annotated[int, Field(gt=0, le=64)]


class Fields(BaseModel):
    """A part of the chip: no other fields than those named, each of its own type (no number as text)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Precision:
    """Bits of inputs, weights and outputs of one mode of a tier; its name is e.g. "8-8-8"."""

    input_bits: int
    weight_bits: int
    output_bits: int

    @property
    def name(self) -> str:
        return f"{self.input_bits}-{self.weight_bits}-{self.output_bits}"


class TierKind(Fields, ABC):
    """A kind of tier: its fields, and what an operation on it costs.

    `outputs` and `copies` are int64 arrays that broadcast; no method may loop over them. The fields may be such arrays
    too: `tier.model_copy(update={"clock_ghz": np.linspace(1, 5, 1000)})` is a thousand tiers, priced in one call. So
    methods never branch on the value of a field. Every kind has `area_mm2` and `static_power_mw`, as fields or as
    properties that follow from its components. A user's kind derives from this class and is named in the entry point
    group `h3c.tier_kinds`.
    """

    arrays: ClassVar[int]
    """How many arrays hold weights (a field of kinds that have some); else 0: they are streamed at each execution."""
    dynamic: ClassVar[bool]
    """Whether it takes products whose weight is made at run time (a field of kinds that leave it open); else True."""

    if TYPE_CHECKING:
        # Fields of kinds that are told them, properties of kinds that derive them from components.
        area_mm2: float
        static_power_mw: float

    link_in_bytes_per_ns: Positive
    """From the buffer to the tier; `link_out_bytes_per_ns` is a port of its own."""
    link_out_bytes_per_ns: Positive
    link_energy_pj_per_bit: NonNegative
    noise: SerializeAsAny[NoiseModel] | None = None
    """How it errs; None: it does not, beyond its precision."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        for name, default in (("arrays", 0), ("dynamic", True)):
            if name not in cls.model_fields and name not in cls.__dict__:
                setattr(cls, name, default)

    @abstractmethod
    def precisions(self) -> tuple[Precision, ...]:
        """The modes; the first is the default."""

    def mode(self, precision: str | None) -> Precision:
        """The mode called `precision`; None or "" is the first."""
        modes = self.precisions()
        if not precision:
            return modes[0]
        for mode in modes:
            if mode.name == precision:
                return mode
        raise InputError(f"precision: expected one of {', '.join(mode.name for mode in modes)}, got {precision!r}")

    def endurance(self) -> float | None:
        """Writes that a cell of its arrays survives; None: unlimited."""
        return None

    def arithmetic(self, precision: str | None = None) -> Arithmetic:
        """What it makes of the numbers of a product, in this mode: exact sums, unless a kind says otherwise."""
        return Exact()

    def refuses(self, product: Product) -> str | None:
        """Why the tier cannot take `product`, as a clause ("takes no ..."); None if it can."""
        return None if product.static or self.dynamic else "takes no products of two values made at run time"

    def shuns(self, product: Product) -> str | None:
        """Why the tier should not be given `product` though it can take it, as a clause; None if it may.

        No plan gives a tier what it shuns, but the published baselines that do so (`homogeneous`, `equal`, `random`).
        """
        return None

    def granularity(self, product: Product) -> int:
        """Outputs of one block of the tier: a part of a multiple of it wastes nothing."""
        return 1 if product.batched or product.groups == 1 else product.n

    def conventions(self) -> str | None:
        """What a reader of its figures has to know, as sentences, where they follow rules that other kinds do not."""
        return None

    def full_load(self) -> Product | None:
        """A product that keeps the whole tier busy: its rate and energy are the tier's peak. None: it has no peak.

        By default one whose sides are multiples of most sizes of cores, so long that what is left over is nothing.
        """
        side = 55440  # 2^4 3^2 5 7 11
        return plain_product(side, side, side)

    def arrays_needed(self, product: Product, outputs: ArrayLike) -> IntArray:
        """Arrays that one copy of `outputs` outputs takes."""
        return np.zeros(np.shape(outputs), np.int64)

    @abstractmethod
    def mvm(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: ArrayLike,
        copies: ArrayLike,
        precision: str | None = None,
    ) -> Work:
        """The products of `outputs` outputs on this tier, called `name`."""

    def program(self, name: str, chip: "Chip", product: Product, outputs: ArrayLike, copies: ArrayLike) -> Work:
        """Writing the weights of `outputs` outputs into the arrays; only kinds with arrays have it."""
        raise NotImplementedError(f"tier {name} has no arrays to program")

    def streamed(
        self,
        name: str,
        chip: "Chip",
        product: Product,
        outputs: IntArray,
        compute: tuple[str, IntArray],
        energy_pj: Mapping[str, FloatArray],
        weight_bits: int = 0,
    ) -> Work:
        """The work of a product whose x, y (and weights, if `weight_bits` > 0) move between memory and tier once.

        Everything passes the buffer; what is off chip passes it twice (in and out). `compute` is the middle stage.
        Scale, bias and activation are done on the way out and are within the energy of the product.
        """
        blocks = outputs * product.blocks_a_part
        x_bits = ceil_div(product.input_elements * _groups_read(product, outputs), product.groups) * product.input_bits
        w_bits = blocks * (product.k * weight_bits)
        y_bits = blocks * (product.m * product.output_bits)
        dram_in = (x_bits if product.x_off_chip else 0) + (w_bits if product.w_off_chip else 0)
        dram_out = y_bits if product.y_off_chip else 0
        in_bits = x_bits + w_bits
        reads_dram = product.x_off_chip or (weight_bits and product.w_off_chip)
        stages = [
            *([("dram.read", ps_for(dram_in, 8 * chip.dram.read_bytes_per_ns))] if reads_dram else []),
            (f"{name}.in", ps_for(in_bits, 8 * self.link_in_bytes_per_ns)),
            compute,
            (f"{name}.out", ps_for(y_bits, 8 * self.link_out_bytes_per_ns)),
            *([("dram.write", ps_for(dram_out, 8 * chip.dram.write_bytes_per_ns))] if product.y_off_chip else []),
        ]
        moved, off = in_bits + y_bits, dram_in + dram_out
        energy = {
            **energy_pj,
            "links": moved * self.link_energy_pj_per_bit,
            "buffer": (moved + off) * chip.buffer.energy_pj_per_bit,
            "dram": off * chip.dram.energy_pj_per_bit,
        }
        chunks = np.asarray(chunk_count(product.m), np.int64)
        return Work(tuple(stages), chunks, {part: np.asarray(pj, np.float64) for part, pj in energy.items()})


def _groups_read(product: Product, outputs: IntArray) -> IntArray:
    """How many blocks' inputs a part reads: a part of a grouped convolution only those of its groups."""
    if product.batched or product.groups == 1:
        return np.asarray(product.groups, np.int64)
    return ceil_div(outputs, max(1, product.n))
