from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Array, Shape, TensorType
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import evaluate

BOOL, I64, F32 = TensorType.BOOL, TensorType.INT64, TensorType.FLOAT32


def choose(name: str, condition: Any, x: Any, y: Any, output: TensorSpec | None = None) -> Array:
    values = np.asarray(condition, np.bool_), np.asarray(x, np.float32), np.asarray(y, np.float32)
    specs = [tensor(v.shape, kind) for v, kind in zip(values, (BOOL, F32, F32), strict=True)]
    return evaluate(one_op(name, specs, [output or tensor()]), *values)[0]


def test_select_takes_a_condition_for_each_slice_of_the_first_axis() -> None:
    x, y = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    assert choose("SELECT", [True, False], x, y).tolist() == [[1, 2], [7, 8]]
    # SELECT_V2 broadcasts at the last.
    assert choose("SELECT_V2", [True, False], x, y).tolist() == [[1, 6], [3, 8]]


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
def test_one_condition_for_all_or_for_each(name: str) -> None:
    x, y = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    assert choose(name, False, x, y).tolist() == y
    assert choose(name, [[True, False], [False, True]], x, y).tolist() == [[1, 6], [7, 4]]


def test_select_v2_broadcasts_all_three() -> None:
    chosen = choose("SELECT_V2", [[True], [False]], [1, 2], 9)
    assert chosen.tolist() == [[1, 2], [9, 9]]


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
def test_one_number_keeps_the_shape_that_the_file_gives_it(name: str) -> None:
    assert choose(name, [True], 1, [[2]], tensor((1, 1, 1))).tolist() == [[[1]]]
    assert choose(name, [False], 1, [[2]], tensor(())).tolist() == 2


@pytest.mark.parametrize(
    ("name", "shapes", "rule"),
    [
        ("SELECT", ((2,), (2, 2), (2, 1)), "equal-shapes"),
        ("SELECT", ((3,), (2, 3), (2, 3)), "select-condition"),
        ("SELECT", ((2, 1), (2, 3), (2, 3)), "select-condition"),
        ("SELECT_V2", ((3,), (2, 2), (2, 2)), "broadcast"),
    ],
)
def test_refuses(name: str, shapes: tuple[Shape, Shape, Shape], rule: str) -> None:
    condition, x, y = shapes
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [tensor(condition, BOOL), tensor(x), tensor(y)], [tensor((9, 9))]))
    assert caught.value.rule == rule


def test_where_gives_indices_in_row_order() -> None:
    x = np.array([[np.nan, 0], [-0.0, 3]], np.float32)
    (y,) = evaluate(one_op("WHERE", [tensor((2, 2))], [tensor((), I64)]), x)
    assert y.dtype == np.int64
    assert y.tolist() == [[0, 0], [1, 1]]


def test_where_of_nothing() -> None:
    (y,) = evaluate(one_op("WHERE", [tensor((2, 2), BOOL)], [tensor((), I64)]), np.zeros((2, 2), np.bool_))
    assert y.shape == (0, 2)


def test_where_refuses_a_scalar() -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("WHERE", [tensor((), BOOL)], [tensor((), I64)]))
    assert caught.value.rule == "rank"
