from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import evaluate

BOOL, I8, U8, I32, U32 = (
    TensorType.BOOL, TensorType.INT8, TensorType.UINT8, TensorType.INT32, TensorType.UINT32
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "expected"), [("LOGICAL_AND", [[0, 0], [0, 1]]), ("LOGICAL_OR", [[0, 1], [1, 1]])]
)
def test_tables(name: str, expected: list[list[int]]) -> None:
    truth = np.array([False, True])
    graph = one_op(name, [tensor((2, 1), BOOL), tensor((2,), BOOL)], [tensor((), BOOL)])
    (y,) = evaluate(graph, truth[:, None], truth)
    assert y.dtype == np.bool_
    assert y.astype(int).tolist() == expected


def test_not() -> None:
    (y,) = evaluate(one_op("LOGICAL_NOT", [tensor((2,), BOOL)], [tensor((), BOOL)]), np.array([False, True]))
    assert y.tolist() == [True, False]


def test_xor() -> None:
    a, b = np.array([0b1100, -1], np.int8), np.array([0b1010, 1], np.int8)
    (y,) = evaluate(one_op("BITWISE_XOR", [tensor((2,), I8), tensor((2,), I8)], [tensor((), I8)]), a, b)
    assert y.tolist() == [0b0110, -2]


@pytest.mark.parametrize(
    ("kind", "value", "shift", "expected"),
    [
        (I8, -128, 3, -16),
        (I8, -128, 100, -1),
        (I8, 100, -5, 100),
        (U8, 255, 9, 1),
        (U8, 255, 1, 127),
        (U32, 2**32 - 1, 2**32 - 1, 1),
        (I32, -(2**31), 31, -1),
    ],
)
def test_shifts_keep_the_sign_and_within_the_width(
    kind: TensorType, value: int, shift: int, expected: int
) -> None:
    operands = np.array([value], kind.dtype), np.array([shift], kind.dtype)
    graph = one_op("RIGHT_SHIFT", [tensor((1,), kind), tensor((1,), kind)], [tensor((), kind)])
    assert evaluate(graph, *operands)[0].tolist() == [expected]


@pytest.mark.parametrize(
    ("name", "kind"), [("LOGICAL_AND", I32), ("RIGHT_SHIFT", TensorType.INT64), ("BITWISE_XOR", BOOL)]
)
def test_refuses_types(name: str, kind: TensorType) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [tensor((1,), kind), tensor((1,), kind)], [tensor((), kind)]))
    assert caught.value.rule == "types"
