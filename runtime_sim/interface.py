"""Inputs and outputs of a plan by the model's names."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute

from ..dialects.constants import numpy_dtype
from ..dialects.text import unescape
from ..dialects.values import shape_of, tensor_type
from .errors import InputError
from .sessions import Ragged, Same, Values

Array = NDArray[Any]


def argument_names(function: FuncOp) -> list[str]:
    """The model's names of its inputs, in order."""
    return _names(function.arg_attrs, len(function.body.block.args), "input")


def result_names(function: FuncOp) -> list[str]:
    """The model's names of its outputs, in order."""
    return _names(function.res_attrs, len(function.function_type.outputs.data), "output")


def _names(attributes: Attribute | None, count: int, what: str) -> list[str]:
    entries = attributes.data if isinstance(attributes, ArrayAttr) else ()
    names: list[str] = []
    for entry in entries:
        name = entry.data.get("h3.name") if isinstance(entry, DictionaryAttr) else None
        if isinstance(name, StringAttr):
            names.append(unescape(name.data))
    if len(names) != count:
        raise InputError(f"@main: expected h3.name on each of its {count} {what}s, found {len(names)}")
    return names


def checked_inputs(function: FuncOp, inputs: Mapping[str, Array]) -> tuple[list[Array], int]:
    """The inputs in the order of the arguments, each with the executions as its leading axis, and their number.

    Names, types and shapes must fit; samples on the leading axis are divided into executions of the compiled batch.
    """
    names = argument_names(function)
    if unknown := [name for name in inputs if name not in names]:
        raise InputError(f"no input is called {unknown[0]!r}: expected {_listed(names)}")
    if missing := [name for name in names if name not in inputs]:
        raise InputError(f"input {missing[0]!r} is missing: expected {_listed(names)}, got {_listed(list(inputs))}")
    arrays: list[Array] = []
    executions: dict[str, int] = {}
    for name, argument in zip(names, function.body.block.args, strict=True):
        type = tensor_type(argument)
        array = _cast(name, np.asarray(inputs[name]), numpy_dtype(type.element_type))
        shape = shape_of(argument)
        if not shape:
            arrays.append(_scalars(name, array))
            if array.ndim:
                executions[name] = len(array)
            continue
        batch, rest = shape[0], shape[1:]
        fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(rest, array.shape[1:], strict=True))
        if not fits:
            raise InputError(f"input {name!r}: expected shape {[f'n x {batch}', *rest]}, got {list(array.shape)}")
        if batch < 1 or len(array) == 0 or len(array) % batch:
            raise InputError(f"input {name!r}: expected a multiple of {batch} on the leading axis, got {len(array)}")
        executions[name] = len(array) // batch
        arrays.append(array.reshape(-1, batch, *array.shape[1:]))
    counts = set(executions.values()) or {1}
    if len(counts) > 1:
        told = ", ".join(f"{count} of {name!r}" for name, count in executions.items())
        raise InputError(f"the inputs make different numbers of executions: {told}")
    count = counts.pop()
    return [np.broadcast_to(array, (count, *array.shape[1:])) for array in arrays], count


def _scalars(name: str, array: Array) -> Array:
    """A scalar input: one for all executions, or a vector of one an execution."""
    if array.ndim > 1 or array.size == 0:
        raise InputError(f"input {name!r}: expected a number, or a vector of one an execution, got {list(array.shape)}")
    return array.reshape(-1)


def _cast(name: str, array: Array, dtype: np.dtype[Any]) -> Array:
    """`array` in the input's type, if that loses nothing."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise InputError(f"input {name!r}: expected values of type {dtype.name}, got complex numbers")
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            cast = array.astype(dtype)
            exact = np.array_equal(cast.astype(array.dtype), array, equal_nan=array.dtype.kind == "f")
    except (TypeError, ValueError):
        exact, cast = False, array
    if not exact:
        raise InputError(f"input {name!r}: expected values of type {dtype.name}, got {array.dtype.name} that are not")
    return cast


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def outputs_of(names: Sequence[str], pieces: Sequence[Sequence[Values]], counts: Sequence[int]) -> dict[str, Array]:
    """Outputs by name: the results of all executions one after the other on the leading axis.

    `pieces`: results of `counts` executions each.
    """
    outputs: dict[str, Array] = {}
    for index, name in enumerate(names):
        parts = [part for piece, n in zip(pieces, counts, strict=True) for part in _leading(piece[index], n)]
        try:
            outputs[name] = np.concatenate(parts)
        except ValueError:
            shapes = sorted({tuple(part.shape) for part in parts})
            raise InputError(f"output {name!r} has different shapes in different executions: {shapes}") from None
    return outputs


def _leading(value: Values, executions: int) -> list[Array]:
    """Results of some executions, each an array whose leading axis goes on from one to the next."""
    if isinstance(value, Ragged):
        return [np.atleast_1d(array) for array in value.arrays]
    array = np.broadcast_to(value.array, (executions, *value.array.shape)) if isinstance(value, Same) else value.array
    return [array if array.ndim == 1 else array.reshape(-1, *array.shape[2:])]
