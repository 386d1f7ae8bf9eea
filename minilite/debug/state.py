"""What a trace stands on: an executor that holds what the next operators read, and the values kept so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from minilite.debug.history import History
from minilite.debug.store import Store
from minilite.errors import TensorValueError
from minilite.executor import Executor, create_executor
from minilite.graph import Array, Graph, Node, Subgraph, Tensor, TensorType
from minilite.reference import ReferenceExecutor

FLOAT64 = "float64"
"""As a backend: the NumPy reference with float32 tensors computed and held in float64."""


class State:
    """The values of a run between two operators of the main subgraph.

    The executor's memory holds a value only as long as an operator to come reads it; what was kept brings
    those back that are needed to run an operator again.

    Parameters
    ----------
    graph:
        Prepared.
    resources:
        What operators see of what outlives a run; the state's own.

    Attributes
    ----------
    ran:
        The executor's memory is that of a run before this operator.
    """

    def __init__(
        self, graph: Graph, backend: str, threads: int, resources: dict[Any, Any], store: Store
    ) -> None:
        self.graph, self.backend, self.store = graph, backend, store
        self.executor = _executor(graph, backend, threads, resources)
        self.history = History(graph, self.executor)
        self.ran = 0
        main = graph.main
        self._writer = {number: o.index for o in main.operators for number in o.outputs}
        self._last_reader = {number: o.index for o in main.operators for number in o.inputs}
        self._always = {*main.inputs, *main.outputs, *(t.index for t in main.tensors if t.is_variable)}
        self._touch()

    @property
    def subgraph(self) -> Subgraph:
        """The main subgraph with the shapes that are known now."""
        return self.executor.subgraph

    def node(self, operator: int) -> Node:
        """An operator with its tensors, as far as their shapes are known."""
        return Node(self.subgraph, self.subgraph.operators[operator])

    def begin(self, inputs: Sequence[Array], variables: Mapping[int, Array]) -> None:
        """Set and keep inputs, by position, and variable tensors, by number."""
        for number, value in variables.items():
            self.executor.write(number, value)
        given = dict(zip(self.graph.main.inputs, inputs, strict=True))
        for tensor in self.graph.main.tensors:
            if tensor.index in given and not tensor.is_constant:
                self.executor.view(tensor.index)[...] = given[tensor.index]
            elif not tensor.is_variable:
                continue
            self.store.keep(tensor.index, self.executor.view(tensor.index))

    def needed(self, position: int) -> list[int]:
        """The computed tensors that have to be there for operators from ``position`` on, and as outputs."""
        main = self.graph.main
        read = {number for operator in main.operators[position:] for number in operator.inputs}
        made = {number for number, writer in self._writer.items() if writer < position}
        wanted = made & (read | set(main.outputs))
        return sorted(n for n in wanted if not (main.tensors[n].is_constant or main.tensors[n].is_variable))

    def take(self, number: int, value: Array) -> None:
        """Give a computed tensor its value, and keep it."""
        record = self.subgraph.tensors[number]
        self.executor.write(number, self.store.keep(number, value.astype(self._dtype(record), copy=False)))

    # --- running ------------------------------------------------------------------------------------

    def stand_before(self, position: int) -> None:
        """Undo what operators from ``position`` on have done, and patches made behind it."""
        if self.ran < position:
            return
        self.history.take_back(position)
        if self.ran == position:
            return
        main = self.graph.main
        read = {number for operator in main.operators[position : self.ran] for number in operator.inputs}
        for number in sorted(read & set(self.needed(position))):
            if number in self.store:  # What is not was read by nobody yet, and is still in its place.
                self.executor.write(number, self.store[number])
        self.ran = position

    def run(self, first: int, last: int) -> float:
        """Run operators; returns seconds. After a failure ``stand_before`` puts things right."""
        for operator in range(first, last):
            self.history.note_effects(self.node(operator))
        self.ran = last
        start = perf_counter()
        self.executor.run(first, last)
        return perf_counter() - start

    def run_unseen(self, first: int, last: int) -> None:
        """Run operators whose values nobody keeps; those that they read are kept, to be able to go back."""
        for number in self.needed(first):
            if number not in self.store:
                self.store.keep(number, self.executor.view(number))
        self.run(first, last)

    # --- values ----------------------------------------------------------------------------------------

    def input(self, tensor: Tensor) -> Array:
        """An input of the operator that runs next, safe from what comes."""
        if tensor.is_constant:
            return self.constant(tensor)
        kept = self.store.in_memory(tensor.index)
        if kept is not None and not tensor.is_variable:
            return kept
        value = self.executor.view(tensor.index)
        return _safe(value) if tensor.index in self.store else self.store.keep(tensor.index, value)

    def output(self, tensor: Tensor) -> Array:
        """An output of the operator that has just run, kept."""
        if tensor.is_constant:
            return self.constant(tensor)
        return self.store.keep(tensor.index, self.executor.view(tensor.index))

    def constant(self, tensor: Tensor) -> Array:
        """A constant; in float64 even those have other values."""
        assert tensor.data is not None
        return tensor.data if self.backend != FLOAT64 else _safe(self.executor.view(tensor.index))

    def value(self, tensor: Tensor, position: int) -> Array:
        """A tensor's value before ``position`` runs, read-only.

        Raises
        ------
        TensorValueError
            It is not computed yet, or was and is not kept.
        """
        number = tensor.index
        if tensor.is_constant:
            return self.constant(tensor)
        if tensor.is_variable:
            return _safe(self.executor.view(number))
        if self._writer.get(number, -1) >= position:
            writer = self.graph.main.operators[self._writer[number]]
            raise TensorValueError(
                f"{tensor} is computed by {writer}, which has not run yet", tensor=number, rule="not-run"
            )
        if number in self.store:
            return self.store[number]
        if self._is_alive(number, position):
            return _safe(self.executor.view(number))
        raise TensorValueError(
            f"{tensor} is not kept: it was made and read before the operators traced",
            tensor=number,
            rule="not-recorded",
        )

    def set(self, tensor: Tensor, value: Array, position: int) -> None:
        """Give a tensor another value, for operators from ``position`` on."""
        if not tensor.is_variable:  # of which what the run began with is kept
            self.store.keep(tensor.index, value)
        if self._is_alive(tensor.index, position):
            self.executor.write(tensor.index, value)

    def _is_alive(self, number: int, position: int) -> bool:
        """Whether the executor still needs the value, so that its memory is no other tensor's."""
        return number in self._always or self._last_reader.get(number, -1) >= position

    def _dtype(self, tensor: Tensor) -> np.dtype[Any]:
        wide = self.backend == FLOAT64 and tensor.type is TensorType.FLOAT32
        return np.dtype(np.float64) if wide else tensor.type.array_dtype

    def _touch(self) -> None:
        """Write to all memory once: the first touch costs more than many an operator does."""
        for node in self.graph.main.nodes() if self.executor.backend == "numba" else ():
            for tensor in node.outputs:
                if not (tensor.is_constant or tensor.is_variable or tensor.type is TensorType.STRING):
                    self.executor.view(tensor.index).fill(0)


def _executor(graph: Graph, backend: str, threads: int, resources: dict[Any, Any]) -> Executor:
    if backend == FLOAT64:
        return ReferenceExecutor(graph, in_order=True, float_type=np.float64, resources=resources)
    return create_executor(graph, backend=backend, threads=threads, in_order=True, resources=resources)


def _safe(value: Array) -> Array:
    kept = value.copy()
    kept.flags.writeable = False
    return kept
