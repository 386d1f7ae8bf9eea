"""The kernels' tests once more: on narrower vectors, with bounds checked, and as plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="kernels need Numba")

FOLDER = Path(__file__).parent / "kernels"
PLAIN = (
    *("test_arrangement.py", "test_elementwise.py", "test_indexing.py", "test_kernel.py"),
    *("test_reduction.py", "test_walker.py", "test_window.py"),
)
"""Kernels that are loops over elements, the same for any width of vectors. NumPy checks their indices when
they run as Python; compiling them once more would take a third of all the time."""

OPERATIONS = [str(FOLDER / name) for name in ("test_simd.py", "test_matmul.py", "test_depthwise.py")]
ALL = [str(FOLDER)]
IN_LANES = [*ALL, *(f"--ignore={FOLDER / name}" for name in PLAIN)]

MODES: Mapping[str, tuple[dict[str, str], list[str]]] = {
    "not compiled": ({"NUMBA_DISABLE_JIT": "1"}, ALL),
    "eight lanes": ({"MINILITE_SIMD_WIDTH": "8"}, OPERATIONS),
    "four lanes, no special instructions, bounds checked": (
        {"MINILITE_SIMD_WIDTH": "4", "MINILITE_SIMD_PORTABLE": "1", "NUMBA_BOUNDSCHECK": "1"},
        IN_LANES,
    ),
}


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, subprocess.Popen[str]]]:
    """pytest on the kernels' tests in each mode, side by side: most of their time is compiling."""
    started = {}
    for mode, (environment, chosen) in MODES.items():
        options = ["-q", "--hypothesis-profile=few", "-o", f"cache_dir={tmp_path_factory.mktemp('cache')}"]
        started[mode] = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *chosen],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    yield started
    for child in started.values():
        with child:
            child.kill()


@pytest.mark.parametrize("mode", MODES)
def test_kernels(mode: str, children: Mapping[str, subprocess.Popen[str]]) -> None:
    output, _ = children[mode].communicate()
    assert children[mode].returncode == 0, output[-4000:]
