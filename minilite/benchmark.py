"""How long a model takes: as a whole, operator by operator, and against LiteRT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from minilite.executor import Executor
from minilite.graph import Array, Subgraph, Tensor, TensorType

if TYPE_CHECKING:
    from minilite.litert import LiteRT
    from minilite.model import Model

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called after each run."""


@dataclass(frozen=True)
class Timing:
    """Statistics of repeated runs, in milliseconds."""

    runs: int
    median_ms: float
    p90_ms: float
    min_ms: float

    @classmethod
    def of(cls, milliseconds: Sequence[float]) -> Timing:
        """The statistics of measured times."""
        median, p90 = np.percentile(milliseconds, [50, 90]).tolist()
        return cls(len(milliseconds), median, p90, min(milliseconds))


@dataclass(frozen=True)
class Difference:
    """How an output differs between two runtimes: largest absolute difference, share that is unequal."""

    name: str
    largest: float
    unequal: float


@dataclass(frozen=True)
class Comparison:
    """The same input on LiteRT, measured in turns with minilite.

    Attributes
    ----------
    kernels:
        See ``litert.LiteRT``.
    ratio_of_medians, median_ratio:
        minilite's time over LiteRT's: of the medians, and the median over pairs of runs that followed
        each other. Below 1, minilite is faster.
    differences:
        How far each output lies from LiteRT's.
    """

    litert: Timing
    kernels: str
    ratio_of_medians: float
    median_ratio: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Result:
    """Whole runs of a model."""

    backend: str
    threads: int
    minilite: Timing
    comparison: Comparison | None


@dataclass(frozen=True)
class ProfileRow:
    """One line of a profile, in the columns of TensorFlow's ``benchmark_model``; times in ms.

    ``start_ms`` is when the operator starts within a run on average, ``first_ms`` its time in the first
    run, ``share`` its part of the whole run, ``cumulated`` that of all lines up to this one; ``compiled``
    whether kernels compute it, or its NumPy reference.
    """

    node_type: str
    start_ms: float
    first_ms: float
    average_ms: float
    share: float
    cumulated: float
    times_called: int
    name: str
    compiled: bool


@dataclass(frozen=True)
class TypeRow:
    """The operators of one type together, in the order of their cost."""

    node_type: str
    count: int
    average_ms: float
    share: float
    cumulated: float
    times_called: int


def random_inputs(tensors: Iterable[Tensor], seed: int = 0) -> dict[int, Array]:
    """Values for input tensors by tensor number, the same for the same seed.

    Floats are uniform in -1 ... 1, quantised and 8-bit integers cover their range, other integers are
    zero, because they may be indices, and texts are empty.
    """
    random = np.random.default_rng(seed)
    values = {}
    for tensor in tensors:
        if tensor.dtype.kind == "f":
            value = random.uniform(-1, 1, tensor.shape)
        elif tensor.dtype.kind in "iu" and (tensor.quantization or tensor.dtype.itemsize == 1):
            limits = np.iinfo(tensor.dtype)
            value = random.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)
        else:
            value = zeros(tensor)
        values[tensor.index] = value.astype(tensor.type.array_dtype)
    return values


def zeros(tensor: Tensor) -> Array:
    """A value of zeros, or of empty texts."""
    return np.full(tensor.shape, b"" if tensor.type is TensorType.STRING else 0, tensor.type.array_dtype)


def set_inputs(executor: Executor, inputs: dict[int, Array]) -> None:
    """Write values, given by tensor number, into an executor."""
    for index, value in inputs.items():
        executor.view(index)[...] = value


def benchmark(
    model: Model, runs: int, *, litert: LiteRT | None = None, progress: Progress | None = None
) -> Result:
    """Measure whole runs on random input, in turns with LiteRT if that is given.

    Only running is measured: inputs are set before and outputs read after.
    """
    executor = model.executor()
    try:
        inputs = random_inputs(executor.subgraph.tensors[i] for i in executor.subgraph.inputs)
        set_inputs(executor, inputs)
        if litert is None:
            (times,) = measure([executor.run], runs, progress=progress)
            return Result(model.backend, model.threads, Timing.of(times), None)
        litert.set_inputs(inputs)
        times, other_times = measure([executor.run, litert.run], runs, progress=progress)
        own, other = Timing.of(times), Timing.of(other_times)
        comparison = Comparison(
            litert=other,
            kernels=litert.kernels,
            ratio_of_medians=own.median_ms / other.median_ms,
            median_ratio=float(np.median(np.divide(times, other_times))),
            differences=tuple(
                difference(tensor.name, executor.view(tensor.index), litert.value(tensor.index))
                for tensor in model.outputs
            ),
        )
        return Result(model.backend, model.threads, own, comparison)
    finally:
        executor.close()


def difference(name: str, a: Array, b: Array) -> Difference:
    """Compare two values of an output; NaN equals NaN, and an infinity equals itself."""
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    unequal = (wide_a != wide_b) & ~(np.isnan(wide_a) & np.isnan(wide_b))
    apart = np.abs(wide_a[unequal] - wide_b[unequal])
    return Difference(name, float(apart.max(initial=0.0)), float(np.mean(unequal)))


def measure(
    candidates: Sequence[Callable[[], object]], runs: int, *, progress: Progress | None = None
) -> list[list[float]]:
    """Milliseconds of each run of each candidate, after a tenth of the runs to warm up.

    Candidates take turns (A B A B ...), so that a machine that slows down slows all of them.
    """
    times: list[list[float]] = [[] for _ in candidates]
    warm_ups = max(1, runs // 10)
    for run in range(warm_ups + runs):
        for candidate, measured in zip(candidates, times, strict=True):
            start = perf_counter()
            candidate()
            elapsed = (perf_counter() - start) * 1e3
            if run >= warm_ups:
                measured.append(elapsed)
        if progress is not None:
            progress(run + 1, warm_ups + runs)
    return times


def profile(executor: Executor, runs: int, *, progress: Progress | None = None) -> list[ProfileRow]:
    """Time every operator by itself (``executor`` must be made with ``keep_all``).

    Each operator is run alone, after the one before it, which adds some microseconds to each and hides
    what a plan gains by joining them: the sum exceeds the time of a whole run.
    """
    operators = executor.subgraph.operators
    times = np.zeros((runs, len(operators)))
    for run in range(runs):
        for index in range(len(operators)):
            start = perf_counter()
            executor.run(index, index + 1)
            times[run, index] = (perf_counter() - start) * 1e3
        if progress is not None:
            progress(run + 1, runs)
    average = times.mean(axis=0)
    ends = average.cumsum()
    total = max(float(average.sum()), np.finfo(float).tiny)
    return [
        ProfileRow(
            node_type=operator.name,
            start_ms=float(ends[i] - average[i]),
            first_ms=float(times[0, i]),
            average_ms=float(average[i]),
            share=float(average[i] / total),
            cumulated=float(ends[i] / total),
            times_called=1,
            name=_output_names(executor.subgraph, operator.outputs),
            compiled=executor.is_compiled(i),
        )
        for i, operator in enumerate(operators)
    ]


def by_type(rows: Sequence[ProfileRow]) -> list[TypeRow]:
    """A profile summed up by node type, the most expensive first."""
    sums: dict[str, list[float]] = {}
    for row in rows:
        sums.setdefault(row.node_type, []).append(row.average_ms)
    total = max(sum(map(sum, sums.values())), np.finfo(float).tiny)
    result, cumulated = [], 0.0
    for name, averages in sorted(sums.items(), key=lambda item: -sum(item[1])):
        share = sum(averages) / total
        cumulated += share
        result.append(TypeRow(name, len(averages), sum(averages), share, cumulated, len(averages)))
    return result


def _output_names(subgraph: Subgraph, outputs: Sequence[int]) -> str:
    return ", ".join(subgraph.tensors[i].name for i in outputs)
