"""Shadow prices: what one more array of a tier would save."""

from __future__ import annotations

import numpy as np

from .problem import Floats, Plan, Problem
from .relaxation import Pool, relax


def shadow_prices(problem: Problem, plan: Plan) -> Floats:
    """By tier: how much the objective falls for an extra array, in its unit (ns, pJ, pJ ns); 0 where arrays are spare.

    By the multipliers of the relaxation at the plan: for edp at the tangent L dE + E dL of the product.
    """
    pool = Pool(problem)
    a, b, unit = {"latency": (1.0, 0.0, 1000.0), "energy": (0.0, 1.0, 1.0)}.get(
        problem.objective, (plan.energy_pj, float(plan.latency_ps), 1000.0)
    )
    relaxed = relax(pool, a * pool.latency + b * pool.energy)
    result = np.zeros(len(problem.tiers))
    if relaxed is not None and relaxed.excess <= 1e-7:
        result[pool.tiers] = relaxed.prices / pool.capacity / unit
    return result
