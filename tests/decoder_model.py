"""A small decoder with a cache of keys and values, whose dimensions of tokens are symbolic."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

WIDTH, HEADS, WORDS = 64, 2, 96
LAYER = """
    q@ = MatMul(x@, wq@)
    k@ = MatMul(x@, wk@)
    v@ = MatMul(x@, wv@)
    qs@ = Reshape(q@, split)
    ks@ = Reshape(k@, split)
    vs@ = Reshape(v@, split)
    qh@ = Transpose<perm = [0, 2, 1, 3]>(qs@)
    kh@ = Transpose<perm = [0, 2, 1, 3]>(ks@)
    vh@ = Transpose<perm = [0, 2, 1, 3]>(vs@)
    present_k@ = Concat<axis = 2>(past_k@, kh@)
    present_v@ = Concat<axis = 2>(past_v@, vh@)
    kt@ = Transpose<perm = [0, 1, 3, 2]>(present_k@)
    s@ = MatMul(qh@, kt@)
    p@ = Softmax<axis = 3>(s@)
    a@ = MatMul(p@, present_v@)
    at@ = Transpose<perm = [0, 2, 1, 3]>(a@)
    am@ = Reshape(at@, merge)
    o@ = MatMul(am@, wo@)
    y@ = Add(x@, o@)
    u@ = MatMul(y@, wu@)
    r@ = Relu(u@)
    d@ = MatMul(r@, wd@)
    x# = Add(y@, d@)
"""


def write_decoder(path: Path, layers: int = 1) -> Path:
    """Tokens are of dimension `seq`, cached ones of `past`; `batch` sequences."""
    head = WIDTH // HEADS
    inputs, outputs = ["int64[batch, seq] ids"], [f"float[batch, seq, {WORDS}] logits"]
    for layer in range(layers):
        inputs += [f"float[batch, {HEADS}, past, {head}] past_{name}{layer}" for name in "kv"]
        outputs += [f"float[batch, {HEADS}, total, {head}] present_{name}{layer}" for name in "kv"]
    body = "x0 = Gather(table, ids)" + "".join(
        LAYER.replace("@", str(layer)).replace("#", str(layer + 1)) for layer in range(layers)
    )
    body += f"logits = MatMul(x{layers}, head)"
    graph = f"decoder ({', '.join(inputs)}) => ({', '.join(outputs)})"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {graph} {{ {body} }}')
    rng = np.random.default_rng(0)
    sizes = {"table": (WORDS, WIDTH), "head": (WIDTH, WORDS)}
    for layer in range(layers):
        sizes |= {f"w{name}{layer}": (WIDTH, WIDTH) for name in "qkvo"}
        sizes |= {f"wu{layer}": (WIDTH, 4 * WIDTH), f"wd{layer}": (4 * WIDTH, WIDTH)}
    weights = {name: rng.normal(size=size).astype(np.float32) / 8 for name, size in sizes.items()}
    weights |= {"split": np.array([0, 0, HEADS, head]), "merge": np.array([0, 0, WIDTH])}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.save(model, path)
    return path
