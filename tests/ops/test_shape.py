from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.shape import ShapeOptions
from minilite.prepare import prepare
from minilite.reference import ReferenceExecutor
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.networks import Network
from tests.oracle import each_type, evaluate

F32, F16, I8, I16, I32, I64, STRING = (
    TensorType.FLOAT32, TensorType.FLOAT16, TensorType.INT8, TensorType.INT16, TensorType.INT32,
    TensorType.INT64, TensorType.STRING,
)  # fmt: skip


@each_type(I32, I64)
def test_a_shape_is_known_before_the_run(kind: TensorType) -> None:
    prepared = prepare(one_op("SHAPE", [tensor((2, 0, 5))], [tensor((), kind)], ShapeOptions(kind)))
    output = prepared.main.tensors[prepared.main.outputs[0]]
    assert output.data is not None
    np.testing.assert_array_equal(output.data, np.array([2, 0, 5], kind.dtype), strict=True)


def test_a_rank_is_known_before_the_run() -> None:
    prepared = prepare(one_op("RANK", [tensor((2, 0, 5))], [tensor((), I32)]))
    output = prepared.main.tensors[prepared.main.outputs[0]]
    assert output.data is not None
    assert (output.shape, output.data.item()) == ((), 3)


def test_the_shape_of_what_is_computed_is_the_same_in_float64() -> None:
    net = Network()
    x = net.input(2, 3)
    graph = net.graph(net.add("SHAPE", net.add("RELU", x), type=I32, options=ShapeOptions(I32)))
    executor = ReferenceExecutor(prepare(graph), float_type=np.float64)
    executor.run()
    assert executor.view(graph.main.outputs[0]).tolist() == [2, 3]


@each_type(I32, I64)
def test_broadcast_args(kind: TensorType) -> None:
    graph = one_op("BROADCAST_ARGS", [tensor((3,), kind), tensor((2,), kind)], [tensor((), kind)])
    (y,) = evaluate(graph, np.array([4, 1, 3], kind.dtype), np.array([2, 1], kind.dtype))
    np.testing.assert_array_equal(y, np.array([4, 2, 3], kind.dtype), strict=True)
    with pytest.raises(InvokeError, match="do not broadcast"):
        evaluate(graph, np.array([4, 2, 3], kind.dtype), np.array([3, 3], kind.dtype))


@pytest.mark.parametrize("shape", [(), (0, 2), (2, 3)])
@each_type(I32, I64)
def test_fill(kind: TensorType, shape: tuple[int, ...]) -> None:
    graph = one_op("FILL", [constant(np.array(shape, kind.dtype)), tensor()], [tensor()])
    (y,) = evaluate(graph, np.array(-0.5, np.float32))
    np.testing.assert_array_equal(y, np.full(shape, -0.5, np.float32), strict=True)


def test_a_long_fill_is_cut_into_chunks() -> None:
    graph = one_op("FILL", [constant(np.array([3, 70000], np.int32)), tensor((), I8)], [tensor((), I8)])
    (y,) = evaluate(graph, np.array(7, np.int8))
    assert (y.shape, np.unique(y).tolist()) == ((3, 70000), [7])


def number_range(*numbers: float, kind: TensorType = I32, **attributes: Any) -> Graph:
    inputs = [constant(np.array(n, kind.dtype), **attributes) for n in numbers]
    return one_op("RANGE", inputs, [tensor((), kind, **attributes)])


@pytest.mark.parametrize(
    ("kind", "numbers", "expected"),
    [
        (I32, (0, 5, 2), [0, 2, 4]),
        (I32, (5, 0, -2), [5, 3, 1]),
        (I64, (3, 3, 1), []),
        (I64, (0, 4, 2), [0, 2]),
        (I16, (0, 5, 3), [0, 3]),
        (I8, (-2, 2, 3), [-2, 1]),
        (F32, (0, 1, 0.4), [0, np.float32(0.4), np.float32(0.4) + np.float32(0.4)]),
        (F32, (1, -1, -1.5), [1, -0.5]),
        (F16, (0, 2, 1), [0, 1]),
    ],
)
def test_range(kind: TensorType, numbers: tuple[float, ...], expected: list[float]) -> None:
    (y,) = evaluate(number_range(*numbers, kind=kind))
    np.testing.assert_array_equal(y, np.array(expected, kind.dtype), strict=True)


def test_steps_are_added_one_by_one(litert: Any) -> None:
    # 0.1 added ten times in float32 is not ten times 0.1.
    (y,) = evaluate(number_range(0, 1.05, 0.1, kind=F32))
    assert y[10] != np.float32(10) * np.float32(0.1)
    assert y[10] == np.float32(1.0000001)


def test_a_whole_type_can_be_counted() -> None:
    (y,) = evaluate(number_range(-(2**31), 2**31 - 1, 2**30))
    assert y.tolist() == [-(2**31), -(2**30), 0, 2**30]


def test_a_range_that_is_computed() -> None:
    graph = one_op("RANGE", [tensor((), I32)] * 3, [tensor((), I32)])
    assert evaluate(graph, *(np.array(n, np.int32) for n in (1, 7, 3)))[0].tolist() == [1, 4]
    with pytest.raises(InvokeError, match="from 1 to 7 no step of -3 leads"):
        evaluate(graph, *(np.array(n, np.int32) for n in (1, 7, -3)))


def fill(shape: Any, value: TensorSpec, output: TensorSpec | None = None) -> Graph:
    return one_op("FILL", [constant(np.array(shape, np.int32)), value], [output or tensor()])


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("output-type", one_op("SHAPE", [tensor((2,))], [tensor((), I32)], ShapeOptions(I64))),
        ("types", one_op("SHAPE", [tensor((2,))], [tensor((), F32)], ShapeOptions(F32))),
        ("types", one_op("RANK", [tensor((2,))], [tensor((), I64)])),
        ("fill-shape", fill([2, -1], tensor())),
        ("fill-value", fill([2], tensor((1,)))),
        ("integers-shape", fill(2, tensor())),
        ("quantization-equal", fill([2], tensor((), I8, scale=1.0), tensor((), I8, scale=2.0))),
        ("range-step", number_range(0, 5, 0)),
        ("range-step", number_range(0, 5, -1)),
        ("range-step", number_range(0, np.inf, 1, kind=F32)),
        ("range-step", number_range(0, np.nan, 1, kind=F32)),
        ("range-quantized", number_range(0, 5, 1, kind=I8, scale=1.0)),
        ("range-scalar", one_op("RANGE", [tensor((1,), I32)] * 3, [tensor((), I32)])),
        ("types", one_op("RANGE", [tensor((), I32), tensor((), I32), tensor((), I64)], [tensor((), I32)])),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
