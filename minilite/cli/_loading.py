"""Opening models for commands, with progress bars for what takes long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minilite.catalogue import FoundModel, find_model
from minilite.cli._console import progress_bar

if TYPE_CHECKING:
    from minilite.model import Model


def locate(model: str) -> FoundModel:
    """The file of a model given by name or path, downloaded if need be."""
    with progress_bar() as show:
        return find_model(model, progress=lambda done, size: show(done, size, f"downloading {model}"))


def open_model(found: FoundModel, *, backend: str = "auto", threads: int | None = None) -> Model:
    """The model, ready to run: its kernels are compiled, or taken from the cache on disk."""
    from minilite.model import load

    with progress_bar() as show:
        return load(
            found.path,
            backend=backend,
            threads=threads,
            progress=lambda done, total, name: show(done, total, f"compiling once: {name.partition('[')[0]}"),
        )
