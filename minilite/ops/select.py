"""Choosing by a condition: SELECT, SELECT_V2, WHERE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Mask, Op, operator, refuse
from minilite.ops.checks import check_arity, check_broadcast, check_types
from minilite.ops.fields import stretched

BOOL, INT64 = TensorType.BOOL, TensorType.INT64
_CHOSEN = tuple(kind for kind in TensorType if kind.bits in (8, 16, 32, 64))


class _Select(Op):
    """``x`` where the condition holds, elsewhere ``y`` (TFLite's ``kernels/select.cc``).

    ``condition`` is BOOL, the others of one type. Quantized values are copied as they stand.
    """

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (3, 3))
        check_types(node, [(BOOL, kind, kind, kind) for kind in _CHOSEN])
        sizes = [node.input(position).size for position in range(3)]
        if [*sizes, node.output.size] == [1, 1, 1, 1]:
            # A number may be written as a scalar or as a tensor of one element: the file decides.
            return (node.output.shape,)
        return (self.shape(node),)

    def shape(self, node: Node) -> Shape:
        """The output's shape; refuse inputs that do not fit together."""
        raise NotImplementedError

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        condition, x, y = inputs
        assert condition is not None
        assert x is not None
        assert y is not None
        shape = node.output.shape
        if condition.size == x.size == y.size == 1 and not node.output.is_dynamic:
            return (np.where(condition, x, y).reshape(shape),)
        return (np.where(self.spread(condition, x), x, y),)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        condition, x, y = inputs
        assert condition is not None
        assert x is not None
        assert y is not None
        chosen = stretched(wanted[0], self.spread(condition, x).shape).reshape(condition.shape)
        return chosen, stretched(wanted[0], x.shape), stretched(wanted[0], y.shape)

    def spread(self, condition: Array, x: Array) -> Array:
        """The condition in a shape that broadcasts against ``x``."""
        return condition


@operator("SELECT")
class Select(_Select):
    """The three have one shape; or the condition is a scalar, or one for each slice of the first axis."""

    def shape(self, node: Node) -> Shape:
        condition, x, y = (node.input(position) for position in range(3))
        if x.shape != y.shape:
            refuse(node, f"must have the shape of {x}", rule="equal-shapes", tensor=y)
        if condition.shape not in (x.shape, (), x.shape[:1]):
            refuse(
                node,
                f"must have the shape {x.shape} of {x}, its first size, or no axis",
                rule="select-condition",
                tensor=condition,
            )
        return x.shape

    def spread(self, condition: Array, x: Array) -> Array:
        if condition.ndim == 1:
            return condition.reshape(-1, *(1,) * (x.ndim - 1))
        return condition


@operator("SELECT_V2")
class SelectV2(_Select):
    """The three broadcast at the last axis."""

    def shape(self, node: Node) -> Shape:
        return check_broadcast(node)


@operator("WHERE")
class Where(Op):
    """Indices of what is not 0, int64 [count, rank], in row order (TFLite's ``kernels/where.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        kinds = (BOOL, TensorType.FLOAT32, INT64, TensorType.INT32, TensorType.UINT32)
        check_types(node, [(kind, INT64) for kind in (*kinds, TensorType.INT8, TensorType.UINT8)])
        condition = node.input(0)
        if not condition.shape:
            refuse(node, "has no axes to give indices of", rule="rank", tensor=condition)
        return (None,)

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (condition,) = inputs
        assert condition is not None
        return (np.argwhere(condition),)
