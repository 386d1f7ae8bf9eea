"""GATHER, GATHER_ND, SCATTER_ND, ONE_HOT, and segments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.executor import create_executor
from minilite.graph import Array, Graph, TensorType
from minilite.ops.indexing import GatherOptions, OneHotOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate, run

F32, I8, I16, I32, I64, BOOL, STRING = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32, TensorType.INT64,
    TensorType.BOOL, TensorType.STRING,
)  # fmt: skip


def integers(*values: Any, dtype: Any = np.int32) -> TensorSpec:
    return constant(np.array(values, dtype))


def gather(x: TensorSpec, positions: TensorSpec, axis: int = 0, batch_dims: int = 0) -> Graph:
    return one_op("GATHER", [x, positions], [tensor((), x.type)], GatherOptions(axis, batch_dims), version=5)


@each_type(I16, I32, I64)
def test_gather_takes_slices_along_an_axis(kind: TensorType) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    positions = integers(2, 0, dtype=kind.dtype)
    np.testing.assert_array_equal(evaluate(gather(tensor((3, 4)), positions), x)[0], x[[2, 0]])
    np.testing.assert_array_equal(evaluate(gather(tensor((3, 4)), positions, 1), x)[0], x[:, [2, 0]])
    np.testing.assert_array_equal(evaluate(gather(tensor((3, 4)), positions, -1), x)[0], x[:, [2, 0]])
    # A scalar position takes its axis away, a matrix of them makes two.
    scalar, matrix = constant(np.array(1, kind.dtype)), constant(np.array([[0, 1], [2, 2]], kind.dtype))
    np.testing.assert_array_equal(evaluate(gather(tensor((3, 4)), scalar), x)[0], x[1])
    np.testing.assert_array_equal(evaluate(gather(tensor((3, 4)), matrix), x)[0], x[[[0, 1], [2, 2]]])


@pytest.mark.parametrize("batch_dims", [1, -1])
def test_batches_go_side_by_side(litert: Any, batch_dims: int) -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    graph = gather(tensor((2, 3, 2)), integers([2, 0], [1, 1]), 1, batch_dims)
    (y,) = assert_agrees(litert, graph, x)
    np.testing.assert_array_equal(y, [[[4, 5], [0, 1]], [[8, 9], [8, 9]]])


def test_gather_moves_strings_and_nibbles() -> None:
    words = np.array([b"one", b"two", b"three"], object)
    executor = create_executor(prepare(gather(tensor((3,), STRING), integers(2, 2, 0))))
    (y,) = run(executor, [words])
    assert y.tolist() == [b"three", b"three", b"one"]
    x = np.array([[-8, 7], [1, -1]], np.int8)
    (y,) = evaluate(gather(tensor((2, 2), TensorType.INT4), integers(1)), x)
    np.testing.assert_array_equal(y, [[1, -1]])


@pytest.mark.parametrize(("wrong", "place"), [([0, 3], 1), ([-1, 0], 0)])
def test_gather_checks_positions_when_they_are_known(wrong: list[int], place: int) -> None:
    graph = gather(tensor((3,)), tensor((2,), I32))
    message = rf"GATHER.*'input_1'.*index {wrong[place]} at \[{place}\] is outside 0\.\.2"
    with pytest.raises(InvokeError, match=message):
        evaluate(graph, np.ones(3, np.float32), np.array(wrong, np.int32))


def test_gather_nd_takes_what_coordinates_leave_open() -> None:
    x = np.arange(12, dtype=np.int32).reshape(2, 3, 2)
    for at, expected in (
        ([[0, 1], [1, 2]], [[2, 3], [10, 11]]),
        ([[1, 0, 1]], [7]),
        ([1], [[6, 7], [8, 9], [10, 11]]),
    ):
        graph = one_op(
            "GATHER_ND", [tensor(x.shape, I32), constant(np.array(at, np.int32))], [tensor((), I32)]
        )
        np.testing.assert_array_equal(evaluate(graph, x)[0], expected)


def test_gather_nd_does_not_carry_from_one_axis_to_the_next() -> None:
    # Flattened, [0, 3] would be [1, 0].
    graph = one_op("GATHER_ND", [tensor((2, 3)), tensor((2, 2), I64)], [tensor()])
    with pytest.raises(InvokeError, match=r"index 3 at \[1, 1\] is outside 0\.\.2"):
        evaluate(graph, np.ones((2, 3), np.float32), np.array([[1, 2], [0, 3]]))


def scatter(coordinates: Array, slices: TensorSpec, shape: TensorSpec) -> Graph:
    return one_op(
        "SCATTER_ND", [constant(coordinates.astype(np.int32)), slices, shape], [tensor((), slices.type)]
    )


def test_scatter_nd_adds_what_meets(litert: Any) -> None:
    x = np.array([10, 20, 30], np.int32)
    graph = scatter(np.array([[1], [3], [1]]), tensor((3,), I32), integers(5))
    assert assert_agrees(litert, graph, x)[0].tolist() == [0, 40, 0, 20, 0]
    slices = np.array([[1, 2], [3, 4]], np.float32)
    graph = scatter(np.array([[2], [0]]), tensor((2, 2)), integers(3, 2))
    assert assert_agrees(litert, graph, slices)[0].tolist() == [[3, 4], [0, 0], [1, 2]]
    graph = scatter(np.array([[0], [0]]), tensor((2,), BOOL), integers(2))
    assert assert_agrees(litert, graph, np.array([True, True]))[0].tolist() == [True, False]


def test_scatter_nd_checks_coordinates() -> None:
    specs = [tensor((1, 2), I32), tensor((1,)), integers(2, 3)]
    with pytest.raises(InvokeError, match=r"index -1 at \[0, 0\] is outside 0\.\.1"):
        evaluate(
            one_op("SCATTER_ND", specs, [tensor()]), np.array([[-1, 2]], np.int32), np.ones(1, np.float32)
        )


def test_one_hot_takes_all_of_a_long_index() -> None:
    on, off = constant(np.array([1], np.int8)), constant(np.array([0], np.int8))
    specs = [tensor((2,), I64), integers(2), on, off]
    graph = one_op("ONE_HOT", specs, [tensor((), I8)], OneHotOptions(-1))
    np.testing.assert_array_equal(evaluate(graph, np.array([1, (1 << 32) + 1]))[0], [[0, 1], [0, 0]])


def test_segment_sum() -> None:
    graph = one_op("SEGMENT_SUM", [tensor((4, 2)), tensor((4,), I32)], [tensor()])
    x = np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.float32)
    (y,) = evaluate(graph, x, np.array([0, 0, 1, 2], np.int32))
    np.testing.assert_array_equal(y, [[4, 6], [5, 6], [7, 8]])
    for wrong, message in (
        ([1, 1, 1, 1], r"1 at \[0\] must be 0"),
        ([0, 0, 2, 2], r"2 at \[2\] must be 0 or 1"),
    ):
        with pytest.raises(InvokeError, match=message):
            evaluate(graph, x, np.array(wrong, np.int32))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("UNSORTED_SEGMENT_SUM", [5, 0, 7]),
        ("UNSORTED_SEGMENT_PROD", [4, 1, 12]),
        ("UNSORTED_SEGMENT_MAX", [4, -(2**31), 4]),
        ("UNSORTED_SEGMENT_MIN", [1, 2**31 - 1, 3]),
    ],
)
def test_unsorted_segments(name: str, expected: list[int]) -> None:
    graph = one_op(name, [tensor((5,), I32), tensor((5,), I32), integers(3)], [tensor((), I32)])
    x = np.array([3, 4, 1, 4, 9], np.int32)
    # A negative segment is none.
    (y,) = evaluate(graph, x, np.array([2, 2, 0, 0, -1], np.int32))
    np.testing.assert_array_equal(y, expected)
    with pytest.raises(InvokeError, match=r"segment 3 at \[1\] is not below the number of segments, 3"):
        evaluate(graph, x, np.array([0, 3, 0, 0, 0], np.int32))


def one_hot(depth: int, axis: int) -> Graph:
    on, off = constant(np.array(5, np.float32)), constant(np.array(0, np.float32))
    inputs = [tensor((2,), I32), constant(np.array(depth, np.int32)), on, off]
    return one_op("ONE_HOT", inputs, [tensor()], OneHotOptions(axis))


@pytest.mark.parametrize(
    ("axis", "expected"),
    [(-1, [[0, 5, 0], [0, 0, 0]]), (1, [[0, 5, 0], [0, 0, 0]]), (0, [[0, 0], [5, 0], [0, 0]])],
)
def test_one_hot(axis: int, expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(evaluate(one_hot(3, axis), np.array([1, 7], np.int32))[0], expected)


SIX = tensor((2, 3))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("axis-range", gather(SIX, integers(0), 2)),
        ("batch-dims", gather(SIX, integers([0], [0]), 0, 1)),
        ("batch-sizes", gather(SIX, integers([0], [0], [0]), 1, 1)),
        ("types", gather(SIX, constant(np.zeros(1, np.float32)))),
        ("types", one_op("GATHER", [SIX, integers(0)], [tensor((), I32)])),
        ("index-depth", one_op("GATHER_ND", [SIX, integers(0, 0, 0)], [tensor()])),
        ("rank", one_op("GATHER_ND", [SIX, constant(np.array(0, np.int32))], [tensor()])),
        ("scatter-slices", scatter(np.zeros((2, 1)), SIX, integers(5, 4))),
        ("scatter-shape", scatter(np.zeros((2, 1)), SIX, integers(5, -1))),
        ("axis-range", one_hot(2, -2)),
        ("depth-range", one_hot(-2, 0)),
        ("segment-count", one_op("SEGMENT_SUM", [SIX, integers(0, 0, 0)], [tensor()])),
        ("segment-order", one_op("SEGMENT_SUM", [SIX, integers(0, 2)], [tensor()])),
        ("segment-shape", one_op("UNSORTED_SEGMENT_SUM", [SIX, integers(0, 0, 0), integers(2)], [tensor()])),
        ("segment-count", one_op("UNSORTED_SEGMENT_SUM", [SIX, integers(0, 0), integers(-2)], [tensor()])),
    ],
)  # fmt: skip
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


def test_a_position_that_a_kernel_finds_wrong_ends_the_run() -> None:
    executor = create_executor(prepare(gather(tensor((3,)), tensor((2, 2), I32))))
    if not executor.is_compiled(0):
        pytest.skip("kernels need Numba")
    x = np.array([1, 2, 3], np.float32)
    for _ in range(2):  # the next run knows nothing of it
        with pytest.raises(InvokeError, match=r"'input_1'.*index 7 at \[1, 0\] is outside 0\.\.2") as caught:
            run(executor, [x, np.array([[0, 1], [7, -1]], np.int32)])
        assert (caught.value.rule, caught.value.tensor) == ("index-range", 1)
        assert run(executor, [x, np.array([[0, 1], [2, 2]], np.int32)])[0].tolist() == [[1, 2], [3, 3]]
    executor.close()


@pytest.mark.parametrize(
    "graph",
    [
        gather(tensor((4, 8)), tensor((1, 1), I32)),
        gather(tensor((3,), I32), integers(0, 1)),
        one_op("GATHER_ND", [tensor((1, 5, 4)), tensor((6, 2), I64)], [tensor()]),
        scatter(np.zeros((2, 1)), tensor((2, 3)), integers(5, 3)),
        one_hot(16, -1),
    ],
)
def test_what_models_use_has_a_kernel(graph: Graph) -> None:
    pytest.importorskip("numba", reason="kernels need Numba")
    executor = create_executor(prepare(graph))
    assert executor.is_compiled(0)
    executor.close()
