"""absorb-quantisation: products of dequantised values become products of integers, and compute the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import assert_same, model, names, products, read, run_passes
from xdsl.dialects.builtin import IntegerType

from h3c.dialects.h3 import MatmulOp
from h3c.dialects.values import tensor_type
from h3c.passes.absorb_quantisation import AbsorbQuantisation
from h3c.passes.absorb_transposes import AbsorbTransposes
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lower_matrix_ops import LowerMatrixOps

PASSES = (FoldConstants(), LowerMatrixOps(), AbsorbTransposes(), AbsorbQuantisation())
RNG = np.random.default_rng(13)


def codes(dtype: Any, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)


def scales(*shape: int) -> np.ndarray:
    return (RNG.random(shape) * 0.01 + 0.001).astype(np.float32)


def is_integer(value: Any) -> bool:
    return isinstance(tensor_type(value).element_type, IntegerType)


X: dict[str, Any] = {"sx": np.float32(0.02), "zx": np.uint8(117)}
INPUT = "g (uint8[3,8] x) => (float[N,M] y) { xf = DequantizeLinear(x, sx, zx)"

PRODUCTS = {
    "one scale": ("wf = DequantizeLinear(w, sw, zw)  y = MatMul(xf, wf)", (8, 5), (), ()),
    "one an output": ("wf = DequantizeLinear<axis = 1>(w, sw, zw)  y = MatMul(xf, wf)", (8, 5), (5,), (5,)),
    "no zero point": ("wf = DequantizeLinear<axis = 1>(w, sw)  y = MatMul(xf, wf)", (8, 5), (5,), (5,)),
    "transB": ("wf = DequantizeLinear<axis = 0>(w, sw, zw)  y = Gemm<transB = 1>(xf, wf)", (5, 8), (5,), (5,)),
    "Transpose": (
        "wf = DequantizeLinear<axis = 0>(w, sw, zw)  wt = Transpose<perm = [1, 0]>(wf)  y = MatMul(xf, wt)",
        (5, 8),
        (5,),
        (5,),
    ),
    "alpha": ("wf = DequantizeLinear(w, sw, zw)  y = Gemm<alpha = 0.5>(xf, wf)", (8, 5), (), ()),
    "bias": (
        "wf = DequantizeLinear(w, sw, zw)  bf = DequantizeLinear(b, sb)  y = Gemm(xf, wf, bf)",
        (8, 5),
        (),
        (),
    ),
    "reshaped": (
        "wf = DequantizeLinear(w, sw, zw)  r = Reshape(xf, shape)  t = Transpose<perm = [1, 0]>(r)  y = MatMul(t, wf)",
        (8, 5),
        (),
        (),
    ),
}


@pytest.mark.parametrize("case", PRODUCTS)
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_two_dequantised_factors_become_integers(case: str, dtype: Any, tmp_path: Path):
    text, w, s, z = PRODUCTS[case]
    source = model(
        f"{INPUT}  {text} }}",
        w=codes(dtype, *w),
        sw=scales(*s),
        zw=codes(dtype, *z),
        b=RNG.integers(-500, 500, 5).astype(np.int32),
        sb=np.float32(0.001),
        shape=np.array([8, 3]),
        **X,
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert is_integer(op.x)
    assert is_integer(op.w)
    assert op.zero == 117
    assert "onnx.DequantizeLinear" not in names(module)
    assert_same(source, module)


def test_a_convolution_pads_with_its_zero_point(tmp_path: Path):
    source = model(
        "g (int8[1,4,6,6] x) => (float[N,C,H,W] y) {"
        "  xf = DequantizeLinear(x, sx, zx)  wf = DequantizeLinear<axis = 0>(w, sw, zw)  bf = DequantizeLinear(b, sb)"
        "  y = Conv<pads = [1, 1, 1, 1], group = 2>(xf, wf, bf)"
        "}",
        w=codes(np.int8, 6, 2, 3, 3),
        sw=scales(6),
        zw=np.zeros(6, np.int8),
        b=RNG.integers(-500, 500, 6).astype(np.int32),
        sb=np.float32(0.001),
        sx=np.float32(0.02),
        zx=np.int8(-40),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert op.zero == -40
    assert names(module) == ["h3.conv"]
    assert_same(source, module)


FLOATS = {
    "an input of floats": (
        "g (float[3,8] x) => (float[3,5] y) { wf = DequantizeLinear(w, sw)  y = MatMul(x, wf) }",
        (),
    ),
    "a scale an input": (
        f"{INPUT}  wf = DequantizeLinear<axis = 0>(w, sw)  y = MatMul(xf, wf) }}",
        (8,),
    ),
}


@pytest.mark.parametrize("case", FLOATS)
def test_other_dequantised_weights_become_floats(case: str, tmp_path: Path):
    text, s = FLOATS[case]
    source = model(text, w=codes(np.int8, 8, 5), sw=scales(*s), **X)
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert not is_integer(op.w)
    assert "DequantizeLinear" not in str(op.w.owner)
    assert_same(source, module)


def four_bits(text: str, **weights: Any) -> onnx.ModelProto:
    source = model(text, 21, **weights)
    packed = onnx.helper.make_tensor("w", onnx.TensorProto.INT4, (8, 16), RNG.integers(-8, 8, 128).tolist())
    source.graph.initializer.append(packed)
    return source


def test_four_bits_stay_four_bits(tmp_path: Path):
    source = four_bits(
        "g (uint8[3,8] x) => (float[3,16] y) {"
        "  xf = DequantizeLinear(x, sx, zx)  wf = DequantizeLinear<axis = 1>(w, sw)  y = MatMul(xf, wf)"
        "}",
        sw=scales(16),
        **X,
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert tensor_type(op.w).element_type == IntegerType(4)
    assert_same(source, module)


def test_blocks_of_four_bits_become_floats(tmp_path: Path):
    source = four_bits(
        "g (float[3,8] x) => (float[3,16] y)"
        "{ wf = DequantizeLinear<axis = 0, block_size = 4>(w, sw)  y = MatMul(x, wf) }",
        sw=scales(2, 16),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert names(module) == ["h3.matmul"]
    assert_same(source, module)


def test_dynamic_products_of_codes(tmp_path: Path):
    source = model(
        "g (int8[2,4,8] q, int8[2,6,8] k) => (float[2,4,6] y) {"
        "  qf = DequantizeLinear(q, sq, zq)  kf = DequantizeLinear(k, sk, zk)"
        "  t = Transpose<perm = [0, 2, 1]>(kf)  y = MatMul(qf, t)"
        "}",
        sq=np.float32(0.02),
        zq=np.int8(5),
        sk=np.float32(0.01),
        zk=np.int8(0),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert isinstance(op, MatmulOp)
    assert op.transposed is not None
    assert is_integer(op.w)
    assert_same(source, module)


def test_a_view_that_several_products_read_is_made_once(tmp_path: Path):
    source = model(
        "g (uint8[3,8] x) => (float[N,M] y, float[N,M] z) {"
        "  xf = DequantizeLinear(x, sx, zx)  r = Reshape(xf, shape)"
        "  a = DequantizeLinear(w, sw)  b = DequantizeLinear(v, sw)  y = MatMul(r, a)  z = MatMul(r, b)"
        "}",
        w=codes(np.int8, 4, 5),
        v=codes(np.int8, 4, 5),
        sw=scales(),
        shape=np.array([6, 4]),
        **X,
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert names(module) == ["onnx.Reshape", "h3.matmul", "h3.matmul"]
    assert_same(source, module)
