"""What may import what: the layers that the design promises, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

LAYERS = (
    {"version", "errors", "progress", "locks", "telling", "notation"},
    {"graph"},
    {"content", "flexbuffer", "shapes", "quantization", "fixed_point", "floats", "verify", "sparsity"},
    {"ops"},
    {"passes"},
    {"memory", "cache", "schema", "loader", "writer", "buffers", "prepare", "names", "details", "values"},
    {"executor", "delegate", "inspection", "calls", "building", "labelling"},
    {"placement"},
    {"plan", "reference"},
    {"scheduler"},
    {"pieces"},
    {"session", "litert"},
    {"signature", "catalogue"},
    {"model", "interpreter", "benchmark", "roofline", "calibration", "post_training"},
    {"images", "palette"},
    {"segmentation"},
    {"overlay", "inputs"},
    {"debug"},
    {"cli"},
)
"""From the bottom. A module imports from its own layer and those below."""

DOORS = {
    *(("executor", backend) for backend in ("reference", "pieces")),
    *((below, "debug") for below in ("graph", "loader", "executor", "model")),
}
"""What opens upwards, in a function that needs it: the choice of a backend, and the way to the debugger
(``Model.trace``, ``MINILITE_DEBUG``, what a notebook shows)."""

FREE = {"", "__main__", "testing"}
"""The package's front door, and what stands beside the house: they import what they like."""


@dataclass(frozen=True)
class Import:
    """One import statement's target."""

    module: str
    line: int
    when_loaded: bool
    """At the top of the file, where importing the module runs it (not below TYPE_CHECKING or a function)."""
    typing_only: bool


@cache
def imports(path: Path) -> tuple[Import, ...]:
    return tuple(_imports(ast.parse(path.read_text(encoding="utf-8")), True, False))


def _imports(node: ast.AST, when_loaded: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        inside, typed = when_loaded, typing_only
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, when_loaded, typing_only)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            for alias in child.names:
                yield Import(f"{child.module}.{alias.name}", child.lineno, when_loaded, typing_only)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = False
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            inside, typed = False, True
        yield from _imports(child, inside, typed)


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


def module_of(path: Path) -> str:
    """``minilite/ops/base.py`` -> ``ops.base``; the package itself is empty."""
    parts = path.relative_to(ROOT / "minilite").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module: str) -> str:
    """The first name below ``minilite``."""
    return module.removeprefix("minilite").lstrip(".").partition(".")[0]


def where(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"


def test_kernels_import_numpy_numba_and_themselves_only() -> None:
    allowed = {"numpy", "numba", "llvmlite", "minilite_kernels", *sys.stdlib_module_names}
    wrong = [
        where(path, found)
        for path in sources("kernels/minilite_kernels")
        for found in imports(path)
        if found.module.partition(".")[0] not in allowed
    ]
    assert wrong == []


def test_the_known_models_import_nothing_of_minilite() -> None:
    """The catalogue of minilite reads them."""
    found = imports(ROOT / "models/minilite_models/__init__.py")
    assert [f for f in found if f.module.startswith("minilite")] == []


def test_builders_of_models_use_what_a_program_does() -> None:
    """They make graphs, and may run them; commands and tests are built on them."""
    allowed = set().union(*LAYERS[: next(i for i, names in enumerate(LAYERS) if "model" in names) + 1])
    wrong = [
        where(path, found)
        for path in sources("models/minilite_models")
        for found in imports(path)
        if found.module.partition(".")[0] == "minilite_kernels"
        or (found.module.startswith("minilite.") and room(found.module) not in allowed)
    ]
    assert wrong == []


def test_only_commands_and_tests_use_the_builders_of_models() -> None:
    users = {
        room(module_of(path))
        for path in sources("minilite")
        for found in imports(path)
        if found.module.startswith("minilite_models.")
    }
    assert users <= {"cli", "testing"}


def test_nothing_imports_what_stands_above_it() -> None:
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in sources("minilite"):
        own = room(module_of(path))
        if own not in height:
            continue
        for found in imports(path):
            target = room(found.module) if found.module.startswith("minilite.") else ""
            opened = (own, target) in DOORS and not found.when_loaded
            if height.get(target, -1) > height[own] and not found.typing_only and not opened:
                wrong.append(where(path, found))
    assert wrong == []


def test_every_module_has_a_layer() -> None:
    modules = {room(module_of(path)) for path in sources("minilite")}
    assert set().union(*LAYERS, FREE) == modules


def test_only_the_schema_s_neighbours_know_flatbuffers() -> None:
    knowing = {
        module_of(path)
        for path in sources("minilite")
        for found in imports(path)
        if found.module.partition(".")[0] in ("flatbuffers", "tflite")
    }
    assert knowing == {"schema", "loader", "writer", "flexbuffer"}


def test_operators_import_kernels_in_functions_only() -> None:
    wrong = [
        where(path, found)
        for path in sources("minilite/ops")
        for found in imports(path)
        if found.module.startswith("minilite_kernels") and found.when_loaded
    ]
    assert wrong == []


def test_only_the_plan_and_what_runs_and_measures_it_load_kernels() -> None:
    loading = {
        module_of(path)
        for path in sources("minilite")
        for found in imports(path)
        if found.module.startswith(("minilite_kernels", "numba")) and found.when_loaded
    }
    assert loading == {"plan", "scheduler", "roofline"}


def test_no_list_names_the_operators() -> None:
    """A module that is not an operator's own may name one or two, never a collection of them."""
    from minilite import ops

    names = set(ops.names())
    for path in sources("minilite"):
        if module_of(path).startswith("ops."):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
                strings = {c.value for c in ast.walk(node) if isinstance(c, ast.Constant)}
                assert len(names & strings) < 3, f"{path.relative_to(ROOT)}:{node.lineno} lists operators"


def test_the_package_of_operators_names_none() -> None:
    from minilite import ops

    text = (ROOT / "minilite/ops/__init__.py").read_text() + (ROOT / "minilite/ops/base.py").read_text()
    constants = {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}
    assert not constants & set(ops.names())
    modules = {path.stem for path in (ROOT / "minilite/ops").glob("*.py")}
    imported = {f.module.rpartition(".")[2] for f in imports(ROOT / "minilite/ops/__init__.py")}
    assert not imported & modules - {"base"}


@pytest.mark.parametrize(
    "statement",
    [
        "import minilite",
        "from minilite import Interpreter, load",
        "import minilite.loader, minilite.prepare, minilite.reference; minilite.ops.names()",
    ],
)
def test_importing_is_light(statement: str) -> None:
    heavy = ("numba", "llvmlite", "PIL", "typer", "rich", "minilite_kernels")
    script = f"{statement}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"
    child = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.stdout.strip() == "[]", child.stderr


def test_minilite_works_without_numba() -> None:
    script = """
import sys
sys.modules["numba"] = sys.modules["llvmlite"] = None
from minilite import executor
from minilite.testing.models import one_op, tensor
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor

run = ReferenceExecutor(prepare(one_op("ADD", [tensor((2,)), tensor((2,))], [tensor()])))
run.view(0)[...], run.view(1)[...] = 1, 2
run.run()
print(run.view(2).tolist())
"""
    child = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.stdout.strip() == "[3.0, 3.0]", child.stderr
