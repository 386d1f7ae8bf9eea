"""Plan -> run: memory, worker threads, and one call for each thread and inference."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
from minilite_kernels import walker
from minilite_kernels.compilation import set_cache_directory
from minilite_kernels.kernel import FAULT_WORDS

from minilite import cache, memory
from minilite.calls import SubgraphCalls
from minilite.errors import InvokeError, TensorValueError
from minilite.executor import Executor, Progress, not_kept, processors
from minilite.graph import Array, Graph, Node, Shape, Subgraph, Tensor, TensorType
from minilite.ops.checks import outside
from minilite.plan import FaultNote, KernelStep, Plan, PythonStep, aligned_copy, aligned_empty, build_plan
from minilite.progress import TerminalProgress
from minilite.reference import evaluate


class Team:
    """Worker threads that wait for jobs; the caller of ``run`` is one of the team.

    A job must be safe to call by any number of threads at any time, even after it is over: a worker
    that the system schedules late finds nothing left to do. So nobody waits for workers, only for
    the work.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._queues: list[queue.SimpleQueue[_Job | None]] = []
        self._pid = 0
        self._closed = False

    def run(self, work: Callable[[int], None], *, alone: bool = False) -> None:
        """Call ``work(thread)`` on every thread, ``work(0)`` on this one; return when that one has.

        ``alone``: there is nothing to share, do not wake the workers.

        An exception of any thread that happened by then is raised here.
        """
        if self._closed:
            raise InvokeError("the worker threads have been stopped: this model was closed", rule="closed")
        if self.threads == 1 or alone:
            work(0)
            return
        job = _Job(work)
        if self.threads > 1:
            self._start()
            try:
                for waiting in self._queues:
                    waiting.put(job)
            except BaseException:
                # An interrupt: what workers may have begun has to be over before it goes on its way.
                job(0)
                raise
        job(0)
        if job.failure is not None:
            raise job.failure

    def _start(self) -> None:
        # Threads do not survive a fork: the child makes its own.
        if self._pid != os.getpid():
            self._pid, self._queues = os.getpid(), []
        while len(self._queues) < self.threads - 1:
            waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
            number = len(self._queues) + 1
            name = f"minilite-worker-{number}"
            threading.Thread(target=_serve, args=(waiting, number), name=name, daemon=True).start()
            self._queues.append(waiting)

    def close(self) -> None:
        """Let the workers end; they hold nothing of the model."""
        self._closed = True
        if self._pid == os.getpid():
            for waiting in self._queues:
                waiting.put(None)
        self._queues = []


class _Job:
    """One piece of work and the first exception it met."""

    def __init__(self, work: Callable[[int], None]) -> None:
        self.work = work
        self.failure: BaseException | None = None

    def __call__(self, thread: int) -> None:
        try:
            self.work(thread)
        except BaseException as error:
            self.failure = error


def _serve(waiting: queue.SimpleQueue[_Job | None], number: int) -> None:
    while (job := waiting.get()) is not None:
        job(number)


class PlanExecutor:
    """The Numba backend: a plan with memory, addresses and threads. See ``executor.Executor``.

    Parameters
    ----------
    graph:
        Prepared (see ``prepare``).
    threads:
        How many compute, this one included. Results do not depend on it.
    progress:
        Told of each kernel that has to be compiled.
    resources:
        What outlives a run (see ``ops.Runtime``); executors of one model share it.
    team:
        Worker threads to borrow from a caller who waits meanwhile; by default the executor has its own.
    create:
        Makes the executors of subgraphs that operators call, from a graph and these same arguments.
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
        create: Callable[..., Executor] | None = None,
    ) -> None:
        self.plan = build_plan(graph, subgraph=subgraph, keep_all=keep_all, in_order=in_order)
        self.threads = threads or processors()
        compile_plan(self.plan, progress)
        self._program = _Program(self.plan, self.threads)
        self.resources: dict[Any, Any] = {} if resources is None else resources
        self._team = team or Team(self.threads)
        self._finalizer = None if team else weakref.finalize(self, self._team.close)
        shared = {"threads": threads, "progress": progress, "resources": self.resources, "team": self._team}
        make: Callable[..., Executor] = create or PlanExecutor
        self._calls = SubgraphCalls(graph, partial(make, **shared))

    @property
    def subgraph(self) -> Subgraph:
        """The subgraph that is run."""
        return self.plan.subgraph

    def view(self, tensor: int) -> Array:
        """See ``Executor.view``."""
        record = self.subgraph.tensors[tensor]
        if record.data is not None:
            return record.data
        if not self.plan.is_kept(tensor):
            raise not_kept(record)
        return self._program.arrays(record)

    def write(self, tensor: int, value: Array) -> None:
        """See ``Executor.write``."""
        self._program.arrays(self.subgraph.tensors[tensor])[...] = value

    def run(self, first: int = 0, last: int | None = None) -> None:
        """See ``Executor.run``."""
        operators = len(self.subgraph.operators)
        last = operators if last is None else last
        if (first, last) != (0, operators) and not self.plan.in_order:
            raise InvokeError(
                "only an executor with keep_all=True or in_order=True runs a part of the graph",
                rule="keep-all",
            )
        self._run(first, last)

    def timed_run(self) -> walker.Seconds:
        """Run all operators, and tell when each thread came to each stage, was done with it, and went on.

        Returns
        -------
        Seconds, float64 [stages, threads, 3], to be compared within a stage: see ``walker.BEGUN``. Zeros
        where a thread had no part. The clock costs some 100 ns a stage; nothing is run in another way.
        """
        times = walker.new_times(len(self.plan.stages), self.threads)
        python_steps = self._run(0, len(self.subgraph.operators), times)
        seconds = walker.seconds(times)
        for stage, begun, done in python_steps:
            seconds[stage, 0] = begun, done, done
        return seconds

    def _run(
        self, first: int, last: int, times: walker.Times | None = None
    ) -> list[tuple[int, float, float]]:
        """Run a range of operators; when each Python step, named by its stage, began and was done."""
        python_steps = []
        for begin, end, shared in self._program.segments(first, last):
            step = self.plan.stages[begin][0]
            if isinstance(step, PythonStep):
                begun = monotonic()
                self._evaluate(step.node)
                python_steps.append((begin, begun, monotonic()))
            else:
                self._team.run(self._program.walk(begin, end, times), alone=not shared)
                self._program.check_faults()
        return python_steps

    def is_compiled(self, operator: int) -> bool:
        """See ``Executor.is_compiled``; what needs no step at all counts as compiled."""
        steps = (step for step in self.plan.steps() if step.node.operator.index == operator)
        return not any(isinstance(step, PythonStep) for step in steps)

    def assign(self, tensor: Tensor, value: Array) -> None:
        """See ``ops.Runtime.assign``."""
        self._program.arrays(tensor)[...] = value

    def call(self, subgraph: int, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """See ``ops.Runtime.call``."""
        return self._calls(subgraph, inputs)

    def close(self) -> None:
        """See ``Executor.close``."""
        self._calls.close()
        if self._finalizer is not None:
            self._finalizer()

    def _evaluate(self, node: Node) -> None:
        """Run an operator's NumPy reference on the arena."""
        values = {t.index: self._value(t) for t in node.inputs if t is not None}
        for tensor, result in zip(node.outputs, evaluate(node, values, self), strict=True):
            with np.errstate(all="ignore"):
                self._value(tensor)[...] = result

    def _value(self, tensor: Tensor) -> Array:
        return tensor.data if tensor.data is not None else self._program.arrays(tensor)


class _Program:
    """A plan with addresses: the tables that the walker reads, and the memory they point into."""

    def __init__(self, plan: Plan, threads: int) -> None:
        self.plan, self.threads = plan, threads
        self._arena = aligned_empty(plan.arena_bytes)
        scratch = memory.align(plan.scratch_bytes)
        self._scratch = aligned_empty(scratch * threads)
        self._scratch_addresses = [self._scratch.ctypes.data + scratch * i for i in range(threads)]
        self._constants: dict[int, Array] = {}
        self._views: dict[tuple[int, TensorType, Shape], Array] = {}
        self._segments: dict[tuple[int, int], list[tuple[int, int, bool]]] = {}
        self._fault_notes: list[FaultNote] = []
        notes = (v for s in plan.steps() if isinstance(s, KernelStep) for v in s.arguments.values())
        self._faults = np.zeros((sum(isinstance(v, FaultNote) for v in notes), FAULT_WORDS), np.int64)
        self._rows: list[np.ndarray[Any, np.dtype[np.int64]]] = []
        self._steps = np.zeros((sum(len(s) for s in plan.stages), walker.STEP_FIELDS), np.int64)
        self._stages = np.zeros((len(plan.stages), walker.STAGE_FIELDS), np.int64)
        self._fill()
        self._tables = self._steps.ctypes.data, self._stages.ctypes.data
        self._operator_stages = _stages_of_operators(plan)

    def arrays(self, tensor: Tensor) -> Array:
        """A tensor's memory, in its shape."""
        key = (tensor.index, tensor.type, tensor.shape)  # steps may see it as words of another type
        if key in self._views:
            return self._views[key]
        buffer = self.plan.buffer_of(tensor.index)
        if buffer is None:
            raise TensorValueError(f"{tensor}: nothing computes it", tensor=tensor.index, rule="not-computed")
        flat = self._arena[buffer.offset : buffer.offset + tensor.nbytes]
        self._views[key] = flat.view(tensor.dtype).reshape(tensor.shape)
        return self._views[key]

    def walk(self, first: int, last: int, times: walker.Times | None = None) -> Callable[[int], None]:
        """A job that runs stages ``first..last``; it keeps alive all that it points to.

        ``times``, from ``walker.new_times``, are filled on the way.
        """
        counters = walker.new_counters(len(self.plan.stages), self.threads)
        clock = 0 if times is None else times.ctypes.data
        addresses = (*self._tables, counters.ctypes.data, clock)
        run = walker.walk()

        def work(thread: int) -> None:
            _ = counters, times, self
            run(*addresses, self._scratch_addresses[thread], first, last, thread, self.threads)

        return work

    def check_faults(self) -> None:
        """Raise what kernels have noted since the last time; of the first operator in the plan's order."""
        if not len(self._faults) or not self._faults.any():
            return
        number = int(np.argmax(self._faults[:, 0] > 0))
        place, value, limit = (int(word) for word in self._faults[number])
        self._faults[...] = 0
        note = self._fault_notes[number]
        index = tuple(int(i) for i in np.unravel_index(place - 1, note.tensor.shape))
        raise InvokeError(
            f"{note.node.operator}: {note.tensor}: {outside(value, index, limit)}",
            op_index=note.node.operator.index,
            op_name=note.node.operator.name,
            tensor=note.tensor.index,
            rule="index-range",
        )

    def segments(self, first_operator: int, last_operator: int) -> list[tuple[int, int, bool]]:
        """Ranges of stages for a range of operators, cut around Python steps.

        Each with whether any of its stages has work for a second thread.
        """
        key = (first_operator, last_operator)
        if key not in self._segments:
            chunks = self._stages[:, walker.STAGE_CHUNKS]
            cuts = self._cut(first_operator, last_operator)
            self._segments[key] = [(a, b, bool((chunks[a:b] > 1).any())) for a, b in cuts]
        return self._segments[key]

    def _cut(self, first_operator: int, last_operator: int) -> list[tuple[int, int]]:
        first, last = 0, len(self.plan.stages)
        if self.plan.in_order:
            operators = range(first_operator, last_operator)
            wanted = [stage for op in operators for stage in self._operator_stages.get(op, ())]
            first, last = (min(wanted), max(wanted) + 1) if wanted else (0, 0)
        cuts, begin = [], first
        for number in range(first, last):
            if isinstance(self.plan.stages[number][0], PythonStep):
                if begin < number:
                    cuts.append((begin, number))
                cuts.append((number, number + 1))
                begin = number + 1
        if begin < last:
            cuts.append((begin, last))
        return cuts

    def _fill(self) -> None:
        place = 0
        for number, stage in enumerate(self.plan.stages):
            chunks = 0
            first = place
            for step in stage:
                if isinstance(step, KernelStep):
                    row = np.zeros(step.kernel.slots, np.int64)
                    step.kernel.pack({k: self._flat(v) for k, v in step.arguments.items()}, row)
                    self._rows.append(row)
                    self._steps[place] = step.entry.address, row.ctypes.data, step.extent, step.grain
                    chunks += step.chunks
                place += 1
            self._stages[number] = first, place, chunks

    def _flat(self, value: Any) -> Any:
        """A step's symbolic argument as what the kernel gets."""
        if isinstance(value, FaultNote):
            self._fault_notes.append(value)
            return self._faults[len(self._fault_notes) - 1]
        if not isinstance(value, Tensor):
            return value
        if value.data is None:
            return self.arrays(value).reshape(-1)
        if value.index not in self._constants:
            # Views of the file are read in place where they are contiguous and aligned.
            flat = value.data.reshape(-1)
            good = flat.flags.c_contiguous and flat.flags.aligned
            self._constants[value.index] = flat if good else aligned_copy(flat)
        return self._constants[value.index]


def _stages_of_operators(plan: Plan) -> dict[int, list[int]]:
    stages: dict[int, list[int]] = {}
    for number, stage in enumerate(plan.stages):
        for step in stage:
            stages.setdefault(step.node.operator.index, []).append(number)
    return stages


def compile_plan(plan: Plan, progress: Progress | None = None) -> None:
    """Load or compile every kernel that a plan names, and the walker."""
    set_cache_directory(cache.kernels_directory())
    progress = TerminalProgress() if progress is None else progress
    missing = [entry for entry in plan.entries() if not entry.is_compiled]
    for done, entry in enumerate(missing):
        progress(done, len(missing), entry.name)
        entry.compile()
    walker.walk()
    if missing:
        progress(len(missing), len(missing), "")
