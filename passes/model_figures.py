"""The pass `model-figures`: how much there is in the model, counted before anything is fused."""

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import DictionaryAttr, ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.formats import int_attr
from .lowering.constants import root_constant
from .lowering.site import top_ops

_NO_OPERATORS = ("h3.weight", "onnx.Constant", "onnx.NoValue")


@dataclass(frozen=True)
class ModelFigures(ModulePass):
    """Set `operators`, `macs`, `weights` and `matrix_operators` in the module's `h3.model`.

    Before:
        h3.model = {name = "digits", opset = {ai.onnx = 17 : i64}}
    After:
        h3.model = {macs = 17024 : i64, matrix_operators = 3 : i64, name = "digits", operators = 6 : i64, ...}

    `operators`: the ONNX nodes that stay after folding (one for an If or a Loop with its bodies); `matrix_operators`:
    those of them that become matrix work, and `macs` their multiply-accumulates at the bound dimensions; `weights`: the
    elements of their static weights, without biases, a weight that several use counted once.
    """

    name = "model-figures"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        from .lowering.table import matrix_ops

        found = matrix_ops(op)
        elements: dict[SSAValue, int] = {}
        for matrix_op, family in found:
            weight = family.weight(matrix_op)
            if weight is not None:
                elements[weight] = family.weight_elements(matrix_op, weight)
        figures = {
            "operators": sum(_is_operator(each) for each in top_ops(op)),
            "matrix_operators": len(found),
            "macs": sum(family.macs(matrix_op) for matrix_op, family in found),
            "weights": sum(elements.values()),
        }
        model = op.attributes.get("h3.model")
        fields = dict(model.data) if isinstance(model, DictionaryAttr) else {}
        fields.update({name: int_attr(value) for name, value in figures.items()})
        op.attributes["h3.model"] = DictionaryAttr(dict(sorted(fields.items())))


def _is_operator(op: Operation) -> bool:
    """Whether `op` is a node of the model that computes: not a constant, nor a constant in another form."""
    if not op.name.startswith("onnx.") or op.name in _NO_OPERATORS or not op.results:
        return False
    return root_constant(op.results[0]) is None
