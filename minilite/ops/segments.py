"""Rows combined by the segment they belong to: SEGMENT_SUM, UNSORTED_SEGMENT_SUM, _PROD, _MAX, _MIN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, operator, refuse
from minilite.ops.checks import check_arity, check_rank, check_size, check_types, constant_integers
from minilite.quantization import integer_range

_TYPES = (TensorType.FLOAT32, TensorType.INT32)


@dataclass(frozen=True)
class SegmentSumOptions:
    """Schema table ``SegmentSumOptions``."""


@dataclass(frozen=True)
class UnsortedSegmentSumOptions:
    """Schema table ``UnsortedSegmentSumOptions``."""


@dataclass(frozen=True)
class UnsortedSegmentProdOptions:
    """Schema table ``UnsortedSegmentProdOptions``."""


@dataclass(frozen=True)
class UnsortedSegmentMaxOptions:
    """Schema table ``UnsortedSegmentMaxOptions``."""


@dataclass(frozen=True)
class UnsortedSegmentMinOptions:
    """Schema table ``UnsortedSegmentMinOptions``."""


@operator("SEGMENT_SUM")
class SegmentSum(Op):
    """Sums of neighbouring rows of one segment (TFLite's ``kernels/segment_sum.cc``).

    Inputs are the rows and the segment of each, int32 [rows]: from 0, each that of the row before or
    the next. The output has as many rows as there are segments. Integers wrap.
    """

    options = SegmentSumOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, tuple((t, TensorType.INT32, t) for t in _TYPES))
        x, segments = node.input(0), node.input(1)
        check_rank(node, segments, 1, "segment of each row")
        if not x.shape:
            refuse(node, "must have at least one axis: rows", rule="rank", tensor=x)
        check_size(node, segments, x.shape[0], "segment-count")
        if segments.data is None:
            return (None,)
        return ((self._count(node, segments.data), *x.shape[1:]),)

    def _count(self, node: Node, segments: Array) -> int:
        """How many segments there are, if they come one after the other."""
        steps = np.diff(segments.astype(np.int64), prepend=-1)
        wrong = ~((steps == 0) | (steps == 1))
        if segments.size:
            wrong[0] = segments[0] != 0
        if wrong.any():
            place = int(np.argmax(wrong))
            wanted = "0" if place == 0 else f"{segments[place - 1]} or {segments[place - 1] + 1}"
            refuse(
                node,
                f"segment {segments[place]} at [{place}] must be {wanted}: segments are numbered from 0 "
                "without gaps",
                rule="segment-order",
                tensor=node.input(1),
            )
        return int(segments[-1]) + 1 if segments.size else 0

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, segments = inputs
        assert x is not None
        assert segments is not None
        out = np.zeros((self._count(node, segments), *x.shape[1:]), x.dtype)
        np.add.at(out, segments, x)
        return (out,)


class _UnsortedSegments(Op):
    """What they share (TFLite's ``kernels/unsorted_segment.cc``).

    Inputs are the elements, the segment of each, int32 of a leading part of their shape, and the number
    of segments, int32, one element. Elements of negative segments are left out; the others are combined
    in their order, beginning with what changes nothing.
    """

    combine: ClassVar[np.ufunc]

    def start(self, dtype: np.dtype[Any]) -> Any:
        """What a segment without elements has."""
        raise NotImplementedError

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        check_types(node, tuple((t, TensorType.INT32, TensorType.INT32, t) for t in _TYPES))
        x, segments, count = node.input(0), node.input(1), node.input(2)
        check_size(node, count, 1, "segment-count")
        rank = len(segments.shape)
        if x.shape[:rank] != segments.shape:
            refuse(node, f"must have the leading sizes of {x}", rule="segment-shape", tensor=segments)
        value = constant_integers(count)
        return (None if value is None else (self._checked(node, value[0]), *x.shape[rank:]),)

    def _checked(self, node: Node, count: int) -> int:
        if count < 0:
            refuse(node, f"is {count}, but must be at least 0", rule="segment-count", tensor=node.input(2))
        return count

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, segments, number = inputs
        assert x is not None
        assert segments is not None
        assert number is not None
        count = self._checked(node, int(number.ravel()[0]))
        wrong = segments >= count
        if wrong.any():
            place = [int(i) for i in np.argwhere(wrong)[0]]
            refuse(
                node,
                f"segment {segments[tuple(place)]} at {place} is not below the number of segments, {count}",
                rule="index-range",
                tensor=node.input(1),
            )
        inner = x.shape[segments.ndim :]
        out = np.full((count, *inner), self.start(x.dtype), x.dtype)
        kept = segments.ravel() >= 0
        self.combine.at(out, segments.ravel()[kept], x.reshape(segments.size, *inner)[kept])
        return (out,)


@operator("UNSORTED_SEGMENT_SUM")
class UnsortedSegmentSum(_UnsortedSegments):
    """Sums; integers wrap."""

    options, combine = UnsortedSegmentSumOptions, np.add

    def start(self, dtype: np.dtype[Any]) -> Any:
        return 0


@operator("UNSORTED_SEGMENT_PROD")
class UnsortedSegmentProd(_UnsortedSegments):
    """Products; integers wrap."""

    options, combine = UnsortedSegmentProdOptions, np.multiply

    def start(self, dtype: np.dtype[Any]) -> Any:
        return 1


@operator("UNSORTED_SEGMENT_MAX")
class UnsortedSegmentMax(_UnsortedSegments):
    """Largest elements; a NaN is none. Without any, the type's lowest finite value."""

    options, combine = UnsortedSegmentMaxOptions, np.fmax

    def start(self, dtype: np.dtype[Any]) -> Any:
        return np.finfo(np.float32).min if dtype.kind == "f" else integer_range(dtype)[0]


@operator("UNSORTED_SEGMENT_MIN")
class UnsortedSegmentMin(_UnsortedSegments):
    """Smallest elements; a NaN is none. Without any, the type's largest finite value."""

    options, combine = UnsortedSegmentMinOptions, np.fmin

    def start(self, dtype: np.dtype[Any]) -> Any:
        return np.finfo(np.float32).max if dtype.kind == "f" else integer_range(dtype)[1]
