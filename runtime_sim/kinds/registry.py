"""The kinds of tier that are installed, found by the entry point group `h3c.tier_kinds`."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from ..errors import InputError
from .base import TierKind

GROUP = "h3c.tier_kinds"


@cache
def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def kind_names() -> tuple[str, ...]:
    """The kinds known, sorted."""
    return tuple(_installed())


@cache
def kind_class(name: str) -> type[TierKind]:
    """The class of the kind `name`; an unknown one is an error that lists those known."""
    point = _installed().get(name)
    if point is None:
        raise InputError(f"expected one of the tier kinds known ({', '.join(kind_names())}), got {name!r}")
    kind = point.load()
    if not (isinstance(kind, type) and issubclass(kind, TierKind)):
        raise InputError(f"entry point {name!r} of {GROUP}: expected a class derived from TierKind, got {point.value}")
    return kind


def kind_name(tier: TierKind) -> str:
    """The name under which the class of `tier` is installed."""
    for name in kind_names():
        if kind_class(name) is type(tier):
            return name
    raise InputError(f"tier kind {type(tier).__name__} is not in the entry point group {GROUP}")
