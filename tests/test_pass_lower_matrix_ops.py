"""lower-matrix-ops: every matrix operator becomes h3 products that compute the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from h3_reference import assert_same, model, names, products, read, run_passes
from xdsl.dialects.builtin import ModuleOp

from h3c.dialects.h3 import ConvOp, MatmulOp
from h3c.dialects.values import static_weight
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.lower_matrix_ops import LowerMatrixOps
from h3c.runtime_sim.errors import InputError, where

RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def lowered(source: onnx.ModelProto, folder: Path) -> ModuleOp:
    return run_passes(read(source, folder), [FoldConstants(), LowerMatrixOps()])


MATMULS = {
    "matrices": ("g (float[3,8] x) => (float[3,5] y) { y = MatMul(x, w) }", (8, 5)),
    "batch of rows": ("g (float[2,3,8] x) => (float[2,3,5] y) { y = MatMul(x, w) }", (8, 5)),
    "vector on the left": ("g (float[8] x) => (float[5] y) { y = MatMul(x, w) }", (8, 5)),
    "vector on the right": ("g (float[3,8] x) => (float[3] y) { y = MatMul(x, w) }", (8,)),
    "two vectors": ("g (float[8] x) => (float y) { y = MatMul(x, w) }", (8,)),
    "batch of weights": ("g (float[2,3,8] x) => (float[2,3,5] y) { y = MatMul(x, w) }", (2, 8, 5)),
    "weight on the left": ("g (float[8,3] x) => (float[5,3] y) { y = MatMul(w, x) }", (5, 8)),
    "weight on the left of a batch": ("g (float[2,8,3] x) => (float[2,5,3] y) { y = MatMul(w, x) }", (5, 8)),
    "batch of weights on the left": ("g (float[2,8,3] x) => (float[2,5,3] y) { y = MatMul(w, x) }", (2, 5, 8)),
    "weight on the left of a vector": ("g (float[8] x) => (float[5] y) { y = MatMul(w, x) }", (5, 8)),
    "weight on the left of a transposed": (
        "g (float[3,8] x) => (float[5,3] y) { t = Transpose<perm = [1, 0]>(x)  y = MatMul(w, t) }",
        (5, 8),
    ),
}


@pytest.mark.parametrize("case", MATMULS)
def test_a_matmul_becomes_one_static_product(case: str, tmp_path: Path):
    text, shape = MATMULS[case]
    source = model(text, w=floats(*shape))
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert isinstance(op, MatmulOp)
    assert static_weight(op.w) is not None
    assert_same(source, module)


def test_a_product_of_computed_values_is_dynamic(tmp_path: Path):
    source = model("g (float[2,4,3,8] q, float[1,4,8,3] k) => (float[2,4,3,3] y) { y = MatMul(q, k) }")
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert static_weight(op.w) is None
    assert_same(source, module)


GEMMS = {
    "plain": ("Gemm(x, w, c)", (8, 5), (5,)),
    "transB": ("Gemm<transB = 1>(x, w, c)", (5, 8), (5,)),
    "no bias": ("Gemm(x, w)", (8, 5), (1,)),
    "alpha and beta": ("Gemm<alpha = 0.5, beta = 2.0>(x, w, c)", (8, 5), (1, 5)),
    "scalar C": ("Gemm(x, w, c)", (8, 5), ()),
    "C a row": ("Gemm<beta = 0.5>(x, w, c)", (8, 5), (3, 1)),
    "C a matrix": ("Gemm(x, w, c)", (8, 5), (3, 5)),
    "beta 0": ("Gemm<beta = 0.0>(x, w, c)", (8, 5), (5,)),
}


@pytest.mark.parametrize("case", GEMMS)
def test_a_gemm_becomes_one_product(case: str, tmp_path: Path):
    text, w, c = GEMMS[case]
    source = model(f"g (float[3,8] x) => (float[3,5] y) {{ y = {text} }}", w=floats(*w), c=floats(*c))
    module = lowered(source, tmp_path)
    assert len(products(module)) == 1
    assert_same(source, module)


@pytest.mark.parametrize(
    ("text", "w"),
    [
        ("Gemm<transA = 1>(x, w, c)", (8, 5)),
        ("Gemm<transA = 1, transB = 1>(x, w, c)", (5, 8)),
    ],
)
def test_a_transposed_input_is_transposed_digitally(text: str, w: tuple[int, int], tmp_path: Path):
    source = model(f"g (float[8,3] x) => (float[3,5] y) {{ y = {text} }}", w=floats(*w), c=floats(5))
    module = lowered(source, tmp_path)
    assert names(module) == ["onnx.Transpose", "h3.matmul"]
    assert_same(source, module)


@pytest.mark.parametrize(
    ("text", "x", "w", "c"),
    [
        ("Gemm(w, x, c)", (8, 3), (5, 8), (5, 1)),
        ("Gemm(w, x, c)", (8, 3), (5, 8), (3,)),
        ("Gemm<transA = 1>(w, x, c)", (8, 3), (8, 5), (5, 3)),
        ("Gemm<transB = 1, alpha = 2.0>(w, x, c)", (3, 8), (5, 8), (1,)),
    ],
)
def test_a_gemm_with_the_weight_on_the_left_is_computed_transposed(
    text: str, x: tuple[int, int], w: tuple[int, int], c: tuple[int, ...], tmp_path: Path
):
    source = model(f"g (float[{x[0]},{x[1]}] x) => (float[5,3] y) {{ y = {text} }}", w=floats(*w), c=floats(*c))
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert static_weight(op.w) is not None
    assert_same(source, module)


def test_a_computed_bias_is_added_digitally(tmp_path: Path):
    source = model(
        "g (float[3,8] x, float[3,5] c, float[2,4,6,6] z, float[7] b) => (float[3,5] y, float[2,7,6,6] u)"
        "{ y = Gemm<beta = 3.0>(x, w, c)  u = Conv(z, k, b) }",
        w=floats(8, 5),
        k=floats(7, 4, 1, 1),
    )
    module = lowered(source, tmp_path)
    assert all(op.bias is None for op in products(module))
    assert_same(source, module)


CONVS = {
    "1-D": ("x[1,4,9]", "<pads = [1, 1]>", (6, 4, 3)),
    "2-D": ("x[2,4,9,8]", "<pads = [1, 0, 2, 1], strides = [2, 1], dilations = [1, 2]>", (6, 4, 3, 2)),
    "3-D": ("x[1,2,5,4,6]", "<strides = [1, 2, 1]>", (3, 2, 2, 2, 3)),
    "grouped": ("x[1,4,6,6]", "<group = 2>", (6, 2, 3, 3)),
    "depthwise": ("x[1,4,6,6]", "<group = 4, pads = [1, 1, 1, 1]>", (8, 1, 3, 3)),
    "same upper": ("x[1,4,7,6]", '<auto_pad = "SAME_UPPER", strides = [2, 2]>', (6, 4, 3, 2)),
    "same lower": ("x[1,4,7,6]", '<auto_pad = "SAME_LOWER", strides = [2, 2]>', (6, 4, 4, 2)),
    "valid": ("x[1,4,7,6]", '<auto_pad = "VALID", strides = [2, 2]>', (6, 4, 3, 2)),
}


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_convolution_becomes_one_conv(case: str, bias: bool, tmp_path: Path):
    x, attributes, w = CONVS[case]
    shape = x.removeprefix("x")
    free = ",".join(["?"] * len(w))
    text = f"g (float{shape} x) => (float[{free}] y) {{ y = Conv{attributes}(x, w{', b' if bias else ''}) }}"
    source = model(text.replace("?", "N"), w=floats(*w), b=floats(w[0]))
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert isinstance(op, ConvOp)
    assert names(module) == ["h3.conv"]
    assert_same(source, module)


TRANSPOSED = {
    "1-D": ("[1,4,5]", "<strides = [2]>", (4, 3, 3)),
    "2-D": ("[2,4,5,6]", "<strides = [2, 3], pads = [1, 0, 1, 2]>", (4, 3, 3, 4)),
    "kernel equals stride": ("[1,4,5,6]", "<strides = [2, 2]>", (4, 3, 2, 2)),
    "stride above kernel": ("[1,4,5,6]", "<strides = [3, 3]>", (4, 3, 2, 1)),
    "output padding": ("[1,4,5,6]", "<strides = [2, 2], pads = [1, 1, 1, 1], output_padding = [1, 0]>", (4, 3, 3, 3)),
    "dilations": ("[1,4,5,6]", "<strides = [2, 1], dilations = [2, 3]>", (4, 3, 3, 2)),
    "groups": ("[1,4,5,6]", "<strides = [2, 2], group = 2>", (4, 3, 3, 3)),
    "depthwise": ("[1,4,5,6]", "<strides = [2, 2], group = 4>", (4, 2, 3, 3)),
    "pads beyond reach": ("[1,4,5,6]", "<pads = [2, 1, 2, 0]>", (4, 3, 2, 2)),
    "output shape": ("[1,4,5,6]", "<strides = [2, 2], output_shape = [10, 11]>", (4, 3, 3, 3)),
    "same upper": ("[1,4,5,6]", '<strides = [2, 2], auto_pad = "SAME_UPPER">', (4, 3, 3, 3)),
    "same lower": ("[1,4,5,6]", '<strides = [2, 2], auto_pad = "SAME_LOWER">', (4, 3, 3, 3)),
    "stride 1": ("[1,4,5,6]", "<pads = [1, 1, 1, 1]>", (4, 3, 3, 3)),
}


@pytest.mark.parametrize("case", TRANSPOSED)
@pytest.mark.parametrize("opset", [10, 17])
def test_a_transposed_convolution_becomes_a_conv(case: str, opset: int, tmp_path: Path):
    shape, attributes, w = TRANSPOSED[case]
    free = ",".join(["N"] * len(w))
    groups = int(attributes.split("group = ")[1][0]) if "group" in attributes else 1
    text = f"g (float{shape} x) => (float[{free}] y) {{ y = ConvTranspose{attributes}(x, w, b) }}"
    source = model(text, opset, w=floats(*w), b=floats(w[1] * groups))
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert isinstance(op, ConvOp)
    assert op.window.groups.data == groups
    assert_same(source, module)


EINSUMS = {
    "bij,jk->bik": ((2, 3, 4), (4, 5)),
    "ij,jk->ki": ((3, 4), (4, 5)),
    "btd,hde->bhte": ((2, 3, 4), (5, 4, 6)),
    "bhqd,bhkd->bhqk": ((2, 3, 4, 5), (2, 3, 6, 5)),
    "bqhd,bkhd->bhqk": ((2, 4, 3, 5), (2, 6, 3, 5)),
    "ijk,jk->i": ((3, 4, 5), (4, 5)),
    "i,i->": ((4,), (4,)),
    "...ij,jk->...ik": ((2, 3, 4), (4, 5)),
    "...ij,...jk->...ik": ((2, 3, 4), (2, 4, 5)),
    "ij,jk": ((3, 4), (4, 5)),
}


@pytest.mark.parametrize("equation", EINSUMS)
@pytest.mark.parametrize("constant", ["right", "left", "none"])
def test_an_einsum_of_two_becomes_one_product(equation: str, constant: str, tmp_path: Path):
    a, b = (",".join(map(str, shape)) for shape in EINSUMS[equation])
    sides = {"right": (f"float[{a}] x", "x, w"), "left": (f"float[{b}] x", "w, x")}
    inputs, operands = sides.get(constant, (f"float[{a}] x, float[{b}] w", "x, w"))
    weights: dict[str, dict[str, Any]] = {
        "right": {"w": floats(*EINSUMS[equation][1])},
        "left": {"w": floats(*EINSUMS[equation][0])},
    }
    out = equation.partition("->")[2].replace("...", "N") if "->" in equation else "ik"
    source = model(
        f'g ({inputs}) => (float[{",".join("N" * len(out))}] y) {{ y = Einsum<equation = "{equation}">({operands}) }}'
        if out
        else f'g ({inputs}) => (float y) {{ y = Einsum<equation = "{equation}">({operands}) }}',
        **weights.get(constant, {}),
    )
    module = lowered(source, tmp_path)
    (op,) = products(module)
    assert (static_weight(op.w) is not None) == (constant != "none")
    assert_same(source, module)


@pytest.mark.parametrize("equation", ["ij,ij->ij", "ij,kl->ijkl", "ii,ij->j", "ij,jk->"])
def test_an_einsum_that_is_no_product_stays_digital(equation: str, tmp_path: Path):
    out = ",".join("N" * len(equation.partition("->")[2]))
    y = f"float[{out}] y" if out else "float y"
    source = model(
        f'g (float[4,4] x) => ({y}) {{ y = Einsum<equation = "{equation}">(x, w) }}',
        w=floats(4, 4),
    )
    module = lowered(source, tmp_path)
    assert not products(module)
    assert_same(source, module)


ATTENTIONS = {
    "4-D": ("float[1,4,3,8] q, float[1,4,5,8] k, float[1,4,5,8] v", "", "q, k, v"),
    "causal": ("float[1,4,5,8] q, float[1,4,5,8] k, float[1,4,5,8] v", "<is_causal = 1>", "q, k, v"),
    "mask": ("float[1,4,3,8] q, float[1,4,5,8] k, float[1,4,5,8] v, float[3,5] m", "<scale = 0.3>", "q, k, v, m"),
    "3-D": (
        "float[2,3,32] q, float[2,5,32] k, float[2,5,32] v",
        "<q_num_heads = 4, kv_num_heads = 4>",
        "q, k, v",
    ),
    "grouped queries": ("float[1,4,3,8] q, float[1,2,5,8] k, float[1,2,5,8] v", "", "q, k, v"),
}


@pytest.mark.parametrize("case", ATTENTIONS)
def test_attention_becomes_two_dynamic_products(case: str, tmp_path: Path):
    inputs, attributes, operands = ATTENTIONS[case]
    dims = "N,N,N" if case == "3-D" else "N,N,N,N"
    source = model(f"g ({inputs}) => (float[{dims}] y) {{ y = Attention{attributes}({operands}) }}", 23)
    module = lowered(source, tmp_path)
    assert [static_weight(op.w) for op in products(module)] == [None, None]
    assert "onnx.Attention" not in names(module)
    assert_same(source, module)


def test_attention_with_a_cache_gives_the_cache_back(tmp_path: Path):
    source = model(
        "g (float[1,2,1,8] q, float[1,2,1,8] k, float[1,2,1,8] v, float[1,2,6,8] pk, float[1,2,6,8] pv)"
        "=> (float[N,N,N,N] y, float[N,N,N,N] nk, float[N,N,N,N] nv) { y, nk, nv = Attention(q, k, v, , pk, pv) }",
        23,
    )
    module = lowered(source, tmp_path)
    assert len(products(module)) == 2
    assert_same(source, module)


def test_a_fused_conv_is_a_conv_a_sum_and_an_activation(tmp_path: Path):
    source = model(
        "g (float[1,4,6,6] x, float[1,6,6,6] z) => (float[1,6,6,6] y)"
        '{ y = com.microsoft.FusedConv<activation = "Relu", pads = [1, 1, 1, 1], kernel_shape = [3, 3]>(x, w, b, z) }',
        w=floats(6, 4, 3, 3),
        b=floats(6),
    )
    module = lowered(source, tmp_path)
    assert names(module) == ["h3.conv", "onnx.Add", "onnx.Relu"]
    assert_same(source, module)


def test_bodies_and_products_without_work_stay_digital(tmp_path: Path):
    source = model(
        "g (float[3,8] x, bool c) => (float[3,5] y, float[0,5] z) {"
        "  e = Slice(x, none, none)"
        "  z = MatMul(e, w)"
        "  y = If(c) <then_branch = t () => (float[3,5] a) { a = MatMul(x, w) },"
        "             else_branch = f () => (float[3,5] b) { b = MatMul(x, v) }>"
        "}",
        w=floats(8, 5),
        v=floats(8, 5),
        none=np.array([0]),
    )
    module = lowered(source, tmp_path)
    assert not products(module)
    assert_same(source, module)


def test_an_unknown_shape_is_an_error_that_names_the_node(tmp_path: Path):
    source = model(
        "g (float[3,8] x) => (float[N,5] y) { n = NonZero(x)  t = Gather(x, n)  r = Reshape(t, s)  y = MatMul(r, w) }",
        w=floats(8, 5),
        s=np.array([-1, 8]),
    )
    source.graph.node[-1].name = "the_product"
    with pytest.raises(InputError, match="node the_product: a matrix operator needs known shapes"):
        lowered(source, tmp_path)


def test_names_and_locations_are_handed_on(tmp_path: Path):
    source = model(
        "g (float[3,8] x) => (float[3,5] y) { product = MatMul(x, w)  y = Relu(product) }",
        w=floats(8, 5),
    )
    source.graph.node[0].name = "the_product"
    (op,) = products(lowered(source, tmp_path))
    assert where(op).endswith("node the_product")
    assert op.result.name_hint == "product"
