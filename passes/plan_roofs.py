"""A module's operators as shares for the bound in `segmentation/roofs.py`: the least that each output takes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.values import placed, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.chip_ir import chip_from_ir
from ..runtime_sim.cost import IntArray, Work
from ..runtime_sim.kinds.arrays import ArrayTier
from ..runtime_sim.kinds.base import TierKind
from ..runtime_sim.product import Product, product_of
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import work_of
from .segmentation.roofs import Share, least_time_ps
from .tile_pieces import digital_op
from .units import Unit, units_of
from .value_places import ValuePlaces, place_values


def least_ps(module: ModuleOp, min_bits: int) -> int:
    """No plan of the module's program takes less on its chip, at `min_bits` or more."""
    chip, function = chip_from_ir(module), main_function(module)
    units = units_of(function)
    known: dict[Product, tuple[Share, ...]] = {}
    operators: list[tuple[Share, ...]] = []
    for unit in units:
        if isinstance(unit.matrix, MatmulOp | ConvOp):
            product = product_of(unit.matrix, chip.activation_bits, x_off_chip=False, y_off_chip=False)
            if product not in known:
                known[product] = tuple(_shares(chip, replace(product, w_off_chip=product.static), min_bits))
            operators.append(known[product])
    places = place_values(function, units, chip)
    digital = sum(_digital_ps(chip, unit, places) for unit in units if unit.matrix is None)
    return least_time_ps(operators, {"digital": float(digital)})


def _digital_ps(chip: Chip, unit: Unit, places: ValuePlaces) -> int:
    types = [placed(tensor_type(value), None) for value in unit.ins]
    work = work_of(chip, digital_op(unit, Block(arg_types=types).args, places, 0)).work
    return int(dict(work.stages).get("digital", 0))


def _shares(chip: Chip, product: Product, min_bits: int) -> Iterator[Share]:
    """Every way to make a product's outputs."""
    granule = 1 if product.batched or product.groups == 1 else product.n
    outputs = np.arange(granule, product.total_outputs + 1, granule)
    for name, tier in chip.tiers.items():
        if tier.refuses(product) or tier.shuns(product):
            continue
        for mode in tier.precisions():
            if min(mode.input_bits, mode.weight_bits) < min_bits:
                continue
            if not tier.arrays:
                work = tier.mvm(name, chip, product, outputs, 1, mode.name)
                yield Share(name, 0.0, tuple(_least(work, outputs).items()))
                continue
            on_chip = replace(product, w_off_chip=False)
            busy, arrays = _on_arrays(chip, name, tier, on_chip, outputs, mode.name)
            if product.static:
                yield Share(name, arrays / tier.arrays, tuple(busy.items()))
                written = _least(tier.program(name, chip, product, outputs, 1), outputs)
                yield Share(name, 0.0, tuple({**busy, **written}.items()))
            elif isinstance(tier, ArrayTier) and tier.memory_mode is not None:
                yield Share(name, 0.0, tuple(busy.items()))  # a weight may stand in place, and cost a switch
            else:
                written = _least(tier.program(name, chip, on_chip, outputs, 1), outputs)
                yield Share(name, 0.0, tuple({**busy, **written}.items()))


def _least(work: Work, outputs: IntArray) -> dict[str, float]:
    """What each resource takes of all outputs at the least rate of any number of them."""
    return {name: float((ps / outputs).min()) * int(outputs[-1]) for name, ps in work.stages}


def _on_arrays(
    chip: Chip, name: str, tier: TierKind, product: Product, outputs: IntArray, mode: str
) -> tuple[dict[str, float], float]:
    """(what resources take, arrays of one copy) of products on a tier's arrays: these work side by side, copies share
    their vectors, and memory mode widens the links with what it takes from computing."""
    work = tier.mvm(name, chip, product, outputs, 1, mode)
    arrays, stages = tier.arrays_needed(product, outputs), dict(work.stages)
    area = float((stages.pop(f"{name}.arrays", np.zeros(1)) * arrays / outputs).min()) * int(outputs[-1])
    busy = _least(replace(work, stages=tuple(stages.items())), outputs)
    memory = tier.memory_mode if isinstance(tier, ArrayTier) else None
    if memory is not None:
        for link, rate in ((f"{name}.in", tier.link_in_bytes_per_ns), (f"{name}.out", tier.link_out_bytes_per_ns)):
            # With x arrays as memory T >= area / (A - x) and T >= bytes / (B + x B_mem).
            whole = tier.arrays * memory.bytes_per_ns + rate
            busy[link] = (memory.bytes_per_ns * area + busy.get(link, 0.0) * rate) / whole
    busy[f"{name}.arrays"] = area / tier.arrays
    return busy, float((arrays / outputs).min()) * int(outputs[-1])
