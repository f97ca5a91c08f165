"""Chips of the co-design template priced in closed form: one at a time, or a whole space block by block.

A space is a grid. How layers lie depends on the fabric alone (rows, columns, bits a cell, groups, tiles, macros); so do
cycles. Energy depends on fabric, supply, buffer and node, area on those too; a cycle's length multiplies latency. So a
block is some fabrics x all values of the other variables, where each figure keeps to the axes that it depends on, and
only the score has the block's full size.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.errors import InputError
from ...runtime_sim.imc.constants import constants
from ...runtime_sim.imc.layers import Layers
from ...runtime_sim.imc.mapping import WEIGHT_BITS, network_demand
from ...runtime_sim.imc.model import VARIABLES, Designs, Figures, area_mm2, figures, price
from ...runtime_sim.kinds.imc import Imc
from .designs import RANGES
from .evaluators import Scores
from .space import Design, DesignList, Space

Floats = NDArray[np.float64]

FABRIC = ("rows", "cols", "bits_per_cell", "groups", "tiles_per_group", "macros_per_tile")
"""The variables that decide how layers lie."""
BLOCK = 1 << 18
"""Chips that are priced at once."""
CHIP_FIGURES = ("area_mm2", "static_power_mw", "capacity_weights", "model_weights", "buffer_word_pj")
"""What expressions may speak of, beside the variables: silicon; power that does not depend on work; 8-bit weights that
the macros hold at once; weights of the largest model, as `weights_of` counts them; energy of a word of the buffer."""


def weights_of(layers: Layers) -> int:
    """Weights of a network as the published capacity rule counts them: of one group of each layer."""
    weights = layers.channels * layers.kernel_rows * layers.kernel_cols * layers.outputs * layers.count
    return int(weights.sum())


@dataclass(frozen=True)
class Block:
    """Some chips of a space, as arrays that broadcast; the first axis is that of fabrics."""

    designs: Designs
    number: NDArray[np.int64]
    """Of each chip; of the block's full shape."""

    def fabrics(self, which: NDArray[np.bool_]) -> "Block":
        """The chips of some of the fabrics."""
        count = len(which)
        taken = {
            name: value[which] if value.ndim and value.shape[0] == count > 1 else value
            for name, value in ((field.name, getattr(self.designs, field.name)) for field in fields(Designs))
        }
        return Block(Designs(**taken), self.number[which])


class ClosedForm:
    """Prices chips of a space of the template; see `evaluators.Evaluator`."""

    def __init__(self, space: Space, networks: Mapping[str, Layers], largest: int | None = None) -> None:
        """`largest`: the figure model_weights, where it is not that of `networks`."""
        self._space = space
        self.networks = dict(networks)
        self.largest = max(map(weights_of, networks.values())) if largest is None else largest
        self.tier = matrix_tier(space)
        self.base = space.base.tiers[self.tier]
        assert isinstance(self.base, Imc)
        self.constants = constants(self.base.memory)
        self._fields = [self._field(variable.path) for variable in space.variables]
        space.check_names([*(variable.name for variable in space.variables), *CHIP_FIGURES])
        self._check_values()

    @property
    def space(self) -> Space:
        """The chips."""
        return self._space

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the networks."""
        return tuple(self.networks)

    def for_models(self, names: Sequence[str], largest: int | None = None) -> "ClosedForm":
        """The same for some of the networks."""
        return ClosedForm(self.space, {name: self.networks[name] for name in names}, largest)

    def within(self, space: Space) -> "ClosedForm":
        """The same for another space of the same variables."""
        return ClosedForm(space, self.networks, self.largest)

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips by name: [chip]."""
        return self.chip_figures(self.designs_of(designs))

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        """Prices of chips."""
        chips = self.designs_of(designs)
        priced = list(self.prices(chips))
        shape = (len(designs),)
        area = np.broadcast_to(self.chip_figures(chips)["area_mm2"], shape)
        energy, latency = (np.stack([np.broadcast_to(each[at], shape) for each in priced]) for at in (0, 1))
        return Scores(energy, latency, area)

    def designs_of(self, designs: DesignList) -> Designs:
        """A list of chips as the model takes them."""
        index = np.asarray(designs, np.int64).reshape(-1, len(self.space.shape))
        return self._designs({name: index[:, place] for place, name in enumerate(self._fields)})

    def chip_figures(self, chips: Designs) -> dict[str, Any]:
        """Figures of chips, with the space's own; arrays that broadcast. A chip that cannot be built has no area."""
        area = area_mm2(chips, self.constants)  # no number where the supply is too low, see _designs
        others = self.space.base
        outside = others.area_mm2 - self.base.area_mm2
        cells = chips.rows * chips.cols * chips.groups * chips.tiles_per_group * chips.macros_per_tile
        result: dict[str, Any] = {
            "area_mm2": np.where(np.isnan(area), np.inf, area + outside),
            "static_power_mw": np.asarray(others.static_power_mw),
            "capacity_weights": cells // -(-WEIGHT_BITS // chips.bits_per_cell),
            "model_weights": np.asarray(self.largest),
            "buffer_word_pj": self._costs(chips).buffer_word_pj,
        }
        for variable, name in zip(self.space.variables, self._fields, strict=True):
            values = getattr(chips, name)
            result[variable.name] = values * 1e9 if name == "cycle_s" else values
        return self.space.with_own_figures(result)

    def prices(self, chips: Designs) -> Iterator[tuple[Floats, Floats]]:
        """(energy in pJ, latency in ns) of each network on chips, arrays that broadcast; infinite where no chip is."""
        costs = self._costs(chips)
        unbuilt = np.isnan(chips.volt)
        for layers in self.networks.values():
            priced = price(network_demand(layers, chips.fabric(self.constants)), costs)
            energy, latency = priced.energy_pj, priced.latency_s * 1e9
            if unbuilt.any():
                energy, latency = np.where(unbuilt, np.inf, energy), np.where(unbuilt, np.inf, latency)
            yield energy, latency

    def blocks(self, most: int = BLOCK) -> Iterator[Block]:
        """All chips of the space, each in one block of about `most` chips or fewer."""
        fabric = [place for place, name in enumerate(self._fields) if name in FABRIC]
        others = [place for place, name in enumerate(self._fields) if name not in FABRIC]
        fabric_shape = tuple(self.space.shape[place] for place in fabric)
        ranges = _ranges([self.space.shape[place] for place in others], most)
        step = max(1, most // prod(len(each[0]) for each in ranges))
        count = prod(fabric_shape)
        for first in range(0, count, step):
            chosen = np.arange(first, min(count, first + step))
            at = np.unravel_index(chosen, fabric_shape) if fabric else ()
            index = {place: _along(values, 0, len(others)) for place, values in zip(fabric, at, strict=True)}
            for some in product(*ranges):
                index |= {
                    place: _along(np.asarray(values), 1 + axis, len(others))
                    for axis, (place, values) in enumerate(zip(others, some, strict=True))
                }
                number = sum(index[place] * stride for place, stride in enumerate(self.space.strides))
                chips = self._designs({self._fields[place]: values for place, values in index.items()})
                yield Block(chips, np.asarray(number, np.int64).reshape((len(chosen), *map(len, some))))

    def block_count(self, most: int = BLOCK) -> int:
        """How many blocks there are."""
        others = [n for n, name in zip(self.space.shape, self._fields, strict=True) if name not in FABRIC]
        fabrics = self.space.size // prod(others)
        ranges = _ranges(others, most)
        step = max(1, most // prod(len(each[0]) for each in ranges))
        return ceil(fabrics / step) * prod(map(len, ranges))

    def _designs(self, index: Mapping[str, NDArray[np.int64]]) -> Designs:
        """Chips by the positions of their values; a supply that is too low for the drivers is no number.

        So its area and energies are none either, and what asks for them makes them infinite.
        """
        values: dict[str, Any] = {name: self._base(name) for name in VARIABLES}
        for variable, name in zip(self.space.variables, self._fields, strict=True):
            own = np.array(variable.values, np.float64)[index[name]]
            values[name] = own * 1e-9 if name == "cycle_s" else own
        low = values["volt"] <= self.constants.node(values["node_nm"]).threshold_v
        if np.any(low):
            values["volt"] = np.where(low, np.nan, values["volt"])
        return Designs.of(**values)

    def _base(self, name: str) -> float:
        value = getattr(self.base, "cycle_ns" if name == "cycle_s" else name)
        return value * 1e-9 if name == "cycle_s" else value

    def _costs(self, chips: Designs) -> Figures:
        return figures(chips, self.constants)

    def _field(self, path: tuple[str, ...]) -> str:
        """The variable of the template at a path of the chip file."""
        name = "cycle_s" if path[-1] == "cycle_ns" else path[-1]
        if path[:2] != ("tiers", self.tier) or name not in VARIABLES:
            known = ", ".join("cycle_ns" if name == "cycle_s" else name for name in VARIABLES)
            raise InputError(
                f"{self.space.source}: variables: expected fields of tiers.{self.tier} ({known}), as closed forms "
                f"depend on no other, got {'.'.join(path)!r}"
            )
        return name

    def _check_values(self) -> None:
        """Whether each value is one that the model knows; supplies that some nodes cannot use are left to it."""
        for variable, name in zip(self.space.variables, self._fields, strict=True):
            where = f"{self.space.source}: variables.{'.'.join(variable.path)}"
            allowed, scale = RANGES[name], 1e-9 if name == "cycle_s" else 1
            for value in variable.values:
                assert isinstance(value, int | float)
                if not allowed.low <= value * scale * (1 + 1e-12) <= allowed.high * (1 + 1e-11):
                    low, high = allowed.low / scale, allowed.high / scale
                    raise InputError(f"{where}: expected a number from {low:g} to {high:g}, got {value!r}")
            most = len(self.constants.memory.cell_pj)
            if name == "bits_per_cell" and variable.values[-1] > most:  # pyright: ignore[reportOperatorIssue]
                raise InputError(f"{where}: expected at most {most}, got {variable.values[-1]!r}")
        given = {name: np.array([self._base(name)]) for name in ("node_nm", "glb_depth_2048bit")}
        for variable, name in zip(self.space.variables, self._fields, strict=True):
            given[name] = np.array(variable.values, np.float64)
        try:
            self.constants.node(given["node_nm"])
            self.constants.buffer_area_mm2(given["glb_depth_2048bit"][:, None], given["node_nm"])
        except InputError as error:
            raise InputError(f"{self.space.source}: variables.tiers.{self.tier}.{error}") from None


def matrix_tier(space: Space) -> str:
    """The tier of the template; a space whose chips have no such tier, or others beside it, is an error."""
    tiers = [name for name in space.base.tiers if name != "digital"]
    if len(tiers) != 1 or not isinstance(space.base.tiers[tiers[0]], Imc):
        kinds = ", ".join(f"{name}: {type(space.base.tiers[name]).__name__}" for name in tiers) or "none"
        raise InputError(
            f"{space.source}: base: expected a chip with one tier of kind imc beside digital, or with none of "
            f"that kind, got {kinds}"
        )
    return tiers[0]


def _along(values: NDArray[Any], axis: int, others: int) -> NDArray[Any]:
    """Values along one axis of a block."""
    return values.reshape([-1 if place == axis else 1 for place in range(1 + others)])


def _ranges(shape: Sequence[int], most: int) -> list[list[range]]:
    """Ranges that cut each axis, such that a product of one range of each has about `most` elements or fewer."""
    result: list[list[range]] = []
    for length in reversed(shape):
        step = min(length, max(1, most))
        most //= step
        result.insert(0, [range(first, min(length, first + step)) for first in range(0, length, step)])
    return result
