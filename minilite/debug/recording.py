"""What a run left: its values, its times, and the graph that it ran."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from minilite.debug import archive
from minilite.debug.event import Event
from minilite.debug.statistics import Statistics
from minilite.errors import MiniliteError, RecordingError, TensorValueError
from minilite.graph import Array, Graph, Node, Tensor, TensorType, with_tensors
from minilite.loader import load_graph
from minilite.prepare import prepare
from minilite.reference import known_shapes
from minilite.version import __version__
from minilite.writer import write_graph

if TYPE_CHECKING:
    from minilite.debug.trace import Trace


@dataclass(frozen=True, eq=False)
class Recording:
    """A run of a model's main subgraph, to be looked at, compared, saved and gone on from.

    Attributes
    ----------
    model:
        The graph as it was loaded.
    graph:
        The graph that ran: prepared, with the shapes that tensors had.
    tensors:
        Values by the file's tensor number: inputs, what operators computed, and of variables what the run
        began with. Constants stand in ``graph`` (``value`` gives either). In memory or read from disk when
        asked for; arrays are read-only.
    seconds:
        Time of each operator that ran, by its number.
    backend:
        ``"numba"``, ``"numpy"``, or ``"float64"`` for the NumPy reference computed in float64.
    operators:
        The numbers of the operators whose values were kept; of the others only what those read.
    patched:
        Numbers of tensors whose values somebody has set.
    """

    model: Graph
    graph: Graph
    tensors: Mapping[int, Array]
    seconds: Mapping[int, float]
    backend: str
    threads: int
    operators: range
    patched: tuple[int, ...] = field(default=())

    @cached_property
    def content(self) -> bytes:
        """The model as the bytes of a .tflite file."""
        return write_graph(self.model)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ``content``: equal for two recordings of one model."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def inputs(self) -> tuple[Array, ...]:
        """What the model was given, by position."""
        return tuple(self.value(number) for number in self.graph.main.inputs)

    @property
    def outputs(self) -> tuple[Array, ...]:
        """What came out, by position; an error if the run did not come so far."""
        return tuple(self.value(number) for number in self.graph.main.outputs)

    def value(self, tensor: int) -> Array:
        """A tensor's value, recorded or constant.

        Raises
        ------
        TensorValueError
            It was not recorded.
        """
        if tensor in self.tensors:
            return self.tensors[tensor]
        record = self.tensor(tensor)
        if record.data is None:
            raise TensorValueError(
                f"{record} is not in this recording, which keeps operators {self.operators.start} to "
                f"{self.operators.stop - 1}",
                tensor=tensor,
                rule="not-recorded",
            )
        return record.data

    def tensor(self, number: int) -> Tensor:
        """The record of a tensor, with the shape it had."""
        tensors = self.graph.main.tensors
        if not 0 <= number < len(tensors):
            raise TensorValueError(
                f"there is no tensor {number}: they are numbered 0 to {len(tensors) - 1}", rule="tensor-index"
            )
        return tensors[number]

    def statistics(self, tensor: int) -> Statistics:
        """Figures of a tensor's value."""
        return Statistics.of(self.value(tensor), self.tensor(tensor))

    def node(self, operator: int) -> Node:
        """An operator with its tensors."""
        return Node(self.graph.main, self.graph.main.operators[operator])

    def event(self, operator: int) -> Event:
        """An operator's part in the run."""
        node = self.node(operator)
        inputs = tuple(None if t is None else self.value(t.index) for t in node.inputs)
        outputs = tuple(self.value(t.index) for t in node.outputs)
        return Event(node, inputs, outputs, self.seconds.get(operator, 0.0))

    def __iter__(self) -> Iterator[Event]:
        """The events of the operators that were kept, in their order."""
        return (self.event(number) for number in self.operators)

    def __len__(self) -> int:
        return len(self.operators)

    def resume(self, operator: int = 0, **arguments: Any) -> Trace:
        """A trace that begins before an operator with the values recorded there.

        ``arguments`` are those of ``Trace``: another ``backend``, say, or ``threads``.

        Raises
        ------
        TensorValueError
            A value that is needed was not recorded.
        InvokeError
            An operator before it has effects that outlive a run.
        """
        from minilite.debug.trace import Trace  # noqa: PLC0415 - it makes recordings

        operators = range(operator, len(self.graph.main.operators))
        return Trace(self.model, self.inputs, operators=operators, recording=self, **arguments)

    def save(self, path: str | os.PathLike[str], *, progress: archive.Progress | None = None) -> None:
        """Write a .npz file (docs/formats.md) with the model in it.

        Raises
        ------
        RecordingError
            The file cannot be written.
        """
        archive.write_archive(path, self._header(), self.content, self.tensors, progress)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read what ``save`` wrote; arrays are read when they are asked for.

        Raises
        ------
        RecordingError
            The file is no recording, is damaged, or of another version of the format.
        ModelFormatError, PrepareError, UnsupportedOpError
            The model in it is at fault.
        """
        header, content, tensors = archive.read_archive(path)
        if hashlib.sha256(content).hexdigest() != header.get("digest"):
            raise RecordingError(f"{path}: the model in it is not the one that ran", rule="digest")
        model = load_graph(content)
        try:
            return cls._assemble(model, tensors, header)
        except MiniliteError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RecordingError(f"{path}: {archive.HEADER} is damaged: {error!r}", rule="damaged") from error

    @classmethod
    def _assemble(cls, model: Graph, tensors: archive.ArchivedArrays, header: dict[str, Any]) -> Recording:
        main = model.main
        given = {i: tensors.described(i)[1] for i in main.inputs if not main.tensors[i].is_constant}
        prepared = prepare(model, given)
        for number in tensors:
            _check(prepared.main.tensors[number], *tensors.described(number))
        shapes = {number: tensors.described(number)[1] for number in tensors}
        first, last = map(int, header["recorded"])
        backend, threads = str(header["backend"]), int(header["threads"])
        return cls(
            model=model,
            graph=with_tensors(prepared, 0, known_shapes(prepared.main, shapes).tensors),
            tensors=tensors,
            seconds={int(entry["index"]): float(entry["seconds"]) for entry in header["operators"]},
            backend=backend,
            threads=threads,
            operators=range(len(main.operators))[first:last],
            patched=tuple(map(int, header["patched"])),
        )

    def _header(self) -> dict[str, Any]:
        main = self.graph.main
        return {
            "format": archive.FORMAT,
            "version": archive.VERSION,
            "minilite": __version__,
            "digest": self.digest,
            "backend": self.backend,
            "threads": self.threads,
            "recorded": [self.operators.start, self.operators.stop],
            "inputs": list(main.inputs),
            "outputs": list(main.outputs),
            "patched": list(self.patched),
            "operators": [
                {
                    "index": number,
                    "name": main.operators[number].name,
                    "inputs": list(main.operators[number].inputs),
                    "outputs": list(main.operators[number].outputs),
                    "seconds": seconds,
                }
                for number, seconds in self.seconds.items()
            ],
            "tensors": {
                str(number): {
                    "name": main.tensors[number].name,
                    "type": main.tensors[number].type.name,
                    "shape": list(main.tensors[number].shape),
                    "dtype": self._dtype(main.tensors[number]).name,
                }
                for number in self.tensors
            },
        }

    def _dtype(self, tensor: Tensor) -> np.dtype[Any]:
        wide = self.backend == "float64" and tensor.type is TensorType.FLOAT32
        return np.dtype(np.float64) if wide else tensor.type.array_dtype

    def __repr__(self) -> str:
        nbytes = sum(self.tensor(number).nbytes for number in self.tensors)
        return (
            f"<Recording of operators {self.operators.start} to {self.operators.stop - 1}, "
            f"{len(self.tensors)} tensors, {nbytes / 2**20:.1f} MiB, {self.backend}, {self.threads} threads>"
        )

    def _repr_html_(self) -> str:
        from minilite.debug import html  # noqa: PLC0415 - in notebooks only

        return html.recording_html(self)


def _check(tensor: Tensor, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    wide = tensor.type is TensorType.FLOAT32 and dtype == np.float64
    if dtype != tensor.type.array_dtype and not wide:
        raise ValueError(f"{tensor} as {dtype}")
    if not tensor.is_dynamic and shape != tensor.shape:
        raise ValueError(f"{tensor} in shape {shape}")
