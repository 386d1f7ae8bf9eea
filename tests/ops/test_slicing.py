from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Array, Graph, TensorType
from minilite.ops.slicing import StridedSliceOptions
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import each_type, evaluate

I32, I64 = TensorType.INT32, TensorType.INT64
Bounds = list[tuple[int, int, int]]


def counted(*shape: int) -> Array:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def slice_of(shape: tuple[int, ...], begin: list[int], size: list[int], kind: TensorType = I32) -> Graph:
    where = [constant(np.array(values, kind.dtype)) for values in (begin, size)]
    return one_op("SLICE", [tensor(shape), *where], [tensor()])


def strided(shape: tuple[int, ...], bounds: Bounds, kind: TensorType = I32, **options: Any) -> Graph:
    """``bounds`` are begin, end and stride of each index."""
    columns = np.array(bounds, kind.dtype).reshape(-1, 3).T
    inputs = [tensor(shape), *(constant(column.copy()) for column in columns)]
    return one_op("STRIDED_SLICE", inputs, [tensor()], StridedSliceOptions(**options))


@each_type(I32, I64)
def test_slice(kind: TensorType) -> None:
    (y,) = evaluate(slice_of((2, 4), [1, 1], [1, -1], kind), counted(2, 4))
    np.testing.assert_array_equal(y, [[5, 6, 7]])
    assert evaluate(slice_of((2, 4), [2, 0], [-1, 2], kind), counted(2, 4))[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("bounds", "options", "expected"),
    [
        ([(1, 3, 1)], {}, [1, 2]),
        ([(0, 5, 2)], {}, [0, 2, 4]),
        ([(-1, -6, -2)], {}, [4, 2, 0]),
        ([(-9, 9, 1)], {}, [0, 1, 2, 3, 4]),
        ([(9, -9, -1)], {}, [4, 3, 2, 1, 0]),
        ([(3, 1, 1)], {}, []),
        ([(3, 2, 1)], {"begin_mask": 1}, [0, 1]),
        ([(3, 2, 1)], {"end_mask": 1}, [3, 4]),
        ([(3, 2, -1)], {"begin_mask": 1}, [4, 3]),
        ([(3, 2, -1)], {"end_mask": 1}, [3, 2, 1, 0]),
        ([(-2, 0, 1)], {"shrink_axis_mask": 1}, 3),
        ([(9, 0, 1)], {"shrink_axis_mask": 1, "begin_mask": 1}, 0),
        ([(1, 3, 1)], {"offset": True}, [1, 2, 3]),
        ([(-4, 3, 2)], {"offset": True}, [1, 3]),
        ([(3, -3, -2)], {"offset": True}, [3, 1]),
        ([(1, 0, 1)], {"offset": True}, []),
        ([(7, 7, 7), (1, 3, 1)], {"new_axis_mask": 1}, [[1, 2]]),
        ([(7, 7, 7), (1, 3, 1)], {"new_axis_mask": 1, "shrink_axis_mask": 1}, [[1, 2]]),
        ([(1, 3, 1), (0, 0, 0)], {"ellipsis_mask": 2}, [1, 2]),
        ([], {}, [0, 1, 2, 3, 4]),
    ],
)
def test_strided_slice_of_a_vector(bounds: Bounds, options: dict[str, Any], expected: list[int]) -> None:
    (y,) = evaluate(strided((5,), bounds, **options), counted(5))
    np.testing.assert_array_equal(y, np.array(expected, np.float32), strict=True)


@each_type(I32, I64)
def test_an_ellipsis_leaves_the_last_index_to_the_last_axis(kind: TensorType) -> None:
    # x[..., new axis, 1]
    bounds = [(0, 0, 1), (0, 0, 1), (1, 2, 1)]
    graph = strided((2, 3, 2), bounds, kind, ellipsis_mask=1, new_axis_mask=2, shrink_axis_mask=4)
    x = counted(2, 3, 2)
    np.testing.assert_array_equal(evaluate(graph, x)[0], x[..., np.newaxis, 1])


def test_a_slice_that_begins_somewhere_has_a_known_size_if_ends_count_from_there() -> None:
    inputs = [tensor((6,)), tensor((1,), I32), constant([2], I32), constant([1], I32)]
    graph = one_op("STRIDED_SLICE", inputs, [tensor()], StridedSliceOptions(offset=True))
    (output,) = prepare(graph).main.outputs
    assert prepare(graph).main.tensors[output].shape == (2,)
    assert evaluate(graph, counted(6), np.array([3], np.int32))[0].tolist() == [3, 4]
    with pytest.raises(InvokeError, match="2 positions from 5 on leave it"):
        evaluate(graph, counted(6), np.array([5], np.int32))


def update(shape: tuple[int, ...], part: tuple[int, ...]) -> Graph:
    return one_op(
        "DYNAMIC_UPDATE_SLICE", [tensor(shape), tensor(part), tensor((len(shape),), I32)], [tensor()]
    )


@pytest.mark.parametrize(
    ("start", "expected"), [(1, [0, 9, 8, 3]), (-5, [9, 8, 2, 3]), (3, [0, 1, 9, 8]), (99, [0, 1, 9, 8])]
)
def test_an_update_is_moved_to_lie_inside(start: int, expected: list[int]) -> None:
    (y,) = evaluate(update((4,), (2,)), counted(4), np.array([9, 8], np.float32), np.array([start], np.int32))
    assert y.tolist() == expected


def test_an_update_at_a_constant_place_is_a_kernel_s() -> None:
    x, part = counted(3, 4), np.full((2, 2), 9, np.float32)
    graph = one_op(
        "DYNAMIC_UPDATE_SLICE", [tensor((3, 4)), tensor((2, 2)), constant([0, 1], I64)], [tensor()]
    )
    np.testing.assert_array_equal(evaluate(graph, x, part)[0], [[0, 9, 9, 3], [4, 9, 9, 7], [8, 9, 10, 11]])


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("slice-bounds", slice_of((4,), [3], [2])),
        ("slice-bounds", slice_of((4,), [-1], [1])),
        ("slice-bounds", slice_of((4,), [5], [-1])),
        ("slice-bounds", slice_of((4,), [1], [-2])),
        ("integers-shape", slice_of((4,), [1, 1], [1, 1])),
        ("slice-stride", strided((4,), [(0, 4, 0)])),
        ("slice-bounds", strided((4,), [(4, 0, 1)], shrink_axis_mask=1)),
        ("slice-bounds", strided((4,), [(-5, 0, 1)], shrink_axis_mask=1)),
        ("slice-bounds", strided((4,), [(2, 3, 1)], offset=True)),
        ("slice-indices", strided((4,), [(0, 1, 1)] * 2)),
        ("slice-indices", strided((4,), [(0, 1, 1)] * 2, ellipsis_mask=3)),
        ("update-shape", update((4,), (5,))),
        ("update-shape", update((4,), (1, 1))),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
