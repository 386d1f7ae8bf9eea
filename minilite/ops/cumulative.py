"""Running sums: CUMSUM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Op, Tolerance, operator
from minilite.ops.checks import check_arity, check_axis, check_size, check_types, constant_integers
from minilite.ops.reduction import rounding_of_sum


@dataclass(frozen=True)
class CumsumOptions:
    """Schema table ``CumsumOptions``."""

    exclusive: bool = False
    reverse: bool = False


@operator("CUMSUM")
class Cumsum(Op):
    """Running sum along an axis, from the other end (``reverse``), or of what came before (``exclusive``).

    The axis is the second input, int32, one element (TFLite's ``kernels/cumsum.cc``). Integers wrap.
    """

    options = CumsumOptions

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (2, 2))
        kinds = (TensorType.FLOAT32, TensorType.INT32, TensorType.INT64)
        check_types(node, tuple((t, TensorType.INT32, t) for t in kinds))
        check_size(node, node.input(1), 1, "axis-size")
        axis = constant_integers(node.input(1))
        if axis is not None:
            check_axis(node, node.input(0), axis[0])
        return (node.input(0).shape,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        x, position = inputs
        assert x is not None
        assert position is not None
        axis = check_axis(node, node.input(0), int(position.ravel()[0]))
        ahead = np.flip(x, axis) if node.options.reverse else x
        sums = np.cumsum(ahead, axis=axis, dtype=x.dtype)
        if node.options.exclusive:
            sums = np.roll(sums, 1, axis=axis)
            np.moveaxis(sums, axis, 0)[:1] = 0
        return (np.flip(sums, axis) if node.options.reverse else sums,)

    def tolerance(self, node: Node) -> Tolerance:
        x, axis = node.input(0), constant_integers(node.input(1))
        return rounding_of_sum(max(x.shape) if axis is None else x.shape[axis[0]], 0)
