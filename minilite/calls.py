"""Subgraphs that an operator runs: an executor for each, and for each choice of input shapes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minilite.errors import InvokeError
from minilite.graph import Array, Graph, Shape
from minilite.prepare import prepare

if TYPE_CHECKING:
    from minilite.executor import Executor

_KEPT = 8
"""Executors that stay ready; a loop whose values grow would otherwise keep one for each turn."""


class SubgraphCalls:
    """Runs subgraphs of a graph as functions (``ops.Runtime.call``).

    Parameters
    ----------
    graph:
        Where the subgraphs stand. Each is prepared for the shapes it is called with.
    create:
        ``create(prepared graph, subgraph=number)`` makes the executor.
    """

    def __init__(self, graph: Graph, create: Callable[..., Executor]) -> None:
        self._graph, self._create = graph, create
        self._executors: OrderedDict[tuple[int, tuple[Shape, ...]], Executor] = OrderedDict()

    def __call__(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs, the caller's own, of a run on these inputs."""
        numbers = self._graph.subgraphs[subgraph].inputs
        if len(numbers) != len(inputs):
            raise InvokeError(
                f"subgraph {subgraph} takes {len(numbers)} inputs, given {len(inputs)}", rule="arguments"
            )
        executor = self._executor(subgraph, tuple(value.shape for value in inputs))
        for number, value in zip(numbers, inputs, strict=True):
            held = executor.view(number)
            if held.dtype != value.dtype:
                raise InvokeError(
                    f"subgraph {subgraph}: input {executor.subgraph.tensors[number]} is given {value.dtype}",
                    rule="types",
                )
            held[...] = value
        executor.run()
        return tuple(executor.view(number).copy() for number in executor.subgraph.outputs)

    def close(self) -> None:
        """Close all executors."""
        while self._executors:
            self._executors.popitem()[1].close()

    def _executor(self, subgraph: int, shapes: tuple[Shape, ...]) -> Executor:
        key = (subgraph, shapes)
        if key not in self._executors:
            numbers = self._graph.subgraphs[subgraph].inputs
            prepared = prepare(self._graph, dict(zip(numbers, shapes, strict=True)), subgraph)
            self._executors[key] = self._create(prepared, subgraph=subgraph)
            if len(self._executors) > _KEPT:
                self._executors.popitem(last=False)[1].close()
        self._executors.move_to_end(key)
        return self._executors[key]
