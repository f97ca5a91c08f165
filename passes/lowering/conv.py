"""Conv in any number of dimensions, and ConvTranspose as a convolution of a stretched input."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import Operation, SSAValue

from ...dialects.constants import Array, tensor_of
from ...dialects.formats import int_attr
from ...dialects.h3 import MACS, ConvOp
from ...dialects.h3_attributes import WindowAttr
from ...dialects.onnx import attr_int, attr_ints, attr_str, operand
from ...dialects.values import shape_of, tensor_type
from .constants import is_constant, rearranged
from .family import Family, float_operands
from .matmul import activated, plain_activation
from .site import Site


@dataclass(frozen=True)
class Geometry:
    """The window of an ONNX convolution, its defaults filled in."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int

    @property
    def reach(self) -> tuple[int, ...]:
        """How far the kernel reaches along each dimension."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))

    def window(self) -> WindowAttr:
        return WindowAttr.of(self.strides, self.pads, self.dilations, self.groups)


def geometry(op: Operation, w: SSAValue) -> Geometry:
    """The window of a Conv, ConvInteger or QLinearConv with weight `w`; auto_pad is worked out."""
    x, y = shape_of(op.operands[0])[2:], shape_of(op.results[0])[2:]
    kernel, ones = shape_of(w)[2:], (1,) * len(shape_of(w)[2:])
    strides = tuple(attr_ints(op, "strides") or ones)
    dilations = tuple(attr_ints(op, "dilations") or ones)
    plain = Geometry(kernel, strides, dilations, (0,) * (2 * len(ones)), attr_int(op, "group", 1))
    auto_pad = attr_str(op, "auto_pad", "NOTSET")
    if auto_pad == "NOTSET":
        pads = tuple(attr_ints(op, "pads") or plain.pads)
    elif auto_pad == "VALID":
        pads = plain.pads
    else:
        totals = [max((n - 1) * s + r - i, 0) for n, s, r, i in zip(y, strides, plain.reach, x, strict=True)]
        pads = _split(totals, more_at_end=auto_pad == "SAME_UPPER")
    return Geometry(kernel, strides, dilations, pads, plain.groups)


def _split(totals: Sequence[int], *, more_at_end: bool) -> tuple[int, ...]:
    """Total padding as begins and ends."""
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return tuple(small + large if more_at_end else large + small)


def conv(
    site: Site,
    x: SSAValue,
    w: SSAValue,
    window: WindowAttr,
    type: TensorType,
    *,
    bias: SSAValue | None = None,
    scale: SSAValue | None = None,
    zero_point: int = 0,
    macs: int | None = None,
) -> SSAValue:
    """A new h3.conv here; a bias that is no constant is added at run time. `macs`: what counts, if not all do."""
    fixed = bias if bias is not None and is_constant(bias) else None
    op = ConvOp(x, w, type, bias=fixed, scale=scale, zero_point=zero_point, window=window)
    if macs is not None:
        op.attributes[MACS] = int_attr(macs)
    y = site.add(op).result
    if bias is None or fixed is not None:
        return y
    shape = (1, shape_of(bias)[0], *(1 for _ in type.get_shape()[2:]))
    return site.onnx("Add", [y, site.reshape(bias, shape)], type)


def lower_conv(site: Site) -> None:
    """Conv: an h3.conv."""
    site.replace(_plain_conv(site))


def _plain_conv(site: Site) -> SSAValue:
    op = site.op
    x, w = op.operands[:2]
    return conv(site, x, w, geometry(op, w).window(), tensor_type(op.results[0]), bias=operand(op, 2))


def lower_fused_conv(site: Site) -> None:
    """com.microsoft.FusedConv: `activation(Conv(x, w, b) + z)`."""
    y, z = _plain_conv(site), operand(site.op, 3)
    if z is not None:
        y = site.onnx("Add", [y, z], y.type)
    site.replace(activated(site, y))


def conv_macs(op: Operation) -> int:
    """One for each output value and each weight that it sees."""
    return prod(shape_of(op.results[0])) * prod(shape_of(op.operands[1])[1:])


def lower_conv_transpose(site: Site) -> None:
    """Zeros between the elements of x (Reshape, Pad, Reshape), then a convolution with the flipped weight."""
    op = site.op
    x, w = op.operands[:2]
    spatial, wide = shape_of(x)[2:], _transposed_geometry(op)
    begins, ends = wide.pads[: len(spatial)], wide.pads[len(spatial) :]
    extra = attr_ints(op, "output_padding") or [0] * len(spatial)
    # Each element is followed by stride - 1 zeros, the last one too: these are part of the padding at the end.
    pads = [reach - 1 - begin for reach, begin in zip(wide.reach, begins, strict=True)]
    pads += [
        reach - 1 - end + more - (stride - 1)
        for reach, end, more, stride in zip(wide.reach, ends, extra, wide.strides, strict=True)
    ]
    window = WindowAttr.of([1] * len(spatial), pads, wide.dilations, wide.groups)
    flipped = _flipped(site, w, wide.groups)
    x = _stretched(site, x, wide.strides)
    type, macs = tensor_type(op.results[0]), conv_transpose_macs(op)
    site.replace(conv(site, x, flipped, window, type, bias=operand(op, 2), macs=macs))


def _transposed_geometry(op: Operation) -> Geometry:
    """The window of a ConvTranspose; pads follow from the shape of the result where they are not given."""
    w = op.operands[1]
    x, y = shape_of(op.operands[0])[2:], shape_of(op.results[0])[2:]
    kernel, ones = shape_of(w)[2:], (1,) * len(x)
    strides = tuple(attr_ints(op, "strides") or ones)
    dilations = tuple(attr_ints(op, "dilations") or ones)
    plain = Geometry(kernel, strides, dilations, (0,) * (2 * len(ones)), attr_int(op, "group", 1))
    auto_pad = attr_str(op, "auto_pad", "NOTSET")
    if attr_ints(op, "output_shape") is None and auto_pad in ("NOTSET", "VALID"):
        pads = tuple(attr_ints(op, "pads") or plain.pads) if auto_pad == "NOTSET" else plain.pads
    else:
        extra = attr_ints(op, "output_padding") or [0] * len(x)
        totals = [
            s * (i - 1) + more + r - o for s, i, more, r, o in zip(strides, x, extra, plain.reach, y, strict=True)
        ]
        pads = _split(totals, more_at_end=auto_pad == "SAME_UPPER")
    return Geometry(kernel, strides, dilations, pads, plain.groups)


def _flipped(site: Site, w: SSAValue, groups: int) -> SSAValue:
    """The weight of a ConvTranspose, `C, O / groups, kernel`, as that of a Conv: `O, C / groups, kernel flipped`."""
    channels, outputs, *kernel = shape_of(w)
    shape = (outputs * groups, channels // groups, *kernel)

    def move(array: Array) -> Array:
        blocks = array.reshape(groups, channels // groups, outputs, *kernel).swapaxes(1, 2).reshape(shape)
        return np.flip(blocks, tuple(range(2, len(shape))))

    return rearranged(site, w, shape, move, "flipped")


def _stretched(site: Site, x: SSAValue, strides: Sequence[int]) -> SSAValue:
    """`x` with stride - 1 zeros after each element."""
    if all(stride == 1 for stride in strides):
        return x
    samples, channels, *spatial = shape_of(x)
    apart = [samples, channels, *(size for extent in spatial for size in (extent, 1))]
    padded = [samples, channels, *(n for pair in zip(spatial, strides, strict=True) for n in pair)]
    ends = [wide - narrow for wide, narrow in zip(padded, apart, strict=True)]
    type = tensor_of(tuple(padded), tensor_type(x).element_type)
    x = site.reshape(x, apart)
    pads = [0] * len(apart) + ends
    x = site.onnx("Pad", [x], type, pads=pads) if site.opset < 11 else site.onnx("Pad", [x, site.ints(pads)], type)
    return site.reshape(x, [samples, channels, *(n * s for n, s in zip(spatial, strides, strict=True))])


def _static_float(op: Operation) -> bool:
    return float_operands(op) and is_constant(op.operands[1])


def conv_transpose_macs(op: Operation) -> int:
    """One for each input value and each weight that it meets: zeros in between do not count."""
    return prod(shape_of(op.operands[0])) * prod(shape_of(op.operands[1])[1:])


FAMILIES = {
    "Conv": Family(lower_conv, conv_macs, takes=float_operands),
    "ConvTranspose": Family(lower_conv_transpose, conv_transpose_macs, takes=_static_float),
    "com.microsoft.FusedConv": Family(lower_fused_conv, conv_macs, takes=plain_activation),
}
