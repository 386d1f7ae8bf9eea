"""Positions of values: ARG_MAX, ARG_MIN, TOPK_V2, UNIQUE, BUCKETIZE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Int8, Lowering, Mask, Op, operator, refuse
from minilite.ops.checks import (
    NUMBERS,
    check_arity,
    check_axis,
    check_rank,
    check_size,
    check_types,
    constant_integers,
)
from minilite.ops.fields import Terms, nothing, places, taken
from minilite.ops.lowering import grain
from minilite.telling import tell

_INDICES = (TensorType.INT32, TensorType.INT64)

_ARG_TYPES = tuple(
    (t, axis, out)
    for t in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT32, TensorType.BOOL)
    for axis in _INDICES
    for out in _INDICES
)

_SCORES = (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8)


@dataclass(frozen=True)
class ArgMaxOptions:
    """Schema table ``ArgMaxOptions``."""

    output_type: TensorType = TensorType.FLOAT32


@dataclass(frozen=True)
class ArgMinOptions:
    """Schema table ``ArgMinOptions``."""

    output_type: TensorType = TensorType.FLOAT32


@dataclass(frozen=True)
class TopKV2Options:
    """Schema table ``TopKV2Options``."""


@dataclass(frozen=True)
class UniqueOptions:
    """Schema table ``UniqueOptions``."""

    idx_out_type: TensorType = TensorType.INT32


@dataclass(frozen=True)
class BucketizeOptions:
    """Schema table ``BucketizeOptions``."""

    boundaries: tuple[float, ...] = ()


class _ArgSelect(Op):
    """What both share: an axis from a tensor, raw integers compared, the first of equals taken.

    A NaN is never chosen; where there is nothing else, the position is 0.
    """

    extreme: ClassVar[np.ufunc]

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, _ARG_TYPES)
        axis, output = node.input(1), node.output
        if node.options.output_type is not output.type:
            refuse(
                node,
                f"option output_type is {node.options.output_type.name}, which is not its type",
                rule="output-type",
                tensor=output,
            )
        check_size(node, axis, 1, "axis-size")
        value = constant_integers(axis)
        if value is None:
            return (None,)
        shape = node.input(0).shape
        position = self._axis(node, value[0])
        return ((*shape[:position], *shape[position + 1 :]),)

    def _axis(self, node: Node, value: int) -> int:
        x = node.input(0)
        axis = check_axis(node, x, value)
        if x.shape[axis] == 0:
            refuse(node, f"has no element along axis {axis}", rule="empty-axis", tensor=x)
        return axis

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, axis = inputs
        assert x is not None
        assert axis is not None
        position = self._axis(node, int(axis.ravel()[0]))
        best = self.extreme.reduce(x, axis=position, keepdims=True)
        tell("the first place of {best}", np.argmax(x == best, axis=position), best=best.squeeze(position))
        return (np.argmax(x == best, axis=position).astype(node.output.dtype),)

    tells_elements = True

    where = (1,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        x, axis = inputs
        assert x is not None
        assert axis is not None
        position = self._axis(node, int(axis.ravel()[0]))
        field = nothing(inputs)
        field[0] = np.broadcast_to(np.expand_dims(wanted[0], position), x.shape).copy()
        return tuple(field)

    def terms(
        self, node: Node, inputs: Sequence[Array | None], field: Sequence[Mask | None], place: Shape
    ) -> Terms | None:
        x = inputs[0]
        assert x is not None
        seen = places(field[0])
        return Terms("what is compared", 0, seen, taken(x, seen), smallest_first=self.extreme is np.fmin)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels import selection

        x, axis = node.input(0), constant_integers(node.input(1))
        if axis is None or not x.size:
            return False
        largest = self.extreme is np.fmax
        position = self._axis(node, axis[0])
        size, inner = x.shape[position], prod(x.shape[position + 1 :])
        # What models ask for; the rest would take longer to compile than NumPy takes to do without.
        if x.type not in (_SCORES if largest and inner == 1 else _SCORES[:1]):
            return False
        shared: dict[str, Any] = {"x": x, "out": node.output, "size": size}
        if inner == 1:
            floats_kernel, bytes_kernel = selection.argmax_last_of_floats, selection.argmax_last_of_bytes
            kernel = bytes_kernel if x.dtype.itemsize == 1 else floats_kernel
            kernel = kernel if largest else selection.argmin_last
        else:
            kernel = selection.argmax_inner if largest else selection.argmin_inner
            shared |= {"inner": inner, "best": lowering.scratch(x.dtype, inner)}
        extent = x.size // (size * inner)
        lowering.step(kernel, node, extent=extent, grain=grain(extent, 8 * size * inner), **shared)
        return True


@operator("ARG_MAX")
class ArgMax(_ArgSelect):
    """Position of the largest value (TFLite's ``reference/arg_min_max.h``)."""

    options = ArgMaxOptions
    int8 = Int8()
    extreme = np.fmax


@operator("ARG_MIN")
class ArgMin(_ArgSelect):
    """Position of the smallest value (TFLite's ``reference/arg_min_max.h``)."""

    options = ArgMinOptions
    int8 = Int8()
    extreme = np.fmin


@operator("TOPK_V2")
class TopKV2(Op):
    """The k largest of the last axis, the largest first, and their positions (``kernels/topk_v2.cc``).

    Of equals the first comes first; a NaN counts as negative infinity (TFLite's order depends on where
    it stands). k is the second input, int32 or int16, one element; less than 1 gives nothing.
    """

    options = TopKV2Options

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2), outputs=2)
        kinds = (TensorType.INT32, TensorType.INT16)
        check_types(node, tuple((t, k, t, i) for t in NUMBERS for k in kinds for i in kinds))
        check_size(node, node.input(1), 1, "k-size")
        k = constant_integers(node.input(1))
        if k is None:
            return None, None
        shape = (*node.input(0).shape[:-1], self._count(node, k[0]))
        return shape, shape

    def _count(self, node: Node, k: int) -> int:
        x = node.input(0)
        if not x.shape:
            refuse(node, "has no axis to take the largest of", rule="rank", tensor=x)
        if k > x.shape[-1]:
            refuse(node, f"has fewer than k = {k} elements on its last axis", rule="k-range", tensor=x)
        return max(k, 0)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, k = inputs
        assert x is not None
        assert k is not None
        count = self._count(node, int(k.ravel()[0]))
        keys = np.where(np.isnan(x), -np.inf, x) if x.dtype.kind == "f" else x
        # Sorted from behind, so that reversing puts the first of equals first.
        backwards = np.argsort(keys[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        positions = x.shape[-1] - 1 - backwards[..., :count]
        return np.take_along_axis(x, positions, axis=-1), positions.astype(node.outputs[1].dtype)


@operator("UNIQUE")
class Unique(Op):
    """Each value of a vector once, as they first appear, and for each element which of them it is.

    No NaN is the same as another (TFLite's ``kernels/unique.cc`` finds them equal to anything).
    """

    options = UniqueOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1), outputs=2)
        check_types(node, tuple((t, t, i) for t in (*NUMBERS, TensorType.UINT16) for i in _INDICES))
        check_rank(node, node.input(0), 1, "values")
        if node.options.idx_out_type is not node.outputs[1].type:
            refuse(
                node,
                f"option idx_out_type is {node.options.idx_out_type.name}, which is not its type",
                rule="output-type",
                tensor=node.outputs[1],
            )
        return None, node.input(0).shape

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        _, first, which = np.unique(x, return_index=True, return_inverse=True, equal_nan=False)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        return x[first[order]], rank[which.reshape(x.shape)].astype(node.outputs[1].dtype)


@operator("BUCKETIZE")
class Bucketize(Op):
    """How many of the sorted boundaries are not above each value (TFLite's ``kernels/bucketize.cc``).

    Integers are compared as float32. A NaN is above all.
    """

    options = BucketizeOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        kinds = (TensorType.FLOAT32, TensorType.FLOAT64, TensorType.INT32, TensorType.INT64)
        check_types(node, tuple((t, TensorType.INT32) for t in kinds))
        boundaries = node.options.boundaries
        if any(a > b for a, b in pairwise(boundaries)):
            refuse(node, f"boundaries {boundaries} are not sorted", rule="boundaries-sorted")
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        values = x if x.dtype.kind == "f" else x.astype(np.float32)
        boundaries = np.array(node.options.boundaries, np.float32)
        return (np.searchsorted(boundaries, values, side="right").astype(np.int32),)
