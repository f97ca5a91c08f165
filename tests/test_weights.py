"""The store of weights: addressed by content, backed by files that are checked, written whole or not at all."""

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
from onnx import TensorProto, helper, numpy_helper
from reader_models import graph, mlp, model, named, node, save, value, weight
from safetensors.numpy import load_file
from xdsl.dialects.builtin import DYNAMIC_INDEX, ModuleOp, TensorType, f32

import h3c.runtime_sim.weights as weights
from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.dialects.constants import type_of
from h3c.dialects.h3 import WeightOp
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.onnx_tensors import tensor_array
from h3c.runtime_sim.weights import (
    STORE,
    WeightStore,
    digest_of,
    file_digest,
    register_stores,
    relative_stores,
    set_stores,
    stores_of,
)

ARRAY = np.arange(600, dtype=np.float32).reshape(20, 30)
DTYPES: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.bool_, np.int8, np.uint16, np.int64]
RARE: list[Any] = [ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, np.complex64]


def op_of(array: Any, key: str = "w") -> WeightOp:
    return WeightOp(key, type_of(array), digest=digest_of(array))


def test_a_digest_tells_type_shape_and_values_apart() -> None:
    same_bytes = [ARRAY, ARRAY.reshape(30, 20), ARRAY.view(np.int32), ARRAY.ravel(), ARRAY + 1]
    assert len({digest_of(array) for array in same_bytes}) == len(same_bytes)
    assert digest_of(ARRAY) == digest_of(np.asfortranarray(ARRAY)) == digest_of(ARRAY.astype(">f4"))
    assert digest_of(ARRAY) == "9a0ebb330570f23f"


def test_a_value_is_found_by_its_content() -> None:
    store = WeightStore()
    assert store.put(ARRAY) == store.put(ARRAY.copy())
    assert np.array_equal(store.array(op_of(ARRAY, "any name")), ARRAY)


def test_weights_without_values() -> None:
    store = WeightStore()
    with pytest.raises(InputError, match="weight 'w' has no values"):
        store.array(WeightOp("w", TensorType(f32, [2]), absent=True))
    with pytest.raises(InputError, match=r"weight 'w' with digest [0-9a-f]{16} was not found"):
        store.array(op_of(ARRAY))
    fill = store.array(WeightOp("w", TensorType(f32, [1 << 20, 1 << 20]), splat=2.5))
    assert fill.shape == (1 << 20, 1 << 20)
    assert fill[7, 9] == 2.5


def test_a_plan_whose_types_disagree_with_the_values() -> None:
    store = WeightStore()
    digest = store.put(ARRAY)
    for shape in ([30, 20], [20, DYNAMIC_INDEX], [600]):
        with pytest.raises(InputError, match="the plan expects"):
            store.array(WeightOp("w", TensorType(f32, shape), digest=digest))


@pytest.mark.parametrize("dtype", [*DTYPES, *RARE], ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(4, 5), (), (0, 3)], ids=str)
def test_values_of_every_type_go_through_a_file(dtype: Any, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 8).astype(dtype)
    first, second = WeightStore(), WeightStore()
    path = first.write_safetensors(tmp_path, "plan", [first.put(array)])
    assert path is not None
    second.register_safetensors(path, file_digest(path))
    back = second.array(op_of(array))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_a_store_is_a_safetensors_file(tmp_path: Path) -> None:
    store = WeightStore()
    half = ARRAY.astype(ml_dtypes.bfloat16)
    digests = [store.put(array) for array in (ARRAY, np.array([True, False]), half)]
    path = store.write_safetensors(tmp_path, "plan", digests)
    assert path is not None
    assert path.name == f"plan.{file_digest(path)[:8]}.safetensors"
    assert np.array_equal(load_file(path)[digests[0]], ARRAY)
    with safetensors.safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == sorted(digests)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_the_same_values_give_the_same_file(tmp_path: Path) -> None:
    store = WeightStore()
    digests = [store.put(ARRAY + index) for index in range(5)]
    paths = [store.write_safetensors(tmp_path, "plan", order) for order in (digests, digests[::-1], digests * 2)]
    assert len(set(paths)) == 1
    assert store.write_safetensors(tmp_path, "plan", []) is None


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = WeightStore()
    digest = store.put(ARRAY)

    def interrupted(array: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(weights, "_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.write_safetensors(tmp_path, "plan", [digest])
    assert not list(tmp_path.iterdir())


def test_only_what_no_file_holds_is_made(tmp_path: Path) -> None:
    store = WeightStore()
    in_file, made = store.put_from_file(ARRAY, tmp_path / "m.onnx"), store.put(ARRAY + 1)
    assert store.made([in_file, made, "unknown"], [tmp_path / "m.onnx"]) == [made]
    assert store.made([in_file, made], []) == sorted([in_file, made])
    path = store.write_safetensors(tmp_path, "plan", [made])
    assert path is not None
    assert store.made([in_file, made], [tmp_path / "m.onnx", path]) == []


def weights_of(module: ModuleOp) -> list[WeightOp]:
    return [op for op in named(module, "h3.weight") if isinstance(op, WeightOp)]


def in_another_process(path: Path) -> WeightStore:
    """A store that knows only this file."""
    store = WeightStore()
    store.register(path, file_digest(path))
    return store


def test_the_model_is_a_store(tmp_path: Path) -> None:
    path = save(tmp_path, mlp())
    module = read_onnx(path, {"batch": 1})
    store = in_another_process(path)
    for op in weights_of(module):
        assert np.array_equal(store.array(op), STORE.array(op))


def test_constants_wherever_a_model_has_them(tmp_path: Path) -> None:
    """In a node, in a body, in a function, in a sparse initializer, in an external file."""
    table = np.arange(100, dtype=np.float32).reshape(10, 10)
    body = [node("Constant", "", "c", value=weight("", table + 1)), node("Add", "a c", "b")]
    then = helper.make_graph([node("Add", "x w", "t")], "then", [], [value("t", None)], [weight("w", table + 2)])
    floats = [node("Constant", "", "f", value_floats=(table + 3).ravel().tolist()), node("Identity", "f", "g")]
    other = helper.make_graph(floats, "other", [], [value("g", None)])
    nodes = [
        node("F", "x", "p", domain="local"),
        node("If", "yes", "q", then_branch=then, else_branch=other),
        node("Add", "p sparse", "r"),
        node("Add", "r external", "y"),
    ]
    made = model(graph(nodes, [value("x", [10, 10])], [value("y", [10, 10]), value("q", None)]), local=1)
    made.functions.append(helper.make_function("local", "F", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    made.graph.initializer.append(weight("yes", True))
    values = weight("sparse", np.arange(3, dtype=np.float32))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, weight("i", [5, 6, 7]), [10, 10]))
    (tmp_path / "w.bin").write_bytes((table + 4).tobytes())
    outside = TensorProto(name="external", dims=[10, 10], data_type=TensorProto.FLOAT)
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="w.bin")
    made.graph.initializer.append(outside)
    path = save(tmp_path, made)
    found = weights_of(read_onnx(path))
    assert len(found) == 5
    store = in_another_process(path)
    for op in found:
        assert np.array_equal(store.array(op), STORE.array(op))


def test_a_file_that_is_gone_or_changed_or_broken(tmp_path: Path) -> None:
    path = save(tmp_path, mlp())
    op = weights_of(read_onnx(path, {"batch": 1}))[0]
    store = in_another_process(path)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(InputError, match=r"m\.onnx: expected digest .*changed"):
        store.array(op)
    path.unlink()
    with pytest.raises(InputError, match=r"m\.onnx.*not there"):
        store.array(op)
    for name in ("bad.onnx", "bad.safetensors", "cut.safetensors"):
        content = b"\x10\0\0\0\0\0\0\0[1, 2, 3]       " if name.startswith("cut") else b"nonsense of any kind"
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            in_another_process(tmp_path / name).array(op)
    with pytest.raises(InputError, match=r"is an \.onnx or a \.safetensors file"):
        WeightStore().register(tmp_path / "weights.pkl")


def test_one_broken_file_does_not_hide_another(tmp_path: Path) -> None:
    first, second = WeightStore(), WeightStore()
    path = first.write_safetensors(tmp_path, "plan", [first.put(ARRAY)])
    assert path is not None
    second.register(tmp_path / "gone.onnx", "0" * 16)
    second.register(path)
    assert np.array_equal(second.array(op_of(ARRAY)), ARRAY)


def test_a_store_whose_values_were_replaced(tmp_path: Path) -> None:
    """The file's digest is not asked for here, so the value's own must tell."""
    first, second = WeightStore(), WeightStore()
    path = first.write_safetensors(tmp_path, "plan", [first.put(ARRAY)])
    assert path is not None
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    second.register_safetensors(path)
    with pytest.raises(InputError, match="was not found"):
        second.array(op_of(ARRAY))


def test_stores_are_relative_to_the_file_of_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "plans").mkdir()
    save(tmp_path / "models", mlp(), "é m.onnx")
    monkeypatch.chdir(tmp_path)
    module = read_onnx(Path("models/é m.onnx"), {"batch": 1})
    digest = file_digest(tmp_path / "models" / "é m.onnx")
    assert stores_of(module) == [("models/é m.onnx", digest)]
    written = relative_stores(module, Path("plans"))
    assert written == [("../models/é m.onnx", digest)]
    set_stores(module, written)
    monkeypatch.chdir(tmp_path / "models")
    store = WeightStore()
    register_stores(module, Path("../plans"), store)
    assert stores_of(module) == [("../models/é m.onnx", digest)]
    for op in weights_of(module):
        assert np.array_equal(store.array(op), STORE.array(op))


PACKED = {
    "int4": (TensorProto.INT4, ml_dtypes.int4, [-8, 7, 0, -1, 3]),
    "uint4": (TensorProto.UINT4, ml_dtypes.uint4, [0, 15, 8, 1, 9]),
    "bool": (TensorProto.BOOL, np.bool_, [True, False, True, True, False]),
    "float16": (TensorProto.FLOAT16, np.float16, [0.5, -2, 65504, 0, 1]),
    "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16, [0.5, -2, 3e38, 0, 1]),
    "float": (TensorProto.FLOAT, np.float32, [0.1, -2, 3e38, 0, 1]),
    "int64": (TensorProto.INT64, np.int64, [-(2**63), 2**63 - 1, 0, 1, 2]),
    "uint64": (TensorProto.UINT64, np.uint64, [2**64 - 1, 0, 1, 2, 3]),
}


@pytest.mark.parametrize(("kind", "dtype", "numbers"), PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("raw", [True, False])
def test_tensors_of_onnx_files(kind: int, dtype: Any, numbers: list[Any], raw: bool) -> None:
    array = np.array(numbers, dtype)
    tensor = numpy_helper.from_array(array, "w") if raw else helper.make_tensor("w", kind, [5], numbers)
    assert tensor.HasField("raw_data") == raw
    back = tensor_array(tensor, None, "w")
    assert back is not None
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


def test_large_files_are_mapped(tmp_path: Path) -> None:
    """Reading a model with external data does not load it into memory."""
    count = 1 << 24
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(4 * count)
    tensor = TensorProto(name="w", dims=[count], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    array = tensor_array(tensor, tmp_path, "w")
    assert array is not None
    assert not array.flags.writeable
    assert not array.flags.owndata
    os.truncate(tmp_path / "w.bin", 4)
    with pytest.raises(InputError, match="which has 4 bytes"):
        tensor_array(tensor, tmp_path, "w")
