"""Train the models of this folder on the UCI handwritten digits and export them to ONNX.

    python -m venv build/maker
    build/maker/bin/pip install torch==2.13.0 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.31.1 onnxscript==0.7.2
    build/maker/bin/python models/make_digits.py

Torch, scikit-learn and onnxscript are tools of the maker: h3c needs none of them. Seeds are fixed and one thread is
used, so that the same versions on the same kind of machine give the same files. Takes about half a minute.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

HERE = Path(__file__).parent
EPOCHS = 60
TEST, CALIBRATION = 600, 200


def conv_block(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    """Convolution of unchanged size, batch normalisation, ReLU."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Module:
    """Plain, depthwise and pointwise convolutions, pooling, and two fully connected layers."""
    return nn.Sequential(
        conv_block(1, 16, 3),
        conv_block(16, 16, 3, groups=16),
        conv_block(16, 32, 1),
        nn.MaxPool2d(2),
        conv_block(32, 32, 3),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Transformer(nn.Module):
    """One pre-norm attention block over the eight rows of an image, each a token of eight pixels."""

    def __init__(self, width: int = 64, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.embed = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.project = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.classify = nn.Linear(width, 10)

    def split(self, x: Tensor) -> Tensor:
        """batch x 8 x width to batch x heads x 8 x (width / heads)"""
        return x.reshape(-1, 8, self.heads, x.shape[-1] // self.heads).transpose(1, 2)

    def attention(self, x: Tensor) -> Tensor:
        query, key, value = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        mixed = scores.softmax(-1) @ value
        return self.project(mixed.transpose(1, 2).reshape(-1, 8, x.shape[-1]))

    def forward(self, image: Tensor) -> Tensor:
        x = self.embed(image.reshape(-1, 8, 8)) + self.position
        x = x + self.attention(self.norm_attention(x))
        x = x + self.mlp(self.norm_mlp(x))
        return self.classify(x.mean(1))


def digits() -> dict[str, np.ndarray]:
    """The 1,797 images as N x 1 x 8 x 8 in 0..1, in three disjoint sets: train, calib and test."""
    source = load_digits()
    images = (source.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    sets = {"test": order[:TEST], "calib": order[TEST : TEST + CALIBRATION], "train": order[TEST + CALIBRATION :]}
    x = {f"x_{name}": images[index] for name, index in sets.items()}
    return x | {f"y_{name}": source.target[index].astype(np.int64) for name, index in sets.items()}


def shifted(x: Tensor) -> Tensor:
    """Each image moved by -1, 0 or 1 pixel both ways: the only augmentation."""
    padded = F.pad(x, (1, 1, 1, 1))
    down, right = torch.randint(0, 3, (2, len(x)))
    return torch.stack([image[:, i : i + 8, j : j + 8] for image, i, j in zip(padded, down, right, strict=True)])


def train(make: Callable[[], nn.Module], data: dict[str, np.ndarray], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = make()
    x, y = torch.from_numpy(data["x_train"]), torch.from_numpy(data["y_train"])
    steps = EPOCHS * (len(x) // 32)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x))[: len(x) // 32 * 32].reshape(-1, 32):
            loss = F.cross_entropy(model(shifted(x[batch])), y[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def export_legacy(model: nn.Module, path: Path) -> None:
    """By the TorchScript exporter; PRESERVE keeps BatchNormalization, which EVAL would fold into the convolutions."""
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        dynamo=False,
        opset_version=17,
        training=torch.onnx.TrainingMode.PRESERVE,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
    )


def export_dynamo(model: nn.Module, path: Path) -> None:
    """By the exporter on torch.export."""
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, 8, 8),),
        str(path),
        dynamo=True,
        opset_version=20,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        external_data=False,
    )
    proto = onnx.load(path)
    # where each node stood in this script: half of the file, of no use to a reader of the model
    for node in proto.graph.node:
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    onnx.save(proto, path)


class Batches(CalibrationDataReader):
    """The calibration images, fifty at a time."""

    def __init__(self, x: np.ndarray):
        self.batches: Iterator[np.ndarray] = iter(np.split(x, 4))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"image": batch}


def export_int8(source: Path, path: Path, x: np.ndarray) -> None:
    """Quantise to int8 in QDQ form: weights symmetric per output channel, activations with a zero point."""
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(path),
            Batches(x),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )


def right(path: Path, data: dict[str, np.ndarray]) -> int:
    """Test images that onnxruntime, without graph optimisations, puts in the right class."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    (logits,) = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"]).run(None, {"image": data["x_test"]})
    return int((np.asarray(logits).argmax(1) == data["y_test"]).sum())


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    data = digits()
    np.savez_compressed(HERE / "digits.npz", **{k: v for k, v in data.items() if not k.endswith("train")})
    export_legacy(train(mlp, data, seed=1), HERE / "digits_mlp.onnx")
    export_legacy(train(cnn, data, seed=2), HERE / "digits_cnn.onnx")
    export_int8(HERE / "digits_cnn.onnx", HERE / "digits_cnn.int8.onnx", data["x_calib"])
    export_dynamo(train(Transformer, data, seed=3), HERE / "digits_transformer.onnx")
    for path in sorted(HERE.glob("*.onnx")):
        onnx.checker.check_model(str(path), full_check=True)
        print(f"{path.name}: {path.stat().st_size} bytes, {right(path, data)} of {TEST} test images right")


if __name__ == "__main__":
    main()
