"""What a tier says of its noise: a model by name, with the fields that the model has.

`noise: {model: pcm, output_noise: 0.06, compensation: global}` in a chip file; a tier without it is free of noise. The
models are found by the entry point group `h3c.noise_models`, so that a user's package can add its own: one class that
derives from `NoiseModel`.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, model_validator

from ..errors import InputError

if TYPE_CHECKING:
    from ..noise.storage import Technology

GROUP = "h3c.noise_models"

Compensation = Literal["none", "global", "offset"]
"""What is done about drift: nothing; a digital gain an array, from one-hot reads (global drift compensation); that and
an offset an output, from trim inputs, at each age."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Sigma = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class NoiseModel(BaseModel):
    """How a tier errs. A model derives from this class and says what its fields mean by overriding the methods below.

    The order is: weights as they are stored at an age (`technology`, `levels`), noise of single products
    (`product_noise`) and sums (`detector_noise`), noise in front of output converters (`output_noise`), their own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str
    """The name under which the class is installed."""
    compensation: Compensation = "none"
    """The default of the chip; the command line may choose another."""
    output_noise: Sigma = 0.0
    """Standard deviation in front of each output converter, in units of largest input x largest weight."""

    @property
    def product_noise(self) -> float:
        """Relative standard deviation of each product x w, new in each, independent of all others."""
        return 0.0

    @property
    def detector_noise(self) -> float:
        """Relative standard deviation of each sum, in front of its converter."""
        return 0.0

    @property
    def converter_noise_lsb(self) -> float:
        """Standard deviation of each conversion, in steps of the converter."""
        return 0.0

    def technology(self) -> "Technology | None":
        """How weights are stored as analog values, (.., K, N), one scale an output; None: without error."""
        return None

    def levels(self, top: int) -> "Technology | None":
        """How whole numbers in -top .. top are stored, one digit of a weight in each cell; None: without error."""
        return None

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_class(cls, given: Any, handler: ModelWrapValidatorHandler["NoiseModel"]) -> "NoiseModel":
        """A tree becomes the class that `model` names."""
        if cls is not NoiseModel or isinstance(given, NoiseModel):
            return handler(given) if cls is not NoiseModel else given
        if not isinstance(given, Mapping) or "model" not in given:
            raise ValueError(f"expected a noise model with its fields, as in {{model: pcm}}, got {given!r}")
        fields = cast(Mapping[str, Any], given)
        try:
            named = noise_class(str(fields["model"]))
        except InputError as error:
            raise ValueError(f"model: {error}") from None
        if unknown := sorted(set(fields) - set(named.model_fields)):
            known = ", ".join(sorted(named.model_fields))
            raise ValueError(f"{unknown[0]}: expected a known field (known are {known}), got '{unknown[0]}'")
        return named.model_validate(dict(fields))


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def noise_names() -> tuple[str, ...]:
    """The models known, sorted."""
    return tuple(_installed())


@cache
def noise_class(name: str) -> type[NoiseModel]:
    """The class of the model `name`; an unknown one is an error that lists those known."""
    point = _installed().get(name)
    if point is None:
        raise InputError(f"expected one of the noise models known ({', '.join(noise_names())}), got {name!r}")
    model = point.load()
    if not (isinstance(model, type) and issubclass(model, NoiseModel)):
        raise InputError(
            f"entry point {name!r} of {GROUP}: expected a class derived from NoiseModel, got {point.value}"
        )
    return model
