from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, Shape, TensorType
from minilite.ops.selection import ArgMaxOptions, ArgMinOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import BYTES, assert_agrees, each_type, evaluate

F32, I32, I64 = TensorType.FLOAT32, TensorType.INT32, TensorType.INT64
OPTIONS: dict[str, Any] = {"ARG_MAX": ArgMaxOptions, "ARG_MIN": ArgMinOptions}
NAN, INF = np.nan, np.inf


def select(
    name: str, shape: Shape, axis: int | TensorSpec, kind: TensorType = F32, out: TensorType = I32
) -> Graph:
    position = constant(np.array(axis, np.int32)) if isinstance(axis, int) else axis
    return one_op(name, [tensor(shape, kind), position], [tensor((), out)], OPTIONS[name](out), version=2)


@pytest.mark.parametrize(("axis", "largest", "smallest"), [(0, [1, 0, 0], [0, 1, 0]), (-1, [1, 0], [0, 1])])
def test_first_of_equals_along_an_axis(axis: int, largest: list[int], smallest: list[int]) -> None:
    x = np.array([[1, 5, 5], [3, 2, 2]], np.float32)
    # Column 2 and row 0 hold ties of 5 and of 2 against themselves.
    np.testing.assert_array_equal(evaluate(select("ARG_MAX", x.shape, axis), x)[0], largest)
    np.testing.assert_array_equal(
        evaluate(select("ARG_MIN", x.shape, axis), x)[0], [0, 1, 1] if axis == 0 else smallest
    )


@pytest.mark.parametrize(
    ("row", "largest", "smallest"),
    [
        ([NAN, 1, 2], 2, 1),
        ([1, NAN, 2], 2, 0),
        ([NAN, -INF], 1, 1),
        ([INF, NAN], 0, 0),
        ([NAN, NAN, NAN], 0, 0),
    ],
)
def test_nan_is_never_chosen(litert: Any, row: list[float], largest: int, smallest: int) -> None:
    x = np.array(row, np.float32)
    assert assert_agrees(litert, select("ARG_MAX", x.shape, 0), x)[0] == largest
    assert assert_agrees(litert, select("ARG_MIN", x.shape, 0), x)[0] == smallest


def test_a_computed_axis_is_checked_when_it_is_known() -> None:
    graph = select("ARG_MAX", (2, 3), tensor((1,), I64))
    x = np.array([[1, 5, 4], [3, 2, 9]], np.float32)
    np.testing.assert_array_equal(evaluate(graph, x, np.array([1]))[0], [1, 2])
    with pytest.raises(InvokeError, match="axis 2 does not exist"):
        evaluate(graph, x, np.array([2]))


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("axis-range", select("ARG_MAX", (2, 3), 2)),
        ("axis-range", select("ARG_MAX", (), 0)),
        ("axis-size", select("ARG_MAX", (2, 3), constant(np.array([0, 1], np.int32)))),
        ("empty-axis", select("ARG_MAX", (2, 0), 1)),
        ("types", select("ARG_MAX", (2, 3), constant(np.array(0, np.float32)))),
        ("types", select("ARG_MAX", (2, 3), 0, out=F32)),
        (
            "output-type",
            one_op("ARG_MAX", [tensor((2,)), constant(np.int32(0))], [tensor((), I32)], ArgMaxOptions(I64)),
        ),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule


@each_type(F32, I32, *BYTES)
@pytest.mark.parametrize("name", OPTIONS)
@given(data=st.data(), out=st.sampled_from([I32, I64]), seed=st.integers(0, 2**32 - 1))
def test_agrees_with_litert(
    litert: Any, name: str, kind: TensorType, data: st.DataObject, out: TensorType, seed: int
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    # Few values, many ties.
    x = np.random.default_rng(seed).integers(0, 4, shape).astype(kind.dtype)
    assert_agrees(litert, select(name, shape, axis, kind, out), x)
