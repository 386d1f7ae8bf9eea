"""Which values a model's tensors take: what quantization after training begins with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from minilite.errors import TensorValueError
from minilite.executor import Executor, Progress, create_executor
from minilite.graph import Array, Graph, TensorType
from minilite.prepare import prepare

Range = tuple[float, float]
"""Smallest and largest value."""


def calibrate(
    graph: Graph,
    samples: Iterable[Sequence[Array]],
    *,
    backend: str = "auto",
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    compiling: Progress | None = None,
) -> dict[int, Range]:
    """Run a model on samples, and note the range of each of its main subgraph's float tensors, by number.

    Parameters
    ----------
    samples:
        One or more; each an array for each input, in order, of any one shape that the model takes.
    backend, threads:
        See ``model.load``.
    progress:
        Told of each sample how many have been run.
    compiling:
        Told of each kernel that is compiled on the way.

    Raises
    ------
    TensorValueError
        There are no samples, or a tensor takes a value that is not finite.
    """
    ranges: dict[int, Range] = {}
    executor: Executor | None = None
    shapes: list[tuple[int, ...]] = []
    done = 0
    try:
        for done, sample in enumerate(samples, 1):
            arrays = [np.asarray(array, np.float32) for array in sample]
            if executor is None or shapes != [array.shape for array in arrays]:
                if executor is not None:
                    executor.close()
                shapes = [array.shape for array in arrays]
                inputs = graph.main.inputs
                prepared = prepare(graph, dict(zip(inputs, shapes, strict=True)))
                executor = create_executor(
                    prepared, backend=backend, threads=threads, keep_all=True, progress=compiling
                )
            for number, array in zip(graph.main.inputs, arrays, strict=True):
                executor.view(number)[...] = array
            executor.run()
            _widen(ranges, executor)
            if progress is not None:
                progress(done)
    finally:
        if executor is not None:
            executor.close()
    if not done:
        raise TensorValueError("no samples to calibrate with: give at least one", rule="calibration")
    return ranges


def _widen(ranges: dict[int, Range], executor: Executor) -> None:
    main = executor.subgraph
    computed = {number for operator in main.operators for number in operator.outputs}
    for number in computed.union(main.inputs):
        tensor = main.tensors[number]
        if tensor.type is not TensorType.FLOAT32:
            continue
        value = executor.view(number)
        low, high = float(np.min(value, initial=0.0)), float(np.max(value, initial=0.0))
        if not np.isfinite([low, high]).all():
            raise TensorValueError(
                f"{tensor} takes values that are not finite: no scale holds them",
                tensor=number,
                rule="calibration",
            )
        before = ranges.get(number, (0.0, 0.0))
        ranges[number] = min(low, before[0]), max(high, before[1])
