from __future__ import annotations

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Array, TensorType
from minilite.prepare import prepare
from minilite.testing.models import constant, one_op, tensor
from tests.oracle import each_type, evaluate

F32, I32, I16, I8, U8 = (
    TensorType.FLOAT32, TensorType.INT32, TensorType.INT16, TensorType.INT8, TensorType.UINT8
)  # fmt: skip
BOOL = tensor((), TensorType.BOOL)

TRUTH = {
    "EQUAL": [False, True, False],
    "NOT_EQUAL": [True, False, True],
    "LESS": [True, False, False],
    "LESS_EQUAL": [True, True, False],
    "GREATER": [False, False, True],
}


@pytest.mark.parametrize("name", TRUTH)
@each_type(F32, I32, I16, TensorType.INT64, TensorType.FLOAT16)
def test_compares(name: str, kind: TensorType) -> None:
    a, b = np.array([1, 2, 3], kind.dtype), np.array(2, kind.dtype)
    (y,) = evaluate(one_op(name, [tensor((3,), kind), tensor((), kind)], [BOOL]), a, b)
    assert y.dtype == np.bool_
    assert y.tolist() == TRUTH[name]


def test_nan_is_unlike_everything() -> None:
    nan = np.array([np.nan], np.float32)

    def compared(name: str) -> bool:
        (y,) = evaluate(one_op(name, [tensor((1,)), tensor((1,))], [BOOL]), nan, nan)
        return bool(y.item())

    assert [name for name in TRUTH if compared(name)] == ["NOT_EQUAL"]


def quantized(name: str, kind: TensorType, a: list[int], b: list[int], scales: tuple[float, float]) -> Array:
    zero = 0 if kind is I16 else 3
    specs = [tensor((len(a),), kind, scale=scale, zero_point=zero) for scale in scales]
    values = [(np.array(x) + zero).astype(kind.dtype) for x in (a, b)]
    return evaluate(one_op(name, specs, [BOOL]), *values)[0]


@pytest.mark.parametrize("name", TRUTH)
@each_type(U8, I8, I16)
def test_quantized_values_are_compared_as_real_ones(name: str, kind: TensorType) -> None:
    # 0.5, 1 and 1.5 against 1.
    assert quantized(name, kind, [1, 2, 3], [4, 4, 4], (0.5, 0.25)).tolist() == TRUTH[name]


def test_quantized_values_nearer_than_the_guard_bits_are_equal() -> None:
    # 256 * 0.001 is 0.256 a step: 1 and 2 are rounded to 0 and 1, 5 and 6 to 1 and 2, 3 and 4 both to 1.
    assert quantized("EQUAL", I8, [1, 5, 3], [2, 6, 4], (0.001, 0.001)).tolist() == [False, False, True]
    # int16 of one scale is ordered as it stands.
    assert quantized("LESS", I16, [3], [4], (0.001, 0.001)).tolist() == [True]
    assert quantized("LESS", I8, [3], [4], (0.001, 0.001)).tolist() == [False]


def test_scales_of_one_and_more() -> None:
    assert quantized("LESS", I8, [1, 2], [1, 1], (1.0, 2.0)).tolist() == [True, False]


def test_strings() -> None:
    a = constant(np.array([b"a", b"ab", b""], object), TensorType.STRING)
    b = constant(np.array(b"ab", object), TensorType.STRING)
    assert evaluate(one_op("EQUAL", [a, b], [BOOL]))[0].tolist() == [False, True, False]
    assert evaluate(one_op("NOT_EQUAL", [a, b], [BOOL]))[0].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("name", "kind"), [("LESS", TensorType.BOOL), ("LESS", TensorType.STRING), ("EQUAL", TensorType.UINT32)]
)
def test_refuses_types(name: str, kind: TensorType) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [tensor((1,), kind), tensor((1,), kind)], [BOOL]))
    assert caught.value.rule == "types"


def test_refuses_bytes_without_a_scale() -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("EQUAL", [tensor((1,), I8), tensor((1,), I8)], [BOOL]))
    assert caught.value.rule == "quantization-missing"


def test_the_second_is_taken_where_one_is_nan() -> None:
    a, b = np.array([np.nan, 1, 2], np.float32), np.array([1, np.nan, 3], np.float32)
    for name, expected in (("MAXIMUM", [1, np.nan, 3]), ("MINIMUM", [1, np.nan, 2])):
        (y,) = evaluate(one_op(name, [tensor((3,)), tensor((3,))], [tensor()]), a, b)
        np.testing.assert_array_equal(y, expected)


@each_type(F32, I32, I16, I8, U8)
def test_extremes_broadcast(kind: TensorType) -> None:
    a, b = np.array([[1], [5]], kind.dtype), np.array([2, 7], kind.dtype)
    specs = [tensor((2, 1), kind), tensor((2,), kind)]
    assert evaluate(one_op("MAXIMUM", specs, [tensor((), kind)]), a, b)[0].tolist() == [[2, 7], [5, 7]]
    assert evaluate(one_op("MINIMUM", specs, [tensor((), kind)]), a, b)[0].tolist() == [[1, 1], [2, 5]]
