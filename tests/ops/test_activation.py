from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minilite.errors import PrepareError
from minilite.graph import Array, TensorType
from minilite.ops.activation import GeluOptions
from minilite.ops.rectifier import LeakyReluOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, each_type, evaluate

F32, U8, I8, I16 = TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT16
NAN, INF = np.nan, np.inf


def activated(name: str, x: Any, options: Any = None) -> Array:
    values = np.array(x, np.float32)
    return evaluate(one_op(name, [tensor(values.shape)], [tensor()], options), values)[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RELU", [0, 0, 0.5, 7, INF, NAN]),
        ("RELU6", [0, 0, 0.5, 6, 6, NAN]),
        ("RELU_N1_TO_1", [-1, -0.5, 0.5, 1, 1, NAN]),
        ("RELU_0_TO_1", [0, 0, 0.5, 1, 1, NAN]),
    ],
)
def test_clamps_and_lets_nan_through(name: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(activated(name, [-2, -0.5, 0.5, 7, INF, NAN]), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RELU", [-28, -28, -26, 2, 127]),
        ("RELU6", [-28, -28, -26, -4, -4]),
        ("RELU_N1_TO_1", [-32, -30, -26, -24, -24]),
        ("RELU_0_TO_1", [-28, -28, -26, -24, -24]),
    ],
)
def test_quantized_clamps_move_to_the_scale_of_the_output(name: str, expected: list[int]) -> None:
    # -2, -0.5, 0.5, 7.5 and 60, in halves about 3; then in quarters about -28.
    x = np.array([-1, 2, 4, 18, 123], np.int8)
    graph = one_op(
        name, [tensor(x.shape, I8, scale=0.5, zero_point=3)], [tensor((), I8, scale=0.25, zero_point=-28)]
    )
    np.testing.assert_array_equal(evaluate(graph, x)[0], expected)


def test_leaky_relu() -> None:
    y = activated("LEAKY_RELU", [-4, -0.0, 3, -INF, NAN], LeakyReluOptions(alpha=0.25))
    np.testing.assert_array_equal(y, [-1, 0, 3, -INF, NAN])


@pytest.mark.parametrize(("alpha", "expected"), [(0.25, [11, 14]), (-0.5, [18, 14])])
def test_quantized_leaky_relu(alpha: float, expected: list[int]) -> None:
    # -2 and 1 in quarters about 5; then in halves about 12.
    graph = one_op(
        "LEAKY_RELU",
        [tensor((2,), I8, scale=0.25, zero_point=5)],
        [tensor((), I8, scale=0.5, zero_point=12)],
        LeakyReluOptions(alpha=alpha),
    )
    expected = [expected[0] if alpha > 0 else 14, expected[1]]
    np.testing.assert_array_equal(evaluate(graph, np.array([-3, 9], np.int8))[0], expected)


def test_prelu_has_a_slope_for_each_channel() -> None:
    x = np.array([[-4, -4], [2, -0.5]], np.float32)
    graph = one_op("PRELU", [tensor(x.shape), constant(np.array([0.25, -1], np.float32))], [tensor()])
    np.testing.assert_array_equal(evaluate(graph, x)[0], [[-1, 4], [2, 0.5]])


def test_prelu_has_a_slope_for_each_row() -> None:
    x = np.array([[-4, -4], [2, -0.5]], np.float32)
    graph = one_op("PRELU", [tensor(x.shape), constant(np.array([[0.25], [-1]], np.float32))], [tensor()])
    np.testing.assert_array_equal(evaluate(graph, x)[0], [[-1, -1], [2, 0.5]])


def test_quantized_prelu() -> None:
    # -2 and 1 in quarters about 5; slopes 0.5 and 3 in halves about 1; the result in halves about 12.
    alpha = constant(np.array([2, 7], np.int8), I8, scale=0.5, zero_point=1)
    x = tensor((3, 2), I8, scale=0.25, zero_point=5)
    graph = one_op("PRELU", [x, alpha], [tensor((), I8, scale=0.5, zero_point=12)])
    # One step above zero is not multiplied: half a step of the result, rounded up.
    y = evaluate(graph, np.array([[-3, -3], [9, 9], [6, 6]], np.int8))[0]
    np.testing.assert_array_equal(y, [[10, 0], [14, 14], [13, 13]])


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("LOGISTIC", [0, -INF, INF, NAN, np.log(3.0)], [0.5, 0, 1, NAN, 0.75]),
        ("TANH", [0, -INF, INF, NAN, np.log(2.0), -np.log(2.0)], [0, -1, 1, NAN, 0.6, -0.6]),
        ("HARD_SWISH", [-4, -3, -1.5, 0, 1.5, 3, 5, INF, NAN], [0, 0, -0.375, 0, 1.125, 3, 5, INF, NAN]),
        ("ELU", [0, 2, -np.log(2.0), -INF, INF, NAN, -100], [0, 2, -0.5, -1, INF, NAN, -1]),
        ("GELU", [0, 1, -1, 12, -20], [0, 0.8413447, -0.15865525, 12, 0]),
    ],
)
def test_curves(name: str, x: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(activated(name, x), expected, rtol=2e-7)


def test_curves_keep_small_numbers() -> None:
    for name in ("TANH", "ELU"):
        np.testing.assert_array_equal(activated(name, [1e-30, -1e-30]), np.array([1e-30, -1e-30], np.float32))
    np.testing.assert_allclose(
        activated("LOGISTIC", [-80.0, -100.0]), np.exp([-80.0, -100.0]), atol=1e-45, rtol=1e-6
    )


def test_gelu_by_the_hyperbolic_tangent() -> None:
    y = activated("GELU", [1.0, -1.0, 3.0], GeluOptions(approximate=True))
    np.testing.assert_allclose(y, [0.841192, -0.158808, 2.9963627], rtol=1e-6)


def bytes_of(kind: TensorType) -> Array:
    return np.arange(256, dtype=np.uint8).view(kind.dtype)


def test_tables_of_bytes() -> None:
    x = np.array([-128, -16, 0, 16, 127], np.int8)
    given = tensor(x.shape, I8, scale=1 / 16)
    logistic = one_op("LOGISTIC", [given], [tensor((), I8, scale=1 / 256, zero_point=-128)])
    np.testing.assert_array_equal(evaluate(logistic, x)[0], [-128, -59, 0, 59, 127])
    tanh = one_op("TANH", [given], [tensor((), I8, scale=1 / 128)])
    np.testing.assert_array_equal(evaluate(tanh, x)[0], [-128, -97, 0, 97, 127])
    elu = one_op("ELU", [given], [tensor((), I8, scale=1 / 16)])
    np.testing.assert_array_equal(evaluate(elu, x)[0], [-16, -10, 0, 16, 127])


def test_hard_swish_of_bytes_truncates() -> None:
    # In 16ths: -3, -2, -1, 0, 1, 3, 7.
    x = np.array([-48, -32, -16, 0, 16, 48, 112], np.int8)
    graph = one_op("HARD_SWISH", [tensor(x.shape, I8, scale=1 / 16)], [tensor((), I8, scale=1 / 16)])
    np.testing.assert_array_equal(evaluate(graph, x)[0], [0, -5, -5, 0, 11, 48, 112])


def test_sigmoids_of_int16() -> None:
    x = np.array([-32768, -4096, 0, 4096, 32767], np.int16)
    given, share = tensor(x.shape, I16, scale=2**-12), tensor((), I16, scale=2**-15)
    (y,) = evaluate(one_op("LOGISTIC", [given], [share], version=3), x)
    np.testing.assert_array_equal(y, [11, 8812, 16384, 23956, 32757])
    (y,) = evaluate(one_op("TANH", [given], [share], version=3), x)
    np.testing.assert_array_equal(y, [-32767, -24956, 0, 24956, 32767])


@pytest.mark.parametrize("name", ["LOGISTIC", "TANH"])
@pytest.mark.parametrize("scale", [2**-12, 2**-11, 2**-13, 1e-3, 7.77e-3])
def test_every_int16_agrees_with_litert(litert: Any, name: str, scale: float) -> None:
    every = np.arange(-(1 << 15), 1 << 15).astype(np.int16)
    specs = [tensor(every.shape, I16, scale=scale)], [tensor((), I16, scale=2**-15)]
    assert_agrees(litert, one_op(name, *specs, version=3), every)


@pytest.mark.parametrize("name", ["LOGISTIC", "TANH", "HARD_SWISH", "GELU", "RELU6", "LEAKY_RELU"])
@each_type(U8, I8)
@given(seed=st.integers(0, 999))
def test_every_byte_agrees_with_litert(litert: Any, name: str, kind: TensorType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = int(np.iinfo(kind.dtype).min)
    scales, zeros = rng.uniform(0.01, 0.1, 2), rng.integers(256, size=2) + low
    y = tensor((), kind, scale=float(scales[1]), zero_point=int(zeros[1]))
    if name == "LOGISTIC":
        y = tensor((), kind, scale=1 / 256, zero_point=low)
    x = tensor((256,), kind, scale=float(scales[0]), zero_point=int(zeros[0]))
    options = LeakyReluOptions(alpha=float(np.float32(rng.uniform(-1, 1)))) if name == "LEAKY_RELU" else None
    version = 1 if name == "HARD_SWISH" else 2
    assert_agrees(litert, one_op(name, [x], [y], options, version=version), bytes_of(kind))


def test_refuses_types_it_does_not_have() -> None:
    with pytest.raises(PrepareError, match="types INT32 -> INT32 are not supported; supported are FLOAT32"):
        prepare(one_op("RELU", [tensor((2,), TensorType.INT32)], [tensor((), TensorType.INT32)]))


SHARE = tensor((), I8, scale=1 / 256, zero_point=-128)


@pytest.mark.parametrize(
    ("rule", "name", "inputs", "y"),
    [
        ("quantization-scale", "LOGISTIC", [tensor((2,), I8, scale=1.0)], tensor((), I8, scale=1 / 128)),
        ("quantization-scale", "TANH", [tensor((2,), I16, scale=1.0)], tensor((), I16, scale=1 / 128)),
        ("quantization-zero-point", "TANH", [tensor((2,), I16, scale=1.0, zero_point=1)],
         tensor((), I16, scale=2**-15)),
        ("quantization-scale", "HARD_SWISH", [tensor((2,), I8, scale=1.0)], tensor((), I8, scale=1e-4)),
        ("types", "HARD_SWISH", [tensor((2,), I16, scale=1.0)], tensor((), I16, scale=1.0)),
        ("quantization-missing", "RELU", [tensor((2,), I8)], tensor((), I8, scale=1.0)),
        ("broadcast", "PRELU", [tensor((2, 3)), tensor((2,))], tensor()),
        ("broadcast", "PRELU", [tensor((3,)), tensor((2, 3))], tensor()),
        ("input-count", "PRELU", [tensor((3,))], tensor()),
    ],
)  # fmt: skip
def test_refuses(rule: str, name: str, inputs: list[TensorSpec], y: TensorSpec) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, inputs, [y]))
    assert caught.value.rule == rule


@pytest.mark.parametrize("name", ["RELU", "RELU6", "RELU_N1_TO_1"])
@given(x=arrays(np.float32, (8,), elements=st.floats(width=32)))
def test_agrees_with_litert(litert: Any, name: str, x: Array) -> None:
    assert_agrees(litert, one_op(name, [tensor(x.shape)], [tensor()]), x)
