"""Everything the page shows, gathered from one run: plain data, and pictures by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

from minilite.debug.recording import Recording
from minilite.debug.report import drawing, tensors
from minilite.debug.report.tensors import Pictures
from minilite.debug.trace import Trace
from minilite.errors import MiniliteError
from minilite.graph import Array, Graph, Operator, Subgraph
from minilite.inspection import OperatorSummary, SubgraphSummary, prepared_subgraph, summarise_subgraph
from minilite.model import Model
from minilite.names import input_names, output_names
from minilite.ops.fused import Parts
from minilite.passes import rewrite
from minilite.version import __version__

Progress = Callable[[int, int, str], None]
"""``progress(done, total, what)``."""

_MOST_RUNS, _SECONDS = 15, 1.0
"""Runs of which an operator's time is the median, and how long they may take together."""


@dataclass
class Report:
    """What ``page.build`` makes a file of.

    Attributes
    ----------
    data:
        Plain data, ready for JSON.
    pictures:
        base64 by the name that ``data`` refers to.
    """

    data: dict[str, Any]
    pictures: dict[str, str] = field(default_factory=dict)


def gather(
    model: Model,
    inputs: Sequence[Array],
    *,
    title: str,
    source: str,
    budget: int,
    progress: Progress = lambda done, total, what: None,
) -> tuple[Report, Pictures, Recording]:
    """Run a model operator by operator and describe it, its values and its times.

    Parameters
    ----------
    title, source:
        What the model and its input are called.
    budget:
        Bytes of base64 that pictures of values may take.

    Returns
    -------
    The report, the store for more pictures (whose text is already the report's), and the run.
    """
    recording, seconds = _timed(model, inputs, progress)
    store = Pictures(float(budget))
    main = recording.graph.main
    others = [prepared_subgraph(recording.model, i) for i in range(1, len(model.graph.subgraphs))]
    summaries = [summarise_subgraph(subgraph) for subgraph in (main, *others)]
    subgraphs = [
        {
            **_subgraph(summary),
            "drawing": drawing.drawn(subgraph),
            "callers": _callers(model.graph, summary.index),
        }
        for summary, subgraph in zip(summaries, (main, *others), strict=True)
    ]
    _add_values(subgraphs[0], recording, store, progress)
    _add_times(subgraphs[0], seconds, _compiled(model, inputs))
    for node in main.nodes():
        if node.is_folded:
            subgraphs[0]["operators"][node.operator.index]["folded"] = True
    notes = _add_joined(subgraphs[0], main) if recording.backend == "numba" else []
    totals = summaries[0].totals
    data = {
        "title": title,
        "source": source,
        "description": model.graph.description,
        "minilite": __version__,
        "backend": recording.backend,
        "threads": recording.threads,
        "run_milliseconds": round(_whole_runs(model, inputs, progress) * 1e3, 4),
        "milliseconds": round(sum(median(t) for t in seconds.values()) * 1e3, 4),
        "runs": max(map(len, seconds.values()), default=0),
        "multiply_adds": totals.multiply_adds,
        "weight_bytes": totals.weight_bytes,
        "activation_bytes": totals.activation_bytes,
        "input_names": list(input_names(model.graph)),
        "output_names": list(output_names(model.graph)),
        "notes": notes,
        "omitted": store.omitted,
        "subgraphs": subgraphs,
    }
    return Report(data, store.by_name), store, recording


def _timed(
    model: Model, inputs: Sequence[Array], progress: Progress
) -> tuple[Recording, dict[int, list[float]]]:
    """A run, and the times of each operator in it and in some more."""
    times: dict[int, list[float]] = {}
    with Trace(model, inputs) as trace:
        total = len(trace.operators)
        for event in trace:
            times[event.index] = []
            progress(event.index + 1, total, "running")
        recording = trace.recording()
        # The first run finds cold caches, and of dynamic shapes makes the plans: it is not counted.
        for _ in _runs(progress):
            trace.go_to(0)
            for event in trace:
                times[event.index].append(event.seconds)
    return recording, times


def _whole_runs(model: Model, inputs: Sequence[Array], progress: Progress) -> float:
    """Median seconds of ordinary runs, from setting inputs to copying outputs."""
    model(*inputs)
    times = []
    for _ in _runs(progress):
        start = perf_counter()
        model(*inputs)
        times.append(perf_counter() - start)
    return median(times)


def _runs(progress: Progress) -> Iterator[int]:
    """Numbers of runs to measure: one at least, then as many as there is time for."""
    start = perf_counter()
    for run in range(_MOST_RUNS):
        if run and perf_counter() - start > _SECONDS:
            return
        yield run
        progress(run + 1, _MOST_RUNS, "measuring")


def _subgraph(summary: SubgraphSummary) -> dict[str, Any]:
    used = {number for op in summary.operators for number in (*op.inputs, *op.outputs)}
    used |= {*summary.inputs, *summary.outputs}
    sizes = {tensor.index: tensor.bytes for tensor in summary.tensors}
    return {
        "name": summary.name,
        "inputs": list(summary.inputs),
        "outputs": list(summary.outputs),
        "operators": [_operator(op, sizes) for op in summary.operators],
        "tensors": {
            tensor.index: tensors.described(tensor) for tensor in summary.tensors if tensor.index in used
        },
    }


def _operator(op: OperatorSummary, sizes: dict[int, int]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "i": op.index,
        "name": op.name,
        "inputs": list(op.inputs),
        "outputs": list(op.outputs),
        "options": op.options,
        "multiply_adds": op.multiply_adds,
        "weights": op.weight_bytes,
        "memory": sum(sizes[number] for number in op.outputs),
    }
    if op.fault is not None:
        data["fault"] = op.fault
    return data


def _callers(graph: Graph, subgraph: int) -> list[list[int]]:
    """Which operators run a subgraph, as [subgraph, operator]."""
    return [
        [caller.index, operator.index]
        for caller in graph.subgraphs
        for operator in caller.operators
        if subgraph in _called(operator)
    ]


def _called(operator: Operator) -> list[int]:
    options = vars(operator.options) if hasattr(operator.options, "__dict__") else {}
    return [value for name, value in options.items() if name.endswith("subgraph_index")]


def _add_values(subgraph: dict[str, Any], recording: Recording, store: Pictures, progress: Progress) -> None:
    known = subgraph["tensors"]
    constants = {number for number, data in known.items() if data.get("constant")}
    numbers = sorted(constants | {number for number in recording.tensors if number in known})
    for done, number in enumerate(numbers):
        progress(done, len(numbers), "looking at values")
        tensors.add_figures(known[number], recording.value(number), recording.tensor(number), recording)
    ends = [n for n in (*subgraph["inputs"], *subgraph["outputs"]) if n in recording.tensors]
    tensors.add_pictures(
        known, recording, ends, store, lambda done, total: progress(done, total, "drawing values")
    )


def _add_times(subgraph: dict[str, Any], seconds: dict[int, list[float]], compiled: set[int] | None) -> None:
    times = {number: median(found) * 1e3 for number, found in seconds.items()}
    total = sum(times.values()) or 1.0
    for operator in subgraph["operators"]:
        number = operator["i"]
        if number in times:
            operator["ms"] = round(times[number], 5)
            operator["share"] = round(times[number] / total, 6)
        if compiled is not None:
            operator["compiled"] = number in compiled


def _compiled(model: Model, inputs: Sequence[Array]) -> set[int] | None:
    """The operators that compiled kernels compute; None where that is not known, or none are."""
    try:
        executor = model.executor([value.shape for value in inputs], keep_all=True)
    except MiniliteError:
        return None
    try:
        if executor.backend != "numba":
            return None
        return {i for i in range(len(executor.subgraph.operators)) if executor.is_compiled(i)}
    finally:
        executor.close()


def _add_joined(subgraph: dict[str, Any], main: Subgraph) -> list[str]:
    """Mark the operators that an ordinary run joins to one; the passes' notes that belong to no operator."""
    if any(tensor.is_dynamic for tensor in main.tensors):
        return []
    notes: list[str] = []
    groups = [leaves for operator in rewrite(main, notes).operators if len(leaves := _leaves(operator)) > 1]
    for group in groups:
        for number in group:
            subgraph["operators"][number]["joined"] = group
    by_name = {f"op {operator['i']} {operator['name']}": operator for operator in subgraph["operators"]}
    rest = []
    for note in notes:
        name, _, text = note.partition(": ")
        if name in by_name:
            by_name[name].setdefault("notes", []).append(text)
        else:
            rest.append(note)
    return rest


def _leaves(operator: Operator) -> list[int]:
    """The operators of the file that a rewritten one stands for."""
    if not isinstance(operator.options, Parts):
        return [operator.index]
    return sorted(number for part in operator.options.operators for number in _leaves(part))
