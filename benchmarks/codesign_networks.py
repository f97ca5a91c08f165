"""The networks of arXiv 2603.03880: five from ONNX files, four written out as its layer files have them.

Those four differ from the models of the same name elsewhere: resnet50 has a stem of three 3 x 3 convolutions and wider
stages; the transformers have 197, 139 and 256 tokens, and count their two products of attention as stationary weights,
with the heads as positions. All weights (by the paper's capacity rule) and MACs are those that its public code states.
"""

from pathlib import Path

from h3c.compiler.codesigning.networks import layers_of_file
from h3c.runtime_sim.imc.layers import Layer, Layers

FILES = {
    "resnet18": "resnet18.legacy17.onnx",
    "vgg16": "vgg16.legacy11.onnx",
    "alexnet": "alexnet.legacy17.onnx",
    "mobilenet_v3": "mobilenet_v3_large.legacy17.onnx",
    "densenet201": "densenet201.legacy17.onnx",
}
"""Files of topology/ in H3C_MODELS."""
FOUR = ("resnet18", "vgg16", "alexnet", "mobilenet_v3")
NINE = (*FOUR, "mobilebert", "densenet201", "resnet50", "vision_transformer", "gpt2_medium")

BITS = {
    "resnet18": 93_431_296,
    "vgg16": 1_106_753_024,
    "alexnet": 488_723_968,
    "mobilenet_v3": 42_879_160,
    "mobilebert": 166_568_640,
    "densenet201": 158_270_976,
    "resnet50": 384_302_848,
    "vision_transformer": 695_275_872,
    "gpt2_medium": 2_843_353_088,
}
"""Cells of one bit that each needs, in the constants of the public code."""


def vectors(inputs: int, outputs: int, count: int) -> Layer:
    """A product of `count` vectors with a matrix."""
    return Layer(inputs, outputs, 1, 1, 1, count, 1)


def square(channels: int, outputs: int, kernel: int, side: int) -> Layer:
    """A convolution with a square kernel and result."""
    return Layer(channels, outputs, kernel, kernel, 1, side, side)


def resnet50() -> list[Layer]:
    """Strides are in the 3 x 3 convolutions; the 1 x 1 before them runs at the larger map."""
    layers = [square(3, 32, 3, 112), square(32, 32, 3, 112), square(32, 64, 3, 112)]
    inputs, side = 64, 56
    for depth, middle, outputs in ((4, 88, 256), (4, 176, 512), (6, 360, 1024), (4, 720, 2048)):
        before, side = side, (side if middle == 88 else side // 2)
        for block in range(depth):
            at = before if block == 0 else side
            layers += [square(inputs, middle, 1, at), square(middle, middle, 3, side), square(middle, outputs, 1, side)]
            if block == 0:
                layers.append(square(inputs, outputs, 1, side))
            inputs = outputs
    return [*layers, vectors(2048, 1000, 1)]


def vision_transformer() -> list[Layer]:
    """ViT-B/16 with 197 tokens."""
    block = [vectors(768, 768, 197)] * 4 + [vectors(768, 3072, 197), vectors(3072, 768, 197)]
    block += [vectors(197, 197, 12), vectors(197, 64, 12)]
    return [square(3, 768, 16, 14), *block * 12, vectors(768, 1000, 1)]


def mobilebert() -> list[Layer]:
    """139 tokens, 24 blocks of 17 products."""
    tokens = 139
    bottlenecks = [vectors(512, 128, tokens)] * 2
    attention = [vectors(128, 128, tokens)] * 2 + [vectors(512, 128, tokens)]
    attention += [vectors(tokens, tokens, 4), vectors(tokens, 32, 4), vectors(128, 128, tokens)]
    feed = [vectors(128, 512, tokens), vectors(512, 128, tokens)] * 4
    return [vectors(384, 512, tokens), *(bottlenecks + attention + feed + [vectors(128, 512, tokens)]) * 24]


def gpt2_medium() -> list[Layer]:
    """256 tokens, each of which goes through the head of the language model."""
    block = [vectors(1024, 3072, 256), vectors(1024, 1024, 256), vectors(1024, 4096, 256), vectors(4096, 1024, 256)]
    block += [vectors(256, 256, 16), vectors(256, 64, 16)]
    return [*block * 24, vectors(1024, 50257, 256)]


WRITTEN = {
    "resnet50": resnet50,
    "vision_transformer": vision_transformer,
    "mobilebert": mobilebert,
    "gpt2_medium": gpt2_medium,
}


def networks(folder: Path, names: tuple[str, ...]) -> dict[str, Layers]:
    """The layers of these networks; `folder`: that of the ONNX files."""
    listed = {name: WRITTEN[name]() if name in WRITTEN else layers_of_file(folder / FILES[name], {}) for name in names}
    return {name: Layers.of(layers) for name, layers in listed.items()}
