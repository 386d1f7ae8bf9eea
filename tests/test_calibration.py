"""Ranges of a model's tensors over samples."""

from __future__ import annotations

import numpy as np
import pytest

from minilite.building import GraphBuilder, constant, tensor
from minilite.calibration import calibrate
from minilite.errors import TensorValueError
from minilite.graph import Array, Graph


def doubling() -> Graph:
    net = GraphBuilder()
    x = net.input(tensor((2,), name="x"))
    return net.graph(net.add("MUL", [x, net.tensor(constant(np.float32(2)))], tensor(name="y")))


def row(*values: float) -> list[Array]:
    return [np.array(values, np.float32)]


def test_ranges_cover_all_samples_of_any_shape_and_zero() -> None:
    told: list[int] = []
    ranges = calibrate(doubling(), [row(1, 3), row(-2, 0.5, 1)], backend="numpy", progress=told.append)
    assert ranges == {0: (-2, 3), 2: (-4, 6)}
    assert told == [1, 2]
    assert calibrate(doubling(), [row(1, 3)], backend="numpy") == {0: (0, 3), 2: (0, 6)}


def test_without_samples_there_is_nothing_to_say() -> None:
    with pytest.raises(TensorValueError, match="at least one"):
        calibrate(doubling(), [])


def test_values_that_no_scale_holds_are_refused() -> None:
    with pytest.raises(TensorValueError, match=r"'x'.* not finite"):
        calibrate(doubling(), [row(1, np.nan)], backend="numpy")
