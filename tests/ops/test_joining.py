from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Activation, Graph, TensorType
from minilite.model import Model
from minilite.ops.joining import (
    ConcatenationOptions,
    PackOptions,
    SplitOptions,
    SplitVOptions,
    UnpackOptions,
)
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.networks import Network
from tests.oracle import assert_agrees, evaluate

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


def test_scalars_are_joined_as_vectors_of_one(litert: Any) -> None:
    graph = concatenation([tensor((), I32)] * 2, tensor((), I32), 0)
    (y,) = evaluate(graph, np.array(1, np.int32), np.array(2, np.int32))
    np.testing.assert_array_equal(y, [1, 2])


def test_strings_are_joined() -> None:
    a, b = np.array([b"a", b""], object), np.array([b"cd"], object)
    (y,) = evaluate(concatenation([tensor((2,), STRING), tensor((1,), STRING)], tensor((), STRING)), a, b)
    assert y.tolist() == [b"a", b"", b"cd"]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [(0, [[1, 2], [3, 4]]), (1, [[1, 3], [2, 4]]), (-1, [[1, 3], [2, 4]]), (-2, [[1, 2], [3, 4]])],
)
def test_pack_and_unpack(axis: int, expected: list[list[int]]) -> None:
    a, b = np.array([1, 2], np.float32), np.array([3, 4], np.float32)
    (y,) = evaluate(one_op("PACK", [tensor((2,))] * 2, [tensor()], PackOptions(2, axis)), a, b)
    np.testing.assert_array_equal(y, expected)
    parts = evaluate(one_op("UNPACK", [tensor((2, 2))], [tensor()] * 2, UnpackOptions(2, axis)), y)
    np.testing.assert_array_equal(parts, [a, b])


def split(axis: int, x: TensorSpec, count: int) -> Graph:
    return one_op("SPLIT", [constant(axis, I32), x], [tensor()] * count, SplitOptions(count))


def split_v(x: TensorSpec, sizes: list[int], axis: int = -1) -> Graph:
    inputs = [x, constant(np.array(sizes, np.int64)), constant(axis, I32)]
    return one_op("SPLIT_V", inputs, [tensor()] * len(sizes), SplitVOptions(len(sizes)))


def test_split() -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    left, right = evaluate(split(-1, tensor((2, 4)), 2), x)
    np.testing.assert_array_equal(left, [[0, 1], [4, 5]])
    np.testing.assert_array_equal(right, [[2, 3], [6, 7]])


@pytest.mark.parametrize("sizes", [[1, 3, 0], [-1, 3, 0], [1, -1, 0], [1, 3, -1]])
def test_split_v(sizes: list[int]) -> None:
    one, three, nothing = evaluate(split_v(tensor((4,)), sizes), np.arange(4, dtype=np.float32))
    assert (one.tolist(), three.tolist(), nothing.tolist()) == ([0], [1, 2, 3], [])


def test_an_axis_may_be_computed() -> None:
    graph = one_op("SPLIT", [tensor((), I32), tensor((2, 4))], [tensor()] * 2, SplitOptions(2))
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    top, bottom = evaluate(graph, np.array(0, np.int32), x)
    np.testing.assert_array_equal(top, [[0, 1, 2, 3]])
    np.testing.assert_array_equal(bottom, [[4, 5, 6, 7]])
    with pytest.raises(InvokeError, match="axis 2 does not exist"):
        evaluate(graph, np.array(2, np.int32), x)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("pack-shape", one_op("PACK", [tensor((2,)), tensor((3,))], [tensor()], PackOptions(2))),
        ("values-count", one_op("PACK", [tensor((2,))] * 2, [tensor()], PackOptions(3))),
        ("axis-range", one_op("PACK", [tensor((2,))] * 2, [tensor()], PackOptions(2, 2))),
        (
            "quantization-equal",
            one_op("PACK", [tensor((2,), I8, scale=1.0)], [tensor((), I8, scale=2.0)], PackOptions(1)),
        ),
        ("unpack-count", one_op("UNPACK", [tensor((2, 3))], [tensor()] * 2, UnpackOptions(2, 1))),
        ("axis-range", one_op("UNPACK", [tensor((2,))], [tensor()] * 2, UnpackOptions(2, 1))),
        ("split-size", split(0, tensor((5,)), 2)),
        ("axis-range", split(1, tensor((4,)), 2)),
        ("num-splits", one_op("SPLIT", [constant(0, I32), tensor((4,))], [tensor()] * 2, SplitOptions(4))),
        ("split-size", split_v(tensor((4,)), [1, 2])),
        ("split-size", split_v(tensor((4,)), [-1, -1])),
        ("split-size", split_v(tensor((4,)), [5, -1])),
        ("split-size", split_v(tensor((4,)), [-2, 6])),
    ],
)
def test_the_others_refuse(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
