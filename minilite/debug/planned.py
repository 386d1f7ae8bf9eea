"""The plan that joins operators against the one that keeps every value: both should give the same bits."""

from __future__ import annotations

from dataclasses import replace

from minilite.debug.recording import Recording
from minilite.executor import create_executor
from minilite.graph import Array, Graph


def plan_fault(graph: Graph, recording: Recording) -> str | None:
    """Where an ordinary run leaves a recorded one, in words; None if its outputs are the same bits.

    Parameters
    ----------
    graph:
        Prepared.
    recording:
        Of minilite's own compiled run.
    """
    outputs = [n for n in graph.main.outputs if n in recording.tensors]
    if not outputs or not _leaves(graph, outputs, recording):
        return None
    numbers = [
        number
        for node in graph.main.nodes()
        if not node.is_folded
        for number in node.operator.outputs
        if number in recording.tensors
    ]
    # The first tensor that a plan of all before it gets wrong: what is wrong stays wrong further on.
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        if _leaves(graph, [numbers[middle]], recording):
            high = middle
        else:
            low = middle + 1
    found = graph.main.tensors[numbers[low]]
    maker = next(o for o in graph.main.operators if found.index in o.outputs)
    return (
        f"the plan that joins operators gives {found}, which {maker} makes, other bits than the plan that "
        "keeps all values: a pass or a joined kernel is at fault"
    )


def _leaves(graph: Graph, outputs: list[int], recording: Recording) -> bool:
    main = replace(graph.main, outputs=tuple(outputs))
    part = replace(graph, subgraphs=(main, *graph.subgraphs[1:]))
    executor = create_executor(part, backend="numba", threads=recording.threads)
    try:
        for number, value in zip(main.inputs, recording.inputs, strict=True):
            executor.write(number, value)
        executor.run()
        return any(_bits(executor.view(n)) != _bits(recording.value(n)) for n in outputs)
    finally:
        executor.close()


def _bits(value: Array) -> object:
    return value.tolist() if value.dtype == object else (value.shape, value.tobytes())
