"""The file of sensitivities: how much each output of each operator matters, and how noisy each tier is.

```yaml
budget: 0.3                     # the loss allowed, in a unit of your own
noise:                          # loss that each tier adds per unit of sensitivity
  sram: 0.0
  reram: 0.003
  photonic: 1.0
operators:                      # sensitivity of outputs, by node name: a list, or one number for each of them
  /layers.0/fc1/MatMul: [0.02, 0.001, 0.004]
  /layers.0/fc2/MatMul: 0.01
```
Tiers that are not named are without noise. Operators that are not named do not count, and stay where they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..dialects.h3 import ConvOp, MatmulOp
from ..runtime_sim.chip import Chip
from ..runtime_sim.errors import InputError
from ..runtime_sim.product import product_of
from ..runtime_sim.timing import name_of
from .placement.problem import Floats
from .placement.row_remap import Sensitivities

KEYS = ("budget", "noise", "operators")


def read_sensitivities(path: str, operators: Sequence[MatmulOp | ConvOp], chip: Chip) -> Sensitivities:
    """The sensitivities in a file (YAML or JSON), by the positions of `operators`."""
    import yaml

    try:
        tree = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        raise InputError(f"{path}: expected YAML or JSON, got something else") from None
    if not isinstance(tree, Mapping) or set(cast(Mapping[Any, Any], tree)) != set(KEYS):
        raise InputError(f"{path}: expected the fields {', '.join(KEYS)}, got {_shown(tree)}")
    fields = cast(Mapping[str, Any], tree)
    noise, named = _mapping(path, "noise", fields["noise"]), _mapping(path, "operators", fields["operators"])
    for tier in noise:
        if tier not in chip.tiers:
            raise InputError(f"{path}: noise: expected tiers of {', '.join(chip.tiers)}, got {tier!r}")
    by_tier = np.array([_number(path, f"noise.{tier}", noise.get(tier, 0.0)) for tier in chip.tiers])
    positions: dict[str, list[int]] = {}
    for position, op in enumerate(operators):
        positions.setdefault(name_of(op), []).append(position)
    outputs: dict[int, Floats] = {}
    for name, values in named.items():
        if name not in positions:
            raise InputError(f"{path}: operators: expected matrix operators ({_few(positions)}), got {name!r}")
        for position in positions[name]:
            total = product_of(operators[position], chip.activation_bits).total_outputs
            outputs[position] = _outputs(path, f"operators.{name}", values, total)
    return Sensitivities(by_tier, outputs, _number(path, "budget", fields["budget"]))


def _few(names: Mapping[str, Any]) -> str:
    """The first names, to show what is meant."""
    return ", ".join(list(names)[:3]) + (", .." if len(names) > 3 else "")


def _mapping(path: str, key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{path}: {key}: expected values by name, got {_shown(value)}")
    return {str(name): inner for name, inner in cast(Mapping[Any, Any], value).items()}


def _outputs(path: str, key: str, values: object, total: int) -> Floats:
    if not isinstance(values, list):
        return np.full(total, _number(path, key, values))
    listed = cast(list[object], values)
    if len(listed) != total:
        raise InputError(f"{path}: {key}: expected {total} numbers or one, got {len(listed)}")
    return np.array([_number(path, f"{key}.{i}", value) for i, value in enumerate(listed)])


def _number(path: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise InputError(f"{path}: {key}: expected a finite number from 0, got {_shown(value)}")
    return float(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
