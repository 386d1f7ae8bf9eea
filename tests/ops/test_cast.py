from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Array, TensorType
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import evaluate

T = TensorType
NAN, INF = np.nan, np.inf


def cast(x: Any, source: TensorType, target: TensorType, name: str = "CAST") -> Array:
    values = np.array(x, source.dtype)
    (y,) = evaluate(one_op(name, [tensor(values.shape, source)], [tensor((), target)]), values)
    assert y.dtype == target.dtype
    return y


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (T.INT32, [1, -1, 0, 300, 2147483647, -2147483648, 2147483647]),
        (T.INT64, [1, -1, 0, 300, (1 << 63) - 1, -(1 << 63), (1 << 63) - 1]),
        (T.INT8, [1, -1, 0, 127, 127, -128, 127]),
        (T.UINT8, [1, 0, 0, 255, 255, 0, 255]),
        (T.UINT32, [1, 0, 0, 300, 4294967295, 0, 4294967295]),
        (T.BOOL, [True, True, True, True, True, True, True]),
        (T.FLOAT64, [1.75, -1.75, -0.5, 300, INF, -INF, NAN]),
    ],
)
def test_floats_are_truncated_and_saturate(target: TensorType, expected: list[Any]) -> None:
    x = [1.75, -1.75, -0.5, 300, INF, -INF, NAN]
    np.testing.assert_array_equal(cast(x, T.FLOAT32, target), np.array(expected, target.dtype))


def test_integers_next_to_the_ends_stay() -> None:
    # The largest float32 below 2**31, and 2**31, which no int32 is.
    np.testing.assert_array_equal(
        cast([2147483520.0, 2147483648.0], T.FLOAT32, T.INT32), [2147483520, 2147483647]
    )


def test_integers_lose_their_upper_bits() -> None:
    np.testing.assert_array_equal(cast([257, -1, 128], T.INT32, T.UINT8), [1, 255, 128])
    np.testing.assert_array_equal(cast([257, -1, 128], T.INT32, T.INT8), [1, -1, -128])
    np.testing.assert_array_equal(cast([(1 << 40) + 5], T.INT64, T.INT32), [5])


def test_truth_is_one() -> None:
    np.testing.assert_array_equal(cast([True, False], T.BOOL, T.FLOAT32), [1, 0])
    np.testing.assert_array_equal(
        cast([0.0, -0.0, NAN, 1e-40], T.FLOAT32, T.BOOL), [False, False, True, True]
    )


def test_complex_numbers_become_their_real_part() -> None:
    np.testing.assert_array_equal(cast([1.5 + 2j, 2j], T.COMPLEX64, T.FLOAT32), [1.5, 0])
    np.testing.assert_array_equal(cast([1.5, -2], T.FLOAT32, T.COMPLEX64), [1.5 + 0j, -2 + 0j])


def test_small_floats() -> None:
    np.testing.assert_array_equal(cast([1.0, 1e6], T.FLOAT32, T.FLOAT16), np.array([1, INF], np.float16))
    # bfloat16: 1 is 0x3F80; 1 + 2**-8 lies in the middle and goes to the even one; NaN stays NaN.
    bits = cast([1.0, 1 + 2**-8, 1 + 3 * 2**-8, NAN, INF, -2.5], T.FLOAT32, T.BFLOAT16)
    np.testing.assert_array_equal(bits, [0x3F80, 0x3F80, 0x3F82, 0x7FC0, 0x7F80, 0xC020])
    np.testing.assert_array_equal(cast([0x3F80, 0xC020], T.BFLOAT16, T.FLOAT32), [1, -2.5])


def test_int4_saturates() -> None:
    np.testing.assert_array_equal(cast([-9, -8, 7.9, 8], T.FLOAT32, T.INT4), [-8, -8, 7, 7])
    np.testing.assert_array_equal(cast([-8, 7], T.INT4, T.FLOAT32), [-8, 7])
    with pytest.raises(PrepareError, match="types INT4 -> INT8"):
        cast([1], T.INT4, T.INT8)


def test_bits_of_the_same_width() -> None:
    np.testing.assert_array_equal(cast([1.0, -2.0], T.FLOAT32, T.INT32, "BITCAST"), [0x3F800000, -0x40000000])


def test_bits_in_parts_and_back() -> None:
    parts = cast([0x01020304], T.INT32, T.UINT8, "BITCAST")
    np.testing.assert_array_equal(parts, [[4, 3, 2, 1]])
    np.testing.assert_array_equal(cast(parts, T.UINT8, T.INT32, "BITCAST"), [0x01020304])


def test_bits_of_other_numbers_of_parts_are_refused() -> None:
    for shape in ((), (3,)):
        with pytest.raises(PrepareError, match="its last axis must be the 4 parts of a INT32"):
            prepare(one_op("BITCAST", [tensor(shape, T.INT8)], [tensor((), T.INT32)]))
