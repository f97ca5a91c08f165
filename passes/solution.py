"""`h3.solution`: what is known of a plan, as an attribute of its module."""

from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, StringAttr, UnitAttr, f64
from xdsl.ir import Attribute

PLANS = "plans"
"""What a bound is one of: all plans."""
PLANS_OF_SEGMENTS = "plans of segments"
"""Those that cut the program into segments, each operator whole on one tier."""


def solution_attr(
    strategy: str,
    kept: str,
    objective: str,
    *,
    latency_ns: float,
    energy_pj: float,
    period_ns: float,
    bound: float | None,
    gap: float | None,
    status: str,
    proven_of: str = PLANS,
) -> DictionaryAttr:
    """Predicted figures, and what is proven in the objective's unit (None: nothing), of which plans; rounded to what a
    reader can use. No seconds, as they differ each time."""

    def number(value: float | None) -> Attribute:
        return UnitAttr() if value is None else FloatAttr(float(f"{value:.12g}"), f64)

    return DictionaryAttr(
        {
            "bound": number(bound),
            "gap": number(gap),
            "kept": StringAttr(kept),
            "objective": StringAttr(objective),
            "predicted_energy_pj": number(energy_pj),
            "predicted_latency_ns": number(latency_ns),
            "predicted_period_ns": number(period_ns),
            "proven_of": UnitAttr() if bound is None else StringAttr(proven_of),
            "status": StringAttr(status),
            "strategy": StringAttr(strategy),
        }
    )
