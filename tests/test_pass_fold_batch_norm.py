"""fold-batch-norm: a normalisation after a static product goes into its weight and bias."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h3_reference import assert_same, model, names, read, run_passes
from test_pass_fold_constants import without_values
from xdsl.dialects.builtin import ModuleOp

from h3c.dialects.h3 import WeightOp
from h3c.passes.fold_batch_norm import FoldBatchNorm
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lowering.site import top_ops

RNG = np.random.default_rng(5)
PASSES = (FoldConstants(), FoldBatchNorm())


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def norm(outputs: int) -> dict[str, Any]:
    """gamma, beta, mean and variance."""
    return {"g": floats(outputs), "h": floats(outputs), "m": floats(outputs), "v": np.abs(floats(outputs)) + 0.5}


PRODUCTS = {
    "Conv": ("float[2,4,6,6] x", "c = Conv(x, w)", (6, 4, 3, 3), 6),
    "Conv with bias": ("float[2,4,6,6] x", "c = Conv(x, w, b)", (6, 4, 3, 3), 6),
    "depthwise Conv": ("float[2,4,6,6] x", "c = Conv<group = 4>(x, w, b)", (8, 1, 3, 3), 8),
    "ConvTranspose": ("float[2,4,6,6] x", "c = ConvTranspose(x, w, b)", (4, 6, 3, 3), 6),
    "grouped ConvTranspose": ("float[2,4,6,6] x", "c = ConvTranspose<group = 2>(x, w, b)", (4, 3, 3, 3), 6),
    "Gemm": ("float[3,8] x", "c = Gemm(x, w, b)", (8, 5), 5),
    "Gemm transposed": ("float[3,8] x", "c = Gemm<transB = 1, alpha = 0.5>(x, w)", (5, 8), 5),
    "MatMul": ("float[3,8] x", "c = MatMul(x, w)", (8, 5), 5),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_a_normalisation_after_a_product_is_folded(case: str, tmp_path: Path):
    x, product, w, outputs = PRODUCTS[case]
    dims = ",".join("N" * len(x.split(",")))
    text = f"g ({x}) => (float[{dims}] y) {{ {product}  y = BatchNormalization<epsilon = 0.01>(c, g, h, m, v) }}"
    source = model(text, w=floats(*w), b=floats(outputs), **norm(outputs))
    module = run_passes(read(source, tmp_path), PASSES)
    assert "onnx.BatchNormalization" not in names(module)
    assert_same(source, module)
    assert_same(source, run_passes(module))


KEPT = {
    "before the product": "n = BatchNormalization(x, g, h, m, v)  y = Conv(n, w)",
    "of a value that others use": "c = Conv(x, w)  n = BatchNormalization(c, g, h, m, v)  y = Add(c, n)",
    "alone": "n = BatchNormalization(x, g, h, m, v)  y = Relu(n)",
}


@pytest.mark.parametrize("case", KEPT)
def test_other_normalisations_stay(case: str, tmp_path: Path):
    source = model(f"g (float[2,4,6,6] x) => (float[N,C,H,W] y) {{ {KEPT[case]} }}", w=floats(4, 4, 1, 1), **norm(4))
    module = run_passes(read(source, tmp_path), PASSES)
    assert "onnx.BatchNormalization" in names(module)
    assert_same(source, run_passes(module))


def _weights(module: ModuleOp) -> list[WeightOp]:
    return [op for op in top_ops(module) if isinstance(op, WeightOp)]


def test_an_absent_weight_stays_absent(tmp_path: Path):
    text = "g (float[2,4,6,6] x) => (float[N,C,H,W] y) { c = Conv(x, w)  y = BatchNormalization(c, g, h, m, v) }"
    source = model(text, w=floats(6, 4, 3, 3), **norm(6))
    module = run_passes(without_values(source, tmp_path, "w"), PASSES)
    assert names(module) == ["onnx.Conv"]
    (weight,) = _weights(module)
    assert weight.absent is not None


def test_fills_stay_fills(tmp_path: Path):
    text = (
        "g (float[2,4,6,6] x) => (float[N,C,H,W] y) {"
        "  w = ConstantOfShape<value = float[1] {0.5}>(ws)  one = ConstantOfShape<value = float[1] {3.0}>(ns)"
        "  c = Conv(x, w)  y = BatchNormalization(c, one, one, one, one)"
        "}"
    )
    source = model(text, ws=np.array([96, 4, 3, 3]), ns=np.array([96]))
    module = run_passes(read(source, tmp_path), PASSES)
    assert [op.splat is not None for op in _weights(module)] == [True, True]
    assert_same(source, run_passes(module))
