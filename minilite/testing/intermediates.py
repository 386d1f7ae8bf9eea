"""Networks looked into: each operator of a run is held to its own tolerance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minilite.executor import Executor, create_executor
from minilite.graph import ABSENT, Array, Graph
from minilite.reference import ReferenceExecutor
from minilite.testing.oracle import Oracle
from minilite.testing.parity import compare_operators, stands_alone


def own_fault(graph: Graph, inputs: Sequence[Array], planned: Sequence[Array]) -> str | None:
    """Where minilite's plan leaves its reference on the way, or its values depend on which of them are kept.

    Parameters
    ----------
    graph:
        Prepared.
    planned:
        The outputs of a plan that keeps only those.
    """
    whole = create_executor(graph, backend="numba", threads=1, keep_all=True)
    try:
        _run(whole, inputs)
        for index, value in zip(graph.main.outputs, planned, strict=True):
            if whole.view(index).tobytes() != value.tobytes():
                return f"{graph.main.tensors[index]} is another one when the plan keeps all values"
        return first_fault(graph, lambda index: whole.view(index).copy(), None, "the plan")
    finally:
        whole.close()


def oracle_fault(graph: Graph, model: bytes, inputs: Sequence[Array], oracle: Oracle) -> str | None:
    """Where minilite makes something else of an operator's inputs than an oracle that keeps all values."""
    alone = [node.operator for node in graph.main.nodes() if stands_alone(node)]
    numbers = sorted({n for op in alone for n in (*op.inputs, *op.outputs) if n != ABSENT})
    if not numbers:
        return None
    if oracle.load(model, keep_all=True).status != "ran" or oracle.invoke(inputs).status != "ran":
        return None
    answer = oracle.read(numbers)
    if answer.status != "ran":
        return None
    values = dict(zip(numbers, answer.outputs, strict=True))
    whole = ReferenceExecutor(graph, keep_all=True)
    return first_fault(graph, values.__getitem__, whole, oracle.runtime)


def first_fault(
    graph: Graph, value: Callable[[int], Array], executor: Executor | None, whose: str
) -> str | None:
    """The first operator that leaves its tolerance, in words."""
    for found in compare_operators(graph, value, executor):
        if not found.comparison.agrees:
            return f"{found.node.operator} on the inputs that {whose} gave it: {found.comparison.fault}"
    return None


def _run(executor: Executor, inputs: Sequence[Array]) -> None:
    for index, value in zip(executor.subgraph.inputs, inputs, strict=True):
        executor.view(index)[...] = value
    with np.errstate(all="ignore"):
        executor.run()
