from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Array, Graph
from minilite.prepare import prepare
from minilite.testing.models import one_op, tensor
from tests.oracle import evaluate

SAME, VALID = 1, 2
RELU6 = 3
PLACE = np.float32(0.1)


def raw(
    padding: int = VALID, stride: int = 2, window: int = 2, height: int = 1, activation: int = 0
) -> bytes:
    """``TfLitePoolParams``: padding; stride and window, of columns and rows each; activation."""
    return struct.pack("<6i", padding, stride, height, window, height, activation)


def row(*values: float) -> Array:
    return np.array(values, np.float32).reshape(1, 1, -1, 1)


def pool(x: Array, options: bytes) -> tuple[list[float], list[float]]:
    graph = one_op("MaxPoolingWithArgmax2D", [tensor(x.shape)], [tensor(), tensor()], custom_options=options)
    largest, places = evaluate(graph, x)
    assert (places - np.floor(places)).ravel().tolist() == pytest.approx([0.1] * places.size, abs=1e-6)
    return largest.ravel().tolist(), np.floor(places).ravel().tolist()


def unpool(x: Array, places: Array, options: bytes) -> Array:
    inputs = [tensor(x.shape), tensor(places.shape)]
    (y,) = evaluate(one_op("MaxUnpooling2D", inputs, [tensor()], custom_options=options), x, places)
    return y


def test_maxima_and_their_places() -> None:
    assert pool(row(1, 3, 5, 4), raw()) == ([3, 5], [1, 0])
    # The first among equals, and of NaN alone the first; what lies outside has a place, too.
    assert pool(row(2, 2, np.nan, np.nan), raw()) == ([2, float(np.finfo(np.float32).min)], [0, 0])
    assert pool(row(7, 1, 9), raw(SAME, stride=1, window=3)) == ([7, 9, 9], [1, 2, 1])


def test_places_count_row_by_row() -> None:
    x = np.array([[0, 1], [2, 9]], np.float32).reshape(1, 2, 2, 1)
    assert pool(x, raw(height=2)) == ([9], [3])
    assert pool(x.transpose(0, 2, 1, 3), raw(height=2, activation=RELU6)) == ([6], [3])
    assert pool(x[:, ::-1], raw(height=2)) == ([9], [1])


def test_unpooling_puts_maxima_back() -> None:
    x = np.array([[1, 2], [3, 4]], np.float32).reshape(1, 2, 2, 1)
    places = np.array([[0, 3], [1, 2]], np.float32).reshape(1, 2, 2, 1) + PLACE
    expected = [[1, 0, 0, 0], [0, 0, 0, 2], [0, 3, 0, 0], [0, 0, 4, 0]]
    assert unpool(x, places, raw(height=2))[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize("place", [4, -5, np.nan, np.inf, 1e30])
def test_unpooling_leaves_out_what_lies_outside(place: float) -> None:
    assert unpool(row(7), row(place), raw()).tolist() == np.zeros((1, 1, 2, 1)).tolist()


def test_where_unpooled_values_meet_the_last_one_stays() -> None:
    # Windows of 2 a pixel apart: the second pixel of the first is the first of the second.
    assert unpool(row(5, 6), row(1, 0) + PLACE, raw(stride=1)).ravel().tolist() == [0, 6, 0, 0]


def one_pool(options: bytes, shape: tuple[int, ...] = (1, 4, 4, 1), outputs: int = 2) -> Graph:
    specs = [tensor() for _ in range(outputs)]
    return one_op("MaxPoolingWithArgmax2D", [tensor(shape)], specs, custom_options=options)


def one_unpool(options: bytes, places: tuple[int, ...] = (1, 4, 4, 1)) -> Graph:
    return one_op(
        "MaxUnpooling2D", [tensor((1, 4, 4, 1)), tensor(places)], [tensor()], custom_options=options
    )


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("custom-options", one_pool(raw()[:-1])),
        ("padding", one_pool(raw(padding=0))),
        ("stride-w", one_pool(raw(stride=0))),
        ("filter-width", one_pool(raw(window=0))),
        ("fused-activation", one_pool(raw(activation=4))),
        ("rank", one_pool(raw(), (4, 4, 1))),
        ("output-count", one_pool(raw(), outputs=1)),
        ("empty-output", one_pool(raw(window=5))),
        ("places-shape", one_unpool(raw(), (1, 4, 4, 2))),
        ("stride-h", one_unpool(raw(height=-1))),
    ],
)
def test_refuses(rule: str, graph: Any) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
