"""The placement problem of a module, as numbers: its products, what no placement changes, and prices."""

from collections.abc import Sequence
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block

from ..dialects.h3 import ConvOp, MatmulOp
from ..dialects.tile import LoadOp, StoreOp
from ..dialects.values import buffer, placed, tensor_type
from ..runtime_sim.chip import Chip
from ..runtime_sim.cost import closed_form_ps, total_energy_pj
from ..runtime_sim.kinds.digital import Digital
from ..runtime_sim.product import Product, product_of
from ..runtime_sim.walk import main_function
from ..runtime_sim.work import work_of
from .placement.assemble import build_problem
from .placement.losses import Losses
from .placement.pricing import ChipPricer
from .placement.problem import Problem
from .placement.splits import PriceSource
from .simulated_plan import MatrixOps
from .tile_pieces import digital_op
from .units import Unit, units_of
from .value_places import ValuePlaces, place_values

SHUNNED_TOO = ("homogeneous", "equal", "random", "all-analog", "all-digital", "first-last-digital", "lionheart")
"""Published baselines: they give tiers what these shun, too."""


def price_source(chip: Chip, products: Sequence[Product], min_bits: int, strategy: str) -> PriceSource:
    """Prices of any split of `products`, in the order of the problem's types. The digital unit is no tier to share."""
    pricer = ChipPricer(chip, min_bits, shunned=strategy.partition(":")[0] in SHUNNED_TOO)
    shared = tuple(not isinstance(tier, Digital) for tier in chip.tiers.values())
    return PriceSource(pricer, tuple(dict.fromkeys(products)), shared)


def make_problem(
    module: ModuleOp,
    chip: Chip,
    objective: str,
    min_bits: int,
    strategy: str = "exact",
    losses: Losses | None = None,
) -> tuple[MatrixOps, list[Product], Problem]:
    """The matrix operators of a module in their order, their products, and the problem of placing them."""
    function = main_function(module)
    units = units_of(function)
    places = place_values(function, units, chip)
    operators = [unit.matrix for unit in units if isinstance(unit.matrix, MatmulOp | ConvOp)]
    products = [_product(op, places, chip) for op in operators]
    latency_ps, energy_pj = _fixed_costs(units, places, chip)
    problem = build_problem(
        chip,
        products,
        objective=objective,
        min_bits=min_bits,
        fixed_latency_ps=latency_ps,
        fixed_energy_pj=energy_pj,
        shunned=strategy in SHUNNED_TOO,
        losses=losses,
    )
    return operators, products, problem


def _product(op: MatmulOp | ConvOp, places: ValuePlaces, chip: Chip) -> Product:
    product = product_of(
        op,
        chip.activation_bits,
        x_off_chip=op.x not in places.on_chip,
        y_off_chip=op.result not in places.on_chip,
    )
    return replace(product, w_off_chip=op.w not in places.on_chip)


def _fixed_costs(units: Sequence[Unit], places: ValuePlaces, chip: Chip) -> tuple[int, float]:
    """Time and energy of what no placement changes: digital work, loads and stores, each on its own."""
    latency_ps, energy_pj = 0, 0.0
    for index, unit in enumerate(units):
        timed: list[LoadOp | StoreOp] = []
        for move, values in ((LoadOp, places.loads.get(index, [])), (StoreOp, places.stores.get(index, []))):
            for value in values:
                whole = tensor_type(value)
                ends = [placed(whole, None), placed(whole, buffer())]
                source, target = ends if move is LoadOp else ends[::-1]
                timed.append(move(Block(arg_types=[source]).args[0], target, step=0))
        works = [work_of(chip, move).work for move in timed]
        if unit.matrix is None:
            types = [placed(tensor_type(v), buffer() if v in places.on_chip else None) for v in unit.ins]
            works.append(work_of(chip, digital_op(unit, Block(arg_types=types).args, places, 0)).work)
        latency_ps += sum(int(closed_form_ps(work)) for work in works)
        energy_pj += sum(float(total_energy_pj(work)) for work in works)
    return latency_ps, energy_pj
