"""The names of the strategies of placement: what a command line offers is what the pass takes.

Module of its own, as a command line imports no solver to print its help.
"""

from typing import Literal

Strategy = Literal[
    "exact",
    "homogeneous",
    "equal",
    "random",
    "greedy",
    "nsga2",
    "row-remap",
    "h3pimap",
    "all-analog",
    "all-digital",
    "first-last-digital",
    "lionheart",
    "all-compute",
    "all-compute-overlap",
    "all-compute-best",
    "puma-like",
    "occ-like",
    "cmswitch",
]
