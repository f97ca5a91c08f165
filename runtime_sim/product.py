"""The numbers of one matrix operator: all that prices depend on."""

from dataclasses import dataclass
from math import ceil, prod

from xdsl.dialects.builtin import IntegerType, NoneAttr
from xdsl.ir import Attribute, SSAValue

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.values import place, shape_of, static_weight, tensor_type


@dataclass(frozen=True)
class Product:
    """`groups` independent products of `m` vectors with a `k` x `n` weight.

    A grouped convolution has a block for each of its groups; its parts are ranges over `n * groups` outputs, aligned
    to whole groups. A matmul whose weight has leading dimensions is `batched`: its parts are ranges over `n`, and each
    part covers that range of every block.
    """

    m: int
    """Vectors that meet one block."""
    k: int
    n: int
    """Outputs of one block."""
    groups: int
    static: bool
    """The weight is a constant of the model."""
    input_elements: int
    """Elements of x, read once (no im2col)."""
    output_elements: int
    """Elements of the whole result."""
    input_bits: int
    """Bits of one element on the wire; `weight_bits`, `output_bits` likewise."""
    weight_bits: int
    output_bits: int
    x_off_chip: bool = False
    """x streams from off-chip memory through the buffer (else it is in the buffer); `y_off_chip` likewise."""
    y_off_chip: bool = False
    w_off_chip: bool = True
    """The weight comes from off-chip memory: always, unless it is made at run time and kept in the buffer."""
    batched: bool = False
    kernel: tuple[int, ...] = ()
    """Of a convolution, the sizes of its window; empty of a matmul."""
    result_cols: int = 1
    """Of a convolution of two or more dimensions, the positions of its window along the last one."""

    @property
    def total_outputs(self) -> int:
        """The outputs that parts are ranges of."""
        return self.n if self.batched else self.n * self.groups

    @property
    def blocks_a_part(self) -> int:
        """How many blocks each output of a part stands for: all of a batched product, else one."""
        return self.groups if self.batched else 1

    def macs(self, outputs: int | None = None) -> int:
        """Multiply-accumulates of `outputs` outputs (default: of all)."""
        return self.m * self.k * (self.total_outputs if outputs is None else outputs) * self.blocks_a_part


def plain_product(m: int, k: int, n: int, bits: int = 8) -> Product:
    """`m` vectors with one static `k` x `n` weight, all of `bits` bits, all but the weight on chip."""
    return Product(
        m=m,
        k=k,
        n=n,
        groups=1,
        static=True,
        input_elements=m * k,
        output_elements=m * n,
        input_bits=bits,
        weight_bits=bits,
        output_bits=bits,
    )


def wire_bits(element_type: Attribute, activation_bits: int) -> int:
    """Bits that one element takes on a wire and in a memory: integers by type, floats as the chip's activations."""
    if isinstance(element_type, IntegerType):
        return max(element_type.width.data, 4)
    return activation_bits


def product_of(
    op: MatmulOp | ConvOp, activation_bits: int, *, x_off_chip: bool | None = None, y_off_chip: bool | None = None
) -> Product:
    """The product that `op` is.

    Where neither x nor the result has a place, both count as on chip, unless the arguments say otherwise: before
    values have places nothing is known, and most are in the buffer.
    """
    has_places = any(not isinstance(tensor_type(value).encoding, NoneAttr) for value in (op.x, op.result))
    static = static_weight(op.w) is not None
    window_groups = op.window.groups.data if isinstance(op, ConvOp) else None
    return product_between(
        op.x,
        op.w,
        op.result,
        activation_bits,
        outputs=op.outputs,
        conv_groups=window_groups,
        static=static,
        x_off_chip=(has_places and place(op.x) is None) if x_off_chip is None else x_off_chip,
        y_off_chip=(has_places and place(op.result) is None) if y_off_chip is None else y_off_chip,
        w_off_chip=static,
    )


def product_between(
    x: SSAValue,
    w: SSAValue,
    y: SSAValue,
    activation_bits: int,
    *,
    outputs: int,
    conv_groups: int | None,
    static: bool,
    x_off_chip: bool,
    y_off_chip: bool,
    w_off_chip: bool,
) -> Product:
    """The product of all of `x` with a weight of `outputs` outputs in all, of which `w` and `y` may be a slice.

    `conv_groups`: the groups of a convolution, None for a matmul, whose `w` is `[.., K, N]` in either order.
    """
    x_shape, w_shape, y_shape = shape_of(x), shape_of(w), shape_of(y)
    if conv_groups is not None:
        k, groups, batched = prod(w_shape[1:]), conv_groups, False
        m = y_shape[0] * prod(y_shape[2:])
    else:
        k, groups = x_shape[-1], max(1, prod(w_shape[:-2]))
        batched = groups > 1
        m = ceil(prod(y_shape[:-1]) / groups)
    x_type, w_type, y_type = (tensor_type(value).element_type for value in (x, w, y))
    blocks = groups if batched else 1
    return Product(
        m=m,
        k=k,
        n=outputs // groups if conv_groups is not None else outputs,
        groups=groups,
        static=static,
        input_elements=prod(x_shape),
        output_elements=m * outputs * blocks,
        input_bits=wire_bits(x_type, activation_bits),
        weight_bits=wire_bits(w_type, activation_bits),
        output_bits=wire_bits(y_type, activation_bits),
        x_off_chip=x_off_chip,
        y_off_chip=y_off_chip,
        w_off_chip=w_off_chip,
        batched=batched,
        kernel=() if conv_groups is None else w_shape[2:],
        result_cols=1 if conv_groups is None or len(y_shape) < 4 else y_shape[-1],
    )
