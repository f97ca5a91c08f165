"""The rules of the house: floors, sizes of files and functions, names of passes, imports at start-up."""

import ast
import importlib
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdsl.passes import ModulePass
from xdsl.universe import Universe

from h3c.compiler.universe import H3C_UNIVERSE

ROOT = Path(__file__).parent.parent
FLOORS = ("dialects", "runtime_sim", "passes", "compiler")
GENERATED = {"dialects/onnx_ops.py"}
SOURCES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
OTHERS = sorted(path for folder in ("tests", "benchmarks", "models") for path in (ROOT / folder).glob("*.py"))
HEAVY = {"numpy", "onnx", "onnxruntime", "ortools", "pandas", "pydantic", "rich"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(text: str, path: Path) -> Iterator[tuple[int, bool, tuple[str, ...]]]:
    """(line, whether relative, target) of each import in a file's text; a relative target begins with h3c."""
    here = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, False, tuple(alias.name.split("."))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            if node.level == 0:
                yield node.lineno, False, module
            else:
                package = (*here[: len(here) - node.level + 1], *module)
                names = () if package else tuple(alias.name for alias in node.names)
                yield from ((node.lineno, True, ("h3c", *package, *rest)) for rest in ([(n,) for n in names] or [()]))


def test_the_list_of_packages_is_the_tree() -> None:
    """setuptools cannot discover packages when the root is one, so the list in pyproject.toml is kept by hand."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(("h3c", *path.parent.relative_to(ROOT).parts)) for path in SOURCES}
    assert set(listed) == {"h3c", *folders}
    assert not [name_of(path) for path in SOURCES if not (path.parent / "__init__.py").exists()]


def test_the_root_has_no_module_but_its_init() -> None:
    """Another one would ship as h3c.<name>."""
    assert [path.name for path in ROOT.glob("*.py")] == ["__init__.py"]


def test_every_form_of_import_is_read() -> None:
    text = (
        "import onnx.defs\nfrom ..passes.x import f\nfrom ... import compiler\nfrom . import crossbar\n"
        "def f():\n    from ...dialects import h3\n"
    )
    assert list(imported(text, ROOT / "runtime_sim" / "kinds" / "unwritten.py")) == [
        (1, False, ("onnx", "defs")),
        (2, True, ("h3c", "runtime_sim", "passes", "x")),
        (3, True, ("h3c", "compiler")),
        (4, True, ("h3c", "runtime_sim", "kinds")),
        (6, True, ("h3c", "dialects")),
    ]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_are_relative_and_never_go_up(path: Path) -> None:
    """dialects < runtime_sim < passes < compiler; an absolute path to a sibling would make a second set of classes."""
    below = FLOORS[: FLOORS.index(path.relative_to(ROOT).parts[0]) + 1]
    wrong = [
        f"{name_of(path)}:{line} imports {'.'.join(target)}"
        for line, relative, target in imported(path.read_text(), path)
        if (target[1] not in below if relative else target[0] in ("h3c", *FLOORS))
    ]
    assert not wrong


@pytest.mark.parametrize("path", [path for path in SOURCES + OTHERS if name_of(path) not in GENERATED], ids=name_of)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    lines = {f.name: (f.end_lineno or f.lineno) - f.lineno + 1 for f in functions}
    assert not {name: count for name, count in lines.items() if count > 60}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_and_its_public_names_say_what_they_are(path: Path) -> None:
    """Ops whose name says it all are the exception: those of the generated file."""
    tree = ast.parse(path.read_text())
    assert path.name == "__init__.py" or ast.get_docstring(tree)
    if name_of(path) not in GENERATED:
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        assert not [node.name for node in public if not ast.get_docstring(node)]


def test_names_of_dialects_and_passes_are_our_own() -> None:
    """get_multiverse raises where two plugins, or xDSL and a plugin, use one name."""
    everything = Universe.get_multiverse()
    assert set(H3C_UNIVERSE.all_dialects) <= set(everything.all_dialects)
    assert set(H3C_UNIVERSE.all_passes) <= set(everything.all_passes)


def test_each_pass_is_registered_under_its_name_in_a_file_of_that_name() -> None:
    passes = {name: load() for name, load in H3C_UNIVERSE.all_passes.items()}
    assert {name: cls.name for name, cls in passes.items()} == {name: name for name in passes}
    assert {name: cls.__module__.rsplit(".")[-1] for name, cls in passes.items()} == {
        name: name.replace("-", "_") for name in passes
    }
    modules = [importlib.import_module(f"h3c.passes.{path.stem}") for path in (ROOT / "passes").glob("*.py")]
    written = {
        value.name
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ModulePass) and value.__module__ == module.__name__
    }
    assert written <= set(passes)


@pytest.mark.parametrize(
    "statement", ["import h3c.compiler.universe", "import h3c.compiler.cli", "import h3c.compiler.sim"]
)
def test_nothing_heavy_is_imported_at_start_up(statement: str) -> None:
    """The universe is imported by every xDSL tool on the machine, and `h3c --help` must answer at once."""
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}} & {HEAVY}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
