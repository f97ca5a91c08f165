"""The inputs that offsets are trimmed with: `h3.trim` of a module names entries of its weight store.

`h3.trim = [{digest = "9f2c..", name = "image", type = tensor<32x1x8x8xf32>}]`: one entry an input of the model, samples
on its leading axis, a multiple of the compiled batch. They are unlabelled samples of the data that a model was
calibrated with, about 32, and stand in the plan, so that a chip can be trimmed with them wherever it is.
"""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, StringAttr, TensorType

from ...dialects.constants import type_of
from ...dialects.text import escape, unescape
from ..errors import InputError
from ..weights import STORE, WeightStore

Array = NDArray[Any]

ATTRIBUTE = "h3.trim"


def set_trim(module: ModuleOp, inputs: Mapping[str, Array], store: WeightStore = STORE) -> None:
    """Let the plan be trimmed with these inputs, by the model's names; their values go to the store."""
    entries = [
        {"digest": StringAttr(store.put(array)), "name": StringAttr(escape(name)), "type": type_of(array)}
        for name, array in inputs.items()
    ]
    module.attributes[ATTRIBUTE] = ArrayAttr([DictionaryAttr(dict(entry)) for entry in entries])


def trim_digests(module: ModuleOp) -> list[str]:
    """The digests of the trim inputs; who writes a plan writes their values too."""
    return [digest for _, digest, _ in _entries(module)]


def trim_inputs(module: ModuleOp, store: WeightStore = STORE) -> dict[str, Array]:
    """The trim inputs by name; a plan without them is an error."""
    entries = _entries(module)
    if not entries:
        raise InputError(
            "compensation offset: expected trim inputs in the plan (h3.trim), got none; they come with a plan that was "
            "compiled with calibration data"
        )
    return {name: store.by_digest(digest, f"trim input {name}", type) for name, digest, type in entries}


def _entries(module: ModuleOp) -> list[tuple[str, str, TensorType]]:
    attribute = module.attributes.get(ATTRIBUTE)
    if attribute is None:
        return []
    found: list[tuple[str, str, TensorType]] = []
    for entry in attribute.data if isinstance(attribute, ArrayAttr) else [attribute]:
        fields = entry.data if isinstance(entry, DictionaryAttr) else {}
        name, digest, type = fields.get("name"), fields.get("digest"), fields.get("type")
        if not isinstance(name, StringAttr) or not isinstance(digest, StringAttr) or not isinstance(type, TensorType):
            raise InputError(
                f'{ATTRIBUTE}: expected entries {{digest = "..", name = "..", type = tensor}}, got {entry}'
            )
        found.append((unescape(name.data), digest.data, type))
    return found
