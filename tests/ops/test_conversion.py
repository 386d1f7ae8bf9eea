from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.errors import PrepareError
from minilite.graph import TensorType
from minilite.ops.conversion import FakeQuantOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import BYTES, assert_agrees, each_type, evaluate, quantized

F32, F16, I4, I8, U8, I16, I32 = (
    TensorType.FLOAT32, TensorType.FLOAT16, TensorType.INT4, TensorType.INT8, TensorType.UINT8,
    TensorType.INT16, TensorType.INT32,
)  # fmt: skip


def test_quantize_rounds_half_away_and_clamps() -> None:
    x = np.array([0.25, -0.25, 0.75, 0.245, 1000, -1000, 1e30, -1e30, np.inf, np.nan], np.float32)
    graph = one_op("QUANTIZE", [tensor(x.shape)], [tensor((), I8, scale=0.5, zero_point=-3)])
    np.testing.assert_array_equal(evaluate(graph, x)[0], [-2, -4, -1, -3, 127, -128, 127, -128, 127, -128])


def test_quantize_does_not_add_a_half_to_the_largest_float_below_it() -> None:
    graph = one_op("QUANTIZE", [tensor((1,))], [tensor((), U8, scale=1.0)])
    assert evaluate(graph, np.array([0.49999997], np.float32))[0].item() == 0


def test_requantize_moves_scale_and_zero_point() -> None:
    to_uint8 = one_op("QUANTIZE", [tensor((4,), I8, scale=1.0)], [tensor((), U8, scale=1.0, zero_point=128)])
    np.testing.assert_array_equal(
        evaluate(to_uint8, np.array([-128, -1, 0, 127], np.int8))[0], [0, 127, 128, 255]
    )
    # Halved: without a division by a power of two there is one rounding, and its ties go up.
    halved = one_op("QUANTIZE", [tensor((4,), I8, scale=1.0)], [tensor((), I8, scale=2.0)])
    np.testing.assert_array_equal(evaluate(halved, np.array([-3, -1, 1, 3], np.int8))[0], [-1, 0, 1, 2])


def test_dequantize() -> None:
    graph = one_op("DEQUANTIZE", [tensor((3,), U8, scale=0.5, zero_point=10)], [tensor()])
    (y,) = evaluate(graph, np.array([0, 10, 13], np.uint8))
    np.testing.assert_array_equal(y, [-5, 0, 1.5])
    assert y.dtype == np.float32


def test_per_channel_parameters_run_along_their_axis() -> None:
    channels: dict[str, Any] = {"scale": [1.0, 0.5], "zero_point": [0, 10], "quantized_dimension": 1}
    x, q = np.array([[1, 1], [2, 2]], np.float32), np.array([[1, 12], [2, 14]], np.int8)
    graph = one_op("QUANTIZE", [tensor((2, 2))], [tensor((2, 2), I8, **channels)])
    np.testing.assert_array_equal(evaluate(graph, x)[0], q)
    graph = one_op("DEQUANTIZE", [tensor((2, 2), I8, **channels)], [tensor()])
    np.testing.assert_array_equal(evaluate(graph, q)[0], x)


def test_float16_becomes_float32() -> None:
    graph = one_op("DEQUANTIZE", [constant(np.array([0.1, 65504], np.float16))], [tensor()])
    np.testing.assert_array_equal(evaluate(graph)[0], [0.0999755859375, 65504])


@pytest.mark.parametrize(
    ("rule", "name", "x", "y"),
    [
        ("types", "QUANTIZE", tensor((2,)), tensor((), I32)),
        ("types", "DEQUANTIZE", tensor((2,)), tensor()),
        ("quantization-missing", "QUANTIZE", tensor((2,)), tensor((), I8)),
        ("quantization-scale", "DEQUANTIZE", tensor((2,), I8, scale=-1.0), tensor()),
        ("quantization-per-channel", "DEQUANTIZE", tensor((2,), I8, scale=[1.0] * 3), tensor()),
        (
            "quantization-per-tensor",
            "DEQUANTIZE",
            tensor((2,), I8, scale=[1.0] * 2, quantized_dimension=1),
            tensor(),
        ),
        ("quantization-per-tensor", "QUANTIZE", tensor((2,), I8, scale=[1.0] * 2), tensor((), I8, scale=1.0)),
    ],
)
def test_refuses(rule: str, name: str, x: TensorSpec, y: TensorSpec) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, [x], [y]))
    assert caught.value.rule == rule


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        ("narrow-range", {"narrow_range": True, "num_bits": 8, "max": 1.0}),
        ("num-bits", {"num_bits": 0, "max": 1.0}),
        ("num-bits", {"num_bits": 17, "max": 1.0}),
        ("range", {"num_bits": 8, "min": 1.0, "max": 2.0}),
        ("range", {"num_bits": 8}),
    ],
)
def test_fake_quantization_refuses(rule: str, fields: dict[str, Any]) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("FAKE_QUANT", [tensor((2,))], [tensor()], FakeQuantOptions(**fields)))
    assert caught.value.rule == rule


def test_fake_quantization_moves_the_range_to_have_a_zero() -> None:
    # Four steps of 1 from -0.9 to 2.1: zero is a step if they go from -1 to 2.
    x = np.array([-5, -0.4, 0.5, 1.6, 9, np.nan], np.float32)
    options = FakeQuantOptions(min=-0.9, max=2.1, num_bits=2)
    (y,) = evaluate(one_op("FAKE_QUANT", [tensor(x.shape)], [tensor()], options), x)
    np.testing.assert_allclose(y, [-1, 0, 1, 2, 2, -1], atol=1e-6)


def test_wider_and_narrower_integers() -> None:
    x = np.array([0.25, -0.25, 40, -1e9, np.nan], np.float32)
    for kind, ends in ((I16, (-32768, 80)), (I4, (-8, 7))):
        graph = one_op("QUANTIZE", [tensor(x.shape)], [tensor((), kind, scale=0.5)])
        low, large = ends
        np.testing.assert_array_equal(evaluate(graph, x)[0], [1, -1, large, low, low])
    to_int32 = one_op("QUANTIZE", [tensor((2,), I16, scale=1.0)], [tensor((), I32, scale=0.5, zero_point=7)])
    np.testing.assert_array_equal(evaluate(to_int32, np.array([-3, 5], np.int16))[0], [1, 17])
    to_int8 = one_op("QUANTIZE", [tensor((2,), I32, scale=0.25, zero_point=4)], [tensor((), I8, scale=1.0)])
    np.testing.assert_array_equal(evaluate(to_int8, np.array([404, 900], np.int32))[0], [100, 127])
    nibbles = one_op("DEQUANTIZE", [tensor((2,), I4, scale=0.5, zero_point=1)], [tensor()])
    np.testing.assert_array_equal(evaluate(nibbles, np.array([-8, 7], np.int8))[0], [-4.5, 3])


def test_bytes_are_moved_by_a_table(litert: Any) -> None:
    pytest.importorskip("numba")
    graph = prepare(one_op("QUANTIZE", [tensor((9,), I8, scale=1.0)], [tensor((), U8, scale=1.0)]))
    from minilite.plan import KernelStep, build_plan

    (step,) = build_plan(graph).steps()
    assert isinstance(step, KernelStep)
    assert step.kernel.name == "lookup_bytes"


SEEDS = st.integers(0, 2**32 - 1)


@each_type(*BYTES)
@given(seed=SEEDS, per_channel=st.booleans())
def test_quantize_agrees_with_litert(litert: Any, kind: TensorType, seed: int, per_channel: bool) -> None:
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.01, 0.1, 3 if per_channel else 1).astype(np.float32)
    zero = 0 if per_channel else int(rng.integers(256)) + int(np.iinfo(kind.dtype).min)
    # Half steps are ties, or next to them.
    x = (rng.integers(-300, 300, (2, 4, 3)) * np.float32(0.5) * scales).astype(np.float32)
    y = tensor(x.shape, kind, scale=scales, zero_point=zero, quantized_dimension=2)
    assert_agrees(litert, one_op("QUANTIZE", [tensor(x.shape)], [y], version=2), x)


@pytest.mark.parametrize("to", BYTES, ids=lambda kind: kind.name)
@each_type(*BYTES)
@given(seed=SEEDS)
def test_requantize_agrees_with_litert(litert: Any, kind: TensorType, to: TensorType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scales = rng.choice([0.01, 0.02, 0.05, 0.1, rng.uniform(0.001, 1)], 2)
    zeros = rng.integers(256, size=2)
    every = np.arange(256, dtype=np.uint8).view(kind.dtype)
    x = quantized(kind, float(scales[0]), int(zeros[0]), every.shape)
    y = quantized(to, float(scales[1]), int(zeros[1]))
    assert_agrees(litert, one_op("QUANTIZE", [x], [y], version=2), every)


@each_type(*BYTES, I16)
@given(seed=SEEDS, per_channel=st.booleans())
def test_dequantize_agrees_with_litert(litert: Any, kind: TensorType, seed: int, per_channel: bool) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind.dtype)
    every = np.linspace(info.min, info.max, 255).astype(kind.dtype).reshape(85, 3)
    count = 3 if per_channel and kind is not I16 else 1
    scales = rng.uniform(0.001, 1, count).astype(np.float32)
    zeros = np.zeros(count, np.int64) if kind is I16 else rng.integers(info.min, info.max, count)
    x = tensor(every.shape, kind, scale=scales, zero_point=zeros.tolist(), quantized_dimension=1)
    assert_agrees(litert, one_op("DEQUANTIZE", [x], [tensor()], version=2), every)


def test_float16_agrees_with_litert(litert: Any) -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    assert_agrees(litert, one_op("DEQUANTIZE", [constant(every)], [tensor()], version=3))
