"""The decorator: parameter rows, specializations, and a cache on disk that runs no stale code."""

from __future__ import annotations

import gc
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("numba", reason="kernels need Numba")
import minilite_kernels
from minilite_kernels.elementwise import add
from minilite_kernels.kernel import Input, Kernel, Output, Scratch, ScratchSpace, helper, kernel, note_fault
from numba.core import config
from numba.core.dispatcher import Dispatcher

compiled_only = pytest.mark.skipif(
    bool(config.DISABLE_JIT or config.BOUNDSCHECK), reason="only compiled kernels have entries"
)


class Pair(NamedTuple):
    first: int
    second: int


@kernel
def everything(
    x: Input,
    count: int,
    work: Scratch,
    factor: float,
    pair: Pair,
    out: Output,
    start: int,
    stop: int,
) -> None:
    """``out = (x * factor + count) * first + second``, by way of the scratch."""
    for i in range(start, stop):
        work[i] = x[i] * factor + count
    for i in range(start, stop):
        out[i] = work[i] * pair.first + pair.second


def arguments(**changed: Any) -> dict[str, Any]:
    values = {
        "x": np.array([1, 2, 3], np.float32),
        "count": -10,
        "work": ScratchSpace(np.dtype(np.float64), 3),
        "factor": 0.5,
        "pair": Pair(4, 1 << 40),
        "out": np.zeros(3),
    }
    return {**values, **changed}


def test_the_signature_declares_the_row() -> None:
    layout = [(p.name, p.role, p.slot, p.slots) for p in everything.parameters]
    assert layout == [
        ("x", "input", 0, 2),
        ("count", "int", 2, 1),
        ("work", "scratch", 3, 2),
        ("factor", "float", 5, 1),
        ("pair", "record", 6, 2),
        ("out", "output", 8, 2),
    ]
    assert everything.slots == 10
    assert [p.name for p in everything.arrays] == ["x", "work", "out"]
    assert everything.__doc__ is not None
    assert repr(everything) == "<kernel everything>"


def test_packing_by_name_in_any_order() -> None:
    given = arguments(work=ScratchSpace(np.dtype(np.float64), 3, offset=192))
    row = np.zeros(everything.slots, np.int64)
    everything.pack(dict(reversed(given.items())), row)
    x, out = given["x"].ctypes.data, given["out"].ctypes.data
    half = int(np.float64(0.5).view(np.int64))
    assert row.tolist() == [x, 3, -10, 192, 3, half, 4, 1 << 40, out, 3]


@pytest.mark.parametrize("start", [0, 1])
def test_a_call_computes_its_range(start: int) -> None:
    given = arguments()
    everything(start, 3, **given)
    expected = (np.array([1, 2, 3]) * 0.5 - 10) * 4 + (1 << 40)
    expected[:start] = 0
    assert given["out"].tolist() == expected.tolist()


@compiled_only
@pytest.mark.parametrize("factor", [-0.0, np.inf, 1e-310, -1.5])
def test_floats_pass_bit_for_bit(factor: float) -> None:
    @kernel
    def fill(out: Output, value: float, start: int, stop: int) -> None:
        out[start] = value

    out = np.zeros(1)
    fill(0, 1, out=out, value=factor)
    assert out.tobytes() == np.float64(factor).tobytes()


@compiled_only
def test_missing_and_unknown_names_are_named() -> None:
    given = arguments()
    del given["count"], given["x"]
    with pytest.raises(TypeError, match=r"everything: missing \['count', 'x'\], unknown \['counts'\]"):
        everything(0, 3, counts=1, **given)


@compiled_only
@pytest.mark.parametrize("x", [np.zeros((3, 1), np.float32), np.zeros(6, np.float32)[::2]])
def test_arrays_must_be_flat_and_contiguous(x: Any) -> None:
    with pytest.raises(TypeError, match="x must be a flat contiguous array"):
        everything(0, 3, **arguments(x=x))


def test_wrong_signatures_are_refused_where_they_are_written() -> None:
    def unfinished(x: Input, start: int) -> None: ...

    def untyped(x: list[int], start: int, stop: int) -> None: ...

    with pytest.raises(TypeError, match="unfinished: the last parameters must be start and stop"):
        kernel(unfinished)
    with pytest.raises(TypeError, match="parameter x: not int, float, Input"):
        kernel(untyped)


@compiled_only
def test_types_choose_the_specialization_and_sizes_do_not() -> None:
    one = everything.entry(arguments())
    assert everything.entry(arguments(x=np.zeros(99, np.float32))) is one
    other = everything.entry(arguments(x=np.zeros(3, np.int8)))
    assert other is not one
    assert (one.name, other.name) == (
        "everything[float32, float64, float64]",
        "everything[int8, float64, float64]",
    )
    assert not other.is_compiled
    other.compile()
    other.compile()
    assert other.is_compiled
    assert other.address != one.address


@compiled_only
def test_each_specialization_reads_its_own_type() -> None:
    for dtype in (np.int8, np.uint8, np.int64, np.float32):
        given = arguments(x=np.array([-1, 2, 3]).astype(dtype), pair=Pair(1, 0))
        everything(0, 3, **given)
        assert given["out"].tolist() == (given["x"].astype(np.float64) * 0.5 - 10).tolist()


@compiled_only
def test_division_by_zero_is_a_value() -> None:
    @kernel
    def divide(a: Input, b: Input, out: Output, start: int, stop: int) -> None:
        for i in range(start, stop):
            out[i] = a[i] / b[i]

    out = np.zeros(3, np.float32)
    a, b = np.array([1, -1, 0], np.float32), np.zeros(3, np.float32)
    divide(0, 3, a=a, b=b, out=out)
    np.testing.assert_array_equal(out, [np.inf, -np.inf, np.nan])


# --- the cache on disk, each time in a new process ------------------------------------------------

LEAF = """
from minilite_kernels.kernel import Input, Output, kernel
from minilite_kernels.aid import twice

@kernel
def leaf(x: Input, out: Output, start: int, stop: int) -> None:
    for i in range(start, stop):
        out[i] = twice(x[i])
"""

AID = """
from minilite_kernels.kernel import helper

@helper
def twice(value):
    return value * 2
"""

RUN = """
import pathlib, sys, warnings
import numpy as np
from minilite_kernels import compilation
from minilite_kernels.leaf import leaf

compilation.set_cache_directory(pathlib.Path(sys.argv[1]))
x, out = np.arange(3, dtype=np.float32), np.zeros(3, np.float32)
leaf(0, 3, x=x, out=out)
(entry,) = leaf._entries.values()
print(out.tolist(), "loaded" if entry._compiled.cache_hits else "compiled")
"""


class Package:
    """A copy of the kernels' package with a leaf, its helper in another file, and a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.modules = folder / "minilite_kernels"
        self.cache = folder / "cache"

    def run(self, cache: Path | None = None, script: str = RUN) -> tuple[str, str]:
        """Output and warnings of a process that calls the leaf."""
        child = subprocess.run(
            [sys.executable, "-c", script, str(cache or self.cache)],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert child.returncode == 0, child.stderr
        return child.stdout.strip(), child.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    """A package whose leaf one process has compiled, and what that process said."""
    package = Package(tmp_path_factory.mktemp("package"))
    assert minilite_kernels.__file__ is not None
    source = Path(minilite_kernels.__file__).parent
    shutil.copytree(source, package.modules, ignore=shutil.ignore_patterns("__pycache__"))
    (package.modules / "leaf.py").write_text(LEAF)
    (package.modules / "aid.py").write_text(AID)
    return package.folder, package.run()


@pytest.fixture
def package(compiled: tuple[Path, tuple[str, str]], tmp_path: Path) -> Package:
    """A copy for one test."""
    return Package(shutil.copytree(compiled[0], tmp_path / "copy"))


@compiled_only
def test_the_next_process_loads_what_this_one_compiled(
    compiled: tuple[Path, tuple[str, str]], package: Package
) -> None:
    assert compiled[1] == ("[0.0, 2.0, 4.0] compiled", "")
    assert package.run() == ("[0.0, 2.0, 4.0] loaded", "")


@compiled_only
def test_kernels_of_one_name_in_two_modules_do_not_meet_in_the_cache(package: Package) -> None:
    (package.modules / "other.py").write_text(LEAF.replace("twice(x[i])", "twice(x[i]) + 1"))
    both = RUN + RUN.replace("minilite_kernels.leaf", "minilite_kernels.other")
    for state in ("compiled", "loaded"):
        out, _ = package.run(script=both)
        assert out.splitlines() == [f"[0.0, 2.0, 4.0] {state}", f"[1.0, 3.0, 5.0] {state}"]


FACTORY = """
from minilite_kernels.kernel import Input, Output, helper, kernel
def times(factor):
    @helper
    def product(value):
        return value * factor

    @kernel
    def leaf(x: Input, out: Output, start: int, stop: int) -> None:
        for i in range(start, stop):
            out[i] = product(x[i])

    return leaf

leaf, other = times(2), times(3)
"""


@compiled_only
def test_kernels_of_one_factory_do_not_meet_in_the_cache(package: Package) -> None:
    (package.modules / "leaf.py").write_text(FACTORY)
    other = "minilite_kernels.leaf import other as leaf"
    both = RUN + RUN.replace("minilite_kernels.leaf import leaf", other)
    for state in ("compiled", "loaded"):
        out, _ = package.run(script=both)
        assert out.splitlines() == [f"[0.0, 2.0, 4.0] {state}", f"[0.0, 3.0, 6.0] {state}"]


def test_what_factories_make_is_named_by_what_it_closes_over() -> None:
    def times(factor: Any) -> Any:
        def product(value: Any) -> Any:
            return value * factor

        product.__module__ = "minilite_kernels.made"
        return product

    names = [helper(times(factor)).__qualname__ for factor in (2, 3, 2.0, np.float32, note_fault, 2)]
    assert len(set(names)) == 5
    assert names[0] == names[-1]
    with pytest.raises(TypeError, match="product closes over factor, whose value cannot be part of a name"):
        helper(times([2]))


@compiled_only
def test_no_two_functions_of_the_package_have_one_name() -> None:
    modules = {f"minilite_kernels.{found.name}" for found in pkgutil.iter_modules(minilite_kernels.__path__)}
    for name in modules:
        importlib.import_module(name)
    # By type: what is weakly referenced and gone cannot be asked.
    kernels = {each.function for each in gc.get_objects() if type(each) is Kernel}
    helpers = {each.py_func for each in gc.get_objects() if issubclass(type(each), Dispatcher)}
    meanings: dict[tuple[str, str], set[Any]] = {}
    for function in kernels | helpers:
        if function.__module__ in modules:
            closed_over = tuple(id(cell.cell_contents) for cell in function.__closure__ or ())
            # An overload makes the same function again for each choice of types.
            meaning = (function.__code__, closed_over)
            meanings.setdefault((function.__module__, function.__qualname__), set()).add(meaning)
    assert len(meanings) > 100
    assert [name for name, found in meanings.items() if len(found) > 1] == []


@compiled_only
def test_a_helper_edited_in_another_file_is_noticed(package: Package) -> None:
    (package.modules / "aid.py").write_text(AID.replace("value * 2", "value + value + 1"))
    assert package.run() == ("[1.0, 3.0, 5.0] compiled", "")
    # Back again: what was compiled for these sources is still there.
    (package.modules / "aid.py").write_text(AID)
    assert package.run() == ("[0.0, 2.0, 4.0] loaded", "")


@compiled_only
@pytest.mark.parametrize(("suffix", "damage"), [("nbi", b""), ("nbc", b"not machine code")])
def test_a_damaged_cache_costs_a_warning_at_most(package: Package, suffix: str, damage: bytes) -> None:
    files = list(package.cache.rglob(f"*.{suffix}"))
    assert files
    for file in files:
        file.write_bytes(damage)
    output, warnings = package.run()
    assert output == "[0.0, 2.0, 4.0] compiled"
    assert "RuntimeWarning: the kernel cache in" in warnings


@compiled_only
def test_a_cache_that_cannot_be_written_costs_a_warning(package: Package) -> None:
    (package.folder / "file").write_text("")
    output, warnings = package.run(package.folder / "file" / "cache")
    assert output == "[0.0, 2.0, 4.0] compiled"
    assert "RuntimeWarning: the kernel cache in" in warnings
    assert "compiling without it" in warnings


@compiled_only
def test_processes_that_start_together_share_one_cache(package: Package) -> None:
    shutil.rmtree(package.cache)
    with ThreadPoolExecutor() as pool:
        for output, warnings in pool.map(lambda _: package.run(), range(2)):
            assert (output.split(" ")[:-1], warnings) == (["[0.0,", "2.0,", "4.0]"], "")
    assert package.run() == ("[0.0, 2.0, 4.0] loaded", "")


@compiled_only
def test_a_kernel_that_the_digest_does_not_cover_is_not_kept(package: Package) -> None:
    """A user's own kernel, in a file that may be edited unnoticed."""
    (package.folder / "mine.py").write_text(LEAF.replace("twice(x[i])", "x[i] + 5"))
    script = RUN.replace("minilite_kernels.leaf", "mine")
    assert package.run(script=script) == ("[5.0, 6.0, 7.0] compiled", "")
    assert package.run(script=script) == ("[5.0, 6.0, 7.0] compiled", "")


def test_kernels_know_whether_they_are_the_package_s_own() -> None:
    assert add.is_ours
    assert not everything.is_ours
