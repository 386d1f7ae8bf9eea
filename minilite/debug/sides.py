"""Whom a run is compared with: other runtimes in their own processes, minilite's references, a saved run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from minilite.debug.local import calls_subgraphs
from minilite.debug.recording import Recording
from minilite.debug.state import FLOAT64
from minilite.debug.trace import record
from minilite.errors import BackendError, RuntimeFailedError
from minilite.graph import Array, Graph, Subgraph, Tensor, TensorType, with_tensors
from minilite.loader import load_graph
from minilite.prepare import prepare
from minilite.reference import known_shapes
from minilite.testing.oracle import Answer, Oracle
from minilite.testing.oracle_server import RUNTIMES
from minilite.version import __version__
from minilite.writer import write_graph

OWN = ("numba", "numpy", FLOAT64)
"""Sides that minilite itself is."""

KEEPS_ALL = ("litert-ref",)
"""Runtimes that keep all values when they are asked to, and keep the right ones."""

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``."""


@dataclass(frozen=True, eq=False)
class Side:
    """A run, and what is known of who ran it.

    Attributes
    ----------
    name:
        As it was asked for: ``"litert-ref"``, ``"numpy"``, the name of a file.
    about:
        Package, version, resolver, threads.
    intermediates:
        ``"kept"``: all values are those of the run. ``"exposed"``: they are those of a copy of the model
        in which every tensor is an output, because the runtime does not keep others; ``note`` says whether
        that copy's own outputs are the same bits. ``"none"``: there are only outputs.
    live:
        Whether its operators are minilite's of now, which can be run again.
    note:
        What else has to be said.
    """

    name: str
    recording: Recording
    about: str
    intermediates: Literal["kept", "exposed", "none"] = "kept"
    live: bool = False
    note: str = ""


def record_side(
    name: str,
    model: Path | bytes,
    inputs: Sequence[Array],
    *,
    threads: int = 1,
    python: str | None = None,
    timeout: float = 120.0,
    progress: Progress | None = None,
) -> Side:
    """Run a model on a side, or read a saved run.

    Parameters
    ----------
    name:
        One of ``OWN`` or ``oracle.RUNTIMES``, the dotted name of a class with TFLite's interface, or a
        ``.npz`` file that ``Recording.save`` wrote (its own inputs count, then).
    model:
        Its file or the bytes of one.
    inputs:
        By position.
    python, timeout:
        See ``Oracle``.

    Raises
    ------
    BackendError
        There is no such side here.
    RuntimeFailedError
        The runtime refused the model, died or hung.
    """
    if name.endswith(".npz"):
        return saved_side(name)
    if name in OWN:
        return own_side(name, load_graph(model), inputs, threads=threads, progress=progress)
    check_side(name)
    with Oracle(name, python, timeout) as oracle:
        return _Foreign(oracle, model, inputs, threads, progress).side()


def check_side(name: str) -> None:
    """Refuse what no side can be called, before anything runs.

    Raises
    ------
    BackendError
        See ``record_side``.
    """
    if name not in (*OWN, *RUNTIMES) and "." not in name:
        raise BackendError(
            f"{name!r} is nobody to compare with: give one of {', '.join((*OWN, *RUNTIMES))}, a class as "
            "package.module.Class, or a run.npz that `minilite trace --output` wrote",
            rule="against",
        )


def saved_side(path: str) -> Side:
    """A run that was saved; see ``Recording.load``."""
    recording = Recording.load(path)
    return Side(path, recording, f"recorded by {recording.backend}, {_threads(recording.threads)}")


def own_side(
    backend: str,
    graph: Graph,
    inputs: Sequence[Array],
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Side:
    """A run of minilite itself, on one of its backends."""

    def told(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, f"running {backend}")

    recording = record(graph, list(inputs), backend=backend, threads=threads, progress=told)
    count = recording.threads if recording.backend == "numba" else 1
    about = f"minilite {__version__}, {recording.backend}, {_threads(count)}"
    return Side(recording.backend, recording, about, live=True)


class _Foreign:
    """Another runtime's run."""

    def __init__(
        self,
        oracle: Oracle,
        model: Path | bytes,
        inputs: Sequence[Array],
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.oracle, self.model, self.inputs, self.threads = oracle, model, inputs, threads
        self.progress = progress
        self.graph = load_graph(model)
        main = self.graph.main
        given = dict(zip(main.inputs, (value.shape for value in inputs), strict=True))
        self.resize = [
            (i, list(shape)) for i, (n, shape) in enumerate(given.items()) if main.tensors[n].shape != shape
        ]
        self.prepared = prepare(self.graph, given)

    def side(self) -> Side:
        keeps = self.oracle.runtime in KEEPS_ALL
        loaded = self._load(self.model, keep_all=keeps)
        outputs = self._ran(self.oracle.invoke(self.inputs) if loaded.status == "ran" else loaded)
        values = dict(zip(self.graph.main.outputs, outputs, strict=True))
        if keeps:
            return self._made(values | self._read(exposable(self.prepared.main)), "kept", "")
        exposed, note = self._exposed(values)
        if exposed is None:
            return self._made(values, "none", note)
        return self._made(exposed | values, "exposed", note)

    def _exposed(self, outputs: dict[int, Array]) -> tuple[dict[int, Array] | None, str]:
        """All values, taken from a copy of the model in which they are outputs."""
        numbers = exposable(self.prepared.main)
        answer = self._load(write_graph(with_outputs(self.graph, numbers)), keep_all=False)
        if answer.status == "ran":
            answer = self.oracle.invoke(self.inputs)
        if answer.status != "ran":
            return None, f"with every tensor an output it does not run: {answer.message}"
        try:
            values = self._read([*outputs, *numbers])
        except RuntimeFailedError as error:
            return None, str(error)
        moved = [n for n, value in outputs.items() if values[n].tobytes() != value.tobytes()]
        if not moved:
            return (
                values,
                "values from a copy with every tensor an output, whose outputs are the same bits",
            )
        named = ", ".join(str(self.prepared.main.tensors[n]) for n in moved)
        return values, f"values from a copy with every tensor an output, which changes the bits of {named}"

    def _read(self, numbers: Sequence[int]) -> dict[int, Array]:
        values = {}
        for done, number in enumerate(numbers):
            (values[number],) = self._ran(self.oracle.read([number]))
            if self.progress is not None:
                self.progress(done + 1, len(numbers), f"reading {self.oracle.runtime}")
        return values

    def _load(self, model: bytes | Path, *, keep_all: bool) -> Answer:
        return self.oracle.load(model, keep_all=keep_all, threads=self.threads, resize=self.resize)

    def _ran(self, answer: Answer) -> tuple[Array, ...]:
        if answer.status == "ran":
            return answer.outputs
        verb = "refuses the model: " if answer.status == "refused" else ""
        raise RuntimeFailedError(f"{self.oracle.runtime} {verb}{answer.message}", rule=answer.status)

    def _made(
        self,
        values: dict[int, Array],
        intermediates: Literal["kept", "exposed", "none"],
        note: str,
    ) -> Side:
        main = self.prepared.main
        values |= dict(zip(main.inputs, self.inputs, strict=True))
        typed = {number: _typed(value, main.tensors[number]) for number, value in values.items()}
        shapes = {number: value.shape for number, value in typed.items()}
        tensors = known_shapes(main, shapes).tensors
        recording = Recording(
            model=self.graph,
            graph=with_tensors(self.prepared, 0, tensors),
            tensors=dict(sorted(typed.items())),
            seconds={},
            backend=self.oracle.runtime,
            threads=self.threads,
            operators=range(len(main.operators) if intermediates != "none" else 0),
        )
        versions = self.oracle.versions
        package = next((f"{n} {v}" for n, v in versions.items() if n not in ("python", "numpy")), "")
        resolver = RUNTIMES[self.oracle.runtime][1] if self.oracle.runtime in RUNTIMES else ""
        about = ", ".join(filter(None, (package, resolver, _threads(self.threads))))
        return Side(self.oracle.runtime, recording, about, intermediates, note=note)


def exposable(main: Subgraph) -> list[int]:
    """Tensors that operators compute and that other runtimes can give: no constants, handles or variables.

    Of loops and branches only what somebody reads: TFLite leaves the rest as it was.
    """
    read = {number for operator in main.operators for number in operator.inputs}
    computed = (
        tensor
        for node in main.nodes()
        if not node.is_folded
        for tensor in node.outputs
        if tensor.index in read or not calls_subgraphs(node)
    )
    handles = (TensorType.RESOURCE, TensorType.VARIANT)
    numbers = {t.index: None for t in computed if t.type not in handles and not t.is_variable}
    return [number for number in numbers if number not in main.outputs]


def with_outputs(graph: Graph, numbers: Sequence[int]) -> Graph:
    """The model with these tensors as outputs, too."""
    main = replace(graph.main, outputs=(*graph.main.outputs, *numbers))
    return replace(graph, subgraphs=(main, *graph.subgraphs[1:]))


def _typed(value: Array, tensor: Tensor) -> Array:
    """The value as minilite holds it: types that NumPy does not have (bfloat16) come as bytes."""
    value = value.view(tensor.dtype) if value.dtype.kind == "V" else value
    value.flags.writeable = False
    return value


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}"
