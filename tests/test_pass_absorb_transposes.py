"""absorb-transposes: a Transpose before the weight of a product becomes `transposed`."""

from pathlib import Path

import numpy as np
from h3_reference import assert_same, model, names, products, read, run_passes

from h3c.dialects.h3 import MatmulOp, WeightOp
from h3c.passes.absorb_transposes import AbsorbTransposes
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lower_matrix_ops import LowerMatrixOps
from h3c.passes.lowering.site import top_ops

PASSES = (FoldConstants(), LowerMatrixOps(), AbsorbTransposes())
RNG = np.random.default_rng(11)


def test_keys_are_read_as_they_are(tmp_path: Path):
    source = model(
        "g (float[2,4,8] q, float[2,6,8] k) => (float[2,4,6] y){ t = Transpose<perm = [0, 2, 1]>(k)  y = MatMul(q, t) }"
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert isinstance(op, MatmulOp)
    assert op.transposed is not None
    assert names(module) == ["h3.matmul"]
    assert_same(source, module)


def test_keys_that_are_scaled_after_being_transposed_are_scaled_before(tmp_path: Path):
    source = model(
        "g (float[2,4,8] q, float[2,6,8] k) => (float[2,4,6] y)"
        "{ t = Transpose<perm = [0, 2, 1]>(k)  u = Mul(t, s)  y = MatMul(q, u) }",
        s=np.float32(0.3),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert names(module) == ["onnx.Mul", "h3.matmul"]
    assert_same(source, module)


def test_two_transposes_undo_each_other(tmp_path: Path):
    source = model(
        "g (float[4,8] x, float[8,6] k) => (float[4,6] y)"
        "{ t = Transpose<perm = [1, 0]>(k)  y = Gemm<transB = 1>(x, t) }"
    )
    module = run_passes(read(source, tmp_path), PASSES)
    (op,) = products(module)
    assert isinstance(op, MatmulOp)
    assert op.transposed is None
    assert_same(source, module)


def test_a_tied_weight_stays_one_weight(tmp_path: Path):
    source = model(
        "g (int64[3] i) => (float[3,100] y) { e = Gather(w, i)  t = Transpose<perm = [1, 0]>(w)  y = MatMul(e, t) }",
        w=RNG.standard_normal((100, 16)).astype(np.float32),
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert sum(isinstance(op, WeightOp) for op in top_ops(module)) == 1
    assert names(module) == ["onnx.Gather", "h3.matmul"]
    assert_same(source, module)


def test_other_permutations_stay(tmp_path: Path):
    source = model(
        "g (float[4,2,8] q, float[6,2,8] k) => (float[2,4,6] y)"
        "{ p = Transpose<perm = [1, 0, 2]>(q)  t = Transpose<perm = [1, 2, 0]>(k)  y = MatMul(p, t) }"
    )
    module = run_passes(read(source, tmp_path), PASSES)
    assert names(module) == ["onnx.Transpose", "onnx.Transpose", "h3.matmul"]
    assert_same(source, module)
