"""CPU time of noisy forward passes: 64 images through ResNet-18 (CIFAR stem), and a 512 x 512 layer at batch 256.

    python benchmarks/noisy_forward.py [--images 64] [--repeats 3]

Both run as plans on `lionheart` with all of its noise: input converters, noise of each read, noise of outputs, output
converters, a gain an array. Weights are random, programmed before the clock starts. Exits with 1 above 5 CPU seconds,
or 10 ms for the layer (AIHWKIT's C++ tile takes 25 s and 30 ms for the like on such a machine). One thread, as those of
OpenBLAS that wait count too.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import numpy as np
import onnx
import onnx.helper as oh
import onnx.numpy_helper as onh
from measuring import measure
from numpy.typing import NDArray

from h3c.compiler.plan_files import read_module
from h3c.runtime_sim.chip import chip_from_tree, chip_tree
from h3c.runtime_sim.chip_ir import chip_from_ir, chip_op, chip_to_ir
from h3c.runtime_sim.quality.realisations import NoisyPlan

Array = NDArray[Any]

NOISE = {"model": "pcm", "output_noise": 0.06, "compensation": "global"}
BARS_S = {"ResNet-18": 5.0, "512 x 512, batch 256": 0.010}
DAY_S = 86400.0


class Network:
    """An ONNX graph with random weights, written node by node."""

    def __init__(self, seed: int = 0):
        self._rng = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """A node's output."""
        name = f"v{len(self._nodes)}"
        self._nodes.append(oh.make_node(kind, inputs, [name], name=f"{kind}.{len(self._nodes)}", **attributes))
        return name

    def weight(self, *shape: int) -> str:
        """A weight that keeps the variance of a ReLU network."""
        name = f"w{len(self._weights)}"
        values = self._rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))
        self._weights.append(onh.from_array(values.astype(np.float32), name))
        return name

    def convolution(self, x: str, inputs: int, outputs: int, size: int, stride: int) -> str:
        """A convolution; its normalisation is taken to be folded."""
        pads = [size // 2] * 4
        return self.node("Conv", [x, self.weight(outputs, inputs, size, size)], strides=[stride] * 2, pads=pads)

    def save(self, path: Path, x_shape: list[int], y: str, y_shape: list[int]) -> None:
        """Write the model with input `x` and output `y`."""
        infos = [oh.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", x_shape), (y, y_shape))]
        graph = oh.make_graph(self._nodes, path.stem, infos[:1], infos[1:], self._weights)
        onnx.save(oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=8), path)


def resnet18(path: Path) -> None:
    """ResNet-18 for 32 x 32 images: 0.555 G MACs an image, 11.2 M weights."""
    net = Network()
    x = net.node("Relu", [net.convolution("x", 3, 64, 3, 1)])
    inputs = 64
    for outputs, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        y = net.node("Relu", [net.convolution(x, inputs, outputs, 3, stride)])
        y = net.convolution(y, outputs, outputs, 3, 1)
        shortcut = x if stride == 1 and inputs == outputs else net.convolution(x, inputs, outputs, 1, stride)
        x, inputs = net.node("Relu", [net.node("Add", [y, shortcut])]), outputs
    flat = net.node("Flatten", [net.node("GlobalAveragePool", [x])])
    net.save(path, [1, 3, 32, 32], net.node("Gemm", [flat, net.weight(10, 512)], transB=1), [1, 10])


def layer(path: Path) -> None:
    """One fully connected layer."""
    net = Network()
    net.save(path, [256, 512], net.node("MatMul", ["x", net.weight(512, 512)]), [256, 512])


def cpu_seconds(model: Path, x: Array, repeats: int) -> tuple[float, float]:
    """(least CPU time of a pass over `x` under noise, CPU time of programming and of reading at an age)."""
    plan_file = model.with_suffix(".mlir")
    done = measure(
        "h3c", model, "--target", "lionheart", "--strategy", "homogeneous:pcm", "-o", plan_file, folder=model.parent
    )
    if done.status:
        raise SystemExit(done.said)
    module = read_module(plan_file)
    old, tree = chip_op(module), chip_tree(chip_from_ir(module))
    tree["tiers"]["pcm"]["noise"] = NOISE
    module.body.block.insert_op_before(chip_to_ir(chip_from_tree(tree, "lionheart")), old)
    old.detach()
    plan = NoisyPlan(module, {"x": x})
    start = time.process_time()
    plan.write_weights(0)
    plan.set_age(DAY_S)
    written = time.process_time() - start
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        plan.forward()
        best = min(best, time.process_time() - start)
    return best, written


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(1)
    print("| what | CPU s | at most | programming and reading once, CPU s |")
    print("|---|---|---|---|")
    kept = True
    with tempfile.TemporaryDirectory(prefix="h3c-noisy-") as name:
        folder = Path(name)
        resnet18(folder / "resnet18.onnx")
        layer(folder / "layer.onnx")
        images = rng.random((arguments.images, 3, 32, 32), dtype=np.float32)
        vectors = rng.normal(size=(256, 512)).astype(np.float32)
        cases = (("ResNet-18", "resnet18", images, 1), ("512 x 512, batch 256", "layer", vectors, 7))
        for title, stem, x, times in cases:
            seconds, written = cpu_seconds(folder / f"{stem}.onnx", x, times * arguments.repeats)
            bar = BARS_S[title]
            kept = kept and seconds <= bar
            print(f"| {title} | {seconds:.4g} | {bar:g} | {written:.3g} |", flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
