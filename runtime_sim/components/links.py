"""Links: energy of moving bits over networks, through stacks and between chips."""

from numpy.typing import ArrayLike

from ..cost import FloatArray
from .tables import chosen, constant, real

_T = "links"

_BIT_ENERGIES = {
    "noc": "noc_pj_per_bit",
    "isaac-router": "isaac_router_pj_per_bit",
    "isaac-bus": "isaac_bus_pj_per_bit",
    "micro-bump": "micro_bump_pj_per_bit",
    "hybrid-bond": "hybrid_bond_pj_per_bit",
    "hypertransport": "hypertransport_pj_per_bit",
}
LINK_KINDS = tuple(_BIT_ENERGIES)
"""The names that `link_pj_per_bit` knows."""


def link_pj_per_bit(kind: str, hops: ArrayLike = 1) -> FloatArray:
    """Moving one bit over `hops` links (or routers with their links) of a kind: energy adds up hop by hop."""
    return constant(_T, chosen("link", kind, _BIT_ENERGIES)) * real(hops)
