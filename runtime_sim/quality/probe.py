"""What one product of a plan gives on a tier that errs, everything before it being exact."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ...dialects.tile import MvmOp
from ..arithmetic import BitSerial
from ..errors import where
from ..kinds.noise import Compensation
from ..matrix_product import CALIBRATION_EXECUTIONS, Intended
from .part_noise import PartNoise
from .place import PartPlace
from .realisations import GAINS, bit_activity
from .replay import Replay
from .streams import TRIM, VECTORS, Streams

Array = NDArray[Any]


@dataclass(frozen=True)
class Condition:
    """How devices are met: their age in seconds, what is done about drift (None: what the tier says), the seed."""

    age_s: float
    compensation: Compensation | None = None
    seed: int = 0


class Probe:
    """A product of a plan, run on a tier at its first precision; the weights of the whole product in one part.

    `position` numbers the product among the plan's, so that each has random numbers of its own. All inputs of the
    replay set the range of converters and, with compensation `offset`, the trim; results are of the first `executions`.
    `executions_run`: how many the product has been run on.
    """

    def __init__(
        self, replay: Replay, op: MvmOp, position: int, tier: str, condition: Condition, executions: int
    ) -> None:
        x, w = replay.value(op.x), replay.value(op.w)
        assert x is not None
        self._x, self._w, self._executions, self._condition = x, w, executions, condition
        self.executions_run = 0
        unit = replay.chip.tier(tier)
        self._product = replay.product_by(unit.arithmetic(), op)
        self._clean: Intended | None = None
        # The first of them set the range of output converters.
        exact = self._run(x[: max(CALIBRATION_EXECUTIONS, executions)])
        self._quantised = exact[:executions]
        self._noise: PartNoise | None = None
        model = unit.noise
        if model is not None:
            compensation = condition.compensation or model.compensation
            static = self._product.static is not None
            bits = static and isinstance(self._product.arithmetic, BitSerial)
            place = PartPlace(
                where(op),
                Streams(condition.seed, position),
                fresh=not (static and unit.arrays),
                full=self._product.full,
                activity=bit_activity(self._product, x[:CALIBRATION_EXECUTIONS]) if bits else None,
                gain=GAINS[compensation],
            )
            self._noise = PartNoise(model, self._product.arithmetic, self._product.static, place)
            if compensation == "offset" and static:
                self._clean = replay.products[op].intended(x)

    @property
    def varies(self) -> bool:
        """Whether one realisation differs from another."""
        return self._noise is not None

    def results(self, realisation: int) -> Array:
        """The product's results, (executions, ..), on a realisation of the tier."""
        if self._noise is None:
            return self._quantised
        self._noise.program(realisation)
        if self._clean is not None:
            self._meet(TRIM)
            self._product.trim(self._x, self._clean)
            self.executions_run += len(self._x)
        self._meet(VECTORS)
        return self._run(self._x[: self._executions])

    def _meet(self, purpose: int) -> None:
        assert self._noise is not None
        self._product.arithmetic, self._product.static = self._noise.at(self._condition.age_s, purpose)

    def _run(self, x: Array) -> Array:
        self.executions_run += len(x)
        return self._product.run(x, None if self._product.static is not None or self._w is None else self._w[: len(x)])
