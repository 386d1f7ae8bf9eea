"""Graphs whose shapes are known only as they run: pieces with compiled plans, and what stands between them.

An operator that decides its output's shape from values (a mask's selection, a reshape by a computed
shape, a loop) runs its own reference. Operators whose shapes follow from such a value run as a plan of
their own, one for each choice of shapes; little ones, which a plan would not pay for, run their reference
as well. All others depend on nothing that is dynamic: they run first, under one plan that is made once.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from minilite import ops
from minilite.calls import SubgraphCalls
from minilite.executor import Executor, Progress, not_kept, processors
from minilite.graph import ABSENT, Array, Graph, Node, Shape, Tensor, TensorType
from minilite.prepare import infer_shapes
from minilite.reference import dynamic_outputs, evaluate, initial_value, known_shapes, unknown_shapes
from minilite.scheduler import PlanExecutor, Team

_KEPT_PIECES = 64
"""Plans that stay ready; a new one is made for each new choice of shapes."""

_LITTLE = 1 << 14
"""Elements of its inputs up to which an operator of dynamic shapes does without a plan."""


def create_plan_executor(graph: Graph, *, subgraph: int = 0, **arguments: Any) -> Executor:
    """The Numba backend for a prepared graph: one plan where all shapes are known, else pieces.

    ``arguments`` are those of ``PlanExecutor``.
    """
    part = graph.subgraphs[subgraph]
    dynamic_inputs = any(part.tensors[number].is_dynamic for number in part.inputs)
    needs_pieces = dynamic_inputs or any(_stands_alone(node) for node in part.nodes())
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
    """Operators under one plan, for one choice of shapes.

    Attributes
    ----------
    operators:
        Their numbers.
    shapes:
        Of the tensors it writes, where they were not known before the run.
    """

    executor: PlanExecutor
    operators: Sequence[int]
    shapes: dict[int, Shape]
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
        in_order: bool = False,
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
        self._pieces: OrderedDict[Any, _Piece] = OrderedDict()
        self._dynamic = dynamic_outputs(self._prepared)
        tensors = self.subgraph.tensors
        self._alone = [_stands_alone(node) for node in self.subgraph.nodes()]
        together = [node for node in self.subgraph.nodes() if not self._alone[_place(node)]]
        # What has effects keeps its place in the order.
        self._leading = [_place(node) for node in together] if all(map(_is_pure, together)) else []
        kept = {*self.subgraph.inputs, *self.subgraph.outputs, *(t.index for t in tensors if t.is_variable)}
        self._kept = {
            t.index for t in tensors if t.data is None and (keep_all or in_order or t.index in kept)
        }
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

    def write(self, tensor: int, value: Array) -> None:
        """See ``Executor.write``."""
        if self._prepared.tensors[tensor].is_dynamic:
            self._values[tensor] = value.copy()
            self.subgraph = known_shapes(self.subgraph, {tensor: value.shape})
        else:
            self._values[tensor][...] = value

    def run(self, first: int = 0, last: int | None = None) -> None:
        """See ``Executor.run``."""
        last = len(self.subgraph.operators) if last is None else last
        self.subgraph = unknown_shapes(self.subgraph, self._dynamic, first)
        leading = self._leading if (first, last) == (0, len(self._alone)) else []
        if leading:
            self._run(self._kept_piece(leading))
        remaining = [number for number in range(first, last) if self._alone[number] or not leading]
        while remaining:
            piece = self._piece(remaining)
            if piece is None:
                self._evaluate(Node(self.subgraph, self.subgraph.operators[remaining[0]]))
            else:
                self._run(piece)
            remaining = remaining[1 if piece is None else len(piece.operators) :]

    def is_compiled(self, operator: int) -> bool:
        """See ``Executor.is_compiled``."""
        pieces = [p for p in self._pieces.values() if operator in p.operators]
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
        if node.is_dynamic:
            shapes = {t.index: value.shape for t, value in zip(node.outputs, results, strict=True)}
            self.subgraph = known_shapes(self.subgraph, shapes)

    def _run(self, piece: _Piece) -> None:
        for number in piece.inputs:
            piece.executor.view(number)[...] = self._values[number]
        piece.executor.run()
        for number in piece.outputs:
            self._store(number, piece.executor.view(number))
        self.subgraph = known_shapes(self.subgraph, piece.shapes)

    def _store(self, number: int, value: Array) -> None:
        held = self._values.get(number)
        if number not in self._kept:
            self._values[number] = value
        elif held is not None and held.shape == value.shape:
            held[...] = value  # who holds a view sees every run
        else:
            self._values[number] = value.copy()

    def _piece(self, numbers: Sequence[int]) -> _Piece | None:
        """The first of these operators, as many as one plan can hold now; None for none."""
        alone = self._alone[numbers[0]]
        if alone and _is_little(Node(self.subgraph, self.subgraph.operators[numbers[0]])):
            return None
        same = list(itertools.takewhile(lambda number: self._alone[number] == alone, numbers))
        if alone:
            same = self._ready(same)
        return self._kept_piece(same) if same else None

    def _ready(self, numbers: Sequence[int]) -> list[int]:
        """How far these operators, one after the other, have shapes that can be known now."""
        subgraph, ready = self.subgraph, list[int]()
        for number in numbers:
            shapes = _inferred(Node(subgraph, subgraph.operators[number]))
            if shapes is None:
                break
            subgraph = known_shapes(subgraph, shapes)
            ready.append(number)
        return ready

    def _kept_piece(self, numbers: Sequence[int]) -> _Piece:
        """The piece of these operators for the shapes that they read now."""
        operators = [self.subgraph.operators[number] for number in numbers]
        read = sorted({i for operator in operators for i in operator.inputs if i != ABSENT})
        known = tuple(self.subgraph.tensors[i].shape for i in read) if self._alone[numbers[0]] else ()
        key = (numbers[0], numbers[-1], len(numbers), known)
        if key not in self._pieces:
            self._pieces[key] = self._make_piece(numbers)
            if len(self._pieces) > _KEPT_PIECES:
                self._pieces.popitem(last=False)
        self._pieces.move_to_end(key)
        return self._pieces[key]

    def _make_piece(self, numbers: Sequence[int]) -> _Piece:
        subgraph, found = self.subgraph, dict[int, Shape]()
        for number in numbers if self._alone[numbers[0]] else ():
            found |= _inferred(Node(subgraph, subgraph.operators[number])) or {}
            subgraph = known_shapes(subgraph, found)
        operators = tuple(subgraph.operators[number] for number in numbers)
        written = {i for operator in operators for i in operator.outputs}
        read = {i for operator in operators for i in operator.inputs if i != ABSENT}
        others = (o for place, o in enumerate(subgraph.operators) if place not in set(numbers))
        read_later = {i for operator in others for i in operator.inputs}
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
        return _Piece(executor, numbers, found, inputs, outputs)


def _is_little(node: Node) -> bool:
    """Whether there is so little to compute that a plan would take longer to make than it saves."""
    return sum(t.size for t in node.inputs if t is not None) <= _LITTLE


def _place(node: Node) -> int:
    """An operator's place in its subgraph."""
    return node.operator.index


def _is_pure(node: Node) -> bool:
    op = ops.find(node.operator.name)
    return op is not None and op.pure and not any(t is not None and t.is_variable for t in node.inputs)


def _inferred(node: Node) -> dict[int, Shape] | None:
    """The shapes of the outputs, by tensor number, if a plan can hold the operator now; else None."""
    if any(t is not None and t.is_dynamic for t in node.inputs) or _has_strings(node):
        return None
    shapes = infer_shapes(node)
    found = {t.index: shape for t, shape in zip(node.outputs, shapes, strict=True) if shape is not None}
    return found if len(found) == len(shapes) else None
