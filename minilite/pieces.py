"""Graphs whose shapes are known only as they run: pieces with compiled plans, and what stands between them.

An operator that decides its output's shape from values (a mask's selection, a reshape by a computed
shape, a loop) runs its own reference. Once its result is there, the shapes that follow from it are
known, and the operators behind it run as a plan of their own, up to the next such operator.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minilite.calls import SubgraphCalls
from minilite.executor import Executor, Progress, not_kept, processors
from minilite.graph import ABSENT, Array, Graph, Node, Shape, Subgraph, Tensor, TensorType
from minilite.prepare import infer_shapes
from minilite.reference import evaluate, initial_value, with_shapes
from minilite.scheduler import PlanExecutor, Team

_KEPT_PIECES = 64
"""Plans that stay ready; a new one is made for each new choice of shapes."""


def create_plan_executor(graph: Graph, *, subgraph: int = 0, **arguments: Any) -> Executor:
    """The Numba backend for a prepared graph: one plan where all shapes are known, else pieces.

    ``arguments`` are those of ``PlanExecutor``.
    """
    needs_pieces = any(_stands_alone(node) for node in graph.subgraphs[subgraph].nodes())
    kind = PiecewiseExecutor if needs_pieces else PlanExecutor
    return kind(graph, subgraph=subgraph, create=create_plan_executor, **arguments)


def _stands_alone(node: Node) -> bool:
    """Whether a plan cannot hold the operator: a shape is not known yet, or a value has no fixed width."""
    return not node.is_folded and (node.is_dynamic or _has_strings(node))


def _has_strings(node: Node) -> bool:
    """Whether a value has no fixed width, so that no arena can hold it."""
    tensors = (t for t in (*node.inputs, *node.outputs) if t is not None and not t.is_constant)
    return any(t.type is TensorType.STRING for t in tensors)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Consecutive operators under one plan, for one choice of shapes.

    Attributes
    ----------
    first, last:
        Numbers of its first operator and of the one behind it.
    subgraph:
        The whole subgraph with the shapes known behind the piece.
    """

    executor: PlanExecutor
    first: int
    last: int
    subgraph: Subgraph
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class PiecewiseExecutor:
    """The Numba backend for graphs with dynamic shapes; see ``executor.Executor``.

    Parameters are those of ``scheduler.PlanExecutor``.
    """

    backend = "numba"

    def __init__(
        self,
        graph: Graph,
        *,
        subgraph: int = 0,
        threads: int | None = None,
        keep_all: bool = False,
        progress: Progress | None = None,
        resources: dict[Any, Any] | None = None,
        team: Team | None = None,
        create: Any = create_plan_executor,
    ) -> None:
        self.subgraph = self._prepared = graph.subgraphs[subgraph]
        self.threads = threads or processors()
        self.resources: dict[Any, Any] = {} if resources is None else resources
        self._graph, self._progress, self._create = graph, progress, create
        self._team = team or Team(self.threads)
        self._finalizer = None if team else weakref.finalize(self, self._team.close)
        shared = {"threads": threads, "progress": progress, "resources": self.resources, "team": self._team}
        self._calls = SubgraphCalls(graph, partial(create, **shared))
        self._pieces: OrderedDict[Any, _Piece | None] = OrderedDict()
        tensors = self.subgraph.tensors
        self._dynamic = [t.index for t in tensors if t.is_dynamic]
        kept = {*self.subgraph.inputs, *self.subgraph.outputs, *(t.index for t in tensors if t.is_variable)}
        self._kept = {t.index for t in tensors if t.data is None and (keep_all or t.index in kept)}
        self._values: dict[int, Array] = {
            t.index: t.data if t.data is not None else initial_value(t, t.type.array_dtype)
            for t in tensors
            if t.data is not None or t.index in self._kept
        }

    def view(self, tensor: int) -> Array:
        """See ``Executor.view``."""
        if tensor in self._kept or self.subgraph.tensors[tensor].is_constant:
            return self._values[tensor]
        raise not_kept(self.subgraph.tensors[tensor])

    def run(self, first: int = 0, last: int | None = None) -> None:
        """See ``Executor.run``."""
        last = len(self.subgraph.operators) if last is None else last
        if first == 0:
            self.subgraph = self._prepared  # shapes of an earlier run mean nothing for this one
        number = first
        while number < last:
            piece = self._piece(number, last)
            if piece is None:
                self._evaluate(Node(self.subgraph, self.subgraph.operators[number]))
                number += 1
            else:
                self._run(piece)
                number = piece.last

    def is_compiled(self, operator: int) -> bool:
        """See ``Executor.is_compiled``."""
        pieces = [p for p in self._pieces.values() if p is not None and p.first <= operator < p.last]
        return bool(pieces) and pieces[-1].executor.is_compiled(operator)

    def assign(self, tensor: Tensor, value: Array) -> None:
        """See ``ops.Runtime.assign``."""
        self._values[tensor.index][...] = value

    def call(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """See ``ops.Runtime.call``."""
        return self._calls(subgraph, inputs)

    def close(self) -> None:
        """See ``Executor.close``."""
        self._calls.close()
        self._pieces.clear()
        if self._finalizer is not None:
            self._finalizer()

    def _evaluate(self, node: Node) -> None:
        results = evaluate(node, self._values, self)
        for tensor, value in zip(node.outputs, results, strict=True):
            self._store(tensor.index, value.astype(tensor.type.array_dtype, copy=False))
        self.subgraph = with_shapes(node, [value.shape for value in results])

    def _run(self, piece: _Piece) -> None:
        for number in piece.inputs:
            piece.executor.view(number)[...] = self._values[number]
        piece.executor.run()
        for number in piece.outputs:
            self._store(number, piece.executor.view(number))
        self.subgraph = piece.subgraph

    def _store(self, number: int, value: Array) -> None:
        held = self._values.get(number)
        if number not in self._kept:
            self._values[number] = value
        elif held is not None and held.shape == value.shape:
            held[...] = value  # who holds a view sees every run
        else:
            self._values[number] = value.copy()

    def _piece(self, first: int, last: int) -> _Piece | None:
        """The operators from ``first`` on, up to ``last``, that one plan can hold now; None for none."""
        tensors = self.subgraph.tensors
        known = tuple((i, tensors[i].shape) for i in self._dynamic if not tensors[i].is_dynamic)
        key = (first, last, known)
        if key not in self._pieces:
            self._pieces[key] = self._make_piece(first, last)
            if len(self._pieces) > _KEPT_PIECES:
                self._pieces.popitem(last=False)
        self._pieces.move_to_end(key)
        return self._pieces[key]

    def _make_piece(self, first: int, last: int) -> _Piece | None:
        subgraph, end = self.subgraph, first
        while end < last:
            node = Node(subgraph, subgraph.operators[end])
            if not node.is_folded:
                shapes = _inferred(node)
                if shapes is None:
                    break
                subgraph = with_shapes(node, shapes)
            end += 1
        if end == first:
            return None
        operators = subgraph.operators[first:end]
        written = {i for operator in operators for i in operator.outputs}
        read = {i for operator in operators for i in operator.inputs if i != ABSENT}
        read_later = {i for operator in subgraph.operators[end:] for i in operator.inputs}
        tensors = subgraph.tensors
        inputs = tuple(i for i in sorted(read - written) if not tensors[i].is_constant)
        variables = {i for i in inputs if tensors[i].is_variable}
        outputs = tuple(
            i for i in sorted(written & (read_later | self._kept) | variables) if not tensors[i].is_constant
        )
        part = replace(subgraph, operators=operators, inputs=inputs, outputs=outputs)
        subgraphs = tuple(part if s.index == part.index else s for s in self._graph.subgraphs)
        executor = PlanExecutor(
            replace(self._graph, subgraphs=subgraphs),
            subgraph=part.index,
            threads=self.threads,
            progress=self._progress,
            resources=self.resources,
            team=self._team,
            create=self._create,
        )
        return _Piece(executor, first, end, subgraph, inputs, outputs)


def _inferred(node: Node) -> tuple[Shape, ...] | None:
    """The shapes of the outputs if a plan can hold the operator now; else None."""
    if any(t is not None and t.is_dynamic for t in node.inputs) or _has_strings(node):
        return None
    shapes = infer_shapes(node)
    return None if None in shapes else shapes  # type: ignore[return-value]
