"""A plan under noise: realisations of its chip's devices, each met at any number of ages.

The plan first runs at its default precision, which sets the ranges of converters. Then each realisation programs its
weights once and is read at every age. A tier's weights are drawn once a part, also where there are copies: each vector
meets one copy, so that copies average nothing, and their scatter among each other is not simulated.

Global compensation is as published: a gain an array from the mean magnitude of one-hot reads. With compensation
`offset` reads count with the signs that the weights should have, which noise does not bias, and trim inputs run through
the realisation at each age, layer by layer: each product with held weights, digital ones too, gets the offsets that
restore the clean mean of its outputs, and one gain that restores their size, before they pass on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp, StringAttr

from ...dialects.tile import MvmOp, ProgramOp, SegmentOp
from ..arithmetic import BitSerial, bit_planes
from ..errors import InputError, where
from ..interface import checked_inputs
from ..kinds.noise import Compensation, NoiseModel
from ..matrix_product import CALIBRATION_EXECUTIONS, Intended, MatrixProduct
from ..numbers import NumbersReport, PlanRun
from ..quantise import plain
from ..walk import definition, main_function
from ..weights import STORE, WeightStore
from .part_noise import PartNoise
from .place import Gain, PartPlace
from .streams import TRIM, VECTORS, Streams
from .trim import trim_inputs

Array = NDArray[Any]

COMPENSATION = "h3.compensation"
"""An attribute of a module: the compensation that its plan was made for, in place of what its tiers say."""

GAINS: Mapping[Compensation, Gain | None] = {"none": None, "global": "magnitude", "offset": "signed"}
"""How gains are found, by what is done about drift."""


class NoisyPlan(PlanRun):
    """A plan with its data, ready for realisations.

    `compensation`: in place of what the tiers say; `exact_adc`: bit-serial arrays convert bit by bit and slice by slice
    instead of statistically. `plain`: the outputs at default precision without noise, and `report` on them; if they are
    not asked for, only of those executions that set the ranges of converters. `runs`: executions so far, those
    of trims included.
    """

    def __init__(
        self,
        module: ModuleOp,
        inputs: Mapping[str, Array],
        *,
        seed: int = 0,
        compensation: Compensation | None = None,
        exact_adc: bool = False,
        store: WeightStore = STORE,
        plain: bool = True,
    ):
        super().__init__(module, ideal=False, store=store, stack=True)
        self._seed, self._exact_adc = seed, exact_adc
        self._compensation: Compensation | None = compensation or _made_for(module)
        self._activity: dict[MvmOp, Array] = {}
        self._noises: dict[MvmOp, PartNoise] = {}
        self._clean: dict[MvmOp, Intended] | None = None
        self._arguments, self.executions = checked_inputs(main_function(module), inputs)
        self._trim: tuple[list[Array], int] | None = None
        self._trimming = False
        first = self.executions if plain else min(self.executions, CALIBRATION_EXECUTIONS)
        self.runs = 0
        self.plain = self._all([array[:first] for array in self._arguments], first)
        self.numbers: NumbersReport = self.report(first)
        self._prepare()

    @property
    def noisy(self) -> bool:
        """Whether anything on the chip errs in this plan."""
        return bool(self._noises)

    def _prepare(self) -> None:
        for index, (op, product) in enumerate(self.products.items()):
            model = self.chip.tier(op.tier_name).noise
            if model is not None:
                place = PartPlace(
                    where(op),
                    Streams(self._seed, index),
                    fresh=_written_each_time(op),
                    full=product.full,
                    activity=self._activity.get(op),
                    gain=GAINS[self._compensation_of(model)],
                    exact_adc=self._exact_adc,
                )
                self._noises[op] = PartNoise(model, product.arithmetic, product.static, place)
        tiers = (self.chip.tier(op.tier_name).noise for op in self.products)
        if any(self._compensation_of(model) == "offset" for model in tiers if model is not None):
            self._trim = checked_inputs(main_function(self._module), trim_inputs(self._module, self._store))
            digital = _Digital(self._module, self._store)
            digital.execute(*self._trim)
            self.runs += self._trim[1]
            self._clean = {op: digital.intended[op] for op in self.products if op in digital.intended}

    def _compensation_of(self, model: NoiseModel) -> Compensation:
        return model.compensation if self._compensation is None else self._compensation

    def realise(self, realisation: int, ages_s: Sequence[float]) -> list[dict[str, Array]]:
        """The outputs by name, of all samples, at each age of a realisation; it depends on no other."""
        self.write_weights(realisation)
        found: list[dict[str, Array]] = []
        for age_s in ages_s:
            self.set_age(age_s)
            found.append(self.forward())
        return found

    def write_weights(self, realisation: int) -> None:
        """Write the weights of a realisation."""
        for noise in self._noises.values():
            noise.program(realisation)

    def set_age(self, age_s: float) -> None:
        """Let the realisation have this age: read its weights, and trim it where that is asked for."""
        if self._trim is not None:
            self._set(age_s, TRIM)
            self._trimming = True
            self.execute(*self._trim)
            self.runs += self._trim[1]
            self._trimming = False
        self._set(age_s, VECTORS)

    def forward(self) -> dict[str, Array]:
        """The outputs by name, of all samples; another call meets other noise of reads."""
        return self._all(self._arguments, self.executions)

    def _all(self, arguments: list[Array], executions: int) -> dict[str, Array]:
        self.runs += executions
        return self.outputs(arguments, executions)

    def _set(self, age_s: float, purpose: int) -> None:
        for op, noise in self._noises.items():
            product = self.products[op]
            product.arithmetic, product.static = noise.at(age_s, purpose)

    def multiply(self, op: MvmOp, product: MatrixProduct, x: Array) -> Array:
        if self._trimming and self._clean is not None and op in self._clean:
            return product.trim(x, self._clean[op])
        if not self._noises and op not in self._activity and isinstance(product.arithmetic, BitSerial):
            self._activity[op] = bit_activity(product, x[:CALIBRATION_EXECUTIONS])
        return product.run(x)


class _Digital(PlanRun):
    """The digital model on the trim inputs; keeps the outputs of each product with held weights."""

    def __init__(self, module: ModuleOp, store: WeightStore):
        super().__init__(module, ideal=True, store=store, stack=True)
        self.intended: dict[MvmOp, Intended] = {}

    def multiply(self, op: MvmOp, product: MatrixProduct, x: Array) -> Array:
        self.intended[op] = product.intended(x)
        return product.run(x)


def _made_for(module: ModuleOp) -> Compensation | None:
    """The compensation that a plan was made for, if it says so."""
    attribute = module.attributes.get(COMPENSATION)
    if attribute is None:
        return None
    for name in GAINS:
        if attribute == StringAttr(name):
            return name
    raise InputError(f"{COMPENSATION}: expected one of {', '.join(GAINS)}, got {attribute}")


def _written_each_time(op: MvmOp) -> bool:
    """Whether an mvm's weights are written, or modulated, at each execution."""
    owner = definition(op.w).owner
    if not isinstance(owner, ProgramOp):
        return True
    segment = owner.parent_op()
    return not (isinstance(segment, SegmentOp) and segment.once)


def bit_activity(product: MatrixProduct, x: Array) -> Array:
    """How often each bit of the input codes is set, the sign's last."""
    unit = product.arithmetic
    assert isinstance(unit, BitSerial)
    codes = unit.inputs(plain(x), product.part.zero_point).values
    found = np.zeros(unit.input_bits + 1)
    for plane, worth in bit_planes(codes, unit.input_bits):
        bit = unit.input_bits if worth < 0 else worth.bit_length() - 1
        found[bit] = plane.mean(dtype=np.float64)
    return found
