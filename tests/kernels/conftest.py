"""Kernels called by tests directly are compiled once, like those of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(minilite_cache: Path) -> Iterator[None]:
    """Keep compiled kernels in the tests' cache."""
    pytest.importorskip("numba", reason="kernels need Numba")
    from minilite_kernels.compilation import set_cache_directory

    set_cache_directory(minilite_cache / "kernels")
    yield
    set_cache_directory(None)
