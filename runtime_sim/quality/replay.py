"""A plan run once without errors, then again and again from one product on, with other results of that product.

Only what depends on the product is computed anew; all else is taken from the first run. So what an error of one
product does to the model's outputs costs the rest of the network only, and many errors share one pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import ReturnOp
from xdsl.ir import Operation, SSAValue

from ...dialects.tile import MvmOp
from ...dialects.values import shape_of
from ..arithmetic import Arithmetic, Exact, Inputs, Weights, held, magnitude
from ..interface import checked_inputs, outputs_of, result_names
from ..matrix_product import MatrixProduct
from ..numbers import PlanRun, largest_value
from ..quantise import Codes
from ..sessions import Each, Ragged, Same, Values
from ..walk import definition, main_function, steps, visit
from ..weights import STORE, WeightStore

Array = NDArray[Any]

VALUE_BYTES = 16 << 20
"""As many executions are run at a time as let the plan's largest value take this much: many regions run, and the memory
of each one's session stays."""


@dataclass(frozen=True)
class Single(Exact):
    """Exact but for the rounding of float32, which is far below the error of any device; twice as fast."""

    def inputs(self, x: Array, zero_point: int) -> Inputs:
        if x.dtype.kind != "f":
            return super().inputs(x, zero_point)
        values = x.astype(np.float32, copy=False)
        return Inputs(values, np.ones((len(x), *[1] * (x.ndim - 1))), 0, magnitude(values))

    def weights(self, w: Array) -> Weights:
        if w.dtype.kind != "f":
            return super().weights(w)
        return held(Codes(w.astype(np.float32, copy=False), np.ones([1] * w.ndim)))


class Replay(PlanRun):
    """A plan with inputs, whose values of the first run stay.

    `executions`: how many the inputs make; `clean`: the model's outputs by name, all executions; `seen`: the results of
    the product `watched` in the last run.
    """

    watched: MvmOp | None = None
    seen: Array | None = None

    def __init__(self, module: ModuleOp, inputs: Mapping[str, Array], store: WeightStore = STORE):
        super().__init__(module, ideal=True, store=store, stack=True)
        self._kept: dict[SSAValue, Values] = {}
        self._recording, self._copies, self._used = True, 1, 0
        self._steps = list(steps(module))
        self._after: dict[MvmOp, list[Operation]] = {}
        self._names = result_names(main_function(module))
        self.at_once = max(1, VALUE_BYTES // largest_value(module))
        """As many executions are run at a time."""
        arguments, self.executions = checked_inputs(main_function(module), inputs)
        self.clean = outputs_of(self._names, [self.execute(arguments, self.executions)], [self.executions])
        self._recording = False

    @property
    def mvms(self) -> list[MvmOp]:
        """The plan's products in their order."""
        return [op for op in self._steps if isinstance(op, MvmOp)]

    def macs(self, op: MvmOp) -> int:
        """Multiply-accumulates of a product in one execution."""
        rows = prod(shape_of(op.result)) if op.window is not None else prod(shape_of(op.x)) * op.outputs
        return rows * (prod(shape_of(op.w)[1:]) if op.window is not None else 1)

    def value(self, value: SSAValue) -> Array | None:
        """A value in all executions; None if it is not one array an execution."""
        kept = self._kept.get(definition(value))
        return kept.array if isinstance(kept, Each) else None

    def outputs_with(self, op: MvmOp, results: Array, executions: int) -> dict[str, Array]:
        """The model's outputs by name if the product `op` gives `results`.

        `results`: copies x `executions` on the leading axis, the first `executions` of the inputs over and over.
        """
        self._copies, self._used = len(results) // executions, executions
        self._values, self._readers, self._executions = {}, {}, len(results)
        self.seen = results if op is self.watched else None
        self._put(op.result, Each(results))
        for step in self.after(op):
            visit(self, step)
        return outputs_of(self._names, [self._results], [len(results)])

    def after(self, op: MvmOp) -> list[Operation]:
        """What depends on the result of `op`, in order, and the return."""
        if op not in self._after:
            changed: set[SSAValue] = {op.result}
            found: list[Operation] = []
            for step in self._steps[self._steps.index(op) + 1 :]:
                if isinstance(step, ReturnOp) or any(definition(value) in changed for value in step.operands):
                    changed.update(step.results)
                    found.append(step)
            self._after[op] = found
        return self._after[op]

    def arithmetic(self, op: MvmOp) -> Arithmetic:
        return Single()

    def multiply(self, op: MvmOp, product: MatrixProduct, x: Array) -> Array:
        results = super().multiply(op, product, x)
        if op is self.watched:
            self.seen = results
        return results

    def _put(self, value: SSAValue, values: Values) -> None:
        if self._recording:
            self._kept[value] = values
        super()._put(value, values)

    def _get(self, value: SSAValue) -> Values:
        value = definition(value)
        if self._recording or value in self._values or value not in self._kept:
            return super()._get(value)
        match self._kept[value]:
            case Same() as same:
                return same
            case Each(array, axis):
                used = array[: self._used]
                return Each(np.broadcast_to(used, (self._copies, *used.shape)).reshape(-1, *used.shape[1:]), axis)
            case Ragged(arrays):
                return Ragged(arrays[: self._used] * self._copies)
