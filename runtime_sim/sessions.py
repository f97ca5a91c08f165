"""Digital regions of a plan in onnxruntime, for all executions at once where batching.py shows that this is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..dialects.onnx import CustomOp
from ..dialects.text import unescape
from ..dialects.tile import DigitalOp, YieldOp
from ..dialects.values import static_weight
from .batching import region_for
from .batching_rules import RANDOM
from .errors import InputError
from .onnx_graph import Program, node_name
from .walk import definition
from .weights import WeightStore

Array = NDArray[Any]


@dataclass(frozen=True)
class Same:
    """A value that is the same in all executions."""

    array: Array


@dataclass(frozen=True)
class Each:
    """A value of each execution: `array` has the executions as its leading axis.

    `axis`: where they were stacked when it was made; other regions try that first.
    """

    array: Array
    axis: int = 0


@dataclass(frozen=True)
class Ragged:
    """A value whose shape depends on the data, one array an execution."""

    arrays: tuple[Array, ...]


Values: TypeAlias = Same | Each | Ragged
"""One value of the plan, in all executions."""


@dataclass
class _Prepared:
    """A region that onnxruntime has loaded, and where executions are stacked in its inputs and outputs."""

    program: Program
    axes: Sequence[int | None]
    result_axes: Sequence[int | None]


class DigitalRegion:
    """One tile.digital, ready to run; its sessions are kept by how many executions they take at once."""

    def __init__(self, op: DigitalOp, opset: Mapping[str, int], store: WeightStore):
        self.op = op
        self._opset, self._store = opset, store
        self._sources = [static_weight(definition(value)) for value in op.ins]
        self.inputs = [value for value, source in zip(op.ins, self._sources, strict=True) if source is None]
        """The operands that are no constants of the model; `run` takes their values."""
        self._constant = not any(inner.name in RANDOM for inner in op.body.walk())
        self._prepared: dict[tuple[int, tuple[int | None, ...]], _Prepared | None] = {}
        self.at_once = False
        """Whether the last run took all executions at once."""

    def run(self, values: Sequence[Values], executions: int, may_stack: bool = True) -> list[Values]:
        """The results for these values of `inputs`. `may_stack=False` runs each execution by itself, for comparison."""
        if self._constant and all(isinstance(value, Same) for value in values):
            return [Same(array) for array in self._single(values, 0)]
        if may_stack and executions > 1:
            for axes in self._placings(values):
                prepared = self._prepare(executions, axes)
                if prepared is not None:
                    self.at_once = True
                    return self._stacked(prepared, values, executions)
        self.at_once = False
        runs = [self._single(values, execution) for execution in range(executions)]
        return [_collected([run[i] for run in runs]) for i in range(len(self.op.outs))]

    def _placings(self, values: Sequence[Values]) -> list[tuple[int | None, ...]]:
        """Along which axis each operand may be stacked, in the order to try: where it was before, then all alike."""
        stacked = [value for value in values if not isinstance(value, Same)]
        if not stacked or any(isinstance(value, Ragged) for value in stacked):
            return []
        own = tuple(value.axis if isinstance(value, Each) else None for value in values)
        alike = [tuple(axis if isinstance(value, Each) else None for value in values) for axis in (0, 1)]
        return list(dict.fromkeys([own, *alike]))

    def _prepare(self, executions: int, axes: tuple[int | None, ...]) -> _Prepared | None:
        """The region for so many executions at once; None if it can't be stacked so."""
        key = (executions, axes)
        if key not in self._prepared:
            self._prepared[key] = self._load(executions, axes)
        return self._prepared[key]

    def _load(self, executions: int, axes: tuple[int | None, ...]) -> _Prepared | None:
        given = iter(axes)
        all_axes = [next(given) if source is None else None for source in self._sources]
        region = region_for(self.op.block, all_axes, self._sources, executions, self._opset[""], self._store)
        if region is None:
            return None
        try:
            program = Program(list(region.block.ops), region.block.args, region.results, self._store, self._opset)
        except InputError as error:
            raise self._blamed(error) from None
        finally:
            region.block.drop_all_references()
        return _Prepared(program, axes, region.result_axes)

    def _call(self, prepared: _Prepared, arrays: Sequence[Array]) -> list[Array]:
        try:
            return prepared.program(arrays)
        except InputError as error:
            raise self._blamed(error) from None

    def _blamed(self, error: InputError) -> InputError:
        """The same error with the node that it is about, as far as that can be told."""
        text = str(error)
        ops = [op for op in self.op.body.walk() if not isinstance(op, YieldOp)]
        named = [op for op in ops if node_name(op) and node_name(op) in text]
        foreign = [op for op in ops if isinstance(op, CustomOp) and unescape(op.op_type.data) in text]
        blamed = next(iter([*named, *foreign, *(op for op in ops if node_name(op))]), None)
        return error if blamed is None else InputError(f"node {node_name(blamed) or blamed.name!r}: {text}")

    def _single(self, values: Sequence[Values], execution: int) -> list[Array]:
        """The results of one execution."""
        prepared = self._prepare(1, (None,) * len(values))
        assert prepared is not None, "one execution needs no proof"
        return self._call(prepared, [of_execution(value, execution) for value in values])

    def _stacked(self, prepared: _Prepared, values: Sequence[Values], executions: int) -> list[Values]:
        """The results of all executions."""
        arrays: list[Array] = []
        for value, axis in zip(values, prepared.axes, strict=True):
            array = of_execution(value, 0) if axis is None or not isinstance(value, Each) else value.array
            arrays.append(array if axis is None else _merged(array, axis))
        results = self._call(prepared, arrays)
        return [
            Same(array) if axis is None else Each(_parted(array, axis, executions), axis)
            for array, axis in zip(results, prepared.result_axes, strict=True)
        ]


def of_execution(value: Values, execution: int) -> Array:
    """The value in one execution."""
    match value:
        case Same():
            return value.array
        case Each():
            return value.array[execution]
        case Ragged():
            return value.arrays[execution]


def _merged(array: Array, axis: int) -> Array:
    """[E, .., d, ..] with d at `axis` of the rest, as [.., E * d, ..]."""
    moved = np.moveaxis(array, 0, axis)
    return moved.reshape(*moved.shape[:axis], moved.shape[axis] * moved.shape[axis + 1], *moved.shape[axis + 2 :])


def _parted(array: Array, axis: int, executions: int) -> Array:
    """The counterpart of `_merged`."""
    shape = array.shape
    if shape[axis] % executions:
        raise ValueError(f"{shape[axis]} along axis {axis} are not {executions} executions")
    parted = array.reshape(*shape[:axis], executions, shape[axis] // executions, *shape[axis + 1 :])
    return np.moveaxis(parted, axis, 0)


def _collected(arrays: Sequence[Array]) -> Values:
    """The results of executions that ran one by one."""
    if all(array.shape == arrays[0].shape for array in arrays):
        return Each(np.stack(arrays))
    return Ragged(tuple(arrays))
