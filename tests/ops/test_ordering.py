from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Array, Graph, TensorType
from minilite.ops.ordering import ReverseSequenceOptions
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import each_type, evaluate

F32, I32, I64 = TensorType.FLOAT32, TensorType.INT32, TensorType.INT64


def placed(
    name: str, shape: tuple[int, ...], where: Any, options: Any = None, kind: TensorType = I32
) -> Graph:
    """An operator whose second input is a constant of integers."""
    return one_op(name, [tensor(shape), constant(np.array(where, kind.dtype))], [tensor()], options)


def counted(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@each_type(I32, I64)
def test_transpose(kind: TensorType) -> None:
    (y,) = evaluate(placed("TRANSPOSE", (2, 3), [1, 0], kind=kind), counted(2, 3))
    np.testing.assert_array_equal(y, [[0, 3], [1, 4], [2, 5]])
    (y,) = evaluate(placed("TRANSPOSE", (1, 2, 3), [-1, 0, 1], kind=kind), counted(1, 2, 3))
    np.testing.assert_array_equal(y, [[[0, 3]], [[1, 4]], [[2, 5]]])


def test_a_scalar_has_one_order() -> None:
    (y,) = evaluate(placed("TRANSPOSE", (), []), np.array(7, np.float32))
    assert (y.shape, y.item()) == ((), 7)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_pictures_larger_than_a_square(order: tuple[int, ...]) -> None:
    x = counted(2, 37, 41, 5)
    np.testing.assert_array_equal(evaluate(placed("TRANSPOSE", x.shape, order), x)[0], x.transpose(order))


@pytest.mark.parametrize(
    ("axes", "expected"),
    [([1], [[2, 1, 0], [5, 4, 3]]), ([-2], [[3, 4, 5], [0, 1, 2]]), ([1, 0], [[5, 4, 3], [2, 1, 0]])],
)
def test_reverse(axes: list[int], expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(evaluate(placed("REVERSE_V2", (2, 3), axes), counted(2, 3))[0], expected)


def test_axes_that_are_reversed_need_not_be_neighbours() -> None:
    x = counted(2, 3, 2)
    np.testing.assert_array_equal(evaluate(placed("REVERSE_V2", x.shape, [0, 2]), x)[0], x[::-1, :, ::-1])
    np.testing.assert_array_equal(evaluate(placed("REVERSE_V2", x.shape, []), x)[0], x)


@each_type(I32, I64)
def test_reverse_sequence(kind: TensorType) -> None:
    options = ReverseSequenceOptions(seq_dim=1, batch_dim=0)
    (y,) = evaluate(placed("REVERSE_SEQUENCE", (2, 4), [3, 0], options, kind), counted(2, 4))
    np.testing.assert_array_equal(y, [[2, 1, 0, 3], [4, 5, 6, 7]])
    options = ReverseSequenceOptions(seq_dim=0, batch_dim=1)
    (y,) = evaluate(placed("REVERSE_SEQUENCE", (2, 2), [2, 1], options, kind), counted(2, 2))
    np.testing.assert_array_equal(y, [[2, 1], [0, 3]])


def test_lengths_are_looked_at_when_they_come() -> None:
    options = ReverseSequenceOptions(seq_dim=1, batch_dim=0)
    graph = one_op("REVERSE_SEQUENCE", [tensor((2, 3)), tensor((2,), I32)], [tensor()], options)
    with pytest.raises(InvokeError, match="length 4 at 1 is not between 0 and 3"):
        evaluate(graph, counted(2, 3), np.array([3, 4], np.int32))


@each_type(I32, I64)
def test_tile(kind: TensorType) -> None:
    (y,) = evaluate(placed("TILE", (1, 2), [2, 2], kind=kind), counted(1, 2))
    np.testing.assert_array_equal(y, [[0, 1, 0, 1], [0, 1, 0, 1]])
    assert evaluate(placed("TILE", (1, 2), [0, 1], kind=kind), counted(1, 2))[0].shape == (0, 2)


@each_type(I32, I64)
def test_broadcast_to(kind: TensorType) -> None:
    (y,) = evaluate(placed("BROADCAST_TO", (2, 1), [2, 2, 2], kind=kind), counted(2, 1))
    np.testing.assert_array_equal(y, [[[0, 0], [1, 1]]] * 2)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("permutation", placed("TRANSPOSE", (2, 3), [0, 0])),
        ("permutation", placed("TRANSPOSE", (2, 3), [1, -1])),
        ("axis-range", placed("TRANSPOSE", (2, 3), [0, 2])),
        ("integers-shape", placed("TRANSPOSE", (2, 3), [0])),
        ("reverse-axes", placed("REVERSE_V2", (2, 3), [1, -1])),
        ("axis-range", placed("REVERSE_V2", (2, 3), [2])),
        ("sequence-length", placed("REVERSE_SEQUENCE", (2, 3), [3, 4], ReverseSequenceOptions(1, 0))),
        ("sequence-axes", placed("REVERSE_SEQUENCE", (2, 3), [1, 1], ReverseSequenceOptions(0, 0))),
        ("axis-range", placed("REVERSE_SEQUENCE", (2, 3), [1, 1], ReverseSequenceOptions(2, 0))),
        ("integers-shape", placed("REVERSE_SEQUENCE", (2, 3), [1], ReverseSequenceOptions(1, 0))),
        ("tile-count", placed("TILE", (2, 3), [1, -1])),
        ("integers-shape", placed("TILE", (2, 3), [1])),
        ("broadcast", placed("BROADCAST_TO", (2, 3), [2, 2])),
        ("broadcast", placed("BROADCAST_TO", (2, 1), [2])),
        ("broadcast", placed("BROADCAST_TO", (1,), [-1])),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
