"""The language models of the dual-mode comparison as ONNX files, from their dimensions; no weight has a value.

Blocks alone, on hidden states: embedding and last projection are left out, as in the paper's shapes; so are rotary
positions. Digital work (norms, softmax, residual sums, activation) is there.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from dual_mode_shapes import TRANSFORMERS
from onnx import TensorProto, helper, parser

ATTENTION = """
    {norm}
    q@ = MatMul(n@, wq@)
    k@ = MatMul(n@, wk@)
    v@ = MatMul(n@, wv@)
    qs@ = Reshape(q@, split)
    ks@ = Reshape(k@, split)
    vs@ = Reshape(v@, split)
    qh@ = Transpose<perm = [0, 2, 1, 3]>(qs@)
    kh@ = Transpose<perm = [0, 2, 3, 1]>(ks@)
    vh@ = Transpose<perm = [0, 2, 1, 3]>(vs@)
    s@ = MatMul(qh@, kh@)
    ss@ = Mul(s@, scale)
    p@ = Softmax<axis = 3>(ss@)
    a@ = MatMul(p@, vh@)
    at@ = Transpose<perm = [0, 2, 1, 3]>(a@)
    am@ = Reshape(at@, merge)
    o@ = MatMul(am@, wo@)
    y@ = Add(x@, o@)
    {norm_after}
"""
RELU = """
    u@ = MatMul(m@, wu@)
    r@ = Relu(u@)
    d@ = MatMul(r@, wd@)
    x# = Add(y@, d@)
"""
GATED = """
    g@ = MatMul(m@, wg@)
    u@ = MatMul(m@, wu@)
    e@ = Sigmoid(g@)
    f@ = Mul(g@, e@)
    r@ = Mul(f@, u@)
    d@ = MatMul(r@, wd@)
    x# = Add(y@, d@)
"""


def write_language_model(path: Path, name: str, batch: int, length: int, layers: int | None = None) -> Path:
    """Blocks of a model of `TRANSFORMERS`: `layers` of them, or all; `batch` sequences of `length` tokens."""
    depth, width, heads, inner, gated = TRANSFORMERS[name]
    text = ATTENTION.replace("{norm}", _norm("n", "x")).replace("{norm_after}", _norm("m", "y"))
    text += GATED if gated else RELU
    count = depth if layers is None else layers
    body = "".join(text.replace("@", str(i)).replace("#", str(i + 1)) for i in range(count))
    shape = f"float[{batch}, {length}, {width}]"
    signature = f"({shape} x0) => ({shape} x{count})"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> blocks {signature} {{ {body} }}')
    weights: dict[str, tuple[int, ...]] = {"gain": (width,), "shift": (width,)}
    for layer in range(count):
        weights |= {f"w{part}{layer}": (width, width) for part in "qkvo"}
        weights |= {f"w{part}{layer}": (width, inner) for part in ("gu" if gated else "u")}
        weights[f"wd{layer}"] = (inner, width)
    model.graph.initializer.extend(_absent(key, size) for key, size in weights.items())
    head = width // heads
    model.graph.initializer.extend(
        [
            helper.make_tensor("split", TensorProto.INT64, [4], [batch, length, heads, head]),
            helper.make_tensor("merge", TensorProto.INT64, [3], [batch, length, width]),
            helper.make_tensor("scale", TensorProto.FLOAT, [], [head**-0.5]),
        ]
    )
    onnx.save(model, path)
    return path


def _norm(made: str, of: str) -> str:
    return f"{made}@ = LayerNormalization<axis = -1>({of}@, gain, shift)"


def _absent(name: str, size: tuple[int, ...]) -> TensorProto:
    """A float weight whose values are in a file that is not there."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=size, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="absent.bin")
    return tensor
