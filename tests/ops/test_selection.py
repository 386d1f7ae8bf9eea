from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Array, Graph, Shape, TensorType
from minilite.ops.cumulative import CumsumOptions
from minilite.ops.selection import ArgMaxOptions, ArgMinOptions, BucketizeOptions, UniqueOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate, evaluate_litert

F32, I32, I64 = TensorType.FLOAT32, TensorType.INT32, TensorType.INT64
OPTIONS: dict[str, Any] = {"ARG_MAX": ArgMaxOptions, "ARG_MIN": ArgMinOptions}
NAN, INF = np.nan, np.inf


def select(
    name: str, shape: Shape, axis: int | TensorSpec, kind: TensorType = F32, out: TensorType = I32
) -> Graph:
    position = constant(np.array(axis, np.int32)) if isinstance(axis, int) else axis
    return one_op(name, [tensor(shape, kind), position], [tensor((), out)], OPTIONS[name](out), version=2)


@pytest.mark.parametrize(("axis", "largest", "smallest"), [(0, [1, 0, 0], [0, 1, 0]), (-1, [1, 0], [0, 1])])
def test_first_of_equals_along_an_axis(axis: int, largest: list[int], smallest: list[int]) -> None:
    x = np.array([[1, 5, 5], [3, 2, 2]], np.float32)
    # Column 2 and row 0 hold ties of 5 and of 2 against themselves.
    np.testing.assert_array_equal(evaluate(select("ARG_MAX", x.shape, axis), x)[0], largest)
    np.testing.assert_array_equal(
        evaluate(select("ARG_MIN", x.shape, axis), x)[0], [0, 1, 1] if axis == 0 else smallest
    )


@pytest.mark.parametrize(
    ("row", "largest", "smallest"),
    [
        ([NAN, 1, 2], 2, 1),
        ([1, NAN, 2], 2, 0),
        ([NAN, -INF], 1, 1),
        ([INF, NAN], 0, 0),
        ([NAN, NAN, NAN], 0, 0),
    ],
)
def test_nan_is_never_chosen(litert: Any, row: list[float], largest: int, smallest: int) -> None:
    x = np.array(row, np.float32)
    assert assert_agrees(litert, select("ARG_MAX", x.shape, 0), x)[0] == largest
    assert assert_agrees(litert, select("ARG_MIN", x.shape, 0), x)[0] == smallest


def test_a_computed_axis_is_checked_when_it_is_known() -> None:
    graph = select("ARG_MAX", (2, 3), tensor((1,), I64))
    x = np.array([[1, 5, 4], [3, 2, 9]], np.float32)
    np.testing.assert_array_equal(evaluate(graph, x, np.array([1]))[0], [1, 2])
    with pytest.raises(InvokeError, match="axis 2 does not exist"):
        evaluate(graph, x, np.array([2]))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("axis-range", select("ARG_MAX", (2, 3), 2)),
        ("axis-range", select("ARG_MAX", (), 0)),
        ("axis-size", select("ARG_MAX", (2, 3), constant(np.array([0, 1], np.int32)))),
        ("empty-axis", select("ARG_MAX", (2, 0), 1)),
        ("types", select("ARG_MAX", (2, 3), constant(np.array(0, np.float32)))),
        ("types", select("ARG_MAX", (2, 3), 0, out=F32)),
        (
            "output-type",
            one_op("ARG_MAX", [tensor((2,)), constant(np.int32(0))], [tensor((), I32)], ArgMaxOptions(I64)),
        ),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_litert_finds_no_nan_among_four_floats_minilite_does(litert: Any) -> None:
    x = np.array([NAN, -1, INF, -INF], np.float32)
    graph = select("ARG_MIN", x.shape, 0)
    assert evaluate(graph, x)[0] == 3
    assert evaluate_litert(litert, graph, x)[0] == 0


def top_k(x: Array, k: TensorSpec, index: TensorType = I32) -> Graph:
    kind = constant(x).type
    return one_op("TOPK_V2", [tensor(x.shape, kind), k], [tensor((), kind), tensor((), index)], version=3)


def test_the_largest_come_first_and_the_first_of_equals() -> None:
    x = np.array([[3, 9, 3, 9], [-1, -2, -3, -128]], np.int8)
    values, positions = evaluate(top_k(x, constant(np.array(3, np.int32))), x)
    np.testing.assert_array_equal(values, [[9, 9, 3], [-1, -2, -3]])
    np.testing.assert_array_equal(positions, [[1, 3, 0], [0, 1, 2]])
    values, positions = evaluate(top_k(x, constant(np.array([4], np.int16)), TensorType.INT16), x)
    np.testing.assert_array_equal(positions, [[1, 3, 0, 2], [0, 1, 2, 3]])
    assert positions.dtype == np.int16


def test_k_may_be_computed_and_nothing() -> None:
    x = np.array([5, 7], np.float32)
    graph = top_k(x, tensor((), I32))
    assert [value.tolist() for value in evaluate(graph, x, np.array(1, np.int32))] == [[7], [1]]
    assert [value.shape for value in evaluate(graph, x, np.array(0, np.int32))] == [(0,), (0,)]
    assert [value.shape for value in evaluate(graph, x, np.array(-1, np.int32))] == [(0,), (0,)]
    with pytest.raises(InvokeError, match="fewer than k = 3"):
        evaluate(graph, x, np.array(3, np.int32))


def test_the_largest_of_infinities_and_nan() -> None:
    x = np.array([NAN, -INF, 1, INF], np.float32)
    assert evaluate(top_k(x, constant(np.array(4, np.int32))), x)[1].tolist() == [3, 2, 0, 1]


@each_type(I32, I64)
def test_unique_keeps_the_order_of_appearance(kind: TensorType) -> None:
    x = np.array([7, 3, 7, 9, 3], np.float32)
    graph = one_op("UNIQUE", [tensor((5,))], [tensor(), tensor((), kind)], UniqueOptions(kind))
    values, which = evaluate(graph, x)
    np.testing.assert_array_equal(values, [7, 3, 9])
    np.testing.assert_array_equal(which, [0, 1, 0, 2, 1])
    assert which.dtype == kind.dtype
    assert evaluate(graph, np.array([NAN, 1, NAN, 1, -0.0], np.float32))[1].tolist() == [0, 1, 2, 1, 3]


def test_buckets_include_their_lower_boundary() -> None:
    x = np.array([-5, 0, 9.5, 10, 100, NAN], np.float32)
    options = BucketizeOptions((0.0, 10.0, 100.0))
    (y,) = evaluate(one_op("BUCKETIZE", [tensor((6,))], [tensor((), I32)], options), x)
    assert y.tolist() == [0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [
        (False, False, [1, 3, 6, 10]),
        (True, False, [0, 1, 3, 6]),
        (False, True, [10, 9, 7, 4]),
        (True, True, [9, 7, 4, 0]),
    ],
)
@each_type(F32, I32, I64)
def test_running_sums(kind: TensorType, exclusive: bool, reverse: bool, expected: list[int]) -> None:
    x = np.array([[1, 2, 3, 4], [0, 0, 0, 0]], kind.dtype)
    options = CumsumOptions(exclusive=exclusive, reverse=reverse)
    inputs = [tensor(x.shape, kind), constant(np.array(-1, np.int32))]
    np.testing.assert_array_equal(
        evaluate(one_op("CUMSUM", inputs, [tensor((), kind)], options), x)[0][0], expected
    )


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("k-range", top_k(np.zeros(2, np.float32), constant(np.array(3, np.int32)))),
        ("k-size", top_k(np.zeros(2, np.float32), constant(np.array([1, 1], np.int32)))),
        ("rank", top_k(np.zeros((), np.float32), constant(np.array(1, np.int32)))),
        ("rank", one_op("UNIQUE", [tensor((2, 2))], [tensor(), tensor((), I32)])),
        ("output-type", one_op("UNIQUE", [tensor((2,))], [tensor(), tensor((), I64)])),
        (
            "boundaries-sorted",
            one_op("BUCKETIZE", [tensor((1,))], [tensor((), I32)], BucketizeOptions((1.0, 0.0))),
        ),
        ("axis-range", one_op("CUMSUM", [tensor((2,)), constant(np.array(1, np.int32))], [tensor()])),
        ("axis-size", one_op("CUMSUM", [tensor((2,)), constant(np.array([0, 0], np.int32))], [tensor()])),
    ],
)
def test_the_others_refuse(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
