"""A plan of segments in IR: what the solver decided, on the operators and the module."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, ModuleOp, StringAttr, SymbolRefAttr

from ..dialects.formats import int_attr
from ..dialects.h3 import ConvOp, MatmulOp, MatrixOp, PartAttr
from ..dialects.tile import ArraysAttr, RoundsAttr
from ..runtime_sim.errors import InputError
from .segment_problem import Program
from .segmentation.problem import Place, Segment, SegmentPlan, SegmentProblem
from .segmentation.segments import window_of
from .segmentation.window import Windows
from .verify_placement import ROUNDS

SEGMENTS = "h3.segments"
"""On the module: for each segment the tier that segments are cut for, the arrays of it that the segment may use, those
in memory mode, and those loaded for the next while it runs."""
KEPT = "h3.kept"
"""On an operator: where its output is between segments, if not off chip."""


@dataclass(frozen=True)
class SegmentSizes:
    """Numbers of arrays of one segment, of the tier that segments are cut for."""

    tier: str
    arrays: int
    """Those that the plan may use at all."""
    memory: int
    preloads: int


def give_segments(module: ModuleOp, program: Program, problem: SegmentProblem, plan: SegmentPlan) -> None:
    """Write a plan onto the operators of a module."""
    windows = Windows(problem)
    places = {kept.producer: kept.place for kept in plan.kept}
    for number, segment in enumerate(plan.segments):
        for member in segment.members:
            op, own = program.operators[member.operator], problem.operators[member.operator]
            if own.host is not None:
                where, copies, precision = own.host.tier, own.host.copies, own.host.precision
                rewritten = False
            else:
                where, copies, precision = program.tier, member.copies, ""
                rewritten = not plan.resident or not own.static
            part = PartAttr.of(
                where, 0, op.outputs, copies=copies, segment=number, rewritten=rewritten, precision=precision
            )
            op.parts = ArrayAttr([part])
            op.put_in_order(None)
        if segment.tiling is not None:
            _give_rounds(program, windows, segment, places)
    for producer, place in places.items():
        program.operators[producer].attributes[KEPT] = StringAttr(place.value)
    for number, unit in enumerate(program.units):
        op = unit.matrix
        if isinstance(op, MatmulOp | ConvOp) and not program.is_operator(number):
            before = program.operators[program.owners[number]].placed
            segment = before[-1].segment.data
            op.parts = ArrayAttr([PartAttr.of("digital", 0, op.outputs, copies=1, segment=segment)])
    arrays = problem.chip.arrays
    sizes = [{"arrays": arrays, "memory": s.memory_arrays, "preloads": s.preloads} for s in plan.segments]
    tier = StringAttr(program.tier)
    module.attributes[SEGMENTS] = ArrayAttr(
        [DictionaryAttr({"tier": tier, **{key: int_attr(value) for key, value in each.items()}}) for each in sizes]
    )


def _give_rounds(program: Program, windows: Windows, segment: Segment, places: Mapping[int, Place]) -> None:
    """The passages of a tiled operator's inputs and partial sums, as the solver counts them (`tiled.price`)."""
    (member,), tiling, chip = segment.members, segment.tiling, windows.problem.chip
    assert tiling is not None
    own = windows.problem.operators[member.operator]
    window = window_of(windows, member.operator, member.operator, places)
    assert window is not None
    of_k, of_n = ceil(ceil(own.k / chip.array_rows) / tiling.deep), ceil(ceil(own.n / chip.array_cols) / tiling.wide)
    of_groups = ceil(own.groups / tiling.groups_a_round) if tiling.groups_a_round else own.groups
    columns = own.n if tiling.inputs_outer else min(tiling.wide * chip.array_cols, own.n)
    held = ceil(own.m / tiling.vector_chunks) * columns * chip.partial_bytes if of_k > 1 else 0
    space = window.free_bytes + (segment.memory_arrays - window.least_memory) * chip.array_bytes
    space -= own.whole_bytes if own.whole_bytes <= space else 0
    spills = held > space
    of_input = own.input_bytes / (tiling.vector_chunks * of_groups) / (of_k if tiling.inputs_outer else 1)
    again = of_n > 1 and of_input > space - (0 if spills else held)
    at = ArraysAttr(
        SymbolRefAttr("chip", [program.tier]),
        ArraysAttr.of(program.tier, [(0, member.arrays)]).ranges,
        ArraysAttr.of(program.tier, copies=member.copies).copies,
    )
    program.operators[member.operator].attributes[ROUNDS] = RoundsAttr.of(
        at,
        count=tiling.rounds,
        turns=tiling.turns,
        passes=tiling.vector_chunks,
        inputs=of_n,
        sums=of_k - 1,
        off_chip=of_n if again else 1,
        spilled=of_k - 1 if spills else 0,
        ahead=0,
    )


def segment_sizes(module: ModuleOp) -> list[SegmentSizes] | None:
    """What the module says of its segments; None: it has no plan of segments."""
    attribute = module.attributes.get(SEGMENTS)
    if attribute is None:
        return None
    found: list[SegmentSizes] = []
    for each in attribute.data if isinstance(attribute, ArrayAttr) else ():
        fields = each.data if isinstance(each, DictionaryAttr) else {}
        numbers = [fields.get(key) for key in ("arrays", "memory", "preloads")]
        values = [number.value.data for number in numbers if isinstance(number, IntegerAttr)]
        tier = fields.get("tier")
        if len(values) != len(numbers) or min(values) < 0 or not isinstance(tier, StringAttr):
            raise InputError(f"{SEGMENTS}: expected tier, arrays, memory and preloads of each segment, got {each}")
        found.append(SegmentSizes(tier.data, *values))
    return found


def rounds_of_operator(op: MatrixOp) -> RoundsAttr | None:
    """How an operator passes the arrays, if in rounds."""
    attribute = op.attributes.get(ROUNDS)
    return attribute if isinstance(attribute, RoundsAttr) else None


def kept_at(op: MatrixOp) -> Place:
    """Where an operator's output is between segments."""
    attribute = op.attributes.get(KEPT)
    if not isinstance(attribute, StringAttr):
        return Place.OFF_CHIP
    try:
        return Place(attribute.data)
    except ValueError:
        known = ", ".join(place.value for place in Place)
        raise InputError(f"{KEPT}: expected one of {known}, got {attribute.data!r}") from None
