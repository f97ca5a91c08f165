"""Chips of any space: what chip a design is, and figures of whole lists of designs without building each chip.

A tier of which a design has none (`arrays: 0` or `tiles: 0`) is not on the chip. Area and standing power of a chip are
sums over its parts (buffer, off-chip memory, tiers), and what a part has depends on its own fields alone. So each
different part is built once, however many chips have it.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.chip import Chip, chip_from_tree
from ...runtime_sim.errors import InputError
from ...runtime_sim.kinds.base import TierKind
from ...runtime_sim.kinds.imc import Imc
from .closed_form import ClosedForm
from .expressions import Expression
from .space import Design, DesignList, Space

Floats = NDArray[np.float64]

CHIP_FIGURES = ("area_mm2", "static_power_mw", "capacity_weights", "model_weights")
"""What expressions may speak of, beside the variables: silicon; power that does not depend on work; weights that all
arrays hold at once; weights of the largest model. Of each tier there are the first three too, as TIER_area_mm2."""
_OF_A_PART = CHIP_FIGURES[:3]
_NONE = (0.0, 0.0, 0.0)


class Chips:
    """The chips of a space."""

    def __init__(self, space: Space, model_weights: int = 0) -> None:
        """An expression that speaks of what is not known is an error here."""
        space.base.expect_sequential("co-design")
        self.space = space
        self.model_weights = model_weights
        self._form = ClosedForm(space, {}, model_weights) if is_template(space) else None
        self.tiers: list[str] = list(space.tree["tiers"])
        self._parts: dict[tuple[object, ...], tuple[float, ...]] = {}
        self._columns = {name: place for place, name in enumerate(variable.name for variable in space.variables)}
        self._own = self._figures_of_variables()
        if self._form is not None:
            return
        space.check_names([*self._columns, *CHIP_FIGURES, *(f"{t}_{f}" for t in self.tiers for f in _OF_A_PART)])
        for each in space.follow.values():
            each.check([*self._columns, *self._own])

    def chip(self, design: Design) -> Chip:
        """The chip of a design; one that cannot be built is an error."""
        return chip_from_tree(self.tree(design), f"space {self.space.name}")

    def tree(self, design: Design) -> dict[str, Any]:
        """The file of a design's chip, with the name and the description of the base."""
        return self.space.plain(design, [float(column[0]) for column in self._follow(np.array([design]))])

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips by name: [chip]. A chip that cannot be built has an infinite area."""
        index = np.asarray(designs, np.int64).reshape(-1, len(self.space.shape))
        if self._form is not None:
            return self._form.figures(index)
        follow = self._follow(index)
        own = [f"{tier}_{figure}" for tier in self.tiers for figure in _OF_A_PART]
        result = {name: np.zeros(len(index)) for name in (*_OF_A_PART, *own)}
        for part in ("buffer", "dram", *self.tiers):
            for name, values in zip(_OF_A_PART, self._of_part(part, index, follow).T, strict=True):
                result[name] = result[name] + values
                if part in self.tiers:
                    result[f"{part}_{name}"] = values
        result["model_weights"] = np.full(len(index), float(self.model_weights))
        return self.space.with_own_figures(result | self._variables(index))

    def keys(self, parts: Sequence[str], index: NDArray[np.int64]) -> Floats:
        """What sets the fields of parts (tiers, buffer, dram) of each chip: [chip, field]. Equal rows: equal parts."""
        follow = self._follow(index)
        return np.concatenate([self._keys(part, index, follow) for part in parts], axis=1)

    def _of_part(self, part: str, index: NDArray[np.int64], follow: Sequence[Floats]) -> Floats:
        """_OF_A_PART of a part of each chip: [chip, figure]."""
        keys = self._keys(part, index, follow)
        _, first, version = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        table: list[tuple[float, ...]] = []
        for place in first.tolist():
            key = (part, *keys[place].tolist())
            if key not in self._parts:
                self._parts[key] = self._built(part, tuple(index[place].tolist()))
            table.append(self._parts[key])
        return np.array(table).reshape(-1, len(_OF_A_PART))[version.reshape(-1)]

    def _keys(self, part: str, index: NDArray[np.int64], follow: Sequence[Floats]) -> Floats:
        """What sets the fields of a part, of each chip: [chip, field]."""
        start = ("tiers", part) if part in self.tiers else (part,)
        places = [p for p, variable in enumerate(self.space.variables) if variable.path[: len(start)] == start]
        followed = [
            column for path, column in zip(self.space.follow, follow, strict=True) if path[: len(start)] == start
        ]
        return np.stack(
            [np.zeros(len(index)), *(index[:, place].astype(np.float64) for place in places), *followed], axis=1
        )

    def _built(self, part: str, design: Design) -> tuple[float, ...]:
        """_OF_A_PART of a part, from a chip that is the base but for this part."""
        own = self.tree(design)
        tree = copy.deepcopy(dict(self.space.tree))
        tree = {**tree, "tiers": {name: fields for name, fields in tree["tiers"].items() if name in ("digital", part)}}
        if part not in self.tiers:
            tree[part] = own[part]
        elif part in own["tiers"]:
            tree["tiers"][part] = own["tiers"][part]
        else:
            return _NONE
        try:
            chip = chip_from_tree(tree, f"space {self.space.name}")
        except InputError:
            return (np.inf, np.inf, 0.0)
        if part == "buffer":
            return chip.buffer.area_mm2, chip.buffer.static_power_mw, 0.0
        if part == "dram":
            return 0.0, chip.dram.static_power_mw, 0.0
        tier = chip.tiers[part]
        return float(tier.area_mm2), float(tier.static_power_mw), _weights_held(tier)

    def _variables(self, index: NDArray[np.int64]) -> dict[str, Any]:
        """The values of the variables of each chip."""
        return {v.name: np.array(v.values)[index[:, place]] for place, v in enumerate(self.space.variables)}

    def _follow(self, index: NDArray[np.int64]) -> list[Floats]:
        """The fields that follow, of each chip."""
        if not self.space.follow:
            return []
        figures: Mapping[str, Any] = self._variables(index)
        if self._form is not None:
            figures = self._form.figures(index)
        else:
            for name in self._own:
                figures = {**figures, name: self.space.figures[name].value(figures)}
        return [np.broadcast_to(each.value(figures), (len(index),)) for each in self.space.follow.values()]

    def _figures_of_variables(self) -> list[str]:
        """The space's own figures that depend on variables alone, in order."""
        known = [*self._columns]
        for name, figure in self.space.figures.items():
            names = figure.names if isinstance(figure, Expression) else [figure.by]
            if set(names) <= set(known):
                known.append(name)
        return known[len(self._columns) :]


def is_template(space: Space) -> bool:
    """Whether its chips are of the co-design template, whose figures have closed forms."""
    return any(isinstance(tier, Imc) for tier in space.base.tiers.values())


def _weights_held(tier: TierKind) -> float:
    """Weights that the arrays of a tier hold at once; infinite where a kind with arrays does not say."""
    if not tier.arrays:
        return 0.0
    full = tier.full_load()
    return np.inf if full is None else float(full.k * full.total_outputs)
