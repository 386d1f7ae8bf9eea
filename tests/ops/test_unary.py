from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import TensorType
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate

F32, F16, BF16, I8, I16, I32, I64 = (
    TensorType.FLOAT32,
    TensorType.FLOAT16,
    TensorType.BFLOAT16,
    TensorType.INT8,
    TensorType.INT16,
    TensorType.INT32,
    TensorType.INT64,
)
NAN, INF = np.nan, np.inf


def mapped(name: str, x: Any, kind: TensorType = F32, **quantization: Any) -> Any:
    """The output for these values; ``scale``, ``zero_point`` of the input and ``to``, those of the output."""
    to = quantization.pop("to", {})
    values = np.array(x, kind.dtype)
    graph = one_op(name, [tensor(values.shape, kind, **quantization)], [tensor((), kind, **to)])
    return evaluate(graph, values)[0]


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("ABS", [-1.5, -0.0, 2, -INF, NAN], [1.5, 0, 2, INF, NAN]),
        ("NEG", [-1.5, 0.0, 2, -INF, NAN], [1.5, 0, -2, INF, NAN]),
        ("SQUARE", [-1.5, 0.0, 3, -INF, NAN, 2e19], [2.25, 0, 9, INF, NAN, INF]),
        ("SQRT", [0.0, 2.25, -1, INF, NAN], [0, 1.5, NAN, INF, NAN]),
        ("RSQRT", [0.0, 0.25, 4, -1, INF, NAN], [INF, 2, 0.5, NAN, 0, NAN]),
        ("EXP", [0.0, -INF, INF, NAN, 200, -200], [1, 0, INF, NAN, INF, 0]),
        ("LOG", [1.0, 0, -1, INF, NAN], [0, -INF, NAN, INF, NAN]),
        ("SIN", [0.0, INF, NAN], [0, NAN, NAN]),
        ("COS", [0.0, INF, NAN], [1, NAN, NAN]),
        ("FLOOR", [-1.5, -0.5, 0.5, 2, -INF, NAN, 1e20], [-2, -1, 0, 2, -INF, NAN, 1e20]),
        ("CEIL", [-1.5, -0.5, 0.5, 2, -INF, NAN, 1e20], [-1, 0, 1, 2, -INF, NAN, 1e20]),
        ("ROUND", [-1.5, -0.5, 0.5, 1.5, 2.5, 2.6, INF, NAN], [-2, 0, 0, 2, 2, 3, INF, NAN]),
        ("SIGN", [-7.0, -0.0, 0, 3, INF, NAN], [-1, 0, 0, 1, 1, NAN]),
        ("ZEROS_LIKE", [-7.0, NAN, INF], [0, 0, 0]),
    ],
)
def test_of_floats(name: str, x: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(mapped(name, x), np.array(expected, np.float32), strict=True)


def test_exponential_of_one_and_back() -> None:
    np.testing.assert_array_max_ulp(mapped("EXP", [1.0, -1]), np.exp(np.array([1, -1], np.float32)), 1)
    np.testing.assert_array_max_ulp(mapped("LOG", [10.0, 0.5]), np.log(np.array([10, 0.5], np.float32)), 1)
    np.testing.assert_array_max_ulp(mapped("SIN", [1.0, -2]), np.sin(np.array([1, -2], np.float32)), 1)


def test_exponentials_are_denormal_before_they_are_zero() -> None:
    assert 0 < mapped("EXP", [-103.0]).item() < 1e-44


def test_the_smallest_integer_has_no_opposite() -> None:
    smallest = -(1 << 31)
    np.testing.assert_array_equal(mapped("ABS", [smallest, -3], I32), [smallest, 3])
    np.testing.assert_array_equal(mapped("NEG", [smallest, -3], I32), [smallest, 3])
    np.testing.assert_array_equal(mapped("NEG", [-128, 5], I8), [-128, -5])
    np.testing.assert_array_equal(mapped("NEG", [1 << 40], I64), [-(1 << 40)])


def test_abs_of_int16_without_a_scale_is_of_numbers() -> None:
    np.testing.assert_array_equal(mapped("ABS", [-32768, -5, 7], I16), [-32768, 5, 7])


def test_abs_of_quantized_values() -> None:
    # -3 and 2 as real numbers, in halves about 10; then in quarters about -100.
    same = mapped("ABS", [4, 14], I8, scale=0.5, zero_point=10, to={"scale": 0.5, "zero_point": -100})
    np.testing.assert_array_equal(same, [-94, -96])
    other = mapped("ABS", [4, 14], I8, scale=0.5, zero_point=10, to={"scale": 0.25, "zero_point": -100})
    np.testing.assert_array_equal(other, [-88, -92])


def test_small_floats_are_rounded_once() -> None:
    np.testing.assert_array_equal(mapped("FLOOR", [-1.5, 2.25], F16), np.array([-2, 2], np.float16))
    # -1.5 and 2.25 as bfloat16.
    np.testing.assert_array_equal(mapped("FLOOR", [0xBFC0, 0x4010], BF16), [0xC000, 0x4000])
    np.testing.assert_array_equal(mapped("NEG", [0xBFC0, 0x4010], BF16), [0x3FC0, 0xC010])


def test_integers_are_whole() -> None:
    np.testing.assert_array_equal(mapped("CEIL", [-7, 9], I32), [-7, 9])


def test_ceil_of_quantized_values() -> None:
    # 0.25 and -1.75 come to 1 and -1.
    y = mapped("CEIL", [1, -7], I8, scale=0.25, to={"scale": 0.5, "zero_point": 3})
    np.testing.assert_array_equal(y, [5, 1])


def test_root_is_truncated() -> None:
    # sqrt(2) and sqrt(3.9) in quarters: 5.65 and 7.9.
    y = mapped("SQRT", [20, 39], I8, scale=0.1, to={"scale": 0.25, "zero_point": -1})
    np.testing.assert_array_equal(y, [4, 6])


def test_inverse_root_of_zero_is_the_largest_value() -> None:
    y = mapped("RSQRT", [5, 9, 21], I8, scale=1.0, zero_point=5, to={"scale": 1 / 64, "zero_point": -10})
    np.testing.assert_array_equal(y, [127, 22, 6])


@pytest.mark.parametrize("name", ["SQRT", "RSQRT"])
@each_type(I8, I16)
def test_root_of_a_negative_value_is_refused_when_it_runs(name: str, kind: TensorType) -> None:
    with pytest.raises(InvokeError, match=r"is negative at \(1,\)"):
        mapped(name, [3, -1], kind, scale=0.5, to={"scale": 0.5})


def test_logarithm_of_nothing_is_the_smallest_value() -> None:
    y = mapped("LOG", [0, -5, 1, 100], I8, scale=1.0, to={"scale": 0.5, "zero_point": 10})
    np.testing.assert_array_equal(y, [-128, -128, 10, 19])


def test_exponentials_of_int16_are_lines_between_points() -> None:
    x = np.array([0, 1000, 4096], np.int16)
    y = mapped("EXP", x, I16, scale=2**-12, to={"scale": 2**-13})
    np.testing.assert_allclose(y * 2.0**-13, np.exp(x * 2.0**-12), atol=1e-3)


def test_exponentials_of_int16_that_overflow_float32_are_the_largest() -> None:
    # In C: infinity less infinity as an integer.
    y = mapped("EXP", [32767, 32000], I16, scale=0.01, to={"scale": 1.0})
    np.testing.assert_array_equal(y, [32767, 32767])


@pytest.mark.parametrize("name", ["SQUARE", "SIN", "COS", "ROUND"])
def test_only_float32(name: str) -> None:
    with pytest.raises(PrepareError, match="supported are FLOAT32 -> FLOAT32"):
        prepare(one_op(name, [tensor((2,), I32)], [tensor((), I32)]))


@pytest.mark.parametrize(
    ("rule", "name", "x", "y"),
    [
        ("types", "ABS", tensor((2,)), tensor((), I32)),
        ("types", "NEG", tensor((2,), TensorType.UINT8), tensor((), TensorType.UINT8)),
        ("quantization-missing", "EXP", tensor((2,), I8), tensor((), I8, scale=1.0)),
        ("quantization-missing", "LOG", tensor((2,), I8, scale=1.0), tensor((), I8)),
        ("quantization-scale", "SQRT", tensor((2,), I8, scale=-1.0), tensor((), I8, scale=1.0)),
        (
            "quantization-zero-point",
            "LOG",
            tensor((2,), I16, scale=1.0, zero_point=1),
            tensor((), I16, scale=1.0),
        ),
    ],
)
def test_refuses(rule: str, name: str, x: TensorSpec, y: TensorSpec) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [x], [y]))
    assert caught.value.rule == rule


def test_zeros_are_known_beforehand() -> None:
    graph = prepare(one_op("ZEROS_LIKE", [tensor((2, 3))], [tensor()]))
    output = graph.main.tensors[1]
    assert output.data is not None
    assert output.data.shape == (2, 3)
    assert not output.data.any()


@each_type(I8, I16)
@pytest.mark.parametrize("name", ["EXP", "LOG", "ABS"])
def test_every_value_agrees_with_litert(litert: Any, name: str, kind: TensorType) -> None:
    bits = kind.dtype.itemsize * 8
    every = np.arange(-(1 << (bits - 1)), 1 << (bits - 1)).astype(kind.dtype)
    scale = 5.0 / (1 << (bits - 1))
    graph = one_op(name, [tensor(every.shape, kind, scale=scale)], [tensor((), kind, scale=scale * 1.7)])
    assert_agrees(litert, graph, every)
