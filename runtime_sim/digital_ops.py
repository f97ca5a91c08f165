"""How much arithmetic an onnx op is on the digital unit: one table by op class.

A lane does one simple operation (add, multiply, compare, select, shift, convert, look-up) on one element. What takes
more is counted in such operations; the counts of functions are our choice, from how vector units evaluate them:
division and square root by a table look-up and a Newton step (4), exp and log by splitting the argument and a
polynomial of degree 4 (8). Moving data takes no lanes, only bandwidth; views take nothing.
"""

from math import ceil, log2, prod

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue

from ..dialects.onnx import attr_int, attr_ints, attr_str, operand

_DIV, _EXP = 4, 8
_SIGMOID = _EXP + 1 + _DIV
_TANH = _SIGMOID + 2
_ERF = _EXP + _DIV + 6


def _names(text: str) -> list[str]:
    return text.split()


VIEWS = frozenset(_names("Dropout Flatten Identity Optional OptionalGetElement Reshape Squeeze Unsqueeze"))
"""Ops whose result is their first operand, seen otherwise."""

FREE = VIEWS | frozenset(
    _names(
        "Constant NoValue OptionalHasElement SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert"
        " SequenceLength Shape Size Yield"
    )
)
"""Ops that cost nothing: views, book-keeping, and what is known without reading data."""

ELEMENTWISE = frozenset(
    _names(
        "Abs Acos Acosh Add And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike"
        " Ceil Celu Clip Cos Cosh Div Dropout Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid HardSwish"
        " Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow Reciprocal"
        " Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Swish Tan Tanh ThresholdedRelu"
        " Where Xor"
    )
)
"""Ops of which each output element comes from the elements at its place, operands broadcast."""

MOVES = frozenset(
    _names(
        "CenterCropPad Compress Concat ConcatFromSequence ConstantOfShape DepthToSpace Expand EyeLike Gather"
        " GatherElements GatherND MaxUnpool OneHot Pad Range ReverseSequence Scatter ScatterElements ScatterND Slice"
        " SpaceToDepth Split SplitToSequence TensorScatter Tile Transpose Trilu"
    )
)
"""Ops that only move data."""

_PER_OUTPUT = {
    **dict.fromkeys(_names("Clip LeakyRelu PRelu ThresholdedRelu DequantizeLinear BatchNormalization"), 2),
    **dict.fromkeys(_names("HardSigmoid Shrink"), 3),
    **dict.fromkeys(_names("Div Reciprocal Sqrt HardSwish QuantizeLinear Upsample"), _DIV),
    **dict.fromkeys(_names("Mod Softsign RotaryEmbedding"), _DIV + 2),
    **dict.fromkeys(_names("Exp Log Sin Cos Elu Celu Selu RandomNormal RandomUniform Bernoulli"), _EXP),
    **dict.fromkeys(_names("Resize GridSample RoiAlign AffineGrid"), 8),
    **dict.fromkeys(_names("Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Softplus"), _EXP + _DIV),
    "Sigmoid": _SIGMOID,
    "Swish": _SIGMOID + 1,
    "SwiGLU": _SIGMOID + 2,
    "Tanh": _TANH,
    "Mish": _EXP + 4 + _TANH,
    "Erf": _ERF,
    "Gelu": _ERF + 4,
    "Pow": 2 * _EXP + 1,
}
"""Lane operations an output element; 1 where an op is in no table."""

_NORMALISE = 7  # mean, difference, square, sum, times 1/std, scale, shift
_PER_INPUT = {
    **dict.fromkeys(_names("ReduceMax ReduceMin ReduceSum ReduceMean ReduceProd"), 1),
    **dict.fromkeys(_names("GlobalAveragePool GlobalMaxPool"), 1),
    **dict.fromkeys(_names("ArgMax ArgMin CumSum CumProd NonZero GlobalLpPool ReduceL1 ReduceL2 ReduceSumSquare"), 2),
    **dict.fromkeys(_names("ReduceLogSum ReduceLogSumExp"), _EXP + 1),
    **dict.fromkeys(_names("Softmax LogSoftmax Hardmax SoftmaxCrossEntropyLoss"), 3 + _EXP + _DIV),
    **dict.fromkeys(_names("LayerNormalization InstanceNormalization GroupNormalization"), _NORMALISE),
    **dict.fromkeys(_names("MeanVarianceNormalization LpNormalization"), _NORMALISE),
    "RMSNormalization": 4,
    "DynamicQuantizeLinear": 6,
}
"""Lane operations an element of the first operand."""

_SORTS = frozenset(_names("TopK Unique NonMaxSuppression"))
POOLS = frozenset(_names("AveragePool MaxPool LpPool"))
GLOBAL_POOLS = frozenset(_names("GlobalAveragePool GlobalMaxPool GlobalLpPool"))
_NARY = frozenset(_names("Max Min Sum Mean"))
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def op_type(op: Operation) -> str:
    """The ONNX operator type of an op of the onnx dialect ("Gemm"); of another domain's op: "Custom"."""
    return op.name.removeprefix("onnx.")


def elements(value: SSAValue | None) -> int:
    """Elements of a tensor, an unknown dimension counted as 1; 0 for what is no tensor of known rank."""
    return prod(max(size, 1) if size < 0 else size for size in shape(value)) if _is_tensor(value) else 0


def shape(value: SSAValue | None) -> tuple[int, ...]:
    """The shape of a tensor, unknown dimensions as 1; () for what is no tensor of known rank."""
    if value is None or not isinstance(value.type, TensorType):
        return ()
    return tuple(1 if size < 0 else size for size in value.type.get_shape())


def _is_tensor(value: SSAValue | None) -> bool:
    return value is not None and isinstance(value.type, TensorType)


def lane_operations(op: Operation) -> int:
    """Lane operations of one op, without those of its regions."""
    kind, outputs = op_type(op), sum(elements(result) for result in op.results)
    first = elements(operand(op, 0)) if op.operands else 0
    if kind in FREE or kind in MOVES or kind in ("If", "Loop", "Scan"):
        return 0
    if kind in _GATES:
        return _recurrent_operations(op, _GATES[kind])
    if kind in _PER_INPUT:
        return first * _PER_INPUT[kind]
    if kind in POOLS:
        return outputs * prod(attr_ints(op, "kernel_shape", ()) or ())
    if kind in _NARY:
        return outputs * max(1, len(op.operands) - 1)
    if kind in _SORTS:
        return first * max(1, ceil(log2(max(2, shape(operand(op, 0))[-1] if shape(operand(op, 0)) else 2))))
    if kind == "LRN":
        return outputs * (attr_int(op, "size", 1) + 2 * _EXP + _DIV)
    if kind == "Attention":
        return _attention(op)[1] * (3 + _EXP + _DIV)
    if macs(op):
        return outputs if kind in ("Gemm", "Conv", "QLinearConv", "QLinearMatMul") else 0
    return outputs * _PER_OUTPUT.get(kind, 1)


def macs(op: Operation) -> int:
    """Multiply-accumulates of one op, without those of its regions: products that were not made matrix ops."""
    kind = op_type(op)
    outputs = elements(op.results[0]) if op.results else 0
    if kind in ("MatMul", "MatMulInteger", "QLinearMatMul"):
        return outputs * (shape(operand(op, 0)) or (1,))[-1]
    if kind == "Gemm":
        return outputs * (shape(operand(op, 0)) or (1,))[0 if attr_int(op, "transA", 0) else -1]
    if kind in ("Conv", "ConvInteger", "DeformConv", "CausalConvWithState"):
        return outputs * prod(shape(operand(op, 1))[1:])
    if kind == "QLinearConv":
        return outputs * prod(shape(operand(op, 3))[1:])
    if kind == "ConvTranspose":
        return elements(operand(op, 0)) * prod(shape(operand(op, 1))[1:])
    if kind in _GATES:
        steps = _recurrent_steps(op)
        return steps * (elements(operand(op, 1)) + elements(operand(op, 2)))
    if kind == "Einsum":
        return _einsum_macs(op)
    if kind == "Attention":
        return _attention(op)[0]
    if kind in ("DFT", "STFT"):
        return outputs * ceil(log2(max(2, max(shape(operand(op, 0)), default=2))))
    return 0


def _recurrent_steps(op: Operation) -> int:
    """Steps x batch."""
    return prod(shape(operand(op, 0))[:2])


def _recurrent_operations(op: Operation, gates: int) -> int:
    """The gates' activations, and two products and sums a gate for the state."""
    directions_hidden = elements(operand(op, 2)) // max(1, gates * (shape(operand(op, 2)) or (1,))[-1]) * gates
    return _recurrent_steps(op) * directions_hidden * (_SIGMOID + 4)


def _einsum_macs(op: Operation) -> int:
    """The product of the sizes of all its indices; "..." counts by the dimensions that the indices leave over."""
    terms = attr_str(op, "equation").replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, op.operands, strict=False):
        dimensions = shape(value)
        if "..." in term:
            head, _, tail = term.partition("...")
            middle = dimensions[len(head) : len(dimensions) - len(tail)]
            sizes["..."] = max(sizes.get("...", 1), prod(middle))
            indices, dimensions = head + tail, dimensions[: len(head)] + dimensions[len(dimensions) - len(tail) :]
        else:
            indices = term
        for index, size in zip(indices, dimensions, strict=False):
            sizes[index] = max(sizes.get(index, 1), size)
    return prod(sizes.values()) if len(terms) > 1 else 0


def _attention(op: Operation) -> tuple[int, int]:
    """(MACs of both products, elements of the score matrix) of onnx.Attention."""
    q, k, v = (shape(operand(op, i)) for i in range(3))
    if min(len(q), len(k), len(v)) < 3:
        return 0, 0
    if len(q) == 4:
        batch, heads, queries, size = q
        keys, value_size = k[-2], v[-1]
    else:
        heads = max(1, attr_int(op, "q_num_heads", 1))
        batch, queries, size = q[0], q[1], q[2] // heads
        keys, value_size = k[1], v[2] // max(1, attr_int(op, "kv_num_heads", heads))
    past = shape(operand(op, 4))
    keys += past[-2] if len(past) == 4 else 0
    scores = batch * heads * queries * keys
    return scores * (size + value_size), scores
