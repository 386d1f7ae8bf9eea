"""TFLite's delegates, refused: native code that takes over operators needs a native interpreter."""

from __future__ import annotations

from typing import Any, NoReturn

from minilite.errors import DelegateError


class Delegate:
    """Refuses with an error that is both an ``OSError`` and a ``ValueError``, as callers expect."""

    def __init__(self, library: str, options: dict[Any, Any] | None = None) -> None:
        refuse_delegate(repr(library))


def load_delegate(library: str, options: dict[Any, Any] | None = None) -> Delegate:
    """Refuse, as ``Delegate`` does."""
    return Delegate(library, options)


def refuse_delegate(source: str) -> NoReturn:
    """Raise the error that says why there are no delegates here."""
    raise DelegateError(
        f"Failed to load delegate from {source}\n"
        "minilite runs models in NumPy and Numba and cannot hand operators to native code. "
        "Leave experimental_delegates out.",
        rule="delegate",
    )
