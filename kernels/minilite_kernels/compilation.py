"""Compiling to C functions, and keeping them on disk between processes.

Numba's own cache looks only at the file of the function it compiles: an edit in a helper of another file
goes unnoticed. Here the folder's name is a digest of all sources of this package.
"""

from __future__ import annotations

import hashlib
import platform
import threading
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import ccallback
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.sigutils import normalize_signature

from minilite_kernels import vector

_cache_directory: Path | None = None


def set_cache_directory(directory: Path | None) -> None:
    """Keep machine code under this folder; None (the start) keeps nothing between processes."""
    global _cache_directory  # noqa: PLW0603
    _cache_directory = directory


@cache
def sources_digest() -> str:
    """Digest of every source file of this package and of what else decides the machine code.

    It is part of the cache's folder name: an edited helper, in whatever file, makes another folder.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    for part in (
        numba.__version__,
        np.__version__,
        platform.python_version(),
        str(vector.WIDTH),
        str(vector.PORTABLE),
    ):
        digest.update(part.encode())
    return digest.hexdigest()[:16]


class _Locator:
    """Numba's question where a function is cached, answered with our folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / sources_digest()

    def get_cache_path(self) -> str:
        return str(self.directory)

    def ensure_cache_path(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    def get_source_stamp(self) -> str:
        return sources_digest()

    def get_disambiguator(self) -> str:
        return "entry"

    @classmethod
    def from_function(cls, function: Any, path: str) -> _Locator | None:
        return None if _cache_directory is None else cls(_cache_directory)


class _CacheImplementation(CompileResultCacheImpl):
    _locator_classes = (_Locator,)

    def check_cachable(self, data: Any) -> bool:
        # Entries hold no pointers of this process: everything arrives in the row.
        return True


class _Cache(FunctionCache):
    """A cache that costs time and a warning where it cannot be read or written, never the run."""

    _impl_class = _CacheImplementation

    def load_overload(self, signature: Any, target: Any) -> Any:
        try:
            return super().load_overload(signature, target)
        except Exception as error:
            # Unpickling a damaged file may raise anything.
            _warn_of_cache("read", error)
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        try:
            super().save_overload(signature, compiled)
        except Exception as error:
            _warn_of_cache("written", error)


def _warn_of_cache(what: str, error: Exception) -> None:
    warnings.warn(
        f"the kernel cache in {_cache_directory} cannot be {what} ({type(error).__name__}: {error}); "
        "compiling without it",
        RuntimeWarning,
        stacklevel=2,
    )


_compiling = threading.Lock()


def compile_cached(function: Callable[..., Any], signature: Any, *, keep: bool = True) -> Any:
    """Compile to a C callback, or, with ``keep``, load it from the cache on disk if it is there."""
    compiled: Any = ccallback.CFunc(function, normalize_signature(signature), {}, {"error_model": "numpy"})
    with _compiling:
        if keep and _cache_directory is not None:
            compiled._cache = _Cache(function)
        compiled.compile()
    return compiled
