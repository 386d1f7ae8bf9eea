from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite.errors import PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops.space import DepthToSpaceOptions, SpaceToDepthOptions
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import evaluate

I8 = TensorType.INT8


def batches(
    name: str, shape: tuple[int, ...], blocks: list[int], amounts: Any, spec: dict[str, Any] | None = None
) -> Graph:
    where = [constant(np.array(values, np.int32)) for values in (blocks, amounts)]
    ends: list[TensorSpec] = [tensor(shape, **spec or {}), tensor((), **spec or {})]
    return one_op(name, [ends[0], *where], [ends[1]])


def test_space_to_batch_and_back() -> None:
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 2, 4, 1)
    (y,) = evaluate(batches("SPACE_TO_BATCH_ND", x.shape, [2, 2], [[0, 0], [0, 0]]), x)
    np.testing.assert_array_equal(y.reshape(4, 2), [[1, 3], [2, 4], [5, 7], [6, 8]])
    (z,) = evaluate(batches("BATCH_TO_SPACE_ND", y.shape, [2, 2], [[0, 0], [0, 0]]), y)
    np.testing.assert_array_equal(z, x)


def test_the_padding_is_a_zero_point() -> None:
    x = np.array([1, 2, 3], np.int8).reshape(1, 3, 1)
    spec = {"type": I8, "scale": 1.0, "zero_point": -7}
    (y,) = evaluate(batches("SPACE_TO_BATCH_ND", x.shape, [2], [[2, 1]], spec), x)
    # -7 -7 | 1 2 | 3 -7
    np.testing.assert_array_equal(y.reshape(2, 3), [[-7, 1, 3], [-7, 2, -7]])


def test_a_picture_is_cropped() -> None:
    x = np.array([[0, 2, 4], [1, 3, 5]], np.float32).reshape(2, 3, 1)
    (y,) = evaluate(batches("BATCH_TO_SPACE_ND", x.shape, [2], [[1, 2]]), x)
    np.testing.assert_array_equal(y.ravel(), [1, 2, 3])
    assert evaluate(batches("BATCH_TO_SPACE_ND", x.shape, [2], [[6, 0]]), x)[0].shape == (1, 0, 1)


def depth(name: str, shape: tuple[int, ...], block: int) -> Graph:
    options = SpaceToDepthOptions if name == "SPACE_TO_DEPTH" else DepthToSpaceOptions
    return one_op(name, [tensor(shape)], [tensor()], options(block))


def test_rows_of_a_square_come_first() -> None:
    # Two channels: pixel (row, column) holds 10 * row + column and its negative.
    pixels = np.add.outer(10 * np.arange(2), np.arange(4)).astype(np.float32)
    x = np.stack([pixels, -pixels], axis=-1)[np.newaxis]
    (y,) = evaluate(depth("SPACE_TO_DEPTH", x.shape, 2), x)
    np.testing.assert_array_equal(y[0, 0, 1], [2, -2, 3, -3, 12, -12, 13, -13])
    (z,) = evaluate(depth("DEPTH_TO_SPACE", y.shape, 2), y)
    np.testing.assert_array_equal(z, x)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("block-size", batches("SPACE_TO_BATCH_ND", (1, 3, 1), [2], [[0, 0]])),
        ("block-shape", batches("SPACE_TO_BATCH_ND", (1, 3, 1), [0], [[0, 0]])),
        ("padding", batches("SPACE_TO_BATCH_ND", (1, 3, 1), [2], [[-1, 0]])),
        ("rank", batches("SPACE_TO_BATCH_ND", (1, 3), [], [])),
        ("integers-shape", batches("SPACE_TO_BATCH_ND", (1, 3, 1), [2, 2], [[0, 0], [0, 0]])),
        ("block-size", batches("BATCH_TO_SPACE_ND", (3, 3, 1), [2], [[0, 0]])),
        ("crops", batches("BATCH_TO_SPACE_ND", (2, 1, 1), [2], [[1, 2]])),
        ("block-size", depth("SPACE_TO_DEPTH", (1, 3, 2, 1), 2)),
        ("block-size", depth("DEPTH_TO_SPACE", (1, 1, 1, 6), 2)),
        ("block-size", depth("DEPTH_TO_SPACE", (1, 1, 1, 4), 0)),
        ("rank", depth("SPACE_TO_DEPTH", (2, 2, 1), 2)),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
