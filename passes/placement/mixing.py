"""The least cost of sharing outputs among parts, exactly, where the cost of each part is known.

Two parts may have costs that step up with each array: *curves*, intervals of outputs in each of which the cost rises
linearly; costs never fall as outputs grow. Any others *stream*: cost alpha + beta n for n from `least` to `reach`. All
curves and reaches are given for many cells (columns) at once.

For given intervals of the two curves the cost is linear in their outputs, and convex and piecewise linear in what is
streamed, so with the sum of outputs given it is least where two of these three are at an end: of an interval, or of a
piece of the streams' cost. Where both curves are at ends, the best end of one for each end of the other is found by a
query of the least value in a window; in the other cases the ends of one leave one place for the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .problem import Bools, Floats, Ints


@dataclass(frozen=True)
class Curve:
    """Costs of a part: interval j has the outputs `first[j]` to `last[j]`, at [interval, cell] costs of the ends."""

    first: Ints
    last: Ints
    cost_first: Floats
    cost_last: Floats

    @staticmethod
    def unused(cells: int) -> Curve:
        """No part: no outputs at no cost."""
        zero = np.zeros(1, np.int64)
        return Curve(zero, zero, np.zeros((1, cells)), np.zeros((1, cells)))

    @property
    def flat(self) -> bool:
        """Whether all outputs of an interval cost the same."""
        return self.cost_first is self.cost_last or np.array_equal(self.cost_first, self.cost_last)

    def ends(self) -> tuple[Ints, Floats]:
        """Outputs, ascending, and costs [end, cell] of the ends of all intervals."""
        if np.array_equal(self.first, self.last):
            return self.last, self.cost_first
        cost = np.stack([self.cost_first, self.cost_last], axis=1)
        return np.stack([self.first, self.last], axis=1).ravel(), cost.reshape(-1, cost.shape[2])

    def coarser(self, most: int) -> Curve:
        """The curve from below with at most about `most` intervals: a line below each run of intervals."""
        run = -(-len(self.first) // most)
        if run == 1:
            return self
        start = np.arange(0, len(self.first), run)
        end = np.minimum(start + run, len(self.first)) - 1
        first, last = self.first[start], self.last[end]
        # The slope between the ends that can be had; the line is as high as the points allow.
        able = np.isfinite(self.cost_last)
        top = np.maximum.reduceat(np.where(able, self.cost_last, -np.inf), start)
        low = np.minimum.reduceat(self.cost_first, start)
        slope = np.where(np.isfinite(low), (top - low) / np.maximum(last - first, 1)[:, None], 0.0)
        slopes = np.repeat(slope, end - start + 1, axis=0)
        at_first = np.minimum.reduceat(self.cost_first - slopes * self.first[:, None], start)
        at_last = np.minimum.reduceat(self.cost_last - slopes * self.last[:, None], start)
        base: Floats = np.minimum(at_first, at_last)
        return Curve(first, last, base + slope * first[:, None], base + slope * last[:, None])

    def at(self, outputs: Ints) -> Floats:
        """[row, cell]: the cost of `outputs` [row, cell]; infinite where no interval has them."""
        interval = np.searchsorted(self.last, outputs)
        inside = interval < len(self.last)
        interval = np.minimum(interval, len(self.last) - 1)
        inside &= outputs >= self.first[interval]
        wide = np.maximum(self.last - self.first, 1)[interval]
        share = (outputs - self.first[interval]) / wide
        cell = np.broadcast_to(np.arange(self.cost_first.shape[1]), outputs.shape)
        low, high = self.cost_first[interval, cell], self.cost_last[interval, cell]
        inside &= np.isfinite(high)
        low, high = np.where(inside, low, 0.0), np.where(inside, high, 0.0)
        return np.where(inside, low + share * (high - low), np.inf)


@dataclass(frozen=True)
class Stream:
    """A part of `least` to `reach` [cell] outputs n at a cost of alpha [cell] + beta n."""

    alpha: Floats | float
    beta: float
    least: Ints
    reach: Ints


@dataclass(frozen=True)
class _Piece:
    """Streams together, `low` to `high[cell]` outputs m: cost value + slope (m - low)."""

    low: Ints
    high: Ints
    value: Floats
    slope: float


def least_mix(first: Curve, second: Curve, streams: list[Stream], total: int) -> Floats:
    """[cell]: the least cost of `total` outputs with a part on each curve and each stream."""
    pieces = _pieces(streams, first.cost_first.shape[1])
    if first.flat and second.flat and all(piece.slope == 0 for piece in pieces):
        return _least_flat(first, second, pieces, total)
    best = np.full(first.cost_first.shape[1], np.inf)
    u, cost_u = first.ends()
    v, cost_v = second.ends()
    rest, rest_v = (total - u)[:, None], (total - v)[:, None]
    for i, piece in enumerate(pieces):
        within = _window_least(v, cost_v - piece.slope * v[:, None], rest - piece.high, rest - piece.low)
        straight = cost_u + within + piece.value + piece.slope * (rest - piece.low)
        best = np.minimum(best, straight.min(axis=0))
        ends = [(piece.low, piece.value)] if i == 0 else []
        if streams:
            ends.append((piece.high, piece.value + piece.slope * (piece.high - piece.low)))
        for end, value in ends:
            bent = (cost_u + second.at(rest - end)).min(axis=0)
            bent = np.minimum(bent, (cost_v + first.at(rest_v - end)).min(axis=0))
            best = np.minimum(best, value + bent)
    return best


def _least_flat(first: Curve, second: Curve, pieces: list[_Piece], total: int) -> Floats:
    """The same where more outputs cost more only by taking more arrays: then any outputs too many cost nothing."""
    low, high, value = pieces[0].low, pieces[-1].high, pieces[0].value
    least = np.minimum.accumulate(second.cost_last[::-1])[::-1]
    least = np.concatenate([least, np.full((1, least.shape[1]), np.inf)])
    needed = np.searchsorted(second.last, (total - first.last)[:, None] - np.maximum(high, low))
    return (first.cost_last + np.take_along_axis(least, needed, axis=0)).min(axis=0) + value


def _pieces(streams: list[Stream], cells: int) -> list[_Piece]:
    """What the streams do together at least cost: each at its least, then the cheapest filled first."""
    low = sum((stream.least for stream in streams), np.zeros(cells, np.int64))
    value: Floats = np.zeros(cells)
    for stream in streams:
        value = value + (stream.alpha + stream.beta * stream.least)
    able: Bools = np.ones(cells, np.bool_)
    for stream in streams:
        able &= stream.reach >= stream.least
    value = np.where(able, value, np.inf)
    pieces: list[_Piece] = [] if streams else [_Piece(low, low, value, 0.0)]
    for stream in sorted(streams, key=lambda stream: stream.beta):
        high = low + np.maximum(stream.reach - stream.least, 0)
        pieces.append(_Piece(low, high, value, stream.beta))
        low, value = high, value + stream.beta * (high - low)
    return pieces


def _window_least(places: Ints, values: Floats, low: Ints, high: Ints) -> Floats:
    """[row, cell]: the least of `values` [place, cell] whose place (ascending) is in `low` to `high` [row, cell]."""
    start, end = np.searchsorted(places, low), np.searchsorted(places, high, side="right")
    start, end = np.broadcast_arrays(start, end)
    levels = [values]  # levels[k][i]: the least of 2^k values from i on
    while len(levels[-1]) > 2 ** (len(levels) - 1):
        before, step = levels[-1], 2 ** (len(levels) - 1)
        levels.append(np.minimum(before[:-step], before[step:]))
    table = np.full((len(levels), *values.shape), np.inf)
    for k, level in enumerate(levels):
        table[k, : len(level)] = level
    some = end > start
    level = np.log2(np.maximum(end - start, 1)).astype(np.int64)
    cell = np.broadcast_to(np.arange(values.shape[1]), start.shape)
    left = table[level, np.minimum(start, len(places) - 1), cell]
    right = table[level, np.maximum(end - 2**level, 0), cell]
    return np.where(some, np.minimum(left, right), np.inf)
