"""Non-maximum suppression: of boxes that overlap, the one with the best score.

NON_MAX_SUPPRESSION_V4 and its soft form V5 (TFLite's ``kernels/non_max_suppression.cc``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops import heaps
from minilite.ops.base import Lowering, Op, Tolerance, operator, refuse, ulps
from minilite.ops.checks import check_arity, check_rank, check_size, check_types, constant_integers

_FLOAT, _INT = TensorType.FLOAT32, TensorType.INT32

_SCALARS = ("max-output-size", "iou-threshold", "score-threshold", "sigma")


@dataclass(frozen=True)
class NonMaxSuppressionV4Options:
    """Schema table ``NonMaxSuppressionV4Options``."""


@dataclass(frozen=True)
class NonMaxSuppressionV5Options:
    """Schema table ``NonMaxSuppressionV5Options``."""


class _Suppression(Op):
    """What both share. Inputs are boxes [boxes, 4] as two corners (y, x), scores [boxes], and scalars.

    The scalars are the most boxes to select (int32), the overlap from which a box is dropped, and the
    score that has to be exceeded. The outputs have as many elements as the first says, zeros behind the
    selected; the last output is their number.
    """

    scalars: int
    """How many scalars follow boxes and scores."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        count = 2 + self.scalars
        outputs = self._outputs()
        check_arity(node, (count, count), outputs=len(outputs))
        floats = (_FLOAT,) * (self.scalars - 1)
        check_types(node, ((_FLOAT, _FLOAT, _INT, *floats, *outputs),))
        boxes, scores = node.input(0), node.input(1)
        check_rank(node, boxes, 2, "boxes, corners")
        if boxes.shape[1] != 4:
            refuse(node, "must have 4 numbers for each box: y, x, y, x", rule="box-size", tensor=boxes)
        if scores.shape != boxes.shape[:1]:
            refuse(node, f"must have one score for each box of {boxes}", rule="score-count", tensor=scores)
        for position, rule in zip(range(2, count), _SCALARS, strict=False):
            check_size(node, node.input(position), 1, rule)
        sigma = node.input(5).data if self.scalars > 3 else None
        if sigma is not None:
            self._check_sigma(node, sigma)
        most = constant_integers(node.input(2))
        shape = None if most is None else (self._checked(node, most[0]),)
        return (*[shape] * (len(outputs) - 1), ())

    def _outputs(self) -> tuple[TensorType, ...]:
        return (_INT, _INT)

    def _checked(self, node: Node, most: int) -> int:
        if most < 0:
            refuse(node, f"is {most}, but must be at least 0", rule="max-output-size", tensor=node.input(2))
        return most

    def _check_sigma(self, node: Node, value: Array) -> float:
        sigma = float(value.ravel()[0])
        if sigma < 0:
            refuse(node, f"is {sigma}, but must be at least 0", rule="sigma", tensor=node.input(5))
        return sigma

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        values = [value for value in inputs if value is not None]
        boxes, scores, most, overlap, least = values[:5]
        sigma = self._check_sigma(node, values[5]) if len(values) > 5 else 0.0
        count = self._checked(node, int(most.ravel()[0]))
        chosen, kept = _select(boxes, scores, count, overlap.ravel()[0], least.ravel()[0], sigma)
        found = np.array(len(chosen), np.int32)
        indices, best = np.zeros(count, np.int32), np.zeros(count, scores.dtype)
        indices[: len(chosen)], best[: len(chosen)] = chosen, kept
        return (indices, best, found) if len(node.outputs) == 3 else (indices, found)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.suppression import suppress

        most = constant_integers(node.input(2))
        boxes, soft = node.input(0), len(node.outputs) == 3
        if not most or not most[0] or (soft and not node.input(5).is_constant):
            return False
        count = boxes.shape[0]
        lowering.step(
            suppress,
            node,
            extent=1,
            grain=1,
            boxes=boxes,
            scores=node.input(1),
            limit=node.input(3),
            least=node.input(4),
            sigma=node.input(5) if soft else np.zeros(1, np.float32),
            indices=node.outputs[0],
            kept=node.outputs[1] if soft else lowering.temporary(_FLOAT, most[0]),
            found=node.outputs[-1],
            keys=lowering.scratch(np.float32, count),
            items=lowering.scratch(np.int32, count),
            seen=lowering.scratch(np.int32, count),
            most=most[0],
        )
        return True


@operator("NON_MAX_SUPPRESSION_V4")
class NonMaxSuppressionV4(_Suppression):
    """The boxes selected, the best first, and how many."""

    options = NonMaxSuppressionV4Options
    scalars = 3


@operator("NON_MAX_SUPPRESSION_V5")
class NonMaxSuppressionV5(_Suppression):
    """The boxes selected, their scores, and how many.

    The last scalar is sigma: if it is above 0, a box loses score by its overlap with each of the
    selected, ``exp(-overlap**2 / (2 * sigma))`` times, before it may be selected (soft suppression).
    """

    options = NonMaxSuppressionV5Options
    scalars = 4

    def _outputs(self) -> tuple[TensorType, ...]:
        return (_INT, _FLOAT, _INT)

    def tolerance(self, node: Node) -> Tolerance:
        # A score is scaled once for each box selected before.
        return ulps(2 * node.input(0).shape[0])


class _Candidate(NamedTuple):
    """A box that may be selected; it has been compared with the first ``seen`` of the selected."""

    score: np.floating[Any]
    box: int
    seen: int


def _less(a: _Candidate, b: _Candidate) -> bool:
    return bool(a.score < b.score)


def _select(
    boxes: Array, scores: Array, most: int, limit: np.floating[Any], least: np.floating[Any], sigma: float
) -> tuple[list[int], list[np.floating[Any]]]:
    """Indices and scores of the selected (``reference/non_max_suppression.h``).

    There a box that was selected goes back on the heap, to be dropped when it meets itself. So it does
    here, as the heap decides the order of equals; but one without area, which does not overlap even
    with itself, is selected once, not again and again.
    """
    heap: list[_Candidate] = []
    for i in np.flatnonzero(scores > least):
        heaps.push(heap, _Candidate(scores[i], int(i), 0), _less)
    most = min(most, len(heap))
    scale = scores.dtype.type(-0.5 / sigma if sigma > 0 else 0)
    chosen: list[int] = []
    kept: list[np.floating[Any]] = []
    overlaps: list[Array] = []
    rectangles = Rectangles.of(boxes)
    while len(chosen) < most and heap:
        candidate = heaps.pop(heap, _less)
        if candidate.box in chosen:
            continue
        score, dropped = candidate.score, False
        for row in reversed(overlaps[candidate.seen :]):
            overlap = row[candidate.box]
            if overlap >= limit:
                dropped = True
                break
            if sigma > 0:
                score = score * np.exp(np.float64(scale * overlap * overlap)).astype(scores.dtype)
            if score <= least:
                break
        seen = len(chosen)
        if not dropped and score == candidate.score:
            chosen.append(candidate.box)
            kept.append(score)
            overlaps.append(rectangles.overlaps(candidate.box))
        if not dropped and score > least:
            heaps.push(heap, _Candidate(score, candidate.box, seen), _less)
    return chosen, kept


@dataclass(frozen=True)
class Rectangles:
    """Boxes by their sides, whichever corners they were given by: [2, boxes] each, rows before columns."""

    low: Array
    high: Array
    area: Array

    @staticmethod
    def of(boxes: Array) -> Rectangles:
        """From corners [boxes, 4]: y, x, y, x."""
        one, other = boxes[:, :2].T, boxes[:, 2:].T
        low, high = np.minimum(one, other), np.maximum(one, other)
        return Rectangles(low, high, (high[0] - low[0]) * (high[1] - low[1]))

    def overlaps(self, i: int, first: int = 0) -> Array:
        """Intersection over union of box ``i`` with each from ``first`` on; 0 where one has no area."""
        low, high, area = self.low[:, first:], self.high[:, first:], self.area[first:]
        sides = np.minimum(high, self.high[:, i : i + 1]) - np.maximum(low, self.low[:, i : i + 1])
        sides = np.maximum(sides, 0)
        common = sides[0] * sides[1]
        union = area + self.area[i] - common
        some = (area > 0) & (union != 0) & (self.area[i] > 0)
        overlap: Array = np.where(some, common / np.where(some, union, 1), 0)
        return overlap
