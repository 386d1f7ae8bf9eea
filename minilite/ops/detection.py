"""Objects from a single-shot detector's raw outputs: the custom operator TFLite_Detection_PostProcess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minilite.graph import Array, Node, Shape, Tensor, TensorType
from minilite.ops import heaps
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_quantized, check_rank, check_types, flexbuffer_options
from minilite.ops.suppression import Rectangles
from minilite.quantization import is_quantized


@dataclass(frozen=True)
class DetectionOptions:
    """The operator's FlexBuffer; what it leaves out is 0, but for two."""

    max_detections: int = 0
    max_classes_per_detection: int = 0
    detections_per_class: int = 100
    use_regular_nms: bool = False
    nms_score_threshold: float = 0.0
    nms_iou_threshold: float = 0.0
    num_classes: int = 0
    y_scale: float = 0.0
    x_scale: float = 0.0
    h_scale: float = 0.0
    w_scale: float = 0.0

    @property
    def scales(self) -> Array:
        """float32 [4]: what box encodings (y, x, height, width) are divided by."""
        return np.array([self.y_scale, self.x_scale, self.h_scale, self.w_scale], np.float32)


def detection_options(node: Node) -> DetectionOptions:
    """Decode the options; unknown ones are ignored."""
    values = flexbuffer_options(node)
    defaults = DetectionOptions()
    known: dict[str, Any] = {}
    for name in DetectionOptions.__dataclass_fields__:
        value = values.get(name)
        if value is None:
            continue
        if not isinstance(value, bool | int | float):
            refuse(node, f"option {name} is {value!r}, not a number", rule="detection-options")
        known[name] = type(getattr(defaults, name))(value)
    return DetectionOptions(**known)


_TYPES = tuple(
    (boxes, scores, boxes, *[TensorType.FLOAT32] * 4)
    for boxes in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8)
    for scores in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8)
)


@operator("TFLite_Detection_PostProcess")
class DetectionPostProcess(Op):
    """Boxes from encodings and anchors, then non-maximum suppression (``kernels/detection_postprocess.cc``).

    Inputs: encodings [1, anchors, 4 or more] as centre and size (y, x, height, width), scores
    [1, anchors, classes] with or without a background class in front, anchors [anchors, 4]. Outputs,
    float32: corners [1, n, 4] (y, x, y, x), classes [1, n], scores [1, n], number of detections [1],
    where n is ``max_detections * max_classes_per_detection``. Behind the detections are zeros.

    The fast form ranks each anchor by its best class. With ``use_regular_nms`` each class is suppressed
    by itself and the best of all are kept. int8 is a gift: TFLite has float32 and uint8.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3), outputs=4)
        check_types(node, _TYPES)
        encodings, scores, anchors = (node.input(i) for i in range(3))
        check_rank(node, encodings, 3, "batch, anchors, encoding")
        check_rank(node, scores, 3, "batch, anchors, classes")
        check_rank(node, anchors, 2, "anchors, encoding")
        for tensor in (encodings, scores, anchors):
            if is_quantized(tensor):
                check_quantized(node, tensor)
        options = detection_options(node)
        _check_options(node, options)
        _check_shapes(node, options)
        count = options.max_detections * options.max_classes_per_detection
        return (1, count, 4), (1, count), (1, count), (1,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        options = detection_options(node)
        encodings, scores, anchors = (
            _real(tensor, value)
            for tensor, value in zip(node.inputs, inputs, strict=True)
            if tensor is not None and value is not None
        )
        boxes = _decode(encodings[0, :, :4], anchors, options.scales)
        reversed_boxes = (boxes[:, :2] > boxes[:, 2:]).any(axis=1)
        if reversed_boxes.any():
            first = int(np.argmax(reversed_boxes))
            refuse(
                node,
                f"box {first} has a negative size: {boxes[first].tolist()}",
                rule="box-order",
                tensor=node.input(0),
            )
        # A background class, which is none, stands in front.
        scores = scores[0, :, scores.shape[2] - options.num_classes :]
        select = _regular if options.use_regular_nms else _fast
        found = select(boxes, scores, options)
        count = options.max_detections * options.max_classes_per_detection
        corners, classes, best = (
            np.zeros((1, count, 4), boxes.dtype),
            np.zeros((1, count)),
            np.zeros((1, count)),
        )
        for place, (anchor, kind) in found.places.items():
            corners[0, place], classes[0, place], best[0, place] = boxes[anchor], kind, scores[anchor, kind]
        number = np.array([found.detections], np.float32)
        return corners, classes.astype(np.float32), best.astype(scores.dtype), number


def _check_shapes(node: Node, options: DetectionOptions) -> None:
    encodings, scores, anchors = (node.input(i) for i in range(3))
    count = encodings.shape[1]
    if encodings.shape[0] != 1 or encodings.shape[2] < 4:
        refuse(node, "must be [1, anchors, 4 or more]", rule="encodings-shape", tensor=encodings)
    if anchors.shape != (count, 4):
        refuse(node, f"must be [{count}, 4], an anchor for each box", rule="anchors-shape", tensor=anchors)
    classes = options.num_classes
    if scores.shape[:2] != (1, count) or scores.shape[2] - classes not in (0, 1):
        refuse(
            node,
            f"must be [1, {count}, {classes} or, with a background, {classes + 1}]",
            rule="scores-shape",
            tensor=scores,
        )


def _check_options(node: Node, options: DetectionOptions) -> None:
    per = "detections_per_class" if options.use_regular_nms else "max_classes_per_detection"
    for name, least in (
        ("max_detections", 0),
        ("max_classes_per_detection", 0),
        ("num_classes", 1),
        (per, 1),
    ):
        if getattr(options, name) < least:
            refuse(
                node,
                f"option {name} is {getattr(options, name)}, but must be at least {least}",
                rule="detection-options",
            )
    if not 0 < options.nms_iou_threshold <= 1:
        refuse(
            node,
            f"option nms_iou_threshold is {options.nms_iou_threshold}, but must be above 0 and at most 1",
            rule="detection-options",
        )


def _real(tensor: Tensor, value: Array) -> Array:
    """The numbers that quantized ones stand for, in float32."""
    if not is_quantized(tensor):
        return value
    q = tensor.quantization
    assert q is not None
    return (value.astype(np.float32) - np.float32(q.zero_point)) * q.scale


def _decode(encodings: Array, anchors: Array, scales: Array) -> Array:
    """Corners [anchors, 4]: computed in float64, centres and half sizes rounded before they are added."""
    scaled = encodings.astype(np.float64) / scales.astype(np.float64)
    at, size = anchors[:, :2].astype(np.float64), anchors[:, 2:].astype(np.float64)
    centre = (scaled[:, :2] * size + at).astype(encodings.dtype)
    half = (0.5 * np.exp(scaled[:, 2:]) * size).astype(encodings.dtype)
    return np.concatenate([centre - half, centre + half], axis=1)


@dataclass(frozen=True)
class _Found:
    """Which anchor and class stands at which place of the outputs, and the number of detections."""

    places: dict[int, tuple[int, int]]
    detections: int


def _fast(boxes: Array, scores: Array, options: DetectionOptions) -> _Found:
    """Each anchor once, by its best class; its next best classes stand behind it."""
    selected = _suppress(boxes, scores.max(axis=1), options.max_detections, options)
    per_anchor = options.max_classes_per_detection
    places = {}
    for rank, anchor in enumerate(selected):
        for i, kind in enumerate(_best_classes(scores[anchor], min(per_anchor, options.num_classes))):
            places[rank * per_anchor + i] = anchor, kind
    return _Found(places, len(selected))


def _best_classes(scores: Array, count: int) -> list[int]:
    """The best classes in order; of equals the first if it is one, else as ``std::partial_sort`` has it."""
    if count == 1:
        return [int(np.argmax(scores))]
    values = scores.tolist()
    return heaps.partial_sort(list(range(len(values))), count, lambda i, j: values[i] > values[j])


def _regular(boxes: Array, scores: Array, options: DetectionOptions) -> _Found:
    """Each class by itself; of all that is left the best, those of lower classes first among equals."""
    per_class = min(options.detections_per_class, options.max_detections)
    anchors, kinds = np.empty(0, np.intp), np.empty(0, np.intp)
    for kind in range(options.num_classes):
        selected = _suppress(boxes, scores[:, kind], per_class, options)
        anchors = np.append(anchors, selected).astype(np.intp)
        kinds = np.append(kinds, np.full(len(selected), kind, np.intp))
        best = np.argsort(-scores[anchors, kinds], kind="stable")[: options.max_detections]
        anchors, kinds = anchors[best], kinds[best]
    pairs = zip(anchors.tolist(), kinds.tolist(), strict=True)
    return _Found(dict(enumerate(pairs)), len(anchors))


def _suppress(boxes: Array, scores: Array, most: int, options: DetectionOptions) -> list[int]:
    """Anchors with a score that is enough, the best first, without those that overlap a better one."""
    order = np.flatnonzero(scores >= np.float32(options.nms_score_threshold))
    order = order[np.argsort(-scores[order], kind="stable")]
    rectangles, left = Rectangles.of(boxes[order]), np.ones(order.size, np.bool_)
    selected: list[int] = []
    while left.any() and len(selected) < most:
        best = int(np.argmax(left))
        selected.append(int(order[best]))
        left[: best + 1] = False
        left[best + 1 :] &= ~(rectangles.overlaps(best, best + 1) > np.float32(options.nms_iou_threshold))
    return selected
