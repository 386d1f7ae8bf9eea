"""Reductions along axes: MEAN, SUM, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ANY, REDUCE_ALL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.executor import create_executor
from minilite.graph import Graph, TensorType
from minilite.ops.reduction import ReducerOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate, quantized

F32, I8, I16, I32, I64, U8, BOOL = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32, TensorType.INT64,
    TensorType.UINT8, TensorType.BOOL,
)  # fmt: skip
NAN, INF = np.nan, np.inf
LARGEST = float(np.finfo(np.float32).max)


def reduction(
    name: str,
    x: TensorSpec,
    axes: Sequence[int],
    y: TensorSpec | None = None,
    *,
    keep: bool = False,
) -> Graph:
    inputs = [x, constant(np.array(axes, np.int32))]
    version = 1 if name in ("REDUCE_ANY", "REDUCE_ALL") else 2
    return one_op(name, inputs, [y or tensor(type=x.type)], ReducerOptions(keep_dims=keep), version=version)


@pytest.mark.parametrize(
    ("name", "rows", "columns"),
    [
        ("SUM", [6, -15], [-3, -3, -3]),
        ("MEAN", [2, -5], [-1, -1, -1]),
        ("REDUCE_PROD", [6, -120], [-4, -10, -18]),
        ("REDUCE_MAX", [3, -4], [1, 2, 3]),
        ("REDUCE_MIN", [1, -6], [-4, -5, -6]),
    ],
)
@each_type(F32, I32, I64)
def test_along_rows_and_columns(name: str, kind: TensorType, rows: list[int], columns: list[int]) -> None:
    x = np.array([[1, 2, 3], [-4, -5, -6]], kind.dtype)
    np.testing.assert_array_equal(evaluate(reduction(name, tensor((2, 3), kind), [1]), x)[0], rows)
    (y,) = evaluate(reduction(name, tensor((2, 3), kind), [-2], keep=True), x)
    # Means of integers are cut off towards zero, those of floats are not.
    exact = [-1.5, -1.5, -1.5] if (name, kind) == ("MEAN", F32) else columns
    np.testing.assert_array_equal(y, [exact])


def test_axes_may_repeat_and_be_left_out() -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    np.testing.assert_array_equal(
        evaluate(reduction("SUM", tensor(x.shape), [2, -1, 0]), x)[0], x.sum(axis=(0, 2))
    )
    np.testing.assert_array_equal(evaluate(reduction("SUM", tensor(x.shape), []), x)[0], x)
    assert evaluate(reduction("MEAN", tensor(()), [5]), np.array(7, np.float32))[0] == 7


def test_a_computed_axis_is_checked_when_it_is_known() -> None:
    graph = one_op("SUM", [tensor((2, 3)), tensor((1,), I32)], [tensor()], ReducerOptions())
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(evaluate(graph, x, np.array([0], np.int32))[0], [2, 2, 2])
    with pytest.raises(InvokeError, match="axis 2 does not exist"):
        evaluate(graph, x, np.array([2], np.int32))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("SUM", F32, 0), ("REDUCE_PROD", F32, 1), ("REDUCE_MAX", F32, -LARGEST), ("REDUCE_MIN", F32, LARGEST),
        ("MEAN", F32, NAN), ("MEAN", I32, 0), ("REDUCE_MAX", I8, -128), ("REDUCE_ANY", BOOL, False),
        ("REDUCE_ALL", BOOL, True),
    ],
)  # fmt: skip
def test_of_nothing(litert: Any, name: str, kind: TensorType, expected: float) -> None:
    graph = reduction(name, tensor((2, 0), kind), [1])
    (y,) = assert_agrees(litert, graph, np.empty((2, 0), kind.dtype))
    np.testing.assert_array_equal(y, [expected] * 2)


@pytest.mark.parametrize(
    ("row", "largest", "smallest"),
    [
        ([NAN, 1, 2], 2, 1),
        ([1, NAN, -INF], 1, -INF),
        ([-INF, -INF, NAN], -LARGEST, -INF),
        ([NAN, NAN, NAN], -LARGEST, LARGEST),
    ],
)
def test_nan_is_never_chosen(litert: Any, row: list[float], largest: float, smallest: float) -> None:
    x = np.array([row, row], np.float32)
    for name, expected in (("REDUCE_MAX", largest), ("REDUCE_MIN", smallest)):
        (y,) = assert_agrees(litert, reduction(name, tensor((2, 3)), [1]), x)
        np.testing.assert_array_equal(y, np.array([expected] * 2, np.float32))


@pytest.mark.parametrize(("row", "largest"), [([NAN, 1], NAN), ([1, NAN], 1), ([-INF, -INF], -INF)])
def test_over_all_axes_the_first_element_begins(litert: Any, row: list[float], largest: float) -> None:
    x = np.array(row, np.float32)
    (y,) = assert_agrees(litert, reduction("REDUCE_MAX", tensor((2,)), [0]), x)
    np.testing.assert_array_equal(y, np.float32(largest))


def test_integers_wrap(litert: Any) -> None:
    x = np.array([2**31 - 1, 2], np.int32)
    assert assert_agrees(litert, reduction("SUM", tensor((2,), I32), [0]), x)[0] == -(2**31) + 1
    assert assert_agrees(litert, reduction("REDUCE_PROD", tensor((2,), I32), [0]), x)[0] == -2
    # A mean does not: it adds in 64 bits.
    assert assert_agrees(litert, reduction("MEAN", tensor((2,), I32), [0]), x)[0] == 2**30


def test_booleans() -> None:
    x = np.array([[True, False], [True, True]])
    for name, expected in {
        "REDUCE_ANY": [True, True],
        "REDUCE_ALL": [False, True],
        "SUM": [True, True],
        "REDUCE_PROD": [False, True],
        "REDUCE_MAX": [True, True],
        "REDUCE_MIN": [False, True],
    }.items():
        np.testing.assert_array_equal(evaluate(reduction(name, tensor((2, 2), BOOL), [1]), x)[0], expected)


@each_type(U8, I8)
def test_quantized_sums_and_means_change_the_scale(kind: TensorType) -> None:
    offset = int(np.iinfo(kind.dtype).min)
    x = (np.array([[14, 20, 11, 30]]) + offset).astype(kind.dtype)  # 2, 5, 0.5 and 10 at zero point 10
    spec, half = quantized(kind, 0.5, 10, (1, 4)), quantized(kind, 0.25, 50)
    assert evaluate(reduction("MEAN", spec, [1], half), x)[0] - offset == 50 + 18  # 4.375, 17.5 steps
    assert evaluate(reduction("SUM", spec, [1], half), x)[0] - offset == 50 + 70  # 17.5
    assert evaluate(reduction("SUM", spec, [1], quantized(kind, 0.05, 50)), x)[0] == np.iinfo(kind.dtype).max


def test_int8_sum_is_right_where_litert_is_not() -> None:
    # LiteRT's reference kernel takes the bytes for uint8.
    x = np.array([-3, 1, 1], np.int8)
    spec = tensor((3,), I8, scale=1.0)
    assert evaluate(reduction("SUM", spec, [0], tensor((), I8, scale=1.0)), x)[0] == -1
    x = np.array([-3000, 1, 1], np.int16)
    spec = tensor((3,), I16, scale=1.0)
    assert evaluate(reduction("SUM", spec, [0], tensor((), I16, scale=1.0)), x)[0] == -2998


def test_a_quantized_sum_of_nothing_is_a_real_zero() -> None:
    graph = reduction(
        "SUM", tensor((0,), U8, scale=1.0, zero_point=7), [0], tensor((), U8, scale=1.0, zero_point=9)
    )
    assert evaluate(graph, np.empty(0, np.uint8))[0] == 9


def test_quantized_products_are_rescaled_factor_by_factor(litert: Any) -> None:
    spec = tensor((3,), I8, scale=0.5, zero_point=1)
    graph = reduction("REDUCE_PROD", spec, [0], tensor((), I8, scale=0.125, zero_point=-4))
    # 1 * 1.5 * -2 = -3, of which 0.125 are a step.
    assert assert_agrees(litert, graph, np.array([3, 4, -3], np.int8), exact=True)[0] == -4 - 24


def test_raw_products_of_bytes_wrap(litert: Any) -> None:
    x = np.array([100, 3], np.int8)
    assert assert_agrees(litert, reduction("REDUCE_PROD", tensor((2,), I8), [0]), x)[0] == 44


def test_a_long_float_sum_is_nearer_than_one_by_one() -> None:
    x = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)
    exact = x.astype(np.float64).mean(axis=(1, 2))
    (y,) = evaluate(reduction("MEAN", tensor(x.shape), [1, 2]), x)
    assert np.abs(y - exact).max() <= np.finfo(np.float32).eps
    one_by_one = np.cumsum(x.reshape(-1, 3), axis=0)[-1] / np.float32(96 * 96)
    assert np.abs(one_by_one - exact).max() > 5e-7


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("axis-range", reduction("SUM", tensor((2, 3)), [2])),
        ("axis-range", reduction("REDUCE_MAX", tensor((2, 3)), [0, -3])),
        ("types", reduction("SUM", tensor((2,)), [0], tensor((), I32))),
        ("types", reduction("REDUCE_ANY", tensor((2,)), [0])),
        ("types", one_op("SUM", [tensor((2,)), constant(np.zeros(1, np.int64))], [tensor()])),
        ("quantization-missing", reduction("MEAN", tensor((2,), U8), [0], tensor((), U8, scale=1.0))),
        (
            "quantization-equal",
            reduction("REDUCE_MAX", tensor((2,), U8, scale=1.0), [0], tensor((), U8, scale=2.0)),
        ),
        (
            "quantized-uint8",
            reduction("REDUCE_PROD", tensor((2,), U8, scale=1.0), [0], tensor((), U8, scale=1.0)),
        ),
        (
            "quantization-zero-point",
            reduction("MEAN", tensor((2,), I16, scale=1.0, zero_point=1), [0], tensor((), I16, scale=1.0)),
        ),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    "graph",
    [
        reduction("MEAN", tensor((1, 6, 6, 3)), [1, 2], keep=True),
        reduction("MEAN", tensor((1, 6, 6, 3), I8, scale=1.0), [1, 2], tensor((), I8, scale=1.0), keep=True),
        reduction("MEAN", tensor((1, 5, 64)), [-1]),
        reduction("SUM", tensor((1, 9, 2)), [2]),
        reduction("REDUCE_MAX", tensor((1, 1, 1, 32)), [0, 1, 2, 3]),
        reduction("REDUCE_MIN", tensor((1, 7, 9)), [1, 2]),
        reduction("REDUCE_PROD", tensor((2,), I32), [0]),
    ],
)
def test_what_models_use_has_a_kernel(graph: Graph) -> None:
    pytest.importorskip("numba", reason="kernels need Numba")
    executor = create_executor(prepare(graph))
    assert executor.is_compiled(0)
    executor.close()
