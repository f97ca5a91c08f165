"""Prices of chips whose operators have to be placed: each model is placed on each chip anew, as `h3c` would.

What a price is follows from the model, the chip and the settings alone, so that any process can find it. Models are
read and lowered once a process. A model that cannot run on a chip has infinite costs there, and a reason.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...runtime_sim.chip import Chip
from ...runtime_sim.errors import InputError
from .archive import Context, Price
from .archive_keys import cost_version, digest_of, file_digest, space_digest
from .evaluators import Scores
from .placed_chips import Chips
from .quality import Data, Measuring, kept
from .space import Design, DesignList, Space

if TYPE_CHECKING:
    from collections.abc import Generator

    from xdsl.dialects.builtin import ModuleOp

    from .workers import Engine

Wanted = tuple[int, Design]
"""The position of a model, and a chip."""

_ONE_AT_A_TIME = threading.Lock()
"""Models are shared by the threads of a process, and hold the parts of one plan."""


@dataclass(frozen=True)
class Settings:
    """How models are placed; as the options of `h3c`."""

    objective: Literal["latency", "energy", "edp"] = "edp"
    strategy: Literal["exact", "greedy"] = "exact"
    time_limit_s: float = 10.0
    """For placing one model on one chip. Where it strikes, the plan, and so the price, may differ another time."""
    min_bits: int = 8
    simulate: bool = False
    """Whether a price is what the simulator finds, and not what placement predicts."""
    measuring: Measuring | None = None
    """How losses are measured of models that have data."""


@dataclass(frozen=True)
class ModelFile:
    """A model: its name, its file with the digest of its content, sizes of the dimensions that it leaves open, data."""

    name: str
    path: Path
    digest: str
    dims: tuple[tuple[str, int], ...] = ()
    data: Data | None = None
    """What its quality is measured with; None: it is not."""

    @staticmethod
    def of(name: str, path: Path, dims: Mapping[str, int] | None = None, data: Data | None = None) -> "ModelFile":
        """The model in a file."""
        try:
            return ModelFile(name, path.resolve(), file_digest(path), tuple(sorted((dims or {}).items())), data)
        except OSError as error:
            raise InputError(f"{path}: expected an ONNX model, got: {error.strerror}") from None


@dataclass(frozen=True)
class Placing:
    """What a worker runs: the price of a model on a chip."""

    space: Space
    models: tuple[ModelFile, ...]
    settings: Settings
    version: str
    """`cost_version()` where the search runs: a worker with another h3c would find other prices."""

    @cached_property
    def chips(self) -> Chips:
        """The chips."""
        return Chips(self.space)

    def __call__(self, wanted: Wanted) -> Price:
        if self.version != cost_version():
            raise InputError("expected a worker with the h3c of the search, got another version")
        model, design = self.models[wanted[0]], wanted[1]
        area = float(self.chips.figures([design])["area_mm2"][0])
        with lowered(model) as module:
            try:
                chip = self.chips.chip(design)
                if model.data is None or self.settings.measuring is None:
                    latency_ns, energy_pj = placed(module, chip, self.settings)
                    return Price(energy_pj, latency_ns, area)
                chip.expect_sequential("co-design")
                with _attached(module, chip):
                    found = kept(module, chip, self.settings, self.settings.measuring, model.data)
            except InputError as error:
                return Price.failed(str(error), area)
        return Price(found.energy_pj, found.latency_ns, area, None, found.loss, found.quality)


class PlacedChips:
    """The evaluator (see `evaluators.Evaluator`) of spaces of chips of any kind; also a pricing (see `archived`)."""

    costly = True

    def __init__(self, space: Space, models: Sequence[ModelFile], settings: Settings, engine: "Engine") -> None:
        self.placing = Placing(space, tuple(models), settings, cost_version())
        self.engine = engine
        self.chips = Chips(space, max(map(_weights, models)))

    @property
    def evaluator(self) -> "PlacedChips":
        """What knows the chips and their figures."""
        return self

    @property
    def space(self) -> Space:
        """The chips."""
        return self.placing.space

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(model.name for model in self.placing.models)

    @property
    def measured(self) -> bool:
        """Whether some models' prices have losses."""
        return any(model.data is not None for model in self.placing.models)

    def figures(self, designs: DesignList) -> Mapping[str, Any]:
        """Figures of chips by name: [chip]."""
        return self.chips.figures(designs)

    def contexts(self) -> Sequence[Context]:
        """What prices of each model depend on."""
        placing = self.placing
        settings = repr(sorted(asdict(placing.settings).items()))
        digests = [
            digest_of([model.digest, [list(dim) for dim in model.dims], model.data and model.data.digest])
            for model in placing.models
        ]
        return [Context(space_digest(placing.space), digest, placing.version, settings) for digest in digests]

    def prices(self, wanted: Sequence[Wanted], done: Callable[[int, Design, Price, bool], None]) -> None:
        """Price chips on all workers of the engine; `done` is told of each at once."""
        from .workers import Failed

        for (model, design), result in self.engine.results(self.placing, wanted):
            if isinstance(result, Failed):
                done(model, design, Price.failed(result.reason), False)
            else:
                done(model, design, result, True)

    def evaluate(self, designs: Sequence[Design]) -> Scores:
        """Prices of chips."""
        from .archived import Archived

        return Archived(self, None).evaluate(designs)


def placed(module: "ModuleOp", chip: Chip, settings: Settings) -> tuple[float, float]:
    """(latency in ns, energy in pJ) of one execution of a lowered model; InputError if it cannot run on the chip."""
    from ...passes.placement.problem import PlacementError
    from ...passes.placement.strategies import run
    from ...passes.placement_problem import make_problem
    from ...passes.simulated_plan import simulated_plan

    chip.expect_sequential("co-design")
    try:
        operators, _, problem = make_problem(module, chip, settings.objective, settings.min_bits, settings.strategy)
        outcome = run(problem, settings.strategy, settings.time_limit_s)
    except PlacementError as error:
        raise InputError(str(error)) from None
    if not settings.simulate:
        return outcome.plan.latency_ps / 1000, outcome.plan.energy_pj
    with _attached(module, chip):
        timing = simulated_plan(module, operators, outcome.problem, outcome.plan, chip)
    return timing.latency_ns, timing.energy_pj


@contextmanager
def lowered(model: ModelFile) -> "Generator[ModuleOp]":
    """A model after the passes that ask no chip; for one thread at a time, as it is read once for all."""
    with _ONE_AT_A_TIME:
        yield _lowered(model)


@contextmanager
def _attached(module: "ModuleOp", chip: Chip) -> "Generator[None]":
    """The module with the chip in it, for a while."""
    from ...runtime_sim.chip_ir import chip_to_ir

    block, op = module.body.block, chip_to_ir(chip)
    first = block.first_op
    assert first is not None
    block.insert_op_before(op, first)
    try:
        yield
    finally:
        op.detach()
        op.erase()


@cache
def _lowered(model: ModelFile) -> "ModuleOp":
    """A model after the passes that ask no chip."""
    from ...runtime_sim.weights import STORE
    from ..onnx_reader.importer import read_onnx
    from ..pipeline import PIPELINE, build, run
    from ..plan_files import new_context

    if file_digest(model.path) != model.digest:
        raise InputError(f"{model.path}: expected the file that the search began with, got another content")
    STORE.driver = STORE.driver or "h3c-codesign"
    names = [name for name, _ in PIPELINE]
    module = read_onnx(model.path, dict(model.dims))
    run(module, build({}, [n for n in names[: names.index("place-parts")] if n != "attach-chip"]), new_context())
    return module


def _weights(model: ModelFile) -> int:
    """Static weights of a model's matrix operators."""
    from ..summary import attribute_dict

    with lowered(model) as module:
        return int(attribute_dict(module, "h3.model")["weights"])
