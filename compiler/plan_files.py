"""Modules as files: the text, and the store of the values that passes made."""

import os
import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.universe import Universe

from ..dialects.h3 import WeightOp
from ..runtime_sim.errors import InputError
from ..runtime_sim.quality.trim import trim_digests
from ..runtime_sim.weights import STORE, file_digest, register_stores, relative_stores, set_stores, stores_of
from .output import Outputs
from .universe import H3C_UNIVERSE

_TEXT_OR_UNKNOWN = re.compile(r'("(?:[^"\\]|\\.)*")| loc\(unknown\)')
"""A string literal (kept), or the location of an op that has none (not worth reading)."""


def new_context() -> Context:
    """A context that knows all dialects there are, each loaded when first used."""
    context = Context()
    for name, dialect in Universe.get_multiverse().all_dialects.items():
        context.register_dialect(name, dialect)
    return context


def read_module(path: Path) -> ModuleOp:
    """The module in a .mlir file; the files that it lists as stores of weights become known to this process."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a plan as text, got a file that is not UTF-8") from None
    try:
        module = Parser(new_context(), text, str(path)).parse_module()
    except (OverflowError, RecursionError) as error:
        raise InputError(f"{path}: expected a plan, got text beyond what a parser takes: {error}") from None
    register_stores(module, path.parent)
    return module


def text_of(module: ModuleOp) -> str:
    """The module as text, with the nodes that its ops came from."""
    stream = StringIO()
    Printer(stream, print_debuginfo=True).print_op(module)
    text = _TEXT_OR_UNKNOWN.sub(lambda match: match[1] or "", stream.getvalue())
    return text + "\n"


def made_by_passes(module: ModuleOp) -> list[str]:
    """The digests of those weights, and trim inputs, of a module that no file of its stores holds."""
    digests = [op.digest.data for op in module.walk() if isinstance(op, WeightOp) and op.digest is not None]
    return STORE.made([*digests, *trim_digests(module)], [path for path, _ in stores_of(module)])


def text_with_stores(module: ModuleOp, folder: Path, store: Path | None) -> str:
    """The module as a text for a file in `folder`; `store` holds the values that passes made."""
    own = [] if store is None else [(os.path.relpath(store, folder), file_digest(store))]
    before = stores_of(module)
    set_stores(module, relative_stores(module, folder) + own)
    text = text_of(module)
    set_stores(module, before)
    return text


def add_store(files: Outputs, modules: Sequence[ModuleOp], plan: Path) -> Path | None:
    """The store of the values that passes made, beside the plan: `plan.<8 hex>.safetensors`; None if there are none.

    Several modules share it. Stores that earlier plans of this name left, and these do not use, go away when `files`
    are in place.
    """
    stem, folder = plan.name.removesuffix(".mlir"), plan.parent
    named = re.compile(re.escape(stem) + r"\.[0-9a-f]{8}\.safetensors")
    before = {path for path in folder.iterdir() if named.fullmatch(path.name)}
    made = dict.fromkeys(digest for module in modules for digest in made_by_passes(module))
    store = STORE.write_safetensors(folder, stem, list(made))
    if store is not None and store not in before:
        files.created(store)
    used = {Path(path).resolve() for module in modules for path, _ in stores_of(module)}
    used |= set() if store is None else {store.resolve()}
    for path in sorted(before):
        if path.resolve() not in used:
            files.remove(path)
    return store


def write_named_store(module: ModuleOp, path: Path | None) -> Path | None:
    """Write the values that passes made to `path`; None if there are none. Values without a path are an error."""
    made = made_by_passes(module)
    if not made:
        return None
    if path is None:
        raise InputError(f"passes made {len(made)} values: expected a plan file or --weights FILE to put them in")
    written = STORE.write_safetensors(path.parent, path.stem, made)
    assert written is not None
    return written.replace(path)


class Dumps:
    """One numbered file a stage, in a folder of their own; the values that passes made are in one store beside them."""

    MARK = "h3c.made.safetensors"
    STEM = "h3c-dump"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._texts: list[tuple[str, str]] = []
        self._made: set[str] = set()

    def add(self, name: str, module: ModuleOp) -> None:
        """Keep the module as it is now."""
        made = made_by_passes(module)
        self._made.update(made)
        before = stores_of(module)
        set_stores(module, relative_stores(module, self.folder) + ([(self.MARK, self.MARK)] if made else []))
        self._texts.append((name, text_of(module)))
        set_stores(module, before)

    def write(self) -> None:
        """Write all stages; files of an earlier dump in the same folder go away."""
        self.folder.mkdir(exist_ok=True)
        for old in self._old_files():
            old.unlink()
        store = STORE.write_safetensors(self.folder, self.STEM, self._made)
        for number, (name, text) in enumerate(self._texts):
            if store is not None:
                text = text.replace(f'digest = "{self.MARK}"', f'digest = "{file_digest(store)}"')
                text = text.replace(f'path = "{self.MARK}"', f'path = "{store.name}"')
            (self.folder / f"{number:02}-{name}.mlir").write_text(text, encoding="utf-8")

    def _old_files(self) -> list[Path]:
        stages = "|".join(["read", *H3C_UNIVERSE.all_passes])
        named = re.compile(rf"\d\d-({stages})\.mlir|{self.STEM}\.[0-9a-f]{{8}}\.safetensors")
        return [path for path in self.folder.iterdir() if named.fullmatch(path.name)]
