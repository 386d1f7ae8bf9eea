"""What a trace needs to go back: what patches overwrote, and what operators with effects began with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minilite import ops
from minilite.errors import InvokeError
from minilite.executor import Executor
from minilite.graph import Graph, Node


@dataclass(frozen=True, eq=False)
class _Undo:
    """How to take back what happened at a position: a patch made there, or effects of the operator.

    ``restore`` is None where nobody can.
    """

    position: int
    is_patch: bool
    restore: Callable[[], None] | None


class History:
    """What happened on the way that is not in the values that operators compute, in its order."""

    def __init__(self, graph: Graph, executor: Executor) -> None:
        self._graph = graph
        self._executor: Any = executor  # with the ``resources`` that operators see
        self._undo: list[_Undo] = []

    def note_patch(self, position: int, restore: Callable[[], None]) -> None:
        """Remember how to take back what is patched before operator ``position`` runs."""
        self._undo.append(_Undo(position, True, restore))

    def note_effects(self, node: Node) -> None:
        """Remember what an operator that is about to run may change beyond its outputs."""
        if not has_effects(node):
            return
        restore = None if _calls_variables(self._graph, node) else self._restorer(node)
        self._undo.append(_Undo(node.operator.index, False, restore))

    def _restorer(self, node: Node) -> Callable[[], None]:
        executor = self._executor
        resources = copy.deepcopy(executor.resources)
        variables = [t.index for t in node.inputs if t is not None and t.is_variable]
        values = {number: executor.view(number).copy() for number in variables}

        def restore() -> None:
            executor.resources.clear()
            executor.resources.update(copy.deepcopy(resources))
            for number, value in values.items():
                executor.write(number, value)

        return restore

    def take_back(self, position: int) -> None:
        """Undo effects of operators from ``position`` on, and patches made behind it.

        Raises
        ------
        InvokeError
            One of them cannot be undone; then nothing is.
        """
        behind = [undo for undo in self._undo if undo.position >= position + undo.is_patch]
        lost = next((undo for undo in behind if undo.restore is None), None)
        if lost is not None:
            operator = self._graph.main.operators[lost.position]
            raise InvokeError(
                f"cannot go back over {operator}: it runs a subgraph with variables, whose values before "
                "it are not kept. Trace the model again and stop before it",
                op_index=operator.index,
                op_name=operator.name,
                rule="trace-back",
            )
        for undo in reversed(behind):
            assert undo.restore is not None
            undo.restore()
        del self._undo[len(self._undo) - len(behind) :]


def has_effects(node: Node) -> bool:
    """Whether a node may change what outlives a run, or depend on it."""
    op = ops.find(node.operator.name)
    return op is None or not op.pure or any(t is not None and t.is_variable for t in node.inputs)


def _calls_variables(graph: Graph, node: Node) -> bool:
    """Whether a node runs subgraphs, at any depth, that have variable tensors of their own."""
    waiting, seen = [node], set[int]()
    while waiting:
        inner = waiting.pop()
        op = ops.find(inner.operator.name)
        for number in set(op.subgraphs(inner) if op is not None else ()) - seen:
            seen.add(number)
            if any(tensor.is_variable for tensor in graph.subgraphs[number].tensors):
                return True
            waiting += graph.subgraphs[number].nodes()
    return False
