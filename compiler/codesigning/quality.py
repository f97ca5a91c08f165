"""What a model loses on a chip by the noise of its devices, with the plan that `h3c` would write for that chip.

The plan is found and measured as by `h3c --calibration` (module `promise`): with a limit the best plan that keeps it,
without one the best plan, measured. Realisations of the devices come of a fixed seed, so that two chips are compared
under the same draws and a price is the same another time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...runtime_sim.chip import Chip
from ...runtime_sim.errors import InputError
from ...runtime_sim.kinds.noise import Compensation
from ..arrays import read_inputs, read_labels
from ..quality_options import REPEATS

if TYPE_CHECKING:
    from xdsl.dialects.builtin import ModuleOp

    from .placed import Settings

Array = NDArray[Any]


@dataclass(frozen=True)
class Measuring:
    """How losses are measured; the same for all models. `max_loss` None: losses are told, and none is too much."""

    ages: tuple[str, ...]
    max_loss: float | None = None
    metric: str | None = None
    compensation: Compensation | None = None
    repeats: int = REPEATS


@dataclass(frozen=True)
class Data:
    """What a model is measured with: `--calibration` and `--labels` as of `h3c`, and the digest of their arrays."""

    inputs: tuple[str, ...]
    labels: str | None
    digest: str

    @staticmethod
    def of(inputs: Sequence[str], labels: str | None) -> "Data":
        """The data that these words name; paths become absolute, as a worker may be elsewhere."""
        digest = _digest(*_arrays(inputs, labels))
        return Data(tuple(map(_absolute, inputs)), None if labels is None else _absolute(labels), digest)

    def arrays(self) -> tuple[dict[str, Array], Array | None]:
        """Inputs by name, and labels; those that the search began with."""
        return _read(self)


@dataclass(frozen=True)
class Kept:
    """A plan's costs and its quality: `loss` is what the plan promises not to exceed, as `--max-loss` is; `quality` the
    metric at the worst age, mean over realisations."""

    latency_ns: float
    energy_pj: float
    loss: float
    quality: float


def kept(module: "ModuleOp", chip: Chip, settings: "Settings", measuring: Measuring, data: Data) -> Kept:
    """The plan of a lowered module that has its chip; InputError if there is none, or none that keeps the limit."""
    from ...dialects.values import shape_of
    from ...passes.place_parts import PlaceParts
    from ...passes.verify_placement import SOLUTION
    from ...runtime_sim.quality.metrics import LESS_IS_BETTER
    from ...runtime_sim.timing import simulate
    from ...runtime_sim.walk import main_function
    from ..promise import Wanted, halves
    from ..promise_checks import plan_of
    from ..promise_search import Search

    batch = max((shape_of(argument) or (1,))[0] for argument in main_function(module).body.block.args)
    placing = PlaceParts(
        strategy=settings.strategy,
        objective=settings.objective,
        time_limit=settings.time_limit_s,
        min_bits=settings.min_bits,
    )
    wanted = Wanted(
        measuring.ages,
        measuring.max_loss,
        measuring.metric,
        measuring.compensation,
        measuring.repeats,
        redundancy=1,  # the chip is what is searched
    )
    found = Search(module, placing, *halves(*data.arrays(), batch), wanted).run()
    if found.verdict == "unreachable":
        raise InputError(f"expected a plan that loses at most {measuring.max_loss:g}, the best loses {found.promise:g}")
    means = [at.mean for at in found.quality.ages.values()]
    quality = max(means) if found.quality.metric in LESS_IS_BETTER else min(means)
    if settings.simulate:
        timing = simulate(plan_of(found.module))
        return Kept(timing.latency_ns, timing.energy_pj, found.promise, quality)
    solution: Any = found.module.attributes[SOLUTION]
    latency, energy = (solution.data[f"predicted_{name}"].value.data for name in ("latency_ns", "energy_pj"))
    return Kept(latency, energy, found.promise, quality)


def check_noise(chip: Chip, where: str) -> None:
    """Whether some tier of the chips of a space errs; if none does there is nothing to measure."""
    if all(tier.noise is None for tier in chip.tiers.values()):
        kinds = ", ".join(name for name in chip.tiers if name != "digital") or "none but digital"
        raise InputError(
            f"{where}: base: expected a tier with a noise model for --calibration, got none (tiers: {kinds})"
        )


def _absolute(words: str) -> str:
    """`X.npz`, `X.npz:KEY` or `NAME=X.npz:KEY` with an absolute path."""
    name, equals, source = words.partition("=")
    return str(Path(words).resolve()) if not equals or Path(words).is_file() else f"{name}={Path(source).resolve()}"


def _arrays(inputs: Sequence[str], labels: str | None) -> tuple[dict[str, Array], Array | None]:
    return read_inputs(inputs, "--calibration"), None if labels is None else read_labels(labels)


@cache
def _read(data: Data) -> tuple[dict[str, Array], Array | None]:
    inputs, labels = _arrays(data.inputs, data.labels)
    if _digest(inputs, labels) != data.digest:
        raise InputError(f"{', '.join(data.inputs)}: expected the data that the search began with, got others")
    return inputs, labels


def _digest(inputs: Mapping[str, Array], labels: Array | None) -> str:
    """What makes data."""
    found = sha256()
    for name, array in [*sorted(inputs.items()), *([] if labels is None else [("", labels)])]:
        found.update(repr((name, array.dtype.str, array.shape)).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:32]
