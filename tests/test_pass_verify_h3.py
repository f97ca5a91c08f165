"""verify-h3: what is not ready to be placed is refused, with the node and the reason."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from h3_reference import PIPELINE, model, products, read, run_passes
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp
from xdsl.ir import Block, Region

from h3c.dialects.formats import int_attr
from h3c.dialects.h3 import ChipOp, ConvOp, MatmulOp
from h3c.dialects.h3_attributes import PartAttr, Schedule
from h3c.dialects.h3_chip import TierOp
from h3c.passes.fold_constants import FoldConstants
from h3c.passes.verify_h3 import VerifyH3
from h3c.runtime_sim.errors import InputError

RNG = np.random.default_rng(23)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


TEXT = (
    "g (float[3,8] x, float[1,4,6,6] z) => (float[3,6] y, float[N,C,H,W] u)"
    "{ y = MatMul(x, w)  u = Conv<group = 2>(z, v) }"
)


def lowered(folder: Path) -> ModuleOp:
    source = model(TEXT, w=floats(8, 6), v=floats(6, 2, 3, 3))
    for node in source.graph.node:
        node.name = f"the_{node.op_type.lower()}"
    module = run_passes(read(source, folder), PIPELINE)
    tiers = Region(Block([TierOp("sram", "crossbar", DictionaryAttr({}))]))
    module.body.block.insert_op_before(ChipOp(Schedule.SEQUENTIAL, DictionaryAttr({}), tiers), module.ops.first)  # pyright: ignore[reportArgumentType]
    return module


def place(op: MatmulOp | ConvOp, *parts: PartAttr) -> None:
    op.parts = ArrayAttr(parts)


def test_a_lowered_and_placed_module_is_right(tmp_path: Path):
    module = lowered(tmp_path)
    matmul, conv = products(module)
    place(matmul, PartAttr.of("sram", 0, 4), PartAttr.of("sram", 4, 6))
    place(conv, PartAttr.of("sram", 0, 3), PartAttr.of("sram", 3, 6))
    VerifyH3().apply(Context(), module)


WRONG: dict[str, tuple[Callable[[MatmulOp, ConvOp], None], str]] = {
    "a tier that is not there": (
        lambda matmul, _: place(matmul, PartAttr.of("reram", 0, 6)),
        "node the_matmul: the chip has no tier @reram; it has sram",
    ),
    "a group cut in two": (
        lambda _, conv: place(conv, PartAttr.of("sram", 0, 2), PartAttr.of("sram", 2, 6)),
        "node the_conv: .* cuts a group of 3 outputs",
    ),
    "an output left out": (
        lambda matmul, _: place(matmul, PartAttr.of("sram", 0, 5)),
        "node the_matmul: parts cover 5 of 6 outputs",
    ),
    "a zero point of floats": (
        lambda matmul, _: setattr(matmul, "zero_point", int_attr(3)),
        "node the_matmul: .* a zero point only for integers",
    ),
    "a weight of another shape": (
        lambda matmul, conv: matmul.operands.__setitem__(1, conv.w),
        "node the_matmul: x has 8 columns",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_nonsense_is_refused(case: str, tmp_path: Path):
    change, reason = WRONG[case]
    module = lowered(tmp_path)
    matmul, conv = products(module)
    assert isinstance(matmul, MatmulOp)
    assert isinstance(conv, ConvOp)
    change(matmul, conv)
    with pytest.raises(InputError, match=reason):
        VerifyH3().apply(Context(), module)


def test_matrix_work_that_was_not_lowered_is_refused(tmp_path: Path):
    module = run_passes(read(model(TEXT, w=floats(8, 6), v=floats(6, 2, 3, 3)), tmp_path), [FoldConstants()])
    with pytest.raises(InputError, match=r"onnx\.MatMul is matrix work, expected an h3 op"):
        VerifyH3().apply(Context(), module)
