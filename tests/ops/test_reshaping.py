from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.reshaping import ReshapeOptions, SqueezeOptions
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate

F32, I8, I32, I64, BOOL = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.INT32, TensorType.INT64, TensorType.BOOL
)  # fmt: skip
STRING = TensorType.STRING


def reshape(shape: tuple[int, ...], wanted: list[int] | None, option: tuple[int, ...] = ()) -> Graph:
    inputs = [tensor(shape)] + ([] if wanted is None else [constant(np.array(wanted, np.int32))])
    return one_op("RESHAPE", inputs, [tensor()], ReshapeOptions(option))


@pytest.mark.parametrize(
    ("wanted", "option", "expected"),
    [
        ([3, 4], (), (3, 4)),
        ([2, -1, 2], (), (2, 3, 2)),
        ([3, -1], (6, 2), (3, 4)),
        (None, (6, -1), (6, 2)),
        ([1, 12, 1, 1, 1, 1, 1, 1], (), (1, 12, 1, 1, 1, 1, 1, 1)),
    ],
)
def test_reshape(wanted: list[int] | None, option: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    (y,) = evaluate(reshape((2, 6), wanted, option), x)
    assert y.shape == expected
    np.testing.assert_array_equal(y.ravel(), x.ravel())


def test_reshape_to_a_scalar_and_of_nothing() -> None:
    assert evaluate(reshape((1, 1), []), np.array([[5]], np.float32))[0].shape == ()
    assert evaluate(reshape((0, 3), [3, 0]), np.empty((0, 3), np.float32))[0].shape == (3, 0)


def test_reshape_to_a_computed_shape() -> None:
    graph = one_op("RESHAPE", [tensor((4,), I8), tensor((2,), I32)], [tensor((4,), I8)])
    x = np.arange(4, dtype=np.int8)
    np.testing.assert_array_equal(evaluate(graph, x, np.array([2, -1], np.int32))[0], [[0, 1], [2, 3]])
    with pytest.raises(
        InvokeError, match=r"op 0 RESHAPE failed .* do not fill the new shape \(3, -1\)"
    ) as caught:
        evaluate(graph, x, np.array([3, -1], np.int32))
    assert caught.value.rule == "reshape-size"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("reshape-size", [5, 2]),
        ("reshape-size", [5, -1]),
        ("reshape-size", [0, -1]),
        ("reshape-shape", [-1, -1]),
        ("reshape-shape", [-2, 6]),
    ],
)
def test_reshape_refuses(rule: str, wanted: list[int]) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(reshape((2, 6), wanted))
    assert caught.value.rule == rule


@each_type(F32, I8, BOOL, I64)
def test_reshape_agrees_with_litert(litert: Any, kind: TensorType) -> None:
    x = np.arange(12).reshape(2, 6).astype(kind.dtype)
    inputs = [tensor((2, 6), kind), constant(np.array([3, -1, 2], np.int32))]
    assert_agrees(litert, one_op("RESHAPE", inputs, [tensor((), kind)]), x)


def test_an_option_of_0_is_the_old_form_of_a_scalar(litert: Any) -> None:
    (y,) = assert_agrees(litert, reshape((1,), None, (0,)), np.array([5], np.float32))
    assert y.shape == ()


@pytest.mark.parametrize(
    ("wanted", "expected"), [([0, -1], (0, 3)), ([-1, 5], (0, 5)), ([-1, 0, 3], (1, 0, 3))]
)
def test_what_is_left_of_nothing(litert: Any, wanted: list[int], expected: tuple[int, ...]) -> None:
    (y,) = assert_agrees(litert, reshape((0, 3), wanted), np.empty((0, 3), np.float32))
    assert y.shape == expected


@pytest.mark.parametrize(
    ("dims", "expected"), [((), (2, 3)), ((0,), (2, 1, 3)), ((-2,), (1, 2, 3)), ((0, 2, 0), (2, 3))]
)
def test_squeeze(dims: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 1, 3)
    (y,) = evaluate(one_op("SQUEEZE", [tensor(x.shape)], [tensor()], SqueezeOptions(dims)), x)
    assert y.shape == expected
    np.testing.assert_array_equal(y.ravel(), x.ravel())


@pytest.mark.parametrize(
    ("axis", "expected"), [(0, (1, 2, 3)), (-1, (2, 3, 1)), (2, (2, 3, 1)), (-3, (1, 2, 3))]
)
@each_type(I32, I64)
def test_expand_dims(kind: TensorType, axis: int, expected: tuple[int, ...]) -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (y,) = evaluate(one_op("EXPAND_DIMS", [tensor((2, 3)), constant(axis, kind)], [tensor()]), x)
    assert y.shape == expected


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("squeeze-size", one_op("SQUEEZE", [tensor((1, 2))], [tensor()], SqueezeOptions((1,)))),
        ("axis-range", one_op("SQUEEZE", [tensor((1, 2))], [tensor()], SqueezeOptions((2,)))),
        ("axis-range", one_op("EXPAND_DIMS", [tensor((1, 2)), constant(3, I32)], [tensor()])),
        ("integers-shape", one_op("EXPAND_DIMS", [tensor((1,)), constant([0, 1], I32)], [tensor()])),
        ("types", one_op("EXPAND_DIMS", [tensor((1,)), constant(0.0, F32)], [tensor()])),
        ("types", one_op("RESHAPE", [tensor((1,))], [tensor((), I8)], ReshapeOptions((1,)))),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_strings_keep_their_order() -> None:
    x = np.array([b"a", b"", b"\xff", b"d"], object)
    (y,) = evaluate(
        one_op("RESHAPE", [tensor((4,), STRING)], [tensor((), STRING)], ReshapeOptions((2, 2))), x
    )
    assert y.tolist() == [[b"a", b""], [b"\xff", b"d"]]
