from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import evaluate


def test_a_vector_becomes_a_diagonal() -> None:
    x = np.array([[1, 2], [3, 4]], np.float32)
    (y,) = evaluate(one_op("MATRIX_DIAG", [tensor((2, 2))], [tensor()]), x)
    np.testing.assert_array_equal(y, [[[1, 0], [0, 2]], [[3, 0], [0, 4]]])
    assert evaluate(one_op("MATRIX_DIAG", [tensor((0,))], [tensor()]), x[:0, 0])[0].shape == (0, 0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 2), [[9, 1], [2, 8]]),
        ((2, 3), [[9, 1, 2], [3, 8, 5]]),
        ((3, 2), [[9, 1], [2, 8], [4, 5]]),
        ((1, 3), [[9, 1, 2]]),
        ((3, 1), [[9], [1], [2]]),
    ],
)
def test_a_diagonal_is_replaced(shape: tuple[int, int], expected: list[list[int]]) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    diagonal = np.array([9, 8], np.float32)[: min(shape)]
    (y,) = evaluate(
        one_op("MATRIX_SET_DIAG", [tensor(shape), tensor(diagonal.shape)], [tensor()]), x, diagonal
    )
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("rule", "name", "shapes"),
    [
        ("rank", "MATRIX_DIAG", [()]),
        ("rank", "MATRIX_SET_DIAG", [(3,), ()]),
        ("diagonal-shape", "MATRIX_SET_DIAG", [(2, 3), (3,)]),
        ("input-count", "MATRIX_DIAG", [(3,), (3,)]),
    ],
)
def test_refuses(rule: str, name: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [tensor(shape) for shape in shapes], [tensor()]))
    assert caught.value.rule == rule


def test_another_type_is_refused() -> None:
    with pytest.raises(PrepareError, match="must have the type of"):
        prepare(one_op("MATRIX_DIAG", [tensor((2,))], [tensor((), TensorType.INT8)]))
