"""Cases of non-maximum suppression and of detection."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minilite import flexbuffer
from minilite.graph import Array, TensorType
from minilite.ops.detection import DetectionPostProcess, detection_options
from minilite.testing.cases import Case, known_fault, strategy
from minilite.testing.draw import SEEDS, type_of
from minilite.testing.models import TensorSpec, constant, one_op, tensor
from minilite.testing.strategies.selection import parameter

FLOAT, INT = TensorType.FLOAT32, TensorType.INT32


def _boxes(rng: np.random.Generator, count: int) -> Array:
    """Corners of boxes that overlap, some twice the same, some given from the other corner."""
    centres, sizes = rng.random((count, 2)) * 3, rng.random((count, 2)) + 0.1
    corners = np.concatenate([centres - sizes, centres + sizes], axis=1).astype(np.float32)
    corners = corners[rng.integers(0, count, count)]
    return np.where(rng.random((count, 1)) < 0.2, corners[:, [2, 3, 0, 1]], corners)


def _scores(rng: np.random.Generator, shape: tuple[int, ...], *, ties: bool) -> Array:
    drawn = rng.random(shape, np.float32)
    return np.round(drawn * 8) / np.float32(8) if ties else drawn


@strategy("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", variants=("float32",))
@st.composite
def suppressions(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Overlapping boxes, scores of which some are equal, all thresholds."""
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(SEEDS))
    boxes, scores = _boxes(rng, count), _scores(rng, (count,), ties=draw(st.booleans()))
    most, more = draw(parameter(np.array(draw(st.integers(1, count + 3)), np.int32)))
    scalars: list[Any] = [draw(st.sampled_from([0.1, 0.5, 0.7, 1.0])), draw(st.sampled_from([0.0, 0.3, 0.5]))]
    outputs = [tensor((), INT), tensor((), INT)]
    if name == "NON_MAX_SUPPRESSION_V5":
        scalars.append(draw(st.sampled_from([0.0, 0.0, 0.5, 2.0])))
        outputs.insert(1, tensor())
    constants = [constant(np.array(value, np.float32)) for value in scalars]
    graph = one_op(name, [tensor(boxes.shape), tensor(scores.shape), most, *constants], outputs)
    return Case(graph, (boxes, scores, *more))


@strategy("TFLite_Detection_PostProcess", variants=("float32", "uint8", "int8"))
@st.composite
def detections(draw: st.DrawFn, name: str, variant: str) -> Case:
    """Both forms of suppression, with and without a background class."""
    kind = type_of(variant)
    anchors, classes = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(SEEDS))
    options = {
        "max_detections": draw(st.integers(1, 12)),
        "max_classes_per_detection": draw(st.integers(1, 3)),
        "use_regular_nms": draw(st.booleans()),
        "nms_score_threshold": draw(st.sampled_from([0.0, 0.3, 0.6])),
        "nms_iou_threshold": draw(st.sampled_from([0.1, 0.5, 1.0])),
        "num_classes": classes,
        "y_scale": 10.0,
        "x_scale": 10.0,
        "h_scale": 5.0,
        "w_scale": 5.0,
    }
    if draw(st.booleans()):
        options["detections_per_class"] = draw(st.integers(1, 8))
    width = classes + draw(st.integers(0, 1))
    encodings = rng.standard_normal((1, anchors, draw(st.sampled_from([4, 4, 6])))).astype(np.float32)
    scores = _scores(rng, (1, anchors, width), ties=draw(st.booleans()))
    boxes = np.concatenate([rng.random((anchors, 2)) * 2, rng.random((anchors, 2)) + 0.2], axis=1)
    made = [
        _quantized(kind, encodings, 0.05, 100),
        _quantized(kind if draw(st.booleans()) else FLOAT, scores, 1 / 256, 0),
        _quantized(kind, boxes.astype(np.float32), 0.01, 3),
    ]
    specs: list[TensorSpec] = [made[0][0], made[1][0]]
    anchor_spec, anchor_values = made[2]
    graph = one_op(
        name,
        [*specs, constant(anchor_values, kind, scale=anchor_spec.scale, zero_point=anchor_spec.zero_point)],
        [tensor()] * 4,
        custom_options=flexbuffer.encode(options),
    )
    return Case(graph, (made[0][1], made[1][1]))


def _quantized(kind: TensorType, values: Array, scale: float, zero_point: int) -> tuple[TensorSpec, Array]:
    """The tensor and its values in a type; the zero point counts from the smallest integer."""
    if kind is FLOAT:
        return tensor(values.shape), values
    low = int(np.iinfo(kind.dtype).min)
    steps = np.clip(np.round(values / scale) + zero_point, 0, 255) + low
    return tensor(values.shape, kind, scale=scale, zero_point=zero_point + low), steps.astype(kind.dtype)


known_fault(
    "TFLite_Detection_PostProcess", "int8", runtime="litert-ref", reason="takes float32 and uint8 only"
)


def _leaves_gaps(case: Case) -> bool:
    """Whether not every element of the outputs belongs to a detection."""
    (node,) = case.graph.main.nodes()
    options = detection_options(node)
    if options.use_regular_nms:
        return options.max_classes_per_detection > 1
    number = DetectionPostProcess().evaluate(node, [*case.inputs, node.input(2).data])[3]
    return number[0] < options.max_detections or options.max_classes_per_detection > options.num_classes


known_fault(
    "TFLite_Detection_PostProcess",
    "float32",
    "uint8",
    runtime="litert-ref",
    reason="what does not belong to a detection is whatever stood in memory; minilite gives zeros",
    when=_leaves_gaps,
)
