"""Running plans: the same bits on any number of threads, and nothing left behind."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="the scheduler needs Numba")
from minilite import ops
from minilite.errors import InvokeError, TensorValueError
from minilite.executor import create_executor, processors
from minilite.graph import Array, Graph
from minilite.loader import load_graph
from minilite.ops.elementwise import AddN
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.scheduler import PlanExecutor, Team
from tests.networks import Network, branches

_others: set[threading.Thread] = set()
"""Workers of models that other tests hold."""


def workers() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("minilite-worker")} - _others


def soon(condition: Callable[[], bool]) -> bool:
    """Whether it comes true within a second."""
    end = time.monotonic() + 1
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Any:
    """No test may leave a worker behind."""
    _others.update(workers())
    yield
    gc.collect()
    assert soon(lambda: not workers())
    _others.clear()


def set_inputs(executor: Any, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for index in executor.subgraph.inputs:
        view = executor.view(index)
        if view.dtype.kind == "f":
            view[...] = rng.standard_normal(view.shape)
        else:
            view[...] = rng.integers(0, 256, view.shape)


def outputs(executor: Any) -> list[Array]:
    return [executor.view(index).copy() for index in executor.subgraph.outputs]


def run(graph: Graph, *, seed: int = 0, **settings: Any) -> list[Array]:
    executor = PlanExecutor(graph, **settings)
    set_inputs(executor, seed)
    executor.run()
    results = outputs(executor)
    executor.close()
    return results


# --- results -------------------------------------------------------------------------------------


@pytest.mark.parametrize("python_step", [False, True])
@pytest.mark.parametrize("keep_all", [False, True])
def test_any_number_of_threads_gives_the_same_bits(python_step: bool, keep_all: bool) -> None:
    graph = branches(python_step=python_step, size=32)
    (alone,) = run(graph, threads=1)
    for threads in (2, 3, 4, 4 * processors()):
        for _ in range(3):
            assert run(graph, threads=threads, keep_all=keep_all)[0].tobytes() == alone.tobytes()


def test_the_result_is_that_of_the_reference() -> None:
    graph = branches(python_step=True)
    reference = ReferenceExecutor(graph)
    set_inputs(reference)
    reference.run()
    (expected,) = outputs(reference)
    np.testing.assert_allclose(run(graph, threads=2)[0], expected, rtol=0, atol=1e-5 * np.max(expected))


@pytest.mark.parametrize("name", ["deeplabv3_257_mv_gpu.tflite", "deeplabv3_jejunet_256_uint8.tflite"])
def test_deeplab_gives_the_same_bits_on_any_number_of_threads(
    model_path: Callable[[str], Path], name: str
) -> None:
    graph = prepare(load_graph(model_path(name)))
    results = {threads: run(graph, threads=threads)[0].tobytes() for threads in (1, 2, 3, 4)}
    assert len(set(results.values())) == 1


def test_runs_do_not_depend_on_the_runs_before() -> None:
    executor = PlanExecutor(branches(), threads=2)
    results = []
    for seed in (1, 2, 1):
        set_inputs(executor, seed)
        executor.run()
        results.append(outputs(executor)[0].tobytes())
    assert results[0] == results[2] != results[1]
    executor.close()


def test_an_input_set_once_serves_several_runs() -> None:
    executor = PlanExecutor(branches(), threads=2)
    set_inputs(executor)
    executor.run()
    first = outputs(executor)[0].tobytes()
    executor.run()
    assert outputs(executor)[0].tobytes() == first
    executor.close()


def test_many_executors_side_by_side() -> None:
    graph = branches()
    (expected,) = run(graph, threads=1)
    executors = [PlanExecutor(graph, threads=2) for _ in range(12)]
    for executor in executors:
        set_inputs(executor)
        executor.run()
    assert all(outputs(executor)[0].tobytes() == expected.tobytes() for executor in executors)
    assert len(workers()) == len(executors)
    for executor in executors:
        executor.close()


def test_executors_run_at_the_same_time_in_threads_of_the_caller() -> None:
    graph = branches()
    expected = [run(graph, threads=1, seed=seed)[0].tobytes() for seed in range(4)]
    found: dict[int, bytes] = {}

    def call(seed: int) -> None:
        for _ in range(5):
            found[seed] = run(graph, threads=2, seed=seed)[0].tobytes()

    callers = [threading.Thread(target=call, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert [found[seed] for seed in range(4)] == expected


# --- parts of a run ------------------------------------------------------------------------------


@pytest.mark.parametrize("python_step", [False, True])
def test_operator_by_operator_is_the_whole(python_step: bool) -> None:
    graph = branches(python_step=python_step)
    (whole,) = run(graph, threads=2)
    executor = PlanExecutor(graph, threads=2, keep_all=True)
    set_inputs(executor)
    for operator in range(len(graph.main.operators)):
        executor.run(operator, operator + 1)
    assert outputs(executor)[0].tobytes() == whole.tobytes()
    executor.close()


def test_a_part_writes_its_own_outputs_only() -> None:
    graph = branches()
    executor = PlanExecutor(graph, threads=1, keep_all=True)
    set_inputs(executor)
    executor.run(0, 2)
    written = [executor.view(op.outputs[0]).any() for op in graph.main.operators]
    assert written == [True, True, False, False, False, False, False]
    executor.run(3, 3)
    assert [executor.view(op.outputs[0]).any() for op in graph.main.operators] == written
    executor.close()


def test_a_part_goes_on_from_what_was_changed() -> None:
    graph = branches()
    executor = PlanExecutor(graph, threads=2, keep_all=True)
    set_inputs(executor)
    executor.run()
    last = graph.main.operators[-1]
    executor.view(last.inputs[0])[...] = 21
    executor.run(last.index)
    assert np.all(executor.view(last.outputs[0]) == 42)
    executor.close()


def test_a_part_needs_keep_all() -> None:
    executor = PlanExecutor(branches(), threads=1)
    with pytest.raises(InvokeError, match="keep_all=True") as caught:
        executor.run(0, 1)
    assert caught.value.rule == "keep-all"
    executor.close()


def test_intermediates_can_be_read_with_keep_all_only() -> None:
    graph = branches()
    hidden = graph.main.operators[0].outputs[0]
    executor = PlanExecutor(graph, threads=1)
    with pytest.raises(TensorValueError, match=f"tensor {hidden} 't{hidden}'.*keep_all=True") as caught:
        executor.view(hidden)
    assert (caught.value.tensor, caught.value.rule) == (hidden, "not-kept")
    executor.close()

    keeping, reference = (
        PlanExecutor(graph, threads=2, keep_all=True),
        ReferenceExecutor(graph, keep_all=True),
    )
    for kept in (keeping, reference):
        set_inputs(kept)
        kept.run()
    for operator in graph.main.operators[:4]:
        (index,) = operator.outputs
        np.testing.assert_allclose(keeping.view(index), reference.view(index), rtol=1e-3, atol=1e-3)
    keeping.close()


def test_constants_can_always_be_read() -> None:
    graph = branches()
    executor = PlanExecutor(graph, threads=1)
    weights = graph.main.operators[0].inputs[1]
    assert executor.view(weights) is graph.main.tensors[weights].data
    executor.close()


def test_views_share_the_memory_that_runs_use() -> None:
    net = Network()
    x = net.input(4)
    y = net.add("ADD", x, x)
    executor = PlanExecutor(net.graph(y), threads=1)
    given, result = executor.view(x), executor.view(y)
    given[...] = [1, 2, 3, 4]
    executor.run()
    assert result.tolist() == [2, 4, 6, 8]
    assert np.shares_memory(executor.view(x), given)
    executor.close()


# --- faults --------------------------------------------------------------------------------------


def sum_of_two() -> tuple[Graph, int]:
    """ADD_N, which has no kernel, between two ADDs."""
    net = Network()
    x = net.input(2, 2)
    summed = net.add("ADD_N", net.add("ADD", x, x), x)
    return net.graph(net.add("ADD", summed, summed)), summed


def test_a_fault_in_numpy_names_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(AddN, "evaluate", fail)
    executor = PlanExecutor(sum_of_two()[0], threads=2)
    with pytest.raises(
        InvokeError, match=r"op 1 ADD_N failed on tensor 1 .*: ZeroDivisionError: planted"
    ) as caught:
        executor.run()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert (caught.value.op_index, caught.value.op_name) == (1, "ADD_N")
    executor.close()


def test_minilite_s_own_errors_keep_their_words_and_gain_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = InvokeError("planted", op_index=1)

    def fail(*_: object) -> Any:
        raise error

    monkeypatch.setattr(AddN, "evaluate", fail)
    executor = PlanExecutor(sum_of_two()[0], threads=1)
    with pytest.raises(InvokeError) as caught:
        executor.run()
    assert caught.value.__cause__ is error
    assert str(caught.value).startswith("op 1 ADD_N failed on tensor 1 ")
    assert str(caught.value).endswith(": planted")
    executor.close()


def test_an_output_of_another_shape_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, summed = sum_of_two()
    monkeypatch.setattr(AddN, "evaluate", lambda *_: (np.zeros((2, 1), np.float32),))
    executor = PlanExecutor(graph, threads=1)
    with pytest.raises(InvokeError, match=r"shape \(2, 1\)") as caught:
        executor.run()
    assert (caught.value.tensor, caught.value.rule) == (summed, "output-shape")
    executor.close()


def test_a_run_after_a_fault_is_right() -> None:
    graph = sum_of_two()[0]
    executor = PlanExecutor(graph, threads=2)
    executor.view(0)[...] = 3
    op = ops.find("ADD_N")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(op), "evaluate", lambda *_: 1 / 0)
        with pytest.raises(InvokeError):
            executor.run()
    executor.run()
    assert np.all(outputs(executor)[0] == 18)
    executor.close()


# --- the team ------------------------------------------------------------------------------------


def test_every_thread_is_called_once_with_its_number() -> None:
    team = Team(4)
    seen: list[tuple[int, str]] = []
    everyone = threading.Barrier(4)

    def work(thread: int) -> None:
        seen.append((thread, threading.current_thread().name))
        everyone.wait(10)

    for _ in range(3):
        seen.clear()
        team.run(work)
        names = dict(seen)
        assert sorted(names) == [0, 1, 2, 3]
        assert names[0] == threading.current_thread().name
        assert [names[i] for i in (1, 2, 3)] == [f"minilite-worker-{i}" for i in (1, 2, 3)]
    team.close()


@pytest.mark.parametrize("culprit", [0, 1, 2])
def test_an_exception_of_any_thread_reaches_the_caller(culprit: int) -> None:
    team = Team(3)
    raised = threading.Event()

    def work(thread: int) -> None:
        if thread == culprit:
            raised.set()
            raise KeyError(f"thread {thread}")
        if thread == 0:
            assert raised.wait(10)
            time.sleep(0.1)  # from "raises now" to "has raised"

    with pytest.raises(KeyError, match=f"thread {culprit}"):
        team.run(work)
    finished: list[int] = []
    team.run(finished.append)
    assert 0 in finished
    assert soon(lambda: sorted(finished) == [0, 1, 2]), "a worker did not survive the exception"
    team.close()


def test_workers_start_with_the_first_work_that_can_be_shared() -> None:
    team = Team(3)
    assert not workers()
    team.run(lambda _: None, alone=True)
    assert not workers()
    team.run(lambda _: None)
    assert len(workers()) == 2
    assert all(worker.daemon for worker in workers())
    team.close()


def test_one_thread_needs_no_workers() -> None:
    seen: list[int] = []
    Team(1).run(seen.append)
    assert seen == [0]
    assert not workers()


def test_a_closed_team_says_so() -> None:
    team = Team(2)
    team.run(lambda _: None)
    team.close()
    team.close()
    with pytest.raises(InvokeError, match="closed"):
        team.run(lambda _: None)


def test_a_finished_job_may_be_called_again() -> None:
    # What a worker does that the system schedules late: it finds nothing left to do.
    executor = PlanExecutor(branches(), threads=3)
    set_inputs(executor, 1)
    late: list[Callable[[int], None]] = []
    program = executor._program

    def walk(first: int, last: int, times: Any = None) -> Callable[[int], None]:
        late.append(type(program).walk(program, first, last, times))
        return late[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "walk", walk)
        executor.run()
    before = outputs(executor)[0].tobytes()
    set_inputs(executor, 2)
    for job in late:
        for thread in (2, 1, 0):
            job(thread)
    assert outputs(executor)[0].tobytes() == before
    executor.close()


def test_a_late_job_keeps_its_memory_alive() -> None:
    executor = PlanExecutor(branches(), threads=2)
    job = executor._program.walk(0, len(executor.plan.stages))
    executor.close()
    del executor
    gc.collect()
    job(0)  # would write into freed memory


# --- the end -------------------------------------------------------------------------------------


def shared_run() -> PlanExecutor:
    executor = PlanExecutor(branches(size=32), threads=3)
    set_inputs(executor)
    executor.run()
    assert len(workers()) == 2
    return executor


def test_close_ends_the_workers_and_twice_is_fine() -> None:
    executor = shared_run()
    executor.close()
    executor.close()
    assert soon(lambda: not workers())
    with pytest.raises(InvokeError, match="closed"):
        executor.run()


def test_an_executor_that_is_dropped_leaves_no_worker() -> None:
    executor = shared_run()
    del executor
    # No collection: reference counts are enough.
    assert soon(lambda: not workers())


def test_an_executor_that_failed_to_start_leaves_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("minilite.scheduler._Program", fail)
    with pytest.raises(MemoryError):
        PlanExecutor(branches(), threads=2)
    assert not workers()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_computes_with_workers_of_its_own() -> None:
    executor = shared_run()
    expected = outputs(executor)[0].tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: what is tested here
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(20)
            executor.view(executor.subgraph.outputs[0])[...] = 0
            executor.run()
            right = outputs(executor)[0].tobytes() == expected and len(workers()) == 2
            executor.close()
            code = 0 if right and soon(lambda: not workers()) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    # And the parent goes on.
    executor.run()
    assert outputs(executor)[0].tobytes() == expected
    executor.close()


def test_an_interrupt_while_workers_are_called_waits_for_what_they_began() -> None:
    class Interrupted:
        def put(self, job: object) -> None:
            raise KeyboardInterrupt

    team = Team(2)
    done: list[int] = []
    team.run(done.append)
    queues, team._queues = team._queues, [Interrupted()]  # type: ignore[list-item]
    done.clear()
    with pytest.raises(KeyboardInterrupt):
        team.run(done.append)
    assert done == [0]
    team._queues = queues
    team.close()


def test_threads_that_cannot_be_started_leave_no_queue_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    team = Team(3)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            team.run(lambda thread: None)
    assert team._queues == []
    seen: set[int] = set()
    both = threading.Barrier(3, timeout=10)

    def work(thread: int) -> None:
        seen.add(thread)
        both.wait()

    team.run(work)
    assert seen == {0, 1, 2}
    team.close()


def test_the_default_is_a_thread_for_each_processor() -> None:
    executor = create_executor(branches(), backend="numba")
    assert isinstance(executor, PlanExecutor)
    assert executor.backend == "numba"
    assert executor.threads == processors()
    executor.close()


def test_progress_is_told_of_each_kernel_that_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    from minilite import plan as planning
    from minilite.scheduler import compile_plan

    plan = planning.build_plan(branches())
    told: list[tuple[int, int, str]] = []
    for entry in plan.entries():
        monkeypatch.setattr(entry, "_compiled", None)
    compile_plan(plan, lambda done, total, name: told.append((done, total, name)))
    kernels = [entry.name for entry in plan.entries()]
    assert told == [(i, len(kernels), name) for i, name in enumerate(kernels)] + [
        (len(kernels), len(kernels), "")
    ]
    told.clear()
    compile_plan(plan, lambda done, total, name: told.append((done, total, name)))
    assert told == []
