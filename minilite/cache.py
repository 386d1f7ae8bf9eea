"""Where minilite keeps what it can make again: downloaded models and compiled kernels."""

from __future__ import annotations

import os
import tempfile
import warnings
from functools import cache
from pathlib import Path

import platformdirs


def folder() -> Path:
    """The folder ``MINILITE_CACHE`` names, or the user's cache folder."""
    return Path(os.environ.get("MINILITE_CACHE") or platformdirs.user_cache_dir("minilite"))


@cache
def _writable(wanted: Path) -> Path:
    """``wanted``, made if need be, or a private temporary folder where that cannot be written."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=wanted).close()
    except OSError as error:
        warnings.warn(
            f"compiled kernels cannot be kept in {wanted} ({error.strerror}): they will be compiled again at "
            "the next start. MINILITE_CACHE names another folder",
            RuntimeWarning,
            stacklevel=2,
        )
        return Path(tempfile.mkdtemp(prefix="minilite-kernels-"))
    return wanted


def kernels_directory() -> Path:
    """Where compiled kernels are kept; a temporary folder, with a warning, if the cache cannot be written."""
    return _writable(folder() / "kernels")
