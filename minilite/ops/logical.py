"""Truth values and bits: LOGICAL_AND, LOGICAL_OR, LOGICAL_NOT, BITWISE_XOR, RIGHT_SHIFT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from minilite.graph import Array, Node, Shape, TensorType
from minilite.ops.base import Lowering, Mask, Op, operator
from minilite.ops.binary import Binary, Work, same_types
from minilite.ops.broadcasting import lower_binary
from minilite.ops.checks import check_arity, check_types
from minilite.ops.fields import field_of_broadcast

BOOL = TensorType.BOOL
BITS = (
    TensorType.INT8,
    TensorType.UINT8,
    TensorType.INT16,
    TensorType.UINT16,
    TensorType.INT32,
    TensorType.UINT32,
)


class _Bits(Binary):
    """A function of the bits of two values."""

    compiled = (BOOL,)
    ufunc: ClassVar[np.ufunc]

    reads_codes = True

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        bits: Array = type(self).ufunc(a, b)
        return bits

    def work(self, node: Node) -> Work | None:
        from minilite_kernels import elementwise

        return Work(getattr(elementwise, type(self).ufunc.__name__))


@operator("LOGICAL_AND")
class LogicalAnd(_Bits):
    """``a and b`` (TFLite's ``kernels/logical.cc``)."""

    rows = same_types(BOOL)
    ufunc = np.logical_and


@operator("LOGICAL_OR")
class LogicalOr(_Bits):
    """``a or b`` (TFLite's ``kernels/logical.cc``)."""

    rows = same_types(BOOL)
    ufunc = np.logical_or


@operator("LOGICAL_NOT")
class LogicalNot(Op):
    """``not x`` (TFLite's ``kernels/elementwise.cc``)."""

    def output_shapes(self, node: Node) -> tuple[Shape | None, ...]:
        check_arity(node, (1, 1))
        check_types(node, [(BOOL, BOOL)])
        return (node.input(0).shape,)

    def receptive_field(
        self, node: Node, inputs: Sequence[Array | None], wanted: Sequence[Mask]
    ) -> tuple[Mask | None, ...] | None:
        return field_of_broadcast(inputs, wanted[0])

    def evaluate(self, node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        (x,) = inputs
        assert x is not None
        return (np.logical_not(x),)

    def lower(self, node: Node, lowering: Lowering) -> bool:
        from minilite_kernels.elementwise import not_equal

        if node.output.size == 0:
            return False
        true = np.ones((), np.bool_)
        lower_binary(node, lowering, not_equal, [node.input(0), true], np.zeros(0, np.int64), cost=16)
        return True


@operator("BITWISE_XOR")
class BitwiseXor(_Bits):
    """The bits in which two integers differ (TFLite's ``kernels/bitwise_xor.cc``)."""

    rows = same_types(*BITS)
    ufunc = np.bitwise_xor


@operator("RIGHT_SHIFT")
class RightShift(_Bits):
    """``a >> b``, which keeps the sign (TFLite's ``kernels/right_shift.cc``).

    A shift below 0 counts as 0, one of the type's width or more as one less than the width.
    """

    rows = same_types(*BITS)

    def combine(self, node: Node, a: Array, b: Array) -> Array:
        shifted: Array = np.right_shift(a, np.clip(b, 0, 8 * b.dtype.itemsize - 1))
        return shifted
