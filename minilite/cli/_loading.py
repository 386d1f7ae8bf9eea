"""Opening models for commands, with progress bars for what takes long."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from minilite.catalogue import FoundModel, find_model
from minilite.cli._console import progress_bar
from minilite.notation import sizes

if TYPE_CHECKING:
    from minilite.graph import Array
    from minilite.model import Model


def locate(model: str) -> FoundModel:
    """The file of a model given by name or path, downloaded if need be."""
    with progress_bar() as show:
        return find_model(model, progress=lambda done, size: show(done, size, f"downloading {model}"))


def open_model(
    found: FoundModel, *, backend: str = "auto", threads: int | None = None, allow_missing: bool = False
) -> Model:
    """The model, ready to run: its kernels are compiled, or taken from the cache on disk."""
    from minilite.model import load

    with progress_bar() as show, _interrupts_kept() as raise_interrupt:

        def progress(done: int, total: int, name: str) -> None:
            raise_interrupt()
            show(done, total, f"compiling once: {name.partition('[')[0]}")

        return load(
            found.path, backend=backend, threads=threads, progress=progress, allow_missing=allow_missing
        )


def warm_up(model: Model, inputs: list[Array], source: str) -> None:
    """Get ready for inputs of these shapes; an error says which sizes the file leaves open."""
    from minilite.errors import PrepareError

    try:
        model.warm_up([value.shape for value in inputs])
    except PrepareError as error:
        tensors = [model.graph.main.tensors[i] for i in model.graph.main.inputs]
        declared = [(t.name, t.shape_signature) for t in tensors if -1 in t.shape_signature]
        if not declared:
            raise
        named = ", ".join(f"{name!r} {sizes(signature)}" for name, signature in declared)
        given = ", ".join(sizes(value.shape) for value in inputs)
        raise PrepareError(
            f"{error}\nThe file leaves sizes open: {named}; --input {source} gave {given}. "
            "Give an .npy or .npz of a shape that fits.",
            op_index=error.op_index,
            op_name=error.op_name,
            tensor=error.tensor,
            rule=error.rule,
        ) from error


@contextmanager
def _interrupts_kept() -> Iterator[Callable[[], None]]:
    """Ctrl-C while LLVM compiles: remembered, and raised between two kernels or at the end.

    Python would raise it in the first Python code that runs after, which often is a callback of
    llvmlite, where exceptions are lost. A second Ctrl-C is not held back. Where it is ignored (a script's
    job in the background) it stays ignored.
    """
    pressed = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        signal.signal(number, before)

    def raise_interrupt() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()  # Signals reach no other thread.
    if not in_main or before is not signal.default_int_handler:
        yield raise_interrupt
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield raise_interrupt
    finally:
        signal.signal(signal.SIGINT, before)
    raise_interrupt()
