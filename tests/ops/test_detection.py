"""Non-maximum suppression, heaps, and detection."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minilite import flexbuffer
from minilite.errors import InvokeError, PrepareError
from minilite.graph import Graph, TensorType
from minilite.ops import heaps
from minilite.prepare import prepare
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from tests.oracle import assert_agrees, evaluate, evaluate_litert

I8, I32 = TensorType.INT8, TensorType.INT32

# Two that overlap by 1/3 (twice), one aside; the second is given from its other corner.
BOXES = np.array([[0, 0, 2, 2], [3, 2, 1, 0], [5, 5, 6, 6]], np.float32)
SCORES = np.array([0.6, 0.9, 0.3], np.float32)


def suppression(*scalars: float, most: TensorSpec | None = None) -> Graph:
    outputs = [tensor((), I32), tensor((), I32)]
    if len(scalars) == 3:
        outputs.insert(1, tensor())
    name = f"NON_MAX_SUPPRESSION_V{len(scalars) + 2}"
    inputs = [tensor((3, 4)), tensor((3,)), most or constant(np.array(4, np.int32))]
    return one_op(name, [*inputs, *(constant(np.array(s, np.float32)) for s in scalars)], outputs)


@pytest.mark.parametrize(
    ("overlap", "least", "expected"),
    [(0.5, 0.0, [1, 0, 2, 0]), (0.3, 0.0, [1, 2, 0, 0]), (0.5, 0.3, [1, 0, 0, 0]), (0.5, 0.95, [0, 0, 0, 0])],
)
def test_suppression(litert: Any, overlap: float, least: float, expected: list[int]) -> None:
    indices, found = assert_agrees(litert, suppression(overlap, least), BOXES, SCORES)
    assert indices.tolist() == expected
    assert found == {0.0: 3 if overlap == 0.5 else 2, 0.3: 2, 0.95: 0}[least]


def test_the_number_of_boxes_may_be_computed() -> None:
    graph = suppression(0.5, 0.0, most=tensor((), I32))
    assert evaluate(graph, BOXES, SCORES, np.array(1, np.int32))[0].tolist() == [1]
    with pytest.raises(InvokeError, match="is -1, but must be at least 0"):
        evaluate(graph, BOXES, SCORES, np.array(-1, np.int32))


def test_soft_suppression_lowers_scores(litert: Any) -> None:
    # 0.6 * exp(-(1/3)**2 / (2 * 0.05)) = 0.6 * 0.329 = 0.1975, less than the third.
    indices, scores, found = assert_agrees(litert, suppression(0.9, 0.0, 0.05), BOXES, SCORES)
    assert indices.tolist() == [1, 2, 0, 0]
    np.testing.assert_allclose(scores, [0.9, 0.3, 0.6 * np.exp(-1 / 0.9), 0], rtol=1e-6)
    assert found == 3


def test_a_box_without_area_is_selected_once_where_litert_repeats_it(litert: Any) -> None:
    graph, boxes = suppression(0.5, 0.0), np.array([[0, 0, 0, 0], *BOXES[1:]], np.float32)
    scores = np.array([0.95, 0.9, 0.3], np.float32)
    assert evaluate(graph, boxes, scores)[0].tolist() == [0, 1, 2, 0]
    assert evaluate_litert(litert, graph, boxes, scores)[0].tolist() == [0, 0, 0, 0]


def test_heaps_sort() -> None:
    items = np.random.default_rng(0).integers(0, 30, 100).tolist()
    heap: list[int] = []
    for item in items:
        heaps.push(heap, item, lambda a, b: a < b)
    assert [heaps.pop(heap, lambda a, b: a < b) for _ in items] == sorted(items, reverse=True)
    for count in (1, 2, 7, 100):
        assert heaps.partial_sort(items, count, lambda a, b: a < b) == sorted(items)[:count]


def detection(**options: Any) -> Graph:
    """Four anchors 1 x 1 at (0, 0), (0, 0.1), (3, 3), (6, 6); background and two classes."""
    defaults = {
        "max_detections": 3,
        "max_classes_per_detection": 1,
        "num_classes": 2,
        "nms_iou_threshold": 0.5,
        "nms_score_threshold": 0.2,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
    }
    anchors = np.array([[0, 0, 1, 1], [0, 0.1, 1, 1], [3, 3, 1, 1], [6, 6, 1, 1]], np.float32)
    return one_op(
        "TFLite_Detection_PostProcess",
        [tensor((1, 4, 4)), tensor((1, 4, 3)), constant(anchors)],
        [tensor()] * 4,
        custom_options=flexbuffer.encode(defaults | options),
    )


STILL = np.zeros((1, 4, 4), np.float32)
CLASSES = np.array([[[0.9, 0.5, 0.3], [0, 0.4, 0.8], [0, 0.1, 0.7], [0, 0.1, 0.1]]], np.float32)


def test_fast_detection_ranks_anchors_by_their_best_class() -> None:
    encodings = STILL.copy()
    encodings[0, 2] = [10, 0, 0, 5 * np.log(2)]  # one down, twice as wide
    corners, classes, scores, number = evaluate(detection(), encodings, CLASSES)
    expected = np.array([[-0.5, -0.4, 0.5, 0.6], [3.5, 2, 4.5, 4], [0, 0, 0, 0]])
    np.testing.assert_allclose(corners[0], expected, atol=1e-6)
    assert classes.tolist() == [[1, 1, 0]]
    np.testing.assert_array_equal(scores, np.array([[0.8, 0.7, 0]], np.float32))
    assert number.tolist() == [2]


def test_regular_detection_keeps_each_class() -> None:
    _, classes, scores, number = evaluate(detection(use_regular_nms=True), STILL, CLASSES)
    assert classes.tolist() == [[1, 1, 0]]
    np.testing.assert_array_equal(scores, np.array([[0.8, 0.7, 0.5]], np.float32))
    assert number.tolist() == [3]


def test_next_best_classes_stand_behind_the_best() -> None:
    _, classes, scores, number = evaluate(detection(max_classes_per_detection=2), STILL, CLASSES)
    assert classes.tolist() == [[1, 0, 1, 0, 0, 0]]
    np.testing.assert_array_equal(scores, np.array([[0.8, 0.4, 0.7, 0.1, 0, 0]], np.float32))
    assert number.tolist() == [2]


def test_a_box_of_negative_size_is_named() -> None:
    anchors = constant(np.array([[0, 0, 1, 1], [0, 0, -1, 1], [0, 0, 1, 1], [0, 0, 1, 1]], np.float32))
    options = detection().main.operators[0].custom_options
    specs = [tensor((1, 4, 4)), tensor((1, 4, 3)), anchors]
    turned = one_op("TFLite_Detection_PostProcess", specs, [tensor()] * 4, custom_options=options)
    with pytest.raises(InvokeError, match="box 1 has a negative size"):
        evaluate(turned, STILL, CLASSES)


def suppression_of(boxes: TensorSpec, scores: TensorSpec, overlap: Any = 0.5) -> Graph:
    inputs = [
        boxes,
        scores,
        constant(np.array(1, np.int32)),
        *(constant(np.array(s, np.float32)) for s in (overlap, 0)),
    ]
    return one_op("NON_MAX_SUPPRESSION_V4", inputs, [tensor((), I32)] * 2)


@pytest.mark.parametrize(
    ("rule", "graph"),
    [
        ("detection-options", detection(nms_iou_threshold=0.0)),
        ("detection-options", detection(max_detections=-1)),
        ("detection-options", detection(max_classes_per_detection=0)),
        ("detection-options", detection(num_classes=0)),
        ("detection-options", detection(num_classes="two")),
        ("scores-shape", detection(num_classes=5)),
        ("box-size", suppression_of(tensor((3, 5)), tensor((3,)))),
        ("score-count", suppression_of(tensor((3, 4)), tensor((2,)))),
        ("iou-threshold", suppression_of(tensor((3, 4)), tensor((3,)), [0.5, 0.5])),
        ("max-output-size", suppression(0.5, 0.0, most=constant(np.array(-1, np.int32)))),
    ],
)
def test_refuses(rule: str, graph: Graph) -> None:
    with pytest.raises(PrepareError) as caught:
        prepare(graph)
    assert caught.value.rule == rule
