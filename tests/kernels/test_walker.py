"""The walker on hand-made tables: every chunk once, stage after stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("numba", reason="kernels need Numba")
from minilite_kernels import walker
from minilite_kernels.kernel import Input, Kernel, Output, Scratch, ScratchSpace, kernel
from numba.core import config

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT or config.BOUNDSCHECK), reason="the walker calls compiled entries"
)

Table = npt.NDArray[np.int64]


@kernel
def count(out: Output, amount: int, start: int, stop: int) -> None:
    """Add to each item, so that one computed twice shows."""
    for i in range(start, stop):
        out[i] += amount


@kernel
def running_sum(x: Input, out: Output, start: int, stop: int) -> None:
    """``out[i]`` is the sum of all ``x``: right only once the stage before is complete."""
    for i in range(start, stop):
        total = 0
        for value in x:
            total += value
        out[i] = total


@kernel
def mark(work: Scratch, out: Output, start: int, stop: int) -> None:
    """Note in the thread's scratch how many items it did."""
    work[0] += stop - start
    for i in range(start, stop):
        out[i] = 1


THREADS = 4
"""What the tables are dealt to; fewer may come."""

Step: TypeAlias = tuple[Kernel, int, int, dict[str, Any]]


class Program:
    """Tables for stages of (kernel, extent, grain, arguments)."""

    def __init__(self, *stages: list[Step]) -> None:
        self.rows: list[Table] = []
        steps: list[tuple[int, ...]] = []
        table: list[tuple[int, ...]] = []
        for stage in stages:
            first, chunks = len(steps), 0
            for leaf, extent, grain, arguments in stage:
                row = np.zeros(leaf.slots, np.int64)
                leaf.pack(arguments, row)
                self.rows.append(row)
                steps.append((leaf.entry(arguments).address, row.ctypes.data, extent, grain))
                chunks += -(-extent // grain)
            table.append((first, len(steps), chunks))
        self.steps, self.stages = np.array(steps, np.int64), np.array(table, np.int64)
        self.counters = walker.new_counters(len(stages), THREADS)
        self.times: Table | None = None

    def walk(self, first: int, last: int, scratch: int = 0, thread: int = 0) -> None:
        steps, stages, counters = (a.ctypes.data for a in (self.steps, self.stages, self.counters))
        times = 0 if self.times is None else self.times.ctypes.data
        walker.walk()(steps, stages, counters, times, scratch, first, last, thread, THREADS)

    def together(self, walks: list[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=walk) for walk in walks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def zeros(size: int) -> Table:
    return np.zeros(size, np.int64)


@pytest.mark.parametrize(("extent", "grain"), [(1, 1), (10, 3), (9, 3), (10, 100), (1000, 1)])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_every_item_is_computed_once(extent: int, grain: int, threads: int) -> None:
    out = zeros(extent + 1)
    program = Program([(count, extent, grain, {"out": out, "amount": 1})])
    program.together([partial(program.walk, 0, 1, thread=thread) for thread in range(threads)])
    assert out.tolist() == [1] * extent + [0]


def test_each_thread_notes_when_it_begins_a_stage_and_when_nothing_is_left() -> None:
    outs = [zeros(1000), zeros(1000)]
    program = Program(*([(count, 1000, 10, {"out": out, "amount": 1})] for out in outs))
    program.times = walker.new_times(2, THREADS)
    before = time.perf_counter()
    program.walk(0, 2, thread=0)
    program.walk(0, 2, thread=2)
    after = time.perf_counter()
    seconds = walker.seconds(program.times)
    assert seconds.shape == (2, THREADS, 3)
    assert not seconds[:, [1, 3]].any(), "they were not there"
    for thread in (0, 2):
        moments = seconds[:, thread].ravel()
        assert np.all(np.diff(moments) >= 0)
        assert moments[-1] - moments[0] <= after - before
    assert seconds[1, 0, walker.OVER] <= seconds[0, 2, walker.BEGUN], (
        "the second came when the first had gone"
    )


def test_the_steps_of_a_stage_share_its_chunks() -> None:
    outs = [zeros(n) for n in (5, 0, 7, 1)]
    stage: list[Step] = [(count, len(out), 2, {"out": out, "amount": i + 1}) for i, out in enumerate(outs)]
    program = Program(stage)
    assert program.stages.tolist() == [[0, 4, 3 + 0 + 4 + 1]]
    program.walk(0, 1)
    assert [out.tolist() for out in outs] == [[1] * 5, [], [3] * 7, [4]]


def test_a_stage_without_chunks_is_passed() -> None:
    out = zeros(3)
    empty: list[Step] = [(count, 0, 1, {"out": zeros(0), "amount": 1})]
    program = Program(empty, [(count, 3, 1, {"out": out, "amount": 1})], empty)
    program.walk(0, 3)
    assert out.tolist() == [1, 1, 1]


def test_a_stage_begins_when_the_one_before_is_complete() -> None:
    for _ in range(20):
        first, second, third = zeros(400), zeros(60), zeros(60)
        program = Program(
            [(count, 400, 1, {"out": first, "amount": 2})],
            [(running_sum, 60, 1, {"x": first, "out": second})],
            [(running_sum, 60, 7, {"x": second, "out": third})],
        )
        program.together([partial(program.walk, 0, 3, thread=thread) for thread in range(4)])
        assert set(second.tolist()) == {800}
        assert set(third.tolist()) == {800 * 60}


def test_whoever_comes_late_finds_nothing_left_to_do() -> None:
    out = zeros(10)
    program = Program([(count, 10, 3, {"out": out, "amount": 1})])
    for _ in range(3):
        program.walk(0, 1)
    assert out.tolist() == [1] * 10


@kernel
def order(clock: Output, out: Output, start: int, stop: int) -> None:
    """Note when each item was done."""
    for i in range(start, stop):
        clock[0] += 1
        out[i] = clock[0]


@pytest.mark.parametrize("thread", range(THREADS))
def test_a_thread_does_its_own_share_first(thread: int) -> None:
    # Nine chunks are dealt 2, 2, 2, 3 to four threads; the one that comes does all of them.
    out = zeros(9)
    program = Program([(order, 9, 1, {"clock": zeros(1), "out": out})])
    program.walk(0, 1, thread=thread)
    starts = [9 * share // THREADS for share in range(THREADS + 1)]
    turns = [share % THREADS for share in range(thread, thread + THREADS)]
    visited = [i for share in turns for i in range(starts[share], starts[share + 1])]
    assert out[visited].tolist() == list(range(1, 10))


def test_a_range_of_stages() -> None:
    outs = [zeros(2) for _ in range(4)]
    program = Program(*([(count, 2, 1, {"out": out, "amount": 1})] for out in outs))
    program.walk(1, 3)
    assert [out.any() for out in outs] == [False, True, True, False]
    program.walk(2, 2)
    program.walk(0, 1)
    assert [out.any() for out in outs] == [True, True, True, False]


def test_each_thread_has_scratch_of_its_own() -> None:
    out, scratch = zeros(500), np.zeros((3, 64), np.int64)
    # The kernel's array stands eight elements into the thread's scratch.
    work = ScratchSpace(np.dtype(np.int64), 1, offset=8 * 8)
    program = Program([(mark, 500, 1, {"work": work, "out": out})])
    addresses = [row.ctypes.data for row in scratch]
    program.together([partial(program.walk, 0, 1, row, number) for number, row in enumerate(addresses)])
    assert scratch[:, 8].sum() == 500
    scratch[:, 8] = 0
    assert not scratch.any()


def test_counters_lie_apart() -> None:
    # 128 bytes: a cache line and the one that is fetched with it.
    assert walker.COUNTER_STRIDE * 8 == 128
    assert walker.new_counters(3, threads=2).tolist() == [0] * (3 * (2 + 1) * walker.COUNTER_STRIDE)
