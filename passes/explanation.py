"""`h3.explain`: why operators are where they are, as text in JSON on the module (see `place-parts`)."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dialects.h3 import ConvOp, MatmulOp
from ..runtime_sim.chip import Chip
from ..runtime_sim.product import Product
from ..runtime_sim.timing import name_of
from .placement.explain import Choice, Move, Reason, explain
from .placement.problem import REWRITTEN, UNUSED, Plan, Problem
from .placement.shadow import shadow_prices

EXPLAIN = "h3.explain"
UNITS = {"latency": "ns", "energy": "pJ", "edp": "pJ ns", "throughput": "ns"}


def explanation(
    operators: Sequence[MatmulOp | ConvOp],
    products: Sequence[Product],
    chip: Chip,
    min_bits: int,
    placed: tuple[Problem, Plan],
    menu: Problem,
) -> str:
    """The reasons for a plan and the shadow prices of arrays, as JSON; differences are in the objective's unit.

    `placed`: the plan with the problem that it is of; `menu`: the problem with all options.
    """
    reasons = [
        _record(reason, placed[0].tiers, operators, _refusals(chip, products[reason.members[0]], min_bits))
        for reason in explain(*placed, menu)
    ]
    prices = shadow_prices(menu, placed[1])
    arrays = {
        tier: _rounded(price)
        for tier, price, count in zip(menu.tiers, prices.tolist(), menu.arrays.tolist(), strict=True)
        if count
    }
    objective = menu.objective
    return json.dumps(
        {"objective": objective, "unit": UNITS[objective], "operators": reasons, "one_more_array_saves": arrays}
    )


def _refusals(chip: Chip, product: Product, min_bits: int) -> dict[str, str]:
    """By tier, why it cannot have `product`."""
    result: dict[str, str] = {}
    for name, tier in chip.tiers.items():
        enough = any(min(p.input_bits, p.weight_bits) >= min_bits for p in tier.precisions())
        why = tier.refuses(product) or tier.shuns(product)
        why = why or (None if enough else f"has no precision of {min_bits} bits or more")
        if why is not None:
            result[name] = why
    return result


def _record(
    reason: Reason, tiers: tuple[str, ...], operators: Sequence[MatmulOp | ConvOp], refused: dict[str, str]
) -> dict[str, Any]:
    return {
        "operators": [name_of(operators[position]) for position in reason.members],
        "here": _parts(reason.here, tiers),
        "elsewhere": _move(reason.elsewhere, tiers),
        "hindered": _move(reason.hindered, tiers),
        "binds": [tiers[tier] for tier in reason.short],
        "refused": refused,
    }


def _move(move: Move | None, tiers: tuple[str, ...]) -> dict[str, Any] | None:
    return None if move is None else {"parts": _parts(move.to, tiers), "costs": _rounded(move.rise)}


def _parts(choice: Choice, tiers: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "tier": tiers[tier],
            "outputs": int(choice.outputs[tier]),
            "copies": int(choice.copies[tier]),
            "rewritten": int(choice.mode[tier]) == REWRITTEN,
            "precision": choice.precision[tier],
            "rounds": choice.rounds,
        }
        for tier in np.flatnonzero(choice.mode != UNUSED).tolist()
    ]


def _rounded(value: float) -> float:
    """What a reader can use: the last digits are noise of sums."""
    return float(f"{value:.9g}")
