"""Voltage lost on the wires of a crossbar: a closed form for runs, the exact network to check it against.

Conductances are in units of g_max, wires in 1 / g_max: `rp` = resistance of a wire between two cells times g_max.
G is (K, N): K input lines, each a ladder driven at output 0; N output lines, each held at ground behind input K - 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .constants import constants

Array = NDArray[Any]


def attenuate(y: Array, x: Array, w: Array, strength: float) -> Array:
    """Subtracts from products y = x @ w what output lines lose, in place (AIHWKIT's closed form).

    With the load a = K ratio sum_k |w_k| |x_k|, ratio = 0.35 Ohm times 5 uS, and input 0 farthest from the converter,

        y -= strength (0.5 a - 0.2 a^2 + 0.05 a^3) sum_k w_k x_k (1 - (1 - k / K)^2)

    It counts the output lines alone, and so gives about half of what the exact network with both does.
    """
    wires = constants("converters", "wires")
    inputs = w.shape[-2]
    load = np.abs(x) @ np.abs(w)
    load *= y.dtype.type(inputs * wires["resistance_ratio"])
    first, second, third = (y.dtype.type(strength * c) for c in wires["fit"])
    lost = load * (first + load * (second + load * third))
    place = np.arange(inputs, dtype=y.dtype) / y.dtype.type(inputs)
    lost *= (x * (1 - (1 - place) ** 2)) @ w
    y -= lost
    return y


def first_order(g: Array, rp: float) -> Array:
    """Conductances (K, N) that would give, without wires, the currents of the network to first order in `rp`.

    The drop up to cell (k, n) is rp sum_m (min(n, m) + 1) I_km on its input line and rp sum_l (K - max(k, l)) I_ln on
    its output line, I = g x. The network is linear, so the loss is one of weights, and costs nothing at run time.
    Written as g / (1 + loss), which has the same first order and stays positive.
    """
    inputs, outputs = g.shape[-2:]
    loss = g @ _shared_input(outputs).astype(g.dtype) + _shared_output(inputs).astype(g.dtype) @ g
    return g / (1 + g.dtype.type(rp) * loss)


def solve_ladders(g: Array, x: Array, rp: float) -> Array:
    """Currents (M, N) of the exact network with conductances g (K, N) at voltages x (M, K), in float64.

    An output line with cells D = diag(g_n) takes the currents S_n a from input lines at potentials a:
    S_n = D (1 + rp B D)^-1, B_kl = K - max(k, l) being the wire that two cells share on the way to ground. The input
    lines see Y_n = S_n + (1 + rp Y_{n+1})^-1 Y_{n+1} from output n on, which is found from the last output backwards;
    potentials then follow forwards, a_n = (1 + rp Y_n)^-1 a_{n-1}. Exact, and without differences of large numbers.
    """
    columns = np.asarray(g, np.float64).T
    outputs, inputs = columns.shape
    one = np.eye(inputs)
    seen = columns[:, :, None] * np.linalg.inv(one + rp * _shared_output(inputs) * columns[:, None, :])
    passed = np.empty((outputs, inputs, inputs))
    behind = np.zeros((inputs, inputs))
    for n in reversed(range(outputs)):
        behind = seen[n] + behind
        passed[n] = np.linalg.inv(one + rp * behind)
        behind = passed[n] @ behind
    currents = np.empty((len(x), outputs))
    potentials = np.asarray(x, np.float64).T
    for n in range(outputs):
        potentials = passed[n] @ potentials
        currents[:, n] = seen[n].sum(axis=0) @ potentials
    return currents


def pair_currents(w: Array, x: Array, rp: float, g_min: float) -> Array:
    """Products (M, N) that two exact arrays give for weights (K, N) in -1 .. 1: positive minus negative conductances,
    each in g_min .. 1, decoded as if wires had no resistance."""
    span = 1 - g_min
    positive, negative = (g_min + span * np.maximum(part, 0) for part in (w, -w))
    return (solve_ladders(positive, x, rp) - solve_ladders(negative, x, rp)) / span


def _shared_input(outputs: int) -> Array:
    """(N, N): wires that the currents of two outputs share on an input line, which is driven at output 0."""
    n = np.arange(outputs)
    return np.minimum(n[:, None], n) + 1


def _shared_output(inputs: int) -> Array:
    """(K, K): wires that the currents of two inputs share on an output line, which ends behind input K - 1."""
    k = np.arange(inputs)
    return inputs - np.maximum(k[:, None], k)
