"""The rows that a convolution or pooling reads, as a pipelined schedule has them, against what onnxruntime computes."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from h3_reference import original
from reader_models import graph, model, node, random_weight, save, value

from h3c.compiler.onnx_reader.importer import read_onnx
from h3c.compiler.pipeline import PIPELINE, build, run
from h3c.compiler.plan_files import new_context
from h3c.dialects.tile import DigitalOp, MvmOp
from h3c.runtime_sim.flow import Rows, digital_reads, rows_of

ROWS = 11
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "padded": (3, {"strides": [2, 1], "pads": [1, 0, 1, 0]}),
    "one by one": (2, {}),
    "dilated": (3, {"strides": [1, 1], "pads": [1, 0, 1, 0], "dilations": [2, 1]}),
    "wide": (5, {"strides": [3, 1], "pads": [2, 0, 1, 0]}),
}


def read_rows(path: Path) -> Rows:
    """The window of the only operator of a model."""
    module = read_onnx(path, {})
    run(module, build({}, [name for name, _ in PIPELINE]), new_context())
    for op in module.walk():
        if isinstance(op, MvmOp) and op.window is not None:
            return rows_of(op.window, op)
        if isinstance(op, DigitalOp) and (reads := digital_reads(op)) is not None:
            return next(rows for path in reads[0] or () for rows in path)
    raise AssertionError("no operator with a window")


@pytest.mark.parametrize(
    ("kind", "case"),
    [*product(("MaxPool", "Conv"), CASES), ("AveragePool", "padded"), ("GlobalAveragePool", "all")],
)
def test_the_last_row_that_is_read_is_the_last_that_matters(kind: str, case: str, tmp_path: Path) -> None:
    kernel, attributes = CASES.get(case, (1, {}))
    if kind == "Conv":
        made, weights = node("Conv", "x w", "y", **attributes), [random_weight("w", 4, 3, kernel, 1)]
    elif kind == "GlobalAveragePool":
        made, weights = node(kind, "x", "y"), []
    else:
        made, weights = node(kind, "x", "y", kernel_shape=[kernel, 1], **attributes), []
    shape = (2, 3, ROWS, 4)
    path = save(tmp_path, model(graph([made], [value("x", shape)], [value("y", (None,) * 4)], weights)))
    session = original(path)
    x = np.random.default_rng(0).uniform(1, 2, shape).astype(np.float32)
    y: Any = session.run(None, {"x": x})[0]
    last = np.zeros(y.shape[2], int)
    for row in range(ROWS):
        other = x.copy()
        other[:, :, row] += 10
        changed: Any = session.run(None, {"x": other})[0]
        last[np.any(changed != y, axis=(0, 1, 3))] = row + 1
    found = read_rows(path)
    assert (found.images, found.rows_in, found.rows_out) == (2, ROWS, y.shape[2])
    reached = np.arange(found.rows_out) * found.stride + found.extent - found.pad
    # A window that ends in the padding may have read its last row earlier: its rows are `dilation` apart.
    early = np.minimum(reached, ROWS) - last
    assert np.all(early[reached <= ROWS] == 0)
    assert np.all((early >= 0) & (early < attributes.get("dilations", [1])[0]))
