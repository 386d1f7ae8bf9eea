"""How near each step of a plan comes to what the machine can do: arithmetic and memory per second.

The roofline model (Williams, Waterman, Patterson: Roofline, 2009): a step can be no faster than the
processor multiplies, nor than the memory carries what it reads and writes. Both limits are measured here,
with the project's own kernels, on as many threads as run the plan.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from minilite_kernels.kernel import Kernel

from minilite import ops
from minilite.graph import Tensor
from minilite.plan import KernelStep, Plan, Step
from minilite.scheduler import PlanExecutor

Progress = Callable[[int, int], None]
"""``progress(done, total)``, called after each run."""


@dataclass(frozen=True)
class StageRow:
    """One stage of a plan: steps that run side by side.

    Attributes
    ----------
    stage:
        Its number in the plan.
    operators, kernels:
        What runs: the file's operators, joined or not, and the kernels that compute them.
    milliseconds, share:
        Median over the runs, and the part of the whole run.
    gflops:
        10^9 operations a second, two for each multiply-add of the convolutions and products in it.
    gigabytes:
        10^9 bytes a second of what its steps read and write: tensors and constants, each once.
    idle:
        The part of the threads' time in which they found nothing to do.
    """

    stage: int
    operators: tuple[str, ...]
    kernels: tuple[str, ...]
    milliseconds: float
    share: float
    gflops: float
    gigabytes: float
    idle: float


@dataclass(frozen=True)
class Peak:
    """What the machine does at best: 10^9 float32 operations, and bytes read or written, a second."""

    gflops: float
    gigabytes: float

    def lost(self, row: StageRow) -> float:
        """Milliseconds by which a stage is slower than the nearer of the two limits; caches may make it 0."""
        return row.milliseconds * max(0.0, 1 - max(row.gflops / self.gflops, row.gigabytes / self.gigabytes))


def profile_plan(executor: PlanExecutor, runs: int, *, progress: Progress | None = None) -> list[StageRow]:
    """Time every stage within ordinary runs, after one to warm up."""
    durations, busy = [], []
    executor.run()
    for run in range(runs):
        moments = executor.timed_run()
        begun, over = moments[:, 0, 0], moments[:, 0, 2]
        # A thread that came late, or in the middle, worked from then on until nothing was left.
        there = np.clip(moments[:, :, :2], begun[:, None, None], over[:, None, None])
        durations.append(over - begun)
        busy.append((there[..., 1] - there[..., 0]).sum(axis=1))
        if progress is not None:
            progress(run + 1, runs)
    seconds = np.median(durations, axis=0)
    worked = np.median(busy, axis=0)
    total = max(float(seconds.sum()), np.finfo(float).tiny)
    return [
        _row(executor.plan, number, float(seconds[number]), float(worked[number]), executor.threads, total)
        for number in range(len(executor.plan.stages))
    ]


def _row(plan: Plan, number: int, seconds: float, worked: float, threads: int, total: float) -> StageRow:
    steps = plan.stages[number]
    time = max(seconds, 1e-9)
    return StageRow(
        stage=number,
        operators=tuple(str(step.node.operator) for step in steps),
        kernels=tuple(step.kernel.name if isinstance(step, KernelStep) else "NumPy" for step in steps),
        milliseconds=seconds * 1e3,
        share=seconds / total,
        gflops=2e-9 * sum(map(_multiply_adds, steps)) / time,
        gigabytes=1e-9 * sum(_bytes(plan, step) for step in steps) / time,
        idle=max(0.0, 1 - worked / (threads * time)),
    )


def _multiply_adds(step: Step) -> int:
    op = ops.find(step.node.operator.name)
    return 0 if op is None else op.multiply_adds(step.node)


def _bytes(plan: Plan, step: Step) -> int:
    moved = sum(plan.tensors[key].nbytes for key in step.reads)
    written = sum(plan.tensors[key].nbytes for key in step.writes)
    if isinstance(step, KernelStep) and "stride" in step.arguments:
        # It may write a part of a concatenation.
        written = step.node.output.nbytes
    moved += written
    if isinstance(step, KernelStep):
        values = step.arguments.values()
        moved += sum(v.nbytes for v in values if isinstance(v, np.ndarray))
        moved += sum(v.nbytes for v in values if isinstance(v, Tensor) and v.is_constant)
    return moved


def measure_peak(threads: int, repeats: int = 5) -> Peak:
    """Measure both limits on ``threads`` threads, some 0.2 s: the best of ``repeats`` tries each.

    Arithmetic: products of a matrix that stays in the second-level cache. Memory: a copy between arrays
    that no cache holds.
    """
    products = [_product() for _ in range(threads)]
    arithmetic = min(_together(products) for _ in range(repeats))
    words = _COPIED_BYTES // (8 * threads)
    copies = [_copy(words) for _ in range(threads)]
    memory = min(_together(copies) for _ in range(repeats))
    return Peak(
        gflops=2e-9 * _PRODUCTS * _ROWS * _DEPTH * _COLUMNS * threads / arithmetic,
        gigabytes=2e-9 * 8 * words * threads / memory,
    )


_PRODUCTS, _ROWS, _DEPTH, _COLUMNS = 10, 280, 512, 128
_COPIED_BYTES = 1 << 27
"""By all threads together."""


def _product() -> Callable[[], None]:
    from minilite_kernels import matmul  # noqa: PLC0415

    arguments = {
        "x": np.ones(_ROWS * _DEPTH, np.float32),
        "weights": matmul.pack_panels(np.ones((_COLUMNS, _DEPTH), np.float32)),
        "bias": matmul.pack_columns(np.zeros(_COLUMNS, np.float32)),
        "out": np.zeros(_ROWS * _COLUMNS, np.float32),
    }
    sizes = {"depth": _DEPTH, "columns": _COLUMNS, "stride": _COLUMNS, "offset": 0}
    limits = {"low": -np.inf, "high": np.inf}
    return _caller(matmul.matmul_float, {**arguments, **sizes, **limits}, _ROWS, _PRODUCTS)


def _copy(words: int) -> Callable[[], None]:
    from minilite_kernels.arrangement import copy  # noqa: PLC0415

    source = np.ones(words, np.uint64)
    arguments = {"x": source, "out": np.ones_like(source), "source": 0, "target": 0}
    return _caller(copy, arguments, source.size, 1)


def _caller(kernel: Kernel, arguments: Mapping[str, Any], extent: int, times: int) -> Callable[[], None]:
    """A function that runs a kernel over its extent so many times, without the interpreter lock."""
    row = np.zeros(kernel.slots, np.int64)
    kernel.pack(arguments, row)
    function = kernel.entry(arguments).function

    def call() -> None:
        _ = arguments  # what the row points to
        for _time in range(times):
            function(row.ctypes.data, 0, 0, extent)

    return call


def _together(calls: Sequence[Callable[[], None]]) -> float:
    """Seconds until all calls, each on a thread of its own, are done."""
    workers = [threading.Thread(target=call) for call in calls[1:]]
    begun = perf_counter()
    for worker in workers:
        worker.start()
    calls[0]()
    for worker in workers:
        worker.join()
    return perf_counter() - begun
