"""A plain evaluator of modules at the onnx and h3 levels: h3 products in float64 or int64, the rest in onnxruntime.

It shares nothing with the simulator's products but the definition of a window's columns, and is what lowering is
tested against.
"""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.dialects.constants import numpy_dtype
from h3c.dialects.h3 import ConvOp, MatmulOp, WeightOp
from h3c.dialects.h3_attributes import Activation
from h3c.dialects.onnx import constant_array
from h3c.dialects.onnx_ops import ConstantOp
from h3c.dialects.values import tensor_type
from h3c.passes.absorb_quantisation import AbsorbQuantisation
from h3c.passes.absorb_transposes import AbsorbTransposes
from h3c.passes.fold_batch_norm import FoldBatchNorm
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.fuse_bias_activation import FuseBiasActivation
from h3c.passes.lower_matrix_ops import LowerMatrixOps
from h3c.passes.model_figures import ModelFigures
from h3c.passes.verify_h3 import VerifyH3
from h3c.runtime_sim.onnx_graph import Program, module_opset
from h3c.runtime_sim.walk import main_function
from h3c.runtime_sim.weights import STORE
from h3c.runtime_sim.windows import Window, columns

Array = NDArray[Any]

needs_models = pytest.mark.skipif(
    "H3C_MODELS" not in os.environ, reason="set H3C_MODELS to a folder of models with trained/, topology/, quirks/"
)


def model_paths(*folders: str) -> list[Path]:
    """The models in these sub-folders of H3C_MODELS; none where it isn't set."""
    root = os.environ.get("H3C_MODELS")
    return sorted(path for folder in folders for path in (Path(root) / folder).glob("*.onnx")) if root else []


def _activated(function: Activation, y: Array) -> Array:
    match function:
        case Activation.NONE:
            return y
        case Activation.RELU:
            return np.maximum(y, 0)
        case Activation.RELU6:
            return np.clip(y, 0, 6)
        case Activation.SIGMOID:
            return 1 / (1 + np.exp(-y))
        case Activation.TANH:
            return np.tanh(y)
        case Activation.GELU:
            return y * 0.5 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))


def _product(op: MatmulOp | ConvOp, x: Array, w: Array, bias: Array | None, scale: Array | None) -> Array:
    exact = np.int64 if x.dtype.kind in "iu" or x.dtype.name.startswith(("int", "uint")) else np.float64
    x, w = x.astype(exact) - op.zero, w.astype(exact)
    if isinstance(op, ConvOp):
        strides, pads, dilations, groups = op.window.lists()
        window = Window(w.shape[2:], strides, pads, dilations, groups)
        seen = columns(x, window)
        y = np.matmul(w.reshape(groups, w.shape[0] // groups, -1), seen)
        y = y.reshape(x.shape[0], w.shape[0], *window.positions(x.shape[2:]))
        along = (-1, *(1 for _ in x.shape[2:]))
    else:
        y = np.matmul(x, w if op.transposed is None else w.swapaxes(-1, -2))
        along = (-1,)
    if scale is not None:
        y = y * scale.astype(np.float64).reshape(along)
    if bias is not None:
        y = y + bias.astype(np.float64).reshape(along)
    result = numpy_dtype(tensor_type(op.result).element_type)
    with np.errstate(over="ignore"):
        return _activated(op.function, y).astype(result)


class Reference:
    """A module made ready to run; inputs and outputs by their h3.name."""

    def __init__(self, module: ModuleOp):
        block = main_function(module).body.block
        func = block.parent_op()
        assert isinstance(func, FuncOp)
        last = block.last_op
        assert isinstance(last, ReturnOp)
        self._arguments, self._returned = block.args, last.operands
        self.inputs = _names(func.arg_attrs)
        self.outputs = _names(func.res_attrs)
        self._steps: list[MatmulOp | ConvOp | tuple[Program, Sequence[SSAValue], Sequence[SSAValue]]] = []
        self._constants: dict[SSAValue, Array] = {}
        versions = module_opset(module)
        pending: list[Operation] = []
        for op in block.ops:
            if isinstance(op, WeightOp):
                self._constants[op.result] = STORE.array(op)
            elif isinstance(op, ConstantOp):
                self._constants[op.results[0]] = constant_array(op)
            if isinstance(op, MatmulOp | ConvOp):
                self._add(pending, versions)
                pending = []
                self._steps.append(op)
            elif op.name.startswith("onnx.") and not isinstance(op, ConstantOp):
                pending.append(op)
        self._add(pending, versions)

    def _add(self, ops: Sequence[Operation], versions: Mapping[str, int]) -> None:
        """Group digital ops into one session."""
        inside = {inner for op in ops for inner in op.walk()}
        made = {value for op in inside for value in op.results}
        blocks = {block for op in inside for region in op.regions for block in region.blocks}
        read = dict.fromkeys(value for op in ops for inner in op.walk() for value in inner.operands)
        inputs = [
            value
            for value in read
            if value not in made
            and value.owner not in blocks
            and value not in self._constants
            and value.type.name != "none"
        ]
        outputs = [
            value
            for op in ops
            for value in op.results
            if value.type.name != "none" and any(use.operation not in inside for use in value.uses)
        ]
        if outputs:
            self._steps.append((Program(ops, inputs, outputs, STORE, versions), inputs, outputs))

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        values = dict(self._constants)
        for name, argument in zip(self.inputs, self._arguments, strict=True):
            values[argument] = np.asarray(inputs[name])
        for step in self._steps:
            if isinstance(step, tuple):
                program, read, made = step
                values.update(zip(made, program([values[value] for value in read]), strict=True))
                continue
            bias, scale = (None if each is None else values[each] for each in (step.bias, step.scale))
            values[step.result] = _product(step, values[step.x], values[step.w], bias, scale)
        return {name: values[value] for name, value in zip(self.outputs, self._returned, strict=True)}


def _names(attributes: Any) -> list[str]:
    found = [entry.data.get("h3.name") for entry in attributes.data] if attributes is not None else []
    return [name.data for name in found if isinstance(name, StringAttr)]


def original(model: onnx.ModelProto | Path) -> ort.InferenceSession:
    """onnxruntime on the model as it was, graph optimisations off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def error_of_range(expected: Array, got: Array) -> float:
    """The largest difference in units of the expected output's range."""
    expected, got = expected.astype(np.float64), got.astype(np.float64)
    assert expected.shape == got.shape
    difference = float(np.max(np.abs(expected - got), initial=0))
    spread = float(np.ptp(expected)) if expected.size else 0.0
    return difference / (spread or max(float(np.max(np.abs(expected), initial=0)), 1.0))


PIPELINE: tuple[ModulePass, ...] = (
    FoldConstants(),
    ModelFigures(),
    FoldBatchNorm(),
    LowerMatrixOps(),
    AbsorbTransposes(),
    AbsorbQuantisation(),
    FuseBiasActivation(),
    VerifyH3(),
)
"""From the reader's module to one that can be placed."""


def run_passes(module: ModuleOp, passes: Sequence[ModulePass] = PIPELINE) -> ModuleOp:
    """`module` after these passes, verified after each."""
    for step in passes:
        step.apply(Context(), module)
        module.verify()
    return module


def model(text: str, opset: int = 17, **weights: Any) -> onnx.ModelProto:
    """A model in ONNX's text syntax, with initialisers."""
    header = f'<ir_version: 9, opset_import: ["": {opset}, "com.microsoft": 1]>'
    parsed = onnx.parser.parse_model(f"{header}\n{text}")
    parsed.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()
    )
    return parsed


def read(source: onnx.ModelProto, folder: Path) -> ModuleOp:
    """A model as the reader gives it."""
    path = folder / "model.onnx"
    onnx.save(source, path)
    return read_onnx(path)


_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


def random_inputs(session: ort.InferenceSession, seed: int = 0) -> dict[str, Array]:
    """Normal numbers, codes over the whole range of small integers, and 0 or 1 for wide ones (indices)."""
    rng = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) else 1 for size in value.shape]
        if value.type in _TYPES:
            found[value.name] = np.asarray(rng.standard_normal(shape), _TYPES[value.type])
        elif value.type == "tensor(bool)":
            found[value.name] = np.asarray(rng.random(shape) < 0.5)
        else:
            dtype = np.dtype(value.type.removeprefix("tensor(").removesuffix(")"))
            low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max + 1) if dtype.itemsize < 4 else (0, 2)
            found[value.name] = np.asarray(rng.integers(low, high, shape), dtype)
    return found


def assert_same(source: onnx.ModelProto | Path, module: ModuleOp, bar: float = 1e-5, samples: int = 2) -> None:
    """`module` computes what onnxruntime computes on `source`, within `bar` of each output's range."""
    session, reference = original(source), Reference(module)
    for seed in range(samples):
        inputs = random_inputs(session, seed)
        got = reference(inputs)
        for output, expected in zip(session.get_outputs(), session.run(None, inputs), strict=True):
            expected = np.asarray(expected)
            assert got[output.name].dtype == expected.dtype
            assert error_of_range(expected, got[output.name]) <= bar, output.name


def products(module: ModuleOp) -> list[MatmulOp | ConvOp]:
    """The h3 products of @main, in order."""
    return [op for op in main_function(module).body.block.ops if isinstance(op, MatmulOp | ConvOp)]


def names(module: ModuleOp) -> list[str]:
    """The names of @main's ops that compute, in order."""
    constants = ("h3.weight", "onnx.Constant", "onnx.NoValue", "func.return")
    return [op.name for op in main_function(module).body.block.ops if op.name not in constants]
