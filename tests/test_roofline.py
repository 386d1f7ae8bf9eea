"""Stages timed within ordinary runs, beside the machine's limits."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba", reason="plans need Numba")
from minilite.benchmark import random_inputs, set_inputs
from minilite.prepare import prepare
from minilite.roofline import Peak, StageRow, measure_peak, profile_plan
from minilite.scheduler import PlanExecutor
from tests.networks import branches


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("python_step", [False, True])
def test_every_stage_has_a_row(threads: int, python_step: bool) -> None:
    graph = branches(python_step=python_step)
    executor = PlanExecutor(graph, threads=threads)
    try:
        set_inputs(executor, random_inputs(executor.subgraph.tensors[i] for i in executor.subgraph.inputs))
        executor.run()
        outputs = [executor.view(i).copy() for i in executor.subgraph.outputs]
        told: list[tuple[int, int]] = []
        rows = profile_plan(executor, 3, progress=lambda done, total: told.append((done, total)))
        for index, output in zip(executor.subgraph.outputs, outputs, strict=True):
            assert executor.view(index).tobytes() == output.tobytes(), "the clock changes nothing"
    finally:
        executor.close()
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [row.stage for row in rows] == list(range(len(executor.plan.stages)))
    assert [len(row.operators) for row in rows] == [len(stage) for stage in executor.plan.stages]
    assert sum(row.share for row in rows) == pytest.approx(1)
    assert all(row.milliseconds >= 0 and 0 <= row.idle <= 1 for row in rows)
    assert ("NumPy",) in [row.kernels for row in rows] if python_step else True
    assert any(row.gflops > 0 for row in rows)
    assert all(row.gigabytes > 0 for row in rows)


def test_what_a_stage_moves_and_computes() -> None:
    """A 1x1 convolution of 6 x 5 pixels: picture, weights and bias (padded), result."""
    from minilite_kernels import matmul

    from tests.networks import Network

    net = Network()
    graph = prepare(net.graph(net.convolution(net.input(1, 6, 5, 8), 4, 8)))
    executor = PlanExecutor(graph, threads=1)
    try:
        (row,) = profile_plan(executor, 1)
    finally:
        executor.close()
    seconds = max(row.milliseconds * 1e-3, 1e-9)
    padded = matmul.pad_columns(4)
    assert row.gflops * seconds * 1e9 == pytest.approx(2 * 30 * 8 * 4)
    assert row.gigabytes * seconds * 1e9 == pytest.approx(4 * (30 * 8 + padded * 8 + padded + 30 * 4))


def test_what_is_lost_lies_above_the_nearer_limit() -> None:
    peak = Peak(gflops=100, gigabytes=10)

    def row(gflops: float, gigabytes: float) -> StageRow:
        return StageRow(0, (), (), 4.0, 1.0, gflops, gigabytes, 0.0)

    assert peak.lost(row(25, 1)) == 3
    assert peak.lost(row(25, 5)) == 2
    assert peak.lost(row(25, 30)) == 0, "a cache carries more than the memory"


def test_the_limits_are_measured() -> None:
    peak = measure_peak(2, repeats=1)
    assert np.isfinite([peak.gflops, peak.gigabytes]).all()
    assert peak.gflops > 0
    assert peak.gigabytes > 0
