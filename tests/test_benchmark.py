from __future__ import annotations

import numpy as np
import pytest

from minilite.benchmark import ProfileRow, Timing, by_type, difference, measure, random_inputs
from minilite.graph import Quantization, Tensor, TensorType


def test_timing() -> None:
    timing = Timing.of([float(i) for i in range(1, 12)])
    assert (timing.runs, timing.median_ms, timing.p90_ms, timing.min_ms) == (11, 6.0, 10.0, 1.0)


def test_candidates_take_turns() -> None:
    calls: list[str] = []
    progress: list[tuple[int, int]] = []
    times = measure(
        [lambda: calls.append("A"), lambda: calls.append("B")],
        2,
        progress=lambda done, total: progress.append((done, total)),
    )
    assert calls == ["A", "B"] * 3
    assert [len(measured) for measured in times] == [2, 2]
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_types_are_summed_and_sorted() -> None:
    rows = [
        ProfileRow("ADD", 0, 1, 1.0, 0.1, 0.1, 1, "a", compiled=True),
        ProfileRow("CONV", 1, 1, 6.0, 0.6, 0.7, 1, "b", compiled=True),
        ProfileRow("ADD", 7, 1, 3.0, 0.3, 1.0, 1, "c", compiled=True),
    ]
    conv, add = by_type(rows)
    assert (conv.node_type, conv.count, conv.average_ms) == ("CONV", 1, 6.0)
    assert (add.node_type, add.count, add.average_ms, add.times_called) == ("ADD", 2, 4.0, 2)
    assert (conv.cumulated, add.cumulated) == pytest.approx((0.6, 1.0))


def test_differences() -> None:
    a = np.array([1.0, np.nan, np.inf, 4.0], np.float32)
    b = np.array([1.0, np.nan, np.inf, 4.5], np.float32)
    found = difference("x", a, b)
    assert (found.largest, found.unequal) == (0.5, 0.25)
    assert difference("x", a, a).largest == 0


def test_random_inputs_are_seeded_and_fit_the_tensor() -> None:
    steps = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    tensors = [
        Tensor(i, "", kind, (50, 50), (50, 50), quantization)
        for i, (kind, quantization) in enumerate(
            [
                (TensorType.FLOAT32, None),
                (TensorType.INT8, steps),
                (TensorType.UINT8, None),
                (TensorType.INT32, None),
                (TensorType.BOOL, None),
            ]
        )
    ]
    values = random_inputs(tensors)
    assert [values[i].dtype for i in range(5)] == [tensor.dtype for tensor in tensors]
    assert (values[1].min(), values[1].max()) == (-128, 127)
    assert (values[2].min(), values[2].max()) == (0, 255)
    assert not values[3].any()
    assert -1 <= values[0].min() < -0.9
    again = random_inputs(tensors)
    assert all(np.array_equal(values[i], again[i]) for i in range(5))
