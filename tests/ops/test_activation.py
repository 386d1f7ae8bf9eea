from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minilite.errors import PrepareError
from minilite.graph import Array, TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import assert_agrees, evaluate


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RELU", [0, 0, 0.5, 7, np.inf, np.nan]),
        ("RELU6", [0, 0, 0.5, 6, 6, np.nan]),
        ("RELU_N1_TO_1", [-1, -0.5, 0.5, 1, 1, np.nan]),
    ],
)
def test_clamps_and_lets_nan_through(name: str, expected: list[float]) -> None:
    x = np.array([-2, -0.5, 0.5, 7, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(evaluate(one_op(name, [tensor(x.shape)], [tensor()]), x)[0], expected)


def test_refuses_types_it_does_not_have() -> None:
    with pytest.raises(PrepareError, match="types INT32 -> INT32 are not supported; supported are FLOAT32"):
        prepare(one_op("RELU", [tensor((2,), TensorType.INT32)], [tensor((), TensorType.INT32)]))


@pytest.mark.parametrize("name", ["RELU", "RELU6", "RELU_N1_TO_1"])
@given(x=arrays(np.float32, (8,), elements=st.floats(width=32)))
def test_agrees_with_litert(litert: Any, name: str, x: Array) -> None:
    assert_agrees(litert, one_op(name, [tensor(x.shape)], [tensor()]), x)
