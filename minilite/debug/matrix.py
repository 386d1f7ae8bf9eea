"""One model in every runtime that is installed, with each of its resolvers and numbers of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from minilite.debug.difference import Difference, difference, label_flips
from minilite.debug.sides import Progress
from minilite.errors import BackendError
from minilite.executor import numba_is_available
from minilite.graph import Array, Graph
from minilite.loader import load_graph
from minilite.testing import parity
from minilite.testing.oracle import Oracle
from minilite.testing.oracle_server import RUNTIMES

_INTERPRETER = "minilite.interpreter.Interpreter"

Status = Literal["ok", "error", "crash", "missing"]


@dataclass(frozen=True)
class Cell:
    """One runtime with one resolver and number of threads.

    Attributes
    ----------
    status:
        ``"ok"``: it ran; ``"error"``: it refused; ``"crash"``: its process died or hung; ``"missing"``: it is
        not installed.
    message:
        Why it did not run, or the first output that differs.
    version:
        Of its package.
    agrees:
        Whether outputs are equal where they are integers, and within 1e-4 of the magnitude where they are
        floats; None for what did not run, and for the baseline.
    outputs:
        Differences to the baseline.
    flips:
        Labels that differ in any output, and how many there are; None for outputs that have no labels.
    milliseconds:
        Median of the runs.
    """

    runtime: str
    resolver: str
    threads: int
    status: Status
    message: str = ""
    version: str = ""
    agrees: bool | None = None
    is_baseline: bool = False
    outputs: tuple[Difference, ...] = ()
    flips: tuple[int, int] | None = None
    milliseconds: float | None = None

    @property
    def largest(self) -> float | None:
        """The largest absolute difference of any output."""
        return max((d.absolute.max for d in self.outputs), default=None)


@dataclass(frozen=True, eq=False)
class _Run:
    name: str
    resolver: str
    threads: int
    status: Status
    message: str
    version: str
    outputs: tuple[Array, ...]
    milliseconds: float | None


def candidates() -> list[tuple[str, str, str]]:
    """Name, what to start, and resolver of all that could run a model."""
    numba = [("minilite numba", _INTERPRETER, "AUTO")] if numba_is_available() else []
    own = [*numba, ("minilite numpy", f"{_INTERPRETER}:BUILTIN_REF", "BUILTIN_REF")]
    return own + [(name, name, resolver) for name, (_, resolver) in RUNTIMES.items()]


def matrix(
    model: Path,
    inputs: Sequence[Array],
    *,
    threads: Sequence[int] = (1,),
    runs: int = 10,
    against: str | None = None,
    python: str | None = None,
    timeout: float = 120.0,
    progress: Progress | None = None,
) -> list[Cell]:
    """Run a model everywhere, each time in a process of its own.

    Parameters
    ----------
    threads:
        Numbers of threads to try.
    runs:
        Timed runs of each.
    against:
        The baseline of differences, a name of ``candidates``; by default LiteRT's reference kernels where
        they run the model, else minilite's NumPy reference.
    python, timeout:
        The Python that has tflite-runtime; seconds after which a run counts as hung.

    Raises
    ------
    BackendError
        The baseline is unknown or did not run.
    """
    known = candidates()
    if against is not None and against not in [name for name, _, _ in known]:
        raise BackendError(
            f"no runtime is called {against!r}: use one of {', '.join(name for name, _, _ in known)}",
            rule="against",
        )
    graph = load_graph(model)
    todo = [(*each, count) for each in known for count in _counts(each[0], threads)]
    done = list[_Run]()
    for number, (name, runtime, resolver, count) in enumerate(todo):
        if any(run.name == name and run.status == "missing" for run in done):
            continue
        if progress is not None:
            progress(number, len(todo), f"running {name}, {count} threads")
        chosen = python if runtime.startswith("tflite-runtime") else None
        with _closing(Oracle(runtime, chosen, timeout)) as oracle:
            done.append(_run(name, resolver, count, oracle, model, graph, inputs, runs))
    baseline = _baseline(done, against)
    return [_cell(run, baseline, graph) for run in done]


def _counts(name: str, threads: Sequence[int]) -> list[int]:
    """The NumPy reference has no threads of its own."""
    return [1] if name == "minilite numpy" else list(threads)


class _closing:  # noqa: N801 - as contextlib's, which would not start it either
    """An oracle that is started by its first question and ended here."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def __enter__(self) -> Oracle:
        return self.oracle

    def __exit__(self, *_: object) -> None:
        self.oracle.close()


def _run(
    name: str,
    resolver: str,
    threads: int,
    oracle: Oracle,
    model: Path,
    graph: Graph,
    inputs: Sequence[Array],
    runs: int,
) -> _Run:
    declared = (graph.main.tensors[number] for number in graph.main.inputs)
    resize = [
        (i, list(v.shape))
        for i, (t, v) in enumerate(zip(declared, inputs, strict=True))
        if t.shape != v.shape
    ]

    def ended(status: Status, message: str) -> _Run:
        return _Run(name, resolver, threads, status, message, _version(oracle), (), None)

    try:
        answer = oracle.load(model, threads=threads, resize=resize)
        if answer.status == "ran":
            # Its outputs before others: a model with state gives something else each time.
            answer = oracle.invoke(inputs)
        outputs = answer.outputs
        if answer.status == "ran" and runs:
            answer = oracle.request({"runs": runs, "read": []}, [])
    except BackendError as error:
        return ended("missing", str(error))
    if answer.status != "ran":
        return ended("crash" if answer.status == "died" else "error", answer.message)
    median = float(np.median(answer.milliseconds)) if runs else None
    return _Run(name, resolver, threads, "ok", "", _version(oracle), outputs, median)


def _version(oracle: Oracle) -> str:
    versions = {name: v for name, v in oracle.versions.items() if name not in ("python", "numpy")}
    return next((f"{name} {version}" for name, version in versions.items()), "")


def _baseline(runs: Sequence[_Run], against: str | None) -> _Run:
    names = [against] if against is not None else ["litert-ref", "minilite numpy"]
    for name in names:
        found = next((run for run in runs if run.name == name and run.status == "ok"), None)
        if found is not None:
            return found
    reasons = "; ".join(f"{run.name}: {run.message}" for run in runs if run.name in names)
    raise BackendError(f"the baseline did not run: {reasons}", rule="baseline")


def _cell(run: _Run, baseline: _Run, graph: Graph) -> Cell:
    outputs = tuple(difference(a, b) for a, b in zip(run.outputs, baseline.outputs, strict=False))
    tensors = [graph.main.tensors[number] for number in graph.main.outputs]
    found = zip(run.outputs, baseline.outputs, tensors, strict=False)
    counted = [flips for flips in (label_flips(a, b, t) for a, b, t in found) if flips is not None]
    faults = [
        f"{tensor}: {fault}"
        for a, b, tensor in zip(run.outputs, baseline.outputs, tensors, strict=False)
        if (fault := parity.compare(a, b, parity.near(b)).fault) is not None
    ]
    return Cell(
        runtime=run.name,
        resolver=run.resolver,
        threads=run.threads,
        status=run.status,
        message=run.message or next(iter(faults), ""),
        version=run.version,
        agrees=not faults if run.status == "ok" and run is not baseline else None,
        is_baseline=run is baseline,
        outputs=outputs,
        flips=(sum(f for f, _ in counted), sum(n for _, n in counted)) if counted else None,
        milliseconds=run.milliseconds,
    )
