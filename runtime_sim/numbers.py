"""What a plan computes: its outputs for given inputs, with exact arithmetic or at each tier's precision.

`run_plan` walks the plan once for many executions. Products with static weights stack all of them
(matrix_product.py), digital regions too where that provably changes nothing (sessions.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import ReturnOp
from xdsl.ir import SSAValue

from ..dialects.constants import numpy_dtype
from ..dialects.h3 import WeightOp
from ..dialects.onnx import constant_array
from ..dialects.onnx_ops import ConstantOp
from ..dialects.tile import (
    AheadOp,
    DigitalOp,
    JoinOp,
    LoadOp,
    MvmOp,
    ProgramOp,
    ReorderOp,
    SegmentOp,
    StoreOp,
    SwitchOp,
)
from ..dialects.values import shape_of, static_weight, tensor_type
from .arithmetic import Arithmetic, Exact
from .chip import Chip
from .chip_ir import chip_from_ir
from .errors import InputError, where
from .interface import checked_inputs, outputs_of, result_names
from .matrix_product import MatrixPart, MatrixProduct
from .onnx_graph import module_opset
from .sessions import DigitalRegion, Each, Ragged, Same, Values
from .walk import ConstantLike, Visitor, definition, main_function, users, walk
from .weights import STORE, WeightStore
from .windows import Window

Array = NDArray[Any]

VALUE_BYTES = 128 << 20
"""As many executions go through the plan together as let its largest value take this much memory."""


@dataclass(frozen=True)
class NumbersReport:
    """How outputs were computed.

    `calibrated`: matrix operators' parts whose output converters got their ranges from the first `calibrated_on`
    executions; `clipped`: conversions at a converter's limit; `stacked`, `single`: digital regions that ran once for
    all executions, and once an execution.
    """

    executions: int
    ideal: bool
    calibrated: int
    calibrated_on: int
    clipped: int
    stacked: int
    single: int

    def lines(self) -> list[str]:
        """For people to read."""
        many = "1 execution" if self.executions == 1 else f"{self.executions} executions"
        lines = [f"outputs of {many}, {'exact arithmetic' if self.ideal else 'at the precision of each tier'}"]
        if self.calibrated:
            first = "execution" if self.calibrated_on == 1 else f"{self.calibrated_on} executions"
            lines.append(f"converter ranges of {self.calibrated} products set from the first {first}")
        if self.clipped:
            lines.append(f"{self.clipped} conversions clipped")
        return lines


def run_plan(
    module: ModuleOp,
    inputs: Mapping[str, Array],
    *,
    ideal: bool,
    store: WeightStore = STORE,
    stack: bool = True,
) -> tuple[dict[str, Array], NumbersReport]:
    """The outputs of a plan, by the model's names, and how they came about.

    `inputs`: arrays by the model's names, N samples on their leading axes; with a compiled batch of B that is N / B
    executions, whose results follow each other on the leading axes of the outputs (a scalar result becomes a vector).
    `ideal`: products are exact on the model's own values; else each tier's input, weight and converter precision holds.
    `stack=False` runs each digital region once an execution, for comparison. Raises InputError for inputs that do not
    fit, weights without values and ops without a kernel.
    """
    arguments, executions = checked_inputs(main_function(module), inputs)
    run = PlanRun(module, ideal, store, stack)
    outputs = run.outputs(arguments, executions, once=True)
    return outputs, run.report(executions)


def largest_value(module: ModuleOp) -> int:
    """Bytes of the largest value made in one execution, at 4 bytes an element; at least 1."""
    sizes = [1]
    for op in main_function(module).walk():
        if not isinstance(op, WeightOp | ProgramOp | SegmentOp):
            shapes = [result.type.get_shape() for result in op.results if isinstance(result.type, TensorType)]
            sizes += [4 * prod(max(size, 1) for size in shape) for shape in shapes]
    return max(sizes)


class PlanRun(Visitor):
    """The plan's interpreter. Products, their ranges and sessions stay from one `execute` to the next.

    `products`: those that have been met, in the order of the plan.
    """

    def __init__(self, module: ModuleOp, ideal: bool, store: WeightStore, stack: bool):
        self._module, self._ideal, self._store, self._stack = module, ideal, store, stack
        self.chip: Chip = chip_from_ir(module)
        self._opsets = module_opset(module)
        self.products: dict[MvmOp, MatrixProduct] = {}
        self._regions: dict[DigitalOp, DigitalRegion] = {}
        self._values: dict[SSAValue, Values] = {}
        self._readers: dict[SSAValue, int] = {}
        self._executions = 0
        self.last = False
        """Whether no `execute` follows: weights then go once they have been used."""
        self._results: list[Values] = []

    def outputs(self, arguments: Sequence[Array], executions: int, *, once: bool = False) -> dict[str, Array]:
        """The model's outputs by name, all executions one after the other; arguments as `checked_inputs` gives them.

        `once`: nothing will be executed after that, so that weights go once they have been used.
        """
        at_once = max(1, VALUE_BYTES // largest_value(self._module))
        pieces: list[list[Values]] = []
        counts: list[int] = []
        for start in range(0, executions, at_once):
            count = min(at_once, executions - start)
            self.last = once and start + count == executions
            pieces.append(self.execute([array[start : start + count] for array in arguments], count))
            counts.append(count)
        return outputs_of(result_names(main_function(self._module)), pieces, counts)

    def execute(self, arguments: Sequence[Array], executions: int) -> list[Values]:
        """The results of so many executions; each argument has them as its leading axis."""
        self._values, self._readers, self._executions = {}, {}, executions
        block = main_function(self._module).body.block
        for argument, array in zip(block.args, arguments, strict=True):
            self._put(argument, Each(array))
        walk(self._module, self)
        return self._results

    def report(self, executions: int) -> NumbersReport:
        """What there is to say after `executions` in all."""
        products, regions = self.products.values(), self._regions.values()
        return NumbersReport(
            executions=executions,
            ideal=self._ideal,
            calibrated=sum(product.full is not None for product in products),
            calibrated_on=max((product.calibrated_on for product in products), default=0),
            clipped=sum(product.clipped for product in products),
            stacked=sum(region.at_once for region in regions),
            single=sum(not region.at_once for region in regions),
        )

    def _put(self, value: SSAValue, values: Values) -> None:
        readers = sum(1 for _ in users(value))
        if readers:
            self._values[value], self._readers[value] = values, readers

    def _get(self, value: SSAValue) -> Values:
        """A value, which goes once all its readers have had it; a constant."""
        value = definition(value)
        if value not in self._values:
            return Same(self._constant(value))
        self._readers[value] -= 1
        return self._values[value] if self._readers[value] else self._values.pop(value)

    def _constant(self, value: SSAValue) -> Array:
        op = static_weight(definition(value))
        if isinstance(op, ConstantOp):
            return constant_array(op)
        if isinstance(op, ReorderOp):
            return np.take(self._constant(op.w), self._order(op, op.order), op.axis.value.data)
        assert isinstance(op, WeightOp), "a value that is not there is a constant"
        return self._store.array(op)

    def _order(self, op: JoinOp | ReorderOp, order: SSAValue) -> Array:
        array = self._constant(order)
        if not np.array_equal(np.sort(array), np.arange(array.size)):
            raise InputError(f"{where(op)}: expected an order that names each of {array.size} outputs once")
        return array

    def constant(self, op: ConstantLike) -> None:
        """Constants are looked up where they are read."""

    def segment_begins(self, op: SegmentOp) -> None:
        """Values do not depend on segments."""

    def segment_ends(self, op: SegmentOp) -> None:
        """What a segment yields is found by `definition`."""

    def program(self, op: ProgramOp) -> None:
        if static_weight(definition(op.w)) is None:
            source = self._get(op.w)
            if isinstance(source, Ragged):
                raise InputError(f"{where(op)}: its weight has a shape that depends on the data")
            array = _programmed(op, source.array, isinstance(source, Each))
            self._put(op.result, Each(array) if isinstance(source, Each) else Same(array))

    def load(self, op: LoadOp) -> None:
        self._put(op.result, self._get(op.x))

    def store(self, op: StoreOp) -> None:
        self._put(op.result, self._get(op.x))

    def switch(self, op: SwitchOp) -> None:
        """Values do not depend on modes: verify-tile proves that a switch loses none that is read."""

    def ahead(self, op: AheadOp) -> None:
        """The product in rounds reads the weight itself."""

    def join(self, op: JoinOp) -> None:
        pieces, axis = [self._get(piece) for piece in op.pieces], op.axis.value.data
        each = not all(isinstance(piece, Same) for piece in pieces)
        arrays = [_array(op, piece) for piece in pieces]
        if each:
            arrays = [_in_each(array, piece, self._executions) for array, piece in zip(arrays, pieces, strict=True)]
        whole = np.concatenate(arrays, axis + each)
        if op.order is not None:
            whole = np.take(whole, np.argsort(self._order(op, op.order)), axis + each)
        self._put(op.result, Each(whole) if each else Same(whole))

    def digital(self, op: DigitalOp) -> None:
        if op not in self._regions:
            self._regions[op] = DigitalRegion(op, self._opsets, self._store)
        region = self._regions[op]
        operands = [self._get(value) for value in region.inputs]
        for value, values in zip(op.outs, region.run(operands, self._executions, self._stack), strict=True):
            self._put(value, values)

    def mvm(self, op: MvmOp) -> None:
        product = self._product(op)
        x = self._get(op.x)
        w = None if product.static is not None else self._get(op.w)
        rows = _array(op, x)
        if w is None or isinstance(w, Same):
            if w is not None:
                product.hold(_streamed(op, _array(op, w), 0))
            result = self.multiply(op, product, rows[None] if isinstance(x, Same) else rows)
            if self.last:
                product.static = None
            self._put(op.result, Same(result[0]) if isinstance(x, Same) else Each(result))
            return
        weights = _array(op, w)
        if op.tier is not None:
            weights = _streamed(op, weights, 1)
        self._put(op.result, Each(product.run(_in_each(rows, x, self._executions), weights)))

    def multiply(self, op: MvmOp, product: MatrixProduct, x: Array) -> Array:
        """The results of a product whose weights are held."""
        return product.run(x)

    def _product(self, op: MvmOp) -> MatrixProduct:
        """The product of an mvm, which holds its weights if they are constants."""
        if op not in self.products:
            self.products[op] = self.product_by(self.arithmetic(op), op)
        return self.products[op]

    def arithmetic(self, op: MvmOp) -> Arithmetic:
        """How an mvm multiplies."""
        if self._ideal:
            return Exact()
        return self.chip.tier(op.tier_name).arithmetic(op.precision.data if op.precision else None)

    def product_by(self, arithmetic: Arithmetic, op: MvmOp) -> MatrixProduct:
        """The product of an mvm, by any arithmetic."""
        product = MatrixProduct(self._part(op), arithmetic)
        source = definition(op.w)
        program = source.owner if isinstance(source.owner, ProgramOp) else None
        if static_weight(source) is not None:
            product.hold(_streamed(op, self._constant(source), 0))
        elif program is not None and static_weight(definition(program.w)) is not None:
            product.hold(_programmed(program, self._constant(program.w), False))
        return product

    def _part(self, op: MvmOp) -> MatrixPart:
        first, outputs, channels, window = op.first_output, op.outputs, (0, None), None
        if op.window is not None:
            strides, pads, dilations, groups = op.window.lists()
            depth, of_group = shape_of(op.w)[1], max(op.all_outputs // groups, 1)
            held = max(outputs // of_group, 1)
            if first % of_group + outputs > held * of_group:
                raise InputError(f"{where(op)}: outputs {first} to {first + outputs} cut groups of {of_group} outputs")
            begin = first // of_group * depth
            channels = (begin, begin + held * depth)
            window = Window(shape_of(op.w)[2:], strides, pads, dilations, held)
        return MatrixPart(
            result_shape=shape_of(op.result),
            result_dtype=numpy_dtype(tensor_type(op.result).element_type),
            window=window,
            channels=channels,
            zero_point=op.zero,
            scale=self._of_outputs(op.scale, op),
            bias=self._of_outputs(op.bias, op),
            function=op.function,
        )

    def _of_outputs(self, value: SSAValue | None, op: MvmOp) -> Array | None:
        """One value for all outputs, or those of the outputs of this part."""
        if value is None:
            return None
        array = self._constant(value).reshape(-1)
        return array if array.size == 1 else array[op.first_output : op.first_output + op.outputs]

    def results(self, op: ReturnOp) -> None:
        self._results = [self._get(value) for value in op.arguments]


def _array(op: MvmOp | JoinOp, value: Values) -> Array:
    if isinstance(value, Ragged):
        raise InputError(f"{where(op)}: an operand has a shape that depends on the data")
    return value.array


def _in_each(array: Array, value: Values, executions: int) -> Array:
    """`array` with executions as its leading axis."""
    return array if isinstance(value, Each) else np.broadcast_to(array, (executions, *array.shape))


def _programmed(op: ProgramOp, w: Array, each: bool) -> Array:
    """What arrays hold of `w`; `each`: executions are its leading axis."""
    held = w[(slice(None), *op.slices) if each else op.slices]
    return held.swapaxes(-1, -2) if op.transposed is not None else held


def _streamed(op: MvmOp, w: Array, leading: int) -> Array:
    """The outputs of this part of a weight that streams, `leading` axes in front; arrays hold just them."""
    if op.tier is None:
        return w
    outputs = slice(op.first_output, op.first_output + op.outputs)
    if op.window is not None:
        return w[(slice(None),) * leading + (outputs,)]
    return w[..., outputs, :].swapaxes(-1, -2) if op.transposed is not None else w[..., outputs]
