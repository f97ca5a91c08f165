"""From a module to the segmentation problem: operators, what they read of each other, and the chip, as numbers.

Operators are the products that the chip's tier of arrays takes. All other work is the digital unit's; a run of it
belongs to the operator before it in the list, with which it shares the segment: what it reads counts as read by that
operator, what it makes as that operator's output, its time as work on what that operator makes.
"""

from dataclasses import dataclass, field
from math import prod

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.values import buffer, is_tensor, placed, producer, shape_of, static_weight, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.cost import ceil_div, chunk_count, ps_of_ns
from ..runtime_sim.digital_cost import value_bytes
from ..runtime_sim.errors import InputError
from ..runtime_sim.flow import chunks_read, digital_reads, rows_of
from ..runtime_sim.kinds.arrays import ArrayTier
from ..runtime_sim.product import Product, product_of
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import work_of
from .segmentation.problem import SegmentChip, SegmentOperator, SegmentProblem
from .tile_pieces import digital_op
from .units import Unit, returned_values, units_of
from .value_places import ValuePlaces


@dataclass(frozen=True)
class Program:
    """A function seen as operators of one tier of arrays with digital work around them."""

    chip: Chip
    tier: str
    units: tuple[Unit, ...]
    owners: tuple[int, ...]
    """For each unit the operator whose segment it is in: the last one before it, or the first one."""
    operators: tuple[MatmulOp | ConvOp, ...]
    results: frozenset[SSAValue]
    """What the function returns."""

    def maker(self, value: SSAValue) -> int | None:
        """The unit that makes a value; None for arguments and constants."""
        op = producer(value)
        return None if op is None else self._makers.get(op.results[0])

    def owner_of(self, value: SSAValue) -> int | None:
        """The operator to which a value belongs."""
        unit = self.maker(value)
        return None if unit is None else self.owners[unit]

    @property
    def _makers(self) -> dict[SSAValue, int]:
        return self.__dict__.setdefault(
            "makers", {op.results[0]: i for i, unit in enumerate(self.units) for op in unit.ops if op.results}
        )

    def is_operator(self, unit: int) -> bool:
        """Whether a unit is an operator of the arrays (else the digital unit does it)."""
        op = self.units[unit].matrix
        return op is not None and any(op is own for own in self.operators)


def segment_tiers(module: ModuleOp, min_bits: int) -> list[str]:
    """The tiers of arrays that compute at `min_bits` or more and take a product of the program: segments are cut for
    one of them, beside the digital unit."""
    chip = chip_from_ir(module)
    products = [
        product_of(op, chip.activation_bits)
        for op in main_function(module).body.block.ops
        if isinstance(op, MatmulOp | ConvOp)
    ]
    found: list[str] = []
    for name, tier in chip.tiers.items():
        if isinstance(tier, ArrayTier) and any(tier.refuses(product) is None for product in products):
            first = tier.precisions()[0]
            found += [name] if min(first.input_bits, first.weight_bits) >= min_bits else []
    return found


def program_of(module: ModuleOp, name: str) -> Program:
    """The program of a module whose products are h3 operators, for a tier of arrays."""
    chip, function = chip_from_ir(module), main_function(module)
    tier = chip.tier(name)
    units = units_of(function)
    operators: list[MatmulOp | ConvOp] = []
    owners: list[int] = []
    for unit in units:
        op = unit.matrix
        if isinstance(op, MatmulOp | ConvOp) and tier.refuses(product_of(op, chip.activation_bits)) is None:
            operators.append(op)
        owners.append(max(0, len(operators) - 1))
    if not operators:
        raise InputError(f"expected a product that the arrays of {name} take, found none")
    results = frozenset(returned_values(function))
    return Program(chip, name, tuple(units), tuple(owners), tuple(operators), results)


def segment_chip(chip: Chip, name: str) -> SegmentChip:
    """What closed forms need of a tier of arrays. What passes between buffer and arrays passes its links."""
    tier = chip.tier(name)
    assert isinstance(tier, ArrayTier)
    one, mode = tier.figures, tier.memory_mode
    passes = int(ceil_div(tier.array_rows, tier.rows_on))
    return SegmentChip(
        arrays=tier.arrays,
        array_rows=tier.array_rows,
        array_cols=tier.weight_cols,
        array_bytes=tier.array_bytes,
        mvm_ps=passes * int(ps_of_ns(one.operation_ns)),
        dram_read_bytes_per_ns=chip.dram.read_bytes_per_ns,
        dram_write_bytes_per_ns=chip.dram.write_bytes_per_ns,
        buffer_in_bytes_per_ns=tier.link_in_bytes_per_ns,
        buffer_out_bytes_per_ns=tier.link_out_bytes_per_ns,
        weight_link_bytes_per_ns=tier.weights_bytes_per_ns,
        buffer_bytes=chip.buffer.size_bytes,
        memory_bytes_per_ns=0.0 if mode is None else mode.bytes_per_ns,
        memory_cap_bytes_per_ns=0.0 if mode is None else mode.most_bytes_per_ns,
        write_row_ps=int(ps_of_ns(one.write_row_ns)),
        write_ports=tier.write_ports,
        switch_to_memory_ps=0 if mode is None else int(ps_of_ns(mode.to_memory_ns)),
        switch_to_compute_ps=0 if mode is None else int(ps_of_ns(mode.to_compute_ns)),
        overlap_writes=bool(tier.writes_overlap),
    )


@dataclass
class _Read:
    """What is known of one operator while the program is read."""

    producers: set[int] = field(default_factory=set[int])
    awaited: set[int] = field(default_factory=set[int])
    """Those of `producers` that the product itself reads."""
    barrier: bool = False
    digital_ps: int = 0
    """Chunk by chunk; `digital_after_ps` after all of what it works on is there."""
    digital_after_ps: int = 0
    outputs: list[SSAValue] = field(default_factory=list[SSAValue])
    needed: set[int] = field(default_factory=set[int])
    """Operators whose outputs its digital work needs as a whole; `whole` are values of its own that are so."""
    whole: set[SSAValue] = field(default_factory=set[SSAValue])


def segment_problem(program: Program) -> SegmentProblem:
    """The problem of cutting a program into segments."""
    reads = [_Read() for _ in program.operators]
    position = {id(op): index for index, op in enumerate(program.operators)}
    whole: set[SSAValue] = set()
    """Results of digital work that come all at once."""
    for number, unit in enumerate(program.units):
        own = program.owners[number]
        op = unit.matrix if program.is_operator(number) else None
        for value in unit.ins:
            maker = program.owner_of(value)
            if maker is not None and maker != own and (op is None or value is not op.w):
                reads[own].producers.add(maker)
                reads[own].awaited |= {maker} if op is not None else set()
        reads[own].outputs += unit.outs
        if op is not None:
            here = reads[position[id(op)]]
            here.barrier = op.x in whole or not _in_order(program, op.x, type(op))
            continue
        took, flows = digital_time(program, unit)
        for value in unit.ins if not flows else ():
            maker = program.owner_of(value)
            if maker == own:
                reads[own].whole.add(value)
            elif maker is not None:
                reads[own].needed.add(maker)
        if flows and whole.isdisjoint(unit.ins):
            reads[own].digital_ps += took
        else:
            reads[own].digital_after_ps += took
            whole.update(unit.outs)
    operators = tuple(_operator(program, op, reads[i], i) for i, op in enumerate(program.operators))
    return SegmentProblem(segment_chip(program.chip, program.tier), operators)


def digital_time(program: Program, unit: Unit) -> tuple[int, bool]:
    """(the digital unit's time for a unit, whether its results come chunk by chunk)."""
    if unit.matrix is not None:
        assert isinstance(unit.matrix, MatmulOp | ConvOp)
        product = product_of(unit.matrix, program.chip.activation_bits)
        work = program.chip.digital.mvm("digital", program.chip, product, product.total_outputs, 1)
        return int(dict(work.stages)["digital"]), False
    places = ValuePlaces(on_chip={value for value in (*unit.ins, *unit.outs) if producer(value) is not None})
    types = [placed(tensor_type(v), buffer() if v in places.on_chip else None) for v in unit.ins]
    region = digital_op(unit, Block(arg_types=types).args, places, 0)
    return int(dict(work_of(program.chip, region).work.stages).get("digital", 0)), digital_reads(region) is not None


def _in_order(program: Program, x: SSAValue, kind: type[Operation]) -> bool:
    """Whether what flows to an operator of a kind comes from one of the same kind, so in the order of its reading."""
    unit = program.maker(x)
    while unit is not None and not program.is_operator(unit):
        made = [program.maker(value) for value in program.units[unit].ins if producer(value) is not None]
        unit = next((number for number in made if number is not None), None)
    return unit is None or isinstance(program.units[unit].matrix, kind)


def _operator(program: Program, op: MatmulOp | ConvOp, read: _Read, index: int) -> SegmentOperator:
    bits, product = program.chip.activation_bits, product_of(op, program.chip.activation_bits)
    static = static_weight(op.w) is not None
    made = None if static else program.owner_of(op.w)
    later = [
        value
        for value in read.outputs
        if is_tensor(value.type) and (value in program.results or _read_later(program, value, index))
    ]
    return SegmentOperator(
        name=f"operator {index}",
        m=product.m,
        k=product.k,
        n=product.n,
        groups=product.groups,
        weight_bytes=-(-product.k * product.n * product.groups * _weight_bits(program, product) // 8),
        input_bytes=value_bytes(op.x, bits),
        window_bytes=-(-product.m * product.k * product.groups * product.input_bits // 8),
        output_bytes=max(1, sum(value_bytes(value, bits) for value in later) or value_bytes(op.result, bits)),
        producers=tuple(sorted(p for p in read.producers if p < index)),
        whole_producers=tuple(sorted(p for p in read.needed if p < index)),
        whole_bytes=sum(value_bytes(value, bits) for value in read.whole),
        late_producers=tuple(sorted(p for p in read.producers - read.awaited if p < index)),
        weight_producer=made if made is not None and made < index else None,
        barrier=read.barrier,
        lead=_lead(op),
        digital_ps=read.digital_ps,
        digital_after_ps=read.digital_after_ps,
        output_parts=tuple(value_bytes(value, bits) for value in later if _read_later(program, value, index)),
        result_bytes=value_bytes(op.result, bits),
        is_output=any(value in program.results for value in read.outputs),
    )


def _weight_bits(program: Program, product: Product) -> int:
    tier = program.chip.tier(program.tier)
    assert isinstance(tier, ArrayTier)
    return min(product.weight_bits, tier.weight_bits)


def _read_later(program: Program, value: SSAValue, index: int) -> bool:
    """Whether a unit of a later operator reads `value`."""
    return any(value in unit.ins and owner != index for unit, owner in zip(program.units, program.owners, strict=True))


def _lead(op: MatmulOp | ConvOp) -> float:
    """The largest share of x that a window has to have passed beside the share of the result that is made."""
    if not isinstance(op, ConvOp):
        return 0.0
    rows, y = rows_of(op.window, op), shape_of(op.result)
    chunks = chunk_count(y[0] * prod(y[2:]))
    needs = chunks_read(frozenset(((rows,),)), chunks, chunks)
    return max(0, *(need - chunk for chunk, need in enumerate(needs, 1))) / chunks
