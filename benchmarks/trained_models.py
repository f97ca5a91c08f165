"""The trained models of H3C_MODELS: their data as each expects it, what they should compute, and how good that is."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = NDArray[Any]

DATA = {"digits": "digits", "ic": "cifar10", "kws": "kws01", "mnist": "mnist", "sww": "sww", "tinygpt": "tinygpt_text"}
"""The file of samples by the first word of a model's name."""
MADE_UP = 64
"""Samples for models without data."""


class BipolarQuant(OpRun):
    """An operator of the mnist_tfc models, as QONNX defines it."""

    op_domain = "onnx.brevitas"

    def _run(self, x: Array, scale: Array) -> tuple[Array]:
        return (np.where(x >= 0, scale, -scale).astype(np.float32),)


class Quant(OpRun):
    """Another one, with ties to even."""

    op_domain = "onnx.brevitas"

    def _run(self, x: Array, scale: Array, zero: Array, bits: Array, **attributes: Any) -> tuple[Array]:
        narrow = attributes["narrow"]
        low = -(2 ** (bits - 1)) + narrow if attributes["signed"] else 0.0
        high = 2 ** (bits - 1) - 1 if attributes["signed"] else 2**bits - 1 - narrow
        return (((np.clip(np.round(x / scale + zero), low, high) - zero) * scale).astype(np.float32),)


@dataclass(frozen=True)
class TrainedModel:
    """One model and its samples, none of them left out."""

    path: Path

    @cached_property
    def graph(self) -> onnx.GraphProto:
        return onnx.load(self.path).graph

    @property
    def input_name(self) -> str:
        return self.graph.input[0].name

    @property
    def output_name(self) -> str:
        return self.graph.output[0].name

    @property
    def open_dimensions(self) -> list[str]:
        """The symbolic dimensions of the input; all stand for a batch."""
        return sorted({dim.dim_param for dim in self.graph.input[0].type.tensor_type.shape.dim if dim.dim_param})

    @property
    def family(self) -> str:
        return self.path.stem.replace(".", "_").split("_")[0]

    @cached_property
    def samples(self) -> tuple[Array, Array | None]:
        """(inputs, labels), prepared as the model was trained; made up, without labels, where there are no data."""
        tensor = self.graph.input[0].type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if self.family not in DATA:
            shape = [max(dim.dim_value, 1) for dim in tensor.shape.dim][1:]
            values = np.random.default_rng(0).integers(-128, 128, (MADE_UP, *shape))
            return (values if dtype == np.int8 else values / 128).astype(dtype), None
        data = np.load(self.path.parent / f"{DATA[self.family]}.npz")
        if self.family == "tinygpt":
            return data["test_tokens"][:, :-1].astype(dtype), data["test_tokens"][:, 1:]
        x = data["x_test_int8"] if "x_test_int8" in data else data["x_test"]
        if self.family == "kws" and dtype == np.float32:
            x = (x.astype(np.float32) - np.float32(data["zero_point"])) * data["scale"]
        elif self.family == "ic" and dtype == np.int8:
            x = x.astype(np.int16) - 128
        elif "tfc" in self.path.stem:
            x = x / np.float32(255)
        return x.astype(dtype), data["y_test"]

    def reference(self) -> Array:
        """The first output by onnxruntime without graph optimisations, one execution at a time."""
        x = self.samples[0]
        if "tfc" in self.path.stem:  # onnxruntime lacks their operators
            model = onnx.load(self.path)
            model.opset_import.add(domain="onnx.brevitas", version=1)
            # onnx.reference takes BatchNormalization of opset 9 for training, which at this momentum changes nothing.
            for attribute in (a for node in model.graph.node for a in node.attribute if a.name == "momentum"):
                attribute.f = 1.0
            evaluator = ReferenceEvaluator(model, new_ops=[BipolarQuant, Quant])
            feeds = [{self.input_name: x[[i]]} for i in range(len(x))]
            return np.concatenate([np.asarray(next(iter(evaluator.run(None, feed)))) for feed in feeds])
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(self.path, options, ["CPUExecutionProvider"])
        outputs = [np.asarray(session.run(None, {self.input_name: x[[i]]})[0]) for i in range(len(x))]
        return np.concatenate(outputs)

    def quality(self, outputs: Array) -> float | None:
        """Top-1 as a fraction, of tinygpt the perplexity; None without labels."""
        labels = self.samples[1]
        if labels is None:
            return None
        if self.family != "tinygpt":
            return float((outputs.argmax(-1) == labels).mean())
        logits = outputs.astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        likelihood = np.take_along_axis(logits, labels[..., None].astype(np.int64), -1)[..., 0]
        return float(np.exp((np.log(np.exp(logits).sum(-1)) - likelihood).mean()))
