"""Where else each operator of a plan of segments may run, as numbers: other tiers, and the digital unit.

On a tier with arrays its weight stays there, in 1, 2, 4, .. copies: weights are rewritten on the one tier that segments
are cut for. Tiers without arrays stream the weight at each execution.
"""

from dataclasses import replace
from math import floor, isinf

from ..dialects.h3 import ConvOp, MatmulOp
from ..runtime_sim.cost import SHARED_PORTS, closed_form_ps
from ..runtime_sim.kinds.base import TierKind
from ..runtime_sim.product import Product, product_of
from .placement.row_remap import LossBudget
from .segment_problem import Program
from .segmentation.hosting import HostedProblem
from .segmentation.problem import Host, SegmentProblem


def hosted_problem(
    program: Program, problem: SegmentProblem, min_bits: int, area_share: float, budget: LossBudget | None = None
) -> HostedProblem:
    """The problem with all hosts, on that share of the arrays of other tiers, within `budget`."""
    chip, menu = program.chip, hosts_of(program, min_bits)
    arrays = {
        name: floor(tier.arrays * area_share)
        for name, tier in chip.tiers.items()
        if tier.arrays and name != program.tier
    }
    if budget is None:
        return HostedProblem(problem, menu, arrays)
    rows = {name: row for row, name in enumerate(chip.tiers)}
    matrices = [unit.matrix for unit in program.units if unit.matrix is not None]
    lost = {
        id(matrices[at]): {name: float(own[row].sum()) for name, row in rows.items()}
        for at, own in budget.losses.by_output.items()
    }
    none = dict.fromkeys(rows, 0.0)
    own = [lost.get(id(op), none) for op in program.operators]
    others = set(lost).difference(id(op) for op in program.operators)
    return HostedProblem(
        problem,
        menu,
        arrays,
        tuple(each[program.tier] for each in own),
        tuple(tuple(each[host.tier] for host in hosts) for each, hosts in zip(own, menu, strict=True)),
        None if isinf(budget.budget) else max(0.0, budget.budget - sum(lost[op]["digital"] for op in others)),
    )


def hosts_of(program: Program, min_bits: int) -> tuple[tuple[Host, ...], ...]:
    """For each operator all that may take it beside the tier of the segments, at `min_bits` or more."""
    known: dict[Product, tuple[Host, ...]] = {}
    found: list[tuple[Host, ...]] = []
    for op in program.operators:
        product = on_chip_product(op, program)
        if product not in known:
            known[product] = tuple(
                host
                for name, tier in program.chip.tiers.items()
                if name != program.tier
                for host in _hosts(program, name, tier, product, min_bits)
            )
        found.append(known[product])
    return tuple(found)


def on_chip_product(op: MatmulOp | ConvOp, program: Program) -> Product:
    """The product of an operator whose tensors are on the chip."""
    product = product_of(op, program.chip.activation_bits, x_off_chip=False, y_off_chip=False)
    return replace(product, w_off_chip=False)


def _hosts(program: Program, name: str, tier: TierKind, product: Product, min_bits: int) -> list[Host]:
    """The ways to run a product on one tier: in each of its modes, with so many copies."""
    if tier.refuses(product) or tier.shuns(product) or (tier.arrays and not product.static):
        return []
    needed = int(tier.arrays_needed(product, product.total_outputs)) if tier.arrays else 0
    if needed > tier.arrays:
        return []
    modes = tier.precisions()
    most = min(product.m, tier.arrays // needed) if needed else 1
    return [
        _host(program, name, product, 1 << power, needed << power, mode.name if len(modes) > 1 else "")
        for mode in modes
        if min(mode.input_bits, mode.weight_bits) >= min_bits
        for power in range(most.bit_length())
    ]


def _host(program: Program, name: str, product: Product, copies: int, arrays: int, precision: str) -> Host:
    chip, tier = program.chip, program.chip.tier(name)
    outputs = product.total_outputs
    work = tier.mvm(name, chip, product, outputs, copies, precision or None)
    stages = [(resource, int(ps)) for resource, ps in work.stages if resource not in SHARED_PORTS]
    off_chip = tier.mvm(name, chip, replace(product, w_off_chip=product.static), outputs, copies, precision or None)
    read_ps = int(dict(off_chip.stages).get("dram.read", 0))
    return Host(
        tier=name,
        copies=copies,
        arrays=arrays,
        alone_ps=int(closed_form_ps(off_chip)),
        own_ps=sum(ps for resource, ps in stages if resource == f"{name}.arrays"),
        shared_ps=tuple((resource, ps) for resource, ps in stages if resource != f"{name}.arrays"),
        off_chip_bytes=int(read_ps * chip.dram.read_bytes_per_ns / 1000),
        precision=precision,
    )
