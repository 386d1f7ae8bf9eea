from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Activation, Graph, TensorType
from minilite.model import Model
from minilite.ops.arrangement import ConcatenationOptions, ReshapeOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.networks import Network
from tests.oracle import assert_agrees, each_type, evaluate, quantized, random_values

F32, I8, U8, I32, I64, BOOL = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.UINT8, TensorType.INT32, TensorType.INT64, TensorType.BOOL
)  # fmt: skip
F16, STRING = TensorType.FLOAT16, TensorType.STRING


def concatenation(inputs: list[TensorSpec], output: TensorSpec, axis: int = -1) -> Graph:
    return one_op("CONCATENATION", inputs, [output], ConcatenationOptions(axis), version=2)


def test_concatenation_of_nothing_has_a_value_too() -> None:
    net = Network()
    x = net.input(1, 0, 2)
    nothing = net.add("CONCATENATION", x, x, options=ConcatenationOptions(1))
    (y,) = Model(net.graph(net.add("ADD", nothing, nothing)))(np.empty((1, 0, 2), np.float32))
    assert y.shape == (1, 0, 2)


@pytest.mark.parametrize("name", ["CONCATENATION", "RESHAPE"])
def test_float16_is_moved_and_strings_are_refused(name: str) -> None:
    options = ConcatenationOptions(0) if name == "CONCATENATION" else ReshapeOptions((2, 3))
    x = np.arange(6, dtype=np.float16).reshape(2, 3)
    (y,) = evaluate(one_op(name, [tensor((2, 3), F16)], [tensor((), F16)], options), x)
    np.testing.assert_array_equal(y, x)
    with pytest.raises(PrepareError, match=r"STRING 2x3.* has no numbers"):
        prepare(one_op(name, [tensor((2, 3), STRING)], [tensor((), STRING)], options))


@pytest.mark.parametrize(("axis", "expected"), [(0, [[1, 2], [3, 4]]), (-1, [[1, 2, 3, 4]])])
def test_concatenation_along_an_axis(axis: int, expected: list[list[int]]) -> None:
    a, b = np.array([[1, 2]], np.int32), np.array([[3, 4]], np.int32)
    (y,) = evaluate(concatenation([tensor((1, 2), I32)] * 2, tensor((), I32), axis), a, b)
    np.testing.assert_array_equal(y, expected)


def test_uint8_parts_are_brought_to_the_outputs_scale() -> None:
    same = tensor((2,), U8, scale=0.5, zero_point=10)
    wider = tensor((3,), U8, scale=0.25, zero_point=0)
    # 0.25 * 3 / 0.5 = 1.5: a half is rounded away from zero; 255 * 0.25 / 0.5 + 10 = 137.5.
    (y,) = evaluate(
        concatenation([same, wider], tensor((), U8, scale=0.5, zero_point=10)),
        np.array([0, 255], np.uint8),
        np.array([0, 3, 255], np.uint8),
    )
    np.testing.assert_array_equal(y, [0, 255, 10, 12, 138])


def test_uint8_parts_are_multiplied_by_a_float32_reciprocal(litert: Any) -> None:
    # 0.0035 / 0.007 is 0.5, which would go up; 0.0035 * (1 / 0.007) is less.
    scale = np.float32(0.007)
    part, whole = tensor((1,), U8, scale=scale / 2), tensor((), U8, scale=scale)
    assert assert_agrees(litert, concatenation([part], whole), np.array([1], np.uint8))[0].item() == 0


@pytest.mark.parametrize(
    ("rule", "inputs", "output", "options"),
    [
        ("input-count", [], tensor(), ConcatenationOptions()),
        ("types", [tensor((2,)), tensor((2,), I32)], tensor(), ConcatenationOptions()),
        ("axis-range", [tensor((2,)), tensor((2,))], tensor(), ConcatenationOptions(1)),
        ("concatenation-shape", [tensor((2, 3)), tensor((2, 4))], tensor(), ConcatenationOptions(0)),
        ("concatenation-shape", [tensor((2, 3)), tensor((2,))], tensor(), ConcatenationOptions(0)),
        ("fused-activation", [tensor((2,))], tensor(), ConcatenationOptions(0, Activation.RELU)),
        (
            "quantization-equal",
            [tensor((2,), I8, scale=1.0), tensor((2,), I8, scale=2.0)],
            tensor((), I8, scale=1.0),
            ConcatenationOptions(),
        ),
    ],
)
def test_concatenation_refuses(
    rule: str, inputs: list[TensorSpec], output: TensorSpec, options: ConcatenationOptions
) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(one_op("CONCATENATION", inputs, [output], options))
    assert caught.value.rule == rule


@each_type(F32, I32, I64, I8, U8)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_concatenation_agrees_with_litert(
    litert: Any, kind: TensorType, data: st.DataObject, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    shapes = [
        tuple(np.r_[shape[: axis % len(shape)], n, shape[axis % len(shape) + 1 :]].astype(int)) for n in sizes
    ]

    def units() -> tuple[float, int]:
        return (
            (0.1, 7)
            if kind is I8 or rng.integers(2)
            else (float(rng.uniform(0.02, 1)), int(rng.integers(256)))
        )

    specs = [tensor(s, kind) if kind not in (I8, U8) else quantized(kind, *units(), s) for s in (*shapes, ())]
    values = [random_values(rng, s, kind) for s in shapes]
    assert_agrees(litert, concatenation(specs[:-1], specs[-1], axis), *values)


def reshape(shape: tuple[int, ...], wanted: list[int] | None, option: tuple[int, ...] = ()) -> Graph:
    inputs = [tensor(shape)] + ([] if wanted is None else [constant(np.array(wanted, np.int32))])
    return one_op("RESHAPE", inputs, [tensor()], ReshapeOptions(option))


@pytest.mark.parametrize(
    ("wanted", "option", "expected"),
    [
        ([3, 4], (), (3, 4)),
        ([2, -1, 2], (), (2, 3, 2)),
        ([3, -1], (6, 2), (3, 4)),
        (None, (6, -1), (6, 2)),
    ],
)
def test_reshape(wanted: list[int] | None, option: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    (y,) = evaluate(reshape((2, 6), wanted, option), x)
    assert y.shape == expected
    np.testing.assert_array_equal(y.ravel(), x.ravel())


def test_reshape_to_a_scalar_and_of_nothing() -> None:
    assert evaluate(reshape((1, 1), []), np.array([[5]], np.float32))[0].shape == ()
    assert evaluate(reshape((0, 3), [3, 0]), np.empty((0, 3), np.float32))[0].shape == (3, 0)


def test_reshape_to_a_computed_shape() -> None:
    graph = one_op("RESHAPE", [tensor((4,), I8), tensor((2,), I32)], [tensor((4,), I8)])
    x = np.arange(4, dtype=np.int8)
    np.testing.assert_array_equal(evaluate(graph, x, np.array([2, -1], np.int32))[0], [[0, 1], [2, 3]])
    with pytest.raises(
        InvokeError, match=r"op 0 RESHAPE failed .* do not fill the new shape \(3, -1\)"
    ) as caught:
        evaluate(graph, x, np.array([3, -1], np.int32))
    assert caught.value.rule == "reshape-size"


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("reshape-size", [5, 2]),
        ("reshape-size", [5, -1]),
        ("reshape-size", [0, -1]),
        ("reshape-shape", [-1, -1]),
        ("reshape-shape", [-2, 6]),
    ],
)
def test_reshape_refuses(rule: str, wanted: list[int]) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(reshape((2, 6), wanted))
    assert caught.value.rule == rule


@each_type(F32, I8, BOOL, I64)
def test_reshape_agrees_with_litert(litert: Any, kind: TensorType) -> None:
    x = np.arange(12).reshape(2, 6).astype(kind.dtype)
    inputs = [tensor((2, 6), kind), constant(np.array([3, -1, 2], np.int32))]
    assert_agrees(litert, one_op("RESHAPE", inputs, [tensor((), kind)]), x)
