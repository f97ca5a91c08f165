"""lower-matrix-ops: products of quantised values, of ONNX and of com.microsoft."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import assert_same, model, names, products, read, run_passes
from xdsl.dialects.builtin import ModuleOp

from h3c.dialects.values import shape_of
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lower_matrix_ops import LowerMatrixOps

RNG = np.random.default_rng(29)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def codes(dtype: type, *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)


def lowered(source: onnx.ModelProto, folder: Path) -> ModuleOp:
    return run_passes(read(source, folder), [FoldConstants(), LowerMatrixOps()])


@pytest.mark.parametrize("x_type", [np.uint8, np.int8])
@pytest.mark.parametrize("zeros", ["", ", zx", ", zx, zw", ", , zw"])
def test_a_matmul_of_integers_becomes_one_integer_product(x_type: type, zeros: str, tmp_path: Path):
    name = np.dtype(x_type).name
    source = model(
        f"g ({name}[3,8] x) => (int32[3,5] y) {{ y = MatMulInteger(x, w{zeros}) }}",
        w=codes(np.int8, 8, 5),
        zx=codes(x_type),
        zw=codes(np.int8, 5),
    )
    module = lowered(source, tmp_path)
    assert names(module) == ["h3.matmul"]
    assert_same(source, module, bar=0)


@pytest.mark.parametrize("zero", ["uint8 z", "uint8[3] z"])
def test_a_zero_point_known_at_run_time_is_taken_off_afterwards(zero: str, tmp_path: Path):
    source = model(
        f"g (uint8[3,8] x, {zero}) => (int32[3,5] y) {{ y = MatMulInteger(x, w, z, zw) }}",
        w=codes(np.int8, 8, 5),
        zw=codes(np.int8, 5),
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    if zero == "uint8 z":  # onnxruntime has no zero point a row
        assert_same(source, module, bar=0)


@pytest.mark.parametrize("zero", ["", ", uint8 zx"])
def test_a_convolution_of_integers_becomes_one_conv(zero: str, tmp_path: Path):
    constants: dict[str, Any] = {} if zero else {"zx": codes(np.uint8)}
    source = model(
        f"g (uint8[1,4,6,6] x{zero}) => (int32[N,N,N,N] y)"
        "{ y = ConvInteger<pads = [1, 0, 1, 1], strides = [2, 1], group = 2>(x, w, zx) }",
        w=codes(np.uint8, 6, 2, 3, 3),
        **constants,
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    assert_same(source, module, bar=0)


STEP = np.float32(0.01)


def test_qlinear_matmul_is_an_integer_product_and_rounding(tmp_path: Path):
    source = model(
        "g (uint8[3,8] x) => (uint8[3,5] y) { y = QLinearMatMul(x, sx, zx, w, sw, zw, sy, zy) }",
        sx=STEP,
        zx=np.uint8(120),
        w=codes(np.int8, 8, 5),
        sw=RNG.random(5).astype(np.float32) * STEP,
        zw=np.zeros(5, np.int8),
        sy=np.float32(0.02),
        zy=np.uint8(100),
    )
    module = lowered(source, tmp_path)
    assert names(module) == ["h3.matmul", "onnx.QuantizeLinear"]
    assert_same(source, module, bar=0)


@pytest.mark.parametrize("bias", ["", ", b"])
def test_qlinear_conv_is_an_integer_conv_and_rounding(bias: str, tmp_path: Path):
    source = model(
        "g (uint8[1,4,6,6] x) => (uint8[N,N,N,N] y)"
        f"{{ y = QLinearConv<pads = [1, 1, 1, 1]>(x, sx, zx, w, sw, zw, sy, zy{bias}) }}",
        sx=STEP,
        zx=np.uint8(120),
        w=codes(np.uint8, 6, 4, 3, 3),
        sw=STEP,
        zw=np.uint8(128),
        sy=np.float32(0.05),
        zy=np.uint8(100),
        b=RNG.integers(-500, 500, 6).astype(np.int32),
    )
    module = lowered(source, tmp_path)
    assert names(module) == ["h3.conv", "onnx.QuantizeLinear"]
    (op,) = products(module)
    assert str(op.w.type) == "tensor<6x4x3x3xi8>"  # codes less 128 fit into i8
    assert_same(source, module, bar=0)


@pytest.mark.parametrize("rounded", ["", ", sy, zy"])
def test_qgemm_is_an_integer_product(rounded: str, tmp_path: Path):
    y = "uint8" if rounded else "float"
    source = model(
        f"g (uint8[3,8] x) => ({y}[3,5] y)"
        f"{{ y = com.microsoft.QGemm<transB = 1, alpha = 0.5>(x, sx, zx, w, sw, zw, b{rounded}) }}",
        sx=STEP,
        zx=np.uint8(120),
        w=codes(np.int8, 5, 8),
        sw=RNG.random(5).astype(np.float32) * STEP,
        zw=np.zeros(5, np.int8),
        b=RNG.integers(-500, 500, 5).astype(np.int32),
        sy=np.float32(0.02),
        zy=np.uint8(100),
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    assert_same(source, module, bar=0 if rounded else 1e-6)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_packed_weight_is_unpacked(bits: int, zeros: bool, tmp_path: Path):
    k, n, block = 40, 6, 16
    blocks = 3
    weights: dict[str, Any] = {
        "w": codes(np.uint8, n, blocks, block * bits // 8),
        "s": floats(n * blocks),
        "z": codes(np.uint8, n * -(-blocks * bits // 8)),
    }
    source = model(
        f"g (float[3,{k}] x) => (float[3,{n}] y) {{ y = com.microsoft.MatMulNBits<K = {k}, N = {n}, bits = {bits},"
        f" block_size = {block}>(x, w, s{', z' if zeros else ''}) }}",
        **weights,
    )
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert shape_of(op.w) == (n, k)
    assert_same(source, module)


@pytest.mark.parametrize(
    "node",
    [
        "FusedMatMul<transA = 1, transB = 1, alpha = 0.5>(t, w2)",
        'FusedGemm<transB = 1, activation = "Relu">(x, w2, b)',
        "DynamicQuantizeMatMul(x, q, s, z, b)",
    ],
)
def test_fused_products_are_taken_apart(node: str, tmp_path: Path):
    source = model(
        f"g (float[3,8] x) => (float[3,5] y){{ t = Transpose<perm = [1, 0]>(x)  y = com.microsoft.{node} }}",
        w2=floats(5, 8),
        b=floats(5),
        q=codes(np.int8, 8, 5),
        s=np.float32(0.01),
        z=np.int8(3),
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    assert_same(source, module)


@pytest.mark.parametrize("zero", ["uint8 z", ""])
def test_an_integer_product_with_scales_becomes_floats(zero: str, tmp_path: Path):
    inputs = f"uint8[3,8] x, float sx, {zero}" if zero else "uint8[3,8] x"
    constants: dict[str, Any] = {} if zero else {"sx": np.float32(0.02), "z": np.uint8(7)}
    source = model(
        f"g ({inputs}) => (float[3,5] y) {{ y = com.microsoft.MatMulIntegerToFloat(x, w, sx, sw, z, zw, b) }}",
        w=codes(np.int8, 8, 5),
        sw=RNG.random(5).astype(np.float32),
        zw=codes(np.int8, 5),
        b=floats(5),
        **constants,
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    assert_same(source, module)
