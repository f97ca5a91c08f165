"""The onnx dialect: its generated classes, its text, and constants that survive being printed."""

import subprocess
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_models import context, parse, survives, text
from xdsl.dialects import test as anything
from xdsl.dialects.builtin import ModuleOp, TensorType, f32
from xdsl.parser import Parser
from xdsl.traits import is_side_effect_free
from xdsl.utils.exceptions import VerifyException

from h3c.compiler.onnx_reader.generate_ops import TARGET, generate, main, schemas
from h3c.dialects.constants import element_type, from_array, numpy_dtype, to_array
from h3c.dialects.onnx import (
    OP_BY_NAME,
    NoValueOp,
    attr_float,
    attr_int,
    attr_ints,
    attr_str,
    constant,
    constant_array,
    make_op,
    operand,
)
from h3c.dialects.onnx_ops import ConstantOp
from h3c.dialects.text import escape, unescape, unescape_bytes

FLOATS: list[Any] = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]
INTEGERS: list[Any] = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_]
RARE: list[Any] = [ml_dtypes.int4, ml_dtypes.uint4, np.complex64, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]


def test_the_generated_file_is_up_to_date() -> None:
    assert TARGET.read_text() == generate()
    assert main(["--check"]) == 0


def test_every_operator_of_ai_onnx_has_a_class() -> None:
    assert set(OP_BY_NAME) == set(schemas())
    assert OP_BY_NAME["If"].GRAPHS == ("then_branch", "else_branch")
    assert "transB" in OP_BY_NAME["Gemm"].get_irdl_definition().properties


def test_a_plan_is_parsed_without_onnx() -> None:
    source = "import sys, h3c.dialects.onnx; print('onnx' in sys.modules, 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def same(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def through_text(array: Any) -> Any:
    """A constant after its module was printed and parsed, in both forms."""
    module = ModuleOp([constant(array)])
    survives(module)
    op = parse(text(module)).body.block.first_op
    assert isinstance(op, ConstantOp)
    return constant_array(op)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, *RARE], ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,), (2, 0), (1, 1, 4)], ids=str)
def test_constants_of_every_type_and_shape(dtype: Any, shape: tuple[int, ...]) -> None:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 8).astype(dtype)
    back = through_text(array)
    assert back.dtype == np.dtype(dtype)
    assert back.shape == shape
    assert (np.asarray(back == array)).all()
    assert numpy_dtype(element_type(dtype)) == np.dtype(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize(
    "numbers",
    [[np.inf], [-np.inf, 1], [np.nan, 0], [0.0, -0.0], [-0.0], [16777217.0], [123456789.0], [0.1, 1e-5], [-65504.0]],
    ids=str,
)
def test_floats_that_text_makes_difficult(dtype: Any, numbers: list[float]) -> None:
    with np.errstate(over="ignore"):
        array = np.array(numbers).astype(dtype)
    assert same(through_text(array), array)


@given(st.lists(st.floats(width=32), max_size=8))
def test_any_float32_survives(numbers: list[float]) -> None:
    array = np.array(numbers, np.float32)
    back = to_array(Parser(context(), str(from_array(array))).parse_attribute())
    assert np.array_equal(back, array, equal_nan=True)
    assert (np.signbit(back) == np.signbit(array)).all()


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint64, np.uint8])
def test_the_ends_of_integer_types(dtype: Any) -> None:
    array = np.array([np.iinfo(dtype).min, 0, np.iinfo(dtype).max], dtype)
    assert same(through_text(array), array)


def test_types_without_a_counterpart_are_refused() -> None:
    with pytest.raises(ValueError, match="no tensor element type"):
        element_type(np.dtype("U4"))
    with pytest.raises(ValueError, match="no numpy type"):
        numpy_dtype(TensorType(f32, [1]))


@pytest.mark.parametrize("digits", ["00", "0000807G", "0000807F00"])
def test_a_raw_constant_that_does_not_fill_its_type_is_refused(digits: str) -> None:
    with pytest.raises(VerifyException, match=r"bytes|hexadecimal"):
        Parser(context(), f'#onnx.raw<"{digits}", tensor<f32>>').parse_attribute()


@given(st.binary())
def test_any_bytes_become_ascii_and_come_back(data: bytes) -> None:
    assert escape(data).isascii()
    assert unescape_bytes(escape(data)) == data


@given(st.text())
def test_any_text_comes_back(name: str) -> None:
    assert unescape(escape(name)) == name


def value() -> anything.TestOp:
    return anything.TestOp(result_types=[TensorType(f32, [2])])


def test_the_text_of_an_op() -> None:
    x = value()
    attributes = {"axis": 1, "alpha": 0.5, "mode": "linear", "pads": [0, 1], "empty": []}
    op = make_op("Relu", [x.res[0]], [TensorType(f32, [2])])
    op.properties = make_op("Relu", [], [], attributes).properties
    printed = 'onnx.Relu(%0) <alpha = 5.000000e-01, axis = 1, empty = [], mode = "linear", pads = [0, 1]> :'
    assert printed in text(ModuleOp([x, op]))


def test_attributes_are_read_by_kind() -> None:
    op = make_op("Resize", [], [], {"antialias": 1, "cubic_coeff_a": -0.5, "axes": [0, 2], "mode": "linear"})
    assert (attr_int(op, "antialias", 0), attr_int(op, "exclude_outside", 7)) == (1, 7)
    assert (attr_float(op, "cubic_coeff_a", 0.0), attr_float(op, "extrapolation_value", 2.0)) == (-0.5, 2.0)
    assert (attr_ints(op, "axes"), attr_ints(op, "other"), attr_ints(op, "other", [1])) == ([0, 2], None, [1])
    assert (attr_str(op, "mode"), attr_str(op, "nearest_mode", "floor")) == ("linear", "floor")
    for read in (lambda: attr_int(op, "mode", 0), lambda: attr_float(op, "mode", 0), lambda: attr_ints(op, "mode")):
        with pytest.raises(VerifyException, match="attribute mode should be"):
            read()
    with pytest.raises(VerifyException, match="attribute axes should be a string"):
        attr_str(op, "axes")


def test_an_undeclared_attribute_or_one_of_another_kind_is_no_valid_op() -> None:
    for attributes in ({"alpha": 1}, {"transB": "yes"}, {"axis": 1}):
        with pytest.raises(VerifyException):
            make_op("Gemm", [], [], attributes).verify()


def test_an_operand_that_is_left_out() -> None:
    x, none = value(), NoValueOp()
    op = make_op("Clip", [x.res[0], none.result, x.res[0]], [TensorType(f32, [2])])
    assert [operand(op, index) is None for index in range(4)] == [False, True, False, True]
    survives(ModuleOp([x, none, op]))


def test_dropout_has_an_effect_only_in_training() -> None:
    x, none = value(), NoValueOp()
    inference = make_op("Dropout", [x.res[0], x.res[0], none.result], [TensorType(f32, [2])])
    training = make_op("Dropout", [x.res[0], x.res[0], x.res[0]], [TensorType(f32, [2])])
    assert is_side_effect_free(inference)
    assert not is_side_effect_free(training)
    assert not is_side_effect_free(make_op("RandomNormal", [], [TensorType(f32, [2])]))
