"""Outputs of an operator placed in another order: the plan computes what the model does."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from h3_reference import original
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.parser import Parser

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context, text_of
from h3c.dialects.h3 import ConvOp, MatmulOp, WeightOp
from h3c.dialects.h3_attributes import PartAttr
from h3c.dialects.tile import JoinOp, ReorderOp
from h3c.passes.place_parts import PlaceParts, give_orders
from h3c.passes.verify_placement import VerifyPlacement
from h3c.runtime_sim.errors import InputError
from h3c.runtime_sim.numbers import run_plan
from h3c.runtime_sim.weights import STORE

MODELS = Path(__file__).parent.parent / "models"
NAMES = [name for name, _ in PIPELINE]
BEFORE, AFTER = NAMES[: NAMES.index("place-parts")], NAMES[NAMES.index("place-parts") + 1 :]


def ordered(name: str) -> tuple[ModuleOp, list[MatmulOp | ConvOp]]:
    """A shipped model, each operator in parts on two tiers, and in a random order where it may have one."""
    path = MODELS / name
    dims = {d.dim_param for i in onnx.load(path).graph.input for d in i.type.tensor_type.shape.dim if d.dim_param}
    module = read_onnx(path, dict.fromkeys(dims, 2))
    run(module, build({}, BEFORE), new_context())
    PlaceParts(strategy="homogeneous", tier="digital").place(module)
    rng, operators = np.random.default_rng(0), list[MatmulOp | ConvOp]()
    for op in module.walk():
        if isinstance(op, MatmulOp | ConvOp):
            operators.append(op)
    orders: list[np.ndarray | None] = []
    for op in operators:
        free = isinstance(op.w.owner, WeightOp) and not (isinstance(op, ConvOp) and op.window.groups.data > 1)
        first = op.outputs // 3 if free else 0
        parts = [PartAttr.of("digital", first, op.outputs)]
        op.parts = ArrayAttr([PartAttr.of("reram", 0, first), *parts] if first else parts)
        orders.append(rng.permutation(op.outputs) if first else None)
    give_orders(operators, orders)
    return module, operators


def reference(name: str, inputs: dict[str, np.ndarray]) -> np.ndarray:
    session = original(MODELS / name)
    count = len(next(iter(inputs.values())))
    runs = [session.run(None, {k: v[i : i + 2] for k, v in inputs.items()})[0] for i in range(0, count, 2)]
    return np.concatenate([np.asarray(run) for run in runs])


@pytest.mark.parametrize("name", ["digits_cnn.onnx", "digits_cnn.int8.onnx", "digits_transformer.onnx"])
def test_a_plan_in_another_order_computes_what_onnxruntime_does(name: str) -> None:
    module, operators = ordered(name)
    assert any(op.order is not None for op in operators)
    again = Parser(new_context(), text_of(module)).parse_module()
    assert text_of(again) == text_of(module)
    run(again, build({}, AFTER), new_context())
    plan = Parser(new_context(), text_of(again)).parse_module()
    assert any(isinstance(op, ReorderOp) for op in plan.walk())
    assert any(isinstance(op, JoinOp) and op.order is not None for op in plan.walk())
    images = np.load(MODELS / "digits.npz")["x_test"][:20]
    session = ort.InferenceSession(MODELS / name, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: images}
    found, _ = run_plan(plan, inputs, ideal=True)
    (result,), expected = found.values(), reference(name, inputs)
    assert np.abs(result - expected).max() <= 1e-4 * np.ptp(expected)


def test_an_order_names_each_output_once_and_groups_stay() -> None:
    module, operators = ordered("digits_cnn.onnx")
    op = next(op for op in operators if op.order is not None)
    VerifyPlacement().apply(Context(), module)
    wrong = np.zeros(op.outputs, np.int32)
    maker = op.order.owner if op.order is not None else None
    assert isinstance(maker, WeightOp)
    maker.properties["digest"] = type(maker.digest)(STORE.put(wrong))  # pyright: ignore[reportCallIssue, reportArgumentType]
    with pytest.raises(InputError, match=f"expected an order that names each of {op.outputs} outputs once"):
        VerifyPlacement().apply(Context(), module)
