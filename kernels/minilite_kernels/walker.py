"""Running a plan's steps: one call for each thread and inference.

A program is two tables of 64-bit integers. *Steps*: address of a compiled entry, address of its
parameter row, extent, grain. *Stages*: first step, step after the last, number of chunks. The steps
of a stage do not depend on each other; a stage begins when the one before is complete.

A stage's chunks are dealt to the threads in equal runs, so that a thread reads what it wrote itself in
the stage before; each claims from its own share by counting up, then helps with the others'. A stage is
over when all of its chunks are *done*, not when all threads have met: a thread that the system has not
scheduled holds nobody up, whoever comes late finds nothing left to do, and any number of threads gives
the same result.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minilite_kernels.compilation import compile_cached
from minilite_kernels.kernel import helper

STEP_ADDRESS, STEP_ROW, STEP_EXTENT, STEP_GRAIN = range(4)
STEP_FIELDS = 4
STAGE_FIRST, STAGE_LAST, STAGE_CHUNKS = range(3)
STAGE_FIELDS = 3

BEGUN, DONE, OVER = range(3)
"""Moments that a thread notes of a stage: it comes, it finds nothing more to claim, the stage is complete."""
_MOMENTS, _CLOCK_WORDS = 3, 2

COUNTER_STRIDE = 16
"""int64 between two counters: each has a cache line (and its neighbour, which is fetched with it) alone."""

_SPINS_BEFORE_YIELD = 2000

_INT64 = types.CPointer(types.int64)
_WINDOWS = os.name == "nt"
_give_way = types.ExternalFunction("SwitchToThread" if _WINDOWS else "sched_yield", types.int32())

# The system writes its clock where an address says: seconds and nanoseconds, or a counter on Windows.
if _WINDOWS:
    _read_clock = types.ExternalFunction("QueryPerformanceCounter", types.int32(types.int64))
    _UNITS = (time.get_clock_info("perf_counter").resolution, 0.0)
else:
    _read_clock = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.int64))
    _UNITS = (1.0, 1e-9)
    _CLOCK = time.CLOCK_MONOTONIC


def new_counters(stages: int, threads: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Counters of one run, all zero: for each stage the chunks claimed of each share, and those done."""
    return np.zeros(stages * (threads + 1) * COUNTER_STRIDE, np.int64)


Times: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Seconds: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def new_times(stages: int, threads: int) -> Times:
    """Times of one run, all zero: [stages, threads, ``BEGUN`` / ``DONE`` / ``OVER``, words of a clock]."""
    return np.zeros((stages, threads, _MOMENTS, _CLOCK_WORDS), np.int64)


def seconds(times: Times) -> Seconds:
    """``times`` in seconds of the system's clock, [stages, threads, 3]; zero where a thread was not there."""
    result: Seconds = times[..., 0] * _UNITS[0] + times[..., 1] * _UNITS[1]
    return result


@intrinsic
def _call(context: Any, address: Any, row: Any, scratch: Any, start: Any, stop: Any) -> Any:
    """Call a compiled entry."""
    word = ir.IntType(64)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = word.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [builder.inttoptr(arguments[1], pointer), *arguments[2:]])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), emit


@intrinsic
def _fetch_add(context: Any, counters: Any, place: Any, number: Any) -> Any:
    """Atomically add to ``counters[place]``; the value before."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]])
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return types.int64(_INT64, types.int64, types.int64), emit


@intrinsic
def _atomic_load(context: Any, counters: Any, place: Any) -> Any:
    """Read ``counters[place]``; what its writer wrote before is visible afterwards."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(builder.gep(arguments[0], [arguments[1]]), "seq_cst", 8)

    return types.int64(_INT64, types.int64), emit


def _walk(steps, stages, counters, times, scratch, first, last, thread, threads):  # type: ignore[no-untyped-def]
    for stage in range(first, last):
        visit = stage * threads + thread
        _note_time(times, visit, BEGUN)
        base = stage * (threads + 1) * COUNTER_STRIDE
        done = base + threads * COUNTER_STRIDE
        chunks = stages[stage * STAGE_FIELDS + STAGE_CHUNKS]
        finished = 0
        for turn in range(threads):
            # One's own share first: what a thread wrote in the stage before is still in its cache.
            share = (thread + turn) % threads
            begin, end = chunks * share // threads, chunks * (share + 1) // threads
            while True:
                chunk = begin + _fetch_add(counters, base + share * COUNTER_STRIDE, 1)
                if chunk >= end:
                    break
                _run_chunk(steps, stages[stage * STAGE_FIELDS + STAGE_FIRST], chunk, scratch)
                finished += 1
        _note_time(times, visit, DONE)
        if finished > 0:
            _fetch_add(counters, done, finished)
        spins = 0
        while _atomic_load(counters, done) < chunks:
            spins += 1
            if spins > _SPINS_BEFORE_YIELD:
                _give_way()
        _note_time(times, visit, OVER)


@helper
def _note_time(times, visit, moment):  # type: ignore[no-untyped-def]
    if times == 0:
        return
    place = times + 8 * _CLOCK_WORDS * (visit * _MOMENTS + moment)
    if _WINDOWS:
        _read_clock(place)
    else:
        _read_clock(_CLOCK, place)


@helper
def _run_chunk(steps, step, chunk, scratch):  # type: ignore[no-untyped-def]
    """Run a stage's chunk, counted over its steps, of which ``step`` is the first."""
    while True:
        extent = steps[step * STEP_FIELDS + STEP_EXTENT]
        grain = steps[step * STEP_FIELDS + STEP_GRAIN]
        share = (extent + grain - 1) // grain
        if chunk < share:
            break
        chunk -= share
        step += 1
    start = chunk * grain
    address, row = steps[step * STEP_FIELDS + STEP_ADDRESS], steps[step * STEP_FIELDS + STEP_ROW]
    _call(address, row, scratch, start, min(start + grain, extent))


_WALK = types.void(_INT64, _INT64, _INT64, *[types.int64] * 6)


@cache
def _compiled_walk() -> Any:
    return compile_cached(_walk, _WALK)


@cache
def walk() -> Callable[[int, int, int, int, int, int, int, int, int], None]:
    """The walker: ``walk(steps, stages, counters, times, scratch, first, last, thread, threads)``.

    Runs stages ``first..last``. The first five are addresses. Called by every thread that takes part,
    each with its number below ``threads``, scratch memory of its own, and the same counters and times
    (see ``new_times``; address 0: none are taken). Any of them may stay away. Runs without the
    interpreter lock.
    """
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 5)
    return prototype(int(_compiled_walk().address))
