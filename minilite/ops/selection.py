"""Positions of values: ARG_MAX, ARG_MIN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Op, operator, refuse
from minilite.ops.checks import check_arity, check_types, constant_integers
from minilite.ops.lowering import grain
from minilite.shapes import normalized_axis

_TYPES = tuple(
    (t, axis, out)
    for t in (TensorType.FLOAT32, TensorType.UINT8, TensorType.INT8, TensorType.INT32)
    for axis in (TensorType.INT32, TensorType.INT64)
    for out in (TensorType.INT32, TensorType.INT64)
)


@dataclass(frozen=True)
class ArgMaxOptions:
    """Schema table ``ArgMaxOptions``."""

    output_type: TensorType = TensorType.FLOAT32


@dataclass(frozen=True)
class ArgMinOptions:
    """Schema table ``ArgMinOptions``."""

    output_type: TensorType = TensorType.FLOAT32


class _ArgSelect(Op):
    """What both share: an axis from a tensor, raw integers compared, the first of equals taken.

    A NaN is never chosen; where there is nothing else, the position is 0.
    """

    extreme: ClassVar[np.ufunc]

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        check_types(node, _TYPES)
        axis, output = node.input(1), node.output
        if node.options.output_type is not output.type:
            refuse(
                node,
                f"option output_type is {node.options.output_type.name}, which is not its type",
                rule="output-type",
                tensor=output,
            )
        if axis.size != 1:
            refuse(node, "must have one element", rule="axis-size", tensor=axis)
        value = constant_integers(axis)
        if value is None:
            return (None,)
        shape = node.input(0).shape
        position = self._axis(node, value[0])
        return ((*shape[:position], *shape[position + 1 :]),)

    def _axis(self, node: Node, value: int) -> int:
        x = node.input(0)
        axis = normalized_axis(value, len(x.shape))
        if axis is None:
            refuse(node, f"axis {value} does not exist in {x}", rule="axis-range", tensor=x)
        if x.shape[axis] == 0:
            refuse(node, f"has no element along axis {axis}", rule="empty-axis", tensor=x)
        return axis

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, axis = inputs
        assert x is not None
        assert axis is not None
        position = self._axis(node, int(axis.ravel()[0]))
        best = self.extreme.reduce(x, axis=position, keepdims=True)
        return (np.argmax(x == best, axis=position).astype(node.output.dtype),)


@operator("ARG_MAX")
class ArgMax(_ArgSelect):
    """Position of the largest value (TFLite's ``reference/arg_min_max.h``)."""

    options = ArgMaxOptions
    extreme = np.fmax

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.selection import argmax_last

        x = node.input(0)
        axis = constant_integers(node.input(1))
        if axis is None or axis[0] % len(x.shape) != len(x.shape) - 1:
            return False
        size = x.shape[-1]
        extent = node.output.size
        chunk = grain(extent, 8 * size)
        lowering.step(argmax_last, node, extent=extent, grain=chunk, x=x, out=node.output, size=size)
        return True


@operator("ARG_MIN")
class ArgMin(_ArgSelect):
    """Position of the smallest value (TFLite's ``reference/arg_min_max.h``)."""

    options = ArgMinOptions
    extreme = np.fmin
