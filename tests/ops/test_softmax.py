from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Array, TensorType
from minilite.ops.softmax import SoftmaxOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import evaluate

F32, U8, I8, I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
SHARE = {
    U8: tensor((), U8, scale=1 / 256),
    I8: tensor((), I8, scale=1 / 256, zero_point=-128),
    I16: tensor((), I16, scale=2**-15),
}
NAN, INF = np.nan, np.inf


def softmax(x: Any, beta: float = 1.0) -> Array:
    values = np.array(x, np.float32)
    return evaluate(one_op("SOFTMAX", [tensor(values.shape)], [tensor()], SoftmaxOptions(beta=beta)), values)[
        0
    ]


def test_shares_of_each_row() -> None:
    y = softmax([[0, np.log(3.0)], [np.log(7.0), 0]])
    np.testing.assert_allclose(y, [[0.25, 0.75], [0.875, 0.125]], rtol=2e-7)


def test_beta_scales_the_exponents() -> None:
    np.testing.assert_allclose(softmax([0, np.log(3.0)], 2.0), [0.1, 0.9], rtol=3e-7)


def test_large_values_do_not_overflow() -> None:
    np.testing.assert_allclose(softmax([3e38, 3e38, -3e38]), [0.5, 0.5, 0], rtol=1e-7)


@pytest.mark.parametrize("row", [[1, NAN, 2], [1, INF, 2], [-INF, -INF, -INF]])
def test_rows_that_have_no_shares(row: list[float]) -> None:
    np.testing.assert_array_equal(softmax([row, [0, 0, 0]])[0], [NAN] * 3)


def test_minus_infinity_has_no_share() -> None:
    np.testing.assert_array_equal(softmax([-INF, 1, 1]), [0, 0.5, 0.5])


@pytest.mark.parametrize("length", [1, 3, 4, 15, 16, 17, 1001])
def test_equal_values_of_any_number_have_equal_shares(length: int) -> None:
    np.testing.assert_allclose(
        softmax(np.full((2, length), 5.0)), np.full((2, length), 1 / length), rtol=1e-6
    )


def test_logarithms_of_shares() -> None:
    x = np.array([[0, np.log(3.0)], [1000, 0]], np.float32)
    (y,) = evaluate(one_op("LOG_SOFTMAX", [tensor(x.shape)], [tensor()]), x)
    np.testing.assert_allclose(y, [[-np.log(4.0), np.log(0.75)], [0, -1000]], rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (U8, U8, [64, 192]),
        (I8, I8, [-64, 64]),
        (U8, I16, [16384 // 2 - 16384, 24576 - 16384]),
    ],
)
def test_shares_of_bytes(source: TensorType, target: TensorType, expected: list[int]) -> None:
    # A difference of log(3).
    x = np.array([10, 110], source.dtype)
    graph = one_op(
        "SOFTMAX",
        [tensor((2,), source, scale=float(np.log(3.0) / 100))],
        [SHARE[target]],
        SoftmaxOptions(beta=1.0),
    )
    (y,) = evaluate(graph, x)
    if target is I16:  # whose reference kernel counts from the smallest value, in 65536ths
        expected = [-32768 + 16384, -32768 + 49152]
    np.testing.assert_array_equal(y, expected)


def test_shares_of_int16() -> None:
    x = np.array([100, 1100], np.int16)
    graph = one_op(
        "SOFTMAX",
        [tensor((2,), I16, scale=float(np.log(3.0) / 1000))],
        [SHARE[I16]],
        SoftmaxOptions(beta=1.0),
    )
    np.testing.assert_allclose(evaluate(graph, x)[0], [8192, 24576], atol=2)


def test_the_share_of_the_only_value_is_the_largest_number() -> None:
    graph = one_op("SOFTMAX", [tensor((3, 1), I8, scale=1.0)], [SHARE[I8]], SoftmaxOptions(beta=1.0))
    np.testing.assert_array_equal(evaluate(graph, np.array([[-128], [0], [127]], np.int8))[0], [[127]] * 3)


@pytest.mark.parametrize("length", [600, 5000])
def test_long_rows_of_bytes(length: int) -> None:
    # TFLite's reference kernel aborts from 512 equal values on, and its 32-bit sums wrap at 4096.
    graph = one_op("SOFTMAX", [tensor((length,), U8, scale=1.0)], [SHARE[U8]], SoftmaxOptions(beta=1.0))
    np.testing.assert_array_equal(evaluate(graph, np.full(length, 9, np.uint8))[0], 0)


def test_logarithms_of_bytes() -> None:
    # log(1/4) and log(3/4) in 16ths about 127: -22.2 and -4.6.
    x = np.array([0, 100], np.int8)
    graph = one_op(
        "LOG_SOFTMAX",
        [tensor((2,), I8, scale=float(np.log(3.0) / 100))],
        [tensor((), I8, scale=1 / 16, zero_point=127)],
    )
    np.testing.assert_array_equal(evaluate(graph, x)[0], [127 - 22, 127 - 5])


@pytest.mark.parametrize(
    ("rule", "name", "x", "y"),
    [
        ("rank", "SOFTMAX", tensor(()), tensor()),
        ("types", "SOFTMAX", tensor((2,), I8, scale=1.0), SHARE[U8]),
        ("quantization-scale", "SOFTMAX", tensor((2,), I8, scale=1.0), tensor((), I8, scale=1 / 128)),
        ("quantization-scale", "SOFTMAX", tensor((2,), I8, scale=1e-9), SHARE[I8]),
        ("quantization-zero-point", "SOFTMAX", tensor((2,), I8, scale=1.0), tensor((), I8, scale=1 / 256)),
        ("quantization-zero-point", "SOFTMAX", tensor((2,), I16, scale=1.0, zero_point=1), SHARE[I16]),
        ("rank", "LOG_SOFTMAX", tensor(()), tensor()),
        ("quantization-scale", "LOG_SOFTMAX", tensor((2,), I8, scale=1.0), SHARE[I8]),
    ],
)
def test_refuses(rule: str, name: str, x: TensorSpec, y: TensorSpec) -> None:
    options = SoftmaxOptions(beta=1.0) if name == "SOFTMAX" else None
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [x], [y], options))
    assert caught.value.rule == rule
