from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.padding import MirrorPadMode, MirrorPadOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import each_type, evaluate

F32, I8, I16, I32, I64 = (
    TensorType.FLOAT32, TensorType.INT8, TensorType.INT16, TensorType.INT32, TensorType.INT64
)  # fmt: skip
STRING = TensorType.STRING


def pad(x: TensorSpec, amounts: Any, y: TensorSpec | None = None, kind: TensorType = I32) -> Graph:
    return one_op("PAD", [x, constant(np.array(amounts, kind.dtype).reshape(-1, 2))], [y or tensor()])


def mirror(shape: tuple[int, ...], amounts: Any, mode: MirrorPadMode) -> Graph:
    where = constant(np.array(amounts, np.int32).reshape(-1, 2))
    return one_op("MIRROR_PAD", [tensor(shape), where], [tensor()], MirrorPadOptions(mode))


@each_type(I8, I16, I32, I64, TensorType.BOOL)
def test_zeros_around(kind: TensorType) -> None:
    (y,) = evaluate(pad(tensor((1, 2)), [[0, 1], [1, 0]], kind=kind), np.array([[5, 6]], np.float32))
    np.testing.assert_array_equal(y, [[0, 5, 6], [0, 0, 0]])


def test_a_quantized_zero_is_the_zero_point() -> None:
    x = tensor((1,), I8, scale=0.5, zero_point=-3)
    (y,) = evaluate(pad(x, [1, 2], tensor((), I8, scale=0.5, zero_point=-3)), np.array([7], np.int8))
    assert y.tolist() == [-3, 7, -3, -3]


def test_a_scalar_has_no_border() -> None:
    assert evaluate(pad(tensor(()), []), np.array(5, np.float32))[0].item() == 5


@pytest.mark.parametrize("constant_value", [True, False])
def test_padv2_takes_its_value_as_it_is(constant_value: bool) -> None:
    spec = {"scale": 0.5, "zero_point": -3}
    value = constant([9], I8, **spec) if constant_value else tensor((1,), I8, **spec)
    inputs = [tensor((1,), I8, **spec), constant([[1, 1]], I64), value]
    graph = one_op("PADV2", inputs, [tensor((), I8, **spec)])
    given = [np.array([7], np.int8)] + ([] if constant_value else [np.array([9], np.int8)])
    assert evaluate(graph, *given)[0].tolist() == [9, 7, 9]


@pytest.mark.parametrize(
    ("mode", "amounts", "expected"),
    [
        (MirrorPadMode.REFLECT, [2, 1], [3, 2, 1, 2, 3, 2]),
        (MirrorPadMode.SYMMETRIC, [2, 1], [2, 1, 1, 2, 3, 3]),
        (MirrorPadMode.SYMMETRIC, [3, 3], [3, 2, 1, 1, 2, 3, 3, 2, 1]),
    ],
)
def test_mirrors(mode: MirrorPadMode, amounts: list[int], expected: list[int]) -> None:
    assert evaluate(mirror((3,), amounts, mode), np.array([1, 2, 3], np.float32))[0].tolist() == expected


def test_a_corner_is_mirrored_twice() -> None:
    x = np.array([[1, 2], [3, 4]], np.float32)
    (y,) = evaluate(mirror((2, 2), [[1, 0], [0, 1]], MirrorPadMode.REFLECT), x)
    np.testing.assert_array_equal(y, [[3, 4, 3], [1, 2, 1], [3, 4, 3]])


def test_amounts_may_be_computed() -> None:
    graph = one_op("PAD", [tensor((1,)), tensor((1, 2), I32)], [tensor()])
    assert evaluate(graph, np.array([5], np.float32), np.array([[1, 0]], np.int32))[0].tolist() == [0, 5]
    with pytest.raises(InvokeError, match="negative padding -1"):
        evaluate(graph, np.array([5], np.float32), np.array([[-1, 0]], np.int32))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("padding", pad(tensor((2,)), [-1, 1])),
        ("integers-shape", pad(tensor((2,)), [[1, 1], [1, 1]])),
        ("types", pad(tensor((2,), STRING), [1, 1], tensor((), STRING))),
        ("types", pad(tensor((2,)), [1, 1], kind=F32)),
        ("mirror-padding", mirror((3,), [3, 0], MirrorPadMode.REFLECT)),
        ("mirror-padding", mirror((3,), [0, 4], MirrorPadMode.SYMMETRIC)),
        ("mirror-padding", mirror((0,), [1, 0], MirrorPadMode.SYMMETRIC)),
        ("padding-value", one_op("PADV2", [tensor((2,)), constant([[1, 1]], I32), tensor((2,))], [tensor()])),
        ("types", one_op("PADV2", [tensor((2,)), constant([[1, 1]], I32), tensor((), I8)], [tensor()])),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


@pytest.mark.parametrize("name", ["MIRROR_PAD", "PADV2"])
def test_other_units_are_refused(name: str) -> None:
    x, other = tensor((2,), I8, scale=1.0), tensor((), I8, scale=2.0)
    inputs = [x, constant([[1, 1]], I32)] + ([tensor((), I8, scale=1.0)] if name == "PADV2" else [])
    with pytest.raises(PrepareError) as caught:
        prepare(one_op(name, inputs, [other]))
    assert caught.value.rule == "quantization-equal"
