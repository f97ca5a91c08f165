"""One walk over a plan, for all who read plans: times, energy, values, verification are visitors of it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, OpResult, SSAValue

from ..dialects.h3 import WeightOp
from ..dialects.onnx import NoValueOp
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
    YieldOp,
)
from .errors import InputError

ConstantLike = WeightOp | ConstantOp | NoValueOp | ReorderOp


class Visitor(ABC):
    """What is done at each op of a plan, in the order of the plan. A visitor without a rule for an op can't be made."""

    @abstractmethod
    def constant(self, op: ConstantLike) -> None: ...

    @abstractmethod
    def segment_begins(self, op: SegmentOp) -> None: ...

    @abstractmethod
    def segment_ends(self, op: SegmentOp) -> None: ...

    @abstractmethod
    def program(self, op: ProgramOp) -> None: ...

    @abstractmethod
    def load(self, op: LoadOp) -> None: ...

    @abstractmethod
    def store(self, op: StoreOp) -> None: ...

    @abstractmethod
    def switch(self, op: SwitchOp) -> None: ...

    @abstractmethod
    def ahead(self, op: AheadOp) -> None: ...

    @abstractmethod
    def mvm(self, op: MvmOp) -> None: ...

    @abstractmethod
    def digital(self, op: DigitalOp) -> None: ...

    @abstractmethod
    def join(self, op: JoinOp) -> None: ...

    @abstractmethod
    def results(self, op: ReturnOp) -> None: ...


RULES: Mapping[type[Operation], str] = {
    WeightOp: "constant",
    ConstantOp: "constant",
    NoValueOp: "constant",
    ReorderOp: "constant",
    SegmentOp: "segment_begins",
    YieldOp: "segment_ends",
    ProgramOp: "program",
    LoadOp: "load",
    StoreOp: "store",
    SwitchOp: "switch",
    AheadOp: "ahead",
    MvmOp: "mvm",
    DigitalOp: "digital",
    JoinOp: "join",
    ReturnOp: "results",
}
"""Which rule of a visitor an op calls. All ops of the tile dialect are here."""


def main_function(module: ModuleOp) -> FuncOp:
    """`func.func @main` of a plan."""
    for op in module.body.block.ops:
        if isinstance(op, FuncOp) and op.sym_name.data == "main":
            return op
    raise InputError("expected func.func @main in the module, got none")


def walk(module: ModuleOp, visitor: Visitor) -> None:
    """Call the visitor's rule for each op of `module`, segments inside; an op that no plan has is an error."""
    for op in main_function(module).body.block.ops:
        if isinstance(op, SegmentOp):
            visitor.segment_begins(op)
            for inner in op.body.block.ops:
                if inner is not op.last:
                    visit(visitor, inner)
            visitor.segment_ends(op)
        else:
            visit(visitor, op)


def steps(module: ModuleOp) -> Iterator[Operation]:
    """The ops that `walk` meets, in its order, without the segments around them."""
    for op in main_function(module).body.block.ops:
        if isinstance(op, SegmentOp):
            yield from (inner for inner in op.body.block.ops if inner is not op.last)
        else:
            yield op


def visit(visitor: Visitor, op: Operation) -> None:
    """Call the visitor's rule for one op that is no segment."""
    rule = RULES.get(type(op))
    if rule is None or isinstance(op, SegmentOp | YieldOp):
        raise InputError(f"{op.name}: expected an op of a plan (tile ops in segments, weights and constants)")
    getattr(visitor, rule)(op)


def definition(value: SSAValue) -> SSAValue:
    """The value that `value` is, where it is made: a segment's result is what the segment yields."""
    while isinstance(value, OpResult) and isinstance(value.op, SegmentOp):
        value = value.op.last.values[value.index]
    return value


def users(value: SSAValue) -> Iterator[Operation]:
    """The ops that read `value`, also outside the segment that yields it."""
    for use in value.uses:
        if isinstance(use.operation, YieldOp):
            segment = use.operation.parent_op()
            if isinstance(segment, SegmentOp):
                yield from users(segment.outs[use.index])
        else:
            yield use.operation
