"""Subgraphs that an operator runs, as functions of arrays."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from minilite.errors import InvokeError
from minilite.executor import Executor, watched
from minilite.graph import Array, Graph, Shape
from minilite.prepare import prepare

_KEPT = 8
"""Executors that stay ready."""


class SubgraphCalls:
    """Runs subgraphs of a graph as functions (``ops.Runtime.call``).

    An executor is made for the shapes of the first call. Inputs that come in other shapes later (what a
    loop collects grows with each turn) are taken to be dynamic from then on, all others not.

    Parameters
    ----------
    graph:
        Where the subgraphs stand. Each is prepared for the shapes it is called with.
    create:
        ``create(prepared graph, subgraph=number)`` makes the executor.
    """

    def __init__(self, graph: Graph, create: Callable[..., Executor]) -> None:
        self._graph, self._create = graph, create
        self._first: dict[int, tuple[Shape, ...]] = {}
        self._varying: dict[int, set[int]] = {}
        self._executors: OrderedDict[Any, Executor] = OrderedDict()

    def __call__(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs, the caller's own, of a run on these inputs."""
        numbers = self._graph.subgraphs[subgraph].inputs
        if len(numbers) != len(inputs):
            raise InvokeError(
                f"subgraph {subgraph} takes {len(numbers)} inputs, given {len(inputs)}", rule="arguments"
            )
        executor = self._executor(subgraph, tuple(value.shape for value in inputs))
        for number, value in zip(numbers, inputs, strict=True):
            tensor = executor.subgraph.tensors[number]
            if value.dtype != executor.view(number).dtype:
                raise InvokeError(f"subgraph {subgraph}: input {tensor} is given {value.dtype}", rule="types")
            executor.write(number, value)
        executor.run()
        return tuple(executor.view(number).copy() for number in executor.subgraph.outputs)

    def close(self) -> None:
        """Close all executors."""
        while self._executors:
            self._executors.popitem()[1].close()

    def _executor(self, subgraph: int, shapes: tuple[Shape, ...]) -> Executor:
        first = self._first.setdefault(subgraph, shapes)
        varying = self._varying.setdefault(subgraph, set())
        varying |= {i for i, (a, b) in enumerate(zip(first, shapes, strict=True)) if a != b}
        key = (subgraph, tuple(None if i in varying else shape for i, shape in enumerate(shapes)))
        if key not in self._executors:
            numbers = self._graph.subgraphs[subgraph].inputs
            given = dict(zip(numbers, shapes, strict=True))
            prepared = prepare(self._graph, given, subgraph, dynamic={numbers[i] for i in varying})
            self._executors[key] = watched(partial(self._create, prepared, subgraph=subgraph))
            if len(self._executors) > _KEPT:
                self._executors.popitem(last=False)[1].close()
        self._executors.move_to_end(key)
        return self._executors[key]
