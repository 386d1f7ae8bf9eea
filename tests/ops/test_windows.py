from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.windows import ReduceWindowFunction, ReduceWindowOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import evaluate

I8, I32, I64, BOOL = TensorType.INT8, TensorType.INT32, TensorType.INT64, TensorType.BOOL
ADD, MUL, MINIMUM, MAXIMUM, ALL, ANY = list(ReduceWindowFunction)[1:]


def window(
    x: TensorSpec,
    initial: Any,
    function: ReduceWindowFunction,
    *numbers: list[int],
    kind: TensorType | None = None,
) -> Graph:
    """``numbers``: shape, strides and dilations of the window."""
    index = [constant(n, I64) for n in numbers]
    inputs = [x, constant(initial, kind or x.type), *index]
    return one_op("REDUCE_WINDOW", inputs, [tensor((), x.type)], ReduceWindowOptions(function))


def test_a_window_steps_and_is_spread() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    graph = window(tensor(x.shape), 100, ADD, [2, 2], [1, 2], [1, 3])
    # Columns 0 and 3, then 2 and 5, of both rows, added to 100.
    assert evaluate(graph, x)[0].tolist() == [[118, 126]]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (ADD, [7, 9]),
        (MUL, [12, 0]),
        (MINIMUM, [2, 0]),
        (MAXIMUM, [3, 7]),
        (ALL, [1, 0]),
        (ANY, [1, 1]),
    ],
)
def test_functions(function: ReduceWindowFunction, expected: list[int]) -> None:
    graph = window(tensor((4,), I32), 2, function, [2], [2], [1])
    assert evaluate(graph, np.array([2, 3, 7, 0], np.int32))[0].tolist() == expected


def test_integers_wrap_and_truths_stay_truths() -> None:
    graph = window(tensor((2,), I8, scale=1), 100, ADD, [2], [1], [1])
    assert evaluate(graph, np.array([100, 100], np.int8))[0].tolist() == [44]
    graph = window(tensor((2,), BOOL), False, ADD, [2], [1], [1])
    assert evaluate(graph, np.array([True, True]))[0].tolist() == [True]


def test_a_window_larger_than_the_array_leaves_nothing() -> None:
    graph = window(tensor((4, 2)), 0, ADD, [2, 2], [1, 1], [1, 2])
    assert evaluate(graph, np.zeros((4, 2), np.float32))[0].shape == (3, 0)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("reduce-function", window(tensor((4,)), 0, ReduceWindowFunction.UNSUPPORTED, [1], [1], [1])),
        ("initial-value", window(tensor((4,)), [0, 0], ADD, [1], [1], [1])),
        ("window", window(tensor((4,)), 0, ADD, [0], [1], [1])),
        ("window", window(tensor((4,)), 0, ADD, [1], [1, 1], [1])),
        ("types", window(tensor((4,)), 0, ADD, [1], [1], [1], kind=I32)),
    ],
)
def test_reduce_window_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def dilate(x: TensorSpec, steps: TensorSpec, between: Any = 7) -> Graph:
    return one_op("DILATE", [x, steps, constant(between, x.type)], [tensor((), x.type)])


def test_dilate() -> None:
    graph = dilate(tensor((2, 3), I32), constant([2, 3], I32))
    (y,) = evaluate(graph, np.array([[1, 2, 3], [4, 5, 6]], np.int32))
    assert y.tolist() == [[1, 7, 7, 2, 7, 7, 3], [7] * 7, [4, 7, 7, 5, 7, 7, 6]]


def test_dilated_emptiness_stays_empty() -> None:
    graph = dilate(tensor((0, 2)), constant([3, 2], I32))
    assert evaluate(graph, np.zeros((0, 2), np.float32))[0].shape == (0, 3)


def test_computed_dilations_are_known_after_the_run() -> None:
    graph = dilate(tensor((2,), I32), tensor((1,), I32))
    x = np.array([1, 2], np.int32)
    assert evaluate(graph, x, np.array([3], np.int32))[0].tolist() == [1, 7, 7, 2]
    with pytest.raises(InvokeError, match="must be at least 1"):
        evaluate(graph, x, np.array([0], np.int32))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("dilations", dilate(tensor((2, 2)), constant([2], I32))),
        ("dilations", dilate(tensor((2,)), constant([0], I32))),
        ("types", dilate(tensor((2,)), constant([1], I64))),
        ("padding-value", dilate(tensor((2,)), constant([1], I32), [0, 0])),
        ("types", dilate(tensor((2,), TensorType.RESOURCE), constant([1], I32), 0)),
    ],
)
def test_dilate_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
