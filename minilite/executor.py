"""What runs a subgraph: the contract that both backends keep, and the choice between them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from minilite.errors import BackendError, PrepareError, TensorValueError
from minilite.graph import Array, Graph, Subgraph, Tensor
from minilite.progress import debug_level

BACKENDS = ("auto", "numba", "numpy")

Progress = Callable[[int, int, str], None]
"""``progress(done, total, name)``: told of each kernel while kernels are being compiled."""


class Executor(Protocol):
    """One subgraph with fixed shapes, its memory, and the means to run it.

    Tensor and operator numbers are the file's. An executor is used by one thread at a time.
    """

    @property
    def subgraph(self) -> Subgraph:
        """The subgraph that is run, with its present shapes."""

    @property
    def backend(self) -> str:
        """``"numba"`` or ``"numpy"``."""

    def view(self, tensor: int) -> Array:
        """A tensor's value as an array that shares the executor's memory.

        Inputs may be written through it. Without ``keep_all`` only inputs, outputs, constants and
        variables can be had; with ``in_order`` all others, too, from the operator that makes them to the
        last that reads them.

        Raises
        ------
        TensorValueError
            The value is not kept; the message says how to keep it.
        """

    def write(self, tensor: int, value: Array) -> None:
        """Set an input, of the tensor's own type and shape; of a dynamic input any shape is taken.

        With ``keep_all`` any tensor that is no constant can be set, for the operators that run after; with
        ``in_order`` those that such an operator reads.
        """

    def run(self, first: int = 0, last: int | None = None) -> None:
        """Run operators ``first`` up to but not including ``last``; all of them by default.

        A part of the graph can be run only with ``keep_all`` or ``in_order``.
        """

    def is_compiled(self, operator: int) -> bool:
        """Whether compiled kernels compute an operator, rather than its NumPy reference."""

    def close(self) -> None:
        """Stop worker threads and release the memory. Closing twice is fine."""


def numba_is_available() -> bool:
    """Whether Numba can be imported, found out without importing it."""
    return importlib.util.find_spec("numba") is not None


def resolve_backend(backend: str) -> str:
    """The backend that will run: ``"numba"`` or ``"numpy"``.

    Raises
    ------
    BackendError
        There is no such backend, or it is not installed.
    """
    if backend not in BACKENDS:
        raise BackendError(f"unknown backend {backend!r}: use one of {', '.join(BACKENDS)}", rule="backend")
    if backend == "auto":
        return "numba" if numba_is_available() else "numpy"
    if backend == "numba" and not numba_is_available():
        raise BackendError(
            "the numba backend needs the package numba, which is not installed: "
            "install it, or use backend='numpy' (slower)",
            rule="backend",
        )
    return backend


def processors() -> int:
    """How many processors this process may use: its affinity, not what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def not_kept(tensor: Tensor) -> TensorValueError:
    """The error of ``Executor.view`` for a value that is not kept: what it is, and the ways to have it."""
    return TensorValueError(
        f"{tensor} is an intermediate value, and those are not kept after a run. To read them, use "
        "Model.run_all, Model.executor(keep_all=True) or "
        "Interpreter(experimental_preserve_all_tensors=True)",
        tensor=tensor.index,
        rule="not-kept",
    )


def watched(make: Callable[..., Executor], **keeping: bool) -> Executor:
    """The executor that ``make`` makes; with ``MINILITE_DEBUG`` one that tells what it runs.

    ``keeping``: ``keep_all`` and ``in_order``, passed on.
    """
    if not debug_level():
        return make(**keeping)
    from minilite.debug.verbose import VerboseExecutor  # noqa: PLC0415

    return VerboseExecutor(make, **keeping)


def create_executor(
    graph: Graph,
    *,
    subgraph: int = 0,
    backend: str = "auto",
    threads: int | None = None,
    keep_all: bool = False,
    in_order: bool = False,
    progress: Progress | None = None,
    resources: dict[Any, Any] | None = None,
) -> Executor:
    """Make the executor for a prepared graph (see ``prepare.prepare``).

    Parameters
    ----------
    graph:
        With the final shapes of the subgraph that is to run.
    subgraph:
        Number of that subgraph.
    backend:
        ``"numba"``: compiled kernels under the scheduler; ``"numpy"``: each operator's reference;
        ``"auto"``: Numba where it is installed.
    threads:
        Threads to compute with, by default one for each processor this process may use.
    keep_all:
        Keep every intermediate tensor, so that ``view`` gives any of them after ``run``.
    in_order:
        Let parts of the graph be run, and ``view`` give what the next operators read and the last one made.
        Takes less memory than ``keep_all``.
    progress:
        Told of each kernel that is compiled on the way.
    resources:
        What outlives a run (see ``ops.Runtime``): executors of one model are given the same.

    Raises
    ------
    BackendError
        The backend is unknown or not installed.
    PrepareError
        The tensors do not fit into memory.
    """
    chosen = resolve_backend(backend)
    try:
        make: Callable[..., Executor]
        if chosen == "numpy":
            from minilite.reference import ReferenceExecutor  # noqa: PLC0415

            make = partial(ReferenceExecutor, graph, subgraph=subgraph, resources=resources)
        else:
            from minilite.pieces import create_plan_executor  # noqa: PLC0415 - imports Numba

            make = partial(
                create_plan_executor,
                graph,
                subgraph=subgraph,
                threads=threads,
                progress=progress,
                resources=resources,
            )
        return watched(make, keep_all=keep_all, in_order=in_order)
    except MemoryError as error:
        needed = sum(t.nbytes for t in graph.subgraphs[subgraph].tensors if not t.is_constant)
        raise PrepareError(
            f"not enough memory: with inputs of these sizes the tensors take up to {needed / 2**20:,.0f} MiB",
            rule="memory",
        ) from error
