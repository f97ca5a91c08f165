"""How much the model's outputs lose by each output of each operator on each tier, measured.

For one operator and one tier the errors of the tier's devices are drawn and the operator is run with them, all else
being digital. Its outputs are then taken in groups: one group keeps its errors, the others are exact, and only what
depends on the operator is computed anew (`runtime_sim.quality.replay`). Many realisations and groups share a pass.

Cheap first: how far an output's own values are off is known without any pass. Outputs are sorted by it before they are
grouped, and within a group the measured loss is shared in proportion to it. Each input meets one of the realisations,
as inputs tell no more of a realisation than realisations of an input, and a pass for each pair would cost so many times
as much. What is measured is the oldest age, as errors grow with age by nearly the same factor everywhere.

Where outputs are quantised probabilities, the results of the last product count in their place.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp

from ...dialects.h3 import ConvOp, MatmulOp, PartAttr
from ...dialects.tile import MvmOp
from ...runtime_sim.chip import Chip
from ...runtime_sim.chip_ir import chip_from_ir
from ...runtime_sim.errors import InputError, where
from ...runtime_sim.kinds.noise import Compensation
from ...runtime_sim.noise.ages import parse_age
from ...runtime_sim.product import Product, product_of
from ...runtime_sim.quality.difference import Difference, are_probabilities, as_shares
from ...runtime_sim.quality.measure import output_name
from ...runtime_sim.quality.probe import Condition, Probe
from ...runtime_sim.quality.replay import Replay
from ...runtime_sim.walk import main_function
from ...runtime_sim.weights import STORE, WeightStore
from ..assign_arrays import AssignArrays
from ..lower_to_tile import LowerToTile
from ..placement.losses import KL, RELATIVE_MSE, Losses
from ..placement.pricing import ChipPricer
from ..placement.problem import Floats, Ints
from ..units import units_of
from .cache import load, save

Array = NDArray[Any]
MatrixOps = list[MatmulOp | ConvOp]

DIGITAL = "digital"
STEPS = 256.0
"""Quantised probabilities are multiples of one over this: the scale of softmaxes in integers of 8 bits."""
SEEN_BY_CONVERTERS = 32
"""Inputs, at most, that ranges of converters, and trims, are set with."""


@dataclass(frozen=True)
class Effort:
    """What is measured: the `unit` of losses; how much: `inputs_used` samples that meet `realisations` of each tier in
    turn, each at least one; `groups` of outputs an operator."""

    inputs_used: int = 16
    realisations: int = 8
    groups: int = 8
    unit: Literal["relative mse", "kl"] = RELATIVE_MSE


@dataclass(frozen=True)
class MeasuredLosses:
    """Losses, and what they took: `passes`, samples through the network, each counted by the share of the network's
    MACs that was computed; seconds of CPU time; `samples` of the inputs."""

    losses: Losses
    passes: float
    seconds: float
    samples: int


Progress = Callable[[int, int], object]
"""Called with the number of operators that are done, and that of all."""


def measure_losses(
    module: ModuleOp,
    inputs: Mapping[str, Array],
    ages: Sequence[str],
    compensation: Compensation | None = None,
    *,
    effort: Effort | None = None,
    seed: int = 0,
    output: str | None = None,
    min_bits: int = 8,
    store: WeightStore = STORE,
    progress: Progress | None = None,
) -> MeasuredLosses:
    """The losses of the outputs of a module's matrix operators, by their positions in the problem of `make_problem`.

    `module`: on the h3 level, with its chip; parts are ignored. `inputs`: calibration data by the model's names, those
    that are kept for checks left out; the first 32 of them set converters' ranges and trims, the first
    `inputs_used` are measured on. `ages` as users write them. `compensation` None: as tiers say. `output`: of several
    the one that counts. Tiers without noise lose what their precision costs. Without noisy tiers there are no losses.
    """
    chip = chip_from_ir(module)
    if not any(tier.noise is not None for tier in chip.tiers.values()):
        return MeasuredLosses(Losses({}), 0.0, 0.0, 0)
    effort = effort or Effort()
    condition = Condition(max(parse_age(age) for age in ages), compensation, seed)
    count = max(SEEN_BY_CONVERTERS, effort.inputs_used)
    used = {name: array[:count] for name, array in inputs.items()}
    settings = (condition, effort, output, min_bits)
    found = load(module, used, settings)
    if found is not None:
        return MeasuredLosses(Losses(found[0], effort.unit), *found[1:])
    start = time.process_time()
    measuring = _Measuring(_all_digital(module), used, condition, effort, output, store)
    allowed = _tiers_allowed(module, chip, min_bits)
    losses: dict[int, Floats] = {}
    for position, tiers in enumerate(allowed):
        table = measuring.losses(position, tiers)
        if table is not None:
            losses[position] = table
        if progress is not None:
            progress(position + 1, len(allowed))
    result = MeasuredLosses(
        Losses(losses, effort.unit), measuring.passes, time.process_time() - start, measuring.samples
    )
    save(module, used, settings, (losses, result.passes, result.seconds, result.samples))
    return result


def matrix_operators(module: ModuleOp) -> MatrixOps:
    """In the order that problems have."""
    units = units_of(main_function(module))
    return [unit.matrix for unit in units if isinstance(unit.matrix, MatmulOp | ConvOp)]


def _tiers_allowed(module: ModuleOp, chip: Chip, min_bits: int) -> list[list[int]]:
    """For each operator the tiers, by their positions in the chip, that take it."""
    pricer = ChipPricer(chip, min_bits)
    products: list[Product] = [product_of(op, chip.activation_bits) for op in matrix_operators(module)]
    return [sorted({kind.tier for kind in pricer.kinds(product)}) for product in products]


def _all_digital(module: ModuleOp) -> ModuleOp:
    """A plan with every operator whole on the digital unit, in the order of the operators."""
    copy = module.clone()
    for op in matrix_operators(copy):
        op.parts = ArrayAttr([PartAttr.of(DIGITAL, 0, op.outputs, copies=1, segment=0)])
    for lower in (LowerToTile(), AssignArrays()):
        lower.apply(Context(), copy)
    return copy


class _Measuring:
    """The digital plan with its inputs; `passes` counts what has been computed."""

    def __init__(
        self,
        plan: ModuleOp,
        inputs: Mapping[str, Array],
        condition: Condition,
        effort: Effort,
        output: str | None,
        store: WeightStore,
    ) -> None:
        self._condition, self._effort = condition, effort
        self._replay = Replay(plan, inputs, store)
        self._output = output_name(plan, output)
        clean = self._replay.clean[self._output]
        per_execution = len(clean) // self._replay.executions
        self._executions = min(-(-effort.inputs_used // per_execution), self._replay.executions)
        self.samples = self._executions * per_execution
        difference = Difference(clean[: self.samples])
        if effort.unit == RELATIVE_MSE:
            difference = self._of_logits(clean) or difference
        self._loss = difference.kl if effort.unit == KL else difference.relative_mse
        macs = np.array([self._replay.macs(op) for op in self._replay.mvms], np.float64)
        self._share = macs / max(macs.sum(), 1.0)
        self._share_after = np.append(np.cumsum(self._share[::-1])[::-1][1:], 0.0)
        self._per_execution = per_execution
        self.passes = float(len(clean))

    def _of_logits(self, clean: Array) -> Difference | None:
        """If outputs are quantised probabilities, compare what they are made of, the last product's results: most of
        what moves those is lost in the steps of a probability near 0 or 1. None if they are not known to be."""
        last = self._replay.mvms[-1] if self._replay.mvms else None
        logits = None if last is None else self._replay.value(last.result)
        shares = as_shares(clean)
        if (
            logits is None
            or not are_probabilities(shares)
            or not np.array_equal(shares * STEPS, np.rint(shares * STEPS))
        ):
            return None
        if logits[0].size != clean[0].size * self.samples // self._executions:
            return None
        self._replay.watched = last
        return Difference(logits[: self._executions])

    def losses(self, position: int, tiers: Sequence[int]) -> Floats | None:
        """[tier, output] of one operator, infinite for tiers other than `tiers`; None if no data reach it."""
        op = self._replay.mvms[position]
        clean = self._replay.value(op.result)
        if clean is None or self._replay.value(op.x) is None:
            return None
        chip = self._replay.chip
        table = np.full((len(chip.tiers), op.outputs), np.inf)
        for tier in tiers:
            name = list(chip.tiers)[tier]
            if name == DIGITAL:
                table[tier] = 0.0
                continue
            probe = Probe(self._replay, op, position, name, self._condition, self._executions)
            table[tier] = self._on_tier(op, position, clean[: self._executions], probe)
        return table

    def _on_tier(self, op: MvmOp, position: int, clean: Array, probe: Probe) -> Floats:
        """[output]: the loss that each output of the operator adds on the tier of `probe`."""
        realisations = self._effort.realisations if probe.varies else 1
        results = [probe.results(realisation) for realisation in range(realisations)]
        self.passes += probe.executions_run * self._per_execution * float(self._share[position])
        local = np.mean([_local_error(op, each, clean) for each in results], axis=0)
        groups = [group for group in self._groups(local) if local[group].any()]
        found = np.zeros(op.outputs)
        if groups:
            met = _met(results)
            pairs = [(noisy, group) for group in groups for noisy in met]
            losses = self._losses_of(op, position, clean, pairs).reshape(len(groups), len(met)).mean(axis=1)
            for group, loss in zip(groups, losses, strict=True):
                found[group] = loss * local[group] / local[group].sum()
        return found

    def _groups(self, local: Floats) -> list[Ints]:
        """The outputs in groups of about the same number, those with like errors together."""
        order = np.argsort(local, kind="stable")
        return np.array_split(order, min(self._effort.groups, len(order)))

    def _losses_of(self, op: MvmOp, position: int, clean: Array, pairs: Sequence[tuple[Array, Ints]]) -> Floats:
        """The loss for each pair of an operator's results and the group of outputs whose results they are."""
        losses: list[Floats] = []
        for some in _runs(pairs, max(1, self._replay.at_once // len(clean))):
            copies = np.stack([clean] * len(some))
            for copy, (noisy, group) in zip(copies, some, strict=True):
                at = (*[slice(None)] * _outputs_axis(op), group)
                copy[at] = noisy[at]
            outputs = self._replay.outputs_with(op, copies.reshape(-1, *clean.shape[1:]), len(clean))
            seen = self._replay.seen
            losses.append(self._loss(outputs[self._output] if seen is None else seen))
            self.passes += len(some) * self.samples * float(self._share_after[position])
        return np.concatenate(losses)


def _met(results: Sequence[Array]) -> list[Array]:
    """An operator's results where each execution meets another realisation, so often that every one is met."""
    executions = len(results[0])
    copies = -(-len(results) // executions)
    return [
        np.stack([results[(copy * executions + i) % len(results)][i] for i in range(executions)])
        for copy in range(copies)
    ]


def _runs(pairs: Sequence[tuple[Array, Ints]], length: int) -> Iterator[Sequence[tuple[Array, Ints]]]:
    for start in range(0, len(pairs), length):
        yield pairs[start : start + length]


def _outputs_axis(op: MvmOp) -> int:
    """The axis of an operator's outputs among its results, executions first."""
    return 2 if op.window is not None else len(op.result.type.get_shape())


def _local_error(op: MvmOp, noisy: Array, clean: Array) -> Floats:
    """[output]: how far an operator's own results are off, mean square over all else."""
    error = np.moveaxis(noisy.astype(np.float64) - clean.astype(np.float64), _outputs_axis(op), -1)
    found = np.square(error).reshape(-1, error.shape[-1]).mean(axis=0)
    if not np.isfinite(found).all():
        raise InputError(f"{where(op)}: expected finite results on the calibration data, got NaN or infinity")
    return found
