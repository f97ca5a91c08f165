"""Element types of tensors and their numpy counterparts, and constants as attributes that survive being printed.

xDSL prints a float that has no short decimal form (an infinity, a NaN, 16777217.0) as its bits, which is right, but
reads the bits back as a number. Constants with such a value are `#onnx.raw` instead of `dense`; `to_array` reads both.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, TypeAlias, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    AnyFloat,
    BFloat16Type,
    BytesAttr,
    ComplexType,
    DenseIntOrFPElementsAttr,
    Float4E2M1FNType,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float8E8M0FNUType,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    StringAttr,
    TensorType,
)
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import irdl_attr_definition, param_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

Array: TypeAlias = NDArray[Any]

MAX_INLINE_ELEMENTS = 64
"""Constants of at most this many elements stay in the text; larger ones are h3.weight."""

_UNSIGNED = Signedness.UNSIGNED
_TYPES: tuple[tuple[Any, Attribute], ...] = (
    (np.float32, Float32Type()),
    (np.float64, Float64Type()),
    (np.float16, Float16Type()),
    (ml_dtypes.bfloat16, BFloat16Type()),
    (np.bool_, IntegerType(1)),
    (ml_dtypes.int4, IntegerType(4)),
    (np.int8, IntegerType(8)),
    (np.int16, IntegerType(16)),
    (np.int32, IntegerType(32)),
    (np.int64, IntegerType(64)),
    (ml_dtypes.uint4, IntegerType(4, _UNSIGNED)),
    (np.uint8, IntegerType(8, _UNSIGNED)),
    (np.uint16, IntegerType(16, _UNSIGNED)),
    (np.uint32, IntegerType(32, _UNSIGNED)),
    (np.uint64, IntegerType(64, _UNSIGNED)),
    (ml_dtypes.int2, IntegerType(2)),
    (ml_dtypes.uint2, IntegerType(2, _UNSIGNED)),
    (np.complex64, ComplexType(Float32Type())),
    (np.complex128, ComplexType(Float64Type())),
    (ml_dtypes.float8_e4m3fn, Float8E4M3FNType()),
    (ml_dtypes.float8_e4m3fnuz, Float8E4M3FNUZType()),
    (ml_dtypes.float8_e5m2, Float8E5M2Type()),
    (ml_dtypes.float8_e5m2fnuz, Float8E5M2FNUZType()),
    (ml_dtypes.float8_e8m0fnu, Float8E8M0FNUType()),
    (ml_dtypes.float4_e2m1fn, Float4E2M1FNType()),
)
_DTYPE_OF: dict[Attribute, np.dtype[Any]] = {type: np.dtype(scalar) for scalar, type in _TYPES}
_TYPE_OF = {dtype: type for type, dtype in _DTYPE_OF.items()}


def element_type(dtype: Any) -> Attribute:
    """The element type of a numpy (or ml_dtypes) type; ValueError where there is none."""
    found = _TYPE_OF.get(np.dtype(dtype).newbyteorder("="))
    if found is None:
        raise ValueError(f"no tensor element type for {np.dtype(dtype)}")
    return found


def numpy_dtype(type: Attribute) -> np.dtype[Any]:
    """The numpy (or ml_dtypes) type of an element type; ValueError where there is none."""
    found = _DTYPE_OF.get(type)
    if found is None:
        raise ValueError(f"no numpy type for elements of {type}")
    return found


def tensor_of(shape: tuple[int, ...], type: Attribute) -> TensorType:
    """The tensor type of this shape and element type."""
    return TensorType(type, shape)


def type_of(array: Array) -> TensorType:
    """The tensor type that holds `array`."""
    return tensor_of(array.shape, element_type(array.dtype))


@irdl_attr_definition
class RawElementsAttr(ParametrizedAttribute):
    """A constant tensor as its little-endian bytes: `#onnx.raw<"0000807F", tensor<f32>>`."""

    name = "onnx.raw"

    hex: StringAttr = param_def()
    type: TensorType = param_def()

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            digits = parser.parse_str_literal()
            parser.parse_punctuation(",")
            return [StringAttr(digits), parser.parse_attribute()]

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(f'"{self.hex.data}", ')
            printer.print_attribute(self.type)

    def verify(self) -> None:
        try:
            length = len(bytes.fromhex(self.hex.data))
        except ValueError as error:
            raise VerifyException(f"expected hexadecimal digits, got {self.hex.data!r}") from error
        expected = prod(self.type.get_shape()) * numpy_dtype(self.type.element_type).itemsize
        if length != expected:
            raise VerifyException(f"{self.type} has {expected} bytes, got {length}")


ElementsAttr: TypeAlias = "DenseIntOrFPElementsAttr | RawElementsAttr"


def _survives(array: Array) -> bool:
    """Whether xDSL reads back what it prints for a `dense` of these floats."""
    if not np.isfinite(array).all():
        return False
    if array.size and (array == 0).all() and len(np.unique(np.signbit(array))) > 1:
        return False  # printed as one zero
    digits = 9 if array.dtype == np.float32 else 17
    for value in array.ravel().tolist():
        short = np.array(float(f"{value:.5e}")).astype(array.dtype)
        if short != value and "." not in (f"{value:.{digits}g}" if array.itemsize >= 4 else repr(value)):
            return False
    return True


def from_array(array: Array) -> ElementsAttr:
    """`array` as an attribute: `dense`, or `#onnx.raw` where its text would not read back the same."""
    array = np.ascontiguousarray(array).reshape(array.shape)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    type = type_of(array)
    element = type.element_type
    if isinstance(element, IntegerType):
        if array.dtype == np.bool_:
            array = -array.astype(np.int8)  # a true i1 is -1
        elif element.width.data < 8:
            array = array.astype(np.int8)
    elif not isinstance(element, Float32Type | Float64Type | Float16Type | BFloat16Type) or not _survives(array):
        return RawElementsAttr(StringAttr(array.tobytes().hex().upper()), type)
    return DenseIntOrFPElementsAttr(cast("TensorType[IntegerType | AnyFloat]", type), BytesAttr(array.tobytes()))


def to_array(attribute: Attribute) -> Array:
    """The values of a `dense` or `#onnx.raw`, in the numpy type of its elements; read-only."""
    if isinstance(attribute, RawElementsAttr):
        data, type = bytes.fromhex(attribute.hex.data), attribute.type
    elif isinstance(attribute, DenseIntOrFPElementsAttr):
        data, type = attribute.data.data, attribute.type
    else:
        raise ValueError(f"expected a constant tensor, got {attribute}")
    element, shape = type.element_type, tuple(type.get_shape())
    dtype = numpy_dtype(element)
    if element == IntegerType(1):
        return (np.frombuffer(data, np.uint8) != 0).reshape(shape)
    if isinstance(element, IntegerType) and element.width.data < 8:
        return np.frombuffer(data, np.int8).astype(dtype).reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def is_float(type: Attribute) -> bool:
    """Whether elements of this type are floats."""
    return isinstance(type, AnyFloat)
